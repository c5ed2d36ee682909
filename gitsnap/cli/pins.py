"""Pinning and unpinning, and what is told of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gitsnap.cli.session import Session


def change(session: Session, operation: Any, selector: str, word: str) -> None:
    """Do the operation to the snapshot that is meant, and say the word for it."""
    from gitsnap.cli.render import json

    with session.open(changing=True) as (sidecar, settings):
        changed = operation(sidecar, selector, settings)
    if session.options.json:
        session.out.document({"snapshot": json.snapshot(changed)})
    else:
        session.out.line(f"{word} {changed.id}")
