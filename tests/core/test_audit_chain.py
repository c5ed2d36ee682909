"""The chain of the audit log: what proves it whole, and what each kind of change is told as."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitsnap.core.audit import NOTHING, Chain, Link, decode, digest, encode, link_of, outcome_of

Lines = list[bytes]


def written(count: int) -> Lines:
    out: Lines = []
    last = NOTHING
    for number in range(count):
        out.append(encode(last, {"action": "snapshot", "counts": {"files": number}}))
        last = Link(last.sequence + 1, digest(out[-1]))
    return out


def wrong(lines: Lines, *ends: Link, vouched: Link = NOTHING) -> list[str]:
    chain = Chain({vouched.sequence})
    for line in lines:
        chain.take(line)
    return chain.conclude(ends, {"the seal over the refs": vouched})


def end(lines: Lines) -> Link:
    return Link(len(lines), digest(lines[-1]))


def changed(line: bytes) -> bytes:
    return line.replace(b'"snapshot"', b'"rollback"')


def test_what_was_written_is_whole() -> None:
    lines = written(5)
    assert wrong(lines, end(lines)) == []
    assert wrong([], NOTHING) == []
    # A kill before and after the line was added.
    assert wrong(lines, end(lines[:4]), end(lines)) == []
    assert wrong(lines[:4], end(lines[:4]), end(lines)) == []


def renumbered(lines: Lines, gone: int) -> Lines:
    kept = [json.loads(line) for n, line in enumerate(lines) if n != gone]
    return [
        (json.dumps({**doc, "sequence": n}, separators=(",", ":")) + "\n").encode()
        for n, doc in enumerate(kept, start=1)
    ]


TAMPERED: dict[str, tuple[Callable[[Lines], Lines], str]] = {
    "a line changed": (lambda x: [*x[:2], changed(x[2]), *x[3:]], "line 3 was changed"),
    "the first changed": (lambda x: [changed(x[0]), *x[1:]], "line 1 was changed"),
    "the last changed": (lambda x: [*x[:4], changed(x[4])], "line 5, the last one, was changed"),
    "a line removed": (lambda x: [*x[:2], *x[3:]], "line 3 is missing"),
    "the first removed": (lambda x: x[1:], "line 1 is missing"),
    "lines removed": (lambda x: [x[0], *x[3:]], "lines 2 to 3 are missing"),
    "removed, and numbered again": (lambda x: renumbered(x, 2), "line 2 was changed"),
    "cut": (lambda x: x[:3], "lines 4 to 5 are missing at the end"),
    "all gone": (lambda x: [], "lines 1 to 5 are missing at the end"),
    "reordered": (lambda x: [x[0], x[2], x[1], *x[3:]], "line 2 stands after line 3"),
    "a line twice": (lambda x: [*x[:3], x[2], *x[3:]], "line 3 stands after line 3"),
    "a line added at the end": (
        lambda x: [*x, encode(end(x), {"action": "rollback"})],
        "line 6 is not gitsnap's: added at the end",
    ),
    "a line added before the first": (
        lambda x: [encode(NOTHING, {"action": "init"}), *x],
        "line 1 stands after line 1",
    ),
    "words added": (lambda x: [*x[:3], b"hello\n", *x[3:]], "what stands after line 3 cannot be read"),
    "an empty line": (lambda x: [*x[:3], b"\n", *x[3:]], "what stands after line 3 cannot be read"),
    "a line's end": (lambda x: [*x[:4], x[4][:-1]], "what stands after line 4 cannot be read"),
}


@pytest.mark.parametrize("kind", TAMPERED)
def test_what_was_done_to_it_is_told(kind: str) -> None:
    lines = written(5)
    tamper, told = TAMPERED[kind]
    found = wrong(tamper(lines), end(lines))
    assert any(f.startswith(told) for f in found), found


def test_all_of_it_written_anew_is_told_by_who_has_seen_it() -> None:
    lines = written(5)
    forged = [changed(lines[0])]
    for line in lines[1:]:
        after = Link(len(forged), digest(forged[-1]))
        forged.append(encode(after, {k: v for k, v in json.loads(line).items() if k not in ("previous", "sequence")}))
    assert wrong(forged, end(forged)) == []
    seen = Link(2, digest(lines[1]))
    assert wrong(forged, end(forged), vouched=seen) == ["line 2 is not the one that the seal over the refs names"]
    assert wrong(lines, end(lines), vouched=seen) == []


@given(st.data())
def test_no_byte_can_change(data: st.DataObject) -> None:
    lines = written(4)
    text = b"".join(lines)
    at = data.draw(st.integers(0, len(text) - 1))
    cut = data.draw(st.integers(0, 3))
    put = data.draw(st.binary(max_size=3))
    other = text[:at] + put + text[at + cut :]
    if other != text:
        assert wrong(other.splitlines(keepends=True), end(lines))


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.lists(st.text()), min_size=1, max_size=5))
def test_a_line_is_one_line_of_ascii(record: dict[str, object]) -> None:
    clean = {k: v for k, v in record.items() if k not in ("previous", "sequence")} | {"action": "x"}
    line = encode(Link(7, "ab" * 32), clean)
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert link_of(line) == Link(8, digest(line))
    assert decode(line) == {"previous": "ab" * 32, "sequence": 8, **clean}


@pytest.mark.parametrize(
    "line", [b"", b"\n", b"{}\n", b"[]\n", b'{"sequence":"1"}\n', b"[" * 10_000 + b"\n", b"\xff\n"]
)
def test_what_is_none_of_ours(line: bytes) -> None:
    assert decode(line) is None
    assert link_of(line) is None


def test_outcomes() -> None:
    assert [outcome_of(c) for c in (0, 1, 2, 3, 11, 12, 20, 21, 130)] == [
        "done",
        "failed",
        "refused",
        "incomplete",
        "refused",
        "damaged",
        "rolled-back",
        "rollback-failed",
        "interrupted",
    ]
    assert outcome_of(1, "pinned") == "refused"
