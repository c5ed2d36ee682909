"""All installations of a server, by its refs and a few commits of each: no tree, no blob, and nothing is kept here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar

from gitsnap.core import fleet
from gitsnap.core.errors import GitsnapError, IntegrityError, NoSidecarError, UsageError
from gitsnap.core.events import SILENT, Observer
from gitsnap.core.fleet import Member, Row
from gitsnap.core.machine import Machine, parse_machine
from gitsnap.core.message import parse_ending, parse_message, parse_return
from gitsnap.core.model import Snapshot
from gitsnap.core.order import in_order, newest
from gitsnap.core.outcome import Ending
from gitsnap.core.remote import checked_url, shown
from gitsnap.core.signature import NO_POLICY, Checked, Policy
from gitsnap.sidecar import catalog, signatures
from gitsnap.sidecar.git import commits, partial_fetch
from gitsnap.sidecar.git.partial_fetch import Looked
from gitsnap.sidecar.git.transport import Target
from gitsnap.sidecar.signatures import Stored

_T = TypeVar("_T")


@dataclass(slots=True)
class Fleet:
    """The installations at `url` (as it may be seen), in the order that was asked for, at the moment `now`. `refs` are
    how many were looked at, `bytes` how many of packs came."""

    url: str
    now: datetime
    rows: list[Row] = field(default_factory=list)
    refs: int = 0
    bytes: int = 0


@dataclass(slots=True, frozen=True)
class Asked:
    """`policy` says by which files signatures are checked; `sort` is one of core.fleet.SORTS. `installation` is the
    directory whose programs are not run ("" for none); with `asks`, ssh and git's helpers may ask on the terminal."""

    now: datetime
    policy: Policy = NO_POLICY
    sort: str = "name"
    patience: float = 600.0
    installation: str = ""
    asks: bool = False
    observer: Observer = SILENT


def survey(url: str, asked: Asked) -> Fleet:
    """The installations in the repository at `url` (a URL of git, or an absolute path).

    What is damaged over there is told in its row. RemoteError where the server cannot be asked, NoSidecarError where
    there is no snapshot, UsageError for what is no URL or no file of signers.
    """
    if asked.sort not in fleet.SORTS:
        raise UsageError(f"'{asked.sort}' is none of {', '.join(fleet.SORTS)}")
    told = asked.observer.noticed
    target = Target(checked_url(url), asked.installation, asked.patience, asked.asks, tell=told)
    found: list[Member] = []

    def choose(refs: Mapping[str, str]) -> Sequence[str]:
        found[:] = fleet.members(refs)
        return [oid for member in found for oid in _first(member)]

    looked = partial_fetch.look(target, fleet.PREFIXES, choose)
    if not found:
        raise NoSidecarError(f"{shown(url)} holds no snapshots", hint="gitsnap push sends them")
    last = {member.name: _last(member, looked) for member in found}
    partial_fetch.read(target, [oid for m in found for oid in _of(m, last[m.name])], looked)
    rows = []
    with _signers(asked) as check:
        for member in found:
            row = _row(member, last[member.name], looked, check)
            rows.append(replace(row, problems=(*row.problems, *fleet.doubts(row, asked.now))))
    return Fleet(shown(url), asked.now, fleet.in_order(rows, asked.sort), len(looked.refs), looked.taken)


def _first(member: Member) -> Sequence[str]:
    """What tells most of an installation: mostly all that is needed."""
    also = [oid for oid in (member.timeline, member.machine) if oid is not None]
    return [*_of(member, member.last), *also, *member.records()]


def _of(member: Member, snapshot: str | None) -> Sequence[str]:
    """A snapshot's commit and the tags that sign it."""
    return [member.snapshots[snapshot], *member.tags(snapshot).values()] if snapshot in member.snapshots else []


