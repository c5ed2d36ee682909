"""Where a journal lies: the file's name is the phase."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gitsnap.core.errors import IntegrityError
from gitsnap.core.journal import Phase, Record, encode
from gitsnap.sidecar.repository import JOURNAL
from gitsnap.sidecar.state.journal_file import JournalFile
from tests.support.inprocess import Protected

RECORD = Record(
    "0123456789ab", "2026-03-01T12:00:00Z", b"/srv/app", 7, "2026-03-01T12-00-00Z-a", "2026-03-01T12-00-01Z-b"
)


def path(place: Protected, phase: str) -> Path:
    return Path(place.sidecar.own(JOURNAL + phase))


def test_from_the_beginning_to_the_end(protected: Protected) -> None:
    journal = JournalFile(protected.sidecar)
    assert journal.load() is None
    assert not journal.there()
    journal.begin(RECORD)
    assert journal.load() == (Phase.STAGING, RECORD)
    assert path(protected, "staging").stat().st_mode & 0o077 == 0
    decided = replace(RECORD, paths=(b"a",))
    journal.decide(decided)
    assert journal.load() == (Phase.FORWARD, decided)
    assert not path(protected, "staging").exists()
    journal.advance(Phase.FORWARD, Phase.FINISHED)
    assert journal.load() == (Phase.FINISHED, decided)
    assert journal.there()
    journal.remove()
    assert journal.load() is None
    assert not journal.there()


def test_two_at_once_are_damage(protected: Protected) -> None:
    journal = JournalFile(protected.sidecar)
    for phase in (Phase.STAGING, Phase.BACKWARD):
        path(protected, phase).write_bytes(encode(RECORD))
    with pytest.raises(IntegrityError, match="journals for staging and backward at once") as caught:
        journal.load()
    assert caught.value.path == str(path(protected, "backward"))


@pytest.mark.parametrize("data", [b"", b"{}", encode(RECORD)[:-2]])
def test_one_that_is_damaged_is_named(protected: Protected, data: bytes) -> None:
    path(protected, "forward").write_bytes(data)
    with pytest.raises(IntegrityError) as caught:
        JournalFile(protected.sidecar).load()
    assert caught.value.path == str(path(protected, "forward"))


def test_what_is_set_aside_still_counts_until_it_is_settled(protected: Protected) -> None:
    journal = JournalFile(protected.sidecar)
    path(protected, "forward").write_bytes(b"damaged")
    assert journal.texts() == {JOURNAL + "forward": b"damaged"}
    journal.set_aside()
    assert journal.texts() == {JOURNAL + "damaged": b"damaged"}
    assert journal.there()
    with pytest.raises(IntegrityError, match="is damaged"):
        journal.load()
    journal.begin(RECORD)
    assert journal.load() == (Phase.STAGING, RECORD)
    journal.remove()
    assert journal.there()
    journal.forget()
    assert not journal.there()
    journal.forget()
