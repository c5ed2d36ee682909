"""Restoring into another directory; the installation is not touched."""

from __future__ import annotations

import errno
import os
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from gitsnap.core.content import Digesting
from gitsnap.core.coverage import completed, unread
from gitsnap.core.errors import GitsnapError, IntegrityError, UsageError
from gitsnap.core.events import SILENT, Observer
from gitsnap.core.exclusion import nothing_excluded
from gitsnap.core.journal import Record
from gitsnap.core.model import Entry, Inventory, Problem, Snapshot, Type
from gitsnap.core.plan import RestorePlan, make_plan
from gitsnap.core.settings import Settings
from gitsnap.installation.disk import Disk
from gitsnap.installation.owners import localise
from gitsnap.installation.scan.scanner import Scanner
from gitsnap.ops.live.feasible import require_space
from gitsnap.ops.parallel.read_back import ReadBack, ReadBacks, Rereading
from gitsnap.ops.restore.result import Restored
from gitsnap.ops.restore.target import Scope, differences, require_paths, scope_of
from gitsnap.ops.restore.transaction import Transaction, Unjournaled
from gitsnap.sidecar import catalog, contents, salvage, selectors
from gitsnap.sidecar.repository import Sidecar


def copy_out(
    sidecar: Sidecar,
    selector: str,
    paths: Sequence[bytes],
    destination: str,
    settings: Settings,
    *,
    salvaging: bool = False,
    disk: Disk | None = None,
    observer: Observer = SILENT,
) -> Restored:
    """Restore a snapshot, or named paths of it, into an empty or new directory.

    Raises IntegrityError where any of it is damaged. With `salvaging` everything that is whole comes out, and what is
    not is named in the result; IntegrityError where that is all.
    """
    started = time.monotonic()
    with sidecar.using_objects(settings.lock_wait), _salvage_named(selector, destination, salvaging):
        if salvaging:
            target, wanted, lost, proven = _what_is_whole(sidecar, selector, paths, observer)
        else:
            target, lost, proven = selectors.choose(sidecar, selector), [], True
            wanted = contents.inventory(sidecar, target)
        localise(wanted)
        named = {p.path for p in lost}
        require_paths([p for p in paths if p not in named], wanted, target)
        require_elsewhere(sidecar, destination)
        _empty_directory(destination)
        live = Scanner(destination, Digesting()).run().inventory
        wanted = completed(wanted, live)
        scope = scope_of(paths, wanted, live)
        result = Restored(
            target, make_plan(wanted, live, scope=scope, protected=nothing_excluded), applied=True, salvaged=salvaging
        )
        result.incomplete += [p for p in lost if not p.path or scope(p.path)]
        require_space(destination, result.plan)
        result.incomplete += result.plan.kept
        result.incomplete += _fill(sidecar, destination, result.plan, live, target, disk or Disk(), observer)
    found = Scanner(destination, Digesting()).run().inventory
    result.incomplete += [p for p in unread(wanted) if scope(p.path)]
    result.conclude(_wrong(wanted, found, scope))
    result.verified = result.verified and proven
    noted = sidecar.noted
    noted.target, noted.counts["written"] = target.id, len(result.plan.written)
    noted.details |= {"destination": destination, "verified": result.verified}
    noted.name(result.incomplete)
    result.duration = time.monotonic() - started
    return result


@contextmanager
def _salvage_named(selector: str, destination: str, salvaging: bool) -> Iterator[None]:
    """One damaged content does not keep the others from coming out: what to type for that."""
    try:
        yield
    except IntegrityError as error:
        if not salvaging:
            where = shlex.join([selector, "--to", destination])
            error.hint = f"what is whole comes out with: gitsnap restore {where} --salvage (into an empty directory)"
        raise


def _what_is_whole(
    sidecar: Sidecar, selector: str, paths: Sequence[bytes], observer: Observer
) -> tuple[Snapshot, Inventory, list[Problem], bool]:
    """What a snapshot holds that can be read and is right, what is not, and whether contents could be proven by it."""
    found = salvage.salvage(sidecar, salvage.choose(sidecar, selector))
    whole, lost = [], list(found.lost)
    asked = scope_of(paths, found.inventory, Inventory())
    files = [e for e in found.inventory.entries if e.type is Type.FILE and asked(e.path)]
    observer.started("reading", len(files), sum(e.size for e in files))
    with Rereading(sidecar.objects, [e.oid for e in files if e.oid], ReadBacks(), observer) as rereading:
        held = rereading.finish()
    observer.finished()
    for entry in found.inventory.entries:
        problem = _damage(entry, held) if entry.type is Type.FILE and asked(entry.path) else None
        if problem is None:
            whole.append(entry)
        else:
            lost.append(problem)
    if files and not any(e.type is Type.FILE and asked(e.path) for e in whole):
        raise catalog.lost(found.snapshot.id, IntegrityError("none of its contents is whole", path=files[0].path))
    kept = {e.path for e in whole}
    links = [tuple(p for p in group if p in kept) for group in found.inventory.hardlinks]
    images = {path: image for path, image in found.inventory.images.items() if path in kept}
    inventory = replace(found.inventory, entries=whole, hardlinks=[g for g in links if len(g) > 1], images=images)
    return found.snapshot, inventory, lost, found.proven


def _damage(entry: Entry, held: Mapping[bytes, ReadBack]) -> Problem | None:
    """Why a file cannot come out; None where it is whole: its size and digest are known then."""
    if entry.oid is None:
        return Problem(entry.path, "its content was not found")
    found = held.get(entry.oid, "its content was not found")
    if isinstance(found, str):
        return Problem(entry.path, found)
    size, digest = found
    if entry.sha256 is not None and digest != entry.sha256:
        return Problem(entry.path, "the content is not what the manifest says")
    if entry.size and size != entry.size:
        return Problem(entry.path, f"it has {size} bytes, not {entry.size}")
    entry.size, entry.sha256 = size, digest
    return None


def _wrong(wanted: Inventory, found: Inventory, scope: Scope) -> list[Problem]:
    return differences(wanted, found, scope, nothing_excluded)


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
        transaction.prepare(plan, live, partial(contents.of_entry, sidecar))
        transaction.forward(list, first=True)
        unset = transaction.finish(forward=True)
        return [*transaction.incomplete, *unset]


def require_elsewhere(sidecar: Sidecar, destination: str) -> None:
    """Raise UsageError for a destination inside the installation or the sidecar."""
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
