"""gitsnap and all that it needs, at the pinned versions, in one folder: what the zipapp and the Debian package hold."""

from __future__ import annotations

import email.parser
import email.policy
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packages.source import PINNED, python

# Where files came from, which is another place on each machine, and what pip alone reads.
_PIPS_OWN = ("direct_url.json", "RECORD", "REQUESTED", "INSTALLER")


@dataclass(frozen=True)
class Shipped:
    """One package in such a folder."""

    name: str
    version: str
    licence: str
    authors: str
    texts: tuple[Path, ...]


def install(wheel: Path, into: Path, moment: int) -> None:
    """Install a wheel of gitsnap with its pinned dependencies, each checked by its digest."""
    pip = ("-m", "pip", "-qq", "--no-input", "install", "--no-deps", "--no-compile", "--target", into)
    # Of the one there is no wheel; it is Python alone.
    wheels = ("--only-binary", ":all:", "--no-binary", "gitignore-parser", "--no-build-isolation")
    python(*pip, *wheels, "--require-hashes", "-r", PINNED, moment=moment)
    python(*pip, "--no-index", wheel, moment=moment)
    shutil.rmtree(into / "bin", ignore_errors=True)
    for own in into.glob("*.dist-info/*"):
        if own.name in _PIPS_OWN:
            own.unlink()


def shipped(folder: Path) -> Iterator[Shipped]:
    """The packages in a folder, by name.

    Raises:
        SystemExit: One does not say what it is licensed under.

    """
    for info in sorted(folder.glob("*.dist-info"), key=lambda p: p.name.lower()):
        said = email.parser.Parser(policy=email.policy.compat32).parsestr((info / "METADATA").read_text())
        free = said["License"] if said["License"] and "\n" not in said["License"] else None
        classified = [c.rpartition(" :: ")[2] for c in said.get_all("Classifier", ()) if c.startswith("License ::")]
        licence = said["License-Expression"] or free or " and ".join(classified)
        if not licence:
            raise SystemExit(f"{said['Name']} does not say what it is licensed under")
        authors = said["Author"] or said["Author-email"] or said["Maintainer-email"] or f"the authors of {said['Name']}"
        texts = sorted(p for p in info.rglob("*") if p.is_file() and _is_licence(p.name))
        yield Shipped(said["Name"], said["Version"], licence, " ".join(authors.split()), tuple(texts))


def _is_licence(name: str) -> bool:
    return name.upper().startswith(("LICEN", "COPYING", "NOTICE", "AUTHORS"))
