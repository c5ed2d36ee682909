"""What the tests of the command line share: documents, errors, and checks of their fields."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from gitsnap.__main__ import main
from gitsnap.cli import app
from gitsnap.cli.session import Session
from gitsnap.config.environment import Options
from tests.support import forking, processes
from tests.support.installation import run_gitsnap

# Every command that only looks, with arguments that suit any protected installation that has a snapshot.
READ_ONLY = (
    "list",
    "show",
    "show latest",
    "ls latest",
    "ls latest config",
    "ls -R latest",
    "cat latest config/shop.ini",
    "find *.ini",
    "log config/shop.ini",
    "log -p config/shop.ini",
    "blame config/shop.ini",
    "search port",
    "search -i -E ^PORT -- config",
    "status",
    "history",
    "changelog latest now",
    "report latest now -o /dev/null",
    "diff",
    "diff --stat",
    "diff --name-status",
    "diff --semantic",
    "verify",
    "verify --all",
    "verify --live",
    "rollback -n",
    "restore latest config -n",
    "prune -n --keep-last 1",
    "git log timeline",
    "doctor",
    "metrics",
)

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
ID = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ-[a-z0-9._-]+")
_KINDS = {"manual", "pre", "post", "safety", "imported"}

# Nothing that tests ask of it takes as long.
_SECONDS = 300

Check = Callable[[Any], bool]


def a_moment(value: Any) -> bool:
    return isinstance(value, str) and MOMENT.fullmatch(value) is not None


def an_id(value: Any) -> bool:
    return isinstance(value, str) and ID.fullmatch(value) is not None


def hexadecimal(digits: int) -> Check:
    return lambda value: isinstance(value, str) and re.fullmatch(f"[0-9a-f]{{{digits}}}", value) is not None


def a_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def a_duration(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0


def a(*types: type) -> Check:
    """One of the types, and never a bool for a number."""
    return lambda value: type(value) in types


def or_null(check: Check) -> Check:
    return lambda value: value is None or check(value)


def list_of(check: Check) -> Check:
    return lambda value: isinstance(value, list) and all(check(item) for item in value)


SNAPSHOT: dict[str, Check] = {
    "id": an_id,
    "number": or_null(a_count),
    "commit": hexadecimal(40),
    "tree": hexadecimal(40),
    "created": a_moment,
    "kind": lambda v: v in _KINDS,
    "label": a(str),
    "message": a(str),
    "tags": list_of(a(str)),
    "pinned": a(bool),
    "upgrade": or_null(a(str)),
    "files": a_count,
    "bytes": a_count,
    "manifest_sha256": hexadecimal(64),
    "partial": a(bool),
}


def fields(found: Any, wanted: Mapping[str, Check]) -> None:
    """Assert that an object has the fields, each as it has to be. Others may stand beside them."""
    assert isinstance(found, dict), found
    missing = wanted.keys() - found.keys()
    assert not missing, f"missing: {sorted(missing)} in {found}"
    wrong = {name: found[name] for name, check in wanted.items() if not check(found[name])}
    assert not wrong, f"not as the contract says: {wrong}"


def document(*args: str | bytes | Path, check: bool | int = True, **more: Any) -> dict[str, Any]:
    """Run with --json; the one document on stdout, and nothing beside it."""
    done = run_gitsnap("--json", *args, check=check, **more)
    assert done.stderr == ""
    return parse(done.stdout)


def parse(text: str) -> dict[str, Any]:
    """Exactly one JSON document of schema 1, valid in any language."""
    text.encode("utf-8")
    found = json.loads(text)
    assert isinstance(found, dict)
    assert type(found["schema"]) is int
    assert found["schema"] == 1
    return found


def spoken(done: CompletedProcess[str], code: int) -> str:
    """Assert that a run failed as it should, in words: one sentence, and at most one hint. The words."""
    assert done.returncode == code, f"exit {done.returncode}, not {code}\n{done.stdout}{done.stderr}"
    assert "Traceback" not in done.stderr
    assert "bug" not in done.stderr
    lines = done.stderr.splitlines()
    at = [n for n, line in enumerate(lines) if line.startswith("gitsnap: ")]
    assert len(at) == 1, done.stderr
    sentence, *hint = lines[at[0] :]
    assert len(sentence) > len("gitsnap: ")
    assert len(hint) <= 1, done.stderr
    assert all(line.startswith("  ") and line.strip() for line in hint), done.stderr
    assert "\\udc" not in done.stderr
    return done.stderr


def refused(*args: str | bytes | Path, code: int, kind: str | None = None, **more: Any) -> str:
    """Run in words and with --json: both fail with `code`, and both say so. The words."""
    words = spoken(run_gitsnap(*args, check=False, **more), code)
    done = run_gitsnap("--json", *args, check=False, **more)
    assert done.returncode == code, done.stderr
    failure(done.stderr, code, kind)
    assert done.stdout == ""
    return words


def failure(text: str, code: int, kind: str | None = None) -> dict[str, Any]:
    """The error object on stderr, as the contract has it."""
    found = parse(text)
    assert found.keys() == {"schema", "error"}
    error = found["error"]
    wanted = {"code": lambda v: v == code, "kind": a(str), "message": a(str)}
    fields(error, wanted | {"path": or_null(a(str)), "hint": or_null(a(str))})
    assert error["kind"] != "bug", error
    assert kind is None or error["kind"] == kind, error
    return dict(error)


def parsed(line: str) -> Any:
    """What the parser makes of a line that people are to type: the command's context."""
    words = shlex.split(line)
    if words[0] == "eval":
        words = shlex.split(words[1].removeprefix("$(").removesuffix(")"))
    if ">" in words:
        words = words[: words.index(">")]
    program, *arguments = words
    assert program == "gitsnap"
    group, taken = app.parse(arguments)
    assert taken.missing is None, f"{taken.missing} needs a value"
    top = group.make_context("gitsnap", taken.arranged(), obj=Session(Options(), os.environ))
    rest = [*top._protected_args, *top.args]
    name, command, own = group.resolve_command(top, rest)
    assert not command.hidden or name == "help"
    return command.make_context(name, [*own], parent=top)


def forked(*args: str | Path, home: Path) -> CompletedProcess[bytes]:
    """Run gitsnap as a forked process, in which what the test has replaced is replaced as well."""
    if forking.unpatched():
        begun = forking.Start(tuple(map(str, args)), None, {**os.environ, "GITSNAP_HOME": str(home)})
        return CompletedProcess(args, *forking.raw(begun, _SECONDS))
    processes.load_all()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            _run(list(map(str, args)), home, out.fileno(), err.fileno())
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return CompletedProcess(args, code, *(os.pread(f.fileno(), 1 << 26, 0) for f in (out, err)))


def _run(args: list[str], home: Path, out: int, err: int) -> None:
    code = 99
    try:
        os.dup2(out, 1)
        os.dup2(err, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w", encoding="utf-8"), os.fdopen(2, "w", encoding="utf-8")
        os.environ["GITSNAP_HOME"] = str(home)
        signal.alarm(_SECONDS)
        sys.argv = ["gitsnap", *args]
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    except BaseException:  # noqa: BLE001 - the parent looks for tracebacks
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)
