"""How gitsnap grows: with the files in the installation, with the snapshots in the sidecar; and how it starts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench import corpora, pushes
from tests.bench.report import MISSED, bounded, table
from tests.bench.targets import COMPLETE_1000, HELP, LIST_50, MANY_SNAPSHOTS, MILLION
from tests.bench.tools import Gitsnap

FILES = (1_000, 10_000, 100_000, 1_000_000)
SNAPSHOTS = (1, 10, 100, 1_000)
_COMMANDS = {"list": ["list"], "snapshot": ["snapshot"], "prune -n": ["prune", "-n"]}
_TIMES = 7


def measure(root: Path) -> dict[str, Any]:
    """All curves."""
    place = root / "work" / "growth"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    files = [_with_files(place / f"files-{count}", count) for count in FILES]
    snapshots = _with_snapshots(place / "snapshots")
    subprocess.run(["rm", "-rf", place], check=True)
    return {"files": files, "snapshots": snapshots}


def _with_files(base: Path, count: int) -> dict[str, float]:
    base.mkdir()
    tool = Gitsnap(base)
    corpora.grown(tool.dir, count)
    os.sync()
    out: dict[str, float] = {"files": count}
    time.sleep(2.5)
    for name in ("first", "nochange"):
        tool.reset()
        tool.snapshot()
        out |= {f"{name} secs": tool.secs, f"{name} cpu": tool.cpu, f"{name} rss": tool.rss}
    print(f"    {count} files: {out}", flush=True)
    subprocess.run(["rm", "-rf", base], check=True)
    return out


def _with_snapshots(base: Path) -> dict[str, Any]:
    base.mkdir()
    tool = Gitsnap(base)
    corpora.grown(tool.dir, 300)
    tool.init()
    (tool.repo / "gitsnap.toml").write_text("[retention]\nkeep-last = 100000\n")
    taken, rows = 0, []
    start = _seconds(tool, [sys.executable, "-c", "pass"])
    out: dict[str, Any] = {"python": start, "help": _seconds(tool, [str(tool.program), "--help"])}
    for goal in (*SNAPSHOTS[:2], 50, *SNAPSHOTS[2:]):
        while taken < goal:
            (tool.dir / "changing").write_text(f"{taken}\n")
            tool.snapshot()
            taken += 1
        if goal == 50:
            out["list 50"] = _seconds(tool, _words(tool, ["list"]))
            continue
        row: dict[str, float] = {"snapshots": goal}
        for name, words in _COMMANDS.items():
            # A snapshot more or less does not matter here.
            row[name] = _seconds(tool, _words(tool, words))
            taken += _TIMES * (words == ["snapshot"])
        print(f"    {goal} snapshots: {row}", flush=True)
        rows.append(row)
    asked = ["__complete", "fish", "-C", str(tool.dir), "--store", str(tool.repo), "show", ""]
    out["complete 1,000"] = _seconds(tool, [str(tool.program), *asked])
    there = pushes.remote(tool)
    tool.call("push")
    out["push"], out["push by git"] = pushes.nothing_new(tool, there[1])
    return out | {"rows": rows}


def _words(tool: Gitsnap, words: list[str]) -> list[str]:
    return [str(tool.program), "-q", "-C", str(tool.dir), "--store", str(tool.repo), *words]


def _seconds(tool: Gitsnap, command: list[str]) -> float:
    times = []
    for _ in range(_TIMES):
        began = time.perf_counter()
        subprocess.run(command, env=tool.env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        times.append(time.perf_counter() - began)
    return median(times)


def report(curves: dict[str, Any]) -> tuple[str, int]:
    """The tables, and how many targets were missed."""
    columns = ["files", "first", "µs a file", "MB", "nothing changed", "µs a file", "MB"]
    rows, missed = [], 0
    for point in curves["files"]:
        cells = [f"{point['files']:,}"]
        for name in ("first", "nochange"):
            secs = point[f"{name} secs"]
            most = MILLION[name] if point["files"] == 1_000_000 else (None, None)
            measured = [bounded(f"{secs:.2f}", secs, most[0])]
            measured += [f"{secs / point['files'] * 1e6:.0f}"]
            measured += [bounded(f"{point[f'{name} rss']:.0f}", point[f"{name} rss"], most[1])]
            missed += sum(MISSED in cell for cell in measured)
            cells += measured
        rows.append(cells)
    lines = ["### Growth with files of 1 KB", "", *table(columns, rows), ""]
    found = curves["snapshots"]
    shown = []
    by_count = {row["snapshots"]: row for row in found["rows"]}
    for name in _COMMANDS:
        ratio = by_count[1_000][name] / by_count[10][name]
        # What list prints grows; that is not held against it.
        bad = ratio > MANY_SNAPSHOTS and name != "list"
        missed += bad
        times = [f"{by_count[count][name]:.3f}" for count in SNAPSHOTS]
        shown.append([name, *times, f"{ratio:.2f}{f' > {MANY_SNAPSHOTS} {MISSED}' if bad else ''}"])
    lines += ["### Growth with snapshots", ""]
    lines += table(["seconds with", *(f"{count:,}" for count in SNAPSHOTS), "1,000 against 10"], shown)
    lines += ["", "### Start-up", ""]
    starts = []
    for name, bound in (("help", HELP), ("list 50", LIST_50), ("complete 1,000", COMPLETE_1000)):
        ratio = found[name] / found["python"]
        missed += ratio > bound
        starts.append([name, f"{found[name]:.3f}", f"{ratio:.1f} {'≤' if ratio <= bound else '>'} {bound:g}"])
    lines += table(["", "seconds", "× python -c pass"], starts)
    ratio = found["push"] / found["push by git"]
    missed += ratio > pushes.NOTHING_NEW
    verdict = "≤" if ratio <= pushes.NOTHING_NEW else f"{MISSED} >"
    lines += [
        "",
        f"A push with nothing new: {found['push']:.3f} s of CPU, {ratio:.1f} {verdict} {pushes.NOTHING_NEW:g} × git's",
    ]
    return "\n".join(lines), missed


def plot(curves: dict[str, Any], target: Path) -> None:
    """Seconds and megabytes over the number of files, both axes logarithmic, as SVG."""
    left = [("first snapshot", "first secs", "#1f77b4"), ("nothing changed", "nochange secs", "#d62728")]
    right = [("first snapshot", "first rss", "#1f77b4"), ("nothing changed", "nochange rss", "#d62728")]
    parts = [_axes(0, "seconds", curves["files"], left), _axes(420, "MB of memory", curves["files"], right)]
    body = "\n".join(parts)
    head = '<svg xmlns="http://www.w3.org/2000/svg" width="840" height="320" font-family="sans-serif" font-size="12">'
    target.write_text(f'{head}\n<rect width="840" height="320" fill="white"/>\n{body}\n</svg>\n')


def _axes(x: int, unit: str, points: list[dict[str, float]], series: list[tuple[str, str, str]]) -> str:
    from math import ceil, floor, log10

    values = [point[key] for point in points for _, key, _ in series]
    low, high = floor(log10(min(values))), ceil(log10(max(values)))
    first, last = log10(points[0]["files"]), log10(points[-1]["files"])

    def place(files: float, value: float) -> tuple[float, float]:
        across = (log10(files) - first) / max(last - first, 1e-9)
        up = (log10(value) - low) / max(high - low, 1)
        return x + 60 + 330 * across, 270 - 220 * up

    out = [f'<text x="{x + 60}" y="30">{unit} by number of files (1 KB each)</text>']
    for power in range(low, high + 1):
        _, y = place(points[0]["files"], 10**power)
        out.append(f'<line x1="{x + 60}" x2="{x + 390}" y1="{y:.0f}" y2="{y:.0f}" stroke="#ddd"/>')
        out.append(f'<text x="{x + 52}" y="{y + 4:.0f}" text-anchor="end">{10.0**power:g}</text>')
    for point in points:
        across, _ = place(point["files"], 10**low)
        out.append(f'<text x="{across:.0f}" y="290" text-anchor="middle">{point["files"]:,.0f}</text>')
    for row, (name, key, color) in enumerate(series):
        line = " ".join(f"{a:.1f},{b:.1f}" for a, b in (place(p["files"], p[key]) for p in points))
        out.append(f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="2"/>')
        out.append(f'<text x="{x + 70}" y="{60 + 16 * row}" fill="{color}">{name}</text>')
    return "\n".join(out)
