"""gitsnap's own small files in a sidecar from elsewhere: what is no record counts as none, however deep it goes."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitsnap.core.errors import UsageError
from gitsnap.ops.store import configuration
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import known_damage, retention_rules, upgrade_record
from tests.support.installation import sidecar_of, take_snapshot

DEEP = b"[" * 100_000
PROCESS = b'{"pid": 1, "boot": "b", "start": 2}'
STRANGE = {
    "a number for a name": b'{"upgrade": 5, "command": "c", "runner": %s, "child": null, "stage": "command"}' % PROCESS,
    "a list for a command": b'{"upgrade": "u", "command": [1], "runner": %s, "child": null, "stage": "command"}'
    % PROCESS,
    "a text for a number": b'{"upgrade": "u", "command": "c", "runner": {"pid": "x", "boot": "b", "start": 2}, '
    b'"child": null, "stage": "command"}',
    "no number of a process": b'{"upgrade": "u", "command": "c", "runner": {"pid": -1, "boot": "b", "start": 2}, '
    b'"child": null, "stage": "command"}',
    "a text for an exit code": b'{"upgrade": "u", "command": "c", "runner": %s, "child": null, "stage": "command", '
    b'"exit_code": "x"}' % PROCESS,
    "a number for what it waits for": b'{"upgrade": "u", "command": "c", "runner": %s, "child": null, '
    b'"stage": "soak", "wait": 5}' % PROCESS,
    "a text for a time": b'{"upgrade": "u", "command": "c", "runner": %s, "child": null, "stage": "soak", '
    b'"wait": {"soak": "x", "checks": [], "term": null}}' % PROCESS,
    "no clock": b'{"upgrade": "u", "command": "c", "runner": %s, "child": null, "stage": "soak", '
    b'"wait": {"checks": [], "term": {"began": {"boot": "b", "ticks": NaN, "wall": 1}, "seen": 0}}}' % PROCESS,
    "a number for a check": b'{"upgrade": "u", "command": "c", "runner": %s, "child": null, "stage": "soak", '
    b'"wait": {"checks": [1], "term": null}}' % PROCESS,
    "nobody who runs it": b'{"upgrade": "u", "command": "c", "runner": null, "child": null, "stage": "command"}',
    "a list": b"[]",
    "deep": DEEP,
}


@pytest.fixture
def sidecar(installation: Path) -> Sidecar:
    take_snapshot(installation)
    return Sidecar(str(sidecar_of(installation)))


@pytest.mark.parametrize("what", STRANGE)
def test_an_upgrade_under_way(sidecar: Sidecar, what: str) -> None:
    with open(sidecar.own("upgrade.json"), "wb") as file:
        file.write(STRANGE[what])
    assert upgrade_record.load(sidecar) is None


@pytest.mark.parametrize("name", ["damage", "retention.json"])
def test_what_goes_too_deep(sidecar: Sidecar, name: str) -> None:
    with open(sidecar.own(name), "wb") as file:
        file.write(DEEP)
    assert not {"damage": known_damage, "retention.json": retention_rules}[name].load(sidecar)


def test_a_configuration_that_goes_too_deep(sidecar: Sidecar) -> None:
    with open(f"{sidecar.path}/{configuration.FILE}", "w") as file:
        file.write("a = " + DEEP.decode())
    with pytest.raises(UsageError, match="is not valid TOML"):
        configuration.components(sidecar)
