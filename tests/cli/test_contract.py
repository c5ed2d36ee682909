"""Every command against its contract: documents, selectors, options, and what is touched."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cli.helpers import (
    READ_ONLY,
    SNAPSHOT,
    Check,
    a,
    a_count,
    a_duration,
    a_moment,
    an_id,
    document,
    fields,
    hexadecimal,
    list_of,
    or_null,
    parse,
    refused,
)
from tests.support.installation import (
    REPOSITORY,
    build_app,
    copy_tree,
    differences,
    run_gitsnap,
    same_tree,
    sidecar_of,
    take_snapshot,
)

CHANGED = {"added", "removed", "modified", "renamed", "metadata", "type"}


@dataclass
class History:
    """A protected installation that nothing changes: two snapshots, and changes since then."""

    app: Path
    home: Path
    first: str
    second: str

    def run(self, *args: str | Path, **more: Any) -> subprocess.CompletedProcess[str]:
        return run_gitsnap("-C", self.app, *args, home=self.home, **more)

    def document(self, *args: str | Path, **more: Any) -> dict[str, Any]:
        return document("-C", self.app, *args, home=self.home, **more)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    top = tmp_path_factory.mktemp("history")
    app, home = build_app(top / "app"), top / "sidecars"
    first = take_snapshot(app, "-m", "first", "--label", "alpha", "--tag", "release 1.9", "--pin", home=home)
    (app / "config/shop.ini").write_text("port = 9090\n")
    (app / "release-1.9").rename(app / "release-2.0")
    (app / "modules/greet.sh").unlink()
    second = take_snapshot(app, "-m", "second\n\nwith a body", "--label", "beta", home=home)
    (app / "added").write_text("new\n")
    (app / "modules/cart.sh").write_text("changed\n")
    (app / "bin/shop").chmod(0o700)
    (app / "current").unlink()
    (app / "current").mkdir()
    (app / "data/blob.bin").rename(app / "data/moved.bin")
    return History(app, home, first, second)


@pytest.fixture
def app(installation: Path) -> Path:
    """A protected installation with one snapshot, and changes since then."""
    take_snapshot(installation, "--label", "good")
    (installation / "config/shop.ini").write_text("port = 9090\n")
    (installation / "modules/greet.sh").unlink()
    (installation / "new").mkdir()
    (installation / "new/file").write_text("new\n")
    return installation


class TestSnapshot:
    def test_prints_its_id_and_nothing_else(self, installation: Path) -> None:
        done = run_gitsnap("-C", installation, "snapshot")
        assert an_id(done.stdout[:-1])
        assert done.stdout[-1] == "\n"
        assert done.stdout[:-1].endswith("-manual")
        assert "created the sidecar" in done.stderr
        quiet = run_gitsnap("-C", installation, "snapshot", "-q", "--label", "After Lunch!")
        # Two in one second are told apart by a number.
        assert re.search(r"Z-after-lunch(-2)?$", quiet.stdout[:-1])
        assert quiet.stderr == ""

    def test_document(self, installation: Path) -> None:
        args = ("snapshot", "-m", "why", "--label", "l", "--tag", "a", "--tag", "b", "--pin")
        found = document("-C", installation, *args)
        counts: dict[str, Check] = dict.fromkeys(("new_files", "changed_files", "removed_files"), a_count)
        fields(found, counts | {"snapshot": a(dict), "duration": a_duration})
        fields(found["snapshot"], SNAPSHOT)
        told = found["snapshot"]
        assert (told["message"], told["label"], told["tags"], told["pinned"]) == ("why", "l", ["a", "b"], True)
        names = sum(len(files) for *_, files in os.walk(installation))
        # The symlink is a file that is new, and no regular one.
        assert (told["files"], found["new_files"], found["summary"]["added"]) == (names - 1, names, names)
        assert (told["kind"], told["upgrade"], told["partial"]) == ("manual", None, False)
        (installation / "bin/shop").write_text("changed")
        (installation / "modules/cart.sh").unlink()
        found = document("-C", installation, "snapshot")
        assert [found[name] for name in counts] == [0, 1, 1]

    def test_skip_unchanged(self, installation: Path) -> None:
        first = take_snapshot(installation)
        again = run_gitsnap("-C", installation, "snapshot", "--skip-unchanged")
        assert again.stdout == first + "\n"
        assert len(document("-C", installation, "list")["snapshots"]) == 1
        (installation / "bin/shop").chmod(0o700)
        assert take_snapshot(installation, "--skip-unchanged") != first


class TestLookingAround:
    def test_list(self, history: History) -> None:
        found = history.document("list")
        for told in found["snapshots"]:
            fields(told, SNAPSHOT)
        assert [s["id"] for s in found["snapshots"]] == [history.first, history.second]
        first, second = found["snapshots"]
        assert (first["pinned"], first["tags"], second["pinned"], second["tags"]) == (True, ["release-1.9"], False, [])
        assert second["message"] == "second\n\nwith a body"

    def test_show(self, history: History) -> None:
        found = history.document("show", history.first)
        fields(found, SNAPSHOT | {"components": a(dict), "excluded": list_of(a(str))})
        for component in found["components"].values():
            fields(component, {"files": a_count, "bytes": a_count})
        assert sum(c["files"] for c in found["components"].values()) == found["files"]
        assert sum(c["bytes"] for c in found["components"].values()) == found["bytes"]
        assert {".", "bin", "config", "data", "modules", "plugins"} == found["components"].keys()
        told = history.run("show", history.first).stdout
        for word in (history.first, "release-1.9", found["commit"], found["manifest_sha256"]):
            assert word in told

    def test_ls(self, history: History) -> None:
        listed = [line.split()[-1] for line in history.run("ls", history.first).stdout.splitlines()]
        assert "spool/" in listed
        assert ".gitignore" in listed
        assert "current -> release-1.9" in history.run("ls", history.first).stdout
        below = history.run("ls", history.first, "config").stdout.splitlines()
        assert [line.split()[-1] for line in below] == ["config/shop.default", "config/shop.ini", "config/signing.key"]
        assert below[2].startswith("-rw------- ")
        everything = history.document("ls", "-R", history.first)["entries"]
        assert "spool/incoming" in [e["path"] for e in everything]
        one = history.document("ls", history.first, history.app / "bin/shop")["entries"]
        assert [(e["path"], e["type"], e["mode"]) for e in one] == [("bin/shop", "file", "0755")]

    def test_cat_gives_exact_bytes(self, history: History) -> None:
        command = [sys.executable, "-m", "gitsnap", "-C", history.app, "cat", history.first]
        environment = os.environ | {"GITSNAP_HOME": str(history.home), "PYTHONPATH": str(REPOSITORY)}
        binary = subprocess.run([*command, "data/blob.bin"], env=environment, capture_output=True, check=True)
        assert binary.stdout == bytes(range(256)) * 64
        assert history.run("cat", history.first, "current").stdout == "release-1.9"
        assert history.run("cat", history.first, "./config//shop.ini").stdout == "currency = EUR\nport = 8080\n"

    def test_find(self, history: History) -> None:
        matches = history.document("find", "*.sh")["matches"]
        assert {m["path"]: m["snapshots"] for m in matches} == {
            "modules/cart.sh": [history.first, history.second],
            "modules/greet.sh": [history.first],
        }
        assert [m["path"] for m in history.document("find", "config/*")["matches"]] == [
            "config/shop.default",
            "config/shop.ini",
            "config/signing.key",
        ]
        assert history.document("find", "nothing")["matches"] == []
        assert history.run("find", "nothing").stdout == ""

    def test_log(self, history: History) -> None:
        lives = history.document("log", "config/shop.ini")["history"]
        assert [(life["snapshot"], life["status"]) for life in lives] == [
            (history.first, "added"),
            (history.second, "modified"),
        ]
        assert all(a_moment(life["created"]) for life in lives)
        gone = history.run("log", "modules/greet.sh").stdout.splitlines()
        assert [line.split()[:2] for line in gone] == [[history.second, "removed"], [history.first, "added"]]

    def test_status(self, history: History) -> None:
        found = history.document("status")
        wanted = {"installation": a(str), "store": a(str), "snapshots": a_count, "latest": a(dict), "changes": a(dict)}
        fields(found, wanted | {"pending_recovery": or_null(a(dict)), "store_bytes": a_count, "retention": a(str)})
        fields(found["latest"], SNAPSHOT)
        assert (found["installation"], found["snapshots"]) == (str(history.app), 2)
        assert found["latest"]["id"] == history.second
        assert {s: n for s, n in found["changes"].items() if n} == {
            "added": 1,
            "modified": 1,
            "renamed": 1,
            "metadata": 1,
            "type": 1,
        }
        assert found["changes"].keys() == CHANGED

    def test_status_without_a_snapshot(self, installation: Path) -> None:
        run_gitsnap("-C", installation, "init")
        found = document("-C", installation, "status")
        assert (found["latest"], found["snapshots"], found["changes"]) == (None, 0, {})
        assert f"Next: gitsnap -C {installation} snapshot" in run_gitsnap("-C", installation, "status").stdout
        assert document("-C", installation, "list")["snapshots"] == []

    def test_verify(self, history: History) -> None:
        found = history.document("verify", "--all")
        problem = {"path": a(str), "problem": a(str), "expected": or_null(a(str)), "actual": or_null(a(str))}
        for result in found["results"]:
            fields(result, {"snapshot": an_id, "ok": a(bool), "files": a_count, "bytes": a_count, "problems": a(list)})
            assert result["ok"]
        assert [r["snapshot"] for r in found["results"]] == [history.first, history.second]
        assert [r["snapshot"] for r in history.document("verify")["results"]] == [history.second]
        live = history.document("verify", "--live", check=1)["results"][0]
        for told in live["problems"]:
            fields(told, problem)
        told = {p["path"]: p for p in live["problems"]}
        assert {"added", "modules/cart.sh", "bin/shop", "current", "data/blob.bin", "data/moved.bin"} <= told.keys()
        assert all(hexadecimal(64)(told["modules/cart.sh"][side]) for side in ("expected", "actual"))

    def test_doctor(self, history: History, tmp_path: Path) -> None:
        for check in history.document("doctor")["checks"]:
            fields(check, {"name": a(str), "ok": or_null(a(bool)), "answer": a(str), "advice": or_null(a(str))})
            assert check["ok"] is not False
        assert "no problems" in history.run("doctor").stdout
        run_gitsnap("doctor", home=history.home, cwd=tmp_path)
        sidecar = history.home / os.listdir(history.home)[0]
        sidecar.chmod(0o755)
        assert "privacy" in history.run("doctor", check=1).stdout
        sidecar.chmod(0o700)

    def test_git(self, history: History) -> None:
        subjects = history.run("git", "log", "--format=%s", "timeline").stdout
        assert subjects == "manual: second\nmanual: first\n"
        assert history.run("git", "--json", check=129).stdout == ""
        assert history.run("git", "show", "timeline:config/shop.ini").stdout == "port = 9090\n"
        assert history.run("git", "fsck", "--full", "--strict").stderr == ""


class TestDiff:
    def test_document(self, history: History) -> None:
        found = history.document("diff")
        assert (found["from"], found["to"]) == (history.second, "now")
        assert found["summary"].keys() == CHANGED
        side: dict[str, Check] = {
            "mode": lambda v: isinstance(v, str) and int(v, 8) < 0o10000,
            "size": a_count,
            "sha256": or_null(hexadecimal(64)),
        }
        for change in found["changes"]:
            fields(change, {"path": a(str), "status": lambda v: v in CHANGED, "component": a(str)})
            assert change.keys() >= {"old", "new"}
            for entry in (change["old"], change["new"]):
                assert entry is None or fields(entry, side) is None
        changes = {c["path"]: c for c in found["changes"]}
        assert {p: c["status"] for p, c in changes.items()} == {
            "added": "added",
            "bin/shop": "metadata",
            "current": "type",
            "data/moved.bin": "renamed",
            "modules/cart.sh": "modified",
        }
        assert changes["data/moved.bin"]["old_path"] == "data/blob.bin"
        assert changes["added"]["old"] is None
        assert changes["modules/cart.sh"]["component"] == "modules"
        assert (changes["bin/shop"]["old"]["mode"], changes["bin/shop"]["new"]["mode"]) == ("0755", "0700")

    def test_sides(self, history: History) -> None:
        between = history.document("diff", history.first, history.second)
        assert (between["from"], between["to"]) == (history.first, history.second)
        back = history.document("diff", "now", "latest~1")
        assert (back["from"], back["to"]) == ("now", history.first)
        assert history.document("diff", "latest~1")["to"] == "now"

    def test_paths_after_two_dashes(self, history: History) -> None:
        assert [c["path"] for c in history.document("diff", "--", "modules")["changes"]] == ["modules/cart.sh"]
        found = history.document("diff", "latest~1", "latest", "--", "config", "modules/greet.sh")
        assert [c["path"] for c in found["changes"]] == ["config/shop.default", "config/shop.ini", "modules/greet.sh"]

    def test_text_is_shown_line_by_line(self, app: Path) -> None:
        shown = run_gitsnap("-C", app, "diff").stdout
        assert "--- a/config/shop.ini\n+++ b/config/shop.ini\n@@ -1,2 +1 @@\n-currency = EUR\n-port = 8080\n" in shown
        assert "--- /dev/null\n+++ b/new/file\n@@ -0,0 +1 @@\n+new\n" in shown
        assert "Binary" not in shown

    def test_a_patch_that_git_applies(self, app: Path, tmp_path: Path) -> None:
        patch = tmp_path / "patch"
        patch.write_text(run_gitsnap("-C", app, "diff").stdout)
        subprocess.run(["git", "apply", "-R", patch], cwd=app, check=True)
        assert (app / "config/shop.ini").read_text() == "currency = EUR\nport = 8080\n"
        assert (app / "modules/greet.sh").exists()
        assert not (app / "new/file").exists()

    def test_exit_code(self, app: Path) -> None:
        for form in ((), ("--stat",), ("--name-status",)):
            run_gitsnap("-C", app, "diff", *form, "--exit-code", check=1)
            run_gitsnap("-C", app, "diff", *form)
        document("-C", app, "diff", "--exit-code", check=1)
        run_gitsnap("-C", app, "diff", "--exit-code", "--", "data")
        run_gitsnap("-C", app, "diff", "latest", "latest", "--exit-code")

    def test_forms(self, history: History) -> None:
        lines = history.run("diff", "--name-status").stdout.splitlines()
        assert lines == [
            "A added",
            "m bin/shop  (mode)",
            "T current/",
            "R data/blob.bin -> data/moved.bin",
            "M modules/cart.sh",
        ]
        stat = history.run("diff", "--stat").stdout.splitlines()
        assert stat[0].split() == ["COMPONENT", "ADDED", "MODIFIED", "RENAMED", "METADATA", "TYPE", "SIZE"]
        assert stat[-2:] == [
            "5 files changed: 1 added, 1 modified, 1 renamed, 1 with other metadata,",
            "  1 of another type",
        ]


RESTORED: dict[str, Check] = {
    "target": an_id,
    "safety_snapshot": or_null(an_id),
    "plan": a(dict),
    "verified": a(bool),
    "duration": a_duration,
}
PLAN: dict[str, Check] = {"write": a_count, "remove": a_count, "metadata": a_count}


class TestRollback:
    def test_document_and_the_way_back(self, installation: Path, tmp_path: Path) -> None:
        good = take_snapshot(installation)
        before = copy_tree(installation, tmp_path / "before")
        (installation / "config/shop.ini").unlink()
        (installation / "new").write_text("x")
        broken = copy_tree(installation, tmp_path / "broken")
        found = document("-C", installation, "rollback", "--yes")
        fields(found, RESTORED)
        fields(found["plan"], PLAN)
        assert found["target"] == good
        assert found["verified"] is True
        assert re.search(r"Z-safety(-\d)?$", found["safety_snapshot"])
        assert (found["plan"]["write"] > 0, found["plan"]["remove"]) == (True, 1)
        assert "steps" not in found
        same_tree(before, installation)
        run_gitsnap("-C", installation, "rollback", found["safety_snapshot"], "-y")
        same_tree(broken, installation)

    def test_a_dry_run_touches_nothing(self, app: Path, tmp_path: Path) -> None:
        refs = run_gitsnap("-C", app, "git", "for-each-ref").stdout
        before = copy_tree(app, tmp_path / "before")
        for command in (("rollback",), ("rollback", "latest"), ("restore", "latest", "config", "modules")):
            found = document("-C", app, *command, "--dry-run")
            fields(found, RESTORED)
            assert found["safety_snapshot"] is None
            for step in found["steps"]:
                fields(step, {"action": a(str), "path": a(str)})
            assert "config/shop.ini" in [s["path"] for s in found["steps"]]
            told = run_gitsnap("-C", app, *command, "-n").stdout
            assert "write    config/shop.ini\n" in told
            assert told.endswith("nothing was touched\n")
        same_tree(before, app)
        assert run_gitsnap("-C", app, "git", "for-each-ref").stdout == refs

    def test_needs_yes_without_a_terminal(self, app: Path, tmp_path: Path) -> None:
        before = copy_tree(app, tmp_path / "before")
        assert "--yes" in refused("-C", app, "rollback", code=2, kind="usage")
        same_tree(before, app)

    def test_latest_is_not_the_safety_snapshot(self, app: Path) -> None:
        first = document("-C", app, "rollback", "latest", "-y")
        second = document("-C", app, "rollback", "latest", "-y")
        assert first["target"] == second["target"]
        assert second["plan"] == {"write": 0, "remove": 0, "metadata": 0}
        assert (second["verified"], second["safety_snapshot"]) == (True, None)
        assert "nothing to do" in run_gitsnap("-C", app, "rollback", "latest", "-y").stdout
        assert len(document("-C", app, "list")["snapshots"]) == 2
        assert document("-C", app, "show")["id"] == first["target"]

    def test_the_default_is_what_was_before_the_upgrade(self, installation: Path) -> None:
        manual = take_snapshot(installation)
        pre, post = take_kinds(installation, "pre", "post")
        assert document("-C", installation, "rollback", "-n")["target"] == pre
        (installation / "new").write_text("x")
        document("-C", installation, "rollback", "-y", manual)
        assert document("-C", installation, "rollback", "-n")["target"] == pre
        assert document("-C", installation, "rollback", "-n", "latest")["target"] == post
        newest = take_snapshot(installation)
        assert document("-C", installation, "rollback", "-n")["target"] == newest
        assert document("-C", installation, "list")["snapshots"][1]["upgrade"] == "u1"


def take_kinds(app: Path, *kinds: str) -> list[str]:
    """Snapshots of kinds that no command takes by itself, all at one moment and of one upgrade."""
    script = f"""
        from datetime import UTC, datetime
        from gitsnap.core.model import Kind
        from gitsnap.core.settings import Settings
        from gitsnap.ops.capture.request import Request
        from gitsnap.ops.capture.snapshot import take
        from gitsnap.sidecar.repository import Sidecar
        now = datetime.now(UTC)
        with Sidecar({str(sidecar_of(app))!r}) as sidecar:
            for kind in {kinds!r}:
                request = Request(kind=Kind(kind), upgrade="u1")
                print(take(sidecar, request, Settings(zone=UTC), now=now).snapshot.id)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.split()


