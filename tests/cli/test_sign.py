"""Signing on the command line: what is said, what programs read, and how it ends."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.cli.helpers import document, refused
from tests.support.installation import run_gitsnap, take_snapshot
from tests.support.signing import Key, new_key


@pytest.fixture
def key(tmp_path: Path) -> Key:
    return new_key(tmp_path / "key")


@pytest.fixture
def configuration(installation: Path) -> Path:
    """The user's configuration, with nothing in it yet."""
    path = Path(os.environ["XDG_CONFIG_HOME"]) / "gitsnap/config.toml"
    path.parent.mkdir(parents=True)
    return path


def configure(path: Path, **values: str | bool | Path) -> None:
    lines = [
        f"{k.replace('_', '-')} = {str(v).lower() if isinstance(v, bool) else f'{chr(34)}{v}{chr(34)}'}"
        for k, v in values.items()
    ]
    path.write_text("[signing]\n" + "\n".join(lines) + "\n")


def allowed(tmp_path: Path, *lines: str) -> Path:
    (tmp_path / "allowed").write_text("".join(lines))
    return tmp_path / "allowed"


def test_every_reader_says_by_whom(installation: Path, configuration: Path, key: Key, tmp_path: Path) -> None:
    configure(configuration, key=key.path)
    one = take_snapshot(installation)
    unchecked = f"by {key.fingerprint}, not checked"
    assert re.search(rf"signed +{re.escape(unchecked)}, ", run_gitsnap("-C", installation, "show").stdout)
    assert "[signed] " in run_gitsnap("-C", installation, "list").stdout
    assert f"[signed {unchecked}]" in run_gitsnap("-C", installation, "list", "-v").stdout
    assert "[signed] " in run_gitsnap("-C", installation, "log", "config/shop.ini").stdout
    assert f"[signed {unchecked}]" in run_gitsnap("-C", installation, "log", "config/shop.ini", "-v").stdout
    page = tmp_path / "page.html"
    run_gitsnap("-C", installation, "report", one, "now", "-o", page)
    assert (
        unchecked in page.read_text()
        and f"verify-commit {document('-C', installation, 'show')['commit']}" in page.read_text()
    )
    configure(configuration, key=key.path, allowed_signers=allowed(tmp_path, key.allowed()))
    checked = f"by anna@example.org with {key.fingerprint}"
    assert checked in run_gitsnap("-C", installation, "show").stdout
    assert checked in run_gitsnap("-C", installation, "verify", "--signed").stdout
    run_gitsnap("-C", installation, "report", one, "now", "-o", page)
    assert checked in page.read_text()


def test_programs_read_it(installation: Path, configuration: Path, key: Key, tmp_path: Path) -> None:
    configure(configuration, key=key.path)
    taken = document("-C", installation, "snapshot")
    assert (taken["snapshot"]["signed_by"], taken["unsigned"]) == (key.fingerprint, None)
    other = new_key(tmp_path / "other")
    ref = f"refs/tags/signed/{taken['snapshot']['id']}"
    signed = document("-C", installation, "sign", "--key", other.path)
    assert signed["signed"] == [
        {"snapshot": taken["snapshot"]["id"], "ref": ref, "key": other.fingerprint, "already": False}
    ]
    (listed,) = document("-C", installation, "list")["snapshots"]
    assert (listed["signed_by"], listed["signed_tags"]) == (key.fingerprint, [ref])
    (state,) = document("-C", installation, "log", "config/shop.ini")["history"]
    assert state["signed_by"] == key.fingerprint
    shown = document("-C", installation, "show")["signatures"]
    assert [(s["where"], s["status"], s["key"]) for s in shown] == [
        ("commit", "not-checked", key.fingerprint),
        (ref, "not-checked", other.fingerprint),
    ]
    who = allowed(tmp_path, key.allowed())
    (result,) = document("-C", installation, "verify", "--allowed-signers", who)["results"]
    assert result["ok"] and result["problems"] == []
    assert [(s["status"], s["principal"], s["key_type"]) for s in result["signatures"]] == [
        ("good", "anna@example.org", "ssh-ed25519"),
        ("unknown-signer", None, "ssh-ed25519"),
    ]
    assert {s["time"] for s in result["signatures"]} and result["signatures"][1]["why"]
    (result,) = document("-C", installation, "verify", "--allowed-signers", allowed(tmp_path, ""), check=12)["results"]
    assert [p["kind"] for p in result["problems"]] == ["unknown-signer"] * 2
    assert "signatures" not in document("-C", installation, "verify")["results"][0]


def test_a_file_of_allowed_signers_is_where_one_stands(installation: Path, key: Key, tmp_path: Path) -> None:
    take_snapshot(installation)
    allowed(tmp_path, key.allowed())
    run_gitsnap("-C", installation, "sign", "--key", "key", cwd=tmp_path)
    run_gitsnap("-C", installation, "verify", "--allowed-signers", "allowed", cwd=tmp_path)
    (installation / "allowed").write_text(key.allowed())
    refused("-C", installation, "verify", "--allowed-signers", installation / "allowed", code=2, kind="usage")
    refused("-C", installation, "verify", "--signed", code=2, kind="usage")
    refused("-C", installation, "verify", "--signed", "--live", code=2, kind="usage")


