"""The audit log as text for people."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from gitsnap.cli.render import formatting
from gitsnap.cli.render.counts import words
from gitsnap.cli.render.terminal import Terminal
from gitsnap.core.counts import Counts

Line = dict[str, Any]

_COLOURS = {
    "done": "green",
    "kept": "green",
    "rolled-back": "yellow",
    "incomplete": "yellow",
    "refused": "yellow",
    "declined": "yellow",
    "conflicts": "yellow",
    "differs": "yellow",
    "interrupted": "yellow",
    "begun": "cyan",
}
_SHOWN, _PATHS = 5, 8


def lines(out: Terminal, found: Sequence[Line]) -> None:
    """The lines, oldest first."""
    if not found:
        out.line("nothing is written down yet")
    for line in found:
        out.lines(_told(out, line))


def follower(out: Terminal, *, json: bool) -> Callable[[Line], None]:
    """What shows one line as it is written."""
    from gitsnap.cli.render.json import encode

    def show(line: Line) -> None:
        if json:
            out.raw([encode(line)])
        else:
            out.lines(_told(out, line))

    return show


def _told(out: Terminal, line: Line) -> Iterator[str]:
    became = line.get("outcome") or line.get("phase") or ""
    word = out.style(f"{became:15}", _COLOURS.get(became, "red"))
    yield f"{line['sequence']:>5}  {_when(line)}  {word}  {_name(line.get('action'))} by {_who(line)}"
    for key, value in _facts(line):
        yield f"{'':7}{key:8}  {value}"


def _when(line: Line) -> str:
    try:
        moment = datetime.fromisoformat(line["time"])
        # It may be read far from where it was written.
        return f"{formatting.when(moment)} {moment.astimezone():%Z}"
    except (KeyError, TypeError, ValueError):
        return "at no known time"


def _who(line: Line) -> str:
    user = line.get("user") or {}
    name = str(user.get("name") or user.get("uid"))
    before = user.get("sudo_user") or user.get("login")
    known = f"{name} ({before})" if before and before != name else name
    process = line.get("process") or {}
    parent = f", from {process['parent_name']}" if process.get("parent_name") else ""
    return formatting.name(f"{known} on {line.get('host')}{parent}")


def _name(value: object) -> str:
    return formatting.name(str(value))


def _facts(line: Line) -> Iterator[tuple[str, str]]:
    yield from ((key, _name(line[key])) for key in ("command", "upgrade") if line.get(key))
    if line.get("phase") == "begun":
        yield "in", _name(line.get("installation"))
        yield "then", "the directory was about to be changed; how it ended is a line of its own, unless it was killed"
        return
    details, figures = line.get("details") or {}, line.get("counts") or {}
    if line.get("cause"):
        yield "because", _name(line["cause"])
    if details.get("installations"):
        yield "together", ", ".join(map(_name, details["installations"]))
    yield from _did(details, figures, ended=line.get("outcome") not in ("kept", "unknown"))
    for check in line.get("checks") or ():
        yield from _check(check)
    yield from _snapshots("snapshot", line.get("taken") or (), _taken)
    yield from _snapshots("removed", line.get("removed") or (), _removed)
    for path in details.get("paths") or ():
        yield "look at", f"{_name(path['path'])}: {_name(path['reason'])}"
    for doubt in details.get("doubts") or ():
        yield "doubt", _name(doubt)
    for word in ("healed", "missed"):
        if line.get(word):
            yield word, _name(line[word])
    yield from _stands(line, details, figures)
    took = formatting.duration(line["duration"]) if isinstance(line.get("duration"), (int, float)) else ""
    yield "ended", f"gitsnap's exit code {line.get('exit_code')}, after {took}"


def _did(details: dict[str, Any], figures: dict[str, int], *, ended: bool) -> Iterator[tuple[str, str]]:
    """What an upgrade's command did, as far as it is known."""
    if (code := figures.get("command_exit_code")) is not None:
        yield "its end", f"the command was ended by signal {-code}" if code < 0 else f"the command's exit code {code}"
    if soaked := details.get("soaked"):
        passed = formatting.many(details.get("rounds") or 0, "time")
        yield "waited", f"the checks went on for {formatting.duration(soaked)} and passed {passed}"
    if details.get("confirmed"):
        yield "waited", "until somebody said keep"
    if counts := Counts.from_figures(figures):
        yield "it left", words(counts)
    changed = details.get("changed") or ()
    yield from (("", _changed(each)) for each in changed[:_PATHS])
    if len(changed) > _PATHS:
        every = sum(counts.files.values()) + sum(counts.directories.values())
        yield "", f"… and {max(every, len(changed)) - _PATHS:,} more"
    for each in details.get("left_running") or ():
        became = "which was ended" if ended else "which ran on"
        yield "it left", f"the process {each['pid']}, {_name(each['command'])}, {became}"


