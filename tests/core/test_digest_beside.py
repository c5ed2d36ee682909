"""A digest on a thread of its own: right, and asked for after an interruption anywhere, it answers."""

from __future__ import annotations

import hashlib
import sys
import time
from functools import partial
from types import FrameType
from typing import Any

from gitsnap.core.content import WORTHWHILE, beside
from tests.support.processes import in_child

PIECE = b"x" * 1000


def test_it_is_the_digest_of_all_pieces() -> None:
    digest = beside(hashlib.sha1(usedforsecurity=False), WORTHWHILE)
    for _ in range(50):
        digest.update(PIECE)
    assert digest.digest() == hashlib.sha1(PIECE * 50, usedforsecurity=False).digest()


def _interrupted_at(line: int) -> bool:
    """Hand over a piece, interrupted when that many lines of it were run; whether it took as many at all."""
    digest = beside(hashlib.sha1(usedforsecurity=False), WORTHWHILE)
    # The thread waits for a piece by then; if it does not yet, the interruption is a milder one.
    time.sleep(0.02)
    left = line

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if event == "line":
            left -= 1
            if left < 0:
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace

    sys.settrace(trace)
    try:
        digest.update(PIECE)
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(None)
    time.sleep(0.02)
    digest.digest()
    return left < 0


def test_an_interruption_anywhere_in_it_leaves_it_able_to_end() -> None:
    line = 0
    while in_child(partial(_interrupted_at, line), seconds=20):
        line += 1
    assert line > 0
