"""One snapshot read again: what its texts say against what is stored, each lie found and named."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace

import pytest

from gitsnap.core.events import SILENT
from gitsnap.core.manifest import format_manifest
from gitsnap.core.model import Entry, Inventory, Problem, Snapshot
from gitsnap.core.mtree import format_metadata
from gitsnap.core.stored_difference import Texts
from gitsnap.core.stored_text import Text
from gitsnap.ops.check import verify_snapshot as verify_snapshot_
from gitsnap.ops.check.verdict import Finding, Verdict
from gitsnap.ops.check.verify_snapshot import verify_snapshot
from gitsnap.ops.parallel.read_back import ReadBacks
from gitsnap.sidecar import contents
from gitsnap.sidecar.contents_in_order import ContentsInOrder
from tests.support.inprocess import Protected, workspace


class Told(Protected):
    """A snapshot whose texts say something else than what was stored."""

    taken: Snapshot
    inventory_: Inventory

    def verify_telling(
        self,
        monkeypatch: pytest.MonkeyPatch,
        metadata: Callable[[list[Entry]], None] = lambda _: None,
        manifest: Callable[[list[Entry]], None] = lambda _: None,
        partial: list[Problem] | None = None,
    ) -> Verdict:
        def told(change: Callable[[list[Entry]], None]) -> Inventory:
            entries = [replace(e) for e in self.inventory_.entries]
            change(entries)
            return replace(self.inventory_, entries=entries, partial=partial or [])

        texts = format_metadata(told(metadata)), format_manifest(told(manifest))
        monkeypatch.setattr(contents, "metadata_text", lambda *_: texts[0])
        monkeypatch.setattr(contents, "manifest_text", lambda *_: texts[1])
        both = contents.Opened(Texts(Text.of(texts[1]), Text.of(texts[0])), b"", b"")
        monkeypatch.setattr(contents, "opened", lambda *_: nullcontext(both))
        return verify_snapshot(self.sidecar, self.taken, ReadBacks(), SILENT)


@pytest.fixture
def told() -> Iterator[Told]:
    with workspace() as top:
        root = top / "app"
        (root / "d").mkdir(parents=True)
        (root / "d/f").write_text("one\n")
        (root / "g").write_text("two")
        (root / "l").symlink_to("g")
        os.chmod(root / "g", 0o755)
        with Told(root, top / "home") as place:
            place.taken = place.take().snapshot
            place.inventory_ = contents.inventory(place.sidecar, place.taken)
            yield place


def at(path: bytes, **changes: object) -> Callable[[list[Entry]], None]:
    def change(entries: list[Entry]) -> None:
        number = next(i for i, e in enumerate(entries) if e.path == path)
        entries[number] = replace(entries[number], **changes)  # type: ignore[arg-type]

    return change


def without(path: bytes) -> Callable[[list[Entry]], None]:
    return lambda entries: entries.remove(next(e for e in entries if e.path == path))


def test_what_is_true(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    # All three are read side by side, and nothing of them is held.
    monkeypatch.setattr(verify_snapshot_, "_in_full", None)
    verdict = told.verify_telling(monkeypatch)
    assert (verdict.problems, verdict.files, verdict.bytes, verdict.ok) == ([], 2, 7, True)


def test_trees_of_all_kinds_are_read_side_by_side(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that stand elsewhere in git's trees, or behind all others; what is in no tree, or in comments."""
    top = told.root
    for name in ("a", "a-b", "a.c", "a[1]", "a*", "a/x", ".git", ".git/config", "%2Egit", "empty", "a[1]/b?"):
        (top / name).mkdir() if name in ("a", "a[1]", ".git", "empty") else (top / name).write_text(name)
    os.mkfifo(top / "pipe")
    os.link(top / "a/x", top / "a[1]/other")
    os.setxattr(top / "a/x", "user.one", b"1")
    os.setxattr(top / "a[1]/b?", "user.two", b"2")
    taken = told.take().snapshot
    monkeypatch.setattr(verify_snapshot_, "_in_full", None)
    verdict = verify_snapshot(told.sidecar, taken, ReadBacks(), SILENT)
    assert (verdict.problems, verdict.files) == ([], taken.files)
    with contents.opened(told.sidecar, taken) as opened:
        stored = ContentsInOrder(told.sidecar.objects, taken, opened.texts)
        found = {e.path: (e.type, e.mode, e.size, e.oid, e.sha256) for e in stored.entries()}
        about = stored.end()
    whole = contents.inventory(told.sidecar, taken)
    assert found == {e.path: (e.type, e.mode, e.size, e.oid, e.sha256) for e in whole.entries}
    assert about.hardlinks == whole.hardlinks
    assert {e.path: e.xattrs for e in about.entries if e.xattrs} == {
        e.path: e.xattrs for e in whole.entries if e.xattrs
    }


