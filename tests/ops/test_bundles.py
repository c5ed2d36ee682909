"""Bundles: stock git takes what we make, we find every fault in it, and nothing half is ever at its name."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gitsnap.core.audit import encode
from gitsnap.core.errors import GitsnapError, IntegrityError, UsageError
from gitsnap.core.model import Snapshot
from gitsnap.ops.capture.request import Request
from gitsnap.ops.process import age
from gitsnap.ops.remote import bundle
from gitsnap.ops.remote.bundle import Bundled, Looked, Wanted
from gitsnap.ops.store import retention
from gitsnap.sidecar import bundle_contents
from gitsnap.sidecar.git import refs
from gitsnap.sidecar.state import audit
from tests.support.inprocess import Protected, bare_git, workspace

with_age = pytest.mark.skipif(shutil.which("age") is None, reason="age is not installed")


@pytest.fixture
def top() -> Iterator[Path]:
    with workspace() as found:
        yield found


@pytest.fixture
def place(top: Path) -> Iterator[Protected]:
    (top / "app/sub").mkdir(parents=True)
    (top / "app/l").symlink_to("sub")
    for number in range(40):
        (top / f"app/sub/n{number}").write_text(f"{number}\n" * 30)
    with Protected(top / "app", top / "home") as found:
        yield found


def take(place: Protected, text: str, **more: object) -> Snapshot:
    (place.root / "f").write_text(text)
    return place.take(Request(**more)).snapshot  # type: ignore[arg-type]


def create(place: Protected, file: Path, *names: str, **more: object) -> Bundled:
    return bundle.create(place.sidecar, str(file), Wanted(names, **more), place.settings, now=place.now)  # type: ignore[arg-type]


def look(*files: Path, place: Protected | None = None, identity: Path | None = None) -> list[Looked]:
    sidecar = place.sidecar if place is not None else None
    return bundle.verify([str(f) for f in files], str(identity) if identity else None, sidecar)


def whole(looked: Looked) -> bool:
    return looked.ok and looked.complete


def git(*words: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *map(str, words)], check=check, capture_output=True, text=True)


def refs_of(repository: Path) -> dict[str, str]:
    lines = bare_git(repository, "for-each-ref", "--format=%(refname) %(objectname)").decode().split()
    return dict(zip(lines[::2], lines[1::2], strict=True))


def test_stock_git_clones_what_the_sidecar_has(place: Protected, top: Path) -> None:
    first = take(place, "1")
    take(place, "2", pin=True)
    place.rollback(first.id)
    made = create(place, top / "b")
    git("bundle", "verify", top / "b")
    git("clone", "-q", "--mirror", top / "b", top / "m.git")
    assert git("--git-dir", top / "m.git", "fsck", "--full", "--strict").stdout == ""
    mine, theirs = refs_of(place.store), refs_of(top / "m.git")
    own = {r: v for r, v in mine.items() if not r.startswith("refs/notes/")}
    assert own.items() <= theirs.items()
    assert any(r.startswith(refs.ROLLBACKS) for r in theirs) and any(r.startswith(refs.PINS) for r in theirs)
    for snapshot in place.snapshots():
        for ref in (refs.MANIFESTS, refs.METADATA):
            text = bare_git(top / "m.git", "notes", "--ref", ref, "show", snapshot.commit)
            assert text == place.git("notes", "--ref", ref, "show", snapshot.commit)
    git("clone", "-q", top / "b", top / "work")
    assert (top / "work/f").read_text() == "1"
    assert made.sha256 == subprocess.run(["sha256sum", top / "b"], capture_output=True, text=True).stdout[:64]
    assert (top / "b").stat().st_mode & 0o777 == 0o600
    [looked] = look(top / "b")
    assert whole(looked)
    assert {v.snapshot: v.files for v in looked.checked.verdicts} == {s.id: 41 for s in place.snapshots()}  # type: ignore[union-attr]


def test_a_chain_is_a_clone_and_fetches_and_ends_as_the_sidecar_is(place: Protected, top: Path) -> None:
    since: str | None = None
    for number in range(4):
        newest = take(place, f"{number}").id
        create(place, top / f"b{number}", since=since)
        since = newest
        if number == 1:
            place.collect()
    files = [top / f"b{number}" for number in range(4)]
    assert files[3].stat().st_size < files[0].stat().st_size
    git("clone", "-q", "--mirror", files[0], top / "m.git")
    for file in files[1:]:
        git("--git-dir", top / "m.git", "bundle", "verify", file)
        git("--git-dir", top / "m.git", "fetch", "-q", "--prune", file, "+refs/*:refs/*")
    git("--git-dir", top / "m.git", "gc", "-q", "--prune=now")
    assert git("--git-dir", top / "m.git", "fsck", "--full", "--strict").stdout == ""
    mine = {r: v for r, v in refs_of(place.store).items() if not r.startswith("refs/notes/")}
    assert mine.items() <= refs_of(top / "m.git").items()
    for snapshot in place.snapshots():
        bare_git(top / "m.git", "notes", "--ref", refs.MANIFESTS, "show", snapshot.commit)
    assert all(whole(each) for each in look(*files))
    assert [v.files for v in look(*files)[3].checked.verdicts] == [41]  # type: ignore[union-attr]


def note(place: Protected, action: str) -> None:
    audit.append(place.sidecar.path, lambda at: encode(at.after, {"action": action}))


def test_the_audit_log_goes_along_and_what_is_known_of_it_does_not(place: Protected, top: Path) -> None:
    first = take(place, "1")
    note(place, "one")
    made = create(place, top / "b0")
    assert refs.AUDIT in made.heading.refs
    take(place, "2")
    note(place, "two")
    again = create(place, top / "b1", since=first.id, known=made.heading.refs)
    assert again.heading.needs[made.heading.refs[refs.AUDIT]] == "audit log"
    assert again.heading.refs[refs.AUDIT] != made.heading.refs[refs.AUDIT]
    git("clone", "-q", "--mirror", top / "b0", top / "m.git")
    git("--git-dir", top / "m.git", "fetch", "-q", top / "b1", "+refs/*:refs/*")
    git("--git-dir", top / "m.git", "fsck", "--full", "--strict")
    theirs = bare_git(top / "m.git", "ls-tree", "-r", refs.AUDIT)
    assert theirs == place.git("ls-tree", "-r", refs.AUDIT)
    assert all(whole(each) for each in look(top / "b0", top / "b1"))


def test_texts_go_as_deltas(place: Protected, top: Path) -> None:
    for number in range(2000):
        (place.root / f"sub/more{number}").write_text(f"{number}")
    one = take(place, "1")
    take(place, "2")
    create(place, top / "b", since=one.id)
    assert (top / "b").stat().st_size < 30_000


def test_a_link_that_is_missing_is_told(place: Protected, top: Path) -> None:
    ids = [take(place, f"{n}").id for n in range(3)]
    create(place, top / "b0", ids[0])
    for number in (1, 2):
        # As it was when the next one was not there yet.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                bundle, "_choose", lambda s, w, n=number: (place.snapshots()[:n], place.snapshots()[n : n + 1])
            )
            create(place, top / f"b{number}", since=ids[number - 1])
    assert all(whole(each) for each in look(top / "b0", top / "b1", top / "b2"))
    gap = look(top / "b0", top / "b2")[1]
    assert not gap.ok and ids[1] in str(gap.checked.problems)  # type: ignore[union-attr]
    swapped = look(top / "b0", top / "b2", top / "b1")
    assert [each.ok for each in swapped] == [True, False, True]
    [alone] = look(top / "b2")
    assert alone.ok and not alone.complete
    assert set(alone.checked.missing.values()) == set(ids[:2])  # type: ignore[union-attr]
    [at_hand] = look(top / "b2", place=place)
    assert whole(at_hand)
    assert git("clone", "-q", "--mirror", top / "b2", top / "n.git", check=False).returncode != 0


def test_a_bundle_of_another_installation_is_told_by_name(place: Protected, top: Path) -> None:
    one = take(place, "1")
    (top / "other").mkdir()
    (top / "other/f").write_text("other")
    with Protected(top / "other", top / "home") as other:
        other.take()
        create(other, top / "o0")
    take(place, "2")
    create(place, top / "b1", since=one.id)
    [_, second] = look(top / "o0", top / "b1")
    assert not second.ok
    assert str(place.root) in str(second.checked.problems) and str(top / "other") in str(second.checked.problems)  # type: ignore[union-attr]


def test_every_flip_and_every_cut_is_found(place: Protected, top: Path) -> None:
    take(place, "1")
    create(place, top / "b")
    data = (top / "b").read_bytes()
    bad = top / "bad"
    for at in range(0, len(data), max(1, len(data) // 150)):
        bad.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert not whole(look(bad)[0]), at
        bad.write_bytes(data[:at])
        assert not whole(look(bad)[0]), at
    bad.write_bytes(data + b"\n")
    assert not look(bad)[0].ok


def test_a_file_that_is_none_is_told(top: Path) -> None:
    (top / "x").write_bytes(b"hello" * 100)
    [looked] = look(top / "x")
    assert not looked.ok and "no git bundle" in (looked.problem or "")
    with pytest.raises(UsageError):
        look(top / "absent")
    os.mkfifo(top / "fifo")
    with pytest.raises(UsageError, match="is no file"):
        look(top / "fifo")


def test_what_contradicts_itself_does_not_pass(place: Protected, top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects that are whole each by itself, and are not what the manifest says: the trees of two snapshots swapped."""
    take(place, "1")
    take(place, "2")
    compose = bundle_contents.compose

    def swapped(*arguments: object) -> object:
        found = compose(*arguments)  # type: ignore[arg-type]
        ours = [s.tree.encode() for s in place.snapshots()]
        for oid, (kind, content) in list(found.fresh.items()):
            if kind == 1 and b"Gitsnap-Manifest-SHA256" in content and b"\nparent " not in content:
                del found.fresh[oid]
                new = found.add(1, content.replace(ours[0], ours[1]))
                for ref, value in found.heading.refs.items():
                    found.heading.refs[ref] = new.hex() if value == oid.hex() else value
        return found

    monkeypatch.setattr(bundle_contents, "compose", swapped)
    with pytest.raises(IntegrityError, match="the content is not what the manifest says"):
        create(place, top / "b")
    assert not (top / "b").exists()


