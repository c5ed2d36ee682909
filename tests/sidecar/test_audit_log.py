"""The audit log on disk: what a crash leaves, what somebody does to it, and that a full disk harms nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from gitsnap.core.audit import NOTHING, Link, decode, encode, link_of
from gitsnap.core.errors import LockedError
from gitsnap.sidecar import files, locks
from gitsnap.sidecar.state import audit
from tests.support.inprocess import Protected, workspace


@pytest.fixture
def store() -> Iterator[Path]:
    """A directory with room for gitsnap's own files, as a sidecar has it."""
    with workspace() as where:
        (where / "gitsnap").mkdir(mode=0o700)
        yield where


def add(store: Path, word: str = "snapshot", size: int = 0) -> bytes:
    def form(place: audit.Place) -> bytes:
        more = {"healed": place.healed} if place.healed else {}
        more |= {"missed": place.missed} if place.missed else {}
        return encode(place.after, {"action": word, "padding": "x" * size, **more})

    return audit.append(str(store), form)


def problems(store: Path, vouched: Link = NOTHING) -> list[str]:
    return audit.problems(str(store), {"the seal over the refs": vouched})


def records(store: Path) -> list[dict[str, object]]:
    return [decode(line) or {} for line in audit.lines(str(store))]


def the_file(store: Path) -> Path:
    return max((store / "gitsnap/audit").iterdir())


def test_it_is_private_and_grows_by_lines(store: Path) -> None:
    before = os.umask(0)
    try:
        added = [add(store) for _ in range(3)]
    finally:
        os.umask(before)
    assert list(audit.lines(str(store))) == added
    assert problems(store) == []
    assert audit.tip(str(store)) == link_of(added[-1])
    for path in [store / "gitsnap/audit", *(store / "gitsnap").rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_it_rotates_and_the_chain_goes_on(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "ROTATE", 2000)
    for _ in range(20):
        add(store, size=300)
        assert problems(store) == []
    names = sorted(p.name for p in (store / "gitsnap/audit").iterdir())
    assert len(names) > 3
    assert names[0] == "000000000001.jsonl"
    assert [r["sequence"] for r in records(store)] == list(range(1, 21))
    # Each file is named by its first line.
    for name in names:
        first = (store / "gitsnap/audit" / name).read_bytes().splitlines(keepends=True)[0]
        assert (link_of(first) or NOTHING).sequence == int(name[:12])
    (store / "gitsnap/audit" / names[1]).unlink()
    assert "missing" in problems(store)[0]


def killed_at(store: Path, step: int, part: float, do: Callable[[], object]) -> bool:
    """Do it in a child that is gone at its n-th write to disk, of which a part is done; whether it was."""
    child = os.fork()
    if child == 0:
        left = [step]
        write, sync = os.pwrite, os.fdatasync

        def gone() -> bool:
            left[0] -= 1
            return left[0] < 0

        def writing(fd: int, data: bytes, at: int) -> int:
            # Whoever holds a lock says so in it.
            if len(data) > 10 and gone():
                write(fd, data[: int(len(data) * part)], at)
                os._exit(9)
            return write(fd, data, at)

        def syncing(fd: int) -> None:
            if gone():
                os._exit(9)
            sync(fd)

        os.pwrite, os.fdatasync = writing, syncing  # type: ignore[assignment]
        with suppress(BaseException):
            do()
            os._exit(0)
        os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 9), code
    return code == 9


@pytest.mark.parametrize("part", [0.0, 0.5, 0.999, 1.0])
@pytest.mark.parametrize("before", [0, 1, 3])
@pytest.mark.parametrize("rotating", [False, True])
def test_a_kill_anywhere_is_no_tampering(
    store: Path, monkeypatch: pytest.MonkeyPatch, part: float, before: int, rotating: bool
) -> None:
    monkeypatch.setattr(audit, "ROTATE", 100 if rotating else 1 << 20)
    step, healed, kept = 0, 0, 0
    while True:
        shutil.rmtree(store / "gitsnap")
        (store / "gitsnap").mkdir()
        first = [add(store, size=50) for _ in range(before)]
        if not killed_at(store, step, part, lambda: add(store, "killed", 50)):
            break
        assert problems(store) == [], step
        then = add(store, "next", 50)
        assert problems(store) == [], step
        found = list(audit.lines(str(store)))
        # What was there is there; the line that was being added is whole, or is not there at all.
        assert found[:before] == first
        assert found[-1] == then
        words = [r["action"] for r in records(store)]
        assert words[before:] in (["next"], ["killed", "next"]), step
        kept += "killed" in words
        healed += "healed" in records(store)[-1]
        step += 1
    assert step == 5
    assert kept >= 1
    # A line that was cut off is said to have been.
    assert healed == (1 if 0 < part < 1 else 0)


