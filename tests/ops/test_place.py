"""Finding a sidecar: for any name of a directory, for users without a home, and when the directory was moved or is
gone."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gitsnap.config import environment, files
from gitsnap.core.errors import GitsnapError, NoSidecarError, UsageError
from gitsnap.core.settings import Settings
from gitsnap.core.statcache import is_racy
from gitsnap.installation.disk import Disk
from gitsnap.ops.restore import rollback
from gitsnap.ops.restore.rollback import RollbackOptions
from gitsnap.ops.store import locate as places
from gitsnap.ops.store import moved
from gitsnap.sidecar.repository import Sidecar
from tests.support.installation import build_app, copy_tree, run_gitsnap, same_tree, take_snapshot
from tests.support.processes import as_user, in_child


def remembered(app: Path, home: Path) -> str:
    """Take a snapshot after which the stat cache knows the directory: it forgets what had only just changed."""
    store = places.default_store(os.path.realpath(app), str(home))
    first = take_snapshot(app, "--label", "first", home=home)
    for _ in range(1000):
        with Sidecar(os.path.realpath(store)) as sidecar:
            known = {path for path, row in sidecar.load_cache().rows.items() if not is_racy(row)}
            if {b"", *(os.fsencode(p.relative_to(app)) for p in app.rglob("*"))} <= known:
                return first
        time.sleep(0.01)
        run_gitsnap("-C", app, "snapshot", "--label", "again", home=home)
        run_gitsnap("-C", app, "delete", "latest", home=home)
    raise TimeoutError


@pytest.mark.parametrize("name", ["a" * 255, "é" * 127, "€" * 85, "\U0001f600" * 63, "\udcff" * 255, "x" + "€" * 84])
def test_a_sidecar_is_made_for_a_directory_of_any_name(tmp_path: Path, gitsnap_home: Path, name: str) -> None:
    app = tmp_path / name
    app.mkdir()
    (app / ("\U0001f600" * 63)).write_text("x")
    first = take_snapshot(app)
    (store,) = gitsnap_home.glob("*.git")
    assert len(os.fsencode(store.name)) <= 255
    os.fsencode(store.name).decode("utf-8")
    (app / ("\U0001f600" * 63)).unlink()
    run_gitsnap("-C", app, "rollback", first, "-y")
    assert (app / ("\U0001f600" * 63)).read_text() == "x"


def test_a_name_that_fitted_before_is_the_same() -> None:
    """Sidecars are found by it."""
    for name in ("app", "a" * 60, "€" * 60, "\U0001f600" * 59 + "ab"):
        found = os.path.basename(places.default_store(f"/srv/{name}", "/home"))
        assert found.startswith(name[:60] + "-")


@pytest.mark.parametrize(
    ("environ", "there"),
    [
        ({"HOME": "/h"}, "/h/.local/share/gitsnap"),
        ({"HOME": "/h", "XDG_DATA_HOME": "/d"}, "/d/gitsnap"),
        ({"HOME": "/h", "XDG_DATA_HOME": "d"}, "/h/.local/share/gitsnap"),
        ({"HOME": "/h", "XDG_DATA_HOME": ""}, "/h/.local/share/gitsnap"),
        ({"XDG_DATA_HOME": "/d"}, "/d/gitsnap"),
        ({"HOME": "h", "XDG_DATA_HOME": "/d"}, "/d/gitsnap"),
        ({"HOME": "/h", "GITSNAP_HOME": "/g/../s"}, "/s"),
        ({}, None),
        ({"HOME": "."}, None),
        ({"XDG_DATA_HOME": "d"}, None),
    ],
)
def test_where_sidecars_are(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], there: str | None) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 987_654)
    assert environment.sidecars_home(environ) == there


def test_a_relative_home_for_sidecars_is_refused() -> None:
    with pytest.raises(UsageError, match="absolute"):
        environment.sidecars_home({"GITSNAP_HOME": "sidecars"})


@pytest.mark.parametrize("name", ["XDG_CONFIG_HOME", "HOME"])
def test_no_configuration_is_read_from_where_one_stands(
    installation: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for below in ("conf/gitsnap", "conf/.config/gitsnap"):
        (installation / below).mkdir(parents=True)
        (installation / below / "config.toml").write_text("[retention]\nkeep-last = 3\n")
    monkeypatch.chdir(installation)
    found = files.load({name: "conf"}, None, environment.Options())
    assert found.retention.keep_last != 3


def test_who_has_no_home_needs_a_store_and_is_told_so(tmp_path: Path) -> None:
    app, store = tmp_path / "app", str(tmp_path / "s.git")
    app.mkdir()
    for call in (places.locate, lambda *a: places.protect(*a, "")):
        with pytest.raises(UsageError, match="no place for sidecars") as failed:
            call(str(app), None, None, "/")  # type: ignore[operator]
        assert "--store" in (failed.value.hint or "")
    place, created = places.protect(str(app), store, None, "/", "")
    assert (place.store, created) == (os.path.realpath(store), True)
    assert places.locate(str(app), store, None, "/") == place
    assert places.locate(None, store, None, "/") == place
    with pytest.raises(NoSidecarError):
        places.locate(str(app), store + "2", None, "/")


def test_a_directory_that_was_moved_gets_its_snapshots_back(installation: Path, gitsnap_home: Path) -> None:
    first = remembered(installation, gitsnap_home)
    new = installation.rename(installation.parent / "elsewhere")
    told = run_gitsnap("-C", new, "status", check=10).stderr
    assert str(installation) in told
    assert f"gitsnap -C {new} --store" in told
    assert run_gitsnap("status", cwd=new, check=10).stderr == told
    assert str(installation) in run_gitsnap("-C", new, "init").stderr
    assert first in run_gitsnap("-C", new, "list").stdout
    # The old place is free for another one.
    installation.mkdir()
    (installation / "f").write_text("x")
    take_snapshot(installation)
    assert len(list(gitsnap_home.glob("*.git"))) == 2
    assert first not in run_gitsnap("-C", installation, "list").stdout
    assert first in run_gitsnap("-C", new, "list").stdout


def test_the_hint_for_a_moved_directory_works(installation: Path, gitsnap_home: Path) -> None:
    first = remembered(installation, gitsnap_home)
    new = installation.rename(installation.parent / "else where")
    hint = run_gitsnap("-C", new, "--json", "list", check=10).stderr
    words = shlex.split(json.loads(hint)["error"]["hint"].split("`")[1])
    run_gitsnap(*words[1:])
    assert first in run_gitsnap("-C", new, "list").stdout


def test_a_moved_directory_goes_on_with_the_next_snapshot(installation: Path, gitsnap_home: Path) -> None:
    first = remembered(installation, gitsnap_home)
    new = installation.rename(installation.parent / "elsewhere")
    done = run_gitsnap("-C", new, "snapshot")
    assert str(installation) in done.stderr
    assert first in run_gitsnap("-C", new, "list").stdout


def test_a_sidecar_of_its_own_place_stays_there(installation: Path, gitsnap_home: Path, tmp_path: Path) -> None:
    store = tmp_path / "own.git"
    run_gitsnap("-C", installation, "--store", store, "init")
    first = remembered(installation, gitsnap_home)
    new = installation.rename(installation.parent / "elsewhere")
    run_gitsnap("-C", new, "init")
    assert first in run_gitsnap("-C", new, "list").stdout
    assert store.is_dir()


def test_a_copy_is_a_directory_of_its_own(installation: Path, gitsnap_home: Path) -> None:
    first = remembered(installation, gitsnap_home)
    copy = copy_tree(installation, installation.parent / "copy")
    assert "not protected: there is no sidecar" in run_gitsnap("-C", copy, "status", check=10).stderr
    assert take_snapshot(copy) != first
    assert first not in run_gitsnap("-C", copy, "list").stdout
    assert first in run_gitsnap("-C", installation, "list").stdout


def test_of_a_copy_whose_original_is_gone_the_history_is_told(installation: Path, gitsnap_home: Path) -> None:
    """As after a move to another disk, or back from another backup."""
    first = remembered(installation, gitsnap_home)
    copy = copy_tree(installation, installation.parent / "copy")
    shutil.rmtree(installation)
    assert str(installation) in run_gitsnap("-C", copy, "status", check=10).stderr
    done = run_gitsnap("-C", copy, "snapshot")
    assert f"holds what was in {installation}" in done.stderr
    assert first not in run_gitsnap("-C", copy, "list").stdout


def test_another_directory_in_the_old_place_keeps_the_sidecar(installation: Path, gitsnap_home: Path) -> None:
    first = remembered(installation, gitsnap_home)
    new = installation.rename(installation.parent / "elsewhere")
    installation.mkdir()
    (installation / "f").write_text("x")
    told = run_gitsnap("-C", new, "status", check=10).stderr
    assert f"it was {installation}, where another directory is now" in told
    take_snapshot(new)
    assert first in run_gitsnap("-C", installation, "list").stdout


def test_other_directories_are_nobodys(installation: Path, gitsnap_home: Path, tmp_path: Path) -> None:
    take_snapshot(installation)
    shutil.rmtree(installation)
    other = tmp_path / "other"
    other.mkdir()
    (other / "f").write_text("x")
    assert moved.former(str(other), str(gitsnap_home)) is None


@pytest.mark.parametrize("command", ["rollback -y", "restore latest ."])
def test_a_directory_that_is_gone_is_made_again(installation: Path, command: str) -> None:
    installation.chmod(0o751)
    take_snapshot(installation)
    before = copy_tree(installation, installation.parent / "before")
    shutil.rmtree(installation)
    run_gitsnap("-C", installation, "rollback", "-n")
    assert not installation.exists()
    told = run_gitsnap("-C", installation, "status", check=1).stderr
    assert "rollback" in told
    run_gitsnap("-C", installation, *command.split())
    same_tree(before, installation)
    run_gitsnap("-C", installation, "undo", "-y")
    assert os.listdir(installation) == []


def test_what_is_missing_above_is_made_and_named(tmp_path: Path, gitsnap_home: Path) -> None:
    app = tmp_path / "a/b/app"
    app.mkdir(parents=True)
    (app / "f").write_text("x")
    (app / "g").write_text("x")
    app.chmod(0o751)
    take_snapshot(app)
    shutil.rmtree(tmp_path / "a")
    run_gitsnap("-C", app, "restore", "latest", "nope", check=1)
    assert not (tmp_path / "a").exists()
    done = json.loads(run_gitsnap("-C", app, "--json", "restore", "latest", "f").stdout)
    assert [p["path"] for p in done["made"]] == [str(tmp_path / n) for n in ("a", "a/b", "a/b/app")]
    assert (os.listdir(app), app.stat().st_mode & 0o777) == (["f"], 0o751)


def test_what_stands_in_the_place_goes_aside(installation: Path) -> None:
    take_snapshot(installation)
    before = copy_tree(installation, installation.parent / "before")
    shutil.rmtree(installation)
    installation.write_text("mine")
    done = run_gitsnap("-C", installation, "rollback", "-y")
    same_tree(before, installation)
    aside = installation.with_name(installation.name + ".gitsnap-aside-1")
    assert aside.read_text() == "mine"
    assert str(aside) in done.stderr


def test_owners_without_an_entry_are_numbers() -> None:
    from gitsnap.installation.owners import group_name, user_name

    assert as_user(lambda: (user_name(987_654), group_name(987_654))) == ("", "")


def test_an_unknown_place_is_no_such_directory(tmp_path: Path, gitsnap_home: Path) -> None:
    with pytest.raises(GitsnapError) as failed:
        places.locate(str(tmp_path / "nope"), None, str(gitsnap_home), "/", gone=True)
    assert failed.value.kind == "no-such-directory"


def test_a_rollback_that_was_cut_off_is_settled_where_the_directory_is_now(tmp_path: Path, gitsnap_home: Path) -> None:
    app = tmp_path / "app"
    app.mkdir()
    for name in "abc":
        (app / name).write_text("1")
    first = take_snapshot(app)
    for name in "abc":
        (app / name).write_text("2")

    class Dies(Disk):
        def exchange(self, stage: int, slot: bytes, parent: int, name: bytes) -> None:
            if name == b"b":
                os._exit(0)
            super().exchange(stage, slot, parent, name)

    def dies() -> None:
        with places.open_sidecar(places.locate(str(app), None, str(gitsnap_home), "/")) as sidecar:
            rollback.rollback(sidecar, first, Settings(UTC), RollbackOptions(datetime.now(UTC), disk=Dies()))

    with pytest.raises(ChildProcessError):
        in_child(dies)
    new = app.rename(tmp_path / "new")
    (store,) = gitsnap_home.glob("*.git")
    run_gitsnap("-C", new, "--store", store, "init")
    run_gitsnap("-C", new, "snapshot", check=14)
    run_gitsnap("-C", new, "recover")
    assert sorted(p.read_text() for p in new.iterdir()) == ["1", "1", "1"]
    run_gitsnap("-C", new, "verify", "--live", first)


def test_a_moved_directory_is_known_without_a_stat_cache(installation: Path, gitsnap_home: Path) -> None:
    """As after a snapshot of files that had just been written."""
    take_snapshot(installation)
    (store,) = gitsnap_home.glob("*.git")
    (store / "gitsnap/stat-cache").unlink(missing_ok=True)
    new = installation.rename(installation.parent / "elsewhere")
    assert f"--store {store} init" in run_gitsnap("-C", new, "status", check=10).stderr


def test_a_sidecar_elsewhere_that_is_away_is_not_made_anew(tmp_path: Path, gitsnap_home: Path) -> None:
    """Its disk is not mounted: a snapshot into the mount point would be seen by nobody once it is."""
    app, disk = build_app(tmp_path / "app"), tmp_path / "disk"
    disk.mkdir()
    run_gitsnap("-C", app, "--store", disk / "app.git", "snapshot")
    (disk / "app.git").rename(tmp_path / "unmounted")
    # As timers do, too.
    named = f"--store {disk}/app.git snapshot"
    for command in ("snapshot", "init", "list", "run -- true", named):
        said = run_gitsnap("-C", app, *command.split(), check=10).stderr
        assert f"the sidecar of {app} is {disk}/app.git, and that is not there now" in said
        assert f"gitsnap -C {app} --store {disk}/app.git init" in said
    assert list(disk.iterdir()) == []
    (tmp_path / "unmounted").rename(disk / "app.git")
    assert len(json.loads(run_gitsnap("-C", app, "--json", "list").stdout)["snapshots"]) == 1
    (disk / "app.git").rename(tmp_path / "gone")
    run_gitsnap("-C", app, "--store", disk / "app.git", "init")
    run_gitsnap("-C", app, "snapshot")
