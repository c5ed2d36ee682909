"""Every kind of bad input: its exit code, one sentence, a hint, and nothing lost."""

from __future__ import annotations

import fcntl
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.cli.helpers import READ_ONLY, an_id, document, failure, parse, refused, spoken
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
from tests.support.processes import NOBODY, gitsnap_as_user, give


@pytest.fixture
def app(installation: Path) -> Path:
    """A protected installation with two snapshots, and a change since then."""
    take_snapshot(installation, "--label", "good")
    (installation / "bin/shop").write_bytes(b"second")
    take_snapshot(installation, "--label", "second")
    (installation / "bin/shop").write_bytes(b"changed")
    return installation


@contextmanager
def nothing_lost(app: Path) -> Iterator[None]:
    """Whatever happens inside: the directory stays as it is, and so do the snapshots."""
    before = copy_tree(app, app.with_name("nothing-lost"))
    listed = document("-C", app, "list")
    yield
    same_tree(before, app)
    assert document("-C", app, "list") == listed
    run_gitsnap("-C", app, "verify", "--all")
    assert os.listdir(sidecar_of(app) / "gitsnap/tmp") == []
    shutil.rmtree(before)


class TestSelectorsAndPaths:
    def test_snapshots_that_are_not_there(self, app: Path) -> None:
        with nothing_lost(app):
            for args in (("show", "nothing"), ("rollback", "-y", "nothing"), ("restore", "nothing", "bin")):
                assert "there is no snapshot 'nothing'" in refused("-C", app, *args, code=1, kind="no-such-snapshot")
            refused("-C", app, "delete", "latest", "nothing", code=1, kind="no-such-snapshot")
            refused("-C", app, "show", "latest~7", code=1, kind="no-such-snapshot")
            told = refused("-C", app, "rollback", "-y", "20", code=1, kind="ambiguous-snapshot")
            assert "type more of the id" in told
            assert "directory as it is" in refused("-C", app, "pin", "now", code=1, kind="no-such-snapshot")

    def test_no_snapshot_yet(self, installation: Path) -> None:
        run_gitsnap("-C", installation, "init")
        told = refused("-C", installation, "rollback", "-y", code=1, kind="no-such-snapshot")
        assert "snapshot` takes the first one" in told
        refused("-C", installation, "diff", code=1, kind="no-such-snapshot")

    def test_paths_that_are_not_there(self, app: Path) -> None:
        with nothing_lost(app):
            for args in (("cat", "latest", "no/such"), ("ls", "latest", "no/such"), ("restore", "latest", "no/such")):
                told = refused("-C", app, *args, code=1, kind="no-such-path")
                assert told.count("no/such") == 1
            refused("-C", app, "restore", "latest", "bin", "no/such", code=1, kind="no-such-path")
            refused("-C", app, "log", "no/such", code=1, kind="no-such-path")
            refused("-C", app, "diff", "--", "no/such", code=1, kind="no-such-path")
            assert "is a directory" in refused("-C", app, "cat", "latest", "bin", code=1, kind="not-a-file")
            refused("-C", app, "restore", "latest", "../escape", code=2, kind="usage")
            refused("-C", app, "cat", "latest", "/etc/passwd", code=2, kind="usage")

    def test_destinations_that_will_not_do(self, app: Path, tmp_path: Path) -> None:
        with nothing_lost(app):
            full = tmp_path / "full"
            full.mkdir()
            (full / "file").write_bytes(b"mine")
            assert "not empty" in refused("-C", app, "restore", "latest", "--to", full, code=1, kind="not-empty")
            refused("-C", app, "restore", "latest", "--to", full / "file", code=1)
            told = refused("-C", app, "restore", "latest", "--to", tmp_path / "no/such", code=1, kind="io")
            assert "its parent does not exist" in told
            refused("-C", app, "restore", "latest", "--to", app, code=1, kind="not-empty")
            assert (full / "file").read_bytes() == b"mine"

    def test_a_destination_inside_the_sidecar(self, app: Path) -> None:
        with nothing_lost(app):
            refused("-C", app, "restore", "latest", "--to", sidecar_of(app) / "copy", code=2, kind="usage")


