"""A clean Debian root that systemd boots as process 1, in namespaces of its own; ending it is pulling the plug."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.release.debian_root import DebianRoot

_OWN_GROUP = "gitsnap-test"
# What would reach out of the namespaces, or wait for what is not there.
_MASKED = (
    "systemd-sysctl.service systemd-modules-load.service systemd-udevd.service systemd-udev-trigger.service"
    " systemd-binfmt.service systemd-random-seed.service systemd-timesyncd.service systemd-logind.service"
    " systemd-networkd.service systemd-resolved.service systemd-remount-fs.service systemd-pstore.service"
    " getty@tty1.service console-getty.service systemd-udevd-control.socket systemd-udevd-kernel.socket"
    " proc-sys-fs-binfmt_misc.automount dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount"
    " sys-kernel-tracing.mount sys-kernel-config.mount sys-fs-fuse-connections.mount"
)
_BOOT = """
set -e
mount --make-rprivate /
root=$UPPER/root
mount -t overlay overlay -o "lowerdir=$LOWER,upperdir=$UPPER/upper,workdir=$UPPER/work" "$root"
# A directory of an overlay is another one after each mount, by its number.
mkdir -p "$UPPER/srv"
mount --bind "$UPPER/srv" "$root/srv"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
if [ -d /sys/fs/cgroup/systemd ]; then
    mount -t tmpfs tmpfs "$root/sys/fs/cgroup"
    mkdir "$root/sys/fs/cgroup/systemd"
    mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/systemd"
else
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
fi
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/shm" "$root/dev/pts" && mkdir -p "$root/.old"
cd "$root"
pivot_root . .old
umount -l /.old
exec env -i container=lxc PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 /lib/systemd/systemd --log-target=console
"""


class Booted:
    """A system that runs."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def try_(self, script: str) -> tuple[int, str]:
        """Run a script of sh in it; its exit code and all that it printed."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        words = ["nsenter", "-t", children[0] if children else "0", "-p", "-m", "-u", "-i", "-n", "-C", "-r", "-w"]
        clean = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8", "TERM=dumb"]
        done = subprocess.run(
            [*words, *clean, "sh", "-c", script],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout

    def run(self, script: str) -> str:
        """Run a script of sh that must end well; all that it printed."""
        code, told = self.try_(f"set -e; {script}")
        assert code == 0, f"{script}\n{told}"
        return told


@contextmanager
def booted(root: DebianRoot, log: Path) -> Iterator[Booted]:
    """Boot it, and pull the plug at the end. Skips where systemd cannot be process 1 here."""
    groups = (Path("/sys/fs/cgroup/systemd"), Path("/sys/fs/cgroup"))
    group = next(p for p in groups if (p / "cgroup.procs").exists())
    environ = {**os.environ, "LOWER": str(root.lower), "UPPER": str(root.upper), "GROUP": str(group / _OWN_GROUP)}
    enter = 'mkdir -p "$GROUP"; echo $$ >"$GROUP/cgroup.procs"; exec "$@"'
    namespaces = ["unshare", "--pid", "--mount", "--uts", "--ipc", "--cgroup", "--net", "--fork", "--kill-child"]
    with open(log, "wb") as told:
        process = subprocess.Popen(
            ["sh", "-c", enter, "sh", *namespaces, "sh", "-c", _BOOT],
            env=environ, stdin=subprocess.DEVNULL, stdout=told, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        made = Booted(process)
        while process.poll() is None:
            if made.try_("systemctl is-system-running --wait")[1].strip() in ("running", "degraded"):
                break
        else:
            pytest.skip(f"systemd cannot be process 1 here: {log.read_text(errors='replace').splitlines()[-1:]}")
        yield made
    finally:
        process.kill()
        process.wait()
        own = group / _OWN_GROUP
        for path in [*sorted((p for p in own.rglob("*") if p.is_dir()), reverse=True), own]:
            # Those of the last to end may take a moment longer, and are used again.
            with suppress(OSError):
                path.rmdir()


def bootable(root: DebianRoot) -> None:
    """Install systemd in it, without what would reach out."""
    root.run("apt-get -qq install -y --no-install-recommends systemd systemd-sysv dbus")
    root.run(f"cd /etc/systemd/system; for unit in {_MASKED}; do ln -sf /dev/null $unit; done")
