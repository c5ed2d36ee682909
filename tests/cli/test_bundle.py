"""`bundle`: what is typed, what is told, and how it ends."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.installation import build_app, run_gitsnap, take_snapshot

with_age = pytest.mark.skipif(shutil.which("age") is None, reason="age is not installed")


@pytest.fixture
def app(tmp_path: Path, gitsnap_home: Path) -> Path:
    app = build_app(tmp_path / "app")
    take_snapshot(app)
    return app


def test_a_bundle_is_made_where_one_stands_and_checked_anywhere(app: Path, tmp_path: Path) -> None:
    made = run_gitsnap("-C", app, "--json", "bundle", "create", "b.bundle", cwd=tmp_path)
    told = json.loads(made.stdout)["bundle"]
    assert told["file"] == str(tmp_path / "b.bundle")
    assert told["size"] == (tmp_path / "b.bundle").stat().st_size
    assert (told["encrypted"], told["since"], told["needs"], len(told["snapshots"])) == (False, None, [], 1)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.move(tmp_path / "b.bundle", elsewhere)
    [seen] = json.loads(run_gitsnap("--json", "bundle", "verify", "b.bundle", cwd=elsewhere).stdout)["bundles"]
    assert (seen["ok"], seen["complete"], seen["sha256"]) == (True, True, told["sha256"])
    assert [(s["snapshot"], s["ok"]) for s in seen["snapshots"]] == [(told["snapshots"][0], True)]
    assert (seen["installation"], seen["name"], seen["newest"]) == (str(app), told["name"], told["newest"])


def test_what_builds_on_what_is_not_at_hand_is_incomplete(app: Path, tmp_path: Path) -> None:
    first = run_gitsnap("-C", app, "bundle", "create", "one", cwd=tmp_path).stdout
    assert "bundled 1 snapshot into" in first
    (app / "new").write_text("new")
    take_snapshot(app)
    run_gitsnap("-C", app, "bundle", "create", "two", "--since", "latest~1", cwd=tmp_path)
    assert "not at hand" in run_gitsnap("bundle", "verify", "two", cwd=tmp_path, check=3).stdout
    run_gitsnap("bundle", "verify", "one", "two", cwd=tmp_path)
    run_gitsnap("-C", app, "bundle", "verify", "two", cwd=tmp_path)
    data = bytearray((tmp_path / "two").read_bytes())
    data[-30] ^= 1
    (tmp_path / "two").write_bytes(data)
    assert "BAD" in run_gitsnap("bundle", "verify", "one", "two", cwd=tmp_path, check=12).stdout


def test_a_bundle_goes_through_a_pipe(app: Path, tmp_path: Path, gitsnap_home: Path) -> None:
    command = [sys.executable, "-m", "gitsnap", "-C", str(app), "bundle", "create", "-"]
    env = os.environ | {"GITSNAP_HOME": str(gitsnap_home)}
    done = subprocess.run(command, env=env, capture_output=True, check=True)
    (tmp_path / "b").write_bytes(done.stdout)
    run_gitsnap("bundle", "verify", "b", cwd=tmp_path)
    assert b"bundled 1 snapshot" in done.stderr
    # Whoever reads goes away.
    with open("/dev/full", "wb") as full:
        assert subprocess.run(command, env=env, stdout=full, stderr=subprocess.PIPE).returncode == 1
    run_gitsnap("-C", app, "--json", "bundle", "create", "-", check=2)


@pytest.mark.parametrize(
    "words",
    [
        "make x",
        "create",
        "create x --identity k",
        "verify x --since latest",
        "create x --to nobody",
        "create x --recipients-file absent",
        "create x latest --since latest",
        "verify absent",
    ],
)
def test_what_makes_no_sense_is_refused(app: Path, tmp_path: Path, words: str) -> None:
    run_gitsnap("-C", app, "bundle", *words.split(), cwd=tmp_path, check=2)
    assert not (tmp_path / "x").exists()


def test_what_cannot_be_written_is_told(app: Path, tmp_path: Path) -> None:
    assert "there is no directory" in run_gitsnap("-C", app, "bundle", "create", "no/b", cwd=tmp_path, check=1).stderr
    run_gitsnap("-C", app, "bundle", "create", app / "b", check=2)
    run_gitsnap("-C", tmp_path, "bundle", "create", "b", cwd=tmp_path, check=10)
    run_gitsnap("-C", app, "bundle", "create", "b", "--since", "latest", cwd=tmp_path, check=1)


def test_the_audit_log_tells_of_it(app: Path, tmp_path: Path) -> None:
    run_gitsnap("-C", app, "bundle", "create", "b", cwd=tmp_path)
    lines = json.loads(run_gitsnap("-C", app, "--json", "audit").stdout)["audit"]
    assert lines[-1]["action"] == "bundle" and lines[-1]["outcome"] == "done"
    before = len(lines)
    run_gitsnap("-C", app, "bundle", "verify", "b", cwd=tmp_path)
    assert len(json.loads(run_gitsnap("-C", app, "--json", "audit").stdout)["audit"]) == before


@with_age
def test_encrypted_and_recovered_by_age_and_git_alone(app: Path, tmp_path: Path) -> None:
    subprocess.run(["age-keygen", "-o", tmp_path / "key"], check=True, capture_output=True)
    keys = [line.split()[-1] for line in (tmp_path / "key").read_text().splitlines() if "public key" in line]
    (tmp_path / "keys").write_text(keys[0] + "\n")
    run_gitsnap("-C", app, "bundle", "create", "b.age", "--recipients-file", "keys", cwd=tmp_path)
    shut = run_gitsnap("bundle", "verify", "b.age", cwd=tmp_path, check=3)
    assert "encrypted with age to X25519" in shut.stdout and "identity only" in shut.stdout
    run_gitsnap("bundle", "verify", "b.age", "--identity", "key", cwd=tmp_path)
    subprocess.run("age -d -i key b.age >plain && git clone -q plain out", shell=True, cwd=tmp_path, check=True)
    assert (tmp_path / "out/config/shop.ini").read_bytes() == (app / "config/shop.ini").read_bytes()
    other = tmp_path / "other"
    subprocess.run(["age-keygen", "-o", other], check=True, capture_output=True)
    assert (
        "none of the keys"
        in run_gitsnap("bundle", "verify", "b.age", "--identity", other, cwd=tmp_path, check=1).stderr
    )


@pytest.mark.skipif(shutil.which("age") is None, reason="age is not installed")
def test_the_next_one_is_encrypted_as_well_and_a_plain_one_says_so(app: Path, tmp_path: Path) -> None:
    subprocess.run(["age-keygen", "-o", tmp_path / "key"], check=True, capture_output=True)
    to = subprocess.run(["age-keygen", "-y", tmp_path / "key"], capture_output=True, text=True).stdout.strip()
    (tmp_path / "for").write_text(to)
    done = run_gitsnap(
        "-C", app, "bundle", "create", tmp_path / "a.age", "--to", to, "--recipients-file", tmp_path / "for"
    )
    assert f" --to {to} --recipients-file {tmp_path}/for\n" in done.stderr
    assert "not encrypted" not in done.stdout
    done = run_gitsnap("-C", app, "bundle", "create", tmp_path / "b")
    assert ", not encrypted" in done.stdout
    assert "--to" not in done.stderr
