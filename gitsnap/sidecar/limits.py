"""How much is read at once of what may come from elsewhere, in bytes: more is refused before it is inflated or held."""

from __future__ import annotations

# gitsnap's own small files, git's HEAD, config, packed-refs and reflogs.
SMALL_FILE = 64 << 20
# The stat cache and a rollback's journal, which have some hundred bytes for each path.
PER_PATH_FILE = 1 << 30
# An object that is held whole, of each type. git makes no deltas of blobs beyond core.bigFileThreshold, 512 MiB unless
# somebody raises it, and what is no delta is streamed.
WHOLE = {b"commit": 16 << 20, b"tree": 256 << 20, b"blob": 1 << 31, b"tag": 16 << 20}
# A text that goes with a snapshot, whatever it holds; beyond that so many times what is stored of it. Lines that differ
# do not deflate that well, and a thousand times is what zeros do.
_TEXT, _DEFLATED = 64 << 20, 250


def text_of(stored: int) -> int:
    """The largest manifest or metadata that can lie in a file of so many bytes."""
    return min(max(_TEXT, _DEFLATED * stored), WHOLE[b"blob"])
