"""Real configuration of many formats: every secret is hidden, and next to nothing else."""

from __future__ import annotations

import pytest

from tests.secrets.measure import CORPUS, HELD_OUT, Figures, files, measure


@pytest.mark.parametrize("folder", [CORPUS, HELD_OUT], ids=["corpus", "held-out"])
def test_no_secret_is_missed_and_little_else_masked(folder: object, capsys: pytest.CaptureFixture[str]) -> None:
    found = measure(folder)  # type: ignore[arg-type]
    with capsys.disabled():
        print(f"\n{found}")
    assert found.missed == []
    assert found.false_rate <= 0.03, found.masked_wrongly


def test_the_corpus_is_large() -> None:
    assert measure(CORPUS).looked_at >= 300
    assert len({path for path, _ in files(CORPUS)}) >= 40


def test_the_measure_tells_what_is_wrong(tmp_path: object) -> None:
    (tmp_path / "a.txt").write_text("=== a.yaml\nport: «8080»\npassword: hunter2\n")  # type: ignore[operator]
    found: Figures = measure(tmp_path)  # type: ignore[arg-type]
    assert len(found.missed) == 2
    assert len(found.masked_wrongly) == 2
