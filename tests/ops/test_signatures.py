"""Signed snapshots: stock git and dulwich take what we sign, and a signature goes where its snapshot goes."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from dulwich.repo import Repo

from gitsnap.core.errors import GitsnapError, IntegrityError, UsageError
from gitsnap.core.model import Kind, Snapshot
from gitsnap.core.signature import Policy, Status
from gitsnap.ops.capture import import_copies
from gitsnap.ops.capture.import_copies import ImportRequest
from gitsnap.ops.capture.import_sources import Source
from gitsnap.ops.capture.request import Captured, Request
from gitsnap.ops.check import signatures as judging
from gitsnap.ops.check.verdict import Verdict
from gitsnap.ops.store import deleted, purge, retention, signers
from gitsnap.ops.store import sign as signing
from gitsnap.sidecar import catalog, signatures
from gitsnap.sidecar.git import refs, ssh_keygen
from gitsnap.sidecar.state import seal
from tests.support.inprocess import Protected, workspace
from tests.support.signing import Key, git_verifies, new_key


@pytest.fixture
def place() -> Iterator[Protected]:
    with workspace() as top:
        (top / "app").mkdir()
        (top / "app/f").write_text("one\n")
        with Protected(top / "app", top / "home") as found:
            yield found


@pytest.fixture
def key(place: Protected) -> Key:
    return new_key(place.root.parent / "key")


def follow(place: Protected, **policy: Any) -> None:
    place.settings = replace(place.settings, signing=place.settings.signing._replace(**policy))


def take(place: Protected, text: str, kind: Kind = Kind.MANUAL) -> Captured:
    (place.root / "f").write_text(text)
    return place.take(Request(kind))


def allow(place: Protected, *lines: str) -> Path:
    path = place.root.parent / "allowed"
    path.write_text("".join(lines))
    follow(place, allowed=str(path))
    return path


def sign(place: Protected, key: Key, *what: str) -> list[signing.Signed]:
    policy = place.settings.signing._replace(key=str(key.path))
    settings = replace(place.settings, signing=policy)
    return signing.sign(place.sidecar, what, settings, now=place.now, everything=not what)


def judged(place: Protected) -> dict[str, Verdict]:
    verdicts = place.verify()
    judging.judge(place.sidecar, verdicts, place.settings)
    return {v.snapshot: v for v in verdicts}


def kinds(place: Protected) -> dict[str, list[str]]:
    return {name: [p.kind for p in v.problems] for name, v in judged(place).items()}


def test_what_is_signed_at_capture_is_taken_by_git_and_dulwich(place: Protected, key: Key) -> None:
    follow(place, key=str(key.path))
    one, two = take(place, "1").snapshot, take(place, "2").snapshot
    # Nothing changed: the commit alone is new, and signed as well.
    three = place.take().snapshot
    allowed = allow(place, key.allowed("git,anna@example.org"))
    for snapshot in (one, two, three):
        assert snapshot.signed_by == key.fingerprint
        git_verifies(place.store, allowed, "verify-commit", refs.SNAPSHOTS + snapshot.id)
        with Repo(str(place.store)) as repo:
            commit = repo[snapshot.commit.encode()]
            from dulwich.signature import SSHCliSignatureVendor

            payload, armor, _ = commit.extract_signature()
            SSHCliSignatureVendor(allowed_signers_file=str(allowed)).verify(payload, armor)
    assert place.snapshots() == [one, two, three]
    assert kinds(place) == {s.id: [] for s in (one, two, three)}
    assert [c.principal for c in judged(place)[one.id].signatures or ()] == ["git"]
    place.assert_sound()


def test_every_kind_of_snapshot_is_signed(place: Protected, key: Key, tmp_path: Path) -> None:
    follow(place, key=str(key.path))
    for number, kind in enumerate((Kind.PRE, Kind.POST, Kind.MANUAL)):
        assert take(place, str(number), kind).snapshot.signed_by == key.fingerprint
    (place.root / "f").write_text("edited")
    done = place.rollback("latest")
    assert done.safety is not None and done.safety.signed_by == key.fingerprint
    (tmp_path / "copy").mkdir()
    source = Source(str(tmp_path / "copy"), str(tmp_path))
    imported = import_copies.take_in(place.sidecar, source, ImportRequest(), place.settings)
    assert imported.snapshot.signed_by == key.fingerprint
    place.assert_sound()


def test_the_timeline_has_no_signature_that_is_wrong(place: Protected, key: Key) -> None:
    """Its root is the oldest snapshot's own commit, signature and all; what has a parent is signed by nobody."""
    follow(place, key=str(key.path))
    taken = [take(place, text).snapshot for text in "123"]
    chain = place.git("rev-list", "--reverse", "timeline").decode().split()
    assert chain[0] == taken[0].commit
    assert [b"gpgsig" in place.git("cat-file", "commit", c) for c in chain] == [True, False, False]
    place.delete(taken[0].id)
    chain = place.git("rev-list", "--reverse", "timeline").decode().split()
    assert chain[0] == taken[1].commit
    place.assert_sound()


