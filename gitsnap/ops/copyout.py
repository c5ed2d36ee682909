"""Restoring into another directory; the installation is not touched."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Sequence

from gitsnap.core.content import Digesting
from gitsnap.core.coverage import completed, unread
from gitsnap.core.errors import GitsnapError, UsageError
from gitsnap.core.events import SILENT, Observer
from gitsnap.core.journal import Record
from gitsnap.core.model import Inventory, Problem, Snapshot
from gitsnap.core.plan import RestorePlan, make_plan, nothing
from gitsnap.core.settings import Settings
from gitsnap.installation.disk import Disk
from gitsnap.installation.owners import localise
from gitsnap.installation.scan import Scanner
from gitsnap.ops.feasible import require_space
from gitsnap.ops.prefetch import Prefetching
from gitsnap.ops.restore import Restored
from gitsnap.ops.target import Scope, differences, require_paths, scope_of
from gitsnap.ops.transaction import Transaction, Unjournaled
from gitsnap.sidecar import catalog, contents
from gitsnap.sidecar.repository import Sidecar


def copy_out(
    sidecar: Sidecar,
    selector: str,
    paths: Sequence[bytes],
    destination: str,
    settings: Settings,
    *,
    disk: Disk | None = None,
    observer: Observer = SILENT,
) -> Restored:
    """Restore a snapshot, or named paths of it, into an empty or new directory."""
    started = time.monotonic()
    with sidecar.using_objects(settings.lock_wait):
        target = catalog.choose(sidecar, selector)
        wanted = contents.inventory(sidecar, target)
        localise(wanted)
        require_paths(paths, wanted, target)
        _require_elsewhere(sidecar, destination)
        _empty_directory(destination)
        live = Scanner(destination, Digesting()).run().inventory
        wanted = completed(wanted, live)
        scope = scope_of(paths, wanted, live)
        result = Restored(target, make_plan(wanted, live, scope=scope, protected=nothing), applied=True)
        require_space(destination, result.plan)
        result.incomplete += result.plan.kept
        result.incomplete += _fill(sidecar, destination, result.plan, live, target, disk or Disk(), observer)
    found = Scanner(destination, Digesting()).run().inventory
    result.incomplete += [p for p in unread(wanted) if scope(p.path)]
    result.conclude(_wrong(wanted, found, scope))
    result.duration = time.monotonic() - started
    return result


def _wrong(wanted: Inventory, found: Inventory, scope: Scope) -> list[Problem]:
    return differences(wanted, found, scope, nothing)


def _fill(
    sidecar: Sidecar,
    destination: str,
    plan: RestorePlan,
    live: Inventory,
    target: Snapshot,
    disk: Disk,
    observer: Observer,
) -> list[Problem]:
    root = os.fsencode(destination)
    record = Record(os.urandom(6).hex(), "", root, os.stat(root).st_ino, target.id, target.id)
    with Transaction(record, Unjournaled(), disk, destination, observer) as transaction:
        with Prefetching(sidecar.objects, plan) as ahead:
            transaction.prepare(plan, live, ahead.content)
        transaction.forward(list, first=True)
        unset = transaction.finish(forward=True)
        return [*transaction.incomplete, *unset]


def _require_elsewhere(sidecar: Sidecar, destination: str) -> None:
    real = os.path.realpath(destination)
    for place, root in (("sidecar", os.path.realpath(sidecar.path)), ("installation", sidecar.installation)):
        if real.startswith(root + "/"):
            raise UsageError(
                f"{destination} lies inside the {place}", path=destination, hint="name a directory outside it"
            )


def _empty_directory(path: str) -> None:
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        try:
            if os.listdir(path):
                raise GitsnapError(
                    f"{path} is not empty", kind="not-empty", path=path, hint="name an empty or new directory"
                ) from None
        except OSError as error:
            raise GitsnapError(f"{path} cannot be used: {error.strerror}", path=path) from None
    except OSError as error:
        what = "its parent does not exist" if error.errno == errno.ENOENT else error.strerror
        raise GitsnapError(f"{path} cannot be created: {what}", kind="io", path=path) from None
