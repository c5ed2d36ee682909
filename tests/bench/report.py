"""One table for a corpus: seconds, ratios, targets, and a mark where one is missed."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench.targets import OPERATIONS, SIZES, TARGETS, Target

MISSED = "✗"


def machine(root: Path) -> str:
    """What all of this was measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    kind = subprocess.run(["stat", "-f", "-c", "%T", root], capture_output=True, text=True).stdout.strip()
    return (
        f"{len(os.sched_getaffinity(0))} processors, {memory:.0f} GB of memory, {kind}, Linux {platform.release()}, "
        f"Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"
    )


def report(name: str, found: dict[str, Any]) -> tuple[str, int]:
    """The table, and how many targets were missed."""
    medians = found["medians"]
    ours = medians.get("gitsnap", {})
    others = [t for t in ("restic", "borg") if t in medians]
    plain = [t for t in ("cp + rsync",) if t in medians]
    columns = ["", "gitsnap", "git", *others, *plain, "× git", "× best other", "CPU × git", "MB"]
    rows, missed = [], 0
    for operation in (*OPERATIONS, *SIZES):
        if operation not in ours:
            continue
        target = TARGETS.get(name, {}).get(operation, Target())
        mine = _value(ours[operation])
        git = _value(medians.get("git", {}).get(operation))
        rivals = [v for v in (_value(medians[t].get(operation)) for t in others) if v is not None]
        if operation in SIZES and "restic" in others:
            rivals = [v for v in [_value(medians["restic"].get(operation))] if v is not None]
        best = min(rivals, default=None)
        memory = ours[operation]["rss"] if isinstance(ours[operation], dict) else None
        cells = [_ratio(mine, git, target.git), _ratio(mine, best, target.others), _cpu(medians, operation)]
        cells.append("" if memory is None else bounded(f"{memory:.0f}", memory, target.memory))
        missed += sum(MISSED in cell for cell in cells)
        shown = [
            _shown(operation, _value(medians.get(t, {}).get(operation))) for t in ("gitsnap", "git", *others, *plain)
        ]
        rows.append([operation, *shown, *cells])
    heading = f"### {name}, medians of {found['rounds']} interleaved rounds"
    different = ", ".join(f"{t} {m['different']:.0f}" for t, m in medians.items() if "different" in m)
    lines = [heading, "", *table(columns, rows), "", f"Paths that differ after the rollback: {different}."]
    versions = ", ".join(found["versions"].values())
    return "\n".join([*lines, f"Versions: {versions}."]), missed


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Markdown, aligned."""
    widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
    rule = ["-" * width for width in widths]
    return [f"| {' | '.join(c.ljust(w) for c, w in zip(row, widths, strict=True))} |" for row in (columns, rule, *rows)]


def _value(found: Any) -> float | None:
    return found["secs"] if isinstance(found, dict) else found


def _shown(operation: str, value: float | None) -> str:
    if value is None:
        return "–"
    if operation in SIZES:
        return f"{value / 1e3:.0f} KB" if value < 1e6 else f"{value / 1e6:.1f} MB"
    return f"{value:.3f}" if value < 1 else f"{value:.2f}"


def _ratio(mine: float | None, other: float | None, bound: float | None) -> str:
    if mine is None or not other:
        return "–"
    return bounded(f"{mine / other:.2f}", mine / other, bound)


def bounded(text: str, value: float, bound: float | None) -> str:
    """A figure with its bound, and the mark where it is missed."""
    if bound is None:
        return text
    return f"{text} ≤ {bound:g}" if value <= bound else f"{text} > {bound:g} {MISSED}"


def _cpu(medians: dict[str, Any], operation: str) -> str:
    mine, git = (medians.get(t, {}).get(operation) for t in ("gitsnap", "git"))
    return f"{mine['cpu'] / git['cpu']:.2f}" if isinstance(mine, dict) and isinstance(git, dict) else "–"
