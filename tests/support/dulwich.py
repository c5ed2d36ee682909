"""Stock dulwich as an oracle: what it reads from a repository, compared with what stock git reads from it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from dulwich.notes import Notes
from dulwich.refs import Ref
from dulwich.repo import Repo

from tests.support.installation import git

MANIFESTS = "refs/notes/gitsnap/manifest"


def sidecars_below(where: Path) -> Iterator[Path]:
    """The directories below `where` that are sidecars, whatever they are called."""
    # Not Path.rglob(), which fails at paths that are longer than any may be: tests make such.
    for folder, names, files in os.walk(where):
        if {"gitsnap", "objects", "refs"} <= set(names) and "config" in files:
            names.clear()
            yield Path(folder)


def reads(repository: Path) -> int:
    """Open a repository with stock dulwich and read all of it: the number of objects. AssertionError where git sees
    another ref, object or note."""
    with Repo(str(repository)) as repo:
        listed = _git(repository, "for-each-ref", "--format=%(objectname) %(refname)").splitlines()
        refs = {name: value for name, value in repo.get_refs().items() if name != b"HEAD"}
        assert refs == {line[41:]: line[:40] for line in listed}
        found = {oid: repo[oid] for oid in repo.object_store}
        for obj in found.values():
            obj.check()
        checked = _git(repository, "cat-file", "--batch-all-objects", "--batch-check=%(objectname) %(objecttype)")
        assert {(oid, obj.type_name) for oid, obj in found.items()} == {
            (line[:40], line[41:]) for line in checked.splitlines()
        }
        notes = Notes(repo.object_store, repo.refs)
        for name, commit in refs.items():
            if name.startswith(b"refs/gitsnap/snapshots/"):
                shown = _git(repository, "notes", f"--ref={MANIFESTS}", "show", commit.decode())
                assert notes.get_note(commit, Ref(MANIFESTS.encode())) == shown
        return len(found)


def _git(repository: Path, *arguments: str) -> bytes:
    return git(repository, *arguments).stdout
