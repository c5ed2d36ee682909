"""Which packages of two states are the same, and what became of each."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from gitsnap.core.packages.model import Direction, Kind, Package
from gitsnap.core.packages.registry import order_of

Key = tuple[str, bytes, str]
# Ecosystem, and the name as names are compared; ecosystem, and the directory of a lock file.
Name = tuple[str, str]
Place = tuple[str, bytes]


@dataclass(slots=True, frozen=True)
class Pair:
    """One package in both states; None in the one where it is not."""

    old: Package | None
    new: Package | None

    @property
    def package(self) -> Package:
        """It, as it is now, or was."""
        found = self.new or self.old
        assert found is not None
        return found

    @property
    def direction(self) -> Direction:
        """What became of it."""
        if self.old is None:
            return Direction.NEW
        if self.new is None:
            return Direction.GONE
        if self.old.version == self.new.version:
            return Direction.MOVED if self.old.key != self.new.key else Direction.REBUILT
        found = order_of(self.new.ecosystem)(self.old.version, self.new.version)
        return {1: Direction.UP, -1: Direction.DOWN}.get(found or 0, Direction.CHANGED)


def without_leftovers(found: Iterable[Package], agreement: Callable[[Package], tuple[float, int]]) -> list[Package]:
    """Of several that only one can be of, the one for which `agreement` is highest, and then the highest version.

    `pip install --target` leaves the metadata of what it replaced.
    """
    by_key: dict[Key, list[Package]] = defaultdict(list)
    for package in found:
        by_key[package.key].append(package)
    out: list[Package] = []
    for same in by_key.values():
        if len(same) > 1 and all(p.alone for p in same):
            scores = {id(p): agreement(p) for p in same}
            best = max(scores.values())
            same = [_highest([p for p in same if scores[id(p)] == best])]
        out += same
    return out


def _highest(found: list[Package]) -> Package:
    best = found[0]
    for package in found[1:]:
        if order_of(package.ecosystem)(best.version, package.version) == 1:
            best = package
    return best


def changed(old: Collection[Package], new: Collection[Package]) -> list[Pair]:
    """The packages that came, went, have another version or another place."""
    before, after = _by_key(old), _by_key(new)
    pairs: list[Pair] = []
    for key in {**before, **after}:
        pairs += _paired(before.get(key, []), after.get(key, []))
    return _with_moved(_outside_locks(pairs, [*old, *new]))


def _by_key(found: Iterable[Package]) -> dict[Key, list[Package]]:
    """The packages by key; what several lock files say of one directory, or one says twice, counts once."""
    out: dict[Key, list[Package]] = defaultdict(list)
    locked: set[tuple[Key, str]] = set()
    for package in found:
        if package.kind is not Kind.INSTALLED:
            if (package.key, package.version) in locked:
                continue
            locked.add((package.key, package.version))
        out[package.key].append(package)
    return out


def _paired(old: list[Package], new: list[Package]) -> Iterator[Pair]:
    """Those of one key: what is on both sides is no change, the rest goes together from the lowest version upwards."""
    rest = [_without(side, Counter(p.version for p in other)) for side, other in ((old, new), (new, old))]
    left, right = (_sorted(side) for side in rest)
    for a, b in zip(left, right, strict=False):
        yield Pair(a, b)
    common = min(len(left), len(right))
    yield from (Pair(a, None) for a in left[common:])
    yield from (Pair(None, b) for b in right[common:])


def _without(found: list[Package], there: Counter[str]) -> list[Package]:
    out = []
    for package in found:
        if there[package.version]:
            there[package.version] -= 1
        else:
            out.append(package)
    return out


def _sorted(found: list[Package]) -> list[Package]:
    from functools import cmp_to_key

    if len(found) < 2:
        return found
    compare = order_of(found[0].ecosystem)

    def ascending(a: Package, b: Package) -> int:
        return -(compare(a.version, b.version) or 0)

    return sorted(found, key=cmp_to_key(ascending))


def _outside_locks(pairs: list[Pair], everything: Sequence[Package]) -> list[Pair]:
    """Without what lock files say where it is installed beside or below them: that is told by the packages themselves.

    A lock file names more than is installed (for other systems, for developers): it says what is there when a third is.
    """
    if not any(p.package.kind is Kind.LOCKED for p in pairs):
        return pairs
    places: dict[Name, set[bytes]] = defaultdict(set)
    for package in everything:
        if package.kind is Kind.INSTALLED:
            places[_name(package)].add(package.where)
    named: dict[Place, set[Name]] = defaultdict(set)
    for package in everything:
        if package.kind is Kind.LOCKED:
            named[package.ecosystem, package.where].add(_name(package))

    def installed(place: Place) -> bool:
        at = place[1]
        there = sum(1 for n in named[place] if any(not at or w == at or w.startswith(at + b"/") for w in places[n]))
        return 3 * there >= len(named[place])

    told = {place for place in named if installed(place)}
    return [p for p in pairs if p.package.kind is not Kind.LOCKED or (p.package.ecosystem, p.package.where) not in told]


def _name(package: Package) -> Name:
    return package.ecosystem, package.canonical or package.name


def _with_moved(pairs: list[Pair]) -> list[Pair]:
    """With what went at one place and came at one other as one change: another directory of Python's, say."""
    loose: dict[Name, list[Pair]] = defaultdict(list)
    for pair in pairs:
        p = pair.package
        if (pair.old is None or pair.new is None) and p.kind is Kind.INSTALLED:
            loose[_name(p)].append(pair)
    moved = [(a, b) for a, b in (f for f in loose.values() if len(f) == 2) if (a.old is None) != (b.old is None)]
    dropped = {id(p) for pair in moved for p in pair}
    out = [p for p in pairs if id(p) not in dropped]
    return out + [Pair(a.old or b.old, a.new or b.new) for a, b in moved]
