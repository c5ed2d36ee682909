"""Deltas of texts make the text they were made of, whatever the two have in common."""

from __future__ import annotations

import hashlib

import pytest
from dulwich.pack import apply_delta
from hypothesis import given
from hypothesis import strategies as st

from gitsnap.sidecar.git import delta_write, deltas

LINES = st.lists(st.sampled_from([b"", b"a", b"ab", b"b" * 300, b"c", b"# bytes 1", b"\\134", b"d" * 70]), max_size=60)
ENDS = st.sampled_from([b"", b"\n", b"a", b"\n\n"])


@given(LINES, LINES, ENDS, ENDS)
def test_of_any_lines(old: list[bytes], new: list[bytes], end: bytes, other: bytes) -> None:
    base, text = b"\n".join(old) + end, b"\n".join(new) + other
    delta = delta_write.make(base, text)
    assert deltas.apply(base, delta) == b"".join(apply_delta(base, delta)) == text


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 999), st.binary(max_size=9)), max_size=40))
def test_of_edits(edits: list[tuple[int, int, bytes]]) -> None:
    lines = [hashlib.sha256(b"%d" % n).hexdigest().encode() + b"  file %04d" % n for n in range(1000)]
    base = b"\n".join(lines) + b"\n"
    for what, number, word in edits:
        at = number % len(lines)
        if what == 0:
            del lines[at]
        else:
            lines[at : at + what - 1] = [word.replace(b"\n", b"")]
    text = b"\n".join(lines) + b"\n"
    delta = delta_write.make(base, text)
    assert deltas.apply(base, delta) == text
    assert len(delta) < 40 + 60 * (len(edits) + 1)


@pytest.mark.parametrize("some", [b"", b"x", b"x\n"])
def test_of_next_to_nothing(some: bytes) -> None:
    for other in (b"", b"y", b"y\n" * 3, b"x" * 0x1010000 + b"\n"):
        for base, text in ((some, other), (other, some)):
            delta = delta_write.make(base, text)
            assert deltas.apply(base, delta) == text
    large = b"x" * 0x1010000 + b"\n"
    delta = delta_write.make(large, large)
    assert deltas.apply(large, delta) == large


def test_what_has_little_in_common_is_told_before() -> None:
    one, other = (b"".join(b"%s %d\n" % (kind, n) for n in range(5000)) for kind in (b"old", b"new"))
    assert not delta_write.alike(one, other)
    assert delta_write.alike(one, one[:-5000] + other[-5000:])
    assert delta_write.alike(b"", b"")
