"""Which installation, which sidecar: finding the one from the other, and creating a sidecar."""

from __future__ import annotations

import hashlib
import os
import shlex
from typing import TYPE_CHECKING, NamedTuple

from gitsnap.core.errors import GitsnapError, NoSidecarError, UsageError, exhausted
from gitsnap.core.model import Problem
from gitsnap.sidecar import creation, location
from gitsnap.sidecar.repository import Sidecar

if TYPE_CHECKING:
    from gitsnap.ops.store.moved import Former

# Bytes in one name on every file system that matters here.
_NAME_MAX = 255
_ONE = "gitsnap -C DIR snapshot"


class Place(NamedTuple):
    """An installation's real path and its sidecar's path, both absolute. `was` is where the installation was before,
    if that was found out just now."""

    root: str
    store: str
    was: str | None = None


class Initialised(NamedTuple):
    """What init found and did. `files` and `size` (bytes) are what a first snapshot will read; `partial` and `sockets`
    are what it will not hold."""

    place: Place
    created: bool
    files: int
    size: int
    excluded: tuple[bytes, ...]
    partial: tuple[Problem, ...] = ()
    sockets: tuple[bytes, ...] = ()


def default_store(root: str, home: str | None) -> str:
    """The sidecar's path for the installation at `root` (a real path) below `home`; UsageError where there is none."""
    if home is None:
        raise UsageError(
            "there is no place for sidecars: HOME is not set, and this user has no entry in the password database",
            hint="name the sidecar with --store PATH, or set GITSNAP_HOME to a directory for all of them",
        )
    digest = hashlib.sha256(os.fsencode(root)).hexdigest()[:12]
    name = "".join(c if c.isprintable() and c != "/" else "_" for c in os.path.basename(root))[:60].lstrip("-.")
    while len(os.fsencode(name)) > _NAME_MAX - len(f"-{digest}.git"):
        name = name[:-1]
    return os.path.join(home, f"{name or 'root'}-{digest}.git")


def locate(directory: str | None, store: str | None, home: str | None, cwd: str, *, gone: bool = False) -> Place:
    """The protected place that is meant; NoSidecarError when nothing is protected there.

    With a directory, exactly that one, which may be `gone` if that is said; without, what `store` protects, or else the
    nearest protected directory at or above `cwd`.
    """
    if directory is not None:
        root = os.path.realpath(os.path.join(cwd, directory))
        found = os.path.realpath(os.path.join(cwd, store) if store else default_store(root, home))
        if not (directory and _missing(root) and location.exists(found)):
            root = real_directory(directory, cwd)
        elif not gone:
            raise GitsnapError(
                f"{directory} is gone",
                kind="no-such-directory",
                path=root,
                hint=f"`gitsnap -C {root} rollback` makes it again; if it was moved: -C with its new place",
            )
        if not location.exists(found):
            raise _unprotected(root, store, home)
        return Place(root, found)
    if store is not None:
        found = os.path.realpath(os.path.join(cwd, store))
        with Sidecar(found) as sidecar:
            return Place(sidecar.installation, found)
    for candidate in _upwards(os.path.realpath(cwd)):
        found = os.path.realpath(default_store(candidate, home))
        if location.exists(found):
            return Place(candidate, found)
    if _former(os.path.realpath(cwd), home):
        raise _unprotected(os.path.realpath(cwd), None, home)
    raise NoSidecarError(
        f"neither {os.path.realpath(cwd)} nor a directory above it is protected",
        path=os.path.realpath(cwd),
        hint="`gitsnap init` protects the working directory, `gitsnap -C DIR init` another",
    )


def real_directory(directory: str, cwd: str) -> str:
    """The real path of a directory; GitsnapError when it is none."""
    if not directory:
        # Most likely an unset variable; to take it for the working directory could roll back the wrong one.
        raise UsageError("the directory's name is empty", hint="`-C .` means the working directory")
    path = os.path.realpath(os.path.join(cwd, directory))
    try:
        os.listdir(path)
    except OSError as error:
        if exhausted(error):
            raise
        raise GitsnapError(
            f"{directory} cannot be used: {error.strerror}", kind="no-such-directory", path=path, hint=_instead(path)
        ) from None
    return path


def _instead(path: str) -> str:
    """What to name instead of something that is no directory that can be read."""
    if os.path.isdir(path):
        return "run gitsnap as someone who may read it"
    nearest = next(p for p in _upwards(os.path.dirname(path)) if os.path.isdir(p))
    if os.path.lexists(path):
        return f"{nearest} is a directory"
    return (
        f"the nearest that is there is {nearest}; where a copy is elsewhere, `gitsnap clone URL {shlex.quote(path)}` "
        "brings it back"
    )


def _unprotected(root: str, store: str | None, home: str | None) -> NoSidecarError:
    meant = store or (default_store(root, home) if home is not None else "")
    if location.is_bare_repository(meant):
        return location.no_sidecar(os.path.realpath(meant), root)
    if store:
        known = home is not None and location.exists(default_store(root, home))
        start = f"`gitsnap -C {root} --store {store} snapshot` makes one and takes the first snapshot"
        hint = "without --store its sidecar is found" if known else start
        return NoSidecarError(f"there is no sidecar for {root} at {store}", path=root, hint=hint)
    if away := _away(root, meant):
        return away
    if was := _former(root, home):
        return NoSidecarError(f"{root} is not protected; {was.words}", path=root, hint=was.hint(root))
    above = enclosing(root, home)
    hint = (
        f"`gitsnap -C {above} …` if you meant the directory above, which is protected"
        if above
        else f"`gitsnap -C {root} snapshot` protects it and takes the first snapshot"
    )
    return NoSidecarError(f"{root} is not protected: there is no sidecar for it", path=root, hint=hint)


