"""A check-up: the installation, the sidecar, permissions and versions, each with what to do about it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from gitsnap.core.errors import GitsnapError
from gitsnap.core.model import Snapshot
from gitsnap.core.settings import Settings
from gitsnap.installation.apply import orphan_stages
from gitsnap.ops.live import damage
from gitsnap.ops.store import purge
from gitsnap.ops.store.locate import Place, open_sidecar
from gitsnap.sidecar import catalog, integrity, lost_refs, scratch_place
from gitsnap.sidecar.files import walk
from gitsnap.sidecar.git import config, refs, ssh_keygen, stock_git
from gitsnap.sidecar.git.config import FORMAT_VERSION
from gitsnap.sidecar.git.ssh_keygen import SigningError
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import audit, drills, verifications

# Free bytes below which it is worth a word.
_LOW = 100 * 10**6


@dataclass(slots=True, frozen=True)
class Check:
    """One question and its answer. `ok` None means: worth knowing, nothing is wrong. `advice` is what to do. `refuses`
    tells that an upgrade would not be started because of it."""

    name: str
    ok: bool | None
    answer: str
    advice: str | None = None
    refuses: bool = False


def examine(place: Place | None, settings: Settings | None = None, now: datetime | None = None) -> list[Check]:
    """All checks; those on the sidecar only where there is one, and what depends on the time only with `settings`."""
    checks = [_python(), _git(place)]
    if settings is not None and settings.signing.key:
        checks.append(_signing_key(settings.signing.key, place.root if place else ""))
    if place is None:
        return [*checks, Check("installation", None, "nothing is protected here", "gitsnap init DIR")]
    checks += list(_installation(place))
    try:
        with open_sidecar(place) as sidecar:
            checks += list(_sidecar(sidecar))
            if settings is not None and now is not None:
                checks += list(proven(sidecar, settings, now))
    except GitsnapError as error:
        checks.append(Check("sidecar", False, error.message, error.hint))
    return checks


def _python() -> Check:
    return Check("python", True, ".".join(map(str, sys.version_info[:3])))


def _git(place: Place | None) -> Check:
    root = place.root if place else None
    if stock_git.find(os.environ.get("PATH"), root) is None:
        return Check("git", False, "not on PATH", "install git 2.30 or newer: gc, blame and diff need it")
    words = stock_git.run(["version"], installation=root).decode("utf-8", "replace").split()
    version = words[2] if len(words) > 2 else "unknown"
    numbers = tuple(int(n) for n in re.findall(r"\d+", version)[:2])
    return Check("git", numbers >= (2, 30), version, None if numbers >= (2, 30) else "install git 2.30 or newer")


def _signing_key(key: str, installation: str) -> Check:
    try:
        return Check("signing key", True, f"{key} signs: {ssh_keygen.examine(key, installation)}")
    except SigningError as error:
        # Whoever is there can be asked for a passphrase.
        return Check("signing key", None if "passphrase" in error.message else False, error.message, error.hint)


def _installation(place: Place) -> Iterator[Check]:
    root = place.root
    if not os.path.isdir(root):
        yield Check(
            "installation", False, f"{root} is not there", f"gitsnap --store {place.store} restore latest --to DIR"
        )
        return
    yield Check("installation", True, root)
    if os.geteuid() != 0:
        owner = os.stat(root).st_uid
        mine = owner == os.geteuid()
        yield Check(
            "ownership",
            mine or None,
            "yours" if mine else f"it belongs to user {owner}",
            None if mine else "files of others come back as yours; run as root to keep owners",
        )
    here, there = os.stat(root).st_dev, os.stat(place.store).st_dev
    yield _space(root, "installation's")
    if here != there:
        yield _space(place.store, "sidecar's")
    else:
        yield Check(
            "same disk",
            None,
            "the snapshots are on the installation's own file system",
            "losing that disk loses both: copy the sidecar elsewhere, too",
        )


def _space(path: str, whose: str) -> Check:
    free = shutil.disk_usage(path).free
    full = free < _LOW
    advice = "make room: what a rollback writes, and what snapshots add, must fit" if full else None
    return Check("space", None if full else True, f"{free / 1e9:,.1f} GB free on the {whose} file system", advice)


def _sidecar(sidecar: Sidecar) -> Iterator[Check]:
    yield Check("sidecar", True, f"{sidecar.path} (format {FORMAT_VERSION})")
    yield from _recovery(sidecar)
    yield _privacy(sidecar)
    found = integrity.flaws(sidecar)
    yield Check(
        "git's files",
        not found,
        "refs, HEAD and config are as gitsnap wrote them" if not found else "; ".join(f.problem for f in found),
        _remedy(sidecar, found[0]) if found else None,
    )
    wrong = integrity.audit_log(sidecar)
    last = audit.tip(sidecar.path).sequence
    told = f"{last:,} line{'s' * (last != 1)}, whole" if last else "nothing is written down yet"
    advice = "gitsnap audit shows what is left; docs/how-to/audit.md says how to go on"
    yield Check("audit log", not wrong, "; ".join(f.problem for f in wrong) or told, advice if wrong else None)
    yield from _foreign(sidecar)
    living = catalog.snapshots(sidecar)
    damaged, gone = living.damaged, lost_refs.lost(sidecar)
    yield Check(
        "snapshots",
        not damaged,
        f"{len(living)}" + (f", and {len(damaged)} damaged" if damaged else ""),
        "gitsnap verify --all" if damaged else None,
    )
    if gone:
        yield Check("lost refs", False, "; ".join(ref for ref, _ in gone), _bring_back(sidecar, gone))
    yield from _damage(sidecar, living)
    chain = catalog.chain(sidecar, living)
    fits = sidecar.refs.get(refs.TIMELINE) == (chain[-1].commit if chain else None)
    yield Check(
        "timeline",
        fits,
        "in step" if fits else "out of step with the snapshots",
        None if fits else "the next snapshot rebuilds it",
    )
    newest = verifications.newest_verified(sidecar, living, damage.known(sidecar, living))
    yield Check(
        "verified",
        bool(newest) or None,
        newest or "no snapshot was verified in full yet",
        None if newest or not living else "gitsnap verify latest",
    )
    try:
        _git_fsck(sidecar)
        yield Check("git fsck", True, "connected")
    except GitsnapError as error:
        yield Check("git fsck", False, error.message, "gitsnap verify --all")


def _git_fsck(sidecar: Sidecar) -> None:
    """Have git look at the objects. From 2.50 on it looks at the files of refs as well, and takes the links by which it
    is led to those of the sidecar for damage: they have been looked at above."""
    words = ("fsck", "--connectivity-only", "--no-dangling", "--no-progress")
    try:
        sidecar.git(*words, "--no-references")
    except GitsnapError as error:
        # How git says that it does not know an option.
        if "(129)" not in error.message:
            raise
        sidecar.git(*words)


def proven(sidecar: Sidecar, settings: Settings, now: datetime) -> Iterator[Check]:
    """How long ago a snapshot was verified, where it matters how long, and brought back for a trial."""
    living = catalog.snapshots(sidecar)
    late = verifications.overdue(verifications.load(sidecar), living, settings.verify_every, now)
    if late is not None and settings.verify_every is not None:
        since = age(late + settings.verify_every)
        yield Check("overdue", False, f"no snapshot was verified for {since}", "gitsnap verify --all")
    last = drills.last(sidecar)
    if last is not None:
        advice = None if last.ok else f"gitsnap drill {last.snapshot}"
        because = f": {last.problem}" if last.problem else ""
        answer = f"{last.snapshot} {last.outcome}, {age(now - last.when)} ago{because}"
        yield Check("drill", last.ok, answer, advice)
    for place in scratch_place.left(sidecar.scratch):
        yield Check("scratch", None, f"{place} was left by a drill that was killed", "the next snapshot removes it")


def age(length: timedelta) -> str:
    """A length of time, roughly."""
    seconds = max(int(length.total_seconds()), 0)
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}{'s' * (seconds // size != 1)}"
    return f"{seconds} second{'s' * (seconds != 1)}"


def _damage(sidecar: Sidecar, living: Sequence[Snapshot]) -> Iterator[Check]:
    """What is known to be damaged, until it is healed."""
    for name, found in damage.known(sidecar, living).items():
        first = found.problems[0] if found.problems else None
        where = f"{os.fsdecode(first.path) or 'the snapshot'} ({first.reason})" if first else "unknown"
        more = f", and {found.count - 1:,} more" if found.count > 1 else ""
        yield Check(
            "damage",
            False,
            f"{name} is damaged, found {found.found.isoformat(timespec='seconds')} by {found.by}: {where}{more}",
            "gitsnap snapshot, which writes again what the directory still has; then gitsnap verify --all",
        )


def _bring_back(sidecar: Sidecar, gone: Sequence[lost_refs.Lost]) -> str:
    """What to type to have lost refs again; what is not wanted goes by `gitsnap delete`."""
    words = " ".join(f"{ref} {commit}" for ref, commit in gone)
    return (
        f"printf 'create %s %s\\n' {words} | git --git-dir {shlex.quote(sidecar.path)} update-ref -m restored --stdin"
    )


def _remedy(sidecar: Sidecar, flaw: integrity.Flaw) -> str:
    """What to type against one flaw of git's files, where that is known."""
    store = shlex.quote(sidecar.path)
    ref = re.fullmatch(r"the ref (\S+) (?:is lost|was changed)", flaw.problem)
    if flaw.problem.startswith("HEAD "):
        head = shlex.quote(os.path.join(sidecar.path, "HEAD"))
        return f"(umask 077; echo 'ref: {refs.TIMELINE}' > {head})"
    if ref and ref[1] == refs.TIMELINE:
        return "the next snapshot rebuilds it"
    if ref and flaw.expected:
        return f"git --git-dir {store} update-ref -m restored {ref[1]} {flaw.expected}"
    if flaw.problem.startswith("config: ") and flaw.expected:
        key = flaw.problem.removeprefix("config: ").partition(" ")[0]
        return f"git --git-dir {store} config {key} {flaw.expected}"
    return "gitsnap verify --all"


