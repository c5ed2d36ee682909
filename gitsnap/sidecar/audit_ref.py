"""The audit log on a ref, for whatever takes refs along: a push, a clone, a bundle, a mirror.

Each commit has the one before as its parent, so that a server that refuses what is no fast-forward refuses to forget.
Its tree holds files of lines, named as in `gitsnap/audit/`, but smaller: a part takes in those before it that are no
larger, until its file is full. So a commit costs the new lines, and each line is written a few times in all.

What was published is never read from the log again: what somebody changes there afterwards is not published, but told.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import NamedTuple

from gitsnap.core.audit import NOTHING, Chain, Link
from gitsnap.core.errors import IntegrityError
from gitsnap.sidecar.git import commits, refs, trees
from gitsnap.sidecar.git.pack_write import BLOB, COMMIT, TREE, PackWriter
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import audit, seal
from gitsnap.sidecar.state.audit import Part

_MESSAGE = re.compile(
    rb"audit log: lines 1 to [0-9]+\n\nGitsnap-Audit-Line: ([1-9][0-9]{0,17})\n"
    rb"Gitsnap-Audit-SHA256: ([0-9a-f]{64})\nGitsnap-Sequence: (0|[1-9][0-9]{0,17})\n"
)
_NAME = re.compile(rb"([0-9]{12,18})\.jsonl")
_FILE = 0o100644
# In bytes: gitsnap closes a file with 1 MiB, and no line comes near that.
_MOST = 1 << 24


class Published(NamedTuple):
    """What a commit holds: its last line, and its files by the numbers of their first lines. `sequence` is the greatest
    number that a snapshot had then."""

    commit: str
    last: Link
    sequence: int
    files: tuple[tuple[int, bytes], ...]


def load(sidecar: Sidecar, commit: str) -> Published:
    """One commit of the ref, here or fetched from elsewhere; IntegrityError for what is none of gitsnap's."""
    parsed = commits.parse(sidecar.objects.read(bytes.fromhex(commit), b"commit")[1], commit)
    said = _MESSAGE.fullmatch(parsed.message)
    if said is None:
        raise IntegrityError(f"commit {commit} holds no audit log")
    tree, found = bytes.fromhex(parsed.tree), []
    for name, mode, oid in trees.parse(sidecar.objects.read(tree, b"tree")[1], tree):
        number = _NAME.fullmatch(name)
        if number is None or mode != _FILE:
            raise IntegrityError(f"commit {commit} holds what is no part of an audit log", path=name)
        found.append((int(number[1]), oid))
    return Published(commit, Link(int(said[1]), said[2].decode()), int(said[3]), tuple(sorted(found)))


def parts(sidecar: Sidecar, published: Published) -> Iterator[Part]:
    """Its lines, one file at a time. IntegrityError."""
    for first, oid in published.files:
        yield Part(first, sidecar.objects.read(oid, b"blob", _MOST)[1])


def problems(sidecar: Sidecar, published: Published) -> list[str]:
    """What is wrong with the chain of lines in there."""
    chain = Chain()
    try:
        for part in parts(sidecar, published):
            for line in part.data.splitlines(keepends=True):
                chain.take(line)
    except IntegrityError as error:
        return [*chain.problems, error.message]
    return chain.conclude([published.last])


def check(sidecar: Sidecar) -> tuple[Link | None, list[str]]:
    """The last line that was published, where there is one, and what is wrong with what was."""
    try:
        commit = sidecar.refs.get(refs.AUDIT)
        if commit is None:
            return None, []
        found = load(sidecar, commit)
    except IntegrityError as error:
        return None, [f"{refs.AUDIT}: {error.message}"]
    return found.last, [f"{refs.AUDIT}: {problem}" for problem in problems(sidecar, found)]


def publish(sidecar: Sidecar, sequence: int, when: datetime) -> Published | None:
    """Let the ref hold every line that is durable; what it holds then, None where there is nothing to hold.

    `sequence` is the greatest number of a snapshot. For a caller who holds the writer's lock. Raises OSError,
    LockedError, IntegrityError where the log does not go on from what was published; the ref is as it was then.
    """
    old = sidecar.refs.get(refs.AUDIT)
    sealed = seal.load(sidecar)
    if sealed is not None and not sealed.accepts(refs.AUDIT, old):
        raise IntegrityError(f"the ref {refs.AUDIT} is not what gitsnap wrote: {sealed.value(refs.AUDIT)}")
    before = load(sidecar, old) if old else Published("", NOTHING, 0, ())
    fresh, last = audit.after(sidecar.path, before.last)
    if not fresh:
        return before if old else None
    pack = PackWriter(os.path.join(sidecar.path, "objects"), sidecar.scratch, lambda _: False)
    try:
        kept, changed = _arranged(sidecar, before, fresh)
        held = (*kept, *((part.first, pack.add(BLOB, part.data)) for part in changed))
        tree = b"".join(b"100644 %012d.jsonl\0%s" % entry for entry in held)
        content = commits.form(pack.add(TREE, tree), _message(last, sequence), when, old)
        commit = pack.put(COMMIT, content).hex()
        written = pack.finish()
    finally:
        pack.abandon()
    with seal.changing(sidecar, {refs.AUDIT: commit}):
        sidecar.refs.change(refs.AUDIT, old, commit)
    if written is not None:
        written.release()
    sidecar.objects.refresh()
    return Published(commit, last, sequence, held)


def _message(last: Link, sequence: int) -> bytes:
    text = f"audit log: lines 1 to {last.sequence}\n\nGitsnap-Audit-Line: {last.sequence}\n"
    return f"{text}Gitsnap-Audit-SHA256: {last.digest}\nGitsnap-Sequence: {sequence}\n".encode()


def _arranged(sidecar: Sidecar, before: Published, fresh: Sequence[Part]) -> tuple[list[tuple[int, bytes]], list[Part]]:
    """The files that stay as they are, and those that are new or larger now."""
    starts = audit.starts(sidecar.path)

    def start(first: int) -> int:
        return max((s for s in starts if s <= first), default=first)

    since = start(fresh[0].first)
    open_ones = before._replace(files=tuple(entry for entry in before.files if entry[0] >= since))
    opened, merged = list(parts(sidecar, open_ones)), list[Part]()
    for begins, group in groupby([*opened, *fresh], lambda part: start(part.first)):
        merged += _merge(list(group), whole=begins != starts[-1])
    same = 0
    while same < len(opened) and merged[same] == opened[same]:
        same += 1
    return list(before.files[: len(before.files) - len(opened) + same]), merged[same:]


def _merge(found: list[Part], *, whole: bool) -> list[Part]:
    """Neighbours joined: all of a file that is full, else each with those before it that are no larger."""
    out: list[Part] = []
    for part in found:
        while out and (whole or len(out[-1].data) <= len(part.data)):
            part = Part(out[-1].first, out.pop().data + part.data)
        out.append(part)
    return out


def is_here(sidecar: Sidecar, published: Published) -> bool:
    """Whether the log here is that one, perhaps gone on with."""
    try:
        audit.after(sidecar.path, published.last)
    except IntegrityError:
        return False
    return True


def bring_back(sidecar: Sidecar, published: Published) -> None:
    """Let the log of a sidecar that has none go on from what was published. OSError, LockedError, IntegrityError."""
    audit.begin_with(sidecar.path, parts(sidecar, published), published.last)