def _last(member: Member, looked: Looked) -> str:
    """The id of the newest snapshot. Ids tell the clock's order; the end of the timeline tells the one in which they
    were taken."""
    last = member.last
    assert last is not None
    try:
        content = _content(looked, member.timeline, b"commit")
        tip = commits.parse(content, member.timeline or "")
        if tip.message.startswith(b"rollback: "):
            named = parse_return(tip.message)[1]
            return named if named in member.snapshots else last
        end = parse_message(tip.message, commit="", tree=tip.tree, created=tip.created, pinned=False)
        by_id = _snapshot(member, last, looked)
    except (IntegrityError, ValueError):
        return last
    chosen = newest(in_order([end, by_id])) if end.id != last else None
    return chosen.id if chosen is not None and chosen.id in member.snapshots else last


def _content(looked: Looked, oid: str | None, kind: bytes) -> bytes:
    """An object that came; IntegrityError for another one, or none."""
    found = looked.found.get(oid or "")
    if found is None:
        raise IntegrityError(looked.unread.get(oid or "", "it is not there"))
    if found[0] != kind:
        raise IntegrityError(f"it is a {found[0].decode()}, not a {kind.decode()}")
    return found[1]


def _snapshot(member: Member, name: str, looked: Looked) -> Snapshot:
    commit = member.snapshots[name]
    return catalog.decode(_content(looked, commit, b"commit"), name, commit, pinned=name in member.pins)


def _row(member: Member, last: str, looked: Looked, check: Callable[[Stored], Checked]) -> Row:
    problems: list[str] = []

    def told(what: str, read: Callable[[], _T]) -> _T | None:
        try:
            return read()
        except (IntegrityError, ValueError) as error:
            why = error.message if isinstance(error, GitsnapError) else str(error)
            problems.append(f"{what} cannot be read: {why}")
            return None

    snapshot = told("its newest snapshot", lambda: _snapshot(member, last, looked))
    stored: list[Stored] = []
    if snapshot is not None:
        content = _content(looked, snapshot.commit, b"commit")
        tags = member.tags(last)
        stored = signatures.of(snapshot, content, tags, lambda oid: _content(looked, oid, b"tag"))
    return Row(
        name=member.name,
        last=last,
        snapshots=len(member.snapshots),
        pinned=len(member.pins & member.snapshots.keys()),
        newest=snapshot,
        upgrade=told("the record of its last upgrade", lambda: _ending(member, looked)),
        signatures=tuple(map(check, stored)),
        machine=told("what its machine says", lambda: _machine(member, looked)),
        problems=tuple(problems),
    )


def _ending(member: Member, looked: Looked) -> Ending | None:
    """The record that was made last, of those of the last upgrade."""
    found = []
    for oid in member.records():
        parsed = commits.parse(_content(looked, oid, b"commit"), oid)
        ending = parse_ending(parsed.message)
        if ending.upgrade != max(member.upgrades):
            raise IntegrityError(f"it is of {ending.upgrade}")
        found.append((parsed.created, oid, ending))
    return max(found)[2] if found else None


def _machine(member: Member, looked: Looked) -> Machine | None:
    if member.machine is None:
        return None
    return parse_machine(commits.parse(_content(looked, member.machine, b"commit"), member.machine).message)


class _signers(ExitStack):  # noqa: N801 - used as a statement
    """Checks signatures where it is said who may sign; else has what they say of themselves."""

    def __init__(self, asked: Asked) -> None:
        super().__init__()
        self._asked = asked
        self._check: Callable[..., Checked] | None = None

    def __enter__(self) -> Callable[[Stored], Checked]:  # type: ignore[override]
        if self._asked.policy.allowed:
            # Starts programs, which whoever checks nothing does not.
            from gitsnap.sidecar.git import ssh_keygen

            checker = ssh_keygen.Checker(self._asked.policy, self._asked.installation)
            self._check = self.enter_context(checker).check
        return self._one

    def _one(self, stored: Stored) -> Checked:
        if stored.wrong or self._check is None:
            return stored.unchecked()
        return self._check(stored.where, stored.text, stored.armor, stored.when)
