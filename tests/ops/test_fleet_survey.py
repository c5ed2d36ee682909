"""Listing the installations of a server: over real transports, judged by what stock git knows of the repository."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gitsnap.core.errors import NoSidecarError, RemoteError, UsageError
from gitsnap.core.fleet import Row
from gitsnap.core.outcome import Ending, Outcome
from gitsnap.core.remote import Remote
from gitsnap.core.signature import Policy, Status
from gitsnap.ops.capture import snapshot
from gitsnap.ops.capture.request import Request
from gitsnap.ops.check.verify import verify
from gitsnap.ops.remote import receive
from gitsnap.ops.remote.clone import clone
from gitsnap.ops.remote.fleet import Asked, Fleet, survey
from gitsnap.ops.remote.fleet_metrics import measure
from gitsnap.ops.remote.push import PushOptions, push
from gitsnap.ops.remote.sources import open_source
from gitsnap.ops.store import gc, locate
from gitsnap.sidecar import outcomes
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import remote_seen
from tests.support.inprocess import START, Protected, bare_git, workspace
from tests.support.signing import new_key

_NOW = START + timedelta(days=3)
# What would be noticed if it came.
_NOISE = os.urandom(3_000_000)


class Server:
    """A bare repository that many push to."""

    def __init__(self, top: Path) -> None:
        self.top, self.path = top, top / "there.git"
        subprocess.run(["git", "init", "-q", "--bare", str(self.path)], check=True)
        self.trace = top / "trace"
        self._open: list[Protected] = []

    def git(self, *arguments: str, stdin: bytes = b"") -> str:
        return bare_git(self.path, *arguments, stdin=stdin).decode().strip()

    def add(self, name: str, snapshots: int = 1, request: Request | None = None) -> Protected:
        """An installation that has pushed."""
        folder = self.top / name.replace("/", "_")
        folder.mkdir()
        place = Protected(folder, self.top / "home")
        self._open.append(place)
        for number in range(snapshots):
            (folder / "f").write_text(f"{name} {number}\n")
            place.take(request or Request())
        self.push(place, name)
        return place

    def push(self, place: Protected, name: str | None) -> None:
        push(place.sidecar, Remote("there", str(self.path), installation=name), place.settings, PushOptions(_NOW))

    def close(self) -> None:
        for place in self._open:
            place.sidecar.close()

    def over_ssh(self, monkeypatch: pytest.MonkeyPatch, *, protocol: int) -> str:
        """A URL that leads here by a program in ssh's place, which takes GIT_PROTOCOL along only in protocol 2."""
        program = self.top / "ssh"
        taken = "GIT_PROTOCOL=version=2; export GIT_PROTOCOL" if protocol == 2 else "unset GIT_PROTOCOL"
        program.write_text(
            f"#!/bin/sh\n{taken}\nGIT_TRACE_PACKET={self.trace}; export GIT_TRACE_PACKET\n"
            'for last; do :; done\nexec sh -c "$last"\n'
        )
        program.chmod(0o755)
        monkeypatch.setenv("GIT_SSH_COMMAND", str(program))
        return f"ssh://anyone@anywhere{self.path}"


@pytest.fixture
def server() -> Iterator[Server]:
    with workspace() as top:
        found = Server(top)
        try:
            yield found
        finally:
            found.close()


def look(server: Server, url: str | None = None, **more: object) -> Fleet:
    return survey(url or str(server.path), Asked(_NOW, **more))  # type: ignore[arg-type]


def row(found: Fleet, name: str | None) -> Row:
    [one] = [each for each in found.rows if each.name == name]
    return one


def trailer(server: Server, ref: str, name: str) -> str:
    return server.git("log", "-1", f"--format=%(trailers:key=Gitsnap-{name},valueonly)", ref)


