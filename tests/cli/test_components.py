"""Components: set, listed and tested; and one of them brought back while all else stays."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cli.helpers import document, refused
from tests.support.installation import differences, run_gitsnap, sidecar_of, take_snapshot

FILES = (
    "commands/a.md",
    "commands/deep/b.md",
    "agents/c.md",
    "settings.json",
    "settings.local.json",
    "notes/d.md",
    "e",
)


@pytest.fixture
def claudio(tmp_path: Path, gitsnap_home: Path) -> Path:
    app = tmp_path / "claudio"
    for name in FILES:
        (app / name).parent.mkdir(parents=True, exist_ok=True)
        (app / name).write_text(name)
    (app / "commands/empty").mkdir()
    take_snapshot(app, "--label", "good")
    return app


def set_(app: Path, *args: str) -> None:
    run_gitsnap("-C", app, "config", "components", *args)


def test_the_preset(claudio: Path) -> None:
    set_(claudio, "preset", "claudio")
    found = document("-C", claudio, "config", "components", "test")["components"]
    assert {n: c["files"] for n, c in found.items()} == {
        "commands": 2,
        "agents": 1,
        "configuration": 2,
        "project_content": 2,
    }
    shown = document("-C", claudio, "show")["components"]
    assert {n: c["files"] for n, c in shown.items()} == {n: c["files"] for n, c in found.items()}
    told = document("-C", claudio, "config", "components", "test", "settings.json", "agents/c.md", "no/such")["paths"]
    assert [(p["path"], p["component"]) for p in told] == [
        ("settings.json", "configuration"),
        ("agents/c.md", "agents"),
        ("no/such", "project_content"),
    ]


def test_setting_keeps_the_rest_of_the_file(claudio: Path) -> None:
    file = sidecar_of(claudio) / "gitsnap.toml"
    rest = '# mine\n[retention]\nkeep-last = 7 # why\n\n[components]\nold = "x"\n\n[capture]\nexclude = ["*.log"]\n'
    file.write_text(rest)
    set_(claudio, "set", "docs", "*.md", 'odd"\\name/**')
    set_(claudio, "remove", "old")
    text = file.read_text()
    assert text.startswith("# mine\n[retention]\nkeep-last = 7 # why\n\n[components]\ndocs = ")
    assert text.endswith('\n\n[capture]\nexclude = ["*.log"]\n')
    assert document("-C", claudio, "config", "components")["components"] == {"docs": ["*.md", 'odd"\\name/**']}
    idle = document("-C", claudio, "config", "components", "test")["idle"]
    assert {i["glob"] for i in idle} == {"*.md", 'odd"\\name/**'}
    set_(claudio, "remove", "docs")
    assert "components" not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0
    file.write_text('components = {a = "x"}\n')
    refused("-C", claudio, "config", "components", "set", "b", "y", code=1)
    assert file.read_text() == 'components = {a = "x"}\n'


def test_what_makes_no_sense(claudio: Path) -> None:
    for args in (("set", "x"), ("set",), ("remove", "nope"), ("preset", "nope"), ("paint",), ("set", "a b", "x")):
        refused("-C", claudio, "config", "components", *args, code=2)
    refused("-C", claudio, "config", "colours", code=2)
    refused("-C", claudio, "rollback", "--component", "nope", "-y", code=1, kind="no-such-component")
    refused("-C", claudio, "diff", "--component", "nope", code=1, kind="no-such-component")
    refused("-C", claudio, "restore", "latest", "e", "--component", "agents", code=2)


def spoil(app: Path) -> None:
    for name in FILES:
        (app / name).write_text("spoilt")
    for new in ("commands/new/x", "agents/new", "notes/new", "f", "settings.new.json"):
        (app / new).parent.mkdir(exist_ok=True)
        (app / new).write_text("new")
    (app / "commands/empty").rmdir()


@pytest.mark.parametrize("preset", [True, False])
@pytest.mark.parametrize("command", ["rollback", "restore"])
def test_one_comes_back_and_all_else_stays(claudio: Path, tmp_path: Path, preset: bool, command: str) -> None:
    if preset:
        set_(claudio, "preset", "claudio")
    good = tmp_path / "good"
    os.system(f"cp -a {claudio} {good}")
    spoil(claudio)
    spoilt = tmp_path / "spoilt"
    os.system(f"cp -a {claudio} {spoilt}")
    where = ["good"] if command == "rollback" else ["latest"]
    snapshot = document("-C", claudio, "list")["snapshots"][0]["id"] if where == ["good"] else "latest"
    told = document("-C", claudio, command, snapshot, "--component", "commands", *["-y"] * (command == "rollback"))
    assert told["verified"] is True
    # Inside, as it was; outside, as it had become.
    # The directory `commands` itself is not one of `commands/**`.
    own = ["--omit-dir-times"] * preset
    assert differences(good / "commands", claudio / "commands", *own) == ""
    assert differences(spoilt, claudio, "--exclude=/commands", "--omit-dir-times") == ""
    changes = document("-C", claudio, "diff", "latest", "now")["changes"]
    assert not [c for c in changes if c["path"].startswith("commands/")]
    # What was there is kept, and no upgrade counts as undone.
    run_gitsnap("-C", claudio, "rollback", told["safety_snapshot"], "-y")
    assert differences(spoilt, claudio) == ""


def test_components_of_files(claudio: Path) -> None:
    set_(claudio, "preset", "claudio")
    spoil(claudio)
    run_gitsnap("-C", claudio, "rollback", "--component", "configuration", "-y")
    assert sorted(p.name for p in claudio.glob("settings*")) == ["settings.json", "settings.local.json"]
    assert (claudio / "settings.json").read_text() == "settings.json"
    assert (claudio / "e").read_text() == "spoilt"
    set_(claudio, "remove", "preset")
    run_gitsnap("-C", claudio, "rollback", "--component", ".", "-y")
    assert ((claudio / "e").read_text(), (claudio / "f").exists()) == ("e", False)
    assert (claudio / "notes/d.md").read_text() == "spoilt"


def test_diff_and_changelog(claudio: Path) -> None:
    set_(claudio, "preset", "claudio")
    spoil(claudio)
    changed = document("-C", claudio, "diff", "--component", "agents")["changes"]
    assert {c["path"] for c in changed} == {"agents/c.md", "agents/new"}
    assert list(document("-C", claudio, "changelog", "latest", "now", "--component", "agents")["components"]) == [
        "agents"
    ]


def test_undoing_one_component_of_an_upgrade_undoes_no_upgrade(claudio: Path) -> None:
    run_gitsnap("-C", claudio, "run", "--", "sh", "-c", f"echo x >{claudio}/agents/c.md; echo x >{claudio}/e")
    run_gitsnap("-C", claudio, "rollback", "--component", "agents", "-y")
    assert ((claudio / "agents/c.md").read_text(), (claudio / "e").read_text()) == ("agents/c.md", "x\n")
    upgrade, rollback = document("-C", claudio, "history")["history"][1:]
    assert (upgrade["status"], rollback["type"]) == ("kept", "rollback")
