"""What cannot be put back is foreseen and named; the rest comes back."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gitsnap.core.errors import GitsnapError
from gitsnap.core.model import Problem
from gitsnap.installation.disk import Disk
from gitsnap.ops.restore import rollback
from gitsnap.ops.restore.recover import recover
from gitsnap.ops.restore.result import Direction
from gitsnap.ops.restore.rollback import RollbackOptions
from tests.installation.test_mounts import Site
from tests.support.inprocess import Protected, workspace
from tests.support.installation import IS_ROOT, run_gitsnap, take_snapshot
from tests.support.processes import as_user, give, in_child, load_all

pytestmark = pytest.mark.skipif(not IS_ROOT, reason="only root can mount, set attributes and own for others")

IMMUTABLE = "is immutable (`chattr -i` lifts that)"
APPEND = "is append-only (`chattr -a` lifts that)"


@pytest.fixture
def site() -> Iterator[Site]:
    with workspace() as where, ExitStack() as stack:
        yield Site(where, stack)


class Attributes:
    """Sets attributes, which go when the test ends."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def set(self, flag: str, path: Path) -> None:
        if shutil.which("chattr") is None or subprocess.run(["chattr", f"+{flag}", path], check=False).returncode:
            pytest.skip("the file system has no such attribute")
        self._stack.callback(subprocess.run, ["chattr", f"-{flag}", path], check=False)


@pytest.fixture
def attributes(site: Site) -> Iterator[Attributes]:
    with ExitStack() as stack:
        yield Attributes(stack)


def write(app: Path, names: str, text: str) -> None:
    for name in names.split():
        (app / name).parent.mkdir(parents=True, exist_ok=True)
        (app / name).write_text(text)