def test_each_is_told_as_git_knows_it(server: Server) -> None:
    server.add("web-1/shop", 3)
    server.add("web-2/shop", 1, Request(pin=True))
    found = look(server)
    assert [each.name for each in found.rows] == ["web-1/shop", "web-2/shop"]
    for each in found.rows:
        ref = f"refs/gitsnap/fleet/{each.name}/snapshots/{each.last}"
        assert each.newest is not None
        assert each.newest.commit == server.git("rev-parse", ref)
        assert str(each.newest.bytes) == trailer(server, ref, "Bytes")
        assert str(each.newest.files) == trailer(server, ref, "Files")
        assert each.problems == ()
    assert [(each.snapshots, each.pinned) for each in found.rows] == [(3, 0), (1, 1)]
    assert row(found, "web-1/shop").last == max(
        server.git("for-each-ref", "--format=%(refname:lstrip=6)", "refs/gitsnap/fleet/web-1/shop/snapshots").split()
    )


def test_a_repository_of_its_own_is_one(server: Server) -> None:
    place = server.add("web-1/shop")
    server.git("update-ref", "-d", "refs/heads/web-1/shop")
    for ref in server.git("for-each-ref", "--format=%(refname)").split():
        server.git("update-ref", "-d", ref)
    server.push(place, None)
    assert [each.name for each in look(server).rows] == [None]


@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize("protocol", [0, 2])
def test_no_content_comes(server: Server, monkeypatch: pytest.MonkeyPatch, protocol: int, allowed: bool) -> None:
    """With a filter where the server has one, in either protocol; by hanging up where it has none."""
    place = server.add("web-1/shop")
    server.add("web-2/shop")
    (place.root / "noise").write_bytes(_NOISE)
    place.take()
    server.push(place, "web-1/shop")
    server.git("config", "uploadpack.allowFilter", str(allowed).lower())
    found = look(server, server.over_ssh(monkeypatch, protocol=protocol))
    assert [each.problems for each in found.rows] == [(), ()]
    newest = row(found, "web-1/shop").newest
    assert newest is not None
    assert newest.bytes > len(_NOISE)
    assert found.bytes < 300_000
    said = server.trace.read_text()
    assert f"version {protocol}" in said if protocol else "version 2" not in said
    assert ("filter tree:0" in said) is allowed


def test_the_filter_leaves_nothing_but_commits(server: Server) -> None:
    """What came is smaller than the smallest tree or text would make it."""
    server.add("web-1/shop", 20)
    assert look(server).bytes < 1500


def test_order_is_that_of_taking_whatever_the_clock_said(server: Server) -> None:
    place = server.add("web-1/shop", 2)
    early = place.take(Request()).snapshot
    assert early.id == row_after(server, place).last
    place._ticks -= 86_400
    (place.root / "f").write_text("after the clock went back\n")
    later = place.take(Request()).snapshot
    assert later.id < early.id
    found = row_after(server, place)
    assert found.last == later.id
    assert found.newest is not None
    assert found.newest.created == later.created


def row_after(server: Server, place: Protected) -> Row:
    server.push(place, "web-1/shop")
    return row(look(server), "web-1/shop")


def test_after_a_rollback_the_newest_is_still_the_last_that_was_taken(server: Server) -> None:
    place = server.add("web-1/shop", 2)
    place.rollback(place.snapshots()[0].id)
    last = place.snapshots()[-1].id
    assert row_after(server, place).last == last
    tip = server.git("log", "-1", "--format=%s", "refs/heads/web-1/shop")
    assert tip.startswith("rollback: ")


