"""Trees deeper than PATH_MAX and directories wider than most: captured, verified, rolled back."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gitsnap.core.model import Inventory
from gitsnap.installation.directories import Directories
from tests.support.inprocess import Protected, scan, workspace

pytestmark = pytest.mark.long

MANY = 21_000


@pytest.fixture
def where() -> Iterator[Path]:
    with workspace() as place:
        (place / "app").mkdir()
        yield place


def descend(root: Path, names: list[str], each: Callable[[int, int], None]) -> None:
    """Make a chain of directories; `each` is called with a descriptor of every one of them and its level."""
    fd = os.open(root, os.O_RDONLY)
    for level, name in enumerate(names):
        os.mkdir(name, dir_fd=fd)
        below = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
        each(fd, level)
    os.close(fd)


def write(fd: int, name: str, data: bytes) -> None:
    file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644, dir_fd=fd)
    os.write(file, data)
    os.close(file)


def contents(found: Inventory) -> dict[bytes, tuple[object, ...]]:
    return {
        e.path: (e.type, e.mode, e.mtime_ns if e.path else 0, e.size, e.target, e.sha256) for e in found.entries
    } | {b"links": tuple(found.hardlinks)}


@pytest.mark.parametrize(
    "names",
    [[f"{n:03}" + "d" * 197 for n in range(40)], ["d" * 10] * 400, ["\N{BUG}" * 60, "e" * 255] * 20],
    ids=["40 long names", "400 short names", "40 longer names"],
)
def test_trees_deeper_than_path_max_come_back(where: Path, names: list[str]) -> None:
    app = where / "app"

    def fill(fd: int, level: int) -> None:
        if level % 7 == 0 or level > len(names) - 3:
            write(fd, "f", b"level %d" % level)
            os.link("f", "twin", src_dir_fd=fd, dst_dir_fd=fd)
            os.symlink("f", "link", dir_fd=fd)

    descend(app, names, fill)
    path = b"/".join(map(os.fsencode, names))
    assert len(path) > 3_900
    with Protected(app, where / "home") as place:
        first = place.take().snapshot
        before = contents(scan(app).inventory)
        assert len(before) > len(names)
        with Directories(str(app)) as dirs:
            bottom = dirs.fd(path)
            write(bottom, "f", b"changed")
            os.unlink("link", dir_fd=bottom)
            write(bottom, "new", b"new")
            os.mkdir("newer", dir_fd=bottom)
        back = place.rollback(first.id)
        assert (back.verified, back.incomplete) == (True, [])
        assert contents(scan(app).inventory) == before
        # All of it gone, and back.
        os.rename(app / names[0], where / "away")
        back = place.rollback(first.id)
        assert (back.verified, back.incomplete) == (True, [])
        assert contents(scan(app).inventory) == before
        assert place.copy_out(first.id, where / "copy").verified
        # The other way: a rollback that removes it all.
        empty = place.rollback(back.safety.id if back.safety else "")
        assert (empty.verified, os.listdir(app)) == (True, [])
        place.assert_sound()


def test_hard_links_between_the_bottoms_of_two_deep_trees_come_back(where: Path) -> None:
    """Fetching the second directory closes all descriptors on the way to the first."""
    app = where / "app"
    for top in ("a", "b"):
        descend(app, [top] + ["d"] * 300, lambda *_: None)
    deep = {top: b"/".join([top] + [b"d"] * 300) for top in (b"a", b"b")}
    with Directories(str(app)) as dirs, Directories(str(app)) as others:
        write(dirs.fd(deep[b"a"]), "f", b"shared")
        os.link("f", "g", src_dir_fd=dirs.fd(deep[b"a"]), dst_dir_fd=others.fd(deep[b"b"]))
    with Protected(app, where / "home") as place:
        first = place.take().snapshot
        assert scan(app).inventory.hardlinks == [(deep[b"a"] + b"/f", deep[b"b"] + b"/g")]
        with Directories(str(app)) as dirs:
            for top, name in ((b"a", "f"), (b"b", "g")):
                os.unlink(name, dir_fd=dirs.fd(deep[top]))
        back = place.rollback(first.id)
        assert (back.verified, back.incomplete) == (True, [])
        assert scan(app).inventory.hardlinks == [(deep[b"a"] + b"/f", deep[b"b"] + b"/g")]


def test_descriptors_stay_few_and_right_however_many_directories(where: Path) -> None:
    app = where / "app"
    for n in range(400):
        (app / f"{n}").mkdir()
        (app / f"{n}/name").write_text(str(n))
    before = len(os.listdir("/proc/self/fd"))
    with Directories(str(app)) as dirs:
        for n in [*range(400), *range(0, 400, 7), *range(399, -1, -1)]:
            fd = os.open("name", os.O_RDONLY, dir_fd=dirs.fd(b"%d" % n))
            assert os.read(fd, 10) == b"%d" % n
            os.close(fd)
        assert len(os.listdir("/proc/self/fd")) - before < 140
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_directory_of_many_entries_comes_back(where: Path) -> None:
    """More than any of the ways to share work out needs to begin (ops.parallel: walk, read, set_times, match)."""
    app = where / "app"
    wide = app / "wide"
    wide.mkdir(parents=True)
    fd = os.open(wide, os.O_RDONLY)
    for n in range(MANY):
        os.close(os.open(f"{n:x}", os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=fd))
    for n in range(0, MANY, 50):
        write(fd, f"{n:x}", b"%d" % n)

    def look() -> dict[str, tuple[int, ...]]:
        with os.scandir(wide) as names:
            found = {n.name: n.stat(follow_symlinks=False) for n in names}
        return {name: (s.st_mode, s.st_size, s.st_mtime_ns, s.st_uid, s.st_nlink) for name, s in found.items()}

    with Protected(app, where / "home") as place:
        taken = place.take()
        assert (taken.snapshot.files, taken.partial) == (MANY, [])
        before = look()
        for n in range(0, MANY, 250):
            os.unlink(f"{n:x}", dir_fd=fd)
        for n in range(1, MANY, 250):
            write(fd, f"{n:x}", b"changed")
            write(fd, f"new {n:x}", b"new")
        os.close(fd)
        back = place.rollback(taken.snapshot.id)
        assert (back.verified, back.incomplete) == (True, [])
        assert len(back.plan.steps) < MANY // 75
    assert look() == before
    for n in range(0, MANY, 250):
        assert (wide / f"{n:x}").read_bytes() == b"%d" % n
