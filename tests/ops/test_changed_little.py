"""A snapshot of what little has changed says exactly what a scan of everything says."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gitsnap.core.content import Digesting
from gitsnap.core.errors import IntegrityError
from gitsnap.core.manifest import format_manifest
from gitsnap.core.model import Kind, Type
from gitsnap.core.mtree import format_metadata
from gitsnap.core.statcache import Packed
from gitsnap.installation.scan import unchanged
from gitsnap.installation.scan.scanner import Scanner, ScanOptions
from gitsnap.ops.capture import changed
from gitsnap.ops.capture.request import Captured, Request
from gitsnap.ops.compare import live_changes
from gitsnap.ops.compare.diff import NOW, diff
from gitsnap.ops.live import exclusions
from gitsnap.sidecar import contents
from gitsnap.sidecar.git import trees
from tests.support.inprocess import Protected, workspace

NAMES = ["a", "b", "c.log", "dir", "dir.d", "dir-1", "\\x", "é", " ", ".git", ".gitattributes", "%2Egit", "left out"]
LONG_AGO = 1_600_000_000_123_456_789


@pytest.fixture
def place() -> Iterator[Protected]:
    with workspace() as where:
        app = where / "app"
        for n in range(60):
            file = app / f"{n % 4}/{n % 3}/f{n}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"content %d" % n)
        (app / ".gitsnapignore").write_text("left out\n")
        (app / "what*ever").write_bytes(b"a pattern")
        os.link(app / "0/0/f0", app / "0/twin")
        os.setxattr(app / "1", "user.note", b"x")
        time.sleep(0.07)
        with Protected(app, where / "home") as protected:
            protected.take()
            yield protected


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each snapshot for which that was tried was taken without a scan."""
    genuine, seen = changed.take, list[bool]()

    def take(*args: object) -> Captured | None:
        taken = genuine(*args)  # type: ignore[arg-type]
        seen.append(taken is not None)
        return taken

    monkeypatch.setattr(changed, "take", take)
    return seen


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """The same of comparisons."""
    genuine, seen = live_changes.since, list[bool]()

    def since(*args: object) -> object:
        found = genuine(*args)  # type: ignore[arg-type]
        seen.append(found is not None)
        return found

    monkeypatch.setattr(live_changes, "since", since)
    return seen


def as_scanned(place: Protected, taken: Captured) -> None:
    """Texts, trees, counts and stat cache are those that a scan without any cache gives."""
    snapshot = taken.snapshot
    rules = exclusions.current(str(place.root), place.settings)
    options = ScanOptions(excludes=exclusions.as_predicate(rules))
    found = Scanner(str(place.root), Digesting(), options).run().inventory
    found.rules = list(rules.rules)
    held = (contents.manifest_text(place.sidecar, snapshot), contents.metadata_text(place.sidecar, snapshot))
    assert held == (format_manifest(found), format_metadata(found))
    assert snapshot.tree == trees.identify(found.entries).hex()
    assert (snapshot.files, snapshot.bytes) == (len(found.files()), sum(e.size for e in found.files()))
    cache = place.sidecar.load_cache()
    assert isinstance(cache.rows, Packed)
    assert len(cache.rows.items()) == len(cache.rows) == len(found.entries)
    below = trees.walk(place.sidecar.objects, [bytes.fromhex(snapshot.tree)])
    assert set(cache.trees) == {oid for oid, _, _ in below}
    assert len(cache.trees) == len(trees.build(found.entries, lambda data: data[:1])[1])


def edit(dice: random.Random, app: Path) -> None:
    """Change something: anywhere, to anything."""
    there = [p for p in app.rglob("*") if p.name != ".gitsnapignore"]
    one = dice.choice(there)
    folder = one if one.is_dir() and not one.is_symlink() else one.parent
    new = folder / dice.choice(NAMES)
    what = dice.randrange(8)
    if what == 0 and not one.is_dir():
        one.unlink()
    elif what == 1 and one.is_dir() and not one.is_symlink() and len(there) > 40:
        shutil.rmtree(one)
    elif what == 2:
        os.utime(one, ns=(LONG_AGO, LONG_AGO + dice.randrange(100)), follow_symlinks=False)
    elif what == 3 and not one.is_symlink():
        os.setxattr(one, "user.note", dice.randbytes(2))
    elif what == 4 and one.is_file():
        one.write_bytes(dice.randbytes(dice.choice((0, 10, 5000))))
    elif not os.path.lexists(new):
        if what == 5:
            (new / "deeper").mkdir(parents=True)
            (new / "deeper/f").write_bytes(b"new")
        elif what == 6:
            new.symlink_to("anywhere")
        else:
            new.write_bytes(b"content %d" % dice.randrange(60))


def told(place: Protected, *, entries: bool) -> tuple[object, ...]:
    """What a comparison of the newest snapshot with the directory says, contents included."""
    found, held = diff(place.sidecar, "latest", NOW, place.settings, entries=entries)
    changes = [replace(c.old, oid=None) if c.old else None for c in found.comparison.changes]
    patches = [(p.head, p.hunks, p.notes, p.aside) for p in held.patch(found.comparison.changes)]
    return (
        [(c.path, c.status, c.old_path, c.what, c.similarity, c.new) for c in found.comparison.changes],
        changes,
        [c.path for c in found.retimed],
        found.partial,
        found.beyond,
        patches,
    )


