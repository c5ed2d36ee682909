"""A text that is formed piece by piece: the same bytes and digest, however much of it went to the file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from gitsnap.sidecar import spool


@pytest.mark.parametrize("held", [1, 50, 10_000])
def test_what_was_written_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int) -> None:
    monkeypatch.setattr(spool, "_HELD", held)
    monkeypatch.setattr(spool, "CHUNK", 7)
    text = spool.Spool(str(tmp_path))
    parts = [b"%d\n" % n for n in range(60)]
    for part in parts:
        text.write(part)
    whole = b"".join(parts)
    assert text.whole() == b"".join(text.pieces()) == whole
    assert (text.size, text.sha256) == (len(whole), hashlib.sha256(whole).hexdigest())
    # Nothing with a name is left to whoever is killed.
    assert list(tmp_path.iterdir()) == []
    text.close()
