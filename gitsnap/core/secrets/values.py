"""What is no secret whatever its name: nothing, a switch, a reference to where the secret is, a path, a version."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections import Counter

from gitsnap.core.secrets.hints import words

_WORDS = words(
    """
    true false yes no on off null none nil undefined ~ enabled disabled auto default required optional prompt ask
    inherit string str text bool boolean int integer number object array bytes any include omit same-origin bearer
    basic digest plain login cookie session header always never read write strict lax secretstr void self
    """
)
_PLACEHOLDER = re.compile(
    r"\$\{[^}]*+\}|\$\(.*\)|\$\w++|`[^` ]*+ [^`]*+`|\{\{.*\}\}|\{%.*%\}|%\([\w.]++\)s|%\w++%|%[sd]"
    r"|<(?!%[^%]*\|\|)[^<>]*+>"
    r"|#\{[^}]*+\}|\{[a-z_.]{0,40}\}|\{[A-Z_.]{0,40}\}|@\w++@|\[\w++\]|__\w+__|![A-Za-z_:.]++(?:\s.*)?|\*\w[\w-]*+|ENC\[.*\]?"
    r"|vault:\S++|op://\S++|arn:aws:\S++|(?:secret|file|ref|env):/{0,2}[\w./-]++"
    r"|(?:process|import\.meta|System|os|ENV|env|getenv|config|secrets|var|local|data|this|self|settings|args|req|request)"
    r"(?:\.[\w.]++|\[[^\]\s]*+\]|\([^()]*+\))++\S*+"
    r"|[•*xX.·_-]{2,}+|…|(?:••••)?\([0-9a-f]{4}\)|\(secret\)|\[?REDACTED\]?|secret:[\w/-]++"
)
_PATH = re.compile(
    r"(?:~|\.{1,2}|[A-Za-z]:|\$\{?[\w.]+\}?|<|@|[\w.-]{1,30}:)?(?:[/\\][\w.@%*{}$ -]++){2,}+[/\\]?|\.{0,2}/"
    r"|(?:~|\.{1,2})/[\w.@-]++|/[\w@-]++\.\w{1,5}|[\w-]++\.(?:pem|key|crt|json|ya?ml|txt|env)"
)
# `${DB_PASSWORD:-fallback}`
_FALLBACK = re.compile(r"\$\{\w+:?[-=]([^{}]+)\}")
_VERSION = re.compile(
    r"[\^~<>=]*+\s?v?\d++(?:\.[\dx*]++)++(?:[-+][\w.+-]++)?(?:\s*+(?:\|\||<|>)\s*+[\w.^~<>=* ]++)?"
    r"|\*|latest|workspace:\S++|npm:\S++"
)
_SOFT = re.compile(r"[\^~<>=]++\s?v?\d++(?:\.[\dx*]++)*+(?:[-+][\w.+-]++)?|workspace:\S++")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{8,}={0,2}")
_TOKEN = re.compile(r"[A-Za-z0-9+/_.=~:-]{16,}")


def is_harmless(value: str, *, password: bool = False) -> bool:
    """Whether this is no secret even where a secret's name stands before it. `password`: versions count, too."""
    text = value.strip().strip("\"'").rstrip(",;").strip()
    if fallback := _FALLBACK.fullmatch(text):
        return is_harmless(fallback[1], password=password)
    if not text or text.lower() in _WORDS or text.startswith(("$(", "${{", "{{")):
        return True
    told = len(text) < 400 and not is_random(text.strip("{}"))
    if told and (_PLACEHOLDER.fullmatch(text) or (_PATH.fullmatch(text) and not _is_random_path(text))):
        return True
    return (_SOFT if password else _VERSION).fullmatch(text) is not None


def _is_random_path(text: str) -> bool:
    """Base64 has slashes, too: a long part of all kinds of characters is no directory's name."""
    return any(len(part) >= 16 and is_random(part) for part in re.split(r"[/\\]", text))


def is_random(text: str) -> bool:
    """Whether a text looks as if a machine had drawn it."""
    if not _TOKEN.fullmatch(text) or len(text) > 4_000:
        return False
    kinds = sum(any(test(c) for c in text) for test in (str.islower, str.isupper, str.isdigit))
    if kinds < 2 or not any(map(str.isdigit, text)):
        return False
    counts = Counter(text)
    return -sum(n / len(text) * math.log2(n / len(text)) for n in counts.values()) >= 3.0


def is_digest(text: str) -> bool:
    """Whether it is, by its form, a checksum, an integrity hash or a commit's id, which are public."""
    return re.fullmatch(r"(?:sha\d+[-:]|md5[-:])[\w+/=-]+|[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}", text) is not None


def is_login(text: str) -> bool:
    """Whether it is `user:password` in base64, as of HTTP's Basic and of container registries."""
    if len(text) > 1_000 or not _BASE64.fullmatch(text):
        return False
    try:
        plain = base64.b64decode(text + "=" * (-len(text) % 4), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return False
    return plain.isprintable() and re.match(r"[\w.@+-]+:\S", plain) is not None
