"""The installations that are measured: NAME/v1 and NAME/v2, before and after an upgrade, made once and kept."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

OLD, UPGRADED = 1_700_000_000_123_456_789, 1_710_000_000_123_456_789
PAGE = 4096


class UnavailableError(Exception):
    """The corpus cannot be made here, and why."""


def corpus(root: Path, name: str) -> Path:
    """The corpus's directory, made if need be; UnavailableError."""
    place = root / "corpora" / name
    if not (place / "v2").is_dir() or not (place / ".whole").exists():
        shutil.rmtree(place, ignore_errors=True)
        (place / "v1").mkdir(parents=True)
        print(f"making the corpus {name}", flush=True)
        MAKERS[name](place)
        (place / ".whole").touch()
    return place


def _nodered(place: Path) -> None:
    """Node-RED as npm installs it, 3.1 and 4.0."""
    if not shutil.which("npm"):
        raise UnavailableError("npm is not installed")
    for folder, version in (("v1", "3.1.15"), ("v2", "4.0.9")):
        (place / folder).mkdir(exist_ok=True)
        command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(place / folder)]
        done = subprocess.run([*command, f"node-red@{version}"], capture_output=True, text=True)
        if done.returncode:
            raise UnavailableError(f"npm could not install node-red: {done.stderr.strip()[-200:]}")


def _mini(place: Path) -> None:
    """68 small texts, 540 KB, of which the upgrade changes 20, removes 3 and adds 5."""
    dice = random.Random(7)
    words = [dice.randbytes(dice.randint(2, 9)).hex().encode() for _ in range(3000)]
    folders = [".claude/commands", ".claude/agents", "docs", "docs/guides", "examples", "templates", "config"]
    files = [place / "v1" / folders[n % len(folders)] / f"{n:02}.md" for n in range(68)]
    for file in files:
        text = b" ".join(dice.choices(words, k=dice.randint(300, 1100)))
        _write(file, text)
    _copy(place)
    twins = [place / "v2" / file.relative_to(place / "v1") for file in dice.sample(files, 23)]
    for twin in twins[:20]:
        _write(twin, twin.read_bytes() + b"\nupgraded line\n" * dice.randint(1, 20), UPGRADED)
    for twin in twins[20:]:
        twin.unlink()
    for n in range(5):
        _write(place / f"v2/docs/new-{n}.md", b" ".join(dice.choices(words, k=500)), UPGRADED)


def _linux(place: Path) -> None:
    """The kernel's source, the upgrade of which is unpacked anew: every time changes, whatever else does."""
    _patched(place)
    for folder, folders, files in os.walk(place / "v2", topdown=False):
        for name in (*files, *folders):
            os.utime(os.path.join(folder, name), ns=(UPGRADED, UPGRADED), follow_symlinks=False)


def _patched(place: Path) -> None:
    """The kernel's source (78,600 files, 1.3 GB); the upgrade changes 2 %, removes 0.5 % and adds 0.5 %."""
    archives = sorted(Path("/usr/src").glob("linux-source-*.tar.xz"))
    if not archives:
        raise UnavailableError("needs a Debian package linux-source-*")
    subprocess.run(["tar", "-xJf", archives[-1], "--strip-components=1", "-C", place / "v1"], check=True)
    _copy(place)
    dice = random.Random(5)
    files = sorted(p for p in (place / "v2").rglob("*") if p.is_file() and not p.is_symlink())
    picked = dice.sample(files, len(files) * 3 // 100)
    sixth = len(picked) // 6
    for path in picked[:sixth]:
        path.unlink()
    for path in picked[sixth : 2 * sixth]:
        shutil.copyfile(path, path.with_name(path.name + ".new"))
    for path in picked[2 * sixth :]:
        data = path.read_bytes()
        at = dice.randrange(len(data) + 1)
        path.write_bytes(data[:at] + b"/* upgraded */" + data[at:])


def _bigfile(place: Path) -> None:
    """A database of 2 GB, a third of it incompressible, and 200 small files; 1 % of the pages change, 5 MB come."""
    dice = random.Random(11)
    text = b" ".join(dice.randbytes(dice.randint(2, 6)).hex().encode() for _ in range(400_000))

    def page(number: int) -> bytes:
        at = dice.randrange(len(text) - PAGE)
        return number.to_bytes(8, "big") + dice.randbytes(1400) + text[at : at + PAGE - 1408]

    for n in range(200):
        _write(place / f"v1/conf/{n % 10}/f{n}.conf", page(n)[1408 : 1408 + dice.randint(200, 2600)])
    pages = (2 << 30) // PAGE
    with open(place / "v1/app.db", "wb") as file:
        for n in range(pages):
            file.write(page(n))
    os.utime(place / "v1/app.db", ns=(OLD, OLD))
    _copy(place)
    with open(place / "v2/app.db", "r+b") as file:
        for n in sorted(dice.sample(range(pages), pages // 100)):
            file.seek(n * PAGE)
            file.write(page(n))
        file.seek(0, os.SEEK_END)
        for n in range((5 << 20) // PAGE):
            file.write(page(pages + n))
    os.utime(place / "v2/app.db", ns=(UPGRADED, UPGRADED))


def grown(place: Path, files: int) -> None:
    """A made-up installation of so many files of 1 KB, a hundred in a directory."""
    dice = random.Random(files)
    for n in range(files):
        folder = place / f"{n // 10_000:03}" / f"{n // 100 % 100:02}"
        if n % 100 == 0:
            folder.mkdir(parents=True)
        with open(folder / f"{n:07}.dat", "wb", buffering=0) as file:
            file.write(b"%d\n" % n + dice.randbytes(96).hex().encode() * 5 + dice.randbytes(48))


def _write(path: Path, data: bytes, when: int = OLD) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, ns=(when, when))


def _copy(place: Path) -> None:
    subprocess.run(["cp", "-a", place / "v1", place / "v2"], check=True)


MAKERS: dict[str, Callable[[Path], None]] = {
    "nodered": _nodered,
    "mini": _mini,
    "linux": _linux,
    "patched": _patched,
    "bigfile": _bigfile,
}