def test_a_key_that_does_not_sign_loses_no_snapshot(place: Protected) -> None:
    locked = new_key(place.root.parent / "locked", "a passphrase")
    follow(place, key=str(locked.path))
    for kind in Kind:
        if kind is not Kind.IMPORTED:
            done = take(place, kind.value, kind)
            assert "passphrase was not given" in done.unsigned
            assert done.snapshot.signed_by is None
    assert len(place.snapshots()) == 4
    place.assert_sound()


def test_where_signatures_are_required_none_is_taken_without_but_what_cannot_wait(place: Protected) -> None:
    follow(place, key=str(place.root.parent / "none"), require=True)
    for kind in (Kind.MANUAL, Kind.PRE):
        with pytest.raises(GitsnapError, match="none is to be without a signature: the key") as raised:
            take(place, kind.value, kind)
        assert raised.value.kind == "not-signed"
    assert place.snapshots() == []
    for kind in (Kind.POST, Kind.SAFETY):
        assert take(place, kind.value, kind).unsigned
    (place.root / "f").write_text("edited")
    assert place.rollback("latest").verified
    place.assert_sound()


def test_without_a_key_nothing_is_said(place: Protected) -> None:
    follow(place, require=True)
    assert take(place, "1").unsigned == ""


def test_a_tag_signs_later_and_git_takes_it(place: Protected, key: Key) -> None:
    one = take(place, "1").snapshot
    done = sign(place, key, one.id)
    assert [(d.snapshot, d.ref, d.key, d.already) for d in done] == [
        (one, refs.SIGNED + one.id, key.fingerprint, False)
    ]
    name = f"signed/{one.id}"
    said = git_verifies(place.store, allow(place, key.allowed()), "tag", "-v", name)
    assert f"Gitsnap-Manifest-SHA256: {one.manifest_sha256}\n" in said
    assert f"Gitsnap-Metadata-SHA256: {one.metadata_sha256}\n" in said
    git_verifies(place.store, allow(place, key.allowed()), "verify-tag", name)
    assert place.git("rev-parse", f"{name}^{{commit}}").decode().strip() == one.commit
    assert kinds(place) == {one.id: []}
    place.assert_sound()


def test_signing_twice_adds_nothing_and_another_key_another_tag(place: Protected, key: Key) -> None:
    one = take(place, "1").snapshot
    other = new_key(place.root.parent / "other")
    sign(place, key, one.id)
    assert [d.already for d in sign(place, key, one.id)] == [True]
    second = sign(place, other, one.id)[0]
    assert (second.ref, second.already) == (f"{refs.SIGNED}{one.id}+2", False)
    allowed = allow(place, key.allowed(), other.allowed("bob@example.org"))
    git_verifies(place.store, allowed, "tag", "-v", f"signed/{one.id}+2")
    found = judged(place)[one.id].signatures
    assert [c.principal for c in found or ()] == ["anna@example.org", "bob@example.org"]
    follow(place, key=str(key.path))
    two = take(place, "2").snapshot
    assert [(d.already, d.ref) for d in sign(place, key, two.id)] == [(True, signatures.COMMIT)]
    place.assert_sound()


