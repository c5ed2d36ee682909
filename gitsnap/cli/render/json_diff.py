"""What differs, as JSON documents."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gitsnap.cli.render.json import Components, Document, path, paths, problems
from gitsnap.core.component import component_of
from gitsnap.core.model import Entry

# For annotations only: every command would load every operation otherwise, and take twice as long to start.
if TYPE_CHECKING:
    from gitsnap.core.comparison import Change
    from gitsnap.core.keys import KeyChange
    from gitsnap.core.secrets.masker import Masker
    from gitsnap.ops.compare.diff import Difference


def _side(e: Entry | None) -> Document | None:
    if e is None:
        return None
    digest = e.sha256.hex() if e.sha256 else None
    owners = {"owner": e.uname or str(e.uid), "group": e.gname or str(e.gid)}
    return {"type": e.type.value, "mode": f"{e.mode:04o}", **owners, "size": e.size, "sha256": digest}


def change(c: Change, components: Components) -> Document:
    """One change."""
    out = path(c.path) | {"status": c.status.value}
    if c.old_path is not None:
        out |= path(c.old_path, "old_path") | {"similarity": c.similarity}
    out["component"] = component_of(c.path, components)
    if c.what:
        out["what"] = list(c.what)
    return out | {"old": _side(c.old), "new": _side(c.new)}


def _with_keys(
    c: Change, components: Components, keys: Callable[[Change], list[KeyChange] | None], masker: Masker
) -> Document:

    from gitsnap.cli.render.json_keys import key_document

    found = keys(c)
    return change(c, components) | {"keys": None if found is None else [key_document(k, masker, c.path) for k in found]}


def difference(
    result: Difference,
    components: Components,
    keys: Callable[[Change], list[KeyChange] | None] | None = None,
    masker: Masker | None = None,
) -> Document:
    """`diff`; with `keys`, which keys of structured files differ."""
    return {
        "from": result.old,
        "to": result.new,
        "changes": [
            _with_keys(c, components, keys, masker) if keys and masker else change(c, components)
            for c in result.comparison.changes
        ],
        "summary": result.comparison.counts.summary,
        "directories": result.comparison.counts.directory_summary,
        "retimed": len(result.retimed),
        "unreadable": problems(result.partial),
        "not_covered": paths(result.beyond),
    }