class TestPlaces:
    def test_directories_that_cannot_be_protected(self, installation: Path, tmp_path: Path) -> None:
        for command in ("init", "snapshot", "list"):
            refused("-C", tmp_path / "no/such", command, code=1, kind="no-such-directory")
            refused("-C", installation / "bin/shop", command, code=1, kind="no-such-directory")
        told = refused("-C", tmp_path / "no/such", "init", code=1)
        assert f"the nearest that is there is {tmp_path}" in told
        for command in ("init", "snapshot"):
            assert "is too much" in refused("-C", "/", command, code=2, kind="usage")
            home = refused("-C", tmp_path, command, code=2, kind="usage", env={"HOME": str(tmp_path)})
            assert "is your home directory" in home
        assert list((tmp_path / "sidecars").glob("*")) == []

    def test_the_working_directory_is_gone(self, app: Path, tmp_path: Path) -> None:
        (tmp_path / "gone").mkdir()
        script = f'cd "{tmp_path}/gone" && rmdir "{tmp_path}/gone" && exec "{sys.executable}" -m gitsnap list'
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
        done = subprocess.run(["sh", "-c", script], env=environment, capture_output=True, text=True)
        assert "the working directory was removed" in spoken(done, 1)

    def test_nothing_is_protected(self, installation: Path, tmp_path: Path) -> None:
        for command in READ_ONLY:
            if command != "doctor":
                refused("-C", installation, *command.split(), code=10, kind="no-sidecar") if command == "list" else None
                assert run_gitsnap(*command.split(), cwd=installation, check=10).stdout == ""
        for command in ("rollback -y", "prune", "gc", "pin latest", "delete latest", "restore latest bin"):
            run_gitsnap("-C", installation, *command.split(), check=10)
        assert list(tmp_path.glob("sidecars/*")) == []

    def test_a_snapshot_from_below(self, app: Path) -> None:
        """Without -C, it is of the protected directory above, as every command is; not of one that is new."""
        taken = run_gitsnap("snapshot", cwd=app / "bin").stdout.strip()
        assert document("-C", app, "show")["id"] == taken
        assert len(os.listdir(os.environ["GITSNAP_HOME"])) == 1

    def test_the_directory_above_is_protected(self, app: Path) -> None:
        told = refused("-C", app / "bin", "status", code=10, kind="no-sidecar")
        assert f"gitsnap -C {app} …" in told
        assert run_gitsnap("status", cwd=app / "bin").stdout.startswith(f"installation  {app}\n")

    def test_stores_that_will_not_do(self, installation: Path, tmp_path: Path) -> None:
        before = copy_tree(installation, tmp_path / "before")
        (tmp_path / "occupied").mkdir()
        (tmp_path / "occupied/file").write_bytes(b"mine")
        for command in ("init", "snapshot"):
            for store in (installation, installation / "snapshots.git", installation / "a/b/c"):
                told = refused("-C", installation, "--store", store, command, code=2, kind="usage")
                assert "inside the installation" in told
            for store in (tmp_path / "occupied", tmp_path / "occupied/file", Path("/dev/null")):
                refused("-C", installation, "--store", store, command, code=2, kind="usage")
            refused("-C", installation, "--store", tmp_path / "occupied/file/below", command, code=1, kind="io")
        link = tmp_path / "link"
        link.symlink_to(installation / "bin")
        refused("-C", installation, "--store", link / "x.git", "init", code=2, kind="usage")
        same_tree(before, installation)
        assert (tmp_path / "occupied/file").read_bytes() == b"mine"
        assert os.listdir(tmp_path / "occupied") == ["file"]

    def test_a_store_of_another_installation(self, app: Path, tmp_path: Path) -> None:
        other = build_app(tmp_path / "other")
        store = sidecar_of(app)
        with nothing_lost(app):
            refused("-C", other, "--store", store, "snapshot", code=2, kind="usage")
            refused("-C", other, "--store", store, "rollback", "-y", code=1, kind="other-installation")
            assert (other / "bin/shop").read_bytes() != b"second"

    def test_no_such_store(self, app: Path, tmp_path: Path) -> None:
        with nothing_lost(app):
            told = refused("-C", app, "--store", tmp_path / "none", "list", code=10, kind="no-sidecar")
            assert "without --store its sidecar is found" in told
            refused("--store", tmp_path / "none", "list", code=10, kind="no-sidecar")
            refused("--store", app, "list", code=10, kind="no-sidecar")
            assert not (tmp_path / "none").exists()

    def test_the_installation_is_gone(self, app: Path, tmp_path: Path) -> None:
        """What the sidecar is for, in the end: it alone brings everything back."""
        before = copy_tree(app, tmp_path / "before")
        good = take_snapshot(app)
        store = sidecar_of(app)
        shutil.rmtree(app)
        refused("-C", app, "list", code=1, kind="no-such-directory")
        assert good in run_gitsnap("--store", store, "list").stdout
        refused("--store", store, "status", code=1)
        refused("--store", store, "snapshot", code=1)
        run_gitsnap("--store", store, "verify", "--all")
        run_gitsnap("--store", store, "restore", good, "--to", app)
        same_tree(before, app)
        assert run_gitsnap("-C", app, "status").stdout.count("as in the latest snapshot") == 1
        shutil.rmtree(app)
        run_gitsnap("--store", store, "rollback", "-y", good)
        same_tree(before, app)