def test_all_are_signed_at_once(place: Protected, key: Key) -> None:
    taken = [take(place, text).snapshot for text in "123"]
    assert [d.snapshot for d in sign(place, key)] == taken
    allow(place, key.allowed())
    assert kinds(place) == {s.id: [] for s in taken}


def test_a_key_that_does_not_sign_signs_nothing(place: Protected, key: Key) -> None:
    one = take(place, "1").snapshot
    with pytest.raises(GitsnapError, match="No such file"):
        sign(place, key._replace(path=place.root.parent / "none"), one.id)
    with pytest.raises(UsageError, match="no key is named"):
        signing.sign(place.sidecar, [one.id], place.settings, now=place.now)
    assert signatures.tagged(place.sidecar) == {}


@pytest.mark.parametrize("which", ["content", "manifest", "metadata"])
def test_what_is_damaged_is_not_signed(place: Protected, key: Key, which: str) -> None:
    one = take(place, "1").snapshot
    oid = _content(place, one) if which == "content" else _note(which)(place, one)
    _explode(place)
    (place.store / "objects" / oid[:2] / oid[2:]).unlink()
    place.reopen()
    with pytest.raises(IntegrityError):
        sign(place, key, one.id)
    assert signatures.tagged(place.sidecar) == {}


def test_a_signed_tag_of_another_commit_is_wrong_whatever_it_says(place: Protected, key: Key) -> None:
    one, two = take(place, "1").snapshot, take(place, "2").snapshot
    text = signatures.text(replace(one, commit=two.commit), refs.SIGNED + one.id, place.now, "")
    armor = ssh_keygen.sign(text, str(key.path), ask=False, installation=str(place.root))
    signatures.store(place.sidecar, [(one, refs.SIGNED + one.id, text + armor)])
    allow(place, key.allowed())
    assert kinds(place) == {one.id: ["wrong-signature"], two.id: ["unsigned"]}


def test_every_way_of_not_being_signed_has_its_word(place: Protected, key: Key) -> None:
    other, revoked = new_key(place.root.parent / "other"), new_key(place.root.parent / "revoked")
    expired = new_key(place.root.parent / "expired")
    names = {}
    for word, one in (
        ("good", key),
        ("unknown-signer", other),
        ("revoked-signer", revoked),
        ("expired-signer", expired),
    ):
        follow(place, key=str(one.path))
        names[take(place, word).snapshot.id] = [] if word == "good" else [word]
    follow(place, key="")
    names[take(place, "unsigned").snapshot.id] = ["unsigned"]
    (place.root.parent / "list").write_text(revoked.public)
    follow(place, revoked=str(place.root.parent / "list"))
    allow(place, key.allowed(), revoked.allowed(), expired.allowed(options='valid-before="20260101"'))
    assert kinds(place) == names


def test_one_good_signature_is_enough_and_a_wrong_one_too_much(place: Protected, key: Key) -> None:
    other = new_key(place.root.parent / "other")
    follow(place, key=str(other.path))
    one = take(place, "1").snapshot
    allow(place, key.allowed())
    assert kinds(place) == {one.id: ["unknown-signer"]}
    sign(place, key, one.id)
    assert kinds(place) == {one.id: []}
    # A tag of something else, under the name of this one.
    two = take(place, "2").snapshot
    sign(place, key, two.id)
    value = place.sidecar.refs.get(refs.SIGNED + two.id)
    assert value is not None
    with seal.changing(place.sidecar, {f"{refs.SIGNED}{one.id}+2": value}):
        place.sidecar.refs.create(f"{refs.SIGNED}{one.id}+2", value)
    assert kinds(place) == {one.id: ["wrong-signature"], two.id: []}


def test_who_may_sign_has_to_be_said(place: Protected, key: Key) -> None:
    take(place, "1")
    with pytest.raises(UsageError, match="nothing tells who may sign"):
        judged(place)
    follow(place, allowed=str(place.root.parent / "none"))
    with pytest.raises(UsageError, match="cannot be read"):
        judged(place)


