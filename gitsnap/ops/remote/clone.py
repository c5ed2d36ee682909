"""A mirror, a push, a bundle or a copied sidecar becomes one on this machine, and its directory comes back.

The sidecar is whole and in its place before the directory is begun. A new directory is made beside its name and gets it
when it was compared; one that is there and empty is filled where it is, since somebody may stand in it. Killed in
between, the sidecar says so, and the same clone goes on.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from gitsnap.core.errors import GitsnapError, IntegrityError, UsageError
from gitsnap.core.events import UNGUARDED, Interrupts
from gitsnap.core.model import Snapshot
from gitsnap.core.order import newest
from gitsnap.installation.apply import orphan_stages, stage_dirs
from gitsnap.installation.disk import Disk
from gitsnap.installation.owners import strangers
from gitsnap.ops.check import signatures
from gitsnap.ops.remote import adopt, building, receive
from gitsnap.ops.remote.adopt import Adopted
from gitsnap.ops.remote.receive import Asked, Received
from gitsnap.ops.restore.export import copy_out
from gitsnap.ops.restore.result import Restored
from gitsnap.ops.restore.rollback import RollbackOptions, rollback
from gitsnap.ops.store import locate, outcomes
from gitsnap.ops.store.locate import Place
from gitsnap.sidecar import catalog, contents, location, selectors
from gitsnap.sidecar.files import sync_directory
from gitsnap.sidecar.git.fetch.source import Source
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import clone_mark
from gitsnap.sidecar.state.clone_mark import Cloning

# Not what a rollback has put away.
_LATEST = "latest"


def clone(source: Source, place: Place, default: str | None, asked: Asked, selector: str | None = None) -> Adopted:
    """Make a sidecar of what `source` has, and bring `selector`, or the newest snapshot, back into the new or empty
    directory of `place`.

    `default` is where a link to the sidecar is left, if that is elsewhere. Raises GitsnapError; nothing is there then,
    or a sidecar with which the same clone goes on (resume).
    """
    started = time.monotonic()
    require_startable(source, place)
    with building.building(place.store, place.root, asked.settings.lock_wait) as path:
        # Another one may have been quicker.
        require_startable(source, place)
        with Sidecar(path) as sidecar:
            result = Adopted(place, receive.fill(sidecar, source, asked))
            target = _target(sidecar, result.received, selector)
            result.strangers = strangers(contents.metadata(sidecar, target))
            clone_mark.write(sidecar, Cloning(source.name, target.id))
        result.replaced = building.appear(path, place.store)
    if default is not None:
        locate.leave_pointer(default, place.store)
    with locate.open_sidecar(place) as sidecar:
        result.restored = _bring_back(sidecar, target, asked)
    result.duration = time.monotonic() - started
    return result


def resume(
    named: str, place: Place, asked: Asked, selector: str | None = None, interrupts: Interrupts = UNGUARDED
) -> Adopted | None:
    """Go on with the clone of `named` that was interrupted when the sidecar stood; None where there was none.

    UsageError where the sidecar came from elsewhere, or something else is in the directory now.
    """
    if not location.exists(place.store):
        return None
    started = time.monotonic()
    with locate.open_sidecar(place) as sidecar:
        mark = clone_mark.load(sidecar)
        if mark is None:
            return None
        if mark.source != named:
            raise UsageError(
                f"{place.root} is being cloned from {mark.source}", hint="the same command goes on with that"
            )
        target = selectors.choose(sidecar, selector or mark.snapshot)
        signatures.require(sidecar, target, asked.settings.signing)
        received = Received(named, snapshots=catalog.snapshots(sidecar))
        result = Adopted(place, received, resumed=True)
        result.strangers = strangers(contents.metadata(sidecar, target))
        _remove_stages(sidecar, mark)
        if is_free(place.root):
            result.restored = _bring_back(sidecar, target, asked)
        elif not _fills(place.root, mark):
            raise _not_empty(place.root)
        else:
            # Part of it is there: what else may be is kept by a safety snapshot.
            options = RollbackOptions(asked.now, observer=asked.observer, interrupts=interrupts)
            result.restored = rollback(sidecar, target.id, asked.settings, options)
            clone_mark.remove(sidecar)
    result.duration = time.monotonic() - started
    return result


def foresee(source: Source, place: Place, asked: Asked) -> Adopted:
    """What clone() would find, by the refs alone; nothing is made."""
    require_startable(source, place)
    return adopt.foresee(source, place, asked)


def require_startable(source: Source, place: Place) -> None:
    """Raise GitsnapError where the directory has a sidecar, or anything else in it, or lies where it cannot."""
    adopt.require_none(place)
    building.require_free(place.store, source.path)
    if not is_free(place.root):
        raise _not_empty(place.root)
    if source.path is not None and f"{place.root}/".startswith(f"{source.path}/"):
        raise UsageError(f"{place.root} lies inside {source.name}", path=place.root, hint="choose a directory outside")


def is_free(root: str) -> bool:
    """Whether nothing is there but, perhaps, an empty directory. GitsnapError for what cannot be looked into."""
    try:
        return not os.listdir(root)
    except FileNotFoundError:
        return True
    except OSError as error:
        raise GitsnapError(f"{root} cannot be used: {error.strerror}", kind="no-such-directory", path=root) from None


def _not_empty(root: str) -> GitsnapError:
    return GitsnapError(
        f"{root} is not empty",
        kind="not-empty",
        path=root,
        hint="clone into an empty or new directory; `gitsnap adopt` makes a sidecar for a directory that is there",
    )


def _target(sidecar: Sidecar, received: Received, selector: str | None) -> Snapshot:
    """What comes back, which has to be whole."""
    whole = {s.id for s in received.whole}
    target = selectors.choose(sidecar, selector or _LATEST)
    if target.id in whole:
        return target
    named = next((v for v in received.damaged if v.snapshot == target.id), None)
    problem = named.problems[0] if named else None
    why = f": {problem.problem}" if problem else ""
    what = "cannot be trusted" if problem is not None and problem.kind else "is damaged"
    last = newest(received.whole)
    hint = (
        f"the newest that is whole: --snapshot {last.id}"
        if last is not None
        else "`gitsnap adopt` takes it over as it is, and `gitsnap restore S --to DIR --salvage` what is whole in it"
    )
    raise IntegrityError(f"snapshot {target.id} in {received.source} {what}{why}", hint=hint)


def _bring_back(sidecar: Sidecar, target: Snapshot, asked: Asked) -> Restored:
    root = sidecar.installation
    with sidecar.writing(asked.settings.lock_wait):
        if os.path.lexists(root):
            _note_where(sidecar, target, "", root)
            result = copy_out(sidecar, target.id, [], root, asked.settings, observer=asked.observer)
        else:
            with _beside(sidecar, target, root) as stage:
                result = copy_out(sidecar, target.id, [], stage, asked.settings, observer=asked.observer)
        sidecar.noted.details["destination"] = root
        # What a rollback had put away may be newer than what is here now.
        outcomes.go_on(sidecar, target, asked.now, asked.settings.author, (), moved=False)
        clone_mark.remove(sidecar)
    return result


@contextmanager
def _beside(sidecar: Sidecar, target: Snapshot, root: str) -> Iterator[str]:
    """An empty directory beside the installation's name, which gets that when all is in it; it goes after an error."""
    parent = os.path.dirname(root)
    os.makedirs(parent, exist_ok=True)
    stage = _stage(root)
    with suppress(FileExistsError):
        os.mkdir(stage, 0o700)
    _note_where(sidecar, target, stage, stage)
    try:
        yield stage
        os.rename(stage, root)
    except BaseException:
        shutil.rmtree(stage, ignore_errors=True)
        raise
    sync_directory(parent)


