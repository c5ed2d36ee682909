"""Large blobs deflated in blocks that need nothing of each other, so that all processors share them.

The blocks of a MiB end with a full flush each (the zlib manual, Z_FULL_FLUSH): the next begins at a byte and refers to
nothing before it. Together they are one zlib stream (RFC 1950) that any git inflates from its start. Where the blocks
end is written down nowhere: the flush leaves a mark, and what is found by one is true when a whole block comes out
(docs/adr/0053).
"""

from __future__ import annotations

import errno
import os
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, TypeVar

from isal import igzip_lib, isal_zlib
from isal.igzip_lib import IsalError as _IsalError

from gitsnap.core.content import WORTHWHILE

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

# The stub declares a variable, not a class.
IsalError: type[Exception] = _IsalError  # type: ignore[assignment]
BLOCK = 1 << 20
_WORKERS = 4
SAMPLE = 1 << 16
# A flush's empty stored block, from its length on, and a stored block's head (RFC 1951, 3.2.4).
_MARK, _HEAD = b"\0\0\xff\xff", 5
# No block is longer than this when it is deflated: what does not shrink is stored.
_LONGEST = BLOCK + (BLOCK >> 3)
_GULP = 4 * BLOCK
_RAW = -15
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
# deflate, a window of 32 KiB, no dictionary, quick; and a last block with nothing in it.
_START, _END = b"\x78\x01", b"\x03\x00"


def compressible(data: bytes) -> bool:
    """Whether the beginning of `data` shrinks when it is deflated."""
    sample = data[:SAMPLE]
    return len(sample) < 64 or len(igzip_lib.compress(sample, 1, igzip_lib.COMP_ZLIB)) < 0.97 * len(sample)


def deflated(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """A zlib stream of the chunks, one block for each: BLOCK bytes but for the last. `size` is what they come to."""
    adler, deflate = 1, _Deflating()

    def summed() -> Iterator[bytes]:
        nonlocal adler
        for chunk in chunks:
            adler = isal_zlib.adler32(chunk, adler)
            yield chunk

    yield _START
    yield from _shared(deflate, summed(), size)
    yield _END + adler.to_bytes(4, "big")


class _Deflating:
    """Deflates blocks. After one that did not shrink, a sample tells whether the next one is worth the time."""

    def __init__(self) -> None:
        self._shrinks = True

    def __call__(self, chunk: bytes) -> bytes:
        if self._shrinks or compressible(chunk):
            packed = _flushed(isal_zlib.compressobj(1, wbits=_RAW), chunk)
            self._shrinks = len(packed) < 0.97 * len(chunk)
            if self._shrinks:
                return packed
        return _flushed(zlib.compressobj(0, wbits=_RAW), chunk)


def _flushed(deflater: Any, chunk: bytes) -> bytes:
    packed: bytes = deflater.compress(chunk) + deflater.flush(zlib.Z_FULL_FLUSH)
    return packed


def inflated(fd: int, at: int, size: int) -> Iterator[bytes] | None:
    """What the zlib stream at `at` of a file holds, `size` bytes if all is well, in pieces; None where it is not made
    of blocks, or there is nobody to share them. The pieces raise IsalError or EOFError for what does not inflate."""
    if size < WORTHWHILE or _workers() < 2 or os.pread(fd, 2, at) != _START:
        return None
    if next(_parts(fd, at + 2, 0), None) is None:
        return None
    return _inflated(fd, at + 2, size)


def _inflated(fd: int, at: int, size: int) -> Iterator[bytes]:
    adler, left, least = 1, size, 0
    while left >= BLOCK and least <= _LONGEST:
        parts = _parts(fd, at, least)
        for part, out in _shared(_inflate, parts, size):
            if len(out) != BLOCK or left < BLOCK:
                # The mark was none, but part of what is deflated: what comes to a block ends at a later one.
                least = len(part) + 1 if len(out) < BLOCK <= left else _LONGEST + 1
                break
            adler = isal_zlib.adler32(out, adler)
            yield out
            at, left, least = at + len(part), left - BLOCK, 0
        else:
            break
    yield from _to_the_end(fd, at, adler)


def _parts(fd: int, at: int, least: int) -> Iterator[bytes]:
    """What may be blocks, as they lie in the file from `at` on, the first at least so long; until none can be told."""
    data, begin = b"", 0
    while True:
        end = _end(data, begin, least)
        if end is not None:
            yield data[begin:end]
            begin, least = end, 0
        elif len(data) - begin > _LONGEST or not (more := os.pread(fd, _GULP, at + len(data))):
            return
        else:
            at, data, begin = at + begin, data[begin:] + more, 0


def _end(data: bytes, begin: int, least: int) -> int | None:
    """Where the block ends, or may, that begins there and has at least so many bytes."""
    at, least = begin, begin + least
    # What is stored may look like a mark, but says how long it is.
    while at + _HEAD <= len(data) and data[at] & 7 == 0:
        length = int.from_bytes(data[at + 1 : at + 3], "little")
        at += _HEAD + length
        if not length and at >= least:
            return at
    found = data.find(_MARK, max(at, least - len(_MARK)))
    return found + len(_MARK) if found >= 0 else None


def _inflate(part: bytes) -> tuple[bytes, bytes]:
    """A part and what it holds: BLOCK bytes, or it is no block."""
    inflater: Any = isal_zlib.decompressobj(wbits=_RAW)
    try:
        out: bytes = inflater.decompress(part, BLOCK + 1)
    except IsalError:
        return part, b""
    return part, out if not inflater.eof and not inflater.unconsumed_tail else b""


def _to_the_end(fd: int, at: int, adler: int) -> Iterator[bytes]:
    """The rest of a stream, from the beginning of a block on."""
    inflater: Any = isal_zlib.decompressobj(wbits=_RAW)
    data = b""
    while not inflater.eof:
        data = data or inflater.unconsumed_tail
        if not data:
            data = os.pread(fd, BLOCK >> 2, at)
            at += len(data)
            if not data:
                raise EOFError("the pack ends in the middle of it")
        out = inflater.decompress(data, BLOCK)
        data = inflater.unconsumed_tail
        if out:
            adler = isal_zlib.adler32(out, adler)
            yield out
    at -= len(inflater.unused_data)
    if os.pread(fd, 4, at) != adler.to_bytes(4, "big"):
        raise IsalError("the checksum is another one")


def _workers() -> int:
    return min(len(os.sched_getaffinity(0)), _WORKERS)


def _shared(function: Callable[[_Item], _Result], items: Iterable[_Item], size: int) -> Iterator[_Result]:
    """`map`, by several threads where so many bytes are worth it; deflating leaves the interpreter's lock."""
    workers = _workers() if size >= WORTHWHILE else 1
    if workers < 2:
        yield from map(function, items)
        return
    # Most commands meet no large file.
    from concurrent.futures import Future, ThreadPoolExecutor

    _keep_memory()
    pool = ThreadPoolExecutor(workers)
    under_way: deque[Future[_Result]] = deque()
    try:
        for item in items:
            try:
                under_way.append(pool.submit(function, item))
            except RuntimeError as error:
                raise OSError(errno.EAGAIN, "no room for one more thread") from error
            if len(under_way) > 2 * workers:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _keep_memory() -> None:
    """Have the C library use freed pieces of some MiB again, instead of giving each back to the kernel and getting it
    anew page by page: a sixth of the time that a large blob takes (mallopt(3))."""
    import ctypes

    with suppress(AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, 8 * BLOCK)
        mallopt(_M_TRIM_THRESHOLD, 16 * BLOCK)
