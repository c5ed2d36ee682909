"""Many objects at once are what each of them is by itself, damaged or not, as gitsnap or as git has packed them."""

from __future__ import annotations

import os
import time
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitsnap.core.errors import IntegrityError
from gitsnap.core.events import SILENT
from gitsnap.ops.parallel.read_back import ReadBacks, Rereading
from gitsnap.sidecar import timeline
from gitsnap.sidecar.git import commits, pack_read, refs
from gitsnap.sidecar.git.objects import ObjectStore
from gitsnap.sidecar.git.packed_ids import shares
from gitsnap.sidecar.git.refs import Refs
from gitsnap.sidecar.repository import Sidecar
from tests.support.inprocess import Protected, bare_git, workspace


@pytest.fixture
def place() -> Iterator[Protected]:
    with workspace() as where:
        (where / "app/d").mkdir(parents=True)
        with Protected(where / "app", where / "home") as protected:
            for turn in range(6):
                (protected.root / "d/f").write_bytes(b"%d\n" % turn * 300)
                (protected.root / f"n{turn}").write_bytes(b"new\n")
                protected.take()
                protected.take()
            yield protected


@pytest.fixture(params=["as written", "with deltas", "loose"])
def objects(request: pytest.FixtureRequest, place: Protected) -> Path:
    """The directory of the objects, however they are kept."""
    folder = place.store / "objects"
    if request.param == "with deltas":
        place.git("repack", "-q", "-a", "-d", "-f", "--depth=50", "--window=50")
    if request.param == "loose":
        packs = [file.rename(place.store / file.name) for file in sorted((folder / "pack").iterdir())]
        for pack in packs:
            if pack.suffix == ".pack":
                place.git("unpack-objects", "-q", stdin=pack.read_bytes())
    return folder


def listed(store: Path) -> dict[bytes, list[bytes]]:
    """The ids of all objects, by type."""
    found: dict[bytes, list[bytes]] = {}
    everything = bare_git(store, "cat-file", "--batch-all-objects", "--batch-check=%(objecttype) %(objectname)")
    for line in everything.splitlines():
        kind, name = line.split()
        found.setdefault(kind, []).append(bytes.fromhex(name.decode()))
    return found


@contextmanager
def opened(objects: Path) -> Iterator[ObjectStore]:
    """A reader that remembers nothing."""
    store = ObjectStore(str(objects))
    store.refresh()
    try:
        yield store
    finally:
        store.close()


def agree(objects: Path, oids: list[bytes]) -> bool:
    """Whether both ways to ask whether commits can be read have the same answer, or the same error."""
    with suppress(IntegrityError), opened(objects) as one, opened(objects) as other:
        return one.all_readable(oids, b"commit") is all([other.readable(oid) for oid in oids])  # noqa: C419
    return True


def test_they_are_what_each_of_them_is(objects: Path) -> None:
    found = listed(objects.parent)
    for kind, other in ((b"commit", b"tree"), (b"tree", b"commit")):
        with opened(objects) as store:
            packed = {oid for pack in store.packs for oid in pack.index.oids()}
            alone = {oid: store.read(oid, kind)[1] for oid in found[kind]}
            assert store.read_many(found[kind], other) == {}
        with opened(objects) as store:
            assert store.read_many(found[kind], kind) == {oid: alone[oid] for oid in alone.keys() & packed}
        with opened(objects) as store:
            assert store.all_readable(found[kind], kind)
            assert not store.all_readable([*found[kind], bytes(20)], kind)


