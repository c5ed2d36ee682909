"""The table of licences in ADR 0100 names each dependency, with the licence that the package itself declares."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DEPENDENCIES = sorted(re.match(r"[\w.-]+", d)[0].lower() for d in PROJECT["dependencies"])  # type: ignore[index]
TABLE = dict(
    re.findall(
        r"^\| ([\w.-]+) \| ([\w.+ -]+?) \|$", (ROOT / "docs/adr/0100-gpl-3-or-later.md").read_text(), re.MULTILINE
    )
)
# What the free text of older metadata means, as SPDX has it.
_SPDX = {"MIT": "MIT", "MIT License": "MIT", "BSD License": "BSD-2-Clause"}
_WITH_GPL_3 = {
    "MIT", "PSF-2.0", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0", "GPL-2.0-or-later", "GPL-3.0-or-later",
}  # fmt: skip


def declared(package: str) -> str:
    """A package's licence as an SPDX expression, from its own metadata."""
    own = metadata(package)
    if own["License-Expression"]:
        return str(own["License-Expression"])
    return _SPDX[str(own["License"])]


def test_the_table_names_each_dependency() -> None:
    assert sorted(name for name in TABLE if name != "package") == DEPENDENCIES


@pytest.mark.parametrize("package", DEPENDENCIES)
def test_a_licence_is_what_the_package_declares(package: str) -> None:
    assert TABLE[package] == declared(package)


@pytest.mark.parametrize("package", DEPENDENCIES)
def test_a_licence_goes_together_with_ours(package: str) -> None:
    assert _WITH_GPL_3 & set(TABLE[package].split(" OR "))


def test_ours_is_what_the_project_says() -> None:
    assert PROJECT["license"] == "GPL-3.0-or-later"
    assert (ROOT / "LICENSE").read_text().split()[:6] == ["GNU", "GENERAL", "PUBLIC", "LICENSE", "Version", "3,"]