def test_only_what_is_named_goes(place: Protected, top: Path) -> None:
    one, two, three = (take(place, text) for text in ("secret one", "two", "three"))
    create(place, top / "b", three.id, two.id)
    git("clone", "-q", "--mirror", top / "b", top / "m.git")
    found = refs_of(top / "m.git")
    assert {r for r in found if r.startswith(refs.SNAPSHOTS)} == {refs.SNAPSHOTS + s.id for s in (two, three)}
    listed = bare_git(top / "m.git", "notes", "--ref", refs.MANIFESTS, "list").decode().split()[1::2]
    assert set(listed) == {two.commit, three.commit}
    gone = place.git("rev-parse", f"{one.commit}:f").decode().strip()
    assert git("--git-dir", top / "m.git", "cat-file", "-e", gone, check=False).returncode != 0


def test_what_lies_in_the_bin_does_not_go(place: Protected, top: Path) -> None:
    one = take(place, "a secret that was deleted")
    take(place, "2")
    retention.delete(place.sidecar, [one.id], place.settings, now=place.now)
    blob = place.git("rev-parse", f"{one.commit}:f").decode().strip()
    create(place, top / "b")
    git("clone", "-q", "--mirror", top / "b", top / "m.git")
    assert git("--git-dir", top / "m.git", "cat-file", "-e", blob, check=False).returncode != 0
    assert one.id not in str(refs_of(top / "m.git"))


