"""What happened here, and what did the last upgrade change?"""

import os
import sys
from pathlib import Path

import gitsnap


def look_back(directory: Path) -> dict[str, str]:
    """What became of each upgrade, by its id."""
    try:
        app = gitsnap.open(directory, environ=os.environ)
    except gitsnap.NoSidecarError as error:
        print(f"{error}; {error.hint}")
        return {}
    if app.status().pending is not None:
        app.recover()
    for file in app.changelog().likely_yours():
        print("yours, probably:", os.fsdecode(file.change.path))
    refused = [line for line in app.audit().lines if line.outcome == "refused"]
    print(f"{len(refused)} times something was refused")
    return {each.upgrade.id: each.status for each in app.history().episodes if each.upgrade is not None}


if __name__ == "__main__":
    look_back(Path(sys.argv[1]))
