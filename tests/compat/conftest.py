"""Whatever a module of these tests has made of its sidecars: stock dulwich reads each of them as stock git does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import dulwich


@pytest.fixture(scope="module", autouse=True)
def _dulwich_reads_every_sidecar(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    base = tmp_path_factory.getbasetemp()
    before = set(dulwich.sidecars_below(base))
    yield
    for sidecar in dulwich.sidecars_below(base):
        if sidecar not in before:
            assert dulwich.reads(sidecar) >= 0
