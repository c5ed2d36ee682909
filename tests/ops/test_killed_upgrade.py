"""gitsnap killed at every moment of an upgrade: what the next command says, and that what it says to type works."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gitsnap.core.settings import Settings
from gitsnap.core.upgrade import Event, Moment
from gitsnap.ops.process.processes import SignalWaiter
from gitsnap.ops.store import locate
from gitsnap.ops.upgrade.lifecycle import Upgrade
from gitsnap.ops.upgrade.result import UpgradeRequest
from gitsnap.ops.upgrade.run import Launch, run
from gitsnap.sidecar.repository import Sidecar
from tests.cli.helpers import document
from tests.support.installation import copy_tree, run_gitsnap, same_tree

BEFORE = "before the command was started"

# The event after whose n-th occurrence the kill comes, what is said then, and whether the command had run.
KILLS: dict[str, tuple[Moment, int, str, bool]] = {
    "before the first snapshot": (Moment.UPGRADE_STARTED, 1, BEFORE, False),
    "after the first snapshot": (Moment.SNAPSHOT_COMPLETED, 1, BEFORE, False),
    "after its verification": (Moment.VERIFIED, 1, BEFORE, False),
    "while the command runs": (Moment.COMMAND_STARTED, 1, "while its command ran", True),
    "after the command": (Moment.COMMAND_EXITED, 1, "while its command ran", True),
    "after the second snapshot": (Moment.SNAPSHOT_COMPLETED, 2, "after its command had ended", True),
    "during the checks": (Moment.CHECK_PASSED, 1, "before its checks were done", True),
    "before the rollback": (Moment.ROLLBACK_STARTED, 1, "while it was being rolled back", True),
    "after the rollback": (Moment.ROLLBACK_COMPLETED, 1, "while it was being rolled back", True),
}


def killed(app: Path, home: Path, at: Moment, count: int, command: list[str]) -> int:
    """Run an upgrade that is killed when an event comes; the exit code of its process."""

    def killer() -> Callable[[Event], None]:
        left = [count]

        def tell(event: Event) -> None:
            left[0] -= event.moment is at
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)

        return tell

    protected, _ = locate.protect(str(app), None, str(home), "/", "")
    child = os.fork()
    if child == 0:
        try:
            with Sidecar(protected.store) as sidecar, SignalWaiter() as signals:
                wanted = UpgradeRequest(command="do it", checks=("true", "false"))
                settings = Settings(zone=UTC)
                upgrade = Upgrade(sidecar, wanted, settings, clock=lambda: datetime.now(UTC), tell=killer())
                upgrade.begin()
                run(upgrade, Launch(command, os.environ), signals)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("when", KILLS)
def test_the_next_command_says_what_stands(installation: Path, tmp_path: Path, gitsnap_home: Path, when: str) -> None:
    moment, count, said, changed = KILLS[when]
    before = copy_tree(installation, tmp_path / "before")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    script = f'cd "{installation}" && rm -r modules && echo x >new'
    if moment is Moment.COMMAND_STARTED:
        # It outlives its runner, until this test lets it go.
        script += f"; cat {fifo}"
    code = killed(installation, gitsnap_home, moment, count, ["sh", "-c", script])
    assert code == -signal.SIGKILL
    told = run_gitsnap("-C", installation, "list").stderr
    assert said in told
    if moment is Moment.COMMAND_STARTED:
        assert re.search(r"still runs, as process \d+", told)
        pending = document("-C", installation, "status")["pending_upgrade"]
        assert (pending["stage"], pending["command"], pending["running"] > 0) == ("command", "do it", True)
        fifo.write_text("")
        # The way back is told once it is over.
        while "still runs" in (told := run_gitsnap("-C", installation, "list").stderr):
            pass
    if not changed:
        assert "changed nothing" in told
        same_tree(before, installation)
    else:
        command = re.search(r"to go back: +gitsnap (.*)", told)
        assert command
        run_gitsnap(*command[1].split(), "--yes")
        same_tree(before, installation)
        assert run_gitsnap("-C", installation, "list").stderr == ""
    done = run_gitsnap("-C", installation, "run", "--", "true", check=False)
    assert done.returncode == 0, done.stderr
    assert run_gitsnap("-C", installation, "list").stderr == ""
    run_gitsnap("-C", installation, "verify", "--all")


def test_a_snapshot_keeps_what_stands(installation: Path, gitsnap_home: Path) -> None:
    script = f'touch "{installation}/new"'
    assert killed(installation, gitsnap_home, Moment.COMMAND_EXITED, 1, ["sh", "-c", script]) == -signal.SIGKILL
    command = re.search(r"to keep what is here: +gitsnap (.*)", run_gitsnap("-C", installation, "status").stderr)
    assert command
    run_gitsnap(*command[1].split())
    assert run_gitsnap("-C", installation, "list").stderr == ""
    assert (installation / "new").exists()
