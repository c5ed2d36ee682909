"""A report in a browser: no script but its own runs, nothing is asked for, and it can be read and used."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.cli.test_report import Page
from tests.support.browser import CHROMIUM, Browser, chromium
from tests.support.installation import run_gitsnap

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

_HOST = "127.0.0.1"


@contextmanager
def listening() -> Iterator[tuple[str, list[str]]]:
    """A server that remembers what it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer((_HOST, 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://{_HOST}:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, list[str]]]:
    with listening() as found:
        yield found


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as found:
        yield found


def hostile(url: str) -> list[str]:
    """Texts that would act in a page that does not escape them."""
    act = f"alert(1);window.pwned=1;document.title='pwned';fetch('{url}/fetched')"
    return [
        f"<script>{act}</script>",
        f"</script><script>{act}</script>",
        f"</style><script>{act}</script>",
        f'</title></code></pre></td></table></details></svg><img src={url}/img onerror="{act}">',
        f'"><img src=\'{url}/quoted\' onerror="{act}">',
        f'\'><svg onload="{act}">',
        f"--><iframe src={url}/frame></iframe>",
        f"<!--<script>{act}",
        f"]]><link rel=stylesheet href={url}/css>",
        f"<style>@import '{url}/style';</style><base href={url}/>",
        f"<meta http-equiv=refresh content='0;url={url}/refresh'>",
        "javascript:alert(1)",
        "&lt;script&gt;alert(1)&lt;/script&gt; &#60;b&#62;",
        "\u202egnirts\u2066 \u061c\u200e\u2028 \x07\x1b[31m\x0b\x0c \x7f \x85 \ufeff",
    ]


def build(app: Path, version: int, texts: list[str]) -> None:
    """An installation in which everything that can be named or written is hostile."""
    app.mkdir(exist_ok=True)
    names = [t.replace("/", "") for t in texts]
    nested = app / "a<" / "script>alert(1)<" / "script>"
    nested.mkdir(parents=True, exist_ok=True)
    (nested / "file.txt").write_text(f"{version}\n")
    for n, (name, text) in enumerate(zip(names, texts, strict=True)):
        folder = app / name[:200]
        folder.mkdir(exist_ok=True)
        (folder / f"{name[:150]}.txt").write_text(f"{text}\n{version}{text}\n")
        (folder / f"{n}.js").write_text(f"const a = '{text}'; /* {version} {text}\n*/ `{text}\n")
        (folder / f"{n}.html").write_text(f"<p>{version}</p>{text}\n")
        (folder / f"gone{version}-{name[:100]}").write_text(text)
        link = folder / "link"
        link.unlink(missing_ok=True)
        link.symlink_to(f"{version}{text}")
    quoted = [t.encode("unicode_escape").decode().replace('"', '\\"').replace("\\x", "\\\\x") for t in texts]
    (app / "keys.json").write_text("{" + ",\n".join(f'"{q}": "{version}{q}"' for q in quoted) + "}")
    (app / "keys.ini").write_text("".join(f"[s{n}]\n{t!r} = {version}{t!r}\n" for n, t in enumerate(texts)))
    for n, q in enumerate(quoted):
        package = app / "node_modules" / names[n][:100]
        package.mkdir(parents=True, exist_ok=True)
        (package / "package.json").write_text(f'{{"version": "{version}{q}"}}')
    for n, raw in enumerate([b"\xff\xfe<script>alert(1)", b"\xc3(<img src=x onerror=alert(1)>", b"new\nline\t<b>"]):
        with open(bytes(app) + b"/" + raw, "wb") as file:
            file.write(b"\xff<script>alert(1)</script>\xc3( %d %d\r\n" % (version, n))


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory, server: tuple[str, list[str]]) -> Path:
    """The report of a hostile upgrade."""
    top = tmp_path_factory.mktemp("attacked")
    app, home, texts = top / "app<img src=x onerror=alert(1)>", top / "home", hostile(server[0])
    build(app, 1, texts)
    build(top / "new", 2, texts)
    script = 'find "$GITSNAP_DIR" -mindepth 1 -delete; cp -a "$1"/. "$GITSNAP_DIR"'
    words = ("sh", "-c", script, "sh", str(top / "new"), *(t for t in texts if "\0" not in t))
    options = ("--label", "<script>alert(1)</script>", "-m", " ".join(texts))
    run_gitsnap("-C", app, "run", *options, "--", *words, home=home)
    run_gitsnap("-C", app, "report", "-o", top / "page.html", home=home)
    return top / "page.html"


# Elements that could do something by themselves.
ACTIVE = """[...document.querySelectorAll('*')].filter(e =>
    e.matches('img, iframe, link, base, object, embed, main style, main script, meta[http-equiv=refresh]')
    || [...e.attributes].some(a => /^on|^style$|^src/.test(a.name) || a.name === 'href' && a.value[0] !== '#')
).map(e => e.outerHTML)"""
OPEN_ALL = "document.querySelectorAll('details').forEach(d => d.open = true)"


def settled(browser: Browser) -> None:
    """Let scripts, images and refreshes have their turn."""
    browser.run("new Promise(r => setTimeout(r, 400))")


class TestHostileInput:
    def test_the_watch_sees_what_it_is_to_see(
        self, browser: Browser, server: tuple[str, list[str]], tmp_path: Path
    ) -> None:
        url, asked = server
        (tmp_path / "open.html").write_text(f"<!doctype html><title>x</title>{hostile(url)[0]}{hostile(url)[4]}")
        browser.load(tmp_path / "open.html")
        settled(browser)
        assert browser.dialogs
        assert browser.run("document.title") == "pwned"
        assert {"/fetched", "/quoted"} <= set(asked)
        assert len(browser.requests) >= 3

    def test_no_script_runs_and_nothing_is_asked_for(
        self, browser: Browser, server: tuple[str, list[str]], attacked: Path
    ) -> None:
        for seen in (browser.dialogs, browser.requests, browser.complaints, server[1]):
            seen.clear()
        browser.load(attacked)
        browser.run(OPEN_ALL)
        settled(browser)
        assert (browser.dialogs, server[1], browser.complaints) == ([], [], [])
        assert browser.requests == [attacked.as_uri()]
        found = browser.run("[window.pwned ?? null, document.scripts.length, document.title]")
        assert found[:2] == [None, 1]
        assert found[2].startswith("What the upgrade")
        assert browser.run(ACTIVE) == []

    def test_all_of_it_is_there_to_read(self, browser: Browser, attacked: Path) -> None:
        browser.load(attacked)
        text = browser.run("document.body.textContent")
        for wanted in (
            "<script>alert(1)",
            "javascript:alert(1)",
            "\\xff\\xfe<script>alert(1)",
            "&lt;script&gt;",
            "\\u202e",
        ):
            assert wanted in text
        unseen = [
            c for c in text if (c < " " and c not in "\n\t") or c in "\x7f\x85\u202e\u2066\u061c\u200e\u2028\ufeff"
        ]
        assert unseen == []

    def test_the_parser_finds_it_whole(self, attacked: Path) -> None:
        page = Page(attacked.read_bytes())
        assert len(page.named("script")) == len(page.named("style")) == len(page.named("body")) == 1

    def test_the_policy_would_stop_what_is_not_escaped(
        self, browser: Browser, server: tuple[str, list[str]], attacked: Path, tmp_path: Path
    ) -> None:
        raw = "".join(hostile(server[0])[:10])
        broken = tmp_path / "broken.html"
        broken.write_text(attacked.read_text().replace("</main>", f"{raw}</main>"))
        for seen in (browser.dialogs, browser.complaints, server[1]):
            seen.clear()
        browser.load(broken)
        settled(browser)
        assert (browser.dialogs, server[1], browser.run("window.pwned ?? null")) == ([], [], None)
        assert any("Content Security Policy" in c for c in browser.complaints)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of an ordinary upgrade."""
    top = tmp_path_factory.mktemp("ordinary")
    app, home = top / "app", top / "home"
    (app / "config").mkdir(parents=True)
    (app / "lib").mkdir()
    for n in range(30):
        (app / "lib" / f"m{n}.py").write_text(f"def f():\n    return {n}\n" + "x" * 600 + "\n")
    (app / "config" / "app.yaml").write_text("workers: 2\nhost: a\n")
    script = 'cd "$GITSNAP_DIR"; sed -i "s/2/3/" lib/*.py config/*; echo 1 >lib/new.py; rm lib/m7.py'
    run_gitsnap("-C", app, "run", "--label", "two", "--", "sh", "-c", script, home=home)
    run_gitsnap("-C", app, "report", "-o", top / "page.html", home=home)
    return top / "page.html"


class TestUse:
    @pytest.mark.parametrize("width", [320, 390, 800, 1280])
    def test_nothing_is_wider_than_the_window(self, browser: Browser, page: Path, attacked: Path, width: int) -> None:
        browser.size(width)
        for each in (page, attacked):
            browser.load(each)
            browser.run(OPEN_ALL)
            assert browser.run("document.documentElement.scrollWidth") <= width

    def test_finds_and_filters(self, browser: Browser, page: Path) -> None:
        browser.size(1280)
        browser.load(page)
        ask = """new Promise(done => {
            const set = (id, value) => { const e = document.getElementById(id);
                e.value = [...(e.options ?? [])].find(o => o.textContent === value)?.value ?? value;
                e.dispatchEvent(new Event('input')); e.dispatchEvent(new Event('change')); };
            set('find-text', %r); set('find-status', %r); set('find-component', %r);
            setTimeout(() => done([document.getElementById('find-count').textContent,
                [...document.querySelectorAll('.tree .it')].filter(e => e.checkVisibility()).map(
                    e => e.querySelector('.p').textContent),
                document.querySelectorAll('.diffs > details:not([hidden])').length]), 300); })"""
        assert browser.run(ask % ("lib/new", "", "*")) == ["1 of 15 paths", ["new.py"], 1]
        assert browser.run(ask % ("", "removed", "*")) == ["1 of 15 paths", ["m7.py"], 1]
        assert browser.run(ask % ("", "", "config")) == ["1 of 15 paths", ["app.yaml"], 1]
        assert browser.run(ask % ("workers", "", "*"))[2] == 1
        count, shown, _ = browser.run(ask % ("", "", "*"))
        assert (count, len(shown)) == ("", 15)

    def test_reads_without_scripts(self, browser: Browser, page: Path) -> None:
        browser.without_scripts()
        try:
            browser.load(page)
            assert browser.run("document.getElementById('find').checkVisibility()") is False
            assert "new.py" in browser.run("document.body.textContent")
        finally:
            browser.without_scripts(False)

    def test_says_to_a_screen_reader_what_it_shows(self, browser: Browser, page: Path) -> None:
        browser.load(page)
        told = {(n.get("role", {}).get("value"), n.get("name", {}).get("value")) for n in browser.tree()}
        assert ("heading", "What the upgrade two changed") in told
        (picture,) = [name for role, name in told if role == "image"]
        assert picture.startswith("Changes by component")
        assert "lib: 1 added, 12 modified, 1 removed" in picture
        assert {("searchbox", "Find"), ("combobox", "Kind of change"), ("table", "What changed in lib/m2.py")} <= told

    def test_is_printed_with_everything_open(self, browser: Browser, page: Path) -> None:
        browser.load(page)
        closed = "document.querySelectorAll('details:not([open])').length"
        before = browser.run(closed)
        browser.run("globalThis.onPaper = -1; addEventListener('beforeprint', () => { onPaper = " + closed + "; })")
        browser.pdf()
        assert (browser.run("onPaper"), browser.run(closed)) == (0, before)
        assert before > 0

    def test_is_dark_on_a_dark_screen_and_light_on_paper(self, browser: Browser, page: Path) -> None:
        browser.load(page)
        found = {}
        for scheme, medium in (("light", ""), ("dark", ""), ("dark", "print")):
            browser.scheme(scheme, medium)
            found[scheme, medium] = browser.run("getComputedStyle(document.body).backgroundColor")
        browser.scheme("light")
        assert found["light", ""] == found["dark", "print"] != found["dark", ""]
        assert browser.pdf().startswith(b"%PDF-")
