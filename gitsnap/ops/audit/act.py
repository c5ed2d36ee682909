"""One thing that gitsnap does or refuses: who asked for it, and the lines of the audit log that tell of it."""

from __future__ import annotations

import os
import pwd
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from gitsnap.core import audit as log
from gitsnap.core.audit import Noted
from gitsnap.core.errors import GitsnapError
from gitsnap.core.model import Kind, Snapshot
from gitsnap.core.secrets import hints
from gitsnap.core.settings import Audit, Hooks
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import audit

# In characters: what a message or a cause may have. A line stays readable, and a file below its limit.
_LONGEST = 4000


class Act:
    """One invocation of a command, or of a function of the API. `recorded` tells that it is written down whatever
    becomes of it; others are where they were about to change the sidecar. `version` is gitsnap's.
    """

    def __init__(
        self, action: str, command: str, environ: Mapping[str, str], version: str, *, recorded: bool = False
    ) -> None:
        self.action, self._command, self._environ, self._version = action, command, environ, version
        self.recorded = recorded
        self.noted = Noted(begin=self._begun)
        self.where = Audit()
        # Whoever is told of it (`tell`).
        self.hooks: Hooks | None = None
        # What has to be said of the log itself.
        self.warnings: list[str] = []
        self._store: str | None = None
        self._installation: str | None = None
        self._started = time.monotonic()
        self._is_begun = False
        self._record_of_end: dict[str, Any] | None = None

    def attach(self, sidecar: Sidecar) -> None:
        """It is about this sidecar."""
        self.about(sidecar.path, sidecar.installation)
        sidecar.noted = self.noted

    def about(self, store: str, installation: str) -> None:
        """It is about the sidecar at `store`."""
        self._store, self._installation = store, installation

    def _begun(self) -> None:
        """Write down that the directory is about to be changed: a kill leaves no other trace of who did it."""
        if not self._is_begun:
            self._is_begun = True
            self._write("begun", "", None, None)

    def ended(self, exit_code: int, error: BaseException | None = None) -> None:
        """Write down how it ended, where it is to be written down at all. Raises nothing of the log's own failures:
        what was done is done. `warnings` tell of them."""
        noted = self.noted
        if self._store is None:
            return
        outcome = noted.outcome or (
            "declined" if noted.declined else log.outcome_of(exit_code, getattr(error, "kind", None))
        )
        is_recorded = not noted.looks and (self.recorded or noted.changes)
        if is_recorded:
            self._write("ended", outcome, exit_code, error)
        if self.hooks is not None and self.hooks.told and (is_recorded or noted.damaged):
            # The log's own failures are told above.
            with suppress(Exception):
                self._record_of_end = self._record("ended", outcome, exit_code, error)

    def tell(self) -> list[str]:
        """Run the hooks that are to be told of it, after all is said and done: a sentence for each that failed.

        Nothing of that changes what was done. No lock is held, and what a hook does is no part of it.
        """
        record, self._record_of_end = self._record_of_end, None
        if record is None or self.hooks is None or self._store is None:
            return []
        # Few have hooks.
        from gitsnap.ops.audit import notify

        failed = notify.notify(
            self.hooks, (self._installation or "/", self._store), record, _masked(self.noted.damaged)
        )
        for hook in failed:
            self._write_down_failure(hook.name, hook.told, hook.output, record["upgrade"])
        return [hook.told for hook in failed]

    def _write_down_failure(self, name: str, told: str, output: str, upgrade: str | None) -> None:
        act = Act("hook", self._command, self._environ, self._version, recorded=True)
        act.where, act._store, act._installation = self.where, self._store, self._installation
        act.noted.upgrade, act.noted.cause = upgrade, told
        act.noted.details = {"hook": name, "output": output}
        act.ended(1)

    def _write(self, phase: str, outcome: str, exit_code: int | None, error: BaseException | None) -> None:
        if self._store is None:
            return

        def form(place: audit.Place) -> bytes:
            told = record
            if place.missed:
                self._warn(f"{place.missed} of its lines could not be written before this one")
                told = {**told, "missed": place.missed}
            if place.healed:
                self._warn(place.healed)
                told = {**told, "healed": place.healed, "removed": place.removed.decode("utf-8", "replace")[:_LONGEST]}
            return log.encode(place.after, told)

        if not audit.begun(self._store):
            self._go_on_after_what_was_published(self._store)
        try:
            record = self._record(phase, outcome, exit_code, error)
            line = audit.append(self._store, form)
            self._forward(record, line)
        except Exception as failure:  # noqa: BLE001 - what is done, or about to be, does not depend on who writes it down
            what = _said(failure) if not isinstance(failure, OSError) else failure.strerror or str(failure)
            self._warn(f"it could not be written: {what}; what was done is done")

    def _go_on_after_what_was_published(self, store: str) -> None:
        """There is no log: the sidecar is new, or it came by its refs, or somebody took the log away."""
        # Once in the life of most sidecars.
        from gitsnap.ops.audit.publication import bring_back_audit

        try:
            with Sidecar(store) as sidecar:
                if found := bring_back_audit(sidecar):
                    self.noted.details |= sidecar.noted.details
                    self._warn(f"there was none; it goes on after line {found.last.sequence}, the last one published")
                    self.warnings += [f"audit log: {problem}" for problem in found.problems]
        except Exception as failure:  # noqa: BLE001 - as below
            self._warn(f"what was published of it could not be brought back: {_said(failure)}")

    def _warn(self, text: str) -> None:
        self.warnings.append(f"audit log: {text}")

    def _forward(self, record: dict[str, Any], line: bytes) -> None:
        if self.where.journald or self.where.syslog:
            # Few have it.
            from gitsnap.ops.audit import forward

            self.warnings += forward.tell(self.where, record, line)

    def _record(self, phase: str, outcome: str, exit_code: int | None, error: BaseException | None) -> dict[str, Any]:
        noted = self.noted
        cause = _said(error) if error else noted.cause
        return {
            "time": log.moment(datetime.now(UTC), "milliseconds"),
            "monotonic": round(time.monotonic(), 3),
            "boot": _boot(),
            "action": self.action,
            "phase": phase,
            "outcome": outcome or None,
            "exit_code": exit_code,
            "kind": error.kind if isinstance(error, GitsnapError) else None,
            "cause": _shown(cause) or None,
            "command": _shown(self._command),
            "user": _user(self._environ),
            "host": os.uname().nodename,
            "process": {"pid": os.getpid(), "parent": os.getppid(), "parent_name": _name_of(os.getppid())},
            "version": self._version,
            "installation": _text(self._installation or ""),
            "upgrade": noted.upgrade,
            "target": noted.target,
            "safety": noted.safety,
            "taken": [_snapshot(s) for s in noted.taken],
            "removed": [{**_gone(s), "reasons": list(noted.reasons.get(s.id, ()))} for s in noted.removed],
            "checks": [_masked(check) for check in noted.checks],
            "counts": noted.counts,
            "details": _masked(noted.details),
            "duration": round(time.monotonic() - self._started, 3),
        }


