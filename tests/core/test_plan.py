"""Single decisions of a plan, each by the smallest trees that ask for it. tests/properties has them all together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gitsnap.core.entry_comparison import same_content, same_metadata
from gitsnap.core.exclusion import nothing_excluded
from gitsnap.core.model import Entry, Image, Inventory, Type
from gitsnap.core.plan import Action, RestorePlan, everything, make_plan
from tests.support.inventories import file, folder, link, tree


def plan(wanted: Inventory, live: Inventory, **more: Any) -> RestorePlan:
    return make_plan(wanted, live, **{"scope": everything, "protected": nothing_excluded, **more})


def steps(found: RestorePlan) -> list[tuple[Action, bytes]]:
    return [(s.action, s.path) for s in found.steps]


def test_unknown_content_is_never_the_same() -> None:
    known, unknown = file(b"a", b"1"), file(b"a", None, size=1)
    assert same_content(known, known)
    assert not same_content(known, unknown)
    assert not same_content(unknown, known)
    assert not same_content(unknown, unknown)


def test_what_could_not_be_read_is_written_again() -> None:
    """Two files whose digests nobody knows may be anything: a plan that left them alone would call that restored."""
    unknown = tree(file(b"a", None, size=1))
    assert (Action.WRITE, b"a") in steps(plan(unknown, unknown))
    assert (Action.WRITE, b"a") in steps(plan(tree(file(b"a", b"1")), unknown))


@pytest.mark.parametrize("field", ["mtime_ns", "uid", "gid", "mode", "xattrs"])
@pytest.mark.parametrize("make", [lambda **m: file(b"a", **m), lambda **m: folder(b"a", **m)])
def test_each_of_the_metadata_counts_by_itself(field: str, make: Callable[..., Entry]) -> None:
    value = (("user.x", b"1"),) if field == "xattrs" else 0o700 if field == "mode" else 7
    one, other = make(), make(**{field: value})
    assert same_metadata(one, one)
    assert not same_metadata(one, other)
    assert (Action.METADATA, b"a") in steps(plan(tree(other), tree(one)))


def test_the_mode_of_a_symlink_is_none() -> None:
    one, other = link(b"a", b"x"), link(b"a", b"x")
    other.mode = 0o755
    assert same_metadata(one, other)
    assert plan(tree(one), tree(other)).steps == []


def test_a_device_of_another_number_is_another() -> None:
    one = Entry(b"a", Type.CHAR, 0o600, device=(1, 3))
    other = Entry(b"a", Type.CHAR, 0o600, device=(1, 5))
    assert (Action.WRITE, b"a") in steps(plan(tree(one), tree(other)))
    assert plan(tree(one), tree(one)).steps == []


def test_what_is_mounted_over_a_file_is_not_replaced() -> None:
    found = plan(tree(file(b"d/a", b"2")), tree(file(b"d/a", b"1")), mounts=(b"d/a",))
    assert (Action.WRITE, b"d/a") not in steps(found)
    assert [p.path for p in found.kept] == [b"d/a"]


def test_what_is_mounted_is_not_removed_nor_what_holds_it() -> None:
    found = plan(tree(), tree(file(b"d/a"), file(b"d/b")), mounts=(b"d/a",))
    assert steps(found)[:1] == [(Action.REMOVE, b"d/b")]
    assert {p.path for p in found.kept} == {b"d", b"d/a"}


@pytest.mark.parametrize("wanted", [tree(), tree(file(b"d/app.db", b"old"))])
def test_the_journal_of_a_database_goes_before_the_database(wanted: Inventory) -> None:
    """Cut off in between, SQLite finds the new state without a journal, never a journal of another state."""
    wal = file(b"d/app.db-wal", None, size=9)
    live = tree(file(b"d/app.db", b"new"), file(b"a", b"x"), images={b"d/app.db": Image((wal,), 3)}).on_disk()
    order = [path for _, path in steps(plan(wanted, live))]
    assert order.index(b"d/app.db-wal") < order.index(b"d/app.db")


def test_a_mounted_journal_stays_and_is_named() -> None:
    wal = file(b"app.db-wal", None, size=9)
    live = tree(file(b"app.db", b"new"), images={b"app.db": Image((wal,), 3)}).on_disk()
    found = plan(tree(file(b"app.db", b"old")), live, mounts=(b"app.db-wal",))
    assert (Action.REMOVE, b"app.db-wal") not in steps(found)
    assert [p.path for p in found.kept] == [b"app.db-wal"]


def test_what_several_names_share_is_counted_once() -> None:
    wanted = tree(file(b"a", b"four"), file(b"b", b"four"), file(b"c", b"xyz"), hardlinks=[(b"a", b"b")])
    assert plan(wanted, tree()).size() == 4 + 3
