"""dulwich's repository over the directory of a sidecar, with our store of objects and our refs.

What a foreign sidecar could switch on stays off: dulwich runs hooks in spite of core.hooksPath, follows include.path
and commondir to anywhere, and opens a `.git` inside instead of the repository itself (1.2.21; docs/adr/0101).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import BinaryIO

from dulwich.config import ConfigFile
from dulwich.repo import Repo

from gitsnap.sidecar.git.objects import ObjectStore
from gitsnap.sidecar.git.refs import Refs


class Repository(Repo):
    """The bare repository at `path` (absolute). Of its `settings` (config.read) dulwich knows gitsnap's own."""

    object_store: ObjectStore
    refs: Refs

    def __init__(self, path: str, settings: Mapping[str, str]) -> None:
        self._settings = ConfigFile()
        for name, value in settings.items():
            section, _, key = name.rpartition(".")
            if section == "gitsnap":
                self._settings.set(section.encode(), key.encode(), os.fsencode(value))
        store = ObjectStore(os.path.join(path, "objects"))
        super().__init__(path, object_store=store, bare=True)
        self.hooks.clear()
        self.refs = Refs(path)

    def get_config(self) -> ConfigFile:
        """gitsnap's own settings. What else a sidecar's config says is for stock git, and what git is given."""
        return self._settings

    def get_named_file(self, path: str | bytes | os.PathLike[str], basedir: str | None = None) -> BinaryIO | None:
        """None: no other directory is common, and neither grafts nor a shallow history change what a snapshot is."""
        return None
