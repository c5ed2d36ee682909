"""Where one stands: PATHs, the command of `run`, and the old coordinator's words for all of it."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from tests.cli.helpers import document, refused
from tests.support.installation import run_gitsnap, take_snapshot


@pytest.fixture
def app(tmp_path: Path, gitsnap_home: Path) -> Path:
    app = tmp_path / "app"
    (app / "config/sub").mkdir(parents=True)
    for name in ("V", "config/shop.ini", "config/sub/x"):
        (app / name).write_text(f"{name} 1\n")
    (app / "link").symlink_to("config")
    (tmp_path / "by-another-name").symlink_to("app")
    take_snapshot(app)
    return app


READINGS = {
    "here": ("config", "shop.ini"),
    "dot": ("config", "./shop.ini"),
    "above": ("config/sub", "../shop.ini"),
    "through what is gone": ("config", "gone/../shop.ini"),
    "root": (".", "config/shop.ini"),
    "doubled": (".", "config//shop.ini"),
    "absolute": ("config/sub", "{app}/config/shop.ini"),
    "by another name": ("config", "{app}/../by-another-name/config/shop.ini"),
    "through a link": ("link", "shop.ini"),
}


@pytest.mark.parametrize("how", READINGS)
def test_a_path_is_relative_to_where_one_stands(app: Path, how: str) -> None:
    where, path = READINGS[how]
    told = run_gitsnap("cat", "latest", path.format(app=app), cwd=app / where)
    assert told.stdout == "config/shop.ini 1\n"


def test_with_c_it_is_relative_to_that(app: Path, tmp_path: Path) -> None:
    for cwd in (tmp_path, app / "config"):
        assert run_gitsnap("-C", app, "cat", "latest", "config/shop.ini", cwd=cwd).stdout == "config/shop.ini 1\n"
    away = run_gitsnap("-C", "by-another-name", "cat", "latest", "V", cwd=tmp_path)
    assert away.stdout == "V 1\n"


@pytest.mark.parametrize("path", ["../../V", "/etc/passwd", "../../app2/V", "{app}2/V", "{app}/../other"])
def test_what_lies_outside_is_refused(app: Path, path: str) -> None:
    named = path.format(app=app)
    for command in (("cat", "latest"), ("restore", "latest"), ("log",), ("ls", "latest"), ("diff", "--")):
        told = run_gitsnap(*command, named, cwd=app / "config", check=2)
        away = f"is not inside {app}" if named.startswith("/") else "leads out of the installation"
        assert f"{named} {away}" in told.stderr
        assert f"paths count from {app}/config" in told.stderr


def test_dot_brings_back_no_more_than_what_is_here(app: Path) -> None:
    for name in ("V", "config/shop.ini"):
        (app / name).write_text("2\n")
    run_gitsnap("restore", "latest", ".", cwd=app / "config")
    assert ((app / "V").read_text(), (app / "config/shop.ini").read_text()) == ("2\n", "config/shop.ini 1\n")
    run_gitsnap("restore", "latest", "..", cwd=app / "config")
    assert (app / "V").read_text() == "V 1\n"


def test_what_is_gone_comes_back_from_beside_it(app: Path) -> None:
    (app / "config/sub/x").unlink()
    (app / "config/sub").rmdir()
    run_gitsnap("restore", "latest", "sub", cwd=app / "config")
    assert (app / "config/sub/x").exists()


def test_every_reader_of_paths(app: Path) -> None:
    (app / "V").write_text("2\n")
    (app / "config/sub/x").write_text("2\n")
    here = app / "config"

    def said(*words: str) -> str:
        return run_gitsnap(*words, cwd=here).stdout

    assert said("diff", "--name-status", "--", ".").split() == ["M", "config/sub/x"]
    assert said("diff", "--name-status", "--", "../V").split() == ["M", "V"]
    assert "config/sub/" in said("ls", "latest")
    assert "config/sub/x" not in said("ls", "latest", "..")
    assert said("find", "sub/*").split()[0] == "config/sub/x"
    assert said("find", "**/x").split()[0] == "config/sub/x"
    # A name may be anywhere.
    assert said("find", "V").split()[0] == "V"
    assert "config/shop.ini 1" in said("blame", "shop.ini")
    assert said("search", "1", "--", "sub").splitlines()[0].startswith("config/sub/x")
    assert "added" in said("log", "shop.ini")


@pytest.mark.parametrize(
    "words",
    [("cat", "latest"), ("ls", "latest"), ("restore", "latest"), ("blame",), ("log",), ("search", "x"), ("diff", "--")],
    ids=lambda words: words[0],
)
def test_a_hint_tells_from_where_paths_count(app: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    here = app / "config"
    words = (*words, "--", "nope") if words[0] == "search" else (*words, "nope")
    assert run_gitsnap(*words, cwd=here, check=1).stderr.endswith(f"; paths count from {here}\n")
    for options, cwd in (((), app), (("-C", app), here), (("-C", app), tmp_path)):
        told = run_gitsnap(*options, *words, cwd=cwd, check=1).stderr
        assert told.endswith("; paths count from the root\n"), cwd


@pytest.mark.parametrize(
    ("where", "path"),
    [("config", "sub"), (".", "config/sub"), ("config/sub", "."), ("config/sub", ".."), ("config", "a b")],
)
def test_what_a_hint_types_for_a_path_works_there(app: Path, where: str, path: str) -> None:
    (app / "config/a b").mkdir()
    take_snapshot(app)
    hint = run_gitsnap("cat", "latest", path, cwd=app / where, check=1).stderr.splitlines()[1]
    _, *words = shlex.split(hint)
    assert words[2:] == [path]
    run_gitsnap(*words, cwd=app / where)


@pytest.mark.parametrize(
    ("where", "path"), [("config", "shop.ini"), (".", "config/shop.ini"), ("config/sub", "../shop.ini")]
)
def test_dashes_are_suggested_for_what_is_there(app: Path, where: str, path: str) -> None:
    hint = run_gitsnap("diff", path, cwd=app / where, check=1).stderr.splitlines()[1]
    assert hint == f"  gitsnap diff -- {path}"
    (app / "config/shop.ini").write_text("2\n")
    assert "shop.ini" in run_gitsnap(*shlex.split(hint)[1:], cwd=app / where).stdout


def test_the_command_runs_where_c_says(app: Path, tmp_path: Path) -> None:
    script = 'pwd; echo "$PWD"; touch made'
    ran = run_gitsnap("-C", app, "-q", "run", "--check", "test -e made", "--", "sh", "-c", script, cwd=tmp_path)
    assert ran.stdout.splitlines() == [str(app)] * 2
    # Without it, where one stands; the checks are the installation's.
    ran = run_gitsnap("-q", "run", "--check", "test -e made", "--", "pwd", cwd=app / "config")
    assert ran.stdout == f"{app / 'config'}\n"
    run_gitsnap("-C", "app", "run", "--events", "events.jsonl", "--", "true", cwd=tmp_path)
    assert (tmp_path / "events.jsonl").exists()


def test_a_command_that_is_where_one_stands(app: Path, tmp_path: Path) -> None:
    script = tmp_path / "up.sh"
    script.write_text("#!/bin/sh\ntouch made\n")
    script.chmod(0o755)
    told = run_gitsnap("-C", "app", "run", "--", "./up.sh", cwd=tmp_path, check=2).stderr
    assert f"it is in {tmp_path}, where you stand" in told
    assert str(script) in told
    assert not (app / "made").exists()
    assert len(document("-C", app, "list")["snapshots"]) == 1
    run_gitsnap("-C", "app", "run", "--", str(script), cwd=tmp_path)
    assert (app / "made").exists()
    assert "nothing was started" in run_gitsnap("-C", app, "run", "--", "./none", check=2).stderr


def test_the_old_coordinators_options(app: Path) -> None:
    run_gitsnap("-C", app, "create-backup", "comprehensive", "--force")
    name = document("-C", app, "list")["snapshots"][-1]["id"]
    # With a number behind it, where it is the second of one second.
    assert "Z-comprehensive" in name
    run_gitsnap("-C", app, "validate-backup", name, "--force")
    (app / "V").write_text("2\n")
    run_gitsnap("-C", app, "cleanup", "-n", "--keep", "1")
    assert len(document("-C", app, "list")["snapshots"]) == 2
    run_gitsnap("-C", app, "rollback", name, "--force")
    assert (app / "V").read_text() == "V 1\n"
    run_gitsnap("-C", app, "cleanup", "--keep", "1", "--force")
    assert len(document("-C", app, "list")["snapshots"]) < 3
    refused("-C", app, "cleanup", "--keep", "0", code=2)


def test_the_old_coordinators_ids(app: Path, tmp_path: Path) -> None:
    old = tmp_path / "2025-08-10T03-40-11-comprehensive-backup"
    old.mkdir()
    (old / "V").write_text("old\n")
    run_gitsnap("-C", app, "import", old, env={"TZ": "Asia/Tokyo"})
    assert run_gitsnap("-C", app, "cat", old.name, "V", env={"TZ": "UTC"}).stdout == "old\n"
    run_gitsnap("-C", app, "validate-backup", old.name)
    refused("-C", app, "show", "2025-08-10T03-40-12-comprehensive-backup", code=1)
    assert os.listdir(app / "config")
