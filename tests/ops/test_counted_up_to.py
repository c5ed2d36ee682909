"""What a snapshot counts where counting has a limit, and what it reads for that."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from gitsnap.core.model import Kind
from gitsnap.ops.capture.request import Request
from gitsnap.ops.compare import stored
from tests.support.inprocess import Protected, workspace


class ComparedError(Exception):
    """Somebody has compared all of both."""


@pytest.fixture
def app() -> Iterator[Protected]:
    with workspace() as place:
        root = place / "app"
        root.mkdir()
        for n in range(4):
            (root / f"old{n}").write_text(f"old {n}")
        with Protected(root, place / "home") as app:
            app.take()
            for n in range(4):
                (root / f"old{n}").unlink()
                (root / f"new{n}").write_text(f"new {n}")
            yield app


def test_above_the_limit_the_manifests_are_enough(app: Protected, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not app.take(Request(count_up_to=7)).counted
    old, new = app.snapshots()

    def refuse(*_: object, **__: object) -> None:
        raise ComparedError

    monkeypatch.setattr(stored, "differing", refuse)
    assert stored.counts(app.sidecar, old, new, at_most=7) is None
    with pytest.raises(ComparedError):
        stored.counts(app.sidecar, old, new, at_most=8)
    for unsure in (replace(old, partial=1), replace(old, kind=Kind.IMPORTED)):
        # What it does not tell of is nothing that went.
        with pytest.raises(ComparedError):
            stored.counts(app.sidecar, unsure, new, at_most=7)


def test_up_to_the_limit_all_is_counted(app: Protected) -> None:
    taken = app.take(Request(count_up_to=8))
    assert taken.counted
    assert sum(taken.counts.files.values()) == 8
