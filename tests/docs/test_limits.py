"""The threat model tells the limits that the code has."""

from __future__ import annotations

import re
from pathlib import Path

from gitsnap.sidecar import limits

PAGE = Path(__file__).resolve().parents[2] / "docs/internals/threat-model.md"
_UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def test_the_table_has_the_limits_of_the_code() -> None:
    section = PAGE.read_text().partition("## How much is read")[2].partition("\n## ")[0]
    rows = [row.strip("| ").split(" | ") for row in section.splitlines() if row.startswith("| ")][1:]
    told = [[int(n) * _UNITS[unit] for n, unit in re.findall(r"(\d+) ([KMG]iB)", most)] for _, most in rows]
    whole = limits.WHOLE
    texts = [limits.text_of(0), limits.text_of(1 << 40)]
    assert told == [
        [limits.SMALL_FILE],
        [limits.SETTINGS],
        [limits.PER_PATH_FILE],
        [whole[b"commit"]],
        [whole[b"tree"]],
        [limits.INCOMING_DELTA],
        [whole[b"blob"]],
        texts,
        [],
    ]
    assert whole[b"tag"] == whole[b"commit"]
    times = limits.text_of(1 << 22) // (1 << 22)
    assert f"or {times} times what is stored" in rows[-2][1]
    assert f"counted once {limits.WALKED:,} were walked" in rows[-1][0]
    assert rows[-1][1].startswith(f"{limits.entries_of(0):,}, and two for each file")
    assert limits.entries_of(1) - limits.entries_of(0) == 2
    assert limits.entries_of(10**6) == limits.entries_of(10**9)
