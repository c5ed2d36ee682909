"""Recovery by hand: the commands of docs/how-to/recover-without-gitsnap.md, run as they stand."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gitsnap.core.paths import encode_component
from tests.support.installation import (
    REPOSITORY,
    build_app,
    build_deep,
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

DOCUMENT = REPOSITORY / "docs/how-to/recover-without-gitsnap.md"
TOOLS = ("git", "mtree", "setfattr", "fallocate", "rsync")

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, TOOLS)), reason=f"recovering by hand takes {', '.join(TOOLS)}"
)


@dataclass
class Block:
    """One block of commands: the heading that it is under, and the commands."""

    section: str
    commands: str


def blocks(document: Path = DOCUMENT) -> Iterator[Block]:
    section = ""
    for match in re.finditer(r"^## ([^\n]+)$|^```sh\n(.*?)^```$", document.read_text(), re.MULTILINE | re.DOTALL):
        if match[1]:
            section = match[1]
        else:
            yield Block(section, match[2])


BLOCKS = list(blocks())
RECOVERY = ("Find the snapshot", "Check it", "Bring back the files", "Bring back the rest", "Check the result")
LOOK = (*RECOVERY[:2], "Only one file, or only a look")
COPY = ("Find the snapshot", "Work on a copy")


@dataclass
class Recovered:
    """What the commands printed, by block, and the tree that they left."""

    outputs: list[tuple[Block, str]]
    tree: Path
    lists: Path

    def printed(self, section: str) -> str:
        return "".join(output for block, output in self.outputs if block.section == section)


def follow(
    sections: tuple[str, ...],
    sidecar: Path,
    snapshot: str,
    where: Path,
    *,
    without: str | None = None,
    environ: dict[str, str] | None = None,
) -> Recovered:
    """Run all blocks of the sections in one shell, with the values to fill in, and nothing of gitsnap.

    `without` leaves out the one block that holds this text.
    """
    values = {"export GIT_DIR": sidecar, "target": where / "tree", "lists": where / "lists", "id": snapshot}
    script = "set -eu\n"
    chosen = [block for block in BLOCKS if block.section in sections]
    if without:
        (left_out,) = [block for block in chosen if without in block.commands]
        chosen.remove(left_out)
    for block in chosen:
        commands = block.commands
        for name in [name for name in values if re.search(rf"^{name}=", commands, re.MULTILINE)]:
            commands = re.sub(rf"^{name}=.*$", f"{name}='{values.pop(name)}'", commands, flags=re.MULTILINE)
        script += f"{commands}\nprintf '\\0'\n"
    assert not values, f"the document does not set {values}"
    where.mkdir()
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "GITSNAP_"))}
    done = subprocess.run(
        ["sh"],
        input=script.encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=where,
        env=clean | (environ or {}),
    )
    printed = done.stdout.decode("utf-8", "surrogateescape").split("\0")
    assert done.returncode == 0, f"exit {done.returncode} at\n{chosen[len(printed) - 1].commands}\n{printed[-1]}"
    return Recovered(list(zip(chosen, printed, strict=False)), where / "tree", where / "lists")


@dataclass
class Protected:
    """The odd tree as it was at its snapshot, the snapshot's id, and the sidecar."""

    original: Path
    snapshot: str
    sidecar: Path


@pytest.fixture(scope="module")
def protected(tmp_path_factory: pytest.TempPathFactory) -> Protected:
    base = tmp_path_factory.mktemp("protected")
    app, home = build_odd(base / "odd"), base / "home"
    original = copy_tree(app, base / "original")
    snapshot = take_snapshot(app, home=home)
    sidecar = sidecar_of(app, home)
    upgrade(app)
    take_snapshot(app, home=home)
    # The commands must do without it.
    remove_tree(app)
    return Protected(original, snapshot, sidecar)


