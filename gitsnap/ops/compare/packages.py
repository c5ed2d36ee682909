"""What became of the packages between two states, and which changed files are theirs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from gitsnap.core.comparison import Change, Status
from gitsnap.core.model import Entry, Type
from gitsnap.core.packages import matching, registry
from gitsnap.core.packages import rules as own_rules
from gitsnap.core.packages.matching import Pair
from gitsnap.core.packages.model import Edited, Kind, Package, PackageChange, Rule
from gitsnap.core.packages.ownership import Holders, Owners
from gitsnap.core.packages.registry import Reader
from gitsnap.core.packages.text import ancestors, joined
from gitsnap.ops.compare.package_state import Read, State

# What reading something that is no such record after all may raise.
_NO_RECORD = (ValueError, KeyError, TypeError, AttributeError, IndexError)

_LIBRARY = re.compile(rb"(?:^|/)lib(?:64)?/python[^/]*/(?:site|dist)-packages$")


@dataclass(slots=True)
class Packages:
    """The `changes` by name, the changed paths that are told with them, and what was changed by hand.

    `recorded` are those of them whose contents were what their packages' records say.
    """

    changes: list[PackageChange] = field(default_factory=list)
    within: set[bytes] = field(default_factory=set)
    recorded: set[bytes] = field(default_factory=set)
    edited: list[Edited] = field(default_factory=list)


States = tuple[State, State]


def compare(
    sides: tuple[Iterable[Entry], Iterable[Entry]],
    changes: Sequence[Change],
    read: Read,
    rules: Sequence[Rule] = (),
    *,
    narrowed: bool = False,
) -> Packages:
    """The packages of two states (all their entries), whose differences are `changes`.

    `rules` are those of the configuration. With `narrowed`, `changes` are only some of them, and packages that they are
    not about are not told.
    """
    states = State(0, sides[0], read), State(1, sides[1], read)
    old, new = (
        matching.without_leftovers(found, state.agreement)
        for found, state in zip(_records(states, own_rules.readers(rules)), states, strict=True)
    )
    pairs = _held(matching.changed(old, new), states, (old, new))
    found = _Told(states, pairs)
    rest = [c for c in changes if not found.takes(c)]
    found.look_at(rest, (old, new))
    found.fold_directories(changes)
    about = {p for c in changes for p in (c.path, c.old_path)} if narrowed else None
    return found.result(about)


def _records(states: States, rules: Sequence[Reader]) -> tuple[list[Package], list[Package]]:
    """What the records of both states tell. Those that did not change are read once."""
    known: dict[tuple[bytes, bytes | None, int], list[Package]] = {}
    out: tuple[list[Package], list[Package]] = ([], [])
    readers = registry.readers()
    for state, other, packages in zip(states, reversed(states), out, strict=True):
        for path, entry in state.entries.items():
            if entry.type is not Type.FILE:
                continue
            found = [*readers.of(path), *(r for r in rules if r.pattern.fullmatch(path))]
            if entry.mode & 0o111 and _is_new_program(entry, state, other):
                found += readers.executable
            for reader in found:
                same = (path, entry.sha256, id(reader))
                if same in known:
                    packages += known[same]
                    continue
                state.asked.clear()
                told = _told_by(reader, path, state)
                packages += told
                # What another file has a say in may differ though this one does not.
                if state.asked <= {path}:
                    known[same] = told
    return out


def _is_new_program(entry: Entry, state: State, other: State) -> bool:
    """Whether a file is a program that the other state does not have, and that lies where programs are installed."""
    there = other.entries.get(entry.path)
    if (there is not None and there.sha256 == entry.sha256) or registry.is_inside(entry.path):
        return False
    return b".so" not in entry.path.rpartition(b"/")[2] and state.begins(entry, b"\x7fELF")


def _told_by(reader: Reader, path: bytes, state: State) -> list[Package]:
    try:
        return list(reader.read(path, state))
    except _NO_RECORD:
        return []


def _held(pairs: list[Pair], states: States, everything: tuple[list[Package], list[Package]]) -> list[Pair]:
    """The pairs, those that another package brought along marked as vendored, its lock files left out."""
    old, new = (Holders(found, state) for found, state in zip(everything, states, strict=True))
    marked = [Pair(pair.old and old.marked(pair.old), pair.new and new.marked(pair.new)) for pair in pairs]
    return [pair for pair in marked if pair.old or pair.new]


class _Told:
    """Takes the changed files that are told by their packages, and finds those that were changed by hand."""

    def __init__(self, states: States, pairs: list[Pair]) -> None:
        self._states, self._pairs = states, pairs
        # What is vendored is owned by its holder first.
        ordered = sorted(pairs, key=lambda p: p.package.kind is Kind.INSTALLED)
        self._owners = tuple(
            Owners.of((p for pair in ordered if (p := (pair.old, pair.new)[n]) is not None), state)
            for n, state in enumerate(states)
        )
        self._counts: Counter[int] = Counter()
        self._pair_of = {id(p): n for n, pair in enumerate(pairs) for p in (pair.old, pair.new) if p is not None}
        self._within: set[bytes] = set()
        self._recorded: set[bytes] = set()
        self._edited: list[Edited] = []

    def takes(self, change: Change) -> bool:
        """Whether a change is told by its package's; if so, it is counted there."""
        before = self._owners[0].owner(_led_to(change.old, change.old_path or change.path)) if change.old else None
        after = self._owners[1].owner(_led_to(change.new, change.path)) if change.new else None
        owner = after if change.new else before
        if owner is None or (change.status is Status.RENAMED and before is None):
            return False
        if self._notes_edit(change, self._owners, owner):
            return True
        self._within.add(change.path)
        if before is not None and self._owners[0].digest(change.old_path or change.path):
            self._recorded.add(change.path)
        self._counts[self._pair_of[id(owner)]] += _is_file(change)
        return True

    def _notes_edit(self, change: Change, owners: Sequence[Owners], owner: Package) -> bool:
        """Whether either side is not as its record says; that is noted."""
        if change.status is Status.METADATA:
            return False
        was = change.old_path or change.path
        if change.old and not self._states[0].agrees(was, owners[0].digest(was)):
            self._edited.append(Edited(change.path, owner.name, True))
            return True
        if change.new and not self._states[1].agrees(change.path, owners[1].digest(change.path)):
            self._edited.append(Edited(change.path, owner.name, False))
            return True
        return False

    def look_at(self, rest: Iterable[Change], everything: tuple[list[Package], list[Package]]) -> None:
        """Find what was changed by hand in packages whose version did not change."""
        asked = {p: c for c in rest if _may_be_edited(c) for p in (c.path, c.old_path or c.path)}
        if not asked:
            return
        around = _around(asked)
        owners = [
            Owners.of((p for p in found if id(p) not in self._pair_of and _reach(p) in around), state, only=asked)
            for found, state in zip(everything, self._states, strict=True)
        ]
        for change in {id(c): c for c in asked.values()}.values():
            self._look_at(change, owners)

    def _look_at(self, change: Change, owners: Sequence[Owners]) -> None:
        was = change.old_path or change.path
        before, after = owners[0].listed.get(was), owners[1].listed.get(change.path)
        owner = after or before
        if owner is None or self._notes_edit(change, owners, owner[0]):
            return
        if change.new is None and after and after[1]:
            self._edited.append(Edited(change.path, owner[0].name, False))
        elif before and after and before[1] != after[1] and not _is_in_record(change.path, after[0]):
            self._rebuilt(before[0], after[0], change)

    def _rebuilt(self, old: Package, new: Package, change: Change) -> None:
        number = self._pair_of.get(id(new))
        if number is None:
            number = len(self._pairs)
            self._pairs.append(Pair(old, new))
            self._pair_of[id(new)] = self._pair_of[id(old)] = number
        self._counts[number] += 1
        self._within.add(change.path)

    def fold_directories(self, changes: Iterable[Change]) -> None:
        """Take the directories that came or went with the files that were taken, below where packages are."""
        places = {at for pair in self._pairs for at in (pair.package.where, *ancestors(pair.package.where))}
        tops = {t for pair in self._pairs for p in (pair.old, pair.new) if p for t in p.tops}
        around = _around(self._within) - (places - tops)
        self._within |= {c.path for c in changes if not _is_file(c) and c.path in around}

    def result(self, about: set[bytes | None] | None) -> Packages:
        """All of it, in order of the names; of packages that none of the paths `about` is of, nothing."""
        changes = [
            _change(pair, self._counts[n])
            for n, pair in enumerate(self._pairs)
            if about is None or self._counts[n] or any(p.record in about for p in (pair.old, pair.new) if p)
        ]
        changes.sort(key=lambda p: (p.name.lower(), p.where, p.old or "", p.new or ""))
        return Packages(changes, self._within, self._recorded, sorted(self._edited, key=lambda e: e.path))


