"""The manual pages: made of the reference and the parser, so that neither says what the other does not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitsnap.cli import app, reference
from gitsnap.cli.manual import roff
from gitsnap.cli.manual.markdown import Code, Heading, Items, Paragraph, Table, blocks
from gitsnap.cli.manual.pages import pages
from gitsnap.cli.manual.write import write

_SHOWN = [name for name, command in app.whole().commands.items() if not command.hidden]
_PAGES = dict(pages("2026-11-30"))


def needs(*programs: str) -> pytest.MarkDecorator:
    missing = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of manual pages, as systems have it."""
    root = tmp_path_factory.mktemp("man")
    for section in ("man1", "man5"):
        (root / section).mkdir()
    for page in write(root / "flat"):
        page.rename(root / f"man{page.suffix[1:]}" / page.name)
    (root / "flat").rmdir()
    return root


def _text(page: Path | str) -> str:
    """A page as a terminal has it, each run of blanks as one."""
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-P-cbou"],
        input=_PAGES[page] if isinstance(page, str) else page.read_text(),
        capture_output=True,
        text=True,
        check=True,
    )
    return " ".join(done.stdout.split())


def test_every_command_has_a_page_and_nothing_else_has() -> None:
    assert set(_PAGES) == {"gitsnap.1", "gitsnap.toml.5", *(f"gitsnap-{name}.1" for name in _SHOWN)}


@pytest.mark.parametrize("name", _SHOWN)
def test_a_page_has_its_parts(name: str) -> None:
    text = _PAGES[f"gitsnap-{name}.1"]
    short = app.whole().commands[name].get_short_help_str(1000).rstrip(".").replace("`", "")
    headings = re.findall(r'(?m)^\.SH "(.+)"$', text)
    expected = ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES", "EXIT STATUS", "SEE ALSO"]
    assert headings == [h for h in expected if h != "OPTIONS" or name != "git"]
    named = re.search(r'(?m)^\.SH "NAME"\n(.+) \\- (.+)$', text)
    assert named is not None
    assert named[1] == roff.typed(f"gitsnap-{name}")
    assert named[2] == roff.typed(short[0].lower() + short[1:])
    assert text.isascii()


def test_the_page_of_all_has_its_parts() -> None:
    headings = re.findall(r'(?m)^\.SH "(.+)"$', _PAGES["gitsnap.1"])
    assert headings[:6] == ["NAME", "SYNOPSIS", "DESCRIPTION", "COMMANDS", "OPTIONS", "EXAMPLES"]
    assert headings[-4:] == ["EXIT STATUS", "ENVIRONMENT", "FILES", "SEE ALSO"]
    # What the reference says of all commands is nowhere left out.
    about_all = [s.title for s in reference.sections()[1:] if not set(s.title.split(" and ")) <= set(_SHOWN)]
    assert len(about_all) > 8
    told = {h.replace("\\-", "-").lower() for h in headings}
    assert {t.replace("`", "").lower() for t in about_all} - told == {"global options"}
    assert '.SH "\\-n AND \\-y"' in _PAGES["gitsnap.1"]


@needs("groff")
@pytest.mark.parametrize("name", _SHOWN)
def test_a_page_says_all_that_help_and_the_reference_say(name: str) -> None:
    text, section = _text(f"gitsnap-{name}.1"), reference.section(name)
    assert section is not None
    command = app.whole().commands[name]
    options = [o for p in command.params if p.param_type_name == "option" and not p.hidden for o in p.opts]
    listed = text.partition(" OPTIONS ")[2].partition(" EXAMPLES ")[0]
    assert [o for o in options if not re.search(rf"(?<![\w-]){o}(?![\w-])", listed)] == []
    examples = text.partition(" EXAMPLES ")[2].partition(" EXIT STATUS ")[0]
    assert [line for line in section.examples if " ".join(line.removeprefix("# ").split()) not in examples] == []
    exits = text.partition(" EXIT STATUS ")[2]
    assert [code for code in section.exits.codes if not re.search(rf"(?<![\d-]){code} ", exits)] == []
    # Each word of the prose, whatever becomes of links and marks.
    said = set(re.findall(r"[a-z]{4,}", text.lower()))
    wanted = set(re.findall(r"[a-z]{4,}", re.sub(r"\]\([^)]*\)|<a [^>]*>", "", section.prose.lower())))
    assert wanted - said <= {"console", "meaning", "option", "secrets", "variable"}


@needs("groff")
def test_groff_has_nothing_to_complain_of(folder: Path) -> None:
    for page in sorted(folder.glob("man*/*")):
        done = subprocess.run(["groff", "-man", "-ww", "-z", "-Tutf8", page], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, ""), page.name


@needs("mandoc")
def test_mandoc_has_nothing_to_complain_of(folder: Path) -> None:
    """But that the line of a name cannot be parted."""
    told = subprocess.run(["mandoc", "-Tlint", *sorted(folder.glob("man*/*"))], capture_output=True, text=True).stdout
    assert [line for line in told.splitlines() if "STYLE: input text line longer than 80 bytes" not in line] == []


@pytest.mark.parametrize(
    ("typed", "page"),
    [
        ("undo upgrade", "gitsnap"),
        ("undo", "gitsnap-undo"),
        ("rollback", "gitsnap-rollback"),
        ("roll back", "gitsnap-run"),
        ("space used", "gitsnap-status"),
        ("take a snapshot", "gitsnap-snapshot"),
        ("protect a directory", "gitsnap-init"),
    ],
)
def test_what_somebody_looks_for_stands_in_a_line_of_its_page(typed: str, page: str) -> None:
    """`apropos` takes several words in quotes for one expression, which has to match within a page's one line."""
    text = _PAGES[f"{page}.1"].replace("\\-", "-")
    line = re.search(r'(?m)^\.SH "NAME"\n(.+)$', text)
    assert line is not None
    assert re.search(typed, line[1], re.IGNORECASE)


