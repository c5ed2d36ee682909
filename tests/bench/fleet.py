"""What many installations in one repository cost: a push with a small change, and a listing, by how many there are.

By hand: `python -m tests.bench.fleet [COUNT…] [--at DIRECTORY]`, by default 10, 100 and 1000 with 10 snapshots each.
The others are written by git fast-import, in the form in which gitsnap pushes them; the one that is measured is real.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

from gitsnap import api
from gitsnap.core.message import format_ending, format_message
from gitsnap.core.model import Kind, Snapshot
from gitsnap.core.outcome import Ending, Outcome
from gitsnap.ops.remote.fleet import Asked, Fleet, survey

_SNAPSHOTS, _FILES = 10, 200
_START = datetime(2026, 1, 1, tzinfo=UTC)


def build(path: Path, installations: int) -> None:
    """A bare repository with so many installations, `_FILES` files each, most of which all have."""
    subprocess.run(["git", "init", "-q", "--bare", str(path)], check=True)
    for name, value in (("core.logAllRefUpdates", "false"), ("uploadpack.allowFilter", "true"), ("gc.auto", "0")):
        subprocess.run(["git", "-C", str(path), "config", name, value], check=True)
    git = subprocess.Popen(["git", "-C", str(path), "fast-import", "--quiet"], stdin=subprocess.PIPE)
    assert git.stdin is not None
    out = git.stdin
    for number in range(_FILES):
        out.write(b"blob\nmark :%d\n" % (number + 1))
        _data(out, b"content %d\n" % number * 40)
    mark = _FILES + 1
    for installation in range(installations):
        mark = _installation(out, installation, mark)
    out.close()
    assert git.wait() == 0
    subprocess.run(["git", "-C", str(path), "pack-refs", "--all"], check=True)


def _data(out: IO[bytes], data: bytes) -> None:
    out.write(b"data %d\n%s\n" % (len(data), data))


def _installation(out: IO[bytes], number: int, mark: int) -> int:
    host = f"host-{number:04}/shop"
    notes: dict[str, list[tuple[int, int]]] = {"manifest": [], "metadata": []}
    parent = b""
    for at in range(_SNAPSHOTS):
        when = _START + timedelta(minutes=number, days=at)
        out.write(b"blob\nmark :%d\n" % mark)
        own = f"{host} {at}\n".encode()
        _data(out, own)
        snapshot = _snapshot(when, at, hashlib.sha256(own).hexdigest())
        message = format_message(snapshot)
        tree = b"".join(b"M 100644 :%d dir-%d/file-%d\n" % (n + 1, n % 10, n) for n in range(_FILES))
        tree += b"M 100644 :%d own\n" % mark
        _commit(out, f"refs/gitsnap/fleet/{host}/snapshots/{snapshot.id}", mark + 1, when, message, tree)
        _commit(out, f"refs/heads/{host}", mark + 2, when, message, parent + b"deleteall\n" + tree)
        parent = b""
        for text, found in notes.items():
            found.append((mark + 1, mark + 3 + (text == "metadata")))
            out.write(b"blob\nmark :%d\n" % found[-1][1])
            lines = [f"{hashlib.sha256(b'%d' % n).hexdigest()}  dir-{n % 10}/file-{n}\n" for n in range(_FILES)]
            _data(out, "".join([*lines, f"{hashlib.sha256(own).hexdigest()}  own {text}\n"]).encode())
        mark += 5
    for text, found in notes.items():
        held = b"".join(b"N :%d :%d\n" % (blob, commit) for commit, blob in found)
        _commit(out, f"refs/notes/gitsnap/fleet/{host}/{text}", mark, when, b"texts\n", held)
        mark += 1
    upgrade = f"{when:%Y-%m-%dT%H-%M-%SZ}-upgrade"
    ending = format_ending(Ending(upgrade, Outcome.KEPT, 0, duration=1.5))
    _commit(out, f"refs/gitsnap/fleet/{host}/upgrades/{upgrade}", mark, when, ending, tree)
    return mark + 1


def _snapshot(when: datetime, at: int, digest: str) -> Snapshot:
    return Snapshot(
        id=f"{when:%Y-%m-%dT%H-%M-%SZ}-manual",
        commit="",
        tree="",
        created=when,
        kind=Kind.MANUAL,
        label="manual",
        message="snapshot",
        files=_FILES + 1,
        bytes=84_000,
        manifest_sha256=digest,
        metadata_sha256=digest,
        sequence=at + 1,
    )


def _commit(out: IO[bytes], ref: str, mark: int, when: datetime, message: bytes, rest: bytes) -> None:
    who = b"gitsnap <gitsnap@localhost> %d +0000" % int(when.timestamp())
    out.write(b"commit %s\nmark :%d\nauthor %s\ncommitter %s\n" % (ref.encode(), mark, who, who))
    _data(out, message)
    out.write(rest + b"\n")


def cost(do: Callable[[], object]) -> tuple[float, float]:
    """Seconds of a processor that it takes, here and in the server together, and seconds by the clock."""

    def used() -> float:
        both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return sum(each.ru_utime + each.ru_stime for each in both)

    begun, before = time.monotonic(), used()
    do()
    return used() - before, time.monotonic() - begun


@contextmanager
def counted(top: Path, hidden: str | None = None) -> Iterator[Callable[[], tuple[int, int]]]:
    """Goes by a program in ssh's place that counts bytes: to the server, and from it. With `hidden`, the server shows
    and takes only the refs of that installation."""
    program = top / "ssh"
    only = ""
    if hidden is not None:
        names = (f"refs/gitsnap/fleet/{hidden}", f"refs/notes/gitsnap/fleet/{hidden}", f"refs/heads/{hidden}")
        values = ["refs", *(f"!{name}" for name in names)]
        only = "".join(
            f"GIT_CONFIG_KEY_{n}=receive.hideRefs; GIT_CONFIG_VALUE_{n}='{value}'; "
            f"export GIT_CONFIG_KEY_{n} GIT_CONFIG_VALUE_{n}\n"
            for n, value in enumerate(values)
        )
        only += f"GIT_CONFIG_COUNT={len(values)}; export GIT_CONFIG_COUNT\n"
    program.write_text(
        "#!/bin/sh\nGIT_PROTOCOL=version=2; export GIT_PROTOCOL\n" + only + "for last; do :; done\n"
        f'tee -a {top}/to | sh -c "$last" | tee -a {top}/from\n'
    )
    program.chmod(0o755)
    os.environ["GIT_SSH_COMMAND"] = str(program)

    def since() -> tuple[int, int]:
        counts = [(top / name).stat().st_size if (top / name).exists() else 0 for name in ("to", "from")]
        for name in ("to", "from"):
            (top / name).unlink(missing_ok=True)
        return counts[0], counts[1]

    try:
        yield since
    finally:
        del os.environ["GIT_SSH_COMMAND"]


def measure(top: Path, installations: int) -> None:
    """Build, push and list; prints one row."""
    path = top / "there.git"
    begun = time.monotonic()
    build(path, installations)
    built = time.monotonic() - begun
    app = top / "app"
    app.mkdir()
    for number in range(_FILES):
        (app / f"f{number}").write_text(f"mine {number}\n" * 40)
    mine = api.open(app, store=top / "store.git", create=True)
    url = f"ssh://anyone@anywhere{path}"
    mine.snapshot()
    mine.add_remote("there", url, installation="measured/app")

    def change() -> None:
        (app / "f7").write_text(os.urandom(8).hex())
        mine.snapshot()

    row = []
    for hidden in (None, "measured/app"):
        with counted(top, hidden) as count:
            mine.push("there")
            # The one that is measured meets a server that it knows.
            change()
            count()
            used = cost(lambda: mine.push("there"))
            row += [used, count()]
            assert mine.push("there").snapshots == []
    with counted(top) as count:
        listed: list[Fleet] = []
        count()
        used = cost(lambda: listed.append(survey(url, Asked(datetime.now(UTC)))))
        row += [used, count()]
    assert len(listed[0].rows) == installations + 1
    assert not any(each.problems for each in listed[0].rows)
    refs = len(subprocess.check_output(["git", "-C", str(path), "for-each-ref"]).splitlines())
    size = sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
    print(f"{installations} installations, {refs} refs, {size / 1e6:.1f} MB, built in {built:.0f} s")
    for name, (cpu, clock), (to, back) in zip(
        ("push", "push, refs of others hidden", "listing"), row[::2], row[1::2], strict=True
    ):
        print(f"  {name}: CPU {cpu:.2f} s, {clock:.2f} s; sent {to:,} bytes, received {back:,}", flush=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("counts", type=int, nargs="*", metavar="COUNT")
    parser.add_argument("--at", type=Path, default=None)
    given = parser.parse_args()
    for count in given.counts or (10, 100, 1000):
        with tempfile.TemporaryDirectory(dir=given.at) as folder:
            measure(Path(folder), count)


if __name__ == "__main__":
    sys.exit(main())
