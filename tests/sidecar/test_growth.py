"""What each snapshot added: for a person to see, and nothing depends on it."""

from __future__ import annotations

import os
from pathlib import Path

from gitsnap.sidecar.state import growth
from tests.support.inprocess import Protected


def test_a_snapshot_is_as_large_as_its_packs(protected: Protected) -> None:
    taken = protected.take().snapshot
    packs = protected.store / "objects/pack"
    size = sum(p.stat().st_size for p in packs.iterdir() if p.suffix in (".pack", ".idx"))
    assert growth.load(protected.sidecar)[taken.commit] == size


def test_a_line_that_was_cut_off_takes_none_with_it(protected: Protected) -> None:
    path = Path(protected.sidecar.own("growth"))
    path.write_bytes(b"aaaa 12\nbbbb 3")
    growth.note(protected.sidecar, "cccc", [])
    assert growth.load(protected.sidecar) == {"aaaa": 12, "bbbb": 3, "cccc": 0}


def test_numbers_that_damage_made(protected: Protected) -> None:
    Path(protected.sidecar.own("growth")).write_bytes(
        b"a -1\nb 1" + b"0" * 18 + b"\nc " + "٣".encode() + b"\nd\ne 7 8\nf 999999999999999999\n"
    )
    assert growth.load(protected.sidecar) == {"f": 999999999999999999}


def test_what_is_gone_is_forgotten(protected: Protected) -> None:
    first, second = protected.take().snapshot, protected.take().snapshot
    assert {first.commit, second.commit} <= growth.load(protected.sidecar).keys()
    growth.forget_others(protected.sidecar, [second])
    assert growth.load(protected.sidecar).keys() == {second.commit}


def test_it_is_no_reason_to_fail(protected: Protected) -> None:
    growth.note(protected.sidecar, "dddd", ["that is not there"])
    Path(protected.sidecar.own("growth")).unlink(missing_ok=True)
    os.symlink("/etc/passwd", protected.sidecar.own("growth"))
    growth.note(protected.sidecar, "dddd", [])
    assert os.path.islink(protected.sidecar.own("growth"))
