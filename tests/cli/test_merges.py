"""`rollback --keep-edits` and `carry`: what the upgrade did goes, or what you did comes along; and the rest stays."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.cli.helpers import document, refused
from tests.cli.test_changelog import write
from tests.support.installation import copy_tree, differences, run_gitsnap, same_tree

V1 = {
    "settings.json": '{\n  "port": 80,\n  "theme": "light",\n  "plugins": {"a": 1}\n}\n',
    "app.conf": "".join(f"line {n}\n" for n in range(20)),
    "main.py": "print(1)\n",
    "old.py": "old\n",
    "logo.bin": "\0one",
    "lib/a/x.py": "x\n",
}
V2 = {
    "settings.json": '{\n  "port": 80,\n  "theme": "dark",\n  "plugins": {"a": 1, "b": 2}\n}\n',
    "app.conf": "".join(f"line {n}\n" if n != 2 else "line two\n" for n in range(20)),
    "main.py": "print(2)\n",
    "new.py": "new\n",
    "logo.bin": "\0two",
    "lib/b/y.py": "y\n",
}


@pytest.fixture
def shop(tmp_path: Path, gitsnap_home: Path) -> Path:
    """Version 1 as shipped."""
    write(tmp_path / "shop", V1)
    return tmp_path / "shop"


def upgrade(app: Path, tmp_path: Path) -> None:
    """To version 2, as an installer does it: the directory is emptied but for what is in data."""
    write(tmp_path / "v2", V2)
    script = f'find "$GITSNAP_DIR" -mindepth 1 -not -path "*/data*" -delete; cp -r {tmp_path}/v2/. "$GITSNAP_DIR"'
    run_gitsnap("-C", app, "run", "--label", "two", "--", "sh", "-c", script)


def paths(found: list[dict[str, str]]) -> list[str]:
    return [f["path"] for f in found]


class TestKeepingEdits:
    def test_undoes_the_upgrade_alone(self, shop: Path, tmp_path: Path) -> None:
        before = copy_tree(shop, tmp_path / "before")
        upgrade(shop, tmp_path)
        settings = (shop / "settings.json").read_text().replace("80", "8080")
        (shop / "settings.json").write_text(settings)
        (shop / "app.conf").write_text((shop / "app.conf").read_text() + "mine\n")
        (shop / "notes.txt").write_text("mine\n")
        (shop / "lib/b/mine.py").write_text("mine\n")
        edited = copy_tree(shop, tmp_path / "edited")
        plan = document("-C", shop, "rollback", "--keep-edits", "-n")
        assert paths(plan["taken"]) == ["lib/a/x.py", "logo.bin", "main.py", "old.py"]
        assert paths(plan["removed"]) == ["lib/b/y.py", "new.py"]
        assert (paths(plan["merged"]), plan["conflicts"]) == (["app.conf", "settings.json"], [])
        same_tree(edited, shop)
        assert len(document("-C", shop, "list")["snapshots"]) == 2
        refused("-C", shop, "rollback", "--keep-edits", code=2)
        done = document("-C", shop, "rollback", "--keep-edits", "-y")
        assert done["verified"] is True
        # All is as before the upgrade, but for the edits.
        told = differences(before, shop, "--omit-dir-times").splitlines()
        assert sorted(line.split()[-1] for line in told) == [
            "app.conf",
            "lib/b/",
            "lib/b/mine.py",
            "notes.txt",
            "settings.json",
        ]
        wanted = json.loads(V1["settings.json"]) | {"port": 8080}
        assert json.loads((shop / "settings.json").read_text()) == wanted
        assert (shop / "app.conf").read_text() == V1["app.conf"] + "mine\n"
        run_gitsnap("-C", shop, "rollback", done["safety_snapshot"], "-y")
        same_tree(edited, shop)
        run_gitsnap("-C", shop, "verify", "--all")

    def test_conflicts_stand_beside(self, shop: Path, tmp_path: Path) -> None:
        upgrade(shop, tmp_path)
        (shop / "main.py").write_text("print(3)\n")
        (shop / "logo.bin").write_bytes(b"\0mine")
        (shop / "new.py").write_text("mine\n")
        (shop / "settings.json").write_text((shop / "settings.json").read_text().replace("dark", "blue"))
        done = document("-C", shop, "rollback", "two", "--keep-edits", "-y", check=13)
        told = {c["path"]: (c["reason"], c["beside"]) for c in done["conflicts"]}
        assert told == {
            "main.py": ("both sides changed the same lines, in one place", "main.py.gitsnap-conflict"),
            "logo.bin": ("was changed on both sides, and is no text", "logo.bin.gitsnap-conflict"),
            "new.py": ("was changed here, and removed there", None),
            "settings.json": ("both sides changed theme", "settings.json.gitsnap-conflict"),
        }
        assert (shop / "main.py").read_text() == "print(3)\n"
        marked = "<<<<<<< as it is\nprint(3)\n=======\nprint(1)\n>>>>>>> before the upgrade\n"
        assert (shop / "main.py.gitsnap-conflict").read_text() == marked
        assert (shop / "logo.bin.gitsnap-conflict").read_bytes() == b"\0one"
        # The rest is done.
        assert (shop / "old.py").read_text() == "old\n"
        assert (shop / "app.conf").read_text() == V1["app.conf"]

    def test_a_file_meets_a_directory(self, shop: Path, tmp_path: Path) -> None:
        upgrade(shop, tmp_path)
        (shop / "lib/a").write_text("a file of mine\n")
        (shop / "old.py").mkdir()
        (shop / "old.py/mine").write_text("mine\n")
        done = document("-C", shop, "rollback", "--keep-edits", "-y", check=13)
        assert {"old.py", "lib/a", "lib/a/x.py"} >= set(paths(done["conflicts"])) >= {"old.py", "lib/a/x.py"}
        assert (shop / "lib/a").read_text() == "a file of mine\n"
        assert (shop / "old.py/mine").read_text() == "mine\n"
        assert (shop / "main.py").read_text() == "print(1)\n"

    def test_without_edits_it_is_a_rollback(self, shop: Path, tmp_path: Path) -> None:
        (shop / "main.py").chmod(0o750)
        before = copy_tree(shop, tmp_path / "before")
        upgrade(shop, tmp_path)
        document("-C", shop, "rollback", "--keep-edits", "-y")
        assert differences(before, shop, "--omit-dir-times") == ""
        again = document("-C", shop, "rollback", "--keep-edits", "-y")
        assert (again["taken"], again["snapshot"]) == ([], None)

    def test_what_makes_no_sense(self, shop: Path) -> None:
        run_gitsnap("-C", shop, "snapshot")
        refused("-C", shop, "rollback", "--keep-edits", "-y", code=1)
        refused("-C", shop, "rollback", "--keep-edits", "--component", "lib", "-y", code=2)


class TestCarrying:
    @pytest.fixture
    def upgraded(self, shop: Path, tmp_path: Path) -> Path:
        """Version 1, imported as shipped, then customised, then overwritten by version 2."""
        copy_tree(shop, tmp_path / "shipped")
        other = tmp_path / "other"
        write(other, V2)
        run_gitsnap("-C", shop, "import", "--pristine", "--label", "2.0", other)
        run_gitsnap("-C", shop, "import", "--pristine", "--label", "1.0", tmp_path / "shipped")
        settings = (shop / "settings.json").read_text()
        (shop / "settings.json").write_text(settings.replace("80", "8080").replace('"a": 1', '"a": 5'))
        (shop / "app.conf").write_text((shop / "app.conf").read_text() + "mine\n")
        (shop / "mine.py").write_text("mine\n")
        (shop / "main.py").chmod(0o700)
        upgrade(shop, tmp_path)
        assert "8080" not in (shop / "settings.json").read_text()
        return shop

    def test_brings_them_onto_the_new_version(self, upgraded: Path, tmp_path: Path) -> None:
        done = document("-C", upgraded, "carry", "-y")
        assert (paths(done["taken"]), paths(done["merged"])) == (["mine.py"], ["app.conf", "settings.json"])
        assert json.loads((upgraded / "settings.json").read_text()) == {
            "port": 8080,
            "theme": "dark",
            "plugins": {"a": 5, "b": 2},
        }
        assert (upgraded / "app.conf").read_text() == V2["app.conf"] + "mine\n"
        # The rest is version 2.
        shipped = tmp_path / "v2"
        differing = {
            line.split()[-1] for line in differences(shipped, upgraded, "--omit-dir-times", "--no-times").splitlines()
        }
        assert differing == {"app.conf", "mine.py", "settings.json"}
        assert document("-C", upgraded, "carry", "-y")["snapshot"] is None

    def test_the_changelog_sets_your_files_apart(self, upgraded: Path) -> None:
        found = document("-C", upgraded, "changelog")
        yours = {f["path"]: f["yours"] for c in found["components"].values() for f in c}
        assert {p for p, y in yours.items() if y} == {"settings.json", "app.conf", "mine.py"}
        assert yours["main.py"] is False
        assert "Files that you had changed or made" in run_gitsnap("-C", upgraded, "changelog").stdout

    def test_conflicts(self, upgraded: Path) -> None:
        (upgraded / "settings.json").write_text('{"port": 9090}\n')
        done = document("-C", upgraded, "carry", "two", "-y", check=13)
        assert [(c["path"], c["beside"]) for c in done["conflicts"]] == [
            ("settings.json", "settings.json.gitsnap-conflict")
        ]
        assert (upgraded / "settings.json").read_text() == '{"port": 9090}\n'
        assert (upgraded / "mine.py").exists()

    def test_needs_a_pristine_copy(self, shop: Path, tmp_path: Path) -> None:
        upgrade(shop, tmp_path)
        refused("-C", shop, "carry", "-y", code=1, kind="no-pristine")

    def test_words(self, upgraded: Path) -> None:
        told = run_gitsnap("-C", upgraded, "carry", "-n").stdout.splitlines()
        assert told == [
            "take     mine.py",
            "merge    app.conf",
            "merge    settings.json",
            "1 taken, 2 merged; nothing was touched",
        ]
        assert not os.path.exists(upgraded / "mine.py")
        assert "2 merged" in run_gitsnap("-C", upgraded, "carry", "-y").stdout
