"""Which snapshot, and so which upgrade, last changed each line of a file: stock git tells, of the timeline."""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass, replace
from itertools import pairwise

from gitsnap.core.errors import GitsnapError
from gitsnap.core.message import parse_message
from gitsnap.core.model import Kind, Snapshot
from gitsnap.core.paths import decode_path, encode_path
from gitsnap.core.secrets.masker import NOTHING, Masker
from gitsnap.core.upgrade import rolled_back
from gitsnap.ops.compare import masking
from gitsnap.sidecar import catalog, contents, selectors
from gitsnap.sidecar.catalog import not_held
from gitsnap.sidecar.git import commits, trees
from gitsnap.sidecar.repository import Sidecar

LARGEST = 8 << 20
_LINE = re.compile(rb"([0-9a-f]{40}) \d+ (\d+)(?: \d+)?")


@dataclass(slots=True, frozen=True)
class Blamed:
    """One line of a file, and the snapshot that has it so first, at `path` there.

    `oldest` tells that this is the oldest snapshot there is: the line may be older.
    """

    number: int
    text: bytes
    snapshot: Snapshot
    path: bytes
    oldest: bool


def blame(sidecar: Sidecar, selector: str, path: bytes, masker: Masker = NOTHING) -> tuple[Snapshot, list[Blamed]]:
    """Every line of a text file as a snapshot holds it. Follows renames, as git does.

    What an upgrade did that was rolled back has changed no line that is there now: neither its snapshot counts, nor
    those that rollbacks take for safety.

    `masker` hides secrets. Raises GitsnapError for what the snapshot does not hold, and for what is no text.
    """
    snapshot = selectors.choose(sidecar, selector)
    _require_text(sidecar, snapshot, path)
    known = catalog.snapshots(sidecar)
    undone = rolled_back(known)
    standing = {
        link.commit: s
        for link in catalog.chain(sidecar, known)
        if link.back is None and _counts(s := link.snapshot, snapshot, undone)
    }
    tip = next(commit for commit, s in standing.items() if s.id == snapshot.id)
    name = os.fsdecode(encode_path(path))
    with tempfile.NamedTemporaryFile() as file:
        # git-blame(1), -S: each commit and its parent.
        file.write("".join(f"{a} {b}\n" for a, b in pairwise([*reversed(standing), ""])).encode())
        file.flush()
        out = sidecar.git_on_objects(
            "--literal-pathspecs", "blame", "-S", file.name, "--root", "--line-porcelain", tip, "--", name
        )
    found = _read(sidecar, out, standing)
    shown = masking.told(path, b"".join(b.text + b"\n" for b in found), [b.text for b in found], masker)
    return snapshot, [replace(b, text=text) for b, text in zip(found, shown, strict=True)]


def _counts(s: Snapshot, asked: Snapshot, undone: set[str]) -> bool:
    return s.id == asked.id or (s.kind is not Kind.SAFETY and s.id not in undone)


def _require_text(sidecar: Sidecar, snapshot: Snapshot, path: bytes) -> None:
    leaf = trees.lookup(sidecar.objects, bytes.fromhex(snapshot.tree), path)
    shown = os.fsdecode(path)
    if leaf is None:
        raise not_held(snapshot, path, contents.metadata(sidecar, snapshot))
    wrong = "a directory" if leaf.mode == trees.DIRECTORY else "a symlink" if leaf.mode == trees.LINK else ""
    size = 0
    for piece in sidecar.objects.blob(leaf.oid) if not wrong else ():
        size += len(piece)
        if b"\0" in piece or size > LARGEST:
            wrong = "no text" if b"\0" in piece else "larger than 8 MiB"
            break
    if wrong:
        raise GitsnapError(
            f"'{shown}' is {wrong} in {snapshot.id}", kind="not-a-file", path=path, hint=f"gitsnap ls {snapshot.id}"
        )


def _read(sidecar: Sidecar, out: bytes, known: dict[str, Snapshot]) -> list[Blamed]:
    oldest = next(iter(known), None)
    found: list[Blamed] = []
    commit, number, name = "", 0, b""
    for line in out.split(b"\n")[:-1]:
        if line.startswith(b"\t"):
            if commit not in known:
                known[commit] = _snapshot(sidecar, commit)
            found.append(Blamed(number, line[1:], known[commit], name, commit == oldest))
        elif line.startswith(b"filename "):
            name = decode_path(_unquoted(line[9:]))
        elif match := _LINE.fullmatch(line):
            commit, number = match[1].decode(), int(match[2])
    return found


def _snapshot(sidecar: Sidecar, commit: str) -> Snapshot:
    """The snapshot that a commit of the timeline stands for, where its own ref is damaged."""
    parsed = commits.parse(sidecar.objects.read(bytes.fromhex(commit), b"commit")[1], commit)
    return parse_message(parsed.message, commit=commit, tree=parsed.tree, created=parsed.created, pinned=False)


_ESCAPE = re.compile(rb"\\([0-7]{3}|.)", re.DOTALL)
_SHORT = {b"a": 7, b"b": 8, b"t": 9, b"n": 10, b"v": 11, b"f": 12, b"r": 13}


def _unquoted(name: bytes) -> bytes:
    if not (len(name) >= 2 and name[:1] == name[-1:] == b'"'):
        return name
    return _ESCAPE.sub(
        lambda m: bytes([int(m[1], 8) if len(m[1]) == 3 else _SHORT.get(m[1], m[1][0])]),
        name[1:-1],
    )
