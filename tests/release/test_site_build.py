"""The documentation as a site, built strictly."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from packages.source import ROOT

pytestmark = pytest.mark.long


def _built(tree: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tree / "site")]
    return subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)


def test_a_link_that_leads_nowhere_fails_it(tmp_path: Path) -> None:
    pytest.importorskip("material", reason="the extra docs is not installed")
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    (tmp_path / "packages").mkdir()
    for name in ("mkdocs.yml", "packages/site.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    done = _built(tmp_path)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "site/reference/commands.html").read_text()
    assert 'id="rollback"' in page
    assert 'src="http' not in page
    for wrong in ("[x](nowhere.md)", "[x](tutorial.md#nowhere)"):
        (tmp_path / "docs/reference/exit-codes.md").write_text(wrong.replace("tutorial", "../tutorial"))
        assert _built(tmp_path).returncode == 1
