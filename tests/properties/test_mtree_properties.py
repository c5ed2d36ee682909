"""The metadata under random trees and random damage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitsnap.core import stored_text
from gitsnap.core.errors import IntegrityError
from gitsnap.core.model import RECORDED, Entry, Inventory, Problem, Type
from gitsnap.core.mtree import MetadataStream, format_metadata, parse_metadata
from gitsnap.core.stored_text import Text
from gitsnap.core.vis import invisible, invisible_path, visible, visible_path
from tests.support.examples import examples

# An example is a whole inventory: half as many as usual, and as few as a quick run has.
relaxed = examples(50)

PIECES = [b"\\", b"\n", b" ", b"#", b"=", b"*", b"[", b"?", b"-", b".", b"\xff", b"\xc3\xa9", b"a", b"b"]
NAMES = st.one_of(
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=4).map(b"".join),
    st.binary(min_size=1, max_size=5),
).filter(lambda name: name not in (b".", b"..") and b"/" not in name and b"\0" not in name)
PATHS = st.lists(NAMES, min_size=1, max_size=3)
IDS = st.integers(0, 2**32 - 1)
OWNERS = st.one_of(
    st.sampled_from(["", "root", "DOM\\user", "domain user", "#", "a=b", "\xe9", "\udcff"]), st.text(max_size=4)
)
WORDS = st.one_of(
    st.sampled_from(["user.a", "security.selinux", "a b", "\\", "=", "\udc80"]), st.text(min_size=1, max_size=4)
)


def without_nul(raw: bytes) -> bool:
    return b"\0" not in raw


def storable(text: str) -> bool:
    """Whether the text is one that decoding bytes without NUL can give, as the names of owners and attributes are."""
    try:
        return "\0" not in text and text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape") == text
    except UnicodeEncodeError:
        return False


@st.composite
def entries(draw: st.DrawFn, path: bytes, kind: Type) -> Entry:
    entry = Entry(
        path,
        kind,
        draw(st.integers(0, 0o7777)),
        draw(IDS),
        draw(IDS),
        draw(OWNERS.filter(storable)),
        draw(OWNERS.filter(storable)),
        draw(st.one_of(st.integers(-(10**18), 10**18), st.integers(-3 * 10**9, 10**9))),
    )
    names = draw(st.sets(WORDS.filter(storable), max_size=2))
    entry.xattrs = tuple(
        (name, draw(st.binary(max_size=4)))
        for name in sorted(names, key=lambda n: n.encode("utf-8", "surrogateescape"))
    )
    if kind is Type.FILE:
        entry.size = draw(st.integers(0, 2**63 - 1))
        entry.sparse = draw(st.booleans())
    elif kind is Type.LINK:
        entry.target = draw(st.one_of(st.binary(min_size=1, max_size=6).filter(without_nul), NAMES))
    elif kind in (Type.CHAR, Type.BLOCK):
        entry.device = (draw(IDS), draw(IDS))
    lacking = draw(st.frozensets(st.sampled_from(RECORDED))) - (frozenset() if kind is Type.DIR else {"time"})
    if draw(st.booleans()) and lacking:
        _forget(entry, lacking)
    return entry


def _forget(entry: Entry, lacking: frozenset[str]) -> None:
    """As it is read back where this was not recorded."""
    entry.unrecorded = lacking
    if "mode" in lacking:
        entry.mode = {Type.DIR: 0o755, Type.LINK: 0o777}.get(entry.type, 0o644)
    if "owner" in lacking:
        entry.uid, entry.gid, entry.uname, entry.gname = 0, 0, "", ""
    if "time" in lacking:
        entry.mtime_ns = 0
    if "xattr" in lacking:
        entry.xattrs = ()


@st.composite
def inventories(draw: st.DrawFn) -> Inventory:
    tree: dict[bytes, Type] = {b"": Type.DIR}
    for names in draw(st.lists(PATHS, max_size=6)):
        parents = [b"/".join(names[:n]) for n in range(1, len(names))]
        path = b"/".join(names)
        if any(tree.get(parent, Type.DIR) is not Type.DIR for parent in parents) or path in tree:
            continue
        tree |= dict.fromkeys(parents, Type.DIR)
        tree[path] = draw(st.sampled_from(list(Type)))
    inventory = Inventory(entries=[draw(entries(path, tree[path])) for path in sorted(tree)])
    links = sorted(path for path, kind in tree.items() if kind is not Type.DIR)
    if len(links) > 3 and draw(st.booleans()):
        inventory.hardlinks = sorted([tuple(links[::2]), tuple(links[1::2])])
    elif len(links) > 1 and draw(st.booleans()):
        inventory.hardlinks = [tuple(links)]
    problems = draw(st.sets(st.tuples(PATHS.map(b"/".join), OWNERS.filter(storable)), max_size=2))
    inventory.partial = [
        Problem(path, reason)
        for path, reason in sorted(problems, key=lambda p: (p[0], p[1].encode("utf-8", "surrogateescape")))
    ]
    inventory.skipped = sorted(draw(st.sets(PATHS.map(b"/".join), max_size=2)))
    folders = [path for path, kind in sorted(tree.items()) if kind is Type.DIR]
    inventory.unlisted = sorted(draw(st.sets(st.sampled_from(folders), max_size=2)))
    return inventory


@pytest.fixture(scope="module", autouse=True)
def short_blocks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stored_text, "BLOCK", 300)
        yield


def read_in_blocks(text: bytes) -> Inventory:
    """What the lines say that are read some at a time, which the comments have no part in."""
    stream = MetadataStream(Text.of(text))
    entries = sorted(stream.entries(), key=lambda e: e.path)
    about = stream.end()
    return replace(
        about, entries=sorted({e.path: e for e in [*entries, *about.entries]}.values(), key=lambda e: e.path)
    )


def read_both_ways(text: bytes) -> Inventory:
    """The same either way, or refused either way."""
    try:
        read = parse_metadata(text)
    except IntegrityError:
        with pytest.raises(IntegrityError):
            read_in_blocks(text)
        raise
    found = read_in_blocks(text)
    # Images are told by entries, of which here are not all.
    assert replace(found, images={}, skipped=[]) == replace(read, images={}, skipped=[])
    return read


@relaxed
@given(inventories())
def test_what_is_written_is_read_back(inventory: Inventory) -> None:
    text = format_metadata(inventory)
    assert read_both_ways(text) == inventory
    assert all(32 <= byte < 127 or byte == 10 for byte in text)


@relaxed
@given(inventories(), st.data())
def test_damage_never_passes_for_the_same(inventory: Inventory, data: st.DataObject) -> None:
    text = format_metadata(inventory)
    at = data.draw(st.integers(0, len(text) - 1))
    likely = st.sampled_from([b"\n", b"\\", b"#", b" ", b"/", b".", b"0", b"1", b"=", b"-"])
    byte = data.draw(st.one_of(likely, st.binary(min_size=1, max_size=1)))
    flipped, inserted, deleted = (
        text[:at] + byte + text[at + 1 :],
        text[:at] + byte + text[at:],
        text[:at] + text[at + 1 :],
    )
    damaged = data.draw(st.sampled_from([flipped, inserted, deleted]))
    try:
        read = read_both_ways(damaged)
    except IntegrityError:
        return
    assert format_metadata(read) == damaged
    assert (read == inventory) == (damaged == text)


@relaxed
@given(inventories(), st.data())
def test_lines_are_where_they_belong_or_refused(inventory: Inventory, data: st.DataObject) -> None:
    lines = format_metadata(inventory).split(b"\n")[:-1]
    one, other = data.draw(st.integers(0, len(lines) - 1)), data.draw(st.integers(0, len(lines) - 1))
    change = data.draw(st.sampled_from(["swap", "repeat", "drop"]))
    changed = list(lines)
    if change == "swap":
        changed[one], changed[other] = lines[other], lines[one]
    elif change == "repeat":
        changed.insert(one, lines[other])
    else:
        del changed[one]
    damaged = b"".join(line + b"\n" for line in changed)
    try:
        read = read_both_ways(damaged)
    except IntegrityError:
        return
    assert format_metadata(read) == damaged
    assert (read == inventory) == (changed == lines)


@relaxed
@given(st.binary(max_size=200))
def test_noise_is_refused_and_nothing_worse(noise: bytes) -> None:
    root = b"# gitsnap metadata 1\n. type=dir mode=0755 uid=0 gid=0 time=0.000000000\n"
    for text in (noise, root + noise, root + b"# xattr . " + noise + b"\n"):
        try:
            parse_metadata(text)
        except IntegrityError:
            continue


@relaxed
@given(st.one_of(st.binary(max_size=20).filter(without_nul), NAMES))
def test_any_bytes_can_be_made_visible(raw: bytes) -> None:
    text = visible(raw)
    assert invisible(text) == raw
    assert text.isascii()
    assert not set(text) & set(" \n\t#=*?[")


@relaxed
@given(st.text(max_size=10))
def test_only_what_is_written_becomes_invisible(text: str) -> None:
    try:
        raw = invisible(text)
    except IntegrityError:
        return
    assert visible(raw) == text


@relaxed
@given(PATHS.map(b"/".join))
def test_paths_come_back(path: bytes) -> None:
    assert invisible_path(visible_path(path)) == path
    assert invisible_path(visible_path(b"")) == b""
