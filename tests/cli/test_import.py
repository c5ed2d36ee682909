"""`import`: copies of every sort become snapshots that are what the copies are, with their own times."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.cli.helpers import document, refused
from tests.support.installation import (
    IS_ROOT,
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


def look(root: Path) -> dict[str, tuple[int, int, int]]:
    """Mode and owner of everything, the root included."""
    found = [root, *root.rglob("*")]
    return {str(p.relative_to(root)): (p.stat().st_mode & 0o7777, p.stat().st_uid, p.stat().st_gid) for p in found}


@pytest.fixture
def site(tmp_path: Path, gitsnap_home: Path) -> Path:
    """A directory with modes of its own, and owners where the tests may give them."""
    app = tmp_path / "site"
    for name in ("index.php", ".env", "sub/a", "up/loads/u"):
        (app / name).parent.mkdir(parents=True, exist_ok=True)
        (app / name).write_text("1\n")
        (app / name).chmod(0o640)
    for folder in (app / "up/loads", app / "up", app / "sub", app):
        folder.chmod(0o750)
    if IS_ROOT:
        for path in (app, *app.rglob("*")):
            os.chown(path, 33, 34)
    return app


def dos_zip(path: Path, *names: str) -> None:
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            info = zipfile.ZipInfo(name, (2024, 1, 1, 0, 0, 0))
            info.create_system, info.external_attr = 0, 0x20
            file.writestr(info, "0\n")


def pack(site: Path, archive: Path, how: str) -> None:
    names = sorted(p.name for p in site.iterdir() if not p.name.startswith("."))
    if how == "star":
        subprocess.run(["tar", "-C", site, "-czf", archive, *names], check=True)
    elif how == "numeric":
        subprocess.run(["tar", "-C", site, "--numeric-owner", "-czf", archive, "."], check=True)
    elif how == "part":
        subprocess.run(["tar", "-C", site, "-czf", archive, "up"], check=True)
    elif how == "dos":
        dos_zip(archive, "index.php", "sub/a")
    else:
        with zipfile.ZipFile(archive, "w") as file:
            for path in sorted(site.rglob("*")):
                file.write(path, path.relative_to(site))


@pytest.mark.parametrize("how", ["zip", "star", "numeric", "part", "dos"])
def test_what_an_archive_does_not_tell_stays(site: Path, tmp_path: Path, how: str) -> None:
    take_snapshot(site)
    archive = tmp_path / f"site-2024-01-01.{'zip' if how in ('zip', 'dos') else 'tgz'}"
    pack(site, archive, how)
    (told,) = imported(site, archive)
    before = look(site)
    os.setxattr(site / "index.php", "user.kept", b"v")
    (site / "index.php").write_text("2\n")
    (site / "up/loads/u").write_text("2\n")
    name = told["snapshot"]["id"]
    plan = document("-C", site, "rollback", name, "-n")
    done = document("-C", site, "rollback", name, "-y")
    assert (done["verified"], done["incomplete"]) == (True, [])
    assert look(site) == before
    assert os.getxattr(site / "index.php", "user.kept") == b"v"
    assert (site / "index.php").read_text() == {"dos": "0\n", "part": "2\n"}.get(how, "1\n")
    assert (site / "up/loads/u").read_text() == ("2\n" if how == "dos" else "1\n")
    left = {"zip": [], "star": [".env"], "numeric": [], "part": [".env", "index.php", "sub"], "dos": [".env", "up"]}
    beyond = [p["path"] for p in done["not_covered"]]
    assert beyond == left[how]
    assert [p["path"] for p in plan["not_covered"]] == beyond
    # Everybody says the same.
    assert document("-C", site, "diff", name, "now")["changes"] == []
    live = document("-C", site, "verify", "--live", name)["results"][0]
    assert (live["ok"], [p["path"] for p in live["not_covered"]]) == (True, beyond)
    shown = document("-C", site, "show", name)
    assert [p["path"] for p in shown["unlisted"]] == {"numeric": [], "dos": ["", "sub"]}.get(how, [""])
    assert ("owner" in shown["unrecorded"]) is (how != "numeric")
    assert told["unrecorded"] == shown["unrecorded"]
    listed = {e["path"]: e for e in document("-C", site, "ls", "-R", name)["entries"]}
    assert (listed["up/loads/u" if how == "part" else "index.php"]["owner"] is None) is (how in ("zip", "dos"))
    sound(site)


def test_what_an_archive_does_tell_is_not_this_systems(site: Path, tmp_path: Path) -> None:
    archive = tmp_path / "site-2024-01-01.tar"
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as file:
        for name, kind in ((".", tarfile.DIRTYPE), ("./a", tarfile.REGTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.mtime, info.uid, info.gid = kind, 0o4710, 1_700_000_000, 4321, 4322
            info.uname, info.gname = "", "no-such-group"
            info.pax_headers = {"mtime": "1700000000.123456789", "SCHILY.xattr.user.k": "v"}
            file.addfile(info)
    (told,) = imported(site, archive)
    assert (told["unrecorded"], told["unlisted"]) == ({}, [])
    entry = document("-C", site, "ls", told["snapshot"]["id"])["entries"][0]
    assert (entry["mode"], entry["owner"], entry["group"]) == ("4710", "4321", "no-such-group")
    if IS_ROOT:
        run_gitsnap("-C", site, "restore", told["snapshot"]["id"], "--to", tmp_path / "back")
        found = (tmp_path / "back/a").stat()
        assert (found.st_mtime_ns, found.st_uid, found.st_mode & 0o7777) == (1_700_000_000_123_456_789, 4321, 0o4710)
        assert os.getxattr(tmp_path / "back/a", "user.k") == b"v"


def test_a_new_snapshot_after_a_rollback_to_an_archive_knows_everything(site: Path, tmp_path: Path) -> None:
    take_snapshot(site)
    archive = tmp_path / "site-2024-01-01.zip"
    pack(site, archive, "zip")
    (told,) = imported(site, archive)
    (site / "index.php").write_text("2\n")
    run_gitsnap("-C", site, "rollback", told["snapshot"]["id"], "-y")
    take_snapshot(site)
    shown = document("-C", site, "show")
    assert (shown["unrecorded"], shown["unlisted"], shown["files"]) == ({}, [], 4)


def test_an_old_backup_takes_nothing_away_that_it_did_not_cover(claudio: Path) -> None:
    backup = claudio / ".upgrades/backups/2025-08-10T03-40-11-comprehensive-backup"
    for gone in ("agents", "project_content"):
        shutil.rmtree(backup / gone)
    (backup / "hooks").mkdir()
    kept = [line for line in (backup / "checksums.sha256").read_text().splitlines(True) if "agents" not in line]
    (backup / "checksums.sha256").write_text("".join(line for line in kept if "project_content" not in line))
    (told,) = imported(claudio, backup, check=3)
    assert [p["path"] for p in told["not_imported"]] == ["hooks/"]
    (claudio / "commands/c/new.md").write_text("came with an upgrade\n")
    (claudio / "settings.json").write_text("{}\n")
    mode = claudio.stat().st_mode
    name = told["snapshot"]["id"]
    assert document("-C", claudio, "diff", name, "now")["summary"]["added"] == 1
    done = document("-C", claudio, "rollback", name, "-y")
    left = [".upgrades", "agents", "phase1", "prd.md", "settings.json"]
    assert [p["path"] for p in done["not_covered"]] == left
    assert all((claudio / p).exists() for p in left)
    assert claudio.stat().st_mode == mode
    assert not (claudio / "commands/c/new.md").exists()
    assert (claudio / "commands/c/test.md").read_text() == "a command\ncomprehensive-backup"


def test_a_folder_of_copies_is_imported_copy_by_copy(site: Path, tmp_path: Path) -> None:
    bak = tmp_path / "bak"
    bak.mkdir()
    copy_tree(site, bak / "site-2024-01-01")
    copy_tree(site, bak / "site-2024-02-01")
    (bak / "notes.txt").write_text("about them\n")
    (bak / "scripts").mkdir()
    told = document("-C", site, "import", bak, env={"TZ": "UTC"}, check=3)
    assert [i["snapshot"]["created"][:10] for i in told["imported"]] == ["2024-01-01", "2024-02-01"]
    assert [Path(p["path"]).name for p in told["not_imported"]] == ["notes.txt", "scripts"]
    assert len(imported(site, "--layout", "tree", bak)) == 1
    refused("-C", site, "import", "--at", "2025-01-01", bak, code=2)
