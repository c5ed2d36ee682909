"""`drill`, as text and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitsnap.cli.render import formatting, text
from gitsnap.cli.render.json import Document, problems
from gitsnap.cli.render.terminal import Terminal

if TYPE_CHECKING:
    from gitsnap.ops.check.drill import Drilled

_LINES = 12


def drilled(out: Terminal, result: Drilled) -> None:
    """What came back, and what the checks said."""
    mark = out.style("BAD", "red") if result.failure else out.style("ok ", "green")
    held = f"{formatting.many(result.files, 'file')}, {formatting.size(result.bytes)}"
    same = "as captured" if not result.differing else "not as captured"
    out.line(f"{mark}  {result.snapshot.id}  {held}, {same}, in {formatting.duration(result.duration)}")
    for problem in result.differing:
        out.line(f"  {formatting.name(problem.path) or '.'}: {formatting.name(problem.reason)}")
    for check in result.checks:
        word = out.style("passed", "green") if check.ok else out.style(out.told(check.problem), "red")
        out.line(f"  check {out.told(check.check)}: {word}, in {formatting.duration(check.duration)}")
        for line in out.secrets.text(check.output).splitlines()[-_LINES:] if not check.ok else ():
            out.line(f"    | {formatting.name(line)}")
    if not result.differing:
        text.incomplete(out, result.incomplete, "cannot come back exactly here")
    out.remark("the scratch directory is gone again")


def document(result: Drilled) -> Document:
    """The same as JSON."""
    return {
        "snapshot": result.snapshot.id,
        "outcome": result.outcome,
        "failure": result.failure or None,
        "files": result.files,
        "bytes": result.bytes,
        "differing": problems(result.differing),
        "incomplete": problems(result.incomplete),
        "checks": result.checks_document(),
        "duration": round(result.duration, 3),
    }