def test_the_outcome_of_the_last_upgrade(server: Server) -> None:
    place = server.add("web-1/shop")
    pre = place.snapshots()[0]
    for name, how in (("2025-01-01T00-00-00Z-upgrade", Outcome.KEPT), ("2025-01-02T00-00-00Z-upgrade", "rolled-back")):
        outcomes.store(place.sidecar, pre, Ending(name, Outcome(how), failure="it was no good"), place.now)
    found = row_after(server, place)
    assert found.upgrade is not None
    assert found.upgrade.outcome is Outcome.ROLLED_BACK
    assert found.upgrade.failure == "it was no good"
    server.git(
        "update-ref",
        "refs/gitsnap/fleet/web-1/shop/upgrades/2025-01-03T00-00-00Z-upgrade",
        "refs/gitsnap/fleet/web-1/shop/upgrades/2025-01-02T00-00-00Z-upgrade",
    )
    another = row(look(server), "web-1/shop")
    assert another.upgrade is None
    assert "it is of 2025-01-02T00-00-00Z-upgrade" in another.problems[0]


def test_damage_of_one_hides_no_other(server: Server) -> None:
    for number in range(5):
        server.add(f"web-{number}/shop")
    bad = row(look(server), "web-3/shop")
    assert bad.newest is not None
    commit = bad.newest.commit
    content = server.git("cat-file", "commit", commit)
    for pack in (server.path / "objects/pack").glob("*.pack"):
        pack.chmod(0o644)
    # Loose, and then damaged.
    packs = [(p, p.read_bytes()) for p in (server.path / "objects/pack").glob("*.pack")]
    for path, _ in packs:
        for each in path.parent.glob(path.stem + ".*"):
            each.unlink()
    for _, data in packs:
        server.git("unpack-objects", "-q", stdin=data)
    assert content == server.git("cat-file", "commit", commit)
    loose = server.path / "objects" / commit[:2] / commit[2:]
    loose.chmod(0o644)
    loose.write_bytes(loose.read_bytes()[:20])
    found = look(server)
    assert len(found.rows) == 5
    assert [each.name for each in found.rows if each.problems] == ["web-3/shop"]
    told = row(found, "web-3/shop")
    assert told.newest is None
    assert told.last == bad.last
    assert told.when == datetime.strptime(bad.last[:20], "%Y-%m-%dT%H-%M-%SZ").replace(tzinfo=UTC)


def test_many_refs_without_commits_hide_no_other(server: Server) -> None:
    server.add("web-1/shop")
    last = row(look(server), "web-1/shop").last
    for number in range(1, 90):
        ref = server.path / f"refs/gitsnap/fleet/none/n{number:02}/snapshots/{last}"
        ref.parent.mkdir(parents=True)
        ref.write_text(f"{number:040x}\n")
    found = look(server)
    assert len(found.rows) == 90
    assert [each.name for each in found.rows if not each.problems] == ["web-1/shop"]
    assert "not our ref 000000000000000000000000000000000000002a" in row(found, "none/n42").problems[0]
    assert "cannot be reached" not in row(found, "none/n42").problems[0]


def test_lies_are_told_and_hide_no_other(server: Server) -> None:
    server.add("web-1/shop")
    server.add("web-2/shop")
    honest = row(look(server), "web-1/shop")
    assert honest.newest is not None
    commit, tree = honest.newest.commit, honest.newest.tree
    blob = server.git("hash-object", "-w", "--stdin", stdin=b"x")
    other = "2025-01-01T00-00-00Z-manual"
    server.git("update-ref", f"refs/gitsnap/fleet/evil/id/snapshots/{other}", commit)
    server.git("update-ref", f"refs/gitsnap/fleet/evil/tree/snapshots/{other}", tree)
    server.git("update-ref", f"refs/gitsnap/fleet/evil/blob/snapshots/{other}", blob)
    server.git("update-ref", f"refs/gitsnap/fleet/evil/upgrade/snapshots/{honest.last}", commit)
    server.git("update-ref", f"refs/gitsnap/fleet/evil/upgrade/upgrades/{other}", commit)
    server.git("update-ref", "refs/gitsnap/fleet/evil/%1B%5B2J/snapshots/" + honest.last, commit)
    server.git("update-ref", "refs/gitsnap/fleet/evil/noid/snapshots/a b".replace(" ", "-"), commit)
    server.git("update-ref", "refs/heads/feature/x", commit)
    server.git("update-ref", "refs/tags/v1", blob)
    found = look(server)
    assert [each.name for each in found.rows if not each.problems] == ["evil/\x1b[2J", "web-1/shop", "web-2/shop"]
    assert [each.name for each in found.rows if each.problems] == ["evil/blob", "evil/id", "evil/tree", "evil/upgrade"]
    assert row(found, "evil/upgrade").newest is not None