class TestRestore:
    def test_named_paths_only(self, app: Path, tmp_path: Path) -> None:
        before = copy_tree(app, tmp_path / "before")
        found = document("-C", app, "restore", "latest", "modules", app / "config/signing.key")
        fields(found, RESTORED)
        fields(found["plan"], PLAN)
        assert found["verified"] is True
        assert an_id(found["safety_snapshot"])
        assert (app / "modules/greet.sh").exists()
        assert (app / "config/shop.ini").read_text() == "port = 9090\n"
        assert (app / "new/file").exists()
        assert [line.split()[-1] for line in differences(app, before).splitlines()] == [
            "modules/",
            "modules/greet.sh",
        ]

    def test_says_what_it_restored(self, app: Path, tmp_path: Path) -> None:
        good = document("-C", app, "list")["snapshots"][0]["id"]
        told = run_gitsnap("-C", app, "restore", "latest", "modules/greet.sh").stdout
        assert told.startswith(f"restored modules/greet.sh to {good}\n")
        assert f"restored 2 paths to {good}\n" in run_gitsnap("-C", app, "restore", good, "config", "data").stdout
        elsewhere = run_gitsnap("-C", app, "restore", good, "--to", tmp_path / "copy").stdout
        assert elsewhere.startswith(f"restored {good} into {tmp_path / 'copy'}\n")

    def test_into_another_directory(self, installation: Path, tmp_path: Path) -> None:
        take_snapshot(installation)
        before = copy_tree(installation, tmp_path / "before")
        (installation / "config/shop.ini").unlink()
        changed = copy_tree(installation, tmp_path / "changed")
        found = document("-C", installation, "restore", "latest", "--to", tmp_path / "copy")
        fields(found, RESTORED)
        assert (found["safety_snapshot"], found["verified"]) == (None, True)
        same_tree(before, tmp_path / "copy")
        (tmp_path / "empty").mkdir()
        document("-C", installation, "restore", "latest", "config/shop.ini", "--to", "empty", cwd=tmp_path)
        assert (tmp_path / "empty/config/shop.ini").read_text() == (before / "config/shop.ini").read_text()
        same_tree(changed, installation)


