"""Several directories as text and as JSON documents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gitsnap.cli.render import formatting, json, json_restore, restore, text
from gitsnap.cli.render.counts import lines, took, words
from gitsnap.cli.render.json import Document
from gitsnap.cli.render.terminal import Terminal
from gitsnap.core.upgrade import Outcome

if TYPE_CHECKING:
    from gitsnap.ops.sets.recovery import SetRecovered
    from gitsnap.ops.sets.result import SetUpgraded
    from gitsnap.ops.sets.rollback import Changed, SetRestored

# Said wherever several directories go back.
NOT_AT_ONCE = "one after the other: whoever reads meanwhile may see some back and others not yet"


def changed(one: Changed) -> str:
    """What became of a directory since the upgrade."""
    name = formatting.name(one.root)
    told = []
    if one.gone:
        told.append("is gone, and is made again")
    if one.paths:
        told.append(f"was changed since the upgrade: {formatting.many(one.paths, 'path')}")
    if one.newer:
        told.append(f"has {formatting.many(len(one.newer), 'newer snapshot')}, {one.newer[-1]} the last")
    return f"{name} {' and '.join(told)}"


def plans(out: Terminal, planned: SetRestored) -> None:
    """What each goes back to, before anything moves."""
    for root, part in planned.parts.items():
        out.warn(f"{formatting.name(root)}:")
        restore.plan(out, part.target, part.plan)
    out.warn(f"{formatting.many(len(planned.parts), 'directory', 'directories')} go back, {NOT_AT_ONCE}.")


def restored(out: Terminal, result: SetRestored, back: str) -> None:
    """`rollback` and `undo` of several directories."""
    for root, part in result.parts.items():
        out.line(f"{formatting.name(root)}:")
        if result.applied:
            again = "" if part.safety is None else f"; what was there is {part.safety.id}"
            out.line(f"  {part.target.id}, verified{again}")
            text.incomplete(out, part.incomplete, "could not be brought back exactly")
        else:
            restore.steps(out, part)
    if result.applied:
        word = "redo" if back.endswith("redo") else "undo"
        out.line(f"\nTo {word}: {back}")


def restored_document(result: SetRestored) -> Document:
    """The same for a program."""
    return {
        "upgrade": result.upgrade,
        "verified": result.applied and result.verified,
        "changed": [
            {**_where(c.root), "gone": c.gone, "paths": c.paths, "newer_snapshots": list(c.newer)}
            for c in result.changed
        ],
        "installations": [
            _where(root) | json_restore.restored(part, steps=not result.applied) for root, part in result.parts.items()
        ],
        "duration": round(result.duration, 3),
    }


def recovered(out: Terminal, result: SetRecovered, roots: Sequence[str]) -> None:
    """`recover` of several directories."""
    many = formatting.many(len(roots), "directory", "directories")
    if result.given_up:
        out.line(f"{many} left as they are: they may not be of one state")
        for root, part in result.parts.items():
            out.line(f"  {formatting.name(root)}{f': kept in {formatting.name(part.kept)}' if part.kept else ''}")
    elif result.outcome is Outcome.KEPT:
        out.line(f"the upgrade {result.upgrade} had come to its end in all {many}: it is kept")
    elif result.direction is None:
        done = "had brought all back already" if result.started else "had changed nothing yet"
        out.line(f"what was interrupted {done}: {', '.join(map(formatting.name, roots))}")
    else:
        back = result.direction.value == "finish"
        what = "brought back together" if back else "as they were before the rollback"
        out.line(f"{many} {what}, verified:")
        for root in roots:
            part = result.parts[root]
            out.line(f"  {formatting.name(root)}{f': {part.target}' if part.target else ''}")
            text.incomplete(out, part.incomplete, "could not be brought back exactly")


def services(out: Terminal, problems: Sequence[str]) -> None:
    """Which services do not run again."""
    for problem in problems:
        out.warn(f"WARNING: {out.told(problem)}")


def recovered_document(result: SetRecovered, roots: Sequence[str]) -> Document:
    """The same for a program."""
    return {
        "upgrade": result.upgrade,
        "direction": result.direction.value if result.direction else None,
        "outcome": result.outcome.value if result.outcome else None,
        "verified": result.verified,
        "installations": [
            _where(root) | (json_restore.recovered(part) if (part := result.parts.get(root)) else {}) for root in roots
        ],
        "duration": round(result.duration, 3),
    }


def _where(root: str) -> Document:
    return {"installation": json.place(root)["path"]}


def is_incomplete(result: SetUpgraded) -> bool:
    """Whether something could not be brought back exactly."""
    return any(part.restored is not None and part.restored.incomplete for part in result.parts.values())


def upgraded(out: Terminal, result: SetUpgraded, back: str, log: str) -> None:
    """How `run` over several directories ended."""
    lasted = took(round(result.duration, 3))
    if result.left:
        return
    for doubt in result.doubts:
        out.warn(out.told(doubt))
    style, ended = {
        Outcome.ROLLED_BACK: ("yellow", "rolled back"),
        Outcome.KEPT: ("green", "kept"),
        Outcome.ROLLBACK_FAILED: ("red", "NOT all rolled back"),
    }[result.outcome]
    many = formatting.many(len(result.parts), "directory", "directories")
    say = out.remark if result.outcome is Outcome.KEPT and not result.failure else out.warn
    say(out.style(f"{ended}: {many}; the upgrade took {lasted}", style))
    if result.failure:
        said = "although" if result.outcome is Outcome.KEPT else "because"
        say(f"{said} {out.told(result.failure)}")
    for root, part in result.parts.items():
        state = {Outcome.ROLLED_BACK: f"{part.pre.id}, verified", Outcome.KEPT: "kept"}.get(part.outcome, "FAILED")
        say(f"  {formatting.name(root)}: {state}")
        if part.restored:
            text.incomplete(out, part.restored.incomplete, "could not be brought back exactly")
        if part.aside:
            out.warn(f"    what stood in its place is {formatting.name(part.aside)} now")
        for doubt in part.doubts:
            out.warn(f"    {out.told(doubt)}")
        if part.changes is not None:
            for line in lines(words(part.changes)):
                say(f"    {line}")
    out.remark(f"\nWhat changed:  {log}")
    if result.outcome is Outcome.KEPT:
        out.remark(f"Go back:       {back}")
