"""The terminal browser, driven as a person drives it: keys and clicks on 80 by 24, and what is on the screen then."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot

from gitsnap.cli.browse.app import Browser
from gitsnap.cli.browse.files_screen import FilesScreen
from gitsnap.cli.browse.rollback_screen import RollbackScreen
from gitsnap.cli.browse.rows import Rows
from gitsnap.cli.browse.widgets import Line
from gitsnap.cli.render import formatting
from gitsnap.cli.session import Session
from gitsnap.config.environment import Options
from tests.cli.helpers import document
from tests.support.installation import REPOSITORY, copy_tree, run_gitsnap, same_tree, sidecar_of, take_snapshot

Visit = Callable[["Visitor"], Awaitable[None]]


class Visitor:
    """Somebody at the terminal."""

    def __init__(self, browser: Browser, pilot: Pilot[None]) -> None:
        self.browser, self.pilot = browser, pilot

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self.pilot.press(key)
            await self.pilot.pause()

    async def type(self, text: str) -> None:
        await self.press(*({" ": "space", "/": "slash", ".": "full_stop"}.get(c, c) for c in text))

    def rows(self) -> list[str]:
        """What is drawn of the list, line by line."""
        rows = self.browser.screen.query_one(Rows)
        lines = [rows.render_line(y) for y in range(rows.size.height)]
        assert all(line.cell_length == rows.size.width for line in lines)
        return [line.text.rstrip() for line in lines if line.text.strip()]

    def line(self, name: str) -> str:
        found = [line for line in self.browser.screen.query(f"#{name}").results(Line) if line.display]
        return str(found[0].render()) if found else ""

    def all(self) -> str:
        return "\n".join([self.line("title"), *self.rows(), self.line("about"), *self.line("notice").splitlines()])

    async def until(self, text: str, seconds: float = 300) -> None:
        """Wait for a text on the screen."""
        await self.happens(lambda: text in self.all(), seconds, text)

    async def happens(self, condition: Callable[[], bool], seconds: float = 300, what: str = "it") -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"{what} never came:\n{self.all()}"
            await self.pilot.pause(0.02)

    async def go_to(self, text: str) -> None:
        """Move the cursor down to a line."""
        await self.press("home")
        for _ in range(200):
            rows = self.browser.screen.query_one(Rows)
            if rows.row and text in rows.row.text:
                return
            await self.press("down")
        raise AssertionError(f"no line with {text}:\n{self.all()}")


def browse(app: Path, visit: Visit, *, lock_wait: float = 10.0, seen: str = "the directory as it is") -> None:
    """Visit the browser on an installation."""
    session = Session(Options(directory=str(app), directories=(str(app),), lock_wait=lock_wait), os.environ)

    async def run() -> None:
        browser = Browser(session, session.place())
        try:
            async with browser.run_test(size=(80, 24)) as pilot:
                visitor = Visitor(browser, pilot)
                await visitor.until(seen)
                await visit(visitor)
        finally:
            browser.worker.close()

    asyncio.run(run())


@pytest.fixture
def upgraded(installation: Path) -> Path:
    """An installation with an upgrade behind it, and a change since."""
    take_snapshot(installation, "-m", "as installed")
    script = "echo 'port = 9090' >modules/cart.sh; rm modules/greet.sh; echo new >modules/new.sh"
    run_gitsnap("-C", installation, "run", "--label", "to-2", "--", "sh", "-c", script, cwd=installation)
    (installation / "modules/cart.sh").write_text("port = 1\n")
    return installation


def ids(app: Path) -> list[str]:
    return [s["id"] for s in document("-C", app, "list")["snapshots"]]


def test_an_upgrade_without_a_name(installation: Path) -> None:
    run_gitsnap("-C", installation, "run", "--", "true")

    async def visit(who: Visitor) -> None:
        assert "  upgrade, kept: true" in who.rows()[1]

    browse(installation, visit)


def test_snapshots_are_grouped_by_upgrade(upgraded: Path) -> None:
    async def visit(who: Visitor) -> None:
        first, upgrade, post, pre, manual = who.rows()
        assert first.startswith(">") and "now" in first
        assert "upgrade to-2, kept: sh -c " in upgrade
        assert ("├ post" in post, "└ pre" in pre, "manual" in manual, "as installed" in manual) == (True,) * 4
        await who.go_to("└ pre")
        assert who.line("about").startswith(ids(upgraded)[1])
        await who.go_to("upgrade to-2")
        await who.press("enter")
        await who.until("modules/greet.sh")
        assert [row[2:] for row in who.rows()] == ["M modules/cart.sh", "D modules/greet.sh", "A modules/new.sh"]
        assert "1 added, 1 removed, 1 modified" in who.all()
        await who.press("escape")
        await who.until("the directory as it is")

    browse(upgraded, visit)


def test_a_tree_a_directory_and_a_file(upgraded: Path) -> None:
    async def visit(who: Visitor) -> None:
        await who.go_to("as installed")
        await who.press("enter")
        await who.until("config/")
        directories = [row for row in who.rows() if row.endswith("/")]
        assert directories == who.rows()[: len(directories)]
        await who.go_to("modules/")
        await who.press("enter")
        await who.until("greet.sh")
        assert "new.sh" not in who.all()
        await who.go_to("greet.sh")
        await who.press("enter")
        await who.until("25 B")
        content = run_gitsnap("-C", upgraded, "cat", ids(upgraded)[0], "modules/greet.sh").stdout
        assert who.rows() == [f"{n}  {line}".rstrip() for n, line in enumerate(content.splitlines(), 1)]
        await who.press("escape")
        await who.until("greet.sh")
        await who.press("escape")
        assert who.browser.screen.query_one(Rows).row.what.path == b"modules"  # type: ignore[union-attr]
        await who.press("escape")
        await who.until("the directory as it is")
        await who.press("home", "enter")
        await who.until("now: ./")
        await who.go_to("modules/")
        await who.press("enter")
        await who.until("new.sh")

    browse(upgraded, visit)


def test_differences_between_any_two_and_with_now(upgraded: Path) -> None:
    async def visit(who: Visitor) -> None:
        await who.go_to("as installed")
        await who.press("m")
        assert "*" in who.rows()[-1]
        await who.go_to("├ post")
        await who.press("d")
        first, _, post = ids(upgraded)
        await who.until(f"{first} → {post}")
        await who.until("M modules/cart.sh")
        await who.go_to("modules/cart.sh")
        await who.press("enter")
        await who.until("@@ -1,200 +1 @@")
        patch = run_gitsnap("-C", upgraded, "diff", first, post, "--", "modules/cart.sh").stdout
        assert who.rows() == patch.splitlines()[: len(who.rows())]
        await who.press("end")
        await who.until("+port = 9090")
        await who.press("escape", "escape", "home", "d")
        await who.until(f"{first} → now")
        await who.press("escape")
        await who.go_to("as installed")
        await who.press("m")
        await who.go_to("├ post")
        await who.press("d")
        await who.until(f"{post} → now")
        await who.until("1 modified")
        # A path alone, from a tree.
        await who.press("escape", "enter")
        await who.go_to("modules/")
        await who.press("enter")
        await who.go_to("cart.sh")
        await who.press("d")
        await who.until("+port = 1")

    browse(upgraded, visit)


def test_one_file_comes_back_after_its_plan_was_agreed_to(upgraded: Path, tmp_path: Path) -> None:
    before = copy_tree(upgraded, tmp_path / "before")
    known = ids(upgraded)

    async def visit(who: Visitor) -> None:
        await who.go_to("├ post")
        await who.press("enter")
        await who.go_to("modules/")
        await who.press("enter")
        await who.go_to("cart.sh")
        await who.press("r")
        await who.until("Go ahead?")
        assert "write  modules/cart.sh" in who.all()
        same_tree(before, upgraded)
        assert ids(upgraded) == known
        await who.press("y")
        await who.until("verified")
        assert "restored modules/cart.sh to " in who.all()
        # Where the line breaks depends on how long the path is.
        assert "To undo: gitsnap -C /" in " ".join(who.all().split())
        await who.press("escape", "escape", "escape")
        await who.until("safety")

    browse(upgraded, visit)
    assert (upgraded / "modules/cart.sh").read_text() == "port = 9090\n"
    assert [name.endswith("-safety") for name in ids(upgraded)[len(known) :]] == [True]
    run_gitsnap("-C", upgraded, "undo", "-y")
    same_tree(before, upgraded)


@pytest.mark.parametrize("key", ["n", "escape", "q", "ctrl+c"])
def test_a_rollback_declined_touches_nothing(upgraded: Path, tmp_path: Path, key: str) -> None:
    before, known = copy_tree(upgraded, tmp_path / "before"), ids(upgraded)

    async def visit(who: Visitor) -> None:
        await who.go_to("└ pre")
        await who.press("b")
        await who.until("Go ahead?")
        plan = [line for line in who.rows() if line.startswith(("  write ", "  remove "))]
        assert {line.split()[1] for line in plan} == {"modules/cart.sh", "modules/greet.sh", "modules/new.sh"}
        await who.press(key)
        if key in ("n", "escape"):
            await who.until("Nothing was touched")
        else:
            await who.happens(lambda: who.browser._exit)

    browse(upgraded, visit)
    same_tree(before, upgraded)
    assert ids(upgraded) == known
    # The lock is free again.
    take_snapshot(upgraded)


def test_a_rollback_confirmed_is_verified(upgraded: Path) -> None:
    async def visit(who: Visitor) -> None:
        await who.go_to("upgrade to-2")
        await who.press("b")
        await who.until("Go ahead?")
        await who.press("y")
        await who.until("restored the directory to ")
        assert "verified" in who.all()
        await who.press("escape")
        await who.until("upgrade to-2, reverted")
        # Its safety snapshot belongs to the upgrade, which stands where it was.
        kinds = [next(k for k in ("now", "upgrade", "safety", "post", "pre", "manual") if k in r) for r in who.rows()]
        assert kinds == ["now", "upgrade", "safety", "post", "pre", "manual"]

    browse(upgraded, visit)
    assert run_gitsnap("-C", upgraded, "verify", "--live", ids(upgraded)[1]).stdout.startswith("ok ")


def held_back(who: Visitor, phase: str) -> tuple[threading.Event, threading.Event]:
    """The work stops at a phase: whether it is there, and what lets it go on."""
    there, go_on = threading.Event(), threading.Event()
    started = who.browser.worker.progress.started

    def stop(name: str, files: int | None = None, size: int | None = None) -> None:
        started(name, files, size)
        if name == phase:
            there.set()
            go_on.wait(300)

    who.browser.worker.progress.started = stop  # type: ignore[method-assign]
    return there, go_on


def test_nobody_leaves_in_the_middle(upgraded: Path) -> None:
    async def visit(who: Visitor) -> None:
        there, go_on = held_back(who, "replacing")
        await who.go_to("└ pre")
        await who.press("b")
        await who.until("Go ahead?")
        await who.press("y")
        await who.happens(there.is_set)
        await who.press("q", "escape")
        assert isinstance(who.browser.screen, RollbackScreen)
        assert "wait for it" in who.line("notice")
        go_on.set()
        await who.until("restored the directory")

    browse(upgraded, visit)
    assert run_gitsnap("-C", upgraded, "verify", "--live", ids(upgraded)[1]).stdout.startswith("ok ")


@pytest.mark.parametrize("leaves", [False, True])
def test_ctrl_c_stops_between_two_steps(upgraded: Path, tmp_path: Path, leaves: bool) -> None:
    before = copy_tree(upgraded, tmp_path / "before")

    async def visit(who: Visitor) -> None:
        there, go_on = held_back(who, "replacing")
        await who.go_to("└ pre")
        await who.press("b")
        await who.until("Go ahead?")
        await who.press("y")
        await who.happens(there.is_set)
        if leaves:
            # What a signal does.
            who.browser.told_to_stop()
            await who.happens(lambda: who.browser._exit)
            threading.Timer(0.5, go_on.set).start()
            return
        await who.press("ctrl+c")
        go_on.set()
        await who.until("It did not work")
        assert "recover" in who.all()
        await who.press("escape")
        await who.until("A rollback was interrupted")
        await who.go_to("as installed")
        await who.press("b")
        await who.until("It did not work")
        assert f"gitsnap -C {upgraded} recover"[:30] in " ".join(" ".join(who.rows()).split())
        assert "has to be settled first" in " ".join(" ".join(who.rows()).split())

    browse(upgraded, visit)
    assert document("-C", upgraded, "status")["pending_recovery"]["phase"] == "forward"
    run_gitsnap("-C", upgraded, "recover", "--revert")
    same_tree(before, upgraded)


def test_a_lock_that_another_process_holds_is_said(upgraded: Path, tmp_path: Path) -> None:
    before = copy_tree(upgraded, tmp_path / "before")
    lock = sidecar_of(upgraded) / "gitsnap/writer.lock"
    script = f"import fcntl; f = open({str(lock)!r}); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=-1, stdout=-1, text=True) as other:
        assert other.stdout
        other.stdout.readline()

        async def visit(who: Visitor) -> None:
            await who.go_to("as installed")
            await who.press("b")
            await who.until("another gitsnap")
            assert "It did not work" in who.all()
            await who.press("escape")
            await who.press("enter")
            await who.until("config/")

        browse(upgraded, visit, lock_wait=0.1)

        async def leave(who: Visitor) -> None:
            await who.go_to("as installed")
            await who.press("b")
            await who.until("waiting for another gitsnap")
            await who.press("q")
            await who.happens(lambda: who.browser._exit)

        browse(upgraded, leave, lock_wait=2)
        other.communicate("\n")
    same_tree(before, upgraded)


HOSTILE = (
    "[bold red]x[bold]",
    "[@click=app.bell]x",
    "\x1b]0;title\x07",
    "\x1b[2Jcleared",
    "\x9b31m",
    "line\nbreak",
    "\u202eevil",
    b"caf\xe9",
    "long" * 60,
    "日本語",
    "$(x)",
)


def test_names_and_contents_are_shown_and_never_obeyed(upgraded: Path) -> None:
    top = os.fsencode(upgraded / "hostile")
    os.mkdir(top)
    for name in HOSTILE:
        assert b"/" not in os.fsencode(name)
        with open(os.path.join(top, os.fsencode(name)), "wb") as file:
            file.write(os.fsencode(name) * 3)
    take_snapshot(upgraded, "-m", "[red]message[/] \x1b[31m")

    def clean(who: Visitor) -> None:
        text = who.all().replace("\n", "")
        assert text.isprintable(), repr(text)
        svg = who.browser.export_screenshot()
        assert "\x1b" not in svg and "\u202e" not in svg

    async def visit(who: Visitor) -> None:
        await who.go_to("[red]message")
        assert "[red]message[/] \\x1b[31m" in who.line("about")
        clean(who)
        await who.press("enter")
        await who.go_to("hostile/")
        await who.press("enter")
        await who.until("[bold red]x[bold]")
        clean(who)
        assert "\\x1b]0;title\\x07" in who.all()
        assert "\\u202eevil" in who.all()
        assert "caf\\xe9" in who.all()
        assert "日本語" in who.all()
        for _ in HOSTILE:
            row = who.browser.screen.query_one(Rows).row
            assert row
            assert formatting.name(row.what.path) in who.line("about")
            await who.press("enter")
            assert formatting.name(row.what.path) in who.line("title")
            await who.until("1 line" if "break" not in who.line("title") else "lines")
            clean(who)
            await who.press("escape", "down")
            clean(who)
        await who.press("escape", "escape", "home", "d")
        await who.until("no changes")
        await who.press("escape")
        await who.go_to("as installed")
        await who.press("d")
        await who.until("hostile/")
        clean(who)
        await who.press("r")
        await who.press("escape", "b")
        await who.until("Go ahead?")
        clean(who)
        await who.press("n")

    browse(upgraded, visit)


def test_binary_and_huge_files_are_shown_in_part(upgraded: Path) -> None:
    (upgraded / "huge.txt").write_bytes(b"0123456789abcde\n" * 100_000)
    (upgraded / "picture").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 10_000)
    with (upgraded / "holes").open("wb") as file:
        file.truncate(3_000_000_000)
    os.mkfifo(upgraded / "pipe")

    async def visit(who: Visitor) -> None:
        await who.press("home", "enter")
        for name, wanted in (
            ("huge.txt", "only the first 262 kB"),
            ("picture", "PNG image, 2.6 MB"),
            ("holes", "binary, 3.0 GB"),
            ("pipe", "a FIFO: there is no content"),
        ):
            await who.go_to(name)
            await who.press("enter")
            await who.until(wanted)
            await who.press("end")
            await who.press("escape")
            await who.until("now: ./")

    browse(upgraded, visit)


def test_a_filter_and_the_mouse(upgraded: Path) -> None:
    async def visit(who: Visitor) -> None:
        await who.press("slash")
        await who.type("INSTALLED")
        await who.until("1 of 5 lines")
        assert len(who.rows()) == 1
        await who.press("enter", "enter")
        await who.until("config/")
        await who.press("escape", "escape")
        await who.happens(lambda: len(who.rows()) == 5)
        await who.press("slash", "z", "escape")
        await who.happens(lambda: len(who.rows()) == 5)
        await who.pilot.click(Rows, offset=(10, 4))
        await who.pilot.pause()
        assert who.rows()[4].startswith("> ")
        await who.pilot.click(Rows, offset=(10, 4))
        await who.until("config/")
        await who.press("question_mark")
        await who.until("Among snapshots")
        await who.press("escape")
        await who.until("config/")
        await who.press("q")
        await who.happens(lambda: who.browser._exit)

    browse(upgraded, visit)


def test_without_snapshots_and_after_damage(installation: Path) -> None:
    run_gitsnap("-C", installation, "init")

    async def empty(who: Visitor) -> None:
        assert len(who.rows()) == 1
        await who.press("d")
        await who.until("there are no snapshots yet")
        await who.press("escape", "escape", "enter")
        await who.until("config/")

    browse(installation, empty)
    name = take_snapshot(installation)
    take_snapshot(installation)
    (sidecar_of(installation) / "refs/gitsnap/snapshots" / name).write_text("0" * 40 + "\n")

    async def damaged(who: Visitor) -> None:
        await who.until(f"Damaged, and not shown: {name}")
        assert len(who.rows()) == 2

    browse(installation, damaged)


def test_what_needs_a_terminal_says_so(upgraded: Path) -> None:
    assert "browse needs a terminal" in run_gitsnap("-C", upgraded, "browse", check=2).stderr
    assert run_gitsnap("-C", upgraded, "browse", check=2).stdout == ""
    assert "knows no --json" in run_gitsnap("--json", "-C", upgraded, "browse", check=2).stderr


def test_only_browse_loads_textual(upgraded: Path) -> None:
    code = (
        "import sys, gitsnap.__main__ as m\n"
        f"m.run(['-C', {str(upgraded)!r}, 'status'])\n"
        "assert not [n for n in sys.modules if n.startswith('textual')]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY, stdout=subprocess.DEVNULL)


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
@pytest.mark.parametrize("no_color", [False, True])
def test_in_a_real_terminal(upgraded: Path, tmp_path: Path, no_color: bool) -> None:
    server = ["tmux", "-L", f"gitsnap-test-{os.getpid()}-{no_color}", "-f", "/dev/null"]
    variables = {"GITSNAP_HOME": os.environ["GITSNAP_HOME"], "PYTHONPATH": str(REPOSITORY)}
    given = [f"{k}={v}" for k, v in (variables | ({"NO_COLOR": "1"} if no_color else {})).items()]
    inside = ["env", *given, sys.executable, "-m", "gitsnap", "-C", str(upgraded), "browse"]

    def tmux(*words: str) -> str:
        environment = {k: v for k, v in os.environ.items() if k not in ("TMUX", "NO_COLOR")} | {"LC_ALL": "C.UTF-8"}
        return subprocess.run([*server, *words], env=environment, check=True, capture_output=True, text=True).stdout

    def until(text: str) -> str:
        deadline = time.monotonic() + 300
        while text not in (screen := tmux("capture-pane", "-p")):
            assert time.monotonic() < deadline, screen
            time.sleep(0.05)
        return screen

    tmux("new-session", "-d", "-x", "80", "-y", "24", *inside)
    try:
        tmux("set-option", "-g", "remain-on-exit", "on")
        screen = until("as installed")
        assert len(screen.rstrip("\n").split("\n")) == 24
        footer = screen.rstrip().splitlines()[-1]
        assert all(word in footer for word in ("Enter Open", "Mark", "Diff", "Roll back", "Filter", "Help", "q Quit"))
        # Colours are ESC [ 3x, 4x, 9x; NO_COLOR leaves bold, dim and reverse.
        coloured = [c for c in tmux("capture-pane", "-p", "-e").split("\x1b[")[1:] if c[:2] in ("31", "32", "36")]
        assert not (no_color and coloured)
        tmux("send-keys", "End", "b")
        assert "write  modules/cart.sh" in until("Go ahead?")
        tmux("send-keys", "y")
        until("restored the directory to ")
        tmux("send-keys", "Escape")
        until("safety")
        tmux("send-keys", "q")
        while tmux("display-message", "-p", "#{pane_dead}").strip() != "1":
            time.sleep(0.05)
        assert "Traceback" not in tmux("capture-pane", "-p", "-S", "-")
    finally:
        tmux("kill-server")
    assert run_gitsnap("-C", upgraded, "verify", "--live", ids(upgraded)[0]).stdout.startswith("ok ")


def test_code_is_numbered_and_coloured_and_q_closes_it(installation: Path) -> None:
    (installation / "main.py").write_text("import os\n\n\ndef f():\n    return 'text'  # why\n")
    take_snapshot(installation)

    async def visit(who: Visitor) -> None:
        await who.press("end", "enter")
        await who.until("main.py")
        await who.go_to("main.py")
        await who.press("enter")
        await who.until("return 'text'")
        assert who.rows()[:5] == ["1  import os", "2", "3", "4  def f():", "5      return 'text'  # why"]
        rows = who.browser.screen.query_one(Rows)
        colours = {s.text: s.style.color.name for s in rows.render_line(4) if s.style and s.style.color}
        assert colours["return"] != colours["'text'"]
        await who.press("slash", *"4", "enter")
        await who.happens(lambda: "def f" not in who.all())
        await who.press("escape", "q")
        await who.until("modules/")
        assert isinstance(who.browser.screen, FilesScreen)

    browse(installation, visit)


def test_left_goes_up_and_right_opens(installation: Path) -> None:
    (installation / "modules/long.txt").write_text("x" * 300 + "\n")
    take_snapshot(installation)

    async def visit(who: Visitor) -> None:
        await who.press("end", "right")
        await who.until("modules/")
        await who.go_to("modules/")
        await who.press("right")
        await who.until("long.txt")
        await who.go_to("long.txt")
        await who.press("right")
        await who.until("xxxxxxxx")
        await who.press("right", "left")
        await who.until("xxxxxxxx")
        await who.press("left")
        await who.until("greet.sh")
        await who.press("left")
        await who.until("config/")
        assert "> d" in "\n".join(who.rows())
        await who.press("left")
        await who.until("the directory as it is")
        await who.press("left")
        assert "the directory as it is" in who.all()

    browse(installation, visit)


def test_generated_files_are_folded(installation: Path) -> None:
    for n in range(40):
        (installation / "modules" / f"m{n}.pyc").write_bytes(b"\0old")
    take_snapshot(installation)
    for n in range(40):
        (installation / "modules" / f"m{n}.pyc").write_bytes(b"\0newer")
    (installation / "modules/greet.sh").write_text("mine\n")

    async def visit(who: Visitor) -> None:
        await who.press("end", "d")
        await who.until("+ compiled code: 40 files")
        assert "m10.pyc" not in who.all()
        assert "modules/greet.sh" in who.rows()[0]
        await who.press("end", "r", "enter")
        await who.until("- compiled code: 40 files")
        await who.until("m10.pyc")
        await who.press("enter")
        await who.until("+ compiled code: 40 files")

    browse(installation, visit)
