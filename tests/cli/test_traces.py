"""`find`, `log`, `blame` and `search`, on a history of upgrades, with stock git and sha256sum as judges."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from gitsnap.ops.query import search
from tests.cli.helpers import document, refused
from tests.support.installation import REPOSITORY, build_app, run_gitsnap, sidecar_of, take_snapshot
from tests.support.terminal import on_terminal

ODD = b"odd \xff\nname\x1b[2J"


@dataclass
class Told:
    """An installation that was upgraded twice, and what its snapshots are called."""

    app: Path
    home: Path
    first: str
    ids: list[str]

    def run(self, *args: str | bytes) -> str:
        return run_gitsnap("-C", self.app, *args, home=self.home).stdout

    def document(self, *args: str) -> dict:  # type: ignore[type-arg]
        return document("-C", self.app, *args, home=self.home)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    base = tmp_path_factory.mktemp("told")
    app, home = build_app(base / "app"), base / "home"
    (app / "config/shop.ini").write_text("currency = EUR\nport = 80\nname = Größe\n")
    (app / os.fsdecode(ODD)).write_text("needle in an odd name\n")
    first = take_snapshot(app, "-m", "as installed", home=home)
    for label, script in (
        ("to-2.0", "sed -i s/80/8080/ config/shop.ini; mv modules/cart.sh modules/basket.sh; rm release-1.9"),
        ("to-3.0", "echo '# taxes' >>modules/basket.sh; printf 'a\\0needle\\n' >data/bin; chmod 600 config/shop.ini"),
    ):
        command = ["run", "-q", "--label", label, "-m", "upgrade", "--", "sh", "-c", script]
        run_gitsnap("-C", app, *command, cwd=app, home=home)
    ids = [s["id"] for s in document("-C", app, "list", home=home)["snapshots"]]
    return Told(app, home, first, ids)


def lines_of(found: dict, path: str) -> list[tuple[list[str], list[str]]]:  # type: ignore[type-arg]
    return [(m["snapshots"], [n["text"] for n in m["lines"]]) for m in found["matches"] if m["path"] == path]


class TestSearch:
    def test_which_snapshots_hold_a_text(self, told: Told) -> None:
        found = told.document("search", "port = 80")
        assert lines_of(found, "config/shop.ini") == [
            (told.ids[:2], ["port = 80"]),
            (told.ids[2:], ["port = 8080"]),
        ]
        assert found["searched"]["snapshots"] == 5
        text = told.run("search", "port = 80")
        assert f"config/shop.ini  in 2 snapshots, the last is {told.ids[1]}\n  2: port = 80\n" in text

    def test_each_content_is_read_once(self, told: Told) -> None:
        listing = told.run("git", "rev-list", "--objects", "timeline", "--filter=object:type=blob", "--no-object-names")
        links = told.run("git", "ls-tree", "-r", "timeline").splitlines()
        linked = {line.split()[2] for line in links if line.startswith("120000")}
        blobs = {b for b in listing.split() if told.run("git", "cat-file", "-t", b) == "blob\n"} - linked
        assert told.document("search", "nothing has this")["searched"]["contents"] == len(blobs)

    def test_as_git_grep(self, told: Told) -> None:
        revisions = told.run("git", "rev-list", "timeline").split()
        for options, pattern in ((["-F"], "total"), (["-P"], r"to\w+\("), (["-F", "-i"], "ECHO"), (["-F"], "needle")):
            command = ["git", "--git-dir", sidecar_of(told.app, told.home), "grep", "-I", "-c", "-z", *options]
            done = subprocess.run([*command, pattern, *revisions], capture_output=True)
            want = set()
            for revision, path in re.findall(rb"([0-9a-f]{40}):(.*?)\0\d+\n", done.stdout, re.DOTALL):
                number = len(revisions) - 1 - revisions.index(revision.decode())
                want.add((told.ids[number], path.decode("utf-8", "replace")))
            mine = [o for o in options if o == "-i"] + (["-E"] if "-P" in options else [])
            found = told.document("search", *mine, pattern)
            got = {(s, m["path"]) for m in found["matches"] if not m["binary"] for s in m["snapshots"]}
            assert got == {(s, p.replace("%2E", ".")) for s, p in want}, pattern
            assert want

    def test_binary_names_and_letters(self, told: Told) -> None:
        found = told.document("search", "needle")["matches"]
        assert [(m["path"], m["binary"], len(m["snapshots"])) for m in found] == [
            ("data/bin", True, 1),
            (ODD.decode("utf-8", "replace"), False, 5),
        ]
        assert told.document("search", "größe")["matches"] == []
        assert told.document("search", "-i", "größe")["matches"][0]["path"] == "config/shop.default"
        assert told.document("search", "-E", "^port")["matches"]
        assert told.document("search", "^port")["matches"] == []

    def test_paths(self, told: Told) -> None:
        everywhere = told.document("search", "o")
        found = told.document("search", "o", "--", "modules", "config/shop.ini")
        assert {m["path"] for m in found["matches"]} <= {"config/shop.ini"} | {
            m["path"] for m in everywhere["matches"] if m["path"].startswith("modules/")
        }
        assert found["searched"]["contents"] < everywhere["searched"]["contents"]
        assert told.document("search", "no such text", "--", "modules")["matches"] == []
        refused("-C", told.app, "search", "x", "--", "nope", code=1, kind="no-such-path", home=told.home)

    def test_what_is_refused(self, told: Told) -> None:
        for wrong in (
            ["search", ""],
            ["search", "-E", "("],
            ["search", "a\nb"],
            ["search"],
            ["search", "a", "-e", "b"],
        ):
            refused("-C", told.app, *wrong, code=2, kind="usage", home=told.home)
        assert told.document("search", "-e", "-nothing")["matches"] == []

    def test_no_text_takes_over_the_terminal(self, told: Told, tmp_path: Path) -> None:
        script = f'"{sys.executable}" -m gitsnap -C "{told.app}" search needle; '
        script += f'"{sys.executable}" -m gitsnap -C "{told.app}" find "odd*"'
        env = {**os.environ, "PYTHONPATH": str(REPOSITORY), "GITSNAP_HOME": str(told.home), "PAGER": "cat"}
        shown = on_terminal(["bash", "-c", script], cwd=tmp_path, env=env)[1]
        assert "odd \\xff\\nname\\x1b[2J" in shown
        assert "\x1b[2J" not in shown


@pytest.mark.parametrize("size", [1, 3, 1 << 20, (1 << 20) + 1])
def test_lines_are_found_wherever_pieces_end(size: int) -> None:
    data = b"".join(b"%d %s\n" % (n, b"needle" if n % 7 == 0 else b"x" * (n % 50)) for n in range(2000)) + b"needle"
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    found = list(search._lines(pieces, lambda line: b"needle" in line, b"needle"))
    want = [(n, line) for n, line in enumerate(data.split(b"\n"), 1) if b"needle" in line]
    assert [(line.number, line.text) for line in found] == want


def test_a_line_without_end() -> None:
    pieces = [b"x" * 1_000_000] * 5 + [b"needle"] + [b"x" * 1_000_000] * 5
    found = list(search._lines(pieces, lambda line: b"needle" in line))
    assert {line.number for line in found} == {1}
    assert all(len(line.text) < 4 << 20 for line in found)


class TestLog:
    def test_a_rename_is_followed(self, told: Told) -> None:
        found = told.document("log", "modules/basket.sh")["history"]
        assert [(h["status"], h["snapshot"], h.get("old_path")) for h in found] == [
            ("added", told.ids[0], None),
            ("renamed", told.ids[2], "modules/cart.sh"),
            ("modified", told.ids[4], None),
        ]
        assert [h["upgrade"] and h["upgrade"].rpartition("Z-")[2] for h in found] == [None, "to-2.0", "to-3.0"]
        assert found[2]["command"].startswith("sh -c ")
        gone = told.document("log", "modules/cart.sh")["history"]
        assert [(h["status"], h.get("new_path")) for h in gone] == [("added", None), ("removed", "modules/basket.sh")]
        text = told.run("log", "modules/basket.sh").splitlines()
        # An id that ends in a number makes the column wider.
        assert text[1].split()[:2] == [told.ids[2], "renamed"]
        assert "from modules/cart.sh, " in text[1]
        assert "upgrade (sh -c " in text[0]

    def test_line_by_line(self, told: Told) -> None:
        text = told.run("log", "-p", "config/shop.ini")
        assert text.index("# config/shop.ini: mode 0600, was 0644") < text.index("-port = 80\n+port = 8080\n")
        assert text.index("+port = 8080\n") < text.index("new file mode 100644\n")
        gone = told.run("log", "-p", "release-1.9")
        assert "deleted file mode 100644\n" in gone
        assert "rename from modules/cart.sh\nrename to modules/basket.sh\n" in told.run(
            "log", "-p", "modules/basket.sh"
        )
        assert "-1.9\n" in gone


class TestBlame:
    def test_each_line_has_its_snapshot(self, told: Told) -> None:
        found = told.document("blame", "config/shop.ini")["lines"]
        assert [(n["number"], n["snapshot"], n["oldest"], n["text"]) for n in found] == [
            (1, told.first, True, "currency = EUR"),
            (2, told.ids[2], False, "port = 8080"),
            (3, told.first, True, "name = Größe"),
        ]
        assert found[1]["upgrade"].endswith("Z-to-2.0")
        text = told.run("blame", "config/shop.ini").splitlines()
        assert text[1].split() == [told.ids[2], "2)", "port", "=", "8080"]
        assert text[0].startswith(f"^{told.first} ")

    def test_what_was_rolled_back_has_changed_no_line(self, tmp_path: Path) -> None:
        app, home = build_app(tmp_path / "app"), tmp_path / "home"
        (app / "config/shop.ini").write_text("one\ntwo\nthree\n")
        first = take_snapshot(app, home=home)
        (app / "config/shop.ini").write_text("one\nTWO\nthree\n")
        second = take_snapshot(app, home=home)
        command = ["run", "-q", "--", "sh", "-c", "echo broken >config/shop.ini; exit 1"]
        run_gitsnap("-C", app, *command, cwd=app, home=home, check=20)
        (app / "release-1.9").unlink()
        third = take_snapshot(app, home=home)
        found = document("-C", app, "blame", "config/shop.ini", third, home=home)
        assert [line["snapshot"] for line in found["lines"]] == [first, second, first]
        bad = document("-C", app, "blame", "config/shop.ini", "latest~1", home=home)
        assert [line["snapshot"] for line in bad["lines"]] == [first, second, first]

    def test_through_a_rename_and_as_it_was(self, told: Told) -> None:
        found = told.document("blame", "modules/basket.sh")["lines"]
        assert {(n["snapshot"], n["path"]) for n in found[:-1]} == {(told.first, "modules/cart.sh")}
        assert (found[-1]["snapshot"], found[-1]["path"]) == (told.ids[4], "modules/basket.sh")
        old = told.document("blame", "config/shop.ini", told.first)
        assert (old["snapshot"], old["lines"][1]["text"]) == (told.first, "port = 80")

    def test_odd_names_and_what_is_no_text(self, told: Told) -> None:
        assert told.run("blame", ODD).endswith(" 1) needle in an odd name\n")
        assert told.run("blame", "plugins/theme/.git/HEAD").endswith(") ref: refs/heads/main\n")
        for path in ("data/bin", "modules", "current"):
            refused("-C", told.app, "blame", path, code=1, kind="not-a-file", home=told.home)
        refused("-C", told.app, "blame", "release-1.9", code=1, kind="no-such-path", home=told.home)


class TestFind:
    def test_by_digest(self, told: Told) -> None:
        digest = hashlib.sha256((told.app / "modules/greet.sh").read_bytes()).hexdigest()
        want = [{"path": "modules/greet.sh", "snapshots": told.ids}]
        assert told.document("find", "--sha256", digest)["matches"] == want
        assert told.document("find", digest.upper())["matches"] == want
        moved = hashlib.sha256((told.app / "modules/basket.sh").read_bytes().removesuffix(b"# taxes\n")).hexdigest()
        assert told.document("find", "--sha256", moved)["matches"] == [
            {"path": "modules/basket.sh", "snapshots": told.ids[2:4]},
            {"path": "modules/cart.sh", "snapshots": told.ids[:2]},
        ]
        assert told.document("find", "--sha256", "0" * 64)["matches"] == []
        for wrong in (["--sha256", "12"], ["--sha256", "0" * 64, "x"], []):
            refused("-C", told.app, "find", *wrong, code=2, kind="usage", home=told.home)
