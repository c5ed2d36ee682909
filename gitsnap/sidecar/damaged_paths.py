"""Which snapshots need an object that is damaged, and at which paths."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from gitsnap.core.errors import IntegrityError
from gitsnap.core.model import Problem, Snapshot
from gitsnap.core.paths import decode_component
from gitsnap.sidecar.git import notes, refs, trees
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state.known_damage import MOST


def holders(sidecar: Sidecar, living: Sequence[Snapshot], broken: Collection[bytes]) -> dict[str, list[Problem]]:
    """Which of the snapshots need one of the `broken` objects (raw ids), and at which paths; by commit."""
    bad = _trees_above(sidecar, [bytes.fromhex(s.tree) for s in living], broken)
    out: dict[str, list[Problem]] = {}
    for snapshot in living:
        found = list(_paths(sidecar, bytes.fromhex(snapshot.tree), bad, broken))
        if bytes.fromhex(snapshot.commit) in broken:
            found.append(Problem(b"", f"object {snapshot.commit} is damaged"))
        if found:
            out[snapshot.commit] = sorted(found, key=lambda p: p.path)
    for ref in (refs.MANIFESTS, refs.METADATA):
        try:
            held, _ = notes.load(sidecar.objects, sidecar.refs.get(ref))
        except IntegrityError:
            continue
        for snapshot in living:
            oid = held.get(snapshot.commit)
            if oid in broken:
                what = "manifest" if ref == refs.MANIFESTS else "metadata"
                problem = Problem(b"", f"its {what} cannot be read: object {(oid or b'').hex()} is damaged")
                out.setdefault(snapshot.commit, []).append(problem)
    return out


def _trees_above(sidecar: Sidecar, roots: Sequence[bytes], broken: Collection[bytes]) -> set[bytes]:
    """The trees that hold, at any depth, what is broken; each tree is read once."""
    bad: set[bytes] = set()
    parents: dict[bytes, list[bytes]] = {}
    for oid, below, blobs in trees.walk(sidecar.objects, roots):
        if blobs is None or any(child in broken for child in (*below, *blobs)):
            bad.add(oid)
        for child in below:
            parents.setdefault(child, []).append(oid)
    work = list(bad)
    while work:
        for parent in parents.get(work.pop(), ()):
            if parent not in bad:
                bad.add(parent)
                work.append(parent)
    return bad


def _paths(sidecar: Sidecar, root: bytes, bad: Collection[bytes], broken: Collection[bytes]) -> list[Problem]:
    found: list[Problem] = []
    stack = [(b"", root)] if root in bad else []
    while stack and len(found) < 10 * MOST:
        prefix, oid = stack.pop()
        try:
            entries = trees.parse(sidecar.objects.read(oid, b"tree")[1], oid)
        except IntegrityError:
            found.append(Problem(prefix.rstrip(b"/"), f"object {oid.hex()} is damaged"))
            continue
        for name, mode, child in entries:
            path = prefix + decode_component(name, link=mode == trees.LINK)
            if mode == trees.DIRECTORY and child in bad:
                stack.append((path + b"/", child))
            elif child in broken and mode != trees.DIRECTORY:
                found.append(Problem(path, f"object {child.hex()} is damaged"))
    return found
