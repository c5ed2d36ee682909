"""Remotes: git repositories elsewhere that hold copies of snapshots, and what refs are called over there.

Three layouts, told apart by the names alone (docs/adr/0132). `REST` is what follows `refs/gitsnap/` here:

| here                  | plain: the same | fleet: below one prefix for each installation | heads: only heads and tags |
|-----------------------|-----------------|-----------------------------------------------|----------------------------|
| refs/gitsnap/REST     | the same        | refs/gitsnap/fleet/HOST/NAME/REST             | refs/tags/gitsnap/REST     |
| refs/notes/gitsnap/X  | the same        | refs/notes/gitsnap/fleet/HOST/NAME/X          | NOTES_OF/ID, see below     |
| refs/tags/signed/REST | the same        | refs/tags/signed/fleet/HOST/NAME/REST         | as without it              |
| refs/heads/timeline   | the same        | refs/heads/HOST/NAME                          | as without it              |

With `heads` nothing is ever overwritten: the texts of a snapshot are a commit of their own (NOTES_OF), and what may
change (records of upgrades and rollbacks, descriptions) has its value in its name. A fleet has
refs/tags/gitsnap/fleet/HOST/NAME/.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import quote_from_bytes, unquote_to_bytes

from gitsnap.core.errors import UsageError

# What to do about a remote that has not all of what it names.
NOT_WHOLE = "the copy there is not whole: have that repository looked after (git fsck), or push to another one"

AFTER_SNAPSHOT, MANUAL = "after-snapshot", "manual"
PLAIN, HEADS = "plain", "heads"
ENCRYPT = "encrypt"
ALLOW = "allow"
SECRETS = ("refuse", ALLOW, ENCRYPT)

_OURS, _FLEET = "refs/gitsnap/", "fleet/"
_NOTES, _TIMELINE = "refs/notes/gitsnap/", "refs/heads/timeline"
# Tags with signatures.
_SIGNED = "refs/tags/signed/"
_TAGS, _AUDIT = "refs/tags/gitsnap/", "refs/gitsnap/audit"
# Only over there, with `heads`: a commit for each snapshot, whose tree holds `manifest` and `metadata`.
NOTES_OF = "refs/gitsnap/notes/"
# What goes. Not the bin (refs/gitsnap/deleted): what somebody has deleted is not copied.
_SENT = ("snapshots", "pins", "upgrades", "rollbacks", "descriptions")
_TEXTS = ("manifest", "metadata")
# Only over there, of one of many installations: who pushes it (core.machine).
MACHINE = "refs/gitsnap/machine"
_CHANGING = ("upgrades", "rollbacks", "descriptions")

_REMOTE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_SCHEMES = ("file", "ssh", "git+ssh", "ssh+git", "git", "http", "https")
FOLDER = "bundles:"
_HELPER = re.compile(r"[A-Za-z0-9+.-]+::")
_AUTHORITY = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)(?:([^/?#]*)@)?([^/?#]*)")
_PORT = re.compile(r"(?:\[[^\]]*\]|[^:\[\]]*)(?::[0-9]*)?")
# A name of a file may have 255 bytes, and git adds `.lock`.
_LONGEST = 240
# Names of refs over there that are remembered: all are gone through several times in a push.
_NAMES = 1 << 14
_OBJECT = re.compile(r"[0-9a-f]{40}")
# The hosts that would get in the way of refs of other layouts below refs/heads.
_TAKEN_HOSTS = ("timeline", "gitsnap")


class Layout(NamedTuple):
    """How refs are called over there: for which installation (`HOST/NAME`, None for a repository of its own), and
    whether only heads and tags are taken."""

    installation: str | None = None
    refspec: str = PLAIN


@dataclass(slots=True, frozen=True)
class Remote:
    """One remote of an installation. `keep` is how many of the newest snapshots go (None: all), pinned ones besides.

    Of a folder of bundles `keep` is how many cycles stay there, and `recipients` are keys of age's: what is in it is
    encrypted to them.
    """

    name: str
    url: str
    push: str = MANUAL
    keep: int | None = None
    refspec: str = PLAIN
    secrets: str = SECRETS[0]
    installation: str | None = None
    recipients: tuple[str, ...] = ()

    @property
    def layout(self) -> Layout:
        """How refs are called over there."""
        return Layout(self.installation, self.refspec)

    @property
    def bundles(self) -> str | None:
        """The directory of bundles that it is; None for a git repository."""
        return self.url.removeprefix(FOLDER) if self.url.startswith(FOLDER) else None

    @property
    def shown(self) -> str:
        """Its URL as it may be seen."""
        return shown(self.url)


class Here(NamedTuple):
    """What a ref over there is here: `local` is its name, or one below NOTES_OF. The names of timelines and signed tags
    do not tell of a refspec; they have `plain`."""

    local: str
    layout: Layout


def there(local: str, layout: Layout, value: str = "") -> str | None:
    """What a ref of ours is called over there, with the hex id `value`; None for one that does not go."""
    prefix = _prefix(layout.installation)
    if local == _TIMELINE:
        return _TIMELINE if layout.installation is None else "refs/heads/" + prefix.removeprefix(_FLEET)[:-1]
    if local.startswith(_SIGNED):
        return _SIGNED + prefix + local[len(_SIGNED) :]
    if local == MACHINE:
        return _OURS + prefix + "machine" if prefix and layout.refspec != HEADS else None
    if layout.refspec != HEADS:
        for top in (_NOTES, _OURS):
            if local.startswith(top) and _is_sent(top, local[len(top) :]):
                return top + prefix + local[len(top) :]
        return None
    rest = local.removeprefix(_OURS)
    if local == _AUDIT:
        return f"refs/heads/gitsnap/{prefix}{rest}"
    part, _, name = rest.partition("/")
    if rest == local or not name or (part not in _SENT and not local.startswith(NOTES_OF)):
        return None
    return f"{_TAGS}{prefix}{rest}" + (f"/{value}" if part in _CHANGING else "")


@lru_cache(_NAMES)
def here(name: str) -> Here | None:
    """What a ref over there is here; None for one that is none of gitsnap's. The inverse of there()."""
    if name == _TIMELINE:
        return Here(_TIMELINE, Layout())
    if name.startswith(_SIGNED):
        signer, rest = _installation(name[len(_SIGNED) :])
        found = Here(_SIGNED + rest, Layout(signer))
        return found if rest and there(found.local, found.layout) == name else None
    for top, refspec in ((_OURS, PLAIN), (_NOTES, PLAIN), (_TAGS, HEADS), ("refs/heads/gitsnap/", HEADS)):
        if name.startswith(top):
            installation, rest = _installation(name[len(top) :])
            rest = rest.rpartition("/")[0] if refspec == HEADS and rest.split("/")[0] in _CHANGING else rest
            layout = Layout(installation, refspec)
            local = (top if refspec == PLAIN else _OURS) + rest
            value = name.rpartition("/")[2] if _OBJECT.fullmatch(name.rpartition("/")[2]) else ""
            return Here(local, layout) if there(local, layout, value) == name else None
    installation, rest = _installation(_FLEET + name.removeprefix("refs/heads/") + "/")
    layout = Layout(installation)
    return Here(_TIMELINE, layout) if installation and there(_TIMELINE, layout) == name else None


