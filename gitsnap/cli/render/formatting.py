"""Numbers, times, sizes and names as people read them; safe on a terminal whatever a name holds."""

from __future__ import annotations

import errno
import os
import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from gitsnap.core.errors import GitsnapError, SecretsError, exhausted
from gitsnap.core.quantity import size

if TYPE_CHECKING:
    from gitsnap.core.comparison import Change

__all__ = [
    "ago",
    "clip",
    "duration",
    "failure",
    "fit",
    "from_system",
    "line",
    "many",
    "metadata",
    "name",
    "named_secrets",
    "size",
    "unambiguous",
    "when",
]

# How many paths of an error are named one by one.
_LISTED = 20
# Zero-width joiners are part of some scripts' words and stay.
_UNSEEN = r"\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f"
# No path is as long: nobody wants to see all of it, nor to copy it.
_ENDLESS = re.compile(r"\S{4097,}")
_ENDLESS_SHOWN = 60
_CONTROL = re.compile(rf"[\x00-\x1f\ud800-\udfff{_UNSEEN}]")
# What JSON leaves as it is.
_MISLEADING = re.compile(f"[{_UNSEEN}]")


# What became of an upgrade, as the end of a sentence about it.
OUTCOMES = {
    "kept": "was kept",
    "rolled-back": "was rolled back",
    "rollback-failed": "could not be rolled back",
    "reverted": "was kept, and reverted later",
    "unknown": "ended, nobody knows how",
}

_LIMITS = "it is this process that has run out, no file is to blame: raise the limit (ulimit -n) and try again"
_HINTS = {
    errno.EMFILE: _LIMITS,
    errno.ENFILE: "the machine has run out of open files, none of yours is to blame: try again when it has some",
    errno.ENOMEM: "it is memory that has run out, no file is to blame: try again with more of it",
    errno.EAGAIN: "no more processes or threads may be started (ulimit -u): try again with more of them",
    errno.ENAMETOOLONG: "a name has at most 255 bytes, a path 4,095",
    errno.ENOSPC: "make room and try again",
    errno.EDQUOT: "make room and try again",
    errno.EACCES: "run gitsnap as someone who may do that",
    errno.EPERM: "run gitsnap as someone who may do that",
}


def name(raw: bytes | str) -> str:
    """A path for a person: control characters, direction marks, what is not seen and undecodable bytes as escapes."""
    text = raw.decode("utf-8", "surrogateescape") if isinstance(raw, bytes) else raw

    def escape(match: re.Match[str]) -> str:
        code = ord(match[0])
        if 0xDC80 <= code <= 0xDCFF:
            return f"\\x{code - 0xDC00:02x}"
        return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(
            match[0], f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
        )

    return _CONTROL.sub(escape, text)


def line(raw: bytes | str) -> str:
    """A line of somebody's text for a terminal: as `name`, but tabs stay."""
    text = raw.decode("utf-8", "surrogateescape") if isinstance(raw, bytes) else raw
    return "\t".join(map(name, text.split("\t")))


def unambiguous(json: str) -> str:
    """A JSON text with escapes for what a terminal would act upon or hide, the same to every reader."""
    return _MISLEADING.sub(lambda m: "".join(f"\\u{n:04x}" for n in _utf16(m[0])), json)


def _utf16(character: str) -> list[int]:
    raw = character.encode("utf-16-be")
    return [int.from_bytes(raw[at : at + 2], "big") for at in range(0, len(raw), 2)]


def many(count: int, noun: str, plural: str | None = None) -> str:
    """`1 file`, `2 files`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def metadata(change: Change) -> str:
    """What of a path's metadata differs, with old and new value where these are short."""
    old, new = change.old, change.new
    if old is None or new is None:
        return ", ".join(change.what)
    told = []
    for what in change.what:
        if what == "mode":
            told.append(f"mode {old.mode:04o} -> {new.mode:04o}")
        elif what == "owner":
            told += _owner("owner", (old.uid, old.uname), (new.uid, new.uname))
            told += _owner("group", (old.gid, old.gname), (new.gid, new.gname))
        else:
            told.append(what)
    return ", ".join(told)


