"""Changed keys of structured files as JSON."""

from __future__ import annotations

from typing import Any

from gitsnap.core.keys import ABSENT, KeyChange, masked
from gitsnap.core.secrets.masker import Masker

Document = dict[str, Any]


def key_document(key: KeyChange, masker: Masker, file: bytes) -> Document:
    """One key that differs in a file."""
    shown = masked(key, masker, file)
    return {
        "key": shown.key,
        "path": list(shown.path),
        "status": shown.status,
        "old": None if shown.old is ABSENT else _json_value(shown.old),
        "new": None if shown.new is ABSENT else _json_value(shown.new),
        "masked": shown.masked,
    }


def _json_value(value: Any) -> Any:
    """What JSON can hold; dates and the like of TOML and YAML as text."""
    if isinstance(value, dict):
        return {str(k): _json_value(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json_value(v) for v in value]
    if (isinstance(value, float) and value != value) or value in (float("inf"), float("-inf")):
        return str(value)
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
