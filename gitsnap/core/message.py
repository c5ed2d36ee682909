r"""The message of a snapshot's commit: what a person says about it, then the facts as git trailers.

The subject is `<kind>: ` and the message's first line. The rest of the message follows, then the trailers, one a line,
in a fixed order. Only the last paragraph is trailers, so that nothing in a message can pass for one.

A message's first line and the second are always apart by a blank line, for git's sake. Where the message itself has
none there, two stand for none; where it has more than one, one is added.

Free text in a trailer (a command, a tag, an upgrade's id) stays on one line: a backslash is `\\`, newline, carriage
return and tab are `\n`, `\r`, `\t`, other control characters, line separators, undecodable bytes and spaces at either
end are `\xNN` or `\uNNNN`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import cache

from gitsnap.core.counts import Counts, format_counts, parse_counts
from gitsnap.core.errors import IntegrityError
from gitsnap.core.model import Kind, Snapshot
from gitsnap.core.outcome import Ending, Outcome

ID = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}-[0-9]{2}-[0-9]{2}Z-[a-z0-9._-]+")

_COUNT = r"0|[1-9][0-9]{0,18}"
_HEX = r"[0-9a-f]{64}"
_FREE = r"[^ ](?:.*[^ ])?"

# Each trailer's form, in the order they are written in.
_TRAILERS = {
    "Id": ID.pattern,
    "Kind": "|".join(Kind),
    "Label": r"[a-z0-9._-]+",
    "Sequence": r"[1-9][0-9]{0,17}",
    "Files": _COUNT,
    "Bytes": _COUNT,
    "Manifest-SHA256": _HEX,
    "Metadata-SHA256": _HEX,
    "Previous-Manifest-SHA256": _HEX,
    "Upgrade": _FREE,
    "Command": _FREE,
    "Exit-Code": r"0|-?[1-9][0-9]{0,9}",
    "Tag": _FREE,
    "Partial": r"[1-9][0-9]{0,18}",
    "Running": _FREE,
    "Undoes": ID.pattern,
    "Redoes": ID.pattern,
    "Purged": r"[1-9][0-9]{0,8}",
    "Directory": _FREE,
}
_REQUIRED = ("Id", "Kind", "Label", "Files", "Bytes", "Manifest-SHA256", "Metadata-SHA256")

# Looked up in a tenth of the time that the enumeration takes.
_KINDS = {kind.value: kind for kind in Kind}

_LINE = re.compile(r"Gitsnap-([A-Za-z0-9-]+): (.*)")
_UNPRINTABLE = re.compile("[\\\\\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]|\\A | \\Z")
_SHORT = {"\\": r"\\", "\n": r"\n", "\r": r"\r", "\t": r"\t"}
_ESCAPE = re.compile(r"\\(?:([\\nrt])|x([0-9a-f]{2})|u([0-9a-f]{4}))")
_LONG = {"\\": "\\", "n": "\n", "r": "\r", "t": "\t"}


@cache
def _form(name: str) -> Callable[[str], object]:
    """Tells whether a trailer's value has the form it must have. Compiled when it is asked for first."""
    return re.compile(_TRAILERS[name]).fullmatch


def normalize_message(message: str, *, kind: Kind, label: str) -> str:
    """The message as it is stored: LF for line ends, nothing blank around it, and never empty."""
    text = message.replace("\r\n", "\n").replace("\r", "\n").strip()
    return text or (label if label != kind else "snapshot")


def format_message(snapshot: Snapshot) -> bytes:
    """The commit's message. Raises ValueError for what no message can hold: NUL, a malformed id, label or digest."""
    text = _body(normalize_message(snapshot.message_taken, kind=snapshot.kind, label=snapshot.label))
    lines = []
    for name, value in _trailers(snapshot):
        if not _form(name)(value):
            raise ValueError(f"{value!r} cannot be the {name} of a snapshot")
        lines.append(f"Gitsnap-{name}: {value}\n")
    return f"{snapshot.kind}: {text}\n\n{''.join(lines)}".encode("utf-8", "surrogateescape")


def _body(text: str) -> str:
    """A message as it stands in a commit, its first line apart. ValueError where there is a NUL in it."""
    if "\0" in text:
        raise ValueError("the message contains a NUL")
    first, newline, rest = text.partition("\n")
    blank = "" if re.match(r"\n(?!\n)", rest) else "\n" if rest.startswith("\n") else "\n\n"
    return first + (f"{newline}{blank}{rest}" if rest else "")


