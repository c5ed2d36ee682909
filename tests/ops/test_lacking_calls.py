"""Under a kernel, or in a sandbox, that lacks system calls: the same result, or what is missing is named."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping

import pytest

from gitsnap.core.model import Problem
from gitsnap.installation import disk
from gitsnap.ops.restore.result import Restored
from tests.support.inprocess import Protected, workspace
from tests.support.installation import build_app, copy_tree, same_tree, upgrade
from tests.support.processes import in_child
from tests.support.seccomp import XATTRS, take_away

_NEWER = ("renameat2", "openat2", "statx", "memfd_create", "copy_file_range", "pidfd_open")
_LACKING = {
    "an old kernel": dict.fromkeys(_NEWER, errno.ENOSYS),
    # What a sandbox says that does not know of a call; of renameat2 they all know.
    "a sandbox": dict.fromkeys(_NEWER[1:], errno.EPERM),
    "flags that a file system lacks": {"renameat2": errno.EINVAL, "O_TMPFILE": errno.EOPNOTSUPP},
    "sendfile": {"sendfile": errno.EINVAL, "copy_file_range": errno.EXDEV},
}


@pytest.fixture
def place() -> Iterator[Protected]:
    with workspace() as top, Protected(build_app(top / "app"), top / "home") as found:
        yield found


@pytest.mark.parametrize("lacking", _LACKING.values(), ids=_LACKING)
def test_kept_and_brought_back(place: Protected, lacking: Mapping[str, int]) -> None:
    original = copy_tree(place.root, place.root.parent / "original")

    def work() -> Restored:
        take_away(lacking)
        before = place.take()
        upgrade(place.root)
        back = place.rollback(before.snapshot.id)
        place.assert_sound()
        return back

    back = in_child(work)
    assert (back.applied, back.verified, back.incomplete) == (True, True, [])
    same_tree(original, place.root)


def test_a_c_library_without_a_wrapper(place: Protected, monkeypatch: pytest.MonkeyPatch) -> None:
    """As most versions of musl are."""
    original = copy_tree(place.root, place.root.parent / "original")
    monkeypatch.setattr(disk, "_renameat2", None)
    before = place.take().snapshot.id
    upgrade(place.root)
    assert place.rollback(before).verified
    same_tree(original, place.root)


def test_without_extended_attributes(place: Protected) -> None:
    """What cannot be set is named; what is there without them is kept."""
    (place.root / "marked").write_text("of the vendor\n")
    os.setxattr(place.root / "marked", "user.origin", b"vendor")
    before = place.take().snapshot.id
    upgrade(place.root)
    (place.root / "marked").unlink()

    def work() -> tuple[Restored, list[Problem]]:
        take_away(dict.fromkeys(XATTRS, errno.ENOTSUP))
        back = place.rollback(before)
        return back, place.take().partial

    back, partial = in_child(work)
    told = [(p.path, p.reason) for p in back.incomplete]
    assert (told, partial) == ([(b"marked", "extended attribute user.origin: not permitted")], [])
    assert (place.root / "marked").read_text() == "of the vendor\n"


def test_the_filter_takes_away() -> None:
    """Otherwise everything above would pass in any case."""

    def work() -> list[int | bool | None]:
        take_away({"renameat2": errno.ENOSYS, "O_TMPFILE": errno.EOPNOTSUPP, "getxattr": errno.ENOTSUP})
        with tempfile.TemporaryDirectory() as top:
            fd = os.open(top, os.O_RDONLY)
            return [
                _code(lambda: disk._rename(fd, b"a", fd, b"b", 1)) in (errno.ENOSYS, errno.EINVAL),
                _code(lambda: os.open(top, os.O_TMPFILE | os.O_RDWR)),
                _code(lambda: os.getxattr(top, "user.a")),
                _code(lambda: os.stat(top)),
            ]

    assert in_child(work) == [True, errno.EOPNOTSUPP, errno.ENOTSUP, None]


def _code(call: Callable[[], object]) -> int | None:
    try:
        call()
    except OSError as error:
        return error.errno
    return None
