"""Who signed snapshots, as far as it can be told here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gitsnap.core.errors import GitsnapError
from gitsnap.core.model import Snapshot
from gitsnap.core.signature import Checked, Policy
from gitsnap.sidecar import signatures
from gitsnap.sidecar.repository import Sidecar


def check(
    sidecar: Sidecar,
    snapshots: Iterable[Snapshot],
    policy: Policy,
    tags: Mapping[str, Mapping[str, str]] | None = None,
) -> dict[str, list[Checked]]:
    """Every signature of these snapshots, by their ids: checked by the policy's files, where it names any. `tags` are
    those that sign, as signatures.tagged() has them; None for what the sidecar's refs tell.

    UsageError where one of these cannot be read, GitsnapError where there is no ssh-keygen, IntegrityError where a
    commit cannot be read.
    """
    # Starts programs, which whoever meets no signature does not.
    from gitsnap.sidecar.git import ssh_keygen

    tagged = signatures.tagged(sidecar) if tags is None else tags
    with ssh_keygen.Checker(policy, sidecar.installation) as checker:
        found = {}
        for snapshot in snapshots:
            stored = signatures.load(sidecar, snapshot, tagged.get(snapshot.id, {}))
            found[snapshot.id] = [
                each.unchecked() if each.wrong else checker.check(each.where, each.text, each.armor, each.when)
                for each in stored
            ]
        return found


def told(sidecar: Sidecar, snapshot: Snapshot, policy: Policy) -> list[Checked]:
    """Every signature of a snapshot for whoever looks at it: where nothing can be checked, what each says of itself."""
    there = signatures.tagged(sidecar).get(snapshot.id, {})
    if not (snapshot.signed_by or there):
        return []
    why = ""
    if policy.allowed:
        try:
            return check(sidecar, [snapshot], policy)[snapshot.id]
        except GitsnapError as error:
            why = error.message
    found = [each.unchecked() for each in signatures.load(sidecar, snapshot, there)]
    return [each._replace(why=each.why or why) for each in found]
