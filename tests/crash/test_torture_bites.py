"""The proof bites: with a protection switched off, each kind of trouble finds something lost."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import gitsnap.core.paths
import gitsnap.installation.apply.executor
import gitsnap.installation.directories
import gitsnap.installation.scan.read_content
import gitsnap.installation.scan.scanner
import gitsnap.installation.stable_read
import gitsnap.sidecar.git.objects
import gitsnap.sidecar.git.pack_file
import gitsnap.sidecar.git.refs
import gitsnap.sidecar.git.trees
import gitsnap.sidecar.integrity
import gitsnap.sidecar.lost_refs
import gitsnap.sidecar.publish
import gitsnap.sidecar.stale_files
import gitsnap.sidecar.state.register
import gitsnap.sidecar.state.seal
from gitsnap.core.model import Inventory
from gitsnap.sidecar.state.register import Register
from tests.crash import faults
from tests.crash.faults import Mode
from tests.support.inprocess import bare_git
from tests.torture import (
    binned,
    carried,
    churn,
    cloned,
    damaged,
    exchanged,
    forge,
    fuzzed,
    hostile,
    interrupted,
    logged,
    power,
    private,
    races,
    together,
    waiting,
)
from tests.torture.damaged import Damage
from tests.torture.kinds import Share, Tally
from tests.torture.scene import Scene, small_scene


@pytest.fixture
def scene() -> Iterator[Scene]:
    with small_scene() as made:
        yield made


def mutant(monkeypatch: pytest.MonkeyPatch, patch: str) -> None:
    """Have the faulty commands run with `patch` executed first."""
    monkeypatch.setattr(faults, "gitsnap", partial(faults.gitsnap, patch=patch))


def hit(scene: Scene, case: interrupted.Case, mode: Mode, name: str, path: str, errno: int | None = None) -> Tally:
    """The case with a fault at each call of this name on such a path."""
    points = [
        c
        for c in faults.calls(case.argv(scene), faults.environment(scene.home))
        if c.name in name.split() and path in c.path
    ]
    assert points, f"no {name} on {path}"
    tally = Tally()
    interrupted.faulty(case, iter([(c, mode, errno) for c in points]), scene, tally)
    return tally


@pytest.mark.faults
def test_a_ref_before_its_objects(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant(
        monkeypatch,
        "import gitsnap.sidecar.git.pack_write as p, os\n"
        "original = p.PackWriter.finish\n"
        "class Late:\n"
        "    oids = frozenset()\n"
        "pending = []\n"
        "def finish(self):\n"
        "    pending.append(self)\n"
        "    late = Late(); late.keep = '/dev/null/none'\n"
        "    return None\n"
        "p.PackWriter.finish = finish\n"
        "import gitsnap.sidecar.state.reflog as s\n"
        "remember = s.remember\n"
        "def after(*a):\n"
        "    written = original(pending.pop())\n"
        "    written.release()\n"
        "    remember(*a)\n"
        "s.remember = after",
    )
    tally = hit(scene, interrupted.SNAPSHOT, Mode.KILL, "rename", ".pack")
    assert tally.lost


@pytest.mark.faults
def test_locks_that_outlive_their_process(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gitsnap.sidecar.stale_files, "_unlock", lambda *_: None)
    tally = hit(scene, interrupted.SNAPSHOT, Mode.KILL_AFTER, "link", "manifest.lock")
    assert any("the next snapshot: exit 11" in complaint for complaint in tally.lost)


@pytest.mark.faults
def test_a_seal_that_is_not_written_before(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant(
        monkeypatch,
        "import gitsnap.sidecar.state.seal as s\n"
        "write = s._write\n"
        "s._write = lambda sidecar, allowed, settled: write(sidecar, allowed, settled=True) if settled else None",
    )
    tally = hit(scene, interrupted.SNAPSHOT, Mode.KILL_AFTER, "rename", "refs/gitsnap/snapshots/")
    assert tally.lost


@pytest.mark.faults
def test_an_error_that_is_not_told(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant(
        monkeypatch,
        "import gitsnap.sidecar.git.refs as r\n"
        "from gitsnap.sidecar.git.refs import Refs\n"
        "create = Refs.create\n"
        "def careless(self, name, value):\n"
        "    try:\n"
        "        create(self, name, value)\n"
        "    except OSError:\n"
        "        pass\n"
        "Refs.create = careless\n"
        "import gitsnap.sidecar.publish as p\n"
        "p.check = lambda *_: None",
    )
    tally = hit(scene, interrupted.SNAPSHOT, Mode.ERROR, "rename", "refs/gitsnap/snapshots/", 28)
    assert any("exit 0: list: exit 12" in complaint for complaint in tally.lost)


def test_nothing_that_vouches_for_the_refs(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged.collected(scene)
    scene.save()
    lost = next(iter(scene.states))
    data = (scene.store / "packed-refs").read_bytes()
    bit = (data.index(f"snapshots/{lost}".encode()) + 3) * 8
    flip = Damage(Path("packed-refs"), "flip", bit)
    flip.do(scene.store)
    assert damaged.judge(scene, str(flip)) is None
    scene.reset()
    monkeypatch.setattr(gitsnap.sidecar.state.seal, "load", lambda _: None)
    monkeypatch.setattr(gitsnap.sidecar.state.seal, "problems", lambda _: [])
    monkeypatch.setattr(gitsnap.sidecar.state.seal, "consistent", lambda _, read: (None, read(), None))
    monkeypatch.setattr("gitsnap.ops.check.verify._timeline_problems", lambda *_: [])
    monkeypatch.setattr(gitsnap.sidecar.state.register, "load", lambda _: Register({}, {}))
    monkeypatch.setattr(gitsnap.sidecar.lost_refs, "_commits", lambda _: iter(()))
    flip.do(scene.store)
    assert "verify finds nothing" in (damaged.judge(scene, str(flip)) or "")


def test_a_verification_that_reads_nothing(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    packs = [p.relative_to(scene.store) for p in scene.store.glob("objects/pack/*.pack")]
    flips = [Damage(p, "flip", (scene.store / p).stat().st_size * 4) for p in packs]
    monkeypatch.setattr("gitsnap.ops.check.verify.verify_snapshot", lambda s, snapshot, *_: _verdict(snapshot.id))
    monkeypatch.setattr(gitsnap.sidecar.integrity, "check_objects", lambda _: [])
    found = []
    for flip in flips:
        scene.reset()
        flip.do(scene.store)
        found.append(damaged.judge(scene, str(flip)) or "")
    assert any("verify finds nothing" in complaint for complaint in found)


def _verdict(name: str) -> Any:
    from gitsnap.ops.check.verdict import Verdict

    return Verdict(name)


def test_names_that_are_not_checked(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    (scene.top / "outside").mkdir()
    case = hostile.REFUSED["an escape in lower case"]
    assert hostile.attack(scene, "lower case", case, accept=False) is None
    monkeypatch.setattr(hostile, "_bounded", _forked)
    monkeypatch.setattr(gitsnap.sidecar.git.trees, "decode_component", lambda name, link=False: b".git")
    assert hostile.attack(scene, "lower case", case, accept=False)


def test_trees_that_may_disagree(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    (scene.top / "outside").mkdir()
    monkeypatch.setattr(hostile, "_bounded", _forked)
    monkeypatch.setattr("gitsnap.sidecar.contents.disagreements", _join_blindly)
    case = hostile.REFUSED["a file that the manifest does not name"]
    assert hostile.attack(scene, "not in the manifest", case, accept=False)


def _join_blindly(sidecar: Any, snapshot: Any, found: Inventory, listed: Any) -> Iterator[tuple[bytes, str]]:
    import hashlib

    entries = found.by_path()
    for leaf in gitsnap.sidecar.git.trees.flatten(sidecar.objects, bytes.fromhex(snapshot.tree), 1000):
        entries[leaf.path].oid = leaf.oid
        content = sidecar.objects.read(leaf.oid)[1]
        entries[leaf.path].sha256 = hashlib.sha256(content).digest()
    return iter(())


def _forked(scene: Scene, *args: str) -> Any:
    """In a process that shares what this test has replaced."""
    done = scene.gitsnap(*args)
    done.stderr, done.stdout = done.stderr.decode(), done.stdout.decode()  # type: ignore[assignment]
    return done


def test_reading_through_symlinks(monkeypatch: pytest.MonkeyPatch) -> None:
    followed = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    monkeypatch.setattr(gitsnap.installation.directories, "OPEN_DIRECTORY", followed)
    # A race, which a busy machine may not run into at the first try.
    tries = (races.reading(Share(100)) for _ in range(50))
    assert any("leaked" in complaint for tally in tries for complaint in tally.lost)


def test_writing_through_symlinks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Directories of the installation are opened by their paths, as a naive restore does."""

    def fd(self: Any, path: bytes) -> int:
        if not path:
            return self.root  # type: ignore[no-any-return]
        base = os.readlink(b"/proc/self/fd/%d" % self.root)
        return os.open(base + b"/" + path, os.O_RDONLY | os.O_DIRECTORY)

    monkeypatch.setattr(gitsnap.installation.directories.Directories, "fd", fd)
    assert any("ESCAPED" in complaint for complaint in races.writing(Share(300)).lost)


