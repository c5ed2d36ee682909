"""A pool: forked processes that share work which holds the interpreter's lock for too long to be shared by threads.

The workers are copies of this process. They take requests from a pipe and answer through another one, print nothing,
keep no files open of their own beyond the work, and end when their requests end: with the pool, or with this process,
however that ends. What a worker that died had in hand comes back as unanswered.

Giving back the memory of a large copy takes the kernel longer than some of the work. So a pool that is closed waits
until its workers have let go of their files, and of the locks that come with them; `reap` waits for the rest.
"""

from __future__ import annotations

import fcntl
import marshal
import os
import select
import signal
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, NoReturn

# A request must fit into a pipe beside the one before it, so that handing one over never waits for a worker who waits
# for us to take an answer.
LARGEST_REQUEST = 30_000
_AHEAD = 2
_HEAD = struct.Struct("<QQ")
_PIPE_BYTES = 1 << 20
# Workers of pools that were closed, and that may still be ending.
_ending: list[int] = []

# Until a worker has made up its mind about them, it must not act as the copy of its parent that it is.
_STOPPING = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT}

# Turns a request into an answer: anything that marshal can carry, and bytes.
Work = Callable[[Any], tuple[Any, bytes]]


def processors() -> int:
    """How many processors this process may fork workers for: one, that is itself, where it has threads.

    A fork beside threads may copy a lock that one of them holds, and that nobody in the copy will ever release.
    """
    return len(os.sched_getaffinity(0)) if threading.active_count() == 1 else 1


class _Worker:
    def __init__(self, pid: int, requests: int, answers: int, gone: int) -> None:
        # The worker holds the other end of `gone` for as long as it holds any file.
        self.pid, self.requests, self.answers, self.gone = pid, requests, answers, gone
        self.unanswered: deque[Any] = deque()


