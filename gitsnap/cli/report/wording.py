"""Words that several parts of the page share: commands to type, names of changes, moments."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from gitsnap.cli.render import formatting
from gitsnap.cli.render.counts import WORDS
from gitsnap.cli.report.html import Html, escaped, tag
from gitsnap.core.comparison import Status
from gitsnap.core.quantity import size
from gitsnap.core.secrets.masker import DOTS

# What each kind of change is called, in the order of the page.
STATUSES = {
    status: WORDS[status]
    for status in (
        Status.ADDED,
        Status.MODIFIED,
        Status.REMOVED,
        Status.RENAMED,
        Status.TYPE,
        Status.METADATA,
    )
}
_ODD = re.compile(rb"[\x00-\x1f\x7f-\xff'\\]")
_LONGEST = 300


@dataclass(slots=True, frozen=True)
class Commands:
    """gitsnap commands as they can be typed anywhere on `host`: with the directory, and the sidecar if it was named."""

    here: str
    old: str
    new: str
    host: str = ""

    def gitsnap(self, command: str) -> str:
        """Any command."""
        return f"gitsnap {self.here} {command}"

    def diff(self, path: bytes | None = None, *, options: str = "") -> Html:
        """The diff between the two states, perhaps of one path."""
        text = self.gitsnap(f"diff {options}{self.old} {self.new}" + ("" if path is None else f" -- {shell(path)}"))
        return tag("code", text)


def shell(raw: bytes) -> str:
    """A path as bash, zsh and ksh read it, in printable ASCII where it is odd."""
    text = formatting.name(raw)
    if text.encode() == raw:
        return shlex.quote(text)
    return "$'" + _ODD.sub(lambda m: b"\\x%02x" % m[0][0], raw).decode("ascii") + "'"


def path(raw: bytes) -> Html:
    """A path; a very long one is shortened in the middle."""
    return tag("span", formatting.fit(formatting.name(raw) or ".", _LONGEST), class_="p")


def moment(when: datetime) -> str:
    """A moment in UTC: the page may be read anywhere."""
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def growth(count: int) -> str:
    """How much larger or smaller something is."""
    return ("−" if count < 0 else "+") + size(abs(count))


def more(count: int, noun: str, command: Html | None = None) -> Html:
    """The honest end of a list that was cut."""
    return tag("p", f"… and {formatting.many(count, noun)} more", ": " if command else None, command, class_="more")


def folded(parts: Sequence[Html], shown: int) -> list[Html]:
    """Parts for one file each: beyond the first `shown`, they are folded away together."""
    first, rest = list(parts[:shown]), parts[shown:]
    if len(rest) > 1:
        return [*first, tag("details", tag("summary", f"{len(rest):,} more files"), *rest, class_="rest")]
    return [*first, *rest]


def hiding() -> Html:
    """What the mask means."""
    return note(
        f"{DOTS} stands for what looks like a password, key or token. That is a guess, by names and forms. "
        "Where the sign after it is the same, the value is the same."
    )


def letter(status: Status) -> Html:
    """The mark of a kind of change, with its word for those who cannot see it."""
    return tag("abbr", status.letter, title=STATUSES[status], class_=f"s {css(status)}")


def css(status: Status) -> str:
    """The class of a kind of change."""
    return f"s-{status.value}"


def note(text: str) -> Html:
    """A remark in small print."""
    return tag("p", escaped(text), class_="note")
