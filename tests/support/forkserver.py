"""A process that forks for this one: it has loaded the program and nothing else.

What a fork costs is what there is of the process that is forked. Tests fill theirs to three times of what the program
takes. The children are ours all the same, as if we had forked them: we wait for them, and they have us as their parent.
"""

from __future__ import annotations

import ctypes
import errno
import faulthandler
import gc
import os
import pickle
import resource
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

_CLONE3 = 435
_CLONE_PARENT = 0x8000
_LIMITS = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")]

Run = Callable[[Any], object]


class ForkServer:
    """Forks `run`, which is given what can be pickled, from a copy of this process as it is now."""

    def __init__(self, run: Run) -> None:
        ours, theirs = socket.socketpair()
        self._asking = threading.Lock()
        self._socket = ours
        self._we = _we()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                _serve(theirs, run)
            finally:
                os._exit(1)
        theirs.close()

    @property
    def ours(self) -> bool:
        """Whether it forks for this process. Forks of ours are others, and so are we as another user."""
        return self._we == _we()

    def fork(self, given: object, streams: Sequence[int]) -> int:
        """The process id of a child with these standard streams, which is what a fork of this process would be in
        limits, ignored signals, working directory and umask. Raises OSError.
        """
        asked = os.memfd_create("asked")
        here = os.open(".", os.O_PATH | os.O_DIRECTORY)
        try:
            os.pwrite(asked, pickle.dumps((_inherited(), given)), 0)
            with self._asking:
                socket.send_fds(self._socket, [b"?"], [asked, here, *streams])
                pid = int.from_bytes(self._socket.recv(8), "little", signed=True)
        finally:
            os.close(asked)
            os.close(here)
        if pid <= 0:
            raise OSError(-pid, "the fork server cannot fork")
        return pid

    def close(self) -> None:
        """Let it end, if it is ours."""
        if self.ours:
            self._socket.close()
            os.waitpid(self.pid, 0)


def _we() -> tuple[int, ...]:
    return os.getpid(), os.geteuid(), os.getegid()


def _inherited() -> tuple[int, list[int], dict[int, tuple[int, int]]]:
    umask = os.umask(0o077)
    os.umask(umask)
    ignored = [n for n in signal.valid_signals() if signal.getsignal(n) is signal.SIG_IGN]
    return umask, ignored, {limit: resource.getrlimit(limit) for limit in _LIMITS}


def _inherit(umask: int, ignored: Sequence[int], limits: dict[int, tuple[int, int]]) -> None:
    os.umask(umask)
    for number in signal.valid_signals():
        # Those of the kernel's own cannot be set.
        if signal.getsignal(number) is not None and number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)
    if signal.SIGINT not in ignored:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for limit, wanted in limits.items():
        if resource.getrlimit(limit) != wanted:
            resource.setrlimit(limit, wanted)


def _serve(connection: socket.socket, run: Run) -> NoReturn:
    os.dup2(connection.fileno(), 3)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1):
        os.dup2(nothing, number)
    os.closerange(4, 1 << 16)
    serving = socket.socket(fileno=3)
    # What a terminal sends is for the tests. For them, we end when they do.
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    faulthandler.disable()
    gc.collect()
    # What is there already needs no looking through: whatever is looked at is copied.
    gc.freeze()
    while True:
        word, fds, _, _ = socket.recv_fds(serving, 1, 5)
        if not word:
            os._exit(0)
        try:
            pid = fork_for_parent()
        except OSError as error:
            pid = -(error.errno or errno.EIO)
        if pid == 0:
            _become(fds, run)
        for fd in fds:
            os.close(fd)
        serving.sendall(pid.to_bytes(8, "little", signed=True))


def _become(fds: Sequence[int], run: Run) -> NoReturn:
    try:
        asked, here, *streams = fds
        inherited, given = pickle.loads(os.pread(asked, os.fstat(asked).st_size, 0))
        os.fchdir(here)
        for number, fd in enumerate(streams):
            os.dup2(fd, number)
        os.closerange(3, 1 << 16)
        _inherit(*inherited)
        run(given)
    finally:
        os._exit(1)


_libc = ctypes.PyDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.syscall.argtypes = [ctypes.c_long, ctypes.c_void_p, ctypes.c_size_t]


def around_fork(call: Callable[[], int]) -> int:
    """What a foreign function that forks returns, in each of the two processes; the interpreter is told of it."""
    ctypes.pythonapi.PyOS_BeforeFork()
    found = call()
    if found == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
    else:
        ctypes.pythonapi.PyOS_AfterFork_Parent()
    return found


def fork_for_parent() -> int:
    """As os.fork, in a process that has but one thread; the child is our parent's. Raises OSError."""
    how = (ctypes.c_uint64 * 8)(_CLONE_PARENT)
    pid = around_fork(lambda: int(_libc.syscall(_CLONE3, how, ctypes.sizeof(how))))
    if pid < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return pid
