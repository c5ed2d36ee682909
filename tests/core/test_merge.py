"""Three versions of data and of trees: what follows, what is merged, what is a conflict."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitsnap.core.merge import Way, judge, merge_data
from gitsnap.core.model import Entry, Inventory, Problem, Type
from gitsnap.ops.compare.structured import merge_content

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=4),
    max_leaves=10,
)


def exactly(value: Any) -> str:
    """The value as text that tells 1 from 1.0 and from True, which `==` does not, whatever the order of keys."""
    if isinstance(value, dict):
        return "{" + ", ".join(sorted(f"{k!r}: {exactly(v)}" for k, v in value.items())) + "}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(exactly, value))}]"
    return repr(value)


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "wanted", "conflicts"),
    [
        ({"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 1, "b": 2}, {"a": 2, "b": 2}, []),
        ({"a": 1}, {"a": 2}, {"a": 3}, {"a": 2}, [("a",)]),
        ({"a": 1}, {"a": 2}, {"a": 2}, {"a": 2}, []),
        ({"a": 1}, {"a": 1, "x": 1}, {}, {"x": 1}, []),
        ({"a": 1}, {"a": 2}, {}, {"a": 2}, [("a",)]),
        ({}, {"n": {"x": 1}}, {"n": {"y": 2}}, {"n": {"x": 1, "y": 2}}, []),
        ({"l": [1]}, {"l": [1, 2]}, {"l": [1]}, {"l": [1, 2]}, []),
        ({"l": [1]}, {"l": [1, 2]}, {"l": [1, 3]}, {"l": [1, 2]}, [("l",)]),
        ({"a": 1}, {"a": 1}, {"a": True}, {"a": True}, []),
        ({"a": {"b": 1}}, {"a": 5}, {"a": {"b": 2}}, {"a": 5}, [("a",)]),
    ],
)
def test_data(base: Any, ours: Any, theirs: Any, wanted: Any, conflicts: list[Any]) -> None:
    merged, found = merge_data(base, ours, theirs)
    assert (exactly(merged), found) == (exactly(wanted), conflicts)


@pytest.mark.parametrize(("one", "other"), [(1, True), (0, False), (1, 1.0), (True, 1.0)])
@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: {"k": v}, lambda v: {"k": {"l": [v]}}])
def test_equal_for_python_is_not_the_same_data(one: Any, other: Any, wrap: Callable[[Any], Any]) -> None:
    """A program that asks for a number may refuse `true`: it is a change, and two of them are a conflict."""
    for a, b in ((wrap(one), wrap(other)), (wrap(other), wrap(one))):
        assert exactly(merge_data(a, a, b)) == exactly((b, []))
        assert exactly(merge_data(a, b, a)) == exactly((b, []))
        merged, conflicts = merge_data(wrap("was"), a, b)
        assert exactly(merged) == exactly(a)
        assert len(conflicts) == 1


@given(JSON, JSON)
def test_when_only_one_side_changed_it_wins(a: Any, b: Any) -> None:
    for sides in ((a, b, a), (a, a, b), (a, b, b)):
        merged, conflicts = merge_data(*sides)
        assert (exactly(merged), conflicts) == (exactly(b), [])


@given(JSON, JSON, JSON)
def test_both_sides_meet_in_the_same_place(base: Any, a: Any, b: Any) -> None:
    one, conflicts = merge_data(base, a, b)
    other, same_conflicts = merge_data(base, b, a)
    assert sorted(map(str, conflicts)) == sorted(map(str, same_conflicts))
    if not conflicts:
        assert exactly(one) == exactly(other)


def test_text_and_json() -> None:
    names = ("mine", "theirs")
    clean = merge_content(b"x.txt", b"1\n2\n3\n4\n5\n", b"0\n2\n3\n4\n5\n", b"1\n2\n3\n4\n6\n", names)
    assert clean is not None
    assert (clean.data, clean.conflict) == (b"0\n2\n3\n4\n6\n", "")
    torn = merge_content(b"x.txt", b"a", b"b", b"c", names)
    assert torn is not None
    assert torn.data == b"<<<<<<< mine\nb\n=======\nc\n>>>>>>> theirs\n"
    assert "one place" in torn.conflict
    # Neighbouring lines are a conflict for text, and none for JSON; the indentation stays.
    sides = [b'{\n   "a": 1,\n   "b": 1\n}\n', b'{\n   "a": 2,\n   "b": 1\n}\n', b'{\n   "a": 1,\n   "b": 2\n}\n']
    merged = merge_content(b"x.json", *sides, names)
    assert merged is not None
    assert (merged.data, merged.conflict) == (b'{\n   "a": 2,\n   "b": 2\n}\n', "")
    assert merge_content(b"x", b"a", b"\0", b"c", names) is None
    both = merge_content(b"x.json", b'{"p": 1}', b'{"p": 2}', b'{"p": 3}', names)
    assert both is not None
    assert both.conflict == "both sides changed p"


def tree(*entries: Entry, partial: tuple[bytes, ...] = ()) -> Inventory:
    found = [Entry(b"", Type.DIR, 0o755), *entries]
    return Inventory(sorted(found, key=lambda e: e.path), partial=[Problem(p, "x") for p in partial])


def file(path: bytes, content: bytes, mode: int = 0o644) -> Entry:
    return Entry(path, Type.FILE, mode, size=len(content), sha256=content * 32, mtime_ns=hash(content))


def test_paths() -> None:
    base = tree(*(file(n, b"1") for n in (b"a", b"b", b"c", b"d", b"e", b"f", b"g")))
    theirs = tree(file(b"a", b"2"), file(b"c", b"2"), file(b"d", b"2"), file(b"f", b"1", 0o600), file(b"n", b"1"))
    ours = tree(
        file(b"a", b"1"), file(b"b", b"1"), file(b"c", b"3"), file(b"e", b"9"), file(b"f", b"1"), file(b"m", b"1")
    )
    found = {v.path: v.way for v in judge(base, ours, theirs, metadata=True)}
    assert found == {
        b"a": Way.TAKE,
        b"b": Way.REMOVE,
        b"c": Way.MERGE,
        b"d": Way.CONFLICT,
        b"e": Way.CONFLICT,
        b"f": Way.TAKE,
        b"n": Way.TAKE,
    }
    assert b"f" not in {v.path for v in judge(base, ours, theirs, metadata=False)}
    unread = tree(*ours.entries[1:], partial=(b"a",))
    assert {v.path: v.way for v in judge(base, unread, theirs, metadata=True)}[b"a"] is Way.CONFLICT
