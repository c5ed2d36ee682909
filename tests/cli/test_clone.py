"""A copy elsewhere becomes a sidecar again: whatever the copy is, everything comes back, and only what was verified."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gitsnap.core.errors import UsageError
from gitsnap.ops.remote import building, receive
from gitsnap.ops.remote import clone as operation
from gitsnap.ops.store import locate
from gitsnap.sidecar.git.fetch.source import open_source
from tests.support.inprocess import SETTINGS, START
from tests.support.installation import (
    IS_ROOT,
    build_app,
    build_odd,
    remove_tree,
    run_gitsnap,
    same_tree,
    sidecar_of,
    take_snapshot,
)
from tests.support.signing import new_key


def git(*arguments: str | Path) -> str:
    """Stock git, by nobody's configuration."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    alone = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(["git", *arguments], env=clean | alone, capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


@pytest.fixture
def app(tmp_path: Path, gitsnap_home: Path) -> Path:
    """A small installation with three snapshots, one of them pinned."""
    return with_three(build_app(tmp_path / "app"))


def with_three(found: Path) -> Path:
    take_snapshot(found, "-m", "one")
    (found / "fresh").write_text("two")
    take_snapshot(found, "-m", "two", "--pin")
    (found / "fresh").write_text("three")
    take_snapshot(found, "-m", "three")
    return found


def listed(directory: Path) -> list[dict[str, object]]:
    """What `list` has of it."""
    found: list[dict[str, object]] = json.loads(run_gitsnap("-C", directory, "--json", "list").stdout)["snapshots"]
    return found


def is_as(app: Path, clone: Path, *, snapshots: int = 3) -> None:
    """The directory is the same, and so is what the sidecar holds, to git as well."""
    same_tree(app, clone)
    mine, theirs = listed(clone), listed(app)
    assert mine == theirs[-snapshots:]
    run_gitsnap("-C", clone, "verify", "--all")
    store = sidecar_of(clone)
    assert git("--git-dir", store, "fsck", "--full", "--strict") == ""
    exposed = [p for p in (store, *store.rglob("*")) if not p.is_symlink() and p.stat().st_mode & 0o077]
    assert not exposed
    assert not run_gitsnap("-C", clone, "diff", "--name-status").stdout
    assert not [p for p in store.parent.iterdir() if p.name.startswith(".")]


def mirror(store: Path, where: Path) -> Path:
    git("clone", "-q", "--mirror", store, where / "m.git")
    return where / "m.git"


def packed(store: Path, where: Path) -> Path:
    found = mirror(store, where)
    git("--git-dir", found, "gc", "-q", "--aggressive")
    assert not list((found / "refs" / "gitsnap").rglob("*-*"))
    return found


def mirror_of_a_mirror(store: Path, where: Path) -> Path:
    git("clone", "-q", "--mirror", mirror(store, where), where / "mm.git")
    return where / "mm.git"


def pushed(store: Path, where: Path) -> Path:
    git("init", "-q", "--bare", where / "p.git")
    git("--git-dir", store, "push", "-q", "--mirror", where / "p.git")
    return where / "p.git"


def pushed_as_one_of_many(store: Path, where: Path) -> Path:
    git("init", "-q", "--bare", where / "f.git")
    some = [f"refs/gitsnap/{w}/*:refs/gitsnap/fleet/web/shop/{w}/*" for w in ("snapshots", "pins")]
    git(
        "--git-dir",
        store,
        "push",
        "-q",
        where / "f.git",
        *some,
        "refs/notes/gitsnap/*:refs/notes/gitsnap/fleet/web/shop/*",
    )
    return where / "f.git"


def bundle(store: Path, where: Path) -> Path:
    git("--git-dir", store, "bundle", "create", "-q", where / "b.bundle", "--all")
    return where / "b.bundle"


def copied(store: Path, where: Path) -> Path:
    return Path(shutil.copytree(store, where / "c.git"))


def copied_by_rsync(store: Path, where: Path) -> Path:
    subprocess.run(["rsync", "-r", f"{store}/", where / "r.git"], check=True)
    return where / "r.git"


def of_somebody_else(store: Path, where: Path) -> Path:
    if not IS_ROOT:
        pytest.skip("only root gives files away")
    found = copied(store, where)
    subprocess.run(["chown", "-R", "65534:65534", found], check=True)
    return found


def readable_by_all(store: Path, where: Path) -> Path:
    found = copied(store, where)
    subprocess.run(["chmod", "-R", "a+rwX", found], check=True)
    return found


