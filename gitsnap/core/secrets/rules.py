"""What the configuration adds: names and files of one's own, and whether anything of a configuration is shown."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gitsnap.core.secrets.names import Strength


@dataclass(slots=True, frozen=True)
class Rules:
    """`names` are globs of keys, in any capitals, that hold secrets; `files` globs of paths that hold nothing else.

    With `strict` no value of a configuration file is shown at all; with `wording` the values are what people read.
    """

    names: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    strict: bool = False
    wording: bool = False

    def is_own(self, name: str) -> bool:
        """Whether the configuration names a key so."""
        return any(fnmatchcase(name.lower(), pattern.lower()) for pattern in self.names)

    def strength(self, name: str) -> Strength:
        """What a key's name says of its value."""
        # Loaded late: every command reads the configuration, few show contents.
        from gitsnap.core.secrets.names import Strength, strength

        if self.is_own(name):
            return Strength.STRONG
        return strength(name)

    def holds_secrets(self, path: bytes) -> bool:
        """Whether a file is said to hold nothing but secrets. A glob without a slash is one of names."""
        text = path.decode("utf-8", "surrogateescape")
        name = text.rpartition("/")[2]
        return any(fnmatchcase(text if "/" in pattern else name, pattern.lstrip("/")) for pattern in self.files)


PLAIN = Rules()
