"""One invocation: the options, the place they point to, and the ways out."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime

from gitsnap.cli import config
from gitsnap.cli.config import Options
from gitsnap.cli.terminal import Terminal
from gitsnap.core.errors import GitsnapError, NoSidecarError, UsageError
from gitsnap.core.settings import Settings
from gitsnap.ops import place as places
from gitsnap.ops.moved import former
from gitsnap.ops.place import Place
from gitsnap.sidecar.repository import Sidecar


class Session:
    """What every command has in hand."""

    def __init__(self, options: Options, environ: Mapping[str, str]) -> None:
        self.options, self.environ = options, environ
        self.out = Terminal(options)

    @property
    def now(self) -> datetime:
        """The present moment."""
        return datetime.now(UTC)

    @property
    def home(self) -> str | None:
        """Where default sidecars live; None for a user who has no place for them."""
        return config.sidecars_home(self.environ)

    @property
    def cwd(self) -> str:
        """The working directory."""
        try:
            return os.getcwd()
        except FileNotFoundError:
            raise GitsnapError("the working directory was removed", hint="change to one that is there") from None

    def place(self, *, gone: bool = False) -> Place:
        """The protected place that is meant; its directory may be `gone` if that is said."""
        return places.locate(self.options.directory, self.options.store, self.home, self.cwd, gone=gone)

    @contextmanager
    def open(
        self, *, changing: bool = False, tells_damage: bool = False, tells_pending: bool = False, gone: bool = False
    ) -> Iterator[tuple[Sidecar, Settings]]:
        """The sidecar of the place that is meant, and its settings.

        Commands that only look say so when a rollback waits to be settled, and go on; those that are `changing`
        something are stopped by it (Sidecar.writing). Snapshots that were found damaged on the way are warned of.
        A command that tells of damage, or of what is pending, itself says so; and one that makes a directory that is
        gone again.
        """
        place = self.place(gone=gone)
        with places.open_sidecar(place) as sidecar:
            self.mention_cut_short(sidecar)
            if not changing and not tells_pending and sidecar.pending is not None:
                self._warn_of_pending(sidecar)
            yield sidecar, self.settings(place)
            if not tells_damage:
                self.warn_of_damage(sidecar)

    def warn_of_damage(self, sidecar: Sidecar) -> None:
        """Name the snapshots that could not be read, and what to type."""
        from gitsnap.sidecar.catalog import lost

        for name, error in sidecar.damaged.items():
            told = lost(name, error)
            self.out.warn(f"warning: {told.message}")
            self.out.warn(f"  to give it up: {self.out.command(f'delete {name}')}")

    def mention_cut_short(self, sidecar: Sidecar) -> None:
        """Say what stands when an upgrade was killed. One look at the disk where there was none."""
        from gitsnap.sidecar import underway

        if underway.present(sidecar):
            from gitsnap.cli import upgrade_text
            from gitsnap.ops.underway import look

            found = look(sidecar)
            if found is not None:
                upgrade_text.cut_short(self.out, found)

    def _warn_of_pending(self, sidecar: Sidecar) -> None:
        if sidecar.busy:
            self.out.warn("a rollback is at work in this directory: what is there now may be half old, half new")
        else:
            self.out.warn("a rollback was interrupted: the directory may be between two states")
            self.out.warn(
                f"  `{self.out.command('recover')}` brings it to its end, "
                f"`{self.out.command('recover --revert')}` takes it back"
            )

    def settings(self, place: Place | None) -> Settings:
        """The settings that hold there."""
        settings = config.load(self.environ, place.store if place else None, self.options)
        if settings.hooks is None:
            return settings
        from gitsnap.cli.app import callers_umask

        quiet = self.options.json or self.options.quiet
        return replace(settings, hooks=replace(settings.hooks, umask=callers_umask(), quiet=quiet))

    def place_to_snapshot(self) -> tuple[Place, bool]:
        """The place that is meant, protected now if it was not yet; and whether that happened."""
        if self.options.directory is None:
            with suppress(NoSidecarError):
                return self.place(), False
        return self.protect(None)

    def protect(self, directory: str | None) -> tuple[Place, bool]:
        """Make sure that there is a sidecar."""
        target = directory if directory is not None else self.options.directory
        home = config.user_home(self.environ)
        target = self.cwd if target is None else target
        place, created = places.protect(target, self.options.store, self.home, self.cwd, home)
        if place.was is not None:
            from gitsnap.cli import words

            self.out.remark(f"{words.name(place.root)} was {words.name(place.was)}, and has its snapshots again")
        return place, created

    def tell_of_sidecar(self, place: Place) -> None:
        """A sidecar was created along the way: where, and what that means inside of another's directory."""
        from gitsnap.cli import words

        self.out.remark(f"created the sidecar {words.name(place.store)}")
        was = former(place.root, self.home, place.store)
        if was is not None:
            store = words.name(shlex.quote(was.store))
            self.out.remark(f"{words.name(was.words)}; `gitsnap --store {store} list` shows the snapshots of that")
        above = places.enclosing(place.root, self.home)
        if above is not None:
            inner, outer = words.name(place.root), words.name(above)
            self.out.remark(f"{outer} is protected already; from now on {inner} has snapshots of its own")

    def inside(self, path: str, root: str) -> bytes:
        """A path given by a person as one below the installation: relative to its root, or absolute."""
        raw = os.fsencode(path)
        if raw.startswith(b"/"):
            base = os.fsencode(root)
            if raw != base and not raw.startswith(base + b"/"):
                raise UsageError(f"{path} is not inside {root}", path=path, hint="paths are relative to its root")
            raw = raw[len(base) :]
        parts = [p for p in raw.split(b"/") if p not in (b"", b".")]
        if b".." in parts:
            raise UsageError(f"{path} leads out of the installation", path=path, hint="paths are relative to its root")
        return b"/".join(parts)