def check_recovered(recovered: Recovered, original: Path) -> None:
    for section in ("Bring back the files", "Bring back the rest", "Check the result"):
        assert recovered.printed(section) == ""
    same_tree(original, recovered.tree)
    for path in ("sparse/sparse.img", "sparse/all-hole.img", "sparse/hole-first.img"):
        assert os.stat(recovered.tree / path).st_blocks <= os.stat(original / path).st_blocks, path


def test_by_hand_everything_comes_back_to_the_nanosecond(protected: Protected, tmp_path: Path) -> None:
    recovered = follow(RECOVERY, protected.sidecar, protected.snapshot, tmp_path / "w")
    assert protected.snapshot in recovered.printed("Find the snapshot")
    assert recovered.printed("Check it").count(": OK\n") == 2
    check_recovered(recovered, protected.original)


def test_nested_repositories_are_as_they_were(protected: Protected, tmp_path: Path) -> None:
    recovered = follow(RECOVERY, protected.sidecar, protected.snapshot, tmp_path / "w")
    # git writes into a repository even when it only looks at it.
    then = copy_tree(protected.original / "repositories", tmp_path / "then")
    now = copy_tree(recovered.tree / "repositories", tmp_path / "now")
    for name in ("commits", "unborn", "super", "super/module", "bare.git"):
        for command in (["status", "--porcelain"], ["fsck", "--full"], ["for-each-ref"]):
            before, after = (git(tree / name, *command, check=False) for tree in (then, now))
            assert (after.returncode, after.stdout) == (before.returncode, before.stdout), (name, command)


def test_it_works_in_a_mirror_and_after_gc(protected: Protected, tmp_path: Path) -> None:
    follow(COPY, protected.sidecar, protected.snapshot, tmp_path / "copy")
    mirror = tmp_path / "copy/lists/mirror.git"
    git(mirror, "gc", "-q", "--prune=now")
    check_recovered(follow(RECOVERY, mirror, protected.snapshot, tmp_path / "w"), protected.original)


