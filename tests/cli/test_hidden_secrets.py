"""What one view hides, every view hides: lines, keys, commands, messages, checks, hooks, events."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.helpers import document, refused
from tests.support.installation import run_gitsnap, sidecar_of, take_snapshot

FILES = {
    ".env": "PORT=80\nDB_PASSWORD=hunter-Env1\n",
    "compose.yaml": "services:\n  db:\n    environment:\n      - MYSQL_PASSWORD=hunter-Yml2\n"
    "    command: --requirepass hunter-Yml3\n",
    "app.json": '{"db": {"password": "hunter-Jsn4", "host": "db1"}, "args": ["--api-key", "hunter-Jsn5"]}\n',
    "wp-config.php": "<?php\ndefine('AUTH_KEY', 'hunter-Php6');\n$c = ['db' => ['password' => 'hunter-Php7']];\n",
    "block.yaml": "secret: &k |\n  hunter-Blk8\n  hunter-Blk9\n",
    "notes.yaml": "note: was hunter-Env1\nport: 1\n",
    "urls.conf": "main = Server=db;Password=hunter-Url10;Port=1\nmirror = postgres://u:hunter-Url11@h/x\n",
    "gone.ini": "[a]\ntoken = hunter-Rmv12\n",
    "login.yaml": "header: Basic aHVudGVyOmh1bnRlcjI=\n",
    "a.py": "x = 1\n",
}
SECRET = re.compile(r"(?:hunter|winter)-\w+|aHVudGVyOmh1bnRlcjI")
COMMAND = ("up.sh", "mysql", "-phunter-Cmd13", "--token", "hunter-Cmd14", "-H", "X-Api-Key: hunter-Cmd15")
TEXTS = (
    ("list",), ("history",), ("status",), ("show", "up"), ("show", "up@pre"), ("log", "app.json"),
    ("log", "-p", "app.json"), ("log", "-p", "wp-config.php"), ("blame", "wp-config.php"), ("blame", "block.yaml"),
    ("search", "hunter"), ("search", "winter"), ("diff", "--semantic", "up@pre", "up@post", "--", "app.json"),
    ("changelog", "up"), ("changelog", "up", "--format", "md"), ("changelog", "up", "--format", "json"),
    ("report", "up"),
)  # fmt: skip
DOCUMENTS = (
    ("list",), ("history",), ("status",), ("show", "up"), ("show", "up@pre"), ("log", "app.json"),
    ("blame", ".env"), ("search", "hunter"),
    ("diff", "--semantic", "up@pre", "up@post", "--", "app.json", "compose.yaml"), ("changelog", "up"),
)  # fmt: skip


@pytest.fixture(scope="module")
def upgraded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, list[str]]:
    base = tmp_path_factory.mktemp("hidden")
    app, home = base / "app", base / "home"
    app.mkdir()
    home.mkdir()
    for name, text in FILES.items():
        (app / name).write_text(text)
    take_snapshot(app, "-m", "set TOKEN=hunter-Msg16", home=home)
    script = "sed -i s/hunter/winter/g .env *.yaml *.json *.php urls.conf; rm gone.ini"
    command = ("sh", "-c", script, *COMMAND)
    told = ("--label", "up", "-m", "for https://u:hunter-Msg18@h", "--events", home / "events", "--on-failure", "keep")
    checks = ("--check", "env PASSWORD=hunter-Chk19 false", "--check", "echo got hunter-Cmd14; false")
    done = run_gitsnap("-C", app, "run", *told, *checks, "--", *command, home=home, check=False)
    return app, home, [done.stdout, done.stderr, (home / "events").read_text()]


def test_a_run_tells_no_secret(upgraded: tuple[Path, Path, list[str]]) -> None:
    for text in upgraded[2]:
        assert not SECRET.findall(text), text
    assert "••••" in upgraded[2][1]


@pytest.mark.parametrize("words", TEXTS, ids=" ".join)
def test_no_text_tells_a_secret(upgraded: tuple[Path, Path, list[str]], words: tuple[str, ...]) -> None:
    app, home, _ = upgraded
    done = run_gitsnap("-C", app, *words, home=home)
    assert not SECRET.findall(done.stdout.replace("search hunter", "")), done.stdout
    assert not SECRET.findall(done.stderr), done.stderr


@pytest.mark.parametrize("words", DOCUMENTS, ids=" ".join)
def test_no_document_tells_a_secret(upgraded: tuple[Path, Path, list[str]], words: tuple[str, ...]) -> None:
    app, home, _ = upgraded
    done = run_gitsnap("-C", app, "--json", *words, home=home)
    assert not SECRET.findall(done.stdout), done.stdout


@pytest.mark.parametrize("words", [w for w in TEXTS if w[0] != "status"], ids=" ".join)
def test_who_asks_sees_them(upgraded: tuple[Path, Path, list[str]], words: tuple[str, ...]) -> None:
    app, home, _ = upgraded
    assert SECRET.search(run_gitsnap("-C", app, words[0], "--show-secrets", *words[1:], home=home).stdout)


def test_a_patch_for_programs_is_whole(upgraded: tuple[Path, Path, list[str]]) -> None:
    app, home, _ = upgraded
    found = run_gitsnap("-C", app, "diff", "up@pre", "up@post", home=home).stdout
    assert "+DB_PASSWORD=winter-Env1" in found
    assert run_gitsnap("-C", app, "cat", "latest", ".env", home=home).stdout == FILES[".env"].replace(
        "hunter", "winter"
    )


def test_a_changed_secret_is_told_as_changed_and_a_kept_one_as_the_same(upgraded: tuple[Path, Path, list[str]]) -> None:
    app, home, _ = upgraded
    found = document("-C", app, "changelog", "up", home=home)
    keys = {k["key"]: k for files in found["components"].values() for f in files for k in f["keys"] or ()}
    password = keys["db.password"]
    assert password["masked"]
    assert password["old"] != password["new"]
    again = document("-C", app, "changelog", "up@post", "up@pre", home=home)
    back = {k["key"]: k for files in again["components"].values() for f in files for k in f["keys"] or ()}[
        "db.password"
    ]
    assert (back["old"], back["new"]) == (password["new"], password["old"])


def test_what_is_named_in_the_configuration_is_hidden_too(installation: Path) -> None:
    (installation / "own.yaml").write_text("station: hunter-Own1\nport: 80\n")
    (installation / "codes.txt").write_text("hunter-Own2\n")
    first = take_snapshot(installation)
    toml = sidecar_of(installation) / "gitsnap.toml"
    toml.write_text('[secrets]\nnames = ["stat*"]\nfiles = ["codes.txt"]\n')
    (installation / "own.yaml").write_text("station: winter-Own1\nport: 81\n")
    (installation / "codes.txt").write_text("winter-Own2\n")
    for words in (("changelog", first, "now"), ("report", first, "now")):
        told = run_gitsnap("-C", installation, *words).stdout
        assert not SECRET.findall(told), told
        assert "81" in told


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[secrets]\nname = ["a"]\n', "[secrets] does not know name"),
        ('[secrets]\nnames = "a"\n', "[secrets] names must be a list of globs"),
        ("[secrets]\nstrict = 1\n", "[secrets] strict must be true or false"),
    ],
)
def test_a_wrong_configuration_is_told(installation: Path, text: str, said: str) -> None:
    take_snapshot(installation)
    (sidecar_of(installation) / "gitsnap.toml").write_text(text)
    assert said in refused("-C", installation, "changelog", "latest", "now", code=2)


def test_strictly_no_value_is_shown(installation: Path) -> None:
    (installation / "own.yaml").write_text("port: p7781\nname: shopname\n")
    first = take_snapshot(installation)
    (installation / "own.yaml").write_text("port: p7782\nname: shopname\n")
    for words in (("changelog", first, "now"), ("report", first, "now"), ("blame", "own.yaml"), ("search", "port"),
                  ("diff", "--semantic", first, "now")):  # fmt: skip
        told = run_gitsnap("-C", installation, *words, "--strict").stdout
        assert "own.yaml" in told or "••••" in told
        # No digest has that letter.
        assert "p778" not in told, told
        assert "shopname" not in told, told


def test_what_a_hook_said_is_told_without_secrets(installation: Path) -> None:
    take_snapshot(installation)
    toml = sidecar_of(installation) / "gitsnap.toml"
    toml.write_text('[hooks]\nbefore-snapshot = "echo password=hunter-Hok17; exit 3"\n')
    toml.chmod(0o600)
    done = run_gitsnap("-C", installation, "--json", "snapshot", check=False)
    assert "••••" in done.stdout + done.stderr
    assert not SECRET.findall(done.stdout + done.stderr)
