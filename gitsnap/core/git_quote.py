"""Names in patches: as git writes them, with what a terminal or a parser could take amiss in C's escapes."""

from __future__ import annotations

import re

_UNSAFE = re.compile(rb'[\x00-\x1f"\\\x7f]')
_UNSAFE_OR_BEYOND_ASCII = re.compile(rb'[\x00-\x1f"\\\x7f-\xff]')
# C1 controls, direction marks and line separators: no terminal shall see them in a name.
_MISLEADING = re.compile("[\x80-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")
_SHORT = {7: b"\\a", 8: b"\\b", 9: b"\\t", 10: b"\\n", 11: b"\\v", 12: b"\\f", 13: b"\\r", 34: b'\\"', 92: b"\\\\"}


def quoted(prefix: bytes, path: bytes, always: bool = False) -> bytes:
    """A name in git's own quoting; plain where it is UTF-8 that can be shown (as with core.quotePath off)."""
    unsafe = _UNSAFE
    try:
        if _MISLEADING.search(path.decode("utf-8")):
            unsafe = _UNSAFE_OR_BEYOND_ASCII
    except UnicodeDecodeError:
        unsafe = _UNSAFE_OR_BEYOND_ASCII
    if not always and not unsafe.search(path):
        return prefix + path
    return b'"' + prefix + unsafe.sub(lambda m: _SHORT.get(m[0][0]) or b"\\%03o" % m[0][0], path) + b'"'
