"""How many examples a property is tried on."""

from __future__ import annotations

from hypothesis import settings


def examples(number: int) -> settings:
    """So many in a thorough run (`--thorough`), and in another the share of them that its profile has of a hundred."""
    return settings(max_examples=max(number * settings.default.max_examples // 100, 1))