def test_no_keep_while_a_snapshot_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gc of somebody's comes between the pack and the ref, and takes the pack."""
    keep = gitsnap.sidecar.git.pack_file._write_synced

    def no_keep(path: str, pieces: Iterable[bytes]) -> None:
        keep(path, pieces)
        if path.endswith(".keep"):
            os.rename(path, path.removesuffix(".keep") + ".kept")

    monkeypatch.setattr(gitsnap.sidecar.git.pack_file, "_write_synced", no_keep)
    with _gc_before_refs(monkeypatch):
        assert churn.run(Share(2), foreign=False).lost


@contextmanager
def _gc_before_refs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    changing = gitsnap.sidecar.state.seal.changing

    @contextmanager
    def collected(sidecar: Any, wanted: Any) -> Iterator[None]:
        bare_git(Path(sidecar.path), "gc", "--quiet", "--prune=now")
        with changing(sidecar, wanted):
            yield

    monkeypatch.setattr(gitsnap.sidecar.publish.seal, "changing", collected)
    yield


def test_a_gc_before_the_refs_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The counterpart of the test above: with the `.keep`, nothing is lost."""
    with _gc_before_refs(monkeypatch):
        assert churn.run(Share(2), foreign=False).lost == []


def test_files_that_are_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading is slow, and no look at a file's times follows it; with that look nothing is torn."""
    monkeypatch.setattr(gitsnap.installation.stable_read, "_all", _slowly)
    assert churn.run(Share(2), foreign=False).lost == []
    for module in (
        gitsnap.installation.scan.scanner,
        gitsnap.installation.scan.read_content,
        gitsnap.installation.stable_read,
    ):
        monkeypatch.setattr(module, "key", lambda found: b"all alike")
    monkeypatch.setattr(gitsnap.installation.scan.scanner, "_settled", lambda *_: True)
    monkeypatch.setattr(gitsnap.installation.scan.read_content, "settled", lambda *_: True)
    # A race, which a busy machine may not run into at the first try.
    tries = (churn.run(Share(4), foreign=False) for _ in range(10))
    assert any("torn" in complaint for tally in tries for complaint in tally.lost)


