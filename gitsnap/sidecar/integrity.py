"""What a flipped bit could change without any object being damaged: git's own files, their digests, and the refs.

Snapshots are verified by ops.check.verify, byte by byte. Here is the rest: files that must hold exactly what gitsnap
writes, files that end in a digest of themselves, and the seal over the refs.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from gitsnap.core.audit import NOTHING
from gitsnap.core.content import CHUNK
from gitsnap.core.errors import IntegrityError, exhausted
from gitsnap.sidecar import audit_ref, files
from gitsnap.sidecar.git import config, refs
from gitsnap.sidecar.git.config import ATTRIBUTES, FORMAT_VERSION
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import audit, register, seal

_HEAD = f"ref: {refs.TIMELINE}\n".encode()
# What git must be told for the sidecar to be what docs/internals/format.md says. Anything else may stand beside it.
_SETTINGS = {
    "core": {
        "repositoryformatversion": "0",
        "bare": "true",
        "sharedrepository": "0600",
        "logallrefupdates": "false",
        "fsmonitor": "false",
        "hookspath": "/dev/null",
        "fsync": "all",
        "bigfilethreshold": "8m",
    },
    "gc": {"auto": "0", "reflogexpire": "now", "reflogexpireunreachable": "now", "pruneexpire": "now"},
    "maintenance": {"auto": "false"},
    "receive": {"autogc": "false"},
    "gitsnap": {"formatversion": str(FORMAT_VERSION)},
}
_REFLOG = re.compile(rb"[0-9a-f]{40} [0-9a-f]{40} [^\n<>\t]* <[^\n<>\t]*> \d{1,12} [+-]\d{4}\t[^\n]*")
# These end in the SHA-1 of all that comes before (gitformat-pack(5), gitformat-commit-graph(5)).
_WITH_TRAILER = (".idx", ".rev", ".bitmap", ".mtimes", ".graph", ".pack")
_SIZE = re.compile(r"(\d+)([kmg])")
# What git has not finished, and perhaps never will: its next gc removes it.
_UNFINISHED = ("tmp_", ".tmp-")
# What every change of the sidecar leaves a trace in.
_CHANGING = (
    "packed-refs",
    refs.TIMELINE,
    f"logs/{refs.MANIFESTS}",
    "objects/pack",
    "objects/info",
    "objects/info/commit-graph",
    "objects/info/commit-graphs",
    "objects/info/commit-graphs/commit-graph-chain",
)
_BY_NAME = ("commit-graph", "multi-pack-index")


class Flaw(NamedTuple):
    """One thing that is wrong, and what it should be and is, where that can be said in a word."""

    problem: str
    expected: str | None = None
    actual: str | None = None


def moment(sidecar: Sidecar) -> tuple[object, ...]:
    """Differs as soon as anybody, we or a git, has changed refs, packs or what git keeps beside them."""
    found: list[object] = [files.read(sidecar.own("seal"))]
    for name in _CHANGING:
        path = os.path.join(sidecar.path, name)
        try:
            seen = os.stat(path)
            found.append((seen.st_ino, seen.st_size, seen.st_mtime_ns))
            if stat.S_ISDIR(seen.st_mode):
                found.append(frozenset(os.listdir(path)))
        except OSError as error:
            found.append(error.errno)
    return tuple(found)


def flaws(sidecar: Sidecar) -> list[Flaw]:
    """Everything that is not as gitsnap left it, but for the objects; quick."""
    out = [Flaw(what, expected, actual) for _, what, expected, actual in seal.problems(sidecar)]
    exact = {"HEAD": _HEAD, "info/attributes": ATTRIBUTES}
    out += [Flaw(f"{name} is not what gitsnap wrote") for name, data in exact.items() if _read(sidecar, name) != data]
    out += _config(sidecar)
    out += _reflog(sidecar)
    if not register.load(sidecar).whole:
        out.append(Flaw("the register of snapshots is damaged; the next snapshot writes it anew"))
    if _read(sidecar, "objects/info/alternates") is not None:
        out.append(Flaw("objects/info/alternates makes git look for objects elsewhere; gitsnap never writes it"))
    return out


def audit_log(sidecar: Sidecar) -> list[Flaw]:
    """What is not as it was written of the audit log, and of what was published of it. Reads all of it."""
    vouched = {}
    with suppress(IntegrityError):
        # A seal that is damaged is told by itself, and vouches for nothing.
        sealed = seal.load(sidecar)
        vouched["the seal over the refs"] = sealed.audited if sealed else NOTHING
    public, wrong = audit_ref.check(sidecar)
    if public is not None:
        vouched[refs.AUDIT] = public
    wrong = [*audit.problems(sidecar.path, vouched), *wrong]
    return [Flaw(f"audit log: {problem}") for problem in wrong]


def _read(sidecar: Sidecar, name: str) -> bytes | None:
    try:
        return files.read(os.path.join(sidecar.path, name))
    except (NotADirectoryError, IsADirectoryError):
        return None


def _config(sidecar: Sidecar) -> Iterator[Flaw]:
    found = dict(config.parse(_read(sidecar, "config") or b""))
    for name, settings in _SETTINGS.items():
        for key, wanted in settings.items():
            actual = found.get(f"{name}.{key}")
            if actual is None or _plain(actual) != _plain(wanted):
                yield Flaw(f"config: {name}.{key} is not what gitsnap wrote", wanted, actual)


def _plain(value: str) -> str:
    """A value with its unit counted out, as git-config(1) has it: sidecars were once written with units."""
    match = _SIZE.fullmatch(value.lower())
    return str(int(match[1]) << " kmg".index(match[2]) * 10) if match else value


def _reflog(sidecar: Sidecar) -> Iterator[Flaw]:
    """Its entries keep objects from git's complaints, and nothing else depends on them.

    One may name what is not there: a git that cleans up expires them first and removes afterwards, and a removal of
    ours may come between. The last line may be torn, by a kill: the next writer cuts that off.
    """
    name = f"logs/{refs.MANIFESTS}"
    *lines, _ = (_read(sidecar, name) or b"").split(b"\n")
    if not all(map(_REFLOG.fullmatch, lines)):
        yield Flaw(f"{name} is damaged; a gc empties it")


def trailers(path: str) -> list[Flaw]:
    """The files of git's object store, below `path`, whose digest of themselves does not fit. Reads every byte."""
    out: list[Flaw] = []
    for folder, _, names in files.walk(path):
        for name in sorted(names):
            full = os.path.join(folder, name)
            try:
                if name == "commit-graph-chain":
                    out += _chain(full)
                elif name.startswith(_UNFINISHED):
                    continue
                elif (name.endswith(_WITH_TRAILER) or name in _BY_NAME) and not _is_whole(full):
                    out.append(Flaw(f"{os.path.relpath(full, os.path.dirname(path))} is damaged"))
            except FileNotFoundError:
                continue  # a gc runs beside us
    return out


def _is_whole(path: str) -> bool:
    sha1 = hashlib.sha1(usedforsecurity=False)
    with open(files.opened(path), "rb", buffering=0) as file:
        left = os.fstat(file.fileno()).st_size - 20
        while left > 0 and (piece := file.read(min(CHUNK, left))):
            sha1.update(piece)
            left -= len(piece)
        return left == 0 and file.read() == sha1.digest()


def _chain(path: str) -> Iterator[Flaw]:
    """The list of a split commit-graph: each layer it names is there, and is what its name says."""
    data = files.read(path) or b""
    for line in data.splitlines():
        layer = os.path.join(os.path.dirname(path), f"graph-{line.decode('ascii', 'replace')}.graph")
        end = (files.read(layer) or b"")[-20:]
        if end.hex().encode() != line:
            yield Flaw("objects/info/commit-graphs/commit-graph-chain is damaged")


def check_objects(sidecar: Sidecar) -> list[Flaw]:
    """The files of the object store, whatever they hold. Reads every byte."""
    try:
        return trailers(os.path.join(sidecar.path, "objects"))
    except OSError as error:
        if exhausted(error):
            raise
        raise IntegrityError(f"the object store cannot be read: {error.strerror}", path=sidecar.path) from None
