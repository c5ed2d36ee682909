"""`recover.sh`, which lies in each sidecar: listing, checking and recovering with git, coreutils and a shell alone."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from gitsnap.sidecar import standalone
from tests.support.installation import (
    build_app,
    build_odd,
    copy_tree,
    differences,
    git,
    remove_tree,
    run_gitsnap,
    same_tree,
    sidecar_of,
    take_snapshot,
    upgrade,
)

SHELLS = {"sh": ["sh"], "busybox": ["busybox", "sh"], "dash": ["dash"]}
if Path(shutil.which("dash") or "").resolve() == Path(shutil.which("sh") or "/").resolve():
    # One shell under two names.
    del SHELLS["dash"]
pytestmark = pytest.mark.skipif(not shutil.which("setfattr"), reason="extended attributes take setfattr")


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> list[str]:
    name: str = request.param
    if not shutil.which(SHELLS[name][0]):
        pytest.skip(f"{name} is not installed")
    return SHELLS[name]


@dataclass
class Protected:
    """An odd tree as it was at its snapshot, the snapshot's id, and a sidecar whose directory is gone."""

    original: Path
    snapshot: str
    sidecar: Path


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Protected:
    base = tmp_path_factory.mktemp("odd")
    app, home = build_odd(base / "app"), base / "home"
    original = copy_tree(app, base / "original")
    snapshot = take_snapshot(app, home=home)
    sidecar = sidecar_of(app, home)
    upgrade(app)
    take_snapshot(app, home=home)
    remove_tree(app)
    return Protected(original, snapshot, sidecar)


@pytest.fixture
def small(tmp_path: Path) -> Protected:
    app, home = build_app(tmp_path / "app"), tmp_path / "home"
    return Protected(app, take_snapshot(app, "-m", "before 2.0", home=home), sidecar_of(app, home))


def recover(sidecar: Path, *args: str | Path, shell: list[str] | None = None, **environ: str) -> tuple[int, str, str]:
    """Run the script that lies in the sidecar; its exit code and what it said."""
    done = subprocess.run(
        [*(shell or ["sh"]), sidecar / "recover.sh", *args],
        capture_output=True,
        env=os.environ | environ,
        encoding="utf-8",
        errors="surrogateescape",
    )
    return done.returncode, done.stdout, done.stderr


def tree_of(sidecar: Path) -> dict[str, bytes]:
    """All files of a sidecar, but for those that only say when somebody looked."""
    return {str(path.relative_to(sidecar)): path.read_bytes() for path in sidecar.rglob("*") if path.is_file()}


def test_everything_comes_back(odd: Protected, tmp_path: Path, shell: list[str]) -> None:
    before = tree_of(odd.sidecar)
    code, listed, _ = recover(odd.sidecar, "list", shell=shell)
    assert code == 0 and listed.split()[0] == odd.snapshot and len(listed.splitlines()) == 2
    code, told, said = recover(odd.sidecar, "restore", odd.snapshot, tmp_path / "tree", shell=shell)
    assert (code, said) == (0, "") and odd.snapshot in told
    same_tree(odd.original, tmp_path / "tree")
    assert tree_of(odd.sidecar) == before


def test_check_reads_every_byte_and_leaves_nothing(small: Protected, tmp_path: Path, shell: list[str]) -> None:
    room = tmp_path / "room"
    room.mkdir()
    code, told, said = recover(small.sidecar, "check", shell=shell, TMPDIR=str(room))
    assert (code, told, said) == (0, f"{small.snapshot} is whole\n", "")
    assert list(room.iterdir()) == []


