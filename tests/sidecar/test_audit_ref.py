"""The audit log on its ref: what is published, what that costs, and that nothing that was is forgotten unseen."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitsnap.core.audit import decode, digest, encode, link_of
from gitsnap.core.errors import IntegrityError
from gitsnap.sidecar import audit_ref, integrity, lost_refs
from gitsnap.sidecar.audit_ref import Published
from gitsnap.sidecar.git import refs
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import audit
from tests.support.inprocess import START, Protected, bare_git, workspace
from tests.support.installation import REPOSITORY

HOW_TO = REPOSITORY / "docs/how-to/audit.md"


def add(sidecar: Sidecar, count: int = 1, size: int = 100) -> None:
    for number in range(count):
        audit.append(
            sidecar.path, lambda place, n=number: encode(place.after, {"action": f"act {n}", "padding": "x" * size})
        )


def publish(protected: Protected, sequence: int = 0) -> Published | None:
    with protected.sidecar.writing(1.0):
        return audit_ref.publish(protected.sidecar, sequence, START)


def of_git(protected: Protected) -> bytes:
    """All lines on the ref, as stock git gives them out."""
    names = protected.git("ls-tree", "--name-only", refs.AUDIT).split()
    return protected.git("show", *(f"{refs.AUDIT}:{name.decode()}" for name in names)) if names else b""


def here(protected: Protected) -> bytes:
    return b"".join(audit.lines(protected.sidecar.path))


def flaws(protected: Protected) -> list[str]:
    return [flaw.problem for flaw in integrity.audit_log(protected.sidecar)]


def sizes(protected: Protected) -> list[int]:
    rows = protected.git("ls-tree", "-l", refs.AUDIT).decode().splitlines()
    return [int(row.split()[3]) for row in rows]


def test_git_gives_the_log_out(protected: Protected) -> None:
    assert publish(protected) is None
    assert protected.git("for-each-ref", refs.AUDIT) == b""
    protected.take()
    add(protected.sidecar, 3)
    found = publish(protected, 7)
    assert found is not None
    assert of_git(protected) == here(protected)
    assert protected.git("show", f"{refs.AUDIT}:000000000001.jsonl") == here(protected)
    assert found.last == audit.tip(protected.sidecar.path)
    assert audit_ref.load(protected.sidecar, found.commit) == found
    assert found.sequence == 7
    said = protected.git("log", "-1", "--format=%B", refs.AUDIT).decode()
    last = here(protected).splitlines(keepends=True)[-1]
    assert f"Gitsnap-Audit-SHA256: {digest(last)}\n" in said
    # Nothing new: nothing is written.
    assert publish(protected, 9) == found
    protected.assert_sound()
    assert flaws(protected) == []


def test_each_commit_has_the_one_before_as_its_parent(protected: Protected) -> None:
    seen = []
    for _ in range(5):
        add(protected.sidecar, 2)
        found = publish(protected)
        assert found is not None
        seen.append(found.commit)
    assert protected.git("rev-list", "--reverse", refs.AUDIT).decode().split() == seen
    for at, commit in enumerate(seen):
        published = audit_ref.load(protected.sidecar, commit)
        assert audit_ref.problems(protected.sidecar, published) == []
        assert published.last.sequence == 2 * (at + 1)


@pytest.mark.long
def test_it_costs_what_is_new(protected: Protected) -> None:
    """Many publications: the parts stay few, and what was written for all of them is a few times the log."""
    for _ in range(150):
        add(protected.sidecar, size=200)
        publish(protected)
    assert of_git(protected) == here(protected)
    assert len(sizes(protected)) <= 9
    blobs = protected.git("cat-file", "--batch-check=%(objecttype) %(objectsize)", "--batch-all-objects").decode()
    written = sum(int(row.split()[1]) for row in blobs.splitlines() if row.startswith("blob"))
    assert written < 10 * len(here(protected))


def test_files_that_are_full_are_whole(protected: Protected, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "ROTATE", 2000)
    for count in (1, 3, 9, 1, 30, 2, 2, 2):
        add(protected.sidecar, count)
        publish(protected)
        assert of_git(protected) == here(protected)
        assert flaws(protected) == []
    starts = audit.starts(protected.sidecar.path)
    names = [int(n[:12]) for n in protected.git("ls-tree", "--name-only", refs.AUDIT).decode().split()]
    # But for the last, each is one file there as here.
    assert [n for n in names if n < starts[-1]] == starts[:-1]
    assert len(starts) > 5


@given(counts=st.lists(st.integers(1, 6), min_size=1, max_size=8), rotate=st.integers(1, 2000))
def test_whatever_is_published_comes_back_the_same(counts: list[int], rotate: int) -> None:
    with workspace() as top, pytest.MonkeyPatch.context() as patch:
        patch.setattr(audit, "ROTATE", rotate)
        for name in ("one", "two"):
            (top / name / "app").mkdir(parents=True)
        with Protected(top / "one/app", top / "one/home") as one, Protected(top / "two/app", top / "two/home") as two:
            for count in counts:
                add(one.sidecar, count)
                found = publish(one)
            assert found is not None
            two.git("fetch", "-q", str(one.store), f"{refs.AUDIT}:{refs.AUDIT}")
            two.reopen()
            audit_ref.bring_back(two.sidecar, audit_ref.load(two.sidecar, found.commit))
            assert here(two) == here(one)
            assert flaws(two) == []
            add(two.sidecar)
            publish(two)
            assert flaws(two) == []
            assert of_git(two) == here(two)
            assert here(two).startswith(here(one))
            # The line that follows a file that was full begins another, there as here.
            add(one.sidecar)
            assert audit.starts(one.sidecar.path) == audit.starts(two.sidecar.path)


def rewrite(protected: Protected, change: str) -> None:
    """Somebody rewrites the whole log, chain and seal and all, as only digests that were noted elsewhere can tell."""
    lines = [decode(line) or {} for line in here(protected).splitlines(keepends=True)]
    if change == "cut":
        lines = lines[:-2]
    elif change == "removed":
        del lines[1]
    elif change == "changed":
        lines[1]["action"] = "something harmless"
    folder = protected.store / "gitsnap"
    for path in (folder / "audit").iterdir():
        path.unlink()
    (folder / "audit.seal").unlink()
    for line in lines:
        facts = {k: v for k, v in line.items() if k not in ("previous", "sequence")}
        audit.append(protected.sidecar.path, lambda place, told=facts: encode(place.after, told))


@pytest.mark.parametrize("change", ["changed", "removed", "cut"])
@pytest.mark.parametrize("then", [0, 3])
def test_a_log_that_was_written_anew_is_told(protected: Protected, change: str, then: int) -> None:
    add(protected.sidecar, 5)
    before = publish(protected)
    assert before is not None
    rewrite(protected, change)
    add(protected.sidecar, then)
    assert flaws(protected) != []
    # The seal over the refs forgets, with the next change of any.
    protected.take()
    assert any(refs.AUDIT in flaw for flaw in flaws(protected)), flaws(protected)
    with pytest.raises(IntegrityError, match="not the one that was published"):
        publish(protected)
    # What was published stays.
    assert protected.sidecar.refs.get(refs.AUDIT) == before.commit
    assert len(of_git(protected).splitlines()) == 5


def test_a_log_that_is_gone_is_told(protected: Protected) -> None:
    add(protected.sidecar, 3)
    publish(protected)
    (protected.store / "gitsnap/audit.seal").unlink()
    (protected.store / "gitsnap/audit/000000000001.jsonl").unlink()
    protected.take()
    assert flaws(protected) == [f"audit log: the audit log is missing: {refs.AUDIT} names line 3"]


def tampered(protected: Protected, found: Published, change: str) -> str:
    """A commit that somebody made of a published one, by stock git."""
    lines = of_git(protected).splitlines(keepends=True)
    if change == "changed":
        lines[1] = lines[1].replace(b"act", b"cat")
    elif change == "cut":
        lines = lines[:-1]
    elif change == "removed":
        del lines[1]
    elif change == "reordered":
        lines[1], lines[2] = lines[2], lines[1]
    elif change == "added":
        link = link_of(lines[-1])
        assert link is not None
        lines.append(encode(link, {"action": "never"}))
    blob = protected.git("hash-object", "-w", "--stdin", stdin=b"".join(lines)).strip()
    tree = protected.git("mktree", stdin=b"100644 blob %s\t000000000001.jsonl\n" % blob).decode().strip()
    message = protected.git("log", "-1", "--format=%B", found.commit).strip() + b"\n"
    return protected.git("commit-tree", tree, stdin=message).decode().strip()


@pytest.mark.parametrize("change", ["changed", "cut", "removed", "reordered", "added"])
def test_what_somebody_has_made_of_it_is_told(protected: Protected, change: str) -> None:
    add(protected.sidecar, 5)
    found = publish(protected)
    assert found is not None
    forged = tampered(protected, found, change)
    protected.reopen()
    assert audit_ref.problems(protected.sidecar, audit_ref.load(protected.sidecar, forged)) != []
    protected.git("update-ref", refs.AUDIT, forged)
    assert any(flaw.startswith(f"audit log: {refs.AUDIT}: ") for flaw in flaws(protected))
    # Nor is it built upon.
    add(protected.sidecar)
    with pytest.raises(IntegrityError, match="not what gitsnap wrote"):
        publish(protected)


@pytest.mark.parametrize("what", [b"100644 blob %s\tREADME\n", b"100755 blob %s\t000000000001.jsonl\n"])
def test_what_is_no_audit_log_is_refused(protected: Protected, what: bytes) -> None:
    add(protected.sidecar)
    found = publish(protected)
    assert found is not None
    blob = protected.git("hash-object", "-w", "--stdin", stdin=of_git(protected)).strip()
    tree = protected.git("mktree", stdin=what % blob).decode().strip()
    message = protected.git("log", "-1", "--format=%B", found.commit).strip() + b"\n"
    forged = protected.git("commit-tree", tree, stdin=message).decode().strip()
    protected.reopen()
    with pytest.raises(IntegrityError, match="no part of an audit log"):
        audit_ref.load(protected.sidecar, forged)


def test_a_ref_that_is_lost_is_told_and_no_gc_removes_what_it_held(protected: Protected) -> None:
    protected.take()
    add(protected.sidecar, 3)
    found = publish(protected)
    assert found is not None
    (protected.store / refs.AUDIT).unlink()
    assert lost_refs.lost(protected.sidecar) == [lost_refs.Lost(refs.AUDIT, found.commit)]
    with pytest.raises(IntegrityError, match=f"the ref {refs.AUDIT} is lost"):
        protected.collect()
    protected.git("update-ref", refs.AUDIT, found.commit)
    protected.collect()
    assert of_git(protected) == here(protected)


def test_gc_publishes_and_keeps(protected: Protected) -> None:
    protected.take()
    add(protected.sidecar, 3)
    protected.collect()
    assert of_git(protected) == here(protected)
    assert [v.ok for v in protected.verify()] == [True]
    # A log that was tampered with, or has no room, is no reason not to make room.
    rewrite(protected, "cut")
    protected.take()
    protected.collect()
    assert any(refs.AUDIT in flaw for flaw in flaws(protected))


def test_retention_and_purges_leave_it(protected: Protected) -> None:
    for number in range(3):
        (protected.root / "f").write_text(f"{number}\n")
        protected.take()
    add(protected.sidecar, 3)
    found = publish(protected)
    assert found is not None
    protected.prune(1)
    protected.collect()
    assert protected.sidecar.refs.get(refs.AUDIT) == found.commit
    protected.assert_sound()


def test_a_kill_anywhere_leaves_the_old_or_the_new(protected: Protected) -> None:
    """At each change of the disk: what the ref holds is a whole log, and the next publication goes on from it."""
    protected.take()
    add(protected.sidecar, 2)
    first = publish(protected)
    assert first is not None
    step, seen = 0, set()
    while True:
        add(protected.sidecar)
        child = os.fork()
        if child == 0:
            left = [step]

            def before(event: str, _: object, left: list[int] = left) -> None:
                if event in ("os.rename", "os.link", "os.remove", "open"):
                    left[0] -= 1
                    if left[0] < 0:
                        os._exit(9)

            sys.addaudithook(before)
            with suppress(BaseException):
                publish(protected)
                os._exit(0)
            os._exit(1)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in (0, 9)
        protected.reopen()
        assert flaws(protected) == [], step
        commit = protected.sidecar.refs.get(refs.AUDIT)
        assert commit is not None
        published = audit_ref.load(protected.sidecar, commit)
        lines = here(protected).count(b"\n")
        seen.add(lines - published.last.sequence)
        assert here(protected).startswith(of_git(protected))
        publish(protected)
        assert of_git(protected) == here(protected)
        if code == 0:
            break
        step += 1
    assert step > 15
    assert seen == {0, 1}
    protected.assert_sound()


def test_a_server_that_refuses_to_forget(protected: Protected, tmp_path: Path) -> None:
    """With stock git on both sides: what goes on is taken, what was written anew is not."""
    server = tmp_path / "server.git"
    subprocess.run(["git", "init", "-q", "--bare", server], check=True)
    hook = re.search(r"```sh\n(#!/bin/sh\n.*?)```", HOW_TO.read_text(), re.DOTALL)
    assert hook is not None
    (server / "hooks/update").write_text(hook[1])
    (server / "hooks/update").chmod(0o755)
    push = ("push", "-q", str(server), refs.AUDIT)
    for count in (3, 1, 1):
        add(protected.sidecar, count)
        publish(protected)
        protected.git(*push)
    assert bare_git(server, "rev-parse", refs.AUDIT) == protected.git("rev-parse", refs.AUDIT)
    protected.git("update-ref", "-d", refs.AUDIT)
    (protected.store / "gitsnap/seal").unlink()
    rewrite(protected, "removed")
    publish(protected)
    with pytest.raises(AssertionError, match="non-fast-forward"):
        protected.git(*push)
    with pytest.raises(AssertionError, match="hook declined"):
        protected.git(*push, "--force")
    assert len(bare_git(server, "show", f"{refs.AUDIT}:000000000001.jsonl").splitlines()) >= 3