def without_timeline(store: Path, where: Path) -> Path:
    found = mirror(store, where)
    git("--git-dir", found, "update-ref", "-d", "refs/heads/timeline")
    return found


def with_another_timeline(store: Path, where: Path) -> Path:
    found = mirror(store, where)
    first = git("--git-dir", found, "for-each-ref", "--format=%(objectname)", "refs/gitsnap/snapshots").split()[0]
    git("--git-dir", found, "update-ref", "refs/heads/timeline", first)
    return found


def in_a_working_copy(store: Path, where: Path) -> Path:
    found = mirror(store, where)
    (where / "work").mkdir()
    found.rename(where / "work" / ".git")
    return where / "work"


def with_a_lost_ref(store: Path, where: Path) -> Path:
    found = copied(store, where)
    next((found / "refs" / "gitsnap" / "snapshots").iterdir()).unlink()
    return found


def with_hooks_and_filters(store: Path, where: Path) -> Path:
    """Whatever could make a git run something; the program leaves a mark."""
    found = copied(store, where)
    program = where / "program"
    program.write_text(f"#!/bin/sh\ntouch {where}/ran\n")
    program.chmod(0o755)
    (found / "hooks").mkdir()
    for name in ("post-checkout", "pre-auto-gc", "reference-transaction", "post-update", "pre-receive"):
        shutil.copy(program, found / "hooks" / name)
    with (found / "config").open("a") as file:
        file.write(f"[uploadpack]\n packObjectsHook = {program}\n[core]\n fsmonitor = {program}\n pager = {program}\n")
        file.write(f"[diff]\n external = {program}\n[include]\n path = {where}/other\n")
    (found / "info" / "attributes").write_text("* filter=evil\n")
    (found / "gitsnap.toml").write_text(f'[hooks]\npre-snapshot = ["{program}"]\n')
    return found


SOURCES: list[Callable[[Path, Path], Path]] = [
    mirror,
    packed,
    mirror_of_a_mirror,
    pushed,
    pushed_as_one_of_many,
    bundle,
    copied,
    copied_by_rsync,
    of_somebody_else,
    readable_by_all,
    without_timeline,
    with_another_timeline,
    in_a_working_copy,
    with_a_lost_ref,
    with_hooks_and_filters,
]


@pytest.mark.parametrize("make", SOURCES, ids=lambda make: make.__name__)
def test_everything_comes_back(app: Path, tmp_path: Path, make: Callable[[Path, Path], Path]) -> None:
    source = make(sidecar_of(app), tmp_path)
    run_gitsnap("clone", source, tmp_path / "new")
    is_as(app, tmp_path / "new")
    assert not (tmp_path / "ran").exists()
    # It goes on like any other.
    (tmp_path / "new" / "fresh").write_text("four")
    take_snapshot(tmp_path / "new")
    run_gitsnap("-C", tmp_path / "new", "rollback", "-y", "latest~1")
    assert (tmp_path / "new" / "fresh").read_text() == "three"


@pytest.mark.parametrize("make", [mirror, copied], ids=lambda make: make.__name__)
def test_a_tree_that_has_everything_comes_back(
    tmp_path: Path, gitsnap_home: Path, make: Callable[[Path, Path], Path]
) -> None:
    app = with_three(build_odd(tmp_path / "app"))
    run_gitsnap("clone", make(sidecar_of(app), tmp_path), tmp_path / "new")
    is_as(app, tmp_path / "new")


@pytest.mark.parametrize("make", [mirror, bundle, copied], ids=lambda make: make.__name__)
def test_a_directory_that_is_there_adopts_it(app: Path, tmp_path: Path, make: Callable[[Path, Path], Path]) -> None:
    source = make(sidecar_of(app), tmp_path)
    shutil.move(app, tmp_path / "moved")
    before = {p: p.stat().st_mtime_ns for p in source.rglob("*")} | {source: source.stat().st_mtime_ns}
    run_gitsnap("-C", tmp_path / "moved", "adopt", source)
    assert {p: p.stat().st_mtime_ns for p in before} == before, "what is adopted stays as it is"
    shutil.move(tmp_path / "moved", app)
    run_gitsnap("-C", app, "verify", "--all")
    shutil.move(app, tmp_path / "moved")
    assert not run_gitsnap("-C", tmp_path / "moved", "diff", "--name-status").stdout
    assert len(listed(tmp_path / "moved")) == 3


