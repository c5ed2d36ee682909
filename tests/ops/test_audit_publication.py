"""The audit log along with the refs: what a push would send, and what a clone goes on from."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from gitsnap.core.audit import encode
from gitsnap.ops.audit.publication import bring_back_audit, publish_audit
from gitsnap.sidecar import integrity
from gitsnap.sidecar.git import refs
from gitsnap.sidecar.state import audit
from tests.cli.helpers import document
from tests.support.inprocess import START, Protected, bare_git, workspace
from tests.support.installation import run_gitsnap, sidecar_of, take_snapshot


def add(protected: Protected, action: str = "act") -> None:
    audit.append(protected.sidecar.path, lambda place: encode(place.after, {"action": action}))


def flaws(protected: Protected) -> list[str]:
    return [flaw.problem for flaw in integrity.audit_log(protected.sidecar)]


def forget(store: Path) -> None:
    """Take the log away, as somebody might who has something to hide."""
    shutil.rmtree(store / "gitsnap/audit")
    (store / "gitsnap/audit.seal").unlink()


def test_what_is_published_is_said() -> None:
    with workspace() as top:
        (top / "app").mkdir()
        with Protected(top / "app", top / "home") as place:
            assert publish_audit(place.sidecar, START, 1.0).commit is None
            add(place)
            add(place)
            found = publish_audit(place.sidecar, START, 1.0)
            assert (found.lines, found.problem) == (2, "")
            assert found.commit == bare_git(place.store, "rev-parse", refs.AUDIT).decode().strip()
            forget(place.store)
            for _ in range(3):
                add(place, "another")
            again = publish_audit(place.sidecar, START, 1.0)
            assert (again.commit, again.lines) == (found.commit, 2)
            assert again.problem == "line 2 of the audit log is not the one that was published"


def fetched(source: Protected, to: Protected) -> None:
    """All refs, as a clone has them; the timeline is HEAD's, and so is not fetched over."""
    bare_git(to.store, "fetch", "-q", "--update-head-ok", str(source.store), "+refs/*:refs/*")
    to.reopen()


def test_a_log_that_is_older_than_the_snapshots_is_told() -> None:
    """A server that puts the log back a few lines cannot put back what the snapshots say."""
    with workspace() as top:
        for name in ("one", "two"):
            (top / name / "app").mkdir(parents=True)
        with Protected(top / "one/app", top / "one/home") as one, Protected(top / "two/app", top / "two/home") as two:
            one.take()
            add(one)
            old = publish_audit(one.sidecar, START, 1.0).commit
            later = one.take().snapshot.id
            add(one)
            publish_audit(one.sidecar, START, 1.0)
            fetched(one, two)
            assert old is not None
            bare_git(two.store, "update-ref", refs.AUDIT, old)
            found = bring_back_audit(two.sidecar)
            assert found is not None
            assert found.problems == (
                f"it is older than snapshot {later}: it was not published with it, or put back since",
            )
            assert two.sidecar.noted.details["audit_log"]["after"] == 1


def test_a_log_goes_on_after_what_came() -> None:
    with workspace() as top:
        for name in ("one", "two"):
            (top / name / "app").mkdir(parents=True)
        with Protected(top / "one/app", top / "one/home") as one, Protected(top / "two/app", top / "two/home") as two:
            assert bring_back_audit(one.sidecar) is None
            one.take()
            add(one)
            publish_audit(one.sidecar, START, 1.0)
            fetched(one, two)
            found = bring_back_audit(two.sidecar)
            assert found is not None
            assert (found.added, found.problems) == (True, ())
            add(two)
            # Again: it is here, and stays.
            again = bring_back_audit(two.sidecar)
            assert again is not None
            assert not again.added
            assert [line.count(b'"sequence":') for line in audit.lines(two.sidecar.path)] == [1, 1]
            assert flaws(two) == []


def test_a_log_that_was_taken_away_goes_on_after_what_was_published(installation: Path) -> None:
    take_snapshot(installation)
    run_gitsnap("-C", installation, "gc")
    store = sidecar_of(installation)
    public = len(bare_git(store, "show", f"{refs.AUDIT}:000000000001.jsonl").splitlines())
    assert public == 1
    forget(store)
    done = run_gitsnap("-C", installation, "snapshot")
    assert f"audit log: there was none; it goes on after line {public}, the last one published" in done.stderr
    told = document("-C", installation, "audit")
    assert told["problems"] == []
    first, last = told["audit"]
    assert (first["sequence"], last["sequence"]) == (1, 2)
    assert last["details"]["audit_log"]["after"] == public
    run_gitsnap("-C", installation, "verify", "--all")


def test_a_mirror_by_stock_git_becomes_a_sidecar_with_its_log(installation: Path, tmp_path: Path) -> None:
    take_snapshot(installation)
    run_gitsnap("-C", installation, "gc")
    mirror, other = tmp_path / "mirror.git", tmp_path / "other"
    subprocess.run(["git", "clone", "-q", "--mirror", sidecar_of(installation), mirror], check=True)
    shown = subprocess.run(
        f"git --git-dir {mirror} archive {refs.AUDIT} | tar -xO", shell=True, check=True, capture_output=True
    )
    assert shown.stdout.count(b"\n") == 1
    other.mkdir()
    run_gitsnap("init", other)
    store = sidecar_of(other)
    forget(store)
    bare_git(store, "fetch", "-q", "--update-head-ok", str(mirror), "+refs/*:refs/*")
    run_gitsnap("-C", other, "snapshot")
    run_gitsnap("-C", other, "verify", "--all")
    found = document("-C", other, "audit")["audit"]
    assert [line["installation"] for line in found] == [str(installation), str(other), str(other)]


def test_another_log_is_not_written_over(installation: Path) -> None:
    """A sidecar whose own log does not hold what came: both stay, and that is said."""
    take_snapshot(installation)
    run_gitsnap("-C", installation, "gc")
    store = sidecar_of(installation)
    forget(store)
    audit.append(str(store), lambda place: encode(place.after, {"action": "mine"}))
    before = list(audit.lines(str(store)))
    run_gitsnap("-C", installation, "snapshot")
    done = run_gitsnap("-C", installation, "verify", "--all", check=12)
    assert refs.AUDIT in done.stdout + done.stderr
    assert list(audit.lines(str(store)))[:1] == before
