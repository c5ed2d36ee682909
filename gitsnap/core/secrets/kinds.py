"""What kind of text a file holds, by its name: how its lines name values, and whether all of it is secret."""

from __future__ import annotations

import re
from dataclasses import replace
from enum import Enum

from gitsnap.core.secrets.hints import words
from gitsnap.core.secrets.names import is_secret_name
from gitsnap.core.secrets.rules import Rules


class Kind(Enum):
    """How names and values stand in a file's lines."""

    DATA = "data"  # A mark follows each key: JSON, YAML, TOML, INI.
    CONFIG = "config"  # A mark or a blank follows a name: everything that is not known.
    SHELL = "shell"  # A value is one word: scripts, command lines, units.
    PROGRAM = "program"  # Only literals are values.
    PROSE = "prose"  # Most of what follows a secret's name is words.
    NETRC = "netrc"  # Words in pairs.
    ACCOUNTS = "accounts"  # A user, a colon, and what he proves it with.
    SECRETS = "secrets"  # Keys whose values are all secret.
    WHOLE = "whole"  # Nothing but a secret.


_PROGRAMS = frozenset(
    b"js mjs cjs jsx ts mts tsx py rb go rs c h cc cpp hpp cs java kt swift php phtml pl pm lua sql vue svelte"
    b" css scss less gradle groovy scala ex exs erl ps1 s asm lds dts dtsi dtso cocci inc y l awk".split()
)
_PROSE = frozenset(b"md markdown rst adoc txt log html htm map".split())
_SHELL = frozenset(b"sh bash zsh ksh fish service socket timer dockerfile cron mk".split())
_DATA = frozenset(b"json jsonc json5 yaml yml toml ini cfg".split())
_ACCOUNTS = {b"htpasswd": 1, b"shadow": 1, b"htdigest": 2, b"pgpass": 4}
_NAMES = {
    b"dockerfile": Kind.SHELL,
    b"containerfile": Kind.SHELL,
    b"makefile": Kind.SHELL,
    b"crontab": Kind.SHELL,
    b".bashrc": Kind.SHELL,
    b".profile": Kind.SHELL,
    b".zshrc": Kind.SHELL,
    b".netrc": Kind.NETRC,
    b"_netrc": Kind.NETRC,
    b"secrets.yaml": Kind.SECRETS,
    b"secrets.yml": Kind.SECRETS,
    b"secrets.json": Kind.SECRETS,
    b"secrets.toml": Kind.SECRETS,
    b"secrets.env": Kind.SECRETS,
    b"flows_cred.json": Kind.SECRETS,
    b"secrets.ini": Kind.SECRETS,
    b".vault_pass": Kind.WHOLE,
    b".git-credentials": Kind.DATA,
}
_TRANSLATIONS = re.compile(
    rb"(?:^|/)(?:i18n|l10n|nls|lang|langs|languages?|locales?|translations?|strings|_locales)/.*\.(?:json5?|ya?ml|properties"
    rb"|php|js|ts|ini|toml|py|rb|xml|lang)$|\.(?:po|pot|xliff?|xlf|arb|resx|strings)$|(?:^|/)strings\.(?:json|xml)$"
    rb"|(?:^|/)messages[._-]?\w{0,5}\.(?:json|ya?ml|properties)$|\.lproj/|(?:^|/)values[\w-]*+/strings\.xml$"
)
_SEVERAL = words("secrets passwords credentials tokens cookies")
_WHOLE = frozenset([b"", b"txt", b"secret", b"key", b"token", b"pass", b"cookie"])


def kind_of(path: bytes) -> Kind:
    """The kind of a file; of a text without a path, a command line's."""
    name = path.rpartition(b"/")[2].lower()
    stem, _, suffix = name.rpartition(b".")
    if not name:
        return Kind.SHELL
    if b"." not in name:
        stem, suffix = name, b""
    if name in _NAMES:
        return _NAMES[name]
    if suffix in _ACCOUNTS or name in _ACCOUNTS:
        return Kind.ACCOUNTS
    if suffix in _PROGRAMS:
        return Kind.PROGRAM
    if suffix in _WHOLE and (_is_whole(stem, suffix) or (suffix == b"key" and b"credentials/" in path)):
        return Kind.WHOLE
    if suffix in _PROSE:
        return Kind.PROSE
    if suffix in _SHELL or name.startswith((b"dockerfile.", b"crontab.")) or b"cron.d/" in path:
        return Kind.SHELL
    return Kind.DATA if suffix in _DATA else Kind.CONFIG


def fields_before_secret(path: bytes) -> int:
    """How many fields with colons an account's line has before the secret."""
    name = path.rpartition(b"/")[2].lower()
    return _ACCOUNTS.get(name.rpartition(b".")[2], _ACCOUNTS.get(name, 1))


def rules_of(path: bytes, rules: Rules) -> Rules:
    """The rules for a file: in one of translations, what a secret's name has is what people read."""
    return replace(rules, wording=True) if _TRANSLATIONS.search(path.lower()) else rules


def is_environment(path: bytes) -> bool:
    """Whether a file is a `.env`, in which what looks random is a secret whatever its name."""
    name = path.rpartition(b"/")[2].lower()
    return name == b".env" or name.startswith(b".env.") or name.endswith((b".env", b"-env", b"_env"))


def _is_whole(stem: bytes, suffix: bytes) -> bool:
    """`db_password.txt`, `.erlang.cookie`: named as a secret is, with nothing else in it."""
    text = stem.decode("utf-8", "replace").lstrip(".")
    if re.fullmatch(r"(?:readme|license|changes|requirements|.*\s.*)", text):
        return False
    # Rails' `config/master.key`.
    name = text + {b"cookie": ".cookie", b"key": "_key"}.get(suffix, "")
    return is_secret_name(name) and text not in _SEVERAL and not text.endswith("passwd")
