"""Files that a program writes out of others: worth a count by kind, not a line each."""

from __future__ import annotations

import re

# Records of which packages are there, at length; the packages themselves say it better.
LOCK_FILES = frozenset(
    b"package-lock.json .package-lock.json npm-shrinkwrap.json composer.lock poetry.lock uv.lock Cargo.lock yarn.lock "
    b"pnpm-lock.yaml Gemfile.lock Pipfile.lock pdm.lock bun.lock go.sum flake.lock".split()
)

COMPILED, MINIFIED, MAPS, LOCKS, REPOSITORY, CACHES, BUILT = (
    "compiled code",
    "minified or bundled code",
    "source maps",
    "lock files",
    "repositories' own files",
    "caches",
    "compiled translations",
)

_NAMES = (
    (MAPS, re.compile(rb".+\.(?:js|mjs|cjs|css|ts)\.map")),
    (MINIFIED, re.compile(rb".+[.-]min\.(?:js|mjs|cjs|css)|.+\.(?:bundle|chunk)\.(?:js|mjs|css)")),
    # A name that holds a digest of the content, as bundlers give it, and what they write beside it.
    (MINIFIED, re.compile(rb"(?:.*[.-])?(?=[a-f]*[0-9])[0-9a-f]{8,64}\.(?:js|mjs|css)(?:\.license\.txt)?")),
    (MINIFIED, re.compile(rb".+\.(?:js|mjs|css)\.license\.txt|.+\.(?:js|mjs|css)\.(?:gz|br)")),
    (COMPILED, re.compile(rb".+\.(?:pyc|pyo|class|o|elc|luac)")),
    (BUILT, re.compile(rb".+\.mo")),
)
_FOLDERS = {b"__pycache__": COMPILED, b".cache": CACHES, b".mypy_cache": CACHES, b".pytest_cache": CACHES}
# What a person writes into a repository's own directory, and git then obeys, is news.
_WRITTEN = re.compile(rb"(?:.*/)?(?:\.git|modules/[^/]+)/(?:config(?:\.worktree)?|hooks/[^/]+|info/[^/]+)")
_SAMPLE = b".sample"


def generated_kind(path: bytes) -> str | None:
    """Which kind of generated file a path is by its name and place; None for what a person may have written."""
    *folders, name = path.split(b"/")
    if b".git" in folders or b".hg" in folders or b".svn" in folders:
        return None if _WRITTEN.fullmatch(path) and not name.endswith(_SAMPLE) else REPOSITORY
    for folder in folders:
        if folder in _FOLDERS:
            return _FOLDERS[folder]
    if name in LOCK_FILES:
        return LOCKS
    lower = name.lower()
    return next((kind for kind, form in _NAMES if form.fullmatch(lower)), None)


def repository_of(path: bytes) -> bytes | None:
    """The `.git` directory that a path lies in; None for any other."""
    folders = path.split(b"/")[:-1]
    if b".git" not in folders:
        return None
    return b"/".join(folders[: folders.index(b".git") + 1])
