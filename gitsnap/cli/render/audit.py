"""The audit log as text for people."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from gitsnap.cli.render import formatting
from gitsnap.cli.render.terminal import Terminal

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
_SHOWN = 5


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
        return formatting.when(datetime.fromisoformat(line["time"]))
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
    pairs = [("command", line.get("command")), ("upgrade", line.get("upgrade")), ("because", line.get("cause"))]
    if line.get("phase") == "begun":
        yield "command", _name(line.get("command"))
        if line.get("upgrade"):
            yield "upgrade", _name(line["upgrade"])
        yield "now", "the directory is about to be changed"
        return
    pairs += [("target", line.get("target")), ("safety", line.get("safety"))]
    yield from ((key, _name(value)) for key, value in pairs if value)
    for check in line.get("checks") or ():
        yield from _check(check)
    yield from _snapshots(
        "took", line.get("taken") or (), lambda s: f"{s['id']} ({formatting.many(s['files'], 'file')})"
    )
    yield from _snapshots("removed", line.get("removed") or (), _removed)
    details = line.get("details") or {}
    for path in details.get("paths") or ():
        yield "path", f"{_name(path['path'])}: {_name(path['reason'])}"
    for doubt in details.get("doubts") or ():
        yield "doubt", _name(doubt)
    for word in ("healed", "missed"):
        if line.get(word):
            yield word, _name(line[word])
    took = formatting.duration(line["duration"]) if isinstance(line.get("duration"), (int, float)) else ""
    yield "ended", f"exit code {line.get('exit_code')}, after {took}"


def _check(check: dict[str, Any]) -> Iterator[tuple[str, str]]:
    ended = "passed" if check["ok"] else f"FAILED: it {_name(check['problem'])}"
    yield "check", f"{_name(check['check'])} {ended}, in {formatting.duration(check['duration'])}"
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
