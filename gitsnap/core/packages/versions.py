"""How versions compare: each ecosystem has an ordering of its own.

An ordering says whether the second of two versions is above (1), below (-1) or equal to the first (0), or that it
cannot tell (None).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import zip_longest
from typing import Any

Order = Callable[[str, str], int | None]
_PARTS = re.compile(r"(\d+)|([a-z]+)", re.IGNORECASE)
_UNFINISHED = frozenset(
    ("dev", "a", "alpha", "b", "beta", "c", "m", "milestone", "pre", "preview", "rc", "cr", "snapshot", "nightly")
)


def _sign(old: Any, new: Any) -> int:
    return int(new > old) - int(new < old)


def pep440(old: str, new: str) -> int | None:
    """Python's, by PEP 440."""
    from packaging.version import InvalidVersion, Version

    try:
        return _sign(Version(old), Version(new))
    except InvalidVersion:
        return natural(old, new)


def semver(old: str, new: str) -> int | None:
    """Semantic versioning 2.0.0, a leading `v` allowed, with as many numbers as there are (composer has four)."""
    sides = [_semver_key(v) for v in (old, new)]
    return None if None in sides else _sign(*sides)


def _semver_key(version: str) -> tuple[Any, ...] | None:
    match = re.fullmatch(r"[vV=]?(\d+(?:\.\d+)*)(?:-?([0-9A-Za-z.-]+))?(?:\+.*)?", version.strip())
    if match is None:
        return None
    numbers = [int(n) for n in match[1].split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    if not match[2]:
        return tuple(numbers), 1, ()
    # Numbers stand below words; fewer parts stand below more.
    return tuple(numbers), 0, tuple((0, int(p), "") if p.isdigit() else (1, 0, p) for p in match[2].split("."))


def natural(old: str, new: str) -> int | None:
    """For what has no rules: numbers as numbers, words for what is unfinished below nothing, other words above it.

    None where there is no number to compare by.
    """
    if not (re.search(r"\d", old) and re.search(r"\d", new)):
        return None
    filler = (1, 0, "")
    for a, b in zip_longest(_natural_key(old), _natural_key(new), fillvalue=filler):
        if a != b:
            return _sign(a, b)
    return 0


def _natural_key(version: str) -> list[tuple[int, int, str]]:
    found = []
    for number, word in _PARTS.findall(re.sub(r"^v(?=\d)", "", version.strip(), flags=re.IGNORECASE)):
        word = word.lower()
        if number:
            found.append((3, int(number), "") if int(number) else (1, 0, ""))
        else:
            found.append((0 if word in _UNFINISHED else 2, 0, word))
    return found


def dpkg(old: str, new: str) -> int:
    """Debian's, by deb-version(7): epoch, upstream version, revision."""
    for a, b in zip(_dpkg_parts(old), _dpkg_parts(new), strict=True):
        for x, y in zip_longest(_dpkg_runs(a), _dpkg_runs(b), fillvalue=((0,), 0)):
            if x != y:
                return _sign(x, y)
    return 0


def _dpkg_parts(version: str) -> tuple[str, str, str]:
    epoch, colon, rest = version.partition(":")
    epoch, rest = (epoch, rest) if colon else ("0", version)
    upstream, dash, revision = rest.rpartition("-")
    return (epoch, upstream, revision) if dash else (epoch, rest, "0")


def _dpkg_runs(text: str) -> list[tuple[tuple[int, ...], int]]:
    """Pairs of what is no number and a number. `~` stands before the end, letters before all other signs."""
    return [
        ((*map(_dpkg_rank, word), 0), int(number or 0))
        for word, number in re.findall(r"([^\d]*)(\d*)", text)
        if word or number
    ]


def _dpkg_rank(sign: str) -> int:
    return -1 if sign == "~" else ord(sign) if sign.isalpha() else ord(sign) + 256


def rpm(old: str, new: str) -> int:
    """RPM's: epoch, version and release by rpmvercmp."""
    sides = []
    for version in (old, new):
        epoch, colon, rest = version.partition(":")
        name, _, release = (rest if colon else version).partition("-")
        sides.append((epoch if colon else "0", name, release))
    for a, b in zip(*sides, strict=True):
        if found := _rpmvercmp(a, b):
            return found
    return 0


def _rpmvercmp(old: str, new: str) -> int:
    runs = [re.findall(r"\d+|[a-zA-Z]+|~|\^", v) for v in (old, new)]
    for a, b in zip_longest(*runs):
        if a == b:
            continue
        ranks = [_rpm_rank(part) for part in (a, b)]
        if ranks[0] != ranks[1]:
            return _sign(*ranks)
    return 0


def _rpm_rank(part: str | None) -> tuple[int, int, str]:
    """`~` stands before the end, `^` after it, then words, then numbers."""
    if part is None:
        return (1, 0, "")
    if part in "~^":
        return (0 if part == "~" else 2, 0, "")
    return (4, int(part), "") if part.isdigit() else (3, 0, part)


def apk(old: str, new: str) -> int | None:
    """Alpine's, by apk-package(5): `1.2.3a_rc1-r4`."""
    sides = [_apk_key(v) for v in (old, new)]
    return natural(old, new) if None in sides else _sign(*sides)


_APK = re.compile(r"(\d+(?:\.\d+)*)([a-z]?)((?:_[a-z]+\d*)*)(?:~[0-9a-f]+)?(?:-r(\d+))?")
_APK_SUFFIXES = {"alpha": -4, "beta": -3, "pre": -2, "rc": -1, "cvs": 1, "svn": 2, "git": 3, "hg": 4, "p": 5}


def _apk_key(version: str) -> tuple[Any, ...] | None:
    match = _APK.fullmatch(version)
    if match is None:
        return None
    suffixes = [(_APK_SUFFIXES.get(w, 0), int(n or 0)) for w, n in re.findall(r"_([a-z]+)(\d*)", match[3])]
    return tuple(map(int, match[1].split("."))), match[2], (*suffixes, (0, 0)), int(match[4] or 0)
