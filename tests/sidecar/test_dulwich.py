"""The sidecar as a dulwich repository: the same object, by dulwich's own methods, with what we promise."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from dulwich.objects import Blob, Commit, Tree
from dulwich.objectspec import parse_commit
from dulwich.refs import Ref
from dulwich.repo import Repo

from gitsnap.core.errors import GitsnapError, IntegrityError
from gitsnap.sidecar.repository import Sidecar
from tests.support.dulwich import reads
from tests.support.installation import git, run_gitsnap, sidecar_of, take_snapshot

OTHER = b"refs/elsewhere/one"


@pytest.fixture
def store(installation: Path, gitsnap_home: Path) -> Path:
    take_snapshot(installation)
    (installation / "new").write_bytes(os.urandom(100))
    take_snapshot(installation)
    return sidecar_of(installation)


@pytest.fixture
def sidecar(store: Path) -> Iterator[Sidecar]:
    with Sidecar(str(store)) as opened:
        yield opened


def packed(store: Path) -> None:
    git(store, "pack-refs", "--all", "--prune")


def test_stock_dulwich_reads_it_and_so_it_does_after_git_and_we_have_packed_it(store: Path, installation: Path) -> None:
    assert reads(store)
    run_gitsnap("-C", installation, "gc")
    assert reads(store)
    git(store, "repack", "-adf", "-q")
    packed(store)
    assert reads(store)


def test_it_is_a_dulwich_repository(sidecar: Sidecar) -> None:
    assert isinstance(sidecar, Repo)
    commit = parse_commit(sidecar, b"refs/heads/timeline")
    assert isinstance(commit, Commit)
    assert sidecar.head() == commit.id
    tree = sidecar[commit.tree]
    assert isinstance(tree, Tree)
    assert b"new" in tree
    assert next(iter(sidecar.get_walker())).commit.id == commit.id


def test_what_dulwich_gets_is_verified_and_another_copy_is_taken(sidecar: Sidecar, store: Path) -> None:
    commit = parse_commit(sidecar, b"refs/heads/timeline")
    _, blob = sidecar[commit.tree][b"new"]
    (pack,) = [p for p in sidecar.objects.packs if blob in p]
    offset = pack.index.object_offset(blob)
    sidecar.close()
    os.chmod(pack.path, 0o600)
    with open(pack.path, "r+b") as file:
        file.seek(offset + 20)
        file.write(b"damaged")
    with Sidecar(str(store)) as opened, pytest.raises(IntegrityError):
        opened.object_store.get_raw(blob)
    whole = Blob.from_string((store.parent.parent / "app/new").read_bytes())
    assert whole.id == blob
    loose = store / "objects" / blob[:2].decode() / blob[2:].decode()
    loose.parent.mkdir(exist_ok=True)
    loose.write_bytes(whole.as_legacy_object())
    with Sidecar(str(store)) as opened:
        assert opened.object_store.get_raw(blob)[1] == whole.data
        with pytest.raises(KeyError):
            opened.object_store.get_raw(b"1" * 40)
    # Whole as a file, and not what its name says.
    loose.write_bytes(Blob.from_string(b"another").as_legacy_object())
    with Sidecar(str(store)) as opened, pytest.raises(IntegrityError):
        opened.object_store.get_raw(blob)


def test_an_object_store_elsewhere_is_no_part_of_it(sidecar: Sidecar, store: Path, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path / "other.git")], check=True)
    git(tmp_path / "other.git", "config", "user.name", "x")
    blob = Blob.from_string(b"of another repository")
    with Repo(str(tmp_path / "other.git")) as other:
        other.object_store.add_object(blob)
    (store / "objects/info").mkdir(exist_ok=True)
    (store / "objects/info/alternates").write_text(f"{tmp_path}/other.git/objects\n")
    with Repo(str(store)) as stock:
        assert blob.id in stock.object_store
    assert blob.id not in sidecar.object_store
    assert blob.id not in set(sidecar.object_store)


@pytest.mark.parametrize("how", ["loose", "packed"])
def test_refs_by_dulwich_s_methods_are_changed_by_compare_and_swap(sidecar: Sidecar, store: Path, how: str) -> None:
    name, commit = Ref(OTHER), sidecar.head()
    other = sidecar.refs[Ref(b"refs/notes/gitsnap/manifest")]
    assert sidecar.refs.add_if_new(name, commit)
    assert not sidecar.refs.add_if_new(name, other)
    if how == "packed":
        packed(store)
    assert not sidecar.refs.set_if_equals(name, other, other)
    assert sidecar.refs[name] == commit
    assert sidecar.refs.set_if_equals(name, commit, other)
    assert git(store, "rev-parse", OTHER.decode()).stdout.strip() == other
    assert sidecar.refs.set_if_equals(name, None, commit)
    assert sidecar.refs.as_dict(Ref(b"refs/elsewhere")) == {b"one": commit}
    assert not sidecar.refs.remove_if_equals(name, other)
    assert sidecar.refs.remove_if_equals(name, commit)
    assert git(store, "for-each-ref", "refs/elsewhere").stdout == b""
    assert name not in sidecar.refs


def test_a_damaged_or_a_symbolic_ref_is_damage_for_dulwich_too(sidecar: Sidecar, store: Path) -> None:
    for content in (b"", b"garbage\n", b"ref: refs/heads/timeline\n"):
        (store / "refs/heads/bad").write_bytes(content)
        with pytest.raises(IntegrityError):
            sidecar.refs[Ref(b"refs/heads/bad")]
    with pytest.raises(GitsnapError):
        sidecar.refs.set_symbolic_ref(Ref(b"HEAD"), Ref(b"refs/heads/bad"))


def test_no_hook_and_no_include_and_no_other_directory_comes_in(store: Path, tmp_path: Path) -> None:
    (store / "hooks").mkdir()
    (store / "hooks/pre-commit").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (store / "hooks/pre-commit").chmod(0o755)
    (tmp_path / "included").write_text("[gitsnap]\n\tinstallation = /elsewhere\n")
    (store / "commondir").write_text(str(tmp_path / "nowhere"))
    with open(store / "config", "a") as config:
        config.write(f"[include]\n\tpath = {tmp_path}/included\n[extensions]\n\tpartialClone = o\n")
        config.write("[core]\n\tworktree = /\n")
    with Sidecar(str(store)) as opened:
        assert opened.installation == str(store.parent.parent / "app")
        assert opened.hooks == {}
        assert opened.commondir() == str(store)
        assert opened.bare
        assert opened.get_config().sections() != []
        assert parse_commit(opened, b"refs/heads/timeline")
    assert not (tmp_path / "ran").exists()


def test_what_dulwich_adds_is_there_for_everybody(sidecar: Sidecar, store: Path) -> None:
    blob = Blob.from_string(b"brought in")
    tree = Tree()
    tree.add(b"new", 0o100644, blob.id)
    pack = sidecar.object_store.add_objects([(blob, None), (tree, None)])
    assert pack is not None
    assert sidecar.object_store[tree.id] == tree
    assert git(store, "cat-file", "blob", blob.id.decode()).stdout == b"brought in"
    again = sidecar.object_store.add_objects([(blob, None), (tree, None)])
    assert again is pack
    git(store, "fsck", "--full", "--strict")
    assert oct(os.stat(pack.path).st_mode & 0o077) == "0o0"


def loose(store: Path, count: int) -> list[Path]:
    """The files of so many new objects."""
    paths = []
    for blob in (Blob.from_string(b"%d" % number) for number in range(count)):
        paths.append(store / "objects" / blob.id[:2].decode() / blob.id[2:].decode())
        paths[-1].parent.mkdir(exist_ok=True)
        paths[-1].write_bytes(blob.as_legacy_object())
    return paths


def test_folders_of_loose_objects_that_a_gc_removes_meanwhile_are_none(sidecar: Sidecar, store: Path) -> None:
    folders = {path.parent for path in loose(store, 50)}
    found = sidecar.objects.loose_ids()
    first = next(found).hex()[:2]
    for folder in folders:
        if folder.name != first:
            shutil.rmtree(folder)
    assert {oid.hex()[:2] for oid in found} <= {first}


def test_what_a_git_packs_while_all_ids_are_gone_through_is_among_them(sidecar: Sidecar, store: Path) -> None:
    written = {path.parent.name + path.name for path in loose(store, 50)}
    for name in written:
        git(store, "update-ref", f"refs/elsewhere/{name}", name)
    ids = sidecar.objects.ids()
    before = [next(ids)]
    git(store, "gc", "-q")
    assert written <= {oid.hex() for oid in [*before, *ids]}
