"""The Ansible role, by a real ansible-core against localhost. GITSNAP_TEST_ANSIBLE names the directory of its programs,
as `make test-ansible` does; without it these are left out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.installation import REPOSITORY, run_gitsnap

PROGRAMS = os.environ.get("GITSNAP_TEST_ANSIBLE", "")
pytestmark = [pytest.mark.long, pytest.mark.skipif(not PROGRAMS, reason="GITSNAP_TEST_ANSIBLE is not set")]

_UPGRADE = """
- ansible.builtin.copy: {dest: "{{ gitsnap_directory }}/version", content: "2\\n"}
- ansible.builtin.file: {path: "{{ gitsnap_directory }}/bin", state: absent}
- ansible.builtin.command: "{{ installer }}"
"""


class Playing:
    def __init__(self, where: Path) -> None:
        self.where, self.app = where, where / "my app"
        (self.app / "bin").mkdir(parents=True)
        (self.app / "version").write_text("1\n")
        (self.app / "bin/run").write_text("run\n")
        (self.app / "bin/run").chmod(0o750)
        (where / "upgrade.yml").write_text(_UPGRADE)
        program = where / "gitsnap"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gitsnap "$@"\n')
        program.chmod(0o755)

    def play(self, installer: str = "true", *words: str, check: str = "grep -q 2 version", **more: object) -> str:
        """What ansible printed."""
        role = {
            "gitsnap_directory": str(self.app),
            "gitsnap_upgrade": str(self.where / "upgrade.yml"),
            "gitsnap_checks": [check],
            "gitsnap_program": str(self.where / "gitsnap"),
            **more,
        }
        tasks = [{"ansible.builtin.include_role": {"name": "gitsnap"}, "vars": role}]
        book = [{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks}]
        (self.where / "play.yml").write_text(json.dumps(book))
        environ = {
            **os.environ,
            "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
            "PYTHONPATH": str(REPOSITORY),
            "ANSIBLE_ROLES_PATH": str(REPOSITORY / "packages/ansible/roles"),
            "ANSIBLE_HOME": str(self.where / "ansible"),
            "ANSIBLE_NOCOLOR": "1",
        }
        given = ["-e", f"ansible_python_interpreter={sys.executable}", "-e", json.dumps({"installer": installer})]
        done = subprocess.run(
            ["ansible-playbook", "-i", "localhost,", *given, *words, "play.yml"],
            cwd=self.where, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        self.code = done.returncode
        return done.stdout + done.stderr

    @property
    def state(self) -> tuple[str, bool]:
        """The version, and whether all else is as it was."""
        run = self.app / "bin/run"
        whole = run.exists() and run.read_text() == "run\n" and run.stat().st_mode & 0o777 == 0o750
        return (self.app / "version").read_text().strip(), whole

    def labels(self) -> list[str]:
        if not any(Path(os.environ["GITSNAP_HOME"]).glob("*.git")):
            return []
        found = json.loads(run_gitsnap("list", "--json", cwd=self.app).stdout)["snapshots"]
        return [s["label"] for s in found]


@pytest.fixture
def playing(tmp_path: Path, gitsnap_home: Path) -> Playing:
    return Playing(tmp_path)


def test_an_upgrade_that_passes(playing: Playing) -> None:
    told = playing.play()
    assert (playing.code, playing.state) == (0, ("2", False)), told
    assert playing.labels() == ["before-ansible", "after-ansible"]


@pytest.mark.parametrize(
    ("installer", "check", "said"),
    [("false", "true", "What failed: "), ("true", "grep -q 3 version", "What failed: Check: ")],
    ids=["a task", "a check"],
)
def test_what_fails_brings_it_back(playing: Playing, installer: str, check: str, said: str) -> None:
    told = playing.play(installer, check=check)
    assert (playing.code, playing.state) == (2, ("1", True)), told
    assert "rolled back to" in told
    assert said in told
    assert playing.labels() == ["before-ansible", "safety"]


def test_where_no_whole_snapshot_can_be_taken_nothing_begins(playing: Playing) -> None:
    told = playing.play(gitsnap_program="false")
    assert (playing.code, playing.state) == (2, ("1", True)), told
    assert "Bring the directory back" not in told


def test_check_mode_touches_nothing(playing: Playing) -> None:
    told = playing.play("true", "--check")
    assert (playing.code, playing.state, playing.labels()) == (0, ("1", True), []), told
