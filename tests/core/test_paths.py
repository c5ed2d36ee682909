"""Safe paths, and names as git's trees hold them; `git fsck` is the judge of what must not stay as it is."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from gitsnap.core.errors import IntegrityError
from gitsnap.core.paths import check_path, decode_component, decode_path, encode_component, encode_path

ZWNJ = "\u200c".encode()
BOM = "\ufeff".encode()

ENCODED = {
    b".git": b"%2Egit",
    b".GIT": b"%2EGIT",
    b".gIt ": b"%2EgIt ",
    b".git . .": b"%2Egit . .",
    b".git:stream": b"%2Egit:stream",
    b".git::$INDEX_ALLOCATION": b"%2Egit::$INDEX_ALLOCATION",
    b"git~1": b"%67it~1",
    b"GIT~1...": b"%47IT~1...",
    b"a\\.git": b"a\\%2Egit",
    b"a\\b\\git~1:x\\c": b"a\\b\\%67it~1:x\\c",
    b".git\\hooks": b"%2Egit\\hooks",
    b".g" + ZWNJ + b"it": b"%2Eg" + ZWNJ + b"it",
    ZWNJ + b".git": b"%E2" + ZWNJ[1:] + b".git",
    BOM + b".git" + BOM: b"%EF" + BOM[1:] + b".git" + BOM,
    b".git\xff": b"%2Egit\xff",
    b".gitmodules": b"%2Egitmodules",
    b".GitModules.": b"%2EGitModules.",
    b"gitmod~4": b"%67itmod~4",
    b"gi7eba~1": b"%67i7eba~1",
    b"gi7eb~10": b"%67i7eb~10",
    b"~1000000": b"%7E1000000",
    b".gitattributes": b"%2Egitattributes",
    b"GI7D29~9": b"%47I7D29~9",
    b"gitatt~1": b"%67itatt~1",
    b".mailmap": b"%2Emailmap",
    b"mailma~1": b"%6Dailma~1",
    b"maba30~1": b"%6Daba30~1",
    b"%2Egit": b"%252Egit",
    b"%2egit": b"%252egit",
    b"%41": b"%2541",
    b"%252Egit": b"%25252Egit",
    b"a\\%41": b"a\\%2541",
}
LINKS_ENCODED = {
    b".gitignore": b"%2Egitignore",
    b"gitign~1": b"%67itign~1",
    b"gi250a~1": b"%67i250a~1",
    b".giti" + ZWNJ + b"gnore": b"%2Egiti" + ZWNJ + b"gnore",
}
PLAIN = [
    b"a", b"git", b"git~", b"git~2", b".gi", b".gitx", b".github", b".gitkeep", b".git-credentials", b".git.x",
    b"..git", b"...", b". ", b" .git", b"x.git", b"gitmod~5", b"gitmod~", b"gi7eba~0", b"gi7ebb~1", b"~100000", b"~",
    b"main.py", b"mailmap", b"%", b"%4", b"%zz", b"%zz%41", b"a%41", b"\\", b"a\\b", b"\\\\", b"con", b"aux.txt",
    b"\xff", b"\xe2\x80", b"\xe2\x80\x8c", b"\xef\xbb\xbf#!", b"a\nb", b"a" * 255, b"\xc3\xa9.git",
]  # fmt: skip


@pytest.mark.parametrize(("name", "stored"), ENCODED.items())
def test_what_git_refuses_or_acts_on_is_encoded(name: bytes, stored: bytes) -> None:
    for link in (False, True):
        assert encode_component(name, link=link) == stored
        assert decode_component(stored, link=link) == name
    with_parents = b"x/" + name + b"/y"
    assert encode_path(with_parents) == b"x/" + stored + b"/y"
    assert decode_path(b"x/" + stored + b"/y") == with_parents


@pytest.mark.parametrize("name", PLAIN)
def test_other_names_stay(name: bytes) -> None:
    for link in (False, True):
        assert encode_component(name, link=link) == name
        assert decode_component(name, link=link) == name
    assert encode_path(b"a/" + name) == b"a/" + name
    assert decode_path(b"a/" + name) == b"a/" + name


@pytest.mark.parametrize(("name", "stored"), LINKS_ENCODED.items())
def test_an_ignore_file_is_encoded_only_as_a_symlink(name: bytes, stored: bytes) -> None:
    assert encode_component(name) == decode_component(name) == name
    assert encode_path(b"d/" + name) == decode_path(b"d/" + name) == b"d/" + name
    assert encode_component(name, link=True) == stored
    assert decode_component(stored, link=True) == name
    assert encode_path(name + b"/" + name, link=True) == name + b"/" + stored
    assert decode_path(name + b"/" + stored, link=True) == name + b"/" + name
    for wrong, link in ((stored, False), (name, True)):
        with pytest.raises(IntegrityError):
            decode_component(wrong, link=link)


@pytest.mark.parametrize(
    "stored",
    [
        b"", b".", b"..", b"a/b", b"a\0b", b"/", b"\0", b".git", b"GIT~1", b".gitmodules", b"%2egit", b"%2E", b"%2E.",
        b"%2Fa", b"%00a", b"%41", b"%2Egitx", b"%25", b"%25zz", b"%25%41", b"a\\%2Ex", b"a\\.git", b"%2E/git",
    ],
)  # fmt: skip
def test_a_tree_cannot_hold_anything_else(stored: bytes) -> None:
    with pytest.raises(IntegrityError):
        decode_component(stored)


@pytest.mark.parametrize("stored", [b"", b"/", b"a/", b"/a", b"a//b", b"a/../b", b"a/%2egit", b".git/a", b"a/%41"])
def test_nor_a_path_anything_else(stored: bytes) -> None:
    with pytest.raises(IntegrityError):
        decode_path(stored)


@pytest.mark.parametrize("path", [b"a", b"a/b", b"...", b".a", b"a.", b"a/..b/c", b"\\", b"\n", b"\xff", b" "])
def test_safe_paths_pass(path: bytes) -> None:
    check_path(path)


@pytest.mark.parametrize(
    "path",
    [b"", b"/", b"/a", b"a/", b"a//b", b".", b"..", b"./a", b"../a", b"a/.", b"a/..", b"a/./b", b"a/../b", b"a\0"],
)
def test_unsafe_paths_do_not(path: bytes) -> None:
    with pytest.raises(IntegrityError, match="unsafe path") as caught:
        check_path(path)
    assert caught.value.path == path


def hostile_names() -> set[bytes]:
    """Names around git's rules: every listed one, and thousands of random mixtures of their parts."""
    parts = [
        b".git", b".GIT", b"git~1", b"gitmod", b"GI7EBA", b"gi7d29", b"gi250a", b"maba30", b"mailma", b"gitatt",
        b"gitign", b".gitmodules", b".gitattributes", b".gitignore", b".mailmap", b"~1", b"~2", b"~10", b"~1000000",
        b"1", b"0", b"g", b"m", b".", b" ", b":", b"\\", b"%", b"%2E", b"%2e", b"%25", ZWNJ, BOM, b"\xe2\x80\xab",
        b"\xe2\x81\xaa", b"\xff", b"\xc3\xa9", b"\xed\xa0\x80", b"\xef\xbf\xbf", b"\xf4\x90\x80\x80", b"x", b"\n",
    ]  # fmt: skip
    chance = random.Random(7)
    names = {*ENCODED, *LINKS_ENCODED, *PLAIN}
    names |= {first + second for first, second in itertools.product(parts, repeat=2)}
    names |= {b"".join(chance.choices(parts, k=chance.randint(3, 5))) for _ in range(6000)}
    for name in [b".git", b".gitmodules", b".gitignore", b".mailmap"]:
        for at in range(len(name) + 1):
            names |= {name[:at] + part + name[at:] for part in parts}
    for short in (b"gi7eba", b"gi7d29", b"gi250a", b"maba30", b"gitmod", b"gitign", b"git"):
        names |= {
            short[:n] + b"~%d" % number for n in range(7) for number in (1, 4, 9, 10, 123, 4567, 12345, 123456, 1234567)
        }
    return {name for name in names if 0 < len(name) <= 255 and name not in (b".", b"..")}


