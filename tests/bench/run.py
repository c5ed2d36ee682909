"""Measure: `python -m tests.bench.run [--rounds N] [--growth] CORPUS...`; tables, and JSON in $BENCH_ROOT/results.

Every tool goes through the same life on a copy of its own: first snapshot, one with nothing changed, the upgrade in
place and a snapshot after it, verify, rollback, a snapshot of one changed line and the way back from that, thirty such
snapshots, gc. Rounds are interleaved. `cp -a` and rsync, which is what people do without, take part in what they have.
After gitsnap's rollback rsync must find no difference to the original, in content, owners, modes, times, links and
attributes; otherwise the run fails.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench import corpora, growth, pushes
from tests.bench.report import machine, report
from tests.bench.tools import TOOLS, FailedError, Gitsnap, Tool

SMALL_ONES = 30

ROOT = Path(os.environ.get("BENCH_ROOT", "build/bench")).resolve()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpora", nargs="*", metavar="CORPUS", help=", ".join(corpora.MAKERS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--growth", action="store_true", help="growth curves, too")
    parser.add_argument("--tools", default="", help="comma-separated; all that are installed by default")
    options = parser.parse_args()
    if unknown := [name for name in options.corpora if name not in corpora.MAKERS]:
        parser.error(f"there is no corpus {unknown[0]!r}; there are {', '.join(corpora.MAKERS)}")
    tools = [t for t in TOOLS if t.available() and (not options.tools or t.name in options.tools.split(","))]
    results = ROOT / "results"
    results.mkdir(parents=True, exist_ok=True)
    texts, wrong, missed = [machine(ROOT)], [], 0
    for name in options.corpora:
        try:
            place = corpora.corpus(ROOT, name)
        except corpora.UnavailableError as why:
            print(f"{name}: left out, {why}")
            continue
        found = measure(name, place, tools, options.rounds, wrong)
        (results / f"{name}.json").write_text(json.dumps(found, indent=1))
        text, count = report(name, found)
        missed += count
        texts.append(text)
        print(f"\n{text}", flush=True)
        if Gitsnap in tools:
            text, count = pushes.report(name, pushes.measure(name, place, ROOT / "work" / f"push-{name}"))
            missed += count
            texts.append(text)
            print(f"\n{text}", flush=True)
    if options.growth:
        curves = growth.measure(ROOT)
        (results / "growth.json").write_text(json.dumps(curves, indent=1))
        growth.plot(curves, Path("docs/internals/growth.svg"))
        text, count = growth.report(curves)
        missed += count
        texts.append(text)
        print(f"\n{text}", flush=True)
    (results / "bench.md").write_text("\n\n".join(texts))
    print(f"\n{missed} target{'s' * (missed != 1)} missed; {results}/bench.md and the JSON beside it hold all of this")
    for words in wrong:
        print(f"WRONG RESULT: {words}", file=sys.stderr)
    return 1 if wrong else 0


def measure(name: str, place: Path, tools: list[type[Tool]], rounds: int, wrong: list[str]) -> dict[str, Any]:
    """All rounds of all tools; what each operation took."""
    found: dict[str, Any] = {"corpus": name, "rounds": rounds, "versions": {}, "runs": {t.name: [] for t in tools}}
    for number in range(rounds):
        for tool in tools:
            base = ROOT / "work" / name / tool.name
            shutil.rmtree(base, ignore_errors=True)
            base.mkdir(parents=True)
            one = tool(base)
            found["versions"][tool.name] = one.version()
            print(f"{time.strftime('%T')} {name} {number + 1}/{rounds} {tool.name}", flush=True)
            found["runs"][tool.name].append(life(one, place, wrong, last=number == rounds - 1))
            subprocess.run(["rm", "-rf", base], check=True)
    found["medians"] = {name: medians(runs) for name, runs in found["runs"].items()}
    return found


def edit(folder: Path, number: int) -> None:
    """One more line in the first file that people write."""
    texts = [path for path in folder.rglob("*") if path.suffix in (".js", ".py", ".c", ".md") and path.is_file()]
    file = min(texts, default=folder / "notes.md")
    with open(file, "a") as text:
        text.write(f"// {number}\n")


def life(tool: Tool, place: Path, wrong: list[str], *, last: bool) -> dict[str, Any]:
    """One tool's way through everything."""
    out: dict[str, Any] = {}
    copy(place / "v1", tool.dir)

    def timed(operation: str, function: Any, *arguments: str) -> Any:
        if tool.has is not None and operation not in tool.has:
            return None
        os.sync()
        tool.reset()
        value = function(*arguments)
        out[operation] = {"secs": tool.secs, "cpu": tool.cpu, "rss": tool.rss}
        print(f"    {operation:12} {tool.secs:8.3f} s, CPU {tool.cpu:7.3f} s, {tool.rss:5.0f} MB", flush=True)
        return value

    try:
        timed("init", tool.init)
        first = timed("first", tool.snapshot)
        timed("nochange", tool.snapshot)
        subprocess.run(["rsync", "-aHAX", "--delete", f"{place / 'v2'}/", f"{tool.dir}/"], check=True)
        timed("upgrade", tool.snapshot)
        out["size upgrade"] = size(tool.repo)
        timed("verify", tool.verify, first)
        timed("rollback", tool.rollback, first)
        out["different"] = exactly(tool, place, wrong)
        before = size(tool.repo)
        edit(tool.dir, 0)
        timed("one line", tool.snapshot)
        if "one line" in out:
            out["size one line"] = size(tool.repo) - before
        timed("rollback few", tool.rollback, first)
        exactly(tool, place, wrong)
        if last and tool.has is None:
            before = size(tool.repo)
            for number in range(SMALL_ONES):
                edit(tool.dir, number)
                tool.snapshot()
            out["size 30 lines"] = size(tool.repo) - before
            timed("gc", tool.gc)
            out["size gc"] = size(tool.repo)
            out["gc --full"], out["size gc --full"] = out["gc"], out["size gc"]
            if isinstance(tool, Gitsnap):
                timed("gc --full", tool.gc_in_full)
                out["size gc --full"] = size(tool.repo)
                check_with_git(tool, wrong)
    except FailedError as why:
        print(f"    {why}", flush=True)
        out["failed"] = str(why)
        if isinstance(tool, Gitsnap):
            wrong.append(str(why))
    return out


