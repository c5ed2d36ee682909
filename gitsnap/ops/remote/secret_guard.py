"""The secret guard: what is to leave the machine is looked through first, and secrets in it stop that.

Told are paths and keys, never values. What cannot be looked through is counted, so that nobody takes it for looked at.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from gitsnap.core.errors import SecretsError
from gitsnap.core.model import Snapshot
from gitsnap.core.paths import decode_component
from gitsnap.core.secrets.rules import Rules
from gitsnap.sidecar.git import trees
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import allowed_secrets
from gitsnap.sidecar.state.allowed_secrets import Allowed

if TYPE_CHECKING:
    from gitsnap.core.secrets import outgoing

# In bytes: nobody writes larger ones by hand, and looking through them takes seconds.
LARGEST = 4 << 20
_HEAD = 8_000
# How many the audit log has by name.
_TOLD = 20


class Stopped(NamedTuple):
    """A secret that may not leave, by its path and key."""

    path: bytes
    key: str


@dataclass(slots=True)
class Inspected:
    """What was looked through: so many `files`. Not looked at were so many that are no text (`binary`), that are larger
    than LARGEST, and that package managers `brought`, which are public. `found` are the secrets, with their marks."""

    files: int = 0
    binary: int = 0
    large: int = 0
    brought: int = 0
    found: list[tuple[bytes, Allowed]] = field(default_factory=list)


@dataclass(slots=True, frozen=True)
class Permits:
    """Which secrets may leave: those `named` (outgoing.is_allowed), those whose marks are `known`, or all of them."""

    named: tuple[bytes, ...] = ()
    known: frozenset[str] = frozenset()
    everything: bool = False


class SecretGuard:
    """Looks at each file once, by the `rules` of the configuration."""

    def __init__(self, sidecar: Sidecar, rules: Rules, permits: Permits) -> None:
        self._sidecar, self._rules, self._permits = sidecar, rules, permits
        self._seen: set[tuple[bytes, bytes]] = set()
        self.inspected = Inspected()

    def look(self, snapshots: Sequence[Snapshot], sent: Container[bytes], every: Sequence[Snapshot]) -> None:
        """Look at what is `sent`, by object ids, of snapshots, and at what people have written about them; of `every`
        one that is over there, or goes, at what was written later.

        Raises IntegrityError where something cannot be read.
        """
        if self._permits.everything:
            return
        for snapshot in every:
            if snapshot.taken is not None and bytes.fromhex(snapshot.taken.record) in sent:
                self._text(f"description of {snapshot.id}", snapshot.message)
        for snapshot in snapshots:
            self._text(f"message of {snapshot.id}", snapshot.message_taken)
            self._text(f"command of {snapshot.id}", snapshot.command or "")
            for path, oid in self._blobs(bytes.fromhex(snapshot.tree), sent):
                self._file(path, oid)

    def _text(self, what: str, text: str) -> None:
        name = what.encode()
        if text and (name, b"") not in self._seen:
            # Loads much, which is not needed where nothing is new.
            from gitsnap.core.secrets import outgoing

            self._seen.add((name, b""))
            self._keep(name, outgoing.found(b"", text, None, self._rules))

    def _blobs(self, root: bytes, sent: Container[bytes]) -> Iterator[tuple[bytes, bytes]]:
        """What is sent below a tree that was not seen: paths as the directory has them, and ids."""
        waiting = [(b"", root)]
        while waiting:
            above, tree = waiting.pop()
            if tree not in sent or (above, tree) in self._seen:
                continue
            self._seen.add((above, tree))
            for name, mode, oid in trees.parse(self._sidecar.objects.read(tree, b"tree")[1], tree):
                path = above + decode_component(name, link=mode == trees.LINK)
                if mode == trees.DIRECTORY:
                    waiting.append((path + b"/", oid))
                elif oid in sent and (path, oid) not in self._seen:
                    self._seen.add((path, oid))
                    yield path, oid

    def _file(self, path: bytes, oid: bytes) -> None:
        from gitsnap.core.secrets import outgoing
        from gitsnap.ops.compare import structured

        if outgoing.is_brought(path):
            self.inspected.brought += 1
            return
        _, size, pieces = self._sidecar.objects.pieces(oid)
        if size > LARGEST:
            self.inspected.large += 1
            return
        data = b"".join(pieces)
        if b"\0" in data[:_HEAD]:
            self.inspected.binary += 1
            return
        self.inspected.files += 1
        text = data.decode("utf-8", "surrogateescape")
        try:
            parsed = structured.parse(path, data)
        except ValueError:
            parsed = None
        self._keep(path, outgoing.found(path, text, parsed, self._rules))

    def _keep(self, path: bytes, found: Sequence[outgoing.Leaving]) -> None:
        shown = path.decode("utf-8", "surrogateescape")
        for one in found:
            mark = allowed_secrets.mark(self._sidecar, one.value)
            if mark not in self._permits.known:
                self.inspected.found.append((path, Allowed(shown, one.key, mark)))

    def settle(self, stop: str, hint: str) -> list[Allowed]:
        """What was found and may leave, since somebody has named it.

        Raises SecretsError for the rest; `stop` says what would have become of them and what did, `hint` what to do.
        """
        if not self.inspected.found:
            return []
        from gitsnap.core.secrets import outgoing

        may: list[tuple[bytes, Allowed]] = []
        stopped: list[tuple[bytes, Allowed]] = []
        for path, one in self.inspected.found:
            (may if outgoing.is_allowed(path, one.key, self._permits.named) else stopped).append((path, one))
        values = {one.mark for _, one in may}
        told = self._sidecar.noted.details.setdefault("secrets", {"allowed": [], "stopped": []})
        told["allowed"] = [f"{one.path}: {one.key}" for _, one in may][:_TOLD]
        left = list(dict.fromkeys(Stopped(path, one.key) for path, one in sorted(stopped) if one.mark not in values))
        if left:
            told["stopped"] = [f"{path.decode('utf-8', 'surrogateescape')}: {key}" for path, key in left[:_TOLD]]
            many = f"{len(left)} secrets" if len(left) > 1 else "a secret"
            raise SecretsError(f"{many} {stop}", found=left, hint=hint)
        return [one for _, one in may]
