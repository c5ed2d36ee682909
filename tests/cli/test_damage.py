"""A damaged sidecar: every command works or says so with its code; none is ever wrong, none touches the directory."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cli.helpers import forked, refused
from tests.support.examples import examples
from tests.support.installation import copy_tree, run_gitsnap, same_tree, sidecar_of, take_snapshot

FILES = ("a.txt", "lib/b.bin", "lib/c", "lib/d")
# What the sidecar holds only for speed, for people, or for git: to lose it changes no answer.
HARMLESS = ("stat-cache", "verified", ".lock", "attributes", "description", "commit-graph", ".bitmap", ".rev", "/packs")


@dataclass
class Case:
    """A small installation, its sidecar, and what both were before the damage."""

    top: Path
    ids: list[str]

    @property
    def app(self) -> Path:
        return self.top / "app"

    @property
    def store(self) -> Path:
        return next((self.top / "home").iterdir())

    def run(self, *args: str | Path) -> tuple[int, bytes, bytes]:
        done = forked("-C", self.app, *args, home=self.top / "home")
        return done.returncode, done.stdout, done.stderr

    def mend(self) -> None:
        """Everything as it was before the damage."""
        shutil.rmtree(self.store)
        shutil.copytree(self.top / "whole", self.top / "home" / self._name(), symlinks=True)
        shutil.rmtree(self.app)
        shutil.copytree(self.top / "broken", self.app)
        shutil.rmtree(self.top / "out", ignore_errors=True)

    def _name(self) -> str:
        return (self.top / "name").read_text()


def contents(path: Path) -> dict[str, bytes]:
    """Every file's content and mode."""
    return {
        str(p.relative_to(path)): b"%o " % p.stat().st_mode + p.read_bytes() for p in path.rglob("*") if p.is_file()
    }


def build(top: Path, *, packed: bool) -> Case:
    app, home = top / "app", top / "home"
    (app / "lib").mkdir(parents=True)
    ids = []
    for number, name in enumerate(FILES[1:]):
        (app / "a.txt").write_text(f"state {number}\n" * 50)
        (app / name).write_bytes(os.urandom(3000))
        ids.append(take_snapshot(app, "--pin", "--label", f"n{number}", home=home))
        copy_tree(app, top / ids[-1])
    run_gitsnap("-C", app, "verify", "--all", home=home)
    if packed:
        run_gitsnap("-C", app, "gc", home=home)
    (app / "lib/b.bin").write_bytes(b"broken")
    (app / "new").write_bytes(b"new")
    shutil.copytree(app, top / "broken")
    store = sidecar_of(app, home)
    (top / "name").write_text(store.name)
    shutil.copytree(store, top / "whole", symlinks=True)
    return Case(top, ids)


@pytest.fixture(scope="module", params=[False, True], ids=["as taken", "after gc"])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    return build(tmp_path_factory.mktemp("damage"), packed=request.param)


def damage(path: Path, chance: random.Random) -> str:
    """Break a file in one of the ways that disks, hands and transfers break them."""
    data = bytearray(path.read_bytes())
    at = chance.randrange(len(data)) if data else 0
    how = chance.choice(["flip", "flip", "flip", "zeros", "truncate", "extend", "empty", "remove", "noise", "lines"])
    if how == "flip" and data:
        data[at] ^= 1 << chance.randrange(8)
    elif how == "zeros":
        data[at : at + 20] = bytes(len(data[at : at + 20]))
    elif how == "truncate":
        del data[at:]
    elif how == "extend":
        data += chance.randbytes(30)
    elif how == "empty":
        data.clear()
    elif how == "noise":
        data[at : at + 8] = chance.randbytes(len(data[at : at + 8]))
    elif how == "lines":
        lines = data.split(b"\n")
        chance.shuffle(lines)
        data = bytearray(b"\n".join(lines))
    path.chmod(0o600)
    path.write_bytes(data)
    if how == "remove":
        path.unlink()
    return f"{how} at {at} of {path.name}"


def commands(case: Case) -> list[tuple[str, ...]]:
    last = case.ids[-1]
    looks = [
        "list",
        "show",
        "ls latest",
        "find *",
        "log a.txt",
        "status",
        "diff",
        "diff latest~1 latest",
        "verify --all",
    ]
    more = [
        "verify --live",
        "doctor",
        "prune --keep-last 1 -n",
        f"pin {last}",
        f"unpin {last}",
        "delete latest~2",
        "gc",
    ]
    acts = ["snapshot", "init", "git log timeline", "rollback -n", "list-backups", "cleanup"]
    plain = [tuple(c.split()) for c in looks + more + acts]
    return [*plain, ("cat", last, "lib/c"), ("rollback", last, "-y"), ("restore", last, "--to", str(case.top / "out"))]