class TestRetention:
    def prune(self, app: Path, *args: str) -> dict[str, Any]:
        found = document("-C", app, "prune", *args)
        for decision in found["kept"] + found["removed"]:
            fields(decision, {"snapshot": an_id, "reasons": list_of(a(str))})
            assert decision["reasons"]
        return found

    def test_prune_by_every_rule(self, installation: Path) -> None:
        ids = [take_snapshot(installation, "--label", f"n{number}") for number in range(5)]
        run_gitsnap("-C", installation, "pin", ids[0])
        for rule in ("hourly", "daily", "weekly", "monthly", "yearly"):
            found = self.prune(installation, f"--keep-{rule}", "3", "-n")
            assert ids[0] in [d["snapshot"] for d in found["kept"]]
            assert ids[4] in [d["snapshot"] for d in found["kept"]]
            assert ids[2] in [d["snapshot"] for d in found["removed"]]
        assert self.prune(installation, "--keep-within", "1h", "-n")["removed"] == []
        assert self.prune(installation, "-n")["removed"] == []
        assert len(document("-C", installation, "list")["snapshots"]) == 5
        told = run_gitsnap("-C", installation, "prune", "--keep-last", "2", "-n").stdout
        assert "pinned" in told
        assert told.endswith("3 kept, 2 to remove; nothing was touched\n")
        gone = self.prune(installation, "--keep-last", "2")
        assert [d["snapshot"] for d in gone["removed"]] == [ids[2], ids[1]]
        assert [s["id"] for s in document("-C", installation, "list")["snapshots"]] == [ids[0], ids[3], ids[4]]
        run_gitsnap("-C", installation, "verify", "--all")

    def test_pin_unpin_and_delete(self, installation: Path) -> None:
        first, second, third = (take_snapshot(installation, "--label", label) for label in ("a", "b", "c"))
        pinned = document("-C", installation, "pin", "latest~2")
        fields(pinned["snapshot"], SNAPSHOT)
        assert (pinned["snapshot"]["id"], pinned["snapshot"]["pinned"]) == (first, True)
        run_gitsnap("-C", installation, "pin", first)
        told = refused("-C", installation, "delete", second, first, code=1, kind="pinned")
        assert f"unpin {first}" in told
        assert len(document("-C", installation, "list")["snapshots"]) == 3
        assert run_gitsnap("-C", installation, "unpin", first).stdout == f"unpinned {first}\n"
        assert document("-C", installation, "delete", second, first)["deleted"] == [second, first]
        assert run_gitsnap("-C", installation, "delete", third).stdout == f"deleted {third}\n"
        assert document("-C", installation, "list")["snapshots"] == []

    def test_gc_gives_space_back(self, installation: Path) -> None:
        for number in range(3):
            (installation / "data/random.bin").write_bytes(os.urandom(1_000_000))
            take_snapshot(installation, "--label", f"n{number}")
        run_gitsnap("-C", installation, "delete", "latest", "latest~1")
        found = document("-C", installation, "gc")
        fields(found, {"before_bytes": a_count, "after_bytes": a_count})
        assert found["after_bytes"] < found["before_bytes"] - 1_900_000
        assert "freed" in run_gitsnap("-C", installation, "gc").stdout
        run_gitsnap("-C", installation, "verify", "--all")

    def test_after_a_snapshot(self, installation: Path, tmp_path: Path) -> None:
        run_gitsnap("-C", installation, "init")
        (sidecar_of(installation) / "gitsnap.toml").write_text("[retention]\nkeep-last = 2\n")
        first = take_snapshot(installation, "--label", "a")
        take_snapshot(installation, "--label", "b")
        third = run_gitsnap("-C", installation, "snapshot")
        assert an_id(third.stdout.strip())
        assert f"retention removed {first}: " in third.stderr
        assert document("-C", installation, "status")["retention"] == "keep the last 2"


