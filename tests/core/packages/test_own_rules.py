"""Packages that the configuration tells how to find."""

from __future__ import annotations

import re

from gitsnap.core.component import glob
from gitsnap.core.packages.model import Rule
from tests.support.package_trees import compared, told


def test_a_version_in_a_file_of_ones_own() -> None:
    rule = Rule("firmware", glob("firmware/*/VERSION"), re.compile(r"^v(?P<version>[\d.]+)", re.MULTILINE))
    old = {"firmware/a/VERSION": "text\nv1.9\nv0.1\n", "VERSION": "v1\n", "firmware/b/VERSION": "none"}
    found = compared(old, old | {"firmware/a/VERSION": "v1.10\n", "VERSION": "v2\n"}, [rule])
    assert told(found.changes) == ["own firmware 1.9 > 1.10 up"]


def test_many_packages_in_one_file() -> None:
    rule = Rule("x", glob("**/plugins.list"), re.compile(r"^(?P<name>\S+) (?P<version>\S+)$", re.MULTILINE))
    found = compared({"plugins.list": "a 1\nb 2\n"}, {"plugins.list": "a 1\nb 1\nc 3\n"}, [rule])
    assert told(found.changes) == ["own b 2 > 1 down", "own c - > 3 new"]