def test_a_damaged_snapshot_makes_no_bundle(place: Protected, top: Path) -> None:
    take(place, "1")
    blob = place.git("rev-parse", "timeline:sub/n7").decode().strip()
    pack = next(p for p in place.sidecar.objects.packs if p.index.find(bytes.fromhex(blob)) is not None)
    _, start, end, _ = next(row for row in pack.spans() if row[0].hex() == blob)
    os.chmod(pack.path, 0o600)
    with open(pack.path, "r+b") as file:
        file.seek(start + 3)
        file.write(os.urandom(end - start - 3))
    place.reopen()
    with pytest.raises(IntegrityError, match=blob):
        create(place, top / "b")
    assert [p.name for p in top.iterdir() if "b" in p.name and p.name != "app"] == []


def test_nothing_newer_is_told(place: Protected, top: Path) -> None:
    with pytest.raises(GitsnapError):
        create(place, top / "b")
    one = take(place, "1")
    with pytest.raises(GitsnapError, match="nothing newer"):
        create(place, top / "b", since=one.id)
    with pytest.raises(UsageError):
        create(place, top / "b", one.id, since=one.id)


def test_only_a_bundle_is_replaced(place: Protected, top: Path) -> None:
    take(place, "1")
    (top / "mine.tar").write_text("mine")
    with pytest.raises(UsageError, match="no bundle"):
        create(place, top / "mine.tar")
    assert (top / "mine.tar").read_text() == "mine"
    create(place, top / "b")
    (top / "link").symlink_to("b")
    with pytest.raises(UsageError, match="no bundle"):
        create(place, top / "link")
    for inside in (place.root / "b", place.store / "b"):
        with pytest.raises(UsageError, match="lies inside"):
            create(place, inside)
    take(place, "2")
    create(place, top / "b")
    assert len(look(top / "b")[0].checked.verdicts) == 2  # type: ignore[union-attr]


