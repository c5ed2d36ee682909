"""`run`: what an upgrade does to the directory, to its exit code and to the event stream, and all the ways it fails."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cli.helpers import a, a_duration, a_moment, an_id, fields, list_of, or_null, parse, refused, spoken
from tests.support.installation import (
    IS_ROOT,
    REPOSITORY,
    build_app,
    copy_tree,
    run_gitsnap,
    same_tree,
    sidecar_of,
    take_snapshot,
)
from tests.support.processes import gitsnap_as_user, give
from tests.support.terminal import on_terminal
from tests.support.webapp import ended

LAST_LINE = {
    "upgrade": a(str),
    "pre": an_id,
    "post": or_null(an_id),
    "command": a(str),
    "exit_code": a(int),
    "checks": list_of(a(dict)),
    "outcome": lambda v: v in ("kept", "rolled-back", "rollback-failed"),
    "verified": a(bool),
    "duration": a_duration,
}


@dataclass
class Ran:
    """What a run left: its exit code, its words, its events."""

    code: int
    stderr: str
    events: list[dict[str, Any]]

    @property
    def names(self) -> list[str]:
        return [e["event"] for e in self.events if e["event"] != "snapshot-progress"]

    @property
    def last(self) -> dict[str, Any]:
        return self.events[-1]


def lines(text: str) -> list[dict[str, Any]]:
    """Events, each checked for what every event has."""
    found = [parse(line) for line in text.splitlines()]
    for event in found:
        fields(event, {"event": a(str), "time": a_moment, "upgrade": a(str)})
    assert len({e["upgrade"] for e in found}) == 1
    fields(found[-1], LAST_LINE)
    return found


def upgrade(app: Path, *args: str, script: str | list[str], **more: Any) -> Ran:
    """Run a shell script, or a command, as an upgrade with --json, in the installation."""
    more.setdefault("cwd", app)
    words = script if isinstance(script, list) else ["sh", "-c", script]
    done = run_gitsnap("-C", app, "--json", "run", *args, "--", *words, check=False, **more)
    assert done.stdout, done.stderr
    return Ran(done.returncode, done.stderr, lines(done.stdout))


@pytest.fixture
def before(installation: Path, tmp_path: Path) -> Path:
    """What the installation was."""
    return copy_tree(installation, tmp_path / "before")


KEPT = ["upgrade-started", "snapshot-completed", "verified", "command-started", "command-exited", "snapshot-completed"]
ROLLED_BACK = ["rollback-started", "rollback-completed", "upgrade-completed"]


def rolled_back(ran: Ran, app: Path, before: Path, *, reason: str) -> None:
    """Assert that the directory is what it was, and that everything says so."""
    assert ran.code == 20, ran.stderr
    assert ran.names[-3:] == ROLLED_BACK
    assert ran.last["outcome"] == "rolled-back"
    assert ran.last["verified"] is True
    assert re.search(reason, ran.last["failure"]), ran.last["failure"]
    same_tree(before, app)
    run_gitsnap("-C", app, "verify", "--all")


class TestWhatGoesWell:
    def test_is_kept_between_two_snapshots(self, installation: Path) -> None:
        ran = upgrade(installation, "--label", "To 2.0", "--check", "test -e new", script="touch new", cwd=installation)
        assert (ran.code, ran.names) == (0, [*KEPT, "check-passed", "upgrade-completed"])
        assert ran.last["outcome"] == "kept"
        assert ran.last["pre"].endswith("-to-2.0-pre")
        assert re.search("-to-2.0-post(-2)?$", ran.last["post"])
        listed = json.loads(run_gitsnap("-C", installation, "--json", "list").stdout)["snapshots"]
        assert [(s["kind"], s["upgrade"]) for s in listed] == [
            ("pre", ran.last["upgrade"]),
            ("post", ran.last["upgrade"]),
        ]
        # The first one was verified, not only taken.
        assert listed[0]["commit"] in (sidecar_of(installation) / "gitsnap/verified").read_text()

    def test_the_command_finds_what_it_would_find_without_us(self, installation: Path, tmp_path: Path) -> None:
        script = 'read line; echo "$line"; umask; pwd; echo "$GITSNAP_UPGRADE|$GITSNAP_PRE|$GITSNAP_DIR|$1"; echo e >&2'
        command = [
            sys.executable,
            "-m",
            "gitsnap",
            "-C",
            installation,
            "-q",
            "run",
            "sh",
            "-c",
            script,
            "sh",
            "-q --json",
        ]
        done = subprocess.run(
            ["sh", "-c", 'umask 027; exec "$@"', "sh", *command],
            input="from stdin\n",
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == "e\n"
        line, umask, where, variables = done.stdout.splitlines()
        # -C is as if started there.
        assert (line, umask, where) == ("from stdin", "0027", str(installation))
        assert re.fullmatch(rf"\S+Z-upgrade\|\S+Z-pre\|{re.escape(str(installation))}\|-q --json", variables)

    def test_no_lock_is_held_while_the_command_runs(self, installation: Path) -> None:
        gitsnap = f'"{sys.executable}" -m gitsnap --lock-wait 0 -C "$GITSNAP_DIR"'
        script = f"{gitsnap} snapshot --label inside && {gitsnap} gc && {gitsnap} verify --all"
        ran = upgrade(installation, script=script, env={"PYTHONPATH": str(REPOSITORY)})
        assert ran.code == 0, ran.stderr

    def test_another_upgrade_is_refused_meanwhile(self, installation: Path) -> None:
        gitsnap = f'"{sys.executable}" -m gitsnap --lock-wait 0 -C "$GITSNAP_DIR"'
        script = f"{gitsnap} run true; test $? = 11 && {gitsnap} list"
        ran = upgrade(installation, script=script, env={"PYTHONPATH": str(REPOSITORY)})
        assert ran.code == 0, ran.stderr
        assert "another upgrade of this directory is under way" in ran.stderr
        assert "cut short" not in ran.stderr

    def test_words_for_people_and_what_to_type_next(self, installation: Path) -> None:
        done = run_gitsnap("-C", installation, "run", "--check", "true", "--", "touch", installation / "new")
        assert done.stdout == ""
        hints = dict(re.findall(r"^(What changed|Go back): +gitsnap (.*)$", done.stderr, re.MULTILINE))
        assert hints.keys() == {"What changed", "Go back"}
        run_gitsnap(*hints["Go back"].split(), "--yes")
        assert not (installation / "new").exists()

    def test_watching(self, installation: Path) -> None:
        ran = upgrade(installation, "--watch", script="sleep 2")
        assert ran.code == 0
        assert [e["during"] for e in ran.events if e["event"] == "verified" and "during" in e] == ["command"]


WAYS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "it exits with 1": ("rm -r config; exit 1", (), "exited with 1"),
    "a signal ends it": ("rm -r config; kill -KILL $$", (), "SIGKILL"),
    "it hangs": ("rm -r config; trap '' TERM; sleep 600", ("--timeout", "1"), "longer than 1 s"),
    "it deletes everything": ("rm -rf ./* ./.[!.]*; exit 1", (), "exited with 1"),
    "it deletes the directory itself": ('cd / && rm -rf "$GITSNAP_DIR"', (), "directory itself is gone"),
    "it puts a file in the directory's place": ('cd / && rm -rf "$GITSNAP_DIR" && echo x >"$GITSNAP_DIR"', (), "gone"),
    "it replaces a directory by a symlink": ("rm -r modules && ln -s /etc modules; exit 1", (), "exited with 1"),
    "it takes all modes away": ("chmod -R 000 .; exit 1", (), "exited with 1"),
    "it leaves a writer behind": (
        "(while :; do echo x >>config/shop.ini; echo y >>new; done) &"
        "(setsid sh -c 'while :; do date >>z; done' &); exit 1",
        (),
        "exited with 1",
    ),
    "it deletes the stat cache": ('rm "$CACHE"; echo x >>config/shop.ini; exit 1', (), "exited with 1"),
    "the check fails": (
        "echo x >>config/shop.ini",
        ("--check", "true", "--check", "echo why; exit 9"),
        "check .*with 9",
    ),
    "the check hangs": ("echo x >n", ("--check", "trap '' TERM; sleep 600", "--check-timeout", "1"), "longer than 1 s"),
    "it cannot be started": ("", (), "could not be started"),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_way_to_go_wrong(installation: Path, before: Path, way: str) -> None:
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
    rolled_back(ran, installation, before, reason=reason)
    expected = [e for e in KEPT if script or e != "command-started"]
    if "writer" in way:
        expected.insert(5, "processes-left")
        left = next(e for e in ran.events if e["event"] == "processes-left")["processes"]
        assert len(left) >= 2
        assert not [p for p in left if Path(f"/proc/{p['pid']}/fd").exists()]
    if "directory" in way and "symlink" not in way:
        expected[-1] = "snapshot-failed"
    if "check" in way:
        expected += ["check-passed"] * (len(options) == 4 and "fails" in way) + ["check-failed"]
        assert ran.last["checks"][-1]["ok"] is False
    assert ran.names[:-3] == expected
    if "fails" in way:
        assert ran.last["checks"][-1]["output"] == "why\n"
    assert ran.last["post"] is None or ran.last["safety_snapshot"] or not script
    leftovers = sorted(installation.parent.glob("app.gitsnap-aside-*"))
    assert [p.read_text() for p in leftovers] == (["x\n"] if "'s place" in way else [])


@pytest.mark.skipif(not IS_ROOT, reason="only root can mount")
class TestOtherFileSystems:
    @pytest.fixture
    def mount(self) -> Iterator[Callable[[Path, str], None]]:
        done: list[Path] = []

        def tmpfs(where: Path, size: str) -> None:
            where.mkdir(parents=True, exist_ok=True)
            told = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", where], capture_output=True)
            if told.returncode:
                pytest.skip("nothing can be mounted here")
            done.append(where)

        yield tmpfs
        for where in reversed(done):
            subprocess.run(["umount", "-l", where], check=True)

    def test_it_changes_what_is_mounted_below(self, installation: Path, tmp_path: Path, mount: Any) -> None:
        mount(installation / "data/volume", "8m")
        (installation / "data/volume/table").write_text("rows\n")
        before = copy_tree(installation, tmp_path / "before")
        ran = upgrade(
            installation, script="echo more >>data/volume/table; mkdir data/volume/new; exit 1", cwd=installation
        )
        rolled_back(ran, installation, before, reason="exited with 1")
        assert os.path.ismount(installation / "data/volume")

    @pytest.mark.parametrize("junk", ["zero", "urandom"])
    def test_it_fills_the_disk(self, tmp_path: Path, mount: Any, junk: str) -> None:
        mount(tmp_path / "disk", "24m")
        app, home = build_app(tmp_path / "disk/app"), tmp_path / "disk/home"
        before = copy_tree(app, tmp_path / "before")
        ran = upgrade(app, script=f"rm -r modules; cat /dev/{junk} >junk", cwd=app, home=home)
        if junk == "zero":
            # What was held back for this leaves room for both snapshots.
            assert (ran.code, ran.last["outcome"]) == (20, "rolled-back")
            same_tree(before, app)
            return
        # What fills the disk cannot be kept safe, so nothing is taken away; the way out is said.
        assert ran.code == 21
        assert ran.names[-3:] == ["rollback-started", "rollback-failed", "upgrade-completed"]
        assert (ran.last["outcome"], ran.last["verified"]) == ("rollback-failed", False)
        told = json.loads(ran.stderr.splitlines()[-1])["error"]
        assert (told["code"], told["kind"]) == (21, "rollback-failed")
        assert "exited with 1" in told["message"]
        assert "No space left" in told["message"]
        again = run_gitsnap("-C", app, "list", home=home)
        assert "could not be rolled back" in again.stderr
        (app / "junk").unlink()
        command = re.search(r"to go back: +gitsnap (.*)", again.stderr)
        assert command
        run_gitsnap(*command[1].split(), "--yes", home=home)
        same_tree(before, app)
        assert run_gitsnap("-C", app, "list", home=home).stderr == ""


class TestOnFailure:
    def test_keep_returns_the_commands_own(self, installation: Path) -> None:
        for script, code, told in (("touch new; exit 7", 7, 7), ("kill -TERM $$", 143, -15)):
            ran = upgrade(installation, "--on-failure", "keep", script=script, cwd=installation)
            assert (ran.code, ran.last["exit_code"], ran.last["outcome"]) == (code, told, "kept")
        assert (installation / "new").exists()
        ran = upgrade(installation, "--on-failure", "keep", "--check", "false", script="true")
        assert (ran.code, ran.last["outcome"]) == (1, "kept")

    @pytest.mark.parametrize(("typed", "code"), [("y", 4), ("n", 20), ("", 20)])
    def test_ask(self, installation: Path, before: Path, typed: str, code: int) -> None:
        command = ["gitsnap", "-C", installation, "run", "--on-failure", "ask", "--", "sh", "-c", "echo x >new; exit 4"]
        found, shown = terminal(installation, command, answer=typed)
        assert (found, (installation / "new").exists()) == (code, code == 4)
        assert "exited with 4" in shown

    def test_ask_needs_a_terminal(self, installation: Path) -> None:
        refused("-C", installation, "run", "--on-failure", "ask", "--", "true", code=2)
        assert not (installation.parent / "sidecars").exists()


def terminal(app: Path, command: list[Any], **more: Any) -> tuple[int, str]:
    """Run gitsnap on a terminal, in the installation."""
    clean = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS")}
    env = clean | {"PYTHONPATH": str(REPOSITORY), "TERM": "xterm"}
    return on_terminal([sys.executable, "-m", *command], cwd=app, env=env, **more)


class TestTheTerminal:
    def test_is_the_commands(self, installation: Path) -> None:
        script = 'test -t 0 && test -t 1 && test -t 2 && stty size && read x && echo "got $x"'
        command = ["gitsnap", "-C", installation, "run", "--", "sh", "-c", script]
        code, shown = terminal(installation, command, press=b"typed\n", when=b"24 ", columns=91)
        assert code == 0, shown
        assert "24 91" in shown
        assert "got typed" in shown

    def test_ctrl_c_ends_the_command_and_rolls_back(self, installation: Path, before: Path) -> None:
        # A shell may swallow a Ctrl-C that comes just before it starts a command: by `ready` there is none any more.
        script = "rm -r config; (sleep 0.5; echo ready) & exec sleep 600"
        command = ["gitsnap", "-C", installation, "run", "--", "sh", "-c", script]
        code, shown = terminal(installation, command, press=b"\x03", when=b"ready")
        assert code == 20, shown
        assert "SIGINT" in shown
        same_tree(before, installation)

    def test_a_command_that_handles_ctrl_c_is_the_judge_of_it(self, installation: Path) -> None:
        script = "trap 'touch handled; exit 0' INT; echo ready; while :; do sleep 0.1; done"
        command = ["gitsnap", "-C", installation, "run", "--", "sh", "-c", script]
        code, shown = terminal(installation, command, press=b"\x03", when=b"ready")
        assert code == 0, shown
        assert (installation / "handled").exists()

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
    def test_signals_are_passed_on(self, installation: Path, before: Path, number: int) -> None:
        # Started on no terminal: the signal is ours alone.
        script = f"trap 'touch told' {number}; rm -r config; echo ready; while :; do sleep 0.1; done"
        started = start(installation, "run", "--", "sh", "-c", script, cwd=installation)
        assert started.stdout
        assert started.stdout.readline() == "ready\n"
        started.send_signal(number)
        _, told = started.communicate(timeout=300)
        assert started.returncode == 20, told
        assert f"interrupted by {signal.Signals(number).name}" in told
        same_tree(before, installation)
        upgrade_id = re.search(r"changelog (\S+)", told)
        assert upgrade_id
        assert "told" in run_gitsnap("-C", installation, "ls", f"{upgrade_id[1]}@post").stdout

    def test_a_closed_terminal(self, installation: Path, before: Path) -> None:
        ours, theirs = os.openpty()
        script = "rm -r config; echo ready; sleep 600"
        command = [sys.executable, "-m", "gitsnap", "-C", installation, "run", "--", "sh", "-c", script]
        setsid = ["setsid", "--ctty", "--wait", *map(str, command)]
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
        running = subprocess.Popen(
            setsid, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=installation
        )
        os.close(theirs)
        shown = b""
        while b"ready" not in shown:
            shown += os.read(ours, 4096)
        os.close(ours)
        running.wait(timeout=300)
        deadline = time.monotonic() + 300
        while run_gitsnap("-C", installation, "list").stdout.count("-safety") == 0 or not settled(installation):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        same_tree(before, installation)


def settled(app: Path) -> bool:
    return not (sidecar_of(app) / "gitsnap/upgrade.json").exists()


def start(app: Path, *args: str | Path, **more: Any) -> subprocess.Popen[str]:
    """Start gitsnap in the background."""
    command = [sys.executable, "-m", "gitsnap", "-C", app, *args]
    pipe = subprocess.PIPE
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment, **more)


class TestWhatIsRefused:
    def test_before_anything_is_started(self, installation: Path) -> None:
        for args in (
            ("run", "no-such-command"),
            ("run", "--timeout", "0", "true"),
            ("run", "--on-failure", "panic", "true"),
            ("run", "--events", "fd:77", "true"),
            ("run",),
        ):
            refused("-C", installation, *args, code=2)
        refused("-C", installation, "run", "--events", installation / "no/such", "true", code=1)

    @pytest.mark.skipif(not IS_ROOT, reason="needs another user")
    def test_a_snapshot_that_lacks_something(self, tmp_path: Path) -> None:
        home, app = tmp_path / "home", tmp_path / "app"
        for path in (home, app):
            path.mkdir()
        (app / "mine").write_text("x\n")
        (app / "secret").write_text("root's\n")
        (app / "secret").chmod(0o600)
        give(home, app, app / "mine")
        for path in (tmp_path, *tmp_path.parents):
            if path.stat().st_mode & 0o005 != 0o005:
                path.chmod(path.stat().st_mode | 0o005)
        code, _, told = gitsnap_as_user("-C", app, "run", "touch", app / "new", home=home)
        assert code == 3, told
        assert "secret" in told
        assert "nothing was started" in told
        assert not (app / "new").exists()
        assert gitsnap_as_user("-C", app, "list", home=home)[1].count("Z-") == 0
        assert gitsnap_as_user("-C", app, "run", "--incomplete", "touch", app / "new", home=home)[0] == 0
        assert (app / "new").exists()

    @pytest.mark.skipif(not IS_ROOT, reason="needs another user")
    def test_modes_that_lock_their_owner_out(self, tmp_path: Path) -> None:
        home, app = tmp_path / "home", tmp_path / "app"
        home.mkdir()
        build_app(app)
        give(home, app, *app.rglob("*"))
        for path in (tmp_path, *tmp_path.parents):
            if path.stat().st_mode & 0o005 != 0o005:
                path.chmod(path.stat().st_mode | 0o005)
        before = copy_tree(app, tmp_path / "before")
        args = ("-C", app, "run", "sh", "-c", 'chmod -R 000 "$GITSNAP_DIR"; exit 1')
        code, _, told = gitsnap_as_user(*args, home=home)
        assert code == 20, told
        same_tree(before, app)


class TestEvents:
    def test_to_a_file_line_by_line(self, installation: Path, tmp_path: Path) -> None:
        log = tmp_path / "events.jsonl"
        for count in (1, 2):
            done = run_gitsnap(
                "-C", installation, "run", "--events", log, "--", "sh", "-c", f"cat {log} >seen", cwd=installation
            )
            assert "kept" in done.stderr
            found = [json.loads(line) for line in log.read_text().splitlines()]
            assert [e["event"] for e in found].count("upgrade-completed") == count
        assert log.stat().st_mode & 0o777 == 0o600
        seen = [json.loads(line)["event"] for line in (installation / "seen").read_text().splitlines()]
        assert seen[-1] in ("command-started", "verified")

    def test_to_stdout_alone(self, installation: Path) -> None:
        done = run_gitsnap("-C", installation, "run", "--events", "-", "--", "echo", "the command's own")
        assert [e["event"] for e in lines(done.stdout)][-1] == "upgrade-completed"
        assert "the command's own" in done.stderr

    def test_to_a_descriptor_that_the_command_does_not_get(self, installation: Path) -> None:
        reading, writing = os.pipe()
        command = [sys.executable, "-m", "gitsnap", "-C", installation, "run", "--events", f"fd:{writing}", "--"]
        script = ["sh", "-c", f"test ! -e /proc/self/fd/{writing}"]
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
        subprocess.run([*command, *script], pass_fds=[writing], env=environment, check=True, capture_output=True)
        os.close(writing)
        with os.fdopen(reading) as file:
            assert lines(file.read())[-1]["outcome"] == "kept"

    def test_to_a_fifo(self, installation: Path, tmp_path: Path) -> None:
        fifo = tmp_path / "fifo"
        os.mkfifo(fifo)
        # Whoever waits for a writer to open it would wait for ever if there were none.
        with os.fdopen(os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)) as reader:
            run_gitsnap("-C", installation, "run", "--events", fifo, "--", "true")
            assert lines(reader.read())[-1]["outcome"] == "kept"

    def test_a_reader_that_goes_away_stops_nothing(self, installation: Path, tmp_path: Path) -> None:
        fifo = tmp_path / "fifo"
        os.mkfifo(fifo)
        reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        started = start(installation, "run", "--events", fifo, "--", "true")
        assert select.select([reading], [], [], 300)[0]
        os.close(reading)
        _, told = started.communicate(timeout=300)
        assert started.returncode == 0, told
        assert "events can no longer be written" in told

    def test_with_json_the_last_line_alone_is_on_stdout(self, installation: Path, tmp_path: Path) -> None:
        done = run_gitsnap("-C", installation, "--json", "run", "--events", tmp_path / "log", "--", "echo", "x")
        assert [e["event"] for e in lines(done.stdout)] == ["upgrade-completed"]
        assert lines((tmp_path / "log").read_text())[-1] == json.loads(done.stdout)

    def test_damage_that_comes_while_the_command_runs(self, installation: Path) -> None:
        take_snapshot(installation)
        packs = sidecar_of(installation) / "objects/pack"
        script = (
            f"for p in {packs}/*.pack; do printf XXXX | dd of=$p bs=1 seek=40 conv=notrunc 2>/dev/null; done; sleep 3"
        )
        ran = upgrade(installation, "--watch", "--on-failure", "keep", script=script)
        failed = [e for e in ran.events if e["event"] == "verify-failed"]
        assert len(failed) == 1
        assert ran.last["verified"] is False
        assert "in doubt" in ran.last["doubts"][0]


def test_a_failed_rollback_names_both_causes(installation: Path) -> None:
    take_snapshot(installation)
    packs = sidecar_of(installation) / "objects/pack"
    # What is gone from the directory as well cannot be mended from there.
    script = f"rm -r modules; rm -f {packs}/*; exit 5"
    done = run_gitsnap("-C", installation, "run", "--", "sh", "-c", script, cwd=installation, check=False)
    told = spoken(done, 21)
    assert "exited with 5" in told
    assert "rolling back failed too" in told


def test_retention_keeps_pairs_together(installation: Path) -> None:
    for number in range(3):
        script = f"echo {number} >new; exit {number % 2}"
        run_gitsnap(
            "-C", installation, "run", "--label", f"n{number}", "--", "sh", "-c", script, cwd=installation, check=False
        )
    left = json.loads(run_gitsnap("-C", installation, "--json", "prune", "--keep-last", "1").stdout)
    assert [d["snapshot"].partition("Z-n0-")[2][:3] for d in left["removed"]] == ["pos", "pre"]
    assert len(left["kept"]) == 5


def test_children_that_were_there_before_are_none_of_the_commands(installation: Path, gitsnap_home: Path) -> None:
    """A shell that becomes gitsnap has children: they are neither ended nor told of."""
    script = f"""
        sleep 600 >/dev/null 2>&1 & echo $!
        exec {sys.executable} -m gitsnap -C {installation} run -- sh -c 'echo x >config/x; exit 3'"""
    environment = os.environ | {"GITSNAP_HOME": str(gitsnap_home), "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(["sh", "-c", script], env=environment, capture_output=True, text=True)
    bystander = int(done.stdout.split()[0])
    try:
        assert done.returncode == 20, done.stderr
        assert not ended(bystander)
        assert "running" not in done.stderr
    finally:
        os.kill(bystander, signal.SIGKILL)
