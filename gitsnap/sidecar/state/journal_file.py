"""Where a journal lies: one private file in the sidecar whose name tells the phase. Every step is synced."""

from __future__ import annotations

import os

from gitsnap.core.errors import IntegrityError
from gitsnap.core.journal import Phase, Record, decode, encode
from gitsnap.sidecar import files, limits
from gitsnap.sidecar.repository import JOURNAL, Sidecar

_DAMAGED = "damaged"


class JournalFile:
    """The one journal that a sidecar may have. The writer's lock must be held to change it."""

    def __init__(self, sidecar: Sidecar) -> None:
        self._sidecar = sidecar

    def load(self) -> tuple[Phase, Record] | None:
        """What is there; IntegrityError when it is damaged."""
        found = [phase for phase in Phase if os.path.lexists(self._path(phase))]
        if not found:
            if os.path.lexists(self._path(_DAMAGED)):
                raise IntegrityError("the journal of an interrupted rollback is damaged", path=self._path(_DAMAGED))
            return None
        if len(found) > 1:
            # A step is a rename: two names at once are nobody's doing but damage.
            raise IntegrityError(f"there are journals for {' and '.join(found)} at once", path=self._path(found[1]))
        try:
            return found[0], decode(files.read(self._path(found[0]), limits.PER_PATH_FILE) or b"")
        except IntegrityError as error:
            error.path = self._path(found[0])
            raise

    def begin(self, record: Record) -> None:
        """Announce the stages before they are made, so that what a crash leaves is found and removed."""
        files.replace(self._path(Phase.STAGING), encode(record), self._sidecar.scratch)

    def decide(self, record: Record) -> None:
        """Complete the record, then make the decision: one rename, synced."""
        files.replace(self._path(Phase.STAGING), encode(record), self._sidecar.scratch)
        self.advance(Phase.STAGING, Phase.FORWARD)

    def advance(self, old: Phase, new: Phase) -> None:
        """From one phase to the next, durably."""
        os.rename(self._path(old), self._path(new))
        files.sync_directory(self._sidecar.own(""))

    def there(self) -> bool:
        """Whether there is one."""
        return self._sidecar.pending is not None

    def remove(self) -> None:
        """It is over, durably."""
        for phase in Phase:
            if os.path.lexists(self._path(phase)):
                os.unlink(self._path(phase))
        files.sync_directory(self._sidecar.own(""))

    def texts(self) -> dict[str, bytes]:
        """What is there, as it is, damaged or not, by the files' names."""
        paths = [self._path(phase) for phase in (*Phase, _DAMAGED)]
        return {os.path.basename(path): files.read(path) or b"" for path in paths if os.path.lexists(path)}

    def set_aside(self) -> None:
        """Rename what cannot be used, so that another rollback can do its work. It still counts as pending."""
        for phase in Phase:
            if os.path.lexists(self._path(phase)):
                os.rename(self._path(phase), self._path(_DAMAGED))
        files.sync_directory(self._sidecar.own(""))

    def forget(self) -> None:
        """What was set aside is settled."""
        if os.path.lexists(self._path(_DAMAGED)):
            os.unlink(self._path(_DAMAGED))
            files.sync_directory(self._sidecar.own(""))

    def _path(self, phase: str) -> str:
        return self._sidecar.own(JOURNAL + phase)
