"""A pack from elsewhere: stock git's packs are taken with the same ids, and what git would refuse is refused."""

from __future__ import annotations

import fcntl
import hashlib
import os
import random
import struct
import subprocess
import zlib
from pathlib import Path

import pytest

from gitsnap.core.errors import IntegrityError, LockedError
from gitsnap.core.events import SILENT
from gitsnap.sidecar.git.fetch import directory
from gitsnap.sidecar.git.fetch.bundle import Bundle
from gitsnap.sidecar.git.fetch.directory import Directory
from gitsnap.sidecar.git.fetch.incoming_pack import IncomingPack

BLOB, TREE, COMMIT, TAG, OFS, REF = 3, 2, 1, 4, 6, 7


def git(*arguments: str, cwd: Path) -> str:
    """Stock git, by nobody's configuration."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    who = {f"GIT_{w}_{k}": v for w in ("AUTHOR", "COMMITTER") for k, v in (("NAME", "a"), ("EMAIL", "a@b"))}
    alone = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    return subprocess.run(
        ["git", *arguments], cwd=cwd, env=clean | who | alone, check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bare repository with chains of deltas, a loose object and a tag."""
    work = tmp_path_factory.mktemp("work")
    chance, lines = random.Random(7), [f"line {n}" for n in range(3000)]
    git("init", "-q", cwd=work)
    for number in range(12):
        lines[chance.randrange(3000)] = f"changed {number}"
        (work / "text").write_text("\n".join(lines))
        (work / f"blob{number}").write_bytes(chance.randbytes(3000))
        git("add", "-A", cwd=work)
        git("commit", "-qm", f"{number}", cwd=work)
    git("tag", "-a", "-m", "one", "v1", cwd=work)
    git("clone", "-q", "--mirror", ".", str(work / "m.git"), cwd=work)
    git("gc", "-q", cwd=work / "m.git")
    git("hash-object", "-w", str(work / "text"), cwd=work / "m.git")
    return work / "m.git"


def received(source: Directory | Bundle, scratch: Path) -> set[str]:
    """The ids of what comes from a source, as stock git finds them in the pack that was made."""
    pack = IncomingPack(str(scratch))
    source.fetch(list(source.refs.values()), [], pack, SILENT)
    source.close()
    pack.check()
    written = pack.place(str(scratch))
    index = scratch / "pack" / f"pack-{written.names[0]}.idx"
    said = git("verify-pack", "-v", str(index), cwd=scratch)
    found = {line.split()[0] for line in said.splitlines() if len(line.split()[0]) == 40}
    assert found == {oid.hex() for oid in pack.index}
    return found


def all_ids(repository: Path) -> set[str]:
    return set(git("rev-list", "--objects", "--all", "--no-object-names", cwd=repository).split())


def test_a_repository_comes_with_all_that_its_refs_lead_to(repository: Path, tmp_path: Path) -> None:
    assert received(Directory(str(repository)), tmp_path) == all_ids(repository)


def test_deltas_stay_deltas(repository: Path, tmp_path: Path) -> None:
    pack = IncomingPack(str(tmp_path))
    source = Directory(str(repository))
    source.fetch(list(source.refs.values()), [], pack, SILENT)
    source.close()
    size = sum(p.stat().st_size for p in (repository / "objects" / "pack").glob("*.pack"))
    assert pack.size <= size + 100
    pack.abandon()


def test_a_bundle_of_git_comes_whole(repository: Path, tmp_path: Path) -> None:
    git("bundle", "create", "-q", str(tmp_path / "b"), "--all", cwd=repository)
    assert received(Bundle(str(tmp_path / "b")), tmp_path) == all_ids(repository)


def test_loose_objects_come_too(tmp_path: Path) -> None:
    work = tmp_path / "w"
    work.mkdir()
    git("init", "-q", cwd=work)
    (work / "large").write_bytes(random.Random(1).randbytes(9 << 20))
    git("add", "-A", cwd=work)
    git("-c", "core.bigFileThreshold=512m", "commit", "-qm", "1", cwd=work)
    assert received(Directory(str(work / ".git")), tmp_path) == all_ids(work)