def _slowly(file: int, size: int) -> bytes:
    parts: list[bytes] = []
    while (at := sum(map(len, parts))) <= size and (data := os.pread(file, min(30_000, size + 1 - at), at)):
        parts.append(data)
        time.sleep(0.002)
    return b"".join(parts)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_directories_that_are_not_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers of other users see what comes back before its directory has its mode."""
    monkeypatch.setattr(gitsnap.installation.apply.executor.Executor, "_close", lambda _: None)
    # A race, which a busy machine may not run into at the first try.
    assert any(private.watched_rollbacks(Share(3)).lost for _ in range(20))


@pytest.mark.faults
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_directories_that_are_not_closed_when_it_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    mutant(monkeypatch, "from gitsnap.installation.apply.executor import Executor\nExecutor._close = lambda _: None")
    assert any("read" in complaint for complaint in private.rollback_killed(Share(9)).lost)


@pytest.mark.faults
def test_directories_that_are_listed_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    """On btrfs, a stage that was empty when it was opened stays so for whoever does not rewind."""
    patch = "import gitsnap.installation.directories as d\nd.present = lambda fd: fd"
    mutant(monkeypatch, patch)
    # Not even a rollback to which nothing happens comes to its end.
    with pytest.raises(AssertionError, match="Directory not empty"):
        pytest.skip(carried.btrfs_killed(Share(1)).note)


@pytest.mark.faults
def test_directories_that_are_not_told_of_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rollback of several that is killed between two leaves a mixture, unless all were told where all go."""
    mutant(monkeypatch, "import gitsnap.ops.sets.all_or_nothing as g\ng.announce = lambda *_: None")
    assert any("mixture" in complaint for complaint in together.rollback_killed(Share(12)).lost)


