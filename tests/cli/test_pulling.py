"""`pull` as it is typed: what it says, and its exit codes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.support.inprocess import bare_git
from tests.support.installation import run_gitsnap, same_tree, take_snapshot


def test_two_machines_have_one_list(installation: Path, tmp_path: Path) -> None:
    first = take_snapshot(installation, "--label", "first")
    run_gitsnap("-C", installation, "pull", check=2)
    subprocess.run(["git", "init", "-q", "--bare", tmp_path / "r.git"], check=True)
    run_gitsnap("-C", installation, "remote", "add", "r", tmp_path / "r.git")
    run_gitsnap("-C", installation, "push")
    run_gitsnap("clone", tmp_path / "r.git", tmp_path / "new")
    run_gitsnap("-C", tmp_path / "new", "remote", "add", "r", tmp_path / "r.git")
    (installation / "VERSION").write_text("2.0\n")
    second = take_snapshot(installation, "--label", "second")
    run_gitsnap("-C", installation, "push")
    assert run_gitsnap("-C", tmp_path / "new", "pull", "-n").stdout == f"would bring {second}\n"
    assert run_gitsnap("-C", tmp_path / "new", "pull").stdout == f"brought {second}\n"
    done = run_gitsnap("-C", tmp_path / "new", "pull")
    assert (done.stdout, "nothing that is not here: 2 snapshots" in done.stderr) == ("", True)
    run_gitsnap("-C", tmp_path / "new", "rollback", "-y", "second")
    same_tree(installation, tmp_path / "new")
    run_gitsnap("-C", tmp_path / "new", "delete", first)
    done = run_gitsnap("-C", tmp_path / "new", "pull")
    assert "left there, as removed here: 1 snapshot" in done.stderr
    document = json.loads(run_gitsnap("-C", tmp_path / "new", "--json", "pull", "--removed").stdout)
    assert [s["id"] for s in document["snapshots"]] == [first]
    assert (document["conflicts"], document["damaged"], document["there"]) == ([], [], 2)
    bare_git(tmp_path / "r.git", "update-ref", f"refs/gitsnap/snapshots/{first}", f"refs/gitsnap/snapshots/{second}")
    done = run_gitsnap("-C", tmp_path / "new", "pull", check=13)
    assert f"{first} is another snapshot there than here" in done.stderr
    run_gitsnap("-C", tmp_path / "new", "verify", "--all")
