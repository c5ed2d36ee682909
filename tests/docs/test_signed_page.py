"""The page on signed snapshots, done from its first block to its last."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.installation import REPOSITORY

PAGE = (REPOSITORY / "docs/how-to/sign.md").read_text()


def test_what_the_page_says_can_be_done(tmp_path: Path) -> None:
    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is not installed")
    shell = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (key, *_) = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert len(shell) == 5
    (tmp_path / "app").mkdir()
    (tmp_path / "app/f").write_text("1\n")
    settings = f"cat >\"$HOME/.config/gitsnap/config.toml\" <<'end'\n{key}end\n"
    script = [f'gitsnap() {{ "{sys.executable}" -m gitsnap "$@"; }}; exec 2>&1', shell[0], settings, *shell[1:]]
    clean = {k: v for k, v in os.environ.items() if k in ("PATH", "TMPDIR")}
    env = clean | {"HOME": str(tmp_path / "home"), "GITSNAP_HOME": str(tmp_path / "sidecars"), "LC_ALL": "C"}
    (tmp_path / "home").mkdir()
    done = subprocess.run(
        ["sh", "-e"],
        input="\n".join(script),
        cwd=tmp_path,
        env=env | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    said = done.stdout
    assert re.search(r"signed by web1@example.org with SHA256:", said), said
    assert re.search(r"signed by anna@example.org with SHA256:", said), said
    assert len(re.findall(r'Good "git" signature for web1@example.org', said)) == 1, said
    assert len(re.findall(r'Good "git" signature for anna@example.org', said)) == 1, said
