"""The Debian packages in a clean Debian root. `-m 'not debian'` and GITSNAP_TEST_DEBIAN=no leave these out."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from packages import deb
from packages.deb import debian_version
from tests.release.debian_root import DebianRoot, debian_root

pytestmark = [pytest.mark.long, pytest.mark.debian]

_INSTALL = "apt-get -qq install -y --no-install-recommends"


@pytest.fixture
def root(tmp_path: Path, debs: tuple[Path, Path]) -> Iterator[DebianRoot]:
    if os.environ.get("GITSNAP_TEST_DEBIAN") == "no":
        pytest.skip("GITSNAP_TEST_DEBIAN=no")
    with debian_root(tmp_path) as made:
        made.hand_in(*debs)
        yield made


def snapshots(root: DebianRoot, directory: str) -> list[dict[str, str]]:
    """The snapshots of a directory, oldest first."""
    found: list[dict[str, str]] = json.loads(root.run(f"gitsnap -C {directory} --json list"))["snapshots"]
    return found


def a_package(into: Path, version: str, *, postinst: str = "") -> Path:
    """A package `settings`, with one file below /etc."""
    tree = into / f"settings-{version}"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "etc").mkdir()
    (tree / "etc/settings.ini").write_text(f"version = {version}\n")
    said = {"Package": "settings", "Version": version, "Architecture": "all", "Maintainer": "x", "Description": "x"}
    (tree / "DEBIAN/control").write_text("".join(f"{k}: {v}\n" for k, v in said.items()))
    if postinst:
        (tree / "DEBIAN/postinst").write_text(postinst)
        (tree / "DEBIAN/postinst").chmod(0o755)
    made = into / f"settings_{version}.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, made], check=True, capture_output=True)
    return made


def test_the_same_bytes_when_they_are_built_again(debs: tuple[Path, Path], distributions: Path, tmp_path: Path) -> None:
    """At another place, at another time, and for somebody with another umask."""
    place = tmp_path / "at another place"
    place.mkdir()
    shutil.copy(next(distributions.glob("*.whl")), place)
    before = os.umask(0o077)
    try:
        again = deb.build(place)
    finally:
        os.umask(before)
    digests = [[hashlib.sha256(f.read_bytes()).hexdigest() for f in found] for found in (debs, again)]
    assert digests[0] == digests[1]


def test_modes_are_those_of_a_package_whatever_the_checkout_has(tmp_path: Path) -> None:
    if not shutil.which("dpkg-deb"):
        pytest.skip("no dpkg-deb")
    tree = tmp_path / "gitsnap-apt"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "usr/private").mkdir(parents=True, mode=0o700)
    for name, mode in (("text", 0o600), ("program", 0o700), ("open", 0o666)):
        (tree / "usr/private" / name).touch()
        (tree / "usr/private" / name).chmod(mode)
    told = subprocess.run(
        ["dpkg-deb", "-c", deb._pack(tree, tmp_path, "1.0", 0)], check=True, capture_output=True, text=True
    )
    rows = [line.split() for line in told.stdout.splitlines()]
    modes = {row[-1].partition("/usr/private")[2]: row[0] for row in rows if "/usr/private" in row[-1]}
    assert modes == {"/": "drwxr-xr-x", "/text": "-rw-r--r--", "/program": "-rwxr-xr-x", "/open": "-rw-r--r--"}


def test_installed_used_and_purged(root: DebianRoot, debs: tuple[Path, Path]) -> None:
    # What it depends on comes first and stays, so that what it leaves behind can be told.
    root.run(f"{_INSTALL} python3 git man-db")
    root.run("mkdir -p /srv/app/bin && echo 1 >/srv/app/version && printf '#!/bin/sh\\n' >/srv/app/bin/run")
    before = root.files()
    root.run(f"{_INSTALL} /handed/gitsnap_*.deb /handed/gitsnap-apt_*.deb")
    assert root.run("dpkg --verify gitsnap gitsnap-apt") == ""

    version = subprocess.run(
        ["dpkg-deb", "-f", debs[0], "Version"], check=True, capture_output=True, text=True
    ).stdout  # fmt: skip
    assert debian_version(root.run("gitsnap --version").split()[1]) == version.strip()
    told = root.run("cd /srv/app && gitsnap -C . snapshot -q && gitsnap -C . verify")
    assert "all as captured" in told
    code, told = root.try_("gitsnap -C /srv/app run --check 'grep 1 version' -- sh -c 'echo 2 >version; rm -r bin'")
    assert code == 20, told
    assert root.run("cat /srv/app/version; ls /srv/app/bin") == "1\nrun\n"
    root.run("gitsnap -C /srv/app run --check 'grep 2 version' -- sh -c 'echo 2 >version'")
    root.run("gitsnap -C /srv/app rollback latest~1 --yes")
    assert root.run("cat /srv/app/version") == "1\n"
    assert "undo button" in root.run("man gitsnap | cat")
    assert "gitsnap-rollback" in root.run("man gitsnap-rollback | cat").lower()
    assert "gitsnap" in root.run("mandb -q 2>/dev/null; apropos 'undo'")
    for place, mark in {
        "bash-completion/completions/gitsnap": "complete -F",
        "zsh/vendor-completions/_gitsnap": "#compdef gitsnap",
        "fish/vendor_completions.d/gitsnap.fish": "complete -c gitsnap",
    }.items():
        assert mark in root.run(f"cat /usr/share/{place}")
    assert "merge3" in root.run("cat /usr/share/doc/gitsnap/copyright")

    root.run("apt-get -qq purge -y gitsnap gitsnap-apt")
    left = {p for p in root.files() - before if not p.startswith(("/var/lib/gitsnap", "/srv/app"))}
    assert left == set()
    # The way back stays, for stock git.
    root.run("for s in /var/lib/gitsnap/*.git; do git -C $s fsck --no-progress; done")


def test_apt_takes_a_pair_around_each_transaction(root: DebianRoot, tmp_path: Path) -> None:
    failing = "#!/bin/sh\necho written >/etc/by-postinst\nexit 1\n"
    root.hand_in(a_package(tmp_path, "1"), a_package(tmp_path, "2"), a_package(tmp_path, "3", postinst=failing))
    # With all that they depend on.
    root.run(f"{_INSTALL} /handed/gitsnap_*.deb /handed/gitsnap-apt_*.deb")
    root.run(f"{_INSTALL} /handed/settings_1.deb")
    found = snapshots(root, "/etc")
    assert [s["label"] for s in found] == ["before-apt", "after-apt"]
    assert [s["message"] for s in found] == ["before apt: install settings 1", "after apt: install settings 1"]

    root.run(f"{_INSTALL} /handed/settings_2.deb")
    assert [s["message"] for s in snapshots(root, "/etc")][2:] == ["after apt: upgrade settings 1 to 2"]
    assert "settings.ini" in root.run("gitsnap -C /etc diff --no-color --name-status latest~1 latest")

    # The maintainer script of one fails: apt says so, and both sides of it are kept.
    code, told = root.try_(f"{_INSTALL} /handed/settings_3.deb")
    assert code == 100, told
    assert snapshots(root, "/etc")[-1]["message"] == "after apt: upgrade settings 2 to 3"
    assert "by-postinst" in root.run("gitsnap -C /etc diff --no-color --name-status latest~1 latest")
    root.run("rm /var/lib/dpkg/info/settings.postinst; dpkg --configure -a")

    # A real package, from where this system gets its packages; one that is removed.
    root.run(f"{_INSTALL} hello && hello >/dev/null && apt-get -qq remove -y hello settings")
    assert "remove settings 3" in snapshots(root, "/etc")[-1]["message"]

    # No snapshot can be taken: apt goes on, or stops before anything is changed where that is asked for.
    root.run("chmod 0 /var/lib/gitsnap; mv /var/lib/gitsnap /var/lib/kept; touch /var/lib/gitsnap")
    told = root.run(f"{_INSTALL} /handed/settings_1.deb")
    assert "gitsnap-apt: /etc: no snapshot before apt (exit code" in told
    assert root.run("cat /etc/settings.ini") == "version = 1\n"
    root.run("sed -i s/^REQUIRED=no/REQUIRED=yes/ /etc/default/gitsnap-apt")
    code, told = root.try_(f"{_INSTALL} /handed/settings_2.deb")
    assert (code, "stopped before anything was changed" in told) == (100, True), told
    assert root.run("cat /etc/settings.ini") == "version = 1\n"
    root.run("rm /var/lib/gitsnap; mv /var/lib/kept /var/lib/gitsnap; chmod 700 /var/lib/gitsnap")

    # Removed, not purged: its settings are left, and apt works without a word about them.
    root.run("apt-get -qq remove -y gitsnap gitsnap-apt")
    assert "gitsnap" not in root.run(f"{_INSTALL} /handed/settings_2.deb")
    root.run("apt-get -qq purge -y gitsnap-apt")
    assert root.try_("ls /etc/apt/apt.conf.d/80gitsnap /etc/default/gitsnap-apt /run/gitsnap-apt")[0] == 2