_WEB_USER = re.compile(r"(https?://)[^\s/?#@\"'<>]{1,400}@", re.IGNORECASE)


def _shown(text: str) -> str:
    """Text as it is written down: the one place where what looks secret is taken out of it."""
    # Of http a user may be a token, of any length.
    shown = _WEB_USER.sub(r"\1", text)
    if hints.may_hold(text):
        # Loads much that most commands do not need.
        from gitsnap.core.secrets.masker import Masker

        shown = Masker().text(shown)
    return _text(shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}…")


def _text(text: str) -> str:
    """What JSON can hold: bytes that are not UTF-8 as `\\xff`."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _said(error: BaseException) -> str:
    if isinstance(error, GitsnapError):
        path = f" ({os.fsdecode(error.path)})" if error.path else ""
        return error.message + ("" if path and os.fsdecode(error.path or "") in error.message else path)
    return str(error) or type(error).__name__


def _snapshot(s: Snapshot) -> dict[str, Any]:
    """What is to be known of a snapshot when it is gone."""
    return {
        "id": s.id,
        "commit": s.commit,
        "created": log.moment(s.created),
        "kind": s.kind.value,
        "label": s.label,
        "message": _shown(s.message),
        "upgrade": s.upgrade,
        "command": None if s.command is None else _shown(s.command),
        "exit_code": s.exit_code,
        "files": s.files,
        "bytes": s.bytes,
        "partial": s.partial,
        "manifest_sha256": s.manifest_sha256,
    }


def _gone(s: Snapshot) -> dict[str, Any]:
    """The same of one that is removed, with what becomes of the record of its upgrade."""
    told = _snapshot(s)
    if s.kind is Kind.PRE and s.ending is not None:
        told |= {
            "outcome": s.ending.outcome.value,
            "command_exit_code": s.ending.exit_code,
            "failure": _shown(s.ending.failure),
            "failed_check": _shown(s.ending.check),
            "rollback_error": _shown(s.ending.rollback_error),
            "duration": s.ending.duration,
        }
    return told


def _masked(value: Any) -> Any:
    """JSON with every text in it as it is written down."""
    if isinstance(value, dict):
        return {k: _masked(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_masked(v) for v in value]
    return _shown(value) if isinstance(value, str) else value


def _boot() -> str | None:
    with suppress(OSError), open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as file:
        return file.read().strip()
    return None


def _name_of(pid: int) -> str | None:
    with suppress(OSError), open(f"/proc/{pid}/comm", "rb") as file:
        return _text(os.fsdecode(file.read().strip()))
    return None


def _user(environ: Mapping[str, str]) -> dict[str, Any]:
    """Who runs this process, and who they were before they became that."""
    name = login = None
    with suppress(KeyError):
        name = pwd.getpwuid(os.geteuid()).pw_name
    with suppress(OSError):
        login = os.getlogin()
    sudo = environ.get("SUDO_USER")
    return {"uid": os.geteuid(), "name": name, "sudo_user": _text(sudo) if sudo else None, "login": login}
