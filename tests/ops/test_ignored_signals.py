"""Signals that are ignored when gitsnap starts (nohup, background jobs) stay ignored, by it and by its command."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest

from gitsnap.__main__ import run as run_command_line
from gitsnap.ops.parallel.pool import Pool
from gitsnap.ops.process.processes import SignalWaiter
from tests.support.processes import in_child

HEARD = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT]


@pytest.mark.parametrize("number", HEARD)
@pytest.mark.parametrize("ignored", [True, False])
def test_only_what_is_not_ignored_is_heard(number: signal.Signals, ignored: bool) -> None:
    def heard() -> list[int]:
        if ignored:
            signal.signal(number, signal.SIG_IGN)
        found: list[int] = []
        # Another one that is surely heard, so that nothing is waited for in vain.
        other = max(n for n in HEARD if n != number)
        wanted = {other} if ignored else {other, number}
        sent: list[int] = []

        def ready() -> bool | None:
            # Asked while signals wait: Linux keeps even one that is ignored then.
            if not sent:
                sent.extend((number, other))
                for each in sent:
                    os.kill(os.getpid(), each)
            return wanted <= set(found) or None

        with SignalWaiter() as signals:
            assert signals.until(ready, time.monotonic() + 300, lambda n, _: found.append(n))
        return [n for n in found if n == number]

    assert in_child(heard) == ([] if ignored else [number])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_starting_gitsnap_changes_nothing_of_that(number: signal.Signals) -> None:
    def after() -> bool:
        signal.signal(number, signal.SIG_IGN)
        sys.stdout = open(os.devnull, "w", encoding="utf-8")
        run_command_line(["--version"])
        return signal.getsignal(number) is signal.SIG_IGN

    assert in_child(after)


def test_workers_ignore_what_we_ignore() -> None:
    def prepare():  # type: ignore[no-untyped-def]
        return lambda number: (signal.getsignal(number) is signal.SIG_IGN, b"")

    def asked() -> list[bool]:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with Pool(prepare, 1) as pool:
            found = [answer for n in (signal.SIGHUP, signal.SIGTERM) for _, answer, _ in pool.hand_over(int(n))]
            return found + [answer for _, answer, _ in pool.finish()]

    assert in_child(asked) == [True, False]
