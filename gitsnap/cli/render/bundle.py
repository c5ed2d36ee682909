"""Bundles, for people and as JSON."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from gitsnap.cli.render import formatting, json_remote, json_store, remote, text
from gitsnap.cli.render.json import Document
from gitsnap.cli.render.terminal import Terminal

# For annotations only: every command would load every operation otherwise, and take twice as long to start.
if TYPE_CHECKING:
    from gitsnap.core.bundle import Label
    from gitsnap.ops.remote.bundle import Bundled, Looked
    from gitsnap.ops.remote.bundle_check import Checked


def made(out: Terminal, found: Bundled, to: Sequence[str] = ()) -> None:
    """`bundle create`; the next one goes `to` the same, which are words to type."""
    count = formatting.many(len(found.snapshots), "snapshot")
    how = ", encrypted" if found.encrypted else ", not encrypted"
    remote.secrets(out, found.inspected, ())
    if found.file is None:
        out.remark(f"bundled {count}{how}")
        return
    out.line(f"bundled {count} into {formatting.name(found.file)}, {formatting.size(found.size)}{how}")
    if found.label.since is not None:
        out.line(f"  builds on a bundle with {found.label.since}")
    out.line(f"  sha256 {found.sha256}")
    later = " ".join(["bundle create FILE --since", str(found.label.newest), *map(shlex.quote, to)])
    out.remark(f"what comes later: {out.command(later)}")


def looked(out: Terminal, found: Iterable[Looked]) -> None:
    """`bundle verify`."""
    for each in found:
        good, mark = (each.ok and each.complete), out.style("ok ", "green")
        mark = mark if good else out.style("part", "yellow") if each.ok else out.style("BAD", "red")
        out.line(f"{mark}  {formatting.name(each.file)}  {formatting.size(each.size)}, sha256 {each.sha256}")
        for line in _told(each):
            out.line(f"  {formatting.name(line)}")
        if each.checked is not None:
            text.verdicts(out, each.checked.verdicts, False)
        if each.cover is not None and each.checked is None and each.problem is None:
            out.remark(f"  `{out.command(f'bundle verify {shlex.quote(each.file)} --identity FILE')}` reads it")


def _told(each: Looked) -> Iterable[str]:
    if each.cover is not None:
        to = ", ".join(each.cover.recipients)
        yield f"encrypted with age{f' to {to}' if to else ''}"
        if each.checked is None and each.problem is None:
            yield "what it holds, and whether it is whole, shows with the identity only"
    if each.problem is not None:
        yield each.problem
    if (checked := each.checked) is not None:
        if checked.label is not None:
            yield f"of {checked.label.installation} on {checked.label.host}"
        yield from checked.problems
        if checked.missing and not checked.problems:
            word = (
                checked.label.since if checked.label and checked.label.since else next(iter(checked.missing.values()))
            )
            yield f"builds on a bundle with {word}, which is not at hand: name it before this one"
        for name in checked.unchecked:
            yield f"{name}: could not be compared with its manifest"


def made_document(found: Bundled) -> Document:
    """`bundle create`, as JSON."""
    return {
        "bundle": {
            "file": found.file,
            "size": found.size,
            "sha256": found.sha256,
            "encrypted": found.encrypted,
            **_label(found.label),
            "snapshots": [s.id for s in found.snapshots],
            "needs": list(found.heading.needs.values()),
            "secrets": json_remote.secrets(found.inspected, found.permitted),
        }
    }


def looked_document(found: Iterable[Looked]) -> Document:
    """`bundle verify`, as JSON."""
    return {
        "bundles": [
            {
                "file": each.file,
                "size": each.size,
                "sha256": each.sha256,
                "encrypted": each.cover is not None,
                "recipients": list(each.cover.recipients) if each.cover else [],
                "ok": each.ok,
                "complete": each.complete,
                "problems": [each.problem] if each.problem is not None else [],
                **(_checked(each.checked) if each.checked is not None else {}),
            }
            for each in found
        ]
    }


def _checked(checked: Checked) -> dict[str, Any]:
    return {
        **(_label(checked.label) if checked.label is not None else {}),
        "objects": checked.objects,
        "problems": checked.problems,
        "missing": [{"commit": oid, "snapshot": word or None} for oid, word in checked.missing.items()],
        "unchecked": checked.unchecked,
        "snapshots": json_store.verdicts(checked.verdicts)["results"],
    }


def _label(label: Label) -> dict[str, Any]:
    return {
        "name": label.name,
        "installation": label.installation,
        "host": label.host,
        "newest": label.newest,
        "since": label.since,
        "number": label.number or None,
        "follows": label.follows,
    }
