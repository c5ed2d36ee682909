"""Which copies there are in what was named: a copy itself, an archive, or a folder that holds several."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC

from gitsnap.core import legacy_layout
from gitsnap.core.errors import UsageError

_ARCHIVE = re.compile(r"\.(?:zip|tgz|tbz2?|txz|tar(?:\.[a-z0-9]+)?)$", re.IGNORECASE)
# What lies beside copies to tell of them.
_ABOUT = re.compile(
    r"^(?:\..*|readme.*|.*(?:sums|manifest))$|\.(?:sha\d+|md5|sha\d+sums|asc|sig|txt|log|md|json|sql(?:\.[a-z0-9]+)?)$",
    re.IGNORECASE,
)
_DEPTH = 3


@dataclass(slots=True, frozen=True)
class Source:
    """One copy: its absolute `path`, and the `folder` that was named (the same where it was named itself)."""

    path: str
    folder: str

    @property
    def names(self) -> list[str]:
        """Its name, and those of the folders between, the nearest first: one of them may tell when it was made."""
        inner = os.path.relpath(self.path, self.folder).split("/")
        return [n for n in reversed(inner) if n != "."] or [os.path.basename(self.path)]


@dataclass(slots=True)
class Sources:
    """The copies, and what lies beside them in a folder of copies and is none."""

    copies: list[Source] = field(default_factory=list)
    beside: list[str] = field(default_factory=list)


def sources(named: Sequence[str], installation: str, layout: str | None) -> Sources:
    """The copies that are meant. `layout` tree takes every directory for one copy, as it lies there.

    UsageError for a folder that may be one copy, or hold several.
    """
    out, here = Sources(), _visible(installation)
    for name in named:
        path = os.path.realpath(name)
        inner = os.path.join(path, "backups")
        legacy = os.path.isdir(inner) and os.path.isfile(os.path.join(path, "version_history.json"))
        holder = inner if legacy else path
        found = None
        if layout != "tree" and os.path.isdir(holder) and not is_backup(holder) and holder != installation:
            found = _folder(holder, here, _DEPTH)
        if found is None:
            out.copies.append(Source(path, path))
        else:
            out.copies += [Source(copy, holder) for copy in found.copies]
            out.beside += found.beside
    return out


def is_backup(path: str) -> bool:
    """Whether it is a backup of the system that came before."""
    return all(os.path.isfile(os.path.join(path, n)) for n in ("checksums.sha256", "backup_manifest.json"))


def inner_root(folder: str, installation: str) -> str:
    """The directory that is the only thing in an unpacked archive, as most have one; else `folder` itself.

    Not where it is the installation's directory of that name, and so a part of it.
    """
    names = os.listdir(folder)
    inner = os.path.join(folder, names[0]) if len(names) == 1 else folder
    if inner == folder or not os.path.isdir(inner) or os.path.islink(inner):
        return folder
    below, here = _visible(inner), _visible(installation)
    is_part = names[0] in here and _like(below, _visible(os.path.join(installation, names[0])))
    return folder if is_part and not _like(below, here) else inner


@dataclass(slots=True)
class _Found:
    copies: list[str] = field(default_factory=list)
    beside: list[str] = field(default_factory=list)


def _folder(path: str, here: Collection[str], depth: int) -> _Found | None:
    """The copies in a folder; None for one that is a copy itself, or holds none."""
    names = sorted(os.listdir(path))
    if _like(_visible(path), here):
        return None
    found, sure, other = _Found(), False, []
    for name in names:
        full = os.path.join(path, name)
        if os.path.isdir(full) and not os.path.islink(full):
            alike = _like(_visible(full), here) or is_backup(full)
            deeper = _folder(full, here, depth - 1) if depth and not alike else None
            sure = sure or alike
            if deeper is not None:
                found.copies += deeper.copies
                found.beside += deeper.beside
            elif alike or legacy_layout.time_in(name, UTC) is not None:
                found.copies.append(full)
            else:
                other.append(full)
        elif _ARCHIVE.search(name) and os.path.isfile(full):
            found.copies.append(full)
        elif _ABOUT.search(name):
            found.beside.append(full)
        else:
            other.append(full)
    if not found.copies:
        return None
    if other and not sure:
        raise UsageError(
            f"{path} may be one copy, or hold {len(found.copies)} ({os.path.basename(found.copies[0])} among them): "
            f"{os.path.basename(other[0])} is none",
            path=path,
            hint="name the copies themselves; --layout tree takes the folder as one copy",
        )
    found.beside = sorted(found.beside + other)
    return found


def _visible(path: str) -> frozenset[str]:
    """The names in a directory that do not begin with a dot; none where there is no such directory."""
    try:
        return frozenset(n for n in os.listdir(path) if not n.startswith("."))
    except OSError:
        return frozenset()


def _like(names: Collection[str], here: Collection[str]) -> bool:
    """Whether two directories look like states of one: at least half of the names of the smaller are in the other."""
    common = len(set(names) & set(here))
    return common > 0 and 2 * common >= min(len(names), len(here))
