"""On another system, an older Python or one that is not whole: a sentence, and never a traceback."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gitsnap import __main__, supported

_ROOT = Path(__file__).parents[1]
# What Windows lacks of the standard library, or macOS of the calls.
_UNIX = ["fcntl", "grp", "pwd", "resource", "syslog", "termios"]
_ELSEWHERE = """
import os, sys
sys.platform, missing = sys.argv.pop(1), sys.argv.pop(1).split(",")
for name in ("geteuid", "getxattr", "setxattr", "listxattr", "O_NOFOLLOW", "O_PATH", "uname", "fork"):
    delattr(os, name)
class Missing:
    def find_spec(name, path=None, target=None):
        if name in missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing)
for name in missing:
    sys.modules.pop(name, None)
from gitsnap.__main__ import main
main()
"""


def _started(platform: str, missing: list[str], *arguments: str) -> tuple[int, str, str]:
    command = [sys.executable, "-c", _ELSEWHERE, platform, ",".join(missing), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=_ROOT, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("platform", "called", "missing"),
    [("win32", "Windows", [*_UNIX, "_posixsubprocess"]), ("darwin", "macOS", []), ("freebsd15", "freebsd15", [])],
)
def test_elsewhere(platform: str, called: str, missing: list[str]) -> None:
    code, out, err = _started(platform, missing, "snapshot")
    lines = err.splitlines()
    assert (code, out, len(lines)) == (1, "", 2)
    assert lines[0] == f"gitsnap: gitsnap runs on Linux alone, and this is {called}"


def test_elsewhere_as_json() -> None:
    code, out, err = _started("win32", _UNIX, "--json", "list")
    error = json.loads(err)["error"]
    assert (code, out, error["code"], error["kind"], error["path"]) == (1, "", 1, "unsupported-system", None)
    assert "WSL 2" in error["hint"]


def test_from_a_program_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    import gitsnap

    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(ImportError, match="Linux alone, and this is macOS"):
        gitsnap.open  # noqa: B018


def test_an_older_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 2, "final", 0))
    refusal = supported.refusal()
    assert refusal is not None
    assert (refusal.kind, "3.11 or newer" in refusal.message, refusal.message[-3:]) == (
        "unsupported-python",
        True,
        "3.9",
    )


@pytest.mark.parametrize("module", ["dulwich", "fcntl", "isal", "_ctypes", "typer"])
def test_a_python_that_is_not_whole(
    module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(arguments: list[str]) -> int:
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    monkeypatch.setattr(__main__, "_dispatch", missing)
    assert __main__.run(["list"]) == 1
    sentence, hint = capsys.readouterr().err.splitlines()
    assert f"cannot load {module}, which gitsnap needs" in sentence
    assert ("belongs to Python itself" in hint) == (module in ("fcntl", "_ctypes"))


def test_our_own_mistake_stays_one() -> None:
    assert supported.lacking(ModuleNotFoundError("No module named 'gitsnap.x'", name="gitsnap.x")) is None
    assert supported.lacking(ImportError("cannot import name 'x' from 'gitsnap.core'", name="gitsnap.core")) is None


def test_the_pythons_are_the_same_wherever_they_are_named() -> None:
    import tomllib

    with open(_ROOT / "pyproject.toml", "rb") as file:
        project = tomllib.load(file)["project"]
    oldest = ".".join(map(str, supported.OLDEST))
    assert project["requires-python"] == f">={oldest}"
    named = [c.rpartition(" ")[2] for c in project["classifiers"] if "Python :: 3." in c]
    assert named[0] == oldest
    matrix = re.search(r"python: \[(.+)\]", (_ROOT / ".github/workflows/ci.yml").read_text())
    versions = re.search(r"(?m)^VERSIONS \?= (.+)$", (_ROOT / "Makefile").read_text())
    assert matrix is not None and versions is not None
    assert matrix[1].replace('"', "").split(", ") == versions[1].split() == named
    assert f"Python {oldest} to {named[-1]}" in (_ROOT / "docs/how-to/install.md").read_text()
