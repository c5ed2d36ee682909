"""What names a snapshot: labels, upgrades, and what is said where that is not one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gitsnap.core.errors import NoSuchSnapshotError
from gitsnap.core.model import Kind
from gitsnap.ops.capture.request import Request
from gitsnap.sidecar import selectors
from tests.support.inprocess import Protected
from tests.support.installation import run_gitsnap


@pytest.fixture
def place(tmp_path: Path) -> Protected:
    (tmp_path / "app").mkdir()
    return Protected(tmp_path / "app", tmp_path / "home")


def take(place: Protected, label: str, **more: object) -> str:
    return place.take(Request(label=label, **more)).snapshot.id  # type: ignore[arg-type]


def chosen(place: Protected, selector: str) -> str:
    return selectors.choose(place.sidecar, selector).id


def refusal(place: Protected, selector: str) -> NoSuchSnapshotError:
    with pytest.raises(NoSuchSnapshotError) as caught:
        chosen(place, selector)
    return caught.value


def test_a_label_that_one_has(place: Protected) -> None:
    live, _ = take(place, "live"), take(place, "Before 2.0")
    assert chosen(place, "live") == live
    assert chosen(place, "Before 2.0") == chosen(place, "before-2.0") == chosen(place, "latest")
    assert refusal(place, "liv").kind == "no-such-snapshot"
    assert refusal(place, "").kind == "no-such-snapshot"


def test_a_label_that_several_have(place: Protected) -> None:
    ids = [take(place, "live") for _ in range(7)]
    error = refusal(place, "live")
    assert error.kind == "ambiguous-snapshot"
    assert error.message == f"'live' is the label of 7 snapshots, {ids[-1]} among them"
    assert error.hint is not None
    assert all(name in error.hint for name in ids[-5:])


def test_words_are_no_labels(place: Protected) -> None:
    take(place, "latest")
    last = take(place, "now")
    assert chosen(place, "latest") == last
    assert "directory as it is" in refusal(place, "now").message


def test_what_is_the_label_of_one_and_begins_another_is_neither(place: Protected) -> None:
    commit = place.take().snapshot.commit
    labelled = take(place, commit[:6])
    assert refusal(place, commit[:6]).message == f"'{commit[:6]}' names 2 snapshots, {labelled} among them"
    take(place, "2026")
    assert "3 snapshots" in refusal(place, "2026").message


def test_the_label_of_an_upgrade_says_which_two_it_has(place: Protected) -> None:
    for kind in (Kind.PRE, Kind.POST):
        take(place, f"v2-{kind}", kind=kind, upgrade="2026-03-01T12-00-01Z-v2")
    error = refusal(place, "v2")
    assert (error.kind, error.hint) == (
        "ambiguous-snapshot",
        "v2@pre is the snapshot before it, v2@post the one after it",
    )
    assert chosen(place, "v2@pre") == chosen(place, "v2-pre")
    # Two of one second: the second one's id has a number, its label has none.
    take(place, "v2-pre", kind=Kind.PRE, upgrade="2026-03-01T12-00-01Z-v2-2")
    error = refusal(place, "v2")
    assert error.message == "'v2' names 2 upgrades, 2026-03-01T12-00-01Z-v2-2 among them"
    assert "2026-03-01T12-00-01Z-v2-2@pre" in (error.hint or "")
    assert chosen(place, "2026-03-01T12-00-01Z-v2@pre") != chosen(place, "2026-03-01T12-00-01Z-v2-2@pre")


def test_latest_after_an_upgrade(installation: Path) -> None:
    run_gitsnap("-C", installation, "run", "--label", "v2", "--", "sh", "-c", "echo 2 >new")
    done = run_gitsnap("-C", installation, "rollback", "latest", "-y")
    assert re.search(r"before it: gitsnap -C \S+ rollback \S+-v2@pre\n", done.stderr)
    run_gitsnap("-C", installation, "snapshot", "--label", "later")
    assert "@pre" not in run_gitsnap("-C", installation, "rollback", "latest", "-y").stderr
