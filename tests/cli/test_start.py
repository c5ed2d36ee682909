"""Help and completion load the definitions of the commands, and nothing that does the work."""

from __future__ import annotations

import subprocess
import sys

import pytest

_HEAVY = ("gitsnap.ops", "gitsnap.sidecar", "gitsnap.installation", "dulwich", "rich", "yaml", "textual", "pygments")


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
