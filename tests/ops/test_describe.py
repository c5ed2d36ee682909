"""What is said of a snapshot later: told wherever snapshots are told, carried wherever they go, and gone with them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitsnap.core.errors import IntegrityError, SecretsError, UsageError
from gitsnap.core.message import format_description, normalize_message, parse_description
from gitsnap.core.model import Kind, Snapshot
from gitsnap.core.remote import HEADS, PLAIN, Remote
from gitsnap.ops.capture.request import Request
from gitsnap.ops.check import verify
from gitsnap.ops.query import log
from gitsnap.ops.query.listing import Filter
from gitsnap.ops.query.search import Searched, matcher, search
from gitsnap.ops.remote import adopt, bundle, bundle_folder, receive
from gitsnap.ops.remote.bundle import Wanted
from gitsnap.ops.remote.pull import PullOptions, pull
from gitsnap.ops.remote.push import PushOptions, push
from gitsnap.ops.remote.sources import open_source
from gitsnap.ops.store import deleted, gc, locate, purge, retention
from gitsnap.ops.store.describe import Wording, describe
from gitsnap.sidecar import catalog, descriptions
from gitsnap.sidecar.footprint import Footprint
from gitsnap.sidecar.git import refs, stock_git
from gitsnap.sidecar.repository import Sidecar
from tests.support.inprocess import SETTINGS, Protected, bare_git, workspace

NEW = Wording("the storm\n\nwas over", tags=("Good One",), untags=("v1",))


@pytest.fixture
def place() -> Iterator[Protected]:
    with workspace() as top:
        (top / "app").mkdir()
        (top / "app/file").write_text("one\n")
        (top / "app/key").write_text("one\n")
        with Protected(top / "app", top / "home") as found:
            found.take(Request(message="as it was", tags=("v1", "v2")))
            (found.root / "file").write_text("two\n")
            found.take(Request(message="another"))
            yield found


def say(place: Protected, selector: str = "latest~1", wanted: Wording = NEW) -> Snapshot:
    return describe(place.sidecar, selector, wanted, SETTINGS, now=place.now)


def told(sidecar: Sidecar) -> list[tuple[str, tuple[str, ...]]]:
    return [(s.message, s.tags) for s in catalog.snapshots(sidecar)]


SAID = ("the storm\n\nwas over", ("v2", "good-one"))
OTHER = ("another", ())


def test_a_snapshot_says_something_else_and_is_the_same(place: Protected) -> None:
    before = catalog.snapshots(place.sidecar)[0]
    done = say(place)
    place.reopen()
    [now, _] = catalog.snapshots(place.sidecar)
    assert now == done
    assert told(place.sidecar) == [SAID, OTHER]
    assert (now.commit, now.message_taken, now.tags_taken) == (before.commit, "as it was", ("v1", "v2"))
    assert now.taken is not None
    asked = stock_git.at_home(os.environ, str(place.store))
    listed = subprocess.run(["git", "descriptions"], env=asked, capture_output=True, text=True, check=True)
    assert listed.stdout.splitlines() == [f"{now.id}  described: the storm v2 good-one"]
    shown = bare_git(place.store, "log", "-1", "--format=%B", f"refs/gitsnap/descriptions/{now.id}")
    assert shown.startswith(b"described: the storm\n\nwas over\n\nGitsnap-Describes: ")
    assert not subprocess.run(
        ["git", f"--git-dir={place.store}", "fsck", "--full", "--strict"], capture_output=True, check=True
    ).stderr
    assert all(v.ok for v in verify.verify(place.sidecar, [], SETTINGS, now=place.now, everything=True))


def test_what_is_said_already_is_not_written_again(place: Protected) -> None:
    first = say(place)
    assert say(place) == first
    # A part of it at a time; the first words stay known.
    assert say(place, wanted=Wording(tags=("v1",))).tags == ("v2", "good-one", "v1")
    last = say(place, wanted=Wording(""))
    assert (last.message, last.message_taken) == ("snapshot", "as it was")
    with pytest.raises(UsageError):
        say(place, wanted=Wording("a\0b"))


def test_filters_know_both_messages_and_the_tags_of_now(place: Protected) -> None:
    say(place)
    known = catalog.snapshots(place.sidecar)
    for wanted, found in (
        (Filter(text="STORM"), 1),
        (Filter(text="as it"), 1),
        (Filter(text="nowhere"), 0),
        (Filter(tags=("v1",)), 0),
        (Filter(tags=("good-one",)), 1),
    ):
        assert len(wanted.of(known)) == found
    assert [x.snapshot.id for x in log.log(place.sidecar, b"file", Filter(tags=("good-one",)))] == [known[0].id]
    for text, matches in (("one", 2), ("two", 0)):
        hits = list(
            search(
                place.sidecar, matcher(text, regex=False, ignore_case=False), [], Searched(), among=Filter(text="storm")
            )
        )
        assert len(hits) == matches


def test_it_stays_in_the_bin_and_goes_for_good(place: Protected) -> None:
    name = say(place).id
    retention.delete(place.sidecar, [name], SETTINGS, now=place.now)
    [binned], _ = catalog.deleted(place.sidecar, catalog.snapshots(place.sidecar))
    assert (binned.snapshot.message, binned.snapshot.tags) == SAID
    deleted.undelete(place.sidecar, [name], SETTINGS, now=place.now)
    assert told(place.sidecar) == [SAID, OTHER]
    gc.collect(place.sidecar, SETTINGS, now=place.now)
    place.reopen()
    assert told(place.sidecar) == [SAID, OTHER]
    retention.delete(place.sidecar, [name], SETTINGS, now=place.now)
    gc.collect(place.sidecar, SETTINGS, now=place.now)
    assert not descriptions.load(place.sidecar)
    objects = bare_git(place.store, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)").split()
    contents = [bare_git(place.store, "cat-file", "-p", o.decode()) for o in objects]
    assert not any(b"the storm" in c for c in contents)


def test_it_holds_nothing_that_goes(place: Protected) -> None:
    (place.root / "big").write_bytes(os.urandom(50_000))
    going = place.take().snapshot
    (place.root / "big").unlink()
    place.take()
    kept = [s for s in catalog.snapshots(place.sidecar) if s.id != going.id]
    before = Footprint(place.sidecar).weigh([[going]], kept).alone
    say(place, going.id)
    assert Footprint(place.sidecar).weigh([[going]], kept).alone == before
    assert before[0] > 50_000


def test_one_that_is_damaged_goes_with_it(place: Protected) -> None:
    name = say(place).id
    bare_git(place.store, "update-ref", "-d", refs.SNAPSHOTS + name)
    place.reopen()
    retention.delete(place.sidecar, [name], SETTINGS, now=place.now)
    assert not descriptions.load(place.sidecar)


def test_a_folder_of_bundles_gets_it(place: Protected) -> None:
    folder = place.root.parent / "folder"
    folder.mkdir()
    options = bundle_folder.FolderOptions(place.now)
    assert bundle_folder.push(place.sidecar, str(folder), SETTINGS, options).written is not None
    assert bundle_folder.push(place.sidecar, str(folder), SETTINGS, options).written is None
    say(place)
    assert bundle_folder.push(place.sidecar, str(folder), SETTINGS, options).written is not None
    with _adopted(place, Remote("b", f"bundles:{folder}"), "opened") as opened:
        assert told(opened) == [SAID, OTHER]


def test_purging_a_path_leaves_what_was_said_when(place: Protected) -> None:
    before = say(place)
    purge.run(place.sidecar, [b"key"], SETTINGS, now=place.now)
    place.reopen()
    [after, _] = catalog.snapshots(place.sidecar)
    assert after.commit != before.commit
    assert (after.message, after.tags, after.message_taken) == (*SAID, "as it was")
    assert b"as it was" in bare_git(place.store, "log", "-1", "--format=%s", after.commit)
    tree = bare_git(place.store, "ls-tree", "-r", "--name-only", f"refs/gitsnap/descriptions/{after.id}")
    assert tree.split() == [b"file"]


def test_what_is_lost_or_another_s_says_nothing(place: Protected) -> None:
    name = say(place).id
    ref = refs.DESCRIPTIONS + name
    for value in (catalog.snapshots(place.sidecar)[1].commit, None):
        if value is None:
            bare_git(place.store, "update-ref", "-d", ref)
        else:
            bare_git(place.store, "update-ref", ref, value)
        place.reopen()
        assert told(place.sidecar)[0] == ("as it was", ("v1", "v2"))
        [problems] = [v for v in verify.verify(place.sidecar, [], SETTINGS, now=place.now, everything=True) if not v.ok]
        assert ref in problems.problems[0].problem


def test_neither_an_older_record_nor_another_snapshot_s_counts(place: Protected) -> None:
    first = say(place)
    assert first.taken is not None
    say(place, wanted=Wording("later"))
    bare_git(place.store, "update-ref", refs.DESCRIPTIONS + first.id, first.taken.record)
    place.reopen()
    assert told(place.sidecar)[0][0] == "as it was"
    second = say(place, "latest")
    assert second.taken is not None
    (place.store / "gitsnap/seal").unlink()
    bare_git(place.store, "update-ref", refs.DESCRIPTIONS + first.id, second.taken.record)
    place.reopen()
    assert [message for message, _ in told(place.sidecar)] == ["as it was", second.message]


@pytest.mark.parametrize("refspec", [PLAIN, HEADS])
@pytest.mark.parametrize("installation", [None, "web-1/shop"])
def test_it_goes_wherever_snapshots_go(place: Protected, refspec: str, installation: str | None) -> None:
    top = place.root.parent
    subprocess.run(["git", "init", "-q", "--bare", top / "r.git"], check=True)
    remote = Remote("origin", str(top / "r.git"), refspec=refspec, installation=installation)
    push(place.sidecar, remote, SETTINGS, PushOptions(place.now))
    with _adopted(place, remote, "early") as early:
        name = say(place).id
        assert push(place.sidecar, remote, SETTINGS, PushOptions(place.now)).refs == 1
        say(place, wanted=Wording(tags=("late",)))
        assert push(place.sidecar, remote, SETTINGS, PushOptions(place.now)).refs == 1
        newest = [(SAID[0], (*SAID[1], "late")), OTHER]
        # Not described here: as over there. Described here: as here.
        assert told(early)[0] != newest[0]
        planned = pull(early, remote, SETTINGS, PullOptions(place.now, dry_run=True))
        assert planned.described == [name]
        assert told(early)[0] != newest[0]
        assert pull(early, remote, SETTINGS, PullOptions(place.now)).described == [name]
        assert told(early) == newest
        describe(early, name, Wording("mine"), SETTINGS, now=place.now)
        assert not pull(early, remote, SETTINGS, PullOptions(place.now)).described
        assert told(early)[0][0] == "mine"
    with _adopted(place, remote, "late") as late:
        assert told(late) == newest
    of = ("-i", installation) if installation else ()
    listed = subprocess.run(
        ["sh", place.store / "recover.sh", "-r", top / "r.git", *of, "list"], capture_output=True, text=True, check=True
    )
    assert "described: the storm" in listed.stdout
    push(place.sidecar, remote, SETTINGS, PushOptions(place.now, prune=True))
    retention.delete(place.sidecar, [name], SETTINGS, now=place.now)
    gc.collect(place.sidecar, SETTINGS, now=place.now)
    push(place.sidecar, remote, SETTINGS, PushOptions(place.now, prune=True))
    assert b"descriptions" not in bare_git(top / "r.git", "for-each-ref")


def test_it_is_in_a_bundle(place: Protected) -> None:
    say(place)
    file = place.root.parent / "all.bundle"
    bundle.create(place.sidecar, str(file), Wanted(), SETTINGS, now=place.now)
    assert all(looked.ok for looked in bundle.verify([str(file)], None))
    with _adopted(place, Remote("b", str(file)), "opened") as opened:
        assert told(opened) == [SAID, OTHER]


def test_a_secret_in_it_does_not_leave(place: Protected) -> None:
    top = place.root.parent
    subprocess.run(["git", "init", "-q", "--bare", top / "r.git"], check=True)
    remote = Remote("origin", str(top / "r.git"))
    push(place.sidecar, remote, SETTINGS, PushOptions(place.now))
    say(place, wanted=Wording("PGPASSWORD=geheim99x was set"))
    with pytest.raises(SecretsError) as caught:
        push(place.sidecar, remote, SETTINGS, PushOptions(place.now))
    assert b"description of" in caught.value.found[0].path
    with pytest.raises(SecretsError):
        bundle.create(place.sidecar, str(top / "x.bundle"), Wanted(), SETTINGS, now=place.now)


class _adopted:  # noqa: N801 - as a context manager is called
    """A sidecar of what is there, for a directory of its own."""

    def __init__(self, place: Protected, remote: Remote, name: str) -> None:
        top = place.root.parent
        (top / name).mkdir()
        self._place = locate.place_for(str(top / name), None, str(top / "home"), "/", "")
        with open_source(remote.url, "/", None) as source:
            adopt.adopt(source, self._place, None, receive.Asked(SETTINGS, place.now, remote.installation))

    def __enter__(self) -> Sidecar:
        self._sidecar = Sidecar(self._place.store)
        return self._sidecar

    def __exit__(self, *_: object) -> None:
        self._sidecar.close()


@given(st.text(max_size=40), st.lists(st.text(min_size=1, max_size=8), max_size=3))
def test_any_text_comes_back(text: str, tags: list[str]) -> None:
    said = normalize_message(text, kind=Kind.MANUAL, label="l")
    name = "2026-03-01T12-00-00Z-manual"
    if "\0" in said:
        with pytest.raises(ValueError):
            format_description(name, said, tags)
        return
    content = format_description(name, said, tags)
    assert parse_description(content) == (name, said, tuple(tags))
    with pytest.raises(IntegrityError):
        parse_description(content + b"\n")