def _is_sent(top: str, rest: str) -> bool:
    if top == _NOTES:
        return rest in _TEXTS
    part, _, name = rest.partition("/")
    return (part in _SENT and bool(name)) or rest == "audit"


def _prefix(installation: str | None) -> str:
    if installation is None:
        return ""
    host, _, name = installation.partition("/")
    first = f"%{ord(host[0]):02X}{host[1:]}" if host in _TAKEN_HOSTS else component(host)
    return f"{_FLEET}{first}/{component(name)}/"


def _installation(rest: str) -> tuple[str | None, str]:
    """The installation that the rest of a name begins with, and what follows it."""
    parts = rest.split("/", 3)
    if parts[0] + "/" != _FLEET or len(parts) < 4:
        return None, rest
    host, name = (unquote_to_bytes(part).decode("utf-8", "surrogateescape") for part in parts[1:3])
    # there() tells whether it was written so.
    return (f"{host}/{name}", parts[3]) if host and name and "/" not in host else (None, rest)


def component(text: str) -> str:
    """Text of any kind as one component of a ref's name, readable where it can be; another one for each text.

    What git-check-ref-format(1) does not take is percent-encoded, and so are `-` at the beginning, which commands would
    take for an option, and `%`.
    """
    out = quote_from_bytes(text.encode("utf-8", "surrogateescape"), safe="").replace("~", "%7E")
    out = re.sub(r"^\.|\.$|\.(?=\.)|\.(?=lock$)", "%2E", out)
    return "%2D" + out[1:] if out.startswith("-") else out