def test_a_full_disk_leaves_what_was_there(place: Protected, top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    take(place, "1")
    create(place, top / "b")
    before = (top / "b").read_bytes()
    take(place, "2" * 5000)

    def full(fd: int, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(bundle, "_write_all", full)
    with pytest.raises(OSError, match="No space"):
        create(place, top / "b")
    assert (top / "b").read_bytes() == before
    assert sorted(p.name for p in top.iterdir()) == ["app", "b", "home"]


def _killed_at(place: Protected, file: Path, step: int) -> bool:
    """Whether a process that makes a bundle is killed at its `step`th write, sync or rename."""
    child = os.fork()
    if child == 0:
        left = step

        def counted(function: Callable[..., object]) -> Callable[..., object]:
            def call(*arguments: object) -> object:
                nonlocal left
                left -= 1
                if left < 0:
                    os._exit(9)
                return function(*arguments)

            return call

        try:
            bundle._write_all = counted(bundle._write_all)  # type: ignore[assignment]
            os.fsync, os.rename = counted(os.fsync), counted(os.rename)  # type: ignore[assignment]
            create(place, file)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def test_killed_at_any_step_nothing_half_is_there(place: Protected, top: Path) -> None:
    take(place, "1")
    (place.root / "large").write_bytes(os.urandom(1_500_000))
    take(place, "2")
    folder = top / "disk"
    folder.mkdir()
    steps = 0
    while _killed_at(place, folder / "b", steps):
        # Only the last of all syncs comes after its name.
        assert not (folder / "b").exists() or whole(look(folder / "b")[0])
        (folder / "b").unlink(missing_ok=True)
        steps += 1
    assert steps > 5 and whole(look(folder / "b")[0])
    assert [p.name for p in folder.iterdir()] == ["b"]
    before = (folder / "b").read_bytes()
    take(place, "3")
    for step in range(steps):
        assert _killed_at(place, folder / "b", step)
        assert (folder / "b").read_bytes() == before or whole(look(folder / "b")[0])
    create(place, folder / "b")
    assert [p.name for p in folder.iterdir()] == ["b"]


@pytest.fixture
def key(top: Path) -> Path:
    subprocess.run(["age-keygen", "-o", top / "key"], check=True, capture_output=True)
    return top / "key"


def recipient(key: Path) -> age.Recipients:
    said = subprocess.run(["age-keygen", "-y", key], check=True, capture_output=True, text=True).stdout.strip()
    return age.recipients([said], [])


@with_age
def test_age_alone_brings_back_what_was_encrypted(place: Protected, top: Path, key: Path) -> None:
    take(place, "1")
    made = create(place, top / "b.age", recipients=recipient(key))
    assert made.encrypted and not (top / "b.age").read_bytes().startswith(b"# v2")
    plain = subprocess.run(["age", "-d", "-i", key, top / "b.age"], check=True, capture_output=True).stdout
    (top / "plain").write_bytes(plain)
    git("bundle", "verify", top / "plain")
    [shut], [opened] = look(top / "b.age"), look(top / "b.age", identity=key)
    assert shut.ok and not shut.complete and shut.cover is not None and shut.cover.recipients == ("X25519",)
    assert whole(opened) and [v.files for v in opened.checked.verdicts] == [41]  # type: ignore[union-attr]
    with bundle.opened(str(top / "b.age"), str(key)) as read:
        assert b"".join(iter(lambda: read(1 << 16), b"")) == plain


@with_age
@pytest.mark.parametrize("sort", ["ed25519", "rsa"])
def test_keys_of_ssh_are_recipients(place: Protected, top: Path, sort: str) -> None:
    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is not installed")
    subprocess.run(["ssh-keygen", "-q", "-t", sort, "-N", "", "-f", top / "id"], check=True)
    take(place, "1")
    create(place, top / "b.age", recipients=age.recipients([(top / "id.pub").read_text().strip()], []))
    assert whole(look(top / "b.age", identity=top / "id")[0])
    create(place, top / "c.age", recipients=age.recipients([], [str(top / "id.pub")]))
    assert whole(look(top / "c.age", identity=top / "id")[0])


@with_age
@pytest.mark.parametrize(
    "text", [None, b"no key\n", b"", b"# a comment\n", b"AGE-SECRET-KEY-1ABC\n", b"\0\1", b"age-encryption.org/v1\n"]
)
def test_what_is_no_identity_is_told_of_that_file(place: Protected, top: Path, key: Path, text: bytes | None) -> None:
    take(place, "1")
    create(place, top / "b.age", recipients=recipient(key))
    (top / "none").write_bytes((top / "b.age").read_bytes() if text is None else text)
    with pytest.raises(UsageError, match=r"none is no identity") as told:
        look(top / "b.age", identity=top / "none")
    assert "age-keygen" in (told.value.hint or "")


@with_age
def test_the_wrong_identity_and_damage_are_told_apart(place: Protected, top: Path, key: Path) -> None:
    take(place, "1")
    create(place, top / "b.age", recipients=recipient(key))
    subprocess.run(["age-keygen", "-o", top / "other"], check=True, capture_output=True)
    with pytest.raises(GitsnapError) as wrong:
        look(top / "b.age", identity=top / "other")
    assert wrong.value.kind == "wrong-identity"
    data = (top / "b.age").read_bytes()
    bad = top / "bad.age"
    for end in (len(data) - 1, len(data) - 17, len(data) // 2, 250, 100, 30):
        bad.write_bytes(data[:end])
        assert not whole(look(bad, identity=key)[0]), end
    for at in (len(data) - 1, len(data) // 2):
        bad.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert not look(bad, identity=key)[0].ok, at
    with pytest.raises(UsageError):
        look(top / "b.age", identity=top / "absent")
    with pytest.raises(UsageError, match="is encrypted"), bundle.opened(str(top / "b.age"), None):
        pass


@with_age
def test_nothing_plain_touches_the_disk(place: Protected, top: Path, key: Path) -> None:
    """All that is written beside the bundle while it is encrypted: nothing of it is plain."""
    take(place, "a word that is plain to see")
    folder = top / "disk"
    folder.mkdir()
    seen: list[bytes] = []
    real = os.fsync

    def look_around(fd: int) -> None:
        seen.extend(p.read_bytes() for p in folder.iterdir())
        real(fd)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", look_around)
        create(place, folder / "b.age", recipients=recipient(key))
    assert seen and all(data.startswith(b"age-encryption.org/v1\n") for data in seen)
    assert [p.name for p in folder.iterdir()] == ["b.age"]


@with_age
def test_age_that_fails_leaves_nothing(place: Protected, top: Path) -> None:
    take(place, "1")
    broken = age.Recipients(("age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq",))
    with pytest.raises(GitsnapError, match="age says"):
        create(place, top / "b.age", recipients=broken)
    assert sorted(p.name for p in top.iterdir()) == ["app", "home"]


def test_without_age_it_is_told(place: Protected, top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    take(place, "1")
    monkeypatch.setenv("PATH", str(top))
    with pytest.raises(GitsnapError) as told:
        create(place, top / "b.age", recipients=age.Recipients(("age1x",)))
    assert told.value.kind == "no-age"


def test_an_age_in_the_installation_is_not_run(place: Protected, top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    take(place, "1")
    (place.root / "age").write_text(f"#!/bin/sh\ntouch {top}/ran\n")
    (place.root / "age").chmod(0o755)
    monkeypatch.setenv("PATH", str(place.root))
    with pytest.raises(GitsnapError):
        create(place, top / "b.age", recipients=age.Recipients(("age1x",)))
    assert not (top / "ran").exists()


@pytest.mark.parametrize("key", ["", "-", "--help", "AGE-SECRET-KEY-1QQQ", "age1x\n", "/etc/passwd", "ssh-dss AAAA"])
def test_what_is_no_recipient_is_refused(key: str) -> None:
    with pytest.raises(UsageError) as told:
        age.recipients([key], [])
    assert "SECRET" not in told.value.message


def test_programs_make_bundles_and_check_them(top: Path, gitsnap_home: Path) -> None:
    import gitsnap
    from tests.support.installation import build_app, take_snapshot

    app = build_app(top / "shop")
    first = take_snapshot(app)
    place = gitsnap.open(app, create=True, environ=os.environ)
    assert [s.id for s in place.bundle(top / "one").snapshots] == [first]
    (app / "VERSION").write_text("2")
    second = place.snapshot()
    assert place.bundle(top / "two", since=first).label.newest == second.id
    assert [each.complete and each.ok for each in gitsnap.verify_bundles(top / "one", top / "two")] == [True, True]
    assert [each.complete for each in gitsnap.verify_bundles(top / "two")] == [False]
