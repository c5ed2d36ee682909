"""Names in git's trees under random bytes."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gitsnap.core.errors import IntegrityError
from gitsnap.core.paths import check_path, decode_component, decode_path, encode_component, encode_path

relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

PIECES = [
    b".git",
    b"GIT~1",
    b".gitmodules",
    b".gitignore",
    b"gi7eba",
    b"~1",
    b"%",
    b"%2E",
    b"25",
    b"\\",
    b":",
    b".",
    b" ",
]
PIECES += ["\u200c".encode(), "\ufeff".encode(), b"\xe2", b"\xff", b"a"]
NAMES = st.one_of(
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=5).map(b"".join),
    st.binary(min_size=1, max_size=8),
).filter(lambda name: name not in (b".", b"..") and b"/" not in name and b"\0" not in name)


@relaxed
@given(NAMES, st.booleans())
def test_every_name_comes_back(name: bytes, link: bool) -> None:
    stored = encode_component(name, link=link)
    assert decode_component(stored, link=link) == name
    check_path(stored)


@relaxed
@given(st.one_of(NAMES, st.binary(max_size=8)), st.booleans())
def test_what_can_be_decoded_was_encoded(stored: bytes, link: bool) -> None:
    try:
        name = decode_component(stored, link=link)
    except IntegrityError:
        return
    assert encode_component(name, link=link) == stored
    check_path(name)


@relaxed
@given(st.lists(NAMES, min_size=1, max_size=4), st.booleans())
def test_a_path_is_its_components(names: list[bytes], link: bool) -> None:
    path = b"/".join(names)
    *parents, last = names
    stored = b"/".join([*map(encode_component, parents), encode_component(last, link=link)])
    assert encode_path(path, link=link) == stored
    assert decode_path(stored, link=link) == path


@relaxed
@given(
    st.one_of(
        st.binary(max_size=8), st.lists(st.sampled_from([b"a", b".", b"..", b"", b"\0"]), max_size=4).map(b"/".join)
    )
)
def test_a_safe_path_has_only_proper_components(path: bytes) -> None:
    proper = b"\0" not in path and not {b"", b".", b".."} & set(path.split(b"/"))
    try:
        check_path(path)
    except IntegrityError:
        assert not proper
    else:
        assert proper
