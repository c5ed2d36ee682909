"""The page on copies elsewhere, in one shell: directory and sidecar are lost in the middle of it, and all is back."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.git_servers import host, program
from tests.support.installation import REPOSITORY, build_odd, same_tree
from tests.support.signing import new_key

PAGE = REPOSITORY / "docs/how-to/copy-elsewhere.md"


def test_its_commands_bring_back_what_is_lost(tmp_path: Path, gitsnap_home: Path) -> None:
    before, after = PAGE.read_text().split("## When the disk is gone")
    blocks = [re.findall(r"^```sh\n(.*?)^```$", part, re.MULTILINE | re.DOTALL) for part in (before, after)]
    assert [len(found) for found in blocks] == [1, 2]
    app = build_odd(tmp_path / "app")
    for name in ("disk", "safe", "bin", "configuration/gitsnap"):
        (tmp_path / name).mkdir(parents=True)
    key = new_key(tmp_path / "safe" / "sign")
    (tmp_path / "safe/allowed").write_text(key.allowed())
    (tmp_path / "configuration/gitsnap/config.toml").write_text(
        f'[signing]\nkey = "{key.path}"\nallowed-signers = "{tmp_path}/safe/allowed"\n'
    )
    subprocess.run([program("age-keygen"), "-o", tmp_path / "safe/key.txt"], check=True, capture_output=True)
    command = tmp_path / "bin/gitsnap"
    command.write_text(f'#!/bin/sh\nPYTHONPATH={REPOSITORY} exec {sys.executable} -m gitsnap "$@"\n')
    command.chmod(0o755)
    program("rsync")
    with host("sshd") as there:
        env = os.environ | {
            "APP": str(app),
            "REMOTE": there.fresh("shop"),
            "NEW": str(tmp_path / "new"),
            "NEWER": str(tmp_path / "newer"),
            "DISK": str(tmp_path / "disk"),
            "SAFE": str(tmp_path / "safe"),
            "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        }
        lost = f'cp -a "$APP" {tmp_path}/kept\nrm -rf "$APP" {gitsnap_home}'
        script = "\n".join(["set -eu", *blocks[0], lost, *blocks[1]])
        done = subprocess.run(
            ["sh", "-c", script],
            cwd=tmp_path,
            env=env | there.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        there.require_whole("shop")
    assert not app.exists()
    same_tree(tmp_path / "kept", tmp_path / "new")
    same_tree(tmp_path / "kept", tmp_path / "newer")
    assert done.stdout.count("anna@example.org") == 2
