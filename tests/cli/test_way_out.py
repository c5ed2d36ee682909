"""A damaged object in the newest snapshot: the way back to an older one, and out of the damage, whatever the object."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.helpers import forked
from tests.support.inprocess import bare_git
from tests.support.installation import copy_tree, same_tree, sidecar_of, take_snapshot


@dataclass
class Scene:
    """Two snapshots; the newer one's pack holds the objects that are to be damaged, by id: (kind, offset, length)."""

    top: Path
    good: str
    bad: str
    pack: str
    objects: dict[str, tuple[str, int, int]]

    @property
    def app(self) -> Path:
        return self.top / "app"

    @property
    def store(self) -> Path:
        return next(p for p in (self.top / "home").iterdir() if p.suffix == ".git")

    def run(self, *args: str) -> tuple[int, str]:
        done = forked("-C", self.app, *args, home=self.top / "home")
        told = done.stdout.decode() + done.stderr.decode()
        assert "Traceback" not in told, told
        assert " bug " not in told, told
        return done.returncode, told

    def damage(self, oid: str) -> None:
        """Everything as it was, but for some bytes of one object."""
        shutil.rmtree(self.top / "home")
        shutil.copytree(self.top / "whole", self.top / "home", symlinks=True)
        shutil.rmtree(self.app)
        copy_tree(self.top / "after", self.app)
        _, offset, length = self.objects[oid]
        path = self.store / "objects/pack" / self.pack
        path.chmod(0o600)
        data = bytearray(path.read_bytes())
        at = offset + length // 2
        data[at : at + 3] = bytes(b ^ 0xFF for b in data[at : at + 3])
        path.write_bytes(data)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    top = tmp_path_factory.mktemp("way-out")
    app, home = top / "app", top / "home"
    (app / "d/e").mkdir(parents=True)
    (app / "f").write_text("good\n")
    (app / "d/n").write_text("".join(f"{n}\n" for n in range(2000)))
    (app / "d/e/x").write_text("x\n")
    good = take_snapshot(app, "--label", "good", home=home)
    copy_tree(app, top / "before")
    (app / "d/n").write_text("".join(f"{n}\n" for n in range(1, 3000)))
    (app / "d/e/y").write_bytes(os.urandom(500))
    bad = take_snapshot(app, "--label", "bad", home=home)
    copy_tree(app, top / "after")
    store = sidecar_of(app, home)
    commit = bare_git(store, "rev-parse", f"refs/gitsnap/snapshots/{bad}").decode().strip()
    for index in (store / "objects/pack").glob("*.idx"):
        listed = bare_git(store, "verify-pack", "-v", str(index)).decode()
        rows = re.findall(r"(?m)^([0-9a-f]{40}) (commit|tree|blob) +\d+ (\d+) (\d+)$", listed)
        objects = {oid: (kind, int(offset), int(length)) for oid, kind, length, offset in rows}
        if commit in objects:
            shutil.copytree(home, top / "whole", symlinks=True)
            return Scene(top, good, bad, index.with_suffix(".pack").name, objects)
    raise AssertionError("no pack holds the newer snapshot")


@pytest.mark.parametrize("looked", [False, True], ids=["unaware", "after verify"])
def test_a_damaged_object_of_the_newest_blocks_no_way_back(scene: Scene, looked: bool) -> None:
    """Whichever object it is: an older snapshot comes back, the damaged one goes, and then all is whole again."""
    kinds = set()
    for oid, (kind, _, _) in scene.objects.items():
        kinds.add(kind)
        scene.damage(oid)
        context = f"{kind} {oid}"
        if looked:
            assert scene.run("verify", "--all")[0] == 12, context
        code, told = scene.run("rollback", scene.good, "-y")
        assert code == 0, f"{context}: {told}"
        same_tree(scene.top / "before", scene.app)
        code, told = scene.run("delete", scene.bad[:-1])
        assert code == 0, f"{context}: {told}"
        assert told.startswith(f"deleted {scene.bad}\n")
        (scene.app / "f").write_text("later\n")
        # What nobody has read yet may be in the safety snapshot as well; then gc says so.
        for command in ("snapshot", "gc", "verify --all")[: 3 if looked else 1]:
            code, told = scene.run(*command.split())
            assert code == 0, f"{context}: {command}: {told}"
    assert kinds == {"commit", "tree", "blob"}


def test_what_is_damaged_is_named(scene: Scene) -> None:
    """Snapshot, path and object; and what to type."""
    oid = bare_git(scene.top / "whole" / scene.store.name, "rev-parse", f"refs/gitsnap/snapshots/{scene.bad}:d/e")
    scene.damage(oid.decode().strip())
    code, told = scene.run("show", scene.bad)
    assert code == 12
    assert f"snapshot {scene.bad} is damaged: object {oid.decode().strip()} is damaged: " in told
    assert told.splitlines()[0].endswith("(d/e)")
    assert f"to give it up: gitsnap -C {scene.app} delete {scene.bad}" in told


def test_all_snapshots_damaged(scene: Scene) -> None:
    """They are not taken for none at all."""
    scene.damage(next(iter(scene.objects)))
    for path in (scene.store / "objects/pack").iterdir():
        path.unlink()
    for command in ("list", "show", "diff", "status", "rollback -n", "verify"):
        code, told = scene.run(*command.split())
        assert code == 12, f"{command}: {told}"
        assert "all 2 snapshots are damaged: " in told, command
        assert "no snapshots yet" not in told
    code, told = scene.run("list", "--json")
    assert (code, told.count('"problem"')) == (12, 2)
