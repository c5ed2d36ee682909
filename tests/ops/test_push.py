"""Pushing to real repositories; what is over there is judged by stock git."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gitsnap.core.errors import RemoteError, UsageError
from gitsnap.core.remote import HEADS, Remote
from gitsnap.ops.audit.act import Act
from gitsnap.ops.capture.request import Request
from gitsnap.ops.remote.push import Pushed, PushOptions, push
from gitsnap.ops.store import gc, purge
from gitsnap.sidecar import catalog, withdraw
from gitsnap.sidecar.git import refs
from gitsnap.sidecar.state import remote_seen
from tests.support.inprocess import Protected, workspace

_TEXTS = ("manifest", "metadata")


class There:
    """A bare repository elsewhere."""

    def __init__(self, path: Path) -> None:
        self.path = path
        subprocess.run(["git", "init", "-q", "--bare", str(path)], check=True)

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", "--git-dir", str(self.path), *arguments], check=True, capture_output=True, text=True
        )
        return done.stdout

    def refs(self) -> dict[str, str]:
        rows = (
            (line[:-41], line[-40:])
            for line in self.git("for-each-ref", "--format=%(refname) %(objectname)").splitlines()
        )
        return dict(rows)

    def objects(self) -> int:
        return len(self.git("cat-file", "--batch-all-objects", "--batch-check").splitlines())

    def hook(self, name: str, script: str) -> None:
        path = self.path / "hooks" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("#!/bin/sh\n" + script)
        path.chmod(0o755)

    def require_whole(self) -> None:
        """What is there is connected, and each snapshot has the texts that its commit names."""
        self.git("fsck", "--full", "--strict", "--no-dangling")
        for name, commit in self.refs().items():
            if name.startswith("refs/gitsnap/snapshots/"):
                for text in _TEXTS:
                    held = subprocess.run(
                        ["git", "--git-dir", str(self.path), "notes", f"--ref=gitsnap/{text}", "show", commit],
                        check=True,
                        capture_output=True,
                    ).stdout
                    said = self.git(
                        "log", "-1", f"--format=%(trailers:key=Gitsnap-{text.title()}-SHA256,valueonly)", commit
                    )
                    assert hashlib.sha256(held).hexdigest() == said.strip()


@pytest.fixture
def top() -> Iterator[Path]:
    with workspace() as where:
        yield where


@pytest.fixture
def place(top: Path) -> Iterator[Protected]:
    (top / "app/dir/deep").mkdir(parents=True)
    for number in range(40):
        (top / f"app/dir/f{number}").write_text(f"content {number}\n" * 30)
    (top / "app/dir/deep/x").write_text("x")
    with Protected(top / "app", top / "home") as found:
        yield found


@pytest.fixture
def there(top: Path) -> There:
    return There(top / "there.git")


def send(place: Protected, there: There, remote: Remote | None = None, **options: bool) -> Pushed:
    remote = remote or Remote("there", str(there.path))
    return push(place.sidecar, remote, place.settings, PushOptions(place.now, **options))


def take(place: Protected, text: str, **more: object) -> str:
    (place.root / "dir/f7").write_text(text)
    return place.take(Request(**more)).snapshot.id  # type: ignore[arg-type]


def test_everything_goes_under_the_same_names(place: Protected, there: There) -> None:
    first, second = take(place, "one"), take(place, "two", pin=True)
    done = send(place, there)
    assert done.snapshots == [first, second]
    assert done.there == 2
    assert done.timeline == "pushed"
    there.require_whole()
    here = {**place.sidecar.refs.below("refs/")}
    assert {name.removeprefix("refs/"): value for name, value in there.refs().items()} == here


def test_nothing_new_sends_nothing(place: Protected, there: There) -> None:
    take(place, "one")
    send(place, there)
    before = there.refs()
    again = send(place, there)
    assert (again.objects, again.bytes, again.refs, again.snapshots) == (0, 0, 0, [])
    assert there.refs() == before


def test_only_what_is_new_goes(place: Protected, there: There) -> None:
    take(place, "one")
    send(place, there)
    take(place, "two")
    before = there.objects()
    done = send(place, there)
    # The blob, two trees on the way, two texts, the commit, two trees and the commit of each notes, and the timeline's.
    assert done.objects == 13
    assert there.objects() == before + 13
    assert done.bytes < 4000
    there.require_whole()


def test_what_only_moved_does_not_go_again(place: Protected, there: There) -> None:
    for number in range(150):
        (place.root / f"dir/moved{number}").write_text(f"many {number}\n")
    take(place, "one")
    send(place, there)
    (place.root / "other").mkdir()
    for number in range(150):
        (place.root / f"dir/moved{number}").rename(place.root / f"other/renamed{number}")
    take(place, "one")
    assert send(place, there).objects < 20
    there.require_whole()


def test_many_objects_of_several_snapshots(place: Protected, there: There) -> None:
    """What the second one shares with the first is not taken for being over there."""
    take(place, "one")
    send(place, there)
    for number in range(150):
        (place.root / f"dir/fresh{number}").write_text(f"many {number}\n")
    take(place, "two")
    take(place, "three")
    assert send(place, there).there == 3
    there.require_whole()


def test_after_retention_and_gc_no_more_goes_than_before(place: Protected, there: There) -> None:
    for number in range(5):
        take(place, f"text {number}")
        send(place, there)
    living = catalog.snapshots(place.sidecar)
    withdraw.delete(place.sidecar, living, living[:3], place.now)
    gc.collect(place.sidecar, place.settings, now=place.now)
    take(place, "the next one")
    done = send(place, there)
    # The timeline is written anew: three commits.
    assert done.objects <= 16
    assert done.there == 6
    there.require_whole()


def test_what_was_removed_here_stays_there_with_its_notes(place: Protected, there: There) -> None:
    gone = take(place, "one")
    take(place, "two")
    send(place, there)
    living = catalog.snapshots(place.sidecar)
    withdraw.delete(place.sidecar, living, living[:1], place.now)
    gc.collect(place.sidecar, place.settings, now=place.now)
    take(place, "three")
    send(place, there)
    assert refs.SNAPSHOTS + gone in there.refs()
    there.require_whole()


@pytest.mark.parametrize("lost", ["file", "cut", "foreign"])
def test_notes_there_are_fetched_where_nothing_here_tells_of_them(place: Protected, there: There, lost: str) -> None:
    gone = take(place, "one")
    take(place, "two")
    send(place, there)
    living = catalog.snapshots(place.sidecar)
    withdraw.delete(place.sidecar, living, living[:1], place.now)
    gc.collect(place.sidecar, place.settings, now=place.now)
    seen = Path(place.sidecar.own("remotes/there"))
    if lost == "file":
        seen.unlink()
    else:
        seen.write_bytes(seen.read_bytes()[:-40] if lost == "cut" else b'{"refs": 1}')
    take(place, "three")
    send(place, there)
    assert refs.SNAPSHOTS + gone in there.refs()
    there.require_whole()
    assert os.listdir(place.sidecar.scratch) == []


def test_prune_removes_what_is_not_here(place: Protected, there: There) -> None:
    gone = take(place, "one", pin=True)
    stays = take(place, "two")
    send(place, there)
    living = catalog.snapshots(place.sidecar)
    place.sidecar.refs.discard(refs.PINS + gone)
    withdraw.delete(place.sidecar, living, [replace(living[0], pinned=False)], place.now)
    would = send(place, there, prune=True, dry_run=True)
    assert sorted(would.removed) == [refs.PINS + gone, refs.SNAPSHOTS + gone]
    assert refs.SNAPSHOTS + gone in there.refs()
    done = send(place, there, prune=True)
    assert done.there == 1
    assert {n for n in there.refs() if n.startswith(refs.SNAPSHOTS)} == {refs.SNAPSHOTS + stays}
    assert refs.PINS + gone not in there.refs()
    assert len(there.git("notes", "--ref=gitsnap/manifest", "list").splitlines()) == 1
    there.require_whole()


def test_prune_of_nothing_left_is_refused(place: Protected, there: There) -> None:
    take(place, "one")
    send(place, there)
    living = catalog.snapshots(place.sidecar)
    withdraw.delete(place.sidecar, living, living, place.now)
    with pytest.raises(UsageError):
        send(place, there, prune=True)
    there.require_whole()


def test_the_audit_log_is_never_rewound(place: Protected, there: There) -> None:
    act = Act("test", "test", {}, "1", recorded=True)
    act.about(place.sidecar.path, place.sidecar.installation)
    act.ended(0)
    take(place, "one")
    send(place, there)
    first = there.refs()[refs.AUDIT]
    assert send(place, there).refs == 0
    act.ended(0)
    act.ended(0)
    send(place, there)
    second = there.refs()[refs.AUDIT]
    assert there.git("rev-parse", f"{second}^").strip() == first
    other = there.git("commit-tree", "-m", "other", f"{second}^{{tree}}").strip()
    there.git("update-ref", refs.AUDIT, other)
    take(place, "two")
    done = send(place, there)
    assert "lines that are not here" in done.audit
    assert there.refs()[refs.AUDIT] == other
    assert done.there == 2


def test_keep_limits_how_many_go(place: Protected, there: There) -> None:
    pinned = take(place, "zero", pin=True)
    taken = [take(place, f"text {number}") for number in range(4)]
    done = send(place, there, Remote("there", str(there.path), keep=2))
    assert done.snapshots == [pinned, *taken[-2:]]
    there.require_whole()
    assert len(there.git("log", "--format=%H", "timeline").split()) == 3
    newest = take(place, "more")
    assert send(place, there, Remote("there", str(there.path), keep=2)).there == 4
    assert send(place, there, Remote("there", str(there.path), keep=2), prune=True).there == 3
    assert refs.SNAPSHOTS + newest in there.refs()
    there.require_whole()


def test_another_installations_repository_is_refused(top: Path, place: Protected, there: There) -> None:
    take(place, "one")
    send(place, there)
    (top / "other").mkdir()
    (top / "other/f").write_text("other")
    with Protected(top / "other", top / "home") as other:
        other.take()
        before = there.refs()
        with pytest.raises(RemoteError) as error:
            push(other.sidecar, Remote("there", str(there.path)), other.settings, PushOptions(other.now))
        assert error.value.kind == "foreign-remote"
        assert there.refs() == before
        for name in ("web/other", "web/third"):
            fleet = Remote("there", str(there.path), installation=name)
            push(other.sidecar, fleet, other.settings, PushOptions(other.now))
        with pytest.raises(RemoteError):
            push(place.sidecar, replace(fleet, name="x"), place.settings, PushOptions(place.now))
    there.require_whole()
    assert "refs/heads/web/other" in there.refs()
    assert {name for name in before if there.refs().get(name) != before[name]} == set()


def test_heads_is_never_overwritten(place: Protected, there: There) -> None:
    for setting in ("receive.denyNonFastForwards", "receive.denyDeletes"):
        there.git("config", setting, "true")
    # As strict hosts are: nothing outside of heads and tags, no tag is moved, no branch rewound.
    there.hook(
        "update",
        "case $1 in refs/heads/*) ;; refs/tags/*) case $2 in 0000*) ;; *) exit 1;; esac ;; *) exit 1;; esac\n"
        "case $3 in 0000*) exit 1;; esac\n",
    )
    remote = Remote("there", str(there.path), refspec=HEADS)
    first = take(place, "one", pin=True)
    send(place, there, remote)
    take(place, "two")
    done = send(place, there, remote)
    assert done.objects < 14
    assert done.there == 2
    assert send(place, there, remote).refs == 0
    there.git("fsck", "--full", "--strict", "--no-dangling")
    held = there.git("show", f"refs/tags/gitsnap/notes/{first}:manifest")
    said = there.git(
        "log", "-1", "--format=%(trailers:key=Gitsnap-Manifest-SHA256,valueonly)", f"gitsnap/snapshots/{first}"
    )
    assert hashlib.sha256(held.encode()).hexdigest() == said.strip()
    # The plain names do not work there, and the way on is named.
    with pytest.raises(RemoteError) as error:
        send(place, there)
    assert error.value.exit_code == 15
    assert "heads" in str(error.value.hint)


def test_a_timeline_that_is_refused_is_told_and_no_failure(place: Protected, there: There) -> None:
    there.git("config", "receive.denyNonFastForwards", "true")
    for number in range(3):
        take(place, f"text {number}")
    send(place, there)
    before = there.refs()["refs/heads/timeline"]
    living = catalog.snapshots(place.sidecar)
    withdraw.delete(place.sidecar, living, living[:1], place.now)
    newest = take(place, "more")
    done = send(place, there)
    assert done.snapshots == [newest]
    assert done.timeline.startswith("refused")
    assert there.refs()["refs/heads/timeline"] == before
    there.require_whole()


def test_all_or_nothing(place: Protected, there: There) -> None:
    """A hook that refuses one ref keeps all others from being changed."""
    there.hook("update", "case $1 in refs/gitsnap/snapshots/*) exit 1;; esac\n")
    take(place, "one")
    with pytest.raises(RemoteError) as error:
        send(place, there)
    assert error.value.kind == "remote-refused"
    assert there.refs() == {}


def test_notes_come_first_where_all_at_once_cannot_be(place: Protected, there: There) -> None:
    there.git("config", "receive.advertiseAtomic", "false")
    log = there.path / "log"
    there.hook("update", f'echo "$1" >> {log}\n')
    take(place, "one")
    send(place, there)
    names = log.read_text().split()
    assert [n for n in names if "notes" in n] == names[:2]
    there.require_whole()
    there.hook("update", "case $1 in refs/notes/*) exit 1;; esac\n")
    take(place, "two")
    before = there.refs()
    with pytest.raises(RemoteError):
        send(place, there)
    assert there.refs() == before
    there.hook("update", "case $1 in refs/gitsnap/*) exit 1;; esac\n")
    with pytest.raises(RemoteError):
        send(place, there)
    there.hook("update", "exit 0\n")
    assert send(place, there).there == 2
    there.require_whole()


def test_a_server_that_is_full_has_nothing_of_it(place: Protected, there: There) -> None:
    take(place, "one")
    send(place, there)
    before = there.refs()
    take(place, "two")
    there.hook("pre-receive", "echo 'no space left on device' >&2; exit 1\n")
    with pytest.raises(RemoteError) as error:
        send(place, there)
    assert "no space left" in str(error.value)
    assert there.refs() == before
    assert remote_seen.load(place.sidecar, Remote("there", str(there.path))).problem
    (there.path / "hooks/pre-receive").unlink()
    assert send(place, there).there == 2
    assert not remote_seen.load(place.sidecar, Remote("there", str(there.path))).problem


def test_a_disk_that_is_full_over_there(top: Path, place: Protected) -> None:
    (top / "disk").mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", top / "disk"], capture_output=True).returncode:
        pytest.skip("may not mount")
    try:
        there = There(top / "disk/there.git")
        take(place, "one")
        send(place, there)
        before = there.refs()
        (place.root / "big").write_bytes(os.urandom(3 << 20))
        second = place.take().snapshot.id
        with pytest.raises(RemoteError) as error:
            send(place, there)
        assert (error.value.exit_code, error.value.kind) == (15, "remote-refused")
        assert there.refs() == before
        subprocess.run(["mount", "-o", "remount,size=20m", top / "disk"], check=True)
        assert send(place, there).snapshots == [second]
        there.require_whole()
    finally:
        subprocess.run(["umount", top / "disk"], check=True)


@pytest.mark.parametrize("path", ["dir/f7", "dir/fresh"])
def test_a_damaged_snapshot_stays_away_and_the_others_go(place: Protected, there: There, path: str) -> None:
    good = take(place, "one")
    (place.root / path).write_bytes(os.urandom(5000))
    bad = place.take().snapshot
    entry = next(e for e in place.inventory(bad).entries if e.path == path.encode())
    assert entry.oid is not None
    _flip(place, entry.oid)
    done = send(place, there)
    assert done.snapshots == [good]
    assert [*done.held_back] == [bad.id]
    there.require_whole()
    assert refs.SNAPSHOTS + bad.id not in there.refs()


def test_tags_that_sign_go_along(place: Protected, there: There) -> None:
    first = take(place, "one")
    send(place, there)
    place.git("tag", "-a", "-m", "signed", f"signed/{first}", place.sidecar.refs.get(refs.SNAPSHOTS + first) or "")
    assert send(place, there).objects == 1
    assert there.git("cat-file", "-t", f"refs/tags/signed/{first}") == "tag\n"
    fleet = Remote("there", str(there.path), installation="web/app")
    send(place, there, fleet)
    assert f"refs/tags/signed/fleet/web/app/{first}" in there.refs()
    assert send(place, there).objects == 0
    there.require_whole()


def test_what_is_another_commit_over_there_is_replaced_only_when_asked(place: Protected, there: There) -> None:
    first, second = take(place, "one"), take(place, "two")
    send(place, there)
    other = there.git("commit-tree", "-m", "other", f"{refs.SNAPSHOTS}{first}^{{tree}}").strip()
    there.git("update-ref", refs.SNAPSHOTS + first, other)
    there.git("notes", "--ref=gitsnap/manifest", "add", "-m", "other", other)
    done = send(place, there)
    assert [*done.held_back] == [first]
    assert there.refs()[refs.SNAPSHOTS + first] == other
    assert done.timeline == "unchanged"
    assert send(place, there, prune=True).held_back == {}
    assert there.refs()[refs.SNAPSHOTS + first] != other
    assert len(there.git("notes", "--ref=gitsnap/manifest", "list").splitlines()) == 2
    assert refs.SNAPSHOTS + second in there.refs()
    there.require_whole()


def test_the_timeline_stays_where_a_purge_has_made_other_commits(place: Protected, there: There) -> None:
    (place.root / "dir/key").write_text("leaked")
    first = take(place, "one")
    send(place, there)
    before = there.refs()[refs.TIMELINE]
    purge.run(place.sidecar, [b"dir/key"], place.settings, now=place.now)
    second = take(place, "two")
    done = send(place, there)
    assert ([*done.held_back], done.timeline) == ([first], "unchanged")
    assert there.refs()[refs.TIMELINE] == before
    there.require_whole()
    assert send(place, there, prune=True).timeline == "pushed"
    assert there.git("rev-list", "--count", refs.TIMELINE) == "2\n"
    assert refs.SNAPSHOTS + second in there.refs()
    there.require_whole()


def _flip(place: Protected, oid: bytes) -> None:
    """Change a byte of an entry of a pack."""
    pack = next(p for p in place.sidecar.objects.packs if p.index.find(oid) is not None)
    at = pack.index.find(oid)
    assert at is not None
    os.chmod(pack.path, 0o600)
    with open(pack.path, "r+b") as file:
        file.seek(at + 10)
        byte = file.read(1)
        file.seek(at + 10)
        file.write(bytes([byte[0] ^ 0xFF]))


def test_who_is_quicker_is_no_failure(place: Protected, there: There) -> None:
    """A second copy of the sidecar pushes between our look and our change."""
    take(place, "one")
    send(place, there)
    take(place, "two")
    marker = there.path / "moved"
    other = there.git("rev-parse", "refs/notes/gitsnap/manifest").strip()
    # As another push would, a ref of notes moves under our hands, once.
    there.hook(
        "pre-receive",
        f"test -e {marker} && exit 0; touch {marker}\n"
        "unset GIT_QUARANTINE_PATH\n"
        f"git update-ref refs/notes/gitsnap/manifest $(git commit-tree -m other {other}^{{tree}} < /dev/null)\n",
    )
    assert send(place, there).there == 2
    assert marker.exists()
    there.require_whole()


@pytest.mark.parametrize("url", ["/nowhere/at/all.git", "file:///nowhere.git"])
def test_what_is_not_there(place: Protected, url: str) -> None:
    take(place, "one")
    with pytest.raises(RemoteError) as error:
        push(place.sidecar, Remote("x", url), place.settings, PushOptions(place.now))
    assert (error.value.exit_code, error.value.kind) == (15, "remote-unreachable")


def test_a_sidecars_own_configuration_starts_nothing(top: Path, place: Protected, there: There) -> None:
    marker = top / "started"
    with open(os.path.join(place.sidecar.path, "config"), "a") as config:
        config.write(
            f"[core]\n\tsshCommand = touch {marker}\n\tgitProxy = touch {marker}\n\thooksPath = {top}\n"
            f'[remote "there"]\n\treceivepack = touch {marker}\n\tvcs = touch {marker}\n'
            f'[url "ext::touch {marker} "]\n\tpushInsteadOf = /\n[credential]\n\thelper = !touch {marker}\n'
        )
    (top / "pre-push").write_text(f"#!/bin/sh\ntouch {marker}\n")
    (top / "pre-push").chmod(0o755)
    take(place, "one")
    send(place, there)
    with pytest.raises(RemoteError):
        push(place.sidecar, Remote("x", "ssh://127.0.0.1:1/x"), place.settings, PushOptions(place.now))
    assert not marker.exists()


# As `git receive-pack` is, but that it knows no reports.
_SPEECHLESS = """#!/usr/bin/env python3
import os, subprocess, sys
there = subprocess.Popen(["sh", "-c", sys.argv[-1]], stdout=subprocess.PIPE)
while data := os.read(there.stdout.fileno(), 1 << 16):
    os.write(1, data.replace(b"report-status", b"answer-status"))
