"""Which rules apply: those of `.gitsnapignore`, then the sidecar's configuration, which has the last word."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection
from typing import NamedTuple

from gitsnap.core.coverage import Coverage
from gitsnap.core.errors import GitsnapError, exhausted
from gitsnap.core.exclusion import Excludes, Exclusions, nothing_excluded
from gitsnap.core.model import Inventory
from gitsnap.core.settings import Settings
from gitsnap.installation.directories import Directories
from gitsnap.installation.root import missing

IGNORE_FILE = b".gitsnapignore"
_LARGEST = 1 << 20


class RuleTexts(NamedTuple):
    """The rules as they were read: those of `.gitsnapignore` and those of the configuration, which come last."""

    ignore: bytes
    configured: bytes

    def parse(self) -> Exclusions:
        """All rules, in order; the last match wins. UsageError for one that cannot be followed exactly."""
        return Exclusions.parse((".gitsnapignore", self.ignore), ("[capture] exclude", self.configured))


def texts(root: str, settings: Settings) -> RuleTexts:
    """The texts of the rules that hold now."""
    return RuleTexts(_ignore_file(root), "\n".join(settings.exclude).encode("utf-8", "surrogateescape"))


def current(root: str, settings: Settings) -> Exclusions:
    """All rules that hold now."""
    return texts(root, settings).parse()


def _ignore_file(root: str) -> bytes:
    """The ignore file's bytes; nothing when it is missing. A symlink is not followed, as git does not follow one."""
    if missing(root):
        # It is about to be made again.
        return b""
    with Directories(root) as dirs:
        try:
            fd = os.open(IGNORE_FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=dirs.root)
        except (FileNotFoundError, NotADirectoryError):
            return b""
        except OSError as error:
            if exhausted(error):
                raise
            if stat.S_ISLNK(os.stat(IGNORE_FILE, dir_fd=dirs.root, follow_symlinks=False).st_mode):
                return b""
            raise GitsnapError(
                f".gitsnapignore cannot be read: {error.strerror}",
                path=IGNORE_FILE,
                hint="without it, gitsnap cannot know what to leave out; nothing was captured",
            ) from None
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            os.close(fd)
            return b""
        with os.fdopen(fd, "rb") as file:
            if found.st_size > _LARGEST:
                raise GitsnapError(".gitsnapignore is larger than 1 MiB: that is no list of rules", path=IGNORE_FILE)
            return file.read()


def unused(root: str) -> str | None:
    """What `.gitsnapignore` is where it is there and no file, so that no rule is read from it; else None."""
    with Directories(root) as dirs:
        try:
            mode = os.stat(IGNORE_FILE, dir_fd=dirs.root, follow_symlinks=False).st_mode
        except OSError:
            return None
    nouns = {stat.S_IFREG: None, stat.S_IFLNK: "a symlink", stat.S_IFDIR: "a directory"}
    return nouns.get(stat.S_IFMT(mode), "no file")


def as_predicate(exclusions: Exclusions) -> Excludes:
    """What a scan asks about each name, top-down."""
    return exclusions.excludes if exclusions else nothing_excluded


class RollbackRules:
    """What a rollback leaves alone (docs/adr: exclusions of a rollback).

    Always: what the sidecar's configuration excludes. Also what the target left out or does not cover, and what the
    directory's present `.gitsnapignore` excludes unless the target holds it: an upgrade that brings an ignore file
    cannot hide from its own undoing. Nor can that file hide itself; it would keep the snapshots to come from holding
    anything.
    """

    def __init__(
        self,
        configured: Exclusions,
        present: Exclusions,
        target: Exclusions,
        held: Collection[bytes],
        coverage: Coverage | None = None,
    ) -> None:
        self._configured, self._present, self._target, self._held = configured, present, target, held
        self.coverage = coverage or Coverage(Inventory())

    def __bool__(self) -> bool:
        """Whether there is any rule."""
        return bool(self._configured) or bool(self._present) or bool(self._target) or bool(self.coverage)

    def excluded_from_safety(self, path: bytes, is_dir: bool) -> bool:
        """What the safety snapshot leaves out: nothing that the rollback may touch."""
        if not self._present:
            return False
        if self._configured.covers(path, is_dir):
            return True
        return path not in self._held and path != IGNORE_FILE and self._present.covers(path, is_dir)

    def protected(self, path: bytes, is_dir: bool) -> bool:
        """Whether the rollback must not touch the path."""
        if self.excluded_from_safety(path, is_dir) or self.coverage.unlisted(path):
            return True
        return bool(self._target) and path not in self._held and self._target.covers(path, is_dir)


def for_comparison(root: str, settings: Settings, wanted: Inventory) -> RollbackRules:
    """The rules under which a directory is compared with a snapshot: what a rollback to it would leave alone."""
    return rules_for(texts(root, settings), wanted)


def rules_for(present: RuleTexts, wanted: Inventory) -> RollbackRules:
    """The same where the texts are known already."""
    return RollbackRules(
        Exclusions.parse(("[capture] exclude", present.configured)),
        present.parse(),
        Exclusions.parse(("the snapshot's rules", b"\n".join(wanted.rules))),
        {e.path for e in wanted.entries},
        Coverage(wanted),
    )


def told_by(stored: Inventory) -> Callable[[bytes, bool], bool]:
    """Whether a stored tree tells what was at a path, or that nothing was: neither left out, nor unread or unlisted."""
    rules = Exclusions.parse(("the snapshot's rules", b"\n".join(stored.rules)))
    coverage, held = Coverage(stored), {e.path for e in stored.entries} if rules else set()

    def told(path: bytes, is_dir: bool) -> bool:
        return coverage.tells(path) and not (rules and path not in held and rules.covers(path, is_dir))

    return told