def _away(root: str, default: str) -> NoSidecarError | None:
    """The error where the default place leads to a sidecar that is not there: its disk is not mounted, perhaps. A new
    one in the mount point would be hidden by the old one some day."""
    if not os.path.islink(default) or location.exists(default):
        return None
    path = os.path.realpath(default)
    again = f"gitsnap -C {shlex.quote(root)} --store {shlex.quote(path)} init"
    return NoSidecarError(
        f"the sidecar of {root} is {path}, and that is not there now",
        path=root,
        hint=f"mount the disk that it lies on; where it is gone for good, `{again}` makes a new one",
    )


def enclosing(root: str, home: str | None) -> str | None:
    """The nearest protected directory above `root` (a real path), if there is one."""
    if home is None:
        return None
    return next((c for c in _upwards(os.path.dirname(root)) if location.exists(default_store(c, home))), None)


def enclosed(root: str, home: str | None) -> list[str]:
    """The protected directories below `root` (a real path), sorted."""
    from gitsnap.ops.store import moved

    return [path for path in moved.protected(home) if path.startswith(os.path.join(root, "")) and path != root]


def _upwards(path: str) -> list[str]:
    out = [path]
    while path != os.path.dirname(path):
        path = os.path.dirname(path)
        out.append(path)
    return out


def open_sidecar(place: Place) -> Sidecar:
    """Open the place's sidecar; GitsnapError when it protects something else."""
    sidecar = Sidecar(place.store)
    if sidecar.installation != place.root:
        was = sidecar.installation
        sidecar.close()
        raise GitsnapError(
            f"the sidecar {place.store} protects {was}, not {place.root}",
            kind="other-installation",
            path=place.root,
            hint=f"if the directory was moved: `gitsnap -C {place.root} --store {place.store} init` adopts it",
        )
    return sidecar


def protect(
    directory: str, store: str | None, home: str | None, cwd: str, user_home: str, *, anew: bool = False
) -> tuple[Place, bool]:
    """Make sure there is a sidecar for the directory; whether it was created now. One that was moved keeps its own.

    Raises UsageError for `/`, a home directory itself, and a sidecar inside the installation; NoSidecarError where it
    has one elsewhere that is not there now, unless that is named (`store`) and is to be made `anew`.
    """
    root = real_directory(directory, cwd)
    default = default_store(root, home) if home is not None or not store else None
    if location.is_bare_repository(meant := os.path.realpath(os.path.join(cwd, store) if store else default or "")):
        raise location.no_sidecar(meant, root)
    path = place_for(root, store, home, cwd, user_home).store
    if default and not (anew and store) and (away := _away(root, default)) and path == os.path.realpath(default):
        raise away
    created = not location.exists(path)
    was = None
    if created and not store and (found := _former(root, home)) and found.moved and not found.replaced:
        path, created, store = found.store, False, found.store
    if created:
        creation.create(path, root).close()
    else:
        was = _adopt_if_moved(path, root)
    if was is not None and default is not None and path == default_store(was, home) and not os.path.lexists(default):
        # It goes by the directory's name, so that another one may take the old place.
        os.rename(path, default)
        path = default
    elif store and default is not None:
        leave_pointer(default, path)
    return Place(root, path, was), created


def place_for(root: str, store: str | None, home: str | None, cwd: str, user_home: str) -> Place:
    """Where the sidecar of the directory `root` (a real path) belongs, whether it is there or not.

    Raises UsageError for `/`, a home directory itself, and a sidecar inside the installation.
    """
    if root == "/":
        raise UsageError("/ is too much: name the directory of one application", path=root, hint=_ONE)
    if user_home and root == os.path.realpath(user_home):
        raise UsageError(f"{root} is your home directory: name the directory of one application", path=root, hint=_ONE)
    path = os.path.realpath(os.path.join(cwd, store) if store else default_store(root, home))
    if path == root or path.startswith(root.rstrip("/") + "/"):
        raise UsageError(
            f"the sidecar {path} would lie inside the installation {root}",
            path=path,
            hint="choose a --store outside: a rollback must never touch the snapshots",
        )
    return Place(root, path)


def _adopt_if_moved(path: str, root: str) -> str | None:
    """Give the sidecar to the directory at `root`; where that was before, if it was elsewhere."""
    with Sidecar(path) as sidecar:
        was = sidecar.installation
        if was == root:
            return None
        if os.path.lexists(sidecar.installation):
            raise UsageError(
                f"the sidecar {path} protects {sidecar.installation}, which is still there",
                path=path,
                hint="one installation, one sidecar: choose another --store",
            )
        sidecar.adopt(root)
    return was


def leave_pointer(default: str, path: str) -> None:
    """A symlink under the default name, so that the directory alone finds the sidecar."""
    if os.path.realpath(default) == path:
        return
    if os.path.islink(default):
        os.unlink(default)
    elif os.path.lexists(default):
        raise UsageError(
            f"this directory has a sidecar already: {default}", path=default, hint="leave --store out to use it"
        )
    os.makedirs(os.path.dirname(default), mode=0o700, exist_ok=True)
    os.symlink(path, default)


def _missing(root: str) -> bool:
    # Loads much that most commands do not need.
    from gitsnap.installation.root import missing

    return missing(root)


def _former(root: str, home: str | None) -> Former | None:
    from gitsnap.ops.store.moved import former

    return former(root, home)
