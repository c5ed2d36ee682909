"""`python -m tests.secrets`: both figures of both corpora, and what was wrong."""

from __future__ import annotations

from tests.secrets.measure import CORPUS, HELD_OUT, measure

for name, folder in (("corpus", CORPUS), ("held out", HELD_OUT)):
    found = measure(folder)
    print(f"{name}: {found}")
    for title, wrong in (("missed", found.missed), ("masked", found.masked_wrongly)):
        for line in wrong:
            print(f"  {title}  {line}")