def read_only(point: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro,bind", point], check=True)


def reasons(problems: list[Problem]) -> dict[str, str]:
    return {os.fsdecode(p.path): p.reason for p in problems}


def test_what_is_mounted_read_only_stays_and_the_rest_comes_back(site: Site) -> None:
    (site.where / "real").mkdir()
    point = site.bind("deep/r o", site.where / "real")
    write(site.app, "g", "1")
    write(point, "f sub/f", "1")
    protected = site.protect()
    first = protected.take().snapshot
    write(site.app, "g", "2")
    write(point, "f sub/f sub/new", "2")
    read_only(point)
    wanted = dict.fromkeys(
        ["deep/r o/f", "deep/r o/sub/f", "deep/r o/sub/new", "deep/r o/sub"],
        "is on a read-only file system, mounted at deep/r o",
    )
    plan = protected.rollback(first.id, dry_run=True).plan
    assert (reasons(plan.kept), plan.written) == (wanted, [b"g"])
    done = protected.rollback(first.id)
    assert (done.verified, reasons(done.incomplete)) == (True, wanted)
    assert ((site.app / "g").read_text(), (point / "f").read_text()) == ("1", "2")
    again = protected.rollback(first.id)
    assert (again.safety, again.verified, reasons(again.incomplete)) == (None, True, wanted)
    protected.assert_sound()


@pytest.mark.parametrize("how", ["read-only", "immutable", "append-only"])
def test_a_directory_that_cannot_be_changed_at_all_is_left_as_it_is(
    site: Site, attributes: Attributes, how: str
) -> None:
    app = site.app
    if how == "read-only":
        (site.where / "real").mkdir()
        site.bind(".", site.where / "real")
    write(app, "f", "1")
    protected = site.protect()
    first = protected.take().snapshot
    (app / "f").unlink()
    if how == "read-only":
        read_only(app)
    else:
        attributes.set("i" if how == "immutable" else "a", app)
    with pytest.raises(GitsnapError, match=how) as failed:
        protected.rollback(first.id)
    assert (failed.value.exit_code, failed.value.kind) == (1, "not-writable")
    assert protected.sidecar.pending is None
    assert os.listdir(app) == []
    assert [s.id for s in protected.snapshots()] == [first.id]


def test_what_chattr_keeps_is_named_and_the_rest_comes_back(site: Site, attributes: Attributes) -> None:
    app = site.app
    write(app, "log plain shut/f shut/gone gone/kept open/f both", "1")
    os.link(app / "both", app / "open/both")
    protected = site.protect()
    first = protected.take().snapshot
    write(app, "plain shut/f new/kept new/goes open/f both", "2")
    (app / "shut/gone").unlink()
    with (app / "log").open("a") as log:
        log.write("2")
    attributes.set("a", app / "log")
    attributes.set("i", app / "shut")
    attributes.set("i", app / "new/kept")
    attributes.set("i", app / "both")
    done = protected.rollback(first.id)
    assert done.verified
    told = reasons(done.incomplete)
    assert told == {
        "log": APPEND,
        "shut": IMMUTABLE,
        "shut/f": f"its directory {IMMUTABLE}",
        "shut/gone": f"its directory {IMMUTABLE}",
        "new/kept": IMMUTABLE,
        "new": "holds paths that have to stay",
        "both": IMMUTABLE,
        "open/both": IMMUTABLE,
    }
    assert [(app / n).read_text() for n in ("plain", "open/f")] == ["1", "1"]
    assert os.listdir(app / "new") == ["kept"]
    protected.assert_sound()


def test_a_stage_lies_where_one_can_be_made(site: Site, attributes: Attributes) -> None:
    app = site.app
    write(app, "top sub/f other/deep/f", "1")
    protected = site.protect()
    first = protected.take().snapshot
    write(app, "top sub/f other/deep/f", "2")
    attributes.set("i", app)
    attributes.set("i", app / "other")
    done = protected.rollback(first.id)
    assert (done.verified, reasons(done.incomplete)) == (True, {"top": f"the directory {IMMUTABLE}"})
    assert [(app / n).read_text() for n in ("top", "sub/f", "other/deep/f")] == ["2", "1", "1"]
    assert sorted(os.listdir(app)) == ["other", "sub", "top"]


def test_a_journal_that_has_to_stay_keeps_its_database(site: Site, attributes: Attributes) -> None:
    """SQLite would take it for one of the database that came back."""
    import sqlite3

    app = site.app
    database = sqlite3.connect(app / "a.db")
    database.executescript("pragma journal_mode=wal; create table t (n); insert into t values (1)")
    protected = site.protect()
    first = protected.take().snapshot
    database.execute("insert into t values (2)")
    database.commit()
    attributes.set("i", app / "a.db-wal")
    done = protected.rollback(first.id)
    assert reasons(done.incomplete)["a.db"] == f"the file beside it has to stay: it {IMMUTABLE}"
    assert database.execute("select count(*) from t").fetchone() == (2,)
    database.close()


def test_what_belongs_to_others_is_foreseen_for_an_ordinary_user() -> None:
    with workspace() as where:
        where.chmod(0o711)
        app, home = where / "app", where / "home"
        home.mkdir()
        write(app, "own sticky/f sticky/mine closed/f lent/f", "1")
        give(app, home, *app.rglob("*"))
        load_all()

        def first() -> str:
            with Protected(app, home) as protected:
                return protected.take().snapshot.id

        taken = as_user(first)
        write(app, "own sticky/f sticky/mine closed/f lent/f", "2")
        for name in ("sticky", "sticky/f", "closed", "closed/f", "lent", "lent/f"):
            os.chown(app / name, 0, 0)
        for name, mode in (("sticky", 0o1777), ("closed", 0o755), ("lent", 0o777)):
            (app / name).chmod(mode)

        def back() -> tuple[dict[str, str], dict[str, str], bool, dict[str, str]]:
            with Protected(app, home) as protected:
                plan = protected.rollback(taken, dry_run=True).plan
                done = protected.rollback(taken)
                return reasons(plan.kept), reasons(plan.foreseen), done.verified, reasons(done.incomplete)

        kept, _, verified, incomplete = as_user(back)
        owner = "belongs to root, who alone may set its mode and time"
        assert kept == {
            "sticky/f": "belongs to root, and its directory is sticky: only its owner may replace it",
            "closed/f": "its directory belongs to root, and is not writable",
            "sticky": owner,
            "closed": owner,
            "lent": owner,
        }
        assert (verified, incomplete) == (True, kept)
        names = ("own", "sticky/mine", "lent/f", "sticky/f", "closed/f")
        assert [(app / n).read_text() for n in names] == ["1", "1", "1", "2", "2"]


def test_owners_that_only_root_can_give_are_foreseen() -> None:
    with workspace() as where:
        where.chmod(0o711)
        app, home = where / "app", where / "home"
        home.mkdir()
        write(app, "f", "1")
        os.chown(app / "f", 0, 0)
        give(app, home)
        load_all()

        def work() -> dict[str, str]:
            with Protected(app, home) as protected:
                first = protected.take().snapshot.id
                (app / "f").unlink()
                return reasons(protected.rollback(first, dry_run=True).plan.foreseen)

        assert as_user(work) == {"f": "only root can give it its owner root and group root"}


def test_a_directory_that_stays_keeps_the_group_that_only_root_could_give() -> None:
    with workspace() as where:
        where.chmod(0o711)
        app, home = where / "app", where / "home"
        home.mkdir()
        write(app, "d/f", "1")
        give(app, home, app / "d", app / "d/f")
        os.chown(app / "d", -1, 0)
        load_all()

        def work() -> dict[str, str]:
            with Protected(app, home) as protected:
                first = protected.take().snapshot.id
                (app / "d").chmod(0o700)
                foreseen = reasons(protected.rollback(first, dry_run=True).plan.foreseen)
                return foreseen | reasons(protected.rollback(first).incomplete)

        assert as_user(work) == {}


def test_too_little_space_is_foreseen_on_the_file_system_that_lacks_it(site: Site) -> None:
    point = site.mount("small", "-t", "tmpfs", "-o", "size=256k", "tmpfs")
    (point / "big").write_bytes(os.urandom(150_000))
    protected = site.protect()
    first = protected.take().snapshot
    (point / "big").write_bytes(os.urandom(150_001))
    found = protected.rollback(first.id, dry_run=True).plan.foreseen
    assert [p.path for p in found] == [b"small"]
    assert "have to be written, and" in found[0].reason
    with pytest.raises(GitsnapError, match="nothing was touched") as failed:
        protected.rollback(first.id)
    assert failed.value.kind == "no-space"
    assert [s.id for s in protected.snapshots()] == [first.id]


def test_it_is_said_before_anything_happens_in_text_and_json(site: Site, attributes: Attributes) -> None:
    home = site.where / "home"
    write(site.app, "f g", "1")
    take_snapshot(site.app, home=home)
    write(site.app, "f g", "2")
    attributes.set("i", site.app / "f")
    shown = run_gitsnap("-C", site.app, "rollback", "-n", home=home).stdout
    assert f"keep     f ({IMMUTABLE})" in shown
    told = json.loads(run_gitsnap("-C", site.app, "--json", "rollback", "-n", home=home).stdout)
    assert told["incomplete"] == [{"path": "f", "reason": IMMUTABLE}]
    assert [s["path"] for s in told["steps"]] == ["g", ""]
    done = run_gitsnap("-C", site.app, "rollback", "-y", home=home, check=3)
    assert f"f: {IMMUTABLE}" in done.stderr


def test_an_upgrade_begins_with_what_could_not_be_put_back(site: Site, attributes: Attributes) -> None:
    home, app = site.where / "home", site.app
    write(app, "f log", "1")
    (site.where / "hosts").write_text("1")
    write(app, "hosts", "")
    site.bind("hosts", site.where / "hosts")
    attributes.set("a", app / "log")
    script = f"echo 2 >{app}/f; echo 2 >>{app}/log; echo 2 >{site.where}/hosts; exit 1"
    run_gitsnap("-C", app, "snapshot", home=home)
    done = run_gitsnap(
        "-C", app, "run", "--events", site.where / "events", "--", "sh", "-c", script, home=home, check=20
    )
    events = [json.loads(line) for line in (site.where / "events").read_text().splitlines()]
    names = [e["event"] for e in events]
    assert names.index("verified") < names.index("foreseen") < names.index("command-started")
    foreseen = next(e for e in events if e["event"] == "foreseen")
    assert {p["path"] for p in foreseen["problems"]} == {"hosts", "log"}
    before, _, after = done.stderr.partition("the command exited with 1")
    assert f"log: {APPEND}" in before
    assert f"log: {APPEND}" in after
    assert (app / "f").read_text() == "1"


def test_no_upgrade_is_started_that_could_not_be_rolled_back_at_all(site: Site) -> None:
    (site.where / "real").mkdir()
    home = site.where / "home"
    site.bind(".", site.where / "real")
    read_only(site.app)
    made = site.where / "made"
    refused = run_gitsnap("-C", site.app, "run", "--", "touch", made, home=home, check=1)
    assert "read-only" in refused.stderr
    assert not made.exists()
    run_gitsnap("-C", site.app, "run", "--on-failure", "keep", "--", "touch", made, home=home)
    assert made.exists()


class _Dies(Disk):
    """Ends the process at its second exchange, as a kill would."""

    exchanges = 0

    def exchange(self, stage: int, slot: bytes, parent: int, name: bytes) -> None:
        self.exchanges += 1
        if self.exchanges == 2:
            os._exit(0)
        super().exchange(stage, slot, parent, name)


@pytest.mark.parametrize("direction", [Direction.FINISH, Direction.REVERT])
def test_a_recovery_knows_what_could_not_be_changed(site: Site, attributes: Attributes, direction: Direction) -> None:
    app = site.app
    write(app, "a b c shut", "1")
    protected = site.protect()
    first = protected.take().snapshot
    write(app, "a b c shut", "2")
    attributes.set("i", app / "shut")

    def dies() -> None:
        rollback.rollback(protected.sidecar, first.id, protected.settings, RollbackOptions(protected.now, disk=_Dies()))

    with pytest.raises(ChildProcessError):
        in_child(dies)
    protected.reopen()
    assert protected.sidecar.pending is not None
    done = recover(protected.sidecar, direction, protected.settings, RollbackOptions(protected.now))
    assert done.verified
    finished = direction is Direction.FINISH
    assert reasons(done.incomplete) == ({"shut": IMMUTABLE} if finished else {})
    assert [(app / n).read_text() for n in "abc"] == ["1" if finished else "2"] * 3


def test_what_appears_while_names_move_still_puts_everything_back(site: Site, attributes: Attributes) -> None:
    app = site.app
    write(app, "a b c", "1")
    protected = site.protect()
    first = protected.take().snapshot
    write(app, "a b c", "2")

    class Locks(Disk):
        def exchange(self, stage: int, slot: bytes, parent: int, name: bytes) -> None:
            if name == b"b" and not done:
                attributes.set("i", app / "b")
                done.append(name)
            super().exchange(stage, slot, parent, name)

    done: list[bytes] = []
    with pytest.raises(GitsnapError, match="everything was put back") as failed:
        rollback.rollback(protected.sidecar, first.id, protected.settings, RollbackOptions(protected.now, disk=Locks()))
    assert failed.value.exit_code == 1
    assert [(app / n).read_text() for n in "abc"] == ["2", "2", "2"]
    assert protected.sidecar.pending is None


def test_undoing_an_upgrade_with_edits_foresees_it_too(site: Site, attributes: Attributes) -> None:
    home, app = site.where / "home", site.app
    write(app, "a b c", "1")
    command = f"for f in a b; do echo 2 >{app}/$f; done"
    run_gitsnap("-C", app, "run", "--", "sh", "-c", command, home=home)
    write(app, "c", "mine")
    attributes.set("i", app / "b")
    shown = run_gitsnap("-C", app, "rollback", "--keep-edits", "-n", home=home).stdout
    assert f"keep     b ({IMMUTABLE})" in shown
    told = json.loads(run_gitsnap("-C", app, "--json", "rollback", "--keep-edits", "-n", home=home).stdout)
    assert told["incomplete"] == [{"path": "b", "reason": IMMUTABLE}]
    run_gitsnap("-C", app, "rollback", "--keep-edits", "-y", home=home, check=3)
    assert [(app / n).read_text() for n in "abc"] == ["1", "2\n", "mine"]
