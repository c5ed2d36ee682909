"""Secrets in what a command says: masked at the way out, with an engine that is loaded when there may be one."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gitsnap.core.secrets import hints
from gitsnap.core.secrets.rules import PLAIN, Rules

if TYPE_CHECKING:
    from gitsnap.core.secrets.masker import Masker

# The fields of documents and events that hold text that somebody has written, and what programs said.
_FREE = hints.words(
    "command message description failure failed_check rollback_error problem reason reasons output check checks hint"
    " error advice about cause"
)
# Lists of entries, which have no such fields and may be long.
_LONG = frozenset(["entries", "changes", "components", "matches"])


class Masking:
    """What is not to be shown. `key` gives the key of the marks when the first is made."""

    def __init__(self, rules: Rules = PLAIN, key: Callable[[], bytes] = bytes, *, shows: bool = False) -> None:
        self._rules, self._key, self.shows = rules, key, shows
        self._loaded = False

    @cached_property
    def masker(self) -> Masker:
        """The engine."""
        from gitsnap.core.secrets.masker import Masker

        self._loaded = True
        return Masker(self._rules, b"" if self.shows else self._key(), shows=self.shows)

    def text(self, text: str) -> str:
        """A command line, a message, or what a program said."""
        may = self._loaded or bool(self._rules.names) or hints.may_hold(text)
        return self.masker.text(text) if may and not self.shows else text

    def known(self, text: str) -> str:
        """A line of our own, in which values may stand that were found before."""
        return self.masker.known(text) if self._loaded and not self.shows else text

    def document(self, content: Any, *, free: bool = False) -> Any:
        """A document, with its free texts masked."""
        if self.shows:
            return content
        if isinstance(content, dict):
            return {
                key: value
                if key in _LONG and isinstance(value, (list, dict))
                else self.document(value, free=key in _FREE)
                for key, value in content.items()
            }
        if isinstance(content, (list, tuple)):
            return [self.document(item, free=free) for item in content]
        return self.text(content) if free and isinstance(content, str) else content
