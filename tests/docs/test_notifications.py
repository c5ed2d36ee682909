"""The recipes for being told, executed as they stand on the page, with fakes for what they call."""

from __future__ import annotations

import json
import os
import re
import subprocess
from email import message_from_string
from pathlib import Path

import pytest

from tests.support.installation import REPOSITORY, build_app, run_gitsnap, sidecar_of

PAGE = (REPOSITORY / "docs/how-to/notifications.md").read_text()


def script(section: str) -> str:
    """The script of a section."""
    return re.findall(r"^```sh\n(.*?)^```", PAGE.partition(f"## {section}\n")[2], re.MULTILINE | re.DOTALL)[0]


@pytest.fixture
def installation(tmp_path: Path, gitsnap_home: Path) -> Path:
    """One that has a snapshot."""
    app = build_app(tmp_path / "app")
    run_gitsnap("-C", app, "snapshot")
    return app


def fake(where: Path, name: str) -> Path:
    """A program of this name that writes down its arguments and what it reads; the directory for PATH."""
    where.mkdir(exist_ok=True)
    place = where / name
    place.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >{where}/arguments\ncat >{where}/stdin\nexit ${{FAKE_EXIT:-0}}\n')
    place.chmod(0o755)
    return where


def told(app: Path, section: str, where: Path, hook: str = "on-failure") -> dict[str, str]:
    """Make the script of a section a hook; the environment in which it finds its fakes."""
    path = where / "told"
    path.write_text(script(section))
    path.chmod(0o755)
    config = sidecar_of(app) / "gitsnap.toml"
    config.write_text(f"[hooks]\n{hook} = {json.dumps(str(path))}\n")
    config.chmod(0o600)
    return {"PATH": f"{where}:{os.environ['PATH']}"}


def said(where: Path) -> tuple[list[str], str]:
    return (where / "arguments").read_text().splitlines(), (where / "stdin").read_text()


@pytest.mark.parametrize(
    ("section", "program"), [("ntfy", "curl"), ("Mail", "sendmail"), ("Webhook", "curl"), ("Apprise", "apprise")]
)
def test_each_recipe_tells_of_a_failure_and_its_own_failure_is_a_warning(
    installation: Path, tmp_path: Path, section: str, program: str
) -> None:
    where = fake(tmp_path / "fakes", program)
    environ = told(installation, section, where)
    done = run_gitsnap("-C", installation, "run", "--", "sh", "-c", "exit 9", env=environ, check=20)
    assert "warning" not in done.stderr
    words, text = said(where)
    whole = "\n".join([*words, text])
    assert str(installation) in whole
    assert "rolled-back" in whole
    assert "the command exited with 9" in whole
    done = run_gitsnap("-C", installation, "run", "--", "false", env=environ | {"FAKE_EXIT": "6"}, check=20)
    assert "warning: the hook on-failure exited with 6" in done.stderr


def test_the_mail_has_a_subject_and_the_event(installation: Path, tmp_path: Path) -> None:
    where = fake(tmp_path / "fakes", "sendmail")
    environ = told(installation, "Mail", where)
    run_gitsnap("-C", installation, "run", "--", "false", env=environ, check=20)
    words, text = said(where)
    mail = message_from_string(text)
    assert words == ["-t"]
    assert mail["Subject"] == f"gitsnap on-failure {installation} rolled-back"
    assert json.loads(mail.get_payload(decode=True))["exit_code"] == 20


def test_the_webhook_gets_the_event_as_it_is(installation: Path, tmp_path: Path) -> None:
    where = fake(tmp_path / "fakes", "curl")
    run_gitsnap("-C", installation, "run", "--", "true", env=told(installation, "Webhook", where, "after-run"))
    event = json.loads(said(where)[1])
    assert (event["event"], event["outcome"]) == ("after-run", "kept")


def test_the_first_script_tries_one(installation: Path, tmp_path: Path) -> None:
    where = fake(tmp_path / "fakes", "curl")
    environ = told(installation, "ntfy", where)
    run_gitsnap("-C", installation, "run", "--on-failure", "keep", "--", "false", env=environ, check=1)
    words, _ = said(where)
    assert "Title: gitsnap on-failure" in words
    assert any("kept the command exited with 1" in word for word in words)


def test_every_script_is_one_that_sh_can_read() -> None:
    for text in re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        assert subprocess.run(["sh", "-n", "-c", text], capture_output=True, text=True).stderr == ""
