"""Starting the browser, and leaving it in order whatever ends it."""

from __future__ import annotations

import os
import signal
from types import FrameType

from gitsnap.cli.browse.app import Browser
from gitsnap.cli.session import Session
from gitsnap.ops.store.locate import Place, open_sidecar


def run(session: Session, place: Place) -> None:
    """Browse until somebody has seen enough. Raises GitsnapError when the sidecar cannot be opened."""
    # What is wrong from the beginning is told on the terminal as it was.
    open_sidecar(place).close()
    if not session.options.color:
        os.environ["NO_COLOR"] = "1"
    browser = Browser(session, place)

    def stop(number: int, frame: FrameType | None) -> None:
        browser.told_to_stop()

    heeded = [n for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in heeded}
    try:
        browser.run()
    finally:
        # A change is waited for; until then a signal asks it to stop.
        browser.worker.close()
        for number, handler in before.items():
            signal.signal(number, handler)
    if browser.worker.unheard is not None:
        raise browser.worker.unheard
