"""Configuration: options over environment over the sidecar's file over the user's over the system's.

The only reader of the environment. Nothing is ever read from inside the installation.
"""

from __future__ import annotations

import os
import pwd
import re
import stat
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any, NamedTuple

from gitsnap.core import database_servers
from gitsnap.core.component import PRESETS, glob
from gitsnap.core.errors import UsageError
from gitsnap.core.notification import HOOKS as TOLD
from gitsnap.core.retention import DEFAULT, SOURCES, Policy, parse_duration
from gitsnap.core.secrets.rules import Rules as SecretRules
from gitsnap.core.settings import HOOK_TIMEOUT, Audit, Hooks, Service, Settings
from gitsnap.core.space import NO_LIMITS, Limits, parse_free, parse_size

# For annotations only: every command reads the configuration, few look at packages.
if TYPE_CHECKING:
    from gitsnap.core.packages.model import Rule

_SYSTEM = "/etc/gitsnap/config.toml"
_COUNTS = ("keep-last", "keep-hourly", "keep-daily", "keep-weekly", "keep-monthly", "keep-yearly")
_KEEP_DELETED = "keep-deleted"
_LIMITS = {"max-size", "min-free"}
# Where systemd's journal and syslog listen, where [audit] says no more than that they are to be told.
_SOCKETS = {"journald": "/run/systemd/journal/socket", "syslog": "/dev/log"}
_TABLES = {
    "audit",
    "capture",
    "components",
    "retention",
    "check",
    "databases",
    "hooks",
    "packages",
    "secrets",
    "service",
    "sets",
    "verify",
}


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
        raise UsageError(f"{name}: '{text}' is not a number of seconds")
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
    base = _xdg(environ, "XDG_DATA_HOME", ".local/share")
    return None if base is None else os.path.join(base, "gitsnap")


def _xdg(environ: Mapping[str, str], name: str, default: str) -> str | None:
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
    base = _xdg(environ, "XDG_CONFIG_HOME", ".config")
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
    base = _xdg(environ, "XDG_CONFIG_HOME", ".config")
    return None if base is None else os.path.join(base, "gitsnap", "config.toml")


def local_zone() -> tzinfo:
    """The zone that the system's clock shows."""
    zone = datetime.now().astimezone().tzinfo
    assert zone is not None
    return zone


def load(environ: Mapping[str, str], store: str | None, options: Options, root: str | None = None) -> Settings:
    """The settings for a sidecar (or, without one, those of user and system) of the directory `root`. UsageError names
    file and key."""
    author = _author(environ, [path for path in (store, root) if path])
    settings = Settings(zone=local_zone(), lock_wait=options.lock_wait, author=author)
    own = os.path.join(store, "gitsnap.toml") if store else None
    for path, source in zip((_SYSTEM, user_file(environ), own), SOURCES[1:], strict=True):
        table = _read(path) if path is not None else None
        if path is None or table is None:
            continue
        if "sets" in table:
            if path == own:
                raise UsageError(f"{path}: [sets] counts only in the user's or the system's configuration", path=path)
            _sets(table, path)
        settings = _merge(settings, table, path)
        if "retention" in table:
            rules = table["retention"].keys() - {_KEEP_DELETED, *_LIMITS}
            settings = replace(settings, retention_from=source if rules else SOURCES[0])
        if "hooks" in table:
            settings = replace(settings, hooks=_hooks(table["hooks"], path, environ, own=path == own))
        if "service" in table:
            settings = replace(settings, service=_service(table["service"], path, environ, own=path == own))
    return settings


