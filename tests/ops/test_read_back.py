"""What a server says to have taken is believed when it comes back: servers here drop objects and refs, by hooks."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gitsnap.core.errors import GitsnapError, IntegrityError, UsageError
from gitsnap.core.remote import HEADS, Remote
from gitsnap.ops.remote.push import Pushed, PushOptions, push
from gitsnap.ops.remote.read_back import ReadBack, ReadBackOptions
from tests.support.inprocess import Protected, bare_git, workspace

_FILES = 40


@dataclass
class Scene:
    """An installation of some directories, and a repository elsewhere."""

    here: Protected
    there: Path
    url: str

    def take(self, number: int) -> str:
        (self.here.root / "dir" / f"f{number % 3}").write_text(f"text {number}\n")
        return self.here.take().snapshot.id

    def push(self, *, verify: bool = True, everything: bool = False, **how: str) -> Pushed:
        back = ReadBackOptions(everything) if verify else None
        remote = Remote("there", self.url, **how)  # type: ignore[arg-type]
        return push(self.here.sidecar, remote, self.here.settings, PushOptions(self.here.now, read_back=back))

    def lie(self, script: str) -> None:
        """After everything that it takes from now on, the server runs this, and answers that all is well."""
        hook = self.there / "hooks/post-receive"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\n{script}\n")
        hook.chmod(0o755)

    def drop(self, what: str) -> None:
        """An object is gone over there."""
        oid = bare_git(self.there, "rev-parse", what).decode().strip()
        for pack in list((self.there / "objects/pack").glob("*.pack")):
            moved = pack.rename(self.there / "moved")
            pack.with_suffix(".idx").unlink()
            with moved.open("rb") as file:
                subprocess.run(["git", "--git-dir", self.there, "unpack-objects", "-q"], stdin=file, check=True)
        (self.there / "objects" / oid[:2] / oid[2:]).unlink()


@pytest.fixture(params=["directory", "ssh"])
def scene(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    with workspace() as top:
        (top / "app/dir").mkdir(parents=True)
        for number in range(_FILES):
            (top / f"app/dir/f{number}").write_text(f"{number}\n")
        subprocess.run(["git", "init", "-q", "--bare", top / "there.git"], check=True)
        if request.param == "ssh":
            (top / "ssh").write_text('#!/bin/sh\nwhile [ $# -gt 1 ]; do shift; done\nexec sh -c "$1"\n')
            (top / "ssh").chmod(0o755)
            monkeypatch.setenv("GIT_SSH_COMMAND", shlex.quote(str(top / "ssh")))
        url = {"directory": "", "ssh": "ssh://host.example"}[request.param] + str(top / "there.git")
        with Protected(top / "app", top / "home") as here:
            yield Scene(here, top / "there.git", url)


@pytest.mark.parametrize("how", [{}, {"refspec": HEADS}, {"installation": "web/shop"}], ids=["own", "heads", "many"])
def test_an_honest_server_is_read_back_and_nothing_twice(scene: Scene, how: dict[str, str]) -> None:
    def pushed(*, everything: bool = False) -> ReadBack:
        back = scene.push(everything=everything, **how).read_back
        assert back is not None
        return back

    first, second = scene.take(0), scene.take(1)
    assert pushed().snapshots == [first, second]
    # The third is the first again: the server leaves out what it knows us to have.
    (scene.here.root / "dir/f1").write_text("1\n")
    third = scene.take(0)
    few = pushed()
    assert few.snapshots == [third]
    assert few.objects < _FILES
    assert pushed() == ReadBack()
    every = pushed(everything=True)
    assert every.snapshots == [first, second, third] and every.objects > few.objects
    assert not list(Path(scene.here.sidecar.scratch).iterdir())


def test_what_was_dropped_at_once_does_not_come_back(scene: Scene) -> None:
    scene.take(0)
    scene.push()
    name = scene.take(1)
    scene.lie(f"git update-ref -d refs/gitsnap/snapshots/{name}")
    with pytest.raises(IntegrityError, match=f"has said to have taken snapshot {name}, and does not have it"):
        scene.push(verify=False)
    (scene.there / "hooks/post-receive").unlink()
    again = scene.push(verify=False)
    assert again.snapshots == [name] and again.lost == [name]
    assert not scene.push().lost


def test_a_ref_that_is_dropped_last_of_all_is_missed_when_it_is_read_back(scene: Scene) -> None:
    name = scene.take(0)
    scene.lie(f"! git rev-parse -q --verify refs/heads/timeline || git update-ref -d refs/gitsnap/snapshots/{name}")
    with pytest.raises(IntegrityError, match=f"has said to have taken refs/gitsnap/snapshots/{name}"):
        scene.push()
    (scene.there / "hooks/post-receive").unlink()
    assert scene.push().snapshots == [name]


@pytest.mark.parametrize("verify", [False, True])
def test_objects_that_were_dropped_show_in_the_timeline(scene: Scene, verify: bool) -> None:
    scene.take(0)
    scene.lie("rm -rf objects/??/* objects/pack/*")
    for _ in range(2):
        with pytest.raises(IntegrityError, match="does not have all that it said to have taken"):
            scene.push(verify=verify)


@pytest.mark.parametrize("lost", ["dir/f1", "dir"])
def test_one_object_that_was_lost_later_is_missed(scene: Scene, lost: str) -> None:
    name = scene.take(0)
    assert scene.push(verify=False).snapshots == [name]
    scene.drop(f"refs/gitsnap/snapshots/{name}:{lost}")
    assert not scene.push(verify=False).refs
    with pytest.raises(GitsnapError, match="said to have taken") as told:
        scene.push()
    assert "the copy there is not whole" in (told.value.hint or "")
    with pytest.raises(GitsnapError, match="said to have taken"):
        scene.push()


def test_what_was_read_back_and_lost_since_is_missed_when_everything_is_read(scene: Scene) -> None:
    name = scene.take(0)
    scene.push()
    scene.drop(f"refs/gitsnap/snapshots/{name}:dir/f1")
    scene.push()
    with pytest.raises(GitsnapError, match="said to have taken"):
        scene.push(everything=True)
    # It stays known, and what was read back before counts no more.
    assert "said to have taken" in scene.push(verify=False).doubt
    with pytest.raises(GitsnapError, match="said to have taken"):
        scene.push()
    for path in (scene.there / "objects").iterdir():
        shutil.rmtree(path)
    shutil.copytree(Path(scene.here.sidecar.path) / "objects", scene.there / "objects", dirs_exist_ok=True)
    assert scene.push().read_back and not scene.push(verify=False).doubt


def test_a_manifest_that_was_lost_is_missed(scene: Scene) -> None:
    name = scene.take(0)
    scene.push(verify=False)
    commit = bare_git(scene.there, "rev-parse", f"refs/gitsnap/snapshots/{name}").decode().strip()
    note = bare_git(scene.there, "notes", "--ref=gitsnap/manifest", "list", commit).decode().strip()
    scene.drop(note)
    with pytest.raises(GitsnapError, match="said to have taken"):
        scene.push()


def test_a_folder_of_bundles_is_none_to_read_back(scene: Scene) -> None:
    remote = Remote("b", f"bundles:{scene.there}")
    with pytest.raises(UsageError, match="while it is written"):
        push(
            scene.here.sidecar,
            remote,
            scene.here.settings,
            PushOptions(scene.here.now, read_back=ReadBackOptions()),
        )


def test_a_push_that_needs_what_was_lost_is_told_what_to_do(scene: Scene) -> None:
    name = scene.take(0)
    scene.push(verify=False)
    scene.drop(f"refs/gitsnap/snapshots/{name}:dir/f1")
    scene.take(3)
    with pytest.raises(GitsnapError, match="missing necessary objects") as told:
        scene.push(verify=False)
    assert "the copy there is not whole" in (told.value.hint or "")
