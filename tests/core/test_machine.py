"""What a machine says of itself, as text and back."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitsnap.core.errors import IntegrityError
from gitsnap.core.machine import Machine, format_machine, identity, parse_machine

_AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
_ID = "2026-01-01T00-00-00Z-manual"
_TEXT = st.text(st.characters(exclude_characters="\0"), min_size=1)


@given(_TEXT, _TEXT, st.booleans())
def test_round_trip(host: str, directory: str, verified: bool) -> None:
    found = Machine(identity("x", directory), host, directory, *((_ID, _AT) if verified else ()))
    assert parse_machine(format_machine(found)) == found


@pytest.mark.parametrize(
    "change",
    [
        (b"Gitsnap-Machine: ", b"Gitsnap-Machine: 0"),
        (b"Gitsnap-Host: h", b"Gitsnap-Host: i"),
        (b"05Z", b"65Z"),
        (b"2026-01-02", b"2026-13-02"),
        (b"\n", b"\r\n"),
        (b"Gitsnap-Directory: /d\n", b""),
    ],
)
def test_what_is_none(change: tuple[bytes, bytes]) -> None:
    message = format_machine(Machine(identity("m", "/d"), "h", "/d", _ID, _AT))
    assert message.replace(*change) != message
    with pytest.raises(IntegrityError):
        parse_machine(message.replace(*change))


def test_an_identity_is_of_machine_and_directory() -> None:
    assert len({identity("a", "/b"), identity("b", "/b"), identity("a", "/c"), identity("a", "/b\0")}) == 4
    assert identity("a", "/b") == identity("a", "/b")
