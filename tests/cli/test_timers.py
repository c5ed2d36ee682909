"""`timer`: what is shown, written, told and removed, with programs that stand for systemd's and cron's."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from gitsnap.ops.store import locate
from tests.support.installation import run_gitsnap

# Answers as systemctl does, `show` for one that has ended with 3.
_SYSTEMCTL = """#!/bin/sh
echo "$@" >>"$TOLD"
if test -e "$TOLD.no"; then echo 'no bus' >&2; exit 1; fi
case "$*" in
*"show -pLoadState -- app.service") echo LoadState=not-found ;;
*"show -pUnitFileState"*)
    printf 'UnitFileState=enabled\\nExecMainStatus=14\\nExecMainExitTimestamp=Tue 2023-11-14 22:13:20 UTC\\n' ;;
*show*)
    printf 'ActiveState=active\\nNextElapseUSecRealtime=Wed 2023-11-15 22:13:20 UTC\\nLastTriggerUSec=\\n\\n'
    printf 'ActiveState=inactive\\nExecMainStatus=3\\nExecMainExitTimestamp=Tue 2023-11-14 22:13:20 UTC\\n' ;;
esac
"""
_CRONTAB = """#!/bin/sh
case $1 in
-l) if test -e "$TOLD.tab"; then cat "$TOLD.tab"; else echo 'no crontab for root' >&2; exit 1; fi ;;
-) cat >"$TOLD.tab" ;;
esac
"""


class Place:
    def __init__(self, where: Path) -> None:
        self.where, self.root, self.units, self.told = where, where / "my app", where / "units", where / "told"
        self.name = f"gitsnap-snapshot-{str(self.root)[1:].replace('-', chr(92) + 'x2d').replace('/', '-')}"
        self.name = self.name.replace(" ", "\\x20")
        self.at_boot = self.name.replace("snapshot-", "recover@", 1)
        self.environ = {"GITSNAP_UNITS": str(self.units)}

    def say(self, *words: str, check: int = 0) -> str:
        done = run_gitsnap("timer", *words, cwd=self.where, env=self.environ, check=check)
        return done.stdout + done.stderr

    def document(self, *words: str) -> Any:
        return json.loads(run_gitsnap("timer", *words, "--json", cwd=self.where, env=self.environ).stdout)

    @property
    def tab(self) -> str:
        return Path(f"{self.told}.tab").read_text()

    @property
    def written(self) -> list[str]:
        return sorted(p.name for p in self.units.glob("*")) if self.units.exists() else []


@pytest.fixture
def place(tmp_path: Path, gitsnap_home: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, text in (("systemctl", _SYSTEMCTL), ("crontab", _CRONTAB)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("TOLD", str(tmp_path / "told"))
    made = Place(tmp_path)
    made.root.mkdir()
    (made.root / "f").write_text("1\n")
    run_gitsnap("init", cwd=made.root)
    return made


def test_shown_first_and_nothing_written_without_a_yes(place: Place) -> None:
    shown = place.say("install", "my app", "--print", "--hourly")
    assert f"# {place.units}/{place.name}.timer\n" in shown
    assert "OnCalendar=hourly\n" in shown
    assert "there is no terminal to ask on" in place.say("install", "my app", check=2)
    document = place.document("install", "my app", "-n", "--retention")
    assert [Path(one["path"]).suffix for one in document["files"]] == [".service", ".timer"]
    assert document["retention"] == {"keep-last": 10, "keep-daily": 14, "keep-weekly": 8, "keep-monthly": 12}
    assert (place.written, place.told.exists()) == ([], False)


def test_installed_told_and_removed(place: Place) -> None:
    said = place.say("install", "my app", "--yes", "--on-calendar", "Mon..Fri 12:30")
    assert f"installed: {place.name}, Mon..Fri 12:30, the next one 2023-11-15" in said
    assert "keep the last 10, 48 hourly, 14 daily" in said
    assert place.written == [f"{place.name}.service", f"{place.name}.timer"]
    assert f"enable {place.name}.timer\nrestart {place.name}.timer\n" in place.told.read_text()
    (one,) = place.document("list")["timers"]
    assert one == {
        "name": place.name,
        "installation": str(place.root),
        "store": one["store"],
        "every": "Mon..Fri 12:30",
        "scheduler": "systemd",
        "where": f"{place.units}/{place.name}.timer",
        "active": True,
        "next": "2023-11-15T22:13:20Z",
        "last": "2023-11-14T22:13:20Z",
        "exit_code": 3,
    }
    # By its path alone, when all else is gone.
    (place.root / "f").unlink()
    place.root.rmdir()
    assert "the directory is gone" in place.say()
    assert place.document("remove", "my app")["removed"] == [{"name": place.name, "scheduler": "systemd"}]
    assert place.written == []
    assert f"disable --now {place.name}.timer" in place.told.read_text()
    place.say("remove", "my app", check=1)


def test_what_it_runs_takes_a_snapshot(place: Place) -> None:
    place.say("install", "my app", "--yes")
    text = (place.units / f"{place.name}.service").read_text()
    command = next(line for line in text.splitlines() if line.startswith("ExecStart="))
    subprocess.run(shlex.split(command.removeprefix("ExecStart=")), check=True, cwd="/")
    (taken,) = json.loads(run_gitsnap("list", "--json", cwd=place.root).stdout)["snapshots"]
    assert taken["id"].endswith("-timer")


def test_where_systemd_refuses_what_was_there_is_there_again(place: Place) -> None:
    (place.where / "told.no").touch()
    assert "no bus; nothing was changed" in place.say("install", "my app", "--yes", check=1)
    assert place.written == []
    (place.where / "told.no").unlink()
    place.say("install", "my app", "--yes", "--weekly")
    (place.where / "told.no").touch()
    place.say("install", "my app", "--yes", "--hourly", check=1)
    assert [one["every"] for one in place.document()["timers"]] == ["weekly"]
    assert "systemd could not be told" in place.say("remove", "my app")
    assert place.written == []


def test_units_of_others_stay(place: Place) -> None:
    place.units.mkdir()
    unit = place.units / f"{place.name}.timer"
    unit.write_text("[Timer]\nOnCalendar=daily\n")
    assert "gitsnap did not write" in place.say("install", "my app", "--yes", check=1)
    assert unit.read_text() == "[Timer]\nOnCalendar=daily\n"
    place.say("remove", "my app", check=1)
    assert place.written == [f"{place.name}.timer"]


def test_rules_are_written_where_there_are_none(place: Place) -> None:
    store = place.document("install", "my app", "-n")["store"]
    config = Path(store) / "gitsnap.toml"
    config.write_text('# mine\n[retention]\nkeep-deleted = "7d"\n\n[capture]\nexclude = ["*.log"]\n')
    place.say("install", "my app", "--yes", "--retention", "--hourly")
    assert tomllib.loads(config.read_text()) == {
        "retention": {"keep-deleted": "7d", "keep-last": 10, "keep-hourly": 48, "keep-daily": 14, "keep-weekly": 8}
        | {"keep-monthly": 12},
        "capture": {"exclude": ["*.log"]},
    }
    assert config.read_text().startswith("# mine\n")
    assert "there are retention rules already" in place.say("install", "my app", "--yes", "--retention", check=2)
    assert "nobody has set" not in place.say("install", "my app", "--yes")


def test_a_line_of_the_crontab_and_all_else_in_it(place: Place) -> None:
    tab = Path(f"{place.told}.tab")
    words = ("install", "my app", "--yes", "--scheduler", "cron")
    place.say(*words, "--weekly")
    tab.write_bytes(b"# m\xf6in\x0cx\n0 1 * * * true\n" + tab.read_bytes())
    place.say(*words, "--daily")
    assert tab.read_bytes().startswith(b"# m\xf6in\x0cx\n0 1 * * * true\n# gitsnap-snapshot-")
    lines = tab.read_bytes().split(b"\n")
    assert (len(lines), lines[3].split()[1:5]) == (5, [b"0", b"*", b"*", b"*"])
    (one,) = place.document()["timers"]
    assert (one["scheduler"], one["every"], one["installation"]) == ("cron", "daily", str(place.root))
    place.say("remove", "my app")
    assert tab.read_bytes() == b"# m\xf6in\x0cx\n0 1 * * * true\n"
    assert "cron cannot read" in place.say(*words, "--on-calendar", "*:0/5", check=2)


def test_recovery_at_boot_is_enabled_told_and_removed_without_being_stopped(place: Place) -> None:
    words = ("install", "my app", "--recover-at-boot")
    shown = place.say(*words, "--print", "--before", "app")
    assert f"# {place.units}/{place.at_boot}.service\n" in shown
    assert "Before=app.service\n" in shown
    assert "OnCalendar" not in shown
    assert "there is no terminal to ask on" in place.say(*words, check=2)
    assert (place.written, place.told.exists()) == ([], False)
    said = place.say(*words, "--yes", "--before", "app", "--before", "web@1.service")
    assert f"installed: {place.at_boot}, from the next boot on, before app.service, web@1.service" in said
    assert "systemd knows no app.service" in said
    assert "web@1.service:" not in said
    assert place.written == [f"{place.at_boot}.service"]
    did = place.told.read_text()
    assert f"daemon-reload\nreenable {place.at_boot}.service\n" in did
    assert "start" not in did
    document = place.document()
    (one,) = document["at_boot"]
    assert document["timers"] == []
    assert one == {
        "name": place.at_boot,
        "installation": str(place.root),
        "store": one["store"],
        "before": ["app.service", "web@1.service"],
        "where": f"{place.units}/{place.at_boot}.service",
        "enabled": True,
        "last": "2023-11-14T22:13:20Z",
        "exit_code": 14,
    }
    said = place.say()
    assert f"{place.root}: recover at boot, before app.service, web@1.service\n" in said
    assert f"exit code 14\n  why: journalctl -u '{place.at_boot}'" in said
    for kind in ("multi-user.target.wants", "app.service.requires"):
        (place.units / kind).mkdir()
        (place.units / kind / f"{place.at_boot}.service").symlink_to(place.units / f"{place.at_boot}.service")
    (place.units / "app.service.requires/other.service").symlink_to("/x")
    assert "snapshots" not in place.say("remove", "my app")
    assert place.written == ["app.service.requires"]
    assert os.listdir(place.units / "app.service.requires") == ["other.service"]
    did = place.told.read_text()
    assert f"disable {place.at_boot}.service\n" in did
    assert "--now" not in did
    assert "stop" not in did


def test_recovery_at_boot_beside_a_timer(place: Place) -> None:
    words = ("install", "my app", "--yes", "--recover-at-boot", "--hourly")
    document = place.document(*words, "--before", "app")
    assert ([t["every"] for t in document["timers"]], document["at_boot"][0]["before"]) == (["hourly"], ["app.service"])
    both = [f"{place.at_boot}.service", f"{place.name}.service", f"{place.name}.timer"]
    assert place.written == both
    # Another time leaves it, as another unit leaves the time.
    place.say("install", "my app", "--yes", "--weekly")
    assert "nothing waits for it" in place.say("install", "my app", "--yes", "--recover-at-boot")
    document = place.document()
    assert ([t["every"] for t in document["timers"]], document["at_boot"][0]["before"]) == (["weekly"], [])
    # What was there before is there again.
    (place.where / "told.no").touch()
    place.say(*words, "--before", "app", check=1)
    document = place.document()
    assert ([t["every"] for t in document["timers"]], document["at_boot"][0]["before"]) == (["weekly"], [])
    (place.where / "told.no").unlink()
    assert [one["name"] for one in place.document("remove", "my app")["removed"]] == [place.name, place.at_boot]
    assert place.written == []
    # The timer is refused after the other was written.
    (place.units / f"{place.name}.timer").write_text("[Timer]\nOnCalendar=daily\n")
    place.say(*words, check=1)
    assert place.written == [f"{place.name}.timer"]


def test_what_it_runs_at_boot_recovers(place: Place) -> None:
    place.say("install", "my app", "--yes", "--recover-at-boot")
    text = (place.units / f"{place.at_boot}.service").read_text()
    command = next(line for line in text.splitlines() if line.startswith("ExecStart="))
    done = subprocess.run(
        shlex.split(command.removeprefix("ExecStart=")), check=True, cwd="/", capture_output=True, text=True
    )
    assert "nothing to recover" in done.stdout
    assert shlex.split(command)[-2:] == ["recover", "--at-boot"]
    program, journal, of_several = re.findall(r"^ConditionPathExists(?:Glob)?=\|(.+)$", text, re.MULTILINE)
    assert Path(program).exists()
    # What is there while something is interrupted, as the sidecar itself has it.
    store = place.document()["at_boot"][0]["store"]
    with locate.open_sidecar(locate.Place(str(place.root), store)) as sidecar:
        assert (sidecar.pending, sidecar.returning) == (None, False)
        Path(journal.replace("*", "moving")).touch()
        Path(of_several).touch()
        assert (sidecar.pending, sidecar.returning) == ("moving", True)


def test_units_at_boot_of_others_stay(place: Place) -> None:
    place.units.mkdir()
    unit = place.units / f"{place.at_boot}.service"
    unit.write_text("[Service]\nExecStart=/bin/true\n")
    assert "gitsnap did not write" in place.say("install", "my app", "--yes", "--recover-at-boot", check=1)
    assert unit.read_text() == "[Service]\nExecStart=/bin/true\n"


def test_cron_recovers_nothing_before_a_service(place: Place) -> None:
    said = place.say("install", "my app", "--yes", "--recover-at-boot", "--scheduler", "cron", check=2)
    assert "cron starts nothing before a service" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["instal"], "gitsnap timer install"),
        (["rm", "my app"], "gitsnap timer remove"),
        (["list", "my app"], "takes no DIR"),
        (["install", "my app", "--daily", "--weekly"], "are one choice"),
        (["remove", "my app", "--daily"], "none of install's options"),
        (["install", "my app", "--before", "app"], "--before says what waits for --recover-at-boot"),
        (["install", "my app", "-n", "--recover-at-boot", "--before", "a b"], "no unit of systemd is called 'a b'"),
        (["remove", "my app", "--recover-at-boot"], "none of install's options"),
        (["install", "my app", "--scheduler", "at"], "neither systemd nor cron"),
        (["install", "my app", "-n", "--on-calendar", "daily\\"], "is not an expression"),
    ],
)
def test_bad_input(place: Place, words: list[str], said: str) -> None:
    assert said in place.say(*words, check=2)
    assert place.written == []


def test_without_a_sidecar(place: Place) -> None:
    (place.where / "other").mkdir()
    place.say("install", "other", "--yes", check=10)
