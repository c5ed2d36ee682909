"""Rows of line numbers against stock diff's words, and words that differ."""

from __future__ import annotations

import subprocess
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from gitsnap.core.textdiff import DiffRow, differing, rows
from tests.support.examples import examples

LINES = st.lists(st.sampled_from(["a", "b = 1", "b = 2", "", "- x", "+ y", "@@ -1 +1 @@", "return c(d)"]), max_size=14)


def unified(old: list[str], new: list[str], folder: Path) -> bytes:
    for name, lines in (("old", old), ("new", new)):
        (folder / name).write_text("".join(f"{line}\n" for line in lines))
    done = subprocess.run(["diff", "-u", "old", "new"], cwd=folder, capture_output=True)
    return b"".join(done.stdout.splitlines(keepends=True)[2:])


@examples(60)
@given(LINES, LINES)
def test_rows_turn_the_one_into_the_other(tmp_path_factory, old: list[str], new: list[str]) -> None:  # type: ignore[no-untyped-def]
    found = [row for hunk in rows(unified(old, new, tmp_path_factory.mktemp("diff"))) for row in hunk]
    assert [r.old for r in found if r.old] == sorted(r.old for r in found if r.old)
    assert all(old[r.old - 1] == new[r.new - 1] for r in found if not r.changed and r.old and r.new)
    gone = {r.old for r in found if r.changed}
    came = {r.new for r in found if r.changed}
    assert [line for n, line in enumerate(old, 1) if n not in gone] == [
        line for n, line in enumerate(new, 1) if n not in came
    ]


def test_lines_that_are_alike_stand_beside_each_other() -> None:
    hunk = (
        b"@@ -1,2 +1,3 @@\n-alpha beta gamma\n-one two three\n+something new here\n+alpha beta delta\n+one two four\n"
    )
    assert rows(hunk) == [[DiffRow(None, 1, True), DiffRow(1, 2, True), DiffRow(2, 3, True)]]


def test_words_that_differ() -> None:
    assert differing("port = 80 # http", "port = 8080 # http") == ([(7, 9)], [(7, 11)])
    assert differing("nothing in common", "xyz(1)") == ([], [])
    assert differing("same", "same") == ([], [])
