"""What pyproject.toml cannot say: the README as an index shows it, where links into the repository lead nowhere."""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import setup

README = (Path(__file__).parent / "README.md").read_text(encoding="utf-8")
# The text of a link stays; where it leads is in the source distribution, under the same name.
_INTO_THE_REPOSITORY = re.compile(r"(?<!!)\[([^\]]+)\]\((?![a-z]+://|mailto:)[^)]+\)")

setup(
    long_description=_INTO_THE_REPOSITORY.sub(r"\1", README),
    long_description_content_type="text/markdown",
)
