"""git at home in the sidecar: a shell for it, whatever names there are, and a way out; its commits mean snapshots."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.helpers import document
from tests.support.installation import REPOSITORY, build_app, run_gitsnap, take_snapshot

HOSTILE = "a 'b' \"c\" $(touch pwned) `touch pwned` ;\nx \\"


@pytest.fixture
def app(tmp_path: Path, gitsnap_home: Path) -> Path:
    return build_app(tmp_path / "app")


def shell(script: str, cwd: Path, *, kind: str = "sh", **env: str) -> str:
    define = f'gitsnap() {{ "{sys.executable}" -m gitsnap "$@"; }}\n'
    done = subprocess.run(
        [kind, "-c", define + script],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **env},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("kind", ["sh", "bash"])
def test_a_shell_for_git_and_back(app: Path, tmp_path: Path, kind: str) -> None:
    store = tmp_path / HOSTILE
    run_gitsnap("-C", app, "--store", store, "snapshot", "-m", "first")
    script = """set -eu
    eval "$(gitsnap git --env)"; eval "$(gitsnap -q git --env)"
    git log --format=%s; git log -1 | grep -c "$ID"; test "$GIT_DIR" = "$STORE"; test -z "${GIT_INDEX_FILE-}"
    leave_gitsnap
    test "$GIT_DIR" = "it's mine"; test "$GIT_INDEX_FILE" = "$STORE"; test -z "${GIT_CONFIG_COUNT-}${GITSNAP_GIT-}"
    ! command -v leave_gitsnap >/dev/null"""
    snapshot = document("-C", app, "list")["snapshots"][0]["id"]
    env = {"ID": snapshot, "STORE": str(store), "GIT_DIR": "it's mine", "GIT_INDEX_FILE": str(store)}
    assert shell(script, app, kind=kind, **env) == "manual: first\n2\n"
    assert not list(tmp_path.rglob("pwned"))


def test_nothing_of_the_environment_leads_git_astray(app: Path, tmp_path: Path) -> None:
    take_snapshot(app)
    evil = tmp_path / "evil"
    evil.write_text("[alias]\n\tsnapshots = !touch pwned\n[core]\n\tpager = touch pwned\n")
    env = {"GIT_WORK_TREE": str(app), "GIT_CONFIG_GLOBAL": str(evil), "GIT_CONFIG_PARAMETERS": "'core.bare=false'"}
    names = run_gitsnap("-C", app, "git", "ls-tree", "--name-only", "timeline", env=env).stdout.split()
    assert "bin" in names
    run_gitsnap("-C", app, "git", "snapshots", env=env)
    assert "work tree" in run_gitsnap("-C", app, "git", "status", env=env, check=128).stderr
    assert not list(tmp_path.rglob("pwned"))


def test_names_are_shown_as_they_are_and_ids_beside_commits(app: Path) -> None:
    (app / "größe").write_text("1\n")
    snapshot = take_snapshot(app)
    told = run_gitsnap("-C", app, "git", "log", "--name-only", "-1").stdout
    assert "\ngröße\n" in told
    line = told.splitlines()[0]
    assert " (HEAD -> timeline" in line
    assert line.endswith(f") {snapshot}")
    assert run_gitsnap("-C", app, "git", "snapshots").stdout.split()[0] == snapshot


def test_a_commit_of_the_timeline_means_its_snapshot(app: Path) -> None:
    first = take_snapshot(app)
    (app / "new").write_text("1\n")
    second = take_snapshot(app)
    for revision, snapshot in (("timeline", second), ("timeline~1", first)):
        commit = run_gitsnap("-C", app, "git", "rev-parse", revision).stdout.strip()
        assert document("-C", app, "show", commit)["id"] == snapshot
        assert document("-C", app, "show", commit[:9])["id"] == snapshot
    assert run_gitsnap("-C", app, "cat", commit, "release-1.9").stdout == "1.9\n"
    run_gitsnap("-C", app, "show", "0" * 40, check=1)
    run_gitsnap("-C", app, "rollback", "--yes", commit)
    assert not (app / "new").exists()
    assert document("-C", app, "pin", commit)["snapshot"]["id"] == first
