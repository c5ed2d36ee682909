"""Sidecars made by hand: whatever objects, notes and refs a test wants, as an attacker would write them."""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path

ID = "2026-01-02T03-04-05Z-forged"
FILE, EXECUTABLE, LINK, DIR, GITLINK = b"100644", b"100755", b"120000", b"40000", b"160000"
_WHO = b"gitsnap <gitsnap@localhost> 1767323045 +0000"
_PLAIN = "mode=0644 uid=0 gid=0 time=1.000000000"

Row = tuple[bytes, bytes, bytes]


@dataclass
class Forge:
    """Writes loose objects and one pack into the sidecar at `store`."""

    store: Path
    packed: list[bytes] = field(default_factory=list)

    def object(self, kind: bytes, data: bytes, *, stored: bytes | None = None) -> bytes:
        """An object's id; `stored` is what really lies under it."""
        head = b"%s %d\0" % (kind, len(data))
        digest = hashlib.sha1(head, usedforsecurity=False)
        digest.update(data)
        oid = digest.digest()
        if oid not in self.packed:
            self.loose(oid, zlib.compress(head + data, 1) if stored is None else stored)
        return oid

    def loose(self, oid: bytes, raw: bytes) -> None:
        path = self.store / "objects" / oid.hex()[:2] / oid.hex()[2:]
        path.parent.mkdir(exist_ok=True, mode=0o700)
        path.write_bytes(raw)

    def blob(self, data: bytes) -> bytes:
        return self.object(b"blob", data)

    def tree(self, *rows: Row) -> bytes:
        """A tree with these (mode, name, id), in this order."""
        return self.object(b"tree", b"".join(b"%s %s\0%s" % row for row in rows))

    def pack(self, entries: list[tuple[bytes, bytes]]) -> None:
        """A pack of raw entries, each with the id that the index gives it."""
        body, offsets = b"PACK" + struct.pack(">LL", 2, len(entries)), {}
        for oid, raw in entries:
            offsets[oid] = (len(body), zlib.crc32(raw))
            body += raw
            self.packed.append(oid)
        trailer = hashlib.sha1(body, usedforsecurity=False).digest()
        oids = sorted(offsets)
        fan = [sum(o[0] <= i for o in oids) for i in range(256)]
        index = b"\377tOc" + struct.pack(">L256L", 2, *fan) + b"".join(oids)
        index += b"".join(struct.pack(">L", offsets[o][1]) for o in oids)
        index += b"".join(struct.pack(">L", offsets[o][0]) for o in oids) + trailer
        index += hashlib.sha1(index, usedforsecurity=False).digest()
        base = self.store / "objects/pack" / f"pack-{trailer.hex()}"
        base.with_suffix(".pack").write_bytes(body + trailer)
        base.with_suffix(".idx").write_bytes(index)

    def note(self, ref: str, commit: str, blob: bytes, *, tree: bytes | None = None) -> None:
        rows = self.tree((FILE, commit[2:].encode(), blob))
        root = self.tree((DIR, commit[:2].encode(), rows)) if tree is None else tree
        data = b"tree %s\nauthor %s\ncommitter %s\n\nnotes\n" % (root.hex().encode(), _WHO, _WHO)
        self.ref(f"refs/notes/gitsnap/{ref}", self.object(b"commit", data).hex())

    def ref(self, name: str, value: str) -> None:
        path = self.store / name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_text(f"{value}\n")


def entry(kind: int, size: int, data: bytes, base: bytes = b"") -> bytes:
    """A pack entry: the header with `size`, the delta's base as it is, the deflated data."""
    head = bytearray([kind << 4 | size & 15])
    size >>= 4
    while size:
        head[-1] |= 0x80
        head.append(size & 0x7F)
        size >>= 7
    return bytes(head) + base + zlib.compress(data)


def meta(*lines: str) -> str:
    """Metadata: the root, and then these lines."""
    head = "# gitsnap metadata 1\n. type=dir mode=0755 uid=0 gid=0 time=1.000000000\n"
    return head + "".join(f"{line}\n" for line in lines)


def a_file(path: str, size: int, plain: str = _PLAIN) -> str:
    return f"./{path} type=file {plain} size={size}"


def a_dir(path: str) -> str:
    return f"./{path} type=dir {_PLAIN.replace('0644', '0755')}"


def a_link(path: str, target: str) -> str:
    return f"./{path} type=link {_PLAIN.replace('0644', '0777')} link={target}"


def listing(files: dict[str, bytes], *, size: int | None = None, count: int | None = None) -> bytes:
    """A manifest of these files."""
    total = sum(map(len, files.values())) if size is None else size
    lines = [f"# gitsnap manifest 1\n# files {len(files) if count is None else count}\n# bytes {total}\n".encode()]
    lines += [f"{hashlib.sha256(d).hexdigest()}  {p}\n".encode() for p, d in files.items()]
    return b"".join(lines)


@dataclass
class Forged:
    """A snapshot as written: its root tree, texts, and counts. `message` is the commit's, where it is not the usual."""

    tree: bytes
    manifest: bytes
    metadata: str | bytes
    files: int = 1
    size: int = 0
    message: str | None = None
    raw_commit: bytes | None = None

    def write(self, forge: Forge) -> None:
        """Put it where a snapshot belongs, and take the seal away: an attacker would."""
        metadata = self.metadata if isinstance(self.metadata, bytes) else self.metadata.encode()
        texts = [hashlib.sha256(t).hexdigest() for t in (self.manifest, metadata)]
        message = self.message or (
            f"manual: forged\n\nGitsnap-Id: {ID}\nGitsnap-Kind: manual\nGitsnap-Label: forged\n"
            f"Gitsnap-Files: {self.files}\nGitsnap-Bytes: {self.size}\n"
            f"Gitsnap-Manifest-SHA256: {texts[0]}\nGitsnap-Metadata-SHA256: {texts[1]}\n"
        )
        data = b"tree %s\nauthor %s\ncommitter %s\n\n%s" % (self.tree.hex().encode(), _WHO, _WHO, message.encode())
        commit = forge.object(b"commit", self.raw_commit or data).hex()
        forge.ref(f"refs/gitsnap/snapshots/{ID}", commit)
        forge.ref("refs/heads/timeline", commit)
        forge.note("manifest", commit, forge.blob(self.manifest))
        forge.note("metadata", commit, forge.blob(metadata))
        (forge.store / "gitsnap/seal").unlink(missing_ok=True)


def clear(store: Path) -> None:
    """Take all snapshots away, and what is written down of them."""
    for top in ("refs/gitsnap", "refs/notes", "refs/heads"):
        for folder, _, names in os.walk(store / top):
            for name in names:
                Path(folder, name).unlink()
    for name in ("packed-refs", "gitsnap/register"):
        (store / name).unlink(missing_ok=True)
