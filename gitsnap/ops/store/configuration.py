"""Changing configuration: the sidecar's components and remotes, the user's sets, and nothing else in a file."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gitsnap.core.errors import GitsnapError, UsageError
from gitsnap.sidecar import files, limits
from gitsnap.sidecar.repository import Sidecar

FILE = "gitsnap.toml"
_ANY_HEADING = re.compile(r"^\s*\[")
_NAME = re.compile(r"[A-Za-z0-9_-]+")

Table = dict[str, list[str] | str]


def components(sidecar: Sidecar) -> Table:
    """The table as it stands in the file; empty when there is none."""
    table = _parsed(_text(sidecar), sidecar).get("components", {})
    if not isinstance(table, dict):
        raise UsageError(f"{sidecar.path}/{FILE}: components must be a table")
    return {k: v if k == "preset" else [v] if isinstance(v, str) else list(v) for k, v in table.items()}


def change_components(sidecar: Sidecar, change: Callable[[Table], Table], wait: float) -> Table:
    """Write the table anew, durably, with everything else in the file as it was; the new table.

    Raises UsageError for a name that cannot be one, and GitsnapError when the file has the table in a form that only a
    person should edit.
    """
    with sidecar.writing(wait):
        text = _text(sidecar)
        wanted = change(components(sidecar))
        for name in wanted:
            if not _NAME.fullmatch(name):
                raise UsageError(
                    f"'{name}' cannot be the name of a component", hint="letters, digits, dash, underscore"
                )
        fresh = _replaced(text, "components", wanted)
        if not _says(fresh, _parsed(text, sidecar) | {"components": wanted}):
            raise GitsnapError(
                f"the components in {FILE} are written in a way that can only be changed by hand",
                path=os.path.join(sidecar.path, FILE),
                hint="edit that file",
            )
        files.replace(os.path.join(sidecar.path, FILE), fresh.encode(), sidecar.scratch)
    return wanted


def change_remote(sidecar: Sidecar, name: str, table: Mapping[str, str | int | list[str]] | None, wait: float) -> None:
    """Write into the sidecar's file what the remote `name` is, durably, or that it is none; everything else stays.

    Raises GitsnapError when the file has it in a form that only a person should edit.
    """
    path = os.path.join(sidecar.path, FILE)
    with sidecar.writing(wait):
        text = _text(sidecar)
        parsed = _parsed(text, sidecar)
        known = {k: v for k, v in parsed.get("remote", {}).items() if k != name}
        fresh = _replaced(text, f"remote.{name}", table or {})
        if not _says(fresh, parsed | {"remote": known | ({name: dict(table)} if table else {})}, "remote"):
            raise GitsnapError(
                f"the remotes in {FILE} are written in a way that can only be changed by hand",
                path=path,
                hint="edit it",
            )
        files.replace(path, fresh.encode(), sidecar.scratch)


def add_retention(sidecar: Sidecar, rules: Mapping[str, int], wait: float) -> None:
    """Write rules of retention into the sidecar's file, durably; what [retention] says besides stays, and all else.

    Raises GitsnapError when the file has the table in a form that only a person should edit.
    """
    path = os.path.join(sidecar.path, FILE)
    with sidecar.writing(wait):
        text = _text(sidecar)
        parsed = _parsed(text, sidecar)
        table = {**parsed.get("retention", {}), **rules}
        fresh = _replaced(text, "retention", table)
        if not _says(fresh, parsed | {"retention": table}, "retention"):
            raise GitsnapError(
                f"the table [retention] in {FILE} is written in a way that can only be changed by hand",
                path=path,
                hint="edit it",
            )
        files.replace(path, fresh.encode(), sidecar.scratch)


def change_set(path: str, name: str, roots: Sequence[str] | None) -> None:
    """Write into the user's configuration at `path` what the set `name` is, durably, or that it is none; everything
    else in the file stays as it was.

    Raises GitsnapError when the file has the sets in a form that only a person should edit.
    """
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    text = (files.read(path, limits.SETTINGS) or b"").decode("utf-8", "replace")
    table = tomllib.loads(text)
    sets = {k: v for k, v in table.get("sets", {}).items() if k != name}
    sets |= {} if roots is None else {name: list(roots)}
    fresh = _replaced(text, "sets", sets)
    if not _says(fresh, table | {"sets": sets}, "sets"):
        raise GitsnapError(
            f"the sets in {path} are written in a way that can only be changed by hand", path=path, hint="edit it"
        )
    real = os.path.realpath(path)
    files.replace(real, fresh.encode(), os.path.dirname(real))


def _says(text: str, wanted: Mapping[str, Any], name: str = "components") -> bool:
    """Whether the text is TOML for these tables; an empty one may be missing."""
    try:
        return {name: {}} | tomllib.loads(text) == wanted
    except (tomllib.TOMLDecodeError, RecursionError):
        return False


def _text(sidecar: Sidecar) -> str:
    return (files.read(os.path.join(sidecar.path, FILE)) or b"").decode("utf-8", "replace")


def _parsed(text: str, sidecar: Sidecar) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{sidecar.path}/{FILE} is not valid TOML: {error}") from None


def _replaced(text: str, title: str, table: Mapping[str, list[str] | str | int]) -> str:
    lines, heading = text.splitlines(), re.compile(rf"^\s*\[\s*{re.escape(title)}\s*\]\s*(?:#.*)?$")
    start = next((n for n, line in enumerate(lines) if heading.match(line)), None)
    # A JSON string of printable text is a TOML string, too.
    body = [f"{name} = {json.dumps(value)}" for name, value in table.items()]
    section = [f"[{title}]", *body] if body else []
    if start is None:
        kept = [*lines, ""] if lines and lines[-1].strip() and section else lines
        return "".join(line + "\n" for line in [*kept, *section])
    end = next((n for n in range(start + 1, len(lines)) if _ANY_HEADING.match(lines[n])), len(lines))
    gap = [""] if end < len(lines) and section else []
    return "".join(line + "\n" for line in [*lines[:start], *section, *gap, *lines[end:]])
