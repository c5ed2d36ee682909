"""A sidecar is a stock git repository: what git lists, shows, compares and clones, and that fsck has nothing to say."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.installation import (
    build_app,
    build_odd,
    git,
    remove_tree,
    run_gitsnap,
    sidecar_of,
    take_snapshot,
    upgrade,
)

PORTS = (8080, 8081, 80, 81)


@dataclass
class History:
    """An installation with another port in `config/shop.ini` at each snapshot, and its sidecar or a mirror of that."""

    app: Path
    home: Path
    ids: list[str]
    repository: Path

    def git(self, *args: str | bytes, check: bool = True) -> str:
        done = git(self.repository, *args, check=check)
        return done.stdout.decode("utf-8", "surrogateescape") + done.stderr.decode("utf-8", "surrogateescape")

    def ref(self, number: int) -> str:
        return f"refs/gitsnap/snapshots/{self.ids[number]}"


def shop(port: int) -> bytes:
    return b"currency = EUR\nport = %d\nname = shop\n" % port


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> History:
    base = tmp_path_factory.mktemp("history")
    app, home = build_odd(base / "odd"), base / "home"
    ids = []
    for port in PORTS:
        (app / "config").mkdir(exist_ok=True)
        (app / "config/shop.ini").write_bytes(shop(port))
        ids.append(take_snapshot(app, "-m", f"port {port}", home=home))
    return History(app, home, ids, sidecar_of(app, home))


@pytest.fixture(scope="module", params=["sidecar", "mirror"])
def history(request: pytest.FixtureRequest, sidecar: History, tmp_path_factory: pytest.TempPathFactory) -> History:
    if request.param == "sidecar":
        return sidecar
    mirror = tmp_path_factory.mktemp("mirror") / "mirror.git"
    git(mirror.parent, "clone", "-q", "--mirror", "--no-local", str(sidecar.repository), mirror.name)
    return History(sidecar.app, sidecar.home, sidecar.ids, mirror)


def test_for_each_ref_lists_the_snapshots_in_order_of_time(history: History) -> None:
    listed = history.git("for-each-ref", "--format=%(refname:lstrip=3) %(contents:subject)", "refs/gitsnap/snapshots")
    assert listed.splitlines() == [f"{id_} manual: port {port}" for id_, port in zip(history.ids, PORTS, strict=True)]
    for number in range(len(PORTS)):
        assert history.git("rev-list", "--count", history.ref(number)) == "1\n", "a snapshot has no parent"


def test_fsck_prints_nothing_at_all(history: History) -> None:
    assert history.git("fsck", "--full", "--strict") == ""


def test_a_repository_that_checks_what_it_is_sent_takes_all_of_it(history: History, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", "--initial-branch=timeline", "strict.git")
    git(tmp_path / "strict.git", "config", "transfer.fsckObjects", "true")
    history.git("push", "-q", "--mirror", str(tmp_path / "strict.git"))
    assert git(tmp_path / "strict.git", "for-each-ref").stdout.decode() == history.git("for-each-ref")
    assert git(tmp_path / "strict.git", "fsck", "--full", "--strict").stderr == b""


def test_every_pack_passes_verify_pack(history: History) -> None:
    packs = sorted((history.repository / "objects/pack").glob("*.idx"))
    assert packs
    assert history.git("verify-pack", *map(str, packs)) == ""
    assert not list((history.repository / "objects/pack").glob("*.keep")), "left behind by a snapshot"


def test_notes_show_the_manifest_and_the_metadata_that_the_commit_vouches_for(history: History) -> None:
    for number, port in enumerate(PORTS):
        for what in ("manifest", "metadata"):
            text = git(history.repository, "notes", f"--ref=gitsnap/{what}", "show", history.ref(number)).stdout
            assert text.startswith(b"# gitsnap %s 1\n" % what.encode())
            trailer = f"%(trailers:key=Gitsnap-{what}-SHA256,valueonly,separator=)"
            digest = history.git("log", "-1", f"--format={trailer}", history.ref(number)).strip()
            assert hashlib.sha256(text).hexdigest() == digest
            if what == "manifest":
                line = f"{hashlib.sha256(shop(port)).hexdigest()}  config/shop.ini\n"
                assert line.encode() in text


def test_the_manifest_holds_for_the_directory_that_is_still_there(history: History) -> None:
    manifest = git(history.repository, "notes", "--ref=gitsnap/manifest", "show", history.ref(-1)).stdout
    done = subprocess.run(
        ["sha256sum", "--strict", "--quiet", "-c"], input=manifest, cwd=history.app, capture_output=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_log_tells_the_snapshots_and_one_file_s_changes(history: History) -> None:
    subjects = history.git("log", "--format=%s", "timeline").splitlines()
    assert subjects == [f"manual: port {port}" for port in reversed(PORTS)]
    assert history.git("log", "--format=%s") == history.git("log", "--format=%s", "timeline"), "HEAD is the timeline"
    patches = history.git("log", "-p", "--format=%s", "timeline", "--", "config/shop.ini")
    changed = re.findall(r"^([-+]port = \d+)$", patches, re.MULTILINE)
    assert changed == [
        "-port = 80",
        "+port = 81",
        "-port = 8081",
        "+port = 80",
        "-port = 8080",
        "+port = 8081",
        "+port = 8080",
    ]
    assert "manifest" not in history.git("log", "--notes=gitsnap/manifest", "--format=%s", "timeline")


def test_blame_tells_which_snapshot_a_line_came_with(history: History) -> None:
    blamed = history.git("blame", "--line-porcelain", "timeline", "--", "config/shop.ini")
    summaries = re.findall(r"^summary (.*)$", blamed, re.MULTILINE)
    assert summaries == ["manual: port 8080", "manual: port 81", "manual: port 8080"]


def test_diff_compares_any_two_snapshots(history: History) -> None:
    assert history.git("diff", "--name-status", history.ref(0), history.ref(2)) == "M\tconfig/shop.ini\n"
    assert "+port = 80\n" in history.git("diff", history.ref(1), history.ref(2))
    assert history.git("diff", history.ref(1), history.ref(1)) == ""
    # By the short name that people type.
    assert history.git("show", f"gitsnap/snapshots/{history.ids[1]}:config/shop.ini") == shop(8081).decode()


def test_bisect_finds_the_snapshot_that_broke_it(history: History) -> None:
    before = history.git("for-each-ref")
    history.git("bisect", "start", "timeline", "timeline~3")
    try:
        works = "git cat-file blob BISECT_HEAD:config/shop.ini | grep -Eq 'port = [0-9]{4}'"
        told = history.git("bisect", "run", "sh", "-c", works)
    finally:
        history.git("bisect", "reset")
    assert re.search(r"is the first '?bad'? commit$.*?manual: port 80$", told, re.MULTILINE | re.DOTALL)
    assert history.git("for-each-ref") == before


def test_grep_archive_and_ls_tree_read_a_snapshot(history: History) -> None:
    assert history.git("grep", "-h", "port", history.ref(2), "--", "config") == "port = 80\n"
    names = history.git("ls-tree", "-r", "-z", "--name-only", history.ref(0)).split("\0")
    manifest = history.git("notes", "--ref=gitsnap/manifest", "show", history.ref(0))
    symlinks = history.git("ls-tree", "-r", "-z", history.ref(0)).split("\0")
    files = [name for name in names if name]
    links = [entry for entry in symlinks if entry.startswith("120000 ")]
    assert f"# files {len(files) - len(links)}\n" in manifest
    kinds = {entry.split()[0] for entry in symlinks if entry}
    assert kinds <= {"100644", "100755", "120000"}, "no submodules, no odd modes"


def test_gitsnap_is_content_with_what_git_did_to_the_sidecar(sidecar: History) -> None:
    """After all of the above: the sidecar still lists, verifies and rolls back."""
    listed = run_gitsnap("-C", sidecar.app, "list", home=sidecar.home).stdout
    assert all(id_ in listed for id_ in sidecar.ids)
    assert run_gitsnap("-C", sidecar.app, "verify", "--all", home=sidecar.home).returncode == 0


def test_nothing_is_ever_dangling_whatever_gitsnap_did(installation: Path) -> None:
    def check(*args: str) -> None:
        run_gitsnap("-C", installation, *args)
        done = git(repository, "fsck", "--full", "--strict", check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b""), args

    first = take_snapshot(installation)
    repository = sidecar_of(installation)
    check("list")
    check("pin", first)
    upgrade(installation)
    check("snapshot", "--label", "second")
    check("snapshot", "--label", "same")
    check("rollback", first, "--yes")
    check("snapshot", "--tag", "third")
    check("delete", "latest~1")
    check("prune", "--keep-last", "1")
    check("snapshot")
    check("gc")
    check("verify", "--all")


def test_the_sidecar_is_private(sidecar: History) -> None:
    for folder, folders, files in os.walk(sidecar.repository):
        for name in folders + files:
            assert not os.lstat(os.path.join(folder, name)).st_mode & 0o077, name


def test_a_clone_checks_out_all_names_percent_encoded_and_gives_what_archive_gives(tmp_path: Path) -> None:
    app, home = build_app(tmp_path / "app"), tmp_path / "home"
    (app / ".gitattributes").write_bytes(b"* text eol=crlf\n*.ini export-ignore\n")
    (app / ".gitmodules").write_bytes(b'[submodule "theme"]\n\tpath = plugins/theme\n\turl = ext::evil\n')
    snapshot = take_snapshot(app, home=home)
    git(tmp_path, "clone", "-q", "--recurse-submodules", str(sidecar_of(app, home)), "clone")
    clone = tmp_path / "clone"
    assert (clone / "%2Egitattributes").read_bytes() == (app / ".gitattributes").read_bytes()
    assert (clone / "plugins/theme/%2Egit/HEAD").read_bytes() == (app / "plugins/theme/.git/HEAD").read_bytes()
    assert (clone / "config/shop.ini").read_bytes() == (app / "config/shop.ini").read_bytes()
    assert git(clone, "status", "--porcelain").stdout == b""
    (tmp_path / "archive").mkdir()
    archive = git(sidecar_of(app, home), "archive", f"refs/gitsnap/snapshots/{snapshot}").stdout
    subprocess.run(["tar", "-x", "-C", tmp_path / "archive"], input=archive, check=True)
    remove_tree(clone / ".git")
    compared = subprocess.run(["diff", "-r", "--no-dereference", clone, tmp_path / "archive"], capture_output=True)
    assert (compared.returncode, compared.stdout) == (0, b"")