@pytest.mark.parametrize("objects", ["as written", "with deltas"], indirect=True)
@pytest.mark.parametrize("suffix", [".pack", ".idx"])
def test_no_damage_is_passed_over(place: Protected, objects: Path, suffix: str) -> None:
    chain = [bytes.fromhex(link.commit) for link in timeline.chain(place.sidecar.objects, place.snapshots())]
    trees = listed(objects.parent)[b"tree"]
    with opened(objects) as store:
        whole = {oid: store.read(oid)[1] for oid in (*chain, *trees)}
    files = sorted((objects / "pack").glob(f"*{suffix}"))
    # A bit here and there: in each of many small files elsewhere.
    for number, file in enumerate(files):
        file.chmod(0o600)
        data = file.read_bytes()
        step = max(7, len(data) // (60 if len(files) == 1 else 15))
        for at in range(number * step // len(files), len(data), step):
            file.write_bytes(data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :])
            assert agree(objects, chain), at
            with suppress(IntegrityError), opened(objects) as store:
                read = store.read_many(chain, b"commit") | store.read_many(trees, b"tree")
                assert read.items() <= whole.items()
            with opened(objects) as store, opened(objects) as other:
                assert all(map(other.readable, store.as_written(whole))), at
        for end in (0, 40, len(data) // 2, len(data) - 21):
            file.write_bytes(data[:end])
            assert agree(objects, chain), end
        file.write_bytes(data)


@pytest.mark.parametrize("objects", ["as written", "with deltas"], indirect=True)
def test_what_lies_whole_is_relied_on_unread(objects: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checksum of its bytes tells; deltas are read, because what they build upon counts."""
    everything = [oid for oids in listed(objects.parent).values() for oid in oids]
    deltas = {
        bytes.fromhex(line.split()[0].decode())
        for index in (objects / "pack").glob("*.idx")
        for line in bare_git(objects.parent, "verify-pack", "-v", str(index)).splitlines()
        if len(line.split()) == 7
    }
    read: list[bytes] = []
    with opened(objects) as store:
        look = store.read
        monkeypatch.setattr(store, "read", lambda oid, *rest: read.append(oid) or look(oid, *rest))
        with Rereading(store, [*everything, bytes(20)], ReadBacks(), SILENT, kind=None) as rereading:
            found = rereading.finish()
    assert {oid for oid in found if isinstance(found[oid], str)} == {bytes(20)}
    assert set(read) == deltas | {bytes(20)}


def test_what_proved_damaged_is_read_and_not_only_summed(place: Protected) -> None:
    store = place.sidecar.objects
    chain = [bytes.fromhex(link.commit) for link in timeline.chain(store, place.snapshots())]
    store.damaged.add(chain[2])
    assert store.all_readable(chain, b"commit")
    assert not store.damaged


@pytest.mark.parametrize("packed", [False, True])
def test_a_damaged_commit_of_the_timeline_is_written_afresh(place: Protected, packed: bool) -> None:
    if packed:
        place.collect()
    place.reopen()
    store = place.sidecar.objects
    chain = [bytes.fromhex(link.commit) for link in timeline.chain(store, place.snapshots())]
    pack, offset = next((p, at) for p in store.packs if (at := p.index.find(chain[3])) is not None)
    end = next(end for oid, _, end, _ in pack.spans() if oid == chain[3])
    os.chmod(pack.path, 0o600)
    with open(pack.path, "r+b") as file:
        file.seek((offset + end) // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 0x10]))
    place.reopen()
    assert not place.sidecar.objects.readable(chain[3])
    place.reopen()
    place.take()
    place.reopen()
    after = timeline.chain(place.sidecar.objects, place.snapshots())
    assert all(place.sidecar.objects.readable(bytes.fromhex(oid)) for oid, *_ in after)
    assert place.sidecar.refs.get(refs.TIMELINE) == after[-1].commit


def test_every_way_to_find_an_object_finds_the_same(place: Protected, monkeypatch: pytest.MonkeyPatch) -> None:
    place.git("repack", "-q", "-a", "-d")
    place.reopen()
    (pack,) = place.sidecar.objects.packs
    ids = pack.index.oids()
    joined = b"".join(ids)
    # The end of one id with the beginning of the next one is none.
    strange = [
        os.urandom(20),
        bytes(20),
        b"\xff" * 20,
        *(joined[at : at + 20] for at in range(10, len(joined) - 20, 20)),
    ]
    expected = {start: oid for oid, start, _, _ in pack.spans()}
    assert {pack.index.find(oid): oid for oid in ids} == expected
    monkeypatch.setattr(pack_read, "_BULK_AFTER", 1 << 30)
    place.reopen()
    (again,) = place.sidecar.objects.packs
    assert {again.index.find(oid): oid for oid in ids} == expected
    assert [again.index.find(oid) for oid in strange if oid not in ids] == [None] * len(set(strange) - set(ids))
    for few in (False, True):
        found = [place for share in shares(ids) for place in again.index.places_of({min(share)} if few else share)]
        assert set(found) <= set(expected.items())
        assert len(found) == (len({oid[0] for oid in ids}) if few else len(ids))
    small, large = place.sidecar.objects.in_order([*ids, *ids])
    assert ([*small], small[1:3], large) == ([oid for _, oid in sorted(expected.items())], [*small][1:3], [])


authors = st.sampled_from([b"gitsnap <gitsnap@localhost> 1700000000 +0100", b"Else <e@x> 5 -0030", b" <> 0 +0000"])
extras = st.sampled_from([b"", b"", b"encoding x\n", b"gpgsig -----BEGIN\n \n more\n"])


@given(authors, authors, extras, st.binary(max_size=60), st.none() | st.just("b" * 40), st.booleans())
def test_a_commit_gets_a_parent(
    author: bytes, committer: bytes, extra: bytes, message: bytes, parent: str | None, had: bool
) -> None:
    line = b"parent %s\n" % (b"c" * 40) if had else b""
    data = b"tree %s\n%sauthor %s\ncommitter %s\n%s\n%s" % (b"a" * 40, line, author, committer, extra, message)
    now = b"parent %s\n" % parent.encode() if parent else b""
    by = commits.IDENTITY + author[author.rindex(b">") + 1 :]
    wanted = b"tree %s\n%sauthor %s\ncommitter %s\n\n%s" % (b"a" * 40, now, author, by, message)
    # The first commit of a timeline is a snapshot's own, whatever is in it.
    assert commits.with_parent(data, "", parent) == (data if not parent and not had else wanted)


@given(
    st.binary(max_size=60),
    st.datetimes(datetime(1980, 1, 1), datetime(2200, 1, 1)),
    st.integers(-14 * 60, 14 * 60),
    st.none() | st.just("b" * 40),
)
def test_a_commit_is_read_as_it_was_formed(message: bytes, at: datetime, offset: int, parent: str | None) -> None:
    when = at.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=offset)))
    data = commits.form(b"\xaa" * 20, message, when, parent)
    found = commits.parse(data, "")
    assert (found.tree, found.parent, found.created, found.message) == ("aa" * 20, parent, when, message)
    assert found.created.utcoffset() == when.utcoffset()
    assert found.author == commits.author_line(when)


def test_refs_below_a_prefix_however_they_are_kept(place: Protected) -> None:
    names = {n: s.commit for s, n in zip(place.snapshots(), ("a", "b/c", "b/d/e", "f"), strict=False)}
    for name, commit in names.items():
        place.git("update-ref", f"refs/elsewhere/{name}", commit)
    (place.store / "refs/elsewhere/b/x.lock").touch()
    found = Refs(str(place.store))
    assert found.below("refs/elsewhere/") == names
    assert found.below("refs/elsewhere/", but={"refs/elsewhere/b/c"}) == {n: v for n, v in names.items() if n != "b/c"}
    place.git("pack-refs", "--all", "--prune")
    assert found.below("refs/elsewhere/") == names
    assert found.below("refs/elsewhere/", but={"refs/elsewhere/b/c"}) == {n: v for n, v in names.items() if n != "b/c"}
    # Another content is not taken for the last one.
    place.git("update-ref", "-d", "refs/elsewhere/f")
    assert found.below("refs/elsewhere/") == {n: v for n, v in names.items() if n != "f"}
    assert found.below("refs/nothing/") == {}
    (place.store / "refs/elsewhere/b").mkdir(exist_ok=True)
    (place.store / "refs/elsewhere/b/c").write_text("damaged")
    damaged: dict[str, IntegrityError] = {}
    assert found.below("refs/elsewhere/", damaged).keys() == {"a", "b/d/e"}
    assert damaged.keys() == {"b/c"}


def test_retention_needs_no_second_look_at_the_snapshots(place: Protected, monkeypatch: pytest.MonkeyPatch) -> None:
    # Long enough ago for the stat cache to vouch for all of it.
    time.sleep(0.3)
    place.take()
    place.keep(keep_last=5)
    looks: list[str] = []
    below = Refs.below

    def counted(
        self: Refs, prefix: str, damaged: dict[str, IntegrityError] | None = None, but: Container[str] | None = None
    ) -> dict[str, str]:
        looks.extend([prefix] if but is None else [])
        return below(self, prefix, damaged, but or ())

    monkeypatch.setattr(Refs, "below", counted)
    taken = place.take()
    assert looks.count(refs.SNAPSHOTS) == 1
    monkeypatch.undo()
    assert len(taken.pruned) == 9
    assert [s.id for s in place.snapshots()][-1] == taken.snapshot.id
    assert len(place.snapshots()) == 5
    place.assert_sound()
    with Sidecar(str(place.store)) as sidecar:
        assert sidecar.refs.get(refs.TIMELINE) == timeline.chain(sidecar.objects, place.snapshots())[-1].commit
