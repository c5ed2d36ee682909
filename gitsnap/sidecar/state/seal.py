"""The seal: what every ref of ours points to, in one file with a digest, so that a lost or altered ref shows.

git's refs vouch for nothing: a flipped bit in a name in `packed-refs` is another valid name, and the snapshot is gone
at the next gc. Order of writes: before refs change, the seal names the old and the new value of each that will; after
they have changed, it names the new ones alone. Whatever a kill leaves in between, each ref has a value that the seal
allows. It also names the last line of the audit log: one that is gone, with its own seal, shows.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable, Collection, Container, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import NamedTuple, TypeVar

from gitsnap.core.audit import NOTHING, Link
from gitsnap.core.errors import IntegrityError
from gitsnap.sidecar import files
from gitsnap.sidecar.git import refs
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import audit

ABSENT = "0" * 40
_FILE = "seal"
_HEADING = "gitsnap seal 1"
_LINE = re.compile(r"^([0-9a-f]{40}) (refs/[^\x00-\x20\x7f]+)$", re.MULTILINE)
_NONE: frozenset[str] = frozenset()
_AUDIT = re.compile(r"^audit ([1-9][0-9]{0,17}) ([0-9a-f]{64})$", re.MULTILINE)
_OURS = ("refs/gitsnap/", "refs/notes/gitsnap/", refs.SIGNED)
_TRIES = 20

_Read = TypeVar("_Read")


class Seal(NamedTuple):
    """The allowed values of each ref (ABSENT among them where it may be missing). `settled` is false from before the
    first to after the last change of an operation, and so after one that was killed in between. `audited` is a line of
    the audit log that was there then; number 0 for none."""

    allowed: Mapping[str, frozenset[str]]
    settled: bool
    audited: Link = NOTHING

    def accepts(self, name: str, value: str | None) -> bool:
        """Whether the ref may have this value (None: not be there). Refs that the seal does not know are others'."""
        return name not in self.allowed or (value or ABSENT) in self.allowed[name]

    def value(self, name: str) -> str:
        """A commit that the ref pointed to, or will."""
        return one_of(self.allowed.get(name, ()))


def one_of(values: Collection[str]) -> str:
    """The commit among the values that a ref may have; ABSENT where there is none."""
    return min((v for v in values if v != ABSENT), default=ABSENT)


def load(sidecar: Sidecar) -> Seal | None:
    """The seal, or None in a sidecar that has none yet. IntegrityError when it is damaged."""
    data = _raw(sidecar)
    return None if data is None else _parse(data, sidecar.own(_FILE))


def _raw(sidecar: Sidecar) -> bytes | None:
    return files.read(sidecar.own(_FILE))


@lru_cache(maxsize=1)
def _parse(data: bytes, path: str) -> Seal:
    text, body = data.decode("utf-8", "surrogateescape"), data[:-72]
    lines = text.split("\n")
    digest = f"sha256 {hashlib.sha256(body).hexdigest()}"
    if len(lines) < 4 or lines[-2:] != [digest, ""] or lines[0] != _HEADING:
        raise IntegrityError(
            "the ledger of refs is damaged",
            path=path,
            hint="`gitsnap verify --all` reads everything; if all else is whole, the next snapshot writes it anew",
        )
    allowed: dict[str, frozenset[str]] = {}
    for value, name in _LINE.findall(text):
        allowed[name] = allowed.get(name, _NONE) | {value}
    line = _AUDIT.search(text)
    audited = Link(int(line[1]), line[2]) if line else NOTHING
    return Seal(allowed, lines[1].startswith("settled "), audited)


def _write(sidecar: Sidecar, allowed: Mapping[str, frozenset[str]], *, settled: bool) -> None:
    # The random number keeps two seals of the same refs apart: see consistent().
    lines = [_HEADING, f"{'settled' if settled else 'changing'} {os.urandom(8).hex()}"]
    last = audit.tip(sidecar.path)
    lines += [f"audit {last.sequence} {last.digest}"] if last.sequence else []
    lines += [f"{value} {name}" for name, values in sorted(allowed.items()) for value in sorted(values)]
    body = "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")
    digest = f"sha256 {hashlib.sha256(body).hexdigest()}\n".encode()
    files.replace(sidecar.own(_FILE), body + digest, sidecar.scratch)


