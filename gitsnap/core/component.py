"""Components: named parts of an installation, by globs over its paths."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from gitsnap.core.errors import GitsnapError

PRESETS: dict[str, dict[str, tuple[str, ...]]] = {
    "claudio": {
        "commands": ("commands/**",),
        "agents": ("agents/**",),
        "configuration": ("settings*.json",),
        "project_content": ("**",),
    }
}
_WILD = re.compile(rb"\*\*/|\*\*|\*|\?|[^*?]+")
_MEANING = {b"**/": rb"(?:.*/)?", b"**": rb".*", b"*": rb"[^/]*", b"?": rb"[^/]"}


@lru_cache(maxsize=256)
def glob(pattern: str) -> re.Pattern[bytes]:
    """A glob over whole paths: `**` crosses directories, `*` and `?` do not; everything else is literal."""
    tokens = _WILD.findall(pattern.encode("utf-8", "surrogateescape"))
    return re.compile(b"".join(_MEANING.get(t) or re.escape(t) for t in tokens), re.DOTALL)


def component_of(path: bytes, components: Mapping[str, tuple[str, ...]]) -> str:
    """The component that a path belongs to: the first whose globs match.

    Without a table, each top-level directory is one, and what lies at the root is `.`; so is what no glob matches.
    """
    for name, globs in components.items():
        if any(glob(g).fullmatch(path) for g in globs):
            return name
    if components or b"/" not in path:
        return "."
    return path.partition(b"/")[0].decode("utf-8", "surrogateescape")


@dataclass(slots=True, frozen=True)
class Part:
    """One component by name, with the table that it is from; `folders` are the directories at the root where there is
    no table."""

    name: str
    components: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    folders: frozenset[bytes] = frozenset()

    def holds(self, path: bytes) -> bool:
        """Whether the path is in it."""
        if self.components:
            return path != b"" and component_of(path, self.components) == self.name
        if self.name == ".":
            return path != b"" and b"/" not in path and path not in self.folders
        raw = self.name.encode("utf-8", "surrogateescape")
        return path == raw or path.startswith(raw + b"/")


def part_named(
    name: str, components: Mapping[str, tuple[str, ...]], paths: Collection[bytes], folders: Collection[bytes]
) -> Part:
    """The component of this name. `paths` are those known to be there, `folders` the directories at the root.

    Raises GitsnapError for a name that no component and no path has.
    """
    if components:
        if name not in components and name != ".":
            raise _unknown(name, [*components, "."])
        return Part(name, components)
    raw = name.encode("utf-8", "surrogateescape")
    if name == ".":
        return Part(name, {}, frozenset(folders))
    if not any(p.startswith(raw + b"/") or p == raw for p in paths) or raw not in folders:
        raise _unknown(name, sorted({*(f.decode("utf-8", "surrogateescape") for f in folders), "."}))
    return Part(name)


def _unknown(name: str, known: Collection[str]) -> GitsnapError:
    return GitsnapError(
        f"there is no component '{name}'", kind="no-such-component", hint=f"there are {', '.join(known)}"
    )
