"""Whether a key's name announces a secret. Names are read word by word: `primary_key` is none, `DB_PASSWORD` is one."""

from __future__ import annotations

import re
from enum import IntEnum
from functools import lru_cache

from gitsnap.core.secrets.hints import words


class Strength(IntEnum):
    """How sure a name is: whatever it names is a secret, or only what looks random."""

    NONE = 0
    WEAK = 1
    STRONG = 2


_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_a-zA-Z]+")
# The name of a package with its version, as lock files have them.
_PACKAGE = re.compile(r"@[\^~<>=v]*\d|^@[\w.-]+/|^node_modules/")
_ALWAYS = words(
    """
    pass password passwords passwd passwort kennwort passphrase passphrases passcode passkey pwd pw psk secret
    secrets token tokens credential credentials creds authorization bearer cookie cookies salt salts dsn jwt
    requirepass masterauth storepass keypass presharedkey macaroon
    """
)
_ENDINGS = (
    *("password", "passwords", "passwd", "passwort", "passphrase", "passcode", "pwd", "secret", "secrets", "token"),
    *(
        "tokens",
        "credential",
        "credentials",
        "apikey",
        "authkey",
        "authident",
        "secretkey",
        "privatekey",
        "accesskey",
        "psk",
    ),
    *("masterkey", "signingkey", "encryptionkey", "licensekey", "presharedkey", "cookiesecret", "authpass"),
)
_WITHIN = re.compile(r"password|passwd|passphrase|(?<!el)secret(?!ar|e|ion|or)")
_SHORT = re.compile(
    r"(?:root|user|db|bind|admin|my|ldap|ftp|smtp|sql|sasl|mail|http|web|ssl|srv|auth|ssh|pg)(?:pw|pass)\d*$"
)
# What makes a key one that opens something.
_KEYS = words(
    """
    api private secret access encryption encrypt decrypt decryption signing sign signature license licence auth
    account master session app application shared server service storage deploy ssh jwt hmac crypt cipher aes des
    blowfish consumer client upgrade webhook push preshared wireguard network unseal recovery gossip admin user root
    write read security secure nonce in authentication csrf cookie token tsig product activation serial mac hash db
    database data host backup bot wep validation machine
    """
)
# What only looks like it: `host_key_path` has a tail of its own, these are keys that everybody may know.
_OPEN_KEYS = words("user db database data host hash server client")
_WEAK = words("key keys auth sig signature seed session hash pin code webhook otp nonce hmac cert login")
# A name that ends so is about a secret, and none: where it lies, how long it may be, what it is called.
_TAILS = words(
    """
    min max length len size url urls uri uris endpoint endpoints file files filename path paths dir directory folder
    type types name names policy ttl expiry expire expires expiration timeout lifetime duration interval enabled
    enable disabled disable required require count counts limit limits minutes minute seconds second hours hour days
    day age domain samesite secure httponly hashers hasher validators validator validation algorithm algorithms algo
    format prefix suffix header headers field fields column columns label title placeholder hint help description
    desc strength complexity rotation rotate reset change changed ref refs id ids provider providers backend store
    expired storage manager method methods scheme mode class encoding command cmd script version issuer audience scope
    scopes location index pattern regex at date time visible prompt error errors message text input iterations
    rounds cost generator kind from to image maps map usage used allowed supported usage budget window per rate bits
    attempts retries service module plugin page form view template controller handler middleware parser reader
    writer helper test tests example examples require policy charset options option settings config
    configuration mount query queries sql lifespan
    """
)
# A switch, or a directive of a web server: `allow_password`, `proxy_pass`.
_SWITCHES = words(
    """
    is has allow allows require requires required enable enabled disable disabled show hide skip need needs forgot
    use uses no
    """
)
_DIRECTIVES = frozenset(["proxy", "fastcgi", "uwsgi", "scgi", "grpc", "memcached"])
# What tokens are to a language model.
_PROSE = words(
    """
    max min num n total bos eos pad unk sep cls mask special input output prompt completion context stop cached
    image audio reasoning new numeric per
    """
)
_HARMLESS = frozenset(
    ["passwordless", "secretary", "secretariat", "secretion", "tokenizer", "tokenize", "tokenizers", "cookiecutter"]
)
# `pass` alone is a verb as often.
_COMPOUND = re.compile(r"by|com|tres|over|under|sur|encom|im|tres|multi|single|low|high|band")


@lru_cache(4096)
def strength(name: str) -> Strength:
    """What a key's name says of its value."""
    if _PACKAGE.search(name) or len(name) > 200:
        return Strength.NONE
    if "/" in name:
        # `//registry.example/:_authToken`; other names with a slash are paths.
        if not name.startswith("//"):
            return Strength.NONE
        name = name.rpartition(":")[2]
    if name == "_auth":
        return Strength.STRONG
    parts = [w.lower() for w in _WORD.findall(name)]
    while parts and parts[-1].isdigit():
        parts.pop()
    if not parts or parts[-1] in _TAILS:
        return Strength.NONE
    first, last = parts[0], parts[-1]
    if parts == ["enable", "password"]:
        # rspamd's, and that of routers.
        return Strength.STRONG
    if parts[-2:] in (["existing", "secret"], ["pull", "secrets"], ["pull", "secret"]):
        # Kubernetes' names of secrets.
        return Strength.NONE
    if len(parts) > 1 and (
        first in _SWITCHES
        or (first in _DIRECTIVES and last == "pass")
        or (last in ("token", "tokens") and _PROSE.intersection(parts))
    ):
        return Strength.NONE
    return _of_words(parts)


def _of_words(parts: list[str]) -> Strength:
    last = parts[-1]
    if any(map(_is_secret, parts)) and last not in _HARMLESS:
        return Strength.STRONG
    if last == "data" and len(parts) > 1:
        # A kubeconfig's `client-key-data`.
        parts = parts[:-1]
        last = parts[-1]
    if last in ("key", "keys") and len(parts) > 1:
        if "public" in parts or "primary" in parts or "foreign" in parts:
            return Strength.NONE
        return Strength.STRONG if parts[-2] in _KEYS - _OPEN_KEYS else Strength.WEAK
    if parts[-2:] in (["connection", "string"], ["auth", "ident"], ["snmp", "community"]):
        return Strength.STRONG
    return Strength.WEAK if last in _WEAK else Strength.NONE


def _is_secret(word: str) -> bool:
    if word in _ALWAYS:
        return True
    if word in _HARMLESS or (_COMPOUND.match(word) and word.endswith("pass")):
        return False
    return word.endswith(_ENDINGS) or _WITHIN.search(word) is not None or _SHORT.match(word) is not None


def is_secret_name(name: str) -> bool:
    """Whether whatever a key of this name holds is a secret."""
    return strength(name) is Strength.STRONG


@lru_cache(1024)
def is_about(name: str) -> bool:
    """Whether what stands under a secret's name by this key is only about it: its type, its file, its description."""
    parts = [w.lower() for w in _WORD.findall(name)]
    return bool(parts) and parts[-1] in _TAILS and parts[-1] not in ("id", "service", "data")


def is_connection(name: str) -> bool:
    """Whether the value is an address or a list of options of which the password alone is secret."""
    lowered = re.sub(r"[-_. ]", "", name.lower())
    return lowered.endswith(("dsn", "connectionstring", "connstr")) or "webhook" in lowered
