"""Which changed files are most likely the user's own: what is known of them first, then their names and places.

A score from 0 to 100 orders them (`_SCORES`); what has none is the software's. Evidence counts wherever a file lies; a
name counts only outside of directories that package managers fill, and not for what a program generates.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from gitsnap.core.generated_files import generated_kind


class Reason(StrEnum):
    """Why a file is thought to be the user's, the best evidence first."""

    EDITED = "edited"
    RECORD = "record"
    MADE = "made"
    SINCE = "since"
    LATER = "later"
    ALONE = "alone"
    PATCHED = "patched"
    CONFIGURATION = "configuration"
    TOP = "top"
    FEW = "few"

    @property
    def is_evidence(self) -> bool:
        """Whether it is more than a name and a place."""
        return self not in (Reason.CONFIGURATION, Reason.TOP, Reason.FEW)


# EDITED: other than in the pristine copy. RECORD: other than its package recorded. MADE: not in the pristine copy, or
# in no package's record. SINCE: changed since the upgrade before. LATER: written later than what lies around it. ALONE:
# changed, while its package's version did not. PATCHED: other than its package records it since. CONFIGURATION: by name
# and place. TOP: a file at the root. FEW: one of few among many.
_SCORES = {
    Reason.EDITED: 100,
    Reason.RECORD: 95,
    Reason.MADE: 85,
    Reason.SINCE: 75,
    Reason.LATER: 70,
    Reason.ALONE: 65,
    Reason.PATCHED: 60,
    Reason.CONFIGURATION: 55,
    Reason.TOP: 40,
    Reason.FEW: 30,
}
# Data that the software writes as it runs: after what a person writes.
_RUNNING = re.compile(rb".*\.(?:log|pid|lock|tmp|bak|db|sqlite3?)(?:[-.].*)?|.*\.log\..*|.*~")
_RUNNING_LESS, _GENERATED_LESS, _NAMED_MORE, _DEEPER_LESS, _CAME_LESS, _SHALLOW = 25, 30, 5, 2, 20, 1

# Directories that package managers fill: names in them tell nothing of the user.
_VENDOR = frozenset(
    b"node_modules site-packages dist-packages bower_components vendor vendored wp-includes wp-admin gems .git".split()
)
# What belongs to a project's makers: documents, samples, their own tools' settings.
_MAKERS = re.compile(
    rb"(?:read.?me|changelog|changes|history|news|licen[cs]e|copying|notice|authors|contributing|security|version)\b.*"
    rb"|.*[.-](?:sample|example|default|defaults|dist|orig|template|tmpl|schema)(?:\.[a-z]+)?"
    rb"|package\.json|composer\.json|bower\.json|pyproject\.toml|setup\.cfg|tox\.ini|pytest\.ini|mypy\.ini|cargo\.toml"
    rb"|\.(?:eslint|prettier|babel|stylelint|jshint|jscs|nyc|mocha)rc.*|\.(?:travis|codecov|appveyor)\.ya?ml"
    rb"|\.(?:editorconfig|gitattributes|gitignore|npmignore|dockerignore|coveragerc)|tsconfig.*\.json|.*\.config\.[cm]?[jt]s"
)
_MAKERS_FOLDERS = frozenset(
    b"test tests testing __tests__ example examples doc docs man locale locales i18n .github spec specs schemas "
    b"samples templates translations fixtures lintian".split()
)
# Names that are configuration wherever they lie.
_NAMED = re.compile(
    rb"\.env(?:\..+)?|.+\.env|(?:docker-)?compose(?:[.-].+)?\.ya?ml|wp-config\.php|local_?settings\..+|.+\.local(?:\..+)?"
    rb"|(?:config|configuration|settings|secrets|automations|scripts|scenes|customi[sz]e|preferences|options|users|custom)"
    rb"\.(?:json5?|ya?ml|toml|ini|cfg|conf|xml|properties|env)"
    rb"|.+[._-](?:config|settings)\.(?:json5?|ya?ml|toml|ini|cfg|conf|xml)"
    rb"|(?:config|settings)[._-].+\.(?:json5?|ya?ml|toml|ini|cfg|conf|xml)"
    rb"|.+\.(?:conf|cnf|cfg|ini|rc|service|timer|rules|properties|override|htpasswd)|\.htaccess|\.htpasswd|\.user\.ini"
    rb"|caddyfile|crontab|authorized_keys|\.npmrc|\.netrc|\.pgpass|flows(?:_cred)?\.json|auth\.json|hosts"
)
# Configuration that is written as code: so are many modules, deep in a program.
_CODE = re.compile(
    rb"(?:config|configuration|settings|custom|options|preferences|.+[._-](?:config|settings)|(?:config|settings)[._-].+)"
    rb"\.(?:php|py|js|cjs|mjs|rb|lua|css)"
)
# Forms that are configuration where the place says so.
_FORMS = re.compile(rb".+\.(?:json5?|ya?ml|toml|xml|env|lua|php|rb|sh|css|txt|pem|crt|key|list|d)|[a-z0-9_-]+")
_DATA = re.compile(rb".+\.(?:json5?|ya?ml|toml|xml|sh|pem|crt|key)|\.[a-z][a-z0-9._-]*")
_PLACES = re.compile(rb"etc|\.?config[s]?|conf(?:\.d)?|[a-z0-9_-]+\.d|settings|custom|overrides?|user|local|\.storage")
# What few changed files in them tell nothing: programs, and what was built.
_BUILT_FOLDERS = frozenset(b"bin sbin lib share static dist build assets".split())
_FAMILY = re.compile(rb"(?=[a-f]*[0-9])[0-9a-f]{6,}|[0-9]+")
_MANY, _MOST_FEW, _TIMES = 50, 3, 50
_GAP_NS, _FEWEST_LATER, _FEWEST_TIMES = 120 * 10**9, 10, 4
_SECOND_NS, _FEWEST_BATCH = 10**9, 4


