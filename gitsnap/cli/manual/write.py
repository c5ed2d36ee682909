"""Write all manual pages into a directory: python -m gitsnap.cli.manual.write DIR."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from gitsnap.cli.manual.pages import pages


def write(directory: Path) -> list[Path]:
    """Write them; their files. Their date is that of SOURCE_DATE_EPOCH, or today."""
    moment = float(os.environ.get("SOURCE_DATE_EPOCH") or time.time())
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in pages(time.strftime("%Y-%m-%d", time.gmtime(moment))):
        written.append(directory / name)
        written[-1].write_text(text, encoding="ascii")
    return written


if __name__ == "__main__":
    write(Path(sys.argv[1]))
