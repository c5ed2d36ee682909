"""A bundle's heading, and what it says of itself.

The heading is that of gitformat-bundle(5), version 2: the commits that the reader must have, each with a word for
people (the snapshot's id; git reads it and tells only the commit), and all refs as they were. There is no room for
more, so that what a bundle is stands in a commit of its own on `refs/gitsnap/bundle`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from gitsnap.core.errors import IntegrityError
from gitsnap.core.message import ID, escape, unescape

SIGNATURE = b"# v2 git bundle\n"
# age's, in its text armour and without.
AGE = (b"age-encryption.org/v1\n", b"-----BEGIN AGE ENCRYPTED FILE-----")
REF = "refs/gitsnap/bundle"
# A ref has no longer name than a path on most file systems.
_LINE = 8192
# So many bytes more in a chain are nothing to begin it anew for.
_LITTLE = 1 << 20
_MOST_LINES = 1_000_000
_NEEDED = re.compile(rb"-([0-9a-f]{40})(?: ([^\n]*))?")
_HELD = re.compile(rb"([0-9a-f]{40}) (HEAD|refs/[^\x00-\x20\x7f~^:?*\[\\]+)")


@dataclass(slots=True)
class Heading:
    """What a bundle needs (commits by hex id, and what each is), and the refs that it holds, by name."""

    needs: dict[str, str] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)


def format_heading(heading: Heading) -> bytes:
    """The bytes before the pack."""
    needs = [f"-{oid} {word}\n" for oid, word in heading.needs.items()]
    return SIGNATURE + "".join([*needs, *(f"{oid} {ref}\n" for ref, oid in heading.refs.items()), "\n"]).encode()


def digest(heading: Heading) -> str:
    """What a label has for the heading."""
    others = Heading(heading.needs, {ref: oid for ref, oid in heading.refs.items() if ref != REF})
    return hashlib.sha256(format_heading(others)).hexdigest()


def read_heading(line: Callable[[int], bytes]) -> Heading:
    """Read a heading. `line` gives the next line with its end, or as much of it as its argument says.

    Raises IntegrityError for what is no such heading.
    """
    if line(_LINE) != SIGNATURE:
        raise IntegrityError("it is no git bundle of version 2", hint="`gitsnap bundle create FILE` makes one")
    heading = Heading()
    for _ in range(_MOST_LINES):
        found = line(_LINE)
        if found == b"\n":
            return heading
        if not found.endswith(b"\n"):
            raise IntegrityError("the bundle is cut short in its heading")
        if needed := _NEEDED.fullmatch(found[:-1]):
            heading.needs[needed[1].decode()] = (needed[2] or b"").decode("utf-8", "replace")
        elif held := _HELD.fullmatch(found[:-1]):
            heading.refs[held[2].decode("utf-8", "surrogateescape")] = held[1].decode()
        else:
            raise IntegrityError("the bundle's heading is damaged")
    raise IntegrityError("the bundle's heading does not end")


class Label(NamedTuple):
    """What a bundle is: its name (32 hex digits), the directory and host it is of, the newest snapshot in it, and on
    which one it builds (None: on nothing). In a chain that somebody keeps, also its number from 1, the name of the one
    before (None for one that is whole), and which cycle of a folder it belongs to (0: it does not say). `heading` is
    the SHA-256 of the heading, without the ref of this: the checksum at a bundle's end covers the objects alone."""

    name: str
    installation: str
    host: str
    newest: str | None = None
    since: str | None = None
    number: int = 0
    follows: str | None = None
    heading: str = "0" * 64
    cycle: int = 0


_FORM = re.compile(
    r"bundle of [^\n]*\n\n"
    r"Gitsnap-Bundle: (?P<name>[0-9a-f]{32})\n"
    r"Gitsnap-Installation: (?P<installation>[^\n]+)\n"
    r"Gitsnap-Host: (?P<host>[^\n]+)\n"
    r"Gitsnap-Heading-SHA256: (?P<heading>[0-9a-f]{64})\n"
    rf"(?:Gitsnap-Newest: (?P<newest>{ID.pattern})\n)?"
    rf"(?:Gitsnap-Since: (?P<since>{ID.pattern})\n)?"
    r"(?:Gitsnap-Bundle-Number: (?P<number>[1-9][0-9]{0,8})\n)?"
    r"(?:Gitsnap-Bundle-Follows: (?P<follows>[0-9a-f]{32})\n)?"
    r"(?:Gitsnap-Bundle-Cycle: (?P<cycle>[1-9][0-9]{0,8})\n)?"
)


def format_label(label: Label) -> bytes:
    """The message of the commit on `refs/gitsnap/bundle`."""
    where, host = escape(label.installation), escape(label.host)
    lines = [f"bundle of {where} on {host}", "", f"Gitsnap-Bundle: {label.name}"]
    lines += [f"Gitsnap-Installation: {where}", f"Gitsnap-Host: {host}", f"Gitsnap-Heading-SHA256: {label.heading}"]
    lines += [f"Gitsnap-Newest: {label.newest}"] if label.newest else []
    lines += [f"Gitsnap-Since: {label.since}"] if label.since else []
    lines += [f"Gitsnap-Bundle-Number: {label.number}"] if label.number else []
    lines += [f"Gitsnap-Bundle-Follows: {label.follows}"] if label.follows else []
    lines += [f"Gitsnap-Bundle-Cycle: {label.cycle}"] if label.cycle else []
    return "\n".join([*lines, ""]).encode("utf-8", "surrogateescape")