class TestUsage:
    @pytest.mark.parametrize(
        "command",
        [
            "frobnicate",
            "list --frobnicate",
            "list surplus",
            "show latest surplus",
            "-C",
            "--store",
            "pin",
            "snapshot --label",
            "snapshot --label ///",
            "prune --keep-last many",
            "prune --keep-last -1",
            "prune --keep-last 0",
            "prune --keep-last 99999999999999999999x",
            "prune --keep-within soon",
            "prune --keep-within 0d",
            "prune --keep-within 99999999999y",
            "prune --keep-daily -1 --keep-last 1",
            "--lock-wait soon list",
            "--lock-wait -1 list",
            "--lock-wait nan list",
            "--lock-wait inf list",
            "diff latest now surplus",
            "diff now now",
            "verify --all --live",
            "verify --all latest",
            "restore latest",
            "restore latest bin --to x -n",
            "rollback",
            "rollback --frobnicate -y",
            "run --check '  ' -- true",
            "run ''",
            "run ./bin",
            "bundle verify /dev/null",
            "list --json=yes",
            "drill --check ''",
            "snapshot --tag ''",
            "describe latest --tag ///",
        ],
    )
    def test_says_what_is_wrong(self, app: Path, command: str) -> None:
        """The options that a command line ends with come first, so that they are what is missing a value."""
        words = shlex.split(command)
        args = words if command.startswith("-") and " " not in command else ["-C", str(app), *words]
        done = run_gitsnap(*args, check=False)
        spoken(done, 2)
        report = run_gitsnap("--json", *args, check=False)
        # What to type next is always told.
        assert failure(report.stderr, 2, "usage")["hint"]
        assert (done.stdout, report.stdout) == ("", "")

    def test_large_numbers_are_numbers(self, app: Path) -> None:
        with nothing_lost(app):
            run_gitsnap("-C", app, "prune", "--keep-last", "9" * 30)
            run_gitsnap("-C", app, "--lock-wait", "999999", "list")
            run_gitsnap("-C", app, "show", "latest~" + "9" * 30, check=1)


