"""Retention removes refs, gc gives the space back, and what is pinned, newest or verified stays."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from gitsnap.core.errors import GitsnapError
from gitsnap.core.retention import Policy
from gitsnap.ops.capture.request import Request
from gitsnap.ops.check import verify
from gitsnap.ops.store import gc, retention
from gitsnap.sidecar import catalog
from tests.support.inprocess import SETTINGS, Protected, workspace
from tests.support.installation import git

SIZE = 200_000


def _change(root: Path) -> None:
    (root / "data.bin").write_bytes(os.urandom(SIZE))


def _ids(protected: Protected) -> list[str]:
    return [s.id for s in catalog.snapshots(protected.sidecar)]


def test_thirty_snapshots_pruned_to_three_take_the_space_of_fewer_than_four() -> None:
    with workspace() as top:
        (top / "app").mkdir()
        with Protected(top / "app", top / "home") as protected:
            for _ in range(30):
                _change(protected.root)
                protected.take()
            full = protected.sidecar.disk_bytes()
            policy = Policy(keep_last=3)
            retention.prune(protected.sidecar, policy, protected.settings, now=protected.now, dry_run=False)
            gc.collect(protected.sidecar, protected.settings, now=protected.now)
            protected.reopen()
            assert len(_ids(protected)) == 3
            assert full > 30 * SIZE
            assert protected.sidecar.disk_bytes() < 4 * SIZE
            assert all(v.ok for v in protected.verify())
            assert git(protected.store, "fsck", "--full", "--strict").stdout == b""


def test_every_snapshot_is_followed_by_retention_which_names_what_it_removed() -> None:
    with workspace() as top:
        (top / "app").mkdir()
        with Protected(top / "app", top / "home", replace(SETTINGS, retention=Policy(keep_last=2))) as protected:
            first = protected.take(Request(pin=True)).snapshot
            verified = protected.take().snapshot
            verify.verify(protected.sidecar, [verified.id], protected.settings, now=protected.now)
            third = protected.take().snapshot
            protected.take()
            last = protected.take()
            assert [d.snapshot.id for d in last.pruned] == [third.id]
            assert last.pruned[0].reasons
            assert _ids(protected)[:2] == [first.id, verified.id]
            assert len(_ids(protected)) == 4


def test_an_upgrade_counts_once_and_goes_as_one() -> None:
    with workspace() as top:
        (top / "app").mkdir()
        with Protected(top / "app", top / "home", replace(SETTINGS, retention=Policy(keep_last=2))) as protected:
            pair = [protected.take(Request(upgrade="to-2")).snapshot.id for _ in range(2)]
            single = protected.take().snapshot.id
            assert _ids(protected) == [*pair, single]
            newest = protected.take().snapshot.id
            assert _ids(protected) == [single, newest]


def test_a_pinned_snapshot_is_not_deleted_and_nothing_else_with_it() -> None:
    with workspace() as top:
        (top / "app").mkdir()
        with Protected(top / "app", top / "home") as protected:
            pinned = protected.take(Request(pin=True)).snapshot.id
            other = protected.take().snapshot.id
            with pytest.raises(GitsnapError, match="pinned"):
                retention.delete(protected.sidecar, [other, pinned], protected.settings, now=protected.now)
            assert _ids(protected) == [pinned, other]
            retention.unpin(protected.sidecar, pinned, protected.settings)
            retention.delete(protected.sidecar, [other, pinned], protected.settings, now=protected.now)
            assert _ids(protected) == []


def test_content_that_only_a_removed_snapshot_held_is_stored_again() -> None:
    """A pack may still hold it, but the next gc would take it away under the new snapshot."""
    with workspace() as top:
        (top / "app").mkdir()
        with Protected(top / "app", top / "home") as protected:
            (protected.root / "x").write_bytes(b"once" * 1000)
            old = protected.take().snapshot.id
            (protected.root / "x").unlink()
            protected.take()
            retention.delete(protected.sidecar, [old], protected.settings, now=protected.now)
            (protected.root / "x").write_bytes(b"once" * 1000)
            protected.take()
            git(protected.store, "gc", "--quiet", "--prune=now")
            protected.reopen()
            assert all(v.ok for v in protected.verify())


def test_rollbacks_never_push_out_what_they_might_be_wanted_for() -> None:
    with workspace() as top:
        (top / "app").mkdir()
        with Protected(top / "app", top / "home", replace(SETTINGS, retention=Policy(keep_last=2))) as protected:
            _change(protected.root)
            good = protected.take().snapshot.id
            for _ in range(4):
                _change(protected.root)
                done = protected.rollback(good)
                assert done.verified
            protected.take()
            assert good in _ids(protected)
            assert len(_ids(protected)) == 4
