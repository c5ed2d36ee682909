"""Which processes have files open: descriptors, mappings and programs, and nothing that is in nobody's way."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gitsnap.installation import open_files

_HOLD = "import sys; exec(sys.argv[1]); print('ready', flush=True); sys.stdin.read()"


@contextmanager
def holding(code: str, *, program: str | Path = sys.executable, cwd: Path | None = None) -> Iterator[int]:
    """A process that has run this and waits; its number."""
    pipe = subprocess.PIPE
    with subprocess.Popen([program, "-c", _HOLD, code], stdin=pipe, stdout=pipe, text=True, cwd=cwd) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield process.pid
        finally:
            process.stdin.close()  # type: ignore[union-attr]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "app/data").mkdir(parents=True)
    (tmp_path / "app/data/file").write_bytes(b"content" * 1000)
    (tmp_path / "app-beside").write_bytes(b"")
    return tmp_path / "app"


def held(root: Path, pid: int) -> list[bytes]:
    """The first file that the process has open."""
    return [h.first for h in open_files.look(str(root), 60, 60).holders if h.pid == pid]


def test_a_descriptor(root: Path) -> None:
    with holding(f"f = open({str(root / 'data/file')!r}, 'ab'); g = open({str(root)!r} + '-beside')") as pid:
        (found,) = [h for h in open_files.look(str(root), 60, 60).holders if h.pid == pid]
        assert (found.first, found.count) == (b"data/file", 1)
        assert found.name


def test_a_mapping_without_a_descriptor(root: Path) -> None:
    # What the mmap module makes keeps a descriptor of its own.
    code = (
        "import ctypes as c, os; m = c.CDLL(None).mmap; m.restype = c.c_void_p; m.argtypes = [c.c_void_p, c.c_size_t, "
    )
    code += "c.c_int, c.c_int, c.c_int, c.c_long]; fd = os.open("
    code += f"{str(root / 'data/file')!r}, 0); m(None, 4096, 1, 2, fd, 0); os.close(fd)"
    with holding(code) as pid:
        assert held(root, pid) == [b"data/file"]
        assert open_files.look(str(root), 60, 0).complete is False
        assert pid not in [h.pid for h in open_files.look(str(root), 60, 0).holders]


def test_a_program_is_found_even_without_time_for_mappings(root: Path) -> None:
    program = root / "sleep"
    shutil.copy(shutil.which("sleep") or "/bin/sleep", program)
    with subprocess.Popen([program, "60"]) as process:
        try:
            # The program is there when exec has returned in it.
            while os.readlink(f"/proc/{process.pid}/exe") != str(program):
                pass
            assert [h.first for h in open_files.look(str(root), 60, 0).holders if h.pid == process.pid] == [b"sleep"]
        finally:
            process.kill()


@pytest.mark.parametrize("name", [b"new\nline", b"not \xff utf-8", b"a (deleted)", b"two  spaces "])
def test_any_name(root: Path, name: bytes) -> None:
    path = os.path.join(os.fsencode(root), name)
    with open(path, "wb") as file:
        file.write(b"content")
    code = f"import mmap; f = open({path!r}, 'rb'); m = mmap.mmap(f.fileno(), 0, prot=1)"
    with holding(code) as pid:
        assert held(root, pid) == [name]


def test_what_is_in_nobodys_way(root: Path) -> None:
    gone = root / "data/gone"
    gone.write_bytes(b"")
    with holding(f"f = open({str(gone)!r})", cwd=root / "data") as pid:
        gone.unlink()
        assert held(root, pid) == []


def test_neither_this_process_nor_whoever_started_it(root: Path) -> None:
    code = f"import sys; sys.path.insert(0, {os.getcwd()!r}); from gitsnap.installation import open_files as o; "
    code += f"print([h.pid for h in o.look({str(root)!r}, 60, 60).holders])"
    with open(root / "data/file", "rb"):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert str(os.getpid()) not in done.stdout
    assert os.getpid() not in [h.pid for h in open_files.look(str(root), 60, 60).holders]


def test_without_time_nothing_is_looked_at_and_that_is_told(root: Path) -> None:
    found = open_files.look(str(root), -1, -1)
    assert (found.holders, found.complete) == ([], False)