def parse_message(
    message: bytes, *, commit: str, tree: str, created: datetime, pinned: bool, one_of_many: bool = False
) -> Snapshot:
    """Read a snapshot from its commit's message and from what the message does not say.

    Strict: whatever `format_message` would not have written is an IntegrityError. `one_of_many` tells that what takes
    long to prepare pays.
    """
    if one_of_many and (plain := _plain().fullmatch(message.decode("latin-1"))):
        kind, said, name, label, sequence, files, size, manifest, metadata, previous = plain.groups()
        return Snapshot(
            id=name,
            commit=commit,
            tree=tree,
            created=created,
            kind=_KINDS[kind],
            label=label,
            message=said,
            files=int(files),
            bytes=int(size),
            manifest_sha256=manifest,
            metadata_sha256=metadata,
            previous_manifest_sha256=previous,
            pinned=pinned,
            sequence=int(sequence) if sequence else None,
        )
    text, _, paragraph = message.decode("utf-8", "surrogateescape").rpartition("\n\n")
    found = _read_trailers(paragraph)
    one = {name: values[0] for name, values in found.items()}
    kind, marker, said = text.partition(": ")
    if not marker or kind != one["Kind"]:
        raise IntegrityError("the commit's subject does not start with the snapshot's kind")
    snapshot = Snapshot(
        id=one["Id"],
        commit=commit,
        tree=tree,
        created=created,
        kind=Kind(kind),
        label=one["Label"],
        message=_join(said),
        files=int(one["Files"]),
        bytes=int(one["Bytes"]),
        manifest_sha256=one["Manifest-SHA256"],
        metadata_sha256=one["Metadata-SHA256"],
        previous_manifest_sha256=one.get("Previous-Manifest-SHA256"),
        tags=tuple(map(unescape, found.get("Tag", ()))),
        pinned=pinned,
        upgrade=unescape(one["Upgrade"]) if "Upgrade" in one else None,
        command=unescape(one["Command"]) if "Command" in one else None,
        exit_code=int(one["Exit-Code"]) if "Exit-Code" in one else None,
        partial=int(one.get("Partial", 0)),
        sequence=int(one["Sequence"]) if "Sequence" in one else None,
        running=tuple(map(unescape, found.get("Running", ()))),
        undoes=one.get("Undoes"),
        redoes=one.get("Redoes"),
        purged=int(one.get("Purged", 0)),
        directories=tuple(map(unescape, found.get("Directory", ()))),
    )
    _check_canonical(snapshot, message)
    return snapshot


@cache
def _plain() -> re.Pattern[str]:
    """The commonest messages: one line of visible ASCII, and no trailers but those that nearly all have."""
    form = _TRAILERS
    return re.compile(
        rf"(?P<kind>{form['Kind']}): (?P<message>[!-~](?:[ -~]*[!-~])?)\n\n"
        rf"Gitsnap-Id: (?P<id>{form['Id']})\n"
        r"Gitsnap-Kind: (?P=kind)\n"
        rf"Gitsnap-Label: (?P<label>{form['Label']})\n"
        rf"(?:Gitsnap-Sequence: (?P<sequence>{form['Sequence']})\n)?"
        rf"Gitsnap-Files: (?P<files>{_COUNT})\n"
        rf"Gitsnap-Bytes: (?P<bytes>{_COUNT})\n"
        rf"Gitsnap-Manifest-SHA256: (?P<manifest>{_HEX})\n"
        rf"Gitsnap-Metadata-SHA256: (?P<metadata>{_HEX})\n"
        rf"(?:Gitsnap-Previous-Manifest-SHA256: (?P<previous>{_HEX})\n)?"
    )


# The trailers of an upgrade's record, in their order, and the fields that they hold.
_ENDING = {
    "Upgrade": "upgrade",
    "Outcome": "outcome",
    "Exit-Code": "exit_code",
    "Failure": "failure",
    "Failed-Check": "check",
    "Rollback-Failure": "rollback_error",
    "Command": "command",
    "Duration": "duration",
    "Changed-Files": "files",
    "Changed-Directories": "directories",
}


def format_ending(ending: Ending) -> bytes:
    """The message of the commit that records what became of an upgrade."""
    lines = [f"upgrade {ending.upgrade}: {ending.outcome}\n\n"]
    for name, field in _ENDING.items():
        value = _recorded(ending, field)
        if value not in (None, ""):
            lines.append(f"Gitsnap-{name}: {escape(str(value))}\n")
    return "".join(lines).encode("utf-8", "surrogateescape")


