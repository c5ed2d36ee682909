"""The texts that are made of others and of what differs are, to the byte, those that the whole state gives."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitsnap.core import stored_text
from gitsnap.core.comparison import compare
from gitsnap.core.errors import IntegrityError
from gitsnap.core.manifest import format_manifest
from gitsnap.core.model import Entry, Inventory, Type
from gitsnap.core.mtree import format_metadata
from gitsnap.core.spliced import Differing, Spliced, left_out, splice
from gitsnap.core.stored_difference import Texts
from gitsnap.core.stored_difference import differing as core_differing
from gitsnap.core.stored_text import Text
from gitsnap.core.vis import pattern_key
from tests.properties.test_mtree_properties import NAMES, inventories
from tests.support.examples import examples

relaxed = examples(100)


@pytest.fixture(scope="module", autouse=True)
def short_blocks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stored_text, "BLOCK", 300)
        yield


def texts(inventory: Inventory) -> Texts:
    return of(format_manifest(inventory), format_metadata(inventory))


def of(manifest: bytes, metadata: bytes) -> Texts:
    return Texts(Text.of(manifest), Text.of(metadata))


def written(found: Spliced) -> tuple[bytes, bytes]:
    return b"".join(found.manifest), b"".join(found.metadata)


def with_content(entry: Entry) -> Entry:
    if entry.type is Type.FILE:
        # So that all of them together are a number that a manifest can hold.
        said = hashlib.sha256(entry.path + b"%d" % entry.mtime_ns).digest()
        return replace(entry, sha256=said, size=entry.size % 10**6, unrecorded=frozenset())
    return replace(entry, unrecorded=frozenset())


@st.composite
def two_states(draw: st.DrawFn) -> tuple[Inventory, Inventory]:
    drawn = draw(inventories())
    drawn.entries = [with_content(e) for e in drawn.entries]
    old = replace(drawn, partial=[], unlisted=[], rules=[b"*.log", b"a\n"], excluded=[b"a.log", b"b\\/"])
    left = dict(old.by_path())
    for path in draw(st.sets(st.sampled_from(sorted(left)), max_size=2)) - {b""}:
        left = {p: e for p, e in left.items() if p != path and not p.startswith(path + b"/")}
    for path in draw(st.sets(st.sampled_from(sorted(left)), max_size=2)):
        left[path] = with_content(replace(left[path], mtime_ns=draw(st.integers(0, 10**18)), xattrs=()))
    for name in draw(st.lists(NAMES, max_size=2)):
        folder = draw(st.sampled_from(sorted(p for p, e in left.items() if e.type is Type.DIR)))
        path = folder + b"/" + name if folder else name
        if path not in left:
            left[path] = with_content(Entry(path, draw(st.sampled_from([Type.FILE, Type.DIR])), 0o644, 1, 2, "", "x y"))
    skipped = draw(st.sampled_from([old.skipped, [b"socket"]]))
    entries = [left[path] for path in sorted(left)]
    links = [group for group in old.hardlinks if all(left.get(p) == old.by_path()[p] for p in group)]
    return old, replace(old, entries=entries, excluded=[b"c"], skipped=skipped, hardlinks=links)


def differing(old: Inventory, new: Inventory) -> Differing:
    was, now = old.by_path(), new.by_path()
    entries = [e for e in new.entries if was.get(e.path) != e]
    return Differing(entries, sorted(was.keys() - now.keys()), new.excluded, new.skipped)


def spliced(old: Inventory, new: Inventory) -> Spliced | None:
    return splice(texts(old), old.rules, differing(old, new))


@relaxed
@given(two_states())
def test_to_the_byte(states: tuple[Inventory, Inventory]) -> None:
    old, new = states
    found = spliced(old, new)
    about = differing(old, new)
    touched = {*about.gone, *(e.path for e in about.entries)}
    linked = {path for group in old.hardlinks for path in group}
    if found is None:
        assert touched & linked or any(map(pattern_key, touched))
        return
    assert written(found) == (format_manifest(new), format_metadata(new))
    assert (found.files, found.bytes) == (len(new.files()), sum(e.size for e in new.files()))
    assert [c[:2] for c in compare(found.old, found.new, directory_times=True).changes] == [
        c[:2] for c in compare(old, new, directory_times=True).changes
    ]


@relaxed
@given(two_states())
def test_two_texts_tell_what_two_states_tell(states: tuple[Inventory, Inventory]) -> None:
    old, new = states
    linked = {path for group in [*old.hardlinks, *new.hardlinks] for path in group}
    sides = core_differing(texts(old), texts(new), times=True)
    assert sides is not None
    assert compare(*sides, directory_times=True).changes == compare(old, new, directory_times=True).changes
    assert all(e.path in linked or e.type is Type.DIR or not same(e, old, new) for side in sides for e in side.entries)


def same(entry: Entry, *states: Inventory) -> bool:
    return all(state.by_path().get(entry.path) == entry for state in states)


def tree(*names: bytes, at: int = 1) -> Inventory:
    entries = [Entry(b"", Type.DIR, 0o755), *(with_content(Entry(n, Type.FILE, 0o644, mtime_ns=at)) for n in names)]
    return Inventory(sorted(entries, key=lambda e: e.path), rules=[], excluded=[])


def test_what_lines_do_not_tell_is_left_to_the_whole() -> None:
    old, new = tree(b"a", b"b", b"c"), tree(b"a", b"b", b"c", b"d")
    assert spliced(old, new) is not None
    behind = spliced(tree(b"a*", b"b?", b"c"), new_one := tree(b"a*", b"b?", b"c", b"d"))
    assert behind is not None
    assert written(behind) == (format_manifest(new_one), format_metadata(new_one))
    assert spliced(tree(b"a"), tree(b"a", b"b*")) is None
    linked = replace(old, hardlinks=[(b"a", b"b")])
    assert spliced(linked, replace(new, hardlinks=[(b"a", b"b")])) is not None
    assert spliced(linked, tree(b"b", b"c")) is None
    assert spliced(replace(old, unlisted=[b""]), replace(new, unlisted=[b""])) is None
    orphan = tree(b"a", b"b", b"c", b"no/d")
    assert spliced(old, orphan) is None


@pytest.mark.parametrize(
    "harm",
    [
        lambda manifest, metadata: (manifest, metadata.replace(b"./b type=file", b"./b type=bile")),
        lambda manifest, metadata: (manifest.replace(b"# files 3", b"# files x"), metadata),
        lambda manifest, metadata: (b"".join(x for x in manifest.splitlines(True) if b"  b" not in x), metadata),
        lambda manifest, metadata: (manifest, metadata.replace(b"gitsnap metadata 1", b"gitsnap metadata 9")),
    ],
)
def test_what_gitsnap_has_not_written_is_refused(harm: Callable[[bytes, bytes], tuple[bytes, bytes]]) -> None:
    old, new = tree(b"a", b"b", b"c"), tree(b"a", b"b", b"c", at=2)
    with pytest.raises(IntegrityError):
        splice(of(*harm(format_manifest(old), format_metadata(old))), [], differing(old, new))


STRANGE = [
    b"#",
    b"#x",
    b"# ",
    b"# xattr ./b",
    b"# hardlink",
    b"# zz ./b",
    b"",
    b"x",
    b"\xff\xfe",
    b"./b\\",
    b"./c \xff",
]


@relaxed
@given(st.data(), st.sampled_from(STRANGE))
def test_a_line_that_is_none_is_no_mistake_of_ours(data: st.DataObject, line: bytes) -> None:
    """Somebody else may have made the snapshot: what is read of it is an answer, or an IntegrityError."""
    entries = [replace(e, xattrs=(("user.x", b"1"),) if e.path == b"b" else ()) for e in tree(b"a", b"b", b"c").entries]
    old, new = replace(tree(), entries=entries, hardlinks=[(b"a", b"c")]), tree(b"a", b"b", b"c", at=2)
    lines = format_metadata(old).splitlines(keepends=True)
    at = data.draw(st.integers(0, len(lines)))
    damaged = of(format_manifest(old), b"".join([*lines[:at], line, b"\n", *lines[at:]]))
    change = Differing([e for e in new.entries if e.path == b"b"], [], [], [])
    for read in (
        lambda: core_differing(damaged, texts(new)),
        lambda: core_differing(texts(new), damaged, times=True),
        lambda: left_out(damaged),
        lambda: (found := splice(damaged, [], change)) and written(found),
    ):
        with suppress(IntegrityError):
            read()