class TestConfiguration:
    @pytest.mark.parametrize(
        ("text", "word"),
        [
            ("[retention", "not valid TOML"),
            ("\xff", "not valid TOML"),
            ("[frobnicate]\n", "frobnicate"),
            ("capture = 1\n", "capture"),
            ("[capture]\nexlude = []\n", "exclude"),
            ("[capture]\nexclude = 'logs'\n", "list"),
            ("[capture]\nexclude = [1]\n", "list"),
            ("[retention]\nkeep-last = '2'\n", "keep-last"),
            ("[retention]\nkeep-last = -2\n", "keep-last"),
            ("[retention]\nkeep_last = 2\n", "keep_last"),
            ("[retention]\nkeep-within = 'soon'\n", "soon"),
            ("[retention]\nkeep-within = 5\n", "keep-within"),
            ("[components]\npreset = 'none'\n", "none"),
            ("[components]\na = 1\n", "component a"),
            ("[components]\npreset = ['claudio']\n", "preset"),
        ],
    )
    def test_files_that_make_no_sense(self, installation: Path, text: str, word: str) -> None:
        run_gitsnap("-C", installation, "init")
        take_snapshot(installation)
        (sidecar_of(installation) / "gitsnap.toml").write_bytes(text.encode("latin-1"))
        for command in (("snapshot",), ("rollback", "-y")):
            told = refused("-C", installation, *command, code=2, kind="usage")
            assert word in told
            assert "gitsnap.toml" in told

    def test_a_file_that_cannot_be_read(self, app: Path) -> None:
        (sidecar_of(app) / "gitsnap.toml").mkdir()
        assert "gitsnap.toml" in refused("-C", app, "snapshot", code=2, kind="usage")

    @pytest.mark.parametrize("rule", ["[z-a]", "[[:nonsense:]]", "a[", "logs\\"])
    def test_rules(self, installation: Path, rule: str) -> None:
        """A rule is followed as git does, or refused with its number: never half understood."""
        (installation / ".gitsnapignore").write_text(f"# rules\nspool/\n{rule}\n")
        done = run_gitsnap("-C", installation, "snapshot", check=False)
        if done.returncode:
            assert ".gitsnapignore" in spoken(done, 2)
        else:
            assert set(document("-C", installation, "show")["excluded"]) <= {"spool/", "logs", "a["}

    def test_an_ignore_file_that_is_none(self, installation: Path) -> None:
        (installation / ".gitsnapignore").write_bytes(b"x\n" * 600_000)
        refused("-C", installation, "snapshot", code=1)
        (installation / ".gitsnapignore").unlink()
        (installation / ".gitsnapignore").mkdir()
        take_snapshot(installation)


class TestLocks:
    @pytest.fixture
    def locked(self, app: Path) -> Iterator[Path]:
        with (sidecar_of(app) / "gitsnap/writer.lock").open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield app

    def test_writers_wait_their_turn(self, locked: Path) -> None:
        for command in ("snapshot", "rollback -y", "restore latest bin", "prune", "pin latest", "delete latest", "gc"):
            done = run_gitsnap("-C", locked, "--lock-wait", "0", *command.split(), check=False)
            assert "another gitsnap" in spoken(done, 11)
        report = run_gitsnap("-C", locked, "snapshot", "--json", "--lock-wait", "0", check=11).stderr
        assert "--lock-wait" in str(failure(report, 11, "locked")["hint"])
        started = time.monotonic()
        run_gitsnap("-C", locked, "snapshot", check=11, env={"GITSNAP_LOCK_WAIT": "0.7"})
        assert time.monotonic() - started > 0.7

    def test_readers_do_not_wait(self, locked: Path) -> None:
        for command in READ_ONLY:
            if not command.endswith(" -n"):
                run_gitsnap("-C", locked, "--lock-wait", "0", *command.split(), check=1 if "--live" in command else 0)

    def test_a_lock_that_goes_is_taken(self, app: Path) -> None:
        lock = sidecar_of(app) / "gitsnap/writer.lock"
        with lock.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            waiting = start("-C", app, "snapshot")
            wait_for(lambda: has_open(waiting.pid, lock))
            assert waiting.poll() is None
        assert waiting.communicate(timeout=300)
        assert waiting.returncode == 0


def start(*args: str | Path, **more: Any) -> subprocess.Popen[str]:
    """Start gitsnap and do not wait."""
    command = [sys.executable, "-m", "gitsnap", *map(str, args)]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)


