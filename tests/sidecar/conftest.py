"""A sidecar of an installation in memory, for what is called without a command line."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.inprocess import Protected, workspace


@pytest.fixture
def protected() -> Iterator[Protected]:
    """An installation with one file, and its sidecar without a snapshot."""
    with workspace() as top:
        (top / "app").mkdir()
        (top / "app/f").write_text("one\n")
        with Protected(top / "app", top / "home") as place:
            yield place
