"""Where the audit log lies: files of lines in `gitsnap/audit/`, each named by its first line's number, and their seal.

The seal is `gitsnap/audit.seal`: two slots of 512 bytes, written in turn and in place, each with a digest of itself;
the one with the higher serial number counts. It names the last line, and the one that is about to follow.

Order of writes: the seal names the new line as well, synced; the line is added, synced; the seal names that alone, not
synced. A kill or a power cut leaves a log that ends at one of the two lines, or with a part of the second, which the
next writer takes away. Where the seal names one line, the log ends with that: anything else is somebody's doing.

Writers hold `gitsnap/audit.lock`, for milliseconds. Readers hold nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from hashlib import sha256
from typing import NamedTuple

from gitsnap.core.audit import NOTHING, Chain, Link, digest, link_of
from gitsnap.core.errors import IntegrityError
from gitsnap.sidecar import files, locks

# A file that has this many bytes gets no more lines.
ROTATE = 1 << 20
_SLOT = 512
_TRIES = 20
_SUFFIX = ".jsonl"


class Tip(NamedTuple):
    """Where the log ends: its last line, the number that names the file which holds it, and that file's size."""

    link: Link = NOTHING
    file: int = 1
    size: int = 0


class Sealed(NamedTuple):
    """What the seal says: the log ends at `tip`, or at `coming` where that is not None. `missed` lines could not be
    written since the last one that was."""

    tip: Tip = Tip()
    coming: Tip | None = None
    missed: int = 0
    serial: int = 0

    def ends(self) -> list[Link]:
        """The lines that may be the last."""
        return [self.tip.link, *([self.coming.link] if self.coming else [])]


class Place(NamedTuple):
    """What a new line is told: the line `after` which it stands, how many were `missed` before it, and what was found
    wrong with the end of the log and mended (`healed`, with the bytes that were taken away; empty for nothing)."""

    after: Link
    missed: int = 0
    healed: str = ""
    removed: bytes = b""


Form = Callable[[Place], bytes]


def append(path: str, form: Form, wait: float = 2.0) -> bytes:
    """Add the line that `form` makes to the log of the sidecar at `path`, durably; the line.

    Raises OSError or LockedError where it cannot be written; that one is missing is noted, as far as that can be.
    """
    with locks.hold(_own(path, "audit.lock"), exclusive=True, wait=wait):
        folder = _own(path, "audit")
        if not os.path.isdir(folder):
            os.mkdir(folder, 0o700)
            files.sync_directory(_own(path, ""))
        fd = _open_seal(path)
        try:
            return _append(folder, fd, form)
        finally:
            os.close(fd)


def _append(folder: str, fd: int, form: Form) -> bytes:
    place, tip, serial = _settle(folder, _parse(os.pread(fd, 2 * _SLOT, 0)))
    line = form(place)
    link = Link(place.after.sequence + 1, digest(line))
    file, size = (link.sequence, 0) if tip.size >= ROTATE or not tip.size else (tip.file, tip.size)
    path, coming = os.path.join(folder, _name(file)), Tip(link, file, size + len(line))
    _write_slot(fd, Sealed(tip, coming, place.missed, serial + 1), durable=True)
    try:
        _add(path, line, size)
    except BaseException:
        if _size(path) <= size:
            _write_slot(fd, Sealed(tip, None, place.missed + 1, serial + 2), durable=False)
        # Else it is there, or a part of it: whoever comes next looks.
        raise
    _write_slot(fd, Sealed(coming, None, 0, serial + 2), durable=False)
    return line


