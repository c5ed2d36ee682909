"""Pulling from what was pushed: what is there and not here comes here, verified, and nothing here is changed for it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from gitsnap.core.errors import NoSidecarError, RemoteError
from gitsnap.core.remote import HEADS, Remote
from gitsnap.core.signature import Policy
from gitsnap.ops.capture.request import Request
from gitsnap.ops.remote import adopt, receive
from gitsnap.ops.remote.pull import Pulled, PullOptions, pull
from gitsnap.ops.remote.push import PushOptions, push
from gitsnap.ops.store import locate, retention
from gitsnap.ops.store import sign as signing
from gitsnap.sidecar import catalog
from gitsnap.sidecar.git import refs
from gitsnap.sidecar.git.fetch.source import open_source
from gitsnap.sidecar.repository import Sidecar
from tests.support.inprocess import SETTINGS, Protected, bare_git, workspace
from tests.support.signing import new_key


class Elsewhere:
    """The same installation on another machine, by its own sidecar: `here` pulls what `there` was pushed to."""

    def __init__(self, top: Path, remote: Remote) -> None:
        self.top, self.remote = top, remote
        (top / "app").mkdir()
        self.there = Protected(top / "app", top / "home")
        for number in range(3):
            self.take(f"text {number}")

    def take(self, text: str, **more: bool) -> str:
        (self.top / "app" / "f").write_text(text)
        return self.there.take(Request(**more)).snapshot.id  # type: ignore[arg-type]

    def send(self) -> None:
        push(self.there.sidecar, self.remote, SETTINGS, PushOptions(self.there.now))

    def adopt(self) -> Sidecar:
        """A second sidecar, of what is there now."""
        (self.top / "other").mkdir()
        place = locate.place_for(str(self.top / "other"), None, str(self.top / "home"), "/", "")
        with open_source(self.remote.url, "/") as source:
            asked = receive.Asked(SETTINGS, self.there.now, self.remote.installation)
            adopt.adopt(source, place, None, asked)
        self.here = Sidecar(place.store)
        return self.here

    def pull(self, **options: bool) -> Pulled:
        return pull(self.here, self.remote, SETTINGS, PullOptions(self.there.now, **options))

    def ids(self) -> list[str]:
        return [s.id for s in catalog.snapshots(self.here)]

    def require_whole(self) -> None:
        assert bare_git(self.here.path, "fsck", "--full", "--strict") in ("", b"")


LAYOUTS = {
    "plain": ("plain", None),
    "one of many": ("plain", "web/shop"),
    "heads": (HEADS, None),
    "heads, one of many": (HEADS, "web/shop"),
}


@pytest.fixture
def top() -> Iterator[Path]:
    with workspace() as where:
        subprocess.run(["git", "init", "-q", "--bare", str(where / "r.git")], check=True)
        yield where


@pytest.fixture
def both(top: Path) -> Iterator[Elsewhere]:
    found = Elsewhere(top, Remote("r", str(top / "r.git")))
    yield found
    found.there.sidecar.close()
    if hasattr(found, "here"):
        found.here.close()


@pytest.mark.parametrize(("refspec", "installation"), LAYOUTS.values(), ids=LAYOUTS.keys())
def test_what_is_new_there_comes(both: Elsewhere, refspec: str, installation: str | None) -> None:
    both.remote = replace(both.remote, refspec=refspec, installation=installation)
    both.send()
    both.adopt()
    assert not both.pull().coming
    fresh = both.take("text 3", pin=True)
    both.send()
    assert both.pull(dry_run=True).coming == [fresh]
    assert fresh not in both.ids()
    done = both.pull()
    assert (done.coming, done.pinned, done.conflicts, done.damaged) == ([fresh], [fresh], {}, [])
    assert both.ids() == [s.id for s in catalog.snapshots(both.there.sidecar)]
    both.require_whole()
    assert all(s.pinned == (s.id == fresh) for s in catalog.snapshots(both.here))
    assert both.here.refs.get(refs.TIMELINE) == both.there.sidecar.refs.get(refs.TIMELINE)


def test_what_was_removed_here_stays_away_unless_asked(both: Elsewhere) -> None:
    both.send()
    both.adopt()
    first, second = both.ids()[:2]
    retention.delete(both.here, [first], SETTINGS, now=both.there.now)
    retention.delete(both.here, [second], SETTINGS, now=both.there.now)
    from gitsnap.ops.store import gc

    gc.collect(both.here, replace(SETTINGS, keep_deleted=None), now=both.there.now)
    assert both.pull().removed == [first, second]
    assert both.pull(removed=True).coming == [first, second]
    assert both.ids() == [s.id for s in catalog.snapshots(both.there.sidecar)]
    both.require_whole()
    retention.delete(both.here, [first], SETTINGS, now=both.there.now)
    assert both.pull(removed=True).coming == [first]
    assert not both.here.refs.below(refs.DELETED)
    both.require_whole()


def test_another_snapshot_of_the_same_name_is_told_and_ours_stays(both: Elsewhere) -> None:
    both.send()
    both.adopt()
    (both.top / "other" / "f").write_text("here")
    name, ours = both.ids()[1], catalog.snapshots(both.here)[1].commit
    other = catalog.snapshots(both.here)[0].commit
    bare_git(both.top / "r.git", "update-ref", f"refs/gitsnap/snapshots/{name}", other)
    done = both.pull()
    assert done.conflicts == {name: (ours, other)}
    assert catalog.snapshots(both.here)[1].commit == ours


def test_a_damaged_one_stays_away(both: Elsewhere) -> None:
    both.send()
    both.adopt()
    fresh, whole = both.take("only there"), both.take("another")
    both.send()
    blob = bare_git(both.top / "r.git", "rev-parse", f"refs/gitsnap/snapshots/{fresh}:f")
    blob = blob.decode().strip() if isinstance(blob, bytes) else blob.strip()
    _unpack(both.top / "r.git")
    (both.top / "r.git" / "objects" / blob[:2] / blob[2:]).unlink()
    done = both.pull()
    assert ([v.snapshot for v in done.damaged], done.coming) == ([fresh], [whole])
    assert fresh not in both.ids()
    assert whole in both.ids()


def _unpack(repository: Path) -> None:
    for pack in list((repository / "objects" / "pack").glob("*.pack")):
        moved = pack.rename(repository / "moved")
        pack.with_suffix(".idx").unlink()
        with moved.open("rb") as file:
            subprocess.run(["git", "--git-dir", repository, "unpack-objects", "-q"], stdin=file, check=True)


def test_nothing_there_and_nobody_there(both: Elsewhere) -> None:
    both.here = both.there.sidecar
    with pytest.raises(NoSidecarError):
        both.pull()
    both.remote = replace(both.remote, url="git://127.0.0.1:1/nothing")
    with pytest.raises(RemoteError):
        both.pull()


def test_what_retention_will_take_is_named(both: Elsewhere) -> None:
    both.send()
    both.adopt()
    fresh = [both.take(f"more {n}") for n in range(3)]
    both.send()
    policy = replace(SETTINGS.retention, keep_last=2)
    options = PullOptions(both.there.now + timedelta(seconds=1))
    done = pull(both.here, both.remote, replace(SETTINGS, retention=policy), options)
    assert done.coming == fresh
    assert set(done.short_lived) <= set(fresh)


def test_what_nobody_signed_who_may_stays_away_where_signatures_are_required(both: Elsewhere) -> None:
    good, other = new_key(both.top / "good"), new_key(both.top / "other-key")
    (both.top / "allowed").write_text(good.allowed())
    both.send()
    both.adopt()
    by_good, by_other, by_nobody = (both.take(text) for text in ("signed", "by somebody else", "by nobody"))
    for name, key in ((by_good, good), (by_other, other)):
        policy = Policy(key=str(key.path))
        signing.sign(both.there.sidecar, [name], replace(SETTINGS, signing=policy), now=both.there.now)
    both.send()
    policy = Policy(allowed=str(both.top / "allowed"), require=True)
    before = both.ids()
    options = PullOptions(both.there.now)
    found = pull(both.here, both.remote, replace(SETTINGS, signing=policy), options)
    assert [s.id for s in found.snapshots] == [by_good] and both.ids() == [*before, by_good]
    assert {v.snapshot: v.problems[0].kind for v in found.damaged} == {
        by_other: "unknown-signer",
        by_nobody: "unsigned",
    }
    both.require_whole()
    assert {s.id for s in both.pull().snapshots} == {by_other, by_nobody}