def test_a_key_that_does_not_sign_is_told_and_ends_with_3(
    installation: Path, configuration: Path, tmp_path: Path
) -> None:
    locked = new_key(tmp_path / "locked", "a passphrase")
    configure(configuration, key=locked.path)
    done = run_gitsnap("-C", installation, "snapshot", check=3)
    name = done.stdout.strip()
    assert f"not signed: {name}: the key {locked.path} does not sign: its passphrase was not given" in done.stderr
    assert f"sign {name}" in done.stderr
    assert "a passphrase" not in done.stderr
    again = document("-C", installation, "snapshot", check=3)
    assert "passphrase was not given" in again["unsigned"]
    assert again["snapshot"]["signed_by"] is None
    (lines,) = [x for x in document("-C", installation, "audit")["audit"] if x["taken"] and x["taken"][0]["id"] == name]
    assert "passphrase was not given" in str(lines)
    # An upgrade goes on, and what its command says is what counts.
    done = run_gitsnap("-C", installation, "run", "--", "sh", "-c", "echo x >new")
    assert "not signed: " in done.stderr
    done = run_gitsnap("-C", installation, "rollback", "-y", name)
    assert "not signed: " in done.stderr
    assert not (installation / "new").exists()
    run_gitsnap("-C", installation, "verify", "--all")


def test_required_signatures(installation: Path, configuration: Path, key: Key, tmp_path: Path) -> None:
    who = allowed(tmp_path, key.allowed())
    unsigned = take_snapshot(installation)
    configure(configuration, key=tmp_path / "none", allowed_signers=who, require=True)
    refused("-C", installation, "snapshot", code=1, kind="not-signed")
    marker = tmp_path / "ran"
    told = run_gitsnap("-C", installation, "run", "--", "touch", marker, check=1).stderr
    assert "none is to be without a signature" in told
    assert not marker.exists()
    assert [s["id"] for s in document("-C", installation, "list")["snapshots"]] == [unsigned]
    found = document("-C", installation, "verify", "--all", check=12)["results"]
    assert [[p["kind"] for p in r["problems"]] for r in found] == [["unsigned"]]
    configure(configuration, key=key.path, allowed_signers=who, require=True)
    run_gitsnap("-C", installation, "run", "--", "sh", "-c", "echo x >new")
    run_gitsnap("-C", installation, "sign", unsigned)
    run_gitsnap("-C", installation, "verify", "--all")
    # That it is not signed is no damage: nothing is known to be damaged of it.
    assert document("-C", installation, "show", unsigned)["damage"] is None


@pytest.mark.parametrize(
    "text",
    [
        'key = "relative/key"',
        "key = 3",
        'key = "a\\u0000b"',
        'require = "yes"',
        'signers = "/x"',
        'allowed-signers = ["/x"]',
        'revoked = "./x"',
    ],
)
def test_a_table_that_makes_no_sense_is_refused(installation: Path, configuration: Path, text: str) -> None:
    configuration.write_text(f"[signing]\n{text}\n")
    error = refused("-C", installation, "snapshot", code=2, kind="usage")
    assert str(configuration) in str(error) and "[signing]" in str(error)


def test_a_table_that_others_can_write_is_not_believed(installation: Path, configuration: Path, key: Key) -> None:
    configure(configuration, key=key.path)
    configuration.chmod(0o666)
    refused("-C", installation, "snapshot", code=2, kind="usage")
    configuration.chmod(0o644)
    take_snapshot(installation)


def test_a_home_directory_and_the_more_particular_file(
    installation: Path, configuration: Path, key: Key, tmp_path: Path
) -> None:
    configure(configuration, key="~/key", allowed_signers=allowed(tmp_path, key.allowed()))
    done = run_gitsnap("-C", installation, "snapshot", env={"HOME": str(tmp_path)})
    assert "not signed" not in done.stderr
    own = Path(document("-C", installation, "status")["store"]) / "gitsnap.toml"
    own.write_text('[signing]\nkey = ""\n')
    assert document("-C", installation, "snapshot")["snapshot"]["signed_by"] is None
    found = document("-C", installation, "verify", "--signed", "latest~1", env={"HOME": str(tmp_path)})["results"]
    assert found[0]["signatures"][0]["principal"] == "anna@example.org"


def test_a_purge_says_which_lose_their_signatures(installation: Path, configuration: Path, key: Key) -> None:
    configure(configuration, key=key.path)
    name = take_snapshot(installation)
    told = run_gitsnap("-C", installation, "purge", "-n", "modules/cart.sh", check=False)
    assert "signatures over what was go, of 1 snapshot" in told.stdout + told.stderr
    done = run_gitsnap("-C", installation, "purge", "-y", "modules/cart.sh", check=False)
    assert "signatures over what was are gone, of 1 snapshot" in done.stdout
    assert f"sign {name}" in done.stderr
    assert document("-C", installation, "purge", "-y", "bin/shop", check=False)["unsigned"] == []


def test_a_signature_that_lies_about_itself_shows_no_escapes(
    installation: Path, configuration: Path, key: Key, tmp_path: Path
) -> None:
    """The principal stands in a file of somebody's, and is shown on a terminal."""
    configure(configuration, key=key.path)
    take_snapshot(installation)
    who = allowed(tmp_path, key.allowed("a\x1b[31mb@example.org"))
    shown = run_gitsnap("-C", installation, "verify", "--allowed-signers", who, check=False).stdout
    assert "\x1b" not in shown
