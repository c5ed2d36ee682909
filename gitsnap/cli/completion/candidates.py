"""What may be typed, by the noun that stands for it. Everything here reads, waits for nobody and writes nothing.

A sidecar of a thousand snapshots is answered from the register: only of the newest few is the commit read, for what it
says.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from functools import cached_property
from typing import NamedTuple

from gitsnap.cli.session import Session
from gitsnap.config import files
from gitsnap.core.model import Kind
from gitsnap.core.paths import decode_component
from gitsnap.core.settings import Settings
from gitsnap.ops.store import locate
from gitsnap.sidecar import catalog, descriptions
from gitsnap.sidecar.git import commits, refs, trees
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.selectors import choose
from gitsnap.sidecar.state import register

# Of so many, the newest, it is told what they are about.
_TOLD = 60
# Of the snapshots' tags, those of the newest so many.
_TAGGED = 200
# How long ago, in days.
_AGO = (1, 7, 30)


class Candidate(NamedTuple):
    """A word that may be typed, and what it is about."""

    word: str
    about: str = ""


class Place:
    """What is protected where one stands, or where the options on the line say."""

    def __init__(self, session: Session, given: dict[str, list[str]], typed: str, *, tells: bool) -> None:
        self._session, self._given, self._typed, self._tells = session, given, typed, tells

    @cached_property
    def sidecar(self) -> Sidecar:
        """The sidecar; GitsnapError where there is none."""
        return locate.open_sidecar(self._session.place())

    @cached_property
    def _commits(self) -> dict[str, str]:
        # One file instead of one for each; what a kill left out of it is there again after the next snapshot.
        return dict(self._register.living()) or self.sidecar.refs.below(refs.SNAPSHOTS, {})

    @cached_property
    def _register(self) -> register.Register:
        return register.load(self.sidecar)

    def _newest_first(self, names: Iterable[str]) -> list[str]:
        """As they were taken; copies that were imported, which have no number, among them by their ids' time."""
        names, places = set(names), self._register.places()
        numbered = sorted((n for n in names if n in places), key=lambda n: places[n], reverse=True)
        others = names - places.keys()
        # Where the clock never went back, which is nearly always, both orders are one.
        if numbered == sorted(numbered, reverse=True):
            return sorted([*numbered, *others], reverse=True)
        return numbered + sorted(others, reverse=True)

    @cached_property
    def _descriptions(self) -> dict[str, str]:
        return descriptions.load(self.sidecar)

    def _about(self, name: str, commit: str) -> str:
        """The first line of what is said of a snapshot, in its commit or later, without secrets."""
        if not self._tells:
            return ""
        said = self._descriptions.get(name, commit)
        parsed = commits.parse(self.sidecar.objects.read(bytes.fromhex(said), b"commit")[1], said)
        subject = parsed.message.partition(b"\n")[0].decode(errors="replace")
        return self._session.out.told(subject.partition(": ")[2] or subject)

    def _told(self, names: list[str], known: dict[str, str]) -> Iterator[Candidate]:
        for number, name in enumerate(names):
            yield Candidate(name, self._about(name, known[name]) if number < _TOLD else "")

    def snapshots(self) -> Iterator[Candidate]:
        """`latest` and ids, newest first; where something is typed also labels and the parts of upgrades. Behind an @
        numbers and times."""
        if self._typed.startswith("@"):
            yield from self._at()
            return
        names = [n for n in self._newest_first(self._commits) if n.startswith(self._typed)]
        if "latest".startswith(self._typed) and self._commits:
            yield Candidate("latest", "the newest, but for safety ones and what was rolled back")
        yield from self._told(names, self._commits)
        if self._typed:
            yield from self.labels()
            for upgrade in self._upgrades():
                parts = {"pre": "before the upgrade", "post": "after the upgrade"}
                yield from (Candidate(f"{upgrade}@{part}", about) for part, about in parts.items())

    def _at(self) -> Iterator[Candidate]:
        """The numbers, newest first; how long ago, where there was something; and the days on which one was taken, once
        a year begins to show."""
        places, names = self._register.places(), self._newest_first(self._commits)
        numbered = {f"@{places[n]}": n for n in names if n in places}
        words = [word for word in numbered if word.startswith(self._typed)]
        for number, word in enumerate(words):
            name = numbered[word]
            about = self._about(name, self._commits[name]) if number < _TOLD else ""
            yield Candidate(word, f"{name} {about}".rstrip())
        taken = [datetime.fromisoformat(f"{n[:11]}{n[11:19].replace('-', ':')}Z") for n in names]
        for days in _AGO:
            if any(when <= self._session.now - timedelta(days=days) for when in taken):
                yield Candidate(f"@{days}d", f"as it was {days} day{'s' * (days != 1)} ago")
        if len(self._typed) > len("@2"):
            found = {f"@{when.astimezone():%Y-%m-%d}" for when in taken}
            yield from (Candidate(day, "as it was at the end of this day") for day in sorted(found, reverse=True))

    def sides(self) -> Iterator[Candidate]:
        """What can be compared: snapshots, and the directory as it is."""
        yield Candidate("now", "the directory as it is")
        yield from self.snapshots()

    def labels(self) -> Iterator[Candidate]:
        """Labels that only one snapshot has."""
        seconds = Counter(name.partition("Z-")[0] for name in self._commits)
        held: Counter[str] = Counter()
        for name in self._commits:
            second, _, label = name.partition("Z-")
            # Ids of one second are told apart by a number at their end.
            held[catalog.NUMBERED.sub("", label) if seconds[second] > 1 else label] += 1
        yield from (Candidate(label, "a label") for label, count in sorted(held.items()) if count == 1)

    def deleted(self) -> Iterator[Candidate]:
        """Those in the bin."""
        there = self.sidecar.refs.below(refs.DELETED, {})
        yield from self._told([n for n in self._newest_first(there) if n not in self._commits], there)

    def _upgrades(self) -> list[str]:
        taken = self._register.taken
        found = {line.upgrade for n in self._commits if (line := taken.get(n)) and line.upgrade}
        return sorted(found, reverse=True)

    def upgrades(self) -> Iterator[Candidate]:
        """The ids of upgrades, newest first."""
        firsts: dict[str, str] = {}
        for name, line in self._register.taken.items():
            if line.upgrade and name in self._commits:
                firsts.setdefault(line.upgrade, name)
        for number, upgrade in enumerate(u for u in self._upgrades() if u.startswith(self._typed)):
            first = firsts[upgrade]
            yield Candidate(upgrade, self._about(first, self._commits[first]) if number < _TOLD else "")

    def tags(self) -> Iterator[Candidate]:
        """The tags of the newest snapshots."""
        found: dict[str, None] = {}
        for name in self._newest_first(self._commits)[:_TAGGED]:
            taken = catalog.load(self.sidecar, name, self._commits[name], pinned=False)
            [said] = descriptions.attach(self.sidecar, [taken], self._descriptions)
            found.update(dict.fromkeys(said.tags))
        yield from map(Candidate, sorted(found))

    def components(self) -> Iterator[Candidate]:
        """The named ones, or else the directories at the top of the latest snapshot."""
        named = self._settings.components
        if named:
            yield from (Candidate(n, "  ".join(globs)) for n, globs in named.items())
            return
        tree = self._tree("latest")
        for name, mode, _ in trees.parse(self.sidecar.objects.read(tree, b"tree")[1], tree):
            if mode == trees.DIRECTORY:
                yield Candidate(os.fsdecode(decode_component(name)))
        yield Candidate(".", "the files beside them")

    @cached_property
    def _settings(self) -> Settings:
        place = self._session.place()
        return files.load(self._session.environ, place.store, self._session.options, place.root)

    def remotes(self) -> Iterator[Candidate]:
        """The remotes that are set up."""
        yield from (Candidate(name) for name in self._settings.remotes)

    def sets(self) -> Iterator[Candidate]:
        """The sets of directories."""
        for name, roots in files.sets(self._session.environ).items():
            yield Candidate(name, "  ".join(roots))

    def paths(self) -> Iterator[Candidate]:
        """Paths in the snapshot that is named, or in the latest, as one types them where one stands."""
        named = self._given.get("snapshot") or ["latest"]
        folder, slash, _ = self._typed.rpartition("/")
        start = folder + slash
        below = self._session.inside(start or ".", self.sidecar.installation)
        if named[0].startswith("-"):
            return
        leaf = trees.lookup(self.sidecar.objects, self._tree(named[0]), below)
        if leaf is None or leaf.mode != trees.DIRECTORY:
            return
        data = self.sidecar.objects.read(leaf.oid, b"tree")[1]
        for name, mode, _ in trees.parse(data, leaf.oid):
            word = start + os.fsdecode(decode_component(name, link=mode == trees.LINK))
            yield Candidate(word + "/" if mode == trees.DIRECTORY else word)

    def _tree(self, selector: str) -> bytes:
        """The raw id of the tree of the snapshot that is named. What nearly always is meant is found by reading one."""
        newest = next(iter(self._newest_first(self._commits)), "")
        name = newest if selector == "latest" else selector
        if name in self._commits:
            found = catalog.load(self.sidecar, name, self._commits[name], pinned=False)
            # Nothing came after it, so that nothing has taken it back.
            if selector != "latest" or found.kind is Kind.MANUAL:
                return bytes.fromhex(found.tree)
        return bytes.fromhex(choose(self.sidecar, selector).tree)

    def of(self, noun: str) -> Iterable[Candidate]:
        """The candidates for a noun; a word in small letters is one itself."""
        makers: dict[str, Callable[[], Iterable[Candidate]]] = {
            "SNAPSHOT": self.snapshots,
            "A": self.sides,
            "DELETED": self.deleted,
            "UPGRADE": self.upgrades,
            "TAG": self.tags,
            "COMPONENT": self.components,
            "REMOTE": self.remotes,
            "SET": self.sets,
            "PATH": self.paths,
        }
        if noun in makers:
            return makers[noun]()
        return () if noun.isupper() else (Candidate(noun),)
