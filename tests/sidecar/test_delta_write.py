"""Deltas that are made: they make what they are to make, and are small where little differs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gitsnap.sidecar.git import delta_write, deltas

_LINES = st.lists(st.sampled_from([b"a\n", b"b\n", b"\n", b"x" * 200 + b"\n", b"\r\n", b"no end"]), max_size=30).map(
    b"".join
)
_ENTRIES = st.lists(
    st.tuples(
        st.sampled_from([b"100644", b"40000"]),
        st.binary(min_size=1, max_size=4).filter(lambda n: b"\0" not in n),
        st.sampled_from([b"1" * 20, b"\0" * 20, b"40000 a\0" + b"x" * 12]),
    ).map(lambda e: b"%s %s\0%s" % e),
    max_size=20,
).map(b"".join)


@given(base=_LINES | st.binary(max_size=300), new=_LINES | st.binary(max_size=300))
def test_of_texts(base: bytes, new: bytes) -> None:
    assert deltas.apply(base, delta_write.make(base, new)) == new


@given(base=_ENTRIES | st.binary(max_size=200), new=_ENTRIES)
def test_of_trees(base: bytes, new: bytes) -> None:
    assert deltas.apply(base, delta_write.make(base, new, tree=True)) == new


def test_small_where_little_differs() -> None:
    lines = [b"%064x  dir/file%d\n" % (n * 7919, n) for n in range(20_000)]
    base = b"".join(lines)
    lines[3] = lines[3].replace(b"0", b"1")
    lines[17_000:17_002] = []
    assert len(delta_write.make(base, b"".join(lines))) < 300
    entries = [b"100644 f%05d\0%s" % (n, n.to_bytes(20, "big")) for n in range(2_000)]
    tree = b"".join(entries)
    entries[5] = b"100644 f00005\0" + b"x" * 20
    entries[1_900] = b"100644 f01900\0" + b"y" * 20
    assert len(delta_write.make(tree, b"".join(entries), tree=True)) < 150


def test_longer_than_one_copy_can_say() -> None:
    base = bytes(range(256)) * (1 << 17)
    assert deltas.apply(base, delta_write.make(base, base + b"x")) == base + b"x"
    for size in (0xFFFF, 0x10000, 0x10001):
        base = b"x" * size
        assert deltas.apply(base, delta_write.make(base, base + b"yy")) == base + b"yy"
