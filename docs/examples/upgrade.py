"""Upgrade with a way back: when the block raises or a check fails, all is as it was."""

import os
import sys
from pathlib import Path

import gitsnap


def upgrade(app: Path, version: str) -> gitsnap.Outcome | None:
    """Write the new version, and have it checked."""
    try:
        with gitsnap.guard(app, label=version, checks=[f"grep -q {version} version"], environ=os.environ) as guarded:
            (app / "version").write_text(f"{version}\n")
    except gitsnap.UpgradeFailedError as error:
        print(f"exit code {error.exit_code}: {error}")
        return error.result.outcome
    return guarded.result.outcome if guarded.result else None


if __name__ == "__main__":
    upgrade(Path(sys.argv[1]), sys.argv[2])
