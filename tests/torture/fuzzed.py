"""Every parser of untrusted bytes under fuzzing: it returns or raises what it says it raises, and nothing else.

Coverage-guided by atheris where that is installed; by mutation alone where it is not (tests/properties has the rest).
"""

from __future__ import annotations

import hashlib
import importlib.util
import random
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gitsnap.core.errors import GitsnapError
from tests.support.inprocess import workspace
from tests.support.installation import REPOSITORY
from tests.torture.kinds import Share, Tally, kind

_MUTATIONS, _RUNS = 60_000, 300_000

Parser = Callable[[bytes], object]


def parsers(where: Path) -> dict[str, tuple[Parser, list[bytes]]]:
    """Each parser by name, with texts that it accepts. `where` is a directory for those that read files."""
    from gitsnap.config import files, tables
    from gitsnap.core import statcache, statcache_file
    from gitsnap.core.exclusion import Exclusions
    from gitsnap.core.manifest import parse_manifest
    from gitsnap.core.message import parse_message
    from gitsnap.core.mtree import parse_metadata
    from gitsnap.core.settings import Settings
    from gitsnap.sidecar.git import commits, deltas, trees
    from gitsnap.sidecar.state import seal

    def message(data: bytes) -> object:
        return parse_message(data, commit="0" * 40, tree="0" * 40, created=datetime.now(UTC), pinned=False)

    def toml(data: bytes) -> object:
        return tables.merge(Settings(zone=UTC), files._parse("a", data), "a")

    return {
        "manifest": (parse_manifest, [_MANIFEST]),
        "metadata": (parse_metadata, [_METADATA]),
        "stat cache": (_rows, [statcache_file.encode(_cache()), statcache_file.encode(statcache.StatCache())]),
        "stat cache, digest right": (lambda d: _rows(_tailed(d)), [statcache_file.encode(_cache())[:-40]]),
        "commit": (lambda d: commits.parse(d, "0" * 40), [_COMMIT]),
        "message": (message, [_COMMIT.partition(b"\n\n")[2]]),
        "tree": (lambda d: trees.parse(d, bytes(20)), [b"100644 a\0" + bytes(20) + b"40000 b\0" + bytes(20)]),
        "delta": (lambda d: deltas.apply(b"0123456789" * 20, d), [bytes([200, 1, 12, 0x90, 10, 2]) + b"ab"]),
        "seal": (lambda d: seal._parse(d, "a"), [_SEAL]),
        "exclusions": (
            lambda d: _excludes(Exclusions.parse(("a", d))),
            [b"*.log\n!/keep/[a-z]*\n/b/**/c/\n\\#x \\ \n"],
        ),
        "configuration": (toml, [b'[capture]\nexclude = ["*.log"]\n[retention]\nkeep-last = 3\nkeep-within = "3d"\n']),
        "pack index": (lambda d: _pack(where, d, _PACK), [_INDEX]),
        "pack entry": (lambda d: _pack(where, _INDEX, d), [_PACK]),
        "loose object": (lambda d: _loose(where, d), _LOOSE),
    }


def _excludes(rules: object) -> object:
    return rules.covers(b"a/b/c.log", False)  # type: ignore[attr-defined]


def _rows(data: bytes) -> object:
    """All that a stat cache tells."""
    from gitsnap.core import statcache_file

    found = statcache_file.decode(data)
    return found and (dict(found.rows.items()), list(found.rows), found.rows.get(b"d/b"))


def _tailed(data: bytes) -> bytes:
    """As if all of it but the magic led to blocks."""
    return data + struct.pack("<Q", max(len(data) - 21, 0)) + hashlib.sha256(data[21:]).digest()


def _cache() -> Any:
    from gitsnap.core.statcache import CachedImage, StatCache, key_of, row

    stat = (7, 1, 2, 3, 0o100644, 0, 0)
    rows = {n: row(key_of(*stat), content=(bytes(20), bytes(32)), sparse=False, xattrs=True) for n in (b"a", b"d/b")}
    return StatCache(
        bytes(20),
        rows,
        {b"a": (("user.a", b"value"),)},
        (bytes(20),),
        images={b"db": CachedImage(b"keys", 7, bytes(20), bytes(32))},
    )


