"""A verification beside others: what they change between two reads is no damage, and damage stays damage."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gitsnap.ops.check import verify
from gitsnap.sidecar import catalog
from tests.support.inprocess import Protected, workspace
from tests.torture import beside
from tests.torture.kinds import Share


@pytest.fixture
def app() -> Iterator[Protected]:
    with workspace() as top:
        root = top / "app"
        root.mkdir()
        (top / "home").mkdir(mode=0o700)
        with Protected(root, top / "home") as protected:
            for number in range(4):
                (root / "f").write_bytes(os.urandom(3000))
                (root / f"g{number}").write_bytes(os.urandom(3000))
                protected.take()
            yield protected


def meanwhile(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object], times: int) -> None:
    """Have something happen after the first read of a look, in as many looks."""
    survey = catalog.survey
    left = [times]

    def then(sidecar: Any) -> Any:
        found = survey(sidecar)
        if left[0] > 0:
            left[0] -= 1
            happens()
        return found

    # Only for verify itself: what is done under the writer's lock has nobody beside it.
    monkeypatch.setattr(verify, "catalog", SimpleNamespace(survey=then, chain=catalog.chain))


def removal(app: Protected) -> Callable[[], object]:
    """Snapshots come and go, and a git that knows nothing of us removes what nothing reaches."""

    def happens() -> None:
        (app.root / "f").write_bytes(os.urandom(3000))
        with Protected(app.root, app.root.parent / "home") as other:
            other._ticks = app._ticks = app._ticks + 100
            other.take()
            other.prune(2)
        app.git("gc", "--prune=now", "--quiet")

    return happens


@pytest.mark.parametrize("times", [1, 3])
def test_a_removal_is_no_damage(app: Protected, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    app.verify()
    with monkeypatch.context() as patched:
        meanwhile(patched, removal(app), times)
        assert [(v.snapshot, v.problems) for v in app.verify() if v.problems] == []
    app.assert_sound()


def damage(app: Protected) -> str:
    """Break the content of a file that the last snapshot holds; its name."""
    last = app.snapshots()[-1]
    (found,) = [e for e in app.inventory(last).entries if e.path == b"g3"]
    app.git("repack", "-adq")
    data = app.git("cat-file", "blob", found.oid.hex())
    (pack,) = (app.store / "objects/pack").glob("*.pack")
    packed = bytearray(pack.read_bytes())
    # What cannot be deflated lies there as it is.
    packed[packed.index(data[100:200]) + 50] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(packed)
    return last.id


@pytest.mark.parametrize("times", [0, 1, 99])
def test_damage_is_told_whatever_happens_beside(app: Protected, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the sidecar is never at rest."""
    name = damage(app)
    trace = app.store / "logs/refs/notes/gitsnap/manifest"

    def happens() -> None:
        os.utime(trace)

    meanwhile(monkeypatch, happens, times)
    told = {v.snapshot: [f.path for f in v.problems] for v in app.verify() if v.problems}
    assert told[name] == [b"g3"]
    assert "sidecar" in told


def test_a_sidecar_at_rest_is_looked_at_once(app: Protected, monkeypatch: pytest.MonkeyPatch) -> None:
    damage(app)
    looks: list[int] = []
    meanwhile(monkeypatch, lambda: looks.append(1), 99)
    app.verify()
    assert len(looks) == 1


def test_a_reflog_that_names_what_is_gone(app: Protected) -> None:
    app.prune(1)
    reflog: Path = app.store / "logs/refs/notes/gitsnap/manifest"
    kept = reflog.read_bytes()
    assert kept
    app.git("gc", "--prune=now", "--quiet")
    reflog.write_bytes(kept)
    assert [v.problems for v in app.verify() if v.problems] == []
    # What a killed writer leaves of the last line is no damage; a line that is none is.
    reflog.write_bytes(kept[:-5])
    assert [v.problems for v in app.verify() if v.problems] == []
    reflog.write_bytes(kept[5:])
    assert [v.snapshot for v in app.verify() if v.problems] == ["sidecar"]


def test_without_a_second_look_it_cries_wolf(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof bites. A race, which a busy machine may not run into at the first try."""
    monkeypatch.setattr(verify, "_TRIES", 0)
    assert any(beside.run(Share(8)).lost for _ in range(50))