def present(
    sidecar: Sidecar, damaged: dict[str, IntegrityError] | None = None, but: Container[str] = ()
) -> dict[str, str]:
    """All refs of ours and their values, as they are now, `but` some of which nobody asks."""
    found = {prefix + n: v for prefix in _OURS for n, v in sidecar.refs.below(prefix, damaged, but).items()}
    tip = sidecar.refs.get(refs.TIMELINE)
    return found | ({refs.TIMELINE: tip} if tip else {})


@contextmanager
def changing(sidecar: Sidecar, wanted: Mapping[str, str | None]) -> Iterator[None]:
    """Around all changes of refs in one operation: what each will point to (None: nothing).

    A seal that is missing or damaged is written anew from the refs. Raises LockedError, nothing changed, where a git
    holds one of them.
    """
    sidecar.refs.wait_until_free(wanted)
    try:
        sealed = load(sidecar)
    except IntegrityError:
        sealed = None
    known = dict(sealed.allowed) if sealed else {}
    # What others added, by a fetch say, is ours from now on.
    before = {n: frozenset({v}) for n, v in present(sidecar, {}, but=known).items()} | known
    both = dict(before)
    for name, value in wanted.items():
        both[name] = before.get(name, frozenset({ABSENT})) | {value or ABSENT}
    _write(sidecar, both, settled=False)
    # After an error both values stay allowed, as after a kill: the next operation makes all fit again.
    yield
    after = before
    if refs.TIMELINE in wanted:
        # Timeline and notes were written from what there is: what an interrupted operation left open is closed.
        after = {n: _narrow(sidecar, n, values) for n, values in before.items()}
    done = {n: frozenset({sidecar.refs.get(n) or ABSENT}) for n in wanted}
    kept = {n: v for n, v in {**after, **done}.items() if v != {ABSENT}}
    _write(sidecar, kept, settled=all(len(v) == 1 for v in kept.values()))


def _narrow(sidecar: Sidecar, name: str, values: frozenset[str]) -> frozenset[str]:
    if len(values) == 1:
        return values
    actual = sidecar.refs.get(name) or ABSENT
    return frozenset({actual}) if actual in values else values


def consistent(sidecar: Sidecar, read: Callable[[], _Read]) -> tuple[Seal | None, _Read, IntegrityError | None]:
    """The seal, and what `read` makes of the refs, both of one moment although others may be changing them.

    A damaged seal comes as an error beside what was read.
    """
    for attempt in range(_TRIES):
        before = _raw(sidecar)
        result = read()
        if _raw(sidecar) == before:
            break
        time.sleep(0.001 * attempt)
    try:
        return None if before is None else _parse(before, sidecar.own(_FILE)), result, None
    except IntegrityError as error:
        return None, result, error


def problems(sidecar: Sidecar) -> list[tuple[str, str, str | None, str | None]]:
    """(ref, what is wrong, expected, actual) for each ref that is not what was written last.

    Those of snapshots are left out: catalog.survey tells of each that is damaged.
    """
    damaged: dict[str, IntegrityError] = {}

    def read() -> dict[str, str]:
        damaged.clear()
        return present(sidecar, damaged)

    sealed, actual, error = consistent(sidecar, read)
    if error is not None:
        return [("", error.message, None, None)]
    if sealed is None:
        return []
    out: list[tuple[str, str, str | None, str | None]] = []
    for name in sorted(sealed.allowed):
        if not name.startswith(refs.SNAPSHOTS) and not sealed.accepts(name, actual.get(name)):
            unreadable = any(name.endswith(f"/{rest}") for rest in damaged)
            what = "was changed" if name in actual else "is damaged" if unreadable else "is lost"
            out.append((name, f"the ref {name} {what}", sealed.value(name), actual.get(name)))
    return out
