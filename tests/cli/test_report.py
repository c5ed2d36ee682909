"""`report`: what an upgrade changed, as one page. Stock tools and the standard library's parser are the judges."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import os
import pty
import re
import stat
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.cli.helpers import document, refused
from tests.cli.test_changelog import AFTER, BEFORE, write
from tests.support.installation import REPOSITORY, run_gitsnap, sidecar_of, take_snapshot

_VOID = {"meta", "input", "br", "col"}


class Page(HTMLParser):
    """A page in which every element is closed where it must be; `elements` are (name, attributes), `text` all text."""

    def __init__(self, data: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.raw: dict[str, str] = {}
        self.texts: list[str] = []
        self.source = data.decode("utf-8")
        self.feed(self.source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"an attribute twice: {tag} {attrs}"
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("style", "script"):
            self.raw[self.open[-1]] = self.raw.get(self.open[-1], "") + data
        else:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.texts)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.elements if name == tag]


def report(app: Path, *args: str, home: Path | None = None) -> Page:
    return Page(run_gitsnap("-C", app, "report", *args, home=home).stdout.encode())


@pytest.fixture(scope="module")
def upgraded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    top = tmp_path_factory.mktemp("report")
    app, new, home = top / "app", top / "new", top / "home"
    write(app, BEFORE | {"lib/tool.py": "def f():\n    return 1\n", ".env": "DB_PASSWORD=hunter2\nMODE=a\n"})
    write(new, AFTER | {"lib/tool.py": "def f():\n    return 2\n", ".env": "DB_PASSWORD=hunter3\nMODE=b\n"})
    script = f'find "$GITSNAP_DIR" -mindepth 1 -delete; cp -r {new}/. "$GITSNAP_DIR"'
    command = ("sh", "-c", script, "sh", "--password", "hunter4")
    run_gitsnap("-C", app, "run", "--label", "two", "--", *command, home=home)
    return app, home


@pytest.fixture(scope="module")
def page(upgraded: tuple[Path, Path]) -> Page:
    app, home = upgraded
    return report(app, home=home)


class TestThePage:
    def test_tells_it_all(self, page: Page) -> None:
        assert "What the upgrade two changed" in page.text
        assert "Kept" in page.texts
        assert "The command exited with 0, and what it left was kept." in page.text
        assert "The snapshot before was read again in full and found right" in page.text
        assert all(f"{name} " in page.text for name in ("@s/gone", "left", "tool"))
        for key, old, new in (("log.level", '"info"', '"debug"'), ("port", "80", "8080")):
            at = page.texts.index(key)
            assert page.texts[at : at + 3] == [key, old, new]
        assert "… and" not in page.text

    def test_lines_stand_side_by_side_with_their_words_marked(self, page: Page) -> None:
        table = page.source.partition("What changed in lib/tool.py</caption>")[2].partition("</table>")[0]
        sides = re.findall(r"<td>2</td><td class=\"([di])\">(.*?)</td>", table)
        assert [(side, "hk" in text) for side, text in sides] == [("d", True), ("i", True)]
        assert ["<del>1</del>" in sides[0][1], "<ins>2</ins>" in sides[1][1]] == [True, True]

    def test_is_a_page_for_everybody(self, page: Page) -> None:
        assert page.named("html") == [{"lang": "en"}]
        assert len(page.named("h1")) == len(page.named("main")) == len(page.named("title")) - 1 == 1
        (chart,) = page.named("svg")
        assert chart["role"] == "img"
        ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
        assert len(ids) == len(set(ids))
        assert set((chart["aria-labelledby"] or "").split()) <= set(ids)
        assert {a["for"] for a in page.named("label")} <= set(ids)
        assert {(a["href"] or "")[1:] for a in page.named("a")} <= set(ids)
        headings = [int(t[1]) for t, _ in page.elements if re.fullmatch("h[1-6]", t)]
        assert all(b <= a + 1 for a, b in itertools.pairwise(headings))

    def test_needs_nothing_and_lets_nothing_in(self, page: Page) -> None:
        (policy,) = [a["content"] or "" for a in page.named("meta") if a.get("http-equiv") == "Content-Security-Policy"]
        rules = dict(r.strip().split(" ", 1) for r in policy.split(";"))
        assert rules.keys() == {"default-src", "style-src", "script-src", "base-uri", "form-action"}
        for name in ("style", "script"):
            digest = base64.b64encode(hashlib.sha256(page.raw[name].encode()).digest()).decode()
            assert rules[f"{name}-src"] == f"'sha256-{digest}'"
        assert {rules[r] for r in ("default-src", "base-uri", "form-action")} == {"'none'"}
        assert not {t for t, _ in page.elements} & {
            "link",
            "img",
            "iframe",
            "object",
            "embed",
            "base",
            "audio",
            "video",
        }
        attributes = {name for _, attrs in page.elements for name in attrs}
        assert not {a for a in attributes if a.startswith("on") or a in ("src", "srcset", "style", "action")}
        assert all((a["href"] or "").startswith("#") for a in page.named("a"))
        assert "url(" not in page.raw["style"]
        assert "@import" not in page.raw["style"]

    def test_the_same_input_makes_the_same_bytes(self, upgraded: tuple[Path, Path], tmp_path: Path) -> None:
        app, home = upgraded
        for name, zone in (("a", "UTC"), ("b", "Asia/Tokyo")):
            env = {"TZ": zone, "PYTHONHASHSEED": str(len(zone))}
            run_gitsnap("-C", app, "report", "-o", tmp_path / name, home=home, env=env)
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


class TestSecrets:
    def test_are_hidden_unless_they_are_asked_for(self, upgraded: tuple[Path, Path]) -> None:
        app, home = upgraded
        hidden = run_gitsnap("-C", app, "report", home=home).stdout
        shown = run_gitsnap("-C", app, "report", "--show-secrets", home=home).stdout
        for secret in ("hunter2", "hunter3", "hunter4", "opensesame", "swordfish"):
            assert secret not in hidden
            assert secret in shown
        assert "DB_PASSWORD=••••(" in Page(hidden.encode()).text.replace(" ", "").replace("\n", "")

    def test_a_file_whose_secret_cannot_be_found_is_not_shown(self, installation: Path) -> None:
        (installation / "a.json").write_text('{"a": [{"name": "token", "value": "\\u0068unter2hunter2"}], "b": 1}')
        first = take_snapshot(installation)
        (installation / "a.json").write_text('{"a": [{"name": "token", "value": "\\u0068unter2hunter2"}], "b": 2}')
        told = report(installation, first, "now").text
        assert "It holds a secret that cannot be hidden line by line" in told
        assert "unter2" not in told


class TestVerdicts:
    def test_rolled_back(self, installation: Path) -> None:
        run_gitsnap("-C", installation, "run", "--", "sh", "-c", 'rm "$GITSNAP_DIR"/release-1.9; exit 3', check=20)
        told = report(installation)
        assert "Rolled back" in told.texts
        assert "The command exited with 3. On " in told.text
        assert "release-1.9" in told.texts

    def test_kept_although_it_failed(self, installation: Path) -> None:
        run = ("run", "--on-failure", "keep", "--", "sh", "-c", 'rm "$GITSNAP_DIR"/release-1.9; exit 3')
        run_gitsnap("-C", installation, *run, check=3)
        assert "Kept, although the command failed" in report(installation).texts

    def test_two_states(self, installation: Path) -> None:
        first = take_snapshot(installation)
        (installation / "new.txt").write_text("new\n")
        told = report(installation, first, "now")
        assert "Comparison" in told.texts
        assert "Neither side has been verified in full yet." in told.texts
        assert "the directory as it was when this page was made" in told.texts
        run_gitsnap("-C", installation, "verify")
        assert "The snapshot before was read again in full and found right." in report(installation, first, "now").text
        assert "Nothing has changed." in report(installation, first, first).texts

    def test_what_cannot_be_read_is_named(self, installation: Path) -> None:
        if os.geteuid() == 0:
            pytest.skip("root reads everything")
        first = take_snapshot(installation)
        (installation / "config" / "shop.ini").chmod(0)
        done = run_gitsnap("-C", installation, "report", first, "now", check=3)
        assert "config/shop.ini" in Page(done.stdout.encode()).text


class TestProof:
    def test_the_commands_on_the_page_say_what_the_page_says(self, upgraded: tuple[Path, Path], page: Page) -> None:
        app, home = upgraded
        export, fsck = next(t for t in page.texts if t.startswith("export GIT_DIR=")).splitlines()
        assert export == f"export GIT_DIR={sidecar_of(app, home)}"
        assert fsck == "git fsck --full --strict"
        pairs = [
            (value, page.texts[n + 1])
            for n, value in enumerate(page.texts)
            if re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", value)
        ]
        assert len(pairs) == 8
        for value, command in pairs:
            assert self.sh(export, command).split()[0] == value
        assert self.sh(export, fsck) == ""
        live = next(t for t in page.texts if t.startswith("cd "))
        assert self.sh(export, live) == ""
        (app / "README.txt").write_text("changed\n")
        with pytest.raises(subprocess.CalledProcessError):
            self.sh(export, live)
        (app / "README.txt").write_text(AFTER["README.txt"])

    @staticmethod
    def sh(*lines: str) -> str:
        done = subprocess.run(["sh", "-ec", "\n".join(lines)], capture_output=True, text=True, check=True)
        return done.stdout

    def test_signatures_are_told(self, installation: Path) -> None:
        first = take_snapshot(installation)
        assert "Not signed." in report(installation, first, "now").text


class TestSize:
    def test_five_thousand_files_stay_below_two_megabytes(self, installation: Path, tmp_path: Path) -> None:
        text = "".join(f"line {n} <b>&amp;</b> {{n}} and some more words to fill it\n" for n in range(40))
        for n in range(5_000):
            folder = installation / f"part{n % 7}" / f"a-rather-long-name-for-a-directory-{n % 211}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"a-rather-long-name-for-a-file-{n}.txt").write_text(text)
        first = take_snapshot(installation)
        for n, path in enumerate(sorted(installation.glob("part*/*/*"))):
            path.write_text(text.replace("{n}", str(n)))
        target = tmp_path / "page.html"
        found = document("-C", installation, "report", first, "now", "-o", str(target))
        data = target.read_bytes()
        assert len(data) == found["report"]["bytes"] <= 2_000_000
        assert found["summary"]["modified"] == 5_000
        assert found["diffs"]["shown"] > 20
        assert found["diffs"]["shown"] + found["diffs"]["left_out"] == 5_000
        page = Page(data)
        assert f"{found['diffs']['left_out']:,} more text files" in page.text
        told = sum(int(n.replace(",", "")) for n in re.findall(r"… and ([\d,]+) more path", page.text))
        listed = sum(a.get("class") == "it" for a in page.named("li"))
        assert listed + told == 5_000

    def test_names_and_lines_without_end_stay_below_it_too(self, installation: Path, tmp_path: Path) -> None:
        deep = installation
        for n in range(24):
            deep = deep / (f"{n}" + "&" * 50)
            deep.mkdir()
            for m in range(3):
                (deep / ("\u202e&<" * 15 + str(m))).write_bytes(b"&" * 100_000)
        first = take_snapshot(installation)
        for path in installation.glob("**/*&<*"):
            path.write_bytes(b"\x01" * 100_000 + b"\n" + b"<\x02\xff" * 1_000 + b"\n" * 3_000)
        target = tmp_path / "page.html"
        run_gitsnap("-C", installation, "report", first, "now", "-o", target)
        assert target.stat().st_size <= 2_000_000
        Page(target.read_bytes())

    def test_a_long_diff_says_how_to_see_the_rest(self, installation: Path) -> None:
        (installation / "it's long.txt").write_text("".join(f"{n}\n" for n in range(900)))
        first = take_snapshot(installation)
        (installation / "it's long.txt").write_text("".join(f"{n} changed\n" for n in range(900)))
        page = report(installation, first, "now")
        assert "… and 600 more changed lines" in page.text
        command = next(t for t in page.texts if " diff " in t and "long" in t)
        shown = subprocess.run(
            ["bash", "-c", command.replace("gitsnap", f"{sys.executable} -m gitsnap", 1)],
            capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        )  # fmt: skip
        assert shown.stdout.count("\n+") == 900 + 1


class TestWhereItGoes:
    @pytest.fixture
    def first(self, installation: Path) -> str:
        found = take_snapshot(installation)
        (installation / "new.txt").write_text("new\n")
        return found

    def test_a_file_for_its_owner(self, installation: Path, first: str, tmp_path: Path) -> None:
        done = run_gitsnap("-C", installation, "report", first, "now", "-o", "page.html", cwd=tmp_path)
        target = tmp_path / "page.html"
        assert done.stdout == f"wrote page.html, {target.stat().st_size / 1000:.1f} kB\n"
        assert stat.S_IMODE(target.stat().st_mode) == 0o600
        assert not [p for p in tmp_path.iterdir() if p.name.startswith(("file-", "."))]
        target.chmod(0o644)
        os.link(target, tmp_path / "other name")
        run_gitsnap("-C", installation, "report", first, "now", "-o", target)
        assert stat.S_IMODE(target.stat().st_mode) == 0o644
        assert target.stat().st_ino != (tmp_path / "other name").stat().st_ino

    def test_a_link_stays_a_link(self, installation: Path, first: str, tmp_path: Path) -> None:
        (tmp_path / "link.html").symlink_to("real.html")
        run_gitsnap("-C", installation, "report", first, "now", "-o", tmp_path / "link.html")
        assert (tmp_path / "link.html").is_symlink()
        assert (tmp_path / "real.html").stat().st_size > 1000

    def test_stdout(self, installation: Path, first: str, tmp_path: Path) -> None:
        run_gitsnap("-C", installation, "report", first, "now", "-o", tmp_path / "page")
        for args in ((), ("-o", "-"), ("-o", "/dev/stdout")):
            done = run_gitsnap("-C", installation, "report", first, "now", *args)
            assert done.stdout.startswith((tmp_path / "page").read_text())

    def test_never_on_a_terminal_unless_that_is_said(self, installation: Path, first: str) -> None:
        screen, terminal = pty.openpty()
        command = [sys.executable, "-m", "gitsnap", "-C", installation, "report", first, "now"]
        done = subprocess.run(command, stdout=terminal, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY)
        os.close(terminal)
        os.close(screen)
        assert done.returncode == 2
        assert done.stderr.endswith(" report -o report.html\n")

    def test_document(self, installation: Path, first: str, tmp_path: Path) -> None:
        found = document("-C", installation, "report", first, "now", "-o", "p.html", cwd=tmp_path)
        assert found["report"] == {"path": "p.html", "bytes": (tmp_path / "p.html").stat().st_size}
        assert (found["from"], found["to"], found["upgrade"]) == (first, "now", None)
        assert found["summary"]["added"] == 1
        assert found["diffs"] == {"shown": 1, "left_out": 0}

    def test_what_is_no_report_stays(self, installation: Path, first: str, tmp_path: Path) -> None:
        mine = tmp_path / "mine.html"
        mine.write_text("<!doctype html>\nmine")
        refused("-C", installation, "report", first, "now", "-o", mine, code=1, kind="exists")
        assert mine.read_text() == "<!doctype html>\nmine"
        refused("-C", installation, "report", first, "now", "-o", tmp_path, code=1, kind="exists")
        refused("-C", installation, "report", first, "now", "-o", tmp_path / "no" / "x", code=1, kind="io")
        mine.write_text("")
        run_gitsnap("-C", installation, "report", first, "now", "-o", mine)

    def test_in_the_installation_only_when_it_is_named(self, installation: Path, first: str) -> None:
        done = run_gitsnap("-C", installation, "report", first, "now", "-o", installation / "r.html")
        assert "the next snapshot will hold it" in done.stderr
        store = sidecar_of(installation)
        refused("-C", installation, "report", first, "now", "-o", store / "r.html", code=2, kind="usage")

    def test_mistakes(self, installation: Path, tmp_path: Path) -> None:
        out = ("-o", str(tmp_path / "x.html"))
        refused("-C", installation, "report", *out, code=10)
        take_snapshot(installation)
        assert "no upgrade was run yet" in refused("-C", installation, "report", *out, code=1, kind="no-such-upgrade")
        refused("-C", installation, "report", "nope", "now", *out, code=1, kind="no-such-snapshot")
        refused("-C", installation, "report", "a", "b", "c", *out, code=2)
        refused("-C", installation, "report", "now", "now", *out, code=2)
        refused("-C", installation, "report", "latest", "now", "-o", "", code=2)
        refused("-C", installation, "report", "latest", "now", "--component", "no", *out, code=1)
        assert run_gitsnap("--json", "-C", installation, "report", "latest", "now", check=2).stdout == ""
        assert not (tmp_path / "x.html").exists()


def test_one_component(upgraded: tuple[Path, Path]) -> None:
    app, home = upgraded
    found = report(app, "--component", "config", home=home)
    assert "app.toml" in found.texts
    assert "settings.json" not in found.texts


def test_your_own_files_come_first(installation: Path, tmp_path: Path) -> None:
    pristine = tmp_path / "pristine"
    subprocess.run(["cp", "-a", installation, pristine], check=True)
    run_gitsnap("-C", installation, "import", "--pristine", "--label", "1.0", pristine)
    (installation / "modules/greet.sh").write_text("mine\n")
    run_gitsnap("-C", installation, "run", "--", "sh", "-c", 'echo theirs >"$GITSNAP_DIR"/modules/greet.sh')
    found = report(installation)
    assert "Files that you had changed or made" in found.texts
    assert found.texts.index("modules/greet.sh") < found.texts.index("Components", found.texts.index("Verdict") + 9)


def test_a_folder_counts_the_files_in_it(tmp_path: Path) -> None:
    app = tmp_path / "app"
    (app / "lib/inner").mkdir(parents=True)
    (app / "lib/one").write_text("1\n")
    (app / "settings.json").write_text('{"a": 1}')
    home = tmp_path / "home"
    first = take_snapshot(app, home=home)
    (app / "lib/inner").chmod(0o700)
    (app / "lib/one").write_text("2\n")
    (app / "settings.json").write_text('{"a": 1, "new": {"b": 1, "c": 2, "d": 3}}')
    found = report(app, first, "now", home=home)
    folder = found.texts[found.texts.index("lib/") :]
    assert "1 modified" in folder and "1 metadata" not in folder
    assert "1 key" in found.texts and "3 keys" not in found.texts


def test_the_tree_that_has_everything(odd_installation: Path) -> None:
    first = take_snapshot(odd_installation)
    subprocess.run(["find", odd_installation, "-mindepth", "1", "-delete"], check=True)
    listed = [a for a in report(odd_installation, first, "now").named("li") if a.get("class") == "it"]
    told = json.loads(run_gitsnap("--json", "-C", odd_installation, "diff", first, "now").stdout)["changes"]
    lost = [c for c in told if c["status"] == "removed"]
    assert len(listed) >= sum(c["old"]["sha256"] is not None for c in lost) > 20
    assert len(listed) <= len(told)


@pytest.mark.usefixtures("gitsnap_home")
class TestChecks:
    def test_each_with_the_end_of_what_it_printed_where_the_upgrade_was(self, tmp_path: Path) -> None:
        app = tmp_path / "app"
        write(app, {"VERSION": "1\n"})
        failing = "seq 100; echo 'connect: token=hunter1longvalue <refused>' >&2; exit 3"
        upgrade = ("--", "sh", "-c", 'echo 2 >"$GITSNAP_DIR/VERSION"')
        run_gitsnap("-C", app, "run", "--check", "echo fine", "--check", failing, *upgrade, check=20)
        for log in (sidecar_of(app) / "gitsnap/audit").iterdir():
            log.write_text(re.sub(r'"host": ?"[^"]*"', '"host":"where-it-was"', log.read_text()))
        run_gitsnap("-C", app, "report", "-o", tmp_path / "r.html")
        page = Page((tmp_path / "r.html").read_bytes())
        assert "failed: it exited with 3" in page.text
        assert "echo fine" in page.text
        assert "<refused>" in page.text
        assert "hunter1longvalue" not in page.source
        assert "\\n61\\n" not in page.source, "the end of what it printed, and no more"
        assert "where-it-was" in page.text
        assert ("a", {"href": "#checks"}) in page.elements
