"""Where the commands are: each is a module of `cli/commands`, named as the command is typed."""

from __future__ import annotations

import importlib
import re
from keyword import iskeyword

_PACKAGE = "gitsnap.cli.commands"
_NAME = re.compile("[a-z][a-z0-9]*(-[a-z0-9]+)*")


def load(name: str) -> None:
    """Import the module of the command that is typed so; nothing happens where there is none."""
    if not _NAME.fullmatch(name):
        return
    module = name.replace("-", "_")
    path = f"{_PACKAGE}.{module}_" if iskeyword(module) else f"{_PACKAGE}.{module}"
    try:
        importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name != path:
            raise


def load_all() -> None:
    """Import all of them: help, completion and mistakes need to know every command."""
    for module in _modules():
        importlib.import_module(f"{_PACKAGE}.{module}")


def names() -> list[str]:
    """The commands by the names of their modules, without importing any."""
    return [name_of(module) for module in _modules()]


def name_of(module: str) -> str:
    """How the command of a module is typed; the module's name may be dotted."""
    return module.rpartition(".")[2].rstrip("_").replace("_", "-")


def _modules() -> list[str]:
    # Nothing that succeeds needs it.
    import pkgutil

    return [found.name for found in pkgutil.iter_modules(importlib.import_module(_PACKAGE).__path__)]
