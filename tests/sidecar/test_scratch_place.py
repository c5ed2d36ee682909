"""Scratch directories outside the sidecar: gone afterwards, whatever was in them, and nothing else with them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gitsnap.sidecar import scratch_place
from tests.support.processes import in_child


@pytest.fixture
def scratch(tmp_path: Path) -> str:
    (tmp_path / "tmp").mkdir()
    return str(tmp_path / "tmp")


def fill(place: Path) -> None:
    """Closed directories, links that lead out, and names that are taken in turn when directories are moved up."""
    (place / ".1").mkdir()
    (place / ".2").write_bytes(b"")
    (place / "a/.1/b").mkdir(parents=True)
    (place / "a/.1/b/file").write_bytes(b"x")
    (place / "out").symlink_to("/etc")
    (place / "a/up").symlink_to("../..")
    os.mkfifo(place / "a/fifo")
    (place / "a/.1/b").chmod(0)
    (place / "a/.1").chmod(0o500)
    (place / "a").chmod(0o100)


def test_whatever_is_in_it_goes_with_it_and_what_it_links_to_stays(tmp_path: Path, scratch: str) -> None:
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside/file").write_bytes(b"stays")
    with scratch_place.taken(scratch, str(tmp_path)) as place:
        assert os.stat(place).st_mode & 0o777 == 0o700
        fill(Path(place))
        (Path(place) / "link").symlink_to(tmp_path / "beside")
        assert os.listdir(scratch)
        scratch_place.clear(scratch)
        assert os.path.isdir(place)
    assert not os.path.lexists(place)
    assert os.listdir(scratch) == []
    assert (tmp_path / "beside/file").read_bytes() == b"stays"


def test_a_tree_deeper_than_any_path_goes(tmp_path: Path, scratch: str) -> None:
    with scratch_place.taken(scratch, str(tmp_path)) as place:
        fd = os.open(place, os.O_RDONLY)
        for _ in range(3000):
            os.mkdir("directory", dir_fd=fd)
            below = os.open("directory", os.O_RDONLY, dir_fd=fd)
            os.close(fd)
            fd = below
        os.close(fd)
    assert not os.path.lexists(place)


def test_what_was_left_by_the_dead_is_named_and_removed(tmp_path: Path, scratch: str) -> None:
    def die() -> None:
        with scratch_place.taken(scratch, str(tmp_path)) as place:
            fill(Path(place))
            os._exit(1)

    with pytest.raises(ChildProcessError):
        in_child(die)
    (place,) = scratch_place.left(scratch)
    scratch_place.clear(scratch)
    assert not os.path.lexists(place)
    assert (scratch_place.left(scratch), os.listdir(scratch)) == ([], [])


@pytest.mark.parametrize("named", ["{}/precious", "{}/gitsnap-drill-other", "relative", ""])
def test_a_mark_that_somebody_wrote_removes_nothing(tmp_path: Path, scratch: str, named: str) -> None:
    for name in ("precious", "gitsnap-drill-other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(b"stays")
    Path(scratch, "drill-0123456789ab").write_text(named.format(tmp_path))
    scratch_place.clear(scratch)
    assert (tmp_path / "precious/file").read_bytes() == b"stays"
    assert (tmp_path / "gitsnap-drill-other/file").read_bytes() == b"stays"
