"""The manual pages go into every wheel that is built, below share/man: they are made then, of what is being built."""

from __future__ import annotations

import sys
from pathlib import Path

from setuptools.command.build import build

ROOT = Path(__file__).resolve().parents[1]


class Build(build):
    """What setuptools builds, and the manual pages."""

    def run(self) -> None:
        """Make them after all else."""
        super().run()
        sys.path.insert(0, str(ROOT))
        from gitsnap.cli.manual.write import write

        files: dict[str, list[str]] = {}
        for page in write(Path(self.build_base, "man")):
            files.setdefault(f"share/man/man{page.suffix[1:]}", []).append(str(page))
        self.distribution.data_files = [*(self.distribution.data_files or ()), *files.items()]
