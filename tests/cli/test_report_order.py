"""A report's order and its budget: the user's file has its lines, every other changed path its name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.helpers import document
from tests.cli.test_changelog_order import app_with, put
from tests.cli.test_report import Page, report
from tests.support.browser import CHROMIUM, chromium
from tests.support.installation import run_gitsnap, take_snapshot

pytestmark = pytest.mark.usefixtures("gitsnap_home")


def many(app: Path, count: int, text: str, name: str = "a/generated-file-with-a-rather-long-name-{}.txt") -> None:
    for n in range(count):
        put(app / name.format(n), f"{text} {n}\n")


def at(page: Page, *texts: str) -> list[int]:
    found = [page.source.index(f">{text}<") for text in texts]
    assert len(found) == len(texts)
    return found


class TestOrder:
    def test_yours_then_configuration_packages_and_the_rest(self, tmp_path: Path) -> None:
        app = app_with(
            tmp_path,
            {
                "etc/app.conf": "a=1\n", "config/app.json": '{"a": 1}', "lib/code.py": "1\n",
                "node_modules/x/package.json": '{"name": "x", "version": "1.0.0"}',
            },
        )  # fmt: skip
        first = take_snapshot(app)
        put(app / "etc/app.conf", "a=2\n")
        put(app / "config/app.json", '{"a": 2}')
        put(app / "lib/code.py", "2\n")
        put(app / "node_modules/x/package.json", '{"name": "x", "version": "2.0.0"}')
        page = report(app, first, "now")
        heads = (
            "How to go back",
            "Most likely yours",
            "Configuration",
            "Packages",
            "Components",
            "Files",
            "Line by line",
        )
        places = [page.source.index(f"<h2>{head}</h2>") for head in heads]
        assert places == sorted(places)
        lines = page.source[places[-1] :]
        assert lines.index("etc/app.conf") < lines.index("lib/code.py")

    def test_the_way_back_who_and_where(self, tmp_path: Path) -> None:
        app = app_with(tmp_path, {"a": "1\n"})
        run_gitsnap("-C", app, "run", "--label", "two", "--", "sh", "-c", 'echo 2 >"$GITSNAP_DIR"/a')
        page = report(app)
        pre = document("-C", app, "list")["snapshots"][0]["id"]
        assert f"gitsnap -C {app} rollback {pre}" in page.texts
        assert f"gitsnap -C {app} restore {pre} PATH" in page.texts
        assert {"By", "Host"} <= set(page.texts)

    def test_a_failed_check_its_cause_and_what_was_left(self, tmp_path: Path) -> None:
        app = app_with(tmp_path, {"a": "1\n"})
        script = ("sh", "-c", 'echo 2 >"$GITSNAP_DIR"/a')
        run_gitsnap("-C", app, "run", "--check", "grep -q 1 a", "--", *script, check=20)
        page = report(app)
        assert page.texts[page.texts.index("Failed check") + 1] == "grep -q 1 a"
        assert "Cause" in page.texts
        safety = next(s["id"] for s in document("-C", app, "list")["snapshots"] if s["kind"] == "safety")
        assert f"gitsnap -C {app} rollback {safety}" in page.texts


class TestBudget:
    def test_ten_thousand_generated_files_and_two_of_the_users(self, tmp_path: Path) -> None:
        names = ("z/mine.conf", "a/mine.txt")
        app = app_with(tmp_path, dict.fromkeys(names, "mine\n"))
        many(app, 10_000, "old")
        first = take_snapshot(app)
        many(app, 10_000, "new")
        for name in names:
            put(app / name, "other\n")
        target = tmp_path / "r.html"
        run_gitsnap("-C", app, "report", first, "now", "-o", target)
        data = target.read_bytes()
        assert len(data) <= 2_000_000
        page = Page(data)
        for name in names:
            assert f"What changed in {name}" in page.texts
            assert page.source.index(name) < page.source.index("<h2>Components</h2>")
        # Every name is there, in the tree or below it.
        listed = {t.rpartition("/")[2] for t in page.texts if "generated-file-with" in t}
        assert {f"generated-file-with-a-rather-long-name-{n}.txt" for n in range(10_000)} <= listed

    def test_what_is_not_on_the_page_is_counted(self, tmp_path: Path) -> None:
        app = app_with(tmp_path, {})
        name = "part-{0}/" + "&" * 150 + "-{0}.bin"
        many(app, 3_000, "old", name)
        first = take_snapshot(app)
        many(app, 3_000, "new", name)
        page = report(app, first, "now")
        (left,) = [int(a["data-left"] or 0) for a in page.named("form")]
        assert left > 0
        assert f"… and {left:,} more paths: " in page.texts
        assert sum(a.get("class") == "it" for a in page.named("li")) + left == 3_000

    def test_compiled_and_minified_files_are_named_and_take_no_lines(self, tmp_path: Path) -> None:
        app = app_with(tmp_path, {"s/app.min.js": "a\n", "s/app.js": "a\n"})
        first = take_snapshot(app)
        put(app / "s/app.min.js", "b\n")
        put(app / "s/app.js", "b\n")
        page = report(app, first, "now")
        assert "What changed in s/app.js" in page.texts
        assert "What changed in s/app.min.js" not in page.texts
        assert "app.min.js" in page.texts

    def test_the_names_of_other_bytes_stay_names(self, tmp_path: Path) -> None:
        app = app_with(tmp_path, {})
        odd = "</li><script>alert(1)</script>"
        many(app, 4_000, "old", "a<b>/" + odd.replace("/", "_") + "-{}-" + "x" * 90)
        first = take_snapshot(app)
        many(app, 4_000, "new", "a<b>/" + odd.replace("/", "_") + "-{}-" + "x" * 90)
        page = report(app, first, "now")
        assert len(page.named("script")) == 1
        assert re.search(r"<b>a&lt;b&gt;/</b>", page.source)


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
class TestInABrowser:
    def test_the_search_goes_to_its_first_hit_and_knows_names_alone(self, tmp_path: Path) -> None:
        app = app_with(tmp_path, {"z/mine.conf": "1\n"})
        many(app, 4_000, "old")
        first = take_snapshot(app)
        many(app, 4_000, "new")
        put(app / "z/mine.conf", "2\n")
        run_gitsnap("-C", app, "report", first, "now", "-o", tmp_path / "r.html")
        ask = """new Promise(done => { const e = document.getElementById('find-text'); e.value = %r;
            e.dispatchEvent(new Event('input')); const wait = () => {
                const hit = document.querySelector('.hit');
                if (!hit) return setTimeout(wait, 20);
                const box = hit.getBoundingClientRect(), bar = document.querySelector('nav').getBoundingClientRect();
                done([document.getElementById('find-count').textContent, hit.textContent,
                    box.top >= bar.bottom && box.bottom <= innerHeight]); };
            wait(); })"""
        with chromium(tmp_path / "profile") as browser:
            browser.size(1280)
            browser.load(tmp_path / "r.html")
            count, text, seen = browser.run(ask % "long-name-3999.txt")
            assert count == "1 of 4,001 paths"
            assert "long-name-3999.txt" in text
            assert seen is True
            # An anchor stops below the bar.
            below = """new Promise(done => { location.hash = '#lines'; setTimeout(() => done(
                document.getElementById('lines').getBoundingClientRect().top >=
                document.querySelector('nav').getBoundingClientRect().bottom), 300); })"""
            assert browser.run(below) is True

    def test_opens_all_of_a_large_page_and_stays_quick(self, tmp_path: Path) -> None:
        app = app_with(tmp_path, {})
        many(app, 3_000, "old", "d{0}/e{0}/file-{0}.txt")
        first = take_snapshot(app)
        many(app, 3_000, "new", "d{0}/e{0}/file-{0}.txt")
        run_gitsnap("-C", app, "report", first, "now", "-o", tmp_path / "r.html")
        press = """new Promise(done => { document.getElementById('open-all').click();
            const wait = () => document.querySelector('details:not([open])') ? setTimeout(wait, 10) : done(true);
            wait(); })"""
        with chromium(tmp_path / "profile") as browser:
            browser.load(tmp_path / "r.html")
            assert browser.run(press) is True
            assert browser.run("document.getElementById('open-all').textContent") == "Close all"

    def test_no_badge_is_cut_on_a_telephone(self, tmp_path: Path) -> None:
        name = "@a-rather-long-scope/with-a-package-of-a-rather-long-name"
        files = {f"node_modules/{name}/package.json": '{"version": "10.20.30-alpha.100"}', "etc/app.conf": "1\n"}
        app = app_with(tmp_path, files)
        first = take_snapshot(app)
        put(app / f"node_modules/{name}/package.json", '{"version": "11.20.30-alpha.100"}')
        put(app / "etc/app.conf", "2\n")
        run_gitsnap("-C", app, "report", first, "now", "-o", tmp_path / "r.html")
        cut = """[...document.querySelectorAll('.badge')].filter(b => { const r = b.getBoundingClientRect();
            return r.width && (r.right > innerWidth || r.left < 0); }).map(b => b.textContent)"""
        with chromium(tmp_path / "profile") as browser:
            browser.size(390)
            browser.load(tmp_path / "r.html")
            assert browser.run("document.querySelectorAll('.badge').length") >= 2
            assert browser.run(cut) == []