def test_readers_say_what_they_can(place: Protected, key: Key) -> None:
    follow(place, key=str(key.path))
    one = take(place, "1").snapshot
    found = signers.told(place.sidecar, one, Policy())
    assert [(c.status, c.key, c.principal) for c in found] == [(Status.NOT_CHECKED, key.fingerprint, "")]
    allow(place, key.allowed())
    assert [c.principal for c in signers.told(place.sidecar, one, place.settings.signing)] == ["anna@example.org"]
    follow(place, allowed=str(place.root.parent / "none"))
    found = signers.told(place.sidecar, one, place.settings.signing)
    assert found[0].status is Status.NOT_CHECKED and "cannot be read" in found[0].why


def test_a_tag_goes_with_its_snapshot(place: Protected, key: Key) -> None:
    one, two = take(place, "1").snapshot, take(place, "2").snapshot
    sign(place, key)
    place.delete(one.id)
    assert signatures.tagged(place.sidecar).keys() == {one.id, two.id}
    place.assert_sound()
    deleted.undelete(place.sidecar, [one.id], place.settings, now=place.now)
    allow(place, key.allowed())
    assert kinds(place) == {one.id: [], two.id: []}
    place.assert_sound()
    place.delete(one.id)
    place.collect()
    assert signatures.tagged(place.sidecar).keys() == {two.id}
    assert place.git("tag").decode().split() == [f"signed/{two.id}"]
    place.assert_sound()


def test_a_snapshot_that_is_damaged_in_the_bin_takes_its_tag_with_it(place: Protected, key: Key) -> None:
    one, two = take(place, "1").snapshot, take(place, "2").snapshot
    sign(place, key)
    place.delete(one.id)
    # Its ref in the bin points to the commit of another one.
    ref = refs.DELETED + one.id
    with seal.changing(place.sidecar, {ref: two.commit}):
        place.sidecar.refs.change(ref, one.commit, two.commit)
    place.reopen()
    place.collect()
    assert signatures.tagged(place.sidecar).keys() == {two.id}
    place.reopen()
    place.assert_sound()


def test_retention_takes_tags_with_it(place: Protected, key: Key) -> None:
    taken = [take(place, text).snapshot for text in "123"]
    sign(place, key)
    place.prune(1)
    place.collect()
    assert signatures.tagged(place.sidecar).keys() == {taken[2].id}
    assert all(s.commit not in place.git("rev-list", "--all").decode() for s in taken[:2])
    place.assert_sound()


def test_a_damaged_snapshot_that_is_given_up_takes_its_tag_with_it(place: Protected, key: Key) -> None:
    one, two = take(place, "1").snapshot, take(place, "2").snapshot
    sign(place, key)
    (place.store / refs.SNAPSHOTS / one.id).unlink()
    place.reopen()
    retention.delete(place.sidecar, [one.id], place.settings, now=place.now)
    assert signatures.tagged(place.sidecar).keys() == {two.id}
    assert [v for v in place.verify() if v.problems] == []


def test_a_tag_that_is_lost_or_moved_shows(place: Protected, key: Key) -> None:
    one, two = take(place, "1").snapshot, take(place, "2").snapshot
    sign(place, key)
    first, second = (place.store / refs.SIGNED / s.id for s in (one, two))
    was = first.read_bytes()
    first.unlink()
    problems = [p.problem for v in place.verify() for p in v.problems]
    assert problems == [f"the ref {refs.SIGNED}{one.id} is lost"]
    first.write_bytes(second.read_bytes())
    assert [p.problem for v in place.verify() for p in v.problems] == [f"the ref {refs.SIGNED}{one.id} was changed"]
    first.write_bytes(was)
    place.assert_sound()


def test_a_gc_keeps_signatures(place: Protected, key: Key) -> None:
    follow(place, key=str(key.path))
    one = take(place, "1").snapshot
    sign(place, new_key(place.root.parent / "other"), one.id)
    place.collect()
    place.reopen()
    allow(place, key.allowed(), new_key(place.root.parent / "third").allowed())
    assert [c.status for c in judged(place)[one.id].signatures or ()] == [Status.GOOD, Status.UNKNOWN]
    place.assert_sound()


def _purge(place: Protected, *paths: bytes) -> purge.Purged:
    return purge.run(place.sidecar, paths, place.settings, now=place.now)


