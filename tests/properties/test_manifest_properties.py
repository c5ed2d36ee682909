"""The manifest under random names and random damage."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gitsnap.core import stored_text
from gitsnap.core.errors import IntegrityError
from gitsnap.core.manifest import Manifest, format_manifest, parse_manifest, stream_manifest
from gitsnap.core.model import Entry, Inventory, Type
from gitsnap.core.stored_text import Text

relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

PIECES = [b"\\", b"\n", b"\r", b" ", b"#", b"-", b".", b"*", b"\xff", b"\xc3\xa9", b"a", b"b"]
NAMES = st.one_of(
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=5).map(b"".join),
    st.binary(min_size=1, max_size=8),
).filter(lambda name: name not in (b".", b"..") and b"/" not in name and b"\0" not in name)
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(b"/".join)
RULES = st.one_of(st.binary(max_size=12), st.lists(st.sampled_from(PIECES), max_size=5).map(b"".join))


@st.composite
def inventories(draw: st.DrawFn) -> Inventory:
    contents = draw(st.dictionaries(PATHS, st.binary(max_size=3), max_size=8))
    return Inventory(
        entries=[
            Entry(path, Type.FILE, 0o644, size=len(content), sha256=hashlib.sha256(content).digest())
            for path, content in sorted(contents.items())
        ],
        rules=draw(st.lists(RULES, max_size=3)),
        excluded=draw(st.lists(st.one_of(PATHS, PATHS.map(lambda path: path + b"/")), max_size=3)),
    )


def expected(inventory: Inventory) -> Manifest:
    return Manifest(
        files=len(inventory.entries),
        bytes=sum(entry.size for entry in inventory.entries),
        rules=inventory.rules,
        excluded=sorted(set(inventory.excluded)),
        digests={entry.path: entry.sha256 or b"" for entry in inventory.entries},
    )


def read_both_ways(text: bytes) -> Manifest:
    """The same read in one piece and in blocks, or refused either way."""
    try:
        read = parse_manifest(text)
    except IntegrityError:
        with pytest.raises(IntegrityError):
            read_in_blocks(text)
        raise
    assert read_in_blocks(text) == read
    return read


def read_in_blocks(text: bytes) -> Manifest:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stored_text, "BLOCK", 150)
        head, digests = stream_manifest(Text.of(text))
        head.digests = dict(digests)
    head.require_listed(len(head.digests))
    return head


@relaxed
@given(inventories())
def test_what_is_written_is_read_back(inventory: Inventory) -> None:
    manifest = read_both_ways(format_manifest(inventory))
    assert manifest == expected(inventory)
    assert list(manifest.digests) == sorted(manifest.digests)


@relaxed
@given(inventories(), st.data())
def test_damage_never_passes_for_the_same(inventory: Inventory, data: st.DataObject) -> None:
    text = format_manifest(inventory)
    at = data.draw(st.integers(0, len(text) - 1))
    byte = data.draw(
        st.one_of(
            st.sampled_from([b"\n", b"\\", b"#", b" ", b"/", b".", b"0", b"\0"]), st.binary(min_size=1, max_size=1)
        )
    )
    damaged = data.draw(
        st.sampled_from([text[:at] + byte + text[at + 1 :], text[:at] + byte + text[at:], text[:at] + text[at + 1 :]])
    )
    try:
        manifest = read_both_ways(damaged)
    except IntegrityError:
        return
    assert (manifest == expected(inventory)) == (damaged == text)


@relaxed
@given(st.binary(max_size=200))
def test_noise_is_refused_and_nothing_worse(noise: bytes) -> None:
    for data in (noise, b"# gitsnap manifest 1\n# files 1\n# bytes 0\n" + noise):
        try:
            read_both_ways(data)
        except IntegrityError:
            continue
