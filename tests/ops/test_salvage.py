"""Of a damaged snapshot everything that is whole comes out, and nothing else; the rest is named."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitsnap.core.errors import IntegrityError
from gitsnap.ops.restore import export
from gitsnap.ops.restore.result import Restored
from gitsnap.sidecar import texts_pack
from gitsnap.sidecar.git import refs
from tests.support.inprocess import Protected, bare_git, workspace
from tests.support.installation import run_gitsnap, same_tree

FILES = {"a": 10, "b": 3000, "lib/c": 10, "lib/deep/d": 500, "lib/deep/e": 10, "tool": 20}


class Stored(Protected):
    """A snapshot of everything, each of its objects in a file of its own, so that each can be damaged alone."""

    def __init__(self, top: Path) -> None:
        self.top, root = top, top / "app"
        (root / "lib/deep").mkdir(parents=True)
        (root / "empty").mkdir(mode=0o750)
        for name, size in FILES.items():
            (root / name).write_bytes(os.urandom(size))
        (root / "tool").chmod(0o755)
        os.link(root / "a", root / "lib/same")
        (root / "link").symlink_to("lib/c")
        super().__init__(root, top / "home")
        self.id = self.take().snapshot.id
        self.original = top / "original"
        shutil.copytree(root, self.original, symlinks=True)
        packs = self.store / "objects/pack"
        for pack in list(packs.glob("*.pack")):
            moved = pack.rename(top / pack.name)
            bare_git(self.store, "unpack-objects", "-q", stdin=moved.read_bytes())
            moved.unlink()
        for left in packs.iterdir():
            left.unlink()
        self.reopen()

    def damage(self, what: str, *, missing: bool = False) -> None:
        oid = self.git("rev-parse", what).decode().strip()
        path = self.store / "objects" / oid[:2] / oid[2:]
        path.chmod(0o600)
        if missing:
            path.unlink()
        else:
            path.write_bytes(b"damaged")
        self.reopen()

    def note(self, ref: str) -> str:
        return self.git("notes", f"--ref={ref}", "list", self.snapshots()[0].commit).decode().strip()

    def salvage(self, *paths: bytes) -> Restored:
        return export.copy_out(self.sidecar, self.id, paths, str(self.top / "out"), self.settings, salvaging=True)

    def out(self) -> dict[str, bytes]:
        return contents(self.top / "out")

    def refused(self) -> None:
        """Without salvaging nothing comes out, and what to type is said."""
        with pytest.raises(IntegrityError) as refusal:
            self.copy_out(self.id, self.top / "strict")
        assert "--salvage" in str(refusal.value.hint)
        assert contents(self.top / "strict") == {}


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file() and not p.is_symlink()}


@pytest.fixture
def it() -> Iterator[Stored]:
    with workspace() as top:
        stored = Stored(top)
        with stored:
            yield stored


def names(result: Restored) -> set[bytes]:
    return {p.path for p in result.incomplete}


def test_what_is_whole_comes_out_exactly(it: Stored) -> None:
    result = it.salvage()
    assert (result.verified, result.incomplete) == (True, [])
    same_tree(it.original, it.top / "out")


@pytest.mark.parametrize("missing", [False, True])
def test_a_content_is_named_and_all_else_comes_out(it: Stored, missing: bool) -> None:
    it.damage("timeline:lib/deep/d", missing=missing)
    it.refused()
    result = it.salvage()
    assert names(result) == {b"lib/deep/d"}
    assert it.out() == {n: c for n, c in contents(it.original).items() if n != "lib/deep/d"}
    assert (it.top / "out/empty").stat().st_mode & 0o7777 == 0o750
    assert (it.top / "out/a").stat().st_ino == (it.top / "out/lib/same").stat().st_ino


def test_a_content_that_two_names_share_is_named_for_both(it: Stored) -> None:
    it.damage("timeline:a")
    assert names(it.salvage()) == {b"a", b"lib/same"}


def test_of_named_paths_only_their_damage_counts(it: Stored) -> None:
    it.damage("timeline:b")
    result = it.salvage(b"lib")
    assert (result.verified, result.incomplete) == (True, [])
    assert it.out().keys() == {n for n in contents(it.original) if n.startswith("lib/")}
    with pytest.raises(IntegrityError, match="none of its contents"):
        export.copy_out(it.sidecar, it.id, [b"b"], str(it.top / "second"), it.settings, salvaging=True)


@pytest.mark.parametrize("tree", ["timeline:lib/deep", "timeline:lib", "timeline^{tree}"])
def test_below_a_damaged_tree_contents_are_known_by_their_digests(it: Stored, tree: str) -> None:
    it.damage(tree)
    it.refused()
    result = it.salvage()
    assert names(result) == {tree.partition(":")[2].encode()}
    assert result.verified
    same_tree(it.original, it.top / "out")


def test_without_a_manifest_it_is_not_verified(it: Stored) -> None:
    it.damage(it.note(refs.MANIFESTS))
    it.refused()
    result = it.salvage()
    assert not result.verified
    assert ["manifest" in p.reason for p in result.incomplete] == [True]
    same_tree(it.original, it.top / "out")


def test_without_metadata_files_come_out_for_their_owner_alone(it: Stored) -> None:
    it.damage(it.note(refs.METADATA))
    it.refused()
    result = it.salvage()
    assert result.verified
    assert ["metadata" in p.reason for p in result.incomplete] == [True]
    assert it.out() == contents(it.original)
    assert os.readlink(it.top / "out/link") == "lib/c"
    modes = {n: (it.top / "out" / n).stat().st_mode & 0o7777 for n in ("", "lib", "a", "tool")}
    assert modes == {"": 0o700, "lib": 0o700, "a": 0o600, "tool": 0o700}


def test_without_both_texts_the_tree_is_enough(it: Stored) -> None:
    it.damage(it.note(refs.METADATA))
    # The second note is found by the tree of notes alone.
    it.damage(refs.MANIFESTS)
    result = it.salvage()
    assert not result.verified
    assert it.out() == contents(it.original)


def test_without_tree_and_metadata_the_manifest_is_enough(it: Stored) -> None:
    it.damage(it.note(refs.METADATA))
    it.damage("timeline^{tree}")
    assert it.salvage().verified
    assert it.out() == contents(it.original)


def test_without_anything_it_is_lost(it: Stored) -> None:
    it.damage(it.note(refs.METADATA))
    it.damage(refs.MANIFESTS)
    it.damage("timeline^{tree}")
    with pytest.raises(IntegrityError):
        it.salvage()
    assert not (it.top / "out").exists() or it.out() == {}


@pytest.mark.parametrize("what", ["commit", "ref"])
def test_the_timeline_stands_in_for_a_commit(it: Stored, what: str) -> None:
    (it.root / "a").write_bytes(b"later")
    later = it.take().snapshot
    # The second commit on the timeline is another one than the snapshot's own.
    it.id, path = later.id, it.store / refs.SNAPSHOTS / later.id
    it.original = it.root
    if what == "ref":
        path.write_text("damaged\n")
        it.reopen()
    else:
        packs = it.store / "objects/pack"
        for pack in list(packs.glob("*.pack")):
            moved = pack.rename(it.top / pack.name)
            bare_git(it.store, "unpack-objects", "-q", stdin=moved.read_bytes())
        for left in packs.iterdir():
            left.unlink()
        it.damage(later.commit)
    result = it.salvage()
    assert (result.verified, result.target.id) == (True, later.id)
    same_tree(it.original, it.top / "out")


def test_a_damaged_index_takes_only_what_its_pack_holds(it: Stored) -> None:
    (it.root / "b").write_bytes(b"of the second snapshot alone")
    second = it.take().snapshot.id
    texts = texts_pack.name(it.sidecar)
    (index,) = [found for found in (it.store / "objects/pack").glob("*.idx") if texts not in found.name]
    index.chmod(0o600)
    index.write_bytes(b"damaged" * 300)
    it.reopen()
    result = it.copy_out(it.id, it.top / "first")
    assert result.verified
    assert second not in {s.id for s in it.snapshots()}
    (it.root / "b").write_bytes(b"of a third one")
    third = it.take().snapshot.id
    verdicts = {v.snapshot: v for v in it.verify()}
    assert (verdicts[it.id].ok, verdicts[second].ok, verdicts[third].ok) == (True, False, True)
    assert any(index.name in p.problem for p in verdicts["sidecar"].problems)


def test_the_command_names_it_and_ends_with_3(it: Stored) -> None:
    it.damage("timeline:b")
    to, where = it.top / "out", ("-C", it.root)
    strict = run_gitsnap(*where, "restore", it.id, "--to", it.top / "strict", home=it.top / "home", check=12)
    assert "--salvage" in strict.stderr
    done = run_gitsnap(*where, "restore", it.id, "--to", to, "--salvage", home=it.top / "home", check=3)
    assert "  b: " in done.stderr
    assert not (to / "b").exists()
    run_gitsnap(*where, "restore", it.id, "a", "--salvage", home=it.top / "home", check=2)
    shutil.rmtree(to)
    done = run_gitsnap(*where, "--json", "restore", it.id, "--to", to, "--salvage", home=it.top / "home", check=3)
    assert '"salvaged": true' in done.stdout
    assert '"path": "b"' in done.stdout
