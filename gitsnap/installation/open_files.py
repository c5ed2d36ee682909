"""Which processes have files below the installation open at this moment, as far as /proc tells. Nothing is written.

What another mount namespace (a container) has open goes by that one's paths, and is not found.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

_DELETED = b" (deleted)"


@dataclass(slots=True, frozen=True)
class Holder:
    """One process: its number, its name, how many files it has open, and the first of them (relative)."""

    pid: int
    name: str
    count: int
    first: bytes

    def document(self) -> dict[str, object]:
        """As a JSON object."""
        path = self.first.decode("utf-8", "backslashreplace")
        return {"pid": self.pid, "name": self.name, "files": self.count, "path": path}


@dataclass(slots=True)
class Opened:
    """The processes that were found, in order of their numbers. `hidden` are how many may not be looked at; `complete`
    tells whether there was time to look at all that each has mapped."""

    holders: list[Holder] = field(default_factory=list)
    hidden: int = 0
    complete: bool = True


def look(root: str, seconds: float, mappings: float) -> Opened:
    """Look at every process but this one and those that it was started by.

    At what they have open for so many `seconds` at the most, and then at what they have mapped for so many more.
    """
    prefix = os.fsencode(root).rstrip(b"/") + b"/"
    found, ours = Opened(), _ancestors()
    opened: dict[int, set[bytes]] = {}
    deadline = time.monotonic() + seconds
    for pid in [int(name) for name in os.listdir("/proc") if name.isdecimal() and int(name) not in ours]:
        if time.monotonic() > deadline:
            found.complete = False
            break
        try:
            opened[pid] = set(_descriptors(pid, prefix))
        except PermissionError:
            found.hidden += 1
        except OSError:
            # It has ended.
            continue
    deadline = time.monotonic() + mappings
    for pid in opened:
        if time.monotonic() > deadline:
            found.complete = False
            break
        with suppress(OSError):
            opened[pid].update(_mapped(pid, prefix))
    for pid, paths in sorted(opened.items()):
        if paths:
            found.holders.append(Holder(pid, _name(pid), len(paths), min(paths)))
    return found


def _descriptors(pid: int, prefix: bytes) -> Iterator[bytes]:
    """What a process has open, and the program that it runs."""
    folder = f"/proc/{pid}/fd".encode()
    for name in [b"../exe", *os.listdir(folder)]:
        with suppress(FileNotFoundError, ProcessLookupError):
            path = os.readlink(folder + b"/" + name)
            if path.startswith(prefix) and _is_there(path):
                yield path[len(prefix) :]


def _mapped(pid: int, prefix: bytes) -> Iterator[bytes]:
    # As the kernel writes it (proc(5)): only a newline is escaped.
    wanted = prefix.replace(b"\n", b"\\012")
    with open(f"/proc/{pid}/maps", "rb") as file:
        data = file.read()
    if wanted not in data:
        return
    for line in data.splitlines():
        place = line.find(b"/")
        path = line[place:] if place >= 0 else b""
        if path.startswith(wanted):
            path = path.replace(b"\\012", b"\n")
            if _is_there(path):
                yield path[len(prefix) :]


def _is_there(path: bytes) -> bool:
    """Whether it still has that name: what was deleted is in nobody's way."""
    return not path.endswith(_DELETED) or os.path.lexists(path)


def _ancestors() -> set[int]:
    """This process, and those that it was started by: a shell has the script open that it runs."""
    found, pid = set(), os.getpid()
    while pid > 1 and pid not in found:
        found.add(pid)
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                pid = int(file.read().rpartition(b")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            break
    return found


def _name(pid: int) -> str:
    with suppress(OSError), open(f"/proc/{pid}/comm", "rb") as file:
        return file.read().rstrip(b"\n").decode("utf-8", "backslashreplace")
    return "a process that has ended"
