"""One upgrade, whoever tells of it: one set of counts in words and in JSON, and one duration."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.helpers import document
from tests.support.installation import run_gitsnap

TEXT = "".join(f"line {n}\\n" for n in range(50))


@pytest.fixture
def upgraded(tmp_path: Path, gitsnap_home: Path) -> tuple[Path, dict[str, object]]:
    """Renamed and edited, changed, another mode, a directory for a file, and directories that came and went; undone."""
    app = tmp_path / "app"
    (app / "old/empty").mkdir(parents=True)
    (app / "a").write_text(TEXT.replace("\\n", "\n"))
    for name in ("changed", "mode", "type", "old/gone"):
        (app / name).write_text(name)
    script = """mv a b; echo more >>b; echo other >changed; chmod 600 mode; rm type; mkdir type; echo x >type/x
        rm -r old; mkdir -p new/empty; ln -s b link; exit 3"""
    done = document("-C", app, "run", "--events", tmp_path / "ev", "--label", "x", "--", "sh", "-c", script, check=20)
    return app, done


def test_all_say_the_same(upgraded: tuple[Path, dict[str, object]]) -> None:
    app, done = upgraded
    files = {"added": 2, "removed": 1, "modified": 1, "renamed": 1, "metadata": 1, "type": 1}
    folders = {"added": 2, "removed": 2, "modified": 0, "renamed": 0, "metadata": 0, "type": 0}
    assert (done["files_changed"], done["directories_changed"]) == (files, folders)
    for args in (["diff", "x@pre", "x@post"], ["changelog", "x"], ["report", "x", "-o", "/dev/null"]):
        found = document("-C", app, *args)
        assert (found["summary"], found["directories"]) == (files, folders), args
    for found in (document("-C", app, "show", "x"), document("-C", app, "history")["history"][0]):
        assert (found["files_changed"], found["directories_changed"]) == (files, folders)
        assert found["duration"] == done["duration"]
    words = "7 files changed: 2 added, 1 removed, 1 modified, 1 renamed, 1 with other metadata, 1 of another type; "
    words += "4 directories changed: 2 added, 2 removed"
    page = run_gitsnap("-C", app, "report", "x", "-o", "-").stdout
    told = [
        run_gitsnap("-C", app, *args.split()).stdout for args in ("show x", "changelog x", "diff --stat x@pre x@post")
    ]
    for text in (page, *told):
        assert words in re.sub(r"\s+", " ", text)


def test_of_a_path_under_either_name(upgraded: tuple[Path, dict[str, object]]) -> None:
    """The rename is one change whichever of its names is asked for, and what lies elsewhere is not counted."""
    app, _ = upgraded
    for name in ("a", "b"):
        found = document("-C", app, "diff", "x@pre", "x@post", "--", name)
        assert {k: n for k, n in found["summary"].items() if n} == {"renamed": 1}
        assert not any(found["directories"].values())
    (app / "changed").touch()
    assert document("-C", app, "diff", "x@pre", "now", "--", "mode")["retimed"] == 0
    assert document("-C", app, "diff", "x@pre", "now", "--component", "old")["retimed"] == 0
    assert document("-C", app, "diff", "x@pre", "now", "--", "changed")["retimed"] == 1


def test_a_snapshot_counts_for_who_reads_it(tmp_path: Path, gitsnap_home: Path) -> None:
    """What takes longer than the snapshot itself is left out where it goes nowhere, and told in a document."""
    app = tmp_path / "app"
    (app / "v1").mkdir(parents=True)
    for number in range(101):
        (app / f"v1/{number}").write_text(TEXT + f"{number}\n")
    run_gitsnap("-C", app, "snapshot")
    (app / "v1").rename(app / "v2")
    for number in range(101):
        (app / f"v2/{number}").write_text(TEXT + f"{number} is another\n")
    taken = run_gitsnap("-C", app, "snapshot", "--label", "piped")
    assert re.search(r"^101 files, [\d.]+ kB in ", taken.stderr, re.M)
    line = document("-C", app, "audit")["audit"][-1]
    assert line["command"] and "new_files" not in line["counts"]
    (app / "v2/0").unlink()
    assert "1 removed" in run_gitsnap("-C", app, "snapshot").stderr
    (app / "v2").rename(app / "v3")
    for number in range(1, 101):
        (app / f"v3/{number}").write_text(TEXT + f"{number} is a third\n")
    assert document("-C", app, "snapshot")["summary"]["renamed"] == 100
