"""Fixtures for all tests: a private place for sidecars, and installations to protect."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.crash import faults
from tests.support import installation as support

_MEMORY = "/dev/shm"
_ROOM = 6 << 30

# No test is timed: a machine with other work on it may take as long as it likes for an example.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Temporary directories lie in memory where there is room for them: what is synced there costs nothing."""
    mine = not hasattr(config, "workerinput") and config.option.basetemp is None
    if mine and os.access(_MEMORY, os.W_OK | os.X_OK) and shutil.disk_usage(_MEMORY).free > _ROOM:
        where = tempfile.mkdtemp(prefix="gitsnap-tests-", dir=_MEMORY)
        os.chmod(where, 0o755)
        config.option.basetemp = os.path.join(where, "run")
        config.add_cleanup(lambda: shutil.rmtree(where, ignore_errors=True))


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