def _pack(where: Path, index: bytes, pack: bytes) -> object:
    from gitsnap.sidecar.git.objects import ObjectStore

    folder = where / "objects/pack"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pack-a.idx").write_bytes(index)
    (folder / "pack-a.pack").write_bytes(pack)
    store = ObjectStore(str(where / "objects"))
    try:
        for oid in _OIDS:
            store.read(oid)
            b"".join(store.blob(oid))
    finally:
        store.close()
    return None


def _loose(where: Path, data: bytes) -> object:
    from gitsnap.sidecar.git.objects import ObjectStore

    path = where / "loose" / _OIDS[0].hex()[:2] / _OIDS[0].hex()[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    store = ObjectStore(str(where / "loose"))
    try:
        b"".join(store.blob(_OIDS[0]))
        store.read(_OIDS[0])
    finally:
        store.close()
    return None


def mutate(data: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    """One to four random changes."""
    out = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(out) + 1)
        how = chance.randrange(7)
        if how == 0 and out:
            out[at % len(out)] ^= 1 << chance.randrange(8)
        elif how == 1:
            out[at:at] = chance.randbytes(chance.randint(1, 8))
        elif how == 2:
            del out[at : at + chance.randint(1, 12)]
        elif how == 3:
            piece = chance.choice(others)
            start = chance.randrange(len(piece) + 1)
            out[at:at] = piece[start : start + chance.randint(1, 60)]
        elif how == 4:
            out[at:at] = chance.choice([b"\0", b"\n", b"\r", b" ", b"/", b"..", b"\\", b"0" * 30, b"9" * 25, b"\xff"])
        elif how == 5:
            out[at : at + 8] = chance.choice([0, 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1]).to_bytes(8, "little")
        else:
            del out[at:]
    return bytes(out)


def complaint(name: str, parse: Parser, data: bytes) -> str | None:
    """What is wrong about how a parser takes these bytes."""
    try:
        parse(data)
    except GitsnapError:
        return None
    except Exception as error:  # noqa: BLE001 - that is what we are looking for
        return f"{name}: {type(error).__name__}: {error} for {data[:400]!r}"
    return None


def mutated(share: Share) -> Tally:
    """Every parser on what random changes make of good texts."""
    tally = Tally()
    with workspace() as where:
        table = parsers(where)
        every = [text for _, texts in table.values() for text in texts]
        for name, (parse, texts) in table.items():
            # Some read files, and are so much slower that fewer must do.
            whole = _MUTATIONS // (10 if "pack" in name or "loose" in name else 1)
            chance = random.Random(f"{share.seed} {name}")
            for text in texts:
                if said := complaint(name, lambda d, p=parse: p(d), text):  # type: ignore[misc]
                    tally.lost.append(said)
            for _ in range(share.number(whole)):
                tally.add(complaint(name, parse, mutate(chance.choice(texts), chance, every)))
                if len(tally.lost) > 5:
                    return tally
    return tally


def guided(share: Share) -> Tally:
    """The same with atheris, which looks for inputs that reach new code; each parser in a process of its own."""
    if importlib.util.find_spec("atheris") is None:
        return Tally(note="skipped: atheris is not installed")
    tally = Tally()
    with workspace() as where:
        for name in parsers(where):
            runs = share.number(_RUNS) // (10 if "pack" in name or "loose" in name else 1)
            command = [sys.executable, "-m", "tests.torture.fuzzed", name, f"-runs={runs}", "-rss_limit_mb=2048"]
            done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, errors="replace")
            tally.points += runs
            if done.returncode:
                tally.lost.append(f"{name}: {done.stderr[-1500:]}")
    return tally


def _guide(name: str) -> None:
    import atheris  # type: ignore[import-not-found]

    with atheris.instrument_imports(include=["gitsnap"]), workspace() as where:
        parse, _ = parsers(where)[name]

        def one(data: bytes) -> None:
            if said := complaint(name, parse, data):
                raise AssertionError(said)

        atheris.Setup([sys.argv[0], *sys.argv[2:]], one)
        atheris.Fuzz()


