"""No text takes long: no pattern can be made to try the same place in more and more ways."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from typing import Any

import pytest

from gitsnap.core import secrets

_parser: Any = importlib.import_module("re._parser")
_constants: Any = importlib.import_module("re._constants")


def patterns() -> Iterator[tuple[str, re.Pattern[str]]]:
    for module in pkgutil.iter_modules(secrets.__path__):
        loaded = importlib.import_module(f"gitsnap.core.secrets.{module.name}")
        for name, value in vars(loaded).items():
            if name in ("_FORMS", "_ALONE"):
                value = [re.compile(pattern) for _, pattern in value]
            for number, pattern in enumerate(_within(value)):
                yield f"{module.name}.{name}.{number}", pattern


def _within(value: object) -> Iterator[re.Pattern[str]]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, dict):
        yield from (p for v in value.values() for p in _within(v))
    elif isinstance(value, (tuple, list)):
        yield from (p for v in value for p in _within(v))


def nested(tree: Any, unbounded: bool = False) -> bool:
    """Whether a repetition without bound, that can give back what it took, stands within another one."""
    for kind, argument in tree:
        if kind in (_constants.MAX_REPEAT, _constants.MIN_REPEAT):
            _, most, body = argument
            gives_back = most is _constants.MAXREPEAT
            if (gives_back and unbounded) or nested(body, unbounded or gives_back):
                return True
        elif any(nested(part, unbounded) for part in _parts(kind, argument)):
            return True
    return False


def _parts(kind: Any, argument: Any) -> Iterator[Any]:
    if kind is _constants.POSSESSIVE_REPEAT:
        yield argument[2]
    elif kind is _constants.BRANCH:
        yield from argument[1]
    elif kind is _constants.SUBPATTERN:
        yield argument[3]
    elif kind is _constants.ATOMIC_GROUP:
        yield argument
    elif kind in (_constants.ASSERT, _constants.ASSERT_NOT):
        yield argument[1]


@pytest.mark.parametrize("pattern", [pytest.param(p, id=name) for name, p in patterns()])
def test_no_repetition_is_tried_within_another(pattern: re.Pattern[str]) -> None:
    assert not nested(_parser.parse(pattern.pattern, pattern.flags))


def test_the_test_finds_what_it_looks_for() -> None:
    assert nested(_parser.parse(r"(?:a+|b)+c"))
    assert not nested(_parser.parse(r"(?:a++|b)++c|(?:\.a{1,9})+"))
