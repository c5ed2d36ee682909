"""Parsers of untrusted bytes take any bytes: they return, or raise one of our errors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.examples import examples
from tests.support.inprocess import workspace
from tests.torture import fuzzed

NAMES = sorted(fuzzed.parsers(Path("/nowhere")))


@pytest.fixture(scope="module")
def where() -> Iterator[Path]:
    with workspace() as made:
        yield made


@pytest.mark.parametrize("name", NAMES)
def test_any_bytes_are_taken(where: Path, name: str) -> None:
    parse, texts = fuzzed.parsers(where)[name]
    for text in texts:
        parse(text)

    @examples(60)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        text = data.draw(st.sampled_from(texts))
        at = data.draw(st.integers(0, len(text)))
        until = data.draw(st.integers(at, len(text)))
        changed = text[:at] + data.draw(st.binary(max_size=40)) + text[until:]
        assert fuzzed.complaint(name, parse, changed) is None

    check()
