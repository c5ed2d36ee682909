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


_COMMON = ("$", "xox", "gh", "_live_", "_test_", "pat", "Key=")
_KINDS: dict[str, list[str]] = {}
for _hint in FORMS:
    _KINDS.setdefault(next((c for c in _COMMON if c in _hint), _hint), []).append(_hint)


def _forms_in(text: str) -> list[str]:
    """Those of FORMS that a text has. Of most kinds it has none, and what they have in common tells."""
    return [hint for common, group in _KINDS.items() if common in text for hint in group if hint in text]


class Sieve:
    """Tells of the lines of one text. Most texts have few of the hints, and no line has others."""

    __slots__ = ("_forms", "_names", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._names: list[str] | None = None
        self._forms: list[str] | None = None

    def is_named(self, line: str) -> bool:
        """Whether a secret's name can be in a line."""
        if self._names is None:
            low = self._text.lower()
            self._names = [hint for hint in NAMES if hint in low]
        low = line.lower()
        for hint in self._names:  # noqa: SIM110 - half as quick in a generator
            if hint in low:
                return True
        return False

    def has_forms(self) -> bool:
        """Whether something that is a secret by its looks can be in the text."""
        if self._forms is None:
            self._forms = _forms_in(self._text)
        return bool(self._forms)

    def has_form(self, line: str) -> bool:
        """Whether something that is a secret by its looks can be in a line."""
        if self._forms is None:
            self._forms = _forms_in(self._text)
        for hint in self._forms:  # noqa: SIM110
            if hint in line:
                return True
        return False

    def may_hold(self, line: str) -> bool:
        """Whether there can be a secret in a line at all."""
        return self.is_named(line) or self.has_form(line)


def may_hold(text: str) -> bool:
    """Whether there can be a secret in a text at all."""
    low = text.lower()
    for hint in NAMES:
        if hint in low:
            return True
    return bool(_forms_in(text))
