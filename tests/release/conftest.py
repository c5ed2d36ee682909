"""What is released, built once for all tests of a run."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from packages import deb, dist, onefile


def _once(top: Path, name: str, make: Callable[[Path], object]) -> Path:
    """Several processes share a run's tests: the first one makes it, the others wait."""
    place = top / name
    with open(top / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            making = top / f"{name}.making"
            making.mkdir()
            make(making)
            making.rename(place)
    return place


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """No fixture could tell: those that build are of the session, which are made before any of a test's own."""
    if os.environ.get("GITSNAP_TEST_PACKAGES") == "no" and item.get_closest_marker("long"):
        pytest.skip("GITSNAP_TEST_PACKAGES=no")


@pytest.fixture(scope="session")
def _shared(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    top = tmp_path_factory.getbasetemp()
    return top.parent if hasattr(request.config, "workerinput") else top


@pytest.fixture(scope="session")
def distributions(_shared: Path) -> Path:
    """A folder with the source distribution and the wheel."""
    pytest.importorskip("build")
    pytest.importorskip("setuptools_scm")
    return _once(_shared, "distributions", dist.build)


@pytest.fixture(scope="session")
def zipapp(_shared: Path, distributions: Path) -> Path:
    """The zipapp."""

    def make(into: Path) -> None:
        shutil.copy(next(distributions.glob("*.whl")), into)
        _or_skip(lambda: onefile.build(into))

    return next(_once(_shared, "zipapp", make).glob("*.pyz"))


@pytest.fixture(scope="session")
def debs(_shared: Path, distributions: Path) -> tuple[Path, Path]:
    """The Debian packages: gitsnap and gitsnap-apt."""
    if not shutil.which("dpkg-deb"):
        pytest.skip("no dpkg-deb")

    def make(into: Path) -> None:
        shutil.copy(next(distributions.glob("*.whl")), into)
        _or_skip(lambda: deb.build(into))

    place = _once(_shared, "debs", make)
    return next(place.glob("gitsnap_*.deb")), next(place.glob("gitsnap-apt_*.deb"))


def _or_skip(make: Callable[[], object]) -> None:
    try:
        make()
    except SystemExit as end:
        if "pip" in str(end):
            pytest.skip("the pinned packages cannot be had here")
        raise
