"""One invocation: the options, the place they point to, and the ways out."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gitsnap import __version__
from gitsnap.cli.render import terminal
from gitsnap.cli.render.terminal import Terminal
from gitsnap.config import environment, files
from gitsnap.config.environment import Options
from gitsnap.core.errors import GitsnapError, IntegrityError, NoSidecarError, NoSuchPathError, UsageError
from gitsnap.core.settings import Settings
from gitsnap.ops.audit.act import Act
from gitsnap.ops.store import locate
from gitsnap.ops.store.locate import Place
from gitsnap.sidecar.repository import Sidecar

if TYPE_CHECKING:
    from gitsnap.ops.upgrade.timer import Timer

# So many directories inside are named.
_NAMED = 3

# The invocation that goes on in this process, for whoever writes down how it ended.
current: Session | None = None


class Session:
    """What every command has in hand."""

    def __init__(self, options: Options, environ: Mapping[str, str], arguments: Sequence[str] = ()) -> None:
        self.options, self.environ = options, environ
        self.out = Terminal(options)
        # The command that runs, by its name.
        self.command = "gitsnap"
        self._typed = shlex.join(["gitsnap", *arguments])
        self.act = Act("gitsnap", self._typed, environ, __version__)
        # Those of other directories that it is about.
        self.beside: list[Act] = []
        # What --show-secrets and --strict say (parameters).
        self.shows_secrets = self.strict = False

    @property
    def now(self) -> datetime:
        """The present moment."""
        return datetime.now(UTC)

    @property
    def home(self) -> str | None:
        """Where default sidecars live; None for a user who has no place for them."""
        return environment.sidecars_home(self.environ)

    @property
    def cwd(self) -> str:
        """The working directory."""
        try:
            return os.getcwd()
        except FileNotFoundError:
            raise GitsnapError("the working directory was removed", hint="change to one that is there") from None

    @property
    def directory(self) -> str | None:
        """The directory that -C names, where a command is to run as if started there; None without it."""
        given = self.options.directory
        return None if given is None else locate.real_directory(given, self.cwd)

    def place(self, *, gone: bool = False) -> Place:
        """The protected place that is meant; its directory may be `gone` if that is said."""
        return locate.locate(self.options.directory, self.options.store, self.home, self.cwd, gone=gone)

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
        with self.using(place) as sidecar:
            self.mention_cut_short(sidecar)
            if not changing and not tells_pending and sidecar.pending is not None:
                self._warn_of_pending(sidecar)
            try:
                settings = self.settings(place)
                self.hide_secrets(sidecar, settings)
                yield sidecar, settings
                if changing:
                    terminal.work_is_done()
            except GitsnapError as error:
                self._as_typed(error, sidecar.installation)
                # What was not found may lie in a snapshot that could not be read.
                if not tells_damage and not isinstance(error, IntegrityError):
                    self.warn_of_damage(sidecar)
                raise
            finally:
                self._note_damage(sidecar)
            if not tells_damage:
                self.warn_of_damage(sidecar)

    @contextmanager
    def using(self, place: Place) -> Iterator[Sidecar]:
        """The sidecar of a place, for what is written down of this invocation."""
        with locate.open_sidecar(place) as sidecar:
            self.act.attach(sidecar)
            yield sidecar
            self._warn_of_unsigned(sidecar)

    @contextmanager
    def using_one_of_several(self, root: str, store: str) -> Iterator[tuple[Sidecar, Settings]]:
        """The sidecar of one directory of several, and its settings: what is written down goes into each. Where only
        the directory is known ("" for the store), its own is meant."""
        place = Place(root, store) if store else locate.locate(root, None, self.home, self.cwd, gone=True)
        with locate.open_sidecar(place) as sidecar:
            settings = self.settings(place)
            act = Act(self.act.action, self._typed, self.environ, __version__, recorded=self.act.recorded)
            act.noted.looks, act.where, act.hooks = self.act.noted.looks, settings.audit, self.act.hooks
            act.attach(sidecar)
            self.beside.append(act)
            self.hide_secrets(sidecar, settings)
            yield sidecar, settings
            self._warn_of_unsigned(sidecar)

    def _warn_of_unsigned(self, sidecar: Sidecar) -> None:
        """Name the snapshots that were taken and could not be signed, why, and what to type."""
        why = sidecar.noted.details.get("unsigned")
        if why and (taken := [s.id for s in sidecar.noted.taken if not s.signed_by]):
            from gitsnap.cli.render import formatting

            self.out.warn(f"not signed: {', '.join(taken)}: {formatting.name(str(why))}")
            self.out.warn(f"  all else is as ever; to sign it later: {self.out.command(f'sign {taken[-1]}')}")

    def turn_to(self, root: str) -> None:
        """From now on it is about this directory."""
        self.options = self.options._replace(directory=root, directories=(root,))
        self.out = Terminal(self.options)

    def hide_secrets(self, sidecar: Sidecar, settings: Settings) -> None:
        """From now on, what is shown has marks for secrets by the rules and with the key of this sidecar."""
        from gitsnap.cli.render.masking import Masking
        from gitsnap.sidecar.state import secret_mark_key

        rules = replace(settings.secrets, strict=settings.secrets.strict or self.strict)
        self.out.secrets = Masking(rules, lambda: secret_mark_key.load(sidecar), shows=self.shows_secrets)

    def _note_damage(self, sidecar: Sidecar) -> None:
        """What could not be read on the way is known from now on."""
        if sidecar.met_damage:
            from gitsnap.ops.live import damage

            damage.note(sidecar, self.now, self.command)

    def warn_of_damage(self, sidecar: Sidecar) -> None:
        """Name the snapshots that could not be read, and what to type."""
        from gitsnap.sidecar.catalog import lost

        for name, error in sidecar.damaged.items():
            told = lost(name, error)
            self.out.warn(f"warning: {told.message}")
            self.out.warn(f"  to give it up: {self.out.command(f'delete {name}')}")

    def mention_cut_short(self, sidecar: Sidecar) -> None:
        """Say what stands when an upgrade was killed. One look at the disk where there was none."""
        if sidecar.upgrading:
            from gitsnap.cli.render import upgrade
            from gitsnap.ops.live.in_progress import look

            found = look(sidecar)
            if found is not None:
                upgrade.cut_short(self.out, found)
        elif sidecar.cloning and not sidecar.busy:
            from gitsnap.cli.render import received
            from gitsnap.sidecar.state import clone_mark

            received.cut_short(self.out, sidecar.installation, clone_mark.load(sidecar))
        elif sidecar.returning and not sidecar.busy:
            self.out.warn("a rollback of several directories, this one among them, was interrupted")
            self.out.warn(f"  `{self.out.command('recover')}` brings all of them to its end")

    def _warn_of_pending(self, sidecar: Sidecar) -> None:
        if sidecar.busy:
            self.out.warn("a rollback is at work in this directory: what is there now may be half old, half new")
        else:
            self.out.warn("a rollback was interrupted: the directory may be between two states")
            self.out.warn(
                f"  `{self.out.command('recover')}` brings it to its end, "
                f"`{self.out.command('recover --revert')}` takes it back"
            )

    def settings(self, place: Place | None, running_databases: str | None = None) -> Settings:
        """The settings that hold there; `running_databases` is what the command line says of those."""
        settings = files.load(self.environ, place.store if place else None, self.options, place.root if place else None)
        settings = with_running(settings, running_databases)
        if settings.signing.key:
            settings = replace(settings, signing=settings.signing._replace(ask=self.out.interactive))
        self.act.where = settings.audit
        if settings.hooks is None and settings.service is None:
            return settings
        from gitsnap.cli.process import callers_umask

        if settings.service is not None:
            settings = replace(settings, service=settings.service._replace(umask=callers_umask()))
        if settings.hooks is None:
            return settings
        quiet = self.options.json or self.options.quiet
        self.act.hooks = hooks = replace(settings.hooks, umask=callers_umask(), quiet=quiet)
        return replace(settings, hooks=hooks)

    def timer(self, sidecar: Sidecar) -> Timer:
        """The timer of systemd that goes on with an upgrade of this sidecar."""
        from gitsnap.ops.upgrade.timer import Timer

        directory, user = environment.units(self.environ)
        return Timer(sidecar.installation, sidecar.path, directory, user, self.environ)

    def remove_timer(self, sidecar: Sidecar) -> None:
        """No upgrade of this sidecar waits any more."""
        with suppress(UsageError):
            self.timer(sidecar).remove()

    def root_to_snapshot(self) -> str:
        """The directory that `place_to_snapshot` is about, without protecting it."""
        if self.options.directory is None:
            with suppress(NoSidecarError):
                return self.place().root
        return os.path.realpath(os.path.join(self.cwd, self.options.directory or ""))

    def place_to_snapshot(self) -> tuple[Place, bool]:
        """The place that is meant, protected now if it was not yet; and whether that happened."""
        if self.options.directory is None:
            with suppress(NoSidecarError):
                return self.place(), False
        return self.protect(None)

    def protect(self, directory: str | None, *, one_of_several: bool = False, anew: bool = False) -> tuple[Place, bool]:
        """Make sure that there is a sidecar. What becomes of `one_of_several` is written down where it is used. Where
        the one that --store names is gone, it may be made `anew`."""
        target = directory if directory is not None else self.options.directory
        home = environment.user_home(self.environ)
        target = self.cwd if target is None else target
        place, created = locate.protect(target, self.options.store, self.home, self.cwd, home, anew=anew)
        if not one_of_several:
            self.act.about(place.store, place.root)
        if place.was is not None:
            from gitsnap.cli.render import formatting

            self.out.remark(
                f"{formatting.name(place.root)} was {formatting.name(place.was)}, and has its snapshots again"
            )
            typed = self.options.typed_store
            if typed is not None and not os.path.lexists(os.path.join(self.cwd, typed)):
                # It goes by the directory's name now: what is to be typed next finds it by that.
                self.options = self.options._replace(typed_store=None)
                self.out = Terminal(self.options)
        return place, created

    def tell_of_sidecar(self, place: Place) -> None:
        """A sidecar was created along the way: where, and what that means inside of another's directory."""
        from gitsnap.cli.render import formatting

        self.out.remark(f"created the sidecar {formatting.name(place.store)}")
        from gitsnap.ops.store.moved import former

        was = former(place.root, self.home, place.store)
        if was is not None:
            store = formatting.name(shlex.quote(was.store))
            self.out.remark(f"{formatting.name(was.words)}; `gitsnap --store {store} list` shows the snapshots of that")
        above = locate.enclosing(place.root, self.home)
        if above is not None:
            inner, outer = formatting.name(place.root), formatting.name(above)
            self.out.remark(f"{outer} is protected already; from now on {inner} has snapshots of its own")
        below = locate.enclosed(place.root, self.home)
        if below:
            named = ", ".join(map(formatting.name, below[:_NAMED])) + ", …" * (len(below) > _NAMED)
            have = "has snapshots of its own" if len(below) == 1 else "have snapshots of their own"
            self.out.remark(f"{named} inside {have}, which go on; this one holds all of {formatting.name(place.root)}")

    def inside(self, path: str, root: str) -> bytes:
        """A path as a person types it, as one below the installation.

        Relative to where they stand, which -C says; to the root, where that is outside. `..` is taken by name: what it
        leads through may be gone. UsageError for what lies elsewhere.
        """
        raw = os.fsencode(path)
        base = os.fsencode(root)
        if not raw.startswith(b"/"):
            raw = os.path.join(os.fsencode(self._standing(root)), raw)
        below = _below(os.path.normpath(raw), base)
        if below is None and os.fsencode(path).startswith(b"/"):
            # By another name of a directory above; a symlink at the end of it is what is meant.
            folder, name = os.path.split(os.path.normpath(raw))
            below = _below(os.path.join(os.path.realpath(folder), name), base)
            if below is None and os.path.realpath(raw) == base:
                below = b""
        if below is None:
            away = f"is not inside {root}" if path.startswith("/") else "leads out of the installation"
            raise UsageError(f"{path} {away}", path=path, hint=self._counting(root))
        return below

    def typed(self, path: bytes, root: str) -> str:
        """A path below the installation as one that a person types, quoted: what `inside` makes it of."""
        found = os.path.relpath(os.path.join(os.fsencode(root), path), os.fsencode(self._standing(root)))
        return shlex.quote(os.fsdecode(found if not found.startswith(b"-") else b"./" + found))

    def _as_typed(self, error: GitsnapError, root: str) -> None:
        """Make a hint about a path true where one stands."""
        if isinstance(error, NoSuchPathError):
            error.hint = f"{error.hint}; {self._counting(root)}"
        elif error.kind == "not-a-file" and error.hint and isinstance(error.path, bytes):
            error.hint = f"{error.hint} {self.typed(error.path, root)}" if error.path else error.hint

    def _counting(self, root: str) -> str:
        here = self._standing(root)
        return f"paths count from {'the root' if here == root else here}"

    def _standing(self, root: str) -> str:
        """Where in the installation one stands."""
        if self.options.directory is not None:
            return root
        with suppress(GitsnapError):
            here = os.path.realpath(self.cwd)
            if _below(os.fsencode(here), os.fsencode(root)) is not None:
                return here
        return root


def _below(path: bytes, base: bytes) -> bytes | None:
    """An absolute path relative to another one; None for one that is not below it."""
    if path == base:
        return b""
    return path[len(base) + 1 :] if path.startswith(base.rstrip(b"/") + b"/") else None


def with_running(settings: Settings, text: str | None) -> Settings:
    """The settings, with what the command line says of running databases."""
    if text is None:
        return settings
    from gitsnap.core.database_servers import Policy

    if text not in (Policy.REFUSE, Policy.WARN):
        raise UsageError(f"--running-databases: '{text}' is neither refuse nor warn")
    return replace(settings, databases=Policy(text))
