"""Reading while others write: what is captured is one state of a file, or the file is named; nothing hangs."""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import random
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from gitsnap.core.content import Digesting, Digests
from gitsnap.core.errors import GitsnapError
from gitsnap.core.model import Problem, Type
from gitsnap.installation.scan import read_content
from gitsnap.installation.scan.scanner import Scanner, ScanOptions
from tests.support.inprocess import Protected, scan, workspace
from tests.support.installation import run_gitsnap
from tests.support.processes import in_child, meanwhile

SIZE = 12 << 20


@pytest.fixture
def where() -> Iterator[Path]:
    with workspace() as place:
        (place / "app").mkdir()
        yield place


class Collecting(Digesting):
    """Keeps what it digests."""

    def __init__(self) -> None:
        self.blobs: dict[bytes, bytes] = {}

    def add_blob(self, size: int, chunks: Iterable[bytes]) -> Digests:
        data = b"".join(chunks)
        digests = super().add_blob(size, [data])
        self.blobs[digests.oid] = data
        return digests


def change(file: Path) -> Callable[[], None]:
    """Ever the same size, one byte changes at a time."""

    def work() -> None:
        with open(file, "r+b", buffering=0) as f:
            for at in range(0, SIZE, SIZE // 97):
                os.pwrite(f.fileno(), os.urandom(1), at)

    return work


def replace(file: Path) -> Callable[[], None]:
    other = file.with_suffix(".new")

    def work() -> None:
        other.write_bytes(b"x" * (SIZE // 4))
        other.rename(file)

    return work


def come_and_go(file: Path) -> Callable[[], None]:
    def work() -> None:
        file.unlink(missing_ok=True)
        file.write_bytes(b"x" * (SIZE // 4))

    return work


def change_type(file: Path) -> Callable[[], None]:
    other = file.with_suffix(".new")

    def work() -> None:
        os.symlink("/etc/passwd", other)
        other.rename(file)
        os.mkfifo(other)
        other.rename(file)
        other.write_bytes(b"x")
        other.rename(file)
        file.unlink()
        os.mkdir(file)
        os.rmdir(file)

    return work


def overwrite(file: Path, turn: int) -> None:
    with open(file, "r+b") as f:
        f.write(b"%d" % turn)


def cut(file: Path, turn: int) -> None:
    os.truncate(file, SIZE - turn * 4096)


def cut_and_regrow(file: Path, turn: int) -> None:
    os.truncate(file, 100 if turn % 2 else SIZE)


def append(file: Path, turn: int) -> None:
    with open(file, "ab") as f:
        f.write(b"more")


@pytest.mark.parametrize("move", [overwrite, cut, cut_and_regrow, append])
def test_what_never_holds_still_is_named_after_three_tries_and_the_rest_is_whole(
    where: Path, move: Callable[[Path, int], None]
) -> None:
    """Somebody writes while the file is read, whenever it is read: between its first piece and the second."""
    busy = where / "app/busy"
    busy.write_bytes(bytes(SIZE))
    (where / "app/calm").write_bytes(b"calm")

    class Overtaken(Digesting):
        turn = 0

        def add_blob(self, size: int, chunks: Iterable[bytes]) -> Digests:
            return super().add_blob(size, self._meddle(chunks) if size > 4 else chunks)

        def _meddle(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
            for number, chunk in enumerate(chunks):
                if number == 0:
                    self.turn += 1
                    move(busy, self.turn)
                yield chunk

    sink = Overtaken()
    found = in_child(lambda: (Scanner(str(where / "app"), sink).run().inventory, sink.turn), seconds=300)
    assert found[0].partial == [Problem(b"busy", "changed while it was read")]
    assert [e.path for e in found[0].entries] == [b"", b"calm"]
    assert found[1] == 3
    assert scan(where / "app").inventory.partial == []


@pytest.mark.long
@pytest.mark.parametrize(("work", "times"), [(replace, 30), (come_and_go, 200), (change_type, 300)])
def test_what_comes_and_goes_is_one_of_its_states_or_named(
    where: Path, work: Callable[[Path], Callable[[], None]], times: int
) -> None:
    busy = where / "app/busy"
    busy.write_bytes(b"x" * (SIZE // 4))
    (where / "app/calm").write_bytes(b"calm")

    def scans() -> list[tuple[set[bytes], bool]]:
        out = []
        for _ in range(times):
            sink = Collecting()
            found = Scanner(str(where / "app"), sink).run().inventory
            named = {p.path for p in found.partial}
            whole = {e.path for e in found.entries if e.type is not Type.DIR}
            assert named <= {b"busy", b"busy.new"}
            assert not named & whole
            assert b"calm" in whole
            out.append((named, b"busy" in whole))
            assert not [blob for blob in sink.blobs.values() if b"root:" in blob and blob != b"/etc/passwd"]
        return out

    with meanwhile(work(busy)):
        results = in_child(scans, seconds=300)
    assert results


@pytest.mark.long
def test_a_file_is_captured_as_it_was_at_one_time(where: Path) -> None:
    """Each write fills the file with one letter: a captured mixture would be two states of it."""
    files = [where / f"app/f{n}" for n in range(6)]
    length = 2_000_000
    for file in files:
        file.write_bytes(b"a" * length)

    def work() -> None:
        letter = os.urandom(1)
        for file in files:
            with open(file, "r+b", buffering=0) as f:
                f.write(letter * length)
                time.sleep(0.005)

    def torn() -> tuple[int, int]:
        bad = seen = 0
        end = time.monotonic() + 3
        while time.monotonic() < end or seen < 10:
            sink = Collecting()
            found = Scanner(str(where / "app"), sink).run().inventory
            for entry in found.files():
                seen += 1
                bad += len(set(sink.blobs[entry.oid or b""])) > 1
        return bad, seen

    with meanwhile(work):
        bad, seen = in_child(torn, seconds=300)
    assert seen
    assert bad == 0


def test_what_is_written_through_a_mapping_is_read_twice(where: Path) -> None:
    """Stores through a mapping do not move the times of a file whose page is dirty already."""
    file = where / "app/mapped"
    file.write_bytes(bytes(mmap.PAGESIZE * 64))
    with open(file, "r+b") as f, mmap.mmap(f.fileno(), 0) as view:

        class Storing(Digesting):
            """While the file is read for the first time, another process stores into what was read already."""

            times = 0

            def add_blob(self, size: int, chunks: Iterable[bytes]) -> Digests:
                self.times += 1
                digests = super().add_blob(size, chunks)
                if self.times == 1:
                    view[0] = 65
                return digests

        for page in range(0, len(view), mmap.PAGESIZE):
            view[page] = 1
        sink = Storing()
        found = Scanner(str(where / "app"), sink).run().inventory
        assert sink.times == 2
        assert found.files()[0].oid == Digesting().add_blob(len(view), [view[:]]).oid


LARGE = 5 << 20


def test_a_large_file_that_nobody_has_open_is_read_once(where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = where / "app/large"
    content = os.urandom(LARGE)
    file.write_bytes(content)

    def second(*_: object) -> bytes:
        raise AssertionError("read a second time")

    monkeypatch.setattr(read_content, "_sha256", second)
    found = Scanner(str(where / "app"), Digesting(), ScanOptions(leases=True)).run().inventory
    assert found.by_path()[b"large"].sha256 == hashlib.sha256(content).digest()


@pytest.mark.parametrize("how", ["open", "mapped"])
def test_a_large_file_that_somebody_has_open_is_read_twice(
    where: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = where / "app/large"
    file.write_bytes(bytes(LARGE))
    times = []
    genuine = read_content._sha256

    def second(*arguments: int) -> bytes:
        times.append(1)
        return genuine(*arguments)

    monkeypatch.setattr(read_content, "_sha256", second)
    with open(file, "r+b") as f:
        view = mmap.mmap(f.fileno(), 0) if how == "mapped" else None
        if view:
            # The mapping alone keeps it open.
            f.close()
        Scanner(str(where / "app"), Digesting(), ScanOptions(leases=True)).run()
        assert times == [1]


def locks(pid: int) -> list[str]:
    """What the kernel says of the locks and leases that a process holds."""
    return [line for line in Path("/proc/locks").read_text().splitlines() if f" {pid} " in line]


def until(happened: Callable[[], object]) -> None:
    """Much less than the 45 seconds after which the kernel ends a lease by itself (lease-break-time)."""
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_whoever_opens_a_large_file_to_write_does_not_wait_for_all_of_it(where: Path) -> None:
    file = where / "app/large"
    file.write_bytes(bytes(LARGE))
    writer: list[int] = []
    ended: list[int] = []

    class Interrupted(Digesting):
        def add_blob(self, size: int, chunks: Iterable[bytes]) -> Digests:
            return super().add_blob(size, self._slow(chunks))

        def _slow(self, chunks: Iterable[bytes]) -> Iterable[bytes]:
            for n, chunk in enumerate(chunks):
                if n == 1 and not writer:
                    writer.append(os.fork())
                    if not writer[0]:
                        fd = os.open(file, os.O_WRONLY)
                        os.pwrite(fd, b"x", 0)
                        os.close(fd)
                        os._exit(0)
                    # It waits for us from here on, and no longer than for the chunk that is under way.
                    until(lambda: any("BREAKING" in line for line in locks(os.getpid())))
                elif n == 2 and not ended:
                    until(lambda: ended.extend(p for p in [os.waitpid(writer[0], os.WNOHANG)[0]] if p) or ended)
                yield chunk

    found = Scanner(str(where / "app"), Interrupted(), ScanOptions(leases=True)).run().inventory
    assert ended == writer
    assert found.by_path()[b"large"].sha256 == hashlib.sha256(b"x" + bytes(LARGE - 1)).digest()


def test_the_command_names_what_it_could_not_read_whole_and_exits_with_3(where: Path) -> None:
    app, home = where / "app", where / "home"
    busy = app / "busy"
    busy.write_bytes(bytes(SIZE * 4))
    (app / "calm").write_bytes(b"calm")

    def work() -> None:
        with open(busy, "r+b", buffering=0) as f:
            for _ in range(1000):
                os.pwrite(f.fileno(), os.urandom(1), random.randrange(SIZE))
                time.sleep(0.0002)

    with meanwhile(work):
        text = run_gitsnap("-C", app, "snapshot", home=home, check=3)
        document = run_gitsnap("-C", app, "--json", "snapshot", home=home, check=3)
    assert "busy" in text.stderr
    assert "calm" not in text.stderr
    assert text.stdout.count("\n") == 1
    taken = json.loads(document.stdout)
    assert taken["snapshot"]["partial"] == 1
    assert "busy" in json.dumps({k: v for k, v in taken.items() if k != "snapshot"})
    run_gitsnap("-C", app, "verify", "--all", home=home)
    # What a snapshot could not hold, a rollback to it leaves as it is, and says so.
    busy.write_bytes(b"later")
    (app / "calm").write_bytes(b"changed")
    back = run_gitsnap("-C", app, "rollback", "latest", "--yes", home=home, check=3)
    assert "busy" in back.stderr + back.stdout
    assert (busy.read_bytes(), (app / "calm").read_bytes()) == (b"later", b"calm")


def test_a_rollback_does_not_replace_what_it_could_not_keep_safe(where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = where / "app"
    busy = app / "busy"
    busy.write_bytes(b"first")
    (app / "other").write_bytes(b"first")
    read = read_content.pieces

    def overtaken(file: int) -> Iterator[bytes]:
        """Whenever it is read, somebody is at it: between its first piece and the second."""
        for number, piece in enumerate(read(file)):
            if number == 1:
                os.utime(busy)
            yield piece

    with Protected(app, where / "home") as place:
        first = place.take().snapshot
        (app / "other").write_bytes(b"second")
        busy.write_bytes(bytes(SIZE))
        monkeypatch.setattr(read_content, "pieces", overtaken)
        with pytest.raises(GitsnapError, match="1 of the paths to be replaced could not be read") as refusal:
            place.rollback(first.id)
        assert (refusal.value.exit_code, os.fsencode(refusal.value.path or "")) == (1, b"busy")
        assert (app / "other").read_bytes() == b"second"
        assert sorted(os.listdir(app)) == ["busy", "other"]
        assert busy.stat().st_size == SIZE
