"""What is a secret by its looks, whatever stands around it: keys and tokens of known kinds, hashes, addresses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from gitsnap.core.secrets.hints import words
from gitsnap.core.secrets.names import Strength, strength
from gitsnap.core.secrets.quotes import Span
from gitsnap.core.secrets.values import is_harmless, is_login, is_random

# What a form begins with or has in it, and the form. Each is bounded, and no part of it can give back what it took.
_FORMS: tuple[tuple[str, str], ...] = (
    *((p, rf"\b{p}[0-9A-Z]{{16}}\b") for p in ("AKIA", "ASIA")),
    *((p, rf"\b{p}[A-Za-z0-9]{{20,255}}+") for p in ("ghp_", "gho_", "ghu_", "ghs_", "ghr_")),
    *((p, rf"\b{p}[A-Za-z0-9_-]{{16,255}}+") for p in ("github_pat_", "glpat-", "gldt-", "glrt-", "glsa_", "hvs.")),
    *((p, rf"\b{p}[A-Za-z0-9-]{{10,255}}+") for p in ("xoxa-", "xoxb-", "xoxe-", "xoxo-", "xoxp-", "xoxr-", "xoxs-")),
    *((p, rf"\b{p}[A-Za-z0-9_-]{{16,255}}+") for p in ("xapp-", "sk-", "sk_live_", "sk_test_", "rk_live_", "whsec_")),
    *(
        (p, rf"\b{p}[A-Za-z0-9_-]{{16,255}}+")
        for p in ("npm_", "pypi-", "dckr_pat_", "dop_v1_", "shpat_", "hf_", "tskey-")
    ),
    *(
        (p, rf"\b{p}[A-Za-z0-9_-]{{16,255}}+")
        for p in ("GOCSPX-", "lin_api_", "sntrys_", "ATATT3", "NRAK-", "xkeysib-")
    ),
    *((p, rf"\b{p}[A-Za-z0-9_-]{{16,255}}+") for p in ("PMAK-", "rubygems_", "pat-na1-", "EAACEdEose0cBA", "ya29.")),
    ("AIza", r"\bAIza[A-Za-z0-9_-]{35}"),
    ("SG.", r"\bSG\.[A-Za-z0-9_-]{16,64}+\.[A-Za-z0-9_-]{16,64}+"),
    ("AGE-SECRET-KEY-", r"\bAGE-SECRET-KEY-1[A-Z0-9]{10,100}+"),
    ("eyJ", r"\beyJ[A-Za-z0-9_-]{10,600}+\.[A-Za-z0-9_-]{10,4000}+\.[A-Za-z0-9_-]{0,2000}+"),
    (":AA", r"\b\d{8,10}:AA[A-Za-z0-9_-]{33}\b"),
    ("$2", r"\$2[aby]\$\d\d\$[\w./]{1,100}+"),
    # As a compose file has them.
    ("$$2", r"\$\$2[aby]\$\$\d\d\$\$[\w./]{1,100}+"),
    *((f"$${n}$$", rf"\$\${n}\$\$[\w./=]{{1,40}}+\$\$[\w./]{{1,200}}+") for n in ("apr1", "1", "5", "6")),
    ("$apr1$", r"\$apr1\$[\w./$]{1,100}+"),
    ("$y$", r"\$y\$[\w./$]{1,200}+"),
    ("$argon2", r"\$argon2(?:id?|d)\$[\w./+=,$-]{1,300}+"),
    ("$scrypt$", r"\$scrypt\$[\w./+=,$-]{1,300}+"),
    *((f"${n}$", rf"\${n}\$[\w./=]{{1,40}}+\$[\w./]{{16,200}}+(?:\$[\w./]{{16,200}}+)?") for n in ("1", "5", "6")),
    ("$7$", r"\$7\$\d+\$[\w./+=]{4,100}+\$[\w./+=]{16,200}+"),
    ("$P$", r"\$P\$[\w./]{31}"),
    ("pbkdf2", r"\bpbkdf2[_:-]sha\d+[$:]\d+[$:][^\s\"'$:]{1,100}+[$:][\w/+=]{16,200}+"),
    # Dovecot's and LDAP's.
    (
        "}",
        r"\{(?:SSHA|SHA|SMD5|CRYPT|MD5|PBKDF2|BLF|ARGON2I?D?)\d{0,3}(?:-CRYPT|-MD5)?(?:\.\w{3,6})?\}[\w./+$=,-]{8,300}+",
    ),
    ("{PLAIN}", r"\{PLAIN\}[^\s:\"']{1,200}"),
    # rspamd's.
    ("$2$", r"\$2\$[\w./=]{1,60}+\$[\w./]{16,200}+"),
    ("'*", r"(?<=')\*[0-9A-F]{40}(?=')"),
    ("AccountKey=", r"(?<=AccountKey=)[A-Za-z0-9+/=]{10,200}+"),
    ("SharedAccessKey=", r"(?<=SharedAccessKey=)[A-Za-z0-9+/=]{10,200}+"),
)
# Most texts hold none of them: each is compiled when its beginning is met.
_compiled = cache(re.compile)
_LOGIN = re.compile(r"\bBasic\s{1,4}([A-Za-z0-9+/_-]{8,400}={0,2})", re.IGNORECASE)
# `scheme://user:password@host`: the password may hold an @ of its own.
_USERINFO = re.compile(r"://(?P<user>[^/\s:@\"'`<>|]{0,200}+):(?P<password>[^/\s\"'`<>|]{1,400})@(?=[\w\[.$({%-])")
# A token in the user's place: `https://TOKEN@host`.
_TOKEN_USER = re.compile(r"://([\w-]{16,255}+)(?=@[\w.-])")
_PARAMETER = re.compile(r"[?&;#](?P<name>[\w.-]{1,60}+)=(?P<value>[^&\s\"'`<>#|)\]}]{1,2000})")
_PARAMETERS = words(
    """
    token access_token refresh_token id_token auth_token api_token apikey api_key api-key key sig signature secret
    client_secret password passwd pass pwd auth authkey access_key x-amz-signature x-amz-security-token
    x-amz-credential x-goog-signature awsaccesskeyid code_verifier session sid jwt psk webhook_token t
    """
)
_HOOK = re.compile(
    r"://[\w.:-]{1,200}+/(?:services/(?P<slack>T[\w]{2,20}/B[\w]{2,20}/[\w]{6,60})"
    r"|(?:api/)?webhooks?/(?P<hook>(?:\d{1,30}/)?[\w-]{8,200}(?:/[\w-]{8,200})?)"
    r"|bot(?P<bot>\d{3,12}:[\w-]{6,60})"
    r"|(?:hooks|hook|use|with/key|hooks/catch|webhookb2|incoming)/(?P<use>[\w@/-]{16,300})"
    r"|(?P<ping>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})(?![\w/]))"
)


def found(line: str) -> Iterator[Span]:
    """Where in a line there is something that is a secret by its looks; what is found may overlap."""
    for hint, pattern in _FORMS:
        if hint in line:
            for match in _compiled(pattern).finditer(line):
                if not _is_word(match[0]):
                    yield match.span()
    if "asic " in line:
        yield from (m.span(1) for m in _LOGIN.finditer(line) if is_login(m[1]) or is_random(m[1]))
    if "://" in line:
        yield from _addresses(line)


def _is_word(text: str) -> bool:
    """`sk-learn-contrib-project` and the like: words alone."""
    return text[:1] not in "$*{" and re.fullmatch(r"[A-Za-z]+(?:[-_][a-z]+)*", text) is not None


def _addresses(line: str) -> Iterator[Span]:
    for match in _USERINFO.finditer(line):
        if not is_harmless(match["password"], password=True):
            yield match.span("password")
    for match in _TOKEN_USER.finditer(line):
        if is_random(match[1]) or re.fullmatch(r"[0-9a-f]{16,}", match[1]):
            yield match.span(1)
    for match in _PARAMETER.finditer(line):
        name = match["name"].lower()
        drawn = re.search(r"[A-Za-z]", match["value"]) and re.search(r"\d", match["value"]) and len(match["value"]) >= 8
        named = strength(match["name"])
        known = name in _PARAMETERS or named is Strength.STRONG or (named is Strength.WEAK and drawn)
        if known and _may_be_parameter(name, match["value"]):
            yield match.span("value")
    for match in _HOOK.finditer(line):
        group = match.lastgroup
        if (
            group
            and (group != "ping" or "ping" in line)
            and (group not in ("use",) or any(map(str.isdigit, match[group])))
        ):
            yield match.span(group)


def _may_be_parameter(name: str, value: str) -> bool:
    if is_harmless(value, password=True):
        return False
    return name not in ("t", "session", "key", "auth", "sig", "sid") or len(value) >= 6
