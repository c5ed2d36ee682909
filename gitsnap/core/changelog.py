"""What an upgrade changed, as data: packages, and files by component with what changed in each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass, field

from gitsnap.core.comparison import Change, Status
from gitsnap.core.counts import Counts
from gitsnap.core.generated_files import LOCK_FILES as LOCK_FILES
from gitsnap.core.keys import KeyChange
from gitsnap.core.likely_yours import Likely
from gitsnap.core.model import Entry, Type
from gitsnap.core.packages.model import Edited, PackageChange


@dataclass(slots=True)
class FileChange:
    """One changed path, in its component. `what` is the kind of file, or why there is nothing more to say.

    `keys` are the changed keys of structured text (None: not read so); `lines` are those that came and went in other
    text. `yours` tells whether the file had been changed or made by the user before the upgrade (None: not known);
    `likely` how likely it is the user's by all that there is to judge by (None: it is the software's). `generated` is
    the kind of generated file that it is.
    """

    change: Change
    component: str
    what: str = ""
    keys: list[KeyChange] | None = None
    lines: tuple[int, int] | None = None
    yours: bool | None = None
    likely: Likely | None = None
    generated: str | None = None

    @property
    def magnitude(self) -> int:
        """How large the change is: about as many bytes as came and went."""
        old, new = size_of(self.change.old), size_of(self.change.new)
        if self.lines is not None:
            return max(sum(self.lines) * 40, abs(new - old))
        return old + new if self.change.status is Status.TYPE else max(abs(new - old), min(old, new) // 2)


@dataclass(slots=True, frozen=True)
class RepositoryChange:
    """A repository in the installation whose HEAD moved: commits, hex, and the branch that HEAD names now.

    `commits` is how many commits came (None: not known). None for a HEAD: the repository was not there, or had none.
    """

    path: bytes
    old: str | None
    new: str | None
    branch: str | None = None
    commits: int | None = None


@dataclass(slots=True)
class Changelog:
    """The changes from one state to another. `within` counts the changed files that belong to `packages`.

    `edited` are the files of packages that somebody changed by hand; they are among `files`, too.
    """

    old: str
    new: str
    files: list[FileChange] = field(default_factory=list)
    packages: list[PackageChange] = field(default_factory=list)
    edited: list[Edited] = field(default_factory=list)
    within: int = 0
    grown: int = 0
    repositories: list[RepositoryChange] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)

    def components(self) -> dict[str, list[FileChange]]:
        """The files by component, in order of their names."""
        found: dict[str, list[FileChange]] = {}
        for file in self.files:
            found.setdefault(file.component, []).append(file)
        return dict(sorted(found.items()))

    def sections(self) -> dict[str, list[FileChange]]:
        """The files by component as people read them: a directory that came or went stands with what is in it.

        Without a table of components, `new/` itself lies at the root, and `new/a.txt` does not.
        """
        below = self._below()
        found: dict[str, list[FileChange]] = {}
        for file in self.files:
            inside = below.get((file.change.status, file.change.path), set())
            (name,) = inside if len(inside) == 1 else (file.component,)
            found.setdefault(name, []).append(file)
        return dict(sorted(found.items()))

    def likely_yours(self) -> list[FileChange]:
        """What is most likely the user's, the likeliest first."""
        own = [f for f in self.files if f.likely is not None]
        return sorted(own, key=lambda f: (-f.likely.score if f.likely else 0, f.change.path.count(b"/"), f.change.path))

    def likely_first(self) -> list[FileChange]:
        """All files: what is most likely the user's, then the rest, generated files last, by depth and name."""
        own = self.likely_yours()
        rest = [f for f in self.files if f.likely is None]
        return own + sorted(rest, key=lambda f: (f.generated is not None, f.change.path.count(b"/"), f.change.path))

    def _below(self) -> dict[tuple[Status, bytes], set[str]]:
        """The components of what came or went in each directory that came or went itself."""
        found: dict[tuple[Status, bytes], set[str]] = {
            (f.change.status, f.change.path): set() for f in self.files if _is_whole_directory(f.change)
        }
        for file in self.files:
            at = file.change.path.rpartition(b"/")[0]
            while (inside := found.get((file.change.status, at))) is not None and at:
                inside.add(file.component)
                at = at.rpartition(b"/")[0]
        return found

    def holders(self) -> set[bytes]:
        """Every directory that a changed path other than a directory lies in, or lay in."""
        found: set[bytes] = set()
        for file in self.files:
            entry = file.change.new or file.change.old
            if entry is None or entry.type is Type.DIR:
                continue
            for path in (file.change.path, file.change.old_path or b""):
                at = path.rpartition(b"/")[0]
                while at and at not in found:
                    found.add(at)
                    at = at.rpartition(b"/")[0]
        return found


def innermost(path: bytes, tops: Container[bytes]) -> bytes | None:
    """The longest of `tops` that `path` is in."""
    while path:
        if path in tops:
            return path
        path = path.rpartition(b"/")[0]
    return None


def _is_whole_directory(change: Change) -> bool:
    entry = change.new or change.old
    return entry is not None and entry.type is Type.DIR and change.status in (Status.ADDED, Status.REMOVED)


def size_of(entry: Entry | None) -> int:
    """Its size in bytes, 0 where there is none."""
    return entry.size if entry else 0


def count_lines(old: bytes, new: bytes) -> tuple[int, int]:
    """How many lines came and how many went, wherever they stand."""
    before, after = Counter(old.splitlines()), Counter(new.splitlines())
    return (after - before).total(), (before - after).total()


def is_content(change: Change) -> bool:
    """Whether a file's content is other than before, and there are two of them to compare."""
    return (
        change.status in (Status.MODIFIED, Status.RENAMED)
        and change.old is not None
        and change.new is not None
        and change.old.type is Type.FILE
        and (change.status is Status.MODIFIED or change.old.sha256 != change.new.sha256)
    )


def folded(changes: Sequence[FileChange]) -> list[tuple[FileChange, int, int]]:
    """The changes of one status, sorted by path, but only the top of what came or went as a whole directory.

    Each with the number of files that it stands for and their size in bytes.
    """
    tops: dict[bytes, list[int]] = {}
    out: list[tuple[FileChange, list[int]]] = []
    for file in changes:
        entry = file.change.new or file.change.old
        assert entry is not None
        top = innermost(file.change.path.rpartition(b"/")[0], tops)
        is_dir = entry.type is Type.DIR
        if top is not None:
            tops[top][0] += not is_dir
            tops[top][1] += entry.size
            continue
        counts = [int(not is_dir), entry.size]
        if is_dir:
            tops[file.change.path] = counts
        out.append((file, counts))
    return [(file, count, size) for file, (count, size) in out]
