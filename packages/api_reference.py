"""The reference of the Python API, made of the docstrings: python -m packages.api_reference FILE.

A docstring has a sentence, perhaps paragraphs, and then Args, Returns and Raises, each entry on a line of its own that
may go on, indented. The page has all that `gitsnap.__all__` names.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import gitsnap
from gitsnap import api

ROOT = Path(__file__).resolve().parents[1]
# Where commands.md has a command under a heading that it shares.
_ANCHORS = {"pin": "pin-and-unpin", "unpin": "pin-and-unpin"}
_PARTS = ("Args", "Returns", "Raises")
# Classes that have sections of their own.
_HANDLES = ("Installation", "Guard")
# By command: the names that do the same, behind gitsnap, or why there is none.
COUNTERPARTS: dict[str, tuple[str, ...] | str] = {
    "adopt": ("adopt",),
    "audit": ("Installation.audit",),
    "blame": ("Installation.blame",),
    "browse": "is screens for a person",
    "bundle": ("Installation.bundle", "verify_bundles"),
    "carry": "asks where two versions of a file collide",
    "cat": ("Installation.read",),
    "changelog": ("Installation.changelog",),
    "clone": ("clone",),
    "config": "writes the sidecar's `gitsnap.toml`, which a program can; `Installation.settings` is what holds",
    "delete": ("Installation.delete",),
    "describe": ("Installation.describe",),
    "diff": ("Installation.diff",),
    "doctor": ("Installation.doctor",),
    "drill": ("Installation.drill",),
    "find": ("Installation.find",),
    "fleet": ("fleet",),
    "gc": ("Installation.gc",),
    "git": "is stock git, on `Installation.store`",
    "history": ("Installation.history",),
    "import": "is done once, by hand",
    "init": ("open",),
    "keep": "is somebody's word on an upgrade of `run`; a `guard` ends with its block",
    "list": ("Installation.snapshots",),
    "log": ("Installation.log",),
    "ls": ("Installation.files",),
    "mcp": "is a server for programs already",
    "metrics": "writes a file for Prometheus; `Installation.status` and `fleet` have the figures",
    "pin": ("Installation.pin",),
    "prune": ("Installation.prune",),
    "pull": ("Installation.pull",),
    "purge": ("Installation.purge",),
    "push": ("Installation.push",),
    "recover": ("Installation.recover",),
    "redo": ("Installation.redo",),
    "remote": ("Installation.remotes", "Installation.add_remote", "Installation.remove_remote"),
    "report": "writes a page for people; `Installation.changelog` has what it tells",
    "restore": ("Installation.restore",),
    "rollback": ("Installation.rollback",),
    "run": ("guard", "Guard"),
    "search": ("Installation.search",),
    "set": ("guard",),
    "show": ("Installation.show", "Installation.signatures"),
    "sign": ("Installation.sign",),
    "snapshot": ("Installation.snapshot",),
    "status": ("Installation.status",),
    "timer": "writes units of systemd that run the command",
    "undelete": ("Installation.undelete",),
    "undo": ("Installation.undo",),
    "unpin": ("Installation.unpin",),
    "verify": ("Installation.verify", "Installation.verify_all"),
}


class Text(NamedTuple):
    """A docstring taken apart: what it says, and by names what it says of arguments and errors."""

    said: str
    args: dict[str, str]
    returns: str
    raises: dict[str, str]


def text_of(documented: Any) -> Text:
    """What the docstring of something says. ValueError for one that does not keep to the form."""
    whole = inspect.cleandoc(documented.__doc__ or "")
    said, *rest = re.split(rf"(?m)^({'|'.join(_PARTS)}):\n", whole)
    parts = dict(zip(rest[::2], rest[1::2], strict=True))
    if list(parts) != [name for name in _PARTS if name in parts]:
        raise ValueError(f"{documented.__qualname__}: {', '.join(parts)} are out of order")
    returns = " ".join(parts.get("Returns", "").split())
    return Text(said.strip(), _entries(parts.get("Args", "")), returns, _entries(parts.get("Raises", "")))


def _entries(part: str) -> dict[str, str]:
    lines = inspect.cleandoc(part).splitlines()
    found: dict[str, str] = {}
    for line in filter(None, lines):
        if line.startswith(" "):
            last = next(reversed(found))
            found[last] += " " + line.strip()
        else:
            name, _, about = line.partition(": ")
            found[name] = about
    return found


def functions() -> dict[str, Callable[..., Any]]:
    """The API's functions by name."""
    return {n: f for n in gitsnap.__all__ if inspect.isfunction(f := getattr(gitsnap, n))}


def methods(of: type) -> dict[str, Any]:
    """The public methods and properties of a class, in the order in which they are written, parts in theirs."""
    found: dict[str, Any] = {}
    for part in (c for c in of.__mro__ if c.__module__.startswith("gitsnap.api")):
        for name, held in vars(part).items():
            if not name.startswith("_") and (inspect.isfunction(held) or isinstance(held, property)):
                found.setdefault(name, held)
    return found


def classes() -> dict[str, type]:
    """The API's other classes by name: results, and errors."""
    return {n: c for n in gitsnap.__all__ if inspect.isclass(c := getattr(gitsnap, n)) and n not in _HANDLES}


def page() -> str:
    """The whole page, as Markdown."""
    return "\n".join([*_opening(), *_sections()]).rstrip() + "\n"


