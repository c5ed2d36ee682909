"""Stages without a journal are told by all that is known of one; what only has such a name is content."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitsnap.installation.apply.orphan_stages import REASON, find
from gitsnap.ops.restore import recover
from gitsnap.ops.restore.rollback import RollbackOptions
from tests.support.inprocess import Protected, scan, workspace

STAGE = ".gitsnap-txn.0123456789ab"


@pytest.fixture
def app() -> Iterator[Path]:
    with workspace() as top:
        (top / "app/sub").mkdir(parents=True)
        (top / "app/a").write_text("held\n")
        yield top / "app"


def stage(where: Path, **files: str) -> Path:
    where.mkdir(mode=0o700)
    for name, text in files.items():
        (where / name.removeprefix("_")).write_text(text)
    return where


def test_at_the_root_and_below_they_are_no_content(app: Path) -> None:
    stage(app / STAGE, _0="old\n", _12="new\n")
    os.link(app / STAGE / "0", app / "linked")
    (app / STAGE / "13").mkdir()
    (app / STAGE / "13/x").write_text("x")
    stage(app / "sub" / STAGE)
    found = scan(app).inventory
    assert [e.path for e in found.entries] == [b"", b"a", b"linked", b"sub"]
    assert [(p.path, p.reason) for p in found.partial] == [
        (STAGE.encode(), REASON),
        (b"sub/" + STAGE.encode(), REASON),
    ]
    assert found.hardlinks == []
    assert find(str(app)) == [STAGE.encode(), b"sub/" + STAGE.encode()]


@pytest.mark.parametrize("what", ["mode", "name", "file", "link"])
def test_what_only_has_such_a_name_is_somebodys_own(app: Path, what: str) -> None:
    path = app / (".gitsnap-txn.mine" if what == "name" else STAGE)
    if what == "file":
        path.write_text("mine\n")
    elif what == "link":
        path.symlink_to("sub")
    else:
        stage(path, **({"notes": "mine\n"} if what == "mode" else {"_0": "mine\n"}))
        path.chmod(0o700)
    found = scan(app).inventory
    assert os.fsencode(path.name) in {e.path for e in found.entries}
    assert found.partial == []
    assert find(str(app)) == []


def test_a_rollback_and_a_snapshot_leave_them_and_recover_settles_them(app: Path) -> None:
    with Protected(app, app.parent / "home") as place:
        first = place.take().snapshot.id
        stage(app / STAGE, _0="held\n", _1="held by nobody\n")
        (app / "a").write_text("changed\n")
        done = place.rollback(first)
        assert (done.verified, [p.path for p in done.incomplete]) == (True, [STAGE.encode()])
        taken = place.take()
        assert [p.reason for p in taken.partial] == [REASON]
        assert place.rollback(taken.snapshot.id).verified
        assert (app / STAGE / "1").exists()
        settled = recover.recover(place.sidecar, None, place.settings, RollbackOptions(place.now))
        assert settled.cleared == [STAGE.encode()]
        assert [p.path for p in settled.incomplete] == [STAGE.encode() + b"/1"]
        kept = list((app.parent / "home").glob("gitsnap-conflicts-*/*"))
        assert [p.read_text() for p in kept] == ["held by nobody\n"]
        assert not (app / STAGE).exists()
        assert recover.recover(place.sidecar, None, place.settings, RollbackOptions(place.now)).cleared == []
        assert place.take().partial == []
