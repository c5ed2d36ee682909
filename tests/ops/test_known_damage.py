"""Damage that is known is told until it is healed, whoever found it; and nothing else is told."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitsnap.core.errors import IntegrityError
from gitsnap.core.model import Kind
from gitsnap.ops.check import verify
from gitsnap.ops.live import damage
from gitsnap.ops.parallel.pool import processors
from gitsnap.sidecar.git import refs
from gitsnap.sidecar.repository import Sidecar
from tests.support.inprocess import Protected, bare_git, workspace
from tests.support.installation import run_gitsnap


class Damaged(Protected):
    """Two snapshots that share `same`; each has a `file` of its own. Every object is a file of its own."""

    def __init__(self, top: Path) -> None:
        self.home = top / "home"
        (top / "app").mkdir()
        super().__init__(top / "app", self.home)
        (self.root / "same").write_bytes(os.urandom(500))
        self.ids = []
        for text in ("one", "two"):
            (self.root / "file").write_text(text)
            self.ids.append(self.take().snapshot.id)
        self.unpack()

    def unpack(self) -> None:
        packs = self.store / "objects/pack"
        for pack in list(packs.glob("*.pack")):
            moved = pack.rename(self.home.parent / pack.name)
            bare_git(self.store, "unpack-objects", "-q", stdin=moved.read_bytes())
            moved.unlink()
        for left in packs.iterdir():
            left.unlink()
        self.reopen()

    def damage(self, what: str, *, missing: bool = False) -> bytes:
        """The content before."""
        oid = self.git("rev-parse", what).decode().strip()
        path = self.store / "objects" / oid[:2] / oid[2:]
        before = path.read_bytes()
        path.chmod(0o600)
        if missing:
            path.unlink()
        else:
            path.write_bytes(b"damaged")
        return before

    def known(self) -> dict[str, set[bytes]]:
        with Sidecar(self.place.store) as fresh:
            found = damage.known(fresh, self.snapshots())
        return {name: {p.path for p in d.problems} for name, d in found.items()}

    def run(self, *args: str, check: bool | int = True) -> str:
        done = run_gitsnap("-C", self.root, *args, home=self.home, check=check)
        return done.stdout


@pytest.fixture
def it() -> Iterator[Damaged]:
    with workspace() as top, Damaged(top) as damaged:
        yield damaged


@pytest.mark.parametrize("missing", [False, True])
def test_what_two_snapshots_share_is_known_of_both(it: Damaged, missing: bool) -> None:
    it.damage("timeline:same", missing=missing)
    verify.verify(it.sidecar, [it.ids[0]], it.settings, now=it.now)
    assert it.known() == {name: {b"same"} for name in it.ids}


@pytest.mark.parametrize("what", ["timeline^{tree}", "note"])
def test_trees_and_notes_are_told_of_their_snapshot(it: Damaged, what: str) -> None:
    last = it.snapshots()[-1].commit
    if what == "note":
        what = it.git("notes", f"--ref={refs.METADATA}", "list", last).decode().strip()
    it.damage(what)
    verify.verify(it.sidecar, ["latest"], it.settings, now=it.now)
    assert it.known() == {it.ids[1]: {b""}}


def test_it_is_known_since_it_was_found_first(it: Damaged) -> None:
    it.damage("timeline:file")
    first = it.now
    verify.verify(it.sidecar, ["latest"], it.settings, now=first)
    it.verify()
    assert damage.known(it.sidecar, it.snapshots())[it.ids[1]].found == first


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("cat", "latest", "same"), 12),
        (("restore", "latest", "same"), 12),
        (("diff", "latest~1", "now", "--", "same"), 12),
        (("restore", "latest", "--to", "{}"), 12),
        (("restore", "latest", "--to", "{}", "--salvage"), 3),
    ],
    ids=["cat", "restore", "diff", "copy", "salvage"],
)
def test_whatever_meets_damage_writes_it_down(it: Damaged, command: tuple[str, ...], code: int) -> None:
    it.damage("timeline:same")
    (it.root / "same").write_text("changed")
    it.run(*(word.format(it.root.parent / "out") for word in command), check=code)
    assert it.known() == {name: {b"same"} for name in it.ids}
    with Sidecar(it.place.store) as fresh:
        assert {d.by for d in damage.known(fresh, it.snapshots()).values()} == {command[0]}


def test_every_reader_tells_it(it: Damaged) -> None:
    assert "damaged" not in it.run("status")
    it.damage("timeline:same")
    it.run("verify", "--all", check=12)
    for command in (("status",), ("list",), ("show", "latest"), ("history",)):
        assert "damaged" in it.run(*command), command
    assert "is damaged, found 20" in it.run("doctor", check=1)
    assert set(json.loads(it.run("--json", "status"))["damaged"]) == set(it.ids)
    listed = json.loads(it.run("--json", "list"))["snapshots"]
    assert [s["damage"]["problems"][0]["path"] for s in listed] == ["same", "same"]
    assert json.loads(it.run("--json", "show", "latest"))["damage"]["by"] == "verify"
    told = json.loads(it.run("--json", "history"))["history"]
    assert [set(e["damaged"]) for e in told] == [{name} for name in it.ids]


def test_a_snapshot_that_writes_it_again_heals_it(it: Damaged) -> None:
    assert len(it.sidecar.objects.damaged) == 0
    it.damage("timeline:same")
    # Found by another process, while this one has the sidecar open: a watch beside an upgrade.
    it.run("-q", "verify", it.ids[0], check=12)
    assert set(it.known()) == set(it.ids)
    (it.root / "file").write_text("three")
    it.take()
    assert it.known() == {}
    assert not [v for v in it.verify() if not v.ok]


def test_what_no_snapshot_can_write_again_stays_known(it: Damaged) -> None:
    it.damage(f"{it.snapshots()[0].commit}:file")
    it.verify()
    assert it.known() == {it.ids[0]: {b"file"}}
    (it.root / "file").write_text("three")
    it.take()
    assert it.known() == {it.ids[0]: {b"file"}}
    it.delete(it.ids[0])
    assert it.known() == {}


def test_it_is_forgotten_when_a_verification_finds_it_whole(it: Damaged) -> None:
    oid = it.git("rev-parse", "timeline:same").decode().strip()
    content = it.damage("timeline:same")
    it.verify()
    (it.store / "objects" / oid[:2] / oid[2:]).write_bytes(content)
    assert set(it.known()) == set(it.ids)
    it.verify()
    assert it.known() == {}
    with Sidecar(it.place.store) as fresh:
        assert not fresh.objects.damaged


def test_what_is_not_readable_is_no_record(it: Damaged) -> None:
    (it.store / "gitsnap/damage").write_text('nonsense\n{"commit": 1}\n[]\n')
    assert it.known() == {}
    it.damage("timeline:same")
    it.verify()
    assert set(it.known()) == set(it.ids)


@pytest.mark.skipif(processors() < 2, reason="there are workers on several processors alone")
def test_what_workers_find_is_known(it: Damaged) -> None:
    for number in range(400):
        (it.root / f"many-{number}").write_text(f"{number}")
    it.take()
    it.unpack()
    it.damage("timeline:many-7")
    it.verify()
    assert list(it.known().values()) == [{b"many-7"}]
    with Sidecar(it.place.store) as fresh:
        assert len(fresh.objects.damaged) == 1


def test_a_verification_beside_snapshots_and_gcs_of_git_s_finds_nothing(it: Damaged) -> None:
    stop, failures = threading.Event(), []

    def churn() -> None:
        with Sidecar(it.place.store) as own:
            other, it_ = own, 0
            while not stop.is_set():
                it_ += 1
                (it.root / "file").write_text(f"churn {it_}")
                Protected.take(churning)
                Protected.prune(churning, 2)
                bare_git(it.store, "pack-refs", "--all")
                bare_git(it.store, "gc", "-q", "--prune=now")
            other.close()

    churning = Protected.__new__(Protected)
    churning.root, churning.settings, churning.place = it.root, it.settings, it.place
    churning.sidecar, churning._ticks = Sidecar(it.place.store), 1000
    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(15):
            failures += [(v.snapshot, v.problems) for v in it.verify() if not v.ok]
    finally:
        stop.set()
        thread.join()
        churning.sidecar.close()
    assert failures == []
    assert it.known() == {}


def test_what_was_verified_and_is_damaged_since_is_not_what_retention_keeps_for_being_whole(it: Damaged) -> None:
    """The last that is whole stays, whoever has met the damage of a later one."""
    it.verify()
    older, newer = it.ids
    it.damage("timeline:file")
    (it.root / "file").write_text("three")
    with pytest.raises(IntegrityError):
        it.rollback(newer)
    damage.note(it.sidecar, it.now, "rollback")
    last = it.take().snapshot.id
    it.prune(1)
    assert [s.id for s in it.snapshots() if s.kind is not Kind.SAFETY] == [older, last]
