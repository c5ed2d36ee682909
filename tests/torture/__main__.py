"""`python -m tests.torture [-j N] [WORD]...`: run all kinds whose names hold one of the words; a line for each.

Exits with 1 when anything was lost. Each kind runs in a process of its own, N of them at a time.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from tests.support import forking
from tests.torture.kinds import all_kinds, measure


def main() -> int:
    """Run, print, and say whether all went well."""
    arguments = argparse.ArgumentParser(prog="python -m tests.torture")
    arguments.add_argument("-j", type=int, default=2, metavar="N", help="how many kinds at a time")
    arguments.add_argument("words", nargs="*", help="only kinds whose names hold one of these")
    given = arguments.parse_args()
    names = [n for n in all_kinds() if not given.words or any(w in n for w in given.words)]
    points = lost = 0
    with ProcessPoolExecutor(given.j, get_context("spawn"), forking.prepare) as pool:
        for name, (tally, seconds) in zip(names, pool.map(measure, names), strict=True):
            print(f"{tally.line(name)}   {seconds:,.0f} s", flush=True)
            for complaint in tally.lost[:20]:
                print(f"    {complaint}", file=sys.stderr, flush=True)
            points, lost = points + tally.points, lost + len(tally.lost)
    print(f"{'all':34} {points:6,} points   {lost} lost")
    return 1 if lost or not names else 0


if __name__ == "__main__":
    sys.exit(main())
