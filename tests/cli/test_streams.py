"""Standard streams in every state: closed, full, broken, of another encoding; and names of any bytes."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.helpers import document, failure, parse, refused, spoken
from tests.support.installation import REPOSITORY, copy_tree, run_gitsnap, same_tree, take_snapshot


def shell(command: str, app: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a shell's command line in which `gitsnap` is gitsnap on `app`, buffering its output as it usually does."""
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    alias = f'gitsnap() {{ "{sys.executable}" -m gitsnap -C "$APP" "$@"; }}\n'
    return subprocess.run(
        ["bash", "-c", alias + command],
        env=clean | {"PYTHONPATH": str(REPOSITORY), "APP": os.fspath(app)} | env,
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
    )


@pytest.fixture
def app(installation: Path) -> Path:
    take_snapshot(installation)
    return installation


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("command", ["snapshot", "status", "rollback latest --yes", "--json list", "diff"])
def test_works_without_a_stream(app: Path, command: str, closed: str) -> None:
    before = copy_tree(app, app.with_name("before"))
    done = shell(f"gitsnap {command} {closed}", app)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    same_tree(before, app)
    run_gitsnap("-C", app, "verify", "--all")
    run_gitsnap("-C", app, "git", "fsck", "--full", "--strict")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_fails_with_its_code_without_a_stream(app: Path, closed: str) -> None:
    assert shell(f"gitsnap show nothing {closed}", app).returncode == 1
    assert shell(f"gitsnap nothing {closed}", app).returncode == 2


@pytest.mark.parametrize("command", ["list", "--json list", "show", "status", "cat latest data/blob.bin", "--help"])
def test_output_that_cannot_be_written_is_a_failure(app: Path, command: str) -> None:
    done = shell(f"gitsnap {command} >/dev/full", app)
    assert done.returncode == 1
    if "--json" in command:
        failure(done.stderr, 1, "io")
    else:
        spoken(done, 1)
    assert "Exception ignored" not in done.stderr


def test_errors_keep_their_code_when_they_cannot_be_written(app: Path) -> None:
    assert shell("gitsnap show nothing 2>/dev/full", app).returncode == 1
    assert shell("gitsnap --json nothing 2>/dev/full", app).returncode == 2


def test_a_reader_may_leave(app: Path) -> None:
    for number in range(3000):
        (app / f"data/{number}").write_bytes(b"a line of text\n" * 20)
    take_snapshot(app)
    (app / "config/shop.ini").write_bytes(b"changed\n" * 100_000)
    looks = "ls -R latest|list|--json list|diff|status|cat latest data/blob.bin|git log -p timeline"
    for command in looks.split("|"):
        done = shell(f"gitsnap {command} | head -c 1 >/dev/null; exit ${{PIPESTATUS[0]}}", app)
        assert done.stderr == "", command
        assert done.returncode in (0, 1, 141), command


def test_other_encodings_lose_nothing(app: Path) -> None:
    (app / "données").write_bytes(b"x")
    take_snapshot(app, "-m", "été")
    for variable in ({"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C"}, {"LC_ALL": "POSIX", "PYTHONUTF8": "0"}):
        for command in ("ls latest", "list", "status", "diff --stat", "show", "nothing", "cat latest donn"):
            done = shell(f"gitsnap {command}", app, **variable)
            assert "Traceback" not in done.stderr
            assert "bug" not in done.stderr
        listed = parse(shell("gitsnap --json list", app, **variable).stdout)
        assert listed["snapshots"][-1]["message"] == "été"
        report = shell("gitsnap --json cat latest été", app, **variable)
        assert failure(report.stderr, 1, "no-such-path")["path"] == "été"


ODD = b"caf\xe9"


@pytest.fixture
def odd(installation: Path) -> Path:
    """A directory whose own name is not UTF-8, and a file in it, too."""
    path = Path(os.fsdecode(os.fsencode(installation) + b"-" + ODD))
    installation.rename(path)
    Path(os.fsdecode(os.path.join(os.fsencode(path), ODD))).write_bytes(b"coffee")
    take_snapshot(path)
    return path


def raw(found: dict[str, Any], key: str) -> bytes:
    """A path as the contract has it: as text, and exactly in base64 where it is not UTF-8."""
    assert "\ufffd" in found[key]
    return base64.b64decode(found[f"{key}_b64"])


def test_names_that_are_not_utf8_in_words(odd: Path) -> None:
    assert run_gitsnap("-C", odd, "cat", "latest", ODD).stdout == "coffee"
    assert "caf\\xe9\n" in run_gitsnap("-C", odd, "ls", "latest").stdout
    assert "caf\\xe9" in run_gitsnap("-C", odd, "status").stdout
    assert "added" in run_gitsnap("-C", odd, "log", ODD).stdout
    assert "caf\\xe9" in refused("-C", odd, "cat", "latest", ODD + b"!", code=1, kind="no-such-path")
    assert "caf\\xe9" in refused("-C", odd, "show", ODD, code=1, kind="no-such-snapshot")
    assert "caf\\xe9" in refused("-C", ODD, "list", code=1, kind="no-such-directory")
    assert "caf\\xe9" in refused("-C", odd, "snapshot", "--no-such-option" + os.fsdecode(ODD), code=2, kind="usage")
    assert "caf\\xe9" in refused("-C", odd, os.fsdecode(ODD), code=2, kind="usage")