def _changed(change: dict[str, Any]) -> str:
    path = (change["path"] or ".") + "/" * bool(change.get("directory"))
    what = f"  ({', '.join(change['what'])})" if change.get("what") else ""
    return f"{change['status']:9} {_name(path)}{what}"


def _stands(line: Line, details: dict[str, Any], figures: dict[str, int]) -> Iterator[tuple[str, str]]:
    """How things stood when the line was written."""
    if line.get("target"):
        yield "target", _name(line["target"])
    if came := details.get("audit_log"):
        yield "log", f"goes on after line {came['after']:,}, the last one that came from elsewhere"
    if details.get("aside"):
        yield "aside", f"what lay in the directory's place is in {_name(details['aside'])}"
    if line.get("outcome") == "kept" and line.get("cause"):
        yield "result", "the directory is as the command left it, and was not brought back"
    if line.get("outcome") != "rolled-back":
        return
    left = "but see the doubts above" if details.get("doubts") else "nothing is left to do"
    if not details.get("verified"):
        yield "result", "brought back, but not all of it is as it was: see above"
    elif line.get("target") not in (None, details.get("pre")):
        yield "result", "the upgrade is undone, and what was changed since is kept: compared with the target"
    else:
        moved = figures.get("written", 0) + figures.get("removed", 0)
        what = "nothing had to be put back" if line.get("safety") is None and not moved else "put back and compared"
        yield "result", f"the directory is as it was before, to the byte: {what}; {left}"


def _taken(snapshot: dict[str, Any]) -> str:
    what = {"pre": "before", "post": "after", "safety": "what was there before it was put back"}.get(snapshot["kind"])
    lacks = f"; of {formatting.many(partial, 'path')} not all" if (partial := snapshot.get("partial")) else ""
    return f"{snapshot['id']} ({f'{what}; ' if what else ''}{formatting.many(snapshot['files'], 'file')}{lacks})"


def _check(check: dict[str, Any]) -> Iterator[tuple[str, str]]:
    ended = "passed" if check["ok"] else f"FAILED: it {_name(check['problem'])}"
    when = f"started {_when(check)}, " if check.get("time") else ""
    yield "check", f"`{_name(check['check'])}` {ended}; {when}at an end after {formatting.duration(check['duration'])}"
    if not check["ok"]:
        yield from (("", f"| {_name(line)}") for line in check["output"].splitlines()[-12:])


def _removed(snapshot: dict[str, Any]) -> str:
    why = ", ".join(snapshot.get("reasons") or ())
    return str(snapshot["id"]) + (f" ({why})" if why else "")


def _snapshots(
    word: str, found: Iterable[dict[str, Any]], told: Callable[[dict[str, Any]], str]
) -> Iterator[tuple[str, str]]:
    every = list(found)
    yield from ((word, _name(told(s))) for s in every[:_SHOWN])
    if len(every) > _SHOWN:
        yield word, f"… and {len(every) - _SHOWN:,} more"
