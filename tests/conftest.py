"""Fixtures for all tests: a private place for sidecars, installations to protect; and what a quick run leaves out."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from gitsnap.sidecar.state import disk_reserve
from tests.crash import faults
from tests.support import forking
from tests.support import installation as support
from tests.support.starting import starting

_MEMORY = "/dev/shm"
_ROOM = 6 << 30
# To hold room back in memory is to fill it: for what upgrades hold back, half of what the kernel does for them.
disk_reserve.LARGEST = 1 << 20
# What Python tells an audit hook before it starts another program, and what we tell it before gitsnap is one.
_STARTING = frozenset({"subprocess.Popen", "os.posix_spawn", "os.exec", "os.system", support.STARTING_GITSNAP})

# No test is timed: a machine with other work on it may take as long as it likes for an example.
_UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
# A run tries other examples than the last one did: many runs of few find what one of many finds.
settings.register_profile("usual", _UNTIMED, max_examples=30)
settings.register_profile("quick", _UNTIMED, max_examples=15)
settings.register_profile("thorough", _UNTIMED, max_examples=100)
settings.load_profile("usual")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--quick` is for every few minutes, the whole for every commit, `--thorough` for `make torture`."""
    parser.addoption(
        "--quick", action="store_true", help="leave out what starts another program, and what is marked as long"
    )
    parser.addoption("--thorough", action="store_true", help="try properties on three times as many examples")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Temporary directories lie in memory where there is room for them: what is synced there costs nothing.

    Whoever started us in the background had us ignore what a terminal sends, and with us all that we start.
    """
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    mine = not hasattr(config, "workerinput") and config.option.basetemp is None
    if mine and os.access(_MEMORY, os.W_OK | os.X_OK) and shutil.disk_usage(_MEMORY).free > _ROOM:
        where = tempfile.mkdtemp(prefix="gitsnap-tests-", dir=_MEMORY)
        os.chmod(where, 0o755)
        config.option.basetemp = os.path.join(where, "run")
        config.add_cleanup(lambda: shutil.rmtree(where, ignore_errors=True))
    if config.option.thorough:
        settings.load_profile("thorough")
    if config.option.quick:
        settings.load_profile("quick")
        config.pluginmanager.register(_Quick())
    elif hasattr(config, "workerinput") or not config.getoption("numprocesses", None):
        # Who only hands out tests to others runs nothing.
        config.add_cleanup(forking.prepare())


def pytest_collection_finish() -> None:
    """All tests are there and stay: whoever looks for garbage, or forks, need not look through them again and again."""
    gc.collect()
    gc.freeze()


class _Quick:
    """Leaves out the tests that start another program, each at the moment when it does: no list has to be kept."""

    def __init__(self) -> None:
        self._us, self._testing = os.getpid(), False
        sys.addaudithook(self._heard)

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        known = set(starting(items, getattr(config, "cache", None)))
        quick, other = [], []
        for item in items:
            long = item.get_closest_marker("long") or item.get_closest_marker("faults")
            (other if long or item in known else quick).append(item)
        config.hook.pytest_deselected(items=other)
        items[:] = quick

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Iterator[None]:
        self._testing = True
        try:
            return (yield)
        finally:
            self._testing = False

    def _heard(self, event: str, _: object) -> None:
        if event not in _STARTING or not self._testing or os.getpid() != self._us:
            return
        if threading.current_thread() is threading.main_thread():
            pytest.skip("it starts another program")


@pytest.fixture(scope="session", autouse=True)
def _built_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    support.pristine = tmp_path_factory.mktemp("pristine")


@pytest.fixture
def gitsnap_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A private directory for sidecars, which gitsnap uses in this process and in those of `run_gitsnap`."""
    home = tmp_path / "sidecars"
    monkeypatch.setenv("GITSNAP_HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "configuration"))
    monkeypatch.delenv("GITSNAP_STORE", raising=False)
    return home


@pytest.fixture
def installation(tmp_path: Path, gitsnap_home: Path) -> Path:
    """A small application, not protected yet."""
    return support.build_app(tmp_path / "app")


@pytest.fixture
def odd_installation(tmp_path: Path, gitsnap_home: Path) -> Path:
    """The tree that has everything, not protected yet."""
    return support.build_odd(tmp_path / "odd")


@pytest.fixture(autouse=True)
def _faults_can_be_injected(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("faults") and (reason := faults.why_not()):
        pytest.skip(reason)
