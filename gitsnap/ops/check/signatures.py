"""Who signed snapshots, and whether that is enough for whoever wants them signed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gitsnap.core.errors import IntegrityError, UsageError
from gitsnap.core.model import Snapshot
from gitsnap.core.settings import Settings
from gitsnap.core.signature import Checked, Policy, Status
from gitsnap.ops.check.verdict import Finding, Verdict, note
from gitsnap.ops.store import signers
from gitsnap.sidecar import catalog, signatures
from gitsnap.sidecar.repository import Sidecar


def problems(found: Sequence[Checked]) -> list[Finding]:
    """What is wrong with a snapshot that has to be signed: one good signature is enough, a wrong one too much."""
    out = [_finding(each) for each in found if each.status is Status.WRONG]
    if any(each.status is Status.GOOD for each in found):
        return out
    if not found:
        return [Finding(b"", "it is not signed", kind="unsigned")]
    return out + [_finding(each) for each in found if each.status is not Status.WRONG]


_KINDS = {
    Status.WRONG: "wrong-signature",
    Status.UNKNOWN: "unknown-signer",
    Status.EXPIRED: "expired-signer",
    Status.REVOKED: "revoked-signer",
    Status.NOT_CHECKED: "not-checked",
}
_SAID = {
    Status.WRONG: "is wrong",
    Status.UNKNOWN: "is by an unknown signer",
    Status.EXPIRED: "is by a signer who was not allowed then",
    Status.REVOKED: "is by a revoked key",
    Status.NOT_CHECKED: "was not checked",
}


def _finding(found: Checked) -> Finding:
    by = f" by {found.key}" if found.key else ""
    place = "its commit" if found.where == signatures.COMMIT else found.where
    why = f": {found.why}" if found.why else ""
    return Finding(b"", f"the signature{by} in {place} {_SAID[found.status]}{why}", kind=_KINDS[found.status])


def wanted(policy: Policy) -> bool:
    """Whether what comes from elsewhere has to be signed, and it is said by whom."""
    return policy.require and bool(policy.allowed)


def require(sidecar: Sidecar, snapshot: Snapshot, policy: Policy) -> None:
    """Raise IntegrityError where it has to be signed, and is not as it should be."""
    if not wanted(policy):
        return
    found = problems(signers.check(sidecar, [snapshot], policy)[snapshot.id])
    if found:
        raise IntegrityError(f"snapshot {snapshot.id} cannot be trusted: {found[0].problem}")


def judge_incoming(
    sidecar: Sidecar, verdicts: Sequence[Verdict], came: Sequence[Snapshot], tags: Mapping[str, str], policy: Policy
) -> None:
    """As judge(), of snapshots that no ref shows yet; `tags` are those that sign them, by ref."""
    named: dict[str, dict[str, str]] = {}
    for ref, tag in tags.items():
        named.setdefault(signatures.snapshot_of(ref), {})[ref] = tag
    _add(verdicts, signers.check(sidecar, came, policy, named))


def judge(sidecar: Sidecar, verdicts: Sequence[Verdict], settings: Settings) -> None:
    """Add to verdicts on snapshots who signed each, and what is wrong with that.

    UsageError where nothing tells who may sign.
    """
    if not settings.signing.allowed:
        raise UsageError(
            "nothing tells who may sign",
            hint="name a file of allowed signers: `--allowed-signers FILE`, or [signing] allowed-signers",
        )
    named = {v.snapshot for v in verdicts}
    with sidecar.using_objects(settings.lock_wait):
        living: Mapping[str, Snapshot] = {s.id: s for s in catalog.snapshots(sidecar)}
        # What cannot be read, or is none, has its verdict.
        found = signers.check(sidecar, [s for s in living.values() if s.id in named], settings.signing)
    _add(verdicts, found)
    note(sidecar, verdicts)


def _add(verdicts: Sequence[Verdict], found: Mapping[str, list[Checked]]) -> None:
    for verdict in verdicts:
        if verdict.snapshot in found:
            verdict.signatures = found[verdict.snapshot]
            verdict.problems += problems(found[verdict.snapshot])
