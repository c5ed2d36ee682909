"""A protected directory: where it is, its configuration, and its sidecar, opened for each thing that is done."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from gitsnap.api.audited import Environment, Path, act, writing_down
from gitsnap.config import environment, files
from gitsnap.core.errors import UsageError
from gitsnap.core.settings import Settings
from gitsnap.ops.store import locate
from gitsnap.sidecar.modes import close_to_others
from gitsnap.sidecar.repository import Sidecar


def now() -> datetime:
    """The moment at which something is done."""
    return datetime.now(UTC)


class Protected:
    """What all parts of an installation stand on."""

    def __init__(self, place: locate.Place, environ: Environment) -> None:
        self._place, self._environ = place, environ

    @property
    def path(self) -> str:
        """The directory's real path."""
        return self._place.root

    @property
    def store(self) -> str:
        """The sidecar's path."""
        return self._place.store

    @property
    def environ(self) -> Environment:
        """The environment that it was opened with; empty where none was given."""
        return self._environ

    @property
    def settings(self) -> Settings:
        """The configuration that holds here: the sidecar's file over the user's over the system's, read anew."""
        options = environment.options_from(self._environ)
        return files.load(self._environ, self._place.store, options, self._place.root)

    @contextmanager
    def sidecar(self) -> Iterator[Sidecar]:
        """The open sidecar, for what is inside gitsnap; its methods are no part of the API."""
        with locate.open_sidecar(self._place) as found:
            try:
                yield found
            finally:
                close_to_others(found)

    @contextmanager
    def _acting(self, action: str, *, looks: bool = False) -> Iterator[tuple[Sidecar, Settings]]:
        """The open sidecar and its settings, for something that the audit log tells of, unless it only `looks`."""
        settings = self.settings
        done = act(action, settings, self._environ)
        done.noted.looks = looks
        with self.sidecar() as found:
            done.attach(found)
            with writing_down(done):
                yield found, settings

    @contextmanager
    def _looking(self) -> Iterator[tuple[Sidecar, Settings]]:
        """The same for what no log tells of."""
        with self.sidecar() as found:
            yield found, self.settings

    def _inside(self, paths: Iterable[Path]) -> list[bytes]:
        """Paths, relative to the installation's root or absolute, as those below it. UsageError for what is not."""
        root, out = os.fsencode(self.path), []
        for path in paths:
            whole = os.path.normpath(os.path.join(root, os.fsencode(path)))
            below = b"" if whole == root else whole.removeprefix(root.rstrip(b"/") + b"/")
            if not os.fsencode(path) or below == whole:
                raise UsageError(f"'{os.fspath(path)}' is not inside {self.path}", path=os.fspath(path))
            out.append(below)
        return out