def _owner(noun: str, old: tuple[int, str], new: tuple[int, str]) -> list[str]:
    """By name, with the numbers where the names do not tell them apart."""
    if old[0] == new[0]:
        return []
    shown = [name(who or str(number)) for number, who in (old, new)]
    if shown[0] == shown[1]:
        shown = [f"{who} ({number})" for who, (number, _) in zip(shown, (old, new), strict=True)]
    return [f"{noun} {shown[0]} -> {shown[1]}"]


def when(moment: datetime) -> str:
    """A moment in the local zone."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def short_when(moment: datetime, now: datetime) -> str:
    """A moment in the local zone, in eleven columns: day and time, or of another year the day."""
    form = "%m-%d %H:%M" if abs((now - moment).days) < 300 else "%Y-%m-%d"
    return moment.astimezone().strftime(form)


def age(moment: datetime, now: datetime) -> str:
    """How old it is in at most five columns: 5s, 12min, 3h, 40d, 2y."""
    gone = max(int((now - moment).total_seconds()), 0)
    for unit, length, most in (("s", 1, 100), ("min", 60, 100), ("h", 3600, 48), ("d", 86400, 1000)):
        if gone < most * length:
            return f"{gone // length}{unit}"
    return f"{gone // (86400 * 365)}y"


def ago(moment: datetime, now: datetime) -> str:
    """How long ago, roughly."""
    gone = int((now - moment).total_seconds())
    if gone < 5:
        return "just now"
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if gone >= 2 * length or (gone >= length and unit != "minute"):
            return f"{many(gone // length, unit)} ago"
    return f"{many(gone, 'second')} ago"


def duration(length: float) -> str:
    """Seconds, or minutes and seconds."""
    return f"{length:.1f} s" if length < 60 else f"{int(length) // 60} min {int(length) % 60} s"


def span(length: timedelta) -> str:
    """A length of time that is given in whole hours."""
    hours = round(length.total_seconds() / 3600)
    return many(hours, "hour") if hours % 24 else many(hours // 24, "day")


def clip(text: str, width: int | None) -> str:
    """The text, shortened to `width` columns where there is a width."""
    if width is None or len(text) <= width:
        return text
    return text[: max(width - 1, 1)] + "…"


def fit(text: str, width: int | None) -> str:
    """The text, shortened in the middle to `width` columns where there is a width."""
    if width is None or len(text) <= width:
        return text
    kept = max(width - 1, 8)
    return f"{text[: kept // 3]}…{text[-(kept - kept // 3) :]}"


def failure(error: GitsnapError) -> str:
    """An error in one sentence, naming its path, and what to do next on a line of its own."""
    sentence, path = name(error.message), name(error.path or b"")
    if isinstance(error.path, bytes) and path not in sentence:
        sentence += f" ({path})"
    sentence, hint = (_ENDLESS.sub(lambda word: fit(word[0], _ENDLESS_SHOWN), t) for t in (sentence, error.hint or ""))
    listed = "".join(f"    {line}\n" for line in named_secrets(error))
    return f"gitsnap: {sentence}\n" + listed + (f"  {name(hint)}\n" if hint else "")


def named_secrets(error: BaseException) -> list[str]:
    """Where the secrets are of which an error tells, one a line."""
    found = error.found if isinstance(error, SecretsError) else ()
    more = [f"... and {len(found) - _LISTED:,} more, which --json lists"] * (len(found) > _LISTED)
    return [f"{name(where)}: {name(key)}" for where, key in found[:_LISTED]] + more


def from_system(error: OSError) -> GitsnapError:
    """An error of the operating system as one of ours."""
    named = isinstance(error.filename, (str, bytes)) and not exhausted(error)
    path = os.fsdecode(error.filename) if named else None
    told = error.strerror or type(error).__name__
    return GitsnapError(told + (f": {path}" if path else ""), kind="io", path=path, hint=_HINTS.get(error.errno or 0))
