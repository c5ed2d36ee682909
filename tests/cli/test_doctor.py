"""What doctor finds, and whether what it says to type mends it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.installation import run_gitsnap, sidecar_of, take_snapshot
from tests.support.signing import new_key


def advice(app: Path, name: str) -> str:
    found = json.loads(run_gitsnap("-C", app, "doctor", "--json", check=1).stdout)["checks"]
    (bad,) = [c for c in found if c["ok"] is False and c["name"] == name]
    return str(bad["advice"])


@pytest.mark.parametrize("lost", ["HEAD", "refs/notes/gitsnap/manifest", "refs/notes/gitsnap/metadata"])
def test_what_is_lost_comes_back_by_the_advice(installation: Path, lost: str) -> None:
    take_snapshot(installation)
    take_snapshot(installation, "--label", "second")
    path = sidecar_of(installation) / lost
    whole = path.read_bytes()
    path.unlink()
    subprocess.run(advice(installation, "git's files"), shell=True, check=True)
    assert path.read_bytes() == whole
    run_gitsnap("-C", installation, "doctor")
    run_gitsnap("-C", installation, "verify", "--all")


def test_the_space_of_both_file_systems(installation: Path, tmp_path: Path) -> None:
    take_snapshot(installation)
    same = run_gitsnap("-C", installation, "doctor").stdout
    assert same.count("GB free on the installation's file system") == 1
    assert "sidecar's file system" not in same
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system to write to")
    store = memory / f"gitsnap-test-{tmp_path.name}-{tmp_path.stat().st_ino}.git"
    other = tmp_path / "other"
    other.mkdir()
    try:
        run_gitsnap("-C", other, "--store", store, "snapshot")
        assert "GB free on the sidecar's file system" in run_gitsnap("-C", other, "doctor").stdout
    finally:
        subprocess.run(["rm", "-rf", "--", store], check=True)


def test_a_damaged_timeline_damages_no_snapshot(installation: Path) -> None:
    ids = [take_snapshot(installation, "--label", label) for label in ("one", "two")]
    tip = sidecar_of(installation) / "refs/heads/timeline"
    tip.write_text("0" * 39 + "1\n")
    found = json.loads(run_gitsnap("-C", installation, "verify", "--json", "--all", check=12).stdout)["results"]
    assert [r["snapshot"] for r in found if r["ok"]] == ids
    assert found[2]["snapshot"] == "timeline"
    assert "the next one rebuilds it" in found[2]["problems"][0]["problem"]
    take_snapshot(installation, "--label", "three")
    run_gitsnap("-C", installation, "verify", "--all")
    run_gitsnap("-C", installation, "doctor")


def test_what_a_killed_clone_left_is_named(installation: Path, gitsnap_home: Path) -> None:
    take_snapshot(installation)
    left = sidecar_of(installation).parent / ".gitsnap-0123456789abcdef.new"
    left.mkdir()
    told = run_gitsnap("-C", installation, "doctor").stdout
    assert f"{left} was left by a clone or an adopt that was killed" in told


def test_a_key_that_does_not_sign_is_told_before_it_is_needed(
    installation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_snapshot(installation)
    key = new_key(tmp_path / "key")
    (tmp_path / "config/gitsnap").mkdir(parents=True)
    (tmp_path / "config/gitsnap/config.toml").write_text(f'[signing]\nkey = "{key.path}"\n')
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert f"{key.path} signs: SHA256:" in run_gitsnap("-C", installation, "doctor").stdout
    key.path.chmod(0o644)
    assert advice(installation, "signing key") == f"chmod 600 {key.path}"
    key.path.unlink()
    assert "cannot be read" in run_gitsnap("-C", installation, "doctor", check=1).stdout
