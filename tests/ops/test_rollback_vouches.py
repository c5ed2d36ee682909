"""After a rollback the stat cache stands for the whole directory: the next snapshot only looks, and misses nothing."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gitsnap.core.events import SILENT, Silent
from gitsnap.core.model import Kind, Snapshot, Type
from gitsnap.core.statcache import StatCache
from gitsnap.ops.capture import reuse
from gitsnap.ops.capture.request import Capture, Request
from gitsnap.ops.live import exclusions
from gitsnap.ops.restore import rollback
from gitsnap.ops.restore.result import Restored
from gitsnap.ops.restore.rollback import RollbackOptions
from gitsnap.sidecar.git import trees
from tests.support.inprocess import Protected, workspace


@pytest.fixture
def place() -> Iterator[Protected]:
    with workspace() as top:
        (top / "app/lib/deep").mkdir(parents=True)
        for number in range(12):
            (top / f"app/lib/{number}").write_text(f"{number}\n" * 9)
        (top / "app/lib/deep/link").symlink_to("../3")
        os.link(top / "app/lib/4", top / "app/lib/deep/four")
        (top / "app/.gitsnapignore").write_text("*.log\n")
        with Protected(top / "app", top / "home") as found:
            found.keep(keep_last=100)
            yield found


def brought_back(place: Protected, *, sqlite: bool = True) -> Snapshot:
    """A rollback that writes, removes, makes, retimes and changes a mode, with databases as images or not; the snapshot
    that is there again."""
    root = place.root
    first = place.take().snapshot
    (root / "lib/1").write_text("another\n")
    (root / "lib/2").unlink()
    (root / "added").mkdir()
    os.utime(root / "lib/5")
    (root / "lib/deep").chmod(0o700)
    place.take()
    place.settings = replace(place.settings, sqlite=sqlite)
    assert back(place, first.id).verified
    return first


class Later(Silent):
    """The last look comes when a change of what was put in place just now shows in its times."""

    def started(self, phase: str, files: int | None = None, size: int | None = None) -> None:
        if phase == "checking":
            time.sleep(0.06)


def back(place: Protected, to: str) -> Restored:
    return rollback.rollback(place.sidecar, to, place.settings, RollbackOptions(place.now, observer=Later()))


def unchanged(place: Protected) -> bool:
    """Whether a look alone shows that nothing has changed."""
    rules = exclusions.current(str(place.root), place.settings)
    predicate = exclusions.as_predicate(rules)
    capture = Capture(place.sidecar, Request(), place.settings, place.now, SILENT, list(rules.rules), predicate)
    return reuse.left_out_unchanged(capture, place.sidecar.load_cache()) is not None


def assert_as_read_anew(place: Protected) -> None:
    """The next snapshot says what one says of which nothing was known."""
    taken = place.take().snapshot
    place.sidecar.save_cache(StatCache())
    anew = place.take().snapshot
    assert (taken.tree, taken.manifest_sha256) == (anew.tree, anew.manifest_sha256)
    assert taken.metadata_sha256 == anew.metadata_sha256


def test_the_next_snapshot_only_looks(place: Protected) -> None:
    for _ in range(2):
        first = brought_back(place)
        place.reopen()
        assert unchanged(place)
        cache = place.sidecar.load_cache()
        assert set(cache.trees) == {oid for oid, _, _ in trees.walk(place.sidecar.objects, [bytes.fromhex(first.tree)])}
        assert_as_read_anew(place)
        place.assert_sound()


def test_attributes_of_what_was_set_right_last_are_known(place: Protected) -> None:
    """The safety snapshot of the next rollback is made of what the cache tells."""
    (place.root / "lib/deep/four").unlink()
    for folder in ("", "lib", "lib/deep"):
        os.setxattr(place.root / folder, "user.kept", b"1")
    first = place.take().snapshot
    (place.root / "lib/1").write_text("another\n")
    second = place.take().snapshot
    # At once: directories are set right too late for the last look.
    assert place.rollback(first.id).verified
    place.rollback(second.id)
    safety = next(s for s in reversed(place.snapshots()) if s.kind is Kind.SAFETY)
    held = {e.path: e.xattrs for e in place.inventory(safety).entries if e.type is Type.DIR}
    assert held == dict.fromkeys((b"", b"lib", b"lib/deep"), (("user.kept", b"1"),))
    assert safety.metadata_sha256 == first.metadata_sha256


def test_so_does_it_after_an_undo(place: Protected) -> None:
    brought_back(place)
    back(place, next(s.id for s in reversed(place.snapshots()) if s.kind is Kind.SAFETY))
    assert unchanged(place)
    assert_as_read_anew(place)


def _new_socket(root: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(root / "lib/socket"))


CHANGES: dict[str, Callable[[Path], object]] = {
    "mode of the root": lambda root: root.chmod(0o711),
    "time of the root": lambda root: os.utime(root, ns=(1, 1)),
    "attribute of the root": lambda root: os.setxattr(root, "user.new", b"1"),
    "mode of a file": lambda root: (root / "lib/7").chmod(0o640),
    "one byte, same size and time": lambda root: _overwrite(root / "lib/8"),
    "what came back": lambda root: _overwrite(root / "lib/1"),
    "what only got its time back": lambda root: _overwrite(root / "lib/5"),
    "one more file": lambda root: (root / "lib/deep/more").touch(),
    "one less": lambda root: (root / "lib/9").unlink(),
    "one more that is left out": lambda root: (root / "lib/some.log").touch(),
    "one more socket": _new_socket,
    "the rules": lambda root: (root / ".gitsnapignore").write_text("*.txt\n"),
    "a link cut": lambda root: _cut(root / "lib/4"),
}


def _overwrite(file: Path) -> None:
    was = file.stat()
    file.write_bytes(file.read_bytes()[:-2] + b"!\n")
    os.utime(file, ns=(was.st_atime_ns, was.st_mtime_ns))


def _cut(file: Path) -> None:
    was, content = file.stat(), file.read_bytes()
    file.unlink()
    file.write_bytes(content)
    os.utime(file, ns=(was.st_atime_ns, was.st_mtime_ns))


@pytest.mark.parametrize("name", CHANGES)
def test_whatever_changes_then_is_seen(place: Protected, name: str) -> None:
    brought_back(place)
    CHANGES[name](place.root)
    assert not unchanged(place)
    assert_as_read_anew(place)


def test_of_databases_the_texts_do_not_tell_all(place: Protected) -> None:
    """A snapshot that took them as any file says nothing of whether one was at work."""
    place.settings = replace(place.settings, sqlite=False)
    (place.root / "lib/data").write_bytes(b"SQLite format 3\0")
    (place.root / "lib/data-wal").write_bytes(b"a log")
    brought_back(place, sqlite=True)
    assert not unchanged(place)


def test_a_rollback_of_one_path_vouches_for_nothing_else(place: Protected) -> None:
    first = brought_back(place)
    (place.root / "lib/1").write_text("another\n")
    (place.root / "lib/3").write_text("and this\n")
    place.rollback(first.id, [b"lib/1"])
    assert not unchanged(place)
    assert_as_read_anew(place)