def sets(environ: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The sets of directories that system and user have named; the user's over the system's. UsageError names file and
    key."""
    found: dict[str, tuple[str, ...]] = {}
    for path in (_SYSTEM, user_file(environ)):
        if path is not None:
            found |= _sets(_read(path) or {}, path)
    return found


def _sets(table: dict[str, Any], path: str) -> dict[str, tuple[str, ...]]:
    named = table.get("sets", {})
    if not isinstance(named, dict):
        raise UsageError(f"{path}: sets must be a table", path=path)
    for name, roots in named.items():
        whole = isinstance(roots, list) and len(roots) > 1
        if not whole or not all(isinstance(r, str) and r.startswith("/") and "\0" not in r for r in roots):
            raise UsageError(f"{path}: [sets] {name} must be a list of two or more absolute paths", path=path)
    return {name: tuple(roots) for name, roots in named.items()}


def _author(environ: Mapping[str, str], foreign: list[str]) -> str:
    """Who is at work, by git's files of system and user, which lie in no directory of `foreign`."""
    from gitsnap.sidecar.git import identity

    base, home = _xdg(environ, "XDG_CONFIG_HOME", ".config"), user_home(environ)
    found = ["/etc/gitconfig"] if not environ.get("GIT_CONFIG_NOSYSTEM") else []
    if own := environ.get("GIT_CONFIG_GLOBAL"):
        found.append(own)
    else:
        found += [os.path.join(base, "git", "config")] if base else []
        found += [os.path.join(home, ".gitconfig")] if home else []
    return identity.author(environ, found, foreign)


def _read(path: str) -> dict[str, Any] | None:
    """What a file says; None where there is none."""
    from gitsnap.sidecar import files as regular
    from gitsnap.sidecar import limits

    try:
        # What never ends, or is no settings by its size, is not waited for.
        data = regular.read(path, limits.SETTINGS)
    except NotADirectoryError:
        return None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", path=path) from None
    return None if data is None else _parse(path, data)


def _parse(path: str, data: bytes) -> dict[str, Any]:
    import tomllib

    try:
        table = tomllib.loads(data.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}", path=path) from None
    unknown = table.keys() - _TABLES
    if unknown:
        raise UsageError(f"{path}: unknown table [{min(unknown)}]", path=path, hint=_nearest(min(unknown)))
    return table


def _nearest(table: str) -> str:
    """The tables whose names are most like it: all of them are more than a line."""
    from difflib import get_close_matches

    return f"perhaps {', '.join(get_close_matches(table, sorted(_TABLES), 3, 0))}; the reference has all of them"


def _merge(settings: Settings, table: dict[str, Any], path: str) -> Settings:
    for name, content in table.items():
        if not isinstance(content, dict):
            raise UsageError(f"{path}: {name} must be a table", path=path)
    if "capture" in table:
        capture = table["capture"]
        settings = replace(settings, exclude=_exclude(capture, path), sqlite=_sqlite(capture, path))
    if "databases" in table:
        settings = replace(settings, databases=_databases(table["databases"], path))
    if "components" in table:
        settings = replace(settings, components=_components(table["components"], path))
    if "packages" in table:
        settings = replace(settings, packages=_packages(table["packages"], path))
    if "retention" in table:
        retention = _retention(table["retention"], path)
        settings = replace(settings, retention=retention, keep_deleted=_keep_deleted(table["retention"], path))
        settings = replace(settings, limits=_limits(table["retention"], path))
    if "audit" in table:
        settings = replace(settings, audit=_audit(table["audit"], settings.audit, path))
    if "verify" in table:
        settings = replace(settings, verify_every=_verify_every(table["verify"], path))
    if "secrets" in table:
        settings = replace(settings, secrets=_secrets(table["secrets"], path))
    return settings


def _audit(table: dict[str, Any], below: Audit, path: str) -> Audit:
    """The sockets to tell; a file that does not name one leaves it what it is `below`."""
    unknown = table.keys() - _SOCKETS.keys()
    if unknown:
        raise UsageError(f"{path}: [audit] does not know {min(unknown)}", path=path)
    chosen = {}
    for key, value in table.items():
        if not (isinstance(value, bool) or (isinstance(value, str) and value.startswith("/") and "\0" not in value)):
            raise UsageError(f"{path}: [audit] {key} must be true, false or the absolute path of a socket", path=path)
        chosen[key] = value if isinstance(value, str) else _SOCKETS[key] if value else ""
    return below._replace(**chosen)


def _secrets(table: dict[str, Any], path: str) -> SecretRules:
    """What is not to be shown, beside what gitsnap knows itself."""
    unknown = table.keys() - {"names", "files", "strict"}
    if unknown:
        raise UsageError(f"{path}: [secrets] does not know {min(unknown)}", path=path)
    found: dict[str, tuple[str, ...]] = {}
    for key in ("names", "files"):
        globs = table.get(key, [])
        if not isinstance(globs, list) or not all(isinstance(g, str) and g for g in globs):
            raise UsageError(f"{path}: [secrets] {key} must be a list of globs", path=path)
        found[key] = tuple(globs)
    strict = table.get("strict", False)
    if not isinstance(strict, bool):
        raise UsageError(f"{path}: [secrets] strict must be true or false", path=path)
    return SecretRules(found["names"], found["files"], strict)


def _hooks(table: dict[str, Any], path: str, environ: Mapping[str, str], *, own: bool) -> Hooks | None:
    """The commands around snapshots: of this installation alone, and of nobody but its sidecar's owner."""
    _require_own("hooks", path, own=own)
    unknown = table.keys() - {"before-snapshot", "after-snapshot", "timeout", *TOLD}
    if unknown:
        raise UsageError(f"{path}: [hooks] does not know {min(unknown)}", path=path)
    commands = [table.get(key, "") for key in ("before-snapshot", "after-snapshot")]
    if not all(isinstance(command, str) and "\0" not in command for command in commands):
        raise UsageError(f"{path}: [hooks] before-snapshot and after-snapshot must be shell commands", path=path)
    told = {key: table[key] for key in TOLD if key in table}
    for key, command in told.items():
        if not isinstance(command, str) or "\0" in command:
            raise UsageError(f"{path}: [hooks] {key} must be a shell command", path=path)
    timeout = _timeout(table, "hooks", path)
    _require_private("hooks", path)
    if environ.get("GITSNAP_HOOK"):
        # We are run by one.
        return None
    return Hooks(commands[0], commands[1], timeout, dict(environ), told=told)


def _service(table: dict[str, Any], path: str, environ: Mapping[str, str], *, own: bool) -> Service | None:
    """What stops and starts the service that runs from this installation: as hooks, nobody's but the owner's."""
    _require_own("service", path, own=own)
    unknown = table.keys() - {"stop", "start", "timeout", "upgrade"}
    if unknown:
        raise UsageError(f"{path}: [service] does not know {min(unknown)}", path=path)
    commands = [table.get(key) for key in ("stop", "start")]
    if not all(isinstance(command, str) and command.strip() and "\0" not in command for command in commands):
        raise UsageError(f"{path}: [service] needs stop and start, which are shell commands", path=path)
    upgrade = table.get("upgrade", False)
    if not isinstance(upgrade, bool):
        raise UsageError(f"{path}: [service] upgrade must be true or false", path=path)
    timeout = _timeout(table, "service", path)
    _require_private("service", path)
    if environ.get("GITSNAP_HOOK"):
        return None
    return Service(str(commands[0]), str(commands[1]), timeout, upgrade, dict(environ))


def _timeout(table: dict[str, Any], name: str, path: str) -> float:
    timeout = table.get("timeout", HOOK_TIMEOUT)
    if not isinstance(timeout, (int, float)) or isinstance(timeout, bool) or not 0 < timeout < 1e9:
        raise UsageError(f"{path}: [{name}] timeout must be a number of seconds", path=path)
    return float(timeout)


def _require_own(name: str, path: str, *, own: bool) -> None:
    if not own:
        raise UsageError(
            f"{path}: [{name}] counts only in a sidecar's gitsnap.toml",
            path=path,
            hint="each installation has its own; `gitsnap status` tells where its sidecar is",
        )


def _require_private(name: str, path: str) -> None:
    """What is run must not be what somebody else has written: UsageError."""
    found = os.lstat(path)
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(f"{path} has [{name}], and is no file of its own: they are not run", path=path)
    if found.st_uid not in (0, os.geteuid()) or found.st_mode & 0o022:
        raise UsageError(
            f"{path} has [{name}], and can be written by others: they are not run",
            path=path,
            hint=f"look at what is in it, then: chmod 600 {path}",
        )


def _exclude(table: dict[str, Any], path: str) -> tuple[str, ...]:
    rules = table.get("exclude", [])
    if table.keys() - {"exclude", "sqlite"}:
        raise UsageError(f"{path}: [capture] knows only `exclude` and `sqlite`", path=path)
    if not isinstance(rules, list) or not all(isinstance(r, str) and "\n" not in r for r in rules):
        raise UsageError(f"{path}: [capture] exclude must be a list of rules, one a string", path=path)
    return tuple(rules)


def _sqlite(table: dict[str, Any], path: str) -> bool:
    how = table.get("sqlite", "auto")
    if how not in ("auto", "raw"):
        raise UsageError(f'{path}: [capture] sqlite must be "auto" or "raw"', path=path)
    return bool(how == "auto")


def _databases(table: dict[str, Any], path: str) -> database_servers.Policy | None:
    how = table.get("running")
    if table.keys() - {"running"} or how not in (None, "refuse", "warn"):
        raise UsageError(f'{path}: [databases] knows only `running`, which is "refuse" or "warn"', path=path)
    return None if how is None else database_servers.Policy(how)


def _components(table: dict[str, Any], path: str) -> dict[str, tuple[str, ...]]:
    out: dict[str, tuple[str, ...]] = {}
    for name, globs in table.items():
        if name == "preset":
            if not isinstance(globs, str) or globs not in PRESETS:
                raise UsageError(
                    f"{path}: there is no preset '{globs}'", path=path, hint=f"known: {', '.join(PRESETS)}"
                )
            out.update(PRESETS[globs])
        elif isinstance(globs, str):
            out[name] = (globs,)
        elif isinstance(globs, list) and all(isinstance(g, str) for g in globs):
            out[name] = tuple(globs)
        else:
            raise UsageError(f"{path}: component {name} must be a glob or a list of globs", path=path)
    return out


def _packages(table: dict[str, Any], path: str) -> tuple[Rule, ...]:
    """One's own ways to find packages, each a table by the package's name."""
    from gitsnap.core.packages.model import Rule

    out = []
    for name, rule in table.items():
        if not isinstance(rule, dict) or rule.keys() != {"glob", "expression"}:
            raise UsageError(f"{path}: [packages.{name}] must have `glob` and `expression` alone", path=path)
        if not all(isinstance(text, str) and text for text in rule.values()):
            raise UsageError(f"{path}: [packages.{name}] glob and expression must be texts", path=path)
        try:
            expression = re.compile(rule["expression"], re.MULTILINE)
        except (re.error, OverflowError, RecursionError) as error:
            raise UsageError(
                f"{path}: [packages.{name}] expression is no regular expression: {error}", path=path
            ) from None
        if "version" not in expression.groupindex:
            raise UsageError(
                f"{path}: [packages.{name}] expression has no group `version`",
                path=path,
                hint=r"""for example: expression = '^version = (?P<version>[\d.]+)'""",
            )
        out.append(Rule(name, glob(rule["glob"]), expression))
    return tuple(out)


def _retention(table: dict[str, Any], path: str) -> Policy:
    rules = table.keys() - {_KEEP_DELETED, *_LIMITS}
    unknown = rules - {*_COUNTS, "keep-within"}
    if unknown:
        raise UsageError(f"{path}: [retention] does not know {min(unknown)}", path=path)
    counts: dict[str, int] = {}
    for key in _COUNTS:
        value = table.get(key, 0)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise UsageError(f"{path}: [retention] {key} must be a whole number", path=path)
        counts[key.replace("-", "_")] = value
    within = table.get("keep-within")
    if within is not None and not isinstance(within, str):
        raise UsageError(f'{path}: [retention] keep-within must be a duration such as "30d"', path=path)
    if not rules:
        return DEFAULT
    try:
        return Policy(keep_within=parse_duration(within) if within else None, **counts)
    except UsageError as error:
        raise UsageError(f"{path}: [retention] {error.message}", path=path, hint=error.hint) from None


def _limits(table: dict[str, Any], path: str) -> Limits:
    """What the sidecar may take, and what has to stay free beside it."""
    found = NO_LIMITS
    for key in sorted(_LIMITS & table.keys()):
        value = table[key]
        if not isinstance(value, str):
            raise UsageError(f'{path}: [retention] {key} must be a size such as "20GB"', path=path)
        try:
            found = replace(found, max_size=parse_size(value)) if key == "max-size" else parse_free(value, found)
        except UsageError as error:
            raise UsageError(f"{path}: [retention] {key}: {error.message}", path=path, hint=error.hint) from None
    return found


def _keep_deleted(table: dict[str, Any], path: str) -> timedelta | None:
    """How long a gc spares what was deleted; not at all where nothing says so."""
    value = table.get(_KEEP_DELETED)
    if value is None:
        return None
    try:
        return parse_duration(value if isinstance(value, str) else "")
    except UsageError as error:
        raise UsageError(f"{path}: [retention] {_KEEP_DELETED}: {error.message}", path=path, hint=error.hint) from None


def _verify_every(table: dict[str, Any], path: str) -> timedelta | None:
    """How old the last full verification may become."""
    if table.keys() - {"every"}:
        raise UsageError(f"{path}: [verify] knows only `every`", path=path)
    value = table.get("every")
    if value is None:
        return None
    try:
        return parse_duration(value if isinstance(value, str) else "")
    except UsageError as error:
        raise UsageError(f"{path}: [verify] every: {error.message}", path=path, hint=error.hint) from None
