"""Names and values beside each other; what is a translation; where a mark within quotes ends."""

from __future__ import annotations

import sys

import pytest

from gitsnap.core.keys import changes
from gitsnap.core.keys import masked as masked_change
from gitsnap.core.secrets import pairs
from gitsnap.core.secrets.hints import Sieve
from gitsnap.core.secrets.masker import DOTS, Masker
from gitsnap.core.secrets.rules import PLAIN
from tests.secrets.measure import _parsed

PAIRS = [
    ("a.json", '[{"attribute": "password", "value": "Hx-77"}]'),
    ("a.json", '{"settingName": "apiKey", "settingValue": "Hx-77"}'),
    ("a.json", '{"Key": "SecretKey",\n "Comment": "a {b} c",\n "Value":\n "Hx-77"}'),
    ("a.json", '{"name": "password", "nested": {"a": 1}, "value": "Hx-77"}'),
    ("a.json", '{"name": "password", "value": {"raw": "Hx-77"}}'),
    ("a.json", '{"name": "tokens", "values": ["Hx-77", "Hx-78"]}'),
    ("a.json", '{"header": "Authorization", "value": "Bearer Hx-77"}'),
    ("a.json", '{"args": ["tool", "-u",\n"anna:Hx-77-aa"]}'),
    ("a.yml", "- name: PASSWORD\n  options:\n    a: 1\n  value: Hx-77"),
    ("a.yml", "- name: PASSWORD\n  value: >-\n    Hx-77-kk"),
    ("a.yml", "command:\n  - tool\n  - -u\n  - anna\n  - -p\n  - Hx-77"),
    ("a.php", "['key' => 'api_key',\n 'value' => 'Hx-77'],"),
    ("a.php", "array(\n 'name' => 'token',\n 'value' => 'Hx-77')"),
    ("a.js", "{\n key: `token`,\n value: `Hx-77`\n}"),
    ("a.go", 'Config{Name: "token", Value: "Hx-77"}'),
    ("a.xml", '<entry key="password">Hx-77</entry>'),
    ("a.xml", '<param name="secret"\n  type="x">Hx-77</param>'),
    ("a.xml", '<setting name="ApiKey" serializeAs="String">\n  <value>Hx-77</value>\n</setting>'),
    ("a.xml", '<property name="password"><value><![CDATA[Hx-77]]></value></property>'),
    ("a.xml", "<env><name>API_TOKEN</name>\n<value>\nHx-77\n</value></env>"),
    ("a.html", '<input type="password" value="Hx-77">'),
    ("a.tf", 'variable "token" {\n  type = string\n  default = <<EOT\nHx-77\nEOT\n}'),
    ("a.tf", 'output "x" {\n  value = "Hx-77"\n  sensitive = true\n}'),
    ("a.tf", "db_password = <<-EOT\n  Hx-77\n  EOT"),
    ("a.tfstate", '{"outputs": {"x": {"sensitive": true, "type": "string", "value": "Hx-77"}}}'),
    ("a.toml", '[[env]]\nname = "DB_PASSWORD"\nvalue = "Hx-77"'),
    ("a.sql", "INSERT INTO settings (name, value) VALUES ('smtp_password', 'Hx-77');"),
    ("a.sql", "(12, 'mailserver_pass', 'Hx-77', 'yes'),"),
    ("pgbouncer/userlist.txt", '"shop" "Hx-77"'),
    ("dovecot/users", "anna:{PLAIN}Hx-77::"),
    ("rspamd/worker.inc", 'enable_password = "Hx-77";'),
]


def shown(name: str, text: str) -> str:
    """The lines and the values of the keys, as they may be shown."""
    parsed = _parsed(name, text)
    lines = "\n".join(Masker().lines(name.encode(), text, parsed))
    keys = changes({}, parsed) if isinstance(parsed, dict) else []
    return lines + "\n" + "\n".join(str(masked_change(c, Masker(), name.encode()).new) for c in keys)


@pytest.mark.parametrize(("name", "text"), PAIRS)
def test_the_value_beside_a_secrets_name_is_hidden(name: str, text: str) -> None:
    told = shown(name, text)
    assert DOTS in told
    assert "Hx-7" not in told


HARMLESS = [
    ("a.toml", '[[env]]\nname = "DB_PASSWORD"\nfile = "x"\n[[env]]\nname = "A"\nvalue = "debug"'),
    ("a.yml", "- id: password\n  label: x\n- id: lang\n  value: debug"),
    ("a.yml", "name: deploy-token\non: push\njobs:\n  a:\n    default: debug"),
    ("a.json", '{"key": "max_tokens", "value": "plenty"}'),
    ("a.json", '[{"name": "password"}, {"name": "lang", "value": "debug"}]'),
    ("a.xml", '<entry key="password"/><entry key="lang">debug</entry>'),
    ("a.html", '<label for="password">Password of the site</label>'),
    ("a.js", 'if (key === "token") { value = "debug" }'),
    ("a.sql", "(12, 'blogname', 'A blog', 'yes'),"),
    ("a.sh", "docker run -u app:app -p 8080:80 x && ps -u root -p 1234"),
    ("locale/fr.json", '{"login.password": "Mot de passe", "token": {"hint": "Collez le jeton"}}'),
    ("po/de.po", 'msgid "Password"\nmsgstr "Passwort eingeben"'),
    ("app/_locales/en/messages.json", '{"secret": {"message": "Your secret"}}'),
    ("res/values-de/strings.xml", '<string name="password">Passwort</string>'),
]


@pytest.mark.parametrize(("name", "text"), HARMLESS)
def test_what_is_beside_no_secret_stays(name: str, text: str) -> None:
    assert DOTS not in shown(name, text)


@pytest.mark.parametrize("name", ["locales/de.json", "de.json"])
def test_a_password_in_a_translation_is_hidden_where_it_looks_like_one(name: str) -> None:
    assert "hunter2" not in shown(name, '{"password": "hunter2", "token": "x"}')


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sh -c 'echo \"bad token=hunter2\"; exit 3'", "sh -c 'echo \"bad token=••••\"; exit 3'"),
        ("sh -c 'echo \"a token=hunter2\" >&2; exit 3'", "sh -c 'echo \"a token=••••\" >&2; exit 3'"),
        ("bash -c \"echo 'token=hunter2'; exit 3\"", "bash -c \"echo 'token=••••'; exit 3\""),
        ('sh -c "echo token=hunter2; exit 3"', 'sh -c "echo token=••••; exit 3"'),
        ("tool --user=anna:hunter2 run", "tool --user=anna:•••• run"),
        ("tool -u anna -p hunter2 run", "tool -u anna -p •••• run"),
    ],
)
def test_a_mark_ends_where_the_value_does(text: str, told: str) -> None:
    assert Masker().text(text) == told


def test_many_pairs_and_many_brackets_take_linear_time() -> None:
    def taken(lines: list[str]) -> int:
        """How many calls it takes."""
        calls = 0

        def count(*_: object) -> None:
            nonlocal calls
            calls += 1

        before = sys.getprofile()
        sys.setprofile(count)
        try:
            pairs.found(lines, PLAIN, Sieve("\n".join(lines)))
        finally:
            sys.setprofile(before)
        return calls

    for text in ('{"name": "password", "value": "x1"},', "[{(", '<a name="token"', "- - k: password"):
        small, large = taken([text] * 2_000), taken([text] * 8_000)
        assert large < 5 * small + 1_000