def check(case: Case, command: tuple[str, ...], context: str) -> None:
    """Run one command on whatever the sidecar is now, and hold it to its word."""
    before = contents(case.app)
    shutil.rmtree(case.top / "out", ignore_errors=True)
    code, out, err = case.run(*command)
    told = f"{context}: gitsnap {' '.join(command)}: exit {code}\n{err.decode(errors='replace')}"
    assert b"Traceback" not in err, told
    assert b"bug" not in err, told
    assert code in (0, 1, 2, 3, 10, 12) or (command[0] == "git" and code > 0), told
    if code not in (0, 3) and command[0] not in ("verify", "doctor", "git", "list", "list-backups"):
        # What could not be read on the way may be named before.
        assert re.match(rb"(?:warning: .*\n(?:  .*\n)*)*gitsnap: ", err), told
    wanted = contents(case.top / case.ids[-1])
    if command[0] == "rollback" and code == 0 and "-y" in command:
        assert contents(case.app) == wanted, told
    else:
        assert contents(case.app) == before, told
    if command[0] == "restore" and code == 0:
        assert contents(case.top / "out") == wanted, told
    if command[0] == "cat" and code == 0:
        assert out == (case.top / case.ids[-1] / "lib/c").read_bytes(), told


@pytest.mark.sampled
@pytest.mark.parametrize("seed", range(examples(12).max_examples))
def test_any_damage_to_any_file(case: Case, seed: int) -> None:
    chance = random.Random(seed)
    files = sorted(p.relative_to(case.top / "whole") for p in (case.top / "whole").rglob("*") if p.is_file())
    for _ in range(4):
        case.mend()
        name = chance.choice(files)
        what = damage(case.store / name, chance)
        for command in chance.sample(commands(case), 5):
            check(case, command, f"seed {seed}, {what}")


