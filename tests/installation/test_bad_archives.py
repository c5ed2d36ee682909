"""Archives that are damaged, or made to be: told as that, whatever their readers raise."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from gitsnap.core.errors import GitsnapError
from gitsnap.installation.unpack import unpack


def _tar(path: Path, *members: tarfile.TarInfo, how: str = "w") -> None:
    with tarfile.open(path, how) as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(bytes(member.size)))


def _member(name: str, **fields: object) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(found, field, value)
    return found


def _cut(path: Path, how: str) -> None:
    _tar(path, _member("f", size=200_000), how=how)
    data = path.read_bytes()
    # The beginning, by which it is known, is whole; what follows it is not.
    path.write_bytes(data[: len(data) // 2] + b"\xff" * 9)


def _zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        info = zipfile.ZipInfo("f")
        info.extra = struct.pack("<HH", 0x5455, 5) + b"\1"
        file.writestr(info, "x" * 1000)
    data = bytearray(path.read_bytes())
    data[40:400] = bytes(360)
    path.write_bytes(data)


MADE: dict[str, Callable[[Path], None]] = {
    "a hard link to nothing": lambda p: _tar(p, _member("h", type=tarfile.LNKTYPE, linkname="../../../etc/passwd")),
    "a time that is no number": lambda p: _tar(p, _member("f", pax_headers={"mtime": "nan"})),
    "a time without an end": lambda p: _tar(p, _member("f", pax_headers={"mtime": "inf"})),
    "gzip, cut": lambda p: _cut(p, "w:gz"),
    "xz, cut": lambda p: _cut(p, "w:xz"),
    "zip with other data": _zip,
}


@pytest.mark.parametrize("what", MADE)
def test_it_is_the_archive_that_is_bad(tmp_path: Path, what: str) -> None:
    archive, folder = tmp_path / "a", tmp_path / "into"
    folder.mkdir()
    MADE[what](archive)
    with pytest.raises(GitsnapError) as failed:
        unpack(str(archive), str(folder))
    assert failed.value.kind in ("bad-archive", "no-such-copy")
    assert str(archive) in failed.value.message
