"""What stops a copy from leaving: under which key a secret is told, and what is none."""

from __future__ import annotations

import json

import pytest

from gitsnap.core.secrets import leaving
from gitsnap.core.secrets.leaving import PRIVATE_KEY, WHOLE_FILE
from gitsnap.core.secrets.rules import PLAIN, Rules

PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA1x9\nqk03LmZ+/aa17\n-----END RSA PRIVATE KEY-----\n"


def keys(path: str, text: str, parsed: object = None, rules: Rules = PLAIN) -> list[str]:
    found = leaving.found(path.encode(), text, parsed, rules)
    assert not [one for one in found if one.value in one.key]
    return [one.key for one in found]


@pytest.mark.parametrize(
    ("path", "text", "wanted"),
    [
        ("db.env", "HOST=db\nDB_PASSWORD=hunter2-and-more\n", ["DB_PASSWORD"]),
        ("db.env", "export API_TOKEN='Zx81kq02Lm55PPqz'\n", ["API_TOKEN"]),
        ("app.ini", "[db]\npassword = geheim99x  ; say nothing\n", ["password"]),
        ("a.yml", "db:\n  password: 'geheim99x'\n  user: joe\n", ["password"]),
        ("a.toml", 'api_key = "Zx81kq02Lm55PPqz"\n', ["api_key"]),
        ("wp-config.php", "define( 'DB_PASSWORD', 'geheim99x' );\n", ["DB_PASSWORD"]),
        ("app.conf", "url = https://joe:geheim99x@host/x\n", ["line 1"]),
        ("a.xml", "<db>\n <password>geheim99x</password>\n</db>\n", ["password"]),
        ("id_rsa", PEM, [PRIVATE_KEY]),
        ("deep/tls.txt", "first\n" + PEM + "last\n", [PRIVATE_KEY]),
        ("db_password.txt", "geheim99x\n", [WHOLE_FILE]),
        (".netrc", "machine h login joe password geheim99x\n", ["password"]),
        ("main.py", 'PASSWORD = "geheim99xyz"\n', ["PASSWORD"]),
        ("notes.md", "token ghp_0123456789abcdefghijABCDEFGHIJ012345\n", ["token"]),
        ("x", "passwd: geheim99x\npassword: geheim99x\n", ["passwd"]),
    ],
)
def test_a_secret_is_told_by_its_key_and_once(path: str, text: str, wanted: list[str]) -> None:
    found = keys(path, text)
    assert [key.lower() if key not in wanted else key for key in found] == wanted


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("db.env", "DB_PASSWORD=${DB_PASSWORD}\nTOKEN=\nSECRET=changeme\n"),
        ("c.yml", "db:\n  password: postgres\n  password_file: /run/secrets/db\n"),
        ("main.py", 'password = ask("Password")\nlabel = "Forgot password"\n'),
        ("README.md", "Set the password to something good.\n"),
        (".gitattributes", "*.secret export-ignore filter=none\n"),
        (".gitignore", "secret: everything-of-it\n"),
        ("signing.key", "<a private key>\n"),
        ("locale/de.json", '{"password": "Kennwort eingeben"}\n'),
        ("binary", ""),
    ],
)
def test_what_is_none_stops_nobody(path: str, text: str) -> None:
    assert keys(path, text) == []


def test_data_in_one_long_line_are_read() -> None:
    data = {"fill": "x y " * 2000, "db": {"password": "geheim99x"}}
    text = json.dumps(data)
    assert keys("a.json", text) == []
    assert keys("a.json", text, data) == ["password"]


def test_what_package_managers_brought_is_passed_over_unless_its_name_says_secrets() -> None:
    for path in (b"node_modules/x/test/a.json", b"venv/lib/python3/site-packages/x.py", b"package-lock.json"):
        assert leaving.is_brought(path)
    for path in (b"node_modules/x/.env", b"vendor/x/secrets.yaml", b"vendor", b"src/node_modules.py", b"a/.netrc"):
        assert not leaving.is_brought(path)


def test_names_of_ones_own_count() -> None:
    assert keys("a.conf", "losung = geheim99x\n") == []
    assert keys("a.conf", "losung = geheim99x\n", rules=Rules(names=("losung",))) == ["losung"]


@pytest.mark.parametrize(
    ("named", "allowed"),
    [
        (b"config/db.env", True),
        (b"config/db.env:KEY", True),
        (b"config", True),
        (b"./config/", True),
        (b".", True),
        (b"config/db.env:OTHER", False),
        (b"config/db", False),
        (b"conf", False),
        (b"", True),
    ],
)
def test_a_secret_is_named_by_path_or_key(named: bytes, allowed: bool) -> None:
    if named:
        assert leaving.is_allowed(b"config/db.env", "KEY", [named]) is allowed
    assert not leaving.is_allowed(b"config/db.env", "KEY", [])
