"""Any tree, anything done to it: a rollback brings back exactly what was, and the rollback after it what it undid.

rsync is the judge; gitsnap's own word that it is so is only compared with it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, note, settings
from hypothesis import strategies as st

from tests.support.examples import examples
from tests.support.inprocess import Protected, workspace
from tests.support.installation import IS_ROOT, copy_tree, differences, same_tree
from tests.support.processes import as_user, load_all

relaxed = examples(100)

# Few plain names, so that things meet, and the nasty ones: git acts on or refuses them, or they are no text.
PLAIN = [b"a", b"a", b"b", b"b", b"c", b"d", b"A"]
NASTY = [b".git", b".GIT", b"git~1", b".gitattributes", b".gitmodules", b".gitignore", b"a\\.git", b".g\xe2\x80\x8cit"]
ODD = [b"%2Egit", b"%252Egit", b"-", b"a\nb", b" ", b"*", b"[a]", b"\\", b"\xff\xfe", b"e\xcc\x81", b"\xc3\xa9", b"..."]
ORDER = [b"~", b"CON", b"\x01\x7f", b"n" * 255, b"a.b", b"a-", b"a0", b"#", b"!", b"c\r"]
NAMES = st.sampled_from(PLAIN) | st.sampled_from([*NASTY, *ODD, *ORDER])
CONTENTS = st.sampled_from([b"", b"x", b"y", b"one\n", b"\0" * 5000, b"x" * 70_000, bytes(range(256)) * 40])
MODES = st.sampled_from([0o644, 0o755, 0o600, 0o4755, 0o2640, 0o1777, 0o444, 0o500, 0o070, 0, 0o7777])
TIMES = st.sampled_from([0, 1, -1, -1_500_000_000, 10**9, 1_700_000_000_123_456_789, 4_102_444_800 * 10**9 + 1])
TARGETS = st.sampled_from([b"a", b"../..", b"/etc/hostname", b"nowhere", b" \n\xff", b"t" * 4000])
XATTRS = st.sampled_from(["user.note", "user.\u00e9 =#"] + (["trusted.note"] if IS_ROOT else []))
OWNERS = st.sampled_from([(0, 0), (1000, 33), (33, 0), (3_000_000, 4_000_000)])
ENTRIES = st.integers(0, 60)


class Tree:
    """A real directory, and what can be done to it. Places are numbers: the n-th entry there is, whichever it is."""

    def __init__(self, root: Path) -> None:
        self.root = os.fsencode(root)

    def entries(self, *, folders: bool = False) -> list[bytes]:
        found = [self.root] if folders else []
        for folder, below, names in os.walk(self.root):
            found += [os.path.join(folder, name) for name in sorted(below if folders else below + names)]
        return sorted(p for p in found if not (folders and os.path.islink(p)))

    def pick(self, n: int) -> bytes:
        found = self.entries()
        return found[n % len(found)] if found else self.root

    def free(self, n: int, name: bytes) -> bytes:
        """A path below the n-th directory; whatever is there goes first."""
        folders = [f for f in self.entries(folders=True) if f.count(b"/") - self.root.count(b"/") < 4]
        path = os.path.join(folders[n % len(folders)], name)
        self.remove(path)
        return path

    def remove(self, path: bytes) -> None:
        if path == self.root:
            return
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        elif os.path.lexists(path):
            os.unlink(path)

    def file(self, n: int, name: bytes, content: bytes) -> None:
        with open(self.free(n, name), "wb") as file:
            file.write(content)

    def sparse(self, n: int, name: bytes, content: bytes) -> None:
        with open(self.free(n, name), "wb") as file:
            file.seek(100_000)
            file.write(content)
            file.truncate(300_000)

    def folder(self, n: int, name: bytes) -> None:
        os.mkdir(self.free(n, name))

    def symlink(self, n: int, name: bytes, target: bytes) -> None:
        os.symlink(target, self.free(n, name))

    def fifo(self, n: int, name: bytes) -> None:
        os.mkfifo(self.free(n, name))

    def device(self, n: int, name: bytes) -> None:
        with contextlib.suppress(PermissionError):
            os.mknod(self.free(n, name), stat.S_IFCHR | 0o600, os.makedev(1, 3))

    def link(self, n: int, m: int, name: bytes) -> None:
        path, source = self.free(m, name), self.pick(n)
        if os.path.lexists(source) and (os.path.islink(source) or not os.path.isdir(source)) and source != path:
            os.link(source, path, follow_symlinks=False)

    def rename(self, n: int, m: int, name: bytes) -> None:
        source, path = self.pick(n), self.free(m, name)
        if os.path.lexists(source) and not (path + b"/").startswith(source + b"/") and source != self.root:
            os.rename(source, path)

    def overwrite(self, n: int, content: bytes) -> None:
        path = self.pick(n)
        if os.path.isfile(path) and not os.path.islink(path):
            with open(path, "wb") as file:
                file.write(content)

    def replace(self, n: int, content: bytes) -> None:
        path = self.pick(n)
        if os.path.isfile(path) and not os.path.islink(path):
            self.remove(path)
            with open(path, "wb") as file:
                file.write(content)

    def delete(self, n: int) -> None:
        self.remove(self.pick(n))

    def retype(self, n: int, kind: int, content: bytes) -> None:
        path = self.pick(n)
        if path != self.root:
            self.remove(path)
            makers: list[Callable[[bytes], object]] = [
                os.mkdir,
                os.mkfifo,
                lambda p: os.symlink(b"a", p),
                lambda p: Path(os.fsdecode(p)).write_bytes(content),
            ]
            makers[kind](path)

    def mode(self, n: int, mode: int) -> None:
        path = self.pick(n)
        if not os.path.islink(path):
            # An ordinary user must be able to read what is to be captured, not more.
            needed = 0 if os.geteuid() == 0 else 0o500 if os.path.isdir(path) else 0o400
            os.chmod(path, mode | needed)

    def time(self, n: int, ns: int) -> None:
        os.utime(self.pick(n), ns=(ns, ns), follow_symlinks=False)

    def owner(self, n: int, ids: tuple[int, int]) -> None:
        if os.geteuid() == 0:
            os.chown(self.pick(n), *ids, follow_symlinks=False)

    def attribute(self, n: int, name: str, value: bytes) -> None:
        path = self.pick(n)
        with contextlib.suppress(PermissionError):
            os.setxattr(path, name, value, follow_symlinks=False)

    def no_attribute(self, n: int, name: str) -> None:
        with contextlib.suppress(OSError):
            os.removexattr(self.pick(n), name, follow_symlinks=False)

    def root_itself(self, mode: int, ns: int) -> None:
        os.chmod(self.root, mode | 0o500)
        os.utime(self.root, ns=(ns, ns))

    def wipe(self) -> None:
        for name in os.listdir(self.root):
            self.remove(os.path.join(self.root, name))


def step(what: str, *arguments: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.tuples(st.just(what), *arguments)


MAKING = st.one_of(
    step("file", ENTRIES, NAMES, CONTENTS),
    step("file", ENTRIES, NAMES, CONTENTS),
    step("folder", ENTRIES, NAMES),
    step("symlink", ENTRIES, NAMES, TARGETS),
    step("link", ENTRIES, ENTRIES, NAMES),
    step("fifo", ENTRIES, NAMES),
    step("device", ENTRIES, NAMES),
    step("sparse", ENTRIES, NAMES, CONTENTS),
)
DRESSING = st.one_of(
    step("mode", ENTRIES, MODES),
    step("time", ENTRIES, TIMES),
    step("owner", ENTRIES, OWNERS),
    step("attribute", ENTRIES, XATTRS, st.sampled_from([b"", b"v", b"\0\xff" * 100])),
    step("no_attribute", ENTRIES, XATTRS),
    step("root_itself", MODES, TIMES),
)
BREAKING = st.one_of(
    step("overwrite", ENTRIES, CONTENTS),
    step("replace", ENTRIES, CONTENTS),
    step("rename", ENTRIES, ENTRIES, NAMES),
    step("delete", ENTRIES),
    step("retype", ENTRIES, st.integers(0, 3), CONTENTS),
)
TREES = st.tuples(st.lists(MAKING, max_size=14), st.lists(DRESSING, max_size=8)).map(lambda t: t[0] + t[1])
CHANGES = st.lists(MAKING | DRESSING | BREAKING | BREAKING, max_size=8) | st.lists(DRESSING, max_size=4)
CHANGES_OR_ALL = CHANGES | CHANGES.map(lambda steps: [("wipe",), *steps])


def carry_out(root: Path, steps: list[tuple[object, ...]]) -> None:
    tree = Tree(root)
    for what, *arguments in steps:
        # An ordinary user is in his own way, once he has taken rights from himself.
        with contextlib.suppress(PermissionError):
            getattr(tree, str(what))(*arguments)


@relaxed
@given(TREES, CHANGES_OR_ALL, st.booleans(), st.booleans())
def test_a_rollback_and_its_undoing_are_exact(
    tree: list[tuple[object, ...]], changes: list[tuple[object, ...]], settled: bool, looked: bool
) -> None:
    round_trip(tree, changes, settled, looked)


@pytest.mark.skipif(not IS_ROOT, reason="the test above was an ordinary user's")
def test_an_ordinary_users_rollback_is_exact_as_well() -> None:
    """In a directory of their own, where rights are missing now and again."""

    @settings(relaxed, database=None)
    @given(TREES, CHANGES_OR_ALL)
    def every(tree: list[tuple[object, ...]], changes: list[tuple[object, ...]]) -> None:
        round_trip(tree, changes, settled=False, looked=False)

    load_all()
    as_user(every, seconds=600)


def round_trip(tree: list[tuple[object, ...]], changes: list[tuple[object, ...]], settled: bool, looked: bool) -> None:
    with workspace() as where:
        app, expected, got = where / "got/changed", where / "expected", where / "got"
        app.mkdir(parents=True)
        expected.mkdir()
        carry_out(app, tree)
        copy_tree(app, expected / "first")
        with Protected(app, where / "home") as place:
            if settled:
                # Only now may the next scans believe the cache.
                time.sleep(0.06)
            first = place.take()
            assert first.partial == []
            carry_out(app, changes)
            copy_tree(app, expected / "changed")
            if looked:
                place.take()
            planned = place.rollback(first.snapshot.id, dry_run=True)
            back = place.rollback(first.snapshot.id)
            assert (back.verified, back.incomplete) == (True, [])
            assert planned.plan == back.plan
            copy_tree(app, got / "first")
            assert place.verify_live(first.snapshot.id).problems == []
            assert place.rollback(first.snapshot.id, dry_run=True).plan.steps == []
            place.reopen()
            assert (back.safety is None) == (back.plan.steps == [])
            if back.safety is not None:
                again = place.rollback(back.safety.id)
                assert (again.verified, again.incomplete) == (True, [])
            assert [v.problems for v in place.verify() if v.problems] == []
        for folder in (expected, got):
            os.utime(folder, ns=(0, 0))
        same_tree(expected, got)


@relaxed
@given(TREES, st.data())
def test_copies_elsewhere_are_exact(tree: list[tuple[object, ...]], data: st.DataObject) -> None:
    with workspace() as where:
        app = where / "app"
        app.mkdir()
        carry_out(app, tree)
        with Protected(app, where / "home") as place:
            first = place.take().snapshot
            whole = place.copy_out(first.id, where / "whole")
            assert (whole.verified, whole.incomplete) == (True, [])
            paths = [os.path.relpath(p, os.fsencode(app)) for p in Tree(app).entries()]
            if paths:
                chosen = data.draw(st.lists(st.sampled_from(paths), min_size=1, max_size=3))
                part = place.copy_out(first.id, where / "part", chosen)
                assert (part.verified, part.incomplete) == (True, [])
                for path in chosen:
                    pair = [os.path.join(os.fsencode(top), path) for top in (app, where / "part")]
                    assert alone(pair[0]) == alone(pair[1])
        same_tree(app, where / "whole")


def alone(path: bytes) -> dict[bytes, object]:
    """What lstat and friends say of a path and all below, hard links to elsewhere aside."""
    paths = [path]
    if stat.S_ISDIR(os.lstat(path).st_mode):
        paths += [os.path.join(d, n) for d, dirs, files in os.walk(path) for n in dirs + files]
    inodes: dict[int, bytes] = {}
    found: dict[bytes, object] = {}
    for each in sorted(paths):
        s = os.lstat(each)
        content: object = None
        if stat.S_ISREG(s.st_mode):
            with open(each, "rb") as file:
                content = file.read()
        elif stat.S_ISLNK(s.st_mode):
            content = os.readlink(each)
        names = os.listxattr(each, follow_symlinks=False)
        attributes = {name: os.getxattr(each, name, follow_symlinks=False) for name in names}
        same = inodes.setdefault(s.st_ino, each)[len(path) :]
        found[each[len(path) :]] = (s.st_mode, s.st_uid, s.st_gid, s.st_mtime_ns, s.st_rdev, content, attributes, same)
    return found


@relaxed
@given(TREES, CHANGES, st.data())
def test_what_is_not_asked_for_stays(
    tree: list[tuple[object, ...]], changes: list[tuple[object, ...]], data: st.DataObject
) -> None:
    """Named paths come back, and every other entry is after it what it was before."""
    with workspace() as where:
        app = where / "app"
        app.mkdir()
        carry_out(app, tree)
        with Protected(app, where / "home") as place:
            first = place.take().snapshot
            paths = [os.path.relpath(p, os.fsencode(app)) for p in Tree(app).entries()]
            if not paths:
                return
            wanted = alone(os.fsencode(app))
            carry_out(app, changes)
            chosen = data.draw(st.lists(st.sampled_from(paths), min_size=1, max_size=2))
            note(str(chosen))
            before = alone(os.fsencode(app))
            back = place.rollback(first.id, chosen)
            assert (back.verified, back.incomplete) == (True, [])
            after = alone(os.fsencode(app))
        for path in before.keys() | after.keys() | wanted.keys():
            if within(path, chosen):
                assert short(wanted, path) == short(after, path), path
            elif not any(within(b"/" + c, [path[1:]]) for c in chosen):
                assert short(before, path) == short(after, path), path
            else:
                # What holds a chosen path: only replaced when it was no directory.
                assert path in after


def within(path: bytes, tops: list[bytes]) -> bool:
    return any(path == b"/" + top or path.startswith(b"/" + top + b"/") or not top for top in tops)


def short(found: dict[bytes, object], path: bytes) -> object:
    """Without the links: those between what is and what is not asked for are cut."""
    value = found.get(path)
    return value[:-1] if isinstance(value, tuple) else value


@relaxed
@given(TREES, CHANGES_OR_ALL)
# A name that has to make way, and cannot, of a file with another name.
@example([("file", 0, b"a", b""), ("link", 0, 0, b".git")], [("retype", 0, 0, b""), ("file", 1, b"b", b"")])
@example(
    [*[("file", 0, b"a", b"")] * 5, ("file", 0, b".git", b""), ("link", 0, 0, b"a")],
    [("retype", 0, 0, b""), ("file", 0, b"a", b""), ("file", 1, b"b", b"")],
)
def test_what_is_excluded_stays(tree: list[tuple[object, ...]], changes: list[tuple[object, ...]]) -> None:
    with workspace() as where:
        app = where / "app"
        app.mkdir()
        carry_out(app, tree)
        with Protected(app, where / "home") as place:
            place.settings = replace(place.settings, exclude=("b", "!/b", "A/", "*.b"))
            first = place.take()
            assert first.partial == []
            wanted = alone(os.fsencode(app))
            carry_out(app, changes)
            before = alone(os.fsencode(app))
            back = place.rollback(first.snapshot.id)
            assert back.verified
            after = alone(os.fsencode(app))
            kept = {b"/" + p.path for p in back.incomplete}
        for path in before.keys() | after.keys() | wanted.keys():
            if excluded(path, before) or (path not in before and excluded(path, wanted)):
                if not linked(before, path):
                    assert short(before, path) == short(after, path), path
            elif path not in kept and path in wanted and not excluded(path, wanted):
                assert short(wanted, path) == short(after, path), path
            elif path not in kept:
                assert path not in after, path


def linked(found: dict[bytes, object], path: bytes) -> bool:
    """Whether other names share the inode: one that is not excluded may have its metadata brought back, for all."""
    value = found.get(path)
    return isinstance(value, tuple) and not stat.S_ISDIR(value[0]) and value[-1][1] > 1


def excluded(path: bytes, tree: dict[bytes, object]) -> bool:
    """git's reading of the rules above, said in another way."""
    parts = path.split(b"/")[1:]
    for depth, name in enumerate(parts):
        value = tree.get(b"/" + b"/".join(parts[: depth + 1]))
        is_dir = isinstance(value, tuple) and stat.S_ISDIR(value[0])
        if (name == b"b" and depth > 0) or (name == b"A" and is_dir) or name.endswith(b".b"):
            return True
    return False