def exactly(tool: Tool, place: Path, wrong: list[str]) -> int:
    """How many paths are not as they were before the upgrade; of gitsnap each one is wrong."""
    different = differences(place / "v1", tool.dir)
    if different and isinstance(tool, Gitsnap):
        wrong.append(f"{place.name}: {len(different)} paths differ after the rollback: {different[:3]}")
    return len(different)


def copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-a", source, target], check=True)


def size(path: Path) -> int:
    """Bytes on disk."""
    return int(subprocess.check_output(["du", "-s", "-B1", path]).split()[0])


def differences(original: Path, restored: Path) -> list[str]:
    """What rsync, reading every byte, would change to make the second directory the first."""
    command = ["rsync", "-aHAXn", "--delete", "--checksum", "--itemize-changes", f"{original}/", f"{restored}/"]
    return subprocess.run(command, check=True, capture_output=True, text=True, errors="replace").stdout.splitlines()


def check_with_git(tool: Tool, wrong: list[str]) -> None:
    done = subprocess.run(
        ["git", f"--git-dir={tool.repo}", "fsck", "--full", "--strict", "--no-progress"],
        capture_output=True,
        text=True,
        env=tool.env,
    )
    if done.returncode or done.stdout or done.stderr:
        wrong.append(f"git fsck --full --strict: {done.returncode} {(done.stdout + done.stderr)[:200]}")


def medians(runs: list[dict[str, Any]]) -> dict[str, Any]:
    names = dict.fromkeys(key for run in runs for key in run)
    out: dict[str, Any] = {}
    for name in names:
        values = [run[name] for run in runs if name in run]
        if isinstance(values[0], dict):
            out[name] = {key: median(v[key] for v in values) for key in values[0]}
        elif isinstance(values[0], int):
            out[name] = median(values)
    return out


if __name__ == "__main__":
    sys.exit(main())
