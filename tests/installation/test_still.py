"""Whatever differs from the last snapshot, a directory that looks unchanged is not one."""

from __future__ import annotations

import gc
import os
import shutil
import socket
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from gitsnap.core.content import Digesting
from gitsnap.core.model import Inventory
from gitsnap.installation.scan import unchanged as still
from gitsnap.installation.scan.scanner import Scanner
from gitsnap.installation.scan.unchanged import unchanged
from gitsnap.ops.live import exclusions
from tests.support.inprocess import Protected, workspace
from tests.support.installation import IS_ROOT

LONG_AGO = 1_600_000_000_123_456_789


@pytest.fixture
def place() -> Iterator[Protected]:
    with workspace() as where:
        app = where / "app"
        for path in ("f", "g", "d/e/f", "left out/x"):
            (app / path).parent.mkdir(parents=True, exist_ok=True)
            (app / path).write_bytes(b"content")
        (app / "link").symlink_to("f")
        (app / "empty").mkdir()
        os.mkfifo(app / "fifo")
        (app / ".gitsnapignore").write_text("left out/\n")
        time.sleep(0.07)
        with Protected(app, where / "home") as protected:
            protected.take()
            yield protected


def look(place: Protected) -> Inventory | None:
    rules = exclusions.current(str(place.root), place.settings)
    predicate = exclusions.as_predicate(rules)
    return unchanged(str(place.root), place.sidecar.load_cache(), list(rules.rules), predicate, restricted=bool(rules))


def test_what_did_not_change_is_seen_to_be_so(place: Protected) -> None:
    found = look(place)
    assert found is not None
    assert found.excluded == [b"left out/"]
    (place.root / "left out/x").write_bytes(b"other")
    assert look(place) is not None
    first, second = place.snapshots()[-1], place.take().snapshot
    assert (first.tree, first.manifest_sha256, first.metadata_sha256, first.files, first.bytes) == (
        second.tree,
        second.manifest_sha256,
        second.metadata_sha256,
        second.files,
        second.bytes,
    )
    assert place.inventory(first) == place.inventory(second)
    place.assert_sound()


def write(app: Path) -> None:
    (app / "d/e/f").write_bytes(b"CONTENT")
    os.utime(app / "d/e/f", ns=(LONG_AGO, LONG_AGO))


def swap(app: Path) -> None:
    (app / "f").rename(app / "h")
    (app / "g").rename(app / "f")
    (app / "h").rename(app / "g")


def bind(app: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(app / "socket"))


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": write,
    "two names swapped": swap,
    "a new file": lambda app: (app / "d/new").write_bytes(b""),
    "a new directory": lambda app: (app / "d/new").mkdir(),
    "a file gone": lambda app: (app / "g").unlink(),
    "a directory gone": lambda app: (app / "empty").rmdir(),
    "a mode": lambda app: os.chmod(app / "f", 0o600),
    "a directory's mode": lambda app: os.chmod(app / "empty", 0o700),
    "the root's mode": lambda app: os.chmod(app, 0o711),
    "a time": lambda app: os.utime(app / "f", ns=(LONG_AGO, LONG_AGO)),
    "a link's time": lambda app: os.utime(app / "link", ns=(LONG_AGO, LONG_AGO), follow_symlinks=False),
    "an attribute": lambda app: os.setxattr(app / "f", "user.note", b"x"),
    "a directory's attribute": lambda app: os.setxattr(app / "d", "user.note", b"x"),
    "another name": lambda app: os.link(app / "f", app / "d/f"),
    "another target": lambda app: ((app / "link").unlink(), (app / "link").symlink_to("g")),
    "a rule": lambda app: (app / ".gitsnapignore").write_text("left out\n"),
    "something else excluded": lambda app: (app / "d/left out").mkdir(),
    "nothing excluded any more": lambda app: shutil.rmtree(app / "left out"),
    "a socket": bind,
}
if IS_ROOT:
    CHANGES["an owner"] = lambda app: os.chown(app / "f", 4321, -1)
    CHANGES["a link's owner"] = lambda app: os.chown(app / "link", -1, 4321, follow_symlinks=False)


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_noticed_and_captured(place: Protected, what: str) -> None:
    CHANGES[what](place.root)
    assert look(place) is None
    before, after = place.snapshots()[-1], place.take().snapshot
    assert (before.manifest_sha256, before.metadata_sha256) != (after.manifest_sha256, after.metadata_sha256)
    assert not [p for verdict in [place.verify_live(after.id)] for p in verdict.problems]


def test_a_rule_of_the_configuration_counts_though_no_file_changed(place: Protected) -> None:
    place.settings = replace(place.settings, exclude=("d/",))
    assert look(place) is None
    assert b"d" not in place.inventory(place.take().snapshot).by_path()


def test_what_was_written_within_the_tick_is_not_believed(place: Protected) -> None:
    (place.root / "f").write_bytes(b"before.")
    place.take()
    assert look(place) is None


def test_names_of_owners_that_changed_are_noticed(place: Protected, monkeypatch: pytest.MonkeyPatch) -> None:
    from gitsnap.installation.scan import unchanged

    monkeypatch.setattr(unchanged, "user_name", lambda uid: "somebody-else")
    assert look(place) is None


def test_what_a_scan_found_goes_with_whoever_needed_it(place: Protected) -> None:
    """There may be a million entries, and cycles are looked for seldom."""
    scanner = Scanner(str(place.root), Digesting())
    found = weakref.ref(scanner)
    assert scanner.run().inventory.entries
    gc.disable()
    try:
        del scanner
        assert found() is None
    finally:
        gc.enable()


def test_a_directory_with_a_device_of_its_own_is_left_to_a_scan(
    place: Protected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A subvolume is in no list of mounts."""

    class Elsewhere:
        def __getattr__(self, name: str) -> object:
            return getattr(os, name)

        def fstat(self, fd: int) -> object:
            found = os.fstat(fd)
            return SimpleNamespace(**{n: getattr(found, n) for n in dir(found) if n.startswith("st_")} | {"st_dev": -1})

    (place.root / "d/new").mkdir()
    cache, seen = place.sidecar.load_cache(), still.Seen(tolerant=True)
    assert still.looked(str(place.root), cache, None, seen)
    assert b"d/new" in seen.folders
    monkeypatch.setattr(still, "os", Elsewhere())
    assert not still.looked(str(place.root), cache, None, still.Seen(tolerant=True))