def test_a_purge_drops_the_signatures_of_what_it_writes_anew_and_says_so(place: Protected, key: Key) -> None:
    other = new_key(place.root.parent / "other")
    untouched = take(place, "0").snapshot
    follow(place, key=str(key.path))
    (place.root / "secret").write_text("the very secret\n" * 50)
    one = take(place, "1").snapshot
    follow(place, key="")
    two = take(place, "2").snapshot
    three = take(place, "3").snapshot
    sign(place, other, untouched.id, two.id)
    done = _purge(place, b"secret")
    assert done.snapshots == [one.id, two.id, three.id]
    assert done.unsigned == [one.id, two.id]
    assert [s.signed_by for s in place.snapshots()] == [None] * 4
    assert signatures.tagged(place.sidecar).keys() == {untouched.id}
    # Nothing keeps what was.
    for old in (one, two, three):
        assert old.commit not in place.git("cat-file", "--batch-all-objects", "--batch-check").decode()
    allow(place, other.allowed())
    assert kinds(place) == {untouched.id: [], one.id: ["unsigned"], two.id: ["unsigned"], three.id: ["unsigned"]}
    sign(place, other)
    assert kinds(place) == {s.id: [] for s in (untouched, one, two, three)}
    place.assert_sound()


def test_a_purge_that_is_cut_short_before_its_tags_go_is_ended_by_the_next(
    place: Protected, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place.root / "secret").write_text("the very secret\n" * 50)
    one = take(place, "1").snapshot
    sign(place, key)
    discard = refs.Refs.discard

    def killed(self: refs.Refs, name: str) -> None:
        if name.startswith(refs.SIGNED):
            raise KeyboardInterrupt
        discard(self, name)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(refs.Refs, "discard", killed)
        _purge(place, b"secret")
    place.reopen()
    assert signatures.tagged(place.sidecar).keys() == {one.id}
    _purge(place, b"secret")
    assert signatures.tagged(place.sidecar) == {}
    assert one.commit not in place.git("cat-file", "--batch-all-objects", "--batch-check").decode()
    place.assert_sound()


class _Colliding:
    """SHA-1 as it is for whoever has made a collision: other bytes have the id of what they replace."""

    real = staticmethod(hashlib.sha1)
    table: ClassVar[dict[bytes, bytes]] = {}

    def __init__(self, data: bytes = b"", **more: Any) -> None:
        self._inner = self.real(data, **more)
        self.update = self._inner.update

    def digest(self) -> bytes:
        return self.table.get(self._inner.digest(), self._inner.digest())

    def hexdigest(self) -> str:
        return self.digest().hex()

    def copy(self) -> _Colliding:
        other = _Colliding()
        other._inner = self._inner.copy()
        other.update = other._inner.update
        return other


def _forge(place: Protected, oid: str, change: Callable[[bytes], bytes]) -> None:
    """Other bytes under the same id, which every check by SHA-1 takes for what was there."""
    kind = place.git("cat-file", "-t", oid).strip()
    content = change(place.git("cat-file", kind.decode(), oid))
    whole = b"%s %d\0%s" % (kind, len(content), content)
    loose = place.store / "objects" / oid[:2] / oid[2:]
    loose.chmod(0o600)
    loose.write_bytes(zlib.compress(whole))
    _Colliding.table[_Colliding.real(whole).digest()] = bytes.fromhex(oid)


def _explode(place: Protected) -> None:
    """Every object in a file of its own."""
    packs = place.store / "objects/pack"
    data = [(path, path.read_bytes()) for path in packs.glob("*.pack")]
    for path in packs.iterdir():
        path.unlink()
    for _, pack in data:
        place.git("unpack-objects", "-q", stdin=pack)


def _content(place: Protected, of: Snapshot) -> str:
    return place.git("rev-parse", f"{of.commit}:f").decode().strip()


def _note(which: str) -> Callable[[Protected, Snapshot], str]:
    return lambda place, of: place.git("notes", f"--ref=gitsnap/{which}", "list", of.commit).decode().strip()


