"""What is hidden in lines of text, and what is not."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from gitsnap.core.keys import ABSENT, changes
from gitsnap.core.keys import masked as masked_change
from gitsnap.core.secrets import lines as engine
from gitsnap.core.secrets.masker import DOTS, Masker, Unmaskable, written
from gitsnap.ops.compare import masking, structured
from tests.support.examples import examples


def masked(path: bytes, old: bytes, new: bytes) -> tuple[list[str], list[str]]:
    return masking.short(path, old, new, Masker())


HIDDEN = [
    ("app.yaml", "password: hunter2"),
    ("app.yaml", "  api key: hunter2"),
    ("app.yaml", "- token: 'hunter2'"),
    ("app.yaml", "password:\n  hunter2"),
    ("app.yaml", "tokens:\n- hunter2\n- x"),
    ("app.yaml", "secret: |\n  hunter2\n\n  hunter2"),
    ("app.yaml", "password: >-\n  correct\n  hunter2"),
    ("app.yaml", "credentials:\n  user: hunter2\n  nested:\n    deep: hunter2"),
    ("app.yaml", "env:\n- name: DB_PASSWORD\n  value: hunter2"),
    ("app.yaml", "url: http://admin:hunter2@db/x"),
    ("app.json", '{"password": "hunter2", "port": 80}'),
    ("app.json", '{"a": 1,\n  "credentials": {\n    "user": "hunter2"\n  }\n}'),
    ("app.json", '{"credentials": {"a": ["hunter2"]}}'),
    ("app.json", '{"pin_token": 987123,\n "b": "987123"}'),
    ("app.json", '{"list": [{"id": "api_token", "value": "hunter2"}]}'),
    ("app.toml", '[auth.tokens]\na = "hunter2"'),
    ("app.toml", 'password = """\nhunter2\n"""\nport = 1'),
    ("app.ini", "[db]\npassword = hunter2"),
    ("app.ini", "[credentials]\nanything = hunter2"),
    (".env", "export DB_PASSWORD=hunter2"),
    (".env", "API_KEY='hunter2'"),
    ("app.properties", "spring.datasource.password=hunter2"),
    ("redis.conf", "requirepass hunter2"),
    ("redis.conf", "# requirepass=hunter2"),
    (".netrc", "machine x login y password hunter2"),
    ("web.xml", "<password>hunter2</password>"),
    ("web.config", '<add key="ApiToken" value="hunter2"/>'),
    ("web.xml", "<password>\n  hunter2\n</password>"),
    ("web.xml", "<password>\n  <![CDATA[hunter2]]>\n</password>"),
    ("web.xml", "<server><password><![CDATA[hunter2]]></password></server>"),
    ("web.xml", "<privateKey>abc\nhunter2</privateKey>"),
    ("web.xml", "<credentials>\n  <user>bob</user>\n  <password>hunter2</password>\n</credentials>"),
    ("app.plist", "<key>password</key>\n<string>hunter2</string>"),
    ("compose.yaml", '- "traefik.http.middlewares.a.basicauth.users=admin:hunter2"'),
    ("compose.yaml", "- users=admin:$$2y$$05$$hunter2abcdefghijk"),
    ("compose.yaml", "- users=admin:$$apr1$$abcd$$hunter2/x"),
    ("config.php", "$db = new PDO('mysql:host=db1', 'root', 'hunter2');"),
    ("config.php", "$db = mysqli_connect('db1', 'root', 'hunter2');"),
    (".yarnrc.yml", "npmAuthIdent: bob:hunter2"),
    ("flows_cred.json", '{"$": "hunter2"}'),
    ("settings.js", "    credentialSecret: 'hunter2',"),
    ("settings.py", 'SECRET_KEY = "hunter2"'),
    ("wp-config.php", "define('DB_PASSWORD', 'hunter2');"),
    ("run.sh", "mysql --password=hunter2 shop"),
    ("run.sh", "mysql --password hunter2 shop"),
    ("notes.md", "The token: `hunter2`"),
    ("any.txt", "key AKIAHUNTER2HUNTER22X"),
    ("key.pem", "-----BEGIN RSA PRIVATE KEY-----\nhunter2hunter2\n-----END RSA PRIVATE KEY-----\nafter"),
    ("app.json", '{"tls": "-----BEGIN PRIVATE KEY-----\\nhunter2\\n-----END PRIVATE KEY-----"}'),
]


@pytest.mark.parametrize(("name", "text"), HIDDEN)
def test_hidden(name: str, text: str) -> None:
    old, new = masked(name.encode(), text.encode(), (text + "\nmore: 1\n").encode())
    for lines in (old, new):
        shown = "\n".join(lines)
        assert DOTS in shown
        assert not any(s in shown.lower() for s in ("hunter2", "987123")), shown
    assert len(old) == text.count("\n") + 1


# The value, and nothing else in its place: what is harmless before and after it stays.
EXACT = [
    ("a.sh", 'curl -H "Authorization: Bearer hunter2" https://x', 'curl -H "Authorization: Bearer ••••" https://x'),
    ("a.sh", "curl -H 'X-Auth-Token: hunter2' https://x", "curl -H 'X-Auth-Token: ••••' https://x"),
    (
        "a.sh",
        "wget --header='Cookie: a=hunter2 b=hunter2' --header=\"X-Api-Key: hunter2\" https://x",
        "wget --header='Cookie: ••••' --header=\"X-Api-Key: ••••\" https://x",
    ),
    ("a.sh", "curl -H 'Authorization: Basic '\"hunter2\" https://x", "curl -H 'Authorization: •••• https://x"),
    ("a.sh", 'curl -d \'{"password": "hunter2"}\' https://x', 'curl -d \'{"password": "••••"}\' https://x'),
    (
        "a.sh",
        r'curl -d "{\"password\": \"hunter2\", \"a\": 1}" https://x',
        r'curl -d "{\"password\": \"••••\", \"a\": 1}" https://x',
    ),
    ("a.sh", 'curl "https://x/?token=hunter2" -o out', 'curl "https://x/?token=••••" -o out'),
    ("a.sh", "psql --password=hunter2 --host db1", "psql --password=•••• --host db1"),
    ("a.sh", "psql --password hunter2 --host db1", "psql --password •••• --host db1"),
    ("a.yaml", 'args: "psql --password hunter2 --host db1"', 'args: "psql --password •••• --host db1"'),
    ("a.sh", "ssh db1 'psql --password=hunter2 shop' && ok", "ssh db1 'psql --password=•••• shop' && ok"),
    ("a.yaml", '- "Authorization: Bearer hunter2" # why', '- "Authorization: Bearer ••••" # why'),
    ("a.exp", 'send "password:" hunter2', 'send "password:" ••••'),
    ("a.conf", '-H "Authorization: Bearer hunter2', '-H "Authorization: Bearer ••••'),
    ("a.php", 'array("Authorization: Bearer hunter2", "X: y")', 'array("Authorization: Bearer ••••", "X: y")'),
    ("a.cs", 'c = "Server=a;Password=hunter2";', 'c = "Server=a;Password=••••";'),
    ("a.py", 'run("psql --password hunter2 shop")', 'run("psql --password •••• shop")'),
    ("README.md", '    curl -H "X-Auth-Token: hunter2" https://x', '    curl -H "X-Auth-Token: ••••" https://x'),
    ("a.js", 'f(/"/); password = "hunter2"', 'f(/"/); password = "••••"'),
    ("a.sh", "pwd=hunter2", "pwd=••••"),
    ("a.conf", "UID=sa;PWD=hunter2", "UID=sa;PWD=••••"),
    ("a.php", '$pw = "hunter2";', '$pw = "••••";'),
    ("a.ps1", '$pw = "hunter2"; Start-X', '$pw = "••••"; Start-X'),
    ("a.pl", "my $dbPw = 'hunter2';", "my $dbPw = '••••';"),
    ("slapd.conf", "rootpw hunter2", "rootpw ••••"),
    ("a.sh", "mysql -uroot -phunter2 shop", "mysql -uroot -p•••• shop"),
    ("a.sh", "ssh db1 'mysqldump -p\"hunter2 x\" shop' > out", "ssh db1 'mysqldump -p\"••••\" shop' > out"),
    ("nginx.conf", "set $auth_token hunter2;", "set $auth_token ••••;"),
    ("a.conf", '"db password" hunter2', '"db password" ••••'),
    ("a.sh", "tool --auth-token Bearer hunter2 db1", "tool --auth-token Bearer •••• db1"),
    ("a.ini", "--auth-token = hunter2 x hunter2", "--auth-token = ••••"),
    ("a.sh", "don't 'x --password 'hunter2 hunter2' db1", "don't 'x --password '••••' db1"),
    ("a.js", "f('api key: `hunter2`')", "f('api key: `••••`')"),
    ("a.sh", "sshpass -p hunter2 ssh db1", "sshpass -p •••• ssh db1"),
    ("a.yaml", 'command: ["sshpass", "-p", "hunter2", "ssh"]', 'command: ["sshpass", "-p", "••••", "ssh"]'),
    ("a.sh", 'curl -u "admin:hunter2" https://x', 'curl -u "admin:••••" https://x'),
    ("a.sh", "docker login -u me -p hunter2 db1", "docker login -u me -p •••• db1"),
    ("a.sh", "redis-cli -a hunter2 ping; ls -a x", "redis-cli -a •••• ping; ls -a x"),
    (".htpasswd", "admin:$apr1$hunter2$abc", "admin:••••"),
    (".htpasswd", "admin:hunter2crypt", "admin:••••"),
    (".pgpass", "db1:5432:shop:me:hunter2", "db1:5432:shop:me:••••"),
    ("users.txt", "admin:$apr1$hunter2$abc", "admin:••••"),
    ("users.txt", "admin:$6$hunter2$hunter2hunter2hunter2:1:2", "admin:••••:1:2"),
    ("users.txt", "a:$argon2id$v=19$m=65536,t=3,p=4$hunter2$hunter2 x", "a:•••• x"),
    ("users.txt", "admin: {SSHA}hunter2hunter2", "admin: ••••"),
]


@pytest.mark.parametrize(("name", "line", "shown"), EXACT)
def test_the_value_is_hidden_and_nothing_else(name: str, line: str, shown: str) -> None:
    assert masked(name.encode(), line.encode(), b"")[0] == [shown]


HARMLESS = [
    ("a.sh", 'cd "$(pwd)" && ls -la'),
    ("a.sh", "pwd=$(pwd)"),
    ("a.sh", "docker run -v $PWD:/app image"),
    (".env", "PWD=/srv/app"),
    ("a.sh", "mysql -p shop"),
    ("a.sh", 'mysql -p"$PASS" shop'),
    ("a.sh", "docker run --name mysql -p3306:3306 image"),
    ("a.sh", "psql --password --host db1"),
    ("a.sh", 'echo "bad password" >&2'),
    ("a.sh", 'sed "s/x/$1$2/"'),
    ("a.js", 'h = "Authorization: Bearer " + token + " x";'),
    ("a.js", "h = `Authorization: Bearer ${token}`"),
    ("a.js", 'error("password: too short")'),
]


@pytest.mark.parametrize(("name", "line"), HARMLESS)
def test_what_is_plainly_harmless_is_shown(name: str, line: str) -> None:
    assert masked(name.encode(), line.encode(), b"")[0] == [line]


@pytest.mark.parametrize(
    "line",
    [
        "password: " + "&a" * 26 + " x",
        "password: x" + " " * 40_000 + "y",
        *(
            unit * (1_000_000 // len(unit))
            for unit in ("token=", "mysql -pa ", "'token: ", '\\"', "curl -u a:", "-eyJa.")
        ),
    ],
    ids=lambda line: line[:20],
)
@pytest.mark.parametrize("name", ["a.sh", "a.js", "a.yaml"])
def test_no_line_takes_long(name: str, line: str) -> None:
    begun = time.process_time()
    engine.found(name.encode(), [line])
    assert time.process_time() - begun < 0.5


def test_a_command_line_and_its_end() -> None:
    assert Masker().text("sh up.sh --db-password hunter2 --host db1") == "sh up.sh --db-password •••• --host db1"
    assert (
        Masker().text("sh -c 'curl -H \"Authorization: Bearer hunter2\" x; mysql -phunter2 y'")
        == "sh -c 'curl -H \"Authorization: Bearer ••••\" x; mysql -p•••• y'"
    )
    assert Masker().text("x " * 3_000) == "x " * 2_000 + "…"


SHOWN = [
    ("app.yaml", "password: x\nhost: db1"),
    ("app.yaml", "db:\n  password: x\n  host: db1"),
    ("app.yaml", "- password: x\n  host: db1"),
    ("app.json", '{\n "credentials": {\n  "a": "x"\n },\n "host": "db1"\n}'),
    ("app.json", '{"password": "x", "host": "db1"}'),
    ("app.ini", "[tokens]\na = 1\n[db]\nhost = db1"),
    ("app.toml", 'password = """\nx\n"""\nhost = "db1"'),
    ("key.pem", "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\ndb1"),
    ("app.js", "const token = parser.next('x'); db1()\ndb1"),
    ("app.py", "for token in tokens: db1(token)"),
    ("README.md", "Tokens are kept in db1."),
    ("web.xml", "<password>\n  x1y2z3\n</password>\n<host>db1</host>"),
    ("web.xml", "<credentials>\n  <host>db1</host>\n</credentials>"),
    ("web.xml", "<secrets>\n</secrets>\n<host>\ndb1\n</host>"),
    ("app.plist", "<key>password</key>\n<string>x1y2z3</string>\n<key>host</key>\n<string>db1</string>"),
    ("config.php", "$db = new PDO('mysql:host=db1', $user, $password);"),
]


@pytest.mark.parametrize(("name", "text"), SHOWN)
def test_the_rest_is_shown(name: str, text: str) -> None:
    assert "db1" in "\n".join(masked(name.encode(), text.encode(), b"")[0])


def test_a_secret_of_the_other_version_is_hidden_too() -> None:
    old, new = masked(b"a.json", b'{"token": "hunter2hunter2"}', b'{"comment": "was hunter2hunter2"}')
    assert "hunter2" not in "\n".join(old + new)


def test_short_values_hide_only_themselves() -> None:
    old, _ = masked(b"a.yaml", b"- name: token\n  value: 80\n- name: port\n  port: 8080\n", b"")
    assert old == ["- name: token", f"  value: {DOTS}", "- name: port", "  port: 8080"]


def test_what_cannot_be_found_in_the_lines_is_not_shown_at_all() -> None:
    with pytest.raises(Unmaskable):
        masked(b"a.json", b'{"a": [{"name": "token", "value": "\\u0068unter2hunter2"}]}', b"{}")
    assert written('"hunter2 é"', "hunter2 é") == {"hunter2 é"}


def test_a_long_line_is_cut_without_half_a_secret() -> None:
    line = "x" * 10 + " " + "y " * 1990 + "ghp_" + "hunter2" * 50
    shown = masked(b"a.txt", line.encode(), b"")[0][0]
    assert "hunter2" not in shown
    assert shown.endswith(f" … {len(line) - 300:,} more characters")


@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=40), max_size=12),
    st.sampled_from(["json", "yaml", "ini", "toml", "py", "env", "xml", "md"]),
)
def test_lines_stay_lines(lines: list[str], suffix: str) -> None:
    assert len(Masker().lines(f"a.{suffix}".encode(), "".join(f"{line}\n" for line in lines))) == len(lines)


NAMES = st.sampled_from(["password", "tokens", "credentials", "port", "host", "name", "id", "api key", "value", "list"])
# Each @ becomes a number that occurs nowhere else.
VALUES = st.sampled_from(
    [
        "v@",
        'a "@" \\ é\nline @\n',
        " ".join(["word @"] * 9),
        "https://shop:@@db/",
        "it's @ # no: comment",
        "- @",
        "API_TOKEN",
        0,
    ]
)
DATA = st.recursive(VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4))
STYLES: dict[str, Callable[[Any], str]] = {
    "json": json.dumps,
    "pretty.json": lambda data: json.dumps(data, indent=2, ensure_ascii=False),
    "yaml": lambda data: yaml.safe_dump(data, allow_unicode=True),
    "wide.yaml": lambda data: yaml.safe_dump(data, default_flow_style=True, width=40),
    "quoted.yaml": lambda data: yaml.safe_dump(data, default_style='"', width=60),
    "blocks.yaml": lambda data: yaml.safe_dump(data, default_style="|"),
}


def numbered(data: Any, numbers: Iterator[int]) -> Any:
    if isinstance(data, dict):
        return {key: numbered(value, numbers) for key, value in data.items()}
    if isinstance(data, list):
        return [numbered(value, numbers) for value in data]
    if isinstance(data, str):
        return re.sub("@(?!db)", lambda _: str(next(numbers)), data)
    return next(numbers)


@examples(150)
@given(st.dictionaries(NAMES, DATA, max_size=4), st.dictionaries(NAMES, DATA, max_size=4), st.sampled_from([*STYLES]))
@example(old={"value": "v@"}, new={"name": "API_TOKEN", "value": "v@"}, style="json")
@example(old={"password": "v@", "value": "v@"}, new={"name": "API_TOKEN", "value": "v@"}, style="json")
def test_no_line_shows_what_the_changelog_hides(old: Any, new: Any, style: str) -> None:
    numbers = count(1_234_567)
    sides = [STYLES[style](numbered(data, numbers)).encode() for data in (old, new)]
    try:
        shown = masked(style.encode(), *sides)
    except Unmaskable:
        return
    assert [len(lines) for lines in shown] == [side.count(b"\n") + (not side.endswith(b"\n")) for side in sides]
    text = "\n".join(line for lines in shown for line in lines)
    for change in changes(*(structured.parse(style.encode(), side) for side in sides)):
        # What of a value the changelog does not show is nowhere in the lines.
        shown = masked_change(change, Masker())
        for side in ("old", "new"):
            whole, kept = (
                json.dumps(v if v is not ABSENT else None) for v in (getattr(change, side), getattr(shown, side))
            )
            for number in set(re.findall(r"\d{7,}", whole)) - set(re.findall(r"\d{7,}", kept)):
                assert number not in text, (change, text)
