"""What units and lines of a crontab say, for paths of every kind, by systemd's and the shell's own reading of them."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from gitsnap.core import schedule
from gitsnap.core.errors import UsageError
from gitsnap.core.retention import DEFAULT
from gitsnap.core.schedule import DAILY, HOURLY, WEEKLY, Timed
from tests.support.installation import REPOSITORY

ODD = ["/srv/app", "/srv/my app", "/a-b/c", "/ü/100%", "/.x/.y", "/a\\%b", "/it's %d", '/$HOME/"q"', "/a;b&c#"]


def timed(path: str, *more: str) -> Timed:
    return Timed(path, f"/var/lib/gitsnap{path}.git", "daily", ("/usr/bin/env", "-C", path, *more))


@pytest.mark.skipif(shutil.which("systemd-escape") is None, reason="systemd-escape is not installed")
def test_units_are_called_what_systemd_escape_says() -> None:
    paths = [*ODD, "/"]
    said = subprocess.run(["systemd-escape", "--path", *paths], capture_output=True, text=True, check=True).stdout
    assert [schedule.unit_name(path) for path in paths] == ["gitsnap-snapshot-" + name for name in said.split()]


def test_long_paths_have_names_that_fit_and_are_their_own() -> None:
    one, other = (schedule.unit_name("/" + "ü" * 120 + end) for end in "ab")
    assert one != other
    assert len(one + ".service") < 255


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("every", [HOURLY, DAILY, WEEKLY, schedule.on_calendar("Mon..Fri 12:30")], ids=lambda e: e.name)
def test_what_is_written_is_what_systemd_reads(tmp_path: Path, every: schedule.Schedule) -> None:
    paths = []
    for path in ODD:
        wanted = timed(path)
        for kind, text in schedule.units(wanted, every, {"GITSNAP_HOME": "/a b%"}).items():
            paths.append(tmp_path / f"{wanted.name}.{kind}")
            paths[-1].write_text(text)
            assert schedule.told(text) == replace(wanted, command=())
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *paths], capture_output=True, text=True)
    assert "gitsnap-snapshot" not in done.stderr, done.stderr


@pytest.mark.parametrize("path", ODD)
def test_cron_runs_the_words_that_are_meant(path: str) -> None:
    wanted = timed(path, "%", "a%'b")
    _, line = schedule.cron_lines(replace(wanted, command=("printf", "%s\\0", path, "a%'b")), DAILY, {"X": path})
    command = read_by_cron(line.split(" ", 5)[5])
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout == f"{path}\0a%'b\0"
    shown = subprocess.run(["sh", "-c", command.replace("printf", "env #")], capture_output=True, text=True, check=True)
    assert f"X={path}\n" in shown.stdout


def read_by_cron(text: str) -> str:
    """As child_process() of cron's do_command.c takes it apart: a percent sign ends it, but for an escaped one."""
    out, escaped = "", False
    for char in text:
        if escaped and char == "%":
            out = out[:-1]
        elif char == "%":
            break
        escaped = not escaped and char == "\\"
        out += char
    return out


def test_what_neither_can_hold() -> None:
    for path in ("/a\nb", "/\udcff"):
        for text in (schedule.units, schedule.cron_lines):
            with pytest.raises(UsageError):
                text(timed(path), DAILY, {})
    with pytest.raises(UsageError, match="cron cannot read"):
        schedule.cron_lines(timed("/a"), schedule.on_calendar("*:0/5"), {})
    with pytest.raises(UsageError, match="lines of 990"):
        schedule.cron_lines(timed("/" + "a" * 990), DAILY, {})
    for expression in ("", " ", "daily\nExecStart=x", "daily\\", "100%"):
        with pytest.raises(UsageError):
            schedule.on_calendar(expression)


def test_only_our_lines_leave_a_crontab() -> None:
    one, other = (schedule.cron_lines(timed(p, "snapshot", "--label", "timer"), DAILY, {}) for p in ("/a", "/a/b"))
    mine = ["# mine", "5 * * * * true"]
    assert schedule.without([*mine, *one, *other, "", "6 * * * * x"], schedule.unit_name("/a")) == [
        *mine, *other, "", "6 * * * * x",
    ]  # fmt: skip
    assert schedule.without([one[0], *mine], schedule.unit_name("/a")) == mine


@pytest.mark.parametrize("every", [HOURLY, DAILY, WEEKLY], ids=lambda e: e.name)
def test_the_rules_that_suit_keep_what_was_kept_before(every: schedule.Schedule) -> None:
    assert every.rules.covers(DEFAULT)
    assert (REPOSITORY / "docs/how-to/snapshots-by-the-clock.md").read_text().count(f"`--{every.name}`") > 0


@pytest.mark.parametrize("text", ["", "Timer=", "Timer=[]", 'Timer={"installation": 1, "store": "", "every": ""}', "x"])
def test_what_is_not_ours(text: str) -> None:
    assert schedule.told(text) is None
