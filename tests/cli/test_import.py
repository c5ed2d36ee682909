"""`import`: copies of every sort become snapshots that are what the copies are, with their own times."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.cli.helpers import document, refused
from tests.support.installation import (
    build_odd,
    copy_tree,
    run_gitsnap,
    same_tree,
    sidecar_of,
    take_snapshot,
)


def imported(app: Path, *args: str | Path, **more: Any) -> list[dict[str, Any]]:
    found = document("-C", app, "import", *args, env={"TZ": "UTC"}, **more)["imported"]
    assert isinstance(found, list)
    return found


def sound(app: Path) -> None:
    run_gitsnap("-C", app, "verify", "--all")
    done = subprocess.run(
        ["git", f"--git-dir={sidecar_of(app)}", "fsck", "--full", "--strict", "--no-progress"],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_plain_trees(installation: Path, tmp_path: Path) -> None:
    old = copy_tree(installation, tmp_path / "app.bak.2025-01-03")
    (old / "release-1.9").write_text("older\n")
    newer = copy_tree(installation, tmp_path / "app_20250204-0415")
    unnamed = copy_tree(installation, tmp_path / "copy")
    take_snapshot(installation, "--label", "present")
    found = imported(installation, newer, old, unnamed)
    assert [i["snapshot"]["created"] for i in found] == [
        "2025-02-04T04:15:00Z",
        "2025-01-03T00:00:00Z",
        # That of its newest file.
        "2023-11-14T22:13:20Z",
    ]
    assert {i["snapshot"]["kind"] for i in found} == {"imported"}
    listed = document("-C", installation, "list")["snapshots"]
    assert [s["id"][:10] for s in listed[:3]] == ["2023-11-14", "2025-01-03", "2025-02-04"]
    assert document("-C", installation, "show")["label"] == "present"
    run_gitsnap("-C", installation, "restore", "2025-01-03", "--to", tmp_path / "back")
    same_tree(old, tmp_path / "back")
    sound(installation)
    assert [i["known"] for i in imported(installation, old, newer)] == [True, True]
    assert len(document("-C", installation, "list")["snapshots"]) == 4


def test_the_tree_that_has_everything(installation: Path, tmp_path: Path) -> None:
    odd = build_odd(tmp_path / "odd")
    found = imported(installation, odd, "--at", "2024-02-29T12:00:00Z", "--label", "odd one")
    assert found[0]["snapshot"]["id"] == "2024-02-29T12-00-00Z-odd-one"
    run_gitsnap("-C", installation, "restore", found[0]["snapshot"]["id"], "--to", tmp_path / "back")
    same_tree(odd, tmp_path / "back")


@pytest.mark.parametrize("form", ["tar", "tar.gz", "zip"])
def test_archives(installation: Path, tmp_path: Path, form: str) -> None:
    archive = tmp_path / f"app-2025-05-06.{form}"
    if form == "zip":
        with zipfile.ZipFile(archive, "w") as file:
            for path in sorted(installation.rglob("*")):
                if not path.is_symlink():
                    file.write(path, Path("app") / path.relative_to(installation))
            link = zipfile.ZipInfo("app/current", (2025, 5, 6, 0, 0, 0))
            link.external_attr = 0o120777 << 16
            file.writestr(link, "release-1.9")
    else:
        subprocess.run(["tar", "-C", tmp_path, "-caf", archive, "app"], check=True)
    found = imported(installation, archive)
    assert found[0]["snapshot"]["created"] == "2025-05-06T00:00:00Z"
    run_gitsnap("-C", installation, "restore", found[0]["snapshot"]["id"], "--to", tmp_path / "back")
    assert os.readlink(tmp_path / "back/current") == "release-1.9"
    assert (tmp_path / "back/bin/shop").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "back/config/signing.key").stat().st_mode & 0o777 == 0o600
    done = subprocess.run(["diff", "-r", installation, tmp_path / "back"], capture_output=True, text=True)
    assert done.stdout == ""
    assert os.listdir(sidecar_of(installation) / "gitsnap/tmp") == []
    sound(installation)


def test_archives_that_lead_outside(installation: Path, tmp_path: Path) -> None:
    def tar(name: str, *members: tuple[str, str | None]) -> Path:
        with tarfile.open(tmp_path / name, "w") as file:
            for path, link in members:
                info = tarfile.TarInfo(path)
                if link is not None:
                    info.type, info.linkname = tarfile.SYMTYPE, link
                    file.addfile(info)
                else:
                    info.size = 2
                    file.addfile(info, io.BytesIO(b"x\n"))
        return tmp_path / name

    victim = tmp_path / "victim"
    victim.mkdir()
    evil = [
        tar("dots.tar", ("../victim/a", None)),
        tar("through.tar", ("d", str(victim)), ("d/b", None)),
        tar("up.tar", ("d", "../../../../../../../../.." + str(victim)), ("d/c", None)),
    ]
    with zipfile.ZipFile(tmp_path / "dots.zip", "w") as file:
        file.writestr("../victim/d", "x")
    (tmp_path / "short.tar.gz").write_bytes(b"\x1f\x8b\x08\0\0\0\0\0\0\x03abc")
    (tmp_path / "text").write_text("no archive\n")
    for archive in (*evil, tmp_path / "dots.zip", tmp_path / "short.tar.gz", tmp_path / "text", tmp_path / "nothing"):
        refused("-C", installation, "import", archive, "--at", "2025-01-01", code=1)
    assert list(victim.iterdir()) == []
    assert document("-C", installation, "list")["snapshots"] == []
    assert os.listdir(sidecar_of(installation) / "gitsnap/tmp") == []


@pytest.fixture
def claudio(tmp_path: Path, gitsnap_home: Path) -> Path:
    """An installation with two backups of the old system in it."""
    app = tmp_path / ".claudio"
    files = {
        "commands/c/test.md": "a command\n",
        "agents/c/one.md": "an agent\n",
        "agents/c/deep/two.md": "another\n",
        "settings.local.json": "{}\n",
        "prd.md": "what it is for\n",
        "phase1/tasks.md": "to do\n",
    }
    history = []
    for stamp, name in (("2025-08-09T23-36-46", "legacy-cleanup"), ("2025-08-10T03-40-11", "comprehensive-backup")):
        backup = app / ".upgrades/backups" / f"{stamp}-{name}"
        for path, text in files.items():
            top = path.partition("/")[0]
            part = "" if top in ("commands", "agents") else "configuration/" if "json" in path else "project_content/"
            (backup / (part + path)).parent.mkdir(parents=True, exist_ok=True)
            (backup / (part + path)).write_text(text + name)
        (backup / "backup_manifest.json").write_text("{}")
        (backup / "backup_creation_report.json").write_text("{}")
        sums = [
            f"{hashlib.sha256(p.read_bytes()).hexdigest()}  ./{p.relative_to(backup)}\n"
            for p in backup.rglob("*")
            if p.is_file() and "report" not in p.name
        ]
        (backup / "checksums.sha256").write_text("".join(sums))
        date, _, clock = stamp.partition("T")
        history.append(
            {
                "timestamp": f"{date}T{clock.replace('-', ':')}Z",
                "version": f"version-{name}",
                "backup_location": f"backups/{backup.name}/",
                "description": f"about {name}",
            }
        )
    (app / ".upgrades/version_history.json").write_text(json.dumps({"version_history": history}))
    for path, text in files.items():
        (app / path).parent.mkdir(parents=True, exist_ok=True)
        (app / path).write_text(text)
    return app


@pytest.mark.parametrize("named", ["", "backups", "backups/2025-08-10T03-40-11-comprehensive-backup"])
def test_the_old_systems_backups(claudio: Path, tmp_path: Path, named: str) -> None:
    found = imported(claudio, claudio / ".upgrades" / named)
    last = found[-1]["snapshot"]
    assert len(found) == (1 if "/" in named else 2)
    assert last["id"] == "2025-08-10T03-40-11Z-version-comprehensive-backup"
    assert last["message"] == "about comprehensive-backup"
    names = {e["path"] for e in document("-C", claudio, "ls", "-R", last["id"])["entries"] if e["type"] == "file"}
    assert names == {
        "commands/c/test.md",
        "agents/c/one.md",
        "agents/c/deep/two.md",
        "settings.local.json",
        "prd.md",
        "phase1/tasks.md",
    }
    assert run_gitsnap("-C", claudio, "cat", last["id"], "prd.md").stdout == "what it is for\ncomprehensive-backup"
    sound(claudio)
    assert all(i["known"] for i in imported(claudio, claudio / ".upgrades" / named))


@pytest.mark.parametrize("damage", ["changed", "missing", "extra", "no checksums", "twice"])
def test_what_does_not_verify_is_refused_by_name(claudio: Path, damage: str) -> None:
    backup = claudio / ".upgrades/backups/2025-08-10T03-40-11-comprehensive-backup"
    name = "project_content/prd.md"
    if damage == "changed":
        (backup / name).write_text("other\n")
    elif damage == "missing":
        (backup / name).unlink()
    elif damage == "extra":
        name = "commands/extra"
        (backup / name).write_text("x")
    elif damage == "twice":
        name = "prd.md"
        (backup / "configuration/prd.md").write_text("x")
        with (backup / "checksums.sha256").open("a") as file:
            file.write(f"{hashlib.sha256(b'x').hexdigest()}  ./configuration/prd.md\n")
    else:
        name = "checksums.sha256"
        (backup / name).unlink()
    told = refused("-C", claudio, "import", "--layout", "claudio", backup, code=12)
    assert name in told
    assert document("-C", claudio, "list")["snapshots"] == []
    # Its own records are no part of what it keeps.
    (claudio / ".upgrades/backups/2025-08-09T23-36-46-legacy-cleanup/backup_manifest.json").write_text("changed")
    imported(claudio, claudio / ".upgrades/backups/2025-08-09T23-36-46-legacy-cleanup")


def test_a_pristine_copy(installation: Path, tmp_path: Path) -> None:
    shipped = copy_tree(installation, tmp_path / "v1")
    found = imported(installation, "--pristine", "--label", "1.9", shipped)
    assert (found[0]["snapshot"]["tags"], found[0]["snapshot"]["pinned"]) == (["pristine"], True)
    refused("-C", installation, "import", "--pristine", shipped, code=2)


def test_what_makes_no_sense(installation: Path, tmp_path: Path) -> None:
    other = copy_tree(installation, tmp_path / "other")
    refused("-C", installation, "import", installation, code=2)
    refused("-C", installation, "import", "--at", "yesterday", other, code=2)
    refused("-C", installation, "import", "--layout", "zoo", other, code=2)
    refused("-C", installation, "import", "--at", "2025-01-01", other, tmp_path, code=2)
    refused("-C", installation, "import", code=2)
