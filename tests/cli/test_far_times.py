"""Files of any year are captured, listed, compared and brought back."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gitsnap.core.legacy_layout import newest_file
from gitsnap.core.model import Entry, Inventory, Type
from tests.installation.test_mounts import Site
from tests.support.inprocess import workspace
from tests.support.installation import IS_ROOT, copy_tree, run_gitsnap, same_tree, take_snapshot

_SECOND = 10**9
_TIMES = [
    0,
    -1,
    -1_500_000_001,
    -62135596801 * _SECOND,
    253402300800 * _SECOND + 1,
    2**40 * _SECOND,
    -(2**40) * _SECOND,
]


@pytest.fixture
def far(gitsnap_home: Path) -> Iterator[Path]:
    """Files of all times, on a file system that holds them."""
    if not IS_ROOT:
        pytest.skip("only root can mount")
    with workspace() as where, ExitStack() as stack:
        app = Site(where, stack).tmpfs("far") / "app"
        (app / "d").mkdir(parents=True)
        for number, moment in enumerate(_TIMES):
            (app / f"{number}").write_text("x")
            os.utime(app / f"{number}", ns=(moment, moment))
        os.utime(app / "d", ns=(_TIMES[-1], _TIMES[-1]))
        yield app


def test_they_come_back_exactly(far: Path, tmp_path: Path) -> None:
    first = take_snapshot(far)
    before = copy_tree(far, far.parent / "before")
    for number in range(len(_TIMES)):
        (far / f"{number}").write_text("y")
    (far / "d").rmdir()
    run_gitsnap("-C", far, "rollback", "-y", first)
    same_tree(before, far)
    assert [(far / f"{n}").stat().st_mtime_ns for n in range(len(_TIMES))] == _TIMES
    for number, moment in enumerate(_TIMES):
        os.utime(far / f"{number}", ns=(moment, moment + 1))
    run_gitsnap("-C", far, "rollback", "-y", first)
    assert [(far / f"{n}").stat().st_mtime_ns for n in range(len(_TIMES))] == _TIMES
    run_gitsnap("-C", far, "verify", "--all")
    run_gitsnap("-C", far, "verify", "--live", first)


def test_every_command_can_tell_them(far: Path, tmp_path: Path) -> None:
    first = take_snapshot(far)
    listed = json.loads(run_gitsnap("-C", far, "--json", "ls", first).stdout)["entries"]
    told = {e["path"]: (e["modified"], e["mtime_ns"]) for e in listed}
    assert told["4"] == ("+010000-01-01T00:00:00Z", _TIMES[4])
    assert told["1"] == ("1969-12-31T23:59:59Z", -1)
    assert told["3"] == ("0000-12-31T23:59:59Z", _TIMES[3])
    assert "10000-01-01 00:00:00" in run_gitsnap("-C", far, "ls", first, env={"TZ": "UTC"}).stdout
    for path in far.iterdir():
        if path.is_file():
            path.write_text("y")
    for command in (f"diff {first}", f"diff {first} --stat", "status", f"show {first}", "find *", "log 4"):
        run_gitsnap("-C", far, *command.split())
        run_gitsnap("-C", far, "--json", *command.split())
    run_gitsnap("-C", far, "report", first, "now", "-o", tmp_path / "report.html")
    run_gitsnap("-C", far, "changelog", first, "now", "--format", "md")


@pytest.mark.parametrize(("times", "wanted"), [([1, 2**70], 1), ([2**80], 0), ([-5 * _SECOND], 0)])
def test_an_import_is_of_no_year_that_git_cannot_tell(times: list[int], wanted: int) -> None:
    files = [Entry(b"%d" % n, Type.FILE, 0o644, mtime_ns=t * (_SECOND if t > 0 else 1)) for n, t in enumerate(times)]
    found = newest_file(Inventory([Entry(b"", Type.DIR, 0o755), *files]))
    assert found.timestamp() == wanted
