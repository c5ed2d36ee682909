"""Other users of the machine, who read what they can below a directory. Needs root."""

from __future__ import annotations

import os
import pickle
import select
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

# A directory and a name in it, or a file's content.
Seen = tuple[bytes, bytes] | bytes
STAGE = b".gitsnap-txn."


@dataclass(frozen=True)
class User:
    """Somebody with a user id and groups."""

    name: str
    uid: int
    groups: tuple[int, ...]

    def become(self) -> None:
        """Be nobody else in this process from now on."""
        os.setgroups(self.groups)
        os.setresgid(*[self.groups[0]] * 3)
        os.setresuid(*[self.uid] * 3)


def names_below(*trees: Path) -> list[bytes]:
    """All files in these trees, relative to each."""
    found = {os.fsencode(p.relative_to(tree)) for tree in trees for p in tree.rglob("*") if p.is_file()}
    return sorted(found)


def read_all(top: bytes, known: Iterable[bytes], seen: set[Seen]) -> None:
    """Everything below a directory that can be listed and read now, and what can be by `known` names alone."""
    listed, pending = set(), [b""]
    while pending:
        folder = pending.pop()
        try:
            entries = list(os.scandir(top + b"/" + folder))
        except OSError:
            continue
        listed.add(folder)
        for entry in entries:
            if not entry.name.startswith(STAGE):
                seen.add((folder, entry.name))
            if entry.is_dir(follow_symlinks=False):
                pending.append(folder + b"/" + entry.name if folder else entry.name)
            elif entry.is_file(follow_symlinks=False):
                _read(entry.path, seen)
    for path in known:
        if path.rpartition(b"/")[0] not in listed:
            _read(top + b"/" + path, seen)


def _read(path: bytes, seen: set[Seen]) -> bool:
    """Add a small file's content, if it can be read. A file object would cost more than all else here."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        seen.add(os.read(fd, 1 << 16))
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


class Reader:
    """A process of this user, which looks when it is asked."""

    def __init__(self, user: User, top: Path, known: Iterable[bytes]) -> None:
        self.user = user
        there, self._asked = os.pipe()
        self._answers, back = os.pipe()
        self._child = os.fork()
        if self._child == 0:
            os.close(self._asked)
            os.close(self._answers)
            try:
                user.become()
                _serve(os.fsencode(top), known, there, back)
            finally:
                os._exit(1)
        os.close(there)
        os.close(back)

    def ask(self, word: bytes) -> None:
        """Have it look once (`?`), or over and over (`w`)."""
        os.write(self._asked, word)

    def looked(self) -> None:
        """Wait until it has."""
        assert os.read(self._answers, 1) == b"!"

    def stop(self) -> set[Seen]:
        """All that was seen."""
        os.write(self._asked, b".")
        os.close(self._asked)
        with os.fdopen(self._answers, "rb") as answer:
            seen: set[Seen] = pickle.loads(answer.read())
        os.waitpid(self._child, 0)
        return seen


def _serve(top: bytes, known: Iterable[bytes], asked: int, back: int) -> None:
    seen: set[Seen] = set()
    while (word := os.read(asked, 1)) in (b"?", b"w"):
        read_all(top, known, seen)
        os.write(back, b"!")
        while word == b"w" and not select.select([asked], [], [], 0)[0]:
            read_all(top, known, seen)
    if word == b".":
        with os.fdopen(back, "wb") as answer:
            pickle.dump(seen, answer)
        os._exit(0)


class Readers:
    """Several users at one directory, who may see what they can see in one of its `states`."""

    def __init__(self, users: Iterable[User], top: Path, states: Sequence[Path]) -> None:
        users, known = list(users), names_below(*states)
        self._allowed = allowed(users, states)
        self._readers = [Reader(user, top, known) for user in users]

    def look(self) -> None:
        """All look once."""
        for reader in self._readers:
            reader.ask(b"?")
        for reader in self._readers:
            reader.looked()

    def watch(self) -> None:
        """All look over and over."""
        for reader in self._readers:
            reader.ask(b"w")
            reader.looked()

    def stop(self, *, names: bool = True) -> list[str]:
        """What each saw that is not for them; the contents alone without `names`."""
        out = []
        for reader, allowed in zip(self._readers, self._allowed, strict=True):
            wrong = [seen for seen in reader.stop() - allowed if names or isinstance(seen, bytes)]
            out += [f"{reader.user.name} read {seen}" for seen in sorted(map(repr, wrong))]
        return out


def allowed(users: Iterable[User], states: Sequence[Path]) -> list[set[Seen]]:
    """For each user, what can be read in any of these trees."""
    out, known = [], names_below(*states)
    for user in users:
        seen: set[Seen] = set()
        for state in states:
            reader = Reader(user, state, known)
            reader.ask(b"?")
            reader.looked()
            seen |= reader.stop()
        out.append(seen)
    return out
