"""Running stock git on the sidecar, and only there: never with a work tree, hooks, or anyone's configuration.

git with a work tree executes what nested repositories configure (core.fsmonitor), so no work-tree command is ever run.
"""

from __future__ import annotations

import errno
import os
import re
import subprocess
from collections.abc import Mapping, Sequence

from gitsnap.core.errors import GitsnapError, IntegrityError
from gitsnap.sidecar import gitlocks

_SETTINGS = (
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "gc.auto=0",
    "maintenance.auto=false",
    # What a gc removes later, a commit-graph would still name, and fsck complain of.
    "gc.writeCommitGraph=false",
    "repack.updateServerInfo=false",
)

_MARK = "GITSNAP_GIT"
# What says how to get to other hosts, not what git acts on.
_KEPT = frozenset(
    f"GIT_{name}" for name in ("SSH", "SSH_COMMAND", "SSH_VARIANT", "ASKPASS", "SSL_CAINFO", "SSL_CAPATH")
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# How a person sees the sidecar: names as they are, ids as decorations, no author (it is always the same).
_COMMIT = (
    "format:%C(yellow)commit %H%C(auto)%d%C(cyan)% (trailers:key=Gitsnap-Id,valueonly,separator=%x20)%C(reset)%n"
    "Date:   %ad%n%n%w(0,4,4)%B%w(0,0,0)"
)
_UPGRADES = (
    "log --grep '^Gitsnap-Kind: post$' --format='%C(cyan)%(trailers:key=Gitsnap-Upgrade,valueonly,separator=%x20)"
    "%C(reset)  exit %(trailers:key=Gitsnap-Exit-Code,valueonly,separator=%x20)"
    "  %(trailers:key=Gitsnap-Command,valueonly,separator=%x20)'"
)
_AT_HOME = {
    "core.quotePath": "false",
    "format.pretty": _COMMIT,
    "alias.upgrades": _UPGRADES,
    "alias.snapshots": "log --format='%C(cyan)%(trailers:key=Gitsnap-Id,valueonly,separator=%x20)%C(reset)  %s'",
}


def environment(base: Mapping[str, str], git_dir: str) -> dict[str, str]:
    """`base` without GIT_* variables and with what makes git act on `git_dir` alone, without prompts."""
    clean = {k: v for k, v in base.items() if not k.startswith("GIT_")}
    return clean | {
        "GIT_DIR": git_dir,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        # A ref below refs/replace would make git show other content than the one that was verified.
        "GIT_NO_REPLACE_OBJECTS": "1",
    }


def at_home(base: Mapping[str, str], git_dir: str) -> dict[str, str]:
    """The environment in which a person uses git on `git_dir`: it may ask, and shows what they know things by.

    The settings go through the environment, not into the sidecar's config: old sidecars are read in the same way, and
    git's children (hooks have none; pagers, `bisect run`) inherit them. git before 2.31 does not know of them.
    """
    clean = environment(base, git_dir) | {k: v for k, v in base.items() if k in _KEPT}
    del clean["GIT_TERMINAL_PROMPT"]
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


def command(arguments: Sequence[str]) -> list[str]:
    """The argument vector of a safe git call."""
    settings = [part for setting in _SETTINGS for part in ("-c", setting)]
    return ["git", *settings, *arguments]


def run(
    git_dir: str,
    arguments: Sequence[str],
    *,
    cwd: str | None = None,
    ok: Sequence[int] = (0,),
    inherited: Sequence[int] = (),
) -> bytes:
    """Run git quietly; its output. Raises LockedError where a lock is in its way, else IntegrityError with git's words.

    `inherited` are descriptors that it shall keep open: those of locks.
    """
    env = environment({"PATH": os.defpath + ":/usr/local/bin", "LC_ALL": "C", "HOME": os.devnull}, git_dir)
    try:
        done = subprocess.run(
            command(arguments),
            cwd=cwd or git_dir,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            umask=0o077,
            pass_fds=inherited,
        )
    except FileNotFoundError:
        raise GitsnapError("git is not installed", hint="install git 2.30 or newer") from None
    if done.returncode not in ok:
        if b"No space left on device" in done.stderr:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), git_dir)
        said = done.stderr.decode("utf-8", "replace").strip()
        if locked := gitlocks.refused(said, git_dir):
            raise locked
        words = said.splitlines()
        raise IntegrityError(f"git {arguments[0]} failed ({done.returncode}): {words[-1] if words else 'no message'}")
    return done.stdout