def _opening() -> Iterator[str]:
    yield "# Python API"
    yield ""
    yield "<!-- Made of the docstrings by `make api`; what is to be changed is there. -->"
    yield ""
    yield (api.__doc__ or "").strip()
    yield ""
    yield "## Instead of a command"
    yield from ("", "| Command | |", "|---|---|")
    for command, names in COUNTERPARTS.items():
        yield f"| [{command}](commands.md#{_ANCHORS.get(command, command)}) | {_named(names)} |"
    yield ""
    yield "## Examples"
    for file in sorted((ROOT / "docs/examples").glob("*.py")):
        yield from ("", f"`docs/examples/{file.name}`:", "", "```python", *file.read_text("utf-8").splitlines(), "```")


def _named(names: tuple[str, ...] | str) -> str:
    if isinstance(names, str):
        return f"none: it {names}"
    whole = [name if name.partition(".")[0] in _HANDLES else f"gitsnap.{name}" for name in names]
    return ", ".join(f"[{name}](#{name.lower().replace('.', '')})" for name in whole)


def _sections() -> Iterator[str]:
    yield from ("", "## Functions")
    for name, function in functions().items():
        yield from _callable(f"gitsnap.{name}", function)
    for handle in _HANDLES:
        cls = getattr(gitsnap, handle)
        yield from ("", f"## {handle}", "", text_of(cls).said)
        for name, held in methods(cls).items():
            if isinstance(held, property):
                of = inspect.get_annotations(held.fget)["return"]
                yield from ("", f"### {handle}.{name}", "", f"`{of}`: {text_of(held).said}")
            else:
                yield from _callable(f"{handle}.{name}", held)
    errors = {n: c for n, c in classes().items() if issubclass(c, BaseException)}
    yield from ("", "## Results")
    for name, cls in classes().items():
        if name not in errors:
            yield from _result(name, cls)
    yield from ("", "## Errors", "", "| Class | Exit code | `kind` | |", "|---|---|---|---|")
    for name, cls in errors.items():
        base = "" if name == "GitsnapError" else f" ({cls.__bases__[0].__name__})"
        yield f"| `{name}`{base} | {cls.exit_code} | `{cls.kind}` | {' '.join(text_of(cls).said.split())} |"


def _callable(name: str, function: Callable[..., Any]) -> Iterator[str]:
    told, signature = text_of(function), inspect.signature(function)
    shown = [p for p in signature.parameters.values() if p.name != "self"]
    yield from ("", f"### {name}", "", "```python")
    yield from _signature(name, signature.replace(parameters=shown))
    yield from ("```", "", told.said)
    if told.args:
        yield from ("", "| Argument | |", "|---|---|")
        yield from (f"| `{argument}` | {about} |" for argument, about in told.args.items())
    if told.returns:
        yield from ("", f"Returns: {told.returns}")
    if told.raises:
        yield from ("", "| Raises | |", "|---|---|")
        yield from (f"| `{error}` | {about} |" for error, about in told.raises.items())


def _signature(name: str, signature: inspect.Signature) -> Iterator[str]:
    """As code that can be read: annotations and defaults as they are written."""
    result = "" if signature.return_annotation is inspect.Signature.empty else f" -> {signature.return_annotation}"
    parameters = []
    keywords = False
    for each in signature.parameters.values():
        if each.kind is each.KEYWORD_ONLY and not keywords:
            keywords = True
            if not any(p.kind is p.VAR_POSITIONAL for p in signature.parameters.values()):
                parameters.append("*")
        stars = {each.VAR_POSITIONAL: "*", each.VAR_KEYWORD: "**"}.get(each.kind, "")
        default = "" if each.default is each.empty else f" = {_shown(each.default)}"
        parameters.append(f"{stars}{each.name}: {each.annotation}{default}")
    # As ruff has them.
    parameters = [parameter.replace("'", '"') for parameter in parameters]
    line = f"def {name.rpartition('.')[2]}({', '.join(parameters)}){result}: ..."
    if len(line) <= 120:
        yield line
    else:
        yield f"def {name.rpartition('.')[2]}("
        yield from (f"    {parameter}," for parameter in parameters)
        yield f"){result}: ..."


def _shown(default: object) -> str:
    return "SILENT" if type(default).__name__ == "Silent" else repr(default)


def _result(name: str, cls: type) -> Iterator[str]:
    said = text_of(cls).said
    yield from ("", f"### {name}", "", said)
    if issubclass(cls, enum.Enum):
        yield from ("", ", ".join(f"`{name}.{member.name}` (`{member.value}`)" for member in cls) + ".")
        return
    fields = dict(inspect.get_annotations(cls)) if hasattr(cls, "_fields") else {}
    if dataclasses.is_dataclass(cls):
        fields = {f.name: f.type for f in dataclasses.fields(cls)}
    shown = [(n, str(of), "") for n, of in fields.items() if not n.startswith("_")]
    for member, held in vars(cls).items():
        if isinstance(held, property) and not member.startswith("_"):
            of = inspect.get_annotations(held.fget).get("return", "") if held.fget else ""
            shown.append((member, str(of), " ".join(text_of(held).said.split())))
        elif inspect.isfunction(held) and not member.startswith("_") and held.__doc__:
            told = inspect.get_annotations(held).get("return", "")
            shown.append((f"{member}()", str(told), " ".join(text_of(held).said.split())))
    if shown:
        yield from ("", "| | | |", "|---|---|---|")
        yield from (f"| `{n}` | `{of.replace('|', chr(92) + '|')}` | {about} |" for n, of, about in shown)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
