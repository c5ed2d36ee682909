"""The power of a disk is cut and comes back, whatever else starts and ends on the machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.installation import IS_ROOT
from tests.support.processes import in_child, own_mounts
from tests.torture import power

pytestmark = pytest.mark.skipif(not IS_ROOT or not shutil.which("unshare"), reason="needs root, and unshare")
# It starts when it is told to, says so, and runs until there is no more to read.
_CONTAINER = ["sh", "-c", "read x; exec unshare --mount sh -c 'echo; read x'"]
_NO_MOUNTS = "mounts cannot be had for one process alone here"


@pytest.mark.long
def test_tests_mount_for_themselves() -> None:
    """Where they start programs: `--quick` leaves those out, and mounts nothing."""
    if not in_child(own_mounts):
        pytest.skip(_NO_MOUNTS)
    assert os.readlink("/proc/self/ns/mnt") != os.readlink(f"/proc/{os.getppid()}/ns/mnt")


def test_a_container_that_starts_meanwhile_keeps_no_disk_from_coming_back(tmp_path: Path) -> None:
    """It has a copy of each mount that was there when it started, also of one in error, for as long as it runs."""

    def cut_and_come_back() -> str:
        with subprocess.Popen(_CONTAINER, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as container:
            assert container.stdin and container.stdout
            if not own_mounts():
                return _NO_MOUNTS
            try:
                with power.disk("ext4", tmp_path) as disk:
                    (disk.where / "f").write_text("there")
                    os.sync()
                    container.stdin.write(b"\n")
                    container.stdin.flush()
                    assert container.stdout.readline() == b"\n"
                    disk.cut()
                    disk.restart()
                    assert (disk.where / "f").read_text() == "there"
                    (disk.where / "f").unlink()
            except OSError as error:
                if error.errno is not None:
                    raise
                return str(error)
        return ""

    if why := in_child(cut_and_come_back):
        pytest.skip(why)
