"""The journal's text: nothing but what `encode` writes is read. Round trips of random records are in properties/."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from gitsnap.core.component import Part
from gitsnap.core.errors import IntegrityError
from gitsnap.core.journal import MetadataChange, Motion, Move, Record, Stage, decode, encode
from gitsnap.core.model import Entry, Type

RECORD = Record(
    "0123456789ab",
    "2026-03-01T12:00:00Z",
    b"/srv/app\xff",
    7,
    "2026-03-01T12-00-00Z-a",
    "2026-03-01T12-00-01Z-b",
    (b"a", b"b\xfe"),
    Part("p", {"p": ("lib/**",)}, frozenset({b"lib", b""})),
    b"*.log\n",
    b"x\xff",
    [Stage(b"", 0o755, 1, -2, 9), Stage(b"d/e", 0o700, 3, 4)],
    [Move(Motion.SWAP, b"f", 0, 1, 11, 12, 13, -14), Move(Motion.OUT, b"g", 1, 0)],
    [
        MetadataChange(b"h", None, Entry(b"h", Type.FILE, 0o644, 1, 2, mtime_ns=5, xattrs=(("user.a", b"\0b"),))),
        MetadataChange(b"", Entry(b"", Type.DIR, 0o755, mtime_ns=-6), None),
    ],
    (b"c",),
)


def changed(change: Callable[[list[Any]], None]) -> bytes:
    """The record with other contents, and a digest that is right."""
    sections = [json.loads(line) for line in encode(RECORD).split(b"\n")[:4]]
    change(sections)
    body = "".join(json.dumps(section) + "\n" for section in sections).encode()
    return body + b"sha256 " + hashlib.sha256(body).hexdigest().encode() + b"\n"


def test_there_and_back() -> None:
    assert decode(encode(RECORD)) == RECORD
    assert decode(changed(lambda _: None)) == RECORD
    bare = replace(RECORD, paths=(), part=None, leaving=None, stages=[], moves=[], metadata_changes=[])
    assert decode(encode(bare)) == bare
    assert decode(encode(replace(RECORD, leaving=()))).leaving == ()


def test_where_the_stages_are() -> None:
    assert RECORD.stage_name.endswith(b"0123456789ab")
    assert RECORD.stage_paths() == {RECORD.stage_name, b"d/e/" + RECORD.stage_name}


@pytest.mark.parametrize("at", range(0, len(encode(RECORD)), 37))
def test_one_bit(at: int) -> None:
    data = bytearray(encode(RECORD))
    data[at] ^= 1
    with pytest.raises(IntegrityError):
        decode(bytes(data))


@pytest.mark.parametrize("cut", [0, 1, 64, 65, 72, 200])
def test_a_text_that_was_cut_off(cut: int) -> None:
    with pytest.raises(IntegrityError, match="digest"):
        decode(encode(RECORD)[: -cut - 1])


def header(key: str, value: Any) -> Callable[[list[Any]], None]:
    return lambda s: s[0].__setitem__(key, value)


def row(section: int, number: int, field: int, value: Any) -> Callable[[list[Any]], None]:
    return lambda s: s[section][number].__setitem__(field, value)


def column(name: str, number: int, value: Any) -> Callable[[list[Any]], None]:
    return lambda s: s[3][name].__setitem__(number, value)


@pytest.mark.parametrize(
    "change",
    [
        header("gitsnap-journal", 1),
        header("gitsnap-journal", 3),
        header("gitsnap-journal", "2"),
        header("gitsnap-journal", 2.0),
        header("transaction", "0123456789a"),
        header("transaction", "0123456789aB"),
        header("transaction", "../3456789ab"),
        header("root", "srv"),
        header("root", "/a\0b"),
        header("root", 3),
        header("root-inode", -1),
        header("root-inode", True),
        header("root-inode", 1 << 64),
        header("target", "../x"),
        header("safety", ""),
        header("paths", "a"),
        header("paths", ["../a"]),
        header("paths", ["a//b"]),
        header("leaving", ["/a"]),
        header("leaving", [1]),
        header("part", ["p", {}]),
        header("part", ["p", {"p": "lib"}, []]),
        header("ignore", None),
        row(1, 0, 0, ".."),
        row(1, 0, 0, "/etc"),
        row(1, 0, 1, 0o10000),
        row(1, 0, 1, -1),
        row(1, 0, 2, 1 << 79),
        row(1, 0, 3, "1"),
        row(1, 0, 4, -1),
        row(2, 0, 0, "sideways"),
        row(2, 0, 1, ""),
        row(2, 0, 1, "../g"),
        row(2, 0, 1, "a/./b"),
        row(2, 0, 2, 1),
        row(2, 0, 2, -1),
        row(2, 0, 3, 2),
        row(2, 0, 4, -1),
        row(2, 0, 5, 0.5),
        row(2, 0, 6, -2),
        row(2, 0, 7, None),
        column("paths", 0, "a/../b"),
        column("old", 1, 2),
        column("old", 1, -2),
        column("new", 0, "0"),
        column("new-times", 0, 1 << 79),
        lambda s: s[3]["paths"].append("i"),
        lambda s: s[3]["looks"][0].__setitem__(0, "fifth"),
        lambda s: s[3]["looks"][0].__setitem__(1, 0o10000),
        lambda s: s[3]["looks"][0].__setitem__(2, 1 << 32),
        lambda s: s[3]["looks"][0].__setitem__(4, [["user.a", "no base64"]]),
        lambda s: s[0].pop("exclude"),
        lambda s: s.pop(),
        lambda s: s.append([]),
        lambda s: s.__setitem__(1, {}),
        lambda s: s.__setitem__(3, []),
    ],
)
def test_what_is_not_written_by_us(change: Callable[[list[Any]], None]) -> None:
    with pytest.raises(IntegrityError, match="journal of an interrupted rollback is damaged"):
        decode(changed(change))


def test_one_of_before_merges_were_noted() -> None:
    assert decode(changed(lambda s: s[0].pop("leaving"))) == replace(RECORD, leaving=None)