def test_it_works_in_a_mirror_whose_attributes_are_written_by_hand(protected: Protected, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--mirror", str(protected.sidecar), "mirror.git")
    (line,) = re.findall(r"^    (\* -text .*\n)", DOCUMENT.read_text(), re.MULTILINE)
    assert line == (protected.sidecar / "info/attributes").read_text()
    (tmp_path / "mirror.git/info").mkdir(exist_ok=True)
    (tmp_path / "mirror.git/info/attributes").write_text(line)
    environ = hostile_configuration(tmp_path)
    recovered = follow(RECOVERY, tmp_path / "mirror.git", protected.snapshot, tmp_path / "w", environ=environ)
    check_recovered(recovered, protected.original)


def hostile_configuration(where: Path) -> dict[str, str]:
    """A user's configuration that would change contents if it had a say."""
    (where / "git").mkdir()
    (where / "git/attributes").write_text("* text eol=crlf ident export-subst\n*.secret export-ignore\n")
    (where / "git/config").write_text("[core]\n\tautocrlf = true\n\tquotePath = false\n[tar]\n\tumask = 0077\n")
    return {"XDG_CONFIG_HOME": str(where), "HOME": str(where)}


def test_nothing_configured_for_git_changes_what_the_sidecar_gives(protected: Protected, tmp_path: Path) -> None:
    environ = os.environ | hostile_configuration(tmp_path) | {"GIT_DIR": str(protected.sidecar)}
    snapshot = f"refs/gitsnap/snapshots/{protected.snapshot}"
    archive = subprocess.run(["git", "archive", snapshot], env=environ, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", tmp_path, "eol"], input=archive, check=True)
    for name in ("crlf.txt", "mixed.bat", "ident.c", "hidden.secret"):
        assert (tmp_path / "eol" / name).read_bytes() == (protected.original / "eol" / name).read_bytes()


def test_without_touch_the_times_of_all_but_links_are_right_to_the_microsecond(
    protected: Protected, tmp_path: Path
) -> None:
    follow(RECOVERY[:-1], protected.sidecar, protected.snapshot, tmp_path / "w", without="touch -h")
    for folder, folders, files in os.walk(os.fsencode(protected.original)):
        for name in folders + files:
            path = os.path.join(folder, name)
            twin = os.fsencode(tmp_path / "w/tree") + path.removeprefix(os.fsencode(protected.original))
            if not os.path.islink(path) and not re.search(rb"[*?\[]", twin):
                assert os.lstat(path).st_mtime_ns // 1000 == os.lstat(twin).st_mtime_ns // 1000, path


def test_an_account_that_is_not_there_stops_mtree_and_the_numbers_do(protected: Protected, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text(". type=dir mode=0700 uid=0 gid=0 uname=no-such-user gname=no-such-group time=1.000000000\n")
    check = ["mtree", "-f", plain, "-p", tmp_path]
    done = subprocess.run(check, capture_output=True, text=True)
    assert done.returncode != 0 and re.search("unknown (user|group)", done.stderr)
    (advice,) = re.findall(r"`(sed -i .*)`", DOCUMENT.read_text())
    subprocess.run(["sh", "-c", advice], env=os.environ | {"lists": str(tmp_path)}, check=True)
    assert plain.read_text() == ". type=dir mode=0700 uid=0 gid=0 time=1.000000000\n"
    assert "unknown" not in subprocess.run(check, capture_output=True, text=True).stderr


def test_nothing_outside_is_changed_through_a_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    victim = outside / "victim"
    victim.write_bytes(b"not yours")
    for path in (victim, outside):
        os.chmod(path, 0o700)
        os.utime(path, ns=(0, 0))
    app, home = build_app(tmp_path / "app"), tmp_path / "home"
    for name, target in (("absolute", victim), ("relative", Path("../outside/victim")), ("directory", outside)):
        (app / name).symlink_to(target)
    found = [os.stat(path) for path in (victim, outside)]
    snapshot = take_snapshot(app, home=home)
    recovered = follow(RECOVERY, sidecar_of(app, home), snapshot, tmp_path / "w")
    same_tree(app, recovered.tree)
    for before, path in zip(found, (victim, outside), strict=True):
        after = os.stat(path)
        assert (after.st_ctime_ns, after.st_mtime_ns) == (before.st_ctime_ns, before.st_mtime_ns)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("./way/victim type=file mode=0777 uid=0 gid=0 time=1.0 size=9", "./way is a symbolic link"),
        ("# xattr ./way/victim user.x=eA==", "./way is a symbolic link"),
        ("# hardlink ./VERSION ./way/victim", "./way is a symbolic link"),
        ("# sparse ./way\\057victim", "./way\\0057victim"),
        ("./../outside/victim type=file mode=0777 uid=0 gid=0 time=1.0 size=9", "./../outside/victim"),
        ("# hardlink ./VERSION /outside/victim", "/outside/victim"),
    ],
)
def test_before_anything_is_changed_it_tells_what_leads_outside(tmp_path: Path, line: str, told: str) -> None:
    commands = next(b.commands for b in BLOCKS if '"$lists/names"' in b.commands)
    (tmp_path / "tree/dir").mkdir(parents=True)
    (tmp_path / "tree/way").symlink_to(tmp_path)
    harmless = (
        ". type=dir\n./..a type=file\n./dir type=dir\n./dir/a.. type=file\n./way type=link\n# sparse ./dir/\\040\n"
    )
    environ = os.environ | {"lists": str(tmp_path), "LC_ALL": "C"}
    for text, expected in ((harmless, ""), (harmless + line + "\n", told + "\n")):
        (tmp_path / "escaped").write_text(text.replace("\\", "\\0"))
        done = subprocess.run(
            ["sh", "-euc", commands], cwd=tmp_path / "tree", env=environ, capture_output=True, text=True
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, expected, "")


def test_one_file_and_a_look(tmp_path: Path) -> None:
    app, home = build_app(tmp_path / "app"), tmp_path / "home"
    first = take_snapshot(app, "-m", "before 2.0", home=home)
    original = (app / "config/shop.ini").read_bytes()
    (app / "config/shop.ini").write_bytes(b"currency = EUR\nport = 80\n")
    take_snapshot(app, "-m", "after 2.0", home=home)
    looked = follow(LOOK, sidecar_of(app, home), first, tmp_path / "w")
    assert (looked.lists / "one-file").read_bytes() == original
    printed = looked.printed(LOOK[-1])
    for expected in ("before 2.0", "after 2.0", "-port = 8080", "+port = 80", "config/shop.ini     | 2 +-"):
        assert expected in printed


def test_what_a_snapshot_lacks_is_told(tmp_path: Path) -> None:
    app, home = build_app(tmp_path / "app"), tmp_path / "home"
    (app / ".gitsnapignore").write_text("*.bin\n")
    snapshot = take_snapshot(app, home=home)
    recovered = follow(RECOVERY, sidecar_of(app, home), snapshot, tmp_path / "w")
    assert "# excluded data/blob.bin\n" in recovered.printed("Check it")
    (recovered.tree / "data").chmod(0o755)
    shutil.copy2(app / "data/blob.bin", recovered.tree / "data/blob.bin")
    assert differences(app, recovered.tree).splitlines() in ([], [".d..t...... data/"])


def test_a_tree_deeper_than_any_path_may_be_comes_back_in_parts(tmp_path: Path) -> None:
    app, home = build_deep(tmp_path / "deep", levels=30), tmp_path / "home"
    snapshot = take_snapshot(app, home=home)
    sidecar = sidecar_of(app, home)
    remove_tree(app)
    with pytest.raises(AssertionError, match="File name too long"):
        follow(RECOVERY, sidecar, snapshot, tmp_path / "w")
    remove_tree(tmp_path / "w")
    folder = "/".join(f"{level:03}" + "d" * 197 for level in range(18))
    script = f'git archive "refs/gitsnap/snapshots/{snapshot}:{folder}" | tar -x -f -'
    subprocess.run(["sh", "-c", script], cwd=tmp_path, env=os.environ | {"GIT_DIR": str(sidecar)}, check=True)
    deepest = tmp_path / "/".join(f"{level:03}" + "d" * 197 for level in range(18, 29)) / "file"
    assert deepest.read_text() == "level 29\n"


def test_the_document_knows_every_byte_that_is_percent_encoded() -> None:
    (codes,) = re.findall(r"for code in ([0-9A-F ]+);", DOCUMENT.read_text())
    disguises = [b".git", b".gitmodules", b"git~1", b"gitmod~1", b"maba30~1", b"~1234567", b"%41", b"\xe2\x80\x8c.git"]
    names = {bytes([byte]) + name[cut:] for byte in range(1, 256) for name in disguises for cut in (0, 1)}
    names |= {b"\xef\xbb\xbf.git", b"\xe2\x81\xaagit"} | {name.upper() for name in disguises}
    encoded = {encode_component(name, link=link)[:3] for name in names for link in (False, True) if b"/" not in name}
    found = {code[1:].decode() for code in encoded if re.fullmatch(rb"%[0-9A-F]{2}", code)}
    assert found == set(codes.split())
    assert codes.split()[-1] == "25", "the name that stands before others must be decoded last"


def test_gitsnap_agrees_that_the_recovered_tree_is_the_snapshot(tmp_path: Path) -> None:
    """The other way round: gitsnap's own comparison finds nothing to add to what stock tools brought back."""
    app, home = build_odd(tmp_path / "odd"), tmp_path / "home"
    snapshot = take_snapshot(app, home=home)
    recovered = follow(RECOVERY, sidecar_of(app, home), snapshot, tmp_path / "w")
    app.rename(tmp_path / "aside")
    recovered.tree.rename(app)
    assert run_gitsnap("-C", app, "verify", "--live", snapshot, home=home).returncode == 0
    assert run_gitsnap("-C", app, "diff", "--exit-code", snapshot, "now", home=home).stdout == ""
