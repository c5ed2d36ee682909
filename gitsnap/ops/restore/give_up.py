"""Leaving an interrupted rollback as it is."""

from __future__ import annotations

import os
from contextlib import suppress

from gitsnap.core.errors import IntegrityError
from gitsnap.core.model import Problem
from gitsnap.installation.apply import stage_dirs
from gitsnap.installation.apply.give_up import take_out
from gitsnap.ops.restore.result import Direction, Recovered
from gitsnap.ops.restore.rollback import RollbackOptions
from gitsnap.sidecar import files
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state.journal_file import JournalFile


def give_up(sidecar: Sidecar, options: RollbackOptions) -> Recovered:
    """Leave the directory as it is, keep all that the stages hold outside, and forget the journal."""
    journal, root = JournalFile(sidecar), sidecar.installation
    record = None
    with suppress(IntegrityError):
        found = journal.load()
        record = found[1] if found else None
    texts, there = journal.texts(), os.path.isdir(root)
    left = stage_dirs.left_behind(root) if there else []
    if not texts and not left:
        return Recovered()
    name = record.transaction if record else os.urandom(6).hex()
    kept = os.path.join(os.path.dirname(sidecar.path), f"gitsnap-given-up-{name}")
    os.makedirs(kept, mode=0o700, exist_ok=True)
    result = Recovered(Direction.GIVE_UP, verified=False, kept=kept)
    result.unverified = "it was given up: the directory may be between two states"
    if record:
        result.transaction, result.target, result.safety = record.transaction, record.target, record.safety
    for text, data in texts.items():
        files.replace(os.path.join(kept, text), data, sidecar.scratch)
    paths = {b"%d" % m.slot: m.path for m in record.moves} if record else {}
    result.incomplete += take_out(root, options.disk, left, paths, os.path.join(kept, "stage")) if there else []
    if record:
        result.incomplete += [
            Problem(path, "this stage is not here: it is where the directory is that the rollback was interrupted in")
            for path in sorted(record.stage_paths() - set(left))
        ]
    journal.remove()
    journal.forget()
    return result
