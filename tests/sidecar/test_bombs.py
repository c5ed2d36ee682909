"""What is small in a sidecar from elsewhere, and comes to very much: refused by name, with 12."""

from __future__ import annotations

import hashlib
import os
import zlib
from pathlib import Path

import pytest

from gitsnap.core.errors import IntegrityError
from gitsnap.sidecar.git.loose_objects import loose_stream
from gitsnap.sidecar.repository import Sidecar
from tests.support.installation import run_gitsnap, sidecar_of, take_snapshot
from tests.torture import forge
from tests.torture.forge import DIR, FILE, Forge, Forged, a_file, listing, meta

_X = b"content"


@pytest.fixture
def forged(installation: Path) -> Forge:
    take_snapshot(installation)
    store = sidecar_of(installation)
    forge.clear(store)
    return Forge(store)


def plain(f: Forge, tree: bytes | None = None, files: int = 1) -> Forged:
    root = f.tree((FILE, b"a", f.blob(_X))) if tree is None else tree
    return Forged(root, listing({"a": _X}), meta(a_file("a", 7)), files, 7)


@pytest.mark.parametrize("files", [1, 10**10])
def test_a_tree_that_repeats_itself(installation: Path, forged: Forge, files: int) -> None:
    row = (FILE, b"x", forged.blob(_X))
    for _ in range(10):
        row = (DIR, b"d", forged.tree(*[(row[0], b"%02d" % n, row[2]) for n in range(10)]))
    plain(forged, row[2], files).write(forged)
    said = run_gitsnap("-C", installation, "search", "content", check=12).stderr
    assert forge.ID in said
    assert "its tree comes to 11111111110 entries, its metadata say 2" in said


def test_a_large_tree_that_is_what_its_metadata_say(installation: Path) -> None:
    for top in range(10):
        for name in range(40):
            path = installation / f"many/{top}/{name}"
            path.mkdir(parents=True)
            (path / "f").symlink_to("x")
    take_snapshot(installation)
    from gitsnap.sidecar import limits

    patch = pytest.MonkeyPatch()
    with patch.context() as m:
        from gitsnap.sidecar import catalog
        from gitsnap.sidecar.repository import Sidecar
        from gitsnap.sidecar.walk_snapshots import walk

        m.setattr(limits, "WALKED", 100)
        m.setattr(limits, "entries_of", lambda files: 100)
        with Sidecar(str(sidecar_of(installation))) as sidecar:
            found = list(walk(sidecar, catalog.snapshots(sidecar), lambda _: True))
    assert sum(h.path.startswith(b"many/") for h in found) == 400


@pytest.mark.parametrize("which", ["manifest", "metadata"])
def test_a_text_that_deflates_to_a_thousandth(installation: Path, forged: Forge, which: str) -> None:
    made, text = plain(forged), b"\n" * (66 << 20)
    if which == "manifest":
        made.manifest = text
    else:
        made.metadata = text
    made.write(forged)
    for command in ("show", "ls latest", "verify", "rollback -n"):
        done = run_gitsnap("-C", installation, *command.split(), check=12)
        assert "claims 69206016 bytes" in done.stdout + done.stderr


def test_a_message_of_many_megabytes(installation: Path, forged: Forge) -> None:
    made = plain(forged)
    made.message = "manual: x\n\n" + "x\n" * (10 << 20)
    made.write(forged)
    assert "claims" in run_gitsnap("-C", installation, "list", check=12).stderr


FILES = ("gitsnap.toml", "gitsnap/seal", "packed-refs", "config", "gitsnap/journal.prepared", "gitsnap/underway")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["huge", "pipe"])
def test_a_file_that_is_no_file_of_ours(installation: Path, name: str, kind: str) -> None:
    take_snapshot(installation)
    path = sidecar_of(installation) / name
    path.unlink(missing_ok=True)
    if kind == "huge":
        with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "wb") as file:
            file.truncate(1 << 42)
    else:
        os.mkfifo(path, 0o600)
    for command in ("list", "status", "verify --all", "rollback -n"):
        done = run_gitsnap("-C", installation, *command.split(), check=False)
        assert done.returncode in (0, 1, 2, 3, 10, 12, 14), done
        assert "bug" not in done.stderr


def test_a_delta_to_more_than_a_tree_can_be(installation: Path, forged: Forge) -> None:
    base = forged.blob(b"x" * (1 << 16))
    size = 257 << 20
    varint = bytearray()
    for number in (1 << 16, size):
        while number > 0x7F:
            varint.append(number & 0x7F | 0x80)
            number >>= 7
        varint.append(number)
    delta = bytes(varint) + b"\x80" * (size >> 16)
    text, digest = b"x" * size, hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    digest.update(text)
    forged.pack([(digest.digest(), forge.entry(7, len(delta), delta, base))])
    made = plain(forged)
    made.manifest = text
    made.write(forged)
    assert f"makes {size} bytes" in run_gitsnap("-C", installation, "show", check=12).stderr


@pytest.mark.parametrize("packed", [True, False])
def test_what_says_to_be_a_commit_is_no_larger_than_one_whoever_asks(
    installation: Path, forged: Forge, packed: bool
) -> None:
    size = 20 << 20
    content = bytes(size)
    oid = hashlib.sha1(b"commit %d\0" % size + content, usedforsecurity=False).digest()
    if packed:
        forged.pack([(oid, forge.entry(1, size, content))])
    else:
        forged.object(b"commit", content)
    with Sidecar(str(forged.store)) as sidecar:
        assert not sidecar.objects.readable(oid)
        with pytest.raises(IntegrityError, match=f"claims {size} bytes"):
            sidecar.objects.read(oid)


def test_a_loose_blob_is_read_no_further_than_it_says(tmp_path: Path) -> None:
    file = tmp_path / "loose"
    for claimed, held in ((7, 1 << 23), (3 << 20, (3 << 20) + 1)):
        file.write_bytes(zlib.compress(b"blob %d\0" % claimed + bytes(held), 1))
        found = loose_stream(str(file), bytes(20))
        assert found is not None
        got = 0
        with pytest.raises(IntegrityError, match=f"more than the {claimed} bytes it claims"):
            for piece in found[0]:
                got += len(piece)
        assert got <= claimed
