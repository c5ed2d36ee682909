"""Commits as bytes: written as stock git writes them, read only in that form."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from dulwich.objects import Commit

from gitsnap.core.errors import IntegrityError
from gitsnap.sidecar.git import commits

TREE, PARENT = bytes(range(20)), "ab" * 20
WHEN = datetime(2026, 3, 1, 12, 0, 0, tzinfo=timezone(timedelta(hours=-3, minutes=-30)))


def test_what_is_written_is_read() -> None:
    data = commits.form(TREE, b"label\n\nbody\n", WHEN, PARENT, "Anna <anna@example.org>")
    found = commits.parse(data, "x")
    assert found == (TREE.hex(), PARENT, WHEN, b"label\n\nbody\n", found.author, False)
    assert found.created.utcoffset() == WHEN.utcoffset()
    assert found.author == b"Anna <anna@example.org> 1772379000 -0330"


def test_dulwich_reads_it() -> None:
    read = Commit.from_string(commits.form(TREE, b"m", WHEN, PARENT))
    assert (read.tree, read.parents) == (TREE.hex().encode(), [PARENT.encode()])
    assert (read.author, read.committer) == (commits.IDENTITY, commits.IDENTITY)
    assert (read.author_time, read.author_timezone) == (int(WHEN.timestamp()), -12600)


@pytest.mark.parametrize("parent", [None, PARENT])
@pytest.mark.parametrize("author", ["", "Änna <a@b>", "odd > name <a@b>"])
def test_a_parent_is_put_in(parent: str | None, author: str) -> None:
    alone = commits.form(TREE, b"m\n\nauthor x\n", WHEN, None, author)
    assert commits.with_parent(alone, "x", parent) == commits.form(TREE, b"m\n\nauthor x\n", WHEN, parent, author)


def test_a_signed_commit_loses_what_is_not_ours_when_it_gets_a_parent() -> None:
    alone = commits.form(TREE, b"m", WHEN)
    signed = alone.replace(b"\n\nm", b"\ngpgsig -----BEGIN\n line\n -----END\n\nm")
    assert commits.parse(signed, "x") == commits.parse(alone, "x")._replace(signed=True)
    assert commits.with_parent(signed, "x", None) == signed
    assert commits.with_parent(signed, "x", PARENT) == commits.form(TREE, b"m", WHEN, PARENT)


@pytest.mark.parametrize(
    "old, new",
    [
        (b"tree ", b"tre  "),
        (b"\nparent ", b"\nparents "),
        (b"author ", b"writer "),
        (b"-0330", b"-03300"),
        (b"1772379000", b"1772379000000000"),
        (b"committer", b"Committer"),
        (b"\n\nm", b"\nm"),
    ],
)
def test_what_is_no_commit_of_ours_is_damage(old: bytes, new: bytes) -> None:
    data = commits.form(TREE, b"m", WHEN, PARENT)
    assert old in data
    with pytest.raises(IntegrityError, match="commit f00 is malformed"):
        commits.parse(data.replace(old, new, 1), "f00")


@pytest.mark.parametrize("moment", [b"999999999999 +0000", b"1772379000 +2500", b"1772379000 -9999"])
def test_an_impossible_date_is_damage(moment: bytes) -> None:
    data = commits.form(TREE, b"m", WHEN)
    with pytest.raises(IntegrityError, match="impossible date"):
        commits.parse(data.replace(b"1772379000 -0330", moment), "f00")


def test_a_second_parent_is_damage() -> None:
    data = commits.form(TREE, b"m", WHEN, PARENT).replace(b"\nauthor", b"\nparent " + b"1" * 40 + b"\nauthor", 1)
    with pytest.raises(IntegrityError):
        commits.parse(data, "f00")


def test_the_line_of_a_reflog() -> None:
    assert commits.author_line(WHEN) == b"gitsnap <gitsnap@localhost> 1772379000 -0330"
    assert commits.author_line(WHEN.astimezone(UTC)) == b"gitsnap <gitsnap@localhost> 1772379000 +0000"
