"""Nobody but the owner reads anything of ours, not for a moment; and nothing that others configure is ever run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.helpers import refused
from tests.crash import faults
from tests.support.installation import IS_ROOT, copy_tree, git, run_gitsnap, sidecar_of, take_snapshot

# As a program of its own, so that it looks while gitsnap works, and with the umask that forbids nothing.
_WATCH = """
import os, stat, sys
top, report = sys.argv[1:]
seen = set()
over = False
while os.getppid() != 1 and not over:
    over = os.path.exists(report + ".stop")
    for folder, names, files in os.walk(top):
        for name in [*names, *files]:
            try:
                found = os.lstat(os.path.join(folder, name))
            except OSError:
                continue
            if found.st_mode & 0o077 and not stat.S_ISLNK(found.st_mode):
                seen.add(f"{stat.S_IMODE(found.st_mode):04o} {os.path.join(folder, name)}")
open(report, "w").write("\\n".join(sorted(seen)))
"""


@contextmanager
def watched(top: Path, report: Path) -> Iterator[None]:
    """Look at every mode below `top` over and over; what others could have read is listed in `report`."""
    top.mkdir(exist_ok=True, mode=0o700)
    watcher = subprocess.Popen([sys.executable, "-S", "-c", _WATCH, top, report])
    try:
        yield
    finally:
        report.with_name(report.name + ".stop").touch()
        watcher.wait(300)


@contextmanager
def no_umask() -> Iterator[None]:
    before = os.umask(0)
    try:
        yield
    finally:
        os.umask(before)


def test_nothing_is_ever_readable_by_others(installation: Path, gitsnap_home: Path, tmp_path: Path) -> None:
    report = tmp_path / "report"
    with no_umask(), watched(gitsnap_home, report):
        for number in range(4):
            (installation / "data/blob.bin").write_bytes(os.urandom(50_000) * (number + 1))
            take_snapshot(installation, "--pin")
        run_gitsnap("-C", installation, "verify", "--all")
        run_gitsnap("-C", installation, "gc")
        run_gitsnap("-C", installation, "rollback", "latest", "--yes")
        run_gitsnap("-C", installation, "git", "repack", "-adq")
        run_gitsnap("-C", installation, "git", "commit-graph", "write", "--reachable")
        run_gitsnap("-C", installation, "git", "pack-refs", "--all")
    assert report.read_text() == ""


def test_the_watcher_sees_what_is_open(tmp_path: Path) -> None:
    report, top = tmp_path / "report", tmp_path / "top"
    with watched(top, report):
        (top / "open").touch()
        (top / "open").chmod(0o644)
    assert "0644" in report.read_text()


@pytest.mark.faults
def test_every_file_is_private_from_its_first_moment(installation: Path, gitsnap_home: Path, tmp_path: Path) -> None:
    """No call that makes a file or directory leaves it open to others, even before the next call."""
    look = f"find {gitsnap_home} ! -type l -perm /077 >> {tmp_path}/open"
    argv = faults.gitsnap("-C", installation, "snapshot")
    env = faults.environment(gitsnap_home)
    with no_umask():
        made = [c for c in faults.calls(argv, env) if c.name in ("openat", "mkdir", "mkdirat", "mknodat")]
        assert len(made) > 10
        shutil.rmtree(gitsnap_home)
        # One of each kind: many are made in the same directory by the same lines.
        for call in {(c.name, Path(c.path).parent, Path(c.path).suffix): c for c in made}.values():
            faults.run_with_fault(argv, faults.Mode.KILL_AFTER, call.number, env=env, at_fault=look, must_fire=False)
            shutil.rmtree(gitsnap_home, ignore_errors=True)
    found = (tmp_path / "open").read_text().split()
    assert [p for p in found if p != str(gitsnap_home)] == []


@pytest.mark.skipif(not IS_ROOT, reason="only root can give files away")
def test_a_sidecar_of_someone_else_is_refused(installation: Path) -> None:
    take_snapshot(installation)
    store = sidecar_of(installation)
    for path in (store, *store.rglob("*")):
        os.chown(path, 65534, 65534)
    for command in ("list", "snapshot", "verify", "rollback --yes", "gc", "git log"):
        told = refused("-C", installation, *command.split(), code=1, kind="foreign-sidecar")
        assert "65534" in told


def test_a_sidecar_that_others_can_write_is_refused(installation: Path) -> None:
    take_snapshot(installation)
    store = sidecar_of(installation)
    store.chmod(0o770)
    for command in ("list", "snapshot", "rollback --yes"):
        refused("-C", installation, *command.split(), code=1, kind="exposed-sidecar")


def test_nothing_that_others_configure_is_run(installation: Path, tmp_path: Path) -> None:
    """Traps in the environment, in the user's and the system's configuration, in a nested repository, in hooks."""
    trap, sprung = tmp_path / "trap", tmp_path / "sprung"
    trap.write_text(f'#!/bin/sh\necho "$0 $*" >> {sprung}\nexit 0\n')
    trap.chmod(0o755)
    home = tmp_path / "user"
    (home / ".config/git").mkdir(parents=True)
    (home / ".config/git/attributes").write_text("* filter=trap diff=trap\n")
    settings = (
        f"[core]\n\tfsmonitor = {trap}\n\thooksPath = {tmp_path}/hooks\n\tpager = {trap}\n\teditor = {trap}\n"
        f"\tsshCommand = {trap}\n\tattributesFile = {home}/.config/git/attributes\n"
        f'[filter "trap"]\n\tclean = {trap}\n\tsmudge = {trap}\n\trequired = true\n'
        f'[diff]\n\texternal = {trap}\n[diff "trap"]\n\tcommand = {trap}\n\ttextconv = {trap}\n'
        f"[gc]\n\trecentObjectsHook = {trap}\n[gpg]\n\tprogram = {trap}\n[credential]\n\thelper = {trap}\n"
    )
    (home / ".gitconfig").write_text(settings)
    (tmp_path / "hooks").mkdir()
    for name in ("pre-auto-gc", "post-index-change", "reference-transaction", "post-rewrite", "fsmonitor-watchman"):
        (tmp_path / "hooks" / name).symlink_to(trap)
    nested = installation / "plugins/theme"
    git(nested, "config", "core.fsmonitor", str(trap))
    git(nested, "config", "core.hooksPath", str(tmp_path / "hooks"))
    (nested / ".gitattributes").write_text("* filter=trap\n")
    git(nested, "config", "filter.trap.clean", str(trap))
    evil = {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "GIT_DIR": str(nested / ".git"),
        "GIT_WORK_TREE": str(nested),
        "GIT_INDEX_FILE": str(nested / ".git/index"),
        "GIT_OBJECT_DIRECTORY": str(nested / ".git/objects"),
        "GIT_CONFIG_GLOBAL": str(home / ".gitconfig"),
        "GIT_CONFIG_SYSTEM": str(home / ".gitconfig"),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.fsmonitor",
        "GIT_CONFIG_VALUE_0": str(trap),
        "GIT_EXTERNAL_DIFF": str(trap),
        "GIT_TRACE": str(tmp_path / "trace"),
        "GIT_SSH_COMMAND": str(trap),
        "GIT_PAGER": str(trap),
        "GIT_ASKPASS": str(trap),
        "GIT_EXEC_PATH": str(tmp_path / "hooks"),
    }
    take_snapshot(installation)
    (installation / "config/shop.ini").write_text("changed\n")
    looks = "list|status|diff|diff --stat|diff latest~1 latest|log config/shop.ini|verify --all|doctor"
    acts = "gc|rollback latest~1 --yes|delete latest~1|prune --keep-last 1|git log --stat timeline"
    for command in f"snapshot|{looks}|{acts}".split("|"):
        run_gitsnap("-C", installation, *command.split(), env=evil, check=False)
    assert not sprung.exists(), sprung.read_text()
    assert not (tmp_path / "trace").exists()
    run_gitsnap("-C", installation, "verify", "--all")


def test_the_traps_would_catch_plain_git(installation: Path, tmp_path: Path) -> None:
    """The counterpart: a git with a work tree runs what a nested repository configures."""
    trap, sprung = tmp_path / "trap", tmp_path / "sprung"
    trap.write_text(f"#!/bin/sh\ntouch {sprung}\n")
    trap.chmod(0o755)
    nested = installation / "plugins/theme"
    git(nested, "config", "core.fsmonitor", str(trap))
    git(nested, "status", check=False)
    assert sprung.exists()


@pytest.mark.faults
def test_staged_files_are_private(installation: Path, tmp_path: Path) -> None:
    """What a rollback stages cannot be reached by others, whatever mode it will have."""
    (installation / "config/public").write_text("anyone may read this\n")
    (installation / "config/public").chmod(0o666)
    wanted = take_snapshot(installation)
    (installation / "config/public").unlink()
    (installation / "config/signing.key").write_text("changed\n")
    argv = faults.gitsnap("-C", installation, "rollback", wanted, "--yes")
    env = faults.environment(Path(os.environ["GITSNAP_HOME"]))
    copy = copy_tree(installation, tmp_path / "copy")
    points = faults.calls(argv, env, path=".gitsnap-txn.")
    first = next(c for c in points if c.name in ("mkdir", "mkdirat"))
    subprocess.run(["rsync", "-aHAX", "--delete", f"{copy}/", f"{installation}/"], check=True)
    look = f"find {installation} -name '.gitsnap-txn.*' -perm /077 >> {tmp_path}/open; "
    look += f"ls -d {installation}/.gitsnap-txn.* >> {tmp_path}/seen"
    faults.run_with_fault(argv, faults.Mode.KILL_AFTER, first.number, env=env, path=".gitsnap-txn.", at_fault=look)
    assert (tmp_path / "seen").read_text()
    assert (tmp_path / "open").read_text() == ""