def has_open(pid: int, path: Path) -> bool:
    """Whether a process holds a file open."""
    links = Path(f"/proc/{pid}/fd")
    with suppress(OSError):
        return any(os.path.lexists(link) and os.readlink(link) == str(path) for link in links.iterdir())
    return False


class TestInterruptions:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_long_snapshot(self, app: Path, number: signal.Signals) -> None:
        """The file is sparse, so that it is long to read and short to write."""
        with (app / "large").open("wb") as file:
            file.truncate(100 << 30)
        store = sidecar_of(app)
        with nothing_lost_but(app, "large"):
            running = start("-C", app, "snapshot", "--json", start_new_session=True)
            # Of zeros, this is a thousandth.
            wait_for(lambda: any(p.stat().st_size > 1 << 16 for p in store.glob("gitsnap/tmp/pack-*")))
            running.send_signal(number)
            out, err = running.communicate(timeout=300)
            assert (running.returncode, out) == (130, "")
            failure(err, 130, "interrupted")


@contextmanager
def nothing_lost_but(app: Path, name: str) -> Iterator[None]:
    """The same with one file that is too large to copy, and goes afterwards."""
    (app / name).rename(app.with_name(name))
    with nothing_lost(app):
        (app.with_name(name)).rename(app / name)
        moments = app.stat().st_mtime_ns
        yield
        assert app.stat().st_mtime_ns == moments
        (app / name).unlink()
        reference = app.with_name("nothing-lost").stat()
        os.utime(app, ns=(reference.st_atime_ns, reference.st_mtime_ns))


