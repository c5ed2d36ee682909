"""Upgrades as text for people: what happens while one runs (on stderr, beside the command's own words), and the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from gitsnap.cli.render import formatting, text
from gitsnap.cli.render.counts import lines, took, words
from gitsnap.cli.render.terminal import Terminal, clear
from gitsnap.core.duration import told
from gitsnap.core.upgrade import Event, Moment, Outcome

if TYPE_CHECKING:
    from gitsnap.ops.live.in_progress import CutShort
    from gitsnap.ops.report.history import Episode, History
    from gitsnap.ops.upgrade.result import Upgraded


class Narrator:
    """Says each event in a line, where there is one to say. A terminal that is gone is no reason to stop.

    `root` is the directory, or one of several, by which an upgrade that waits is kept.
    """

    def __init__(self, out: Terminal, root: str) -> None:
        self._out, self._root, self._heard = out, root, True
        # The directory that was spoken of last, where there are several.
        self._where: object = None

    def tell(self, event: Event) -> None:
        """One event."""
        say = _LINES.get(event.moment)
        if say is None or not self._heard:
            return
        try:
            clear()
            where = event.facts.get("installation")
            if where not in (None, self._where):
                self._where = where
                self._out.remark(self._out.style(f"{formatting.name(str(where))}:", "dim"))
            for line in say(self._out.secrets.document(dict(event.facts))):
                self._out.remark(self._out.style(line, "dim"))
            if event.facts.get("confirm_left") is not None:
                self._out.remark(f"Keep it:  {self._out.command_from_anywhere('keep', self._root)}")
        except OSError:
            self._heard = False


def last_line(out: Terminal, event: Event) -> None:
    """The one line that a program on stdout gets when the others go elsewhere."""
    from gitsnap.cli.render import json

    if event.moment is Moment.UPGRADE_COMPLETED:
        try:
            out.raw([json.encode(out.secrets.document(event.document()))])
        except OSError:
            return


def _captured(facts: dict[str, Any]) -> list[str]:
    what = f"{formatting.many(facts['files'], 'file')}, {formatting.size(facts['bytes'])}"
    took = f"{what}, in {formatting.duration(facts['duration'])}"
    partial = f"; {formatting.many(facts['partial'], 'path')} could not be captured" if facts["partial"] else ""
    gone = [f"     retention removed {d['snapshot']}: {', '.join(d['reasons'])}" for d in facts["pruned"]]
    if held := facts["retention_held"]:
        many = formatting.many(len(held["snapshots"]), "snapshot")
        gone.append(f"     retention removes nothing: {many} would go that its rules kept until now")
        gone.append(f"     (was: {held['followed'] or 'not known'}; now: {held['now']}); see gitsnap prune -n")
    gone += [f"     {line}" for line in facts["limits_told"]]
    served = [f"     {formatting.name(d['told'])}: its files were copied meanwhile" for d in facts["databases_running"]]
    return [f"{facts['role']:4} {facts['snapshot']}  {took}{partial}", *served, *gone]


def _verified(facts: dict[str, Any]) -> list[str]:
    if "during" in facts:
        return []
    return [f"     all of it read again and found right, in {formatting.duration(facts['duration'])}"]


def _foreseen(facts: dict[str, Any]) -> list[str]:
    count, named = facts["paths"], facts["problems"][:10]
    rows = [f"  {formatting.name(p['path']) or '.'}: {formatting.name(p['reason'])}" for p in named]
    more = [f"  … and {count - len(named):,} more"] if count > len(named) else []
    return [f"WARNING: a rollback could not put back {formatting.many(count, 'path')} exactly:", *rows, *more]


def _open(facts: dict[str, Any]) -> list[str]:
    """One line: it refuses nothing."""
    held = facts["processes"][:3]
    named = ", ".join(f"{formatting.name(p['name'])} ({p['pid']}): {formatting.name(p['path'])}" for p in held)
    more = f", and {facts['count'] - len(held):,} more" if facts["count"] > len(held) else ""
    verb = "has" if facts["count"] == 1 else "have"
    return [f"     {formatting.many(facts['count'], 'process', 'processes')} {verb} files open here: {named}{more}"]


def _check(facts: dict[str, Any]) -> list[str]:
    name = formatting.name(facts["check"])
    took = f"in {formatting.duration(facts['duration'])}"
    if facts["ok"]:
        if facts.get("during") == "soak":
            return []
        return [f"check passed: {name}, {took}"]
    output = [f"  | {formatting.name(line)}" for line in facts["output"].splitlines()[-12:]]
    return [f"check FAILED: {name} {formatting.name(facts['problem'])}, {took}", *output]


def _service(facts: dict[str, Any]) -> list[str]:
    what = f"could not be {'stopped' if facts['service'] == 'stop' else 'started'}"
    output = [f"  | {formatting.name(line)}" for line in facts["output"].splitlines()[-12:]]
    return [f"the service {what}: {formatting.name(facts['command'])} {formatting.name(facts['problem'])}", *output]


def _soaking(facts: dict[str, Any]) -> str:
    left = facts["soak_left"]
    return "" if left is None else f"the checks go on for {told(left)};" if "every" not in facts else _every(facts)


def _every(facts: dict[str, Any]) -> str:
    confirm = facts["confirm_left"]
    back = f"; goes back in {told(confirm)} unless somebody says keep" if confirm is not None else ""
    return f"the checks go on for {told(facts['soak_left'])}, every {told(facts['every'])}{back}"


def _to_confirm(facts: dict[str, Any]) -> str:
    left = facts["confirm_left"]
    return "" if left is None else f"goes back in {told(left)} unless somebody says keep"


def _hook(facts: dict[str, Any]) -> list[str]:
    name, took = facts["hook"], f"in {formatting.duration(facts['duration'])}"
    if facts["ok"]:
        return [f"hook {name} done, {took}"]
    output = [f"  | {formatting.name(line)}" for line in facts["output"].splitlines()[-12:]]
    return [f"hook {name} FAILED: it {formatting.name(facts['problem'])}, {took}", *output]


def _left(facts: dict[str, Any]) -> list[str]:
    found = facts["processes"]
    lines = [f"  {p['pid']}  {formatting.clip(formatting.name(p['command']), 66)}" for p in found[:5]]
    return [f"the command has left {formatting.many(len(found), 'process', 'processes')} running:", *lines]


_LINES: dict[Moment, Callable[[dict[str, Any]], list[str]]] = {
    Moment.SNAPSHOT_COMPLETED: _captured,
    Moment.SNAPSHOT_FAILED: lambda f: [f"the snapshot after the upgrade failed: {formatting.name(f['problem'])}"],
    Moment.HOOK_PASSED: _hook,
    Moment.HOOK_FAILED: _hook,
    Moment.VERIFIED: _verified,
    Moment.VERIFY_FAILED: lambda f: [f"WARNING: {f['problem']}"],
    Moment.FILES_OPEN: _open,
    Moment.FORESEEN: _foreseen,
    Moment.PROCESSES_LEFT: _left,
    Moment.CHECK_PASSED: _check,
    Moment.CHECK_FAILED: _check,
    Moment.SERVICE_STOPPED: lambda f: [f"the service was stopped, in {formatting.duration(f['duration'])}"],
    Moment.SERVICE_STARTED: lambda f: [f"the service was started, in {formatting.duration(f['duration'])}"],
    Moment.SERVICE_FAILED: lambda f: _service(f),
    Moment.SOAK_STARTED: lambda f: [_soaking(f)],
    Moment.SOAK_COMPLETED: lambda f: [f"the checks have passed {f['rounds']:,} times in {told(f['seconds'])}"],
    Moment.CONFIRM_STARTED: lambda f: [_to_confirm(f)],
    Moment.WAIT_RESUMED: lambda f: [
        "going on with it: " + " ".join(text for text in (_soaking(f), _to_confirm(f)) if text)
    ],
    Moment.CONFIRMED: lambda _: ["somebody said keep"],
    Moment.ROLLBACK_STARTED: lambda f: [f"{formatting.name(f['reason'])}: rolling back"],
}


def upgraded(out: Terminal, result: Upgraded) -> None:
    """How `run` ended."""
    lasted = took(round(result.duration, 3))
    if result.restored:
        text.incomplete(out, result.restored.incomplete, "could not be brought back exactly")
    if result.aside:
        out.warn(f"what stood in the directory's place is {formatting.name(result.aside)} now")
    for doubt in result.doubts:
        out.warn(out.told(doubt))
    if result.outcome is Outcome.ROLLED_BACK:
        out.warn(out.style(f"rolled back to {result.pre.id}, verified; the upgrade took {lasted}", "yellow"))
        out.warn(f"because {out.told(result.failure)}")
        if result.changes is not None:
            for line in lines(f"until then: {words(result.changes)}"):
                out.warn(line)
        if result.post:
            out.remark(f"\nSee what it did:  {out.command(f'changelog {result.upgrade}')}")
    elif result.outcome is Outcome.KEPT:
        if result.confirmed and not result.failure:
            out.remark(out.style(f"kept: somebody said so; the upgrade took {lasted}", "green"))
        elif result.failure:
            out.warn(f"kept, although {out.told(result.failure)}")
        else:
            out.remark(out.style(f"kept: the upgrade took {lasted}", "green"))
        if result.changes is not None:
            for line in lines(words(result.changes)):
                out.remark(line)
        out.remark(f"\nWhat changed:  {out.command(f'changelog {result.upgrade}')}")
        out.remark(f"Go back:       {out.command(f'rollback {result.upgrade}@pre')}")


_STAGES = {
    "snapshot": "before the command was started",
    "ready": "before the command was started",
    "command": "while its command ran",
    "post": "after its command had ended",
    "checks": "before its checks were done",
    "soak": "while its checks went on",
    "confirm": "while it waited for somebody to say keep",
    "rollback": "while it was being rolled back",
}


def cut_short(out: Terminal, found: CutShort) -> None:
    """What stands after an upgrade that was killed, and what to type."""
    command = f" ({formatting.clip(out.told(found.command), 60)})" if found.command else ""
    if found.stage.value == "rollback-failed":
        out.warn(f"the upgrade {found.upgrade}{command} could not be rolled back: {out.told(found.problem)}")
    else:
        out.warn(f"the upgrade {found.upgrade}{command} was cut short {_STAGES[found.stage.value]}")
    if found.directories and found.stage.value in ("snapshot", "ready"):
        out.warn(f"it has changed nothing; {out.command('recover')} forgets it, here and in the others")
        return
    if found.changed_nothing:
        out.warn("it has changed nothing; start it again when you like")
        return
    if found.running is not None:
        out.warn(f"its command still runs, as process {found.running}: wait for it or end it first")
    elif found.exit_code is not None:
        out.warn(f"its command had ended with {found.exit_code}")
    if found.wait is not None and not found.half_way:
        if found.late:
            out.warn(f"nobody said keep within {told(found.wait.confirm)}")
        if not found.can_be_kept:
            when = ", once the command is over" if found.running is not None else ""
            out.warn(f"  to bring the directory back{when}: {out.command('recover')}")
            return
        out.warn(f"  to go on as it was asked for: {out.command('recover')}")
        out.warn(f"  to keep what is here:         {out.command('keep')}")
        return
    if found.half_way:
        out.warn(f"  its rollback was begun: {out.command('recover --finish')} brings it to its end")
        return
    if found.directories:
        out.warn(f"  it was over {', '.join(map(formatting.name, found.directories))}")
        out.warn(f"  to bring all back:    {out.command('recover')}")
        out.warn(f"  to see what it did:   {out.command(f'diff --stat {found.upgrade}@pre')}")
        out.warn(f"  to keep what is here: {out.command('recover --give-up')}")
        return
    if found.running is not None:
        # What would be refused now, or taken in the middle of it, is no step to take next.
        out.warn(f"  to see what it did so far: {out.command(f'diff --stat {found.upgrade}@pre')}")
        return
    out.warn(f"  to go back:           {out.command(f'rollback {found.upgrade}@pre')}")
    out.warn(f"  to see what it did:   {out.command(f'diff --stat {found.upgrade}@pre')}")
    out.warn(f"  to keep what is here: {out.command('snapshot')}")


_RESULTS = {
    "kept": "green",
    "rolled-back": "yellow",
    "rollback-failed": "red",
    "reverted": "yellow",
    "unknown": "red",
    "cut-short": "red",
    "incomplete": "red",
    "running": "cyan",
}


def history(out: Terminal, found: History) -> None:
    """`history`, oldest first."""
    if not found.episodes:
        out.line(f"nothing has happened yet; `{out.command('run -- COMMAND')}` runs an upgrade")
        return
    names = [e.upgrade.id if e.upgrade else e.snapshot.id for e in found.episodes]
    wide = max(map(len, names))
    out.line(out.style(f"{'ID':{wide}}  {'OUTCOME':15}  {'FILES':>7}  {'TOOK':>9}  WHAT", "bold"))
    for name, episode in zip(names, found.episodes, strict=True):
        what, files, lasted = episode.type, "", ""
        told = out.told(episode.snapshot.message.partition("\n")[0])
        if episode.upgrade:
            what = out.style(f"{episode.status:15}", _RESULTS.get(episode.status, "dim"))
            files = f"{sum(episode.changed.counts.files.values()):,}" if episode.changed else ""
            lasted = took(episode.upgrade.seconds)
            told = _told(out, episode)
        elif episode.target:
            part = f"{formatting.many(episode.paths, 'path')} " if episode.paths else ""
            told = f"{part}to {episode.target}"
        if episode.damaged:
            first = min(episode.damaged.values(), key=lambda d: d.found)
            told = f"[damaged, found {formatting.when(first.found)}] {told}"
        if episode.gone:
            told = f"[{_gone(episode)}] {told}"
        room = out.width - wide - 41 if out.width else None
        out.line(f"{name:{wide}}  {what:15}  {files:>7}  {lasted:>9}  {formatting.clip(told, room)}".rstrip())
    if any(e.gone for e in found.episodes):
        out.remark(f"\nWhat is gone was removed; when, by whom and why:  {out.command('audit')}")


def _gone(episode: Episode) -> str:
    """Which of its snapshots were removed, and since when."""
    parts = [episode.snapshot.id]
    if episode.upgrade and episode.upgrade.post:
        parts.append(episode.upgrade.post.id)
    left = [name for name in parts if name not in episode.gone]
    first = min(episode.gone.values(), key=lambda r: r.when)
    return f"gone since {formatting.when(first.when)}" if not left else f"only {', '.join(left)} is left"


def _told(out: Terminal, episode: Episode) -> str:
    assert episode.upgrade is not None
    command = out.told(episode.upgrade.pre.command or episode.snapshot.message.partition("\n")[0])
    code, failure = episode.upgrade.exit_code, episode.upgrade.failure
    if failure and failure != f"the command exited with {code}":
        return f"{command} ({out.told(failure)})"
    return command + (f" (exit code {code})" if code else "")


def upgrade(out: Terminal, episode: Episode, verified: bool) -> None:
    """`show UPGRADE`."""
    of = episode.upgrade
    assert of is not None
    code = of.exit_code
    changed = episode.changed
    again = ", and brought back since" if of.outcome is Outcome.KEPT else ""
    rows = [
        ("upgrade", out.style(of.id, "bold")),
        ("began", f"{formatting.when(of.pre.created)} {of.pre.created.astimezone():%Z}"),
        ("took", took(of.seconds)),
        ("command", out.told(of.pre.command)),
        ("exit code", "" if code is None else str(code)),
        ("outcome", out.style(episode.status, _RESULTS.get(episode.status, "dim"))),
        ("because", out.told(of.failure)),
        *_checks(out, episode),
        ("by", formatting.name(f"{episode.told.user} on {episode.told.host}") if episode.told.user else ""),
        ("before", f"{of.pre.id}{' (verified)' if verified else ''}{_removed(episode, of.pre.id)}"),
        ("after", f"{of.post.id}{_removed(episode, of.post.id)}" if of.post else "no snapshot"),
        *(("undone", f"{formatting.when(s.created)}{again}, what was there is {s.id}") for s in of.safety),
        ("changes", words(changed.counts) if changed else ""),
        ("in", ", ".join(map(formatting.name, changed.components or ())) if changed else ""),
        ("previous", episode.previous or ""),
    ]
    out.lines(
        line
        for key, value in rows
        if value
        for line in (lines(f"{key:9} {value}", " " * 10) if key == "changes" else [f"{key:9} {value}"])
    )
    if of.pre.id in episode.gone:
        out.line(f"\nWhat the audit log has:  {out.command(f'audit --upgrade {of.id}')}")
        return
    if of.post and of.post.id not in episode.gone:
        out.line(f"\nWhat changed:  {out.command(f'changelog {of.id}')}")
    out.line(f"Go back:       {out.command(f'rollback {of.id}@pre')}")


def _removed(episode: Episode, snapshot: str) -> str:
    removal = episode.gone.get(snapshot)
    if removal is None:
        return ""
    why = f": {', '.join(removal.reasons)}" if removal.reasons else ""
    return formatting.name(f" (gone since {formatting.when(removal.when)}, {removal.action} by {removal.user}{why})")


def _checks(out: Terminal, episode: Episode) -> Iterator[tuple[str, str]]:
    """Each check, and the end of what the one that failed has printed."""
    for check in episode.told.checks:
        ended = "passed" if check.get("ok") else f"FAILED: it {check.get('problem')}"
        yield "check", out.told(f"{check.get('check')} {ended}")
    failed = episode.failed_check
    said = out.secrets.text(str(failed.get("output") or "")) if failed else ""
    for line in said.splitlines()[-12:]:
        yield "", f"  | {formatting.name(line)}"
