"""Running stock git: never with a work tree, hooks, or anyone's configuration, the sidecar's own included.

git with a work tree executes what nested repositories configure (core.fsmonitor), so no work-tree command is ever run.
A git directory's config does the same (diff.external, a promisor remote's uploadpack), and git always reads it: ours is
given a directory made for the moment, which leads to the sidecar's refs and objects and to nothing else (`room`).
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple

from gitsnap.core.errors import GitsnapError, IntegrityError
from gitsnap.sidecar import files
from gitsnap.sidecar.git import config, locks

_SETTINGS = (
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "gc.auto=0",
    "maintenance.auto=false",
    # What a gc removes later, a commit-graph would still name, and fsck complain of.
    "gc.writeCommitGraph=false",
    "repack.updateServerInfo=false",
)

# What a git that takes no sidecar for its own is told besides: nothing to fetch, to ask or to show on a terminal.
_ALONE = ("protocol.allow=never", "core.pager=cat", "core.bigFileThreshold=8m", "credential.helper=")
_CLOSED = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ALLOW_PROTOCOL": "",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ASKPASS": "false",
    "GIT_SSH_COMMAND": "false",
    "GIT_EDITOR": "false",
    "GIT_PAGER": "cat",
}
# What of a sidecar a git of ours is led to, where it needs refs. HEAD is copied: git takes no link for it.
# Reflogs it would not find behind a link, and nothing in them is meant to be kept by a gc (reflog.forget).
_LED_TO = ("refs", "packed-refs", "worktrees", "index", "gc.pid")
_HEAD = re.compile(rb"(?:ref: refs/[!-~]{1,4000}|[0-9a-f]{40})\n?")

# Git directories for the moment begin so, and are locked by whoever uses them.
ROOM = "gitsnap-git-"
_MARK = "GITSNAP_GIT"
# What says how to get to other hosts, not what git acts on.
_KEPT = frozenset(
    f"GIT_{name}" for name in ("SSH", "SSH_COMMAND", "SSH_VARIANT", "ASKPASS", "SSL_CAINFO", "SSL_CAPATH")
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# How a person sees the sidecar: names as they are, ids as decorations, upgrades with what became of them.
_COMMIT = (
    "format:%C(yellow)commit %H%C(auto)%d%C(cyan)% (trailers:key=Gitsnap-Id,valueonly,separator=%x20)%C(reset)%n"
    "Author: %an <%ae>%nDate:   %ad%n%n%w(0,4,4)%B%w(0,0,0)"
)
# Told by the records of upgrades; by their snapshots, without outcomes, in a sidecar of before there were records.
_UPGRADES = (
    '!f() { if test "$(git for-each-ref --count=1 refs/gitsnap/upgrades)"; then'
    # By their ids, which begin with the time when they began: a record is written anew when more becomes known.
    " git for-each-ref --sort=-refname --format='%(refname)' refs/gitsnap/upgrades |"
    " git log --no-walk=unsorted --stdin --format='%C(cyan)%(trailers:key=Gitsnap-Upgrade,valueonly,"
    "separator=%x20)%C(reset)  %(trailers:key=Gitsnap-Outcome,valueonly,separator=%x20)"
    "  exit %(trailers:key=Gitsnap-Exit-Code,valueonly,separator=%x20)"
    "  %(trailers:key=Gitsnap-Command,valueonly,separator=%x20)"
    "%C(red)% (trailers:key=Gitsnap-Failure,valueonly,separator=%x20)%C(reset)"
    '\' "$@"; else'
    " git log --grep '^Gitsnap-Kind: post$' --format='%C(cyan)%(trailers:key=Gitsnap-Upgrade,valueonly,separator=%x20)"
    "%C(reset)  exit %(trailers:key=Gitsnap-Exit-Code,valueonly,separator=%x20)"
    '  %(trailers:key=Gitsnap-Command,valueonly,separator=%x20)\' "$@"; fi; }; f'
)
_AT_HOME = {
    "core.quotePath": "false",
    "format.pretty": _COMMIT,
    "alias.upgrades": _UPGRADES,
    "alias.descriptions": "log --no-walk --glob=refs/gitsnap/descriptions --format="
    "'%C(cyan)%(trailers:key=Gitsnap-Describes,valueonly,separator=%x20)%C(reset)  %s"
    "% (trailers:key=Gitsnap-Tag,valueonly,separator=%x20)'",
    "alias.snapshots": "log --format='%C(cyan)%(trailers:key=Gitsnap-Id,valueonly,separator=%x20)%C(reset)  %s'",
}


def environment(base: Mapping[str, str], git_dir: str) -> dict[str, str]:
    """`base` without GIT_* variables and with what makes git act on `git_dir` alone."""
    clean = {k: v for k, v in base.items() if not k.startswith("GIT_")}
    return clean | {
        "GIT_DIR": git_dir,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        # A ref below refs/replace would make git show other content than the one that was verified.
        "GIT_NO_REPLACE_OBJECTS": "1",
    }


def at_home(base: Mapping[str, str], git_dir: str) -> dict[str, str]:
    """The environment in which a person uses git on `git_dir`: it may ask, and shows what they know things by.

    The settings go through the environment, not into the sidecar's config: old sidecars are read in the same way, and
    git's children (hooks have none; pagers, `bisect run`) inherit them. git before 2.31 does not know of them.
    """
    clean = environment(base, git_dir) | {k: v for k, v in base.items() if k in _KEPT}
    settings = dict(s.split("=", 1) for s in _SETTINGS) | _AT_HOME
    for number, (key, value) in enumerate(settings.items()):
        clean |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return clean | {"GIT_CONFIG_COUNT": str(len(settings))}


def script(base: Mapping[str, str], git_dir: str) -> str:
    """What makes a POSIX shell with the environment `base` one in which git means the sidecar; `leave_gitsnap` ends it.

    Every value is quoted, whatever is in it.
    """
    import shlex

    ours = at_home({}, git_dir)
    # Inside already: what stands there is ours, and not to be put back.
    before = {} if _MARK in base else {k: v for k, v in base.items() if k.startswith("GIT_") and _NAME.fullmatch(k)}
    before = {k: v for k, v in before.items() if k not in _KEPT}
    gone = sorted(before.keys() - ours.keys())
    lines = [f"unset {' '.join(gone)}"] if gone else []
    lines += [f"export {k}={shlex.quote(v)}" for k, v in {**ours, _MARK: git_dir}.items()]
    lines += ["command -v leave_gitsnap >/dev/null || leave_gitsnap() {", f"unset {' '.join([*ours, _MARK])}"]
    lines += [f"export {k}={shlex.quote(v)}" for k, v in before.items()]
    return "\n".join([*lines, "unset -f leave_gitsnap", "}"]) + "\n"


def command(arguments: Sequence[str], git: str = "git") -> list[str]:
    """The argument vector of a git call without hooks and maintenance of its own accord."""
    settings = [part for setting in _SETTINGS for part in ("-c", setting)]
    return [git, *settings, *arguments]


def directories(path: str | None, installation: str | None) -> list[str]:
    """The directories of a PATH in which programs may be looked for: absolute ones outside the installation.

    Who may write to the installation could put a git there.
    """
    found = [d for d in (path or os.defpath).split(os.pathsep) if d.startswith("/")]
    return [d for d in found if not _within(d, installation)]


def find(path: str | None, installation: str | None, program: str = "git") -> str | None:
    """The program that the PATH `path` leads to, by its full name; None for none. See directories()."""
    for folder in directories(path, installation):
        found = shutil.which(program, path=folder)
        if found is not None and not _within(found, installation):
            return found
    return None


def _within(path: str, installation: str | None) -> bool:
    if not installation:
        return False
    top = os.path.join(os.path.realpath(installation), "")
    # Where gitsnap itself runs from within, whoever may write there could as well have changed that.
    ours = any(os.path.realpath(x).startswith(top) for x in (sys.executable, config.__file__))
    return not ours and os.path.join(os.path.realpath(path), "").startswith(top)


def require(path: str | None, installation: str | None) -> str:
    """As find(); GitsnapError where there is none."""
    found = find(path, installation)
    if found is None:
        raise GitsnapError(
            "this needs git, and PATH leads to none",
            kind="no-git",
            hint="install git 2.30 or newer; snapshot, verify, restore and rollback work without it",
        )
    return found


class Room(NamedTuple):
    """A git directory for the moment, and the sidecar that it leads to."""

    git_dir: str
    store: str


@contextmanager
def room(store: str, *, refs: bool) -> Iterator[Room]:
    """A git directory with a config of ours that leads to the objects of the sidecar at `store`, and nothing else.

    With `refs` to its refs, and whatever else keeps objects from being removed. Raises IntegrityError where following
    would lead out of the sidecar, or never end.
    """
    _require_plain(store, refs=refs)
    head = b"ref: refs/heads/none\n"
    if refs:
        with suppress(OSError, IntegrityError):
            written = files.read(os.path.join(store, "HEAD")) or b""
            head = written if _HEAD.fullmatch(written) else head
    with _folder(head, config.for_git()) as folder:
        if not refs:
            os.mkdir(os.path.join(folder, "refs"))
        for name in ("objects", *(_LED_TO if refs else ())):
            os.symlink(os.path.join(store, name), os.path.join(folder, name))
        yield Room(folder, store)


@contextmanager
def workshop(store: str | None, settings: bytes, *, within: str | None = None) -> Iterator[Room]:
    """A git directory below `within` with objects of its own, and behind them those of the sidecar at `store`;
    `settings` are added to a config of ours. IntegrityError as room()."""
    if store is not None:
        _require_plain(store, refs=False)
    with _folder(b"ref: refs/heads/none\n", config.for_git() + settings, within) as folder:
        for name in ("refs", "objects", "objects/info", "objects/pack"):
            os.mkdir(os.path.join(folder, name))
        if store is not None:
            # By a link, since paths of any kind would have to be quoted there.
            os.symlink(os.path.join(store, "objects"), os.path.join(folder, "behind"))
            with open(os.path.join(folder, "objects/info/alternates"), "xb") as file:
                file.write(b"../behind\n")
        yield Room(folder, store or "")


@contextmanager
def _folder(head: bytes, settings: bytes, within: str | None = None) -> Iterator[str]:
    with locked_folder(within) as folder:
        os.mkdir(os.path.join(folder, "info"))
        for name, data in (("HEAD", head), ("config", settings), ("info/attributes", config.ATTRIBUTES)):
            with open(os.path.join(folder, name), "xb") as file:
                file.write(data)
        yield folder


@contextmanager
def locked_folder(within: str | None = None) -> Iterator[str]:
    """An empty private directory for the moment; what a killed owner leaves goes with the next writer."""
    # Loads random numbers and hashes that nothing else needs.
    import tempfile

    folder = tempfile.mkdtemp(prefix=ROOM, dir=within)
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _require_plain(store: str, *, refs: bool) -> None:
    for name in ("alternates", "http-alternates"):
        path = os.path.join(store, "objects", "info", name)
        if os.path.lexists(path):
            raise IntegrityError(
                f"objects/info/{name} makes git look for objects elsewhere; gitsnap never writes it",
                path=path,
                hint="`gitsnap verify --all` tells whether anything is missing without it; then remove it",
            )
    for top in ("objects", *(_LED_TO if refs else ())):
        for path, why in _special(os.path.join(store, top), into_links=top == "refs"):
            raise IntegrityError(f"{path} {why}", path=path)


def _special(top: str, *, into_links: bool) -> Iterator[tuple[str, str]]:
    """What is there but regular files and directories, links followed, and why that will not do; no directory behind
    a link is entered. With `into_links` git would enter it, and so it will not do either."""
    left = [top]
    while left:
        path = left.pop()
        with suppress(FileNotFoundError):
            mode = os.stat(path).st_mode
            linked = path != top and os.path.islink(path)
            if stat.S_ISDIR(mode) and not linked:
                with os.scandir(path) as found:
                    left += [e.path for e in found if e.is_symlink() or not e.is_file()]
            elif stat.S_ISDIR(mode) and into_links:
                yield path, "leads to a directory: git would look for refs in all that is below that"
            elif not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                yield path, "is neither a file nor a directory: git would wait for it"


def run(
    arguments: Sequence[str],
    *,
    where: Room | None = None,
    cwd: str = "/",
    ok: Sequence[int] = (0,),
    installation: str | None = None,
    inherited: Sequence[int] = (),
) -> bytes:
    """Run git quietly, in a room or without a repository; its output.

    `inherited` are descriptors that it shall keep open: those of locks. Raises LockedError where a lock is in its way,
    IntegrityError with git's own words when it fails, GitsnapError when there is none outside `installation`.
    """
    path = os.environ.get("PATH")
    git = require(path, installation)
    base = {"PATH": os.pathsep.join(directories(path, installation)), "LC_ALL": "C", "HOME": os.devnull}
    settings = [part for setting in _ALONE for part in ("-c", setting)]
    git_dir, store = where or (os.devnull, "")
    done = subprocess.run(
        command([*settings, *arguments], git),
        cwd=where.git_dir if where else cwd,
        # The sidecar's name is there for whoever looks for what is at work on it.
        env=environment(base, git_dir) | _CLOSED | {_MARK: store},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        umask=0o077,
        pass_fds=inherited,
    )
    if done.returncode not in ok:
        if b"No space left on device" in done.stderr:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), store or cwd)
        said = done.stderr.decode("utf-8", "replace").strip().replace(git_dir, store or git_dir)
        if locked := locks.refused(said, store or cwd):
            raise locked
        words = said.splitlines()
        raise IntegrityError(f"git {arguments[0]} failed ({done.returncode}): {words[-1] if words else 'no message'}")
    return done.stdout
