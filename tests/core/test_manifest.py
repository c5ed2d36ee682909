"""The manifest: its exact text, what reading it refuses, and GNU sha256sum as the judge."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from gitsnap.core.errors import IntegrityError
from gitsnap.core.manifest import Manifest, changed_paths, digests_of, format_manifest, parse_manifest
from gitsnap.core.model import Entry, Inventory, Type
from gitsnap.core.stored_text import Text

EMPTY = hashlib.sha256(b"").digest()
HEX = EMPTY.hex().encode()

NASTY = [
    b"-",
    b"--help",
    b" leading",
    b"trailing ",
    b"*star",
    b"#hash",
    b"back\\slash",
    b"\\n",
    b"new\nline",
    b"carriage\rreturn",
    b"tab\t",
    b"caf\xc3\xa9",
    b"\xff\xfe",
    b"SHA256 (x) = y",
    b"dir/-",
    b"dir/\\",
    b"a" * 255,
    b".gitattributes",
    b"$(touch x)",
    b"'\"",
    b"\x1b[31m",
]


def file(path: bytes, content: bytes = b"") -> Entry:
    return Entry(path, Type.FILE, 0o644, size=len(content), sha256=hashlib.sha256(content).digest())


def text(*entries: bytes, head: bytes = b"", files: int | None = None, size: int = 0) -> bytes:
    count = len(entries) if files is None else files
    lines = [b"# gitsnap manifest 1", b"# files %d" % count, b"# bytes %d" % size]
    return b"\n".join(lines) + b"\n" + head + b"".join(entry + b"\n" for entry in entries)


def line(path: bytes) -> bytes:
    return HEX + b"  " + path


def test_the_text_is_what_the_format_says() -> None:
    inventory = Inventory(
        entries=[
            Entry(b"", Type.DIR, 0o755),
            file(b"a\nb", b"xy"),
            Entry(b"d", Type.DIR, 0o755, size=4096),
            file(b"d/c\\"),
            Entry(b"l", Type.LINK, 0o777, target=b"d"),
        ],
        rules=[b"*.log", b"a\\ ", b"!b"],
        excluded=[b"z/", b"a\r"],
    )
    assert format_manifest(inventory) == (
        b"# gitsnap manifest 1\n# files 2\n# bytes 2\n"
        b"# exclude *.log\n# exclude a\\\\ \n# exclude !b\n"
        b"# excluded a\\r\n# excluded z/\n"
        b"\\" + hashlib.sha256(b"xy").hexdigest().encode() + b"  a\\nb\n"
        b"\\" + HEX + b"  d/c\\\\\n"
    )
    assert parse_manifest(format_manifest(inventory)) == Manifest(
        files=2,
        bytes=2,
        rules=[b"*.log", b"a\\ ", b"!b"],
        excluded=[b"a\r", b"z/"],
        digests={b"a\nb": hashlib.sha256(b"xy").digest(), b"d/c\\": EMPTY},
    )


def test_nothing_but_content_and_exclusions_matters() -> None:
    one = Inventory(entries=[file(b"a"), file(b"b")])
    other = Inventory(entries=[file(b"b"), file(b"a")])
    other.entries[0].mode, other.entries[0].mtime_ns = 0o4755, 5
    assert format_manifest(one) == format_manifest(other)


def test_an_empty_tree_has_a_manifest() -> None:
    assert parse_manifest(format_manifest(Inventory())) == Manifest(0, 0, [], [], {})


@pytest.mark.parametrize("digest", [None, b"", EMPTY[:-1], EMPTY.hex().encode()])
def test_a_file_without_digest_is_refused(digest: bytes | None) -> None:
    with pytest.raises(ValueError, match="no SHA-256 for b'a'"):
        format_manifest(Inventory(entries=[Entry(b"a", Type.FILE, 0o644, sha256=digest)]))


def test_a_path_that_occurs_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        format_manifest(Inventory(entries=[file(b"a"), file(b"a")]))


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="GNU sha256sum is not installed")
def test_sha256sum_accepts_it_as_it_is(tmp_path: Path) -> None:
    root = os.fsencode(tmp_path / "tree")
    entries = []
    for path in sorted(NASTY):
        content = b"content of " + path
        os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
        Path(os.fsdecode(os.path.join(root, path))).write_bytes(content)
        entries.append(file(path, content))
    inventory = Inventory(entries=entries, rules=[b"*.o", b"new\nline"], excluded=[b"x/", b"y\\"])
    manifest = tmp_path / "manifest"
    manifest.write_bytes(format_manifest(inventory))
    check = ["sha256sum", "--strict", "--quiet", "-c", str(manifest)]
    done = subprocess.run(check, cwd=root, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")

    for path in NASTY:
        with open(os.path.join(root, path), "r+b") as handle:
            handle.write(b"X")
    done = subprocess.run(check, cwd=root, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert done.returncode == 1
    assert b"%d computed checksums did NOT match" % len(NASTY) in done.stderr


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="GNU sha256sum is not installed")
def test_entries_are_byte_for_byte_what_sha256sum_prints(tmp_path: Path) -> None:
    names = [name for name in NASTY if name != b"-" and b"/" not in name]
    for name in names:
        (tmp_path / os.fsdecode(name)).write_bytes(name)
    printed = subprocess.run(["sha256sum", "--", *sorted(names)], cwd=tmp_path, capture_output=True, check=True).stdout
    ours = format_manifest(Inventory(entries=[file(name, name) for name in sorted(names)]))
    assert ours.split(b"\n", 3)[3] == printed


@pytest.mark.parametrize(
    ("data", "number", "why"),
    [
        (b"", 1, "not a gitsnap manifest"),
        (b"\n", 1, "not a gitsnap manifest"),
        (b"# gitsnap manifest\n", 1, "not a gitsnap manifest"),
        (b"# gitsnap manifest 01\n", 1, "not a gitsnap manifest"),
        (b"# gitsnap manifest 0\n", 1, "no format version 0"),
        (b"# gitsnap manifest 1\n", 2, "# files"),
        (b"# gitsnap manifest 1\n# files 0\n", 3, "# bytes"),
        (b"# gitsnap manifest 1\n# files 00\n# bytes 0\n", 2, "# files"),
        (b"# gitsnap manifest 1\n# files 0\n# bytes -1\n", 3, "# bytes"),
        (b"# gitsnap manifest 1\n# files 0\n# bytes " + b"9" * 5000 + b"\n", 3, "# bytes"),
        (text(line(b"a"))[:-1], 4, "final newline"),
        (text(line(b"a"), files=2), 2, "2 files announced, 1 listed"),
        (text(size=5), 3, "bytes without files"),
        (text(head=b"# unknown x\n"), 4, "not a digest"),
        (text(head=b"#\n"), 4, "not a digest"),
        (text(head=b"# excluded a\n# exclude a\n"), 5, "not a digest"),
        (text(head=b"# exclude a\\\n"), 4, "malformed escape"),
        (text(head=b"# exclude a\\t\n"), 4, "malformed escape"),
        (text(head=b"# exclude a\rb\n"), 4, "malformed escape"),
        (text(head=b"# excluded ../a\n"), 4, "unsafe path"),
        (text(head=b"# excluded /\n"), 4, "unsafe path"),
        (text(head=b"# excluded b\n# excluded a\n"), 5, "not sorted"),
        (text(line(b"a"), head=b"\n", files=2), 4, "not a digest"),
        (text(HEX + b" *a"), 4, "not a digest"),
        (text(HEX + b" a"), 4, "not a digest"),
        (text(HEX[1:] + b"  a"), 4, "not a digest"),
        (text(HEX.upper() + b"  a"), 4, "not a digest"),
        (text(b"g" + HEX[1:] + b"  a"), 4, "not a digest"),
        (text(line(b"")), 4, "not a digest"),
        (text(line(b"a\\\\b")), 4, "not a digest"),
        (text(b"\\" + line(b"a")), 4, "no escapes"),
        (text(b"\\" + line(b"a\\tb")), 4, "malformed escape"),
        (text(b"\\" + line(b"a\\")), 4, "malformed escape"),
        (text(b"\\" + line(b"a\rb")), 4, "not a digest"),
        (text(line(b"a\rb")), 4, "not a digest"),
        (text(line(b"a\0b")), 4, "not a digest"),
        (text(line(b"/a")), 4, "unsafe path"),
        (text(line(b"a//b")), 4, "unsafe path"),
        (text(line(b"a/")), 4, "unsafe path"),
        (text(line(b".")), 4, "unsafe path"),
        (text(line(b"..")), 4, "unsafe path"),
        (text(line(b"./a")), 4, "unsafe path"),
        (text(line(b"../a")), 4, "unsafe path"),
        (text(line(b"a/../b")), 4, "unsafe path"),
        (text(line(b"a/.")), 4, "unsafe path"),
        (text(b"\\" + line(b"../a\\nb")), 4, "unsafe path"),
        (text(line(b"-")), 4, "standard input"),
        (text(line(b"b"), line(b"a")), 5, "not sorted"),
        (text(line(b"a"), line(b"a")), 5, "occurs twice"),
        (text(line(b"a"), b"# exclude b"), 5, "not a digest"),
    ],
)
def test_malformed_text_is_refused_by_line(data: bytes, number: int, why: str) -> None:
    with pytest.raises(IntegrityError, match=rf"^manifest, line {number}: .*{re.escape(why)}"):
        parse_manifest(data)


def test_a_newer_format_says_so() -> None:
    with pytest.raises(IntegrityError, match="format version 2, this gitsnap reads 1") as caught:
        parse_manifest(b"# gitsnap manifest 2\n# novelty\n")
    assert caught.value.hint == "upgrade gitsnap"


def test_eighty_thousand_files_are_quick() -> None:
    names = (b"directory-%02d/module-%03d/file-%02d.py" % (n // 2000, n // 20, n % 20) for n in range(80_000))
    inventory = Inventory(entries=[file(name) for name in sorted(names)])
    start = time.process_time()
    data = format_manifest(inventory)
    written = time.process_time()
    assert len(parse_manifest(data).digests) == 80_000
    read = time.process_time()
    # Ten times what it takes: this fails for an accident of complexity, not for a busy machine.
    assert written - start < 2
    assert read - written < 2.5


def test_some_digests_are_read_without_the_rest() -> None:
    files = [file(path, path) for path in NASTY]
    written = Text.of(format_manifest(Inventory(entries=files, rules=[b"#hash"], excluded=[b"x"])))
    wanted = {entry.path: entry.sha256 for entry in files}
    assert digests_of(written, wanted) == wanted
    for path in NASTY:
        assert digests_of(written, {path}) == {path: wanted[path]}, path
    assert digests_of(written, {b"elsewhere", b"./-", b"#hash\n"}) == {}


def test_the_paths_that_two_texts_tell_differently() -> None:
    before = format_manifest(Inventory(entries=[file(path, path) for path in NASTY]))
    after = format_manifest(
        Inventory(entries=[file(p, p + b"!") for p in NASTY[:9]] + [file(p, p) for p in NASTY[9:-1]])
    )
    assert changed_paths(Text.of(before), Text.of(after)) == {*NASTY[:9], NASTY[-1]}
    assert changed_paths(Text.of(before), Text.of(before)) == set()
    with pytest.raises(IntegrityError):
        changed_paths(Text.of(before), Text.of(before + b"no line\n"))


def test_an_excluded_path_that_occurs_twice_is_refused() -> None:
    written = format_manifest(Inventory(excluded=[b"a", b"b"]))
    assert parse_manifest(written).excluded == [b"a", b"b"]
    with pytest.raises(IntegrityError, match="line 5: the excluded paths are not sorted, or one occurs twice"):
        parse_manifest(written.replace(b"# excluded b\n", b"# excluded a\n"))
