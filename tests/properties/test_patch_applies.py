"""What `gitsnap diff` prints is a patch that `git apply` takes: for any two trees, strange names and all.

Afterwards what is text is as in the second tree, path by path, with git's idea of a mode; what a patch cannot say
(binary files, empty directories, FIFOs, names that git refuses) is as it was, or gone with its directory.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hypothesis import example, given, note
from hypothesis import strategies as st

from gitsnap.core.paths import git_refuses
from gitsnap.ops.compare import diff
from tests.support.examples import examples
from tests.support.inprocess import Protected, workspace

ODD = ("a", "b", "c d", " x", "é", "tab\t", 'q"u', "back\\slash", "new\nline", "\x1b[31m", "-n", "dir", "\u202e")
NAMES = st.one_of(
    st.sampled_from([*map(os.fsencode, ODD), b"\xff\xfe", b".git", b".GIT", b"git~1", b".gitmodules", b"a/b"])
).map(lambda n: n.replace(b"/", b"_"))
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(b"/".join)
LINES = st.sampled_from(
    [b"one", b"two", b"three", b"-- a", b"++ b", b"@@ -1 +1 @@", b"diff --git a/x b/x", b"# x", b""]
)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r", b""])
TEXT = st.tuples(st.lists(st.tuples(LINES, ENDS), max_size=12)).map(lambda t: b"".join(a + b for a, b in t[0]))
LONG = st.integers(0, 3).map(lambda n: b"".join(b"line %d\n" % i for i in range(40)) + b"x\n" * n)
FILE = st.tuples(st.just("file"), st.one_of(TEXT, LONG), st.sampled_from([0o644, 0o755, 0o600]))
BINARY = st.tuples(st.just("file"), st.sampled_from([b"\0", b"\0\1" * 50, b"GIF8\0"]), st.just(0o644))
# No link leads to itself: git apply stumbles over one that becomes a directory (ELOOP), whoever wrote the patch.
LINK = st.tuples(st.just("link"), st.sampled_from([b"nowhere", b"nowhere/x", b"new\nline2", b"\xff\xfd"]), st.just(0))
OTHER = st.sampled_from([("dir", b"", 0o755), ("fifo", b"", 0o644)])
TREE = st.dictionaries(PATHS, st.one_of(FILE, FILE, FILE, LINK, BINARY, OTHER), max_size=7)
Tree = dict[bytes, tuple[str, bytes, int]]


def consistent(tree: Mapping[bytes, Any]) -> Tree:
    """Without what lies below something that is no directory."""
    kept: Tree = {}
    for path, what in sorted(tree.items()):
        parents = [path[:at] for at in range(len(path)) if path[at : at + 1] == b"/"]
        if all(kept.get(p, ("dir",))[0] == "dir" for p in parents):
            kept[path] = what
    return kept


def build(top: Path, tree: Tree) -> None:
    top.mkdir()
    for path, (kind, data, mode) in tree.items():
        place = os.path.join(os.fsencode(top), path)
        os.makedirs(place if kind == "dir" else os.path.dirname(place), exist_ok=True)
        if kind == "file":
            with open(place, "xb") as file:
                file.write(data)
            os.chmod(place, mode)
        elif kind == "link":
            os.symlink(data, place)
        elif kind == "fifo":
            os.mkfifo(place)


def held(top: Path) -> dict[bytes, tuple[str, bytes, bool]]:
    """All files and symlinks: what they are, hold, and whether the owner may execute them."""
    out = {}
    root = os.fsencode(top)
    for folder, folders, names in os.walk(root):
        for name in [*names, *folders]:
            place = os.path.join(folder, name)
            path = os.path.relpath(place, root)
            if os.path.islink(place):
                out[path] = ("link", os.readlink(place), False)
            elif os.path.isfile(place):
                with open(place, "rb") as file:
                    out[path] = ("file", file.read(), bool(os.lstat(place).st_mode & 0o100))
    return out


def unsayable(tree: Tree) -> set[bytes]:
    """What no patch can say."""
    return {p for p, (kind, data, _) in tree.items() if kind in ("dir", "fifo") or b"\0" in data or git_refuses(p)} | {
        p for p, (kind, _, _) in tree.items() if kind == "link" and git_refuses(p, link=True)
    }


def related(path: bytes, others: set[bytes]) -> bool:
    """Whether one of the others is the path, above it or below it."""
    return any(o == path or o.startswith(path + b"/") or path.startswith(o + b"/") for o in others)


def check(old: Tree, new: Tree, *, similar: bool = True) -> None:
    """Take snapshots of both trees; what diff says between them makes the one into the other."""
    with workspace() as top:
        build(top / "app", old)
        with Protected(top / "app", top / "home") as app:
            first = app.take().snapshot.id
            shutil.rmtree(app.root)
            build(app.root, new)
            second = app.take().snapshot.id
            found, contents = diff.diff(app.sidecar, first, second, app.settings, similar=similar)
            pieces = list(contents.patch(found.comparison.changes))
        text = b"".join(p.text() for p in pieces)
        note(text.decode(errors="backslashreplace"))
        build(top / "copy", old)
        (top / "p").write_bytes(text)
        says = b"\ndiff --git" in b"\n" + text
        env = {**os.environ, "GIT_DIR": str(top / "none"), "GIT_CONFIG_GLOBAL": os.devnull}
        for option in (["--check"], []) if says else ():
            command = ["git", "apply", "--whitespace=nowarn", *option, os.fspath(top / "p")]
            done = subprocess.run(command, cwd=top / "copy", env=env, capture_output=True)
            assert done.returncode == 0, done.stderr
        want, got = held(app.root), held(top / "copy")
        odd = unsayable(old) | unsayable(new)
        # What meets something that a patch cannot take away is told as notes: so is the other end of such a rename.
        aside = {p.change.path for p in pieces if p.aside} | {p.change.old_path for p in pieces if p.aside}
        assert not aside or odd
        left = {p for p in want.keys() | got.keys() if want.get(p) != got.get(p)}
        assert {p for p in left if not related(p, odd) and p not in aside} == set()


@examples(60)
@given(TREE.map(consistent), TREE.map(consistent))
@example({b"a": ("file", b"x\n", 0o644)}, {b"a": ("link", b"x", 0)})
@example({b"a": ("link", b"x", 0)}, {b"a": ("file", b"x", 0o755)})
@example({b"a": ("file", b"\0", 0o644)}, {b"a/b": ("file", b"x\n", 0o644)})
@example({b"a/b": ("file", b"\0", 0o644)}, {b"a": ("file", b"x\n", 0o644)})
@example({b"a/b": ("file", b"x\n", 0o644)}, {b"a": ("link", b"c", 0)})
@example({b"a": ("link", b"c", 0)}, {b"a/b": ("file", b"x\n", 0o644)})
@example({b"a": ("fifo", b"", 0o644)}, {b"a": ("file", b"x\n", 0o644)})
@example({b"a/b/c": ("dir", b"", 0o755)}, {b"a": ("file", b"x\n", 0o644)})
@example({b"a": ("file", b"", 0o644)}, {b"b": ("file", b"", 0o755)})
@example({b"c d": ("file", b"one\ntwo\n", 0o755)}, {b"x y": ("file", b"one\ntwo\n", 0o644)})
@example({b"c d": ("file", b"line\n" * 40, 0o644)}, {b"a": ("file", b"line\n" * 40 + b"\0", 0o644)})
@example({b"c d": ("file", b"line\n" * 40 + b"\0", 0o644)}, {b"a": ("file", b"line\n" * 40, 0o644)})
@example({b".git/a": ("file", b"x\n", 0o644), b"b": ("file", b"x\n", 0o644)}, {b"b": ("file", b"y\n", 0o644)})
def test_any_two_trees(old: Tree, new: Tree) -> None:
    check(old, new)


@examples(40)
@given(TREE.map(consistent), st.data())
def test_a_tree_that_was_changed_a_little(old: Tree, data: st.DataObject) -> None:
    new = dict(old)
    for path in data.draw(st.lists(st.sampled_from(sorted(old)), max_size=3)) if old else []:
        kind, content, mode = new.pop(path, ("file", b"", 0o644))
        target = data.draw(st.one_of(st.just(path), PATHS))
        more = data.draw(st.sampled_from([b"", b"x\n", b"\0", b"no end"]))
        new[target] = (kind, content + more if kind == "file" else content, data.draw(st.sampled_from([mode, 0o755])))
    check(old, consistent(new))