"""


@pytest.fixture
def speechless(top: Path, there: There, monkeypatch: pytest.MonkeyPatch) -> Remote:
    program = top / "ssh"
    program.write_text(_SPEECHLESS)
    program.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(program))
    return Remote("there", f"ssh://host.example{there.path}")


def test_who_says_nothing_has_not_taken_it(place: Protected, there: There, speechless: Remote) -> None:
    take(place, "one")
    there.hook("pre-receive", "exit 1\n")
    with pytest.raises(RemoteError, match="did not say what became of it"):
        send(place, there, speechless)
    assert there.refs() == {}
    assert remote_seen.load(place.sidecar, speechless).refs == {}


def test_who_says_nothing_is_asked_what_is_there(place: Protected, there: There, speechless: Remote) -> None:
    take(place, "one")
    assert send(place, there, speechless).there == 1
    there.require_whole()
    assert send(place, there, speechless).refs == 0


@pytest.mark.parametrize("url", ["{}", "file://{}", "file://localhost{}"])
def test_a_path_that_leads_to_the_sidecar_by_now_is_no_copy(place: Protected, top: Path, url: str) -> None:
    take(place, "one")
    (top / "link.git").symlink_to(place.store)
    with pytest.raises(UsageError, match="sidecar itself"):
        push(place.sidecar, Remote("there", url.format(top / "link.git")), place.settings, PushOptions(place.now))