@dataclass(slots=True, frozen=True)
class Likely:
    """How likely (1 to 100) a file is the user's, and the best reason to think so."""

    score: int
    reason: Reason


def likely(
    path: bytes, known: Reason | None = None, *, few: bool = False, untouched: bool = False, came: bool = False
) -> Likely | None:
    """Whether a changed file is likely the user's. `known` is the evidence there is, `few` whether it is an outlier.

    `untouched`: it was as its maker shipped it, whatever its name says. `came`: it was not there before, so that it can
    only be configuration that the upgrade brought.
    """
    if untouched:
        return None
    *folders, name = path.lower().split(b"/")
    kind = generated_kind(path)
    if kind is not None and known not in (Reason.EDITED, Reason.RECORD):
        return None
    reason = known or _by_name(folders, name) or (Reason.FEW if few and _may_be_few(folders) else None)
    if reason is None or (came and (reason is not Reason.CONFIGURATION or _CODE.fullmatch(name))):
        return None
    score = _SCORES[reason]
    score -= _GENERATED_LESS if kind is not None else 0
    score -= _RUNNING_LESS if _RUNNING.fullmatch(name) else 0
    score += _NAMED_MORE if reason is Reason.CONFIGURATION and _NAMED.fullmatch(name) else 0
    score -= min(len(folders), 5) * _DEEPER_LESS if known is None else 0
    return Likely(max(score - (_CAME_LESS if came else 0), 1), reason)


def _may_be_few(folders: list[bytes]) -> bool:
    return not (_VENDOR | _BUILT_FOLDERS | _MAKERS_FOLDERS) & set(folders) and not _is_metadata(folders)


def _by_name(folders: list[bytes], name: bytes) -> Reason | None:
    if _VENDOR & set(folders) or _is_metadata(folders):
        return None
    if not folders:
        if _MAKERS.fullmatch(name) and name not in (b"package.json", b"composer.json"):
            return None
        forms = (_NAMED, _CODE, _DATA)
        return Reason.CONFIGURATION if any(form.fullmatch(name) for form in forms) else Reason.TOP
    if _MAKERS.fullmatch(name) or _MAKERS_FOLDERS & set(folders):
        return None
    if _NAMED.fullmatch(name) or (len(folders) <= _SHALLOW and _CODE.fullmatch(name)):
        return Reason.CONFIGURATION
    # `etc/` and its like at the top, or the directory that the file lies in itself.
    placed = _PLACES.fullmatch(folders[0]) or _PLACES.fullmatch(folders[-1])
    return Reason.CONFIGURATION if placed and (_FORMS.fullmatch(name) or _CODE.fullmatch(name)) else None


def _is_metadata(folders: list[bytes]) -> bool:
    return any(f.endswith((b".dist-info", b".egg-info")) for f in folders)