def test_what_is_damaged_over_there_is_left_out(repository: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.git"
    subprocess.run(["cp", "-r", repository, copy], check=True)
    pack = next((copy / "objects" / "pack").glob("*.pack"))
    pack.chmod(0o600)
    data = bytearray(pack.read_bytes())
    data[len(data) // 2] ^= 1
    pack.write_bytes(data)
    found = received(Directory(str(copy)), tmp_path)
    assert found < all_ids(repository)
    assert len(found) > len(all_ids(repository)) // 2


def entry(kind: int, content: bytes, base: bytes = b"", size: int | None = None) -> bytes:
    """One entry of a pack, as it should be or with another size."""
    left = len(content) if size is None else size
    head = bytearray([kind << 4 | left & 15])
    left >>= 4
    while left:
        head[-1] |= 0x80
        head.append(left & 0x7F)
        left >>= 7
    return bytes(head) + base + zlib.compress(content)


def a_pack(*entries: bytes, count: int | None = None, more: bytes = b"") -> bytes:
    body = b"PACK" + struct.pack(">LL", 2, len(entries) if count is None else count) + b"".join(entries) + more
    return body + hashlib.sha1(body, usedforsecurity=False).digest()


def oid(kind: bytes, content: bytes) -> bytes:
    return hashlib.sha1(b"%s %d\0%s" % (kind, len(content), content), usedforsecurity=False).digest()


BASE = b"some text that others are made of\n" * 20
# Of BASE, its first sixteen bytes: sizes, then a copy of 16 from 0.
DELTA = bytes([0x80 | len(BASE) & 0x7F, len(BASE) >> 7, 16, 0x90, 16])
GOOD = b"100644 a\0" + oid(b"blob", BASE)
COMMITTED = b"tree %s\nauthor a <a@b> 1 +0000\ncommitter a <a@b> 1 +0000\n\nm\n" % oid(b"tree", GOOD).hex().encode()

REFUSED = {
    "nothing": b"",
    "no pack": b"PACX" + b"\0" * 40,
    "of another version": b"PACK" + struct.pack(">LL", 9, 0) + b"\0" * 20,
    "cut off": a_pack(entry(BLOB, BASE))[:-25],
    "another checksum": a_pack(entry(BLOB, BASE))[:-1] + b"x",
    "more than it says": a_pack(entry(BLOB, BASE), more=entry(BLOB, b"x")),
    "less than it says": a_pack(entry(BLOB, BASE), count=2),
    "longer than it claims": a_pack(entry(BLOB, BASE, size=5)),
    "shorter than it claims": a_pack(entry(BLOB, BASE, size=5000)),
    "a bomb": a_pack(entry(BLOB, b"\0" * (1 << 20), size=16)),
    "a huge tree": a_pack(entry(TREE, b"", size=1 << 40)),
    "a huge commit": a_pack(entry(COMMIT, b"", size=1 << 30)),
    "a huge delta": a_pack(entry(BLOB, BASE), entry(REF, b"", oid(b"blob", BASE), size=1 << 40)),
    "a delta that makes too much": a_pack(
        entry(BLOB, BASE), entry(REF, DELTA[:2] + b"\xff\xff\xff\xff\x07" + DELTA[3:], oid(b"blob", BASE))
    ),
    "a delta of what is not there": a_pack(entry(REF, DELTA, b"\1" * 20)),
    "a delta of itself": a_pack(entry(OFS, DELTA, b"\0")),
    "a delta of before the beginning": a_pack(entry(OFS, DELTA, b"\x7f")),
    "deltas in a circle": a_pack(entry(REF, DELTA, b"\2" * 20), entry(REF, DELTA, b"\3" * 20)),
    "a delta that reaches beyond": a_pack(
        entry(BLOB, BASE), entry(REF, DELTA[:3] + b"\xb0\xff\xff", oid(b"blob", BASE))
    ),
    "an unknown type": a_pack(entry(5, BASE)),
    "no deflated data": a_pack(b"\x31" + b"\xff" * 30),
    "a tree out of order": a_pack(entry(TREE, b"100644 b\0" + b"\1" * 20 + GOOD)),
    "a name twice": a_pack(entry(TREE, GOOD + GOOD)),
    "an odd mode": a_pack(entry(TREE, b"100664 a\0" + b"\1" * 20)),
    "a submodule": a_pack(entry(TREE, b"160000 a\0" + b"\1" * 20)),
    "a way up": a_pack(entry(TREE, b"40000 ..\0" + b"\1" * 20)),
    "a .git": a_pack(entry(TREE, b"40000 .GIT\0" + b"\1" * 20)),
    "a slash": a_pack(entry(TREE, b"100644 a/b\0" + b"\1" * 20)),
    "no commit": a_pack(entry(COMMIT, b"tree nothing\n")),
    "a commit with a NUL in its head": a_pack(entry(COMMIT, COMMITTED.replace(b"author a", b"author\n\0"))),
    "no tag": a_pack(entry(TAG, b"object nothing\n")),
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_proper_pack_is_refused(tmp_path: Path, data: bytes) -> None:
    pack = IncomingPack(str(tmp_path))
    pack.write(data)
    with pytest.raises(IntegrityError):
        pack.check()
    pack.abandon()
    assert not list(tmp_path.iterdir())


def test_a_proper_one_of_the_same_make_is_taken(tmp_path: Path) -> None:
    pack = IncomingPack(str(tmp_path))
    base = oid(b"blob", BASE)
    pack.write(a_pack(entry(REF, DELTA, base), entry(BLOB, BASE), entry(TREE, GOOD), entry(COMMIT, COMMITTED)))
    pack.check()
    made = oid(b"blob", BASE[:16])
    assert set(pack.index) == {base, made, oid(b"tree", GOOD), oid(b"commit", COMMITTED)}
    pack.abandon()


def test_a_repository_by_another_hash_is_told(tmp_path: Path) -> None:
    git("init", "-q", "--bare", "--object-format=sha256", "s.git", cwd=tmp_path)
    from gitsnap.core.errors import GitsnapError

    with pytest.raises(GitsnapError, match="sha256") as told:
        Directory(str(tmp_path / "s.git"))
    assert told.value.kind == "object-format"


def test_a_gc_that_is_at_work_is_waited_for(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "copy.git"
    subprocess.run(["cp", "-r", repository, copy], check=True)
    (copy / "gitsnap").mkdir()
    lock = copy / "gitsnap" / "objects.lock"
    lock.touch()
    before = lock.stat()
    with lock.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        monkeypatch.setattr(directory, "_PATIENCE", 0.0)
        with pytest.raises(LockedError):
            Directory(str(copy))
        fcntl.flock(held, fcntl.LOCK_UN)
        with Directory(str(copy)), pytest.raises(BlockingIOError):
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert lock.stat().st_mtime_ns == before.st_mtime_ns