def installation_name(text: str) -> str:
    """`HOST/NAME` as it was given; UsageError for what is none, or too long for a ref's name."""
    host, _, name = text.partition("/")
    if not host or not name:
        raise UsageError(f"'{text}' is no HOST/NAME", hint="for example: --installation web-1/shop")
    if max(len(component(host)), len(component(name))) > _LONGEST:
        raise UsageError(
            f"'{text}' is too long for the name of a ref", hint="--installation HOST/NAME with a shorter one"
        )
    return text


def remote_name(text: str) -> str:
    """A remote's name as it was given; UsageError for what cannot be one."""
    if not _REMOTE_NAME.fullmatch(text):
        raise UsageError(
            f"'{text}' cannot be the name of a remote", hint="letters, digits, dash and underscore, at most 64"
        )
    return text


def checked_url(text: str) -> str:
    """A URL, `host:path` or absolute path as it was given; UsageError for what gitsnap does not go to.

    As git's, but for what would start a program that the URL names (`ext::`), and for passwords.
    """
    if not text or not text.isprintable():
        raise UsageError("the URL of a remote is empty, or has characters that are none of a URL")
    if text.startswith("-"):
        raise UsageError(f"'{shown(text)}' is no URL: it would be taken for an option")
    if _HELPER.match(text):
        raise UsageError(f"'{text.partition('::')[0]}::' would start a program; gitsnap pushes to URLs of git alone")
    if text.startswith(FOLDER):
        if not text.removeprefix(FOLDER).startswith("/"):
            raise UsageError(f"'{text}' has to name its directory by an absolute path")
        return text
    scheme = _SCHEME.match(text)
    if scheme and scheme[1] not in _SCHEMES:
        raise UsageError(
            f"gitsnap does not know '{scheme[1]}://'", hint=f"known: {', '.join(_SCHEMES)}, host:path, /path"
        )
    authority = _AUTHORITY.match(text)
    if _is_mistyped(text) or (authority and (":" in (authority[2] or "") or not _PORT.fullmatch(authority[3]))):
        raise UsageError(
            f"the URL {shown(text)} has a password in it, and gitsnap stores none",
            hint="leave it out: git's credential helpers (git help credentials) or a key for ssh are asked",
        )
    host, path = _split(text)
    if host.rpartition("@")[2].startswith("-") or host.startswith("-") or (host and path.startswith("-")):
        raise UsageError(f"'{shown(text)}' is no URL: a part of it would be taken for an option")
    if not host and not path.startswith("/"):
        raise UsageError(
            f"'{text}' has to be an absolute path, or a URL", hint="a relative path means another place elsewhere"
        )
    return text


def remote_helper(text: str) -> str | None:
    """The remote helper (gitremote-helpers(7)) that a URL names, as `HELPER::...`; None for none."""
    found = _HELPER.match(text)
    return found[0][:-2] if found else None


def is_local_path(text: str) -> bool:
    """Whether this names a directory on this machine by its path, absolute or not, and is no URL and no host:path."""
    return not (_SCHEME.match(text) or _HELPER.match(text) or text.startswith(FOLDER) or _split(text)[0])


def making(url: str) -> str | None:
    """What to type to make the repository of a URL, its owner's alone; None where only a server can."""
    scheme = _SCHEME.match(url)
    host, path = _split(url)
    make = f"umask 077; git init --bare {shlex.quote(path)}"
    if not host and (scheme is None or scheme[1] == "file"):
        return f"({make})"
    if scheme is not None and "ssh" not in scheme[1]:
        return None
    name, colon, port = host.rpartition(":") if scheme and not host.endswith("]") else (host, "", "")
    there = f"-p {port} {name}" if colon else host
    return f"ssh {there} {shlex.quote(make)}"


