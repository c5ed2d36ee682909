"""`status` as text for people: one screen of 80 by 24 for an ordinary installation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from gitsnap.cli.render import diff, formatting
from gitsnap.cli.render.terminal import Terminal
from gitsnap.core.duration import told
from gitsnap.core.model import Kind
from gitsnap.core.outcome import Outcome
from gitsnap.core.retention import describe
from gitsnap.core.settings import Settings

if TYPE_CHECKING:
    from gitsnap.ops.live.in_progress import CutShort, Waiting
    from gitsnap.ops.query.status import State
    from gitsnap.ops.remote.remotes import Standing

_BARS, _PLAIN_BARS = "▁▂▃▄▅▆▇█", "_.:-=+*#"
# As many as leave room for what is said about them.
_DRAWN = 16
_LINES = 7

Row = tuple[str, str, str]


def state(
    out: Terminal,
    result: State,
    settings: Settings,
    now: datetime,
    remotes: Sequence[Standing] = (),
    cut_short: CutShort | None = None,
) -> None:
    """`status`."""
    if cut_short is not None and cut_short.changed_nothing:
        cut_short = None
    for name, value, style in (*_rows(out, result, settings, now, cut_short), *map(_remote, remotes)):
        # Paths are for copying: they stay whole, whatever the width.
        out.line(f"{name:14}{out.style(value, style) if style else value}")
    if result.difference is not None:
        out.line()
        _changes(out, result, settings)
    out.line()
    out.lines(_next(out, result, cut_short))


def _rows(out: Terminal, result: State, settings: Settings, now: datetime, cut_short: CutShort | None) -> Iterator[Row]:
    """(name, value, style) of each line above the changes."""
    yield "installation", formatting.name(result.installation), "bold"
    if result.pending is not None:
        yield "recovery", *_recovery(result)
    if result.service_stopped:
        yield "service", "STOPPED for what was interrupted; `recover` starts it", "red"
    if result.waiting is not None:
        yield "upgrade", f"{formatting.name(result.waiting.upgrade)} waits for what becomes of it", "yellow"
        yield from _waiting(result.waiting)
    elif result.upgrade is not None:
        yield "upgrade", f"{formatting.name(result.upgrade)} is under way", "yellow"
    elif cut_short is not None:
        runs = cut_short.running
        state = f"its command still runs, as process {runs}" if runs is not None else "nothing is decided"
        yield "upgrade", f"{formatting.name(cut_short.upgrade)} was cut short; {state}", "red"
    elif (last := result.last_upgrade) is not None and last.outcome is not None:
        joint = ", although " if last.outcome is Outcome.KEPT else ": "
        because = f"{joint}{out.told(last.failure)}" if last.failure else ""
        yield "last upgrade", f"{last.id} {formatting.OUTCOMES[last.outcome]}{because}", ""
    latest, taken = result.latest, result.snapshots
    if latest is None or result.since is None:
        yield "protected", "not yet: there is no snapshot", "yellow"
    else:
        count = formatting.many(len(taken), "snapshot")
        yield "protected", f"since {formatting.when(result.since)}, {formatting.ago(result.since, now)}; {count}", ""
        yield "latest", f"{latest.id}, taken {formatting.ago(latest.created, now)}", ""
        yield "verified", *_overdue(result, settings, *_verified(result, now))
    if result.drill is not None:
        how = result.drill.outcome if result.drill.ok else "FAILED"
        when = formatting.ago(result.drill.when, now)
        yield "last drill", f"{result.drill.snapshot} {how}, {when}", "" if result.drill.ok else "red"
    if result.damaged:
        yield "damaged", _damaged(result), "red"
    if result.pending is None and cut_short is not None and cut_short.waits:
        yield "recovery", "the upgrade that was cut short waits for `recover`", "yellow"
    elif result.pending is None:
        yield "recovery", *_recovery(result)
    yield "sidecar", f"{formatting.size(result.store_bytes)} in {formatting.name(result.store)}", ""
    if taken:
        yield "growth", _growth(out, result), ""
    yield "retention", describe(settings.retention), ""
    if settings.limits:
        yield "limits", *_limits(result, settings)
    if taken:
        yield "next to go", _leaving(result), ""


def _remote(each: Standing) -> Row:
    """How far a copy elsewhere is."""
    from gitsnap.cli.render import remote

    style = "red" if each.problem else "yellow" if each.lacks else ""
    return "remote", f"{each.remote.name}: {remote.standing(each)}", style


def _waiting(found: Waiting) -> Iterator[Row]:
    """What is waited for, and for how long yet."""
    wait = found.wait
    if found.soak_left is not None:
        passed = f"passed {wait.rounds:,} times" if wait.rounds != 1 else "passed once"
        left = (
            f"for {told(found.soak_left)} of {told(wait.soak)} yet"
            if found.soak_left
            else f"are done: {told(wait.soak)}"
        )
        yield "checks", f"{'go on ' if found.soak_left else ''}{left}, {passed}", ""
    if found.confirm_left is not None:
        if found.confirm_left:
            yield (
                "goes back",
                f"in {told(found.confirm_left)} of {told(wait.confirm)} unless somebody says keep",
                "yellow",
            )
        else:
            yield "goes back", f"nobody said keep within {told(wait.confirm)}", "yellow"
    seen = f"process {found.process}" if found.process is not None else "nobody: `recover` goes on with it"
    yield "seen to by", seen, "" if found.process is not None else "red"


def _limits(result: State, settings: Settings) -> tuple[str, str]:
    kept, text = result.limits, settings.limits.describe()
    if kept is None:
        return f"{text}; kept", ""
    gone = len(kept.removed) + len(kept.final)
    goes = f"{formatting.many(gone, 'snapshot')} will go" if gone else "a gc will do"
    if kept.short:
        return f"{text}; EXCEEDED, {formatting.size(kept.short)} more than can be freed", "yellow"
    return f"{text}; exceeded by {formatting.size(kept.excess)}, {goes} with the next snapshot", "yellow"


def _verified(result: State, now: datetime) -> tuple[str, str]:
    never, proved = result.unverified, [when for when in result.verified.values() if when]
    if not proved:
        return "none of them yet", "yellow"
    text = "all of them" if not never else f"{len(proved):,} of {len(result.verified):,}"
    text += f", last {formatting.ago(max(proved), now)}"
    if not never:
        oldest = formatting.ago(min(proved), now)
        return text + ("" if oldest == formatting.ago(max(proved), now) else f", the longest ago {oldest}"), "green"
    others = [name for name in never if result.latest is None or name != result.latest.id]
    which = ["the latest"] if len(others) < len(never) else []
    if others:
        which.append(others[0] if len(never) == 1 else f"{len(others):,} {'more' if which else 'others'}")
    return f"{text}; never {' and '.join(which)}", "yellow" if len(others) < len(never) else ""


def _overdue(result: State, settings: Settings, text: str, style: str) -> tuple[str, str]:
    """The same, with how late a verification is."""
    if result.overdue is None or settings.verify_every is None:
        return text, style
    return f"{text}; OVERDUE: every {formatting.span(settings.verify_every)}", "red"


def _damaged(result: State) -> str:
    """Which snapshots are known to be damaged, and since when."""
    name, first = min(result.damaged.items(), key=lambda item: item[1].found)
    more = f" and {len(result.damaged) - 1:,} more" if len(result.damaged) > 1 else ""
    return f"{name}{more}, found {formatting.when(first.found)} by {formatting.name(first.by)}"


def _recovery(result: State) -> tuple[str, str]:
    found = result.pending
    if found is None:
        return ("a rollback is at work at this moment", "yellow") if result.at_work else ("nothing is pending", "")
    back = f" to {formatting.name(found.target)}" if found.target else ""
    what = "a rollback of several directories, this one" if found.phase == "together" else "a rollback"
    return f"PENDING: {what}{back} was interrupted", "red"


def _growth(out: Terminal, result: State) -> str:
    """What each of the last snapshots added; the very first apart, as it hides all others beside it."""
    taken = list(result.snapshots)
    added = [result.added[s.id] for s in taken]
    whole = taken[0].previous_manifest_sha256 is None and added[0] is not None and len(taken) <= _DRAWN + 1
    rest = added[1:] if whole else added[-_DRAWN:]
    first = f"{formatting.size(added[0] or 0)} at first" if whole else ""
    known = [size for size in rest if size is not None]
    if not known:
        return first or "not known"
    if whole and len(rest) == 1:
        return f"{first}, then {formatting.size(known[0])}"
    bars = _BARS if out.draws(_BARS) else _PLAIN_BARS
    top = max(known)
    line = "".join(bars[_level(size, top, len(bars))] for size in known)
    lost = f" ({len(rest) - len(known)} not known)" if len(known) < len(rest) else ""
    if whole:
        return f"{first}, then {line} up to {formatting.size(top)} a snapshot{lost}"
    return f"{line} up to {formatting.size(top)} for each of the last {formatting.many(len(rest), 'snapshot')}{lost}"


def _level(size: int, top: int, levels: int) -> int:
    return min(size * levels // max(top, 1), levels - 1)


def _leaving(result: State) -> str:
    if result.held:
        why = "the rules changed" if result.held.followed else "it is not known by which rules they were kept before"
        return f"nothing: {formatting.many(len(result.held.snapshots), 'snapshot')} wait for `prune`, as {why}"
    if not result.leaving:
        return "nothing, with the next snapshot"
    oldest, more = result.leaving[-1].snapshot.id, len(result.leaving) - 1
    return f"{oldest}{f' and {more:,} more' if more else ''}, with the next snapshot"


def _changes(out: Terminal, result: State, settings: Settings) -> None:
    assert result.difference is not None
    changes = result.difference.comparison.changes
    if not changes:
        far = ", as far as it can be read" if result.difference.partial else ""
        out.line(out.style(f"The directory is as in the latest snapshot{far}.", "yellow" if far else "green"))
        diff.aside(out, result.difference, out.line)
        return
    out.line("Changed since the latest snapshot:")
    lines, room = list(diff.folded(out, changes)), _LINES
    # By name where there are few; the names tell the components, unless these have names of their own.
    if len(lines) > room or settings.components:
        diff.table(out, result.components, room - 1, "  ")
        room -= 1 + len(result.components)
    if len(lines) <= room:
        out.lines("  " + line for line in lines)
    diff.summary(out, result.difference)


def _next(out: Terminal, result: State, cut_short: CutShort | None) -> Iterator[str]:
    if result.pending is not None:
        rows = [("Bring it to its end", "recover"), ("Take it back", "recover --revert")]
    elif result.waiting is not None:
        late = result.waiting.confirm_left == 0
        rows = [] if late else [("Keep it", "keep")]
        if result.waiting.process is None:
            rows.append(("Bring it back" if late else "Go on with it", "recover"))
        # Whoever sees to it brings it back at this moment; after that it can be had again.
        rows = rows or [("See what becomes of it", "status")]
    elif cut_short is not None and cut_short.waits:
        rows = [("When the command is over" if cut_short.running is not None else "Bring it to its end", "recover")]
    elif result.service_stopped:
        rows = [("Start the service", "recover")]
    elif result.latest is None:
        rows = [("Next", "snapshot")]
    elif result.difference is not None and result.difference.comparison.changes:
        rows = [("See more", "diff"), ("Go back", "rollback"), ("Keep this", "snapshot")]
        if result.latest.kind is Kind.POST:
            # Without a name, rollback means the state before the upgrade.
            rows[1:2] = [("Back to the latest", "rollback latest"), ("Before the upgrade", "rollback")]
    elif result.damaged:
        rows = [("Write damaged contents again", "snapshot"), ("See what is damaged", "verify --all")]
    elif result.unverified or result.overdue is not None:
        rows = [("Prove the snapshots", "verify --all")]
    else:
        rows = [("Upgrade", "run -- COMMAND"), ("Look around", "browse")]
    wide = max(len(what) for what, _ in rows) + 3
    for what, command in rows:
        yield f"{what + ':':{wide}}{out.command(command)}" if len(rows) > 1 else f"{what}: {out.command(command)}"
