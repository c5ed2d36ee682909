"""One change, one count: whoever tells what changed between any two trees tells the same, of all of it and of a part.

The counts themselves are checked against what the two trees are made of.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from hypothesis import given, note
from hypothesis import strategies as st

from gitsnap.cli.render import json, json_changelog, json_diff, json_status, json_upgrade
from gitsnap.core.comparison import Change, counted
from gitsnap.core.counts import Counts, Status
from gitsnap.core.model import Kind
from gitsnap.core.secrets.masker import NOTHING
from gitsnap.core.stored_difference import differing
from gitsnap.ops.capture.request import Request
from gitsnap.ops.compare import components, diff, stored
from gitsnap.ops.query import status
from gitsnap.ops.report import changelog, history, report
from gitsnap.sidecar import contents
from tests.support.examples import examples
from tests.support.inprocess import Protected, workspace

NAMES = st.sampled_from([b"a", b"b", b"c", b"d*", b"\xff", b".git", b"-", b"new\nline", b"back\\slash"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(b"/".join)
LONG = b"".join(b"line %d of a text\n" % n for n in range(40))
# Few contents, some of them alike: so that files are moved, edited, both at once, and linked.
FILES = st.tuples(
    st.just("file"),
    st.sampled_from([b"", b"x", b"y\n", LONG, LONG + b"x\n", LONG[200:] + b"y\n", b"\0" * 50, b"\0" * 40 + b"\1" * 20]),
    st.sampled_from([0o644, 0o644, 0o600]),
)
OTHERS = st.sampled_from(
    [("dir", b"", 0o755), ("dir", b"", 0o700), ("link", b"x", 0), ("link", b"y", 0), ("fifo", b"", 0o644)]
) | st.sampled_from([("hard link", b"a", 0), ("hard link", b"b", 0)])
TREES = st.dictionaries(PATHS, FILES | FILES | OTHERS, max_size=8)
Tree = dict[bytes, tuple[str, bytes, int]]


def build(top: Path, tree: Tree) -> None:
    """What of a tree can be: nothing lies below what is no directory."""
    root = os.fsencode(top)
    for path, (kind, data, mode) in sorted(tree.items()):
        place, above = os.path.join(root, path), os.path.dirname(os.path.join(root, path))
        if not os.path.isdir(above):
            if os.path.lexists(above) or not os.path.isdir(os.path.dirname(above)):
                continue
            os.mkdir(above)
        if kind == "dir":
            os.makedirs(place, exist_ok=True)
            os.chmod(place, mode)
        elif kind == "file":
            with open(place, "xb") as file:
                file.write(data)
            os.chmod(place, mode)
        elif kind == "link":
            os.symlink(data, place)
        elif kind == "fifo":
            os.mkfifo(place)
        elif os.path.isfile(os.path.join(root, data)) and not os.path.lexists(place):
            os.link(os.path.join(root, data), place)


def clear(top: Path) -> None:
    for folder, folders, names in os.walk(os.fsencode(top), topdown=False):
        for name in names:
            os.unlink(os.path.join(folder, name))
        for name in folders:
            place = os.path.join(folder, name)
            os.unlink(place) if os.path.islink(place) else os.rmdir(place)


def kinds(top: Path) -> dict[bytes, tuple[str, bytes]]:
    """Each path below `top`, what it is and what it holds."""
    found: dict[bytes, tuple[str, bytes]] = {}
    root = os.fsencode(top)
    for folder, folders, names in os.walk(root):
        for name in (*folders, *names):
            place = os.path.join(folder, name)
            key = os.path.relpath(place, root)
            if os.path.islink(place):
                found[key] = ("link", os.readlink(place))
            elif os.path.isdir(place):
                found[key] = ("dir", b"")
            elif os.path.isfile(place):
                with open(place, "rb") as file:
                    found[key] = ("file", file.read())
            else:
                found[key] = ("fifo", b"")
    return found


def assert_right(counts: Counts, old: dict[bytes, tuple[str, bytes]], new: dict[bytes, tuple[str, bytes]]) -> None:
    """Renames bind what went to what came; all else follows from the two trees."""
    for here, folder in ((counts.files, False), (counts.directories, True)):
        wanted = Counter[Status]()
        for path in old.keys() | new.keys():
            a, b = old.get(path), new.get(path)
            if folder is not all(side is None or side[0] == "dir" for side in (a, b)):
                continue
            if a is None or b is None:
                wanted[Status.ADDED if a is None else Status.REMOVED] += 1
            elif a != b:
                wanted[Status.TYPE if a[0] != b[0] else Status.MODIFIED] += 1
        moved = here.get(Status.RENAMED, 0)
        for half in (Status.ADDED, Status.REMOVED):
            assert here.get(half, 0) + moved == wanted[half]
        for way in (Status.TYPE, Status.MODIFIED):
            assert here.get(way, 0) == wanted[way]


def told_of(changes: list[Change]) -> list[tuple[bytes, Status, bytes | None, tuple[str, ...]]]:
    return [(c.path, c.status, c.old_path, c.what) for c in changes]


def both(counts: Counts) -> dict[str, dict[str, int]]:
    return {"files": counts.summary, "directories": counts.directory_summary}


@examples(40)
@given(old=TREES, new=TREES)
def test_all_readers_count_the_same(old: Tree, new: Tree) -> None:
    with workspace() as where:
        top = where / "app"
        top.mkdir()
        build(top, old)
        before = kinds(top)
        with Protected(top, where / "home") as place:
            pre = place.take(Request(kind=Kind.PRE, upgrade="u", label="u-pre")).snapshot
            clear(top)
            build(top, new)
            after = kinds(top)
            live = diff.diff(place.sidecar, pre.id, diff.NOW, place.settings)[0]
            state = status.status(place.sidecar, place.settings, now=place.now)
            taken = place.take(Request(kind=Kind.POST, upgrade="u", label="u-post"))
            post = taken.snapshot
            found, _ = diff.diff(place.sidecar, pre.id, post.id, place.settings)
            counts = found.comparison.counts
            note(str(both(counts)))
            assert_right(counts, before, after)

            log = changelog.changelog(place.sidecar, pre.id, post.id, place.settings)
            episode = next(e for e in history.history(place.sidecar, place.settings).episodes if e.upgrade)
            assert episode.changed is not None
            page = report.report(place.sidecar, pre.id, post.id, place.settings)
            assert state.difference is not None
            for name, told in {
                "snapshot": taken.counts,
                "diff now": live.comparison.counts,
                "status": state.difference.comparison.counts,
                "changelog": log.counts,
                "history": episode.changed.counts,
                "report": page.log.counts,
                "report's changes": counted(page.changes),
            }.items():
                assert both(told) == both(counts), name
            assert told_of(stored.changes(place.sidecar, pre, post)) == told_of(found.comparison.changes)

            documents = {
                "diff": json_diff.difference(found, {}),
                "changelog": json_changelog.document(log, None, place.settings, NOTHING, command=str),
                "snapshot": json.taken(taken),
            }
            for name, document in documents.items():
                assert document["summary"] == counts.summary, name
                assert document["directories"] == counts.directory_summary, name
            standing = json_status.state(state, "")
            assert (standing["changes"], standing["directories"]) == (counts.summary, counts.directory_summary)
            row = json_upgrade.episode(episode)
            assert (row["files_changed"], row["directories_changed"]) == (counts.summary, counts.directory_summary)

            tallies = components.tally(found.comparison.changes, {}).values()
            assert sum((Counter(t.counts.files) for t in tallies), Counter()) == Counter(counts.files)
            assert sum((Counter(t.counts.directories) for t in tallies), Counter()) == Counter(counts.directories)
            parts(place, pre.id, post.id, found)


def about_path(path: bytes) -> Callable[[Change], bool]:
    def about(change: Change) -> bool:
        names = (change.path, change.old_path or change.path)
        return any(n == path or n.startswith(path + b"/") for n in names)

    return about


def parts(place: Protected, pre: str, post: str, whole: diff.Difference) -> None:
    """Of one path the counts are those of its changes in the whole, and so is what was written again."""
    paths = {c.path for c in whole.comparison.changes} | {c.old_path for c in whole.comparison.changes if c.old_path}
    for path in sorted(paths | {p.split(b"/")[0] for p in paths if p} - {b""}):
        about = about_path(path)
        wanted = [c for c in whole.comparison.changes if about(c)]
        for side in (post, diff.NOW):
            told = diff.diff(place.sidecar, pre, side, place.settings, paths=[path])[0]
            assert both(told.comparison.counts) == both(counted(wanted)), path
            assert [c.path for c in told.retimed] == [c.path for c in whole.retimed if about(c)]


def test_what_differs_is_all_there_is_to_compare(tmp_path: Path) -> None:
    """Of a hundred files that stay, the texts' difference brings none but what changed, and the directories above."""
    top = tmp_path / "app"
    for n in range(100):
        (top / f"d{n % 10}").mkdir(parents=True, exist_ok=True)
        (top / f"d{n % 10}" / f"f{n}").write_text(str(n))
    with Protected(top, tmp_path / "home") as place:
        a = place.take().snapshot
        (top / "d3" / "f3").write_text("other")
        b = place.take().snapshot
        with contents.opened(place.sidecar, a) as before, contents.opened(place.sidecar, b) as after:
            sides = differing(before.texts, after.texts)
        assert sides is not None
        assert [[e.path for e in side.entries] for side in sides] == [[b"", b"d3", b"d3/f3"]] * 2