def outliers(components: Mapping[bytes, str]) -> set[bytes]:
    """The changed files (path → component) that are one of few in their component, or named unlike all beside them."""
    inside = Counter(components.values())
    total = len(components)
    small = {name for name, n in inside.items() if n <= _MOST_FEW and total >= _TIMES * n}
    out = {path for path, name in components.items() if name in small}
    folders: dict[bytes, dict[bytes, list[bytes]]] = {}
    for path in components:
        folder, _, name = path.rpartition(b"/")
        folders.setdefault(folder, {}).setdefault(family(name), []).append(path)
    for families in folders.values():
        count = sum(map(len, families.values()))
        odd = [path for found in families.values() if len(found) == 1 for path in found]
        if count >= _MANY and 0 < len(odd) <= _MOST_FEW:
            out.update(odd)
    return out


def family(name: bytes) -> bytes:
    """A name with its numbers and digests as `*`: what many files of one make have in common."""
    return _FAMILY.sub(b"*", name)


def newest_batch(times: Iterable[int]) -> int:
    """The newest time (ns) in whole seconds that several files have in common; -1 where there is none.

    Archives keep whole seconds: dpkg and unzip leave the times of the makers, years apart. What is written in the place
    itself has a time with a fraction.
    """
    counts = Counter(when for when in times if when % _SECOND_NS == 0)
    return max((when for when, n in counts.items() if n >= _FEWEST_BATCH), default=-1)


def written_later(times: Mapping[bytes, int], batch: int = -1) -> set[bytes]:
    """The few files (path → modification time in ns) that were written well after the rest of what came with them.

    Nine tenths are the rest: where more were written later than it by two minutes, time tells nothing. Of less than ten
    files it is one at the most, where all others are of one time. What is of whole seconds and no newer than a `batch`
    (see `newest_batch`) was unpacked, whenever its maker wrote it.
    """
    if len(times) < _FEWEST_TIMES:
        return set()
    ordered = sorted(times.values())
    if len(times) < _FEWEST_LATER and ordered[-2] - ordered[0] > _GAP_NS:
        return set()
    rest = ordered[min((len(ordered) * 9 - 1) // 10, len(ordered) - 2)]
    later = {path for path, when in times.items() if when > rest + _GAP_NS}
    return {path for path in later if times[path] > batch or times[path] % _SECOND_NS}


def package_place(path: bytes) -> bytes | None:
    """The directory of the package that a path lies in, by the directories that package managers fill."""
    folders = path.split(b"/")[:-1]
    at = next((n for n in range(len(folders) - 1, -1, -1) if folders[n].lower() in _VENDOR), None)
    if at is None or at + 1 >= len(folders) or folders[at] == b".git":
        return None
    last = at + 2 if folders[at + 1].startswith(b"@") else at + 1
    return b"/".join(folders[: last + 1]) if last < len(folders) and not folders[last].startswith(b".") else None


def changed_alone(changed: Mapping[bytes, int], held: Mapping[bytes, int]) -> set[bytes]:
    """The packages (directory → changed files, and files in all) of which only a few files changed."""
    return {
        top for top, n in changed.items() if held.get(top, 0) >= _FEWEST_TIMES and n <= max(_MOST_FEW, held[top] // 10)
    }


@dataclass(slots=True, frozen=True)
class Known:
    """What is known of files: digests by path in the pristine copy and at the end of the upgrade before (None: there is
    none), and paths.

    `edited` differ from their packages' records, `patched` do so since the upgrade, `unrecorded` lie where packages do
    and are in no record, `later` were written later than what lies around them, `alone` changed while their packages
    did not.
    """

    shipped: Mapping[bytes, bytes] | None = None
    since: Mapping[bytes, bytes] | None = None
    edited: Collection[bytes] = ()
    patched: Collection[bytes] = ()
    unrecorded: Collection[bytes] = ()
    later: Collection[bytes] = ()
    alone: Collection[bytes] = ()

    def reason(self, path: bytes, digest: bytes | None) -> Reason | None:
        """The best evidence for a file, by what it was before the upgrade (None: no file)."""
        if digest is None:
            return None
        if self.shipped is not None and self.shipped.get(path) != digest:
            return Reason.EDITED if path in self.shipped else Reason.MADE
        if path in self.edited:
            return Reason.RECORD
        # What its maker shipped is not the user's, whenever it was written.
        if self.shipped is not None and path in self.shipped:
            return None
        if self.since is not None and self.since.get(path) != digest:
            return Reason.SINCE
        weaker = (
            (self.unrecorded, Reason.MADE),
            (self.later, Reason.LATER),
            (self.alone, Reason.ALONE),
            (self.patched, Reason.PATCHED),
        )
        return next((reason for paths, reason in weaker if path in paths), None)
