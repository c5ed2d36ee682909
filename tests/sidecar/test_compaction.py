"""After a gc, fsck has nothing to say, whatever git has left about and whatever went since."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support.inprocess import Protected, workspace

# What git makes out of the objects of the moment.
DERIVED = {
    "gc": [["gc", "-q"]],
    "commit-graph": [["commit-graph", "write", "--reachable", "--changed-paths"]],
    "chain of commit-graphs": [["commit-graph", "write", "--reachable", "--split=no-merge"]],
    "multi-pack-index": [["multi-pack-index", "write", "--bitmap"]],
    "bitmap": [["repack", "-q", "-a", "-d", "-b"]],
    "reverse index": [["-c", "pack.writeReverseIndex=true", "repack", "-q", "-a", "-d", "-f"]],
    "maintenance": [["maintenance", "run", "--quiet", "--task=gc", "--task=commit-graph"]],
}
# Each of these with each way to go and each kind of gc, and each way with each kind.
PAIRS = [
    (name, going, (number + way) % 2 == 1)
    for number, name in enumerate(DERIVED)
    for way, going in enumerate(("prune", "delete"))
]


@pytest.fixture
def it() -> Iterator[Protected]:
    with workspace() as top:
        (top / "app").mkdir()
        with Protected(top / "app", top / "home") as protected:
            (top / "app/large").write_bytes(os.urandom(100_000))
            yield protected


def changed(it: Protected, size: int = 2000) -> None:
    (it.root / "file").write_bytes(os.urandom(size))
    it.take()


@pytest.mark.parametrize(("name", "going", "full"), PAIRS)
def test_what_git_derived_does_not_outlive_what_it_names(it: Protected, name: str, going: str, full: bool) -> None:
    for _ in range(3):
        changed(it)
        for command in DERIVED[name]:
            it.git(*command)
    (it.root / "large").write_bytes(os.urandom(100_000))
    changed(it)
    if going == "prune":
        it.prune(1)
    else:
        it.delete(*[s.id for s in it.snapshots()[:-1]])
    it.collect(full=full)
    it.assert_sound()
    changed(it)
    it.collect(full=full)
    it.assert_sound()


def test_a_gc_that_takes_git_s_way_leaves_no_commit_graph(it: Protected) -> None:
    changed(it)
    it.collect(full=True)
    # Little is new: git looks for no deltas where it has looked.
    it.collect(full=True)
    assert not (it.store / "objects/info/commit-graph").exists()


def test_what_stands_beside_a_pack_goes_with_it(it: Protected) -> None:
    changed(it)
    stem = it.store / "objects/pack" / f"pack-{'0' * 40}"
    for suffix in (".idx", ".rev", ".bitmap", ".mtimes"):
        stem.with_suffix(suffix).write_bytes(b"left by somebody")
    it.collect()
    assert not list(stem.parent.glob(f"{stem.name}.*"))
    assert it.git("count-objects", "-v").splitlines()[-2:] == [b"garbage: 0", b"size-garbage: 0"]


@pytest.mark.parametrize("mixed", [False, True])
def test_texts_stay_deltas_where_all_else_is_packed_anew(it: Protected, mixed: bool) -> None:
    """git finds none between them, whose names are those of commits, among many files of about their size."""
    it.keep(keep_last=100)
    for number in range(200):
        (it.root / f"f{number:03}").write_bytes(os.urandom(4000))
    for _ in range(12):
        changed(it)
    if mixed:
        it.git("repack", "-q", "-a", "-d")
    before = stored(it)
    # Looking for deltas, and where that was done.
    for _ in range(2):
        it.collect(full=True)
        assert stored(it) <= before
        it.assert_sound()
    changed(it)
    it.assert_sound()


def stored(it: Protected) -> int:
    """How many bytes the manifests and metadata take, by stock git."""
    names = [it.git("notes", f"--ref=gitsnap/{kind}", "list").split()[::2] for kind in ("manifest", "metadata")]
    told = b"\n".join([*names[0], *names[1], b""])
    return sum(map(int, it.git("cat-file", "--batch-check=%(objectsize:disk)", stdin=told).split()))
