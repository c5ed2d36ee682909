"""Real upgrades, from the package registries, and whether `changelog` tells them rightly: `make upgrades`.

Each is installed, captured, upgraded in place and captured again. What `changelog --json` says of packages is then
compared with what the ecosystems' own tools say (`installed`). Needs pip, npm and apt-get, each for its own ones, and
some gigabytes of disk in UPGRADES_ROOT (build/upgrades). Ends with 1 when anything is told wrongly.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.compat import installed
from tests.compat.installed import Versions

ROOT = Path(os.environ.get("UPGRADES_ROOT", "build/upgrades")).resolve()
# Yields what is installed, each time that it is: before and after.
Upgrade = Callable[[Path], Iterator[Versions]]


def run(*args: str | Path, cwd: Path | None = None) -> str:
    """Run a program that must succeed; what it prints."""
    return subprocess.run([*map(str, args)], cwd=cwd, check=True, capture_output=True, text=True).stdout


def venv(*requirements: str, options: tuple[str, ...] = ()) -> Upgrade:
    """An upgrade by pip in an environment of its own."""

    def upgrade(app: Path) -> Iterator[Versions]:
        run(sys.executable, "-m", "venv", app / "venv")
        for requirement in requirements:
            run(app / "venv/bin/pip", "install", "-q", "--no-compile", *options, requirement)
            yield installed.python(app)

    return upgrade


def target(*requirements: str) -> Upgrade:
    """An upgrade by `pip install --target`, which leaves old metadata behind."""

    def upgrade(app: Path) -> Iterator[Versions]:
        report = app.with_name("report.json")
        found: Versions = {}
        for requirement in requirements:
            run(
                sys.executable,
                "-m",
                "pip",
                "install",
                "-q",
                "--upgrade",
                "--target",
                app,
                "--report",
                report,
                requirement,
            )
            found = found | installed.reported(report, "")
            yield found

    return upgrade


def npm(*packages: str) -> Upgrade:
    """An upgrade by npm."""

    def upgrade(app: Path) -> Iterator[Versions]:
        run("npm", "init", "-y", cwd=app)
        for package in packages:
            run("npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", package, cwd=app)
            yield installed.npm(app)

    return upgrade


def wordpress(*releases: str) -> Upgrade:
    """An upgrade of WordPress as Debian's releases package it."""

    def upgrade(app: Path) -> Iterator[Versions]:
        for release in releases:
            held = app.with_name(f"apt-{release}")
            (held / "lists/partial").mkdir(parents=True)
            (held / "cache/archives/partial").mkdir(parents=True)
            key = "/usr/share/keyrings/debian-archive-keyring.gpg"
            (held / "sources.list").write_text(f"deb [signed-by={key}] http://deb.debian.org/debian {release} main\n")
            options = [f"Dir::Etc::SourceList={held}/sources.list", "Dir::Etc::SourceParts=-"]
            options += [f"Dir::State::Lists={held}/lists", f"Dir::Cache={held}/cache"]
            apt = ["apt-get", "-qq", *(a for o in options for a in ("-o", o))]
            run(*apt, "update")
            run(*apt, "download", "wordpress", "wordpress-theme-twentytwentythree", cwd=held)
            shutil.rmtree(app)
            app.mkdir()
            for archive in held.glob("*.deb"):
                run("dpkg", "-x", archive, app)
            yield installed.wordpress(app)

    return upgrade


UPGRADES: dict[str, Upgrade] = {
    "jupyterlab": venv("jupyterlab==4.0.*", "jupyterlab==4.4.*"),
    "jupyterlab-target": target("jupyterlab==4.0.*", "jupyterlab==4.4.*"),
    "jupyterlab-down": venv("jupyterlab==4.4.*", "jupyterlab==4.0.*"),
    "octoprint": venv("octoprint==1.9.*", "octoprint==1.10.*"),
    "homeassistant": venv("homeassistant==2024.2.*", "homeassistant==2024.3.*", options=("--no-deps",)),
    "wordpress": wordpress("bookworm", "trixie"),
    "node-red": npm("node-red@3.0.2", "node-red@4.0.5"),
}


def gitsnap(app: Path, *args: str) -> str:
    """Run gitsnap on an installation, with sidecars of its own."""
    environment = os.environ | {"GITSNAP_HOME": str(ROOT / "sidecars")}
    command = [sys.executable, "-m", "gitsnap", "-C", str(app), *args]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def check(name: str, upgrade: Upgrade) -> bool:
    """Do an upgrade and compare; whether all was told rightly."""
    app = ROOT / name / "app"
    shutil.rmtree(app.parent, ignore_errors=True)
    app.mkdir(parents=True)
    states, ids = [], []
    for state in upgrade(app):
        states.append(state)
        ids.append(gitsnap(app, "snapshot").strip())
    expected = installed.changed(states[0], states[-1])
    said = installed.told(json.loads(gitsnap(app, "--json", "changelog", ids[0], ids[-1])))
    lines = gitsnap(app, "changelog", ids[0], ids[-1]).count("\n")
    print(f"{name}: {len(expected)} packages changed, {len(said & expected)} told rightly, {lines} lines", flush=True)
    for title, found in (("not told", expected - said), ("told, and not so", said - expected)):
        for one in sorted(found, key=str):
            print(f"  {title}: {one}")
    return bool(expected) and said == expected


def main(names: list[str]) -> int:
    """Check the named upgrades, or all."""
    wrong = [name for name in names or UPGRADES if not check(name, UPGRADES[name])]
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
