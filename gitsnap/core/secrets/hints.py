"""What every secret has near it or in it: to look for these is far quicker than to read a text for secrets.

Loads nothing, so that a command that shows no secret pays nothing.
"""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    """The words of a text, as a set to look in."""
    return frozenset(text.split())


# In small letters: one of these stands before every secret that is known by a name or an option.
NAMES = (
    *("pass", "pw", "psk", "secret", "token", "cred", "auth", "bearer", "cookie", "salt", "dsn", "key", "jwt", "pin"),
    *("code", "hook", "otp", "seed", "sig", "macaroon", "connection", "cert", "login", "kennwort", "session", "nonce"),
    *(
        "private key",
        "user ",
        "identified",
        "hash",
        "hmac",
        "community",
        "createuser",
        "com2sec",
        "secure_link",
        "pdo(",
        "mysqli(",
        "connect(",
        "--user",
        " -p",
        " -u",
        " -a",
        " -w",
        " -k",
    ),
    *(quote + option for quote in "\"'" for option in ("-p", "-u", "-a", "-w", "-k")),
)
# What the forms of keys, tokens and hashes begin with or have in them.
FORMS = (
    *(
        "AKIA",
        "ASIA",
        "ghp_",
        "gho_",
        "ghu_",
        "ghs_",
        "ghr_",
        "github_pat_",
        "glpat-",
        "gldt-",
        "glrt-",
        "glsa_",
        "hvs.",
    ),
    *(
        "xoxa-",
        "xoxb-",
        "xoxe-",
        "xoxo-",
        "xoxp-",
        "xoxr-",
        "xoxs-",
        "xapp-",
        "sk-",
        "sk_live_",
        "sk_test_",
        "rk_live_",
    ),
    *("whsec_", "npm_", "pypi-", "dckr_pat_", "dop_v1_", "shpat_", "hf_", "tskey-", "GOCSPX-", "lin_api_", "sntrys_"),
    *("ATATT3", "NRAK-", "xkeysib-", "PMAK-", "rubygems_", "pat-na1-", "EAACEdEose0cBA", "ya29.", "AIza", "SG."),
    *(
        "AGE-SECRET-KEY-",
        "eyJ",
        ":AA",
        "$2",
        "$apr1$",
        "$$1$$",
        "$$5$$",
        "$$6$$",
        "$y$",
        "$argon2",
        "$scrypt$",
        "$1$",
        "$5$",
        "$6$",
        "$P$",
        "$7$",
        "pbkdf2",
    ),
    *("}", "'*", "AccountKey=", "SharedAccessKey=", "://", "asic "),
)


def is_named(line: str) -> bool:
    """Whether a secret's name can be in a line."""
    low = line.lower()
    return any(hint in low for hint in NAMES)


def has_form(text: str) -> bool:
    """Whether something that is a secret by its looks can be in a text."""
    return any(hint in text for hint in FORMS)


def may_hold(text: str) -> bool:
    """Whether there can be a secret in a text at all."""
    return has_form(text) or is_named(text)
