"""The journal's text: round trips, and nothing unsafe is ever read from one."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitsnap.core.component import Part
from gitsnap.core.errors import IntegrityError
from gitsnap.core.journal import MetadataChange, Motion, Move, Record, Stage, decode, encode
from gitsnap.core.model import Entry, Type

NAMES = st.binary(min_size=1, max_size=12).filter(lambda n: not {b"/", b"\0"} & {n[i : i + 1] for i in range(len(n))})
PATHS = st.lists(NAMES.filter(lambda n: n not in (b".", b"..")), min_size=1, max_size=4).map(b"/".join)
NUMBERS = st.integers(0, (1 << 64) - 1)
TIMES = st.integers(-(1 << 62), 1 << 62)
MODES = st.integers(0, 0o7777)
IDS = st.sampled_from(["2026-03-01T12-00-00Z-manual", "2025-12-31T23-59-59Z-safety-2"])


@st.composite
def entries(draw: st.DrawFn, path: bytes) -> Entry | None:
    if draw(st.booleans()):
        return None
    xattrs = draw(st.lists(st.tuples(st.text("abc.", min_size=1), st.binary(max_size=5)), max_size=2))
    ids = st.integers(0, (1 << 32) - 1)
    kind = draw(st.sampled_from(Type))
    return Entry(path, kind, draw(MODES), draw(ids), draw(ids), mtime_ns=draw(TIMES), xattrs=tuple(xattrs))


@st.composite
def records(draw: st.DrawFn) -> Record:
    stages = draw(
        st.lists(st.builds(Stage, PATHS | st.just(b""), MODES, TIMES, TIMES, NUMBERS), min_size=1, max_size=3)
    )
    moves = [
        Move(
            draw(st.sampled_from(Motion)),
            path,
            slot,
            draw(st.integers(0, len(stages) - 1)),
            draw(NUMBERS),
            draw(NUMBERS),
            draw(st.just(-1) | NUMBERS),
            draw(TIMES),
        )
        for slot, path in enumerate(draw(st.lists(PATHS, max_size=4)))
    ]
    metadata_changes = [
        MetadataChange(p, draw(entries(p)), draw(entries(p))) for p in draw(st.lists(PATHS | st.just(b""), max_size=3))
    ]
    texts = st.binary(max_size=20)
    globs = st.lists(st.sampled_from(["a/**", "*.json"]), max_size=2).map(tuple)
    tables = st.dictionaries(st.sampled_from(["core", "plugins"]), globs, max_size=2)
    parts = st.none() | st.builds(Part, st.sampled_from(["core", "."]), tables, st.frozensets(PATHS, max_size=2))
    return Record(
        draw(st.text("0123456789abcdef", min_size=12, max_size=12)),
        "2026-03-01T12:00:00+00:00",
        b"/" + draw(PATHS),
        draw(NUMBERS),
        draw(IDS),
        draw(IDS),
        tuple(draw(st.lists(PATHS, max_size=2))),
        draw(parts),
        draw(texts),
        draw(texts),
        stages,
        moves,
        metadata_changes,
    )


@given(records())
def test_round_trip(record: Record) -> None:
    assert decode(encode(record)) == record


@pytest.mark.parametrize("version", [1, 3, "2", True, None])
def test_another_version_is_refused_by_its_number(version: object) -> None:
    record = Record("0" * 12, "", b"/app", 1, *["2026-03-01T12-00-00Z-manual"] * 2)
    body = encode(record).rpartition(b"sha256 ")[0]
    body = body.replace(b'"gitsnap-journal":2', b'"gitsnap-journal":' + json.dumps(version).encode())
    with pytest.raises(IntegrityError, match=f"version {version!r}; this gitsnap knows 2"):
        decode(body + b"sha256 %s\n" % hashlib.sha256(body).hexdigest().encode())


@given(records(), st.data())
def test_any_damage_is_noticed(record: Record, data: st.DataObject) -> None:
    text = bytearray(encode(record))
    at = data.draw(st.integers(0, len(text) - 1))
    text[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(IntegrityError):
        decode(bytes(text))
    with pytest.raises(IntegrityError):
        decode(encode(record)[:at])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@given(records(), st.integers(0, 3), JSON, st.data())
def test_whatever_a_forger_writes_is_refused_or_safe(
    record: Record, line: int, put: object, data: st.DataObject
) -> None:
    """With a digest that matches: something in a line is anything at all."""
    lines = [json.loads(text) for text in encode(record).split(b"\n")[:4]]
    found = lines[line]
    if isinstance(found, dict):
        found[data.draw(st.sampled_from(sorted(found)))] = put
    elif found:
        row = found[data.draw(st.integers(0, len(found) - 1))]
        row[data.draw(st.integers(0, len(row) - 1))] = put
    else:
        lines[line] = put
    body = b"".join(json.dumps(each).encode() + b"\n" for each in lines)
    try:
        read = decode(body + b"sha256 %s\n" % hashlib.sha256(body).hexdigest().encode())
    except IntegrityError:
        return
    for path in [
        *(m.path for m in read.moves),
        *(d.path for d in read.metadata_changes),
        *(s.holder for s in read.stages),
    ]:
        assert not path.startswith(b"/")
        assert b".." not in path.split(b"/")
        assert b"\0" not in path
    assert all(m.stage < len(read.stages) for m in read.moves)


@given(st.binary(max_size=200))
def test_no_bytes_at_all_are_a_crash(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        decode(data)
    with pytest.raises(IntegrityError):
        decode(data + b"sha256 %s\n" % hashlib.sha256(data).hexdigest().encode())


@pytest.mark.parametrize("path", [b"/etc/passwd", b"../x", b"a/../../x", b"a//b", b"", b".", b"a/\0"])
def test_a_move_of_what_is_outside(path: bytes) -> None:
    record = Record("0" * 12, "", b"/app", 1, *["2026-03-01T12-00-00Z-manual"] * 2, stages=[Stage(b"", 0o755, 0, 0)])
    record.moves = [Move(Motion.OUT, path, 0, 0)]
    with pytest.raises(IntegrityError):
        decode(encode(record))
