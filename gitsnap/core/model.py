"""The central nouns: entries of a tree, the inventory of one, and snapshots.

Paths are bytes, relative to the installation's root, `/` between components, without a leading `./`;
the root itself is `b""`. Times are integers of nanoseconds since the epoch. Digests are raw bytes.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

from gitsnap.core.errors import UsageError
from gitsnap.core.outcome import Ending

ROOT = b""

# The values of an entry that a foreign copy may not have recorded.
RECORDED = ("mode", "owner", "time", "xattr")
ALL_RECORDED: frozenset[str] = frozenset()


class Type(StrEnum):
    """What an entry is; the values are mtree(5)'s words."""

    FILE = "file"
    DIR = "dir"
    LINK = "link"
    FIFO = "fifo"
    CHAR = "char"
    BLOCK = "block"

    @property
    def noun(self) -> str:
        """The word for people."""
        return _NOUNS.get(self, self.value)


_NOUNS = {
    Type.DIR: "directory",
    Type.LINK: "symlink",
    Type.FIFO: "FIFO",
    Type.CHAR: "character device",
    Type.BLOCK: "block device",
}


class Kind(StrEnum):
    """Why a snapshot was taken."""

    MANUAL = "manual"
    PRE = "pre"
    POST = "post"
    SAFETY = "safety"
    IMPORTED = "imported"


Xattrs = tuple[tuple[str, bytes], ...]


@dataclass(slots=True)
class Entry:
    """One name in a tree, with everything a faithful copy needs.

    `mode` holds the 12 permission bits. `size` is a file's length in bytes, 0 for the rest. `target` is a symlink's
    text. `device` is (major, minor) of a device node. `sha256` and `oid` (the git blob id) are set for files whose
    content is known; `oid` also for symlinks. `unrecorded` names the values (of RECORDED) that nobody knows, as
    in an archive without owners: what stands in their fields means nothing.
    """

    path: bytes
    type: Type
    mode: int
    uid: int = 0
    gid: int = 0
    uname: str = ""
    gname: str = ""
    mtime_ns: int = 0
    size: int = 0
    target: bytes = b""
    device: tuple[int, int] | None = None
    xattrs: Xattrs = ()
    sparse: bool = False
    sha256: bytes | None = None
    oid: bytes | None = None
    unrecorded: frozenset[str] = ALL_RECORDED

    @property
    def git_mode(self) -> int:
        """The mode that git's tree holds for a file or symlink (owner's execute bit decides)."""
        if self.type is Type.LINK:
            return 0o120000
        return 0o100755 if self.mode & 0o100 else 0o100644


class Image(NamedTuple):
    """A SQLite database that is held as one consistent image, and the files `beside` it that this image makes up for:
    its journals and what SQLite shares between processes. They are no entries of the tree.

    Of a live tree, `size` is what the database's own file measures, in bytes, and `beside` is known in full; of a
    stored one only the paths are.
    """

    beside: tuple[Entry, ...]
    size: int = 0


class Problem(NamedTuple):
    """A path that could not be captured, restored or verified, and why, in a few words."""

    path: bytes
    reason: str


@dataclass(slots=True)
class Inventory:
    """A whole tree, live or stored: every entry, and what was left out.

    `entries` are sorted by path (as bytes), the root first. `hardlinks` are groups of two or more sorted paths that
    share an inode, sorted. `rules` are the exclusion rules that applied, `excluded` the topmost paths they left out
    (directories end in `/`). `partial` names what could not be read whole, `skipped` the sockets. `images` are the
    databases whose entries stand for more than one file. `unlisted` are the directories that may have held more than is
    here: of other names in them nothing is known.
    """

    entries: list[Entry] = field(default_factory=list)
    hardlinks: list[tuple[bytes, ...]] = field(default_factory=list)
    rules: list[bytes] = field(default_factory=list)
    excluded: list[bytes] = field(default_factory=list)
    partial: list[Problem] = field(default_factory=list)
    skipped: list[bytes] = field(default_factory=list)
    images: dict[bytes, Image] = field(default_factory=dict)
    unlisted: list[bytes] = field(default_factory=list)

    def beside(self) -> dict[bytes, bytes]:
        """The database of each file that belongs to an image."""
        return {e.path: path for path, image in self.images.items() for e in image.beside}

    def on_disk(self) -> Inventory:
        """A live tree with every file that is there: databases as long as their own files are, and those beside them,
        whose content is not known."""
        if not self.images:
            return self
        entries = [
            replace(e, size=self.images[e.path].size) if e.path in self.images else e
            for e in [*self.entries, *(e for image in self.images.values() for e in image.beside)]
        ]
        return replace(self, entries=sorted(entries, key=lambda e: e.path))

    def by_path(self) -> dict[bytes, Entry]:
        """The entries by their paths."""
        return {e.path: e for e in self.entries}

    def files(self) -> list[Entry]:
        """The regular files, in order."""
        return [e for e in self.entries if e.type is Type.FILE]


