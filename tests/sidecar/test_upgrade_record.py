"""The upgrade that is under way, as a file that may come from elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gitsnap.core.errors import LockedError
from gitsnap.core.upgrade import Process, UpgradePhase
from gitsnap.sidecar.repository import UPGRADE_RECORD
from gitsnap.sidecar.state import upgrade_record
from gitsnap.sidecar.state.upgrade_record import UpgradeRecord
from tests.support.inprocess import Protected

RUNNER = Process(1, "boot", 2)
RECORD = UpgradeRecord("u", "make upgrade", RUNNER)


def test_from_the_claim_to_the_end(protected: Protected) -> None:
    sidecar = protected.sidecar
    assert upgrade_record.load(sidecar) is None
    upgrade_record.claim(sidecar, RECORD, 1, None)
    assert upgrade_record.load(sidecar) == RECORD
    changed = upgrade_record.update(sidecar, RECORD, stage=UpgradePhase.POST, child=Process(3, "boot", 4), exit_code=0)
    assert upgrade_record.load(sidecar) == changed
    assert (changed.stage, changed.child, changed.exit_code) == (UpgradePhase.POST, Process(3, "boot", 4), 0)
    upgrade_record.clear(sidecar)
    assert upgrade_record.load(sidecar) is None
    upgrade_record.clear(sidecar)


def test_one_that_lives_is_not_replaced(protected: Protected) -> None:
    upgrade_record.claim(protected.sidecar, RECORD, 1, None)
    with pytest.raises(LockedError, match="process 1"):
        upgrade_record.claim(protected.sidecar, UpgradeRecord("v", "", RUNNER), 1, RUNNER)
    assert upgrade_record.load(protected.sidecar) == RECORD


def test_a_disk_that_is_full_keeps_the_older(protected: Protected, monkeypatch: pytest.MonkeyPatch) -> None:
    upgrade_record.claim(protected.sidecar, RECORD, 1, None)
    path = Path(protected.sidecar.own(UPGRADE_RECORD))
    path.unlink()
    # What cannot be replaced, as on a disk that refuses.
    path.mkdir()
    (path / "x").touch()
    assert upgrade_record.update(protected.sidecar, RECORD, problem="p").problem == "p"
    with pytest.raises(OSError):
        upgrade_record.update(protected.sidecar, RECORD, strict=True, problem="p")


@pytest.mark.parametrize(
    "change",
    [
        {"upgrade": 1},
        {"command": None},
        {"problem": ["x"]},
        {"pre": 3},
        {"runner": None},
        {"runner": {"pid": -1, "start": 2, "boot": "b"}},
        {"runner": {"pid": True, "start": 2, "boot": "b"}},
        {"child": {"pid": 1, "start": "2", "boot": "b"}},
        {"child": {"pid": 1, "start": 2, "boot": 3}},
        {"child": {"pid": 1, "start": 2, "boot": "b", "more": 1}},
        {"exit_code": "0"},
        {"exit_code": True},
        {"stage": "dancing"},
        {"unheard": 1},
    ],
)
def test_what_we_would_not_have_written_counts_for_nothing(protected: Protected, change: dict[str, Any]) -> None:
    upgrade_record.claim(protected.sidecar, RECORD, 1, None)
    path = Path(protected.sidecar.own(UPGRADE_RECORD))
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert upgrade_record.load(protected.sidecar) is None


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b'{"upgrade": "u"}', b"\xff", b"[" * 100_000])
def test_what_is_no_record(protected: Protected, data: bytes) -> None:
    Path(protected.sidecar.own(UPGRADE_RECORD)).write_bytes(data)
    assert upgrade_record.load(protected.sidecar) is None