def test_a_power_cut_that_loses_the_last_word_of_the_seal(store: Path) -> None:
    """The seal's last write is not synced: what was there before it is as good."""
    add(store)
    seal = store / "gitsnap/audit.seal"
    size = 512
    add(store)
    data = seal.read_bytes()
    serials = [int(data[at : at + 20].split()[0]) for at in (0, size)]
    newest = serials.index(max(serials)) * size
    for garbage in (b"\0" * size, data[newest : newest + 100] + b"\0" * (size - 100)):
        seal.write_bytes(data[:newest] + garbage + data[newest + size :])
        assert problems(store) == []
        assert audit.tip(str(store)).sequence == 1
        line = add(store)
        assert (link_of(line) or NOTHING).sequence == 3
        assert problems(store) == []
        seal.write_bytes(data)
        the_file(store).write_bytes(b"".join(list(audit.lines(str(store)))[:2]))


def test_a_tail_cut_inside_a_line_without_a_crash_is_told(store: Path) -> None:
    for _ in range(3):
        add(store)
    path = the_file(store)
    path.write_bytes(path.read_bytes()[:-10])
    assert problems(store)
    # It stays told when the log goes on.
    add(store)
    assert problems(store)
    assert [r.get("sequence") for r in records(store)] == [1, 2, None, 4]


TAMPERED: dict[str, Callable[[Path], object]] = {
    "changed": lambda log: log.write_bytes(log.read_bytes().replace(b'"two"', b'"TWO"')),
    "removed": lambda log: log.write_bytes(b"".join(x for n, x in enumerate(log.open("rb")) if n != 1)),
    "reordered": lambda log: log.write_bytes(b"".join(sorted(log.open("rb"), reverse=True))),
    "cut": lambda log: log.write_bytes(b"".join(list(log.open("rb"))[:2])),
    "emptied": lambda log: log.write_bytes(b""),
    "gone": lambda log: log.unlink(),
    "all gone": lambda log: shutil.rmtree(log.parent),
    "seal gone": lambda log: (log.parent.parent / "audit.seal").unlink(),
    "seal emptied": lambda log: (log.parent.parent / "audit.seal").write_bytes(b""),
    "seal damaged": lambda log: (log.parent.parent / "audit.seal").write_bytes(b"x" * 1024),
    "seal of before": lambda log: (log.parent.parent / "audit.seal").write_bytes(
        (log.parent.parent / "old").read_bytes()
    ),
    "added": lambda log: log.write_bytes(
        log.read_bytes() + encode(link_of(list(log.open("rb"))[-1]) or NOTHING, {"action": "forged"})
    ),
}


@pytest.mark.parametrize("kind", TAMPERED)
def test_what_was_done_to_it_is_told_and_stays_told(store: Path, kind: str) -> None:
    for word in ("one", "two", "three"):
        add(store, word)
    shutil.copy(store / "gitsnap/audit.seal", store / "gitsnap/old")
    last = add(store, "four")
    assert problems(store, link_of(last) or NOTHING) == []
    TAMPERED[kind](the_file(store))
    assert problems(store), kind
    # Whoever writes next neither fails nor hides it.
    line = add(store, "five")
    assert list(audit.lines(str(store)))[-1] == line
    found = problems(store, link_of(last) or NOTHING)
    if kind in ("seal gone", "seal emptied", "seal damaged"):
        assert "seal of the audit log was lost" in str(records(store)[-1]["healed"])
    elif kind == "seal of before":
        assert found
    else:
        assert found, kind


def test_the_log_and_its_seal_gone_together(store: Path) -> None:
    seen = [link_of(add(store)) for _ in range(3)][-1] or NOTHING
    shutil.rmtree(store / "gitsnap/audit")
    (store / "gitsnap/audit.seal").unlink()
    assert problems(store) == []
    assert problems(store, seen) == ["the audit log is missing: the seal over the refs names line 3"]
    add(store)
    assert problems(store, seen)


