"""git's credential helpers: asked for what a server wants, and told whether it was right. gitsnap stores none."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from gitsnap.sidecar.git import stock_git
from gitsnap.sidecar.git.remote_programs import environment


def credential(
    url: str, what: str, known: Mapping[str, str], *, installation: str, asks: bool = False
) -> dict[str, str]:
    """What git's credential helpers know of a URL (`fill`), or are told (`approve`, `reject`); empty where they know
    nothing. With `asks` they may ask on the terminal. Raises GitsnapError where git is nowhere but in `installation`.
    """
    # Who is asked for a password is the host that gets it, whatever it is called by.
    parts = urlsplit(url)
    given = {"protocol": parts.scheme, "host": parts.netloc.rpartition("@")[2], "path": parts.path.lstrip("/")}
    if user := parts.username:
        given["username"] = unquote(user)
    silent = {} if asks else {"GIT_TERMINAL_PROMPT": "0"}
    done = subprocess.run(
        [stock_git.require(os.environ.get("PATH"), installation), "credential", what],
        input="".join(f"{k}={v}\n" for k, v in (given | dict(known)).items()) + "\n",
        stdout=subprocess.PIPE,
        stderr=None if asks else subprocess.DEVNULL,
        text=True,
        # In no repository: what one configures does not count.
        cwd="/",
        env=environment() | silent,
    )
    lines = [line.partition("=") for line in done.stdout.splitlines()]
    return {key: value for key, _, value in lines if key in ("protocol", "host", "path", "username", "password")}