def test_a_mirror_will_do(small: Protected, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--mirror", str(small.sidecar), "mirror.git")
    git(tmp_path / "mirror.git", "gc", "-q", "--prune=now")
    shutil.copy(small.sidecar / "recover.sh", tmp_path)
    code, _, said = recover(tmp_path, "-r", tmp_path / "mirror.git", "restore", small.snapshot, tmp_path / "tree")
    assert (code, said) == (0, "")
    same_tree(small.original, tmp_path / "tree")


def fed(sidecar: Path, data: bytes, *command: str) -> str:
    """What stock git prints when it gets `data`."""
    given = ["git", "-c", "user.name=Tester", "-c", "user.email=tester@example.org", "--git-dir", sidecar, *command]
    return subprocess.run(given, input=data, check=True, capture_output=True).stdout.decode().strip()


def loosen(sidecar: Path) -> None:
    """Unpack all objects, so that a single one can be damaged."""
    packs = list((sidecar / "objects/pack").glob("*.pack"))
    for pack in packs:
        data = pack.read_bytes()
        for part in (sidecar / "objects/pack").glob(f"{pack.stem}.*"):
            part.unlink()
        subprocess.run(["git", "--git-dir", sidecar, "unpack-objects", "-q"], input=data, check=True)


def damage(sidecar: Path, name: str) -> None:
    """Cut the loose object `name` (as git reads it) short."""
    (found,) = git(sidecar, "rev-parse", name).stdout.decode().split()
    path = sidecar / "objects" / found[:2] / found[2:]
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-4])


@pytest.mark.parametrize("options", [["--refspec", "heads"], ["--installation", "web 1/shop"]])
def test_what_was_pushed_will_do_whatever_it_is_called_there(
    small: Protected, tmp_path: Path, shell: list[str], options: list[str]
) -> None:
    home, there = tmp_path / "home", tmp_path / "there.git"
    take_snapshot(small.original, "-m", "\x1b[31mred", home=home)
    git(tmp_path, "init", "-q", "--bare", str(there))
    run_gitsnap("-C", str(small.original), "remote", "add", "o", str(there), *options, home=home)
    run_gitsnap("-C", str(small.original), "push", "-q", home=home)
    which = ["-r", there, *(["-i", "web%201/shop"] if "--installation" in options else [])]
    code, listed, _ = recover(small.sidecar, *which, "list", shell=shell)
    assert code == 0 and len(listed.splitlines()) == 2 and "?[31mred" in listed and "\x1b" not in listed
    code, whole, said = recover(small.sidecar, *which, "check", shell=shell)
    assert (code, len(whole.splitlines()), said) == (0, 2, "")
    assert recover(small.sidecar, *which, "restore", small.snapshot, tmp_path / "tree", shell=shell)[0] == 0
    same_tree(small.original, tmp_path / "tree")
    wrong = recover(small.sidecar, "-r", there, "-i", "web/nope", "check", shell=shell)
    assert wrong[0] == 2 and "there is no installation web/nope" in wrong[2]
    if "--installation" in options:
        left_open = recover(small.sidecar, "-r", there, "check", shell=shell)
        assert left_open[0] == 2 and left_open[2].endswith("web%201/shop\n")


