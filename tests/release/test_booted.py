"""Timers, and recovery at boot, under a systemd that is process 1. Left out as the tests of Debian's packages are."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.release.booted import bootable, booted
from tests.release.debian_root import DebianRoot, debian_root

pytestmark = [pytest.mark.long, pytest.mark.debian]

_WAITS = """\
[Unit]
Requires=gitsnap-recover@srv-app.service
After=gitsnap-recover@srv-app.service
"""
_APP = """\
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'cat /srv/app/* | sort | uniq -c >/var/seen'
[Install]
WantedBy=multi-user.target
"""
# Killed while names move: some files are old again by then, and not all.
_CUT_SHORT = """
mkdir /srv/app; cd /srv/app
for i in $(seq 3000); do echo old >f$i; done
gitsnap -C . -q snapshot
for i in $(seq 3000); do echo new >f$i; done
gitsnap -C . -q rollback latest --yes & pid=$!
until grep -lq old f* 2>/dev/null; do kill -0 $pid; done
kill -9 $pid; wait $pid || true
gitsnap -C . status | grep PENDING
"""


@pytest.fixture
def root(tmp_path: Path, debs: tuple[Path, Path]) -> Iterator[DebianRoot]:
    if os.environ.get("GITSNAP_TEST_DEBIAN") == "no":
        pytest.skip("GITSNAP_TEST_DEBIAN=no")
    with debian_root(tmp_path) as made:
        made.hand_in(debs[0])
        bootable(made)
        made.run("apt-get -qq install -y --no-install-recommends /handed/gitsnap_*.deb")
        yield made


def test_a_timer_and_its_end(root: DebianRoot, tmp_path: Path) -> None:
    with booted(root, tmp_path / "log") as system:
        system.run("mkdir '/srv/my 100% ü'; echo 1 >'/srv/my 100% ü/f'; gitsnap init '/srv/my 100% ü'")
        system.run("gitsnap timer install '/srv/my 100% ü' --on-calendar '*:*:0/2' --yes")
        unit = r"gitsnap-snapshot-srv-my\x20100\x25\x20\xc3\xbc"
        (one,) = json.loads(system.run("gitsnap --json timer"))["timers"]
        assert (one["name"], one["active"], bool(one["next"])) == (unit, True, True)
        system.run(f"systemctl start '{unit}.service'")
        (one,) = json.loads(system.run("gitsnap --json timer"))["timers"]
        assert (one["exit_code"], bool(one["last"])) == (0, True)
        assert "-timer" in system.run("gitsnap -C '/srv/my 100% ü' list")
    # It is there after a restart, too; and goes with the package.
    with booted(root, tmp_path / "log") as system:
        assert "active" in system.run(f"systemctl is-active '{unit}.timer'")
        system.run("dpkg --purge gitsnap")
        assert "gitsnap" not in system.run("systemctl list-timers --all --no-pager")
        assert system.run("find /etc /run /var/lib/systemd -name '*gitsnap*'") == ""


@pytest.mark.parametrize("written", [False, True], ids=["by-the-template", "by-timer-install"])
def test_an_interrupted_rollback_is_settled_before_the_service_starts(
    root: DebianRoot, tmp_path: Path, written: bool
) -> None:
    app = _APP if written else _WAITS + _APP
    with booted(root, tmp_path / "log") as system:
        system.run(_CUT_SHORT)
        system.run(f"cat >/etc/systemd/system/app.service <<'X'\n{app}X\nsystemctl enable app.service")
        if written:
            system.run("gitsnap timer install /srv/app --recover-at-boot --before app --yes")
            # What is interrupted is left to the next boot.
            system.run("gitsnap -C /srv/app status | grep PENDING")
    with booted(root, tmp_path / "log") as system:
        told = system.run("systemctl status --no-pager gitsnap-recover@srv-app.service app.service || true")
        assert system.try_("cat /var/seen")[1].split() == ["3000", "old"], told
        assert "verified" in system.run("systemctl status gitsnap-recover@srv-app.service")
        if not written:
            return
        (one,) = json.loads(system.run("gitsnap --json timer"))["at_boot"]
        assert (one["name"], one["enabled"], one["exit_code"]) == ("gitsnap-recover@srv-app", True, 0)
        system.run("gitsnap timer remove /srv/app")
        assert "active" in system.run("systemctl is-active app.service")
        # What was forgotten is skipped where gitsnap is gone, and the service starts.
        system.run("gitsnap timer install /srv/app --recover-at-boot --before app --yes; dpkg --remove gitsnap")
        system.run("systemctl stop gitsnap-recover@srv-app.service; rm /var/seen; systemctl start app.service")
        assert system.run("cat /var/seen").split() == ["3000", "old"]
        system.run("dpkg --purge gitsnap; systemctl restart app.service")
        assert system.run("find /etc -name '*gitsnap*'") == ""
