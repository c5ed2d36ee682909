"""What the configuration files say, as data. The command line reads the files; operations take this."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta, tzinfo
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from gitsnap.core import database_servers, signature
from gitsnap.core.retention import DEFAULT, SOURCES, Policy, Rules
from gitsnap.core.secrets import rules
from gitsnap.core.space import NO_LIMITS, Limits

# For annotations only: every command reads the configuration, few look at packages or go to a remote.
if TYPE_CHECKING:
    from gitsnap.core.packages.model import Rule
    from gitsnap.core.remote import Remote

HOOK_TIMEOUT = 600.0


@dataclass(slots=True, frozen=True)
class Hooks:
    """Shell commands to run before and after a snapshot; empty for none. `told` are those that are told of events, by
    name (core.notification).

    Each may take `timeout` seconds. `environ` is their environment, but for what tells of the snapshot; `umask` is the
    caller's. With `quiet` nothing of what they print is to be seen.
    """

    before: str = ""
    after: str = ""
    timeout: float = HOOK_TIMEOUT
    environ: Mapping[str, str] = field(default_factory=dict)
    umask: int = -1
    quiet: bool = False
    told: Mapping[str, str] = field(default_factory=dict)


class Service(NamedTuple):
    """Shell commands that stop and start what runs from the installation; both are there. Each may take `timeout`
    seconds. With `upgrade` it is stopped for the whole of an upgrade, else for rollbacks alone. `environ` and `umask`
    as those of hooks."""

    stop: str
    start: str
    timeout: float = HOOK_TIMEOUT
    upgrade: bool = False
    environ: Mapping[str, str] = MappingProxyType({})
    umask: int = -1


class Audit(NamedTuple):
    """Where lines of the audit log go besides: the paths of systemd's journal socket and of a syslog socket; empty for
    neither."""

    journald: str = ""
    syslog: str = ""


_TOLD_NOWHERE = Audit()


@dataclass(slots=True, frozen=True)
class Settings:
    """Configuration that operations need.

    `exclude` are rules in gitignore syntax, `components` globs by component's name (empty: each top-level directory is
    one), `lock_wait` seconds, `zone` the zone of days and weeks in retention rules and of commit dates. `sqlite` tells
    whether SQLite databases in use are captured as consistent images. `hooks` and `service` are of this installation.
    `retention_from` is one of retention.SOURCES. `author` is who takes snapshots, as git has it; empty for gitsnap.
    `packages` are rules to find packages by that no reader finds.
    `databases` says what becomes of what a running database stands in the way of; None for the default of each.
    `secrets` are the names and files that hold what is not to be shown.
    `keep_deleted` is how long a gc spares what was deleted (None: not at all). `limits` are on the space that the
    sidecar takes, and leaves. `verify_every` is how old the last full verification may become (None: as old as it
    likes). `remotes` are those that copies go to, by name.
    """

    zone: tzinfo
    exclude: tuple[str, ...] = ()
    components: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    retention: Policy = DEFAULT
    lock_wait: float = 10.0
    sqlite: bool = True
    hooks: Hooks | None = None
    service: Service | None = None
    retention_from: str = SOURCES[0]
    author: str = ""
    packages: tuple[Rule, ...] = ()
    audit: Audit = _TOLD_NOWHERE
    databases: database_servers.Policy | None = None
    secrets: rules.Rules = rules.PLAIN
    keep_deleted: timedelta | None = None
    limits: Limits = NO_LIMITS
    verify_every: timedelta | None = None
    remotes: Mapping[str, Remote] = field(default_factory=dict)
    signing: signature.Policy = signature.NO_POLICY

    @property
    def rules(self) -> Rules:
        """The rules of retention, and where they are from."""
        return Rules(self.retention, self.retention_from)
