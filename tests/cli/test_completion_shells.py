"""Tab in bash, zsh and fish themselves: what the shell takes the completed line for is asked of the shell."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.installation import run_gitsnap
from tests.support.shells import Shell

HOSTILE = "conf d/a$(touch pwned)`touch pwned`;x"
NAMES = ("config/shop.ini", HOSTILE, "it's", "a:b=c@d", "new\nline", 'say "x"', "uni é", "tab\there", "\x1b[31mred")


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("shells")
    for name in NAMES:
        path = base / "app" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    said = "before $(touch pwned) `touch pwned` \x1b[31m %F{red}\n; touch pwned"
    for words in (("--label", "first", "-m", said), ("--tag", "v1")):
        done = run_gitsnap("-C", base / "app", "snapshot", *words, home=base / "gh")
        assert done.returncode == 0, done.stderr
    return base / "app"


@pytest.fixture(scope="module", params=["bash", "zsh", "fish"])
def shell(request: pytest.FixtureRequest, app: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    os.environ["GITSNAP_HOME"] = str(app.parent / "gh")
    try:
        with Shell(request.param, app, tmp_path_factory.mktemp(request.param)) as running:
            yield running
    finally:
        del os.environ["GITSNAP_HOME"]


@pytest.mark.parametrize(
    ("typed", "last"),
    [
        ("rollb", "rollback"),
        ("cat latest config/sh", "config/shop.ini"),
        ("cat @2 config/sh", "config/shop.ini"),
        ("show @1", "@1"),
        ("cat latest conf\\ d/", HOSTILE),
        ('cat latest "conf d/', HOSTILE),
        ("cat latest 'conf d/", HOSTILE),
        ("cat latest it", "it's"),
        ("cat latest say", 'say "x"'),
        ("cat latest un", "uni é"),
        ("cat latest a:b=", "a:b=c@d"),
        ("cat latest a:b=c@", "a:b=c@d"),
        ("cat latest new", "new"),
        ("cat latest tab", "tab"),
        ("snapshot --tag=v", "--tag=v1"),
        ("restore latest --component=config", "--component=config"),
        ("run -- cat config/s", "config/shop.ini"),
        ("cat nothing\\$\\(touch\\ pwned\\) config/s", "config/s"),
    ],
)
def test_a_word(shell: Shell, app: Path, typed: str, last: str) -> None:
    assert shell.completed(f"gitsnap {typed}")[-1] == last
    assert not list(app.parent.rglob("pwned"))


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_snapshots_newest_first(name: str, app: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    monkeypatch.setenv("GITSNAP_HOME", str(app.parent / "gh"))
    with Shell(name, app, tmp_path) as running:
        shown = running.listed("gitsnap show ", "Z-first" if name == "bash" else "Z-first +.*touch pwned")
    assert shown.index("latest") < shown.index("Z-manual") < shown.index("Z-first")
    assert not list(app.parent.rglob("pwned"))
