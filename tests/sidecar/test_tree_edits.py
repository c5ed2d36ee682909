"""Trees that are made of others are those that the whole state gives, and tell which have gone."""

from __future__ import annotations

import random
from collections import Counter
from hashlib import sha1

from gitsnap.core.model import Entry, Inventory, Type
from gitsnap.sidecar.git import tree_edits, trees

NAMES = [
    b"a",
    b"b",
    b"a.b",
    b"a-",
    b".git",
    b"%2Egit",
    b".gitignore",
    b"%2Egitignore",
    b".gitattributes",
    b"a\\.git",
    b"c",
]
KINDS = [Type.FILE, Type.FILE, Type.LINK, Type.DIR, Type.DIR, Type.FIFO]


class Written(dict[bytes, bytes]):
    """Trees in memory."""

    def add(self, data: bytes) -> bytes:
        oid = sha1(b"tree %d\0%s" % (len(data), data), usedforsecurity=False).digest()
        self[oid] = data
        return oid

    def read(self, oid: bytes, _kind: bytes) -> tuple[bytes, bytes]:
        return b"tree", self[oid]


def some_tree(dice: random.Random, found: dict[bytes, Entry]) -> dict[bytes, Entry]:
    """The same entries, with some gone, some new and some that differ."""
    out = {b"": Entry(b"", Type.DIR, 0o755)} | found
    for path in dice.sample(sorted(out), min(len(out), 3)):
        if path and dice.random() < 0.5:
            out = {p: e for p, e in out.items() if p != path and not p.startswith(path + b"/")}
    for _ in range(dice.randrange(8)):
        folder = dice.choice(sorted(p for p, e in out.items() if e.type is Type.DIR))
        path = (folder + b"/" if folder else b"") + dice.choice(NAMES)
        kind = dice.choice(KINDS)
        if kind is not Type.DIR:
            out = {p: e for p, e in out.items() if not p.startswith(path + b"/")}
        elif path in out and out[path].type is Type.DIR:
            continue
        held = dice.randbytes(20) if kind in (Type.FILE, Type.LINK) else None
        out[path] = Entry(path, kind, dice.choice((0o644, 0o755)), oid=held)
    return out


def test_as_if_formed_from_the_whole() -> None:
    dice, made = random.Random(4), 0
    state: dict[bytes, Entry] = {}
    for turn in range(600):
        written = Written()
        old = some_tree(dice, state)
        state = some_tree(dice, old) if turn % 50 else old
        root, held = trees.build(Inventory([old[p] for p in sorted(old)]).entries, written.add)
        wanted, holding = trees.build(Inventory([state[p] for p in sorted(state)]).entries, written.add)
        changes = {
            p: (state[p].git_mode, state[p].oid) if p in state and state[p].oid else None
            for p in old.keys() | state.keys()
            if old.get(p) != state.get(p)
        }
        fresh = Written()
        found = tree_edits.edit(written, root, changes, fresh.add)  # type: ignore[arg-type]
        assert found.root == wanted
        left = Counter(held)
        left.subtract(found.gone)
        assert min(left.values()) >= 0
        assert left + Counter(found.new) == Counter(holding)
        made += len(fresh) < len(set(holding))
        state = state if len(state) < 60 else {}
    assert made > 50
