"""The sidecar's config: written for git, and what somebody else has put there told by name."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitsnap.sidecar.git import config


@given(st.text(st.characters(blacklist_characters="\0\r", blacklist_categories=["Cs"]), min_size=1))
def test_the_installation_survives(path: str) -> None:
    if "\n" in path or path != path.strip():
        path = "/" + path.replace("\n", "n").strip()
    settings = dict(config.parse(config.for_sidecar(path)))
    assert config.installation(settings) == path


@pytest.mark.parametrize("path", ['/a "b"', "/a\\b", "/tab\there", "/bell\b", "/line\nbreak"])
def test_what_is_escaped(path: str) -> None:
    assert config.installation(dict(config.parse(config.for_sidecar(path)))) == path


@pytest.mark.parametrize("value", ['"/a\\x"', "/a\\q"])
def test_an_escape_that_git_does_not_have(value: str) -> None:
    assert config.installation({"gitsnap.installation": value}) is None


def test_no_installation() -> None:
    assert config.installation({}) == ""
    assert config.installation({"gitsnap.installation": '"'}) == '"'


@pytest.mark.parametrize(
    "text, found",
    [
        ("[Core] Bare = true\n", [("core.bare", "true")]),
        ('[Remote "Ab\\"c"]\nURL=x\n', [('remote.Ab\\"c.url', "x")]),
        ('[a][b "c"] d = e\n', [("b.c.d", "e")]),
        ("[a]\nb\n", [("a.b", "")]),
        ("[a]\nb = c\\\n  d\n", [("a.b", "c  d")]),
        ("[a]\nb = c\\\\\nd = e\n", [("a.b", "c\\\\"), ("a.d", "e")]),
        ("[a]\n# b = c\n ; d\n\nb = c ; d\n", [("a.b", "c ; d")]),
        ("\ufeff[a]\r\nb = c\r\n", [("a.b", "c")]),
        ("[a]\nb = c\\", [("a.b", "c")]),
        ("[a]\n1b = c\n", [("line 2", "c")]),
        ("[a]\n\nx\\\ny = z\n[broken\n", [("a.xy", "z"), ("line 5", "")]),
        ('[a ""]\nb = c\n', [("a..b", "c")]),
    ],
)
def test_git_has_the_syntax(text: str, found: list[tuple[str, str]]) -> None:
    assert config.parse(text.encode()) == found


def test_our_own_is_not_foreign(tmp_path: Path) -> None:
    (tmp_path / "config").write_bytes(config.for_sidecar("/srv/app"))
    assert config.foreign(str(tmp_path)) == []
    assert config.read(str(tmp_path)) == config.parse(config.for_sidecar("/srv/app"))
    (tmp_path / "config").unlink()
    assert config.read(str(tmp_path)) == []


def test_what_is_foreign(tmp_path: Path) -> None:
    added = b'[core]\n\tsshCommand = x\n\tBARE = true\n[filter "a"]\n\tclean = x\n\tclean = y\n'
    (tmp_path / "config").write_bytes(config.for_sidecar("/srv/app") + added)
    (tmp_path / "info").mkdir()
    for name in ("commondir", "info/grafts"):
        (tmp_path / name).symlink_to("nowhere")
    wrong = ["core.sshcommand", "filter.a.clean", "the file commondir", "the file info/grafts"]
    assert config.foreign(str(tmp_path)) == wrong


def test_git_gets_nothing_of_ours() -> None:
    assert not [name for name, _ in config.parse(config.for_git()) if name.startswith("gitsnap.")]
    assert ("core.hookspath", "/dev/null") in config.parse(config.for_git())
    assert ("gc.auto", "0") in config.parse(config.for_sidecar("/srv/app"))