def test_no_snapshots_are_not_whole_snapshots(small: Protected, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", str(tmp_path / "empty.git"))
    code, whole, said = recover(small.sidecar, "-r", tmp_path / "empty.git", "check")
    assert (code, whole) == (1, "") and "there are no snapshots in" in said


def test_of_a_damaged_snapshot_what_is_whole_comes_back(small: Protected, tmp_path: Path, shell: list[str]) -> None:
    loosen(small.sidecar)
    snapshot = f"refs/gitsnap/snapshots/{small.snapshot}"
    damage(small.sidecar, f"{snapshot}:config/shop.ini")
    code, told, said = recover(small.sidecar, "check", shell=shell)
    assert code == 3 and "config/shop.ini" in said and "whole" not in told
    code, _, said = recover(small.sidecar, "restore", small.snapshot, tmp_path / "tree", shell=shell)
    assert code == 3 and "config/shop.ini" in said
    (tmp_path / "expected").mkdir()
    expected = copy_tree(small.original, tmp_path / "expected/app")
    for name in ("shop.ini", "shop.default"):  # one file under two names
        (expected / "config" / name).unlink()
    os.utime(expected / "config", ns=(0, (small.original / "config").stat().st_mtime_ns))
    assert differences(expected, tmp_path / "tree") == ""


def test_a_damaged_directory_costs_itself_alone(small: Protected, tmp_path: Path, shell: list[str]) -> None:
    loosen(small.sidecar)
    damage(small.sidecar, f"refs/gitsnap/snapshots/{small.snapshot}:config")
    code, _, said = recover(small.sidecar, "restore", small.snapshot, tmp_path / "tree", shell=shell)
    assert code == 3 and '"config/" is damaged' in said
    lost = {str(p.relative_to(small.original)) for p in small.original.rglob("*") if p.is_file()} - {
        str(p.relative_to(tmp_path / "tree")) for p in (tmp_path / "tree").rglob("*") if p.is_file()
    }
    assert lost == {str(p.relative_to(small.original)) for p in (small.original / "config").rglob("*") if p.is_file()}


@pytest.mark.parametrize("text", ["manifest", "metadata"])
def test_contents_come_back_without_their_lists(small: Protected, tmp_path: Path, text: str) -> None:
    loosen(small.sidecar)
    commit = git(small.sidecar, "rev-parse", f"refs/gitsnap/snapshots/{small.snapshot}").stdout.decode().strip()
    damage(small.sidecar, git(small.sidecar, "notes", f"--ref=gitsnap/{text}", "list", commit).stdout.decode().strip())
    code, _, said = recover(small.sidecar, "restore", small.snapshot, tmp_path / "tree")
    assert code == 3 and f"its {text} is damaged" in said
    for path in small.original.rglob("*"):
        if path.is_file():
            assert (tmp_path / "tree" / path.relative_to(small.original)).read_bytes() == path.read_bytes()


def test_contents_that_are_not_the_manifests_are_told(small: Protected, tmp_path: Path) -> None:
    """A commit over another tree, as somebody would make one who changes a file: the list is not its list."""
    snapshot = f"refs/gitsnap/snapshots/{small.snapshot}"
    blob = fed(small.sidecar, b"changed\n", "hash-object", "-w", "--stdin")
    environ = {"GIT_INDEX_FILE": str(tmp_path / "index")}
    for command in (["read-tree", snapshot], ["update-index", "--cacheinfo", f"100644,{blob},config/shop.ini"]):
        subprocess.run(["git", "--git-dir", small.sidecar, *command], env=os.environ | environ, check=True)
    written = subprocess.run(
        ["git", "--git-dir", small.sidecar, "write-tree"], env=os.environ | environ, check=True, capture_output=True
    ).stdout.decode()
    old = git(small.sidecar, "cat-file", "commit", snapshot).stdout
    data = old.replace(old.split()[1], written.strip().encode(), 1)
    commit = fed(small.sidecar, data, "hash-object", "-t", "commit", "-w", "--stdin")
    for text in ("manifest", "metadata"):
        git(small.sidecar, "notes", f"--ref=gitsnap/{text}", "copy", snapshot, commit)
    git(small.sidecar, "update-ref", snapshot, commit)
    code, _, said = recover(small.sidecar, "check", small.snapshot)
    assert code == 3 and "config/shop.ini" in said


def test_metadata_that_leads_outside_changes_nothing_there(small: Protected, tmp_path: Path) -> None:
    victim = tmp_path / "outside/victim"
    victim.parent.mkdir()
    victim.write_text("not yours")
    victim.chmod(0o600)
    (small.original / "way").symlink_to(victim.parent)
    snapshot = take_snapshot(small.original, home=tmp_path / "home")
    reference = f"refs/gitsnap/snapshots/{snapshot}"
    text = git(small.sidecar, "notes", "--ref=gitsnap/metadata", "show", reference).stdout
    for line in (
        b"./way/victim type=file mode=0777 uid=0 gid=0",
        b"./../outside/victim type=file mode=0777 uid=0 gid=0",
    ):
        text += line + b" time=1.000000000 size=9\n"
    blob = fed(small.sidecar, text, "hash-object", "-w", "--stdin")
    git(small.sidecar, "notes", "--ref=gitsnap/metadata", "add", "-f", "-C", blob, reference)
    code, _, said = recover(small.sidecar, "restore", snapshot, tmp_path / "tree")
    assert code == 3 and said.count("leads outside") >= 2
    assert victim.stat().st_mode & 0o777 == 0o600


def test_nothing_that_the_repository_is_configured_to_run_runs(small: Protected, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    command = tmp_path / "command"
    command.write_text(f"#!/bin/sh\ntouch {ran}\n")
    command.chmod(0o755)
    for name in ("core.fsmonitor", "core.pager", "core.editor", "filter.x.smudge", "core.alternateRefsCommand"):
        git(small.sidecar, "config", name, str(command))
    hooks = small.sidecar / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("post-checkout", "post-index-change", "reference-transaction"):
        shutil.copy(command, hooks / name)
    (small.sidecar / "info/attributes").write_text("* filter=x\n")
    git(small.sidecar, "config", "core.hooksPath", str(hooks))
    assert recover(small.sidecar, "restore", small.snapshot, tmp_path / "tree")[0] == 0
    assert not ran.exists()
    same_tree(small.original, tmp_path / "tree")


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        ([], 2, "usage"),
        (["restore", "2"], 2, "usage"),
        (["check", "1999"], 1, "there is no snapshot 1999"),
        (["restore", "2", "FULL"], 2, "is not empty"),
        (["restore", "2", "FILE"], 2, "is not a directory"),
    ],
)
def test_what_is_wrong_is_said(small: Protected, tmp_path: Path, args: list[str], code: int, said: str) -> None:
    (tmp_path / "file").write_text("")
    places = {"FULL": str(small.original), "FILE": str(tmp_path / "file")}
    found = recover(small.sidecar, *[places.get(arg, arg) for arg in args])
    assert found[0] == code and said in found[2]


