"""`metrics`: read by the parser of Prometheus's own client, and true."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.helpers import document
from tests.support.damage import flip_object
from tests.support.installation import build_app, run_gitsnap, sidecar_of, take_snapshot
from tests.support.webapp import Shop

parser = pytest.importorskip("prometheus_client.parser")


def figures(text: str) -> dict[tuple[str, str], float]:
    """Each figure by its name and what is beside the labels that all have."""
    found = {}
    for family in parser.text_string_to_metric_families(text):
        assert (family.type, bool(family.documentation)) == ("gauge", True)
        for sample in family.samples:
            more = ",".join(v for k, v in sorted(sample.labels.items()) if k not in ("installation", "store"))
            assert (sample.name, more) not in found
            found[sample.name.removeprefix("gitsnap_"), more] = sample.value
    return found


def measured(app: Path) -> dict[tuple[str, str], float]:
    return figures(run_gitsnap("-C", app, "metrics").stdout)


@pytest.fixture
def app(tmp_path: Path, gitsnap_home: Path) -> Path:
    return build_app(tmp_path / "app")


def test_what_there_is_not_has_no_figure(app: Path) -> None:
    run_gitsnap("-C", app, "init")
    found = measured(app)
    assert (found["snapshots", ""], found["damaged_snapshots", ""], found["recovery_pending", ""]) == (0, 0, 0)
    assert not [name for name, _ in found if name.startswith(("newest", "last"))]


def test_ages_outcomes_and_sizes_are_those_of_status(app: Path) -> None:
    take_snapshot(app)
    run_gitsnap("-C", app, "drill")
    run_gitsnap("-C", app, "run", "--", "sh", "-c", "echo new >bin/shop; exit 3", check=20)
    run_gitsnap("-C", app, "delete", "latest~1")
    found, state = measured(app), document("-C", app, "status")
    assert found["snapshots", ""] == state["snapshots"]
    assert found["deleted_snapshots", ""] == 1
    assert found["sidecar_bytes", ""] == state["store_bytes"]
    assert found["last_upgrade_outcome", "rolled-back"] == 1
    assert sum(value for (name, _), value in found.items() if name == "last_upgrade_outcome") == 1
    assert found["last_drill_success", ""] == 1
    for name in ("newest_snapshot", "newest_verified_snapshot", "last_verification", "last_upgrade", "last_drill"):
        stamp, age = found[f"{name}_timestamp_seconds", ""], found[f"{name}_age_seconds", ""]
        assert time.time() - 600 < stamp <= time.time() + 1
        assert 0 <= age < 600


def test_an_upgrade_that_waits_is_counted_down(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    try:
        assert shop.gitsnap("snapshot").returncode == 0

        def waits() -> tuple[float, float]:
            found = figures(shop.gitsnap("metrics").stdout)
            return found["upgrade_waiting", ""], found["upgrade_waiting_seconds", ""]

        assert waits() == (0, 0)
        for words in (("--confirm", "1h"), ("--soak", "1h", "--check", "true")):
            with shop.running("run", *words, "--", "true") as run:
                run.wait_for("soak-started" if "--soak" in words else "confirm-started")
                now, left = waits()
                assert now == 1
                assert 3000 < left <= 3600
                shop.gitsnap("keep")
                run.ends(0)
            assert waits() == (0, 0)
    finally:
        shop.close()


def test_what_is_wrong_is_counted(app: Path) -> None:
    take_snapshot(app)
    flip_object(sidecar_of(app), (app / "bin/shop").read_bytes())
    run_gitsnap("-C", app, "verify", check=12)
    (sidecar_of(app) / "gitsnap/journal.forward").write_bytes(b"damaged")
    found = measured(app)
    assert (found["damaged_snapshots", ""], found["recovery_pending", ""]) == (1, 1)
    assert ("newest_verified_snapshot_age_seconds", "") not in found


@pytest.mark.parametrize("name", ['a "b" \\n c', "two\nlines", "schön", b"not \xff utf-8", "brace}{,=#"])
def test_any_name_is_a_label(tmp_path: Path, gitsnap_home: Path, name: str | bytes) -> None:
    app = Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), os.fsencode(name))))
    app.mkdir()
    run_gitsnap("-C", app, "snapshot")
    text = run_gitsnap("-C", app, "metrics").stdout
    (label,) = {s.labels["installation"] for f in parser.text_string_to_metric_families(text) for s in f.samples}
    assert label == os.fsencode(app).decode("utf-8", "backslashreplace")


def test_the_file_is_replaced_at_once_and_open_to_the_collector(app: Path, tmp_path: Path) -> None:
    take_snapshot(app)
    target = tmp_path / "collector" / "gitsnap.prom"
    target.parent.mkdir()
    run_gitsnap("-C", app, "metrics", "-o", target)
    before = os.open(target, os.O_RDONLY)
    assert target.stat().st_mode & 0o777 == 0o644
    first = target.read_text()
    take_snapshot(app)
    done = run_gitsnap("-C", app, "metrics", "-o", target)
    assert (done.stdout, os.listdir(target.parent)) == ("", [target.name])
    assert figures(target.read_text())["snapshots", ""] == 2
    assert os.read(before, 1 << 20).decode() == first
    os.close(before)
    run_gitsnap("-C", app, "metrics", "-o", tmp_path / "none/gitsnap.prom", check=1)


def test_it_writes_nothing_anywhere_else(app: Path) -> None:
    take_snapshot(app)
    store = sidecar_of(app)

    def state() -> list[tuple[Path, int, int]]:
        return [(p, p.lstat().st_mtime_ns, p.lstat().st_size) for p in sorted(store.rglob("*"))]

    before = state()
    run_gitsnap("-C", app, "metrics")
    assert document("-C", app, "metrics")["metrics"][0]["name"] == "snapshots"
    assert state() == before


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool")
def test_promtool_has_nothing_to_say(app: Path) -> None:
    take_snapshot(app)
    text = run_gitsnap("-C", app, "metrics").stdout
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
