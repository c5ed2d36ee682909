"""Who takes a snapshot, as git's `author`: what git itself would say of them, else their account and this host."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress

from gitsnap.core.errors import IntegrityError
from gitsnap.sidecar import files, limits
from gitsnap.sidecar.git import config

# What git leaves out of an identity, as what would end it: angle brackets, newlines, all that is not to be printed.
_NEVER = re.compile("[<>\x00-\x1f\x7f-\x9f\u2028\u2029]")
# And what it takes off both ends (git's ident.c).
_CRUD = " .,:;\"'\\"
_VALUE = re.compile(r'"((?:[^"\\]|\\.)*)"|\\(.)|([^"\\#;]+)|([#;].*)', re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "b": "\b"}


def author(environ: Mapping[str, str], configurations: Iterable[str], away_from: Iterable[str]) -> str:
    """`NAME <EMAIL>`, by GIT_AUTHOR_NAME and GIT_AUTHOR_EMAIL, then by user.name and user.email of git's files.

    `configurations` are those files, the one that counts most last. Only they are read: no file that they include, and
    none that lies in one of the directories `away_from`, which anybody may have written. Nothing is executed.
    """
    found: dict[str, str] = {}
    kept_out = [os.path.realpath(folder) for folder in away_from]
    for path in configurations:
        if any(os.path.realpath(path).startswith(folder.rstrip("/") + "/") for folder in kept_out):
            continue
        # One that cannot be read says nothing of anybody: no reason to take no snapshot.
        with suppress(OSError, IntegrityError):
            found |= config.parse(files.read(path, limits.SETTINGS) or b"")
    name = _clean(environ.get("GIT_AUTHOR_NAME", "")) or _clean(_value(found.get("user.name", "")))
    email = _clean(environ.get("GIT_AUTHOR_EMAIL", "")) or _clean(_value(found.get("user.email", "")))
    account = _account(environ)
    host = _clean(os.uname().nodename) or "localhost"
    return f"{name or account} <{email or f'{account}@{host}'}>"


def _account(environ: Mapping[str, str]) -> str:
    """Of the person, who may be root for the moment alone."""
    if os.geteuid() == 0 and (given := _clean(environ.get("SUDO_USER", ""))):
        return given
    try:
        return _clean(pwd.getpwuid(os.geteuid()).pw_name) or str(os.geteuid())
    except KeyError:
        return str(os.geteuid())


def _clean(text: str) -> str:
    return _NEVER.sub("", text).strip(_CRUD)


def _value(written: str) -> str:
    """A value as git-config(1) reads it: quotes, escapes, comments."""
    out = ""
    for quoted, escaped, plain, _ in _VALUE.findall(written):
        out += re.sub(r"\\(.)", lambda m: _ESCAPED.get(m[1], m[1]), quoted) if quoted else ""
        out += _ESCAPED.get(escaped, escaped) + plain
    return out.strip()