def test_a_mirror_in_the_sidecars_own_place_is_kept_beside_it(app: Path, tmp_path: Path) -> None:
    store = sidecar_of(app)
    found = mirror(store, tmp_path)
    shutil.rmtree(store)
    shutil.copytree(found, store)
    told = run_gitsnap("-C", app, "list", check=10).stderr
    assert f"gitsnap -C {app} adopt {store}" in told
    run_gitsnap("-C", app, "adopt", store)
    assert len(listed(app)) == 3
    aside = store.with_name(f"{store.name}.before-adopt")
    assert git("--git-dir", aside, "for-each-ref") == git("--git-dir", found, "for-each-ref")


@pytest.mark.parametrize("command", ["list", "verify", "status", "snapshot", "doctor"])
def test_a_mirror_is_no_sidecar_and_the_way_to_one_is_told(app: Path, tmp_path: Path, command: str) -> None:
    found = mirror(sidecar_of(app), tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    told = run_gitsnap("--store", found, command, cwd=elsewhere, check=1 if command == "doctor" else 10)
    typed = f"gitsnap -C {elsewhere} adopt {found}" if command == "snapshot" else f"gitsnap -C . adopt {found}"
    assert f"`{typed}`" in told.stdout + told.stderr
    told = run_gitsnap("-C", app, "--store", found, "init", check=10)
    assert f"gitsnap -C {app} adopt {found}" in told.stderr
    here = tmp_path / "here"
    here.mkdir()
    run_gitsnap("-C", ".", "adopt", found, cwd=here)
    assert len(listed(here)) == 3


def test_paths_count_from_where_one_stands(app: Path, tmp_path: Path) -> None:
    mirror(sidecar_of(app), tmp_path)
    (tmp_path / "deep" / "er").mkdir(parents=True)
    run_gitsnap("clone", "../../m.git", "new", cwd=tmp_path / "deep" / "er")
    is_as(app, tmp_path / "deep" / "er" / "new")
    run_gitsnap("clone", f"file://{tmp_path}/m.git", "b/c/d", cwd=tmp_path)
    is_as(app, tmp_path / "b" / "c" / "d")


def test_a_directory_in_which_somebody_stands_stays_the_same(app: Path, tmp_path: Path) -> None:
    mirror(sidecar_of(app), tmp_path)
    here = tmp_path / "here"
    here.mkdir()
    inode = here.stat().st_ino
    run_gitsnap("clone", "../m.git", ".", cwd=here)
    assert here.stat().st_ino == inode
    is_as(app, here)


def test_nothing_is_made_of_a_directory_that_is_not_empty(app: Path, tmp_path: Path, gitsnap_home: Path) -> None:
    found, before = mirror(sidecar_of(app), tmp_path), sorted(gitsnap_home.iterdir())
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "mine").write_text("mine")
    told = run_gitsnap("--json", "clone", found, tmp_path / "new", check=1)
    assert json.loads(told.stderr)["error"]["kind"] == "not-empty"
    assert sorted(gitsnap_home.iterdir()) == before
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["mine"]
    assert "has a sidecar already" in run_gitsnap("clone", found, app, check=2).stderr


def test_another_snapshot_comes_back_when_it_is_named(app: Path, tmp_path: Path) -> None:
    found = mirror(sidecar_of(app), tmp_path)
    run_gitsnap("clone", found, tmp_path / "new", "--snapshot", str(listed(app)[1]["id"]))
    assert (tmp_path / "new" / "fresh").read_text() == "two"
    run_gitsnap("clone", found, tmp_path / "no", "--snapshot", "nonesuch", check=1)
    assert not (tmp_path / "no").exists()


def test_what_a_rollback_has_put_away_does_not_come_back(app: Path, tmp_path: Path) -> None:
    (app / "fresh").write_text("never wanted")
    run_gitsnap("-C", app, "rollback", "-y", "latest")
    run_gitsnap("clone", mirror(sidecar_of(app), tmp_path), tmp_path / "new")
    assert (tmp_path / "new" / "fresh").read_text() == "three"
    is_as(app, tmp_path / "new", snapshots=4)