def test_the_judge_would_notice() -> None:
    """Each thing that a rollback brings back, left undone, is a difference to rsync."""
    spoilers: list[Callable[[Path], object]] = [
        lambda p: p.write_bytes(b"y"),
        lambda p: os.chmod(p, 0o640),
        lambda p: os.utime(p, ns=(0, 1_700_000_000_000_000_001)),
        lambda p: os.setxattr(p, "user.note", b""),
        lambda p: p.unlink(),
        lambda p: (p.unlink(), p.symlink_to("a")),
        lambda p: (p.unlink(), p.mkdir()),
        lambda p: (p.unlink(), shutil.copy2(p.with_name("b"), p)),
        lambda p: p.with_name("more").touch(),
    ]
    for spoil in spoilers:
        with workspace() as where:
            (where / "app").mkdir()
            (where / "app/a").write_bytes(b"x")
            os.link(where / "app/a", where / "app/b")
            os.utime(where / "app/a", ns=(0, 1_700_000_000_000_000_000))
            copy_tree(where / "app", where / "copy")
            same_tree(where / "app", where / "copy")
            spoil(where / "copy/a")
            assert differences(where / "app", where / "copy")


@pytest.fixture(autouse=True)
def _needs_rsync() -> Iterator[None]:
    if subprocess.run(["sh", "-c", "command -v rsync"], capture_output=True).returncode:
        pytest.skip("rsync, which tells whether two trees are the same, is not installed")
    yield
