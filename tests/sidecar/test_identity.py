"""Who takes a snapshot: by git's files of the user, never by any that lies in the installation or the sidecar."""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path

import pytest

from gitsnap.sidecar.git.identity import author

HOST = os.uname().nodename or "localhost"
ME = pwd.getpwuid(os.geteuid()).pw_name
CONFIGURATIONS = {
    "plain": "[user]\n\tname = Anna Muster\n\temail = anna@example.org\n",
    "quoted": '[user]\n name = "Anna # \\"A\\" Muster" ; a comment\n email = anna@example.org # x\n',
    "last counts": "[user]\nname=No\n[core]\n[USER]\nName = Anna M\\\nuster\n[user]\nemail=anna@example.org\n",
    "not one's own": '[user "x"]\nname = Else\n[author]\n',
    "nothing": "",
    "crud": '[user]\nname = " <Anna>,. "\nemail = <a@b.c>\n',
    "latin-1": "[user]\nname = \xe4\n",
}


@pytest.mark.parametrize("how", CONFIGURATIONS)
def test_as_git_reads_it(tmp_path: Path, how: str) -> None:
    file = tmp_path / ".gitconfig"
    file.write_bytes(CONFIGURATIONS[how].encode("latin-1"))
    clean = {k: v for k, v in os.environ.items() if not k.startswith("GIT_") and k != "EMAIL"}
    env = clean | {"HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}
    got: dict[str, bytes] = {}
    for key in ("user.name", "user.email"):
        done = subprocess.run(["git", "config", "--global", key], env=env, cwd=tmp_path, capture_output=True)
        got[key] = done.stdout.strip()
    name, _, email = os.fsencode(author({}, [str(file)], [])).rpartition(b" <")
    for ours, theirs, own in ((name, got["user.name"], ME), (email[:-1], got["user.email"], f"{ME}@{HOST}")):
        assert ours == (theirs.strip(b" <>,.").replace(b">", b"") or own.encode())


def test_the_environment_counts_more_and_the_last_file_most(tmp_path: Path) -> None:
    system, own = tmp_path / "system", tmp_path / "own"
    system.write_text("[user]\nname=S\nemail=s@example.org\n")
    own.write_text("[user]\nname=U\n")
    files = [str(system), str(tmp_path / "absent"), str(own)]
    assert author({}, files, []) == "U <s@example.org>"
    assert author({"GIT_AUTHOR_NAME": "E", "GIT_AUTHOR_EMAIL": "e@x"}, files, []) == "E <e@x>"


def test_the_account_where_nothing_is_said() -> None:
    assert author({}, [], []) == f"{ME} <{ME}@{HOST}>"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is somebody else for the moment")
def test_the_person_behind_root() -> None:
    assert author({"SUDO_USER": "anna"}, [], []) == f"anna <anna@{HOST}>"


def test_nothing_that_lies_in_the_installation_is_read(tmp_path: Path) -> None:
    app = tmp_path / "app"
    (app / "home").mkdir(parents=True)
    inside = app / "home/.gitconfig"
    inside.write_text("[user]\nname=Mallory\nemail=m@example.org\n")
    led = tmp_path / ".gitconfig"
    led.symlink_to(inside)
    for path in (inside, led):
        assert author({}, [str(path)], [str(app)]) == f"{ME} <{ME}@{HOST}>"
    beside = tmp_path / "app-2"
    beside.write_text("[user]\nname=Anna\n")
    assert author({}, [str(beside)], [str(app)]).startswith("Anna <")


def test_nothing_is_executed_included_or_waited_for(tmp_path: Path) -> None:
    more, file, pipe = tmp_path / "more", tmp_path / ".gitconfig", tmp_path / "pipe"
    more.write_text("[user]\nname=Included\n")
    file.write_text(f"[include]\npath={more}\n[user]\nname = !touch {tmp_path}/ran\n[alias]\nx=!false\n")
    os.mkfifo(pipe)
    assert author({}, [str(file), str(pipe)], []).startswith(f"!touch {tmp_path}/ran <")
    assert not (tmp_path / "ran").exists()