def test_of_two_at_once_the_second_finds_what_the_first_has_made(
    app: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, new = mirror(sidecar_of(app), tmp_path), tmp_path / "new"
    place = locate.place_for(str(new), None, str(sidecar_of(app).parent), "/", "")
    waits = building.building

    @contextmanager
    def while_another_is_at_work(*arguments: Any) -> Iterator[str]:
        monkeypatch.setattr(building, "building", waits)
        run_gitsnap("clone", found, new)
        with waits(*arguments) as path:
            yield path

    monkeypatch.setattr(building, "building", while_another_is_at_work)
    with open_source(str(found), "/") as source, pytest.raises(UsageError, match="has a sidecar already"):
        operation.clone(source, place, None, receive.Asked(SETTINGS, START))
    is_as(app, new)
    assert not list(Path(place.store).parent.glob("*.before-adopt"))


def test_an_interrupted_clone_is_told_and_goes_on(app: Path, tmp_path: Path) -> None:
    found = mirror(sidecar_of(app), tmp_path)
    new = tmp_path / "new"
    run_gitsnap("clone", found, new)
    store = sidecar_of(new)
    last = str(listed(app)[-1]["id"])
    mark = {"source": str(found), "snapshot": last, "stage": "", "inode": 0}
    remove_tree(new)
    (store / "gitsnap" / "clone.json").write_text(json.dumps(mark))
    told = run_gitsnap("--store", store, "list").stderr
    assert f"gitsnap clone {found} {new}" in told
    # Somebody else's files have come to stand there meanwhile.
    new.mkdir()
    (new / "mine").write_text("mine")
    run_gitsnap("clone", found, new, check=1)
    assert (new / "mine").read_text() == "mine"
    run_gitsnap("clone", tmp_path / "other", new, check=1)
    (new / "mine").unlink()
    done = json.loads(run_gitsnap("--json", "clone", found, new).stdout)
    assert done["resumed"]
    is_as(app, new)
    assert not (store / "gitsnap" / "clone.json").exists()


def test_a_clone_that_was_cut_short_after_the_directory_had_its_name_goes_on(app: Path, tmp_path: Path) -> None:
    found, new = mirror(sidecar_of(app), tmp_path), tmp_path / "new"
    run_gitsnap("clone", found, new)
    mark = sidecar_of(new) / "gitsnap" / "clone.json"
    cut = {"source": str(found), "snapshot": str(listed(app)[-1]["id"]), "stage": str(tmp_path / ".gitsnap-clone-x")}
    mark.write_text(json.dumps(cut | {"inode": new.stat().st_ino + 1}))
    assert "is not empty" in run_gitsnap("clone", found, new, check=1).stderr
    mark.write_text(json.dumps(cut | {"inode": new.stat().st_ino}))
    (tmp_path / ".gitsnap-clone-x").mkdir()
    assert "is not empty" in run_gitsnap("clone", found, new, check=1).stderr
    (tmp_path / ".gitsnap-clone-x").rmdir()
    assert json.loads(run_gitsnap("--json", "clone", found, new).stdout)["resumed"]
    is_as(app, new)
    assert not mark.exists()


def test_what_is_none_of_ours_is_told_from_what_is_empty(tmp_path: Path, gitsnap_home: Path) -> None:
    git("init", "-q", "--bare", tmp_path / "empty.git")
    assert "no refs at all" in run_gitsnap("clone", tmp_path / "empty.git", tmp_path / "new", check=10).stderr
    git("init", "-q", tmp_path / "w")
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    git("-C", tmp_path / "w", *who, "commit", "-q", "--allow-empty", "-m", "x")
    assert "none of gitsnap's" in run_gitsnap("clone", tmp_path / "w", tmp_path / "new", check=10).stderr
    (tmp_path / "file").write_text("x")
    run_gitsnap("clone", tmp_path / "file", tmp_path / "new", check=10)
    run_gitsnap("clone", tmp_path / "none", tmp_path / "new", check=1)
    for url in ("ext::sh -c true", "ssh://-oProxyCommand=x/y"):
        run_gitsnap("clone", "--", url, tmp_path / "new", check=2)
    assert not (tmp_path / "new").exists()
    assert not gitsnap_home.exists() or not list(gitsnap_home.iterdir())


def test_a_push_without_its_notes_proves_nothing(app: Path, tmp_path: Path) -> None:
    git("init", "-q", "--bare", tmp_path / "p.git")
    git("--git-dir", sidecar_of(app), "push", "-q", tmp_path / "p.git", "refs/gitsnap/*:refs/gitsnap/*")
    told = run_gitsnap("clone", tmp_path / "p.git", tmp_path / "new", check=12)
    assert "the note is missing" in told.stderr
    assert not (tmp_path / "new").exists()
    (tmp_path / "other").mkdir()
    told = run_gitsnap("-C", tmp_path / "other", "adopt", tmp_path / "p.git", check=12)
    assert "3 snapshots from" in told.stdout
    assert "0 verified" in told.stdout


def test_a_damaged_snapshot_is_named_and_kept_for_what_is_whole_in_it(app: Path, tmp_path: Path) -> None:
    (app / "fresh").write_text("only in the first")
    first = take_snapshot(app, "--label", "first")
    (app / "fresh").write_text("three")
    take_snapshot(app, "--label", "last")
    found = mirror(sidecar_of(app), tmp_path)
    commit = git("--git-dir", found, "rev-parse", f"refs/gitsnap/snapshots/{first}:fresh").strip()
    for pack in list((found / "objects" / "pack").glob("*.pack")):
        moved = pack.rename(tmp_path / "pack")
        pack.with_suffix(".idx").unlink()
        with moved.open("rb") as file:
            subprocess.run(["git", "--git-dir", found, "unpack-objects", "-q"], stdin=file, check=True)
    (found / "objects" / commit[:2] / commit[2:]).unlink()
    told = run_gitsnap("clone", found, tmp_path / "new", check=3)
    assert f"BAD  {first}  fresh" in told.stderr
    same_tree(app, tmp_path / "new")
    assert len(listed(tmp_path / "new")) == 5
    run_gitsnap("-C", tmp_path / "new", "verify", first, check=12)
    run_gitsnap("-C", tmp_path / "new", "restore", first, "--to", tmp_path / "saved", "--salvage", check=3)
    told = run_gitsnap("clone", found, tmp_path / "b", "--snapshot", first, check=12)
    assert "--snapshot" in told.stderr
    assert not (tmp_path / "b").exists()


def test_what_was_not_settled_in_a_copy_is_told_and_left(app: Path, tmp_path: Path) -> None:
    found = copied(sidecar_of(app), tmp_path)
    for name in ("journal.redo", "upgrade.json", "service.json"):
        (found / "gitsnap" / name).write_text("{}")
    (found / "gitsnap.toml").write_text("[retention]\nkeep-last = 3\n")
    done = json.loads(run_gitsnap("--json", "clone", found, tmp_path / "new").stdout)
    assert done["not_carried"] == ["settings", "rollback", "upgrade", "service"]
    assert done["source_installation"] == str(app)
    assert done["restored"]["verified"]
    is_as(app, tmp_path / "new")


def test_the_bin_comes_too_and_no_id_is_given_twice(app: Path, tmp_path: Path) -> None:
    first, second = (str(s["id"]) for s in listed(app)[:2])
    run_gitsnap("-C", app, "delete", first)
    found = copied(sidecar_of(app), tmp_path)
    run_gitsnap("clone", found, tmp_path / "new")
    is_as(app, tmp_path / "new", snapshots=2)
    run_gitsnap("-C", tmp_path / "new", "undelete", first)
    assert len(listed(tmp_path / "new")) == 3
    run_gitsnap("-C", app, "gc")
    found = copied(sidecar_of(app), tmp_path / "again")
    run_gitsnap("clone", found, tmp_path / "c")
    is_as(app, tmp_path / "c", snapshots=2)
    assert f"gone {first}" in (sidecar_of(tmp_path / "c") / "gitsnap" / "register").read_text()
    assert second in {str(s["id"]) for s in listed(tmp_path / "c")}


def test_owners_that_are_not_here_are_named(app: Path, tmp_path: Path) -> None:
    if not IS_ROOT:
        pytest.skip("only root gives files away")
    done = json.loads(run_gitsnap("--json", "clone", mirror(sidecar_of(app), tmp_path), tmp_path / "new").stdout)
    assert done["unknown_owners"] == []


def test_a_dry_run_makes_nothing(app: Path, tmp_path: Path, gitsnap_home: Path) -> None:
    found, before = mirror(sidecar_of(app), tmp_path), sorted(gitsnap_home.iterdir())
    done = json.loads(run_gitsnap("--json", "clone", "-n", found, tmp_path / "new").stdout)
    assert (done["there"], done["snapshots"], done["dry_run"]) == (3, None, True)
    assert sorted(gitsnap_home.iterdir()) == before
    assert not (tmp_path / "new").exists()


def test_a_sidecar_elsewhere_is_found_by_its_directory(app: Path, tmp_path: Path) -> None:
    run_gitsnap("--store", tmp_path / "e.git", "clone", mirror(sidecar_of(app), tmp_path), tmp_path / "new")
    assert sidecar_of(tmp_path / "new") == tmp_path / "e.git"
    is_as(app, tmp_path / "new")


def test_the_audit_log_goes_on(app: Path, tmp_path: Path) -> None:
    before = json.loads(run_gitsnap("-C", app, "--json", "audit").stdout)["audit"]
    run_gitsnap("clone", copied(sidecar_of(app), tmp_path), tmp_path / "new")
    lines = json.loads(run_gitsnap("-C", tmp_path / "new", "--json", "audit").stdout)["audit"]
    assert lines[: len(before)] == before
    assert lines[-1]["action"] == "clone"
    assert lines[-1]["details"]["source"] == str(tmp_path / "c.git")
    assert lines[-1]["details"]["audit_log"]["after"] == len(before)
    run_gitsnap("-C", tmp_path / "new", "verify", "--all")
    run_gitsnap("-C", app, "gc")
    run_gitsnap("clone", mirror(sidecar_of(app), tmp_path), tmp_path / "b")
    lines = json.loads(run_gitsnap("-C", tmp_path / "b", "--json", "audit").stdout)["audit"]
    assert lines[: len(before)] == before
    assert lines[-1]["action"] == "clone"
    run_gitsnap("-C", tmp_path / "b", "verify", "--all")


def test_one_of_several_has_to_be_named(app: Path, tmp_path: Path) -> None:
    found = pushed_as_one_of_many(sidecar_of(app), tmp_path)
    for name in ("web/other", "db/shop"):
        refs = f"refs/gitsnap/snapshots/*:refs/gitsnap/fleet/{name}/snapshots/*"
        git("--git-dir", sidecar_of(app), "push", "-q", found, refs)
    told = run_gitsnap("clone", found, tmp_path / "new", check=2)
    assert "db/shop, web/other, web/shop" in told.stderr
    run_gitsnap("clone", found, tmp_path / "new", "--installation", "no/such", check=2)
    run_gitsnap("clone", found, tmp_path / "new", "--installation", "web/shop")
    is_as(app, tmp_path / "new")


def test_only_what_is_signed_by_those_who_may_comes_back_where_that_is_asked_for(app: Path, tmp_path: Path) -> None:
    *_, signed, last = (str(s["id"]) for s in listed(app))
    key = new_key(tmp_path / "key")
    (tmp_path / "allowed").write_text(key.allowed())
    run_gitsnap("-C", app, "sign", signed, "--key", key.path)
    git("clone", "-q", "--mirror", sidecar_of(app), tmp_path / "mirror.git")
    words = ["clone", tmp_path / "mirror.git", tmp_path / "new", "--allowed-signers", tmp_path / "allowed"]
    refused = run_gitsnap(*words, check=12)
    assert f"snapshot {last} in" in refused.stderr and "cannot be trusted: it is not signed" in refused.stderr
    assert f"--snapshot {signed}" in refused.stderr and not (tmp_path / "new").exists()
    done = json.loads(run_gitsnap(*words, "--snapshot", signed, "--json", check=3).stdout)
    assert {d["snapshot"]: d["problems"][0]["kind"] for d in done["damaged"]}[last] == "unsigned"
    assert (tmp_path / "new/fresh").read_text() == "two"


def test_signatures_come_too(app: Path, tmp_path: Path) -> None:
    key = new_key(tmp_path / "key")
    last = str(listed(app)[-1]["id"])
    run_gitsnap("-C", app, "sign", last, "--key", key.path)
    for make in (mirror, bundle):
        where = tmp_path / make.__name__
        where.mkdir()
        run_gitsnap("clone", make(sidecar_of(app), where), where / "new")
        assert git("--git-dir", sidecar_of(where / "new"), "rev-parse", f"refs/tags/signed/{last}^{{}}").strip()
        signed = json.loads(run_gitsnap("-C", where / "new", "--json", "show", last).stdout)
        there = json.loads(run_gitsnap("-C", app, "--json", "show", last).stdout)
        assert signed | {"verified": None} == there | {"verified": None}
        run_gitsnap("-C", where / "new", "verify", "--all")


def test_the_first_snapshot_after_a_clone_is_compared_with_what_came_back(app: Path, tmp_path: Path) -> None:
    remove_tree(app)
    app.mkdir()
    run_gitsnap("-C", app, "rollback", "--yes")
    run_gitsnap("-C", app, "bundle", "create", tmp_path / "one")
    run_gitsnap("clone", tmp_path / "one", tmp_path / "back")
    (tmp_path / "back" / "new").write_text("new")
    taken = run_gitsnap("-C", tmp_path / "back", "snapshot")
    assert "1 file changed: 1 added" in taken.stdout + taken.stderr