class Pool:
    """`size` workers, each of which does what `prepare()` returns. Close it, or use it as a context manager.

    A worker has at most `ahead` requests in hand; that many of them must fit into a pipe (64 KiB) together.
    """

    def __init__(self, prepare: Callable[[], Work], size: int, *, ahead: int = _AHEAD) -> None:
        self._ahead = ahead
        self._workers: list[_Worker] = []
        self._lost: list[Any] = []
        try:
            for _ in range(size):
                self._workers.append(self._fork(prepare))
        except OSError:
            # No more processes or descriptors: fewer hands do, and what none takes on is lost().
            return
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _fork(self, prepare: Callable[[], Work]) -> _Worker:
        pipes: list[int] = []
        try:
            for _ in range(3):
                pipes += os.pipe2(os.O_CLOEXEC)
        except OSError:
            _close(*pipes)
            raise
        their_requests, requests, answers, their_answers, gone, their_last = pipes
        with suppress(OSError):
            fcntl.fcntl(answers, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        # Signals that arrive before the worker has made up its mind about them are for us alone.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
        try:
            pid = os.fork()
            if pid == 0:
                ours = [requests, answers, gone, *(fd for w in self._workers for fd in (w.requests, w.answers, w.gone))]
                _serve(prepare, their_requests, their_answers, their_last, ours, blocked)
        except OSError:
            _close(requests, answers, gone)
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            _close(their_requests, their_answers, their_last)
        return _Worker(pid, requests, answers, gone)

    def hand_over(self, request: Any) -> Iterator[tuple[Any, Any, bytes]]:
        """Give a request to the worker who has the least to do; the answers that were taken meanwhile."""
        message = marshal.dumps(request)
        while self._workers:
            worker = min(self._workers, key=lambda w: len(w.unanswered))
            if len(worker.unanswered) >= self._ahead or (len(message) > LARGEST_REQUEST and worker.unanswered):
                yield from self.answers(wait=True)
                continue
            try:
                _write(worker.requests, _HEAD.pack(len(message), 0) + message)
            except BrokenPipeError:
                self._lose(worker)
                continue
            worker.unanswered.append(request)
            return
        self._lost.append(request)

    def answers(self, *, wait: bool = False) -> Iterator[tuple[Any, Any, bytes]]:
        """(request, answer, bytes) of what is done by now; with `wait`, of one at least while any is under way."""
        busy = {w.answers: w for w in self._workers if w.unanswered}
        if not busy:
            return
        poll = select.poll()
        for fd in busy:
            poll.register(fd, select.POLLIN)
        for fd, _ in poll.poll(None if wait else 0):
            worker = busy[fd]
            try:
                head = _read(fd, _HEAD.size)
                length, size = _HEAD.unpack(head)
                answer, data = marshal.loads(_read(fd, length)), _read(fd, size)
            except EOFError:
                self._lose(worker)
            else:
                yield worker.unanswered.popleft(), answer, data

    def finish(self) -> Iterator[tuple[Any, Any, bytes]]:
        """The answers to everything that is under way."""
        while any(w.unanswered for w in self._workers):
            yield from self.answers(wait=True)

    def lost(self) -> Iterable[Any]:
        """The requests that no worker lived to answer."""
        lost, self._lost = self._lost, []
        return lost

    def _lose(self, worker: _Worker) -> None:
        self._lost += worker.unanswered
        self._workers.remove(worker)
        _dismiss([worker])

    def close(self) -> None:
        """End the workers, whatever they are doing; they hold nothing any more then, but may still be ending."""
        workers, self._workers = self._workers, []
        _dismiss(workers)


def reap(*, wait: bool = True) -> None:
    """Take leave of the workers of pools that were closed; with `wait`, of all of them."""
    for pid in list(_ending):
        try:
            ended, _ = os.waitpid(pid, 0 if wait else os.WNOHANG)
        except ChildProcessError:
            # In a process that ignores SIGCHLD, or that reaps all its children itself, nobody is left to wait for.
            ended = pid
        if ended:
            _ending.remove(pid)


def _close(*fds: int) -> None:
    for fd in fds:
        os.close(fd)


def _dismiss(workers: Iterable[_Worker]) -> None:
    for worker in workers:
        _close(worker.requests, worker.answers)
        _ending.append(worker.pid)
    for worker in workers:
        # Nothing is ever written there: this waits for the end of it.
        os.read(worker.gone, 1)
        _close(worker.gone)
    reap(wait=False)


def _serve(
    prepare: Callable[[], Work], requests: int, answers: int, last: int, ours: list[int], mask: Iterable[int]
) -> NoReturn:
    """A worker's life. It leaves without cleaning up: everything here is a copy of somebody else's."""
    try:
        # Otherwise nobody would notice when the other end is closed.
        _close(*ours)
        # A Ctrl-C is for the process that owns the terminal; it ends us by closing the pipe.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for number in _STOPPING - {signal.SIGINT}:
            # What is ignored (nohup) stays ignored.
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        work = prepare()
        while True:
            length, _ = _HEAD.unpack(_read(requests, _HEAD.size))
            answer, data = work(marshal.loads(_read(requests, length)))
            meta = marshal.dumps(answer)
            _write(answers, _HEAD.pack(len(meta), len(data)) + meta)
            _write(answers, data)
    except (EOFError, OSError):
        _leave(last, 0)
    finally:
        _leave(last, 1)


def _leave(last: int, code: int) -> NoReturn:
    """End this process. Its files go before its memory does, the `last` one after all others."""
    # Not os.closerange: where the kernel cannot do that at once, it tries every number that there may be.
    with suppress(OSError):
        for name in os.listdir("/proc/self/fd"):
            if int(name) != last:
                with suppress(OSError):
                    os.close(int(name))
        os.close(last)
    # Where there was no list, they go with the process, and our parent waits that long.
    os._exit(code)


def _read(fd: int, size: int) -> bytes:
    data = os.read(fd, size) if size else b""
    if len(data) == size:
        return data
    parts, seen = [data], len(data)
    while seen < size:
        if not (data := os.read(fd, size - seen)):
            raise EOFError
        parts.append(data)
        seen += len(data)
    return b"".join(parts)


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