def _recorded(ending: Ending, field: str) -> object:
    if field == "duration":
        return None if ending.duration is None else f"{ending.duration:.3f}"
    if field in ("files", "directories"):
        return None if ending.changes is None else format_counts(getattr(ending.changes, field))
    return getattr(ending, field)


def _seconds(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,12}\.[0-9]{3}", text):
        raise ValueError(f"{text!r} are no seconds")
    return float(text)


def parse_ending(message: bytes) -> Ending:
    """The record of such a commit; IntegrityError for what `format_ending` would not have written."""
    found: dict[str, str] = {}
    for line in message.decode("utf-8", "surrogateescape").partition("\n\n")[2].splitlines():
        parts = _LINE.fullmatch(line)
        if parts is not None and parts[1] in _ENDING:
            found[_ENDING[parts[1]]] = unescape(parts[2])
    try:
        code = int(found.pop("exit_code")) if "exit_code" in found else None
        took = float(_seconds(found.pop("duration"))) if "duration" in found else None
        counts = [parse_counts(found.pop(kind)) for kind in ("files", "directories") if kind in found]
        changes = Counts(*counts) if len(counts) == 2 else None
        how = Outcome(found.pop("outcome"))
        ending = Ending(**found, outcome=how, exit_code=code, duration=took, changes=changes)
        written = format_ending(ending)
    except (KeyError, ValueError, TypeError):
        written = b""
    if written != message:
        raise IntegrityError("the record of an upgrade is not one that gitsnap writes")
    return ending


_RETURN = re.compile(
    rf"rollback: back to (?P<target>{ID.pattern})\n\n"
    r"(?:Gitsnap-Upgrade: [^\n]*\nGitsnap-Outcome: [^\n]*\n)*"
    r"Gitsnap-Rollback-To: (?P=target)\n"
    rf"Gitsnap-Rollback-After: (?P<after>{ID.pattern})\n"
    rf"Gitsnap-Rollback-Sequence: (?P<sequence>0|{_TRAILERS['Sequence']})\n"
)


def format_return(target: str, after: str, sequence: int, ended: Iterable[Ending] = ()) -> bytes:
    """The message of the commit that records a rollback to the snapshot `target`: `after` was the newest one then, with
    that number (0 for none). `ended` are the upgrades whose work it took away or brought back."""
    told = "".join(f"Gitsnap-Upgrade: {escape(e.upgrade)}\nGitsnap-Outcome: {e.outcome}\n" for e in ended)
    return (
        f"rollback: back to {target}\n\n{told}Gitsnap-Rollback-To: {target}\nGitsnap-Rollback-After: {after}\n"
        f"Gitsnap-Rollback-Sequence: {sequence}\n"
    ).encode("utf-8", "surrogateescape")


def parse_return(message: bytes) -> tuple[str, str, int]:
    """(target, after, sequence) of such a commit; IntegrityError for what `format_return` would not have written."""
    match = _RETURN.fullmatch(message.decode("utf-8", "surrogateescape"))
    if match is None:
        raise IntegrityError("the record of a rollback is not one that gitsnap writes")
    return match["target"], match["after"], int(match["sequence"])


_DESCRIBED = "described: "


def format_description(name: str, message: str, tags: Iterable[str]) -> bytes:
    """The message of the commit by which the snapshot `name` has another message and other tags; `message` as
    normalize_message() has it. ValueError for a NUL."""
    lines = [f"Gitsnap-Describes: {name}\n", *(f"Gitsnap-Tag: {escape(tag)}\n" for tag in tags)]
    return f"{_DESCRIBED}{_body(message)}\n\n{''.join(lines)}".encode("utf-8", "surrogateescape")


def parse_description(message: bytes) -> tuple[str, str, tuple[str, ...]]:
    """(id, message, tags) of such a commit; IntegrityError for what `format_description` would not have written."""
    text, _, paragraph = message.decode("utf-8", "surrogateescape").rpartition("\n\n")
    found: dict[str, list[str]] = {"Describes": [], "Tag": []}
    for line in paragraph.splitlines():
        parts = _LINE.fullmatch(line)
        if parts is not None and parts[1] in found:
            found[parts[1]].append(unescape(parts[2]))
    said, tags = _join(text.removeprefix(_DESCRIBED)), tuple(found["Tag"])
    name = found["Describes"][0] if found["Describes"] else ""
    if not ID.fullmatch(name) or "\0" in said or format_description(name, said, tags) != message:
        raise IntegrityError("the description of a snapshot is not one that gitsnap writes")
    return name, said, tags


