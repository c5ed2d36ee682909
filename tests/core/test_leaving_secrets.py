"""What stops a copy from leaving: under which key a secret is told, and what is none."""

from __future__ import annotations

import json
import sys

import pytest

from gitsnap.core.secrets import outgoing
from gitsnap.core.secrets.outgoing import PRIVATE_KEY, WHOLE_FILE
from gitsnap.core.secrets.rules import PLAIN, Rules

PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA1x9\nqk03LmZ+/aa17\n-----END RSA PRIVATE KEY-----\n"


def keys(path: str, text: str, parsed: object = None, rules: Rules = PLAIN) -> list[str]:
    found = outgoing.found(path.encode(), text, parsed, rules)
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
        assert outgoing.is_brought(path)
    for path in (b"node_modules/x/.env", b"vendor/x/secrets.yaml", b"vendor", b"src/node_modules.py", b"a/.netrc"):
        assert not outgoing.is_brought(path)


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
        assert outgoing.is_allowed(b"config/db.env", "KEY", [named]) is allowed
    assert not outgoing.is_allowed(b"config/db.env", "KEY", [])


_TREES = (
    (b"drivers/hash.c", "\t.copy_hash = omap_sham_copy_hash_omap2,\n\tsess->key_fn = aes128_set_key_v2;\n"),
    (b"drivers/udc.c", "\tudc.vbus_session = s3c2410_udc_vbus_session;\n#define KEY_REG_2 0x0001f000u\n"),
    (b"boot/dts/board.dts", '\tkeys { linux,code = <KEY_F12>; label = "ac98:key"; hook-gpios = <&gpio1 27 0>; };\n'),
    (b"boot/dts/soc.dtsi", "\tpinctrl-0 = <&uart2_pins_a1>;\n\tauth-reg = <0x12345678 0xabcdef01>;\n"),
    (b"kernel/vdso.lds", "\t.hash\t\t: { *(.gnu.hash2) }\n\tkey_table_2 = aesni_key_table_x86_64;\n"),
    (b"crypto/aes.S", "\t.set key_len_256, rk_round_key_x14\n\tkeyp = aes_ctx_key_ptr_64\n"),
)


@pytest.mark.parametrize(("path", "text"), _TREES, ids=[path.decode() for path, _ in _TREES])
def test_what_is_code_in_a_source_tree_is_no_secret(path: bytes, text: str) -> None:
    assert keys(path.decode(), text) == []


_WITHIN = (
    (b"a.c", '\tconst char *api_key = "Zx81kTq9Lm02";\n', "Zx81kTq9Lm02"),
    (b"a.c", " * see https://me:Zx81kTq9Lm02@host.example/x\n", "Zx81kTq9Lm02"),
    (b"a.c", " * curl -u me:Zx81kTq9Lm02 host\n", "Zx81kTq9Lm02"),
    (b"a.h", "/* token ghp_0123456789abcdefABCDEF0123456789abcd */\n", "ghp_0123456789abcdefABCDEF0123456789abcd"),
    (b"a.S", "# Authorization: Basic bWU6Wng4MWtUcTlMbTAy\n", "bWU6Wng4MWtUcTlMbTAy"),
    (b"a.dts", '\tpassword = "Zx81kTq9Lm02";\n', "Zx81kTq9Lm02"),
    (b"a.js", "const env = `\nAPI_KEY=Zx81kTq9Lm02\n`\n", "Zx81kTq9Lm02"),
    (b"a.php", "<name>api_token</name><value>Zx81kTq9Lm02</value>\n", "Zx81kTq9Lm02"),
)


@pytest.mark.parametrize(("path", "text", "value"), _WITHIN, ids=[text[:20] for _, text, _ in _WITHIN])
def test_what_is_a_secret_in_a_program_is_found_wherever_it_stands(path: bytes, text: str, value: str) -> None:
    before = "static int x2_key(struct a_1234567 *p)\n" * 50
    assert [one.value for one in outgoing.found(path, before + text + before, None, PLAIN)] == [value]


def test_lines_that_can_hold_none_are_not_read_one_by_one() -> None:
    text = "\tregmap_write(dev->map2, KEY_CTRL_REG_0x12, auth_code_v2 | 0x0001f000);\n" * 5_000
    calls = 0

    def count(_: object, event: str, __: object) -> None:
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        assert keys("a.c", text) == []
    finally:
        sys.setprofile(before)
    assert calls < 500