@pytest.mark.parametrize(
    "what, change, word",
    [
        (_content, lambda data: data.replace(b"safe", b"evil"), "the content is not what the manifest says"),
        (_note("manifest"), lambda data: data.replace(b"  f\n", b"  g\n"), "manifest"),
        (_note("metadata"), lambda data: data.replace(b"mode=", b"mode=0"), "metadata"),
    ],
)
def test_one_signature_covers_every_byte_whatever_sha1_is_worth(
    place: Protected,
    key: Key,
    monkeypatch: pytest.MonkeyPatch,
    what: Callable[[Protected, Snapshot], str],
    change: Callable[[bytes], bytes],
    word: str,
) -> None:
    """Stock git says that the signature is good all along: it is over the commit, and that names SHA-1 ids alone."""
    monkeypatch.setattr(_Colliding, "table", {})
    follow(place, key=str(key.path))
    one = take(place, "safe\n").snapshot
    allowed = allow(place, key.allowed())
    _explode(place)
    place.reopen()
    assert kinds(place) == {one.id: []}
    _forge(place, what(place, one), change)
    place.reopen()
    # A collision is what it takes: without one, the id does not fit.
    assert any("damaged" in p.problem for v in place.verify() for p in v.problems)
    monkeypatch.setattr(hashlib, "sha1", _Colliding)
    place.reopen()
    problems = [p.problem for p in judged(place)[one.id].problems]
    assert problems and not any("damaged" in p for p in problems), problems
    assert any(word in p for p in problems), problems
    git_verifies(place.store, allowed, "verify-commit", one.commit)


@pytest.mark.parametrize("later", [False, True])
def test_a_commit_with_other_digests_under_its_id_is_signed_by_nobody(
    place: Protected, key: Key, monkeypatch: pytest.MonkeyPatch, later: bool
) -> None:
    """Who can make a commit collide has to make all below it fit, and has no signature over that."""
    monkeypatch.setattr(_Colliding, "table", {})
    if not later:
        follow(place, key=str(key.path))
    one = take(place, "safe\n").snapshot
    if later:
        sign(place, key)
    allow(place, key.allowed())
    _explode(place)
    content = place.git("cat-file", "blob", _content(place, one))
    evil = content.replace(b"safe", b"evil")
    digests = [hashlib.sha256(data).hexdigest().encode() for data in (content, evil)]
    manifest = _note("manifest")(place, one)
    old = place.git("cat-file", "blob", manifest)
    new = old.replace(*digests)
    _forge(place, _content(place, one), lambda _: evil)
    _forge(place, manifest, lambda _: new)
    named = [hashlib.sha256(data).hexdigest().encode() for data in (old, new)]
    _forge(place, one.commit, lambda data: data.replace(*named))
    monkeypatch.setattr(hashlib, "sha1", _Colliding)
    place.reopen()
    # All fits together, for whoever looks at no signature.
    assert [p for v in place.verify() for p in v.problems if v.snapshot == one.id] == []
    assert kinds(place)[one.id] == ["wrong-signature"]


def test_a_tag_that_cannot_be_read_is_wrong(place: Protected, key: Key) -> None:
    one = take(place, "1").snapshot
    commit = place.git("rev-parse", one.commit).decode().strip()
    ref = refs.SIGNED + one.id
    with seal.changing(place.sidecar, {ref: commit}):
        place.sidecar.refs.create(ref, commit)
    allow(place, key.allowed())
    assert kinds(place) == {one.id: ["wrong-signature"]}
    lines = place.git("mktag", stdin=f"object {commit}\ntype commit\ntag x\ntagger a <a@b> 1 +0000\n\nx\n".encode())
    with seal.changing(place.sidecar, {ref: lines.decode().strip()}):
        place.sidecar.refs.change(ref, commit, lines.decode().strip())
    place.reopen()
    found = judged(place)[one.id]
    assert [p.kind for p in found.problems] == ["wrong-signature"]
    assert "not signed" in found.problems[0].problem


def test_the_catalog_knows_who_signed_without_asking(place: Protected, key: Key) -> None:
    follow(place, key=str(key.path))
    one = take(place, "1").snapshot
    place.reopen()
    assert [s.signed_by for s in catalog.snapshots(place.sidecar)] == [one.signed_by] == [key.fingerprint]