def _add(path: str, data: bytes, at: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        done = 0
        while done < len(data):
            done += os.pwrite(fd, data[done:], at + done)
        os.fdatasync(fd)
        if not at:
            files.sync_directory(os.path.dirname(path))
    except BaseException:
        with suppress(OSError):
            os.ftruncate(fd, at)
        raise
    finally:
        os.close(fd)


def _settle(folder: str, sealed: Sealed | None) -> tuple[Place, Tip, int]:
    """Where the next line goes, after whatever a crash or somebody has left there. Damage stays, for checks to tell."""
    if sealed is None:
        return _without_seal(folder)
    tip, place = sealed.tip, Place(sealed.tip.link, sealed.missed)
    if sealed.coming is not None:
        path, at = _begins(folder, sealed.tip, sealed.coming)
        tail = _read(path, at)
        if digest(tail) == sealed.coming.link.digest:
            tip, place = sealed.coming, Place(sealed.coming.link)
        elif tail and not tail.endswith(b"\n"):
            _cut(path, at)
            place = place._replace(healed="a line that a crash had cut off was taken away", removed=tail)
    path = os.path.join(folder, _name(tip.file))
    size = _size(path)
    if size and size != tip.size and not _read(path, size - 1).endswith(b"\n"):
        # Somebody has cut it or added to it: what is there stays, and the chain goes on from what was written last.
        _add(path, b"\n", size)
        size += 1
    return place, tip._replace(size=size), sealed.serial


def _cut(path: str, at: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.ftruncate(fd, at)
    finally:
        os.close(fd)


def _begins(folder: str, tip: Tip, coming: Tip) -> tuple[str, int]:
    """The file of the line that was about to be added, and where in it that begins."""
    return os.path.join(folder, _name(coming.file)), tip.size if tip.file == coming.file else 0


def _without_seal(folder: str) -> tuple[Place, Tip, int]:
    """A new log; or one whose seal was lost, which goes on after the last line that can be read."""
    for file in reversed(_files(folder)):
        data = _read(os.path.join(folder, _name(file)), 0)
        found = [link for line in data.splitlines(keepends=True) if (link := link_of(line))]
        if found:
            seen = Sealed(Tip(found[-1], file, len(data)))
            place, tip, serial = _settle(folder, seen)
            return place._replace(healed="the seal of the audit log was lost"), tip, serial
    return Place(NOTHING), Tip(), 0


def load(path: str) -> Sealed | None:
    """What the seal says; None where there is none yet. IntegrityError where it cannot be read."""
    data = files.read(_own(path, "audit.seal"))
    if data is None:
        return None
    found = _parse(data)
    if found is None and data:
        raise IntegrityError("the seal of the audit log is damaged", path=_own(path, "audit.seal"))
    return found


def tip(path: str) -> Link:
    """The last line that is known to be whole; number 0 where there is no log, or its seal cannot be read."""
    with suppress(OSError, IntegrityError):
        found = load(path)
        return found.tip.link if found else NOTHING
    return NOTHING


def lines(path: str) -> Iterator[bytes]:
    """Every line, oldest first, with its newline; a last one that is cut off without."""
    folder = _own(path, "audit")
    for file in _files(folder):
        with suppress(FileNotFoundError), open(files.opened(os.path.join(folder, _name(file))), "rb") as source:
            yield from source


class Part(NamedTuple):
    """Lines that follow one another: the number of the first, and their bytes."""

    first: int
    data: bytes


def begun(path: str) -> bool:
    """Whether there is a log, or was one that its seal tells of."""
    return os.path.exists(_own(path, "audit.seal")) or bool(starts(path))


def starts(path: str) -> list[int]:
    """The first line of each file, in order. But for the last, none gets any more lines."""
    return _files(_own(path, "audit"))


def after(path: str, link: Link) -> tuple[list[Part], Link]:
    """What stands after a line, file by file, and the last line of that: no more than the seal says is durable.

    IntegrityError where that line is not there.
    """
    folder, sealed = _own(path, "audit"), load(path)
    found, last = [], link
    for at, file in enumerate(numbers := _files(folder)):
        if at + 1 < len(numbers) and numbers[at + 1] <= link.sequence:
            continue
        data = _read(os.path.join(folder, _name(file)), 0)
        begin = _end_of(data, link) if file <= link.sequence else 0
        if begin is None:
            break
        end = _end_of(data, sealed.tip.link) if sealed else None
        data = data[begin : data.rfind(b"\n") + 1 if end is None else end]
        if data:
            found.append(Part(max(file, link.sequence + 1), data))
            last = next((got for line in reversed(data.splitlines(True)) if (got := link_of(line))), last)
    else:
        if numbers or not link.sequence:
            return found, last
    raise IntegrityError(f"line {link.sequence} of the audit log is not the one that was published", path=folder)


def _end_of(data: bytes, link: Link) -> int | None:
    """Where a line ends in what a file holds; None where it is not in there."""
    at = 0
    for line in data.splitlines(keepends=True):
        at += len(line)
        if link_of(line) == link:
            return at
    return None


def begin_with(path: str, parts: Iterable[Part], last: Link) -> None:
    """Let the log of a sidecar that has none yet begin with lines that were written elsewhere, and end at `last`.

    Files as the lines themselves would have made them. OSError, LockedError; IntegrityError where there is a log.
    """
    with locks.hold(_own(path, "audit.lock"), exclusive=True, wait=2.0):
        folder = _own(path, "audit")
        if _files(folder):
            raise IntegrityError("there is an audit log already", path=folder)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        file, size = 1, 0
        for part in parts:
            if not size or size >= ROTATE:
                file, size = part.first, 0
            _add(os.path.join(folder, _name(file)), part.data, size)
            size += len(part.data)
        files.sync_directory(_own(path, ""))
        fd = _open_seal(path)
        try:
            _write_slot(fd, Sealed(Tip(last, file, size), serial=1), durable=True)
        finally:
            os.close(fd)


def problems(path: str, vouched: Mapping[str, Link]) -> list[str]:
    """What is wrong with the log, in words, the first first; `vouched` are lines that are noted elsewhere, by where.

    What a crash has left is nothing wrong: the next writer mends it.
    """
    for attempt in range(_TRIES):
        try:
            before = load(path)
            found = _problems(path, before, vouched)
            if not found or load(path) == before:
                break
        except IntegrityError as error:
            found = [error.message]
        time.sleep(0.001 * attempt)
    return found


def _problems(path: str, sealed: Sealed | None, vouched: Mapping[str, Link]) -> list[str]:
    chain, cut = Chain(link.sequence for link in vouched.values()), b""
    for line in lines(path):
        if cut:
            chain.take(cut)
        cut = b"" if line.endswith(b"\n") else line
        if not cut:
            chain.take(line)
    if sealed is None:
        if chain.last.sequence or cut:
            return [*chain.problems, "the seal of the audit log is missing"]
        named = next(((who, link.sequence) for who, link in vouched.items() if link.sequence), None)
        return [f"the audit log is missing: {named[0]} names line {named[1]}"] if named else []
    if cut and (sealed.coming is None or chain.last != sealed.tip.link):
        # Where no line was about to be added, no crash has cut this one off.
        chain.take(cut)
    return chain.conclude(sealed.ends(), vouched)


def _files(folder: str) -> list[int]:
    """The numbers that name the files, in order."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    return sorted(int(n.removesuffix(_SUFFIX)) for n in names if n.endswith(_SUFFIX) and n[: -len(_SUFFIX)].isdecimal())


def _name(file: int) -> str:
    return f"{file:012d}{_SUFFIX}"


def _own(path: str, name: str) -> str:
    return os.path.join(path, "gitsnap", name)


def _read(path: str, at: int) -> bytes:
    """The file from there to its end; nothing where it is not there."""
    try:
        with open(files.opened(path), "rb") as file:
            file.seek(at)
            return file.read()
    except FileNotFoundError:
        return b""


def _size(path: str) -> int:
    return os.path.getsize(path) if os.path.exists(path) else 0


def _open_seal(path: str) -> int:
    name = _own(path, "audit.seal")
    try:
        return os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        fd = files.private_create(name)
        files.sync_directory(os.path.dirname(name))
        return fd


def _write_slot(fd: int, sealed: Sealed, *, durable: bool) -> None:
    words = [sealed.serial, sealed.missed, *_words(sealed.tip), *(_words(sealed.coming) if sealed.coming else "-")]
    text = " ".join(map(str, words))
    slot = f"{text} {_sum(text)}".ljust(_SLOT - 1) + "\n"
    os.pwrite(fd, slot.encode(), sealed.serial % 2 * _SLOT)
    if durable:
        os.fdatasync(fd)


def _words(tip: Tip) -> tuple[object, ...]:
    return tip.link.sequence, tip.link.digest, tip.file, tip.size


def _sum(text: str) -> str:
    return sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def _parse(data: bytes) -> Sealed | None:
    """What the newer of the two slots that can be read says."""
    found = [_slot(data[at : at + _SLOT]) for at in (0, _SLOT)]
    return max((s for s in found if s is not None), key=lambda s: s.serial, default=None)


def _slot(data: bytes) -> Sealed | None:
    text, _, digest_of_it = data.decode("utf-8", "replace").rstrip().rpartition(" ")
    if not text or digest_of_it != _sum(text):
        return None
    serial, missed, *words = text.split(" ")
    tips = [Tip(Link(int(n), of), int(file), int(size)) for n, of, file, size in zip(*[iter(words)] * 4, strict=False)]
    return Sealed(tips[0], tips[1] if len(tips) > 1 else None, int(missed), int(serial))
