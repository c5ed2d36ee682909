"""What a changelog begins with, and how long it is: the user's file is on the first screen, whatever else changed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.helpers import document
from tests.support.installation import run_gitsnap, take_snapshot

FIRST_SCREEN, TWO_SCREENS = 40, 80
MANY = 400


def app_with(tmp_path: Path, files: dict[str, str | bytes]) -> Path:
    app = tmp_path / "app"
    for name, content in files.items():
        put(app / name, content)
    return app


def put(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def changelog(app: Path, *args: str) -> list[str]:
    return run_gitsnap("-C", app, "changelog", *args).stdout.splitlines()


def generated(app: Path, text: str) -> None:
    for n in range(MANY):
        put(app / "a" / f"generated-file-{n}.txt", f"{text} {n}\n")


def upgrade(app: Path, first: str) -> list[str]:
    told = changelog(app, first, "now")
    assert len(told) <= TWO_SCREENS
    return told


@pytest.mark.usefixtures("gitsnap_home")
class TestTheUsersFile:
    @pytest.mark.parametrize("name", ["a/mine.txt", "z/mine.conf", "z/notes", "zz/.env", "mine.txt"])
    def test_among_many_that_were_generated(self, tmp_path: Path, name: str) -> None:
        app = app_with(tmp_path, {name: "A=1\n"})
        generated(app, "old")
        first = take_snapshot(app)
        generated(app, "new")
        put(app / name, "A=2\n")
        told = upgrade(app, first)
        assert any(name in line for line in told[:10]), told
        assert f"    M a/generated-file-*.txt: {MANY} files" in told

    def test_in_a_directory_that_vanished(self, tmp_path: Path) -> None:
        app = app_with(
            tmp_path, {f"plugins/old/lib-{n}.py": "x\n" * n for n in range(200)} | {"plugins/old/my.conf": "a\n"}
        )
        first = take_snapshot(app)
        shutil.rmtree(app / "plugins")
        told = upgrade(app, first)
        assert any("gone: plugins/old/my.conf" in line for line in told[:8]), told
        assert any("plugins/ (200 files" in line for line in told), told

    def test_of_five_megabytes(self, tmp_path: Path) -> None:
        app = app_with(tmp_path, {"config/big.conf": "old line\n" * 600_000})
        generated(app, "old")
        first = take_snapshot(app)
        generated(app, "new")
        put(app / "config/big.conf", "new line\n" * 600_000)
        assert any("config/big.conf: text, 5.4 MB" in line for line in upgrade(app, first)[:10])

    def test_whose_name_is_not_utf_8(self, tmp_path: Path) -> None:
        app = app_with(tmp_path, {})
        generated(app, "old")
        mine = os.fsencode(app) + b"/etc/\xff\xfe.conf"
        put(Path(os.fsdecode(mine)), "a\n")
        first = take_snapshot(app)
        generated(app, "new")
        put(Path(os.fsdecode(mine)), "b\n")
        assert any("etc/\\xff\\xfe.conf" in line for line in upgrade(app, first)[:10])

    def test_that_was_edited_since_the_upgrade_before(self, tmp_path: Path) -> None:
        app = app_with(tmp_path, {f"lib/m{chr(97 + n % 26)}{n}/code.py": f"{n}\n" for n in range(100)})
        edit = 'for f in "$GITSNAP_DIR"/lib/*/code.py; do echo new >>"$f"; done'
        run_gitsnap("-C", app, "run", "--label", "one", "--", "sh", "-c", edit)
        put(app / "lib/mb27/code.py", "mine\n")
        run_gitsnap("-C", app, "run", "--label", "two", "--", "sh", "-c", edit)
        told = changelog(app)
        at = told.index("  Changed or made since the upgrade before this one:")
        assert at < 8
        assert told[at + 1].startswith("    lib/mb27/code.py: ")
        files = {f["path"]: f for part in document("-C", app, "changelog")["components"].values() for f in part}
        assert {p for p, f in files.items() if f["likely_yours"]} == {"lib/mb27/code.py"}
        assert files["lib/mb27/code.py"]["likely_yours"] == {"score": 75, "reason": "since"}

    def test_with_the_time_of_the_packages_that_a_pristine_copy_tells_apart(self, tmp_path: Path) -> None:
        app = app_with(tmp_path, {f"lib/code-{n}.py": f"{n}\n" for n in range(100)} | {"app.conf": "port=1\n"})
        shutil.copytree(app, tmp_path / "pristine")
        run_gitsnap("-C", app, "import", "--pristine", "--label", "1.0", tmp_path / "pristine")
        for name in ("lib/code-7.py", "app.conf"):
            before = (app / name).stat()
            put(app / name, "mine\n")
            os.utime(app / name, ns=(before.st_atime_ns, before.st_mtime_ns))
        edit = 'for f in "$GITSNAP_DIR"/lib/*.py "$GITSNAP_DIR"/app.conf; do echo new >>"$f"; done'
        run_gitsnap("-C", app, "run", "--", "sh", "-c", edit)
        told = changelog(app)
        at = told.index("Files that you had changed or made (2)")
        assert at < 6
        assert [line.split(":")[0].strip() for line in told[at + 2 : at + 4]] == ["app.conf", "lib/code-7.py"]

    def test_in_a_package_that_did_not_change(self, tmp_path: Path) -> None:
        package = {f"node_modules/x/lib/{chr(97 + n)}.js": "a\n" for n in range(12)}
        app = app_with(tmp_path, package | {"node_modules/x/package.json": '{"name": "x", "version": "1.0.0"}'})
        put(app / "node_modules/x/lib/c.js", "mine\n")
        first = take_snapshot(app)
        put(app / "node_modules/x/lib/c.js", "a\n")
        told = upgrade(app, first)
        assert "  Changed, while the rest of the package did not:" in told
        assert "    node_modules/x/lib/c.js: +1 −1 lines" in told

    def test_written_later_than_the_rest_of_an_upgraded_package(self, tmp_path: Path) -> None:
        package = {f"node_modules/x/lib/{chr(97 + n)}.js": "a\n" for n in range(12)}
        app = app_with(tmp_path, package | {"node_modules/x/package.json": '{"name": "x", "version": "1.0.0"}'})
        for path in (app / "node_modules/x").rglob("*.*"):
            os.utime(path, (1_000_000_000, 1_000_000_000))
        put(app / "node_modules/x/lib/c.js", "mine\n")
        first = take_snapshot(app)
        for path in package:
            put(app / path, "b\n")
        put(app / "node_modules/x/package.json", '{"name": "x", "version": "2.0.0"}')
        told = upgrade(app, first)
        assert "    node_modules/x/lib/c.js: +1 −1 lines" in told[:8], told
        assert not [line for line in told if "lib/d.js" in line]

    def test_in_a_package_whose_files_have_the_times_of_their_makers(self, tmp_path: Path) -> None:
        core = [f"wp-includes/{chr(97 + n // 26)}{chr(97 + n % 26)}.php" for n in range(100)]
        single = [f"wp-includes/{name}.php" for name in ("functions", "fixed-a", "fixed-b", "fixed-c", "fixed-d")]
        app = app_with(tmp_path, dict.fromkeys([*core, *single], "<?php\n"))
        put(app / "wp-includes/version.php", "<?php\n$wp_version = '6.1';\n")
        for n, path in enumerate([*core, "wp-includes/version.php"]):
            os.utime(app / path, (1_000_000_000 + n * 86_400,) * 2)
        for path in single:
            os.utime(app / path, (1_200_000_000,) * 2)
        put(app / "wp-includes/functions.php", "<?php\n// mine\n")
        first = take_snapshot(app)
        for path in (*core, *single):
            put(app / path, "<?php\n// 6.8\n")
        put(app / "wp-includes/version.php", "<?php\n$wp_version = '6.8';\n")
        told = upgrade(app, first)
        assert "Most likely yours (1)" in told, told
        assert "    wp-includes/functions.php: +1 −1 lines" in told[:8], told
        assert not [line for line in told if "fixed-" in line]

    def test_by_as_many_lines_as_the_diff_shows(self, tmp_path: Path) -> None:
        lines = [f"key{n} = {n}\n" for n in range(40)]
        app = app_with(tmp_path, {"app.conf": "".join(lines) + "end\n"})
        first = take_snapshot(app)
        put(app / "app.conf", "".join([*lines[20:], *lines[:20]]) + "end\n")
        numstat = run_gitsnap("-C", app, "diff", first, "now").stdout.splitlines()[2:]
        went, came = (sum(line.startswith(s) and line[:3] != s * 3 for line in numstat) for s in "-+")
        assert came == went == 20
        assert f"    app.conf: +{came} −{went} lines" in upgrade(app, first)


@pytest.mark.usefixtures("gitsnap_home")
class TestFolding:
    def test_generated_files_are_a_line_for_each_kind(self, tmp_path: Path) -> None:
        names = [f"lib/__pycache__/m{n}.cpython-311.pyc" for n in range(100)] + [
            "s/app.min.js",
            "s/app.js.map",
            "x/yarn.lock",
        ]
        app = app_with(tmp_path, dict.fromkeys(names, b"\0old") | {"lib/code.py": "1\n"})
        first = take_snapshot(app)
        for name in names[1:]:
            put(app / name, b"\0newer")
        (app / names[0]).unlink()
        put(app / "lib/code.py", "2\n")
        told = upgrade(app, first)
        at = told.index("Generated files")
        assert told[at + 1 :] == [
            "    compiled code: 1 gone, 99 changed",
            "    lock files: x/yarn.lock (changed)",
            "    minified or bundled code: s/app.min.js (changed)",
            "    source maps: s/app.js.map (changed)",
        ]
        everything = changelog(app, first, "now", "--all")
        assert "Generated files" not in everything
        assert sum("cpython-311.pyc" in line for line in everything) == 100
        assert sum(len(part) for part in document("-C", app, "changelog", first, "now")["components"].values()) == 104

    def test_many_components_and_names_stay_within_two_screens(self, tmp_path: Path) -> None:
        words = [f"{a}{b}{c}" for a in "abcdefg" for b in "hijklm" for c in "nopqr"]
        app = app_with(tmp_path, {f"{w[0]}{w[1]}/{w}.py": "x\n" for w in words} | {"etc/app.conf": "a=1\n"})
        first = take_snapshot(app)
        for number, word in enumerate(words):
            put(app / f"{word[0]}{word[1]}/{word}.py", "y\n" * (number + 1))
        put(app / "etc/app.conf", "a=2\n")
        told = upgrade(app, first)
        assert told[-1] == "All of it: gitsnap changelog --all"
        assert any("etc/app.conf" in line for line in told[:8])
        assert any(line.startswith("… and ") and "other places" in line for line in told), told
        # The largest change is told, the smallest is not.
        assert any(f"{words[-1]}.py" in line for line in told)
        assert not any(f"{words[0]}.py" in line for line in told)
        listed = changelog(app, first, "now", "--all")
        assert all(any(f"/{w}.py:" in line for line in listed) for w in words)

    def test_the_keys_of_many_files_leave_room_for_all_files(self, tmp_path: Path) -> None:
        old = "{" + ", ".join(f'"k{n}": 1' for n in range(30)) + "}"
        app = app_with(tmp_path, {f"etc/{chr(97 + n)}.json": old for n in range(12)})
        generated(app, "old")
        first = take_snapshot(app)
        generated(app, "new")
        for n in range(12):
            put(app / f"etc/{chr(97 + n)}.json", old.replace("1", "2"))
        told = upgrade(app, first)[:FIRST_SCREEN]
        assert sum(line.startswith("    etc/") for line in told) >= 8

    def test_as_markdown(self, tmp_path: Path) -> None:
        app = app_with(tmp_path, {"etc/app.conf": "a\n"})
        generated(app, "old")
        first = take_snapshot(app)
        generated(app, "new")
        put(app / "etc/app.conf", "b\n")
        told = upgrade(app, first) and changelog(app, first, "now", "--format", "md")
        assert "- `etc/app.conf`: +1 −1 lines" in told
        assert f"- M `a/generated-file-*.txt`: {MANY} files" in told


@pytest.mark.usefixtures("gitsnap_home")
class TestRepositories:
    def git(self, at: Path, *args: str) -> str:
        who = (
            "-c",
            "user.name=A",
            "-c",
            "user.email=a@example.org",
            "-c",
            "init.defaultBranch=main",
            "-c",
            "gc.auto=0",
        )
        return subprocess.run(["git", "-C", at, *who, *args], capture_output=True, text=True, check=True).stdout.strip()

    def test_head_before_and_after_and_the_commits_between(self, tmp_path: Path) -> None:
        app = app_with(tmp_path, {"plugins/x/code.py": "1\n"})
        top = app / "plugins/x"
        self.git(top, "init", "-q")
        self.git(top, "add", ".")
        self.git(top, "commit", "-qm", "one")
        first = take_snapshot(app)
        old = self.git(top, "rev-parse", "HEAD")
        for n in range(3):
            put(top / "code.py", f"new {n}\n")
            self.git(top, "commit", "-qam", f"{n}")
        new = self.git(top, "rev-parse", "HEAD")
        told = upgrade(app, first)
        assert f"    plugins/x: HEAD {old[:10]} → {new[:10]} on main, 3 commits" in told
        assert not [line for line in told if ".git/" in line]
        (found,) = document("-C", app, "changelog", first, "now")["repositories"]
        assert found == {"path": "plugins/x", "old": old, "new": new, "branch": "main", "commits": 3}

        second = take_snapshot(app)
        self.git(top, "pack-refs", "--all")
        assert "Repositories" not in upgrade(app, second)
        self.git(top, "checkout", "-q", old)
        third = upgrade(app, second)
        assert f"    plugins/x: HEAD {new[:10]} → {old[:10]}" in third

    def test_hooks_and_settings_in_them_are_told_and_nothing_runs(self, tmp_path: Path) -> None:
        app = app_with(tmp_path, {"x/code.py": "1\n"})
        self.git(app / "x", "init", "-q")
        first = take_snapshot(app)
        put(app / "x/.git/hooks/post-checkout", f"#!/bin/sh\ntouch {tmp_path}/ran\n")
        put(app / "x/.git/config", f"[core]\n\tfsmonitor = touch {tmp_path}/ran\n")
        put(app / "x/.git/HEAD", "ref: ../../../../../etc/passwd\n")
        told = upgrade(app, first)
        assert any("x/.git/config" in line for line in told), told
        assert any("hooks/post-checkout" in line for line in told)
        assert not (tmp_path / "ran").exists()
