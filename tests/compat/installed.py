"""Which packages are installed, asked of those who know: importlib.metadata, npm, and applications' own files.

Nothing in here reads what gitsnap's readers read in the way they do.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# (ecosystem, name, directory that it is in) to its version.
Versions = dict[tuple[str, str, str], str]


def python(root: Path) -> Versions:
    """What importlib.metadata finds in each directory of packages that is not inside of a package."""
    sites = {p.parent for p in root.rglob("*.dist-info")} | {p.parent for p in root.rglob("*.egg-info")}
    return {
        ("python", canonical(found.metadata["Name"]), site.relative_to(root).as_posix()): found.version
        for site in sites
        if "_vendor" not in site.parts
        for found in importlib.metadata.distributions(path=[str(site)])
    }


def npm(root: Path) -> Versions:
    """What npm finds at the top of `node_modules`."""
    done = subprocess.run(
        ["npm", "ls", "--all", "--parseable", "--long", "--offline"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    found: Versions = {}
    for line in done.stdout.splitlines():
        place, _, named = line.partition(":")
        place = place.removeprefix(str(root.resolve()) + "/")
        name, _, version = named.partition(":")[0].rpartition("@")
        if place == f"node_modules/{name}":
            found["npm", name, place] = version
    return found


def wordpress(root: Path) -> Versions:
    """What the readme of each plugin and theme says, and the page that greets after an upgrade."""
    found: Versions = {}
    for top in (p.parent for p in root.rglob("wp-includes") if p.is_dir()):
        text = (top / "wp-includes/version.php").read_text()
        found["wordpress", "wordpress", _relative(top, root)] = text.partition("$wp_version = '")[2].partition("'")[0]
        for kind in ("plugin", "theme"):
            for readme in (top / f"wp-content/{kind}s").glob("*/readme.txt"):
                said = re.search(r"(?im)^stable tag:\s*(\S+)", readme.read_text("utf-8", "replace"))
                if said:
                    own = readme.parent
                    found[f"wordpress-{kind}", own.name, _relative(own, root)] = said[1]
    return found


def reported(report: Path, where: str) -> Versions:
    """What pip says that it installed (`--report`)."""
    said = json.loads(report.read_text())
    metadata = [one["metadata"] for one in said["install"]]
    return {("python", canonical(m["name"]), where): m["version"] for m in metadata}


def changed(old: Versions, new: Versions) -> set[tuple[str, str, str | None, str | None]]:
    """What differs, as (ecosystem, name, version before, version after)."""
    return {(k[0], k[1], old.get(k), new.get(k)) for k in old.keys() | new.keys() if old.get(k) != new.get(k)}


def told(document: Mapping[str, Any]) -> set[tuple[str, str, str | None, str | None]]:
    """What `gitsnap changelog --json` says, of packages that are installed on their own."""
    return {
        (p["ecosystem"], canonical(p["name"]) if p["ecosystem"] == "python" else p["name"], p["old"], p["new"])
        for p in document["packages"]
        if p["kind"] == "installed"
    }


def canonical(name: str) -> str:
    """A Python distribution's name as names are compared: PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()
