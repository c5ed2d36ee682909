"""What is kept aside never takes the place of what was kept before it."""

from __future__ import annotations

import os
from pathlib import Path

from gitsnap.installation.apply.conflicts import copy_aside


def test_two_versions_of_one_path(tmp_path: Path) -> None:
    """A link, a directory and two files that had one path in turn are all kept, each under a name of its own."""
    (tmp_path / "0").symlink_to("elsewhere")
    (tmp_path / "1").mkdir()
    (tmp_path / "1/f").write_text("in it")
    (tmp_path / "2").write_text("first")
    (tmp_path / "3").write_text("second")
    there = tmp_path / "kept"
    stage = os.open(tmp_path, os.O_RDONLY)
    try:
        names = [copy_aside(stage, b"%d" % n, str(there), b"a/d") for n in range(4)]
        below = copy_aside(stage, b"3", str(there), b"a/d/f")
    finally:
        os.close(stage)
    assert names == [str(there / p) for p in ("a/d", "also-1/a/d", "also-2/a/d", "also-3/a/d")]
    assert os.readlink(names[0]) == "elsewhere"
    assert Path(names[1], "f").read_text() == "in it"
    assert [Path(n).read_text() for n in names[2:]] == ["first", "second"]
    # `a/d` is a link there, and nothing is written through it.
    assert below == str(there / "also-4/a/d/f")
    assert Path(below).read_text() == "second"
