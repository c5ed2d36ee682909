"""A sidecar from elsewhere: nothing outside it is written, emptied or removed, and nothing is waited for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gitsnap.core.errors import IntegrityError
from gitsnap.sidecar.repository import Sidecar
from tests.support.inprocess import bare_git
from tests.support.installation import run_gitsnap, sidecar_of, take_snapshot


@pytest.mark.parametrize("name", ["gitsnap/tmp", "gitsnap", "objects", "logs", "refs/gitsnap/snapshots", "refs/notes"])
def test_a_directory_that_is_a_link_is_not_gone_through(installation: Path, tmp_path: Path, name: str) -> None:
    """Killed writers' files are removed from gitsnap/tmp, reflogs emptied, refs and logs closed to others."""
    take_snapshot(installation)
    store, victim = sidecar_of(installation), tmp_path / "victim"
    place = store / name
    if place.exists():
        place.rename(victim)
    for file in ("pack-mine", "reserve-mine", "log"):
        victim.mkdir(exist_ok=True)
        (victim / file).write_text("mine")
        (victim / file).chmod(0o644)
    victim.chmod(0o755)
    place.symlink_to(victim)
    for command in ("snapshot", "gc", "verify --all", "run -- true", "status"):
        said = run_gitsnap("-C", installation, *command.split(), check=12)
        assert f"{place} is a link" in said.stdout + said.stderr
    for file in ("pack-mine", "reserve-mine", "log"):
        assert (victim / file).read_text() == "mine"
        assert (victim / file).stat().st_mode & 0o777 == 0o644


def test_a_head_or_a_note_of_a_gc_that_never_ends_is_not_waited_for(installation: Path) -> None:
    take_snapshot(installation)
    store = sidecar_of(installation)
    for name in ("HEAD", "gc.pid"):
        (store / name).unlink(missing_ok=True)
        os.mkfifo(store / name, 0o600)
    assert "gc.pid" in run_gitsnap("-C", installation, "gc", check=12).stderr
    run_gitsnap("-C", installation, "doctor", check=1)
    with Sidecar(str(store)) as sidecar, pytest.raises(IntegrityError, match="no regular file"):
        sidecar.head()


def test_an_object_that_is_no_file_is_damaged(installation: Path) -> None:
    take_snapshot(installation)
    store = sidecar_of(installation)
    commit = bare_git(store, "rev-parse", "timeline").decode().strip()
    for pack in (store / "objects/pack").iterdir():
        pack.unlink()
    (store / "objects" / commit[:2] / commit[2:]).mkdir(parents=True)
    assert "Is a directory" in run_gitsnap("-C", installation, "list", check=12).stderr


def test_an_index_that_is_cut_short_meanwhile_ends_no_process(installation: Path) -> None:
    take_snapshot(installation)
    store = sidecar_of(installation)
    code = (
        "import os, sys\n"
        "from gitsnap.sidecar.repository import Sidecar\n"
        "sidecar = Sidecar(sys.argv[1])\n"
        "ids = set(sidecar.objects.ids())\n"
        "for pack in sidecar.objects.packs:\n"
        "    os.chmod(pack.path[:-5] + '.idx', 0o600)\n"
        "    os.truncate(pack.path[:-5] + '.idx', 0)\n"
        "print(len(ids), len(sidecar.objects.missing(ids)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, store], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    count, missing = map(int, done.stdout.split())
    assert count > 0 == missing


def test_what_is_not_found_may_lie_in_what_could_not_be_read(installation: Path) -> None:
    take_snapshot(installation)
    store = sidecar_of(installation)
    for pack in (store / "objects/pack").iterdir():
        pack.unlink()
    said = run_gitsnap("-C", installation, "log", "nowhere", check=1).stderr
    assert "no snapshot holds 'nowhere'" in said
    assert "is damaged" in said
