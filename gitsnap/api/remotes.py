"""Having copies elsewhere: remotes, and bundles."""

from __future__ import annotations

import os
from collections.abc import Sequence

from gitsnap.api.audited import Path
from gitsnap.api.protected import Protected, now
from gitsnap.core.events import SILENT, Observer
from gitsnap.core.remote import Remote
from gitsnap.ops.process import age
from gitsnap.ops.remote import bundle, pull, push, remotes, selection
from gitsnap.ops.remote.bundle import Bundled, Wanted
from gitsnap.ops.remote.pull import Pulled
from gitsnap.ops.remote.push import Pushed
from gitsnap.ops.remote.read_back import ReadBackOptions
from gitsnap.ops.remote.secret_guard import Permits


class Remotes(Protected):
    """What copies go by."""

    @property
    def remotes(self) -> list[Remote]:
        """The remotes that copies go to, by name."""
        return [remote for _, remote in sorted(self.settings.remotes.items())]

    def add_remote(self, name: str, url: Path, **options: str | int | list[str]) -> Remote:
        """Write a remote into the sidecar's configuration.

        Args:
            name: Letters, digits, dash and underscore.
            url: A URL of git, `host:path`, a path, or `bundles:` and the path of a folder.
            options: `push`, `keep`, `refspec`, `secrets`, `installation`, `recipients`, as `[remote.NAME]` has them.

        Returns:
            The remote.

        Raises:
            UsageError: Something is no name, URL or option, or the remote is there already.
        """
        with self._acting("remote") as (sidecar, settings):
            return remotes.add(sidecar, name, {"url": os.fspath(url), **options}, os.getcwd(), settings)

    def remove_remote(self, name: str) -> Remote:
        """Take a remote out of the sidecar's configuration. What is over there stays.

        Args:
            name: Which one.

        Returns:
            What it was.

        Raises:
            UsageError: There is none of that name.
        """
        with self._acting("remote") as (sidecar, settings):
            return remotes.remove(sidecar, name, settings)

    def push(
        self,
        name: str | None = None,
        *,
        prune: bool = False,
        dry_run: bool = False,
        allow_secrets: Sequence[Path] = (),
        verify: bool = False,
        take_over: bool = False,
        observer: Observer = SILENT,
    ) -> Pushed:
        """Send to a remote what it lacks.

        Args:
            name: Which one; None where there is one alone.
            prune: Remove over there what is gone here.
            dry_run: Only say what would go.
            allow_secrets: Secrets that may go, as PATH or PATH:KEY.
            verify: Read back what is new over there.
            take_over: Go on as the machine that has pushed under this name before.
            observer: Is told of the progress.

        Returns:
            What went. `held_back` names the snapshots that stay away, and why.

        Raises:
            UsageError: There is no such remote.
            RemoteError: The other side refuses, or is away.
            SecretsError: A secret would go that is not allowed, and never was: `found` are paths and keys.
            IntegrityError: With `verify`: it is not all there.
        """
        with self._acting("push", looks=dry_run) as (sidecar, settings):
            allow = tuple(map(os.fsencode, allow_secrets))
            back = ReadBackOptions(observer=observer) if verify else None
            options = push.PushOptions(
                now(),
                prune=prune,
                dry_run=dry_run,
                take_over=take_over,
                allow=allow,
                read_back=back,
                observer=observer,
            )
            return push.push(sidecar, selection.chosen(settings, name), settings, options)

    def pull(
        self,
        name: str | None = None,
        *,
        removed: bool = False,
        dry_run: bool = False,
        identity: Path | None = None,
        observer: Observer = SILENT,
    ) -> Pulled:
        """Bring what a remote has and is not here, each snapshot verified. Nothing here is changed for it.

        Args:
            name: Which one; None where there is one alone.
            removed: Also what was removed here.
            dry_run: Only say what would come.
            identity: The file with the key that opens encrypted bundles.
            observer: Is told of the progress.

        Returns:
            What came. `conflicts` and `damaged` name what did not.

        Raises:
            UsageError: There is no such remote.
            RemoteError: The other side refuses, or is away.
            NoSidecarError: There are no snapshots over there.
        """
        with self._acting("pull", looks=dry_run) as (sidecar, settings):
            key = os.path.abspath(identity) if identity is not None else None
            options = pull.PullOptions(now(), removed=removed, dry_run=dry_run, observer=observer, identity=key)
            return pull.pull(sidecar, selection.chosen(settings, name), settings, options)

    def bundle(
        self,
        file: Path,
        *selectors: str,
        since: str | None = None,
        recipients: Sequence[str] = (),
        allow_secrets: Sequence[Path] = (),
        observer: Observer = SILENT,
    ) -> Bundled:
        """Write snapshots into one file that stock git reads.

        Args:
            file: Where to; it is not there yet.
            selectors: Which ones; all where there are none.
            since: Only what came after this one, for a reader who has it.
            recipients: Keys of age that it is encrypted to.
            allow_secrets: Secrets that may be in one that is not encrypted, as PATH or PATH:KEY.
            observer: Is told of the progress.

        Returns:
            What is in it, its size and digest.

        Raises:
            NoSuchSnapshotError: There is no such snapshot, or there are several.
            SecretsError: A secret would be in it, plainly, that is not allowed.
            GitsnapError: There is nothing new, the file is there, or age fails.
        """
        permits = Permits(tuple(map(os.fsencode, allow_secrets)))
        wanted = Wanted(selectors, since, age.recipients(recipients, ()), permits=permits)
        with self._acting("bundle") as (sidecar, settings):
            path = os.path.abspath(os.fspath(file))
            return bundle.create(sidecar, path, wanted, settings, now=now(), observer=observer)
