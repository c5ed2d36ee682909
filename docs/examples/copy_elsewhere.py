"""A copy elsewhere, and one file of last week out of it."""

import os
import sys
from pathlib import Path

import gitsnap


def copy_elsewhere(directory: Path, url: str, into: Path) -> str:
    """Push to `url`, and restore the oldest snapshot into a new directory; why nothing went, where it was refused."""
    app = gitsnap.open(directory, environ=os.environ)
    if not app.remotes:
        app.add_remote("backup", url, push="after-snapshot")
    try:
        gone = app.push("backup")
    except gitsnap.SecretsError as error:
        return "; ".join(f"{os.fsdecode(path)}: {key}" for path, key in error.found)
    except gitsnap.RemoteError as error:
        return error.message
    oldest = app.snapshots()[0]
    app.pin(oldest.id)
    app.restore(oldest.id, to=into)
    return "" if not gone.held_back else "some stay here"


if __name__ == "__main__":
    print(copy_elsewhere(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])))
