"""What could not be read when a snapshot was taken is named as that afterwards, and nothing below it is touched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gitsnap.core.coverage import THEN
from gitsnap.core.errors import GitsnapError
from gitsnap.core.model import Kind
from gitsnap.ops.capture.request import Request
from gitsnap.ops.compare import diff
from gitsnap.ops.query import status
from gitsnap.ops.restore import merge
from gitsnap.ops.restore.merge import MergeOptions
from tests.support.inprocess import Protected, workspace
from tests.support.installation import IS_ROOT
from tests.support.processes import as_user, give

REASON = f"{THEN}: Permission denied"


@pytest.fixture
def top() -> Iterator[Path]:
    with workspace() as found:
        (found / "app/z/deep").mkdir(parents=True)
        for name in ("a", "secret", "z/in", "z/deep/in"):
            (found / "app" / name).write_text("1\n")
        found.chmod(0o777)
        if IS_ROOT:
            give(*(found / "app").rglob("*"), found / "app")
        yield found


def closed(top: Path) -> tuple[Protected, str]:
    """Protected, with a snapshot that could read neither the directory nor the file; they are open again."""
    app = top / "app"
    (app / "z").chmod(0)
    (app / "secret").chmod(0)
    place = Protected(app, top / "home")
    taken = place.take()
    assert sorted(p.path for p in taken.partial) == [b"secret", b"z"]
    (app / "z").chmod(0o755)
    (app / "secret").chmod(0o644)
    return place, taken.snapshot.id


def told(found: list[object]) -> list[tuple[bytes, str]]:
    return [(p.path, p.reason) for p in found]  # type: ignore[attr-defined]


def test_a_rollback_leaves_it_alone_and_names_it(top: Path) -> None:
    def work() -> None:
        place, first = closed(top)
        with place:
            for text in ("1\n", "2\n"):
                (place.root / "a").write_text(text)
                (place.root / "z/new").write_text("came later\n")
                done = place.rollback(first)
                assert done.verified
                assert told(done.incomplete) == [(b"secret", REASON), (b"z", REASON)]
                assert sorted(p.name for p in (place.root / "z").iterdir()) == ["deep", "in", "new"]
                assert (place.root / "secret").exists()
            done = place.rollback(first, [b"a"])
            assert (done.verified, done.incomplete) == (True, [])
            for path in (b"secret", b"z/in"):
                with pytest.raises(GitsnapError, match=THEN):
                    place.rollback(first, [path])

    as_user(work)


def test_it_is_foreseen_and_named_once_where_it_still_cannot_be_read(top: Path) -> None:
    def work() -> None:
        place, first = closed(top)
        with place:
            (place.root / "secret").chmod(0)
            (place.root / "a").write_text("2\n")
            planned = place.rollback(first, dry_run=True).plan
            assert told(planned.foreseen) == [(b"secret", REASON), (b"z", REASON)]
            for _ in range(2):
                done = place.rollback(first)
                assert done.verified
                assert told(done.incomplete) == [(b"secret", REASON), (b"z", REASON)]

    as_user(work)


def test_whoever_compares_says_so(top: Path) -> None:
    def work() -> None:
        place, first = closed(top)
        with place:
            verdict = place.verify_live(first)
            assert verdict.ok
            assert told(verdict.unread) == [(b"secret", REASON), (b"z", REASON)]
            found = status.status(place.sidecar, place.settings, now=place.now).difference
            assert found is not None
            assert (found.comparison.changes, told(found.partial)) == ([], [(b"secret", REASON), (b"z", REASON)])
            second = place.take().snapshot.id
            for sides in ((first, second), (second, first)):
                found, _ = diff.diff(place.sidecar, *sides, place.settings)
                assert [c for c in found.comparison.changes if c.path != b"z"] == []
                assert told(found.partial) == [(b"secret", REASON), (b"z", REASON)]
            found, _ = diff.diff(place.sidecar, first, second, place.settings, paths=[b"a"])
            assert found.partial == []
            place.copy_out(first, top / "home/back")
            assert not (top / "home/back/z/in").exists()

    as_user(work)


def test_a_merge_does_not_take_it_for_removed(top: Path) -> None:
    def work() -> None:
        app = top / "app"
        (app / "z").chmod(0)
        with Protected(app, top / "home") as place:
            place.take(Request(Kind.PRE, upgrade="u"))
            (app / "z").chmod(0o755)
            (app / "a").write_text("2\n")
            place.take(Request(Kind.POST, upgrade="u"))
            done = merge.keep_edits(place.sidecar, None, place.settings, MergeOptions(place.now))
            assert done.plan.taken == [b"a"]
            assert {p.path for p in done.plan.unknown} == {b"z"}
            assert (app / "z/deep/in").read_text() == "1\n"

    as_user(work)
