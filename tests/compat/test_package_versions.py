"""What `changelog` says of packages that pip and npm installed is what importlib.metadata and npm say.

The packages are made here, so that nothing is downloaded; `make upgrades` does the same with real ones.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.cli.helpers import document
from tests.compat import installed
from tests.support.installation import take_snapshot
from tests.support.package_trees import digest


def wheel(at: Path, name: str, version: str) -> Path:
    """A wheel with a module, a script and a vendored distribution."""
    path = at / f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    info, module = f"{name.replace('-', '_')}-{version}.dist-info", name.replace("-", "_").lower()
    files = {
        f"{module}/__init__.py": f"VERSION = '{version}'\n",
        f"{module}/v{version.partition('.')[0]}.py": f"ONLY = '{version}'\n",
        f"{module}/_vendor/six-{version}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: six\nVersion: {version}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{module} = {module}:main\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{place},{digest(text)},\n" for place, text in files.items())
    with zipfile.ZipFile(path, "w") as archive:
        for place, content in files.items():
            archive.writestr(place, content)
    return path


BEFORE = {"Up_One": "1.9", "down.two": "2.0.0", "same-three": "1.0", "gone_four": "0.1"}
AFTER = {"up-one": "1.10rc1", "down-two": "2.0.0rc1", "same-three": "1.0", "new-five": "3!1.0"}


@pytest.mark.parametrize("layout", ["prefix", "target"])
def test_pip(tmp_path: Path, gitsnap_home: Path, layout: str) -> None:
    app, wheels = tmp_path / "app", tmp_path / "wheels"
    app.mkdir()
    wheels.mkdir()
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    if subprocess.run([*pip, "--version"], capture_output=True, check=False).returncode:
        pytest.skip("pip is not installed")
    options = ["--no-index", "--no-deps", "--quiet", "--force-reinstall", "--ignore-installed"]
    ids, states = [], []
    for packages in (BEFORE, AFTER):
        if layout == "prefix" and (lib := next(app.glob("lib/*/site-packages"), None)):
            # pip takes away what it installed in its own environment alone; this is another one.
            shutil.rmtree(lib)
        made = [str(wheel(wheels, name, version)) for name, version in packages.items()]
        subprocess.run([*pip, "install", *options, f"--{layout}", str(app), "--upgrade", *made], check=True)
        # With --target, old metadata stays, and importlib.metadata finds either: what was installed last counts.
        names = {installed.canonical(n): v for n, v in packages.items()}
        found = installed.python(app)
        states.append({k: names[k[1]] for k in found if k[1] in names} if layout == "target" else found)
        ids.append(take_snapshot(app))
    log = document("-C", app, "changelog", *ids)
    expected = installed.changed(*states)
    if layout == "target":
        # Nothing takes away what is not asked for any more.
        expected = {e for e in expected if e[3] is not None}
    assert {e[1] for e in expected} >= {"up-one", "down-two", "new-five"}
    assert installed.told(log) == expected
    directions = {installed.canonical(p["name"]): p["direction"] for p in log["packages"] if p["kind"] == "installed"}
    assert directions["up-one"] == "up"
    assert directions["down-two"] == "down"
    listed = {f["path"] for found in log["components"].values() for f in found}
    assert not [path for path in listed if "up_one" in path and not path.endswith(".pyc") and "/v" not in path]


def test_npm(tmp_path: Path, gitsnap_home: Path) -> None:
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    app = tmp_path / "app"
    app.mkdir()
    before = {"up-one": "1.9.0", "@scope/down-two": "2.0.0", "same-three": "1.0.0", "gone-four": "0.1.0"}
    after = {"up-one": "1.10.0", "@scope/down-two": "2.0.0-rc.1", "same-three": "1.0.0", "new-five": "3.0.0"}
    ids, states = [], []
    for packages in (before, after):
        made = [_npm_package(tmp_path, name, version) for name, version in packages.items()]
        dependencies = {name: f"file:{path}" for name, path in zip(packages, made, strict=True)}
        (app / "package.json").write_text(json.dumps({"name": "app", "version": "1.0.0", "dependencies": dependencies}))
        options = ["--offline", "--no-audit", "--no-fund", "--cache", str(tmp_path / "cache")]
        subprocess.run(["npm", "install", *options], cwd=app, check=True, capture_output=True)
        states.append(installed.npm(app))
        ids.append(take_snapshot(app))
    log = document("-C", app, "changelog", *ids)
    assert installed.told(log) == installed.changed(*states)
    assert {p["name"]: p["direction"] for p in log["packages"]} == {
        "up-one": "up", "@scope/down-two": "down", "gone-four": "gone", "new-five": "new",
    }  # fmt: skip


def _npm_package(at: Path, name: str, version: str) -> Path:
    folder = at / "packages" / f"{name.replace('/', '-')}-{version}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text(json.dumps({"name": name, "version": version, "bin": {"x": "index.js"}}))
    (folder / "index.js").write_text(f"#!/usr/bin/env node\n// {version}\n")
    done = subprocess.run(["npm", "pack", "--silent", str(folder)], cwd=at, check=True, capture_output=True, text=True)
    return at / done.stdout.strip().splitlines()[-1]