_SIGNED = re.compile(
    rf"snapshot (?P<id>{ID.pattern})\n\nGitsnap-Id: (?P=id)\n"
    rf"Gitsnap-Manifest-SHA256: (?P<manifest>{_HEX})\nGitsnap-Metadata-SHA256: (?P<metadata>{_HEX})\n"
)


def format_signed(snapshot: Snapshot) -> bytes:
    """The message of the tag by which a snapshot is signed."""
    return (
        f"snapshot {snapshot.id}\n\nGitsnap-Id: {snapshot.id}\n"
        f"Gitsnap-Manifest-SHA256: {snapshot.manifest_sha256}\nGitsnap-Metadata-SHA256: {snapshot.metadata_sha256}\n"
    ).encode()


def parse_signed(message: bytes) -> tuple[str, str, str]:
    """(id, manifest's SHA-256, metadata's SHA-256) of such a message, whatever signature follows it; IntegrityError
    for what `format_signed` would not have written."""
    match = _SIGNED.match(message.decode("utf-8", "surrogateescape"))
    if match is None:
        raise IntegrityError("the tag is not one that gitsnap writes")
    return match["id"], match["manifest"], match["metadata"]


def _trailers(snapshot: Snapshot) -> list[tuple[str, str]]:
    values: dict[str, object] = {
        "Id": snapshot.id,
        "Kind": snapshot.kind,
        "Label": snapshot.label,
        "Sequence": snapshot.sequence,
        "Files": snapshot.files,
        "Bytes": snapshot.bytes,
        "Manifest-SHA256": snapshot.manifest_sha256,
        "Metadata-SHA256": snapshot.metadata_sha256,
        "Previous-Manifest-SHA256": snapshot.previous_manifest_sha256,
        "Upgrade": None if snapshot.upgrade is None else escape(snapshot.upgrade),
        "Command": None if snapshot.command is None else escape(snapshot.command),
        "Exit-Code": snapshot.exit_code,
        "Tag": tuple(map(escape, snapshot.tags_taken)),
        "Partial": snapshot.partial or None,
        "Running": tuple(map(escape, snapshot.running)),
        "Undoes": snapshot.undoes,
        "Redoes": snapshot.redoes,
        "Purged": snapshot.purged or None,
        "Directory": tuple(map(escape, snapshot.directories)),
    }
    trailers = []
    for name, value in values.items():
        each = value if isinstance(value, tuple) else () if value is None else (value,)
        trailers += [(name, str(text)) for text in each]
    return trailers


def _read_trailers(paragraph: str) -> dict[str, list[str]]:
    if not paragraph.endswith("\n"):
        raise IntegrityError("the commit's message has no final newline")
    found: dict[str, list[str]] = {}
    for line in paragraph[:-1].split("\n"):
        parts = _LINE.fullmatch(line)
        if parts is None or parts[1] not in _TRAILERS or not _form(parts[1])(parts[2]):
            raise IntegrityError(f"malformed trailer in the commit's message: {line!r}")
        if parts[1] in found and parts[1] not in ("Tag", "Running", "Directory"):
            raise IntegrityError(f"the commit's message has the trailer Gitsnap-{parts[1]} twice")
        found.setdefault(parts[1], []).append(parts[2])
    for name in _REQUIRED:
        if name not in found:
            raise IntegrityError(f"the commit's message has no trailer Gitsnap-{name}")
    return found


def _join(said: str) -> str:
    """The message from its first line and body, with as many blank lines after the first as it had."""
    first, _, rest = said.partition("\n")
    blank = len(rest) - len(rest.lstrip("\n"))
    if blank == 2:
        rest = rest[2:]
    elif blank > 2:
        rest = rest[1:]
    return f"{first}\n{rest}" if rest else first


def _check_canonical(snapshot: Snapshot, message: bytes) -> None:
    try:
        written = format_message(snapshot)
    except ValueError:
        written = b""
    if written != message:
        raise IntegrityError("the commit's message is not one that gitsnap writes")


def escape(text: str) -> str:
    """Free text as it stands on one line of a trailer."""
    return _UNPRINTABLE.sub(_escape_one, text)


def _escape_one(found: re.Match[str]) -> str:
    char = found[0]
    return _SHORT.get(char) or (f"\\x{ord(char):02x}" if ord(char) < 0x100 else f"\\u{ord(char):04x}")


def unescape(text: str) -> str:
    """What `escape` was given."""
    return _ESCAPE.sub(lambda found: _LONG[found[1]] if found[1] else chr(int(found[2] or found[3], 16)), text)
