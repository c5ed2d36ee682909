"""File systems mounted inside the installation: crossed, said, and rolled back across."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gitsnap.core.model import Problem
from gitsnap.installation import mounts
from tests.support.inprocess import Protected, scan, workspace
from tests.support.installation import IS_ROOT, build_app, build_odd, copy_tree, run_gitsnap, same_tree, upgrade

pytestmark = pytest.mark.skipif(not IS_ROOT, reason="only root can mount")


class Site:
    """An installation, and mounts in it that go when the test ends."""

    def __init__(self, where: Path, stack: ExitStack) -> None:
        self.where, self._stack = where, stack
        self.app = where / "app"
        self.app.mkdir()

    def mount(self, at: str, *how: str | Path) -> Path:
        point = self.app / at
        if not point.exists():
            point.mkdir(parents=True)
        done = subprocess.run(["mount", *how, point], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
        self._stack.callback(subprocess.run, ["umount", "-l", point], check=True)
        return point

    def tmpfs(self, at: str) -> Path:
        return self.mount(at, "-t", "tmpfs", "tmpfs")

    def bind(self, at: str, source: Path) -> Path:
        return self.mount(at, "--bind", source)

    def protect(self) -> Protected:
        return self._stack.enter_context(Protected(self.app, self.where / "home"))


@pytest.fixture
def site() -> Iterator[Site]:
    with workspace() as where, ExitStack() as stack:
        yield Site(where, stack)


@pytest.mark.parametrize("kind", ["another file system", "bind mount of the same", "one in the other"])
def test_mounts_are_crossed_said_and_rolled_back(site: Site, kind: str) -> None:
    (site.where / "elsewhere").mkdir()
    if kind == "another file system":
        points = [site.tmpfs("deep/er/data")]
    elif kind == "bind mount of the same":
        points = [site.bind("deep/er/data", site.where / "elsewhere")]
    else:
        points = [site.tmpfs("deep/er/data")]
        points.append(site.bind("deep/er/data/in ner", site.where / "elsewhere"))
    for place in (site.app, *points):
        (place / "kept").write_bytes(b"as it was")
        (build_odd if place is points[-1] else build_app)(place / "tree")
    os.link(site.app / "kept", site.app / "twin")
    before = copy_tree(site.app, site.where / "before")
    protected = site.protect()
    taken = protected.take()
    names = [os.fsencode(p.relative_to(site.app)) for p in points]
    assert taken.mounts == names
    for place in (site.app, *points):
        upgrade(place / "tree")
        (place / "kept").unlink()
        (place / "new").mkdir()
        (place / "new/file").write_bytes(b"new")
    after = copy_tree(site.app, site.where / "after")
    result = protected.rollback(taken.snapshot.id)
    assert (result.verified, result.incomplete) == (True, [])
    same_tree(before, site.app)
    assert result.safety is not None
    protected.rollback(result.safety.id)
    same_tree(after, site.app)
    assert protected.take().mounts == names
    protected.assert_sound()


def test_the_command_says_what_it_crossed(site: Site) -> None:
    (site.tmpfs("data") / "f").write_bytes(b"x")
    said = run_gitsnap("-C", site.app, "snapshot", home=site.where / "home").stderr
    assert "data" in said


def test_a_mount_that_came_since_stays_and_is_named(site: Site) -> None:
    (site.app / "f").write_bytes(b"x")
    protected = site.protect()
    first = protected.take().snapshot
    point = site.tmpfs("new/data")
    (point / "g").write_bytes(b"y")
    result = protected.rollback(first.id)
    assert (result.verified, result.incomplete) == (
        True,
        [Problem(b"new/data", "is a mount point"), Problem(b"new", "holds paths that have to stay")],
    )
    assert os.listdir(point) == []
    assert point.is_mount()


def test_a_mounted_file_keeps_its_content_and_is_named(site: Site) -> None:
    """As containers mount single configuration files: a rename cannot replace them."""
    for name in ("other", "another"):
        (site.where / name).write_bytes(name.encode())
    for name in ("same", "changed", "new", "now a directory", "plain"):
        (site.app / name).write_bytes(b"first")
    (site.app / "new").unlink()
    protected = site.protect()
    (site.app / "now a directory").unlink()
    (site.app / "now a directory").mkdir()
    (site.app / "now a directory/f").write_bytes(b"f")
    site.bind("same", site.where / "another")
    first = protected.take().snapshot
    (site.app / "now a directory/f").unlink()
    (site.app / "now a directory").rmdir()
    for name in ("new", "now a directory"):
        (site.app / name).write_bytes(b"")
    (site.app / "plain").write_bytes(b"second")
    for name in ("changed", "new", "now a directory"):
        site.bind(name, site.where / "other")
    result = protected.rollback(first.id)
    assert result.verified
    assert {p.path for p in result.incomplete} == {b"changed", b"new", b"now a directory", b"now a directory/f"}
    assert (site.app / "plain").read_bytes() == b"first"
    assert (site.app / "same").read_bytes() == b"another"
    assert (site.where / "other").read_bytes() == b"other"


def test_the_kernels_list_is_read_whatever_the_names(site: Site) -> None:
    for name in ("spa ce", "back\\slash", "new\nline", "\\040", "tab\t"):
        site.tmpfs(name)
    site.tmpfs("spa ce/in")
    (site.where / "app2").mkdir()
    fd = os.open(site.app, os.O_RDONLY)
    try:
        found = mounts.below(fd)
    finally:
        os.close(fd)
    assert found == {b"spa ce", b"back\\slash", b"new\nline", b"\\040", b"tab\t", b"spa ce/in"}
    assert scan(site.app).mounts == sorted(found)


def test_what_is_in_use_is_told_of_a_directory_on_one_file_system(tmp_path: Path) -> None:
    (tmp_path / "some").write_bytes(b"x" * 10_000_000)
    found = mounts.used(str(tmp_path))
    assert found is not None and found >= 10_000_000
    assert mounts.used("/") is None, "/proc is mounted below"
    assert mounts.used(str(tmp_path / "absent")) is None
