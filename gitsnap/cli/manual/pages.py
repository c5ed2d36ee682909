"""What each manual page holds, and from where: the reference has the texts, the parser names, order and options."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from gitsnap import __version__
from gitsnap.cli import app, reference
from gitsnap.cli.manual import roff
from gitsnap.cli.manual.markdown import Block, Table, blocks
from gitsnap.cli.reference import Section

_SETTINGS = "gitsnap.toml"
# Where a page of the reference that is named as a whole is to be found.
_WHERE = {"configuration.md": f"{_SETTINGS}(5)", "exit-codes.md": "gitsnap(1)"}
_ANYWHERE = "Any command may end with those of `gitsnap`(1), and takes the global options there."
_ONLY_A_LINK = re.compile(r"\[[^]]*\]\([^)]*\)")
_OPTION = re.compile(r"(?<![\w-])--?[a-zA-Z][\w-]*")


def pages(date: str) -> Iterator[tuple[str, str]]:
    """Each page by its file (`gitsnap.1`), as roff. `date` is that of the text, as in 2026-11-30."""
    application = app.whole()
    context = application.make_context("gitsnap", [], resilient_parsing=True)
    shown = {name: command for name, command in application.commands.items() if not command.hidden}
    writer = _Writer(shown, context, date)
    yield "gitsnap.1", writer.program(application)
    for name in shown:
        yield f"gitsnap-{name}.1", writer.command(name)
    yield f"{_SETTINGS}.5", writer.settings()


class _Writer:
    def __init__(self, commands: dict[str, Any], context: Any, date: str) -> None:
        self._commands, self._context, self._date = commands, context, date

    def program(self, application: Any) -> str:
        """gitsnap(1)."""
        opening, *others = reference.sections()
        general = {s.title: s for s in others if self._about(s.title) is None}
        about = [block for block in blocks(opening.prose) if not isinstance(block, Table)]
        settings = _parts("configuration.md")
        return self._page(
            "gitsnap",
            1,
            self._name("gitsnap", application.help),
            roff.section("Synopsis", roff.synopsis(opening.synopsis())),
            roff.section("Description", self._rendered(about)),
            roff.section("Commands", *self._groups()),
            roff.section("Options", self._text(general.pop("Global options").body)),
            roff.section("Examples", *_examples(opening)),
            *(roff.section(title, self._text(s.body)) for title, s in general.items()),
            roff.section("Exit status", self._text(_parts("exit-codes.md")[""])),
            roff.section("Environment", self._text(settings["Environment"])),
            roff.section("Files", self._text(settings[""]), self._text(settings["Where sidecars are"])),
            _see_also([f"{_SETTINGS}(5)", "git(1)", "gitignore(5)"]),
        )

    def command(self, name: str) -> str:
        """The page of a command."""
        found = reference.section(name) or Section(name, "")
        listed = list(blocks(found.prose))
        tables = [block for block in listed if isinstance(block, Table) and _of_options(block)]
        exits = [roff.tagged(f"`{code}`", said, link=self._link) for code, said in found.exits.codes.items()]
        besides = [roff.rendered(blocks(text), self._link) for text in (found.exits.besides, _ANYWHERE) if text]
        return self._page(
            f"gitsnap-{name}",
            1,
            self._name(f"gitsnap-{name}", self._short(name)),
            roff.section("Synopsis", roff.synopsis(found.synopsis(name))),
            roff.section("Description", self._rendered([b for b in listed if b not in tables])),
            roff.section("Options", *self._options(name, tables)),
            roff.section("Examples", *_examples(found)),
            roff.section("Exit status", *exits, *besides),
            _see_also(self._related(name, found)),
        )

    def settings(self) -> str:
        """gitsnap.toml(5)."""
        parts = _parts("configuration.md")
        opening = parts.pop("")
        return self._page(
            _SETTINGS,
            5,
            self._name(
                _SETTINGS, "what gitsnap keeps, excludes, checks, signs and tells, for one directory or for all"
            ),
            roff.section("Description", self._text(opening)),
            *(roff.section(title, self._text(body)) for title, body in parts.items()),
            _see_also(["gitsnap(1)", "gitignore(5)"]),
        )

    def _page(self, title: str, section: int, *parts: str) -> str:
        return roff.document(title, section, self._date, __version__, *parts)

    def _name(self, name: str, sentence: str) -> str:
        said = sentence.strip().rstrip(".").replace("`", "")
        return roff.section("Name", rf"{roff.typed(name)} \- {roff.typed(said[0].lower() + said[1:])}" + "\n")

    def _short(self, name: str) -> str:
        return str(self._commands[name].get_short_help_str(1000))

    def _groups(self) -> Iterator[str]:
        for group, names in app.groups(self._commands).items():
            yield roff.subsection(group)
            yield roff.rows(((f"`gitsnap-{name}`(1)", self._short(name)) for name in names), self._link)

    def _options(self, name: str, tables: list[Table]) -> Iterator[str]:
        """What the reference says of each option, and the parser of those of which it says nothing in a table."""
        told = set()
        for row in (row for table in tables for row in table.rows):
            if not _ONLY_A_LINK.fullmatch(row[-1]):
                told |= set(_OPTION.findall(row[0]))
                yield roff.tagged(*row, link=self._link)
        command = self._commands[name]
        with type(self._context)(command, info_name=name, parent=self._context) as context:
            for parameter in command.get_params(context):
                record = parameter.get_help_record(context)
                if parameter.param_type_name == "option" and record and told.isdisjoint(parameter.opts):
                    yield roff.tagged(f"`{record[0]}`", record[1], link=self._link)

    def _related(self, name: str, found: Section) -> list[str]:
        targets = re.findall(r"\]\(#([a-z-]+)\)", found.body)
        names = [part for target in targets for part in (self._about(target.replace("-", " ")) or [])]
        beside = [f"{_SETTINGS}(5)"] if "](configuration.md" in found.body else []
        others = dict.fromkeys(n for n in [*(self._about(found.title) or []), *names] if n != name)
        return ["gitsnap(1)", *(f"gitsnap-{n}(1)" for n in others), *beside]

    def _about(self, title: str) -> list[str] | None:
        """The commands that a section is about; None for one that is about all."""
        names = title.split(" and ")
        return names if set(names) <= set(self._commands) else None

    def _link(self, text: str, target: str) -> str | None:
        word = text.strip("`")
        if target == f"#{word}" and word in self._commands:
            return _reference(f"gitsnap-{word}(1)")
        if target in _WHERE:
            return _reference(_WHERE[target])
        if target.startswith("https://") and target != word:
            return f"{roff.inline(text, self._link)} ({roff.typed(target)})"
        return None

    def _text(self, markdown: str) -> str:
        return self._rendered(blocks(markdown))

    def _rendered(self, found: Iterable[Block]) -> str:
        return roff.rendered(found, self._link)


def _parts(page: str) -> dict[str, str]:
    """The sections of a page by their headings; what stands before the first has none."""
    opening, *parts = re.split(r"(?m)^## (.+)\n", reference.page(page))
    return {"": opening.partition("\n")[2], **dict(zip(parts[::2], parts[1::2], strict=True))}


def _of_options(table: Table) -> bool:
    return all(row[0].startswith(("`-", "(none)")) for row in table.rows)


def _examples(found: Section) -> Iterator[str]:
    """A line that says what for, then what to type."""
    lines: list[str] = []
    for line in [*found.examples, "# "]:
        if not line.startswith("# "):
            lines.append(line)
            continue
        if lines:
            yield roff.literal(lines)
        lines = []
        if line.strip("# "):
            yield roff.plain(line[2:])


def _see_also(names: list[str]) -> str:
    return roff.section("See also", ",\n".join(map(_reference, names)) + "\n")


def _reference(page: str) -> str:
    name, _, section = page.partition("(")
    return rf"\fB{roff.typed(name)}\fR({section}"
