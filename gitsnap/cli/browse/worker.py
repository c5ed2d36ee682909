"""The one thread that works on the sidecar, so that the interface never waits; and requests to stop."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from gitsnap.cli.session import Session
from gitsnap.core.settings import Settings
from gitsnap.ops.query.browse import LiveTree, Tree, tree
from gitsnap.ops.store.locate import Place, open_sidecar
from gitsnap.sidecar.repository import Sidecar

_Result = TypeVar("_Result")
Work = Callable[[Sidecar, Settings], _Result]

# Trees of snapshots that are kept; one of 80,000 files takes about 60 MB.
_TREES = 3
# Reading may be left alone in the middle; this long, in seconds, is waited for it.
_PATIENCE = 2.0


class Stopping:
    """Whether somebody asked a change to stop. It heeds that between two steps, as it does Ctrl-C in a command."""

    def __init__(self) -> None:
        self.asked = False

    @contextmanager
    def deferred(self) -> Iterator[Callable[[], bool]]:
        """For as long as it lasts; what it gives tells whether somebody asked."""
        yield lambda: self.asked


class BackgroundWorker:
    """Does one piece of work after another on the sidecar of a place, in a thread of its own."""

    def __init__(self, session: Session, place: Place) -> None:
        self.session, self.place = session, place
        self.progress = Progress()
        # Ends an open question, and asks a change to stop; set by whoever asks or changes something.
        self.stop: Callable[[], None] = lambda: None
        # What a change ended with that nobody was there any more to be told.
        self.unheard: BaseException | None = None
        self._changes = 0
        self._sidecar: Sidecar | None = None
        self._trees: OrderedDict[str, Tree | LiveTree] = OrderedDict()
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        # What only reads may be cut off; what changes is waited for in close().
        self._thread = threading.Thread(target=self._work, name="gitsnap-worker", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
        if self._sidecar is not None:
            self._sidecar.close()

    async def ask(self, work: Work[_Result], *, changes: bool = False) -> _Result:
        """Have something done; its result, or what it raised. What `changes` something is waited for in close()."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[_Result] = loop.create_future()

        def tell(say: Callable[[], None]) -> None:
            # The interface may be gone by now: then nobody wants to know.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(lambda: None if answer.done() else say())

        def job() -> None:
            try:
                settings = self.session.settings(self.place)
                if self._sidecar is None:
                    self._sidecar = open_sidecar(self.place)
                    self.session.hide_secrets(self._sidecar, settings)
                result = work(self._sidecar, settings)
            except BaseException as error:  # noqa: BLE001 - whoever asked gets it
                failure = error
                self.unheard = error if changes else self.unheard
                tell(lambda: answer.set_exception(failure))
            else:
                tell(lambda: answer.set_result(result))
            finally:
                self._changes -= changes

        self._changes += changes
        self._jobs.put(job)
        try:
            return await answer
        except Exception:
            self.unheard = None
            raise

    def tree(self, sidecar: Sidecar, side: str) -> Tree | LiveTree:
        """A tree; those of snapshots, which do not change, are remembered."""
        found = self._trees.get(side) or tree(sidecar, side)
        self._trees[side] = found
        self._trees.move_to_end(side)
        while len(self._trees) > _TREES:
            self._trees.popitem(last=False)
        return found

    def close(self) -> None:
        """End the thread: a change is asked to stop between two steps, and waited for however long it takes."""
        self.stop()
        self._jobs.put(None)
        self._thread.join(None if self._changes else _PATIENCE)


class Progress:
    """An observer that only remembers; the interface looks at it ten times a second."""

    def __init__(self) -> None:
        self.phase, self.files, self.size = "", 0, 0
        self.totals: tuple[int | None, int | None] = (None, None)

    def started(self, phase: str, files: int | None = None, size: int | None = None) -> None:
        """A phase begins."""
        self.phase, self.files, self.size, self.totals = phase, 0, 0, (files, size)

    def advanced(self, files: int = 0, size: int = 0) -> None:
        """So much more is done."""
        self.files += files
        self.size += size

    def finished(self) -> None:
        """The phase ended."""
        self.phase = ""

    def noticed(self, message: str) -> None:
        """A remark, which the result repeats where it matters."""
