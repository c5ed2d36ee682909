"""How large a page may grow: every part is weighed before it goes in."""

from __future__ import annotations

from gitsnap.cli.report.html import Html


class Budget:
    """Bytes that may still be used."""

    def __init__(self, room: int) -> None:
        self.left = room

    def takes(self, part: Html) -> bool:
        """Whether there is room for a part; if so it is taken."""
        size = part.size
        if size > self.left:
            return False
        self.left -= size
        return True

    def share(self, room: int) -> Budget:
        """A part of it for one section, at most what is left; what is not used there can be given back."""
        part = Budget(min(room, self.left))
        self.left -= part.left
        return part

    def give_back(self, part: Budget) -> None:
        """Take back what a section has not used."""
        self.left += part.left
        part.left = 0