@pytest.mark.faults
@pytest.mark.parametrize("cut", [False, True])
def test_directories_that_are_not_told_when_one_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: bool
) -> None:
    """From the middle on nothing can be written, or the power of one is gone."""
    mutant(monkeypatch, "import gitsnap.ops.sets.all_or_nothing as g\ng.announce = lambda *_: None")
    with ExitStack() as stack:
        try:
            disk = stack.enter_context(power.disk("ext4", tmp_path)) if cut else None
        except OSError as error:
            pytest.skip(str(error))
        made = stack.enter_context(together.scene(True, disk))
        allowed = together.back(made)
        # In reverse order, it is the second.
        tally = at_calls(
            made,
            lambda made, _, number: str(together.settled(made, number, allowed)),
            (Mode.KILL_AFTER, None) if cut else (Mode.ERROR_FROM, 5),
            "renameat2",
            "/live/etc",
        )
    assert any("mixture" in complaint for complaint in tally.lost)


def at_calls(made: Any, judge: Any, fault: tuple[Mode, int | None], name: str, path: str) -> Tally:
    """A scene's command with a fault at the first two calls of this name on such a path, each of them twice."""
    points = [c for c in made.calls() if c.name == name and path in c.path][:2]
    assert points, f"no {name} on {path}"
    tally = Tally()
    carried.hit(made, [(c, *fault) for c in points for _ in range(2)], judge, tally)
    return tally