def test_another_digest(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    right = told.inventory_.by_path()[b"d/f"].sha256
    assert right is not None
    verdict = told.verify_telling(monkeypatch, manifest=at(b"d/f", sha256=b"\1" * 32))
    wrong = Finding(b"d/f", "the content is not what the manifest says", (b"\1" * 32).hex(), right.hex())
    assert (verdict.problems, verdict.files, verdict.bytes, verdict.ok) == ([wrong], 1, 3, False)


def test_another_size(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    # Two sizes that are wrong together leave all counts right.
    def swapped(entries: list[Entry]) -> None:
        at(b"d/f", size=3)(entries)
        at(b"g", size=4)(entries)

    verdict = told.verify_telling(monkeypatch, swapped, swapped)
    assert [(p.path, p.problem.partition(" has ")[2]) for p in verdict.problems] == [
        (b"d/f", "4 bytes, not 3"),
        (b"g", "3 bytes, not 4"),
    ]
    assert (verdict.files, verdict.bytes) == (0, 0)


def test_another_target(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = told.verify_telling(monkeypatch, at(b"l", target=b"elsewhere\xff"))
    assert verdict.problems == [Finding(b"l", "the symlink's text differs", "elsewhere\\xff", "g")]


def test_another_mode(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = told.verify_telling(monkeypatch, at(b"g", mode=0o644))
    assert {p.path for p in verdict.problems} == {b"g"}


def test_what_one_of_the_texts_leaves_out(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = told.verify_telling(monkeypatch, manifest=without(b"g"))
    assert Finding(b"g", "the manifest does not name it") in verdict.problems
    verdict = told.verify_telling(monkeypatch, metadata=without(b"g"))
    assert {p.path for p in verdict.problems} == {b"", b"g"}
    assert Finding(b"g", "the manifest names it, the metadata does not") in verdict.problems


def test_a_link_that_only_the_tree_has(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """No count tells of it."""
    verdict = told.verify_telling(monkeypatch, metadata=without(b"l"))
    assert [p.path for p in verdict.problems] == [b"l"]


def test_what_is_said_to_be_partial(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = told.verify_telling(monkeypatch, partial=[Problem(b"p", "permission denied")])
    assert [p.problem for p in verdict.problems] == ["the commit and the metadata disagree about what is partial"]


def test_a_content_that_is_lost(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    for pack in (told.store / "objects/pack").glob("*.pack"):
        data = bytearray(pack.read_bytes())
        for i in range(12, len(data) - 20):
            data[i] ^= 0xFF
        os.chmod(pack, 0o600)
        pack.write_bytes(data)
    told.reopen()
    verdict = verify_snapshot(told.sidecar, told.taken, ReadBacks(), SILENT)
    assert not verdict.ok
    assert (verdict.files, verdict.bytes) == (0, 0)


def test_what_was_found_damaged_before_is_damaged_here(told: Told) -> None:
    entry = told.inventory_.by_path()[b"g"]
    assert entry.oid is not None
    assert entry.sha256 is not None
    known = ReadBacks()
    known[entry.oid] = "it cannot be read"
    verdict = verify_snapshot(told.sidecar, told.taken, known, SILENT)
    assert verdict.problems == [Finding(b"g", "it cannot be read", entry.sha256.hex())]
    assert (verdict.files, verdict.bytes, verdict.ok) == (1, 4, False)
