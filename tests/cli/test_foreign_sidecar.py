"""A sidecar from elsewhere: nothing in its configuration makes anything run; what gitsnap did not write is named."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from tests.support.inprocess import bare_git
from tests.support.installation import build_app, run_gitsnap, sidecar_of, take_snapshot

# Whatever git would do something about; {x} is a program that leaves a mark, {i} a file of settings that names it.
RUNS = {
    "core.fsmonitor": "{x}",
    "core.sshCommand": "{x}",
    "core.pager": "{x}",
    "core.editor": "{x}",
    "core.askPass": "{x}",
    "core.gitProxy": "{x}",
    "core.alternateRefsCommand": "{x}",
    "core.attributesFile": "{a}",
    "diff.external": "{x}",
    "diff.evil.command": "{x}",
    "diff.evil.textconv": "{x}",
    "filter.evil.clean": "{x}",
    "filter.evil.process": "{x}",
    "merge.evil.driver": "{x}",
    "pager.blame": "{x}",
    "pager.config": "{x}",
    "gpg.program": "{x}",
    "log.showSignature": "true",
    "credential.helper": "!{x}",
    "uploadpack.packObjectsHook": "{x}",
    "gc.recentObjectsHook": "{x}",
    "alias.blame": "!{x}",
    "alias.gc": "!{x}",
    "include.path": "{i}",
    "includeIf.gitdir:/.path": "{i}",
    "extensions.partialClone": "o",
    "remote.o.promisor": "true",
    "remote.o.url": "ext::{x}",
    "remote.o.uploadpack": "{x}",
    "protocol.allow": "always",
    "trace2.eventTarget": "{t}",
    "maintenance.auto": "true",
    "gc.auto": "1",
    "gc.autoDetach": "true",
    "core.worktree": "{w}",
    "core.bare": "false",
    "extensions.worktreeConfig": "true",
    "submodule.recurse": "true",
}
COMMANDS = (
    "blame config/shop.ini",
    "log -p config/shop.ini",
    "diff latest~1 latest",
    "diff latest~1 latest --stat",
    "changelog latest~1 latest",
    "report latest~1 latest -o /dev/null",
    "search port",
    "find *.ini",
    "gc",
    "verify --all",
    "doctor",
    "init",
    "status",
)


@pytest.fixture
def app(installation: Path) -> Path:
    """An installation with two snapshots that differ, everything in them loose and one content missing."""
    take_snapshot(installation)
    (installation / "config/shop.ini").write_text("currency = USD\nport = 8080\n")
    (installation / "modules/cart.sh").rename(installation / "modules/basket.sh")
    with open(installation / "modules/basket.sh", "a") as file:
        file.write("# more\n")
    take_snapshot(installation)
    return installation


def set_up(store: Path, tmp_path: Path) -> Path:
    """Write every setting of RUNS into the sidecar; the mark that tells that something ran."""
    mark, program, included = tmp_path / "PWNED", tmp_path / "x.sh", tmp_path / "included"
    program.write_text(f"#!/bin/sh\ntouch {mark}\nexit 1\n")
    program.chmod(0o755)
    included.write_text(
        f"[diff]\n\texternal = {program}\n[core]\n\tfsmonitor = {program}\n[alias]\n\tgc = !{program}\n"
    )
    attributes = tmp_path / "attributes"
    attributes.write_text("* diff=evil filter=evil merge=evil\n")
    where = {"x": program, "i": included, "a": attributes, "t": tmp_path / "TRACED", "w": tmp_path / "app"}
    for key, value in RUNS.items():
        subprocess.run(["git", "config", "--file", store / "config", key, value.format(**where)], check=True)
    (store / "config.worktree").write_text(f"[diff]\n\texternal = {program}\n[core]\n\tpager = {program}\n")
    (store / "info/attributes").write_text("* diff=evil filter=evil\n")
    (store / "hooks").mkdir(mode=0o700)
    for hook in ("pre-auto-gc", "reference-transaction", "post-checkout", "post-index-change", "post-rewrite"):
        shutil.copy(program, store / "hooks" / hook)
    return mark


def lose_one(store: Path) -> None:
    """Take the old content of a file away, which git would fetch where it is told to."""
    oid = bare_git(store, "rev-parse", "timeline~1:config/shop.ini").decode().strip()
    for pack in list((store / "objects/pack").glob("*.pack")):
        data = pack.read_bytes()
        for path in (store / "objects/pack").glob(f"{pack.stem}.*"):
            path.unlink()
        bare_git(store, "unpack-objects", "-q", stdin=data)
    (store / "objects" / oid[:2] / oid[2:]).unlink()
    # What git writes is for everybody who may enter.
    subprocess.run(["chmod", "-R", "go=", store], check=True)


@pytest.mark.parametrize("lost", [False, True], ids=["whole", "with a lost content"])
def test_no_setting_makes_anything_run(app: Path, tmp_path: Path, lost: bool) -> None:
    store = sidecar_of(app)
    if lost:
        lose_one(store)
    mark = set_up(store, tmp_path)
    for command in COMMANDS:
        done = run_gitsnap("-C", app, *command.split(), check=False)
        assert not mark.exists(), command
        assert not (tmp_path / "TRACED").exists(), command
        assert "bug" not in done.stderr, (command, done.stderr)
        assert lost or done.returncode in ((1, 12) if command == "verify --all" else (0, 1)), (command, done.stderr)


def test_a_moved_directory_is_adopted_without_reading_the_config_by_git(app: Path, tmp_path: Path) -> None:
    store = sidecar_of(app)
    mark = set_up(store, tmp_path)
    moved = app.rename(app.with_name("moved"))
    run_gitsnap("-C", moved, "--store", store, "init")
    run_gitsnap("-C", moved, "verify", "--live")
    assert not mark.exists()


def test_doctor_names_what_gitsnap_did_not_write(app: Path, tmp_path: Path) -> None:
    store = sidecar_of(app)
    assert "git's config" not in run_gitsnap("-C", app, "doctor").stdout
    with open(store / "config", "a") as file:
        file.write('[core] sshCommand = x ; on one line\n[remote "a b"]\n\turl = \\\nx\n[Diff]external\nnonsense\n')
    (store / "commondir").write_text("../elsewhere\n")
    found = json.loads(run_gitsnap("-C", app, "--json", "doctor", check=False).stdout)["checks"]
    (told,) = [c for c in found if c["name"] == "git's config"]
    assert told["ok"] is None
    names = ["core.sshcommand", "remote.a b.url", "diff.external", "diff.nonsense", "the file commondir"]
    assert told["answer"].removeprefix("gitsnap did not write ").split(", ") == names
    (store / "commondir").unlink()
    warned = run_gitsnap("-C", app, "git", "--version")
    assert "core.sshcommand" in warned.stderr


def test_settings_that_are_no_longer_gitsnaps_are_a_problem(app: Path) -> None:
    with open(sidecar_of(app) / "config", "a") as file:
        file.write("[core] fsmonitor = /bin/true\n")
    assert "core.fsmonitor" in run_gitsnap("-C", app, "doctor", check=1).stdout


def test_objects_elsewhere_are_not_looked_for(app: Path, tmp_path: Path) -> None:
    store = sidecar_of(app)
    (store / "objects/info/alternates").write_text(f"{tmp_path}/other.git/objects\n")
    for command in ("gc", "blame config/shop.ini"):
        assert "alternates" in run_gitsnap("-C", app, *command.split(), check=12).stderr


@pytest.mark.parametrize(
    "where", ["refs/heads/pipe", "packed-refs", "objects/info/packs", "refs/heads/link", "objects/ab/c"]
)
def test_what_git_would_wait_for(app: Path, where: str) -> None:
    path = sidecar_of(app) / where
    path.unlink(missing_ok=True)
    path.parent.mkdir(exist_ok=True)
    if path.name == "link":
        path.symlink_to("/dev/zero")
    else:
        os.mkfifo(path, 0o600)
    said = run_gitsnap("-C", app, "gc", check=12).stderr
    assert str(path) in said
    assert "git would wait" in said or "is no regular file" in said


@pytest.mark.parametrize("command", ["gc", "doctor"])
def test_refs_that_lead_elsewhere_are_not_followed(app: Path, tmp_path: Path, command: str) -> None:
    """git goes through all that is behind a link below refs, be it the whole file system."""
    link = sidecar_of(app) / "refs/gitsnap/snapshots/all"
    link.symlink_to(tmp_path)
    done = run_gitsnap("-C", app, command, check=False)
    assert done.returncode == (12 if command == "gc" else 1)
    assert f"{link} leads to a directory" in done.stdout + done.stderr


def test_gc_works_through_links(app: Path) -> None:
    store = sidecar_of(app)
    run_gitsnap("-C", app, "gc")
    assert stat.S_IMODE((store / "packed-refs").lstat().st_mode) == 0o600
    assert stat.S_ISREG((store / "packed-refs").lstat().st_mode)
    before = {p.name for p in store.iterdir()}
    assert not before & {"index", "worktrees", "gc.pid", "packed-refs.lock"}
    assert bare_git(store, "fsck", "--full", "--strict") == b""
    take_snapshot(app, "--label", "third")
    run_gitsnap("-C", app, "gc")
    run_gitsnap("-C", app, "verify", "--all")
    assert bare_git(store, "reflog", "--all") == b""


def test_what_a_person_keeps_by_a_worktree_or_a_detached_head_is_kept(app: Path, tmp_path: Path) -> None:
    store = sidecar_of(app)
    tree = bare_git(store, "rev-parse", "timeline^{tree}").decode().strip()
    kept, other = (bare_git(store, "commit-tree", "-m", m, tree).decode().strip() for m in ("mine", "yours"))
    bare_git(store, "worktree", "add", "-q", "--no-checkout", "--detach", str(tmp_path / "work"), kept)
    (store / "HEAD").write_text(f"{other}\n")
    run_gitsnap("-C", app, "gc")
    for commit in (kept, other):
        assert bare_git(store, "cat-file", "-t", commit) == b"commit\n"


def test_others_cannot_read_what_they_cannot_reach(app: Path) -> None:
    store = sidecar_of(app)
    (store / "gitk.cache").write_text("x")
    (store / "gitk.cache").chmod(0o644)
    assert "gitk.cache" in run_gitsnap("-C", app, "doctor").stdout
    store.chmod(0o711)
    assert "others may read" in run_gitsnap("-C", app, "doctor", check=1).stdout


# git elsewhere


def environment(path: str) -> dict[str, str]:
    return {"PATH": path}


def test_git_is_where_path_says_and_never_in_the_installation(app: Path, tmp_path: Path) -> None:
    real, mark = shutil.which("git"), tmp_path / "RAN"
    assert real is not None
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    wrapper = elsewhere / "git"
    wrapper.write_text(f'#!/bin/sh\necho x >>{mark}\nexec {real} "$@"\n')
    wrapper.chmod(0o755)
    for command in ("blame config/shop.ini", "gc", "doctor", "git --version"):
        run_gitsnap("-C", app, *command.split(), env=environment(f"{elsewhere}:{os.environ['PATH']}"))
        assert mark.exists(), command
        mark.unlink()
    shutil.copy(wrapper, app / "bin/git")
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "git").symlink_to(app / "bin/git")
    (tmp_path / "also").symlink_to(app / "bin")
    for evil in (app / "bin", linked, tmp_path / "also", Path("bin"), Path("."), Path("")):
        for command in ("blame config/shop.ini", "gc", "git --version"):
            run_gitsnap("-C", app, *command.split(), cwd=app, env=environment(f"{evil}:{os.environ['PATH']}"))
            assert not mark.exists(), (evil, command)


def test_without_git(app: Path, tmp_path: Path) -> None:
    bare = tmp_path / "none"
    bare.mkdir()
    for tool in ("sh", "env", "less"):
        (bare / tool).symlink_to(shutil.which(tool) or "/bin/sh")
    env = environment(str(bare))
    for command in ("gc", "blame config/shop.ini", "git log"):
        done = run_gitsnap("-C", app, *command.split(), env=env, check=1)
        assert "needs git" in done.stderr
    assert "not on PATH" in run_gitsnap("-C", app, "doctor", env=env, check=1).stdout
    (app / "release-1.9").unlink()
    for command in (
        "list", "show", "status", "ls latest", "cat latest config/shop.ini", "find *.ini", "log config/shop.ini",
        "search port", "verify --all", "history", "diff --name-status", "snapshot", "prune --keep-last 5",
        "rollback latest~1 --yes", "undo --yes", "restore latest config --yes",
    ):  # fmt: skip
        run_gitsnap("-C", app, *command.split(), env=env)


def test_an_application_that_gitsnap_runs_from_has_the_git_that_there_is(tmp_path: Path) -> None:
    from gitsnap.sidecar.git import config, stock_git

    app = build_app(tmp_path / "app")
    (app / "bin/git").write_text("#!/bin/sh\n")
    (app / "bin/git").chmod(0o755)
    path = f"{app}/bin"
    assert stock_git.find(path, str(app)) is None
    assert stock_git.find(path, str(tmp_path / "other")) == f"{app}/bin/git"
    whole = os.path.dirname(os.path.dirname(config.__file__))
    assert stock_git.directories("/usr/bin:rel::/bin", whole) == ["/usr/bin", "/bin"]
