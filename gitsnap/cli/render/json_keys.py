"""Changed keys of structured files as JSON."""

from __future__ import annotations

from typing import Any

from gitsnap.core.keys import ABSENT, KeyChange, shown_path

Document = dict[str, Any]


def key_document(key: KeyChange, secrets: bool) -> Document:
    """One key that differs."""
    masked = key.secret and not secrets
    return {
        "key": shown_path(key.path),
        "path": list(key.path),
        "status": key.status,
        "old": None if key.old is ABSENT or masked else _json_value(key.old),
        "new": None if key.new is ABSENT or masked else _json_value(key.new),
        "masked": masked,
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
