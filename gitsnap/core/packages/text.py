"""What several records have in common: headers, and paths that count from somewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

# By age: /name/1.0.0_peers:, /name@1.0.0(peers):, name@1.0.0:
_PNPM = re.compile(r"""  ['"]?/?(?P<name>(?:@[^/@\s'"]+/)?[^/@\s'"]+)[@/](?P<version>\d[^\s:'"(_/]*)[^:]*:.*""")
_LONGEST = 1000
_TOML_STRING = re.compile(r'([\w-]+) *= *"([^"\\]*)" *')


def text(data: bytes) -> str:
    """Text in UTF-8; what is none is shown as such."""
    return data.decode("utf-8-sig", "replace")


def headers(data: bytes) -> dict[str, str]:
    """The headers of an RFC 822 record by lower-case name, up to the first empty line. Of several, the first counts."""
    found: dict[str, str] = {}
    for line in text(data).split("\n"):
        if not line.strip():
            break
        name, colon, value = line.partition(":")
        if colon and not line[0].isspace():
            found.setdefault(name.strip().lower(), value.strip())
    return found


def json_data(data: bytes) -> Any:
    """What JSON says; ValueError for what is none, or is nested beyond reason."""
    try:
        return json.loads(data)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def json_object(data: bytes) -> dict[str, Any]:
    """A JSON object; TypeError for other JSON, ValueError for what is none."""
    found = json_data(data)
    if not isinstance(found, dict):
        raise TypeError("no object")
    return found


def parent(path: bytes) -> bytes:
    """The directory that a path is in; empty for the root."""
    return path.rpartition(b"/")[0]


def ancestors(path: bytes) -> Iterator[bytes]:
    """The directories that a path is in, the root last."""
    while path:
        path = path.rpartition(b"/")[0]
        yield path


def below(directory: bytes, name: bytes) -> bytes:
    """A name in a directory."""
    return directory + b"/" + name if directory else name


def joined(directory: bytes, relative: bytes) -> bytes | None:
    """A relative path from a directory, `..` taken by name. None for an absolute one, or one that leaves the root."""
    if relative.startswith(b"/"):
        return None
    parts = directory.split(b"/") if directory else []
    for part in relative.split(b"/"):
        if part == b"..":
            if not parts:
                return None
            parts.pop()
        elif part not in (b"", b"."):
            parts.append(part)
    return b"/".join(parts)


def plain(value: object) -> str:
    """A name or version that is a string of a bearable length without control characters; ValueError otherwise."""
    found = value.strip() if isinstance(value, str) else ""
    if not found or len(found) > 300 or re.search(r"[\x00-\x1f\x7f]", found):
        raise ValueError("no name or version")
    return found


def array_of_tables(data: bytes, name: str) -> Iterator[dict[str, str]]:
    """The strings of each `[[name]]` in TOML as lock files have it, up to the next table; quicker than reading all."""
    found: dict[str, str] | None = None
    for line in text(data).splitlines():
        if line.startswith("["):
            if found is not None:
                yield found
            found = {} if line.strip() == f"[[{name}]]" else None
        elif found is not None and (match := _TOML_STRING.fullmatch(line)):
            found[match[1]] = match[2]
    if found is not None:
        yield found


def pnpm_packages(data: bytes) -> Iterator[tuple[str, str]]:
    """Name and version of each package in a lock file of pnpm, of any of its versions."""
    section = text(data).partition("\npackages:\n")[2]
    # Newer ones tell the same packages again, with their dependencies.
    for line in section.partition("\nsnapshots:\n")[0].splitlines():
        if len(line) < _LONGEST and (match := _PNPM.fullmatch(line)):
            yield match["name"], match["version"]