class TestSelectors:
    def test_every_form(self, history: History) -> None:
        listed = history.document("list")["snapshots"]
        first, second = listed

        def chosen(selector: str) -> str:
            return str(history.document("show", selector)["id"])

        for snapshot in listed:
            assert chosen(snapshot["id"]) == snapshot["id"]
            assert chosen(snapshot["id"][:-2]) == snapshot["id"]
            assert chosen(snapshot["commit"]) == snapshot["id"]
            assert chosen(snapshot["commit"][:10]) == snapshot["id"]
        assert (chosen("latest"), chosen("latest~0"), chosen("latest~1")) == (second["id"], second["id"], first["id"])

    def test_what_names_none_or_several(self, history: History) -> None:
        year = history.first[:5]
        told = history.run("show", year, check=1).stderr
        assert f"'{year}' begins 2 snapshots, {history.second} among them" in told
        assert "type more of the id" in told
        for selector in ("nothing", "latest~2", "latest~-1", "LATEST", "0" * 40, "refs/heads/timeline", "HEAD", "-"):
            assert history.run("show", selector, check=1).stdout == ""
        assert "directory as it is" in history.run("show", "now", check=1).stderr

    def test_an_id_that_begins_another(self, installation: Path) -> None:
        """On a tie, ids count upwards: the shorter one is still named by itself."""
        run_gitsnap("-C", installation, "init")
        ids = take_kinds(installation, "manual", "manual", "manual")
        assert ids[1:] == [ids[0] + "-2", ids[0] + "-3"]
        for snapshot in ids:
            assert document("-C", installation, "show", snapshot)["id"] == snapshot
        assert document("-C", installation, "show")["id"] == ids[2]

    def test_order_within_a_second(self, installation: Path) -> None:
        """What was taken last is the latest, whatever its label; an imported one was not taken."""
        run_gitsnap("-C", installation, "init")
        ids = take_kinds(installation, "pre", "post", "manual", "imported")
        assert [i.partition("Z-")[2] for i in ids] == ["pre", "post-2", "manual-3", "imported-4"]
        assert [s["id"] for s in document("-C", installation, "list")["snapshots"]] == ids
        assert document("-C", installation, "show")["id"] == ids[2]
        subjects = run_gitsnap("-C", installation, "git", "log", "--format=%s", "timeline").stdout.splitlines()
        # The timeline's tip is what is installed.
        assert [s.partition(":")[0] for s in subjects] == ["manual", "imported", "post", "pre"]


