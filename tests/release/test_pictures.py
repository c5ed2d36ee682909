"""The pictures in the docs show what gitsnap prints today. Left out as the tests of packages are."""

from __future__ import annotations

import html
import os
import re
import shutil
from pathlib import Path

import pytest

from packages.source import ROOT

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
    pytest.mark.skipif(os.environ.get("GITSNAP_TEST_PACKAGES") == "no", reason="GITSNAP_TEST_PACKAGES=no"),
]


def _words(picture: Path) -> str:
    """What it says, but for times, ages, durations and places, and what they push out of a line."""
    lines = re.findall(r"<text[^>]*>(.*?)</text>", picture.read_text(), re.DOTALL)
    text = html.unescape(re.sub(r"<[^>]+>", "", "\n".join(lines))).replace("\xa0", " ")
    # A second snapshot in one second has a number behind its id.
    text = re.sub(r"-(pre|post|safety|upgrade)-\d+", r"-\1", re.sub(r"/\S*/srv/app", "", text))
    text = re.sub(r"before 2\S+.*", "before", text)
    return re.sub(r"\s+", " ", re.sub(r"\d+(\.\d+)? ?(s|m|min|ms)\b|\d+", "0", text))


def test_they_are_what_is_printed(tmp_path: Path) -> None:
    pytest.importorskip("rich", reason="rich is not installed")
    from packages.screenshots import take

    take(tmp_path)
    there = sorted(p.name for p in (ROOT / "docs/pictures").glob("*.svg"))
    assert there == sorted(p.name for p in tmp_path.glob("*.svg"))
    for name in there:
        assert _words(ROOT / "docs/pictures" / name) == _words(tmp_path / name), "`make pictures` takes them anew"
