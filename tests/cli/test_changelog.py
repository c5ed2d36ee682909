"""`changelog`: what an upgrade changed, for people and for programs."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from gitsnap.cli.render import formatting
from gitsnap.core.comparison import Change, Status, metadata_differences
from gitsnap.core.model import Entry, Type
from tests.cli.helpers import document, refused
from tests.support.installation import run_gitsnap, sidecar_of, take_snapshot

BEFORE = {
    "settings.json": '{"port": 80, "db": {"password": "hunter2", "host": "a"}, "plugins": ["x"]}',
    "config/app.toml": 'name = "shop"\n[log]\nlevel = "info"\nday = 2026-01-01\n',
    "config/app.yaml": "workers: 2\nservers:\n  - name: a\n    url: http://a\n",
    "config/app.ini": "top = 1\n[db]\ntoken = opensesame\nHost = x\n",
    "config/broken.json": "{no json",
    "node_modules/left/package.json": '{"name": "left", "version": "1.2.0"}',
    "node_modules/left/index.js": "old\n",
    "node_modules/@s/gone/package.json": '{"name": "@s/gone", "version": "3.0.0"}',
    "lib/python/tool-1.0.dist-info/METADATA": "Name: tool\nVersion: 1.0\n",
    "README.txt": "one\ntwo\nthree\n",
    "moved.txt": "the same, elsewhere\n",
    "logo.png": "\x89PNG\r\n\x1a\n\0\0old",
}
AFTER = {
    "settings.json": '{"port": 8080, "db": {"password": "hunter3", "host": "a"}, "plugins": ["x", "y"], "new": true}',
    "config/app.toml": 'name = "shop"\n[log]\nlevel = "debug"\nday = 2026-01-02\n',
    "config/app.yaml": "servers:\n  - name: a\n    url: http://b\nworkers: 2\n",
    "config/app.ini": "top = 1\n[db]\ntoken = swordfish\nhost = x\n",
    "config/broken.json": "{still none",
    "node_modules/left/package.json": '{"name": "left", "version": "2.0.0"}',
    "node_modules/left/index.js": "new\n",
    "node_modules/left/lib/more.js": "new\n",
    "lib/python/tool-1.1.dist-info/METADATA": "Name: tool\nVersion: 1.1\n",
    "README.txt": "one\n2\nthree\nfour\n",
    "docs/moved.txt": "the same, elsewhere\n",
    "docs/a/b.txt": "new\n",
    "logo.png": "\x89PNG\r\n\x1a\n\0\0newer",
}


def write(app: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (app / name).parent.mkdir(parents=True, exist_ok=True)
        (app / name).write_bytes(text.encode("latin-1"))


@pytest.fixture(scope="module")
def upgraded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    top = tmp_path_factory.mktemp("changelog")
    app, new, home = top / "app", top / "new", top / "home"
    write(app, BEFORE)
    write(new, AFTER)
    script = f'find "$GITSNAP_DIR" -mindepth 1 -delete; cp -r {new}/. "$GITSNAP_DIR"'
    run_gitsnap("-C", app, "run", "--label", "two", "--", "sh", "-c", script, home=home)
    return app, home


def unmarked(value: Any) -> Any:
    """A mark without the sign that differs from sidecar to sidecar."""
    return re.sub("(?<=••••)\\([0-9a-f]{4}\\)", "", value) if isinstance(value, str) else value


def keys(file: dict[str, Any]) -> dict[str, tuple[str, Any, Any]]:
    return {k["key"]: (k["status"], unmarked(k["old"]), unmarked(k["new"])) for k in file["keys"]}


def test_document(upgraded: tuple[Path, Path]) -> None:
    app, home = upgraded
    found = document("-C", app, "changelog", home=home)
    assert found["upgrade"]["label"] == "two"
    files = {f["path"]: f for component in found["components"].values() for f in component}
    assert keys(files["settings.json"]) == {
        "port": ("changed", 80, 8080),
        "db.password": ("changed", "••••", "••••"),
        "plugins": ("changed", ["x"], ["x", "y"]),
        "new": ("added", None, True),
    }
    assert [k["masked"] for k in files["settings.json"]["keys"]] == [False, True, False, False]
    assert keys(files["config/app.toml"]) == {
        "log.level": ("changed", "info", "debug"),
        "log.day": ("changed", "2026-01-01", "2026-01-02"),
    }
    assert keys(files["config/app.yaml"]) == {"servers.a.url": ("changed", "http://a", "http://b")}
    assert keys(files["config/app.ini"]) == {
        "db.token": ("changed", "••••", "••••"),
        "db.Host": ("removed", "x", None),
        "db.host": ("added", None, "x"),
    }
    assert (files["config/broken.json"]["keys"], files["config/broken.json"]["lines"]) == (
        None,
        {"added": 1, "removed": 1},
    )
    assert files["README.txt"]["lines"] == {"added": 2, "removed": 1}
    assert files["logo.png"]["file_type"] == "PNG image"
    assert (files["docs/moved.txt"]["status"], files["docs/moved.txt"]["old_path"]) == ("renamed", "moved.txt")
    assert [(p["name"], p["old"], p["new"]) for p in found["packages"]] == [
        ("@s/gone", "3.0.0", None),
        ("left", "1.2.0", "2.0.0"),
        ("tool", "1.0", "1.1"),
    ]
    # What belongs to a package is told with it.
    assert not [p for p in files if p.startswith("node_modules/left/")]
    assert next(p for p in found["packages"] if p["name"] == "left")["files"] == 3


def test_secrets_are_shown_to_those_who_ask(upgraded: tuple[Path, Path]) -> None:
    app, home = upgraded
    for form in ("text", "md", "json"):
        hidden = run_gitsnap("-C", app, "changelog", "--format", form, home=home).stdout
        shown = run_gitsnap("-C", app, "changelog", "--format", form, "--show-secrets", home=home).stdout
        for secret in ("hunter2", "hunter3", "opensesame", "swordfish"):
            assert secret not in hidden, form
            assert secret in shown, form


def test_the_command_line_is_masked_as_values_are(installation: Path) -> None:
    command = ("sh", "-c", 'echo 1 > "$GITSNAP_DIR/new"', "up.sh", "--db-password", "hunter2", "--host", "db1")
    run_gitsnap("-C", installation, "run", "--", *command)
    for form in ("text", "md"):
        told = run_gitsnap("-C", installation, "changelog", "--format", form).stdout
        assert "up.sh --db-password •••• --host db1" in unmarked(told)
        assert "hunter2" not in told
    assert "hunter2" in run_gitsnap("-C", installation, "changelog", "--show-secrets").stdout


def test_markdown(upgraded: tuple[Path, Path]) -> None:
    app, home = upgraded
    told = run_gitsnap("-C", app, "changelog", "two", "--format", "md", home=home).stdout
    for line in (
        "# What the upgrade two changed",
        "## Packages: 2 updated, 1 gone",
        "| left | 1.2.0 | 2.0.0 | major |",
        "  - `port`: `80` → `8080`",
        "  - `db.password`: `••••` → `••••`",
        "- `README.txt`: +2 −1 lines",
        "- `logo.png`: PNG image, 13 B → 15 B",
        "- `moved.txt` → `docs/moved.txt`",
    ):
        assert line in unmarked(told).splitlines(), told


def test_one_component_and_two_states(upgraded: tuple[Path, Path]) -> None:
    app, home = upgraded
    found = document("-C", app, "changelog", "--component", "config", home=home)
    assert list(found["components"]) == ["config"]
    assert found["packages"] == []
    only = document("-C", app, "changelog", "--component", "lib", home=home)["packages"]
    assert [p["name"] for p in only] == ["tool"]
    backwards = document("-C", app, "changelog", "two@post", "two@pre", home=home)
    assert backwards["upgrade"] is None
    assert (
        backwards["summary"]["added"]
        == found["summary"]["removed"] + document("-C", app, "changelog", home=home)["summary"]["removed"]
    )
    assert document("-C", app, "changelog", "two@post", "now", home=home)["components"] == {}


def test_hostile_contents(installation: Path) -> None:
    bomb = "a: &a [x,x,x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{','.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(20)
    )
    files = {
        "deep.json": "[" * 100_000,
        "bomb.yaml": bomb,
        "number.json": "1" * 5000,
        "code.yaml": "!!python/object/apply:os.system ['touch /tmp/gitsnap-pwned']\n",
        "nan.json": '{"a": NaN}',
        "odd\x1b[2J.json": '{"a": "\\u001b[2J"}',
        "[section.ini": "[a\n",
    }
    write(installation, dict.fromkeys(files, "{}"))
    first = take_snapshot(installation)
    write(installation, files)
    assert "\x1b" not in run_gitsnap("-C", installation, "changelog", first, "now").stdout
    run_gitsnap("-C", installation, "changelog", first, "now", "--format", "md")
    json.loads(run_gitsnap("-C", installation, "changelog", first, "now", "--format", "json").stdout)
    assert not Path("/tmp/gitsnap-pwned").exists()


def test_what_makes_no_sense(installation: Path) -> None:
    take_snapshot(installation)
    refused("-C", installation, "changelog", code=1)
    refused("-C", installation, "changelog", "--format", "pdf", code=2)
    refused("-C", installation, "changelog", "a", "b", "c", code=2)


@pytest.mark.parametrize("table", ["", '[components]\nparts = ["new/**", "old/**"]\n'])
def test_counts_are_those_of_what_is_listed(installation: Path, table: str) -> None:
    write(installation, {"old/b.txt": "222\n", "old/deep/c.txt": "1\n", "was/moved.txt": "the same, elsewhere\n"})
    first = take_snapshot(installation)
    for name in ("old", "was"):
        shutil.rmtree(installation / name)
    write(installation, {"new/a.txt": "123\n", "to/moved.txt": "the same, elsewhere\n"})
    (installation / "empty").mkdir()
    sections = changelog_by_section(installation, first, table)
    new, gone = ["  New (1):", "    new/ (1 file, 4 B)"], ["  Gone (2):", "    old/ (2 files, 6 B)"]
    empty, moved = ["  New (1):", "    empty/ (no files)"], ["  Renamed (1):", "    was/moved.txt → to/moved.txt"]
    # A directory whose only file came from elsewhere, or went there, is told with that one.
    if table:
        assert sections == {"At the top": empty + moved, "parts": new + gone}
    else:
        assert sections == {"At the top": empty, "new": new, "old": gone, "to": moved}


def test_a_directory_of_several_components_is_told_with_their_files(installation: Path) -> None:
    first = take_snapshot(installation)
    write(installation, {"new/a.txt": "1\n", "new/b.bin": "1\n"})
    table = '[components]\ntexts = ["new/*.txt"]\nparts = ["new/*.bin"]\n'
    assert changelog_by_section(installation, first, table) == {
        "parts": ["  New (1):", "    new/b.bin (2 B)"],
        "texts": ["  New (1):", "    new/a.txt (2 B)"],
    }


def changelog_by_section(app: Path, since: str, table: str) -> dict[str, list[str]]:
    (sidecar_of(app) / "gitsnap.toml").write_text(table)
    told = run_gitsnap("-C", app, "changelog", since, "now").stdout
    return {s.splitlines()[0]: s.splitlines()[1:] for s in told.split("\n\n")[1:]}


def test_old_and_new_mode_and_owner_are_told(installation: Path) -> None:
    (installation / ".env").write_text("A=1\n")
    (installation / ".env").chmod(0o600)
    first = take_snapshot(installation)
    (installation / ".env").chmod(0o644)
    told = run_gitsnap("-C", installation, "changelog", first, "now").stdout
    assert "    .env: mode 0600 -> 0644" in told.splitlines()
    told = run_gitsnap("-C", installation, "changelog", first, "now", "--format", "md").stdout
    assert "- `.env`: mode 0600 -> 0644" in told.splitlines()
    page = run_gitsnap("-C", installation, "report", first, "now").stdout
    assert "mode 0600 -&gt; 0644" in page
    (file,) = document("-C", installation, "changelog", first, "now")["components"]["."]
    assert file["what"] == ["mode"]
    assert [file[side]["mode"] for side in ("old", "new")] == ["0600", "0644"]
    assert all(file[side]["owner"] and file[side]["group"] for side in ("old", "new"))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (Entry(b"a", Type.FILE, 0o644, 0, 0, "root", "root"), Entry(b"a", Type.FILE, 0o644, 33, 0, "www-data", "root"),
         "owner root -> www-data"),
        (Entry(b"a", Type.FILE, 0o4755, 0, 0), Entry(b"a", Type.FILE, 0o755, 0, 7),
         "mode 4755 -> 0755, group 0 -> 7"),
        (Entry(b"a", Type.FILE, 0o644, 1, 1, "app", "app"), Entry(b"a", Type.FILE, 0o644, 2, 2, "app", "w\n"),
         "owner app (1) -> app (2), group app -> w\\n"),
    ],
)  # fmt: skip
def test_the_words_for_owners(old: Entry, new: Entry, told: str) -> None:
    what = metadata_differences(old, new, times=True, directory_times=True)
    assert formatting.metadata(Change(b"a", Status.METADATA, old, new, what=what)) == told
