"""The register: ids that were there, and refs that vanished with everything that tells of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from gitsnap.core.errors import IntegrityError, NoSuchSnapshotError
from gitsnap.core.model import Kind
from gitsnap.core.upgrade import choose_upgrade, upgrades
from gitsnap.ops.capture import import_copies, snapshot, store
from gitsnap.ops.capture.import_sources import Source
from gitsnap.ops.capture.request import Request
from gitsnap.ops.check.doctor import examine
from gitsnap.ops.restore import rollback, undo
from gitsnap.ops.restore.rollback import RollbackOptions
from gitsnap.ops.store import retention
from gitsnap.sidecar import catalog, lost_refs, selectors
from gitsnap.sidecar.git import refs
from gitsnap.sidecar.state import register
from tests.support.inprocess import START, Protected, bare_git, workspace


@pytest.fixture
def place() -> Iterator[Protected]:
    with workspace() as top:
        (top / "app").mkdir()
        with Protected(top / "app", top / "home") as protected:
            yield protected


def take(place: Protected, content: str, when: datetime = START, **request: object) -> str:
    (place.root / "f").write_text(content)
    return snapshot.take(place.sidecar, Request(**request), place.settings, now=when).snapshot.id  # type: ignore[arg-type]


def latest(place: Protected) -> str:
    return selectors.resolve(catalog.snapshots(place.sidecar), "latest").id


class TestOrder:
    def test_a_clock_that_went_back_changes_nothing(self, place: Protected) -> None:
        ids = [take(place, str(n), START - timedelta(hours=n)) for n in range(4)]
        living = catalog.snapshots(place.sidecar)
        assert [s.id for s in living] == ids
        assert [s.previous_manifest_sha256 for s in living[1:]] == [s.manifest_sha256 for s in living[:-1]]
        assert [latest(place), selectors.default_target(living).id] == [ids[-1]] * 2
        log = place.git("log", "--reverse", "--format=%(trailers:key=Gitsnap-Id,valueonly,separator=)", "timeline")
        assert log.decode().split() == ids

    def test_undo_reverses_the_last_rollback(self, place: Protected) -> None:
        first = take(place, "1")
        for n, content in enumerate(("wrong clock", "precious")):
            (place.root / "f").write_text(content)
            rollback.rollback(place.sidecar, first, place.settings, RollbackOptions(START + timedelta(days=2 - n)))
        undo.undo(place.sidecar, place.settings, RollbackOptions(START))
        assert (place.root / "f").read_text() == "precious"

    def test_what_was_just_taken_outlives_retention(self, place: Protected) -> None:
        place.keep(keep_last=3)
        for n in range(3):
            take(place, str(n), START + timedelta(days=9))
        ids = [take(place, f"back {n}") for n in range(3)]
        assert [s.id for s in place.snapshots()] == ids

    def test_an_import_is_never_the_latest(self, place: Protected, tmp_path: Path) -> None:
        (tmp_path / "f").write_text("old")

        def bring_in(when: datetime) -> str:
            wanted, source = import_copies.ImportRequest(at=when), Source(str(tmp_path), str(tmp_path))
            return import_copies.take_in(place.sidecar, source, wanted, place.settings).snapshot.id

        copy = bring_in(START + timedelta(days=1))
        assert latest(place) == copy
        mine = take(place, "mine")
        future = bring_in(START + timedelta(days=900))
        assert latest(place) == mine
        assert [s.id for s in place.snapshots()] == [mine, copy, future]
        (place.root / "f").write_text("changed")
        after = take(place, "next")
        (found,) = [s for s in place.snapshots() if s.id == after]
        assert found.previous_manifest_sha256 == next(s for s in place.snapshots() if s.id == mine).manifest_sha256

    def test_snapshots_of_an_old_sidecar_come_first(self, place: Protected, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(store, "following", lambda *_: None)
        old = [take(place, str(n), START + timedelta(days=n)) for n in range(2)]
        monkeypatch.undo()
        (place.store / "gitsnap/register").unlink()
        place.assert_sound()
        new = take(place, "new", START - timedelta(days=3))
        assert [s.id for s in place.snapshots()] == [*old, new]
        assert register.load(place.sidecar).taken.keys() == {*old, new}
        place.assert_sound()

    def test_a_damaged_one_that_was_taken_later_may_be_the_latest(self, place: Protected) -> None:
        older = take(place, "1", START)
        newer = take(place, "2", START - timedelta(days=1))
        ref = place.store / refs.SNAPSHOTS / newer
        whole = ref.read_text()
        ref.write_text("damaged")
        with pytest.raises(IntegrityError, match=newer):
            latest(place)
        ref.write_text(whole)
        (place.store / refs.SNAPSHOTS / older).write_text("damaged")
        assert latest(place) == newer


class TestIds:
    def test_an_id_that_is_gone_is_nobodys(self, place: Protected) -> None:
        first, second = take(place, "1"), take(place, "2")
        place.delete(first)
        for command in (place.delete, place.rollback, lambda x: retention.pin(place.sidecar, x, place.settings)):
            with pytest.raises(NoSuchSnapshotError, match="was removed"):
                command(first)
        assert selectors.choose(place.sidecar, second).id == second

    @pytest.mark.parametrize("forgotten", [False, True])
    def test_even_where_nothing_is_known_of_it(self, place: Protected, forgotten: bool) -> None:
        first, _ = take(place, "1"), take(place, "2")
        place.delete(first)
        if forgotten:
            (place.store / "gitsnap/register").unlink()
        with pytest.raises(NoSuchSnapshotError):
            selectors.choose(place.sidecar, first)

    def test_the_beginning_of_one_will_do_where_all_of_the_second_are_known(self, place: Protected) -> None:
        first, second = take(place, "1", label="a"), take(place, "2", label="beta")
        assert second.endswith("-beta-2")
        assert selectors.choose(place.sidecar, second[:-2]).id == second
        place.delete(first)
        assert selectors.choose(place.sidecar, second[:-2]).id == second
        (place.store / "gitsnap/register").unlink()
        with pytest.raises(NoSuchSnapshotError):
            selectors.choose(place.sidecar, second[:-2])

    def test_it_is_not_given_again(self, place: Protected) -> None:
        ids = []
        for n in range(3):
            ids.append(take(place, str(n)))
            place.delete(ids[-1])
            place.collect()
        assert len({*ids}) == 3

    def test_an_upgrade_that_is_gone_is_no_other(self, place: Protected) -> None:
        name = "2026-03-01T12-00-00Z-v"
        take(place, "1", kind=Kind.PRE, upgrade=f"{name}2")
        with pytest.raises(NoSuchSnapshotError):
            choose_upgrade(upgrades(place.snapshots()), name)
        assert register.load(place.sidecar).upgrades() == {f"{name}2"}


class TestLines:
    def test_one_that_a_crash_cut_off_is_no_damage(self, place: Protected) -> None:
        first = take(place, "1")
        file = place.store / "gitsnap/register"
        whole = file.read_bytes()
        file.write_bytes(whole + b"taken 2 2026-")
        place.assert_sound()
        second = take(place, "2")
        assert register.load(place.sidecar).taken.keys() == {first, second}

    def test_one_that_was_changed_is_named_and_written_anew(self, place: Protected) -> None:
        first = take(place, "1")
        file = place.store / "gitsnap/register"
        file.write_bytes(file.read_bytes().replace(b"-manual", b"-manuel"))
        assert ["register" in p.problem for v in place.verify() for p in v.problems] == [True]
        assert [s.id for s in place.snapshots()] == [first]
        take(place, "2")
        place.assert_sound()


class TestVanished:
    @pytest.mark.parametrize(
        "what",
        [
            ("gitsnap/seal", "packed-refs", "refs/gitsnap", "refs/notes", "refs/heads/timeline"),
            ("gitsnap/seal", "refs/gitsnap"),
            ("gitsnap/seal", "gitsnap/register", "refs/gitsnap"),
            ("gitsnap/seal", "gitsnap/register", "refs/notes"),
            ("refs/notes",),
            ("gitsnap", "logs", "refs/gitsnap", "refs/notes", "refs/heads/timeline"),
        ],
    )
    @pytest.mark.parametrize("packed", [False, True])
    def test_refs_that_are_gone_are_missed_and_come_back(
        self, place: Protected, what: tuple[str, ...], packed: bool
    ) -> None:
        ids = [take(place, str(n), START + timedelta(seconds=n)) for n in range(3)]
        place.delete(ids.pop(0))
        if packed:
            # Its commits are deltas then.
            place.collect()
        # What was deleted is known as that by the register alone.
        missed = (
            "refs/gitsnap" if "gitsnap/register" not in what and "gitsnap" not in what else "refs/gitsnap/snapshots"
        )
        before = place.git("for-each-ref", missed)
        for name in (*what, *(["packed-refs"] if packed else [])):
            path = place.store / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        (place.store / "gitsnap/tmp").mkdir(parents=True, exist_ok=True)
        place.reopen()
        assert any(not v.ok for v in place.verify())
        with pytest.raises(IntegrityError):
            place.collect()
        (told,) = [c for c in examine(place.place) if c.name == "lost refs"]
        assert told.ok is False
        lines = "".join(f"create {ref} {commit}\n" for ref, commit in lost_refs.lost(place.sidecar))
        bare_git(place.store, "update-ref", "-m", "restored", "--stdin", stdin=lines.encode())
        assert set(before.splitlines()) <= set(place.git("for-each-ref", "refs/gitsnap").splitlines())
        take(place, "next", START + timedelta(seconds=9))
        assert {*ids} <= {s.id for s in place.snapshots()}
        if "logs" in what:
            # git calls dangling what the lost reflog held.
            assert all(v.ok for v in place.verify())
        else:
            place.assert_sound()

    def test_what_was_removed_is_not_missed(self, place: Protected) -> None:
        ids = [take(place, str(n), START + timedelta(seconds=n)) for n in range(3)]
        place.delete(ids[0], ids[1])
        (place.store / "gitsnap/seal").unlink()
        assert lost_refs.lost(place.sidecar) == []
        place.assert_sound()

    def test_a_snapshot_that_was_never_finished_is_not_missed(
        self, place: Protected, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        take(place, "1")

        def killed(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(type(place.sidecar.refs), "create", killed)
        with pytest.raises(KeyboardInterrupt):
            take(place, "2")
        monkeypatch.undo()
        place.reopen()
        assert lost_refs.lost(place.sidecar) == []


class TestFile:
    """The file itself, line by line."""

    def test_what_came_back_is_there_again(self, place: Protected) -> None:
        first = take(place, "one")
        living = catalog.snapshots(place.sidecar)
        register.let_go(place.sidecar, [first], START)
        known = register.load(place.sidecar)
        assert known.gone == {first: int(START.timestamp())}
        assert list(known.living()) == []
        register.take(place.sidecar, living)
        known = register.load(place.sidecar)
        assert (known.gone, known.whole) == ({}, True)
        assert list(known.living()) == [(first, living[0].commit)]

    def test_for_good_counts_and_is_written_once(self, place: Protected) -> None:
        first = take(place, "one")
        register.let_go(place.sidecar, [first], START)
        register.let_go(place.sidecar, [first], None)
        path = Path(place.sidecar.own("register"))
        before = path.read_bytes()
        assert register.load(place.sidecar).gone == {first: 0}
        register.let_go(place.sidecar, [first], None)
        assert path.read_bytes() == before

    def test_what_is_there_is_not_written_again(self, place: Protected) -> None:
        take(place, "one")
        path = Path(place.sidecar.own("register"))
        before = path.read_bytes()
        register.take(place.sidecar, catalog.snapshots(place.sidecar))
        assert path.read_bytes() == before

    def test_a_damaged_line_is_told_and_goes_when_another_is_added(self, place: Protected) -> None:
        first, second = take(place, "one"), take(place, "two", START + timedelta(seconds=1))
        path = Path(place.sidecar.own("register"))
        data = path.read_bytes()
        path.write_bytes(data.replace(first.encode(), b"X" + first.encode()[1:], 1))
        known = register.load(place.sidecar)
        assert (known.whole, [*known.taken]) == (False, [second])
        register.let_go(place.sidecar, [second], None)
        known = register.load(place.sidecar)
        assert (known.whole, [*known.taken], known.gone) == (True, [second], {second: 0})
