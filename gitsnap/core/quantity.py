"""Quantities as people read them."""

from __future__ import annotations


def size(count: float) -> str:
    """Bytes in decimal units, as ls and disk makers count."""
    if count < 1000:
        return f"{int(count)} B"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 999.5:
            return f"{count:.1f} {unit}" if count < 99.95 else f"{count:.0f} {unit}"
    return f"{count / 1000:.1f} TB"
