"""Hooks of other package programs: pacman's by a real pacman, which Debian has, too; dnf's by their form."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.release.debian_root import debian_root
from tests.support.installation import REPOSITORY

HOOKS = REPOSITORY / "packages/hooks"
_PACKAGE = r"""
make() {
    rm -rf /tmp/p; mkdir -p /tmp/p/etc; cd /tmp/p; echo "version = $1" >etc/settings.ini
    printf 'pkgname = settings\npkgbase = settings\npkgver = %s-1\npkgdesc = x\narch = any\nsize = 10\n' $1 >.PKGINFO
    printf 'post_install() { %s; }\npost_upgrade() { post_install; }\n' "$2" >.INSTALL
    tar -cf /tmp/settings-$1.pkg.tar .PKGINFO .INSTALL etc
}
make 1 true; make 2 true; make 3 'echo w >/etc/by-post; false'
mkdir -p /var/lib/pacman /etc/pacman.d/hooks /usr/lib/gitsnap
printf '[options]\nHookDir = /etc/pacman.d/hooks/\nArchitecture = auto\nSigLevel = Never\n' >/etc/pacman.conf
echo 'LocalFileSigLevel = Never' >>/etc/pacman.conf
cp /handed/*.hook /etc/pacman.d/hooks; cp /handed/transaction /usr/lib/gitsnap
"""


def test_what_sh_and_the_programs_read() -> None:
    subprocess.run(["sh", "-n", HOOKS / "transaction"], check=True)
    assert os.access(HOOKS / "transaction", os.X_OK)
    actions = [x for x in (HOOKS / "gitsnap.actions").read_text().splitlines() if not x.startswith("#")]
    items = [line.split(":", 4) for line in actions]
    assert [(i[0], i[4]) for i in items] == [
        (f"{side}_transaction", f"/usr/lib/gitsnap/transaction {moment} dnf")
        for side, moment in (("pre", "before"), ("post", "after"))
    ]


@pytest.mark.long
@pytest.mark.debian
def test_pacman_takes_a_pair_around_each_transaction(tmp_path: Path, debs: tuple[Path, Path]) -> None:
    if os.environ.get("GITSNAP_TEST_DEBIAN") == "no":
        pytest.skip("GITSNAP_TEST_DEBIAN=no")
    with debian_root(tmp_path) as root:
        root.hand_in(debs[0], *HOOKS.iterdir())
        if root.try_("apt-get -qq install -y --no-install-recommends pacman-package-manager")[0]:
            pytest.skip("this Debian has no pacman")
        root.run("apt-get -qq install -y --no-install-recommends /handed/gitsnap_*.deb")
        root.run(_PACKAGE)

        def messages() -> list[str]:
            told = json.loads(root.run("gitsnap -C /etc --json list"))["snapshots"]
            return [f"{s['label']}: {s['message']}" for s in told]

        root.run("pacman -U --noconfirm /tmp/settings-1.pkg.tar")
        before, after = (f"{moment}-pacman: {moment} pacman: settings" for moment in ("before", "after"))
        assert messages() == [before, after]
        root.run("pacman -U --noconfirm /tmp/settings-2.pkg.tar")
        # The script of one fails: both sides of it are kept.
        root.try_("pacman -U --noconfirm /tmp/settings-3.pkg.tar")
        assert messages() == [before, after, after, after]
        assert "by-post" in root.run("gitsnap -C /etc diff --no-color --name-status latest~1 latest")
        root.run("pacman -R --noconfirm settings")
        # No snapshot can be taken, and it is required.
        root.run(
            "mv /var/lib/gitsnap /var/lib/kept; touch /var/lib/gitsnap; echo REQUIRED=yes >/etc/default/gitsnap-hooks"
        )
        code, told = root.try_("pacman -U --noconfirm /tmp/settings-1.pkg.tar")
        assert (code, "stopped before anything was changed" in told) == (1, True), told
        assert root.try_("ls /etc/settings.ini")[0] != 0
