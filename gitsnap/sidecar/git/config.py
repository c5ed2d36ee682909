"""What gitsnap writes for git to read in a sidecar, and how to tell what somebody else has written there.

gitsnap's own git never reads the sidecar's files, but a copy of these (stockgit): a sidecar may come from elsewhere,
and git starts programs that its configuration names.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from gitsnap.sidecar import files

FORMAT_VERSION = 1
# Clones do not inherit this file, which is why .gitattributes inside the installation are percent-encoded too.
ATTRIBUTES = (
    b"* -text !eol !filter !ident !working-tree-encoding !export-ignore !export-subst !diff !merge !crlf !whitespace\n"
)
_CONFIG = """\
[core]
\trepositoryformatversion = 0
\tbare = true
\tfilemode = true
\tsharedRepository = 0600
\tlogAllRefUpdates = false
\tfsmonitor = false
\thooksPath = /dev/null
\tfsync = all
\tbigFileThreshold = 8388608
\tpackedGitWindowSize = 16777216
\tpackedGitLimit = 100663296
[gc]
\tauto = 0
\treflogExpire = now
\treflogExpireUnreachable = now
\tpruneExpire = now
\tautoDetach = false
[maintenance]
\tauto = false
[pack]
\tindexVersion = 2
\twindowMemory = 67108864
\tthreads = 2
[receive]
\tautogc = false
"""
_OWN = """\
[gitsnap]
\tformatVersion = {version}
\tinstallation = {installation}
"""
# Other files by which a repository makes git do something.
_ALSO = ("config.worktree", "commondir", "gitdir", "shallow", "info/grafts", "info/sparse-checkout")
_HEADING = re.compile(r'\[[ \t]*([-.A-Za-z0-9]+)(?:[ \t]+"((?:[^"\\]|\\.)*)")?[ \t]*\]')
_KEY = re.compile(r"[A-Za-z][-A-Za-z0-9]*")


def for_git() -> bytes:
    """A config without anything that concerns gitsnap alone."""
    return _CONFIG.encode()


def for_sidecar(installation: str) -> bytes:
    """The config of a new sidecar that protects the directory `installation`."""
    own = _OWN.format(version=FORMAT_VERSION, installation=f'"{_escape(installation)}"')
    return (_CONFIG + own).encode("utf-8", "surrogateescape")


def read(path: str) -> list[tuple[str, str]]:
    """(name, value as written) of every setting in the config of the sidecar at `path`, in order; see parse()."""
    return parse(files.read(os.path.join(path, "config")) or b"")


def parse(data: bytes) -> list[tuple[str, str]]:
    """(`section.key` or `section.subsection.key`, value as written), as git-config(1) has the syntax.

    Sections and keys are in lower case. What is no setting, and no comment, is told by its line's number as its name.
    """
    section, found = "", []
    text = data.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    for number, line in _lines(text):
        rest = line.strip()
        while heading := _HEADING.match(rest):
            section = heading[1].lower() + ("" if heading[2] is None else f".{heading[2]}")
            rest = rest[heading.end() :].strip()
        if not rest or rest[0] in "#;":
            continue
        key, _, value = rest.partition("=")
        name = f"{section}.{key.strip().lower()}" if _KEY.fullmatch(key.strip()) else f"line {number}"
        found.append((name, value.strip()))
    return found


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Numbered from 1; those that end in a backslash go on in the next one."""
    begun, first = "", 1
    for number, line in enumerate(text.split("\n"), 1):
        line = line.removesuffix("\r")
        first = first if begun else number
        if (len(line) - len(line.rstrip("\\"))) % 2:
            begun += line[:-1]
            continue
        yield first, begun + line
        begun = ""
    if begun:
        yield first, begun


def foreign(path: str) -> list[str]:
    """Names of the settings in a sidecar's config that gitsnap never writes, and of such files; in order."""
    ours = {name for name, _ in parse(for_sidecar(""))}
    names = [name for name, _ in read(path) if name not in ours]
    names += [f"the file {name}" for name in _ALSO if os.path.lexists(os.path.join(path, name))]
    return list(dict.fromkeys(names))


def installation(settings: dict[str, str]) -> str | None:
    """The directory that a sidecar with these settings protects; None where that is malformed."""
    value = settings.get("gitsnap.installation", "")
    if len(value) >= 2 and value[0] == value[-1] == '"':
        value = value[1:-1]
    try:
        return re.sub(r"\\(.)", lambda m: _PLAIN[m[1]], value)
    except KeyError:
        return None


_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\b": "\\b"}
_PLAIN = {v[1]: k for k, v in _ESCAPES.items()}


def _escape(value: str) -> str:
    return "".join(_ESCAPES.get(c, c) for c in value)