def _note_where(sidecar: Sidecar, target: Snapshot, stage: str, place: str) -> None:
    """What is in there from now on is ours."""
    mark = clone_mark.load(sidecar)
    clone_mark.write(sidecar, Cloning(mark.source if mark else "", target.id, stage, os.lstat(place).st_ino))


def _stage(root: str) -> str:
    name = hashlib.sha256(os.fsencode(root)).hexdigest()[:12]
    return os.path.join(os.path.dirname(root), f".gitsnap-clone-{name}")


def _fills(root: str, mark: Cloning) -> bool:
    """Whether an interrupted clone was filling this very directory, which was empty then, or has given it its name."""
    if (mark.stage and os.path.lexists(mark.stage)) or not os.path.lexists(root):
        return False
    return os.lstat(root).st_ino == mark.inode


def _remove_stages(sidecar: Sidecar, mark: Cloning) -> None:
    """What an interrupted clone has made beside the directory goes, if it is that; and what it has staged in one that
    was empty then, and so is nobody's."""
    root = sidecar.installation
    with suppress(FileNotFoundError):
        found = os.lstat(_stage(root))
        if mark.inode == found.st_ino and stat.S_ISDIR(found.st_mode):
            shutil.rmtree(_stage(root))
    if _fills(root, mark) and sidecar.pending is None:
        stage_dirs.clear(root, Disk(), orphan_stages.find(root), lambda _: False, root)