def _entry(kind_: int, data: bytes, base: bytes = b"") -> tuple[bytes, bytes]:
    from tests.torture.forge import entry

    return entry(kind_, len(data), data, base), data


def _example_pack() -> tuple[bytes, bytes, list[bytes]]:
    """A pack with a blob, a delta on it, and a commit; its index; the ids."""
    from tests.torture.forge import Forge

    blob, other = b"0123456789" * 20, b"0123456789ab"

    def oid(kind_: bytes, data: bytes) -> bytes:
        return hashlib.sha1(b"%s %d\0" % (kind_, len(data)) + data, usedforsecurity=False).digest()

    delta = bytes([200, 1, 12, 0x90, 10, 2]) + b"ab"
    entries = [
        (oid(b"blob", blob), _entry(3, blob)[0]),
        (oid(b"blob", other), _entry(7, delta, oid(b"blob", blob))[0]),
        (oid(b"commit", _COMMIT), _entry(1, _COMMIT)[0]),
    ]
    with workspace() as where:
        (where / "objects/pack").mkdir(parents=True)
        Forge(where).pack(entries)
        pack = next((where / "objects/pack").glob("*.pack"))
        return pack.read_bytes(), pack.with_suffix(".idx").read_bytes(), [entries[0][0], entries[1][0]]


_MANIFEST = (
    b"# gitsnap manifest 1\n# files 2\n# bytes 17\n# exclude *.log\n# excluded logs/\n"
    + b"%b  app.ini\n\\%b  b\\\\c\n" % (b"0e" * 32, b"1f" * 32)
)
_METADATA = rb"""# gitsnap metadata 1
. type=dir mode=0755 uid=0 gid=0 uname=root gname=root time=1700000000.123456789
./app.ini type=file mode=0644 uid=0 gid=0 time=-1700000000.123456789 size=17
./b type=file mode=04755 uid=1 gid=2 time=1700000000.000000000 size=17
./current type=link mode=0777 uid=0 gid=0 time=1700000000.123456789 link=release-2\040
./d type=char mode=0600 uid=0 gid=0 time=1700000000.123456789 device=native,1,3
./x\052 type=fifo mode=0600 uid=0 gid=0 time=1700000000.123456789
# xattr ./app.ini user.a=aGVsbG8=
# uname ./d a\040b
# hardlink ./app.ini ./b
# sparse ./b
# partial ./app.ini changed\040while\040it\040was\040read
# skipped ./socket
"""
_COMMIT = (
    b"tree %b\nauthor gitsnap <gitsnap@localhost> 1767323045 +0100\n"
    b"committer gitsnap <gitsnap@localhost> 1767323045 +0100\n"
    b"\nmanual: a message\n\nmore of it\n\nGitsnap-Id: 2026-01-02T03-04-05Z-forged\nGitsnap-Kind: manual\n"
    b"Gitsnap-Label: forged\nGitsnap-Files: 1\nGitsnap-Bytes: 7\nGitsnap-Manifest-SHA256: %b\n"
    b"Gitsnap-Metadata-SHA256: %b\nGitsnap-Command: a\\nb\nGitsnap-Tag: t\n"
) % (b"0" * 40, b"1" * 64, b"2" * 64)
_SEAL_BODY = b"gitsnap seal 1\nsettled 0011223344556677\n%b refs/heads/timeline\n" % (b"1" * 40)
_SEAL = _SEAL_BODY + b"sha256 %b\n" % hashlib.sha256(_SEAL_BODY).hexdigest().encode()
_PACK, _INDEX, _OIDS = _example_pack()
_LOOSE = [zlib.compress(b"blob 200\0" + b"0123456789" * 20)]

fuzzed = kind("fuzzing: random changes")(mutated)
fuzzed_guided = kind("fuzzing: atheris")(guided)

if __name__ == "__main__":
    _guide(sys.argv[1])
