"""A quick run leaves out what always starts another program before it begins, and nothing that only may."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.support import installation
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
