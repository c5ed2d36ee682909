"""The page on git's answers: its commands, run one after the other on three upgrades, show what it says."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.docs.test_tutorial import commands, happens, steady, written
from tests.support.installation import REPOSITORY

PAGE = REPOSITORY / "docs/how-to/inspect-with-git.md"
_COMMIT = re.compile(r"\b[0-9a-f]{40}\b|(?m:^\^?[0-9a-f]{7,8}(?= ))|(?<=\.\.)[0-9a-f]{7}\b|\b[0-9a-f]{7}(?=\.\.)")
# Of a line's history, git 2.55 tells them, 2.39 does not.
_MODES_AND_BLOBS = re.compile(r"(?m)^(?:index <COMMIT>\.\.<COMMIT>(?: \d+)?|new file mode \d+)\n")
_DATES = re.compile(r"(?m)^\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ(?=-to-)")

# What the page's history is made of; every state of every file in it can be told apart by the page's questions.
HISTORY = r"""
mkdir -p app/config app/modules home; cd app
printf 'currency = EUR\nport = 80\nname = shop\n' >config/shop.ini
printf 'add() { echo $(($1 + $2)); }\ntotal() { add 1 2; }\nprint() { total; }\n' >modules/cart.sh
echo 'an old promise' >TODO; printf 'Grüße\n' >'größe.txt'; echo 3.0 >VERSION
cp -a . ../app-2025-03-14; gitsnap import ../app-2025-03-14 -q >/dev/null
gitsnap run -q --label to-3.1 -- sh -c 'echo 3.1 >VERSION; rm TODO'
gitsnap run -q --label to-4.0 -- bash -c 'echo 4.0 >VERSION; sed -i s/80/8080/ */shop.ini; mv modules/{cart,basket}.sh'
gitsnap run -q --label to-4.1 -- sh -c 'echo 4.1 >VERSION; echo "# taxes" >>modules/basket.sh; echo Hallo >>größe.txt'
"""


def masked(text: str) -> str:
    return _MODES_AND_BLOBS.sub("", _COMMIT.sub("<COMMIT>", steady(_DATES.sub("<TIME>", text))))


def test_what_it_says_is_what_happens(tmp_path: Path) -> None:
    text = PAGE.read_text()
    shown = happens([HISTORY, *commands(text)], tmp_path)[1:]
    now = written(text, shown)
    if os.environ.get("GITSNAP_UPDATE_TRANSCRIPTS"):
        PAGE.write_text(now)
    elif masked(now) != masked(text):
        before, after = masked(text).splitlines(), masked(now).splitlines()
        wrong = [f"{a!r}, but it shows {b!r}" for a, b in zip(before, after, strict=False) if a != b]
        pytest.fail("GITSNAP_UPDATE_TRANSCRIPTS=1 writes the page anew.\n" + "\n".join(wrong), pytrace=False)
    assert (tmp_path / "march/config/shop.ini").read_text() == "currency = EUR\nport = 80\nname = shop\n"
    assert (tmp_path / "march/VERSION").read_text() == "3.0\n"
