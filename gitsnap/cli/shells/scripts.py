"""The completion scripts: shown for whoever packages them, or written where the user's shell looks."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.resources import files
from typing import NamedTuple

from gitsnap.config import environment
from gitsnap.core.errors import GitsnapError, UsageError

SHELLS = ("bash", "zsh", "fish")
_LOADERS = ("/usr/share/bash-completion/bash_completion", "/usr/local/share/bash-completion/bash_completion")


class Installed(NamedTuple):
    """Where a script was written, and what has still to be done for it to be read; "" for nothing."""

    path: str
    to_do: str


def script(shell: str) -> str:
    """The script for a shell; UsageError for one that there is none for."""
    if shell not in SHELLS:
        raise UsageError(f"there is no completion for '{shell}'", hint="for bash, zsh and fish there is")
    return (files("gitsnap.cli.shells") / f"gitsnap.{shell}").read_text()


def install(shell: str, environ: Mapping[str, str]) -> Installed:
    """Write it where that shell looks of itself, or nearest to that. No startup file is changed.

    Raises UsageError for a shell that there is none for, GitsnapError where it cannot be written.
    """
    text = script(shell)
    variable, default, place = {
        "bash": ("XDG_DATA_HOME", ".local/share", "bash-completion/completions/gitsnap"),
        "zsh": ("XDG_DATA_HOME", ".local/share", "zsh/site-functions/_gitsnap"),
        "fish": ("XDG_CONFIG_HOME", ".config", "fish/completions/gitsnap.fish"),
    }[shell]
    base = environment.xdg(environ, variable, default)
    if base is None:
        raise UsageError("there is no home directory to write it to", hint=f"gitsnap --show-completion {shell}")
    path = os.path.join(base, place)
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise GitsnapError(
            f"{path} cannot be written: {error.strerror}", path=path, hint=f"gitsnap --show-completion {shell}"
        ) from None
    return Installed(path, _to_do(shell, path))


def _to_do(shell: str, path: str) -> str:
    import shlex

    if shell == "zsh":
        return f"before `compinit` in ~/.zshrc: fpath=({shlex.quote(os.path.dirname(path))} $fpath)"
    if shell == "bash" and not any(map(os.path.exists, _LOADERS)):
        return f"bash-completion is not installed here, which would find it; in ~/.bashrc: . {shlex.quote(path)}"
    return ""
