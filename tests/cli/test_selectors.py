"""What names a snapshot: labels, upgrades, and what is said where that is not one."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gitsnap.cli.render import formatting
from gitsnap.core.errors import IntegrityError, NoSuchSnapshotError
from gitsnap.core.model import Kind
from gitsnap.core.moment import span
from gitsnap.ops.capture import snapshot
from gitsnap.ops.capture.request import Request
from gitsnap.ops.store import retention
from gitsnap.sidecar import catalog, selectors
from tests.support.inprocess import Protected
from tests.support.installation import run_gitsnap, take_snapshot


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


def test_a_number_names_one_for_good(place: Protected) -> None:
    ids = [take(place, "a"), take(place, "b"), take(place, "c")]
    assert [chosen(place, f"@{n}") for n in (1, 2, 3)] == ids
    assert (chosen(place, "~1"), chosen(place, "latest~1")) == (ids[1], ids[1])
    retention.delete(place.sidecar, [ids[1]], place.settings, now=place.now)
    assert refusal(place, "@2").message == f"the snapshot @2, {ids[1]}, was removed"
    fourth = take(place, "d")
    assert (chosen(place, "@3"), chosen(place, "@4")) == (ids[2], fourth)
    assert refusal(place, "@5").message == "there is no snapshot @5"
    for word in ("@", "@0", "@03", "@x", "~", "~x", "latest3"):
        assert refusal(place, word)


def test_a_number_that_two_have_names_both(place: Protected) -> None:
    take(place, "a"), take(place, "b")
    known = catalog.snapshots(place.sidecar)
    known[1] = replace(known[1], sequence=1)
    with pytest.raises(NoSuchSnapshotError) as caught:
        selectors.resolve(known, "@1")
    assert caught.value.kind == "ambiguous-snapshot"
    assert all(s.id in (caught.value.hint or "") for s in known)


def test_a_range_leaves_what_is_pinned_and_halves_of_upgrades(place: Protected) -> None:
    ids = [take(place, "a"), take(place, "pinned", pin=True)]
    ids += [take(place, "before", kind=Kind.PRE, upgrade="u1"), take(place, "z"), take(place, "y")]
    ids += [take(place, "after", kind=Kind.POST, upgrade="u1")]
    known = catalog.snapshots(place.sidecar)
    found, left = selectors.between(known, "@1..@5") or ([], {})
    assert [s.id for s in found] == [ids[0], ids[3], ids[4]]
    assert left == {ids[1]: "pinned", ids[2]: "the other half of its upgrade stays"}
    found, left = selectors.between(known, f"@3..{ids[5]}") or ([], {})
    assert ([s.id for s in found], left) == (ids[2:], {})
    assert selectors.between(known, ids[0]) is None
    with pytest.raises(NoSuchSnapshotError, match="was taken after"):
        selectors.between(known, "@3..@1")


def test_delete_asks_about_a_range(installation: Path) -> None:
    ids = [take_snapshot(installation, "--label", name) for name in "abcd"]
    refused = run_gitsnap("-C", installation, "delete", "@2..@3", check=2)
    assert "--yes" in refused.stderr
    done = run_gitsnap("-C", installation, "delete", "@2..@3", "-y")
    assert done.stdout == f"deleted {ids[1]}\ndeleted {ids[2]}\n"
    listed = run_gitsnap("-C", installation, "list").stdout
    assert [line.split()[:2] for line in listed.splitlines()[1:]] == [["@1", ids[0]], ["@4", ids[3]]]


def test_list_shows_what_is_asked_for(installation: Path) -> None:
    def listed(*words: str) -> list[str]:
        return [
            s["id"] for s in json.loads(run_gitsnap("-C", installation, "--json", "list", *words).stdout)["snapshots"]
        ]

    one = take_snapshot(installation, "--tag", "v1")
    two = take_snapshot(installation, "--tag", "v2", "--tag", "live")
    run_gitsnap("-C", installation, "run", "--label", "up", "--", "touch", installation / "new")
    pre, post = listed("--upgrade", "up")
    assert listed() == [one, two, pre, post]
    assert listed("--kind", "manual") == listed("--tag", "v1", "--tag", "live") == [one, two]
    assert listed("--kind", "pre", "--kind", "post") == [pre, post]
    assert listed("--last", "1") == [post]
    assert listed("--kind", "manual", "--last", "1") == [two]
    assert listed("--since", "1h") == [one, two, pre, post]
    assert listed("--since", "2999-01-01") == []
    assert "none of 4 snapshots" in run_gitsnap("-C", installation, "list", "--tag", "none").stderr
    run_gitsnap("-C", installation, "list", "--kind", "other", check=2)
    run_gitsnap("-C", installation, "list", "--since", "yesterday", check=2)
    run_gitsnap("-C", installation, "list", "--upgrade", "none", check=1)
    run_gitsnap("-C", installation, "delete", one)
    run_gitsnap("-C", installation, "delete", two)
    deleted = json.loads(run_gitsnap("-C", installation, "--json", "list", "--deleted", "--tag", "v1").stdout)
    assert one in str(deleted)
    assert two not in str(deleted)


def _taken_ago(place: Protected, ago: timedelta, label: str = "", **more: object) -> str:
    request = Request(label=label, **more)  # type: ignore[arg-type]
    return snapshot.take(place.sidecar, request, place.settings, now=datetime.now(UTC) - ago).snapshot.id


def _days(place: Protected, *days: float) -> list[str]:
    return [_taken_ago(place, timedelta(days=one), f"a{one}") for one in days]


def test_as_of_a_time(place: Protected) -> None:
    """The newest that was taken by then; a date is all of its day."""
    assert refusal(place, "@7d").message == "there are no snapshots yet"
    oldest, week, newest = _days(place, 20, 8, 5)
    today = datetime.now().astimezone()
    assert chosen(place, "@7d") == chosen(place, "@1w") == chosen(place, "@168h") == chosen(place, "@1w12h") == week
    assert chosen(place, "@5d") == chosen(place, "@1h") == chosen(place, f"@{today:%Y-%m-%d}") == newest
    for days, name in ((20, oldest), (10, oldest), (8, week), (7, week), (5, newest), (4, newest)):
        then = today - timedelta(days=days)
        assert chosen(place, f"@{then:%Y-%m-%d}") == chosen(place, f"@{then:%Y-%m-%dT%H:%M:%S%z}") == name
    before = today - timedelta(days=8, minutes=2)
    assert chosen(place, f"@{before:%Y-%m-%d %H:%M}") == oldest
    # Numbers are numbers.
    assert chosen(place, "@2") == week
    refused = refusal(place, "@3w")
    assert refused.message.startswith(f"no snapshot is as old as @3w, {today - timedelta(days=21):%Y-%m-%d} ")
    assert (refused.exit_code, refused.kind) == (1, "no-such-snapshot")
    for days in (21, 500):
        then = f"{today - timedelta(days=days):%Y-%m-%d}"
        assert refusal(place, f"@{then}").message == f"no snapshot is as old as @{then}; the oldest is {oldest}"
    place.delete(oldest)
    assert "list --deleted" in (refusal(place, "@10d").hint or "")
    for word in ("@7x", "@7dd", "@2026-13-01", "@9999y"):
        assert refusal(place, word).message == f"'{word}' is neither the number of a snapshot nor a time"
    assert refusal(place, f"@{today + timedelta(days=2):%Y-%m-%d}").message.endswith(" is yet to come")
    for typed in ("7d", f"{today - timedelta(days=7):%Y-%m-%d}"):
        assert f"@{typed} is the newest that was taken by then" in (refusal(place, typed).hint or "")


@pytest.mark.parametrize(
    ("minutes", "shown"),
    [(2, "2min"), (99, "99min"), (101, "1h"), (2820, "47h"), (2880, "2d"), (999 * 1440, "999d")],
)
def test_an_age_that_is_shown_can_be_typed(minutes: int, shown: str) -> None:
    now = datetime(2026, 12, 1, 12, tzinfo=UTC)
    taken = now - timedelta(minutes=minutes)
    assert formatting.age(taken, now) == shown
    named = span(shown, now)
    assert named is not None
    # What is shown is cut off, so that it is a little later.
    assert taken <= named[1] < taken + timedelta(days=1)


def test_what_is_written_otherwise_elsewhere(place: Protected) -> None:
    """A time as it is said, a number without its @, and what git has lead to what can be typed here."""
    (one,) = _days(place, 5)
    today = f"{datetime.now().astimezone():%Y-%m-%d}"
    for typed, hint in (
        ("1", "@1 is the one with this number"),
        ("HEAD~1", "latest~1"),
        ("last", "`latest`"),
        ("yesterday", "@12h, @7d"),
        ("last week", "@12h, @7d"),
        ("20 minutes ago", "@12h, @7d"),
        ("@2minutes", "@12h, @7d"),
        ("4:15", f"@{today}T04:15"),
        ("@04:15:20", f"@{today}T04:15:20"),
        ("2026-11-23 04:15", "@2026-11-23T04:15 is the newest"),
    ):
        assert hint in (refusal(place, typed).hint or ""), typed
    assert chosen(place, "@2min") == one
    for typed in ("9", "agog", "to-2.0", "ahead"):
        assert refusal(place, typed).hint == "`gitsnap list` shows the snapshots"
    _days(place, 5)
    assert f"or @{one[:10]} for the newest" in (refusal(place, one[:10]).hint or "")


def test_as_of_a_time_it_is_what_latest_was_then(place: Protected) -> None:
    """Safety snapshots do not count; what was rolled back does until then; a copy does, as nothing else does."""
    copy = _taken_ago(place, timedelta(days=50), kind=Kind.IMPORTED)
    pre, post = (
        _taken_ago(place, timedelta(days=days), kind=kind, upgrade="u1")
        for days, kind in ((30, Kind.PRE), (29, Kind.POST))
    )
    _taken_ago(place, timedelta(days=20), kind=Kind.SAFETY, upgrade="u1")
    assert chosen(place, "@40d") == copy
    assert chosen(place, "@25d") == post
    assert chosen(place, "@10d") == chosen(place, "latest") == pre


def test_as_of_a_time_of_which_one_is_damaged(place: Protected) -> None:
    old, middle, new = _days(place, 20, 8, 5)
    place.git("update-ref", "-d", f"refs/gitsnap/snapshots/{middle}")
    place.reopen()
    with pytest.raises(IntegrityError, match=middle):
        chosen(place, "@7d")
    assert (chosen(place, "@5d"), chosen(place, "@9d")) == (new, old)
    place.git("update-ref", "-d", f"refs/gitsnap/snapshots/{old}")
    place.reopen()
    with pytest.raises(IntegrityError, match=old):
        chosen(place, "@9d")
    assert refusal(place, "@30d").message.endswith(f"; the oldest is {new}")


def test_a_damaged_one_that_claims_to_be_of_tomorrow_may_be_todays(place: Protected) -> None:
    _, tomorrow = _days(place, 5, -1.5)
    place.git("update-ref", "-d", f"refs/gitsnap/snapshots/{tomorrow}")
    place.reopen()
    with pytest.raises(IntegrityError, match=tomorrow):
        chosen(place, f"@{datetime.now().astimezone():%Y-%m-%d}")


def test_a_damaged_one_that_was_taken_later_is_in_nobodys_way(place: Protected) -> None:
    """By a clock that was reset it seems to be old."""
    old, _, reset = _days(place, 20, 5, 30)
    place.git("update-ref", "-d", f"refs/gitsnap/snapshots/{reset}")
    place.reopen()
    assert chosen(place, "@10d") == old
    with pytest.raises(IntegrityError, match=reset):
        chosen(place, "@1d")


@pytest.mark.parametrize(
    ("zone", "when", "by", "before"),
    [
        ("UTC", (2025, 3, 1, 23, 30), "2025-03-01", "2025-02-28"),
        ("UTC-9", (2025, 3, 1, 23, 30), "2025-03-02", "2025-03-01"),
        # An hour that comes twice is meant to its end.
        ("CET-1CEST,M3.5.0,M10.5.0/3", (2024, 10, 27, 1, 20), "2024-10-27T02:30", "2024-10-27 01:59"),
    ],
)
def test_local_time_counts(
    place: Protected, monkeypatch: pytest.MonkeyPatch, zone: str, when: tuple[int, ...], by: str, before: str
) -> None:
    name = snapshot.take(
        place.sidecar,
        Request(),
        place.settings,
        now=datetime(*when, tzinfo=UTC),  # type: ignore[arg-type,misc]
    ).snapshot.id
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert chosen(place, f"@{by}") == name
        assert refusal(place, f"@{before}")
    finally:
        monkeypatch.undo()
        time.tzset()


def test_delete_asks_about_a_time(place: Protected, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it names is another one when the command is called again."""
    old, week, _ = _days(place, 20, 8, 5)
    monkeypatch.setenv("GITSNAP_HOME", str(tmp_path / "home"))
    refused = run_gitsnap("-C", place.root, "delete", "@7d", check=2)
    assert "a time is asked about first" in refused.stderr
    assert "a range is asked" in run_gitsnap("-C", place.root, "delete", "@10d..@7d", check=2).stderr
    assert len(place.snapshots()) == 3
    assert run_gitsnap("-C", place.root, "delete", "-y", "@7d").stdout == f"deleted {week}\n"
    assert run_gitsnap("-C", place.root, "delete", "-y", "@12d..@7d").stdout == f"deleted {old}\n"
