"""The page on a new machine: its commands, run one after the other, and what is back is what was there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.installation import REPOSITORY, build_app, copy_tree, same_tree, take_snapshot

PAGE = REPOSITORY / "docs/how-to/new-machine.md"


def test_its_commands_do_what_it_says(tmp_path: Path, gitsnap_home: Path) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 6
    for name in ("srv/backup", "srv/new", "srv/older", "srv/moved", "media/disk", "bin"):
        (tmp_path / name).mkdir(parents=True)
    app = build_app(tmp_path / "srv/shop")
    take_snapshot(app, "--label", "before-2.0")
    older = copy_tree(app, tmp_path / "older")
    (app / "VERSION").write_text("2.0\n")
    take_snapshot(app)
    copy_tree(app, tmp_path / "srv/moved/shop")
    command = tmp_path / "bin/gitsnap"
    command.write_text(f'#!/bin/sh\nPYTHONPATH={REPOSITORY} exec {sys.executable} -m gitsnap "$@"\n')
    command.chmod(0o755)
    env = os.environ | {"GITSNAP_HOME": str(gitsnap_home), "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    # The same places, below a directory of our own.
    script = re.sub(r"(?<=[ \n])/(srv|media)/", f"{tmp_path}/\\1/", "set -eu\n" + "\n".join(blocks))
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    same_tree(app, tmp_path / "srv/new/shop")
    same_tree(older, tmp_path / "srv/older/shop")
    same_tree(app, tmp_path / "srv/moved/shop")
