"""Where output goes: stdout for results, stderr for everything else; colours and progress on terminals only.

All text goes out through one door, which makes control characters visible whatever they came from: a name, a message, a
command, a ref. Only styles set here pass.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from gitsnap.cli.render import formatting
from gitsnap.cli.render.masking import Masking
from gitsnap.config.environment import Options

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_STYLES = {"red": "31", "green": "32", "yellow": "33", "cyan": "36", "bold": "1", "dim": "2"}
_PATIENCE = 0.5
# Begins a style of ours until text goes out. No text can have it in it: it is another one in each process.
_STYLE = f"\0{os.urandom(8).hex()}:"


def _width() -> int:
    import shutil

    return shutil.get_terminal_size().columns


_done = False


def work_is_done(*, answer_counts: bool = False) -> None:
    """What was asked for has been done and stands: from now on, an answer that nobody takes is no failure.

    Where the answer is all that was asked for, it counts.
    """
    global _done
    _done = not answer_counts


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if not _done or not unheard(error):
            raise


def flush() -> None:
    """Write what is left of the answer; OSError where it counts."""
    with _answering():
        sys.stdout.flush()


def unheard(error: OSError) -> bool:
    """Whether stdout is what failed. Nothing is written there any more then; it is said on stderr, if it can be."""
    if error.filename is not None:
        return False
    with suppress(OSError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
        if not isinstance(error, BrokenPipeError):
            told = "what was asked for is done; the answer could not be written to stdout"
            print(f"gitsnap: {told}: {error.strerror}", file=sys.stderr)
    return True


def visible(text: str) -> str:
    """One line as it goes out: escape sequences, direction marks and line ends within are shown, not sent.

    Tabs stay, and empty lines before it.
    """
    line = text.lstrip("\n")
    first, *styled = line.split(_STYLE)
    out = ["\n" * (len(text) - len(line)), formatting.line(first)]
    for part in styled:
        code, _, rest = part.partition("m")
        out.append(f"\033[{code}m{formatting.line(rest)}")
    return "".join(out)


class Terminal:
    """The one printer."""

    def __init__(self, options: Options) -> None:
        self._options = options
        # What is not to be shown; a session with a sidecar knows better (Session.hide_secrets).
        self.secrets = Masking()
        self._color = options.color and not options.json and sys.stdout.isatty()
        # Where a document is one directory's of several: all of them, in order.
        self.gathered: list[dict[str, Any]] | None = None
        self.interactive = sys.stdin.isatty() and sys.stderr.isatty() and not options.json
        self.verbose = options.verbose
        self.full_screen = self.interactive and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self.width = _width() if sys.stdout.isatty() else None

    def told(self, text: str | None) -> str:
        """A command, a message or what a program said, for one line: without secrets and control characters."""
        return formatting.name(self.secrets.text(text or ""))

    def style(self, text: str, style: str) -> str:
        """The text in a style, where there are colours."""
        return f"{_STYLE}{_STYLES[style]}m{text}{_STYLE}0m" if self._color else text

    def draws(self, text: str) -> bool:
        """Whether the encoding of the output has these characters.

        Python writes UTF-8 where the locale is C. Who has set that by name may have a terminal that shows question
        marks for it; where nothing is set, most likely nobody thought of it.
        """
        named = next(filter(None, map(os.environ.get, ("LC_ALL", "LC_CTYPE", "LANG"))), "")
        if named in ("C", "POSIX"):
            return text.isascii()
        try:
            text.encode(sys.stdout.encoding or "ascii")
        except UnicodeEncodeError:
            return False
        return True

    def command(self, words: str) -> str:
        """A gitsnap command to type next, with the options that point to the same place."""
        import shlex

        here = "".join(
            f" {option} {shlex.quote(value)}"
            for option, value in (
                *(("-C", directory) for directory in self._options.directories),
                ("--store", self._options.typed_store),
            )
            if value is not None
        )
        return f"gitsnap{here} {words}"

    def command_from_anywhere(self, words: str, root: str) -> str:
        """A gitsnap command about this directory that is typed elsewhere: in another terminal, later."""
        import shlex

        store = self._options.typed_store
        place = ["-C", os.path.abspath(root), *([] if store is None else ["--store", os.path.abspath(store)])]
        return f"gitsnap {shlex.join(place)} {words}"

    def line(self, text: str = "") -> None:
        """One line of a result."""
        self.lines([text])

    def lines(self, texts: Iterable[str]) -> None:
        """Lines of a result."""
        with _answering():
            for text in texts:
                print(visible(self.secrets.known(text)))

    def remark(self, text: str) -> None:
        """One line beside the result: on stderr, not when quiet or for a program."""
        if not self._options.quiet:
            self.warn(text)

    def warn(self, text: str) -> None:
        """One line that matters even when quiet."""
        if not self._options.json:
            # Both may go to one file: what was said first shall stand first.
            with _answering():
                sys.stdout.flush()
            # Nobody is left to be told.
            with suppress(OSError):
                print(visible(self.secrets.known(text)), file=sys.stderr)

    def document(self, content: dict[str, Any]) -> None:
        """The one JSON document, or one of several that are gathered."""
        if self.gathered is not None:
            self.gathered.append(content)
            return
        from gitsnap.cli.render import json

        self.raw([json.encode(self.secrets.document({"schema": 1} | content))])

    def raw(self, pieces: Iterable[bytes]) -> None:
        """Bytes as they are."""
        with _answering():
            sys.stdout.flush()
            for piece in pieces:
                sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()

    def ask(self, question: str) -> bool:
        """A yes-or-no question; no is the default."""
        clear()
        print(f"{visible(question)} [y/N] ", end="", file=sys.stderr, flush=True)
        answer = sys.stdin.readline()
        return answer.strip().lower() in ("y", "yes")

    @property
    def watched(self) -> bool:
        """Whether a person sees what is told beside the result."""
        return sys.stderr.isatty() and not self._options.quiet and not self._options.json

    def countdown(self, root: str) -> Countdown:
        """Shows what time is left for an upgrade of this directory, on a terminal."""
        shows = self.watched and os.environ.get("TERM") != "dumb"
        return Countdown(shows, self.command_from_anywhere("keep", root))

    def progress(self) -> ProgressLine:
        """An observer that shows long work on a terminal, and nothing elsewhere."""
        return ProgressLine(self.watched and os.environ.get("TERM") != "dumb")


_live: list[ProgressLine | Countdown] = []


def clear() -> None:
    """Take down whatever progress is still shown: something else wants the terminal."""
    for line in [*_live]:
        line.finished()


class Countdown:
    """One line on stderr with the time that is left, while somebody waits; `keep` is what ends the waiting."""

    def __init__(self, shows: bool, keep: str) -> None:
        self._shows, self._keep, self._text = shows, keep, ""

    def __call__(self, soak: float | None, confirm: float | None) -> None:
        """The seconds that are left, of what is waited for."""
        from gitsnap.core.duration import told

        parts = [] if soak is None else [f"checks go on for {told(max(soak, 1) // 1)}"]
        if confirm is not None:
            parts.append(f"goes back in {told(max(confirm, 1) // 1)} unless: {self._keep}")
        text = "; ".join(parts)
        if not self._shows or text == self._text:
            return
        if not self._text:
            _live.append(self)
        self._text = text
        try:
            print(f"\r\x1b[K{formatting.clip(visible(text), _width() - 1)}", end="", file=sys.stderr, flush=True)
        except OSError:
            # The terminal is gone.
            self.finished()
            self._shows = False

    def finished(self) -> None:
        """The line goes."""
        if self._text:
            _live.remove(self)
            self._text = ""
            with suppress(OSError):
                print("\r\x1b[K", end="", file=sys.stderr, flush=True)


class ProgressLine:
    """A progress bar on stderr for what takes longer than half a second."""

    def __init__(self, shows: bool) -> None:
        self._shows = shows
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._phase, self._files, self._size = "", 0, 0
        self._totals: tuple[int | None, int | None] = (None, None)
        self._since = self._drawn = 0.0

    def started(self, phase: str, files: int | None = None, size: int | None = None) -> None:
        """A phase begins."""
        self.finished()
        self._phase, self._files, self._size, self._totals = phase, 0, 0, (files, size)
        self._since = self._drawn = time.monotonic()

    def advanced(self, files: int = 0, size: int = 0) -> None:
        """So much more is done."""
        self._files += files
        self._size += size
        now = time.monotonic()
        if self._shows and now - self._since > _PATIENCE and now - self._drawn > 0.1:
            self._drawn = now
            try:
                self._draw()
            except OSError:
                # A terminal that is gone, or no file that could be opened, ends no work.
                self._shows = False

    def _draw(self) -> None:
        if self._progress is None:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            from gitsnap.ops.process.processes import signals_held

            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(24),
                TextColumn("{task.fields[text]}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            # Interrupted half way, the cursor would be hidden, and nobody know that it is to be shown again.
            with signals_held():
                self._progress.start()
                _live.append(self)
            self._task = self._progress.add_task(self._phase, total=self._totals[1], text="")
        rate = self._size / max(time.monotonic() - self._since, 0.001)
        text = f"{formatting.many(self._files, 'file')}, {formatting.size(self._size)}, {formatting.size(rate)}/s"
        assert self._task is not None
        self._progress.update(self._task, completed=self._size, text=text)

    def finished(self) -> None:
        """The phase ended: the line goes."""
        if self._progress is not None:
            from gitsnap.ops.process.processes import signals_held

            with signals_held():
                with suppress(OSError):
                    self._progress.stop()
                self._progress = None
                _live.remove(self)

    def noticed(self, message: str) -> None:
        """A remark."""
        if self._shows:
            with suppress(OSError):
                print(visible(message), file=sys.stderr)