def test_names_that_are_not_utf8_in_documents(odd: Path) -> None:
    home = os.fsencode(odd)
    assert raw(document("-C", odd, "status"), "installation") == home
    assert raw(document("-C", odd, "init"), "installation") == home
    entries = document("-C", odd, "ls", "latest")["entries"]
    assert [raw(e, "path") for e in entries if "path_b64" in e] == [ODD]
    assert [raw(m, "path") for m in document("-C", odd, "find", b"*" + ODD)["matches"]] == [ODD]
    assert raw(document("-C", odd, "log", ODD), "path") == ODD
    os.rename(os.path.join(home, ODD), os.path.join(home, ODD + b"2"))
    change = document("-C", odd, "diff")["changes"][0]
    assert (change["status"], raw(change, "path"), raw(change, "old_path")) == ("renamed", ODD + b"2", ODD)
    assert raw(document("-C", odd, "verify", "--live", check=1)["results"][0]["problems"][-1], "path") == ODD + b"2"
    steps = document("-C", odd, "rollback", "-n")["steps"]
    assert [raw(s, "path") for s in steps if "path_b64" in s] == [ODD + b"2", ODD]
    (odd / ".gitsnapignore").write_bytes(ODD + b"\n")
    os.rename(os.path.join(home, ODD + b"2"), os.path.join(home, ODD))
    take_snapshot(odd)
    shown = document("-C", odd, "show")
    assert [raw(p, "path") for p in shown["excluded_paths"]] == [ODD]
    done = run_gitsnap("--json", "-C", ODD, "list", check=1)
    assert raw(failure(done.stderr, 1, "no-such-directory"), "path").endswith(b"/" + ODD)


def test_messages_and_tags_that_are_not_utf8(app: Path) -> None:
    first = run_gitsnap("-C", app, "snapshot", "-m", ODD, "--tag", ODD, "--label", ODD).stdout.strip()
    # The snapshots of one second are numbered.
    assert first.removesuffix("-2").endswith("-caf")
    assert "caf\\xe9" in run_gitsnap("-C", app, "list").stdout
    assert "caf\\xe9" in run_gitsnap("-C", app, "show", first).stdout
    assert document("-C", app, "show", first)["message"] == "caf\ufffd"
    assert json.loads(run_gitsnap("-C", app, "--json", "list").stdout)


def test_an_empty_name_stands_for_nothing(app: Path) -> None:
    """What an unset variable leaves must not mean the working directory, the default snapshot or everything."""
    (app / "new").write_bytes(b"since the snapshot")
    before = copy_tree(app, app.with_name("before"))
    refused("-C", "", "rollback", "--yes", code=2, kind="usage", cwd=app)
    refused("-C", app, "rollback", "", "--yes", code=1, kind="no-such-snapshot")
    refused("-C", app, "restore", "latest", "", code=2, kind="usage")
    refused("-C", app, "restore", "latest", "data", "", code=2, kind="usage")
    same_tree(before, app)


@pytest.mark.parametrize("command", ["rollback latest --yes", "snapshot", "pin latest", "--json rollback latest --yes"])
@pytest.mark.parametrize("stdout", [">/dev/full", "| true"])
def test_what_is_done_is_no_failure_for_want_of_a_reader(app: Path, command: str, stdout: str) -> None:
    before = copy_tree(app, app.with_name("before"))
    if "rollback" in command:
        (app / "VERSION").write_text("changed\n")
    # `true` may be gone before or after: whoever writes then, the code is the same.
    done = shell(f"set -o pipefail; gitsnap {command} {stdout}", app)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    if "full" in stdout:
        assert "what was asked for is done; the answer could not be written to stdout" in done.stderr
    same_tree(before, app)


def test_a_dry_run_is_its_answer(app: Path) -> None:
    (app / "VERSION").write_text("changed\n")
    assert shell("gitsnap rollback latest -n >/dev/full", app).returncode == 1


def test_a_reader_that_left_early(app: Path) -> None:
    # The pipe is closed before anything is written to it.
    done = shell("sleep 0 | :; gitsnap list > >(exec 0<&-; exit) ; exit $?", app)
    assert done.returncode in (0, 141)
    script = "import os,sys; r,w=os.pipe(); os.close(r); os.dup2(w,1); os.execvp(sys.argv[1],sys.argv[1:])"
    for command in ("list", "--json list", "verify", "cat latest data/blob.bin"):
        line = f'"{sys.executable}" -c \'{script}\' "{sys.executable}" -m gitsnap -C "$APP" {command}'
        assert shell(line, app).returncode == 141
