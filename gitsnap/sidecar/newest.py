"""Which snapshot is the newest of those that count, now and as of a time."""

from __future__ import annotations

import re
from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, datetime

from gitsnap.core.errors import IntegrityError, NoSuchSnapshotError
from gitsnap.core.model import Kind, Snapshot
from gitsnap.core.order import taken_by
from gitsnap.sidecar.catalog import Living, all_lost, lost, require_certain

LOOK, BEGIN = "`gitsnap list` shows the snapshots", "`gitsnap snapshot` takes the first one"

TIMES = "a time is written @30min, @12h, @7d (ago), or @2025-01-03T04:15"

# Times as they are said, and as git takes them.
_SPOKEN = re.compile(
    r"\bago\b|\b(?:yesterday|today)\b|\b(?:last|[0-9]+) ?(?:min|minute|hour|day|week|month|year)s?\b", re.I
)
_CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9](?::[0-5][0-9])?)")
_GIT = re.compile(r"HEAD(?:[~^][0-9]*)*|last|newest")


def latest(known: Living, back: int) -> Snapshot:
    """The newest that counts, or the one so many before it. NoSuchSnapshotError; IntegrityError where all are lost."""
    _require_some(known)
    wanted = _counted(known)
    if any(s.kind is not Kind.IMPORTED for s in wanted):
        while wanted[-1].kind is Kind.IMPORTED:
            wanted.pop()
    if back >= len(wanted):
        kinds = "safety ones and what was rolled back" if _rolled_back(known) else "safety ones"
        aside = f", not counting {kinds}" if len(wanted) < len(known) else ""
        raise NoSuchSnapshotError(
            f"latest~{back} goes back too far: there {'is' if len(wanted) == 1 else 'are'} {len(wanted)} "
            f"snapshot{'s' * (len(wanted) != 1)}{aside}",
            hint=LOOK,
        )
    return wanted[-1 - back]


def as_of(known: Living, text: str, now: datetime) -> Snapshot:
    """What `latest` named at that time, of those that are still there; imported copies count by their own time.

    `text` is a date, which is all of its day, a date and a time, or how long ago (core.moment), in the local zone where
    it has none. IntegrityError where one that is damaged may be the one; NoSuchSnapshotError where none is so old.
    """
    first, when = _span(text, now)
    if first > now:
        raise NoSuchSnapshotError(f"@{text} is yet to come", hint="`latest` is the newest")
    _require_some(known)
    then = Living(taken_by(known, when, now))
    then.places, then.damaged = known.places, _damaged_by(known, then, when, now)
    if then:
        return require_certain(then, _counted(then)[-1])
    if then.damaged:
        raise lost(*then.damaged[-1])
    # Of how long ago: `m` is a month here, and minutes elsewhere.
    that_is = f", {when:%Y-%m-%d %H:%M}" if first == when else ""
    removed = any(_taken_by(name, when) for name in known.gone)
    raise NoSuchSnapshotError(
        f"no snapshot is as old as @{text}{that_is}; the oldest is {known[0].id}",
        hint="`gitsnap list --deleted` shows what was removed and can be brought back" if removed else LOOK,
    )


def named_otherwise(known: Living, word: str, now: datetime) -> str:
    """What to type where nothing is called so: a time, a number or git's names as they are written here."""
    from gitsnap.core import moment

    if moment.span(word, now) is not None:
        return f"@{word.replace(' ', 'T')} is the newest that was taken by then; {LOOK}"
    if any(word == str(s.sequence) for s in known):
        return f"@{word} is the one with this number; {LOOK}"
    if _GIT.fullmatch(word):
        return f"`latest` is the newest, `latest~1` the one before it; {LOOK}"
    return _today(word, now) or (TIMES if _SPOKEN.search(word) else LOOK)


def further_back(known: list[Snapshot], target: Snapshot) -> Snapshot | None:
    """The newest before `target` of those that `latest~N` counts that holds another state; None where there is none."""
    at = next((n for n, s in enumerate(known) if s.id == target.id), 0)
    counted = {s.id for s in _counted(known)}
    state = target.tree, target.metadata_sha256
    older = (s for s in reversed(known[:at]) if s.id in counted and (s.tree, s.metadata_sha256) != state)
    return next(older, None)


def _today(word: str, now: datetime) -> str | None:
    """For a time of day, which is a time only with its date."""
    clock = _CLOCK.fullmatch(word)
    return clock and f"with its date it is a time: @{now.astimezone():%Y-%m-%d}T{int(clock[1]):02}:{clock[2]}"


def _span(text: str, now: datetime) -> tuple[datetime, datetime]:
    from gitsnap.core import moment

    with suppress(ValueError, OverflowError):
        if named := moment.span(text, now):
            # Of two that a clock set back gives one name, the last.
            return named[0].astimezone(), named[1].replace(fold=1).astimezone()
    raise NoSuchSnapshotError(
        f"'@{text}' is neither the number of a snapshot nor a time", hint=_today(text, now) or TIMES
    )


def _damaged_by(known: Living, then: Living, when: datetime, now: datetime) -> list[tuple[str, IntegrityError]]:
    """Those damaged ones that may have been taken by `when`, as `then` were: by their ids' time, and their place in the
    order where it is known."""
    last = max((s.sequence or 0 for s in then), default=0)
    later = min((s.sequence for s in known if s.sequence and s.sequence > last), default=0)
    return [
        (name, error)
        for name, error in known.damaged
        if (when >= now or _taken_by(name, when)) and not 0 < later < known.places.get(name, 0)
    ]


def _taken_by(name: str, when: datetime) -> bool:
    """Whether an id's time, up to its Z, is not after `when`."""
    return name.partition("Z")[0] <= f"{when.astimezone(UTC):%Y-%m-%dT%H-%M-%S}"


def _require_some(known: Living) -> None:
    if not known and known.damaged:
        raise all_lost(known.damaged)
    if not known:
        raise NoSuchSnapshotError("there are no snapshots yet", hint=BEGIN)


def _counted(known: list[Snapshot]) -> list[Snapshot]:
    """What was asked for and stands, oldest first; all where that is none."""
    undone = _rolled_back(known)
    return [s for s in known if s.kind is not Kind.SAFETY and s.id not in undone] or [*known]


def _rolled_back(known: list[Snapshot]) -> Collection[str]:
    # Without both kinds there is none, and most sidecars lack one.
    if not {Kind.POST, Kind.SAFETY} <= {s.kind for s in known}:
        return ()
    from gitsnap.core.upgrade import rolled_back

    return rolled_back(known)
