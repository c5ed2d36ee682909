"""A plan that was agreed to is carried out, and no other: whatever of what it would do away with has changed."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gitsnap.core.errors import PlanChangedError
from gitsnap.core.settings import Service
from gitsnap.ops.restore import rollback as restore
from gitsnap.ops.restore.result import Restored
from gitsnap.ops.restore.rollback import RollbackOptions
from gitsnap.sidecar import catalog
from tests.support.inprocess import Protected


@pytest.fixture
def app(tmp_path: Path) -> Protected:
    root = tmp_path / "app"
    (root / "d").mkdir(parents=True)
    for name in ("same", "changed", "gone", "d/deep"):
        (root / name).write_text("1\n")
    made = Protected(root, tmp_path / "home")
    made.take()
    (root / "changed").write_text("2\n")
    (root / "gone").unlink()
    (root / "new").write_text("new\n")
    return made


def bring_back(
    app: Protected, agreed: str | None = None, *, dry_run: bool = False, selector: str = "latest"
) -> Restored:
    options = RollbackOptions(app.now, dry_run=dry_run, agreed=agreed)
    return restore.rollback(app.sidecar, selector, app.settings, options)


def test_what_was_agreed_to_is_done(app: Protected) -> None:
    token = bring_back(app, dry_run=True).fingerprint()
    app.reopen()
    assert bring_back(app, dry_run=True).fingerprint() == token
    done = bring_back(app, token)
    assert (done.verified, done.fingerprint(), (app.root / "changed").read_text()) == (True, token, "1\n")


def as_it_was(path: Path, text: str) -> None:
    """Other content, in every other respect the same."""
    before = path.stat()
    path.write_text(text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize(
    "meanwhile",
    [
        lambda root: as_it_was(root / "changed", "3\n"),
        lambda root: as_it_was(root / "new", "NEW\n"),
        lambda root: (root / "new").chmod(0o600),
        lambda root: (root / "same").write_text("2\n"),
        lambda root: (root / "newer").touch(),
        lambda root: (root / "d/deep").unlink(),
        lambda root: (root / "new").unlink(),
        lambda root: os.symlink("x", root / "gone"),
    ],
)
def test_what_has_changed_meanwhile_stops_it(app: Protected, meanwhile: Callable[[Path], object]) -> None:
    token = bring_back(app, dry_run=True).fingerprint()
    meanwhile(app.root)
    there = {p: p.read_bytes() for p in app.root.rglob("*") if p.is_file()}
    with pytest.raises(PlanChangedError):
        bring_back(app, token)
    assert {p: p.read_bytes() for p in app.root.rglob("*") if p.is_file()} == there
    assert len(catalog.snapshots(app.sidecar)) == 1


def test_another_snapshot_is_another_plan(app: Protected) -> None:
    token = bring_back(app, dry_run=True).fingerprint()
    app.take()
    # The same steps, to a commit of another name.
    with pytest.raises(PlanChangedError):
        bring_back(app, token)
    assert bring_back(app, token, selector="latest~1").verified


def test_where_a_service_is_stopped_for_it_what_was_there_before_counts(app: Protected) -> None:
    log = app.root / "pid"
    app.settings = replace(app.settings, service=Service(f"date >{log}", "true"))
    token = bring_back(app, dry_run=True).fingerprint()
    assert bring_back(app, token).verified
    app.take()
    (app.root / "same").write_text("2\n")
    log.unlink(missing_ok=True)
    with pytest.raises(PlanChangedError):
        bring_back(app, token)
    assert not log.exists()


def test_nobody_waits_for_the_digest_of_a_plan_that_was_not_agreed_to(
    app: Protected, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Restored] = []
    monkeypatch.setattr(Restored, "fingerprint", lambda done: asked.append(done) or "")
    assert bring_back(app).verified
    assert asked == []