@pytest.mark.parametrize("seed", range(3))
def test_as_if_all_had_been_read(place: Protected, quick: list[bool], compared: list[bool], seed: int) -> None:
    dice = random.Random(seed)
    for turn in range(14):
        for _ in range(dice.randrange(1, 4)):
            edit(dice, place.root)
        assert told(place, entries=False) == told(place, entries=True)
        taken = place.take(Request(kind=dice.choice((Kind.MANUAL, Kind.PRE))))
        as_scanned(place, taken)
        if turn % 3 == 0:
            # What had just been written has rows that never hold, and is read again.
            assert place.take().snapshot.metadata_sha256 == taken.snapshot.metadata_sha256
    assert quick.count(True) > 8
    assert compared.count(True) > 8
    assert [v.problems for v in place.verify() if v.problems] == []
    place.collect()
    place.assert_sound()


def test_counts_are_of_what_changed(place: Protected, quick: list[bool]) -> None:
    app = place.root
    (app / "1/1/f1").rename(app / "2/moved")
    (app / "1/1/f13").write_bytes(b"other")
    (app / "3/new").write_bytes(b"new")
    (app / "2/2/f2").unlink()
    taken = place.take()
    assert quick == [True]
    assert taken.counts.summary == {
        "added": 1, "removed": 1, "modified": 1, "renamed": 1, "metadata": 0, "type": 0,
    }  # fmt: skip
    assert taken.before == place.snapshots()[0].id


def another_name(app: Path) -> None:
    os.link(app / "1/1/f1", app / "1/1/again")


def one_name_less(app: Path) -> None:
    (app / "0/twin").unlink()


def pattern(app: Path) -> None:
    (app / "2/[x]").write_bytes(b"")


def another_rule(app: Path) -> None:
    (app / ".gitsnapignore").write_text("left out\nf7\n")


def journal(app: Path) -> None:
    (app / "2/a.db-wal").write_bytes(b"no database")


def many(app: Path) -> None:
    for n in range(120):
        (app / f"2/n{n}").write_bytes(b"")


@pytest.mark.parametrize("harm", [another_name, one_name_less, pattern, another_rule, journal, many])
def test_what_lines_do_not_tell_is_scanned(place: Protected, quick: list[bool], harm: Callable[[Path], None]) -> None:
    harm(place.root)
    taken = place.take()
    assert True not in quick
    rules = exclusions.current(str(place.root), place.settings)
    options = ScanOptions(excludes=exclusions.as_predicate(rules))
    found = Scanner(str(place.root), Digesting(), options).run().inventory
    found.rules = list(rules.rules)
    assert (
        contents.manifest_text(place.sidecar, taken.snapshot),
        contents.metadata_text(place.sidecar, taken.snapshot),
    ) == (format_manifest(found), format_metadata(found))


def test_a_file_that_becomes_a_directory_meanwhile(
    place: Protected, quick: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine = Scanner.only
    file = place.root / "1/1/f1"

    def only(self: Scanner, *args: object) -> object:
        file.unlink()
        file.mkdir()
        (file / "inside").write_bytes(b"x")
        return genuine(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Scanner, "only", only)
    file.write_bytes(b"changed")
    taken = place.take()
    assert quick == [False]
    held = place.inventory(taken.snapshot).by_path()
    assert held[b"1/1/f1"].type is Type.DIR
    assert b"1/1/f1/inside" in held


@pytest.mark.parametrize("ref", ["manifest", "metadata"])
def test_damaged_texts_are_told_and_written_afresh(place: Protected, quick: list[bool], ref: str) -> None:
    first = place.snapshots()[-1]
    oid = bytes.fromhex(place.git("notes", f"--ref=gitsnap/{ref}", "list", first.commit).decode().strip())
    found = place.sidecar.objects._locate(oid)
    assert found is not None
    pack, at = found
    place.sidecar.close()
    os.chmod(pack.path, 0o600)
    with open(pack.path, "r+b") as file:
        file.seek(at + 30)
        file.write(bytes(20))
    place.reopen()
    (place.root / "1/1/f1").write_bytes(b"changed")
    with pytest.raises(IntegrityError):
        diff(place.sidecar, "latest", NOW, place.settings, entries=False)
    place.reopen()
    taken = place.take()
    assert quick == [False]
    assert [v.snapshot for v in place.verify() if v.problems][:1] == [first.id]
    assert b"1/1/f1" in place.inventory(taken.snapshot).by_path()


def test_a_damaged_part_of_the_cache_is_scanned(place: Protected, quick: list[bool]) -> None:
    rows = place.sidecar.load_cache().rows
    assert isinstance(rows, Packed)
    path = place.store / "gitsnap/stat-cache"
    data = path.read_bytes()
    block = rows.raw(b"1/1")
    path.write_bytes(data.replace(block, block[:-1] + bytes([block[-1] ^ 1])))
    place.reopen()
    (place.root / "2/2/f2").write_bytes(b"changed")
    as_scanned(place, place.take())
    assert True not in quick


def test_what_is_gone_below_what_is_gone(place: Protected) -> None:
    shutil.rmtree(place.root / "1")
    (place.root / "1").write_bytes(b"a file")
    seen = unchanged.Seen(tolerant=True)
    assert unchanged.looked(str(place.root), place.sidecar.load_cache(), None, seen)
    assert seen.changed == [b"", b"1"]
    assert len([p for p in seen.gone if b"/f" in p]) == 15
    assert seen.folders == [b""]
