"""Sets by name, and what is refused about several directories."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.installation import run_gitsnap


@pytest.fixture
def place(tmp_path: Path, gitsnap_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("app", "etc", "app/inner"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_text("1\n")
    return tmp_path


def say(place: Path, *words: str, check: bool | int = True) -> str:
    done = run_gitsnap(*words, cwd=place, check=check)
    return done.stdout + done.stderr


def test_a_set_is_created_used_and_removed(place: Path) -> None:
    config = place / "config/gitsnap/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text('# mine\n[capture]\nexclude = ["*.log"]\n')
    say(place, "set", "create", "shop", "app", "etc")
    assert config.read_text().startswith('# mine\n[capture]\nexclude = ["*.log"]\n')
    assert json.loads(say(place, "set", "--json"))["sets"] == [
        {"name": "shop", "installations": [str(place / "app"), str(place / "etc")]}
    ]
    say(place, "run", "--set", "shop", "--", "sh", "-c", "echo 2 >app/f; echo 2 >etc/f")
    say(place, "rollback", "--set", "shop", "--yes")
    assert [(place / name / "f").read_text() for name in ("app", "etc")] == ["1\n", "1\n"]
    told = json.loads(say(place, "status", "--set", "shop", "--json"))["installations"]
    assert [one["installation"] for one in told] == [str(place / "app"), str(place / "etc")]
    say(place, "set", "remove", "shop")
    assert "there is no set 'shop'" in say(place, "undo", "--set", "shop", check=2)
    assert config.read_text().startswith("# mine\n[capture]")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-C", "app", "-C", "app", "run", "--", "true"], "is named twice"),
        (["-C", "app", "-C", "app/inner", "run", "--", "true"], "lies in"),
        (["-C", "app", "-C", "etc", "verify"], "is about one directory"),
        (["verify", "-C", "app", "-C", "etc"], "is about one directory"),
        (["-C", "app", "-C", "", "run", "--", "true"], "name is empty"),
        (["-C", "app", "-C", "etc", "--store", "s", "run", "--", "true"], "the sidecar of one directory"),
        (["-C", "app", "run", "--set", "shop", "--", "true"], "both say which"),
        (["run", "--set", "shop", "--", "true"], "there is no set"),
        (["-C", "app", "-C", "etc", "run", "--soak", "1m", "--", "true"], "there are none"),
        (["-C", "app", "-C", "etc", "run", "--timer", "--", "true"], "goes with --soak"),
        (["-C", "app", "-C", "etc", "run", "--", "./nowhere"], "there is no command"),
        (["-C", "app", "-C", "etc", "rollback"], "asks first"),
        (["-C", "app", "-C", "etc", "rollback", "--keep-edits", "--yes"], "about one directory"),
        (["set", "create", "one", "app"], "two directories or more"),
        (["set", "create", "A b", "app", "etc"], "cannot be the name"),
        (["set", "create", "nested", "app", "app/inner"], "lies in"),
        (["set", "show", "shop"], "there is no set"),
        (["set", "frob"], "is none of"),
    ],
)
def test_what_makes_no_sense_is_refused(place: Path, words: list[str], said: str) -> None:
    assert said in say(place, *words, check=2)
    assert not list((place / "home").glob("*")) if (place / "home").exists() else True


def test_a_directory_that_is_not_there_is_named_before_any_is_protected(place: Path, gitsnap_home: Path) -> None:
    assert "nowhere cannot be used" in say(place, "-C", "app", "-C", "nowhere", "run", "--", "true", check=1)
    assert not list(gitsnap_home.glob("*.git"))


def test_a_set_that_is_written_wrong_is_named_with_its_file(place: Path) -> None:
    config = place / "config/gitsnap/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text('[sets]\nshop = ["relative", "paths"]\n')
    said = say(place, "run", "--set", "shop", "--", "true", check=2)
    assert str(config) in said
    assert "absolute paths" in said


def test_each_directory_has_the_lines_of_its_own_part_and_no_other(place: Path) -> None:
    every = ["-C", str(place / "app"), "-C", str(place / "etc")]
    say(place, *every, "run", "--", "sh", "-c", "echo x >app/f; exit 3", check=20)
    for name in ("app", "etc"):
        told = json.loads(say(place, "-C", str(place / name), "--json", "audit"))["audit"]
        assert [(line["phase"], line["outcome"]) for line in told] == [("begun", None), ("ended", "rolled-back")]
        assert len({line["upgrade"] for line in told}) == 1 and told[0]["upgrade"]
