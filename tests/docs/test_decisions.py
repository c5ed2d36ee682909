"""Each decision has a status with a date and the four parts, and the index names it by its title."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ADR = Path(__file__).resolve().parents[2] / "docs" / "adr"
RECORDS = sorted(ADR.glob("[0-9]*.md"))
INDEX = (ADR / "README.md").read_text()
_STATUS = re.compile(
    r"^Status: (?:accepted|superseded by (?:\[\d{4}\]\([^)]+\.md\)(?:, )?)+), \d{4}-\d{2}-\d{2}$", re.MULTILINE
)


@pytest.mark.parametrize("record", RECORDS, ids=lambda p: p.name[:4])
def test_a_record_has_its_parts(record: Path) -> None:
    text = record.read_text()
    assert _STATUS.search(text)
    found = re.findall(r"^## (.+)$", text, re.MULTILINE)
    wanted = ["Context", "Decision", "Consequences", "Negative consequences"]
    assert [part for part in found if part in wanted] == wanted


@pytest.mark.parametrize("record", RECORDS, ids=lambda p: p.name[:4])
def test_the_index_names_it(record: Path) -> None:
    number = record.name[:4]
    assert record.read_text().startswith(f"# {number}. ")
    assert f"| [{number}]({record.name}) |" in INDEX


def test_the_index_names_nothing_else() -> None:
    assert sorted(re.findall(r"^\| \[\d{4}\]\(([^)]+)\)", INDEX, re.MULTILINE)) == [r.name for r in RECORDS]
