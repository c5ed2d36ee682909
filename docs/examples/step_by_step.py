"""Single steps: a snapshot, what changed since, the way back, one file of before."""

import os
import sys
from pathlib import Path

import gitsnap


def step_by_step(directory: Path) -> list[str]:
    """Change something, look at it, and bring it back; the paths that had changed."""
    app = gitsnap.open(directory, create=True, environ=os.environ)
    before = app.snapshot("before I try something", tags=["mine"])
    assert app.verify(before.id).ok

    (directory / "settings").write_text("new\n")
    changed = [os.fsdecode(change.path) for change in app.diff(before.id).comparison.changes]

    planned = app.rollback(before.id, dry_run=True)
    done = app.rollback(before.id, plan=planned.fingerprint())
    assert done.verified and not done.incomplete

    # What was there before the rollback is in its safety snapshot.
    if done.safety is not None:
        print(app.read("settings", done.safety.id).decode())
        app.describe(done.safety.id, "what I tried", tags=["tried"])
    return changed


if __name__ == "__main__":
    print(step_by_step(Path(sys.argv[1])))