class TestGlobalOptions:
    def test_before_and_after_the_name(self, history: History) -> None:
        app, home = history.app, history.home
        store = home / os.listdir(home)[0]
        for args in (
            ("--json", "-C", app, "list"),
            ("-C", app, "list", "--json"),
            ("list", "--json", "-C", app),
            ("list", f"-C{app}", "--json", "-q", "--no-color", "--lock-wait", "3"),
            ("list", "-vq", "--json", f"--store={store}"),
            ("--store", store, "--lock-wait=3", "list", "--json"),
        ):
            found = parse(run_gitsnap(*args, home=home).stdout)
            assert len(found["snapshots"]) == 2, args
        assert run_gitsnap("list", "--json", cwd=app / "plugins/theme", home=home).stdout

    def test_values_are_not_options(self, installation: Path) -> None:
        run_gitsnap("-C", installation, "snapshot", "-m", "--json", "--tag", "-q")
        assert document("-C", installation, "show")["message"] == "--json"
        (installation / "--json").write_text("x")
        take_snapshot(installation)
        assert run_gitsnap("-C", installation, "cat", "latest", "--", "--json").stdout == "x"
        assert (
            "A --json\n" in run_gitsnap("-C", installation, "diff", "latest~1", "--name-status", "--", "--json").stdout
        )

    def test_environment(self, history: History, tmp_path: Path) -> None:
        store = str(history.home / os.listdir(history.home)[0])
        found = run_gitsnap("list", home=tmp_path / "nowhere", cwd=tmp_path, env={"GITSNAP_STORE": store})
        assert history.first in found.stdout
        run_gitsnap("list", home=history.home, cwd=history.app, env={"GITSNAP_LOCK_WAIT": "soon"}, check=2)

    def test_a_store_elsewhere_is_found_by_the_directory(self, installation: Path, tmp_path: Path) -> None:
        run_gitsnap("-C", installation, "--store", "elsewhere.git", "init", cwd=tmp_path)
        take_snapshot(installation)
        assert document("-C", installation, "status")["store"] == str(tmp_path / "elsewhere.git")
        assert document("--store", tmp_path / "elsewhere.git", "status")["installation"] == str(installation)

    def test_a_directory_called_git(self, installation: Path, tmp_path: Path) -> None:
        installation.rename(tmp_path / "git")
        refused("-C", "git", "list", code=10, kind="no-sidecar", cwd=tmp_path)

    def test_version_help_and_completion(self, tmp_path: Path) -> None:
        assert run_gitsnap("--version", home=tmp_path).stdout.startswith("gitsnap ")
        top = run_gitsnap(home=tmp_path)
        assert top.stdout == run_gitsnap("--help", home=tmp_path).stdout == run_gitsnap("-h", home=tmp_path).stdout
        listed, _, codes = top.stdout.partition("To upgrade:\n")[2].partition("\n\n  Exit codes: ")
        assert "..." not in listed
        assert codes.startswith("0 done")
        names = [line.split()[0] for line in listed.splitlines() if line[2:3].isalpha()]
        assert names[0] == "run"
        assert len(names) > 30
        for name in [*(n for n in names if n != "git"), "create-backup", "cleanup"]:
            shown = run_gitsnap(name, "--help", home=tmp_path).stdout
            assert shown.startswith(f"Usage: gitsnap {name}")
            assert max(map(len, shown.splitlines())) <= 80


