"""What a push costs: the first one, one after a change of one line, and one with nothing new beside git's; and what a
clone of it does, which verifies and brings back all of it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

from tests.bench.report import table
from tests.bench.tools import Gitsnap

# What is pushed after a change of one line, in bytes; the memory that the first push takes, and a clone, in MB.
LINE = {"nodered": 15_000, "mini": 15_000, "linux": 200_000, "patched": 200_000}
MEMORY = 200
# Times git's processor time, with nothing new in a thousand snapshots.
NOTHING_NEW = 2.0


class Row(NamedTuple):
    """One figure, and what it may be at the most (None: nobody has said)."""

    name: str
    value: float
    most: float | None = None


def measure(name: str, place: Path, base: Path) -> list[Row]:
    """All figures of one corpus."""
    shutil.rmtree(base, ignore_errors=True)
    base.mkdir(parents=True)
    tool = Gitsnap(base)
    subprocess.run(["cp", "-a", place / "v1", tool.dir], check=True)
    tool.init()
    tool.snapshot()
    there = remote(tool)
    rows = []
    tool.reset()
    sent = _pushed(tool)
    rows += [Row("first, bytes", sent["bytes"]), Row("first, CPU s", tool.cpu), Row("first, MB", tool.rss, MEMORY)]
    changed = _line(tool.dir)
    if changed:
        tool.snapshot()
        tool.reset()
        rows += [Row("one line, bytes", _pushed(tool)["bytes"], LINE.get(name)), Row("one line, CPU s", tool.cpu)]
    own, git = nothing_new(tool, there[1])
    rows += [Row("nothing new, CPU s", own), Row("nothing new by git, CPU s", git)]
    subprocess.run(["git", "--git-dir", there[0], "fsck", "--full", "--strict", "--no-dangling"], check=True)
    rows += _cloned(tool, there[0])
    subprocess.run(["rm", "-rf", base], check=True)
    return rows


def remote(tool: Gitsnap) -> list[Path]:
    """A repository that is a remote from now on, and one for git."""
    there = [tool.base / "there.git", tool.base / "git.git"]
    for path in there:
        subprocess.run(["git", "init", "-q", "--bare", path], check=True)
    tool.call("remote", "add", "there", there[0], "--secrets", "allow")
    return there


def nothing_new(tool: Gitsnap, mirror: Path) -> tuple[float, float]:
    """What a push with nothing new takes, to the remote that there is, and by git to `mirror`: processor seconds."""
    own = _least(tool, lambda: _pushed(tool))
    words = ["git", "--git-dir", tool.repo, "push", "-q", "--mirror", mirror]
    tool.run(*words)
    return own, _least(tool, lambda: tool.run(*words))


def _cloned(tool: Gitsnap, there: Path) -> list[Row]:
    """A clone of the remote, which is compared with what was pushed."""
    new = tool.base / "clone"
    tool.reset()
    tool.run(tool.program, "-q", "--store", tool.base / "clone.git", "clone", there, new)
    subprocess.run(["diff", "-rq", "--no-dereference", tool.dir, new], check=True)
    return [Row("clone, CPU s", tool.cpu), Row("clone, MB", tool.rss, MEMORY)]


def _pushed(tool: Gitsnap) -> Any:
    return json.loads(tool.call("--json", "push"))


def _least(tool: Gitsnap, do: Any) -> float:
    """The least processor time of five."""
    found = []
    for _ in range(5):
        tool.reset()
        do()
        found.append(tool.cpu)
    return min(found)


def _line(top: Path) -> bool:
    """Change one line of a text, the first by name that has a hundred of them; whether there was one."""
    for path in sorted(p for p in top.rglob("*") if p.is_file() and not p.is_symlink() and p.stat().st_size < 1 << 20):
        lines = path.read_bytes().splitlines(keepends=True)
        if len(lines) > 100:
            lines[50] = b"changed " + lines[50]
            path.write_bytes(b"".join(lines))
            return True
    return False


def report(name: str, rows: list[Row]) -> tuple[str, int]:
    """A table, and how many figures are more than they may be."""
    cells, missed = [], 0
    for row in rows:
        over = row.most is not None and row.value > row.most
        missed += over
        most = "" if row.most is None else f"{row.most:,g}"
        cells.append([row.name, f"{row.value:,.2f}", most + " MISSED" * over])
    return "\n".join([f"## push, {name}", "", *table(["", "figure", "at most"], cells)]), missed
