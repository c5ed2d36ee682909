"""How much is read at once of what may come from elsewhere, in bytes: more is refused before it is inflated or held."""

from __future__ import annotations

# gitsnap's own small files, git's HEAD, config, packed-refs and reflogs.
SMALL_FILE = 64 << 20
# A gitsnap.toml.
SETTINGS = 1 << 20
# The stat cache and a rollback's journal, which have some hundred bytes for each path.
PER_PATH_FILE = 1 << 30
# An object that is held whole, of each type. git makes no deltas of blobs beyond core.bigFileThreshold, 512 MiB unless
# somebody raises it, and what is no delta is streamed.
WHOLE = {b"commit": 16 << 20, b"tree": 256 << 20, b"blob": 1 << 31, b"tag": 16 << 20}
# What a delta that comes from elsewhere may make: git makes none beyond core.bigFileThreshold, whose default this is.
INCOMING_DELTA = 512 << 20
# A text that goes with a snapshot, whatever it holds; beyond that so many times what is stored of it. Lines that differ
# deflate to a tenth or a thirtieth, and zeros to a thousandth.
_TEXT, _DEFLATED = 64 << 20, 64


def text_of(stored: int) -> int:
    """The largest manifest or metadata that can lie in a file of so many bytes."""
    return min(max(_TEXT, _DEFLATED * stored), WHOLE[b"blob"])


# So many entries of trees are walked before it is counted what the trees come to.
WALKED = 100_000


def entries_of(files: int) -> int:
    """How many entries of trees are taken for granted of a snapshot that says to have so many files."""
    return 50_000 + 2 * min(files, 1_000_000)
