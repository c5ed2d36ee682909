"""What a snapshot is asked for, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gitsnap.core.counts import Counts
from gitsnap.core.model import Kind, Problem, Snapshot
from gitsnap.core.retention import Decision, HeldBack
from gitsnap.core.space import Kept
from gitsnap.ops.capture import signing
from gitsnap.ops.live import database_servers

if TYPE_CHECKING:
    from datetime import datetime

    from gitsnap.core.database_servers import Running
    from gitsnap.core.events import Observer
    from gitsnap.core.exclusion import Excludes
    from gitsnap.core.settings import Settings
    from gitsnap.installation.scan_result import Scan
    from gitsnap.ops.capture.hooks import HookResult
    from gitsnap.sidecar.repository import Sidecar


@dataclass(slots=True)
class Request:
    """What is to be taken. An empty label means the kind; an empty message means the label.

    `undoes` and `redoes` are as in a snapshot.
    `running` are the databases at work in what was looked at; with `refuse_running` none is taken where there are any.
    `directories` are those of its upgrade, where that has several.
    Where more files than `count_up_to` came and went, what changed is not counted: contents would have to be compared.
    """

    kind: Kind = Kind.MANUAL
    message: str = ""
    label: str = ""
    tags: tuple[str, ...] = ()
    pin: bool = False
    skip_unchanged: bool = False
    upgrade: str | None = None
    command: str | None = None
    exit_code: int | None = None
    undoes: str | None = None
    redoes: str | None = None
    running: list[Running] = field(default_factory=list)
    refuse_running: bool = False
    directories: tuple[str, ...] = ()
    count_up_to: int | None = None


@dataclass(slots=True)
class Capture:
    """One snapshot to be taken at `now` of the sidecar's installation, by whoever holds the writer's lock.

    `excludes` decides by the `rules` what is left out. `needed` sees what was scanned, and may decline a snapshot of it
    or raise. `relied_on` names the objects (raw ids) that must surely be readable: they are read, where they are not
    written now. `images` are databases that are images in what the caller compares it with. `protect` are ids that
    retention must keep.
    """

    sidecar: Sidecar
    request: Request
    settings: Settings
    now: datetime
    observer: Observer
    rules: list[bytes]
    excludes: Excludes
    needed: Callable[[Scan], bool] = lambda _: True
    relied_on: Callable[[Scan], Iterable[bytes]] = lambda _: ()
    images: Collection[bytes] = ()
    protect: Collection[str] = ()

    @property
    def when(self) -> datetime:
        """The moment in the zone of the settings, as names tell it."""
        return self.now.astimezone(self.settings.zone)

    @property
    def sign(self) -> Callable[[bytes], bytes]:
        """What signs its commit, by the settings."""
        return signing.signer(self.sidecar, self.settings.signing, self.request.kind)

    def look_for_servers(self, paths: Iterable[bytes]) -> None:
        """Note which databases are at work, by the names of all that there is; at_work.DatabaseRunningError where that
        is to be refused. Nothing is visible of the snapshot yet."""
        self.request.running = database_servers.look(self.sidecar.installation, paths)
        if self.request.refuse_running:
            undone = "nothing was started" if self.request.kind is Kind.PRE else "no snapshot was taken"
            database_servers.require_stopped(self.request.running, self.sidecar.path, undone)


@dataclass(slots=True)
class Captured:
    """What came of it. `skipped` is true when nothing had changed and that was to be skipped; `snapshot` is then the
    one that holds this very state. `databases` were captured as consistent images.
    `running` are those whose files were captured as they lay there. `held` is what
    retention does not remove before it is told to. `kept` tells of limits on
    space that were exceeded, before and after. `counts` are of the changes since the newest snapshot of then, or what
    was brought back after it: `before` (None where there was none; then everything is new); they mean nothing where it
    was not `counted`.
    `unsigned` says why it is not signed, where it should be. `duration` is in seconds."""

    snapshot: Snapshot
    counts: Counts = field(default_factory=Counts)
    counted: bool = True
    before: str | None = None
    skipped: bool = False
    partial: list[Problem] = field(default_factory=list)
    sockets: list[bytes] = field(default_factory=list)
    mounts: list[bytes] = field(default_factory=list)
    databases: list[bytes] = field(default_factory=list)
    excluded: int = 0
    pruned: list[Decision] = field(default_factory=list)
    held: HeldBack | None = None
    kept: list[Kept] = field(default_factory=list)
    hooks: list[HookResult] = field(default_factory=list)
    running: list[Running] = field(default_factory=list)
    unsigned: str = ""
    duration: float = 0.0
