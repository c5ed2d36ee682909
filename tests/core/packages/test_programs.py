"""Programs that tell which modules are in them: Go's, and Rust's by cargo-auditable."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import pytest

from tests.support.package_trees import compared, told

START, END = (bytes.fromhex(h) for h in ("3077af0c9274080241e1c107e6d618e6", "f932433186182072008242104116d8f2"))


def elf(name: bytes, content: bytes, *, wide: bool = True, order: str = "<") -> bytes:
    """A program with one section beside that of the names."""
    names = b"\0" + name + b"\0.shstrtab\0"
    head = 64 if wide else 52
    offsets = head, head + len(content)
    sections = [(0, 0, 0), (1, offsets[0], len(content)), (len(name) + 2, offsets[1], len(names))]
    table = b"".join(
        struct.pack(order + ("IIQQQQIIQQ" if wide else "IIIIIIIIII"), label, 1, 0, 0, at, size, 0, 0, 1, 0)
        for label, at, size in sections
    )
    start = offsets[1] + len(names)
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2, 1]) + bytes(9)
    size = 64 if wide else 40
    header = struct.pack(
        order + ("HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH"), 2, 62, 1, 0, 0, start, 0, head, 0, 0, size, 3, 2
    )
    return ident + header + content + names + table


def go(version: str, dependency: str, more: str = "", **form: object) -> bytes:
    told = (
        f"path\texample.org/tool\nmod\texample.org/tool\t{version}\th1:x=\n"
        f"dep\tgolang.org/x/net\t{dependency}\th1:y=\n{more}\n"
    )
    info = START + told.encode() + END
    strings = b"".join(_varint(len(s)) + s for s in (b"go1.22.1", info))
    return elf(b".go.buildinfo", (b"\xff Go buildinf:") + bytes([8, 2]) + bytes(16) + strings, **form)  # type: ignore[arg-type]


def _varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out, number = out + bytes([number & 0x7F | 0x80]), number >> 7
    return out + bytes([number])


def rust(version: str, crate: str) -> bytes:
    packages = [
        {"name": "tool", "version": version, "source": "local", "root": True},
        {"name": "serde", "version": crate, "source": "crates.io"},
        {"name": "cc", "version": crate, "source": "crates.io", "kind": "build"},
    ]
    return elf(b".dep-v0", zlib.compress(json.dumps({"packages": packages}).encode()))


@pytest.mark.parametrize("form", [{}, {"wide": False}, {"order": ">"}, {"wide": False, "order": ">"}])
def test_a_program_in_go(form: dict[str, object]) -> None:
    old, new = {"bin/tool": go("v1.9.0", "v0.20.0", **form)}, {"bin/tool": go("v1.10.0", "v0.20.1", **form)}
    found = compared(old, new)
    assert told(found.changes) == [
        "go example.org/tool v1.9.0 > v1.10.0 up",
        "go golang.org/x/net v0.20.0 > v0.20.1 up vendored in example.org/tool",
    ]
    assert found.within == {b"bin/tool"}


def test_a_program_in_rust() -> None:
    found = compared({"bin/tool": rust("1.0.0", "1.0.190")}, {"bin/tool": rust("0.9.0", "1.0.200")})
    assert told(found.changes) == ["cargo serde 1.0.190 > 1.0.200 up vendored in tool", "cargo tool 1.0.0 > 0.9.0 down"]


def test_programs_that_say_nothing_or_nonsense() -> None:
    cut = [go("v1.0.0", "v1.0.0")[:n] for n in (4, 20, 64, 100, 300)]
    cut += [
        elf(b".go.buildinfo", (b"\xff Go buildinf:\x08\x02") + bytes(16) + b"\xff" * 40),
        elf(b".dep-v0", b"x"),
        elf(b".text", b""),
    ]
    files = {f"bin/p{n}": data for n, data in enumerate(cut)}
    assert not compared({}, files).changes


@pytest.mark.parametrize(("told_by", "version"), [
    ('build\t-ldflags="-X \\"example.org/tool/cli.Version=28.2.2\\" -s"', "28.2.2"),
    ("build\t-ldflags=-X main.version=v3.1 -s", "v3.1"),
    ("build\tvcs.revision=0123456789abcdef0123456789abcdef01234567", "0123456789ab"),
])  # fmt: skip
def test_a_program_built_in_its_own_checkout(told_by: str, version: str) -> None:
    data = go("(devel)", "v1.0.0", more=told_by)
    assert told(compared({}, {"bin/tool": data}).changes)[0] == f"go example.org/tool - > {version} new"


def test_a_real_program_in_go() -> None:
    program = shutil.which("docker") or shutil.which("gh") or shutil.which("kubectl")
    data = Path(program).read_bytes() if program else b""
    if b"\xff Go buildinf:" not in data or len(data) > 128 << 20:
        pytest.skip("no program in Go is installed that tells its version")
    (found,) = [p for p in compared({}, {"bin/tool": data}).changes if p.kind == "installed"]
    assert program is not None
    said = subprocess.run([program, "--version"], capture_output=True, check=True, text=True).stdout
    assert found.new is not None
    assert found.new.lstrip("v") in said
