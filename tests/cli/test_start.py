"""Help and completion load the definitions of the commands, and nothing that does the work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.installation import take_snapshot

_HEAVY = ("gitsnap.ops", "gitsnap.sidecar", "gitsnap.installation", "dulwich", "rich", "yaml", "textual", "pygments")
_RARE = (
    "gitsnap.core.journal",
    "gitsnap.core.packages",
    "gitsnap.core.plan",
    "gitsnap.core.secrets.lines",
    "gitsnap.core.secrets.masker",
    "gitsnap.core.secrets.names",
    "gitsnap.core.upgrade",
    "gitsnap.core.wildmatch",
    "gitsnap.ops.compare.patch",
    "gitsnap.ops.compare.renames",
    "gitsnap.ops.compare.structured",
    "gitsnap.ops.live.in_progress",
    "gitsnap.cli.render.json",
    "gitsnap.sidecar.git.pack_write",
    "gitsnap.sidecar.withdraw",
    "yaml",
    "rich",
)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_what_help_loads(arguments: list[str]) -> None:
    script = (
        "import sys\n"
        "from gitsnap.__main__ import run\n"
        f"code = run({arguments!r})\n"
        f"print([m for m in sys.modules if m.startswith({_HEAVY!r})], file=sys.stderr)\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stderr == "[]\n"


def test_what_status_loads(installation: Path) -> None:
    """Nothing that an unchanged directory without upgrades and rollbacks does not need."""
    take_snapshot(installation)
    script = (
        "import sys\n"
        "from gitsnap.__main__ import run\n"
        f"code = run(['-C', {str(installation)!r}, 'status'])\n"
        f"print([m for m in sys.modules if m.startswith({_RARE!r})], file=sys.stderr)\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "[]\n")