def test_a_tree_that_is_asked_for_ends_nothing(server: Server) -> None:
    """What a ref names comes in spite of the filter: commits behind it are asked for once more."""
    for number in range(6):
        server.add(f"web-{number}/shop")
    tree = server.git("rev-parse", "refs/heads/web-1/shop^{tree}")
    server.git("update-ref", "refs/gitsnap/fleet/a/a/snapshots/2025-01-01T00-00-00Z-manual", tree)
    found = look(server)
    assert [each.name for each in found.rows if each.problems] == ["a/a"]
    assert "the server did not send it" in row(found, "a/a").problems[0]


def test_what_is_yet_to_come_is_doubted_and_counts_as_behind(server: Server) -> None:
    place = server.add("web-1/shop")
    place._ticks += 86_400 * 400
    place.take(Request())
    found = row_after(server, place)
    assert any("yet to come" in why for why in found.problems)
    assert found.is_stale(_NOW, timedelta(days=2))


def test_behind_and_sorted(server: Server) -> None:
    server.add("b/app", 1)
    place = server.add("a/app", 1)
    place._ticks += 86_400 * 2
    (place.root / "more").write_bytes(b"x" * 10_000)
    place.take(Request())
    server.push(place, "a/app")
    assert [each.name for each in look(server, sort="age").rows] == ["b/app", "a/app"]
    assert [each.name for each in look(server, sort="size").rows] == ["a/app", "b/app"]
    behind = {each.name: each.is_stale(_NOW, timedelta(days=2)) for each in look(server).rows}
    assert behind == {"a/app": False, "b/app": True}
    with pytest.raises(UsageError):
        look(server, sort="colour")


class TestSigned:
    def test_who_signed_is_checked_where_it_is_said_who_may(self, server: Server) -> None:
        key, other = new_key(server.top / "key"), new_key(server.top / "other")
        place = server.add("web-1/shop")
        server.add("web-2/shop")
        place.settings = replace(place.settings, signing=place.settings.signing._replace(key=str(key.path)))
        place.take(Request())
        server.push(place, "web-1/shop")
        signers = server.top / "signers"
        signers.write_text(key.allowed())
        assert [each.signed for each in look(server).rows] == [Status.NOT_CHECKED, None]
        found = row(look(server, policy=Policy(allowed=str(signers))), "web-1/shop")
        assert found.signed is Status.GOOD
        assert found.signatures[0].principal == "anna@example.org"
        signers.write_text(other.allowed())
        assert row(look(server, policy=Policy(allowed=str(signers))), "web-1/shop").signed is Status.UNKNOWN

    def test_a_signature_of_another_commit_is_wrong(self, server: Server) -> None:
        """The server puts the signature of one snapshot into the commit of another."""
        key = new_key(server.top / "key")
        place = server.add("web-1/shop")
        place.settings = replace(place.settings, signing=place.settings.signing._replace(key=str(key.path)))
        place.take(Request())
        server.push(place, "web-1/shop")
        good = row(look(server), "web-1/shop")
        assert good.newest is not None
        raw = bare_git(server.path, "cat-file", "commit", good.newest.commit)
        forged = server.git(
            "hash-object", "-t", "commit", "-w", "--stdin", stdin=raw.replace(b"Gitsnap-Bytes: ", b"Gitsnap-Bytes: 1")
        )
        server.git("update-ref", f"refs/gitsnap/fleet/web-1/shop/snapshots/{good.last}", forged)
        signers = server.top / "signers"
        signers.write_text(key.allowed())
        assert row(look(server, policy=Policy(allowed=str(signers))), "web-1/shop").signed is Status.WRONG


