"""What this machine says of itself where it is one of many (docs/adr/0141)."""

from __future__ import annotations

import socket
from contextlib import suppress

from gitsnap.core.errors import IntegrityError, RemoteError
from gitsnap.core.machine import Machine, identity, parse_machine
from gitsnap.ops.live import damage
from gitsnap.sidecar import catalog
from gitsnap.sidecar.git import commits, partial_fetch
from gitsnap.sidecar.git.partial_fetch import Looked
from gitsnap.sidecar.git.transport import Target
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import verifications

# machine-id(5), and where D-Bus had it before.
_IDS = ("/etc/machine-id", "/var/lib/dbus/machine-id")


def identity_here(sidecar: Sidecar) -> str:
    """Of this machine and the directory; of the host's name, where the machine has no id."""
    found = socket.gethostname()
    for path in _IDS:
        with suppress(OSError, UnicodeDecodeError), open(path, encoding="ascii") as file:
            # In an image it is empty, or says that it is not yet known.
            if len(text := file.read(64).strip()) == 32:
                found = text
                break
    return identity(found, sidecar.installation)


def here(sidecar: Sidecar, living: catalog.Living) -> Machine:
    """The record that goes along: with the newest snapshot that was verified and is not known to be damaged."""
    best = verifications.newest_verified(sidecar, living, damage.known(sidecar, living))
    commit = next((s.commit for s in living if s.id == best), "")
    at = verifications.load(sidecar).get(commit)
    host = socket.gethostname() or "localhost"
    return Machine(identity_here(sidecar), host, sidecar.installation, best or "", at)


def there(target: Target, value: str) -> Machine | None:
    """What the record `value` over there says; None where it cannot be read."""
    looked = Looked()
    with suppress(IntegrityError, RemoteError):
        partial_fetch.read(target, [value], looked)
        kind, content = looked.found.get(value, (b"", b""))
        if kind == b"commit":
            return parse_machine(commits.parse(content, value).message)
    return None
