"""What the environment says: options, and where this user's files lie. Its only reader."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from datetime import datetime, tzinfo
from typing import NamedTuple

from gitsnap.core.errors import UsageError


class Options(NamedTuple):
    """The global options, as given on the command line or in the environment. `directories` are all that -C names,
    `directory` is the one where it names one alone.

    `typed_store` is set when the sidecar was named on the command line, and so must be named again next time.
    """

    directory: str | None = None
    directories: tuple[str, ...] = ()
    store: str | None = None
    json: bool = False
    quiet: bool = False
    verbose: bool = False
    color: bool = True
    lock_wait: float = 10.0
    typed_store: str | None = None


def options_from(environ: Mapping[str, str]) -> Options:
    """The options that the environment sets."""
    wait = environ.get("GITSNAP_LOCK_WAIT")
    return Options(
        store=environ.get("GITSNAP_STORE") or None,
        color=not environ.get("NO_COLOR") and environ.get("TERM") != "dumb",
        lock_wait=seconds(wait, "GITSNAP_LOCK_WAIT") if wait else 10.0,
    )


def seconds(text: str, name: str) -> float:
    """A number of seconds, not negative."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e9:
        raise UsageError(f"{name}: '{text}' is not a number of seconds", hint="for example 30, or 0.5")
    return value


def sidecars_home(environ: Mapping[str, str]) -> str | None:
    """Where default sidecars live: GITSNAP_HOME, or /var/lib/gitsnap as root, or the user's data directory.

    None for a user who has none. UsageError for a GITSNAP_HOME that means another directory wherever one stands.
    """
    own = environ.get("GITSNAP_HOME")
    if own:
        if not os.path.isabs(own):
            raise UsageError(
                f"GITSNAP_HOME is '{own}', and has to be an absolute path",
                hint="a relative one would lead to other sidecars from every working directory",
            )
        return os.path.normpath(own)
    if os.geteuid() == 0:
        return "/var/lib/gitsnap"
    base = xdg(environ, "XDG_DATA_HOME", ".local/share")
    return None if base is None else os.path.join(base, "gitsnap")


def xdg(environ: Mapping[str, str], name: str, default: str) -> str | None:
    """A base directory of the XDG specification, which says that a relative value is to be ignored."""
    given = environ.get(name, "")
    if os.path.isabs(given):
        return given
    home = user_home(environ)
    return os.path.join(home, default) if home else None


def units(environ: Mapping[str, str]) -> tuple[str, bool]:
    """Where units of systemd are written, and whether they are the user's own. UsageError for a user without a home."""
    own = environ.get("GITSNAP_UNITS")
    user = os.geteuid() != 0
    if own and os.path.isabs(own):
        return os.path.normpath(own), user
    if not user:
        return "/etc/systemd/system", False
    base = xdg(environ, "XDG_CONFIG_HOME", ".config")
    if base is None:
        raise UsageError("there is no home directory to write units of systemd to")
    return os.path.join(base, "systemd/user"), True


def user_home(environ: Mapping[str, str]) -> str:
    """The user's home directory, by HOME or the password database; "" for a user who has none."""
    home = environ.get("HOME", "")
    if os.path.isabs(home):
        return home
    try:
        home = pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:
        return ""
    return home if os.path.isabs(home) else ""


def user_file(environ: Mapping[str, str]) -> str | None:
    """Where the user's configuration is; None for a user who has no place for it."""
    base = xdg(environ, "XDG_CONFIG_HOME", ".config")
    return None if base is None else os.path.join(base, "gitsnap", "config.toml")


def local_zone() -> tzinfo:
    """The zone that the system's clock shows."""
    zone = datetime.now().astimezone().tzinfo
    assert zone is not None
    return zone