def test_a_flipped_bit_in_any_object_is_found(case: Case) -> None:
    """Objects by their place in the packs: contents, trees, manifests, metadata, notes, snapshots and the timeline."""
    kinds = set()
    for index in sorted((case.top / "whole/objects/pack").glob("*.idx")):
        listed = subprocess.run(["git", "verify-pack", "-v", index], capture_output=True, text=True, check=True).stdout
        needed = reachable(case)
        for line in listed.splitlines():
            match = re.match(r"([0-9a-f]{40}) (commit|tree|blob) +\d+ (\d+) (\d+)", line)
            if match is None or match[1] not in needed:
                continue
            kinds.add(match[2])
            case.mend()
            pack = case.store / "objects/pack" / index.with_suffix(".pack").name
            pack.chmod(0o600)
            data = bytearray(pack.read_bytes())
            data[int(match[4]) + int(match[3]) // 2] ^= 0x10
            pack.write_bytes(data)
            code, out, err = case.run("verify", "--all", "--json")
            assert code == 12, f"{match[2]} {match[1]}: exit {code}\n{out.decode()}{err.decode()}"
            assert b"Traceback" not in err
    assert kinds == {"commit", "tree", "blob"}


def reachable(case: Case) -> set[str]:
    """What refs need; the reflog's objects are of no use to anyone."""
    command = ["git", "--git-dir", case.top / "whole", "rev-list", "--objects", "--all", "--no-object-names"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def problems(case: Case, *args: str) -> list[dict[str, Any]]:
    code, out, _ = case.run("verify", "--json", *args)
    assert code == 12
    return [p for result in json.loads(out)["results"] for p in result["problems"]]


def test_a_damaged_content_is_named(case: Case) -> None:
    case.mend()
    command = ["git", "--git-dir", case.store, "rev-parse", f"refs/gitsnap/snapshots/{case.ids[0]}:lib/b.bin"]
    blob = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    for index in (case.store / "objects/pack").glob("*.idx"):
        listed = subprocess.run(["git", "verify-pack", "-v", index], capture_output=True, text=True, check=True).stdout
        if match := re.search(rf"{blob} blob +\d+ (\d+) (\d+)", listed):
            pack = index.with_suffix(".pack")
            pack.chmod(0o600)
            data = bytearray(pack.read_bytes())
            data[int(match[2]) + int(match[1]) // 2] ^= 1
            pack.write_bytes(data)
    found = problems(case, "--all")
    assert {p["path"] for p in found if p["path"]} == {"lib/b.bin"}
    # git's own digest of the pack is wrong as well.
    assert all(".pack" in p["problem"] for p in found if not p["path"])
    assert case.run("cat", case.ids[0], "lib/b.bin")[0] == 12
    before = contents(case.app)
    assert case.run("rollback", case.ids[0], "-y")[0] == 12
    assert contents(case.app) == before
    # What is whole is still to be had.
    assert case.run("cat", case.ids[0], "a.txt")[0] == 0


@pytest.mark.parametrize("value", ["garbage\n", "0" * 39 + "1\n", ""])
def test_a_lost_snapshot_hides_no_other(installation: Path, tmp_path: Path, value: str) -> None:
    good = take_snapshot(installation, "--label", "good")
    before = copy_tree(installation, tmp_path / "before")
    (installation / "bin/shop").write_bytes(b"changed")
    bad = take_snapshot(installation, "--label", "bad", "--pin")
    changed = copy_tree(installation, tmp_path / "changed")
    for kind in ("snapshots", "pins"):
        (sidecar_of(installation) / "refs/gitsnap" / kind / bad).write_text(value)
    listed = run_gitsnap("-C", installation, "list", check=12)
    assert good in listed.stdout
    assert f"damaged: {bad}" in listed.stderr
    report = json.loads(run_gitsnap("-C", installation, "list", "--json", check=12).stdout)
    assert [s["id"] for s in report["snapshots"]] == [good]
    assert [d["id"] for d in report["damaged"]] == [bad]
    assert "snapshots" in run_gitsnap("-C", installation, "doctor", check=1).stdout
    # Reading goes on, what cannot be told apart from the lost one aside.
    run_gitsnap("-C", installation, "cat", good, "bin/shop")
    run_gitsnap("-C", installation, "verify", good)
    run_gitsnap("-C", installation, "diff", good)
    run_gitsnap("-C", installation, "restore", good, "--to", tmp_path / "copy")
    same_tree(before, tmp_path / "copy")
    for selector in ("latest", bad, bad[:-1]):
        told = refused("-C", installation, "show", selector, code=12, kind="integrity")
        assert f"gitsnap -C {installation} delete {bad}" in told
    # So does all that does not need it, with a warning.
    for command in ("status", "find *", "log bin/shop", "prune -n", "prune", f"rollback {good} -n", "snapshot"):
        told = run_gitsnap("-C", installation, *command.split()).stderr
        assert f"warning: snapshot {bad} is damaged: its ref " in told, command
        assert f"gitsnap -C {installation} delete {bad}" in told, command
    same_tree(changed, installation)
    refused("-C", installation, "gc", code=12, kind="integrity")
    run_gitsnap("-C", installation, "rollback", good, "-y")
    same_tree(before, installation)
    assert run_gitsnap("-C", installation, "delete", bad).stdout == f"deleted {bad}\n"
    run_gitsnap("-C", installation, "rollback", good, "-y")
    same_tree(before, installation)
    run_gitsnap("-C", installation, "verify", "--all")
    assert run_gitsnap("-C", installation, "git", "fsck", "--full", "--strict").stderr == ""


def test_a_newer_format_is_left_alone(installation: Path) -> None:
    take_snapshot(installation)
    config = sidecar_of(installation) / "config"
    config.write_text(config.read_text().replace("formatVersion = 1", "formatVersion = 2"))
    before = {p: p.stat().st_mtime_ns for p in config.parent.rglob("*")}
    for command in ("list", "snapshot", "rollback -y", "gc", "init"):
        told = refused("-C", installation, *command.split(), code=1, kind="newer-format")
        assert "upgrade gitsnap" in told
    assert {p: p.stat().st_mtime_ns for p in config.parent.rglob("*")} == before


def test_a_config_without_a_format_is_damaged(installation: Path) -> None:
    take_snapshot(installation)
    config = sidecar_of(installation) / "config"
    whole = config.read_text()
    for text in ("", whole.replace("formatVersion = 1", "formatVersion = one"), whole.partition("[gitsnap]")[0]):
        config.write_text(text)
        for command in ("list", "snapshot", "rollback -y"):
            refused("-C", installation, *command.split(), code=12, kind="integrity")
    config.unlink()
    refused("-C", installation, "snapshot", code=10, kind="not-a-sidecar")
    config.write_text(whole)
    run_gitsnap("-C", installation, "verify", "--all")


def test_undo_takes_no_older_safety_snapshot_for_a_damaged_one(installation: Path, tmp_path: Path) -> None:
    good = take_snapshot(installation)
    for text in ("first", "second"):
        (installation / "new").write_text(text)
        safety = run_gitsnap("-C", installation, "rollback", good, "-y", "--json").stdout
    name = json.loads(safety)["safety_snapshot"]
    before = copy_tree(installation, tmp_path / "before")
    (sidecar_of(installation) / "refs/gitsnap/snapshots" / name).write_text("garbage\n")
    assert f"snapshot {name} is damaged" in refused("-C", installation, "undo", "-y", code=12, kind="integrity")
    same_tree(before, installation)
