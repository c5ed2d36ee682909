"""The unit that settles an interrupted rollback at boot, for paths of every kind, as systemd reads it."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from gitsnap.core import at_boot
from gitsnap.core.at_boot import AtBoot
from gitsnap.core.errors import UsageError

ODD = ["/srv/my app", "/ü/100%", "/.x/{a,b}~[c]*?", "/a\\%b", '/it\'s %d "q" $HOME', "/a;b&c#"]


def wanted(path: str, *before: str, program: str = "/usr/bin/env") -> AtBoot:
    store = f"{path}.git"
    marks = (f"{store}/journal.*", f"{store}/return.json")
    return AtBoot(path, store, at_boot.services(before), ("/usr/bin/env", path), program, marks)


def in_etc(root: Path, unit: AtBoot, *, user: bool = False) -> Path:
    units = root / "etc/systemd/system"
    units.mkdir(parents=True, exist_ok=True)
    (units / f"{unit.name}.service").write_text(at_boot.unit(unit, {"GITSNAP_HOME": "/a b%"}, user=user))
    return units / f"{unit.name}.service"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_what_is_written_is_what_systemd_reads(tmp_path: Path) -> None:
    paths = []
    for path in ODD:
        unit = wanted(path, "app", "web@1.service")
        paths.append(in_etc(tmp_path, unit))
        assert at_boot.told(paths[-1].read_text()) == replace(unit, command=(), program="", marks=())
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *paths], capture_output=True, text=True)
    assert "gitsnap-recover" not in done.stderr, done.stderr


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize(("left", "runs"), [("", False), ("journal.moving", True), ("return.json", True), ("x", False)])
def test_where_gitsnap_is_gone_it_runs_only_for_what_is_interrupted(tmp_path: Path, left: str, runs: bool) -> None:
    for path in ODD:
        unit = wanted(f"{tmp_path}{path}", program=f"{tmp_path}/gone")
        store = Path(unit.store)
        store.mkdir(parents=True)
        if left:
            (store / left).touch()
        text = at_boot.unit(unit, {}, user=False)
        conditions = [line for line in text.splitlines() if line.startswith("Condition")]
        assert len(conditions) == 3
        done = subprocess.run(["systemd-analyze", "condition", *conditions], capture_output=True, text=True)
        assert (done.returncode == 0) == runs, done.stderr


@pytest.mark.skipif(shutil.which("systemctl") is None, reason="systemctl is not installed")
def test_what_waits_for_it_requires_it(tmp_path: Path) -> None:
    unit = wanted("/srv/my app", "app.service", "app")
    written = in_etc(tmp_path, unit)
    assert written.read_text().count("Before=app.service\n") == 1
    command = ["systemctl", f"--root={tmp_path}", "enable", written.name]
    subprocess.run(command, check=True, capture_output=True)
    links = [f"{p.parent.name}/{p.name}" for p in tmp_path.rglob("*") if p.is_symlink()]
    assert sorted(links) == [f"app.service.requires/{written.name}", f"multi-user.target.wants/{written.name}"]
    assert "WantedBy=default.target\n" in at_boot.unit(unit, {}, user=True)


def test_what_services_are_called() -> None:
    assert at_boot.services(["app", "a.b", "web@1", "x.socket", "app.service"]) == (
        "app.service", "a.b.service", "web@1.service", "x.socket",
    )  # fmt: skip
    for name in ("", "a b", "app@", "app@.service", "a/b", "ü", "-x", "--now", "a\nExecStart=x", "%i", "x" * 250):
        with pytest.raises(UsageError):
            at_boot.services([name])


def test_what_no_unit_can_hold() -> None:
    for path in ("/a\nb", "/\udcff"):
        with pytest.raises(UsageError):
            at_boot.unit(wanted(path), {}, user=False)
    with pytest.raises(UsageError):
        at_boot.unit(wanted("/a", program="/a\nb"), {}, user=False)


@pytest.mark.parametrize("text", ["", "Recover=", "Recover=[]", 'Recover={"installation": "/a", "store": 1}', "x"])
def test_what_is_not_ours(text: str) -> None:
    assert at_boot.told(text) is None
