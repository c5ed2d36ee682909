"""Key by key: what counts as a change, what it is called, and what is not shown."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitsnap.core.keys import ABSENT, KeyChange, TooManyError, changes, count_keys, masked, shown_path
from gitsnap.core.secrets.masker import DOTS, Masker


def told(old: Any, new: Any) -> dict[str, tuple[Any, Any]]:
    return {shown_path(c.path): (c.old, c.new) for c in changes(old, new)}


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3, "c": 2}}, {"a.b": (1, 3)}),
        ({"a": 1}, {"b": 1}, {"a": (1, ABSENT), "b": (ABSENT, 1)}),
        ({"a": 1}, {"a": True}, {"a": (1, True)}),
        ({"a": None}, {}, {"a": (None, ABSENT)}),
        ({}, {"a": {"b": {"c": 1}}}, {"a.b.c": (ABSENT, 1)}),
        ({"a": {"b": 1}}, {"a": 5}, {"a": ({"b": 1}, 5)}),
        ({"l": ["x", "y"]}, {"l": ["y"]}, {"l": (["x", "y"], ["y"])}),
        (
            {"l": [{"name": "a", "v": 1}, {"name": "b", "v": 2}]},
            {"l": [{"name": "b", "v": 3}]},
            {"l.a.name": ("a", ABSENT), "l.a.v": (1, ABSENT), "l.b.v": (2, 3)},
        ),
        ({"l": [{"v": 1}, {"v": 2}]}, {"l": [{"v": 1}]}, {"l[1].v": (2, ABSENT)}),
        ({"x.y": {"a b": 1}}, {"x.y": {"a b": 2}}, {'["x.y"]["a b"]': (1, 2)}),
        (1, 2, {"(all)": (1, 2)}),
    ],
)
def test_changes(old: Any, new: Any, wanted: dict[str, Any]) -> None:
    assert told(old, new) == wanted


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(JSON, JSON)
def test_the_same_has_no_changes_and_other_things_have_some(a: Any, b: Any) -> None:
    assert changes(a, a) == []
    if a != b and not _reordered(a, b):
        assert changes(a, b)


def _reordered(a: Any, b: Any) -> bool:
    """Whether lists of named items only stand in another order."""
    return isinstance(a, (list, dict)) and isinstance(b, (list, dict))


def test_too_many() -> None:
    with pytest.raises(TooManyError):
        changes({}, {str(n): n for n in range(30_000)})


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("db", "password"), "x"),
        (("DB_PASSWD",), "x"),
        (("smtp", "auth_token"), {"value": "x"}),
        (("apiKey",), 5),
        (("client_secret",), "x"),
        (("note",), "-----BEGIN RSA PRIVATE KEY-----"),
        (("url",), "postgres://shop:hunter2@db/shop"),
        (("list",), ["a", {"password": "x"}]),
        (("jwt",), "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abc"),
    ],
)
def test_secrets(path: tuple[str, ...], value: Any) -> None:
    assert masked(KeyChange(path, ABSENT, value), Masker()).masked
    assert masked(KeyChange(path, value, ABSENT), Masker()).masked


@pytest.mark.parametrize("path", [("port",), ("author",), ("keywords",), ("monkey",), ("url",)])
def test_no_secrets(path: tuple[str, ...]) -> None:
    assert not masked(KeyChange(path, "http://localhost:8080/", "plain"), Masker()).masked


def test_only_what_is_secret_in_a_value_is_marked() -> None:
    change = KeyChange(("env",), ["A=1", "DB_PASSWORD=hunter2"], {"host": "db1", "password": "hunter2"})
    shown = masked(change, Masker())
    assert shown.old == ["A=1", f"DB_PASSWORD={DOTS}"]
    assert shown.new == {"host": "db1", "password": DOTS}


def test_a_key_that_came_or_went_whole_is_one() -> None:
    """However much is below it; what changed in others is counted as it stands."""
    old = {"packages": {"a@1": {"resolution": {"integrity": "x"}, "engines": {"node": "1"}}}, "v": {"p": 1, "q": 2}}
    new = {"packages": {"a@2": {"resolution": {"integrity": "y"}, "engines": {"node": "1"}}}, "v": {"p": 3, "q": 4}}
    assert count_keys(changes(old, new)) == 4