class TestInit:
    def test_document(self, installation: Path) -> None:
        found = document("-C", installation, "init")
        fields(found, {"installation": a(str), "store": a(str), "created": a(bool), "files": a_count, "bytes": a_count})
        assert (found["installation"], found["created"]) == (str(installation), True)
        assert document("init", installation)["created"] is False
        told = run_gitsnap("init", ".", cwd=installation).stdout
        assert told.startswith(f"Protected already: {installation}\n")
        assert found["files"] == document("-C", installation, "snapshot")["snapshot"]["files"]

    def test_private(self, installation: Path) -> None:
        take_snapshot(installation)
        for folder, names, files in os.walk(sidecar_of(installation)):
            for name in [".", *names, *files]:
                assert os.stat(os.path.join(folder, name)).st_mode & 0o077 == 0, name


class TestAliases:
    def test_the_old_names(self, installation: Path) -> None:
        taken = run_gitsnap("-C", installation, "create-backup", "nightly").stdout
        assert taken.endswith("Z-nightly\n")
        fields(document("-C", installation, "create-backup")["snapshot"], SNAPSHOT)
        assert document("-C", installation, "validate-backup", taken.strip())["results"][0]["ok"] is True
        refused("-C", installation, "validate-backup", "nothing", code=1)
        assert document("-C", installation, "list-backups") == document("-C", installation, "list")
        found = document("-C", installation, "cleanup")
        assert (len(found["kept"]), found["removed"], found["dry_run"]) == (2, [], False)


class TestNothingIsTouched:
    def test_by_commands_that_only_look(self, history: History, tmp_path: Path) -> None:
        before = copy_tree(history.app, tmp_path / "before")
        refs = history.run("git", "for-each-ref").stdout
        for command in READ_ONLY:
            history.run(*command.split(), check=False)
        same_tree(before, history.app)
        assert history.run("git", "for-each-ref").stdout == refs

    def test_by_progress_in_a_pipe(self, history: History) -> None:
        for command in READ_ONLY:
            done = history.run(*command.split(), check=False)
            assert done.stderr == "", command
            assert "\x1b" not in done.stdout
