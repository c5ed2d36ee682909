"""The order in which a snapshot becomes visible, looked at from outside at each step."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gitsnap.core import statcache
from gitsnap.core.errors import GitsnapError, IntegrityError
from gitsnap.core.statcache import StatCache
from gitsnap.sidecar import contents, publish
from gitsnap.sidecar.git import refs
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import seal
from tests.support.inprocess import Protected


def test_whoever_sees_the_ref_can_read_everything(protected: Protected, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    there = protected.sidecar.refs
    change, create = there.change, there.create

    def changed(name: str, old: str | None, new: str) -> None:
        assert list((protected.store / "objects/pack").glob("*.keep"))
        sealed = seal.load(protected.sidecar)
        assert sealed is not None
        assert sealed.accepts(name, old)
        assert sealed.accepts(name, new)
        steps.append(name)
        change(name, old, new)

    def created(name: str, commit: str) -> None:
        steps.append("snapshot")
        create(name, commit)
        with Sidecar(str(protected.store)) as other:
            seen = publish.catalog.load(other, name.removeprefix(refs.SNAPSHOTS), commit, pinned=False)
            assert [e.path for e in contents.inventory(other, seen).entries] == [b"", b"f"]

    monkeypatch.setattr(there, "change", changed)
    monkeypatch.setattr(there, "create", created)
    protected.take()
    assert steps == [refs.MANIFESTS, refs.METADATA, "snapshot", refs.TIMELINE]
    assert not list((protected.store / "objects/pack").glob("*.keep"))
    monkeypatch.undo()
    protected.assert_sound()


def test_without_a_timeline_there_is_no_snapshot(protected: Protected, monkeypatch: pytest.MonkeyPatch) -> None:
    first = protected.take().snapshot
    (protected.root / "f").write_text("two\n")
    change = protected.sidecar.refs.change

    def changed(name: str, old: str | None, new: str) -> None:
        if name == refs.TIMELINE:
            raise GitsnapError("no room")
        change(name, old, new)

    monkeypatch.setattr(protected.sidecar.refs, "change", changed)
    with pytest.raises(GitsnapError, match="no room"):
        protected.take()
    monkeypatch.undo()
    protected.reopen()
    assert [s.id for s in protected.snapshots()] == [first.id]
    protected.take()
    assert [v.problems for v in protected.verify() if v.problems] == []


def test_what_does_not_pass_is_withdrawn_with_the_cache(protected: Protected, monkeypatch: pytest.MonkeyPatch) -> None:
    first = protected.take().snapshot
    (protected.root / "f").write_text("two\n")
    checked = publish.check
    remembered = statcache.row(statcache.key_of(1, 2, 3, 4, 5, 6, 7), content=None, sparse=False, xattrs=False)
    protected.sidecar.save_cache(StatCache(bytes.fromhex(first.commit), {b"x": remembered}))

    def lacking(sidecar: Sidecar, snapshot: object, oids: set[bytes]) -> None:
        checked(sidecar, snapshot, {*oids, b"\1" * 20})  # type: ignore[arg-type]

    monkeypatch.setattr(publish, "check", lacking)
    with pytest.raises(IntegrityError, match=f"lacks the content of a file: object {'01' * 20}"):
        protected.take()
    monkeypatch.undo()
    protected.reopen()
    assert [s.id for s in protected.snapshots()] == [first.id]
    assert not protected.sidecar.load_cache().rows
    protected.assert_sound()


def test_what_is_looked_at(protected: Protected) -> None:
    taken = protected.take().snapshot
    publish.check(protected.sidecar, taken, set())
    for wrong, why in (
        ({"commit": "1" * 40}, "does not point to its commit"),
        ({"files": 2}, "does not say what was written"),
        ({"manifest_sha256": "0" * 64}, "does not say what was written"),
    ):
        with pytest.raises(IntegrityError, match=why):
            publish.check(protected.sidecar, replace(taken, **wrong), set())  # type: ignore[arg-type]
