"""Labels of the system and attributes of a file system: what came since is no difference, what was is put back."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.inprocess import workspace
from tests.support.installation import run_gitsnap, take_snapshot
from tests.torture import power

LABELS = ("security.selinux", "security.ima", "security.SMACK64")


@pytest.fixture
def app(tmp_path: Path) -> Path:
    app = tmp_path / "app"
    (app / "lib").mkdir(parents=True)
    for name in ("a", "b", "lib/c"):
        (app / name).write_text(f"{name}\n")
    try:
        os.setxattr(app / "b", LABELS[0], b"then")
    except OSError as error:
        pytest.skip(f"no labels can be set here: {error.strerror}")
    return app


@pytest.mark.parametrize("label", LABELS)
def test_a_label_that_came(app: Path, label: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    wanted = take_snapshot(app, home=home)
    for path in (app, app / "a", app / "lib"):
        try:
            os.setxattr(path, label, b"now")
        except OSError as error:
            pytest.skip(f"{label}: {error.strerror}")
    assert run_gitsnap("-C", app, "diff", "--exit-code", home=home).stdout == ""
    run_gitsnap("-C", app, "verify", "--live", wanted, home=home)
    (app / "lib/c").write_text("changed\n")
    run_gitsnap("-C", app, "rollback", wanted, "--yes", home=home)
    assert (app / "lib/c").read_text() == "lib/c\n"
    assert os.getxattr(app / "a", label) == b"now"
    run_gitsnap("-C", app, "run", "--", "sh", "-c", f"echo x >{app}/b; exit 1", home=home, check=20)
    run_gitsnap("-C", app, "undo", "--yes", home=home)


def test_a_label_that_was_there_is_put_back(app: Path, tmp_path: Path) -> None:
    """On what is written anew, and on what has got another; what went with the label alone stays as it is."""
    home = tmp_path / "home"
    wanted = take_snapshot(app, home=home)
    (app / "b").unlink()
    run_gitsnap("-C", app, "rollback", wanted, "--yes", home=home)
    assert os.getxattr(app / "b", LABELS[0]) == b"then"
    os.setxattr(app / "b", LABELS[0], b"now")
    run_gitsnap("-C", app, "rollback", wanted, "--yes", home=home)
    assert os.getxattr(app / "b", LABELS[0]) == b"then"
    os.removexattr(app / "b", LABELS[0])
    assert run_gitsnap("-C", app, "diff", "--exit-code", home=home).stdout == ""
    run_gitsnap("-C", app, "rollback", wanted, "--yes", home=home)


def test_attributes_of_one_s_own_still_count(app: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    wanted = take_snapshot(app, home=home)
    for name in ("user.note", "trusted.note"):
        os.setxattr(app / "a", name, b"now")
        run_gitsnap("-C", app, "diff", "--exit-code", home=home, check=1)
        run_gitsnap("-C", app, "verify", "--live", wanted, home=home, check=1)
        run_gitsnap("-C", app, "rollback", wanted, "--yes", home=home)
        assert name not in os.listxattr(app / "a")


def test_a_property_of_btrfs(tmp_path: Path) -> None:
    if shutil.which("btrfs") is None:
        pytest.skip("needs btrfs-progs")
    home = tmp_path / "home"
    try:
        with workspace() as top, power.disk("btrfs", top) as disk:
            app = disk.where / "app"
            (app / "lib").mkdir(parents=True)
            (app / "lib/a").write_text("1\n")
            (app / "b").write_text("1\n")
            wanted = take_snapshot(app, home=home)
            for path in (app / "lib", app / "b"):
                subprocess.run(["btrfs", "property", "set", path, "compression", "zstd"], check=True)
            assert "btrfs.compression" in os.listxattr(app / "b")
            assert run_gitsnap("-C", app, "diff", "--exit-code", home=home).stdout == ""
            (app / "lib/a").write_text("2\n")
            (app / "lib/came").write_text("2\n")
            run_gitsnap("-C", app, "rollback", wanted, "--yes", home=home)
            run_gitsnap("-C", app, "undo", "--yes", home=home)
            assert (app / "lib/came").read_text() == "2\n"
            assert "btrfs.compression" in os.listxattr(app / "lib")
    except OSError as error:
        pytest.skip(str(error))