def test_the_encoding_is_injective_where_it_matters() -> None:
    names = hostile_names()
    for link in (False, True):
        stored = {encode_component(name, link=link) for name in names}
        assert len(stored) == len(names)
        assert {decode_component(name, link=link) for name in stored} == names


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_git_fsck_and_read_tree_accept_every_name_without_a_word(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C"}
    for role in ("AUTHOR", "COMMITTER"):
        environment |= {f"GIT_{role}_NAME": "a", f"GIT_{role}_EMAIL": "a@b"}
    repository = tmp_path / "r.git"

    def git(*arguments: str, data: bytes = b"") -> bytes:
        command = ["git", "-c", "core.protectHFS=true", "-c", "core.protectNTFS=true", *arguments]
        where = repository if repository.exists() else tmp_path
        done = subprocess.run(command, cwd=where, env=environment, input=data, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b""), (arguments, done.stderr[:2000])
        return done.stdout.strip()

    git("-c", "init.defaultBranch=main", "init", "-q", "--bare", str(repository))
    names = hostile_names()
    # A `.gitmodules` that git would look into must fail to parse, and attributes must be too long for fsck.
    blob = git("hash-object", "-w", "--stdin", data=b"[submodule\n" + b"x" * 3000 + b"\n")
    target = git("hash-object", "-w", "--stdin", data=b"../../.git/config")
    subtree = git("mktree", data=b"100644 blob %b\tfile\n" % blob)

    def tree(mode: bytes, kind: bytes, oid: bytes, *, link: bool) -> bytes:
        entries = [b"%b %b %b\t%b\0" % (mode, kind, oid, encode_component(name, link=link)) for name in sorted(names)]
        return git("mktree", "-z", data=b"".join(entries))

    trees = {
        b"files": tree(b"100644", b"blob", blob, link=False),
        b"links": tree(b"120000", b"blob", target, link=True),
        b"directories": tree(b"040000", b"tree", subtree, link=False),
    }
    top = git("mktree", data=b"".join(b"040000 tree %b\t%b\n" % (oid, name) for name, oid in trees.items()))
    commit = git("commit-tree", "-m", "x", top.decode())
    git("update-ref", "refs/heads/main", commit.decode())
    assert git("fsck", "--full", "--strict") == b""
    git("read-tree", top.decode())


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_git_fsck_complains_about_the_names_as_they_are(tmp_path: Path) -> None:
    """The other test would be content with a git that checks nothing."""
    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path)], check=True)
    for name in (b".git", b"a\\.git", b".g" + ZWNJ + b"it", b".git\xff", b"~1000000"):
        oid = subprocess.run(
            ["git", "hash-object", "-w", "--stdin"], cwd=tmp_path, input=b"x", capture_output=True, check=True
        ).stdout.strip()
        subprocess.run(
            ["git", "mktree", "-z"],
            cwd=tmp_path,
            input=b"120000 blob %b\t%b\0" % (oid, name),
            capture_output=True,
            check=True,
        )
        done = subprocess.run(["git", "fsck", "--full", "--strict"], cwd=tmp_path, capture_output=True, check=False)
        assert b"hasDotgit" in done.stderr or b"gitmodulesSymlink" in done.stderr, name
        shutil.rmtree(tmp_path / "objects")
        (tmp_path / "objects").mkdir()


def test_names_are_quick() -> None:
    names = [b"file-with-name-%d.js" % n for n in range(100_000)]
    start = time.process_time()
    for name in names:
        encode_component(name)
    # Ten times what it takes: this fails for an accident, not for a busy machine.
    assert time.process_time() - start < 0.3