def _change(pair: Pair, files: int) -> PackageChange:
    p = pair.package
    old, new = (side.version if side else None for side in (pair.old, pair.new))
    return PackageChange(p.ecosystem, p.name, p.where, old, new, pair.direction, files, p.kind, p.holder)


def _is_file(change: Change) -> bool:
    entry = change.new or change.old
    return entry is not None and entry.type is not Type.DIR


def _is_in_record(path: bytes, package: Package) -> bool:
    """Whether a file is one of a directory that only tells of its package: where it came from, say."""
    return any(path.startswith(t + b"/") for t in package.tops if package.record.startswith(t) and t != package.where)


def _led_to(entry: Entry | None, path: bytes) -> bytes:
    """The path, or for a command that npm links into `.bin` that of the file in its package."""
    if entry is not None and entry.type is Type.LINK and path.rpartition(b"/")[0].endswith(b"node_modules/.bin"):
        return joined(path.rpartition(b"/")[0], entry.target) or path
    return path


def _may_be_edited(change: Change) -> bool:
    return _is_file(change) and change.status is not Status.METADATA and not change.path.endswith(b".pyc")


def _around(paths: Iterable[bytes]) -> set[bytes]:
    """All directories that the paths are in."""
    found: set[bytes] = set()
    for path in paths:
        for at in ancestors(path):
            if at in found:
                break
            found.add(at)
    return found


def _reach(package: Package) -> bytes:
    """The directory below which a package's files are: Python's scripts lie beside its library."""
    return _LIBRARY.sub(b"", package.where)
