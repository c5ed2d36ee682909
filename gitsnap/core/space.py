"""How large a sidecar may become, and what leaves for that. Nothing here removes or measures anything."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

from gitsnap.core.errors import UsageError
from gitsnap.core.quantity import size

_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_UNITS |= {"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
_SIZE = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?) ?([a-z]{0,3})")
_SHARE = re.compile(r"([0-9]{1,2}(?:\.[0-9]{1,3})?) ?%")


def parse_size(text: str) -> int:
    """The bytes that `20GB`, `1.5 TB`, `512MiB` or a plain number name; UsageError for anything else, and for none."""
    found = _SIZE.fullmatch(text.strip().lower())
    count = int(float(found[1]) * _UNITS[found[2]]) if found and found[2] in _UNITS else 0
    if not 0 < count < 10**18:
        raise UsageError(f"not a size: '{text}'", hint="a number with kB, MB, GB, TB, KiB, MiB, GiB or TiB: 20GB")
    return count


@dataclass(slots=True, frozen=True)
class Limits:
    """`max_size` is what the sidecar may take on disk, `min_free` what has to stay free on its file system, both in
    bytes; `min_free_share` is the latter in percent of that file system. None for no limit."""

    max_size: int | None = None
    min_free: int | None = None
    min_free_share: float | None = None

    def __bool__(self) -> bool:
        return self != NO_LIMITS

    def excess(self, room: Room) -> int:
        """How many bytes have to be freed."""
        over = room.taken - self.max_size if self.max_size is not None else 0
        return max(0, over, self.lacking(room))

    def lacking(self, room: Room) -> int:
        """How many bytes are not free that should be."""
        share = self.min_free_share
        wanted = self.min_free if share is None else int(room.total * share / 100)
        return max(0, (wanted or 0) - room.free)

    def stricter(self, other: Limits) -> bool:
        """Whether this may ask for more than the other does."""
        pairs = ((self.min_free, other.min_free), (self.min_free_share, other.min_free_share))
        more = any((mine or 0) > (theirs or 0) for mine, theirs in pairs)
        return more or (self.max_size is not None and (other.max_size is None or self.max_size < other.max_size))

    def describe(self) -> str:
        """The limits in words: `at most 20.0 GB, and 10% free`."""
        parts = [f"at most {size(self.max_size)}"] if self.max_size is not None else []
        parts += [f"{size(self.min_free)} free"] if self.min_free is not None else []
        parts += [f"{self.min_free_share:g}% free"] if self.min_free_share is not None else []
        return ", and ".join(parts) or "none"


NO_LIMITS = Limits()


def parse_free(text: str, limits: Limits = NO_LIMITS) -> Limits:
    """The limits with what `min-free` says: a size, or a share such as `10%`; UsageError."""
    share = _SHARE.fullmatch(text.strip())
    if share is None:
        return replace(limits, min_free=parse_size(text))
    if not float(share[1]):
        raise UsageError(f"not a share: '{text}'", hint="for example 10%, or a size such as 5GB")
    return replace(limits, min_free_share=float(share[1]))


@dataclass(slots=True, frozen=True)
class Room:
    """What the sidecar takes on disk, and what of its file system is free and there at all; in bytes."""

    taken: int
    free: int
    total: int


@dataclass(slots=True, frozen=True)
class Weighed:
    """What there is to be freed, in the order in which it goes: `garbage` is what nothing needs, in bytes, `alone` of
    each unit what it and those before it need, and nobody after them. `objects` are those that a unit needs and nobody
    who is not among the first so many; `of` is what one of them takes, in bytes."""

    garbage: int
    alone: Sequence[int]
    objects: Callable[[int, int], Set[bytes]]
    of: Callable[[bytes], int]


def leaving(weighed: Weighed, needed: int) -> tuple[list[int], int]:
    """Which units go so that `needed` bytes are freed, and how many are.

    As many as it takes, the first ones first; and of these none that need not go. Where all together are not enough,
    all that free anything.
    """
    freed, count = weighed.garbage, 0
    while freed < needed and count < len(weighed.alone):
        freed += weighed.alone[count]
        count += 1
    gone: list[int] = []
    enough, kept = min(needed, freed), set[bytes]()
    for unit in reversed(range(count)):
        back = weighed.objects(unit, count) - kept
        lost = sum(map(weighed.of, back))
        if freed - lost >= enough:
            freed -= lost
            kept |= back
        else:
            gone.append(unit)
    return gone[::-1], freed


@dataclass(slots=True)
class Kept:
    """What keeping the limits took. `excess` is by how much they were exceeded, `short` by how much they still are, in
    bytes; `removed` are the snapshots that went, those that had been deleted before among them `final`. `freed` is in
    bytes, `duration` in seconds. `waiting` went not, because the limits are new and would cost so many. `problem` says
    why nothing could be freed."""

    limits: Limits
    excess: int
    short: int = 0
    removed: tuple[str, ...] = ()
    final: tuple[str, ...] = ()
    freed: int = 0
    duration: float = 0.0
    waiting: tuple[str, ...] = ()
    problem: str = ""

    def document(self) -> dict[str, Any]:
        """The facts as a JSON object."""
        return {
            "max_size": self.limits.max_size,
            "min_free": self.limits.min_free,
            "min_free_percent": self.limits.min_free_share,
            "excess_bytes": self.excess,
            "short_bytes": self.short,
            "removed": list(self.removed),
            "final": list(self.final),
            "freed_bytes": self.freed,
            "duration": round(self.duration, 3),
            "waiting": list(self.waiting),
            "problem": self.problem or None,
        }


def told(kept: Kept, *, dry_run: bool = False) -> list[str]:
    """What became of it, or would, each a sentence for people."""
    out, which = [], f"limits ({kept.limits.describe()})"
    gone = [*kept.removed, *kept.final]
    if dry_run and (gone or kept.freed):
        without = f"without {', '.join(gone)}, " if gone else ""
        out.append(f"{which}: {without}a gc would free {size(kept.freed)}")
    elif gone or kept.freed:
        what = f"removed {', '.join(gone)}; " if gone else ""
        out.append(f"{which}: {what}{size(kept.freed)} freed by a gc in {kept.duration:.1f} s")
    if kept.waiting:
        out.append(
            f"{which} are new, and would remove {len(kept.waiting)} snapshots; nothing was removed: "
            "`gitsnap prune -n` shows which, `gitsnap prune --yes` removes them"
        )
    elif kept.short:
        why = f": {kept.problem}" if kept.problem else ", and nothing more may go"
        out.append(f"{which} {'would not be' if dry_run else 'are not'} kept: {size(kept.short)} too much{why}")
    return out
