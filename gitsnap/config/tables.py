"""The tables of a configuration file, one function each: UsageError names file and key."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from gitsnap.core import database_servers
from gitsnap.core.component import PRESETS, glob
from gitsnap.core.errors import UsageError
from gitsnap.core.retention import DEFAULT, Policy, parse_duration
from gitsnap.core.secrets.rules import Rules as SecretRules
from gitsnap.core.settings import Audit, Settings
from gitsnap.core.space import NO_LIMITS, Limits, parse_free, parse_size

# For annotations only: every command reads the configuration, few look at packages.
if TYPE_CHECKING:
    from gitsnap.core.packages.model import Rule

_COUNTS = ("keep-last", "keep-hourly", "keep-daily", "keep-weekly", "keep-monthly", "keep-yearly")
_KEEP_DELETED = "keep-deleted"
_LIMITS = {"max-size", "min-free"}
# Where systemd's journal and syslog listen, where [audit] says no more than that they are to be told.
_SOCKETS = {"journald": "/run/systemd/journal/socket", "syslog": "/dev/log"}


def merge(settings: Settings, table: dict[str, Any], path: str) -> Settings:
    """The settings, with what the file at `path` says in its tables that name no commands."""
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


def sets_rules(table: dict[str, Any]) -> bool:
    """Whether [retention] says which snapshots stay, and not only what the bin and the sidecar may take."""
    return bool(table.keys() - {_KEEP_DELETED, *_LIMITS})


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
    if not sets_rules(table):
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