@pytest.fixture(scope="module")
def manual(folder: Path) -> Iterator[dict[str, str]]:
    """An environment in which `man` knows these pages alone."""
    environment = {**os.environ, "MANPATH": str(folder), "LC_ALL": "C.UTF-8", "MANPAGER": "cat", "MANWIDTH": "80"}
    yield environment


@needs("man", "mandb", "apropos", "whatis")
def test_man_whatis_and_apropos_find_them(folder: Path, manual: dict[str, str]) -> None:
    def said(*words: str | Path) -> str:
        return subprocess.run(words, env=manual, capture_output=True, text=True, check=True).stdout

    subprocess.run(["mandb", "-quc", folder], env=manual, check=True, capture_output=True)
    assert said("whatis", "gitsnap").startswith("gitsnap (1)")
    assert len(said("whatis", "-r", "^gitsnap").splitlines()) == len(_PAGES)
    # One word of these, and both.
    assert "gitsnap (1)" in said("apropos", "undo")
    assert "gitsnap (1) " in said("apropos", "undo upgrade")
    assert "gitsnap-rollback (1)" in said("apropos", "rollback")
    assert "gitsnap-status (1)" in said("apropos", "space used")
    assert "gitsnap (1) " in said("apropos", "-a", "undo", "upgrade")
    assert "gitsnap-run (1)" in said("apropos", "-a", "upgrade", "roll back")
    shown = subprocess.run(
        ["man", "--warnings", "gitsnap-rollback"], env=manual, capture_output=True, text=True, check=True
    )
    assert shown.stderr == ""
    assert "gitsnap-rollback - bring the whole directory back" in shown.stdout


def test_two_writings_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1764500000")
    first, second = write(tmp_path / "a"), write(tmp_path / "b")
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
    assert ".TH" in first[0].read_text()
    assert " 2025-11-30 " in first[0].read_text()


_MARKDOWN = """Some *prose* with `code`,
and a [link](#list).

### A heading with `marks`

- one
  goes on
- two

1. first

| Head | | Third |
|---|---|---|
| `a\\|b` | | c |

    as it is
      is

```sh
.SH no heading
```
"""


def test_what_is_read_of_markdown() -> None:
    assert list(blocks(_MARKDOWN)) == [
        Paragraph("Some *prose* with `code`, and a [link](#list)."),
        Heading("A heading with `marks`"),
        Items([("-", "one goes on"), ("-", "two")]),
        Items([("1.", "first")]),
        Table(["Head", "", "Third"], [["`a\\|b`", "", "c"]]),
        Code(["as it is", "  is"]),
        Code([".SH no heading"]),
    ]


def test_a_table_without_a_head_is_none() -> None:
    with pytest.raises(ValueError, match="no table"):
        list(blocks("| a | b |\n| c | d |\n"))


@pytest.mark.parametrize(
    ("markdown", "meant"),
    [
        ("plain - text's", "plain - text's"),
        ("`--all`", r"\fB\-\-all\fR"),
        ("`` a`b ``", r"\fBa\(gab\fR"),
        ("**bold `code`**", r"\fBbold \fBcode\fR\fR"),
        ("*slanted*, `*.md` and `*`", r"\fIslanted\fR, \fB*.md\fR and \fB*\fR"),
        (r"back\slash `\n`", r"back\eslash \fB\en\fR"),
        ("é → `'x'`", r"\[u00E9] \[u2192] \fB\(aqx\(aq\fR"),
        ("[`a [b]`](x.md) and [c](#d)", r"\fBa [b]\fR and c"),
        ('<a id="x"></a>here', "here"),
    ],
)
def test_what_becomes_of_a_line(markdown: str, meant: str) -> None:
    assert roff.inline(markdown, lambda text, target: None) == meant


@needs("groff")
@pytest.mark.parametrize("line", [".SH x", "'br", "  .x", "", r"\fB", "a\\", '"quoted"', "-", "^~`'", "é\u2588"])
def test_lines_come_out_as_they_are(line: str) -> None:
    page = roff.document("x", 1, "2026-11-30", "1", roff.section("Text", roff.literal([line, "end"])))
    done = subprocess.run(
        ["groff", "-man", "-ww", "-Tutf8", "-P-cbou"], input=page, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    *_, shown, end = done.stdout.partition("end\n")[0].splitlines()
    # How far in, is the affair of the groff that is there.
    assert end.isspace()
    assert shown.removeprefix(end) == line.rstrip()


def test_a_wheel_gets_them(tmp_path: Path) -> None:
    Distribution = pytest.importorskip("setuptools.dist").Distribution  # noqa: N806
    from packages.man_pages import Build

    distribution = Distribution({"name": "x", "data_files": [("share/x", ["y"])]})
    command = Build(distribution)
    command.build_base = str(tmp_path)
    command.finalize_options()
    command.run()
    placed = dict(distribution.data_files)
    assert placed.pop("share/x") == ["y"]
    assert {f"{folder[-4:]}/{Path(p).name}" for folder, files in placed.items() for p in files} == {
        f"man{name[-1]}/{name}" for name in _PAGES
    }
    assert set(placed) == {"share/man/man1", "share/man/man5"}
    assert all(Path(p).read_text().startswith(".") for files in placed.values() for p in files)
