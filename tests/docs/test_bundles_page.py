"""The page on bundles: its commands, run one after the other, and what is back is what was there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.installation import REPOSITORY, build_app, same_tree

PAGE = REPOSITORY / "docs/how-to/bundles.md"

pytestmark = pytest.mark.skipif(shutil.which("age") is None, reason="age is not installed")


def test_its_commands_do_what_it_says(tmp_path: Path, gitsnap_home: Path) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) > 5
    app = build_app(tmp_path / "app")
    # What git takes under another name is for another page.
    shutil.rmtree(app / "plugins/theme/.git")
    for name in ("disk", "safe", "bin"):
        (tmp_path / name).mkdir()
    command = tmp_path / "bin/gitsnap"
    command.write_text(f'#!/bin/sh\nPYTHONPATH={REPOSITORY} exec {sys.executable} -m gitsnap "$@"\n')
    command.chmod(0o755)
    env = os.environ | {
        "APP": str(app),
        "DISK": str(tmp_path / "disk"),
        "SAFE": str(tmp_path / "safe"),
        "NEW": str(tmp_path / "new"),
        "MIRROR": str(tmp_path / "m.git"),
        "GITSNAP_HOME": str(gitsnap_home),
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
    }
    script = 'set -eu\ngitsnap -C "$APP" snapshot\n' + "\n".join(blocks)
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "back/VERSION").read_bytes() == (app / "VERSION").read_bytes()
    shutil.rmtree(tmp_path / "back/.git")
    differ = subprocess.run(["diff", "-r", app, tmp_path / "back"], capture_output=True, text=True).stdout
    # An empty directory, which is in the metadata.
    assert differ == f"Only in {app}: spool\n"
    same_tree(app, tmp_path / "new")
    fsck = ["git", "--git-dir", str(tmp_path / "m.git"), "fsck", "--full", "--strict"]
    assert subprocess.run(fsck, capture_output=True).returncode == 0
