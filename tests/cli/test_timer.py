"""A timer of systemd that goes on with an upgrade: what is written, and that what it runs does it."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitsnap.core import units
from gitsnap.core.errors import UsageError
from tests.support.installation import REPOSITORY
from tests.support.webapp import Shop, edit

LONG = "1h"


class Timed(Shop):
    """With a systemctl of its own, which writes down what it is told, and fails where `no-systemd` lies."""

    def __init__(self, where: Path) -> None:
        super().__init__(where)
        self.units, self.told = where / "units", where / "told"
        programs = where / "programs"
        programs.mkdir()
        program = programs / "systemctl"
        program.write_text(
            f"#!/bin/sh\necho \"$@\" >>{self.told}\nif test -e {where}/no-systemd; then echo 'no bus' >&2; exit 1; fi\n"
        )
        program.chmod(0o755)
        self.path = f"{programs}:{os.environ['PATH']}"

    def unit(self, kind: str) -> Path:
        return next(self.units.glob(f"*.{kind}"))


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Timed]:
    made = Timed(tmp_path)
    monkeypatch.setenv("PATH", made.path)
    yield made
    made.close()


def run(shop: Timed, *words: str) -> tuple[str, ...]:
    return ("run", "--timer", *words, "--", *shop.upgrade("2"))


def test_killed_and_what_the_timer_runs_brings_it_back(shop: Timed) -> None:
    with shop.running(*run(shop, "--confirm", LONG), units=shop.units) as running:
        running.wait_for("confirm-started")
        running.kill()
    assert "enable --now gitsnap-recover-" in shop.told.read_text()
    # Before the service starts it is not waited for, nor decided.
    shop.gitsnap("recover", "--at-boot")
    assert (shop.version, shop.last["status"]) == ("2", "unknown")
    edit(shop.record, lambda r: r["wait"]["term"]["began"].update(ticks=0))
    command = next(x for x in shop.unit("service").read_text().splitlines() if x.startswith("ExecStart="))
    words = shlex.split(command.removeprefix("ExecStart="))
    environ = {"GITSNAP_UNITS": str(shop.units), "PATH": shop.path, "PYTHONPATH": str(REPOSITORY)}
    subprocess.run(words, check=True, cwd="/", env=environ)
    assert (shop.version, shop.last["status"]) == ("1", "rolled-back")
    assert list(shop.units.iterdir()) == []
    assert "disable --now gitsnap-recover-" in shop.told.read_text()


def test_it_goes_when_it_is_decided(shop: Timed) -> None:
    with shop.running(*run(shop, "--confirm", LONG), units=shop.units) as running:
        running.wait_for("confirm-started")
        assert shop.unit("timer").stat().st_mode & 0o777 == 0o644
        shop.gitsnap("keep")
        running.ends(0)
    assert list(shop.units.iterdir()) == []


def test_where_it_cannot_be_set_up_nothing_is_started(shop: Timed, tmp_path: Path) -> None:
    (tmp_path / "no-systemd").touch()
    with shop.running(*run(shop, "--confirm", LONG), units=shop.units) as running:
        assert "no bus; nothing was started" in running.ends(1)
    assert (shop.version, list(shop.units.iterdir())) == ("1", [])
    assert shop.document("list")["snapshots"] == []
    shop.gitsnap("run", "--timer", "--", "true", check=2)


def test_what_is_written_is_what_systemd_reads(tmp_path: Path) -> None:
    odd = tmp_path / 'an "odd" $HOME 100% \\ name'
    odd.mkdir()
    (tmp_path / "x.service").write_text(units.service(str(odd), ["/bin/ls", str(odd)], {"PATH": "/bin:$x"}))
    (tmp_path / "x.timer").write_text(units.timer(str(odd)))
    words = (
        '"/bin/ls" "' + str(odd).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$") + '"'
    )
    assert f"ExecStart={words}\n" in (tmp_path / "x.service").read_text()
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / "x.timer", tmp_path / "x.service"],
        capture_output=True,
        text=True,
    )
    assert "x.service" not in done.stderr, done.stderr
    assert "x.timer" not in done.stderr, done.stderr


@pytest.mark.parametrize("name", ["a\nb", "\udcff"])
def test_what_no_unit_can_hold(name: str) -> None:
    with pytest.raises(UsageError):
        units.service(name, ["true"], {})
