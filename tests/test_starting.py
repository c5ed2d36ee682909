"""A quick run leaves out what always starts another program before it begins, and nothing that only may."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import installation, starting
from tests.support.inprocess import Protected
from tests.support.installation import run_gitsnap
from tests.support.starting import Reader


def _plainly() -> None:
    subprocess.run(["true"], check=True)


def _gitsnap() -> None:
    assert run_gitsnap("list").stdout == ""


def _through_another() -> None:
    installation.take_snapshot(installation.REPOSITORY)


def _of_a_class(place: Protected) -> None:
    place.assert_sound()


def _of_one_that_is_made() -> None:
    with Protected(installation.REPOSITORY, installation.REPOSITORY) as place:
        place.git("gc")


def _until_it_yields() -> Iterator[None]:
    _plainly()
    yield


_entered = contextmanager(_until_it_yields)


def _enters() -> None:
    with _entered():
        pass


def _once_more() -> None:
    if not _once_more:
        _once_more()
    _plainly()


def _in_a_branch(much: bool) -> None:
    if much:
        _plainly()


def _behind_a_return(much: bool) -> None:
    if much:
        return
    _plainly()


def _in_a_loop() -> None:
    for _ in ():
        _plainly()


def _in_a_lambda() -> Callable[[], None]:
    return lambda: _plainly()


def _perhaps(much: bool) -> None:
    assert much or run_gitsnap("list")


def _behind_what_fails() -> None:
    with pytest.raises(OSError, match="x"):
        os.stat("x")
        _plainly()


def _where_it_failed() -> None:
    try:
        os.stat("x")
        _plainly()
    except OSError:
        pass


def _behind_a_yield() -> Iterator[None]:
    yield
    _plainly()


def _of_its_own(run_gitsnap: Callable[[str], None]) -> None:
    run_gitsnap("list")


def _of_another_process() -> None:
    partly = [_plainly]
    assert partly


@pytest.mark.parametrize(
    "test",
    [
        _plainly,
        _gitsnap,
        _through_another,
        _of_a_class,
        _of_one_that_is_made,
        _until_it_yields,
        _enters,
        _once_more,
    ],
)
def test_what_always_starts_a_program(test: Callable[..., object]) -> None:
    assert Reader().always(test)


@pytest.mark.parametrize(
    "test",
    [
        _in_a_branch,
        _behind_a_return,
        _in_a_loop,
        _in_a_lambda,
        _perhaps,
        _behind_what_fails,
        _where_it_failed,
        _behind_a_yield,
        _of_its_own,
        _of_another_process,
    ],
)
def test_what_may_start_none_is_tried(test: Callable[..., object]) -> None:
    assert not Reader().always(test)


@pytest.fixture
def perhaps() -> Callable[[], None]:
    return _plainly


def test_fixtures_count(
    request: pytest.FixtureRequest, perhaps: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not Reader().starts(request.node)
    monkeypatch.setattr(request.node._fixtureinfo.name2fixturedefs["perhaps"][-1], "func", perhaps)
    assert Reader().starts(request.node)


class _Kept(dict[str, object]):
    set = dict.__setitem__


def test_what_was_read_is_kept_until_a_source_changes(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, kept, items = [], _Kept(), [i for i in request.session.items if i.module is request.module]
    starts = Reader.starts
    monkeypatch.setattr(Reader, "starts", lambda reader, item: read.append(item.nodeid) or starts(reader, item))
    source = tmp_path / "test_it.py"
    source.write_text("one")
    found = starting.starting(items, kept, str(tmp_path))
    assert found == [i for i in items if starts(Reader(), i)]
    count = len(read)
    assert count == len({i.function for i in items})
    assert starting.starting(items, kept, str(tmp_path)) == found
    assert len(read) == count
    source.write_text("two")
    assert starting.starting(items, kept, str(tmp_path)) == found
    assert len(read) == 2 * count