def _recovery(sidecar: Sidecar) -> Iterator[Check]:
    if left_over := purge.pending(sidecar):
        names = " ".join(map(shlex.quote, map(os.fsdecode, left_over)))
        yield Check("purge", False, f"a purge was cut short: {names}", f"gitsnap purge {names}")
    waits = sidecar.pending is not None or sidecar.returning
    if waits and sidecar.busy:
        yield Check("recovery", None, "a rollback is at work at this moment")
    elif waits:
        yield Check("recovery", False, "a rollback was interrupted and waits to be settled", "gitsnap recover")
    elif cut_short := _cut_short(sidecar):
        yield cut_short
    elif os.path.isdir(sidecar.installation) and (left := orphan_stages.find(sidecar.installation)):
        names = ", ".join(map(os.fsdecode, left))
        yield Check(
            "recovery",
            False,
            f"there is no journal for the stage {names}: it may hold files of an interrupted rollback",
            "gitsnap recover",
        )


def _cut_short(sidecar: Sidecar) -> Check | None:
    """An upgrade that was killed, and that nothing has settled yet."""
    if not sidecar.upgrading:
        return None
    from gitsnap.ops.live import in_progress

    found = in_progress.look(sidecar)
    if found is None or found.changed_nothing:
        return None
    runs = f"; its command still runs, as process {found.running}" if found.running is not None else ""
    back = "gitsnap recover" if found.waits else f"gitsnap rollback {found.upgrade}@pre"
    advice = f"{back}{', once the command is over' if runs else ''}"
    return Check("upgrade", False, f"{found.upgrade} was cut short, and nothing is decided{runs}", advice)


