"""The zipapp: one file that unpacks itself where nobody else can write."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from packages import onefile
from packages.source import version_of

pytestmark = pytest.mark.long


def run(zipapp: Path, *words: object, cache: Path, python: str = sys.executable, **variables: str) -> tuple[int, str]:
    env = {"PATH": os.environ["PATH"], "GITSNAP_UNPACKED": str(cache), **variables}
    done = subprocess.run(
        [python, zipapp, *map(str, words)], capture_output=True, text=True, check=False, cwd="/", env=env
    )
    return done.returncode, done.stdout + done.stderr


def test_it_takes_a_snapshot_and_brings_it_back(zipapp: Path, installation: Path, tmp_path: Path) -> None:
    cache, home = tmp_path / "cache", {"GITSNAP_HOME": os.environ["GITSNAP_HOME"]}
    where = ("-C", installation, "-q")
    assert run(zipapp, *where, "snapshot", cache=cache, **home)[0] == 0
    before = {p: p.read_bytes() for p in installation.rglob("*") if p.is_file()}
    victim = next(iter(before))
    victim.write_text("broken")
    assert run(zipapp, *where, "rollback", "latest", "-y", cache=cache, **home)[0] == 0
    assert {p: p.read_bytes() for p in installation.rglob("*") if p.is_file()} == before
    assert cache.stat().st_mode & 0o7777 == 0o700
    (unpacked,) = cache.iterdir()
    assert unpacked.stat().st_mode & 0o7777 == 0o700


def test_it_says_the_version_of_the_wheel(zipapp: Path, distributions: Path, tmp_path: Path) -> None:
    (wheel,) = distributions.glob("*.whl")
    assert run(zipapp, "--version", cache=tmp_path / "c") == (0, f"gitsnap {version_of(wheel)}\n")


def test_what_it_starts_beside_an_upgrade_starts_from_the_file_too(
    zipapp: Path, installation: Path, tmp_path: Path
) -> None:
    code, told = run(
        zipapp, "-C", installation, "run", "--", "touch", "new", cache=tmp_path / "c",
        GITSNAP_HOME=os.environ["GITSNAP_HOME"],
    )  # fmt: skip
    assert (code, "No module named" in told) == (0, False), told


@pytest.mark.parametrize("kind", ["open to all", "a link", "a file"])
def test_a_cache_that_others_could_have_filled_is_refused(kind: str, zipapp: Path, tmp_path: Path) -> None:
    cache = tmp_path / "c"
    if kind == "open to all":
        cache.mkdir()
        cache.chmod(0o777)
    elif kind == "a link":
        (tmp_path / "theirs").mkdir()
        cache.symlink_to(tmp_path / "theirs")
    else:
        cache.touch()
    code, told = run(zipapp, "--version", cache=cache)
    assert code == 1
    assert "cannot unpack itself" in told
    assert "Traceback" not in told


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_root_does_not_run_what_another_user_unpacked(zipapp: Path, tmp_path: Path) -> None:
    cache = tmp_path / "c"
    cache.mkdir(mode=0o700)
    os.chown(cache, 65534, 65534)
    code, told = run(zipapp, "--version", cache=cache)
    assert (code, "not a directory of ours" in told) == (1, True)


def test_what_an_interrupted_start_left_is_not_taken_for_whole(zipapp: Path, tmp_path: Path) -> None:
    cache = tmp_path / "c"
    run(zipapp, "--version", cache=cache)
    (whole,) = cache.iterdir()
    half = cache / ".unpacking-half"
    shutil.move(whole, half)
    shutil.rmtree(half / "site" / "gitsnap")
    assert run(zipapp, "--version", cache=cache)[0] == 0


def test_another_python_is_named(zipapp: Path, tmp_path: Path) -> None:
    other = "python3.12" if sys.version_info[:2] != (3, 12) else "python3.11"
    if subprocess.run(["sh", "-c", f"{other} -c ''"], capture_output=True, check=False).returncode:
        pytest.skip(f"no {other}")
    code, told = run(zipapp, "--version", cache=tmp_path / "c", python=other)
    assert (code, "this file is for Python" in told) == (1, True)


def test_the_same_bytes_again(zipapp: Path, distributions: Path, tmp_path: Path) -> None:
    shutil.copy(next(distributions.glob("*.whl")), tmp_path)
    assert onefile.build(tmp_path).read_bytes() == zipapp.read_bytes()