def test_an_id_that_two_begin_with_is_not_taken(small: Protected, tmp_path: Path) -> None:
    take_snapshot(small.original, home=tmp_path / "home")
    code, _, said = recover(small.sidecar, "restore", "2", tmp_path / "tree")
    assert code == 1 and "may be" in said and not (tmp_path / "tree").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root to become somebody else")
def test_an_ordinary_user_gets_all_but_the_owners(small: Protected, tmp_path: Path) -> None:
    mirror = tmp_path / "mirror.git"
    git(tmp_path, "clone", "-q", "--mirror", str(small.sidecar), str(mirror))
    shutil.copy(small.sidecar / "recover.sh", mirror)
    subprocess.run(["chown", "-R", "65534:65534", mirror], check=True)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == 0 and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    tmp_path.chmod(0o777)
    done = subprocess.run(
        ["sh", mirror / "recover.sh", "restore", small.snapshot, tmp_path / "tree"],
        user=65534,
        group=65534,
        extra_groups=[],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 3 and "only root can give it back" in done.stderr
    found = differences(small.original, tmp_path / "tree", "--no-owner", "--no-group")
    assert found == ""


def test_sidecars_of_before_get_both_files_and_changed_ones_are_replaced(small: Protected, tmp_path: Path) -> None:
    (small.sidecar / "README").unlink()
    (small.sidecar / "recover.sh").write_text("rm -rf /\n")
    assert run_gitsnap("-C", small.original, "list", home=tmp_path / "home").returncode == 0
    assert not (small.sidecar / "README").exists(), "a reader writes nothing"
    take_snapshot(small.original, home=tmp_path / "home")
    for name in standalone.NAMES:
        assert (small.sidecar / name).read_bytes() == standalone.text(name)
        assert (small.sidecar / name).stat().st_mode & 0o777 == 0o600
