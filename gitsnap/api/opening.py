"""Where a program begins: an installation that is protected, or one that is made of a copy."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from gitsnap.api.audited import Environment, Path, act, writing_down
from gitsnap.api.installation import Installation
from gitsnap.api.protected import now
from gitsnap.config import environment, files
from gitsnap.core.events import SILENT, Observer
from gitsnap.core.remote import installation_name, is_local_path
from gitsnap.core.settings import Settings
from gitsnap.ops.remote import adopt as adoption
from gitsnap.ops.remote import bundle, receive, sources
from gitsnap.ops.remote import clone as operation
from gitsnap.ops.remote import fleet as fleets
from gitsnap.ops.remote.adopt import Adopted as Cloned
from gitsnap.ops.remote.bundle import Looked
from gitsnap.ops.remote.fleet import Fleet
from gitsnap.ops.store import locate
from gitsnap.sidecar import location


def open(  # noqa: A001 - gitsnap.open(...) is its name
    directory: Path, *, create: bool = False, store: Path | None = None, environ: Environment | None = None
) -> Installation:
    """Open a protected directory.

    Args:
        directory: Exactly this one; a directory above or below it is another.
        create: Protect it now, if it is not: a sidecar is made.
        store: The sidecar's path, where it is not the default one.
        environ: What to read of the environment, most likely `os.environ`: `GITSNAP_HOME`, `GITSNAP_STORE`,
            `GITSNAP_LOCK_WAIT`, `XDG_DATA_HOME`, `XDG_CONFIG_HOME`, `HOME`, and who one was before sudo. Without it
            nothing is, and the user's home directory is that of the password database. Programs that gitsnap starts
            (git, ssh, checks, hooks) inherit the process's environment, as any child does.

    Returns:
        The directory, with all that can be done with it.

    Raises:
        NoSidecarError: It is not protected, and was not to be.
        UsageError: It is `/`, a home directory itself, or its sidecar would lie inside of it.
        GitsnapError: It cannot be used (kind `no-such-directory`).
    """
    known = environ or {}
    home, chosen = environment.sidecars_home(known), _store(store, known)
    if create:
        place, _ = locate.protect(os.fspath(directory), chosen, home, os.getcwd(), environment.user_home(known))
    else:
        place = locate.locate(os.fspath(directory), chosen, home, os.getcwd(), gone=True)
    return Installation(place, known)


def clone(
    source: Path,
    directory: Path,
    *,
    snapshot: str | None = None,
    installation: str | None = None,
    identity: Path | None = None,
    allowed_signers: Path | None = None,
    store: Path | None = None,
    environ: Environment | None = None,
    observer: Observer = SILENT,
) -> Cloned:
    """Make a sidecar of a copy, and bring a snapshot of it back. Interrupted, the same call goes on.

    Args:
        source: A mirror, a push, a bundle or a copied sidecar, by its path or URL.
        directory: Where to: a new or empty directory.
        snapshot: Which snapshot; None for the newest.
        installation: `HOST/NAME`, where there are many over there.
        identity: The file with the key that opens an encrypted bundle.
        allowed_signers: The file of who may sign: what is not signed by one of these counts as damaged.
        store: The new sidecar's path, where it is not to be the default one.
        environ: As for `open`.
        observer: Is told of the progress.

    Returns:
        What came. `received` tells what of it is damaged, `restored` whether the directory is exactly the same.

    Raises:
        NoSidecarError: There are no snapshots.
        UsageError: There are several installations, and none was named.
        RemoteError: The other side refuses, or is away.
        GitsnapError: The directory is not empty, or anything else that keeps it from being whole.
    """
    known = environ or {}
    place, link, asked = _destination(os.path.realpath(directory), store, installation, observer, known)
    asked = _signed_by(asked, allowed_signers)
    with (
        sources.open_source(os.fspath(source), os.getcwd(), os.fspath(identity) if identity else None) as found,
        _receiving("clone", place, asked.settings, known) as note,
    ):
        done = operation.resume(found.name, place, asked, snapshot)
        return note(done or operation.clone(found, place, link, asked, snapshot))


def adopt(
    source: Path,
    directory: Path,
    *,
    installation: str | None = None,
    identity: Path | None = None,
    allowed_signers: Path | None = None,
    store: Path | None = None,
    environ: Environment | None = None,
    observer: Observer = SILENT,
) -> Cloned:
    """Make a sidecar of a copy for a directory that is there, which is not touched.

    Args:
        source: What `clone` takes.
        directory: The directory.
        installation: `HOST/NAME`, where there are many over there.
        identity: The file with the key that opens an encrypted bundle.
        allowed_signers: The file of who may sign: what is not signed by one of these counts as damaged.
        store: The new sidecar's path, where it is not to be the default one.
        environ: As for `open`.
        observer: Is told of the progress.

    Returns:
        What came. `received` tells what of it is damaged.

    Raises:
        NoSidecarError: There are no snapshots.
        UsageError: There are several installations, and none was named; or the directory is protected.
        RemoteError: The other side refuses, or is away.
        GitsnapError: The directory cannot be used.
    """
    known = environ or {}
    root = locate.real_directory(os.fspath(directory), os.getcwd())
    place, link, asked = _destination(root, store, installation, observer, known)
    asked = _signed_by(asked, allowed_signers)
    with (
        sources.open_source(os.fspath(source), os.getcwd(), os.fspath(identity) if identity else None) as found,
        _receiving("adopt", place, asked.settings, known) as note,
    ):
        return note(adoption.adopt(found, place, link, asked))


def fleet(
    url: str, *, allowed_signers: Path | None = None, sort: str = "name", environ: Environment | None = None
) -> Fleet:
    """Tell of all installations in one repository, by its refs and a few commits of each.

    Args:
        url: A URL of git, or a path.
        allowed_signers: The file of who may sign; the configuration's where it is None.
        sort: By `name`, `age` or `size`.
        environ: As for `open`.

    Returns:
        A row for each installation.

    Raises:
        RemoteError: The other side refuses, or is away.
        NoSidecarError: There is no snapshot.
        UsageError: That is no URL, or no order.
    """
    where = os.path.abspath(url) if is_local_path(url) else url
    policy = _settings(environ or {}).signing
    if allowed_signers is not None:
        policy = policy._replace(allowed=os.path.abspath(allowed_signers))
    return fleets.survey(where, fleets.Asked(now(), policy, sort))


def verify_bundles(*paths: Path, identity: Path | None = None, observer: Observer = SILENT) -> list[Looked]:
    """Read bundles to their end, each one building on those before it.

    Args:
        paths: Their files.
        identity: The file with the key that opens those that are encrypted.
        observer: Is told of the progress.

    Returns:
        Of each, `ok` tells whether anything is wrong, and `complete` whether all of it could be looked at.

    Raises:
        IntegrityError: One is none, or damaged as a whole.
        GitsnapError: One cannot be read, or not with that identity.
    """
    named = None if identity is None else os.fspath(identity)
    return bundle.verify([os.fspath(path) for path in paths], named, observer=observer)


def _store(store: Path | None, environ: Environment) -> str | None:
    return os.fspath(store) if store is not None else environ.get("GITSNAP_STORE") or None


def _settings(environ: Environment) -> Settings:
    """Those of user and system."""
    return files.load(environ, None, environment.options_from(environ), None)


def _destination(
    root: str, store: Path | None, installation: str | None, observer: Observer, environ: Environment
) -> tuple[locate.Place, str | None, receive.Asked]:
    home, chosen = environment.sidecars_home(environ), _store(store, environ)
    place = locate.place_for(root, chosen, home, os.getcwd(), environment.user_home(environ))
    name = installation_name(installation) if installation is not None else None
    link = locate.default_store(root, home) if chosen and home is not None else None
    return place, link, receive.Asked(_settings(environ), now(), name, observer)


def _signed_by(asked: receive.Asked, allowed: Path | None) -> receive.Asked:
    if allowed is None:
        return asked
    signing = asked.settings.signing._replace(allowed=os.path.realpath(allowed), require=True)
    return replace(asked, settings=replace(asked.settings, signing=signing))


@contextmanager
def _receiving(
    action: str, place: locate.Place, settings: Settings, environ: Environment
) -> Iterator[Callable[[Cloned], Cloned]]:
    """What is done is written down in the sidecar, as soon as there is one."""
    made = act(action, settings, environ)

    def note(result: Cloned) -> Cloned:
        made.noted.details |= receive.facts(result.received)
        return result

    with writing_down(made):
        try:
            yield note
        finally:
            if location.exists(place.store):
                made.about(place.store, place.root)
