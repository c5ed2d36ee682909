"""A text that is formed piece by piece: the same bytes and digest, however much of it went to the file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from gitsnap.sidecar import spool


@pytest.mark.parametrize("held", [1, 50, 10_000])
def test_what_was_written_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int) -> None:
    monkeypatch.setattr(spool, "_HELD", held)
    text = spool.Spool(str(tmp_path))
    parts = [b"%d\n" % n for n in range(60)]
    for number, part in enumerate(parts):
        text.write(part)
        # Read while it is written, as it is when a text is there twice.
        assert text.read(0, len(parts[0])) == parts[0]
        assert text.read(text.size - len(part), 99) == part, number
    whole = b"".join(parts)
    assert text.read(0, text.size) == b"".join(text.read(at, 7) for at in range(0, text.size, 7)) == whole
    assert (text.size, text.sha256) == (len(whole), hashlib.sha256(whole).hexdigest())
    # Nothing with a name is left to whoever is killed.
    assert list(tmp_path.iterdir()) == []
    text.close()
