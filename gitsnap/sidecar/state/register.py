"""The register: every snapshot that there ever was here, and which of them were removed.

git forgets a ref that is gone. By the register a ref that was lost, even with the seal, is told from one that was
removed; an id is never given twice; and where a damaged snapshot stands is known without its commit.

One line each, added and synced, with the CRC-32 of what is before it:

    taken <sequence or -> <id> <commit> <upgrade or -> <crc>
    gone <id> <unix time> <crc>

Order of writes: `taken` after the ref is there, `gone` before it goes. So a kill leaves a snapshot that is not in here
yet (the next operation adds it), or one that is there and called gone (what is there is not lost). Whoever writes holds
the sidecar's writer lock.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple
from zlib import crc32

from gitsnap.core.message import ID
from gitsnap.core.model import Snapshot
from gitsnap.sidecar import files
from gitsnap.sidecar.repository import Sidecar

_FILE = "register"
_TAKEN = re.compile(rf"taken (-|[1-9][0-9]{{0,17}}) ({ID.pattern}) ([0-9a-f]{{40}}) (\S+)")
# Once without the time.
_GONE = re.compile(rf"gone ({ID.pattern})(?: ([0-9]{{1,12}}))?")


class Registered(NamedTuple):
    """One line: where the snapshot stands in the order (None: not known), its commit, the upgrade it belongs to."""

    sequence: int | None
    commit: str
    upgrade: str | None


class Register(NamedTuple):
    """What is written down, by id. `gone` were removed: when they came into the bin, in seconds since 1970 (0: not
    known, or for good). `whole` is false where a line cannot be read; one that a crash has cut off does not count."""

    taken: Mapping[str, Registered]
    gone: Mapping[str, int]
    whole: bool = True

    def living(self) -> Iterable[tuple[str, str]]:
        """(id, commit) of those that were not removed."""
        return ((name, line.commit) for name, line in self.taken.items() if name not in self.gone)

    def places(self) -> dict[str, int]:
        """The numbers of those that have one."""
        return {name: line.sequence for name, line in self.taken.items() if line.sequence is not None}

    def upgrades(self) -> set[str]:
        """The ids of all upgrades that ever began."""
        return {line.upgrade for line in self.taken.values() if line.upgrade}


def load(sidecar: Sidecar) -> Register:
    """What is written down; nothing in a sidecar that has no register yet."""
    return read(sidecar.path)


def read(store: str) -> Register:
    """The same of what lies at `store`, which may be a copy of a sidecar that is none to be opened."""
    return _parse(files.read(os.path.join(store, "gitsnap", _FILE)) or b"")


@lru_cache(maxsize=1)
def _parse(data: bytes) -> Register:
    taken: dict[str, Registered] = {}
    gone: dict[str, int] = {}
    *lines, _cut_off = data.decode("ascii", "replace").split("\n")
    whole = True
    for line in lines:
        text, _, crc = line.rpartition(" ")
        if crc != _crc(text):
            whole = False
        elif found := _TAKEN.fullmatch(text):
            number, name, commit, upgrade = found.groups()
            # A ref that came back, by hand say, is written down again.
            gone.pop(name, None)
            taken[name] = Registered(
                None if number == "-" else int(number), commit, None if upgrade == "-" else upgrade
            )
        elif found := _GONE.fullmatch(text):
            gone[found[1]] = int(found[2] or 0)
    return Register(taken, gone, whole)


def _crc(text: str) -> str:
    return f"{crc32(text.encode('ascii', 'replace')):08x}"


def take(sidecar: Sidecar, living: Sequence[Snapshot]) -> None:
    """Write down those of the living snapshots that are not yet. OSError."""
    known = load(sidecar)
    _add(sidecar, known, [_taken(s) for s in living if not _is_down(known, s)])


def _is_down(known: Register, snapshot: Snapshot) -> bool:
    line = known.taken.get(snapshot.id)
    return line is not None and line.commit == snapshot.commit and snapshot.id not in known.gone


def _taken(s: Snapshot) -> str:
    # Upgrades of ours have ids without spaces; of others nothing is to be kept apart.
    upgrade = (
        s.upgrade if s.upgrade and s.upgrade.isascii() and s.upgrade.isprintable() and " " not in s.upgrade else "-"
    )
    return f"taken {s.sequence or '-'} {s.id} {s.commit} {upgrade}"


def let_go(sidecar: Sidecar, names: Iterable[str], when: datetime | None) -> None:
    """Write down that these are about to come into the bin, or with no `when`, to go for good. OSError; nothing may be
    removed then."""
    known = load(sidecar)
    moment = max(int(when.timestamp()), 1) if when else 0
    _add(sidecar, known, [f"gone {name} {moment}" for name in names if moment or known.gone.get(name) != 0])


def rewritten(sidecar: Sidecar, living: Sequence[Snapshot], binned: Iterable[tuple[Snapshot, int]]) -> None:
    """Write down the new commits of what is living, and of what is in the bin with the moment when it came there.
    OSError.

    All at once: a kill must not leave a line by which one in the bin is living, and its ref lost.
    """
    known = load(sidecar)
    lines = [_taken(s) for s in living if not _is_down(known, s)]
    for snapshot, moment in binned:
        line = known.taken.get(snapshot.id)
        if line is None or line.commit != snapshot.commit:
            lines += [_taken(snapshot), f"gone {snapshot.id} {moment}"]
    _add(sidecar, known, lines, anew=True)


def _add(sidecar: Sidecar, known: Register, lines: list[str], *, anew: bool = False) -> None:
    if not lines:
        return
    path = sidecar.own(_FILE)
    text = "".join(f"{line} {_crc(line)}\n" for line in lines).encode()
    data = files.read(path)
    if anew or data is None or not known.whole or not data.endswith(b"\n"):
        # Where it has a line that cannot be read, it is written anew with what can.
        kept = [line for line in (data or b"").split(b"\n")[:-1] if _readable(line)]
        files.replace(path, b"".join(line + b"\n" for line in kept) + text, sidecar.scratch)
        return
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.write(fd, text)
        os.fdatasync(fd)
    finally:
        os.close(fd)


def _readable(line: bytes) -> bool:
    text, _, crc = line.decode("ascii", "replace").rpartition(" ")
    return crc == _crc(text)