@pytest.mark.faults
@pytest.mark.parametrize(
    ("prepare", "judge", "patch", "fault", "where", "told"),
    [
        # Nobody knows that it was stopped.
        (
            waiting.soak,
            waiting.passing,
            "import gitsnap.sidecar.state.stopped_service as m\nm.write = lambda *_, **__: None",
            (Mode.KILL_AFTER, None),
            ("write", "/svc"),
            "the service",
        ),
        # That it is kept is not written down first.
        (
            waiting.undecided,
            waiting.kept,
            "import gitsnap.sidecar.state.upgrade_record as r\n"
            "r.decide = lambda sidecar, wait, change: change(r.load(sidecar))",
            (Mode.KILL, None),
            ("unlink", "upgrade.json"),
            "the record was",
        ),
        # It says that it went back.
        (
            waiting.soak,
            waiting.either,
            "import gitsnap.ops.upgrade.lifecycle as l\n"
            "from gitsnap.core.outcome import Outcome\n"
            "def roll_back(self, result, quiesce):\n"
            "    result.outcome, result.verified = Outcome.ROLLED_BACK, True\n"
            "l.Upgrade._roll_back = roll_back",
            (Mode.ERROR, 5),
            ("mkdir", "/app/made"),
            "exit 20",
        ),
    ],
)
def test_an_upgrade_that_waits_without(
    monkeypatch: pytest.MonkeyPatch, prepare: Any, judge: Any, patch: str, fault: Any, where: Any, told: str
) -> None:
    with waiting.scene() as made:
        prepare(made)
        mutant(monkeypatch, patch)
        tally = at_calls(made, judge, fault, *where)
    assert any(told in complaint for complaint in tally.lost), tally.lost


@pytest.mark.faults
@pytest.mark.parametrize(
    ("prepare", "judge", "patch", "where"),
    [
        # Into the bin, and there is none.
        (
            binned.to_delete,
            binned.deleted,
            "from gitsnap.sidecar.git.refs import Refs\n"
            "change = Refs.change\n"
            "Refs.change = lambda self, name, *more: None if '/deleted/' in name else change(self, name, *more)",
            ("unlink", "/gitsnap/snapshots/"),
        ),
        # Out of it, and not back.
        (
            binned.to_undelete,
            binned.undeleted,
            "from gitsnap.sidecar.git.refs import Refs\nRefs.create = lambda *_: None",
            ("unlink", "/gitsnap/deleted/"),
        ),
        # Said to be there before it is.
        (
            binned.to_describe,
            binned.described,
            "import gitsnap.sidecar.records as r\n"
            "from gitsnap.sidecar.git import pack_write as p\n"
            "Writer = p.PackWriter\n"
            "p.PackWriter = type('Lost', (Writer,), {'finish': lambda self: None})",
            ("rename", "gitsnap/seal"),
        ),
        # Nobody knows that there is something to finish.
        (
            binned.to_purge,
            binned.purged,
            "import gitsnap.ops.store.purge as p\np._note = lambda *_: None",
            ("rename", "gitsnap/register"),
        ),
        # The seal is not told of what goes.
        (
            binned.to_limit,
            binned.limited,
            "import contextlib, gitsnap.sidecar.withdraw as w\n"
            "class Seal:\n"
            "    changing = staticmethod(lambda *_: contextlib.nullcontext())\n"
            "w.seal = Seal",
            ("rename", "gitsnap/compacted"),
        ),
    ],
)
def test_a_bin_without(monkeypatch: pytest.MonkeyPatch, prepare: Any, judge: Any, patch: str, where: Any) -> None:
    with binned.scene() as made:
        prepare(made)
        mutant(monkeypatch, patch)
        assert at_calls(made, judge, (Mode.KILL_AFTER, None), *where).lost


@pytest.mark.faults
@pytest.mark.parametrize(
    ("judge", "patch", "fault", "told"),
    [
        # The seal is not told of a line before that is there.
        (
            logged.after_a_kill(Mode.KILL_AFTER),
            "import gitsnap.sidecar.state.audit as a\n"
            "write = a._write_slot\n"
            "a._write_slot = lambda fd, sealed, **how: None if sealed.coming else write(fd, sealed, **how)",
            (Mode.KILL_AFTER, None),
            "added at the end",
        ),
        # Synced before it is written.
        (
            logged.after_a_kill(Mode.KILL_AFTER),
            "import os, gitsnap.sidecar.state.audit as a\n"
            "def add(path, data, at):\n"
            "    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)\n"
            "    os.fdatasync(fd)\n"
            "    os.pwrite(fd, data, at)\n"
            "    os.close(fd)\n"
            "a._add = add",
            None,
            "lines were durable",
        ),
        # That a line is missing is not said.
        (
            logged.after_an_error,
            "from gitsnap.ops.audit.act import Act\nAct._warn = lambda *_: None",
            (Mode.ERROR, 28),
            "not a word",
        ),
    ],
)
def test_an_audit_log_without(monkeypatch: pytest.MonkeyPatch, judge: Any, patch: str, fault: Any, told: str) -> None:
    try:
        with logged.scene(logged.another, disk=fault is None) as made:
            mutant(monkeypatch, patch)
            tally = at_calls(made, judge, fault or (Mode.KILL_AFTER, None), "pwrite64", ".jsonl")
    except OSError as error:
        pytest.skip(str(error))
    assert any(told in complaint for complaint in tally.lost), tally.lost


