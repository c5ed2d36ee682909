"""Which tests start another program whatever happens, found by reading them: no time goes into how they begin.

What counts is a call that nothing decides about: not in a branch, a loop or a lambda, and not behind a return. Calls
are followed into the functions of the tests and into fixtures. Where that is not enough, the test tells when it is run.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, partial
from itertools import chain
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, Protocol

import pytest

_PROGRAMS = (
    subprocess.run,
    subprocess.Popen,
    subprocess.check_output,
    subprocess.check_call,
    os.system,
    os.posix_spawn,
)
# With it tests tell that gitsnap is another program now.
_STARTING = (*_PROGRAMS, sys.audit)
_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# What was read of the sources as they are, in pytest's cache.
_KEPT = "gitsnap/starting"
_RAISED = ("pytest.raises(", "suppress(", "contextlib.suppress(")
_Function = ast.FunctionDef | ast.AsyncFunctionDef


class _End(Exception):  # noqa: N818 - no error
    """What follows may not be reached."""


class Cache(Protocol):
    """What keeps something until the next run, as pytest does."""

    def get(self, key: str, default: Any) -> Any: ...

    def set(self, key: str, value: object) -> None: ...


def starting(items: Sequence[pytest.Item], cache: Cache | None, top: str = _OURS) -> list[pytest.Item]:
    """Those of the tests that always start another program.

    To read them takes seconds. While no source below `top` has changed, what the last run has read is taken.
    """
    sources = _sources(top)
    kept = None if cache is None else cache.get(_KEPT, None)
    known: dict[str, bool] = kept["starts"] if isinstance(kept, dict) and kept.get("sources") == sources else {}
    # One function has the same fixtures whatever its parameters are.
    missing = {_function(item): item for item in items if _function(item) not in known}
    if missing:
        reader = Reader()
        known |= {name: reader.starts(item) for name, item in missing.items()}
        if cache is not None:
            cache.set(_KEPT, {"sources": sources, "starts": known})
    return [item for item in items if known[_function(item)]]


def _function(item: pytest.Item) -> str:
    return item.nodeid.partition("[")[0]


def _sources(top: str) -> str:
    """A digest of all that may tell, with the interpreter that reads it."""
    found = hashlib.sha256(sys.version.encode())
    for path in sorted(Path(top).rglob("*.py")):
        found.update(os.fsencode(path) + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()


class Reader:
    """Reads tests and what they use, each function at the top of a file or of a class, once."""

    def __init__(self) -> None:
        self._found: dict[CodeType, bool] = {}

    def starts(self, item: pytest.Item) -> bool:
        """Whether a test, or a fixture of its, always starts another program."""
        if not isinstance(item, pytest.Function):
            return False
        made = item._fixtureinfo.name2fixturedefs
        fixtures = [made[name][-1].func for name in item.fixturenames if name in made]
        return any(self.always(f) for f in [*fixtures, item.function])

    def always(self, function: object, *, runs: bool = True) -> bool:
        """Whether a call of it always starts another program. `runs`: a generator runs to where it yields."""
        function = inspect.unwrap(function) if runs and callable(function) else function  # a context manager
        function = getattr(function, "__func__", function)
        if isinstance(function, type):
            function = vars(function).get("__init__")
        if not isinstance(function, FunctionType) or not function.__code__.co_filename.startswith(_OURS):
            return function in _STARTING if callable(function) else False
        code = function.__code__
        if inspect.isgeneratorfunction(function) and not runs:
            return False
        if code not in self._found:
            self._found[code] = False  # what calls itself
            node = _functions(code.co_filename).get(code.co_firstlineno)
            self._found[code] = node is not None and any(
                self.always(called, runs=entered) for called, entered in _called(function, node)
            )
        return self._found[code]


def _called(function: FunctionType, node: _Function) -> Iterator[tuple[object, bool]]:
    """What a function always calls, and whether what it returns is entered, as far as it has a name."""
    code, known = function.__code__, function.__globals__
    own = dict.fromkeys([*code.co_varnames, *code.co_cellvars, *code.co_freevars]) | dict(_classes(function, node))
    try:
        for call, entered in _calls(node.body):
            if (called := _named(call.func, own, known)) is not None:
                yield called, entered
    except _End:
        return


def _classes(function: FunctionType, node: _Function) -> Iterator[tuple[str, object]]:
    """The names of its own that a function says the class of."""
    known = function.__globals__
    _, _, of = function.__qualname__.rpartition(".")[0].rpartition(".")
    for argument in node.args.args:
        if isinstance(argument.annotation, ast.Name):
            yield argument.arg, known.get(argument.annotation.id)
        elif argument.arg == "self":
            yield argument.arg, known.get(of)
    for inner in ast.walk(node):
        if isinstance(inner, ast.withitem) and isinstance(inner.optional_vars, ast.Name):
            name, value = inner.optional_vars, inner.context_expr
        elif isinstance(inner, ast.Assign) and isinstance(inner.targets[0], ast.Name):
            name, value = inner.targets[0], inner.value
        else:
            continue
        made = _named(value.func, {}, known) if isinstance(value, ast.Call) else None
        yield name.id, made if isinstance(made, type) else None


def _named(name: ast.expr, own: Mapping[str, object], known: Mapping[str, object]) -> object:
    if isinstance(name, ast.Name):
        found = own[name.id] if name.id in own else known.get(name.id)
        return found.func if isinstance(found, partial) else found
    if isinstance(name, ast.Attribute):
        of = _named(name.value, own, known)
        return getattr(of, name.attr, None) if isinstance(of, ModuleType | type) else None
    return None


def _calls(body: Sequence[ast.stmt]) -> Iterator[tuple[ast.Call, bool]]:
    for statement in body:
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                continue
            case ast.With():
                for item in statement.items:
                    yield from _evaluated(item.context_expr, entered=True)
                # Behind its first statement nothing is certain where something is to be raised.
                yield from _calls(statement.body[:1] if _raises(statement) else statement.body)
            case ast.If() | ast.While():
                yield from _evaluated(statement.test)
                _passes(statement)
            case ast.For():
                yield from _evaluated(statement.iter)
                _passes(statement)
            case ast.Try():
                if not statement.handlers:
                    yield from _calls(statement.body)
                _passes(statement)
            case ast.Assert():
                yield from _evaluated(statement.test)
            case ast.Match():
                yield from _evaluated(statement.subject)
                _passes(statement)
            case _:
                yield from _evaluated(statement)
                if isinstance(statement, ast.Return | ast.Raise | ast.Break | ast.Continue):
                    raise _End


def _passes(statement: ast.stmt) -> None:
    """Raises _End where it may not come to what follows."""
    if any(isinstance(inner, ast.Return | ast.Yield) for inner in ast.walk(statement)):
        raise _End


def _raises(statement: ast.With) -> bool:
    return any(ast.unparse(item.context_expr).startswith(_RAISED) for item in statement.items)


def _evaluated(node: ast.AST, *, entered: bool = False) -> Iterator[tuple[ast.Call, bool]]:
    """The calls in an expression that are made whatever its parts are."""
    match node:
        case ast.Lambda():
            return
        case ast.BoolOp():
            yield from _evaluated(node.values[0])
        case ast.IfExp():
            yield from _evaluated(node.test)
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            yield from _evaluated(node.generators[0].iter)
        case ast.Yield() | ast.YieldFrom():
            if node.value is not None:
                yield from _evaluated(node.value)
            raise _End
        case _:
            for inner in ast.iter_child_nodes(node):
                yield from _evaluated(inner)
            if isinstance(node, ast.Call):
                yield node, entered


@cache
def _functions(path: str) -> dict[int, _Function]:
    """The functions of a file, by the line in which each begins with what decorates it."""
    with open(path, encoding="utf-8") as file:
        tree = ast.parse(file.read())
    classes = [node.body for node in tree.body if isinstance(node, ast.ClassDef)]
    return {
        min([node.lineno, *(d.lineno for d in node.decorator_list)]): node
        for node in chain(tree.body, *classes)
        if isinstance(node, _Function)
    }