def parse_label(message: bytes) -> Label:
    """Read it; IntegrityError for what is none."""
    found = _FORM.fullmatch(message.decode("utf-8", "surrogateescape"))
    if found is None:
        raise IntegrityError("what the bundle says of itself is not what gitsnap writes")
    said = found.groupdict()
    return Label(
        said["name"],
        unescape(said["installation"]),
        unescape(said["host"]),
        said["newest"],
        said["since"],
        int(said["number"] or 0),
        said["follows"],
        said["heading"],
        int(said["cycle"] or 0),
    )


def is_label(message: bytes) -> bool:
    """Whether a commit's message is meant to be one."""
    return message.startswith(b"bundle of ") and b"\nGitsnap-Bundle: " in message


def misplaced(label: Label, earlier: Sequence[Label]) -> str | None:
    """Why a bundle does not come next after those `earlier` ones of a chain; None where it does, or nobody can know."""
    if label.name in {e.name for e in earlier}:
        return "it is there twice: as an earlier one, too"
    # Whatever the directory and the host were called meanwhile.
    if label.since is None or (earlier and label.follows == earlier[-1].name):
        return None
    others = [e for e in earlier if (e.installation, e.host) == (label.installation, label.host)]
    if not others:
        of = f"of {label.installation} on {label.host}"
        return f"it is {of}, and builds on snapshot {label.since}" + (
            f"; what comes before it is of {earlier[-1].installation} on {earlier[-1].host}" if earlier else ""
        )
    if label.follows is not None and label.follows not in {e.name for e in others}:
        last = others[-1].number
        gap = f"; the last one here is bundle {last}" if last else ""
        return f"it is bundle {label.number} of its chain, and bundle {label.number - 1} is not here{gap}"
    if label.follows is not None:
        return f"it is bundle {label.number} of its chain, and comes after bundle {others[-1].number} here"
    return None


def displaced(label: Label | None, place: Place, before: Label | None) -> str | None:
    """Why a bundle is not the one that its `place` in a folder says, where `before` stands before it; None where it
    is. Whoever can write there can lay an old one in the place of a new one."""
    if label is None:
        return "it does not say which one it is"
    if (label.number, label.cycle or place.cycle) != (place.number, place.cycle):
        return f"it is bundle {label.number} of cycle {label.cycle or place.cycle}"
    if label.follows != (before.name if before is not None else None):
        return "it goes on from another one than the one before it"
    return None


class Cover(NamedTuple):
    """What an age file tells without a key: to how many it is encrypted, of which sorts."""

    recipients: tuple[str, ...]


def read_cover(line: Callable[[int], bytes]) -> Cover:
    """The head of an age file that is not armoured (age-encryption.org/v1); IntegrityError where it is cut short."""
    found: list[str] = []
    if line(_LINE) != AGE[0]:
        raise IntegrityError("it is no age file")
    while (each := line(_LINE)).endswith(b"\n"):
        if each.startswith(b"--- "):
            return Cover(tuple(found))
        if each.startswith(b"-> "):
            found.append(each.split()[1].decode("ascii", "replace"))
    raise IntegrityError("the age file is cut short in its head")


NAME = re.compile(r"(?P<cycle>[0-9]{6})-(?P<number>[0-9]{6})-(?P<kind>full|more)\.bundle(?P<age>\.age)?")


class Place(NamedTuple):
    """Where a bundle stands in a folder of them: the cycle that a full one begins, and the number in that, from 1."""

    cycle: int
    number: int
    encrypted: bool

    @property
    def name(self) -> str:
        """Its file's name; names sort as bundles are to be read."""
        sort = "full" if self.number == 1 else "more"
        return f"{self.cycle:06}-{self.number:06}-{sort}.bundle{'.age' if self.encrypted else ''}"


def read_name(name: str) -> Place | None:
    """The place that a file's name says; None for other files."""
    found = NAME.fullmatch(name)
    if found is None or (found["kind"] == "full") is not (int(found["number"]) == 1):
        return None
    return Place(int(found["cycle"]), int(found["number"]), bool(found["age"]))


def spent(sizes: Mapping[Place, int], at_most: int) -> bool:
    """Whether the last cycle is to end: it has `at_most` bundles, or what was added is more than it began with, and
    more than little."""
    last = max((p.cycle for p in sizes), default=0)
    own = [size for place, size in sorted(sizes.items()) if place.cycle == last]
    return len(own) >= at_most or sum(own[1:]) > max(own[0], _LITTLE)


def outlived(places: Sequence[Place], keep: int) -> list[Place]:
    """The bundles of all cycles but the last `keep`."""
    stay = sorted({p.cycle for p in places})[-keep:] if keep > 0 else ()
    return [] if keep <= 0 else [p for p in places if p.cycle not in stay]
