"""When a copy was made, by its name."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gitsnap.core.legacy_layout import time_in


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("app.bak.2025-01-03", datetime(2025, 1, 3, tzinfo=UTC)),
        ("app_20250103", datetime(2025, 1, 3, tzinfo=UTC)),
        ("20250803_084708", datetime(2025, 8, 3, 8, 47, 8, tzinfo=UTC)),
        ("2025-08-10T03-40-11-full", datetime(2025, 8, 10, 3, 40, 11, tzinfo=UTC)),
        ("2025-08-10T03:40:11Z", datetime(2025, 8, 10, 3, 40, 11, tzinfo=UTC)),
        ("app-2025.01.03_0415.tar.gz", datetime(2025, 1, 3, 4, 15, tzinfo=UTC)),
        ("app-1735876800", datetime(2025, 1, 3, 4, 0, tzinfo=UTC)),
        ("app-2025-13-45", None),
        ("app-2025-02-30", None),
        ("app-1.2.3", None),
        ("v20250", None),
    ],
)
def test_time_in(name: str, wanted: datetime | None) -> None:
    assert time_in(name, UTC) == wanted