def test_names_that_look_like_others_stay_apart(server: Server) -> None:
    """What a file system would take for one is two refs, and none is a directory of another."""
    names = ["web/a.b", "web/a%2Eb", "web/-x", "web/a", "timeline/x", "gitsnap/x", "web/ü", "web/u\u0308"]
    for name in names:
        server.add(name)
    assert sorted(each.name or "" for each in look(server).rows) == sorted(names)
    server.git("fsck", "--full", "--strict")


def test_two_machines_of_one_name_overwrite_nothing(server: Server) -> None:
    """Same host name, same directory, same second: the second is refused, with a way on."""
    server.add("web-1/shop")
    before = server.git("for-each-ref")
    folder = server.top / "second/shop"
    folder.mkdir(parents=True)
    (folder / "f").write_text("another machine\n")
    with Protected(folder, server.top / "home") as second:
        second.take()
        with pytest.raises(RemoteError, match="another installation") as refused:
            server.push(second, "web-1/shop")
    assert "--installation" in (refused.value.hint or "")
    assert server.git("for-each-ref") == before


def test_the_notes_of_many_are_apart_and_contents_are_shared(server: Server) -> None:
    first = server.add("web-1/shop")
    (first.root / "noise").write_bytes(_NOISE)
    first.take()
    server.push(first, "web-1/shop")
    before = sum(p.stat().st_size for p in (server.path / "objects").rglob("*") if p.is_file())
    second = server.add("web-2/shop")
    (second.root / "noise").write_bytes(_NOISE)
    second.take()
    server.push(second, "web-2/shop")
    server.git("repack", "-adq")
    after = sum(p.stat().st_size for p in (server.path / "objects").rglob("*") if p.is_file())
    assert after - before < len(_NOISE) // 10
    gc.collect(first.sidecar, first.settings, now=_NOW)


def test_nothing_there(server: Server) -> None:
    with pytest.raises(NoSidecarError):
        look(server)
    with pytest.raises(RemoteError):
        look(server, str(server.top / "nowhere"))


def test_figures_have_each_name_once_and_together(server: Server) -> None:
    server.add("web-1/shop")
    server.add("web-2/shop")
    names = [sample.name for sample in measure(look(server), timedelta(days=1))]
    changes = [name for name, before in zip(names, ["", *names], strict=False) if name != before]
    assert len(changes) == len(set(changes))
    stale = [(s.labels["installation"], s.value) for s in measure(look(server), timedelta(days=1)) if "stale" in s.name]
    assert stale == [("web-1/shop", 1.0), ("web-2/shop", 1.0)]


