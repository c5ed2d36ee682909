"""Unified diffs. Stock git compares the contents (as numbered files, so that no name can matter); headers are ours."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from gitsnap.core.comparison import Change, Status
from gitsnap.core.git_quote import quoted
from gitsnap.core.model import Entry, Type
from gitsnap.core.patchable import FilePatch, git_mode, parts
from gitsnap.core.quantity import size
from gitsnap.core.xattrs import differing
from gitsnap.ops.compare.scratch import scratch
from gitsnap.ops.compare.text_detection import LARGEST, Read, TextDetector
from gitsnap.sidecar.repository import Sidecar

# How much is laid out for one run of git: that is held in memory, with what git says to it.
_BATCH_FILES, _BATCH_BYTES = 1_000, 16 << 20
_HEAD = re.compile(rb"^diff --git [ab]/(\d+) [ab]/\d+\n", re.MULTILINE)
_INDEX = re.compile(rb"^index ([0-9a-f]+)\.\.([0-9a-f]+)", re.MULTILINE)
# Without prefixes the names are `a/0` and `b/0`, as laid out; with them git says `a/a/0`.
_DIFF = ("diff", "--no-index", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "--no-prefix")


@dataclass(slots=True, frozen=True)
class Style:
    """How a diff is drawn: with how many unchanged lines around, by lines or (for reading alone) by words."""

    context: int = 3
    words: bool = False


@dataclass(slots=True, frozen=True)
class Piece:
    """What is said of one change, or of half of one that became something else.

    `head` and `hunks` are a patch; `notes` are lines that begin with `#`, which git apply and patch skip. Where the
    whole must not be applied, `aside` is set, and every line is to be a note.
    """

    change: Change
    head: bytes = b""
    hunks: bytes = b""
    notes: bytes = b""
    aside: bool = False

    def text(self) -> bytes:
        """All of it."""
        said = self.head + self.hunks
        return (_commented(said) if self.aside else said) + self.notes


def _commented(text: bytes) -> bytes:
    return b"".join(b"# %s\n" % line for line in text.split(b"\n")[:-1])


def patch(changes: Sequence[Change], read: Read, sidecar: Sidecar, style: Style) -> Iterator[Piece]:
    """One piece or more for each change, in order."""
    texts = TextDetector(read)
    filled = {parent for c in changes if c.new is not None for parent in [c.path.rpartition(b"/")[0]]}
    filled |= {parent for c in changes if c.old is not None for parent in [(c.old_path or c.path).rpartition(b"/")[0]]}
    split = list(parts(changes, texts.is_text))
    for batch in _batches(list(zip(changes, split, strict=True))):
        wanted = [p for _, found in batch for p in found if p.content_differs and _drawable(p, texts)]
        bodies = dict(zip(map(id, wanted), _draw(wanted, texts, sidecar, style), strict=True))
        for change, found in batch:
            notes = _notes(change, filled)
            for part in found:
                yield _piece(part, bodies.get(id(part)), notes if part.last else [], texts)
            if not found and notes:
                yield Piece(change, notes=b"".join(line + b"\n" for line in notes))


def hunks(changes: Sequence[Change], read: Read, sidecar: Sidecar) -> dict[int, bytes]:
    """The hunks of every change between texts, by its number: with all of them in memory, from one run of git."""
    texts = TextDetector(read)
    split = enumerate(parts(changes, texts.is_text))
    wanted = [(n, p) for n, found in split for p in found if p.content_differs and _drawable(p, texts)]
    out: dict[int, bytes] = {}
    drawn = _draw([part for _, part in wanted], texts, sidecar, Style())
    for (number, _), (_, body) in zip(wanted, drawn, strict=True):
        if body:
            out[number] = out.get(number, b"") + body
    return out


def _batches(rows: list[tuple[Change, list[FilePatch]]]) -> Iterator[list[tuple[Change, list[FilePatch]]]]:
    batch: list[tuple[Change, list[FilePatch]]] = []
    total = 0
    for change, found in rows:
        batch.append((change, found))
        total += sum(e.size for e in (change.old, change.new) if e is not None and e.size <= LARGEST)
        if total >= _BATCH_BYTES or len(batch) >= _BATCH_FILES:
            yield batch
            batch, total = [], 0
    if batch:
        yield batch


def _drawable(part: FilePatch, texts: TextDetector) -> bool:
    return all(texts.is_text(side, e) for side, e in enumerate((part.old, part.new)) if e is not None)


def _draw(
    wanted: Sequence[FilePatch], texts: TextDetector, sidecar: Sidecar, style: Style
) -> list[tuple[bytes, bytes]]:
    """The index line and the hunks of each part, from one run of git."""
    if not wanted:
        return []
    found: list[tuple[bytes, bytes]] = [(b"", b"")] * len(wanted)
    options = (f"-U{style.context}", *(["--word-diff=plain"] if style.words else []), "a", "b")
    with scratch(sidecar) as folder:
        for side, letter in enumerate("ab"):
            os.mkdir(os.path.join(folder, letter), 0o700)
            for number, part in enumerate(wanted):
                entry = part.new if side else part.old
                if entry is None:
                    continue
                with suppress(OSError), open(os.path.join(folder, letter, str(number)), "xb") as file:
                    for data in texts.read(side, entry):
                        file.write(data)
        out = sidecar.git_elsewhere(*_DIFF, *options, cwd=folder, ok=(0, 1))
    pieces = _HEAD.split(out)
    for which, body in zip(pieces[1::2], pieces[2::2], strict=True):
        at = 0 if body.startswith(b"@@ ") else body.find(b"\n@@ ") + 1
        index = _INDEX.search(body, 0, at or len(body))
        ids = index[0] if index else b""
        found[int(which)] = ids, body[at:] if body[at : at + 3] == b"@@ " else b""
    return found


def _piece(part: FilePatch, body: tuple[bytes, bytes] | None, notes: list[bytes], texts: TextDetector) -> Piece:
    shown = body is not None or not part.content_differs
    if not shown:
        notes = [_unshown(part, texts), *notes]
    tail = b"".join(line + b"\n" for line in notes)
    if not shown:
        return Piece(part.change, notes=tail)
    index, hunks = body or (b"", b"")
    head = _header(part, index, bare=not hunks)
    if hunks:
        old, new = _names(part)
        head += b"--- " + old + b"\n+++ " + new + b"\n"
    return Piece(part.change, head, hunks, tail, aside=not part.sayable)


def _header(part: FilePatch, index: bytes, *, bare: bool) -> bytes:
    old, new = git_mode(part.old), git_mode(part.new)
    change = part.change
    before = change.old_path or change.path
    # GNU patch takes the names from this line where there are no others, and ends them at a blank.
    always = (bare or change.status is Status.RENAMED) and b" " in before + change.path
    lines = [b"diff --git " + quoted(b"a/", before, always) + b" " + quoted(b"b/", change.path, always)]
    if not old:
        lines.append(b"new file mode %o" % new)
    elif not new:
        lines.append(b"deleted file mode %o" % old)
    elif old != new:
        lines += [b"old mode %o" % old, b"new mode %o" % new]
    if change.status is Status.RENAMED:
        lines.append(b"similarity index %d%%" % change.similarity)
        lines.append(b"rename from " + quoted(b"", before))
        lines.append(b"rename to " + quoted(b"", change.path))
    if index:
        lines.append(index + (b" %o" % new if old == new else b""))
    return b"".join(line + b"\n" for line in lines)


def _names(part: FilePatch) -> tuple[bytes, bytes]:
    old = quoted(b"a/", part.change.old_path or part.change.path) if part.old else b"/dev/null"
    new = quoted(b"b/", part.change.path) if part.new else b"/dev/null"
    # GNU patch ends a name at a blank unless a tab follows (git does the same).
    return tuple(n + b"\t" if b" " in n and not n.startswith(b'"') else n for n in (old, new))  # type: ignore[return-value]


def _unshown(part: FilePatch, texts: TextDetector) -> bytes:
    """What contents are that cannot be shown line by line, and how large."""
    name = quoted(b"", part.change.path)
    said = []
    for side, entry in enumerate((part.old, part.new)):
        if entry is not None:
            kind = f"symlink to {os.fsdecode(entry.target)}" if entry.type is Type.LINK else texts.kind(side, entry)
            said.append(f"{kind}, {size(entry.size)}")
    if part.old is None:
        return b"# %s: new, %s" % (name, os.fsencode(said[0]))
    if part.new is None:
        return b"# %s: removed, %s" % (name, os.fsencode(said[0]))
    renamed = b""
    if part.change.status is Status.RENAMED:
        was = quoted(b"", part.change.old_path or b"")
        renamed = b"renamed from %s (%d%% alike), " % (was, part.change.similarity)
    return b"# %s: %s%s, was %s" % (name, renamed, os.fsencode(said[1]), os.fsencode(said[0]))


def _notes(change: Change, filled: set[bytes]) -> list[bytes]:
    """What git's format has no words for."""
    name = quoted(b"", change.path)
    out = []
    if change.status is Status.TYPE and not (git_mode(change.old) and git_mode(change.new)):
        out.append(b"# %s: a %s, was a %s" % (name, *(e.type.noun.encode() for e in (change.new, change.old) if e)))
    elif change.status in (Status.ADDED, Status.REMOVED):
        entry = change.new or change.old
        word = b"new" if change.new else b"removed"
        if entry is not None and entry.type is Type.DIR and change.path not in filled:
            out.append(b"# %s: %s, an empty directory" % (name, word))
        elif entry is not None and entry.type is not Type.DIR and not git_mode(entry):
            out.append(b"# %s: %s, a %s" % (name, word, entry.type.noun.encode()))
    if change.old and change.new and change.old.type is change.new.type:
        a, b = change.old, change.new
        if a.mode != b.mode and a.type is not Type.LINK:
            out.append(b"# %s: mode %04o, was %04o" % (name, b.mode, a.mode))
        if (a.uid, a.gid) != (b.uid, b.gid):
            owners = [f"{e.uname or e.uid}:{e.gname or e.gid}".encode() for e in (b, a)]
            out.append(b"# %s: owner %s, was %s" % (name, *owners))
        out += [b"# %s: %s" % (name, line) for line in _attribute_notes(a, b)]
        out += [b"# %s: %s differ" % (name, w.encode()) for w in change.what if w == "hard links"]
    return out


def _attribute_notes(a: Entry, b: Entry) -> Iterator[bytes]:
    before, after = dict(a.xattrs), dict(b.xattrs)
    for key in differing(a.xattrs, b.xattrs):
        word = "new" if key not in before else "removed" if key not in after else "changed"
        yield b"extended attribute %s %s" % (quoted(b"", os.fsencode(key)), word.encode())