def test_a_parser_that_fails_as_it_likes() -> None:
    def careless(data: bytes) -> object:
        return forge.listing({"a": data}).decode("ascii")[data[3]]

    assert fuzzed.complaint("careless", careless, b"ab")


def _hit_clone(scene: Scene, name: str, path: str) -> Tally:
    cloned.arrange(scene)
    cloned.prepare(scene, cloned.CLONE)
    argv = faults.gitsnap(*cloned.CLONE.argv(scene))
    found = faults.calls(argv, faults.environment(scene.home))
    points = [c for c in found if c.name == name and path in c.path][:1]
    assert points, f"no {name} on {path}"
    tally = Tally()
    cloned.faulty(scene, cloned.CLONE, [(c, Mode.KILL, None) for c in points], tally)
    return tally


@pytest.mark.faults
def test_a_sidecar_that_is_built_in_its_place(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant(
        monkeypatch,
        "import gitsnap.ops.remote.building as b, gitsnap.ops.remote.clone as c, contextlib, os\n"
        "look, looked = c.require_startable, []\n"
        "c.require_startable = lambda *of: looked or looked.append(look(*of))\n"
        "@contextlib.contextmanager\n"
        "def building(store, installation, wait):\n"
        "    os.makedirs(store, mode=0o700)\n"
        "    b.creation.lay_out(store, installation)\n"
        "    yield store\n"
        "b.building = building\n"
        "b.appear = lambda path, store: None",
    )
    assert _hit_clone(scene, "rename", ".pack").lost


@pytest.mark.faults
def test_a_clone_that_leaves_no_word(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant(monkeypatch, "import gitsnap.sidecar.state.clone_mark as m\nm.write = lambda *a: None")
    assert _hit_clone(scene, "mkdir", ".gitsnap-clone-").lost


@pytest.mark.faults
@pytest.mark.parametrize(
    ("case", "patch", "name", "path"),
    [
        (
            exchanged.INTO_FOLDER,
            "import gitsnap.ops.remote.bundle as b, contextlib, os\n"
            "@contextlib.contextmanager\n"
            "def target(file, out):\n"
            "    fd = os.open(file, os.O_CREAT | os.O_RDWR | os.O_TRUNC, 0o600)\n"
            "    yield fd\n"
            "b.whole_file = target",
            "write",
            "there/000001-000002",
        ),
        (
            exchanged.PULL,
            "import gitsnap.sidecar.incoming as i, contextlib, types\n"
            "i.seal = types.SimpleNamespace(changing=lambda *of: contextlib.nullcontext())",
            "write",
            "audit",
        ),
    ],
    ids=["a bundle that is written in its place", "a pull that does not seal what it shows"],
)
def test_an_exchange_without(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, case: exchanged.Exchange, patch: str, name: str, path: str
) -> None:
    def chosen(calls: list[faults.Call]) -> list[exchanged.Plan]:
        return [(c, Mode.TORN, None) for c in calls if name in c.name and path in c.path][-1:]

    mutant(monkeypatch, patch)
    tally = exchanged.run(scene, case, chosen)
    assert tally.points and tally.lost