def _privacy(sidecar: Sidecar) -> Check:
    """Who may enter the sidecar's own directory may read what is open below; nobody else can, whatever its mode."""
    open_below = list(_open_below(sidecar.path))
    close = f"chmod -R go= {shlex.quote(sidecar.path)}"
    if os.stat(sidecar.path).st_mode & 0o077:
        return Check("privacy", False, f"others may read {open_below[0] if open_below else sidecar.path}", close)
    if open_below:
        named = os.path.relpath(open_below[0], sidecar.path) + (", ..." if len(open_below) > 1 else "")
        answer = f"only its owner can enter it; open to others, if it is ever copied elsewhere: {named}"
        return Check("privacy", None, answer, close)
    return Check("privacy", True, "only its owner can read it")


def _open_below(path: str) -> Iterator[str]:
    for folder, names, files in walk(path):
        for name in [*names, *files]:
            full = os.path.join(folder, name)
            with suppress(FileNotFoundError):
                found = os.lstat(full)
                if found.st_mode & 0o077 and not stat.S_ISLNK(found.st_mode):
                    yield full


def _foreign(sidecar: Sidecar) -> Iterator[Check]:
    """What of git's configuration in the sidecar is not gitsnap's: gitsnap never reads it; git does."""
    found = config.foreign(sidecar.path)
    if found:
        yield Check(
            "git's config",
            None,
            f"gitsnap did not write {', '.join(found)}",
            "gitsnap reads none of it; `gitsnap git` obeys it, and may start programs that it names",
        )