class Taken(NamedTuple):
    """What a snapshot was taken with, and says in its commit, where it was described anew; when that was, and the hex
    id of the record that tells of it."""

    message: str
    tags: tuple[str, ...]
    described: datetime
    record: str


@dataclass(slots=True, frozen=True)
class Snapshot:
    """A stored snapshot, as its ref and its commit's trailers tell it. `commit` and `tree` are hex object ids.

    `sequence` counts the snapshots that were taken (core.order); imported ones and those of old sidecars have none.
    `running` tells of databases whose server was at work when it was taken (core.running).
    `undoes` and `redoes` are of a safety snapshot that undo or redo has taken: the id of the one that it brought back.
    `purged` tells how often paths were taken out of it afterwards.
    `ending` is what is recorded of its upgrade; None where nothing is (in a sidecar of before there were records).
    `directories` are all that its upgrade was over (real paths, in their order), where that were several.
    `signed_by` is the fingerprint of the key that its commit says to be signed with, which nobody has checked.
    `message` and `tags` are those that it has now; `taken` has the first ones where it was described anew.
    """

    id: str
    commit: str
    tree: str
    created: datetime
    kind: Kind
    label: str
    message: str
    files: int
    bytes: int
    manifest_sha256: str
    metadata_sha256: str
    previous_manifest_sha256: str | None = None
    tags: tuple[str, ...] = ()
    pinned: bool = False
    upgrade: str | None = None
    command: str | None = None
    exit_code: int | None = None
    partial: int = 0
    sequence: int | None = None
    running: tuple[str, ...] = ()
    undoes: str | None = None
    redoes: str | None = None
    purged: int = 0
    ending: Ending | None = None
    directories: tuple[str, ...] = ()
    signed_by: str | None = None
    taken: Taken | None = None

    @property
    def message_taken(self) -> str:
        """The message in its commit."""
        return self.taken.message if self.taken else self.message

    @property
    def tags_taken(self) -> tuple[str, ...]:
        """The tags in its commit."""
        return self.taken.tags if self.taken else self.tags


_NOT_SLUG = re.compile(r"[^a-z0-9._]+")


def slug(text: str, fallback: str) -> str:
    """`text` as a label: lower-case ASCII letters, digits, dots, underscores and dashes, at most 60 characters.

    The result is valid as the end of a git ref name (git-check-ref-format(1)): no `..`, no trailing `.` or `.lock`.
    """
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    out = re.sub(r"\.{2,}", ".", _NOT_SLUG.sub("-", ascii_text.lower()))[:60].strip("-.")
    while out.endswith(".lock"):
        out = out[: -len(".lock")].strip("-.")
    return out or fallback


def as_tag(text: str) -> str:
    """`text` as a tag, in the form of a label. UsageError where nothing is left of it."""
    tag = slug(text, "")
    if not tag:
        raise UsageError(f"'{text}' cannot be a tag", hint="use ASCII letters, digits, dots and dashes")
    return tag


def is_label(selector: str, label: str) -> bool:
    """Whether a selector is this label, as it is or as it was typed. An `@` belongs to another form."""
    return selector == label or ("@" not in selector and slug(selector, "-") == label)


def snapshot_id(when: datetime, label: str, taken: Iterable[str]) -> str:
    """The id for a snapshot made at `when` (any zone): `2025-08-10T03-40-11Z-label`, with `-2`, `-3` … on a tie.

    The snapshots of one second count upwards whatever their labels, so that ids tell which came first.
    """
    moment = f"{when.astimezone(UTC):%Y-%m-%dT%H-%M-%SZ}-"
    tied = [re.search(r"-(\d+)$", t) for t in taken if t.startswith(moment)]
    return moment + label + (f"-{max(int(m[1]) if m else 1 for m in tied) + 1}" if tied else "")
