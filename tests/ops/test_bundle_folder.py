"""A folder of bundles: each push is the next link, a broken chain begins anew, and git alone reads all of it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitsnap.core.errors import GitsnapError, IntegrityError, UsageError
from gitsnap.core.events import SILENT
from gitsnap.core.model import Snapshot
from gitsnap.core.remote import ENCRYPT, Remote
from gitsnap.ops.capture.request import Request
from gitsnap.ops.process import age
from gitsnap.ops.remote import bundle, bundle_folder, receive, sources
from gitsnap.ops.remote import push as to_disk
from gitsnap.ops.remote.bundle_folder import FolderOptions, FolderPush
from gitsnap.ops.remote.pull import PullOptions, pull
from gitsnap.ops.store import retention
from gitsnap.sidecar.git import refs
from gitsnap.sidecar.state import bundles_written
from tests.support.inprocess import Protected, bare_git, workspace


@pytest.fixture
def place() -> Iterator[Protected]:
    with workspace() as top:
        (top / "app").mkdir()
        (top / "disk").mkdir()
        with Protected(top / "app", top / "home") as found:
            yield found


@pytest.fixture
def disk(place: Protected) -> Path:
    return place.root.parent / "disk"


def take(place: Protected, text: str) -> Snapshot:
    (place.root / "f").write_text(text)
    return place.take().snapshot


def push(place: Protected, disk: Path, **more: object) -> FolderPush:
    return bundle_folder.push(place.sidecar, str(disk), place.settings, FolderOptions(place.now, **more))  # type: ignore[arg-type]


def names(disk: Path) -> list[str]:
    return sorted(p.name for p in disk.iterdir() if p.name != "SHA256SUMS")


def mirror(disk: Path, where: Path) -> dict[str, str]:
    """What git makes of the last cycle; the refs."""
    first, *others = bundle_folder.chain(str(disk))
    subprocess.run(["git", "clone", "-q", "--mirror", first, where], check=True)
    for each in others:
        command = ["git", "--git-dir", str(where), "fetch", "-q", "--prune", each, "+refs/*:refs/*"]
        subprocess.run(command, check=True)
    subprocess.run(["git", "--git-dir", where, "fsck", "--full", "--strict"], check=True, capture_output=True)
    lines = bare_git(where, "for-each-ref", "--format=%(refname) %(objectname)").decode().split()
    return dict(zip(lines[::2], lines[1::2], strict=True))


def same_as_here(place: Protected, found: dict[str, str]) -> None:
    lines = place.git("for-each-ref", "--format=%(refname) %(objectname)").decode().split()
    mine = dict(zip(lines[::2], lines[1::2], strict=True))
    kept = {r: v for r, v in mine.items() if not r.startswith(("refs/notes/", refs.DELETED))}
    assert {r: v for r, v in found.items() if r in kept or r.startswith("refs/gitsnap/s")} == kept


def chain_of(place: Protected, disk: Path, links: int) -> list[Path]:
    for number in range(links):
        take(place, f"{number}")
        push(place, disk)
    return [disk / name for name in names(disk)]


def receive_all(place: Protected, disk: Path) -> list[str]:
    """The ids of what comes of a folder; where it does not, nothing is held that no ref needs."""
    top = place.root.parent
    (top / "empty").mkdir(exist_ok=True)
    shutil.rmtree(top / "other", ignore_errors=True)
    with Protected(top / "empty", top / "other") as there:
        try:
            with sources.open_source(f"bundles:{disk}", "/") as source:
                kept = receive.fetch(there.sidecar, source, [], [], SILENT)
        except GitsnapError:
            assert not list((Path(there.sidecar.path) / "objects/pack").glob("*.keep"))
            raise
        assert len(set(kept)) == len(kept)
        return [r.removeprefix(refs.SNAPSHOTS) for r in source.refs if r.startswith(refs.SNAPSHOTS)]


@pytest.mark.parametrize(
    ("of", "to", "said"),
    [
        (1, "000001-000003-more.bundle", "it is bundle 2 of cycle 1"),
        (1, "000001-000004-more.bundle", "it is bundle 2 of cycle 1"),
        (0, "000002-000001-full.bundle", "it is bundle 1 of cycle 1"),
    ],
)
def test_an_old_bundle_in_the_place_of_a_newer_one_is_told(
    place: Protected, disk: Path, of: int, to: str, said: str
) -> None:
    links = chain_of(place, disk, 3)
    assert len(receive_all(place, disk)) == 3
    shutil.copy(links[of], disk / to)
    with pytest.raises(IntegrityError, match=f"{to} is not the bundle of that place: {said}"):
        receive_all(place, disk)


@pytest.mark.parametrize(("at", "cut"), [(1, -20), (1, 10), (2, -20), (2, 10)])
def test_of_many_bundles_the_one_that_is_damaged_is_named(place: Protected, disk: Path, at: int, cut: int) -> None:
    links = chain_of(place, disk, 3)
    links[at].write_bytes(links[at].read_bytes()[:cut])
    with pytest.raises(IntegrityError) as told:
        receive_all(place, disk)
    assert told.value.message.startswith(f"{links[at]}: ")
    assert told.value.hint != IntegrityError.advice


def test_a_heading_that_names_less_is_told(place: Protected, disk: Path) -> None:
    links = chain_of(place, disk, 2)
    head, _, pack = links[-1].read_bytes().partition(b"\n\n")
    lines = [line for line in head.split(b"\n") if b" refs/gitsnap/snapshots/" not in line]
    links[-1].write_bytes(b"\n".join(lines) + b"\n\n" + pack)
    with pytest.raises(IntegrityError, match="its heading is not the one that it was made with"):
        receive_all(place, disk)


def test_what_is_no_file_is_no_bundle_that_is_left_out(place: Protected, disk: Path) -> None:
    links = chain_of(place, disk, 2)
    links[-1].unlink()
    os.mkfifo(links[-1])
    with pytest.raises(IntegrityError, match=r"000001-000002-more\.bundle is no file"):
        receive_all(place, disk)
    take(place, "more")
    with pytest.raises(IntegrityError, match=r"000001-000002-more\.bundle is no file"):
        push(place, disk)


def test_what_a_killed_push_has_left_is_in_the_sums_too(place: Protected, disk: Path) -> None:
    links = chain_of(place, disk, 2)
    sums, left = disk / "SHA256SUMS", disk / ".SHA256SUMS.gitsnap-part-0123456789ab"
    # Killed when the bundle had its name, and nothing else knew of it.
    sums.write_text("".join(line for line in sums.read_text().splitlines(True) if links[-1].name not in line))
    left.touch()
    bundles_written.forget(place.sidecar, str(disk))
    take(place, "more")
    push(place, disk)
    assert [line.split()[1] for line in sums.read_text().splitlines()] == names(disk)
    subprocess.run(["sha256sum", "--strict", "--quiet", "-c", "SHA256SUMS"], cwd=disk, check=True)
    assert len(names(disk)) == 3 and not left.exists()


def test_the_last_number_is_not_passed(place: Protected, disk: Path) -> None:
    (disk / "999999-000001-full.bundle").touch()
    take(place, "text")
    with pytest.raises(UsageError, match=r"end with 999999-000001-full\.bundle"):
        push(place, disk)
    assert names(disk) == ["999999-000001-full.bundle"]


def test_each_push_is_a_link_and_nothing_new_is_none(place: Protected, disk: Path) -> None:
    for number in range(3):
        take(place, f"{number}")
        assert push(place, disk).written is not None
        assert push(place, disk).written is None
    assert names(disk) == [
        "000001-000001-full.bundle",
        "000001-000002-more.bundle",
        "000001-000003-more.bundle",
    ]
    looked = bundle.verify(bundle_folder.chain(str(disk)))
    assert all(each.ok and each.complete for each in looked)
    assert [each.checked.label.number for each in looked] == [1, 2, 3]  # type: ignore[union-attr]
    subprocess.run(["sha256sum", "--check", "--quiet", "--strict", "SHA256SUMS"], cwd=disk, check=True)
    same_as_here(place, mirror(disk, disk.parent / "m.git"))


def test_what_changed_without_a_snapshot_goes_too(place: Protected, disk: Path) -> None:
    one, _ = take(place, "1"), take(place, "2")
    push(place, disk)
    retention.pin(place.sidecar, one.id, place.settings)
    assert push(place, disk).written is not None
    take(place, "3")
    two = place.snapshots()[1]
    retention.delete(place.sidecar, [two.id], place.settings, now=place.now)
    push(place, disk)
    found = mirror(disk, disk.parent / "m.git")
    assert refs.PINS + one.id in found and refs.SNAPSHOTS + two.id not in found
    same_as_here(place, found)


def test_a_file_that_is_gone_or_changed_begins_a_new_cycle(place: Protected, disk: Path) -> None:
    take(place, "1")
    push(place, disk)
    take(place, "2")
    push(place, disk)
    os.unlink(disk / "000001-000002-more.bundle")
    with pytest.raises(UsageError):
        bundle_folder.chain(str(disk.parent))
    push(place, disk)
    assert names(disk)[-1] == "000002-000001-full.bundle"
    take(place, "3")
    with open(disk / names(disk)[-1], "ab") as file:
        file.write(b"x")
    push(place, disk)
    assert names(disk)[-1] == "000003-000001-full.bundle"
    os.unlink(place.store / "gitsnap/bundles.json")
    push(place, disk)
    assert names(disk)[-1] == "000004-000001-full.bundle"


def test_a_hole_in_a_cycle_is_told_by_name(place: Protected, disk: Path) -> None:
    for number in range(3):
        take(place, f"{number}")
        push(place, disk)
    os.unlink(disk / "000001-000002-more.bundle")
    with pytest.raises(GitsnapError, match=r"000001-000002-more\.bundle is missing"):
        bundle_folder.chain(str(disk))


def test_cycles_end_and_only_so_many_stay(place: Protected, disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_folder, "_LINKS", 2)
    (disk / "mine.txt").write_text("mine")
    for number in range(7):
        take(place, f"{number}")
        push(place, disk, keep=2)
    assert names(disk) == [
        "000003-000001-full.bundle",
        "000003-000002-more.bundle",
        "000004-000001-full.bundle",
        "mine.txt",
    ]
    subprocess.run(["sha256sum", "--check", "--quiet", "--strict", "SHA256SUMS"], cwd=disk, check=True)


def test_nothing_is_written_where_it_is_only_asked(place: Protected, disk: Path) -> None:
    take(place, "1")
    push(place, disk, dry_run=True)
    assert list(disk.iterdir()) == []
    with pytest.raises(GitsnapError) as told:
        push(place, disk / "absent")
    assert "mounted" in (told.value.hint or "")


@pytest.mark.skipif(shutil.which("age") is None, reason="age is not installed")
def test_an_encrypted_chain_and_one_that_is_to_be(place: Protected, disk: Path) -> None:
    key = disk.parent / "key"
    subprocess.run(["age-keygen", "-o", key], check=True, capture_output=True)
    said = subprocess.run(["age-keygen", "-y", key], check=True, capture_output=True, text=True).stdout.strip()
    take(place, "1")
    push(place, disk)
    for number in (2, 3):
        take(place, f"{number}")
        push(place, disk, recipients=age.recipients([said], []))
    assert names(disk)[1:] == ["000002-000001-full.bundle.age", "000002-000002-more.bundle.age"]
    assert all(each.ok and each.complete for each in bundle.verify(bundle_folder.chain(str(disk)), str(key)))


@pytest.mark.skipif(shutil.which("age") is None, reason="age is not installed")
def test_a_bundle_for_others_counts_for_nobody_else(place: Protected, disk: Path) -> None:
    to = []
    for name in ("one", "two"):
        subprocess.run(["age-keygen", "-o", disk.parent / name], check=True, capture_output=True)
        said = subprocess.run(["age-keygen", "-y", disk.parent / name], check=True, capture_output=True, text=True)
        to.append(said.stdout.strip())
    take(place, "1")
    for keys, last in (
        ([], "000001-000001-full.bundle"),
        ([to[0]], "000002-000001-full.bundle.age"),
        ([to[0]], "000002-000001-full.bundle.age"),
        (to, "000003-000001-full.bundle.age"),
        (to[::-1], "000003-000001-full.bundle.age"),
        ([to[1]], "000004-000001-full.bundle.age"),
    ):
        done = push(place, disk, recipients=age.recipients(keys, []))
        assert names(disk)[-1] == last
        assert done.refs
        assert done.plain == (names(disk)[:1] if keys else [])


def test_a_purge_is_sent_anew(place: Protected, disk: Path) -> None:
    from gitsnap.ops.store import purge

    (place.root / "key.pem").write_text("secret")
    take(place, "1")
    push(place, disk)
    take(place, "2")
    purge.run(place.sidecar, [b"key.pem"], place.settings, now=place.now, dry_run=False, confirm=lambda _: True)
    place.reopen()
    assert push(place, disk).written is not None
    same_as_here(place, mirror(disk, disk.parent / "m.git"))


def test_upgrades_and_rollbacks_go_once(place: Protected, disk: Path) -> None:
    one = take(place, "1")
    take(place, "2")
    place.rollback(one.id)
    push(place, disk)
    place.take(Request())
    (place.root / "f").write_text("x")
    place.take()
    made = push(place, disk).written
    assert made is not None and any(ref.startswith(refs.ROLLBACKS) for ref in made.heading.refs)
    same_as_here(place, mirror(disk, disk.parent / "m.git"))


def test_what_goes_back_to_an_older_state_is_compared_in_a_chain(place: Protected, disk: Path) -> None:
    """Its manifest is one that the reader has, and that came before the last."""
    take(place, "1")
    take(place, "2")
    push(place, disk)
    take(place, "1")
    push(place, disk)
    assert all(each.ok and each.complete for each in bundle.verify(bundle_folder.chain(str(disk))))
    same_as_here(place, mirror(disk, disk.parent / "m.git"))


@pytest.mark.skipif(shutil.which("age") is None, reason="age is not installed")
def test_what_is_encrypted_is_pulled_by_its_key(place: Protected, disk: Path) -> None:
    key = place.root.parent / "key"
    subprocess.run(["age-keygen", "-o", key], check=True, capture_output=True)
    mine = subprocess.run(["age-keygen", "-y", key], check=True, capture_output=True, text=True).stdout.strip()
    take(place, "one")
    remote = Remote("disk", f"bundles:{disk}", secrets=ENCRYPT, recipients=(mine,))
    to_disk.push(place.sidecar, remote, place.settings, to_disk.PushOptions(place.now))
    second = take(place, "two")
    to_disk.push(place.sidecar, remote, place.settings, to_disk.PushOptions(place.now))
    place.delete(second.id)
    place.collect()
    with pytest.raises(GitsnapError, match="is encrypted"):
        pull(place.sidecar, remote, place.settings, PullOptions(place.now, removed=True))
    done = pull(place.sidecar, remote, place.settings, PullOptions(place.now, removed=True, identity=str(key)))
    assert [s.id for s in done.snapshots] == [second.id]
    place.assert_sound()