class TestMachine:
    """What a machine says of itself goes along, and tells its copies from it."""

    def test_what_was_verified_there_is_told(self, server: Server) -> None:
        place = server.add("web-1/shop", 2)
        before = row(look(server), "web-1/shop")
        assert before.machine is not None
        assert (before.machine.directory, before.machine.verified, before.verified) == (str(place.root), "", False)
        verified = verify(place.sidecar, ["latest"], place.settings, now=place.now)
        assert verified[0].ok
        found = row_after(server, place)
        assert found.machine is not None
        assert (found.machine.verified, found.verified) == (found.last, True)
        assert found.machine.at is not None
        place.take(Request())
        again = row_after(server, place)
        assert again.machine is not None
        assert (again.machine.verified, again.verified) == (found.last, False)
        server.git("fsck", "--full", "--strict")

    def test_nothing_new_is_nothing_new(self, server: Server) -> None:
        place = server.add("web-1/shop")
        before = server.git("for-each-ref")
        server.push(place, "web-1/shop")
        assert server.git("for-each-ref") == before

    def test_the_id_of_the_machine_itself_is_not_told(self, server: Server) -> None:
        server.add("web-1/shop")
        text = server.git("log", "-1", "--format=%B", "refs/gitsnap/fleet/web-1/shop/machine")
        path = Path("/etc/machine-id")
        assert not path.exists() or not path.read_text().strip() or path.read_text().strip() not in text

    def test_a_copy_is_refused_and_changes_nothing(self, server: Server) -> None:
        """`cp -a` of directory and sidecar, as an image of a machine has them: both know the same commits."""
        place = server.add("web-1/shop", 2)
        folder, store = server.top / "copy", server.top / "copy.git"
        subprocess.run(["cp", "-a", place.root, folder], check=True)
        subprocess.run(["cp", "-a", place.store, store], check=True)
        subprocess.run(["git", "-C", store, "config", "gitsnap.installation", str(folder)], check=True)
        remote = Remote("there", str(server.path), installation="web-1/shop")
        with Sidecar(str(store)) as copy:
            (folder / "f").write_text("the copy goes on\n")
            snapshot.take(copy, Request(), place.settings, now=_NOW)
            before = server.git("for-each-ref")
            for options in (PushOptions(_NOW), PushOptions(_NOW, prune=True)):
                with pytest.raises(RemoteError, match=str(place.root)) as refused:
                    push(copy, remote, place.settings, options)
                assert "--take-over" in (refused.value.hint or "")
                assert server.git("for-each-ref") == before
            push(copy, remote, place.settings, PushOptions(_NOW, take_over=True))
            push(copy, remote, place.settings, PushOptions(_NOW))
        place.take(Request())
        with pytest.raises(RemoteError, match=str(folder)):
            server.push(place, "web-1/shop")
        assert row(look(server), "web-1/shop").snapshots == 3

    def test_a_lost_memory_of_the_remote_is_no_other_machine(self, server: Server) -> None:
        place = server.add("web-1/shop")
        remote_seen.forget(place.sidecar, "there")
        place.take(Request())
        server.push(place, "web-1/shop")
        assert row(look(server), "web-1/shop").snapshots == 2

    def test_a_record_that_is_none_is_told_and_replaced(self, server: Server) -> None:
        place = server.add("web-1/shop")
        ref = "refs/gitsnap/fleet/web-1/shop/machine"
        server.git("update-ref", ref, "refs/heads/web-1/shop")
        assert "what its machine says cannot be read" in row(look(server), "web-1/shop").problems[0]
        server.push(place, "web-1/shop")
        assert row(look(server), "web-1/shop").problems == ()

    def test_a_repository_of_its_own_and_one_that_takes_only_tags_have_none(self, server: Server) -> None:
        place = server.add("web-1/shop")
        for ref in server.git("for-each-ref", "--format=%(refname)").split():
            server.git("update-ref", "-d", ref)
        remote = Remote("there", str(server.path), installation="web-1/shop", refspec="heads")
        push(place.sidecar, remote, place.settings, PushOptions(_NOW))
        found = row(look(server), "web-1/shop")
        assert (found.machine, found.verified, found.problems) == (None, None, ())


def test_one_of_many_comes_back(server: Server) -> None:
    server.add("web-2/shop")
    place = server.add("web-1/shop", 2)
    target = locate.place_for(str(server.top / "new"), None, str(server.top / "home"), "/", "")
    asked = receive.Asked(place.settings, _NOW, "web-1/shop")
    with open_source(str(server.path), "/") as source:
        done = clone(source, target, None, asked)
    assert len(done.received.whole) == 2
    assert (server.top / "new/f").read_text() == "web-1/shop 1\n"
    target = locate.place_for(str(server.top / "other"), None, str(server.top / "home"), "/", "")
    with open_source(str(server.path), "/") as source, pytest.raises(UsageError, match="2 installations"):
        clone(source, target, None, replace(asked, installation=None))
