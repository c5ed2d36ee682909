"""What refs pointed to before, for git to count it as reachable until a gc."""

from __future__ import annotations

import os

from gitsnap.sidecar import integrity
from gitsnap.sidecar.git import refs
from gitsnap.sidecar.state import reflog
from tests.support.inprocess import START, Protected


def test_what_is_noted_is_reachable_for_git(protected: Protected) -> None:
    sidecar = protected.sidecar
    protected.take()
    old = sidecar.refs.get(refs.METADATA)
    (protected.root / "f").write_text("two\n")
    protected.take()
    assert old != sidecar.refs.get(refs.METADATA)
    assert old in reflog.ids(sidecar)
    protected.assert_sound()


def test_newest_first_and_each_once(protected: Protected) -> None:
    sidecar = protected.sidecar
    first, second = protected.take().snapshot.commit, protected.take().snapshot.commit
    reflog.forget(sidecar)
    for gone in ([first], [second, None], [first]):
        reflog.remember(sidecar, gone, START)
    assert reflog.ids(sidecar) == [first, second]


def test_what_is_not_there_is_not_noted(protected: Protected) -> None:
    protected.take()
    reflog.forget(protected.sidecar)
    reflog.remember(protected.sidecar, ["1" * 40], START)
    assert reflog.ids(protected.sidecar) == []


def test_forgetting_follows_no_link(protected: Protected) -> None:
    protected.take()
    other = protected.store.parent / "precious"
    other.write_text("keep\n")
    link = protected.store / "logs" / "refs" / "link"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(other)
    os.mkfifo(link.with_name("fifo"))
    reflog.forget(protected.sidecar)
    assert other.read_text() == "keep\n"


def test_a_line_that_a_kill_has_torn_is_no_damage_and_loses_no_other(protected: Protected) -> None:
    sidecar = protected.sidecar
    first, second = (protected.take().snapshot.commit for _ in range(2))
    reflog.forget(sidecar)
    reflog.remember(sidecar, [first], START)
    log = protected.store / "logs" / refs.MANIFESTS
    whole = log.read_bytes()
    log.write_bytes(whole + whole[:50])
    assert not integrity.flaws(sidecar)
    reflog.remember(sidecar, [second], START)
    assert log.read_bytes().startswith(whole) and len(log.read_bytes().splitlines()) == 2
    assert reflog.ids(sidecar) == [second, first]
    log.write_bytes(whole[:50])
    reflog.remember(sidecar, [second], START)
    assert reflog.ids(sidecar) == [second]
