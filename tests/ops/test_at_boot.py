"""`recover --at-boot`: what a unit runs that the service waits for, so it may wait for nothing that waits for it."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gitsnap.core.errors import LockedError, StopRequestedError
from gitsnap.core.settings import Service
from gitsnap.ops.restore import rollback
from gitsnap.ops.restore.at_boot import recover_at_boot
from gitsnap.ops.restore.rollback import RollbackOptions
from gitsnap.sidecar import locks
from tests.cli.test_sets_waiting import ShopOfThree
from tests.cli.test_sets_waiting import shop as shop_of_three
from tests.cli.test_soak import LONG, killed
from tests.crash.test_interrupted_rollback import Signalling
from tests.ops.test_several_directories import Three
from tests.ops.test_several_directories import three as three_directories
from tests.support.inprocess import Protected, workspace
from tests.support.installation import REPOSITORY, build_app, copy_tree, run_gitsnap, same_tree, sidecar_of, upgrade

shop, three = shop_of_three, three_directories


@pytest.fixture
def where() -> Iterator[Path]:
    with workspace() as top:
        yield top


class Stopping(Signalling):
    """Asks to stop, as a signal does."""

    def _count(self, kind: str) -> None:
        if kind == self._kind:
            self._left -= 1
            if self._left == 0:
                raise StopRequestedError("told to stop")


def unit(root: Path, home: Path) -> str:
    """What systemd would run first to start the service of a directory."""
    environ = {"GITSNAP_HOME": str(home), "PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY)}
    words = [sys.executable, "-m", "gitsnap", "-C", str(root), "--lock-wait", "0", "recover", "--at-boot"]
    return shlex.join(["env", "-i", *(f"{name}={value}" for name, value in environ.items()), *words])


def with_service(root: Path, home: Path, start: str, stop: str = "true") -> None:
    own = sidecar_of(root, home) / "gitsnap.toml"
    own.write_text(f"[service]\nstop = '''{stop}'''\nstart = '''{start}'''\n")
    own.chmod(0o600)


def test_the_service_is_neither_stopped_nor_started(where: Path) -> None:
    app = build_app(where / "app")
    wanted = copy_tree(app, where / "wanted")
    with Protected(app, where / "home") as place:
        first = place.take().snapshot.id
        upgrade(app)
        options = RollbackOptions(place.now)
        with pytest.raises(StopRequestedError):
            rollback.rollback(place.sidecar, first, place.settings, replace(options, disk=Stopping("move", 9, 0)))
        assert place.sidecar.pending == "forward"
        said = f"echo said >>{where}/said"
        settings = replace(place.settings, service=Service(said, said))
        assert recover_at_boot(place.sidecar, None, settings, options).verified
        same_tree(wanted, app)
        assert not (where / "said").exists()


def test_it_waits_for_the_lock_only_where_something_is_pending(where: Path) -> None:
    """A snapshot that was missed while the machine was off may be at work by then."""
    app = build_app(where / "app")
    with Protected(app, where / "home") as place:
        first = place.take().snapshot.id
        options, settings = RollbackOptions(place.now), replace(place.settings, lock_wait=0)
        with locks.hold(place.sidecar.own("writer.lock"), exclusive=True, wait=1):
            assert recover_at_boot(place.sidecar, None, replace(settings, lock_wait=3600), options).verified
        upgrade(app)
        with pytest.raises(StopRequestedError):
            rollback.rollback(place.sidecar, first, place.settings, replace(options, disk=Stopping("move", 9, 0)))
        with locks.hold(place.sidecar.own("writer.lock"), exclusive=True, wait=1), pytest.raises(LockedError):
            recover_at_boot(place.sidecar, None, settings, options)


def test_a_rollback_may_start_the_service_that_waits_for_it(three: Three) -> None:
    """In one directory, and in all of them."""
    root, home = three.roots[0], three.home
    three.say("snapshot", at=0)
    with_service(root, home, unit(root, home))
    (root / "f").write_text("new\n")
    three.say("rollback", "--yes", at=0)
    three.upgrade()
    with_service(three.roots[2], home, unit(three.roots[2], home))
    three.say("rollback", "--yes")
    three.as_before()
    three.upgrade("--check", "false", check=20)
    assert not any(list((sidecar_of(r, home) / "gitsnap").glob("service.json")) for r in three.roots)
    # What the command of an upgrade starts may wait for it as well.
    three.upgrade(then=f"; {unit(three.roots[1], home)}")


def test_all_go_back_without_their_services(three: Three) -> None:
    three.say("run", "--", "true")
    log = three.top / "log"
    for root in three.roots[::2]:
        with_service(root, three.home, f"echo start >>{log}", f"echo stop >>{log}")
    three.killed("true")
    log.unlink(missing_ok=True)
    three.say("recover", "--at-boot", at=1)
    three.as_before()
    assert not log.exists()
    assert "service_stopped" in (told := three.say("status", "--json", at=0).stdout)
    assert '"service_stopped": true' not in told


def test_what_waits_to_be_decided_over_all_is_left_to_its_timer(shop: ShopOfThree) -> None:
    killed(shop, "run", "--confirm", LONG, "--", *shop.upgrade("2"), at="confirm-started")
    told = run_gitsnap("-C", shop.roots[1], "recover", "--at-boot", home=shop.home)
    assert "waits for what becomes of it" in told.stderr
    assert shop.versions == ["2"] * 3
    shop.at(2, "keep")
    shop.assert_all("2", "kept")