def _split(text: str) -> tuple[str, str]:
    """Host with its user (empty for a path on this machine), and path."""
    scheme = _SCHEME.match(text)
    if scheme:
        host, slash, path = text[scheme.end() :].partition("/")
        return host, slash + path
    host, colon, path = text.partition(":")
    # As git has it: a colon behind a slash is part of a path.
    return (host, path) if colon and "/" not in host and host else ("", text)


def _is_mistyped(text: str) -> bool:
    """Whether it reads `host:path` and may be a URL with a password: `user:password@host`, `https:/user:...@host`."""
    if _SCHEME.match(text) or text.startswith(FOLDER):
        return False
    host, path = _split(text)
    return bool(host) and "@" in path.lstrip("/").partition("/")[0]


def shown(url: str) -> str:
    """A URL as it may be seen: no password, and of http(s) no user and no query either, which may be tokens."""
    found = _AUTHORITY.match(url)
    if not found:
        return f"{_split(url)[0]}:..." if _is_mistyped(url) else url
    scheme, user, host = found.groups()
    if not _PORT.fullmatch(host):
        # A password with a slash in it: what follows may be the rest of it.
        return f"{scheme}{host.partition(':')[0]}/..."
    web = scheme.lower().startswith("http")
    kept = f"{user.partition(':')[0]}@" if user and not web else ""
    rest = url[found.end() :]
    return scheme + kept + host + (re.split(r"[?#]", rest)[0] if web else rest)


def from_table(name: str, table: Mapping[str, Any]) -> Remote:
    """The remote that a table `[remote.NAME]` describes; UsageError that names the key."""
    unknown = table.keys() - {"url", "push", "keep", "refspec", "secrets", "installation", "recipients"}
    if unknown:
        raise UsageError(f"[remote.{name}] does not know {min(unknown)}")
    chosen: dict[str, Any] = {"name": remote_name(name)}
    for key, known in (("push", (MANUAL, AFTER_SNAPSHOT)), ("refspec", (PLAIN, HEADS)), ("secrets", SECRETS)):
        chosen[key] = table.get(key, known[0])
        if chosen[key] not in known:
            words = ", ".join(f'"{word}"' for word in known)
            raise UsageError(f"[remote.{name}] {key} must be one of {words}")
    for key, check in (("url", checked_url), ("installation", installation_name)):
        value = table.get(key)
        if value is not None and not isinstance(value, str):
            raise UsageError(f"[remote.{name}] {key} must be text")
        chosen[key] = None if value is None else check(value)
    if chosen["url"] is None:
        raise UsageError(f"[remote.{name}] needs a url")
    keep = table.get("keep")
    if keep is not None and (not isinstance(keep, int) or isinstance(keep, bool) or keep < 1):
        raise UsageError(f"[remote.{name}] keep must be a whole number of snapshots, at least 1")
    recipients = table.get("recipients", [])
    if not isinstance(recipients, (list, tuple)) or not all(isinstance(each, str) for each in recipients):
        raise UsageError(f"[remote.{name}] recipients must be a list of texts")
    if recipients:
        chosen["secrets"] = ENCRYPT
    remote = Remote(keep=keep, recipients=tuple(recipients), **chosen)
    _require_encryptable(remote)
    return remote


def _require_encryptable(remote: Remote) -> None:
    """Raise UsageError where something is to be encrypted that cannot be, or to nobody."""
    if remote.secrets != ENCRYPT:
        return
    if remote.bundles is None:
        raise UsageError(
            f"[remote.{remote.name}] a git repository is not encrypted, as git has to read it",
            hint="bundles:/PATH is a folder of bundles, which can be",
        )
    if not remote.recipients:
        raise UsageError(f"[remote.{remote.name}] encrypting needs recipients", hint='recipients = ["age1..."]')


def to_table(remote: Remote) -> dict[str, str | int | list[str]]:
    """What from_table() makes the remote of, without what is so anyway."""
    plain = Remote(remote.name, remote.url)
    keys = ("url", "push", "keep", "refspec", "secrets", "installation")
    out = {k: getattr(remote, k) for k in keys if k == "url" or getattr(remote, k) != getattr(plain, k)}
    return out | ({"recipients": list(remote.recipients)} if remote.recipients else {})
