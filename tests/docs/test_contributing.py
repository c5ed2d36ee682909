"""The example of a new ecosystem in CONTRIBUTING works as it stands there, and the reference names every ecosystem."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest

from gitsnap.core.packages import registry
from gitsnap.core.packages.rules import ECOSYSTEM

ROOT = Path(__file__).resolve().parents[2]


def blocks() -> list[str]:
    section = (ROOT / "CONTRIBUTING.md").read_text().partition("## Add an ecosystem")[2].partition("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", section, re.DOTALL)


def test_a_new_ecosystem_is_one_file_and_one_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_READERS", copy.deepcopy(registry.readers()))
    reader, test = blocks()
    example: dict[str, Any] = {}
    exec(compile(test, "test_grafana.py", "exec"), example)
    with pytest.raises(AssertionError):
        example["test_plugins"]()
    exec(compile(reader, "grafana.py", "exec"), {})
    example["test_plugins"]()


def test_the_reference_names_every_ecosystem() -> None:
    code = "".join(p.read_text() for p in (ROOT / "gitsnap/core/packages/readers").glob("*.py"))
    written = {
        *re.findall(r'Package\(\s*"([\w-]+)"', code),
        *re.findall(r'_headed\(\s*"([\w-]+)"', code),
        "jenkins-plugin",
        "java",
    }
    line = next(
        x for x in (ROOT / "docs/reference/json.md").read_text().splitlines() if x.startswith("| `ecosystem` |")
    )
    assert {*re.findall(r"`([\w-]+)`", line.partition(" | ")[2])} == written | {ECOSYSTEM}