def test_the_seal_over_the_refs_names_the_last_line() -> None:
    from gitsnap.sidecar import integrity
    from gitsnap.sidecar.state import seal

    with workspace() as where:
        root = where / "app"
        root.mkdir()
        with Protected(root, where / "home") as place:
            place.take()
            line = add(place.store)
            (root / "new").write_text("x")
            place.take()
            sealed = seal.load(place.sidecar)
            assert sealed is not None
            assert sealed.audited == link_of(line)
            assert integrity.audit_log(place.sidecar) == []
            shutil.rmtree(place.store / "gitsnap/audit")
            (place.store / "gitsnap/audit.seal").unlink()
            assert [f.problem for f in integrity.audit_log(place.sidecar)] == [
                "audit log: the audit log is missing: the seal over the refs names line 1"
            ]
            assert place.verify()[-1].snapshot == "sidecar"


def test_a_full_disk_loses_the_line_and_says_so(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(store)
    real = os.pwrite

    def full(fd: int, data: bytes, at: int) -> int:
        if len(data) != 512:
            real(fd, data[: len(data) // 2], at)
            raise OSError(28, "No space left on device")
        return real(fd, data, at)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        for _ in range(2):
            with pytest.raises(OSError, match="No space"):
                add(store)
            assert problems(store) == []
    add(store)
    assert problems(store) == []
    assert [r.get("missed") for r in records(store)] == [None, 2]


def test_a_new_file_whose_name_cannot_be_synced_holds_no_line_of_somebody_elses(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(store, size=2000)
    monkeypatch.setattr(audit, "ROTATE", 1000)
    real, folder = files.sync_directory, str(store / "gitsnap/audit")

    def failing(path: str) -> None:
        if path == folder:
            raise OSError(5, "Input/output error")
        real(path)

    with monkeypatch.context() as patch:
        patch.setattr(files, "sync_directory", failing)
        for _ in range(2):
            with pytest.raises(OSError, match="Input/output"):
                add(store)
            assert problems(store) == []
    add(store)
    assert problems(store) == []
    assert [r.get("missed") for r in records(store)] == [None, 2]


def test_a_line_that_could_not_be_taken_back_counts_where_it_is_whole(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(fd: int, *_: int) -> None:
        raise OSError(5, "Input/output error")

    def failing_on_lines(fd: int) -> None:
        if os.readlink(f"/proc/self/fd/{fd}").endswith(".jsonl"):
            failing(fd)

    add(store)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", failing_on_lines)
        patch.setattr(os, "ftruncate", failing)
        # Whoever takes the lock says so in it.
        patch.setattr(locks, "_sign", lambda _: None)
        with pytest.raises(OSError, match="Input/output"):
            add(store, "there")
    assert problems(store) == []
    add(store, "next")
    assert problems(store) == []
    assert [r["action"] for r in records(store)] == ["snapshot", "there", "next"]


def test_whoever_holds_the_lock_for_long_is_not_waited_for(store: Path) -> None:
    add(store)
    with (
        locks.hold(str(store / "gitsnap/audit.lock"), exclusive=True, wait=0),
        pytest.raises(LockedError),
    ):
        audit.append(str(store), lambda place: encode(place.after, {}), wait=0)
    assert problems(store) == []


def test_many_write_at_once(store: Path) -> None:
    children = []
    for _ in range(8):
        child = os.fork()
        if child == 0:
            with suppress(BaseException):
                for _ in range(25):
                    add(store)
                os._exit(0)
            os._exit(1)
        children.append(child)
    # Readers meanwhile see nothing wrong.
    for _ in range(20):
        assert problems(store) == []
    assert [os.waitpid(c, 0)[1] for c in children] == [0] * 8
    assert problems(store) == []
    assert [r["sequence"] for r in records(store)] == list(range(1, 201))


@pytest.mark.parametrize("what", ["audit", "audit.seal", "audit/000000000001.jsonl"])
def test_no_link_is_followed(store: Path, what: str) -> None:
    outside = store / "outside"
    outside.mkdir()
    target = outside / "file"
    target.write_text("precious\n")
    if "/" in what:
        (store / "gitsnap/audit").mkdir()
    (store / "gitsnap" / what).symlink_to(outside if what == "audit" else target)
    if what == "audit":
        # The sidecar is not opened at all (test_foreign_links).
        return
    with pytest.raises(OSError, match="symbolic links"):
        add(store)
    assert target.read_text() == "precious\n"