def wait_for(happens: Any, seconds: float = 300.0) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB."""
    where = tmp_path / "small"
    where.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", where], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield where
    subprocess.run(["umount", "-l", where], check=True)


def leave(where: Path, room: int) -> None:
    """Fill a file system until so many bytes are free."""
    filler = where / "filler"
    filler.unlink(missing_ok=True)
    free = os.statvfs(where)
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize - room)


class TestFullDisks:
    def test_the_one_that_a_copy_goes_to(self, app: Path, small_disk: Path) -> None:
        (app / "random").write_bytes(os.urandom(6_000_000))
        take_snapshot(app)
        there = small_disk / "copy"
        told = refused("-C", app, "restore", "latest", "--to", there, code=1, kind="no-space")
        assert "6.0 MB have to be written, and 4.2 MB are free on the file system of" in told
        assert f"the file system of {there};" in told
        assert f"mounted at {small_disk}" in told

    def test_the_sidecar_s(self, app: Path, small_disk: Path) -> None:
        store = small_disk / "store.git"
        shutil.move(sidecar_of(app), store)
        place = ("-C", app, "--store", store)
        (app / "random").write_bytes(os.urandom(6_000_000))
        before = copy_tree(app, app.with_name("before"))
        listed = document(*place, "list")
        for again in range(2):
            for command in ("snapshot", "rollback -y", "restore latest bin"):
                told = refused(*place, *command.split(), code=1, kind="no-space")
                assert f"mounted at {small_disk}" in told
                assert ("so the directory is untouched" in told) == (command != "snapshot")
                assert ("will not fit" in told and "nothing was written" in told) == (command == "snapshot")
                assert "make room" in told
                assert os.listdir(store / "gitsnap/tmp") == []
            if not again:
                leave(small_disk, 0)
        for command in READ_ONLY:
            if command != "diff" and not command.startswith("report"):  # They need room for what they compare.
                run_gitsnap(*place, *command.split(), check=1 if "--live" in command else 0)
        run_gitsnap(*place, "gc", check=False)
        # What a gc gives back is not enough, and half a deletion would be none.
        told = refused(*place, "delete", "latest", code=1, kind="no-space")
        assert f"no snapshot was removed: the file system of the sidecar, mounted at {small_disk}, is full" in told
        if run_gitsnap(*place, "pin", "latest", check=False).returncode == 0:
            listed["snapshots"][-1]["pinned"] = True
        (small_disk / "filler").unlink()
        same_tree(before, app)
        assert document(*place, "list") == listed
        assert parse(run_gitsnap(*place, "verify", "--all", "--json").stdout)
        assert run_gitsnap(*place, "git", "fsck", "--full", "--strict").stderr == ""

    def test_a_snapshot_that_leaves_no_room_for_retention_is_taken(self, app: Path, small_disk: Path) -> None:
        store = small_disk / "store.git"
        shutil.move(sidecar_of(app), store)
        place = ("-C", app, "--store", store)
        (store / "gitsnap.toml").write_text("[retention]\nkeep-last = 1\n")
        run_gitsnap(*place, "prune", "--yes")
        (app / "new").write_text("new\n")
        leave(small_disk, 120_000)
        taken = run_gitsnap(*place, "snapshot").stdout.strip()
        assert [s["id"] for s in document(*place, "list")["snapshots"]][-1] == taken
        assert len(document(*place, "list")["snapshots"]) == 2
        (small_disk / "filler").unlink()
        (app / "new").write_text("newer\n")
        taken = run_gitsnap(*place, "snapshot").stdout.strip()
        assert [s["id"] for s in document(*place, "list")["snapshots"]] == [taken]

    def test_the_installation_s(self, small_disk: Path, gitsnap_home: Path, tmp_path: Path) -> None:
        app = build_app(small_disk / "app")
        (app / "large").write_bytes(os.urandom(1_500_000))
        for number in range(100):
            (app / f"data/{number}").write_bytes(b"small")
        take_snapshot(app)
        (app / "large").unlink()
        shutil.rmtree(app / "data")
        (app / "bin/shop").write_bytes(b"changed")
        leave(small_disk, 1_200_000)
        before = copy_tree(app, tmp_path / "before")
        assert "nothing was touched" in refused("-C", app, "rollback", "-y", code=1, kind="no-space")
        same_tree(before, app)
        # Now the bytes fit, and the files do not: each takes a page.
        leave(small_disk, 1_600_000)
        assert "nothing was changed" in refused("-C", app, "rollback", "-y", code=1, kind="no-space")
        same_tree(before, app)
        (small_disk / "filler").unlink()
        run_gitsnap("-C", app, "rollback", "-y", "latest")
        assert len(os.listdir(app / "data")) == 101

    def test_a_limit_on_the_size_of_files(self, app: Path) -> None:
        (app / "random").write_bytes(os.urandom(3_000_000))
        with nothing_lost(app):
            limit = (1_000_000, 1_000_000)
            running = start("-C", app, "snapshot", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit))
            out, err = running.communicate(timeout=300)
            told = spoken(subprocess.CompletedProcess([], running.returncode, out, err), 1)
            assert "no snapshot was made" in told

    def test_a_read_only_one_can_still_be_restored_from(self, app: Path, small_disk: Path, tmp_path: Path) -> None:
        store = small_disk / "store.git"
        shutil.move(sidecar_of(app), store)
        subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
        for command in READ_ONLY:
            if not command.endswith(" -n"):
                run_gitsnap("--store", store, *command.split(), check=1 if "--live" in command else 0)
        run_gitsnap("--store", store, "restore", "latest", "--to", tmp_path / "copy")
        assert (tmp_path / "copy/bin/shop").read_bytes() == b"second"
        assert "Read-only" in refused("--store", store, "snapshot", code=1, kind="io")


class TestOrdinaryUsers:
    """Root reads everything, so what cannot be read has to be tried as somebody else."""

    @pytest.fixture
    def place(self) -> Iterator[Path]:
        """A directory of an ordinary user's own, which pytest's are not."""
        place = Path(tempfile.mkdtemp(prefix="gitsnap-test-"))
        build_app(place / "app")
        if IS_ROOT:
            subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", place], check=True)
        yield place
        shutil.rmtree(place)

    def run(self, place: Path, *args: str | Path) -> subprocess.CompletedProcess[str]:
        code, out, err = gitsnap_as_user("-C", place / "app", *args, home=place / "sidecars")
        return subprocess.CompletedProcess(args, code, out, err)

    def test_files_that_cannot_be_read(self, place: Path) -> None:
        app = place / "app"
        assert self.run(place, "snapshot").returncode == 0
        (app / "config/signing.key").chmod(0)
        (app / "data/blob.bin").write_bytes(b"changed")
        (app / "modules").chmod(0)
        done = self.run(place, "snapshot")
        assert done.returncode == 3
        assert an_id(done.stdout.strip())
        assert "2 paths could not be captured:" in done.stderr
        assert "  config/signing.key: Permission denied" in done.stderr
        assert "  modules: Permission denied" in done.stderr
        again = self.run(place, "snapshot", "--json")
        report = parse(again.stdout)
        assert (again.returncode, again.stderr) == (3, "")
        assert [p["path"] for p in report["partial"]] == ["config/signing.key", "modules"]
        assert report["snapshot"]["partial"] is True
        assert "[partial]" in self.run(place, "list").stdout
        for command in ("status", "diff"):
            assert self.run(place, command).returncode == 3
        assert self.run(place, "verify", "--all").returncode == 0

    def test_what_cannot_be_kept_safe_is_not_replaced(self, place: Path) -> None:
        app = place / "app"
        assert self.run(place, "snapshot").returncode == 0
        (app / "config/signing.key").write_bytes(b"another key")
        (app / "config/signing.key").chmod(0)
        told = spoken(self.run(place, "rollback", "-y"), 1)
        assert "nothing was touched" in told
        assert self.run(place, "list").stdout.count("Z-safety") == 0
        assert (app / "config/signing.key").stat().st_mode & 0o777 == 0
        (app / "config/signing.key").chmod(0o600)
        assert (app / "config/signing.key").read_bytes() == b"another key"
        assert self.run(place, "rollback", "-y").returncode == 0
        assert (app / "config/signing.key").read_bytes() == b"<a private key>\n"

    def test_a_directory_that_cannot_be_read(self, place: Path) -> None:
        (place / "app").chmod(0)
        for command in ("init", "snapshot"):
            spoken(self.run(place, command), 1)
        (place / "app").chmod(0o755)
        assert not (place / "sidecars").exists()

    def test_an_ignore_file_that_cannot_be_read(self, place: Path) -> None:
        (place / "app/.gitsnapignore").write_bytes(b"spool/\n")
        (place / "app/.gitsnapignore").chmod(0)
        give(place / "app/.gitsnapignore")
        assert "nothing was captured" in spoken(self.run(place, "snapshot"), 1)

    def test_a_store_where_one_may_not_write(self, place: Path) -> None:
        (place / "closed").mkdir(mode=0o555)
        give(place / "closed")
        for command in ("init", "snapshot"):
            told = spoken(self.run(place, "--store", place / "closed/x.git", command), 1)
            assert "Permission denied" in told
        assert os.listdir(place / "closed") == []

    def test_a_sidecar_of_somebody_else(self, place: Path) -> None:
        assert self.run(place, "snapshot").returncode == 0
        store = next((place / "sidecars").iterdir())
        if IS_ROOT:
            told = refused("-C", place / "app", "list", code=1, kind="foreign-sidecar", home=place / "sidecars")
            assert f"belongs to user {NOBODY}" in told
        store.chmod(0o777)
        assert "can be written by others" in spoken(self.run(place, "list"), 1)
        store.chmod(0o700)
        assert self.run(place, "list").returncode == 0

    @pytest.mark.skipif(not IS_ROOT, reason="needs root to prepare files of other owners")
    def test_owners_that_cannot_be_given_back(self, place: Path) -> None:
        """Only root can give files away: the rest comes back, and the paths are named."""
        os.chown(place / "app/bin/shop", 0, 0)
        assert self.run(place, "snapshot").returncode == 0
        (place / "app/bin/shop").unlink()
        done = self.run(place, "rollback", "-y")
        assert done.returncode == 3
        assert "  bin/shop: " in done.stderr
        assert (place / "app/bin/shop").exists()
