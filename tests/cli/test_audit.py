"""`audit`: what is written down of each command and of each refusal, and that nothing else is."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import gitsnap
from gitsnap.core.errors import GitsnapError
from tests.cli.helpers import READ_ONLY, document, refused
from tests.cli.test_run import WAYS, upgrade
from tests.support.inprocess import workspace
from tests.support.installation import REPOSITORY, run_gitsnap, sidecar_of, take_snapshot

Line = dict[str, Any]


def lines(installation: Path, *arguments: str) -> list[Line]:
    found = document("-C", installation, "audit", *arguments)
    assert found["problems"] == []
    return list(found["audit"])


def last(installation: Path) -> Line:
    return lines(installation)[-1]


def told(installation: Path, *arguments: str) -> str:
    """What a person sees."""
    return run_gitsnap("-C", installation, "audit", *arguments).stdout


def test_each_command_leaves_a_line(installation: Path, tmp_path: Path) -> None:
    home = tmp_path / "copy"
    shutil.copytree(installation, home, symlinks=True)
    first = take_snapshot(installation)
    steps: list[tuple[tuple[str | Path, ...], int, str]] = [
        (("pin", first), 0, "done"),
        (("unpin", first), 0, "done"),
        (("verify",), 0, "done"),
        (("verify", "--live"), 0, "done"),
        (("import", home), 0, "done"),
        (("config", "components", "set", "web", "*.html"), 0, "done"),
        (("restore", first, "--to", tmp_path / "out"), 0, "done"),
        (("gc",), 0, "done"),
    ]
    for arguments, code, outcome in steps:
        run_gitsnap("-C", installation, *arguments, check=code)
        line = last(installation)
        assert (line["action"], line["exit_code"], line["outcome"]) == (arguments[0], code, outcome), arguments
        assert line["phase"] == "ended"
    (installation / "new").write_text("x")
    run_gitsnap("-C", installation, "rollback", first, "--yes")
    begun, ended = lines(installation)[-2:]
    assert (begun["action"], begun["phase"], begun["outcome"], begun["target"]) == ("rollback", "begun", None, first)
    assert (ended["phase"], ended["outcome"], ended["target"]) == ("ended", "done", first)
    assert ended["details"]["verified"] is True
    assert ended["safety"] == ended["taken"][0]["id"]
    run_gitsnap("-C", installation, "undo", "--yes")
    assert last(installation)["target"] == ended["safety"]
    run_gitsnap("-C", installation, "delete", first)
    gone = last(installation)["removed"]
    assert [(s["id"], s["kind"], s["reasons"]) for s in gone] == [(first, "manual", [])]
    for text in ("y", "z"):
        (installation / "new").write_text(text)
        take_snapshot(installation)
    run_gitsnap("-C", installation, "prune", "--keep-last", "1", "--yes")
    assert last(installation)["removed"]
    assert document("-C", installation, "verify", "--all")["results"]
    assert [line["sequence"] for line in lines(installation)] == list(range(1, len(lines(installation)) + 1))


def test_who_and_where(installation: Path) -> None:
    run_gitsnap("-C", installation, "snapshot", "-m", "hello", env={"SUDO_USER": "anna"}, fresh=True)
    line = last(installation)
    assert line["user"]["uid"] == os.geteuid()
    assert line["user"]["sudo_user"] == "anna"
    assert line["host"] == os.uname().nodename
    assert line["version"] == gitsnap.__version__
    assert line["installation"] == str(installation)
    assert line["process"]["parent"] == os.getpid()
    assert line["command"] == f"gitsnap -C {installation} snapshot -m hello"
    assert line["boot"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert line["taken"][0]["message"] == "hello"
    assert "root (anna)" in told(installation) or os.geteuid()


def test_who_only_looks_writes_nothing(installation: Path) -> None:
    take_snapshot(installation)
    log = sidecar_of(installation) / "gitsnap/audit"
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in [*log.iterdir(), log.parent / "audit.seal"]}
    looking = [c for c in READ_ONLY if not c.startswith("verify")] + [
        "audit",
        "carry -n",
        "prune -n",
        "config components",
    ]
    for command in looking:
        run_gitsnap("-C", installation, *command.split(), check=False)
    run_gitsnap("-C", installation, "rollback", "--bogus", check=2)
    run_gitsnap("-C", installation, "undo", "-n", check=False)
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in before} == before
    run_gitsnap("-C", installation, "verify")
    assert last(installation)["action"] == "verify"


def test_a_sidecar_of_before_has_no_log_until_something_is_written(installation: Path) -> None:
    first = take_snapshot(installation)
    own = sidecar_of(installation) / "gitsnap"
    shutil.rmtree(own / "audit")
    for name in ("audit.seal", "audit.lock"):
        (own / name).unlink()
    text = (own / "seal").read_text()
    assert "\naudit " not in text
    assert lines(installation) == []
    run_gitsnap("-C", installation, "verify", "--all")
    run_gitsnap("-C", installation, "pin", first)
    assert [line["sequence"] for line in lines(installation)] == [1, 2]


class TestRefusals:
    def test_not_confirmed(self, installation: Path) -> None:
        first = take_snapshot(installation)
        for arguments in (("rollback", first), ("carry",), ("rollback", "--keep-edits")):
            run_gitsnap("-C", installation, *arguments, check=False)
            line = last(installation)
            assert (line["action"], line["outcome"]) in ((arguments[0], "refused"), (arguments[0], "failed"))
        run_gitsnap("-C", installation, "rollback", first, check=2)
        line = last(installation)
        assert (line["exit_code"], line["kind"], line["outcome"]) == (2, "usage", "refused")
        assert "no terminal" in line["cause"]

    def test_locked(self, installation: Path) -> None:
        from gitsnap.sidecar import locks

        take_snapshot(installation)
        with locks.hold(str(sidecar_of(installation) / "gitsnap/writer.lock"), exclusive=True, wait=0):
            refused("-C", installation, "--lock-wait", "0", "snapshot", code=11)
        line = last(installation)
        assert (line["action"], line["outcome"], line["kind"]) == ("snapshot", "refused", "locked")
        assert f"process {os.getpid()}" in line["cause"]

    def test_what_is_damaged(self, installation: Path) -> None:
        first = take_snapshot(installation)
        pack = next((sidecar_of(installation) / "objects/pack").glob("*.pack"))
        data = bytearray(pack.read_bytes())
        data[len(data) // 2] ^= 0xFF
        pack.chmod(0o600)
        pack.write_bytes(data)
        run_gitsnap("-C", installation, "verify", "--all", check=12)
        line = last(installation)
        assert (line["outcome"], line["exit_code"]) == ("damaged", 12)
        assert line["counts"]["problems"] >= 1
        assert first in line["cause"] or "sidecar" in line["cause"]

    def test_pinned(self, installation: Path) -> None:
        first = take_snapshot(installation, "--pin")
        refused("-C", installation, "delete", first, code=1)
        assert (last(installation)["outcome"], last(installation)["kind"]) == ("refused", "pinned")

    def test_what_is_waiting(self, installation: Path) -> None:
        take_snapshot(installation)
        (sidecar_of(installation) / "gitsnap/journal.forward").write_bytes(b"")
        refused("-C", installation, "snapshot", code=14)
        assert (last(installation)["outcome"], last(installation)["kind"]) == ("refused", "pending-recovery")


def test_no_secret_is_written_down(installation: Path) -> None:
    script = "mysql -psecretive1 x 2>/dev/null; echo 'password=hunter22'; exit 4"
    run_gitsnap("-C", installation, "run", "--check", script, "--", "sh", "-c", "API_TOKEN=abcdef123456 true", check=20)
    text = b"".join(p.read_bytes() for p in (sidecar_of(installation) / "gitsnap/audit").iterdir()).decode()
    for secret in ("secretive1", "hunter22", "abcdef123456"):
        assert secret not in text
    assert "exited with 4" in text


@pytest.mark.parametrize("way", WAYS)
def test_from_the_trail_alone_it_can_be_told_what_went_wrong(installation: Path, way: str) -> None:
    """The ways an upgrade goes wrong: who was not there reads what, who, when, why, and where one stands now."""
    script, options, reason = WAYS[way]
    words: str | list[str] = script
    if not script:
        broken = installation.parent / "broken"
        broken.write_text("#!/no/such/interpreter\n")
        broken.chmod(0o755)
        words = [str(broken)]
    take_snapshot(installation)
    environment = {"CACHE": str(sidecar_of(installation) / "gitsnap/stat-cache")}
    ran = upgrade(installation, *options, script=words, cwd=installation, env=environment)
    about = ran.last["upgrade"]
    begun, ended = lines(installation, "--upgrade", about)
    assert (begun["phase"], ended["phase"]) == ("begun", "ended")
    assert (ended["outcome"], ended["exit_code"], ended["upgrade"]) == ("rolled-back", 20, about)
    assert re.search(reason, ended["cause"])
    assert ended["details"]["verified"] is True
    assert ended["details"]["pre"] == ended["target"] == ran.last["pre"]
    assert ended["safety"] == ran.last["safety_snapshot"]
    shown = told(installation, "--upgrade", about)
    for word in ("rolled-back", "because", about, "by ", os.uname().nodename, "exit code 20"):
        assert word in shown
    assert re.search(reason, shown)
    assert re.search(r"result +the directory is as it was before, to the byte: .*nothing is left to do", shown)
    if way in ("it exits with 1", "a signal ends it", "it deletes everything"):
        assert re.search(r"^ +removed +config/shop\.ini$", shown, re.MULTILINE)
        assert re.search(r"^ +removed +config/$", shown, re.MULTILINE)
    if "modes" in way:
        assert re.search(r"^ +metadata +\./ +\(mode\)$", shown, re.MULTILINE)
        assert re.search(r"\d+ files changed: \d+ with other metadata; \d+ directories with other metadata", shown)
    if way == "it deletes everything":
        changed = re.search(r"it left +(\d+) files changed: .*; (\d+) directories", shown)
        more = re.search(r"^ +… and (\d+) more$", shown, re.MULTILINE)
        assert changed and more and int(changed[1]) + int(changed[2]) == int(more[1]) + 8
    assert re.search(rf"in +{re.escape(str(installation))}$", shown, re.MULTILINE)
    if "writer" in way:
        assert re.search(r"it left +the process \d+, .*, which was ended", shown)
    if "check fails" in way:
        assert "check     `true` passed" in shown
        assert "FAILED: it exited with 9" in shown
        assert "| why" in shown
        assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", c["time"]) for c in ended["checks"])
    if "writer" in way:
        assert ended["details"]["doubts"] == ran.last["doubts"]


def test_a_gitsnap_that_was_killed_leaves_its_beginning(installation: Path, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    command = [
        sys.executable,
        "-m",
        "gitsnap",
        "-C",
        installation,
        "run",
        "--",
        "sh",
        "-c",
        f"rm -r config; cat {fifo}",
    ]
    running = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(REPOSITORY)}, start_new_session=True)
    # It blocks until the command reads.
    with open(fifo, "wb"):
        os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    begun = lines(installation)[-1]
    assert (begun["action"], begun["phase"]) == ("run", "begun")
    assert "rm -r config" in begun["command"]
    run_gitsnap("-C", installation, "rollback", f"{begun['upgrade']}@pre", "--yes")
    trail = lines(installation, "--upgrade", begun["upgrade"])
    assert [(x["action"], x["phase"], x["outcome"]) for x in trail] == [
        ("run", "begun", None),
        ("rollback", "begun", None),
        ("rollback", "ended", "done"),
    ]


def test_recover_tells_of_the_upgrade_that_it_leaves_alone(installation: Path) -> None:
    take_snapshot(installation)
    run_gitsnap("-C", installation, "run", "--", "sh", "-c", "rm -r config; kill -KILL $PPID", check=False)
    run_gitsnap("-C", installation, "recover")
    begun, settled = lines(installation)[-2:]
    assert (begun["phase"], settled["action"]) == ("begun", "recover")
    assert settled["upgrade"] == begun["upgrade"]
    assert "the upgrade was: the directory is as that left it" in settled["cause"]


def test_what_is_left_to_do_after_a_rollback_is_told(installation: Path) -> None:
    service = ("--stop", "true", "--start", "echo no; exit 4")
    run_gitsnap("-C", installation, "run", *service, "--", "touch", "new", check=20)
    shown = told(installation)
    assert "doubt     the service could not be started again" in shown
    assert "put back and compared; but see the doubts above" in shown
    run_gitsnap("-C", installation, "run", "--on-failure", "keep", "--", "false", check=1)
    assert "result    the directory is as the command left it, and was not brought back" in told(installation)


def test_ctrl_c(installation: Path, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    command = [sys.executable, "-m", "gitsnap", "-C", installation, "run", "--", "cat", fifo]
    running = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(REPOSITORY)}, start_new_session=True)
    with open(fifo, "wb"):
        os.killpg(running.pid, signal.SIGINT)
        running.wait()
    line = last(installation)
    assert (line["outcome"], line["exit_code"]) == ("rolled-back", 20)
    assert "SIGINT" in line["cause"]


def test_a_disk_that_is_full_changes_nothing_of_what_is_done(installation: Path) -> None:
    first = take_snapshot(installation)
    (installation / "new").write_text("x")
    # No log can be where a directory stands in the place of its lock.
    lock = sidecar_of(installation) / "gitsnap/audit.lock"
    lock.unlink()
    lock.mkdir()
    done = run_gitsnap("-C", installation, "rollback", first, "--yes")
    assert not (installation / "new").exists()
    assert done.stderr.count("warning: audit log: it could not be written") == 2
    lock.rmdir()
    take_snapshot(installation)
    assert run_gitsnap("-C", installation, "verify", "--all").returncode == 0


def test_damage_is_told(installation: Path) -> None:
    for _ in range(3):
        take_snapshot(installation)
    log = next((sidecar_of(installation) / "gitsnap/audit").iterdir())
    found = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(found[0] + found[2])
    assert "line 2 is missing" in run_gitsnap("-C", installation, "verify", "--all", check=12).stdout
    shown = run_gitsnap("-C", installation, "doctor", check=1).stdout
    assert re.search(r"audit log +audit log: line 2 is missing", shown)
    assert "line 2 is missing" in run_gitsnap("-C", installation, "audit", check=12).stderr
    found_out = json.loads(run_gitsnap("-C", installation, "--json", "audit", check=12).stdout)
    assert found_out["problems"] == ["audit log: line 2 is missing"]
    # Nothing else is held up.
    take_snapshot(installation)


def test_since_and_upgrade(installation: Path) -> None:
    run_gitsnap("-C", installation, "run", "--label", "two", "true")
    take_snapshot(installation)
    every = lines(installation)
    assert lines(installation, "--since", "1h") == every
    assert lines(installation, "--since", "2999-01-01") == []
    assert lines(installation, "--since", every[-1]["time"]) == every[-1:]
    assert lines(installation, "--upgrade", "two") == every[:-1]
    refused("-C", installation, "audit", "--since", "soon", code=2)
    refused("-C", installation, "audit", "--upgrade", "three", code=1)


def test_following(installation: Path) -> None:
    take_snapshot(installation)
    command = [sys.executable, "-m", "gitsnap", "-C", installation, "--json", "audit", "--follow"]
    with subprocess.Popen(
        command, env=os.environ | {"PYTHONPATH": str(REPOSITORY)}, stdout=subprocess.PIPE, text=True
    ) as following:
        assert following.stdout is not None
        assert json.loads(following.stdout.readline())["sequence"] == 1
        take_snapshot(installation)
        assert json.loads(following.stdout.readline())["sequence"] == 2
        following.send_signal(signal.SIGINT)
        assert following.wait() == 130


def test_the_journal_is_told(installation: Path) -> None:
    take_snapshot(installation)
    settings = sidecar_of(installation) / "gitsnap.toml"
    # A socket's path is short.
    with workspace() as where, closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as journal:
        path = where / "socket"
        settings.write_text(f'[audit]\njournald = "{path}"\n')
        journal.bind(str(path))
        journal.settimeout(10)
        take_snapshot(installation)
        assert b"GITSNAP_ACTION=snapshot\n" in journal.recv(1 << 20)
        path.unlink()
        done = run_gitsnap("-C", installation, "snapshot")
        assert f"the journal ({path}) could not be told" in done.stderr
    settings.write_text("[audit]\njournald = 7\n")
    refused("-C", installation, "status", code=2)


def test_sh_and_sha256sum_follow_the_chain(installation: Path) -> None:
    """The loop that the documentation shows, as it stands there."""
    page = (REPOSITORY / "docs/internals/audit.md").read_text()
    loop = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)[0]
    for number in range(3):
        take_snapshot(installation, "-m", f"a \\n '{number}' \" %s ü")
    store = sidecar_of(installation)

    def check(shell: str) -> str:
        return subprocess.run([shell, "-c", loop], cwd=store, capture_output=True, text=True).stdout

    shells = [s for s in ("sh", "dash", "bash", "busybox") if shutil.which(s)]
    for shell in shells:
        if shell != "busybox":
            assert check(shell) == "3 lines, whole\n"
    log = next((store / "gitsnap/audit").iterdir())
    text = log.read_text()
    for wrong in (text.replace('"snapshot"', '"rollback"', 1), "".join(text.splitlines(keepends=True)[:2]), text[:-9]):
        log.write_text(wrong)
        assert "whole" not in check("sh")


def test_the_api_leaves_the_same(installation: Path) -> None:
    app = gitsnap.open(installation, create=True, environ=os.environ)
    app.snapshot("one")
    app.verify()
    app.rollback(dry_run=True)
    app.snapshots()
    with pytest.raises(ValueError, match="mine"), gitsnap.guard(installation, label="two", environ=os.environ):
        (installation / "new").write_text("x")
        raise ValueError("mine")
    with pytest.raises(GitsnapError):
        app.rollback("nothing")
    found = [(x["action"], x["phase"], x["outcome"]) for x in lines(installation)]
    assert found == [
        ("snapshot", "ended", "done"),
        ("verify", "ended", "done"),
        ("guard", "begun", None),
        ("guard", "ended", "rolled-back"),
        ("rollback", "ended", "failed"),
    ]


def test_a_token_in_an_address_is_not_written_down_however_short(installation: Path) -> None:
    take_snapshot(installation)
    run_gitsnap("-C", installation, "remote", "add", "there", "https://tok12@git.example.org/x.git")
    told = run_gitsnap("-C", installation, "audit", "--json").stdout
    assert "https://git.example.org/x.git" in told
    assert "tok12" not in told
