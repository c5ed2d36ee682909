"""The commit's message under random facts and random damage."""

from __future__ import annotations

import dataclasses
import re
from datetime import UTC, datetime

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gitsnap.core.errors import IntegrityError
from gitsnap.core.message import format_message, normalize_message, parse_message
from gitsnap.core.model import Kind, Snapshot

relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

CREATED = datetime(2025, 8, 10, 3, 40, 11, tzinfo=UTC)
DIGESTS = st.binary(min_size=32, max_size=32).map(bytes.hex)
LABELS = st.text("abc09._-", min_size=1, max_size=8)
PIECES = [
    "\n",
    "\n\n",
    "\r\n",
    "\r",
    " ",
    "Gitsnap-Id: x",
    "Gitsnap-Tag: x",
    "pre: ",
    "\t",
    "\\n",
    "---",
    "a",
    "é",
    "\u2028",
]
LINES = st.one_of(st.lists(st.sampled_from(PIECES), max_size=8).map("".join), st.text(max_size=12))
MESSAGES = LINES.filter(lambda text: "\0" not in text)
# Any code unit, so that undecodable bytes in commands are among them.
FREE = st.one_of(
    st.text(st.characters(), min_size=1, max_size=8), st.text("\\nx \n\t\x00\x85\udcff", min_size=1, max_size=5)
)
COUNTS = st.integers(0, 10**19 - 1)


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    label = draw(LABELS)
    return Snapshot(
        id=f"2025-08-10T03-40-11Z-{label}",
        commit="c" * 40,
        tree="d" * 40,
        created=CREATED,
        kind=draw(st.sampled_from(list(Kind))),
        label=label,
        message=draw(MESSAGES),
        files=draw(COUNTS),
        bytes=draw(COUNTS),
        manifest_sha256=draw(DIGESTS),
        metadata_sha256=draw(DIGESTS),
        previous_manifest_sha256=draw(st.none() | DIGESTS),
        tags=tuple(draw(st.lists(FREE, max_size=3))),
        pinned=draw(st.booleans()),
        upgrade=draw(st.none() | FREE),
        command=draw(st.none() | FREE),
        exit_code=draw(st.none() | st.integers(-255, 255)),
        partial=draw(COUNTS),
    )


def parse(message: bytes, like: Snapshot) -> Snapshot:
    """Both ways of reading must agree."""
    both: list[Snapshot | str] = []
    for many in (False, True):
        try:
            both.append(
                parse_message(
                    message,
                    commit=like.commit,
                    tree=like.tree,
                    created=like.created,
                    pinned=like.pinned,
                    one_of_many=many,
                )
            )
        except IntegrityError as error:
            both.append(str(error))
    assert both[0] == both[1]
    if isinstance(both[0], str):
        raise IntegrityError(both[0])
    return both[0]


def plain(snapshot: Snapshot) -> Snapshot:
    """The same with nothing but what nearly all have."""
    message = snapshot.message.encode("ascii", "ignore").decode().partition("\n")[0]
    return dataclasses.replace(
        snapshot, message=message, tags=(), upgrade=None, command=None, exit_code=None, partial=0
    )


@relaxed
@given(snapshots() | snapshots().map(plain))
def test_what_is_written_is_read_back(snapshot: Snapshot) -> None:
    text = format_message(snapshot)
    stored = normalize_message(snapshot.message, kind=snapshot.kind, label=snapshot.label)
    assert parse(text, snapshot) == dataclasses.replace(snapshot, message=stored)
    subject, blank, _ = text.decode().split("\n", 2)
    assert (subject, blank) == (f"{snapshot.kind}: {stored.partition(chr(10))[0]}", "")
    trailers = text.decode().rpartition("\n\n")[2]
    assert re.fullmatch(r"(Gitsnap-[A-Za-z0-9-]+: [^\x00-\x1f\x7f]+\n)+", trailers)


@relaxed
@given(snapshots() | snapshots().map(plain), st.data())
def test_damage_never_passes_for_the_same(snapshot: Snapshot, data: st.DataObject) -> None:
    text = format_message(snapshot)
    read = parse(text, snapshot)
    at = data.draw(st.integers(0, len(text) - 1))
    likely = st.sampled_from([b"\n", b"\\", b":", b" ", b"-", b"0", b"1", b"a", b"\0"])
    byte = data.draw(st.one_of(likely, st.binary(min_size=1, max_size=1)))
    flipped, inserted, deleted = (
        text[:at] + byte + text[at + 1 :],
        text[:at] + byte + text[at:],
        text[:at] + text[at + 1 :],
    )
    damaged = data.draw(st.sampled_from([flipped, inserted, deleted]))
    try:
        again = parse(damaged, snapshot)
    except IntegrityError:
        return
    assert (again == read) == (damaged == text)


@relaxed
@given(st.binary(max_size=100))
def test_noise_is_refused_and_nothing_worse(noise: bytes) -> None:
    for text in (noise, b"pre: x\n\n" + noise, noise + b"\n\nGitsnap-Id: x\n"):
        try:
            parse_message(text, commit="", tree="", created=CREATED, pinned=False)
        except IntegrityError:
            continue
