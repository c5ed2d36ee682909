"""Work in a process of its own: as an ordinary user, with a deadline, killed in the middle."""

from __future__ import annotations

import ctypes
import importlib
import os
import pickle
import pkgutil
import select
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TypeVar

from tests.support.installation import IS_ROOT

NOBODY = 65534 if IS_ROOT else os.geteuid()

_Result = TypeVar("_Result")
# linux/sched.h, linux/mount.h
_CLONE_NEWNS, _MS_REC, _MS_SLAVE = 0x20000, 0x4000, 0x80000


def own_mounts() -> bool:
    """From now on what this process and its children mount is mounted for them alone; false where only root could.

    Whoever starts a container has a copy of every mount that is there, and what is unmounted here stays mounted there
    (mount_namespaces(7)). A file system that is to lose its power, and come back, must not be among those.
    """
    libc = ctypes.CDLL(None)
    return libc.unshare(_CLONE_NEWNS) == 0 and libc.mount(None, b"/", None, _MS_REC | _MS_SLAVE, None) == 0


def give(*paths: Path) -> None:
    """Make the ordinary user of `as_user` the owner."""
    for path in paths:
        os.chown(path, NOBODY, NOBODY if IS_ROOT else -1)


def in_child(work: Callable[[], _Result], *, user: bool = False, seconds: float = 300.0) -> _Result:
    """What `work` returns or raises in a forked process; TimeoutError, and its end, when it takes too long."""
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _report(writing, work, user)
    os.close(writing)
    try:
        answer = _read_all(reading, time.monotonic() + seconds)
    except TimeoutError:
        os.kill(child, signal.SIGKILL)
        raise
    finally:
        os.close(reading)
        os.waitpid(child, 0)
    if not answer:
        raise ChildProcessError("the child died without a word")
    ok, value = pickle.loads(answer)
    if not ok:
        raise value
    return value  # type: ignore[no-any-return]


@contextmanager
def meanwhile(work: Callable[[], object]) -> Iterator[None]:
    """Repeat `work` in a process of its own until the block ends; an error ends it without a word."""
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        try:
            while os.getppid() == parent:
                work()
        finally:
            os._exit(0)
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def as_user(work: Callable[[], _Result], *, seconds: float = 300.0) -> _Result:
    """The same as an ordinary user."""
    return in_child(work, user=True, seconds=seconds)


def gitsnap_as_user(*arguments: str | Path, home: Path, seconds: float = 300.0) -> tuple[int, str, str]:
    """Run the command line as an ordinary user; exit code, stdout, stderr.

    In a forked process that has loaded everything: where the interpreter lies, that user may have no way in.
    """
    load_all()

    def work() -> int:
        from gitsnap.__main__ import run

        for number, path in ((1, out), (2, err)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_TRUNC), number)
        for name in [k for k in os.environ if k.startswith(("GIT_", "GITSNAP_", "XDG_"))]:
            del os.environ[name]
        os.environ |= {"GITSNAP_HOME": str(home), "HOME": str(home)}
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        code = run([str(a) for a in arguments])
        sys.stdout.flush()
        return code

    with tempfile.TemporaryDirectory() as where:
        os.chmod(where, 0o711)
        out, err = Path(where, "out"), Path(where, "err")
        for file in (out, err):
            file.touch()
            give(file)
        code = as_user(work, seconds=seconds)
        return code, out.read_text(errors="surrogateescape"), err.read_text(errors="surrogateescape")


@cache
def load_all() -> None:
    """Import now what an ordinary user could not find later."""
    import gitsnap

    for module in pkgutil.walk_packages(gitsnap.__path__, "gitsnap."):
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            # Of what is not installed everywhere, such as the SDK of the server for agents.
            if (error.name or "").startswith("gitsnap"):
                raise
    for name in ("pack", "refs", "trailers", "worktree"):
        importlib.import_module(f"dulwich.{name}")
    for name in ("gitignore_parser", "tomllib", "typer._click.core", "typer._click.decorators"):
        importlib.import_module(name)


def _report(writing: int, work: Callable[[], object], user: bool) -> None:
    try:
        if user and IS_ROOT:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
        answer = pickle.dumps((True, work()))
    except BaseException as error:  # noqa: BLE001 - it is raised again in the parent
        traceback.print_exc()
        try:
            answer = pickle.dumps((False, error))
            pickle.loads(answer)
        except Exception:  # noqa: BLE001 - some exceptions do not survive pickling
            answer = pickle.dumps((False, RuntimeError(f"{type(error).__name__}: {error}")))
    try:
        with os.fdopen(writing, "wb") as file:
            file.write(answer)
        sys.stderr.flush()
    finally:
        os._exit(0)


def _read_all(fd: int, deadline: float) -> bytes:
    parts = []
    while True:
        ready, _, _ = select.select([fd], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise TimeoutError("the child is not done")
        part = os.read(fd, 1 << 16)
        if not part:
            return b"".join(parts)
        parts.append(part)
