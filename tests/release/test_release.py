"""The CHANGELOG's section, versions as dpkg orders them, what the sources' moment is."""

from __future__ import annotations

import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from packages.deb import debian_version
from packages.release import with_section
from packages.source import PINNED, PROJECT, epoch

CHANGELOG = "# Changelog\n\n## [Unreleased]\n\n### Added\n- One.\n\n## [0.1.0] - 2026-01-02\n\n### Added\n- Two.\n"


def test_what_is_unreleased_becomes_the_section() -> None:
    assert with_section(CHANGELOG, "0.2.0", "2026-03-04") == CHANGELOG.replace(
        "## [Unreleased]\n", "## [Unreleased]\n\n## [0.2.0] - 2026-03-04\n"
    )


@pytest.mark.parametrize(
    "text, version",
    [
        (CHANGELOG, "0.1.0"),
        (CHANGELOG.replace("### Added\n- One.\n", ""), "0.2.0"),
        ("# Changelog\n\n## [Unreleased]\n", "0.2.0"),
        ("# Changelog\n", "0.2.0"),
    ],
)
def test_no_section_twice_and_none_of_nothing(text: str, version: str) -> None:
    with pytest.raises(ValueError, match="CHANGELOG"):
        with_section(text, version, "2026-03-04")


def test_dpkg_orders_versions_as_python_does() -> None:
    order = ["0.1.dev3+gabc", "1.0a1", "1.0b2", "1.0rc1.dev4", "1.0rc1", "1.0", "1.0.1.dev2+gabc", "1.0.1"]
    for older, newer in pairwise(map(debian_version, order)):
        done = subprocess.run(["dpkg", "--compare-versions", older, "lt", newer], check=False)
        assert done.returncode == 0, (older, newer)


def test_a_commit_is_no_part_of_the_order() -> None:
    assert debian_version("0.1.dev376+gd8fa50074b1") == "0.1~dev376+gd8fa50074b1"


def test_the_moment_is_told_by_the_variable_or_by_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    (tmp_path / "PKG-INFO").touch()
    import os

    os.utime(tmp_path / "PKG-INFO", (1_600_000_000, 1_600_000_000))
    assert epoch(tmp_path) == 1_600_000_000
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1500000000")
    assert epoch(tmp_path) == 1_500_000_000


def test_what_is_shipped_is_what_the_project_asks_for() -> None:
    from packaging.requirements import Requirement

    lines = [line.removesuffix("\\").split(";")[0] for line in PINNED.read_text().splitlines() if "==" in line]
    pinned = dict(line.strip().split("==") for line in lines)
    for wanted in map(Requirement, PROJECT["dependencies"]):
        assert wanted.specifier.contains(pinned[wanted.name]), wanted
