"""A merge changes what it is about, and nothing else: not what others write to meanwhile, there and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from gitsnap.core.errors import GitsnapError, NoSuchSnapshotError, PendingRecoveryError
from gitsnap.core.model import Kind
from gitsnap.installation.disk import Disk
from gitsnap.ops.capture.request import Request
from gitsnap.ops.restore import merge, recover, rollback, undo
from gitsnap.ops.restore.merge import MergeOptions, MergeResult
from gitsnap.ops.restore.result import Direction
from gitsnap.ops.restore.rollback import RollbackOptions
from tests.support.inprocess import Protected, workspace


@pytest.fixture
def place() -> Iterator[Protected]:
    """After an upgrade of `code`, which brought `new`; `log` and `data` are nobody's but their writers'."""
    with workspace() as top:
        app = top / "app"
        app.mkdir()
        for name in ("code", "log", "data", "idle"):
            (app / name).write_text("1\n")
        with Protected(app, top / "home") as found:
            found.take(Request(Kind.PRE, upgrade="u"))
            (app / "code").write_text("2\n")
            (app / "new").write_text("2\n")
            found.take(Request(Kind.POST, upgrade="u"))
            yield found


def keep_edits(place: Protected, meanwhile: Callable[[], object] = lambda: None) -> MergeResult:
    """Undo the upgrade; `meanwhile` comes between the look at the directory and what follows from it."""

    def confirm(_: object) -> bool:
        meanwhile()
        return True

    return merge.keep_edits(place.sidecar, None, place.settings, MergeOptions(place.now, confirm=confirm))


def write(place: Protected, **texts: str) -> None:
    for name, text in texts.items():
        (place.root / name).write_text(text)


def held(place: Protected) -> dict[str, str]:
    return {p.name: p.read_text() for p in place.root.iterdir()}


def inodes(place: Protected) -> dict[str, int]:
    return {n: (place.root / n).stat().st_ino for n in ("log", "data", "idle")}


def test_what_others_write_to_is_left_alone_and_named(place: Protected) -> None:
    before = inodes(place)
    done = keep_edits(place, lambda: write(place, log="later\n", came="later\n"))
    assert done.restored is not None
    assert (done.restored.verified, done.restored.incomplete) == (True, [])
    assert done.restored.left_alone == [b"came", b"log"]
    assert held(place) == {"code": "1\n", "log": "later\n", "data": "1\n", "idle": "1\n", "came": "later\n"}
    assert inodes(place) == before


def test_undo_takes_back_what_the_merge_changed_and_no_more(place: Protected) -> None:
    before = inodes(place)
    keep_edits(place, lambda: write(place, log="later\n"))
    write(place, log="much later\n", data="later\n")
    for step, code in ((undo.undo, "2\n"), (undo.redo, "1\n"), (undo.undo, "2\n")):
        done = step(place.sidecar, place.settings, RollbackOptions(place.now))
        assert done.verified
        assert held(place).get("code") == code
        assert ("new" in held(place)) is (code == "2\n")
        assert (held(place)["log"], held(place)["data"]) == ("much later\n", "later\n")
    assert inodes(place) == before


def test_where_the_merged_state_is_gone_undo_says_what_is_left(place: Protected) -> None:
    done = keep_edits(place)
    assert done.snapshot is not None
    place.delete(done.snapshot.id)
    with pytest.raises(NoSuchSnapshotError, match="not known any more") as refused:
        undo.undo(place.sidecar, place.settings, RollbackOptions(place.now))
    assert "gitsnap rollback" in str(refused.value.hint)


@pytest.mark.parametrize("name", ["code", "new"])
def test_what_was_changed_again_is_not_replaced(place: Protected, name: str) -> None:
    taken = len(place.snapshots())
    with pytest.raises(GitsnapError, match="changed again") as refused:
        keep_edits(place, lambda: write(place, **{name: "mine, just now\n"}))
    assert refused.value.path == name.encode()
    assert held(place)[name] == "mine, just now\n"
    assert len(place.snapshots()) == taken


class Failing(Disk):
    """No more moves from the nth on."""

    def __init__(self, left: int) -> None:
        super().__init__()
        self._left = left

    def _check(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise OSError(30, "Read-only file system")

    def move(self, *args: object) -> None:
        self._check()
        super().move(*args)  # type: ignore[arg-type]

    def exchange(self, *args: object) -> None:
        self._check()
        super().exchange(*args)  # type: ignore[arg-type]


@pytest.mark.parametrize("way", [Direction.FINISH, Direction.REVERT])
def test_one_that_broke_off_waits_with_both_causes_and_is_settled_without_touching_the_rest(
    place: Protected, way: Direction, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = inodes(place)
    real = rollback.RollbackOptions

    def failing(*args: object, **more: object) -> object:
        return real(*args, disk=Failing(1), **more)  # type: ignore[arg-type]

    monkeypatch.setattr(rollback, "RollbackOptions", failing)
    with pytest.raises(PendingRecoveryError, match="putting everything back failed as well: Read-only"):
        keep_edits(place)
    monkeypatch.undo()
    # The state that it was to lead to is still there.
    assert any(s.label == "merged" for s in place.snapshots())
    write(place, log="later\n")
    done = recover.recover(place.sidecar, way, place.settings, RollbackOptions(place.now))
    assert (done.verified, done.incomplete) == (True, [])
    code = "1\n" if way is Direction.FINISH else "2\n"
    assert (held(place)["code"], held(place)["log"]) == (code, "later\n")
    assert inodes(place) == before


def test_a_side_that_left_something_out_says_nothing_of_it(place: Protected) -> None:
    """The upgrade brought the rule that hid it from the second snapshot; it is no file that the upgrade removed."""
    (place.root / ".gitsnapignore").write_text("cache\n")
    write(place, cache="1\n")
    pre = place.take(Request(Kind.PRE, upgrade="v")).snapshot
    (place.root / ".gitsnapignore").unlink()
    write(place, code="3\n")
    place.take(Request(Kind.POST, upgrade="v"))
    assert pre.upgrade == "v"
    keep_edits(place)
    assert held(place)["cache"] == "1\n"
    assert held(place)["code"] == "2\n"


def test_a_file_that_is_written_while_a_rollback_is_at_work_is_named_and_no_failure(place: Protected) -> None:
    first = place.snapshots()[0].id

    class Writing(Disk):
        def exchange(self, *args: object) -> None:
            super().exchange(*args)  # type: ignore[arg-type]
            write(place, log="just now\n")

    done = rollback.rollback(place.sidecar, first, place.settings, RollbackOptions(place.now, disk=Writing()))
    assert done.verified
    assert [(p.path, p.reason) for p in done.incomplete] == [(b"log", "was written to meanwhile, and was left alone")]
    assert done.left_alone == [b"log"]
    assert held(place)["log"] == "just now\n"
