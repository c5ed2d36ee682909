r"""Paths that are safe to use, and names as git's trees hold them.

Git refuses some names in a tree, and acts on others. Such a component is stored with its first byte percent-encoded:
`.git` as `%2Egit`. So is one that already starts with `%` and two hexadecimal digits, which makes the encoding
injective: `%2Egit` as `%252Egit`. The names are those of git's `fsck.c`, `read-cache.c`, `path.c` and `utf8.c`:

- `.git` (refused), `.gitmodules`, `.gitattributes` and `.mailmap` (acted on), in any mixture of case;
- what NTFS would take for them: the 8.3 short names such as `git~1`, `gitmod~1` or `gi7eba~1`, dots and spaces after
  the name, a `:` and anything after that;
- what HFS+ would take for them: code points that it ignores, anywhere in the name;
- `.gitignore` and its disguises only as a symlink: git warns about that, and never minds the file.

NTFS takes a backslash for a separator and git's checks follow it there, so each part of a component between
backslashes is encoded by itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

from gitsnap.core.errors import IntegrityError

# How the name of a stage of a rollback begins (installation.apply.stage_dirs).
STAGE_PREFIX = b".gitsnap-txn."

# UTF-8 of the code points that HFS+ ignores when it compares names.
_IGNORED = rb"(?:\xe2\x80[\x8c-\x8f\xaa-\xae]|\xe2\x81[\xaa-\xaf]|\xef\xbb\xbf)*"

Matcher = Callable[[bytes], re.Match[bytes] | None]

# Nearly all names are told apart from those worth a closer look by how they start, and by having no backslash.
_SUSPECT_START = rb"[.~%]|[gG][iI~]|[mM][aA~]|\xe2[\x80\x81]|\xef\xbb"
_harmless = re.compile(rb"(?!" + _SUSPECT_START + rb")[^/\\\0]+").fullmatch
_suspect_in_path = re.compile(rb"(?:\A|/)(?:" + _SUSPECT_START + rb")|\\").search


def _on_hfs(name: bytes) -> bytes:
    # Git stops reading at bytes that are not UTF-8 and takes what it has read for the whole name. Any byte beyond
    # ASCII ends the name here: that encodes a few harmless names more, and does not depend on git's idea of UTF-8.
    letters = (re.escape(name[at : at + 1]) for at in range(len(name)))
    return _IGNORED + b"".join(letter + _IGNORED for letter in letters) + rb"(?:\Z|[\x80-\xff])"


def _on_ntfs(name: bytes, short_names: bytes) -> bytes:
    return rb"(?:" + re.escape(name) + rb"|" + short_names + rb")[. ]*(?:\Z|:)"


def _short_names(name: bytes, fallback: bytes) -> bytes:
    """The 8.3 names of `name`: the regular ones, and those of 8 bytes that start like `fallback`, its hashed name."""
    patterns = [re.escape(name[1:7]) + rb"~[1-4]"]
    patterns += [re.escape(fallback[:n]) + rb"~[1-9][0-9]{%d}" % (6 - n) for n in range(7)]
    return b"|".join(patterns)


def _names(acted_on: dict[bytes, bytes]) -> re.Pattern[bytes]:
    patterns = [_on_hfs(b".git"), _on_ntfs(b".git", b"git~1"), rb"%[0-9a-f]{2}"]
    for name, fallback in acted_on.items():
        patterns += [_on_hfs(name), _on_ntfs(name, _short_names(name, fallback))]
    return re.compile(b"|".join(patterns), re.IGNORECASE)


_FILES = {b".gitmodules": b"gi7eba", b".gitattributes": b"gi7d29", b".mailmap": b"maba30"}
_LINKS_TOO = {b".gitignore": b"gi250a"}
_ESCAPE = re.compile(rb"\A%([0-9A-F]{2})")


# Most runs meet no such name, and compiling these takes a tenth of a command's start.
@cache
def _encoded(link: bool) -> Matcher:
    return _names(_FILES | _LINKS_TOO if link else _FILES).match


@cache
def _refused() -> Matcher:
    return re.compile(_on_hfs(b".git") + b"|" + _on_ntfs(b".git", b"git~1"), re.IGNORECASE).match


def check_path(path: bytes) -> None:
    """Raise IntegrityError unless `path` is relative, has no empty, `.` or `..` component, and no NUL."""
    fenced = b"/%b/" % path
    if b"//" in fenced or b"/./" in fenced or b"/../" in fenced or b"\0" in fenced:
        raise IntegrityError(f"unsafe path {path!r}", path=path)


def git_refuses(path: bytes, *, link: bool = False) -> bool:
    """Whether git, on some system or other, refuses to put something at `path`: `.git` in any disguise is in it.

    Of a symlink it refuses some names more, anywhere in the path; all that are encoded in a tree count here.
    """
    if not _suspect_in_path(path):
        return False
    names = path.split(b"/")
    if link and any(name[:1] != b"%" and encode_component(name, link=True) != name for name in names):
        return True
    return any(_refused()(part) for name in names for part in name.split(b"\\"))


def encode_component(name: bytes, *, link: bool = False) -> bytes:
    """One component of a path as git's tree holds it. `link` says that it is a symlink's own name."""
    if _harmless(name):
        return name
    matches = _encoded(link)
    parts = name.split(b"\\")
    return b"\\".join(b"%%%02X%b" % (part[0], part[1:]) if matches(part) else part for part in parts)


def decode_component(name: bytes, *, link: bool = False) -> bytes:
    """The component that `encode_component` stored as `name`.

    Raises IntegrityError for what it would not have stored so, and for names that are no safe component.
    """
    if _harmless(name):
        return name
    decoded = b"\\".join(_ESCAPE.sub(_byte, part) for part in name.split(b"\\"))
    if encode_component(decoded, link=link) != name:
        raise IntegrityError(f"no name is stored as {name!r} in a tree", path=name)
    if b"/" in decoded or b"\0" in decoded or decoded in (b"", b".", b".."):
        raise IntegrityError(f"unsafe name {decoded!r} in a tree", path=name)
    return decoded


def encode_path(path: bytes, *, link: bool = False) -> bytes:
    """A whole path as git's trees hold it. `link` says that the path itself is a symlink."""
    if not _suspect_in_path(path):
        return path
    *parents, name = path.split(b"/")
    return b"/".join([*map(encode_component, parents), encode_component(name, link=link)])


def decode_path(path: bytes, *, link: bool = False) -> bytes:
    """The path that `encode_path` stored as `path`; raises IntegrityError as `decode_component` does."""
    *parents, name = path.split(b"/")
    return b"/".join([*map(decode_component, parents), decode_component(name, link=link)])


def _byte(found: re.Match[bytes]) -> bytes:
    return bytes([int(found[1], 16)])
