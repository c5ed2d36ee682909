"""What a file is, by its first bytes: only what people meet in applications."""

from __future__ import annotations

HEAD = 264
_MAGIC = (
    (0, b"\x7fELF", "ELF program or library"),
    (0, b"\x89PNG\r\n", "PNG image"),
    (0, b"\xff\xd8\xff", "JPEG image"),
    (0, b"GIF8", "GIF image"),
    (0, b"%PDF-", "PDF document"),
    (0, b"PK\x03\x04", "zip archive"),
    (0, b"PK\x05\x06", "zip archive"),
    (0, b"\x1f\x8b", "gzip archive"),
    (0, b"BZh", "bzip2 archive"),
    (0, b"\xfd7zXZ\0", "xz archive"),
    (0, b"\x28\xb5\x2f\xfd", "zstd archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "7z archive"),
    (0, b"SQLite format 3\0", "SQLite database"),
    (0, b"\0asm", "WebAssembly"),
    (0, b"\xca\xfe\xba\xbe", "Java class"),
    (0, b"wOFF", "font"),
    (0, b"wOF2", "font"),
    (0, b"\0\x01\0\0\0", "font"),
    (0, b"OTTO", "font"),
    (0, b"MZ", "Windows program"),
    (0, b"\0\0\x01\0", "icon"),
    (257, b"ustar", "tar archive"),
)


def file_type(head: bytes) -> str:
    """`text`, or what kind of binary these first bytes begin."""
    for at, magic, name in _MAGIC:
        if head[at : at + len(magic)] == magic:
            return name
    return "binary" if b"\0" in head else "text"
