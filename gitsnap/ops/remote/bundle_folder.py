"""A folder of bundles on any disk, or mounted object store: each push writes the next link of a chain.

A chain that has become long, or larger than what it began with, is followed by a new whole one. Names sort as bundles
are to be read, and SHA256SUMS is what `sha256sum --check` takes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from gitsnap.core.bundle import Place, outlived, read_name, spent
from gitsnap.core.errors import GitsnapError, IntegrityError, RemoteError, UsageError
from gitsnap.core.events import SILENT, Observer
from gitsnap.core.settings import Settings
from gitsnap.ops.process.age import Recipients
from gitsnap.ops.remote import bundle
from gitsnap.ops.remote.bundle import Bundled, Wanted
from gitsnap.ops.remote.secret_guard import Permits
from gitsnap.sidecar import catalog, files, locks
from gitsnap.sidecar.git import refs
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import bundles_written
from gitsnap.sidecar.state.bundles_written import Last

# How many bundles follow a whole one, at most.
_LINKS = 30
_SUMS = "SHA256SUMS"
# What a bundle is written for; all else that changes goes along with the next one.
_STATE = (refs.SNAPSHOTS, refs.PINS, *refs.RECORDS, refs.TIMELINE)


@dataclass(slots=True)
class FolderPush:
    """What a push into a folder did: the bundle that it wrote (None: there was nothing new), and the files of cycles
    that it removed. `pending` are the snapshots that would go, where it was only asked, `refs` what the last bundle
    there has; `plain` are files that are not encrypted where these are."""

    folder: str
    written: Bundled | None = None
    removed: list[str] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)
    refs: Mapping[str, str] = field(default_factory=dict)
    plain: list[str] = field(default_factory=list)


@dataclass(slots=True, frozen=True)
class FolderOptions:
    """For whom bundles are encrypted, how many cycles stay (None: all), when it is, which secrets may go plainly."""

    now: datetime
    recipients: Recipients = field(default_factory=Recipients)
    keep: int | None = None
    dry_run: bool = False
    observer: Observer = SILENT
    permits: Permits = field(default_factory=Permits)


def push(sidecar: Sidecar, folder: str, settings: Settings, options: FolderOptions) -> FolderPush:
    """Write into `folder` (absolute) what is not in its last bundle. Raises GitsnapError, OSError."""
    if not os.path.isdir(folder):
        raise RemoteError(
            f"there is no directory {folder}",
            kind="remote-unreachable",
            path=folder,
            hint="where it is a disk: is it mounted?",
        )
    done = FolderPush(folder)
    with locks.hold(sidecar.own("bundles.lock"), exclusive=True, wait=settings.lock_wait):
        sizes = look(folder)
        last = _last(sidecar, folder, sizes, options.recipients)
        place, wanted = _next(sidecar, sizes, last, options)
        if wanted is not None and not options.dry_run:
            if read_name(place.name) is None:
                raise UsageError(
                    f"the numbers of bundles in {folder} end with {max(sizes).name}",
                    path=folder,
                    hint="move what is there to another directory, if it is a bundle at all",
                )
            file = os.path.join(folder, place.name)
            done.written = made = bundle.create(
                sidecar, file, wanted, settings, now=options.now, observer=options.observer
            )
            _sum(folder, place.name, made.sha256)
            last = Last(place.name, made.size, made.label.name, made.heading.refs, _words(options.recipients))
            bundles_written.save(sidecar, folder, last)
            sizes[place] = made.size
        if wanted is not None and options.dry_run:
            done.pending = [
                s.id for s in catalog.snapshots(sidecar) if wanted.known.get(refs.SNAPSHOTS + s.id) != s.commit
            ]
        if not options.dry_run and options.keep is not None:
            for gone in outlived(list(sizes), options.keep):
                with suppress(FileNotFoundError):
                    os.unlink(os.path.join(folder, gone.name))
                done.removed.append(gone.name)
            if done.removed:
                _sum(folder)
        if options.recipients:
            done.plain = [p.name for p in sorted(sizes) if not p.encrypted and p.name not in done.removed]
        done.refs = last.refs if last is not None else {}
    return done


def look(folder: str) -> dict[Place, int]:
    """The bundles in a folder, and their sizes in bytes. IntegrityError where something else has the name of one."""
    found: dict[Place, int] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            place = read_name(entry.name)
            if place is None:
                continue
            if not entry.is_file():
                raise IntegrityError(f"{entry.path} is no file", path=entry.path)
            found[place] = entry.stat().st_size
    return found


def chain(folder: str) -> list[str]:
    """The files of the last cycle, as they are to be read. UsageError where there are none, or one is missing."""
    places = sorted(look(folder))
    last = [p for p in places if p.cycle == places[-1].cycle] if places else []
    if not last:
        raise UsageError(f"there are no bundles in {folder}", path=folder)
    for number, place in enumerate(last, 1):
        if place.number != number:
            lost = place._replace(number=number)
            raise GitsnapError(f"{lost.name} is missing in {folder}", kind="bundle-incomplete", path=folder)
    return [os.path.join(folder, p.name) for p in last]


def _words(to: Recipients) -> tuple[str, ...]:
    return (*sorted(to.keys), *sorted(to.files))


def _last(sidecar: Sidecar, folder: str, sizes: Mapping[Place, int], to: Recipients) -> Last | None:
    """The bundle that the next one can build on: the last one there, if it is as we wrote it and for the same ones."""
    last = bundles_written.load(sidecar, folder)
    place = max(sizes, default=None)
    if last is None or place is None or place.name != last.file or sizes[place] != last.size:
        return None
    return last if tuple(last.recipients) == _words(to) else None


def _next(
    sidecar: Sidecar, sizes: Mapping[Place, int], last: Last | None, options: FolderOptions
) -> tuple[Place, Wanted | None]:
    """Where the next bundle stands, and what is in it; None where nothing is new."""
    encrypted = bool(options.recipients)
    newest = max(sizes, default=Place(0, 1, encrypted))
    known = dict(last.refs) if last is not None else {}
    if last is not None and _state(sidecar) == {r: v for r, v in known.items() if r.startswith(_STATE)}:
        return newest, None
    living = catalog.snapshots(sidecar)
    shared = any(known.get(refs.SNAPSHOTS + s.id) == s.commit for s in living)
    if last is None or not shared or newest.encrypted is not encrypted or spent(sizes, _LINKS):
        place = Place(newest.cycle + 1, 1, encrypted)
        return place, Wanted(recipients=options.recipients, number=1, cycle=place.cycle, permits=options.permits)
    place = Place(newest.cycle, newest.number + 1, encrypted)
    wanted = Wanted(
        recipients=options.recipients,
        number=place.number,
        follows=last.name,
        cycle=place.cycle,
        known=known,
        permits=options.permits,
    )
    return place, wanted


def _state(sidecar: Sidecar) -> dict[str, str]:
    """The refs that a bundle is written for, as they are."""
    found = {
        top + name: value for top in _STATE if top.endswith("/") for name, value in sidecar.refs.below(top, {}).items()
    }
    tip = sidecar.refs.get(refs.TIMELINE)
    return found | ({refs.TIMELINE: tip} if tip else {})


def _sum(folder: str, name: str | None = None, digest: str = "") -> None:
    """Write SHA256SUMS anew: what is there, and the one that came. Of what a killed push has left there is no line yet,
    and it is read for that."""
    path = os.path.join(folder, _SUMS)
    held: dict[str, str] = {}
    for line in (files.read(path) or b"").decode("utf-8", "replace").splitlines():
        each, _, of = line.partition("  ")
        if read_name(of) is not None and os.path.exists(os.path.join(folder, of)):
            held[of] = each
    if name is not None:
        held[name] = digest
    for place in look(folder):
        if place.name not in held:
            with open(files.opened(os.path.join(folder, place.name)), "rb") as file:
                held[place.name] = bundle.digest_of(file.fileno())[1]
    text = "".join(f"{each}  {of}\n" for of, each in sorted(held.items()))
    with bundle.whole_file(path, 1) as fd, open(fd, "wb", closefd=False) as file:
        file.write(text.encode())
