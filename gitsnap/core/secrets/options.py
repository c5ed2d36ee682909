"""Passwords in command lines whose options do not say so: `mysql -pX`, `curl -u user:X`, and what is like them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from gitsnap.core.secrets.hints import words
from gitsnap.core.secrets.quotes import Span, around, spans, word_end
from gitsnap.core.secrets.values import is_harmless

# By the option that the password follows: at once, or as a word of its own, too.
_CLIENT = re.compile(
    r"""(?<![\w.-])(?:(?P<glued>mysql\w*|mariadb[\w-]*|mycli|7z[ar]?|rar|unrar)
    |(?P<p>sshpass|mongo\w*|(?:docker|podman|nerdctl|helm)\s+(?:registry\s+)?login)
    |(?P<w>ldap(?:add|compare|delete|modify|modrdn|passwd|search|whoami))
    |(?P<a>redis-cli|valkey-cli)|(?P<P>zip|unzip|mosquitto_(?:pub|sub|rr)|ipmitool|sqlcmd|bcp)
    |(?P<pair>curl|http|https|xh)|(?P<percent>smbclient|rpcclient|net\s+rpc|smbget))(?=["']?,?\s)""",
    re.VERBOSE,
)
_OPTIONS = {
    "glued": re.compile(r"""(?<=[\s"'])-p(?=[^\s,])(?P<gap>)"""),
    **{o: re.compile(rf"""(?<=[\s"'])-{o}(?P<gap>["'],\s*["']|\s+|)""") for o in "pwa"},
    "P": re.compile(r"""(?<=[\s"'])-P(?P<gap>["'],\s*["']|\s+|)"""),
    "percent": re.compile(r"""(?<=[\s"'])-U(?P<gap>["'],\s*["']|\s+|)"""),
    "pair": re.compile(
        r"""(?<=[\s"'])(?:-[uUa]|--(?:proxy-)?user(?=[\s=])|--auth(?=[\s=]))(?P<gap>["'],\s*["']|=|\s+|)"""
    ),
}
# Those whose place alone says it: `htpasswd -b FILE USER X`, `-passin pass:X`, `echo X | tool --password-stdin`.
_ALONE = (
    ("pass:", r"""\bpass:(?P<value>[^\s"']{1,200})"""),
    ("passwd", r"""\b(?:htpasswd|mosquitto_passwd)\s+-\w*b\w*\s+(?:-\w+\s+)*+\S+\s+\S+\s+(?P<value>\S{1,200})"""),
    ("htpasswd", r"""\bhtpasswd\s+-\w*n\w*\s+(?:-\w+\s+)*+\S+\s+(?P<value>\S{1,200})"""),
    (
        "-pass",
        r"""\b(?:echo|printf)\s+(?:-n\s+)?["']?(?P<value>[^\s"'|]{1,200})["']?\s*\|[^|;&]{0,200}?"""
        r"""--?pass(?:word|phrase)?-(?:stdin|fd)""",
    ),
    (
        "chpasswd",
        r"""\b(?:echo|printf)\s+(?:-e\s+)?["']?[\w.-]{1,64}:(?P<value>[^\s"'|]{1,200}?)(?:\\n)?["']?"""
        r"""\s*\|\s*(?:sudo\s+)?chpasswd""",
    ),
    ("community", r"""\br[ow]community6?\s+(?P<value>[^\s"']{1,200})"""),
    (
        "createuser",
        r"""(?i)\bcreateUser\s+\S+\s+(?:MD5|SHA[-\d]*)\s+\S{1,200}\s+(?:AES|DES)\d*\s+["']?(?P<value>[^\s"']{1,200})""",
    ),
    ("com2sec", r"""\bcom2sec6?\s+(?:-Cn\s+\S+\s+)?\S+\s+\S+\s+["']?(?P<value>[^\s"']{1,200})"""),
    ("secure_link_md5", r"""\bsecure_link_md5\s+(?:"[^"]{0,400}?|[^"\s]*?)(?P<value>(?<=\s)[^\s"$]{1,200})"?\s*;"""),
    ("createuser", r"""(?i)\bcreateUser\s+\S+\s+(?:MD5|SHA[-\d]*)\s+["']?(?P<value>[^\s"']{1,200})"""),
    ("configure", r"""\baws\s+configure\s+set\s+\S*(?:secret|token)\S*\s+(?P<value>\S{1,200})"""),
    ("stats", r"""\bstats\s+auth\s+[^\s:]{1,64}:(?P<value>\S{1,200})"""),
    (
        "identified",
        r"""(?i)\bIDENTIFIED\s+(?:WITH\s+\S+\s+)?(?:BY|AS)\s+(?:PASSWORD\s+)?['"](?P<value>[^'"]{1,200})['"]""",
    ),
    (
        "basicauth.users",
        r"""(?i)basicauth\.users["']?\s{0,9}[=:]\s{0,9}["']?[^\s:,"']{1,64}:(?P<value>[^\s,"']{1,200})""",
    ),
    *(
        (
            f"{call}(",
            rf"""(?i){call}\(\s{{0,9}}[^,()]{{1,200}},\s{{0,9}}['"][^'"]{{0,64}}['"],\s{{0,9}}['"](?P<value>[^'"]{{1,200}})['"]""",
        )
        for call in ("pdo", "mysqli", "connect")
    ),
    ("password", r"""(?i)\bPASSWORD\s+(?:FOR\s+\S+\s+=\s+)?'(?P<value>[^']{1,200})'"""),
)
# Of a program that is not known: `-u user:X`, `--user=user:X`, and `-u user -p X`.
_UNKNOWN = re.compile(
    r"""(?<=[\s"'])(?:-u|--user(?:name)?)(?:["'],\s{0,9}["']|=|\s{1,9}["']?)(?P<user>[\w.@+-]{1,64}+)"""
    r"""(?::(?P<value>[^\s"',;|&:/$][^\s"',;|&]{0,200})"""
    r"""|["']?,?\s[^|;&]{0,80}?(?<=[\s"'])-p(?:["'],\s{0,9}["']|\s{1,9}["']?)(?P<p>[^\s"',;|&$-][^\s"',;|&]{0,200}))"""
)
# `["tool", "-p", "X"]` of one: what is drawn of all kinds of characters, and no file's name.
_ITEM = re.compile(
    r"""["']-p["'],\s{0,9}["'](?=[^"']*[a-z])(?=[^"']*[A-Z])(?=[^"']*\d)(?P<value>[^\s"'/:]{8,200})["']"""
)
# What they mean to these is a user, a group and a path.
_RUNS_AS = re.compile(
    r"""(?:^|[\s"'/])(?:docker|podman|nerdctl|kubectl|compose|chroot|su|sudo|doas|setpriv|gosu|systemd-run|install"""
    r"""|rsync|useradd|id|ps)(?=["'\s])"""
)
_GROUPS = words("root staff users wheel nogroup nobody adm docker daemon www-data")
_FILE = re.compile(r"\.[a-z]{1,5}$")
# Few lines have one of the words: each is compiled when it is met.
_compiled = cache(re.compile)
_STOP = re.compile(r"[;|]|&&")
# A variable, or a port of a container: `docker run --name mysql -p3306:3306`.
_HARMLESS = re.compile(r""""?\$(?:\{\w+\}|[A-Z_][A-Z_0-9]*)"?|\d+:\d+|""")


def found(line: str) -> Iterator[Span]:
    """Where in a line the passwords are."""
    low = line.lower()
    for hint, pattern in _ALONE:
        for match in _compiled(pattern).finditer(line) if hint in low else ():
            if not is_harmless(match["value"], password=True):
                yield match.span("value")
    yield from _unknown(line)
    client = _CLIENT.search(line)
    pairs = spans(line) if client else []
    while client:
        kind = client.lastgroup or ""
        stop = _STOP.search(line, client.end())
        end = stop.start() if stop else len(line)
        at = client.end()
        while option := _OPTIONS[kind].search(line, at, end):
            begin, at = _value(line, option, pairs, pair=kind in ("pair", "percent"))
            if not _HARMLESS.fullmatch(line, begin, at):
                yield _within(line, begin, at)
            at = max(at, option.end())
        client = _CLIENT.search(line, max(end, at))


def _unknown(line: str) -> Iterator[Span]:
    if "-u" in line:
        for match in _UNKNOWN.finditer(line):
            group = "p" if match["p"] else "value"
            value, runs = match[group] or "", _RUNS_AS.search(line, 0, match.start())
            harmless = value.isdigit() or value in (match["user"], *_GROUPS) or is_harmless(value, password=True)
            if not (runs or harmless or re.fullmatch(r"\d+:\d+", value)):
                yield match.span(group)
    if "-p" in line:
        for match in _ITEM.finditer(line):
            if not _FILE.search(match["value"]):
                yield match.span("value")


def _value(line: str, option: re.Match[str], pairs: list[Span], *, pair: bool) -> tuple[int, int]:
    """Where the option's value begins and ends; of `user:password`, the password."""
    before = line[option.start() - 1]
    quoted = around(pairs, option.start())
    within = option["gap"][-1:] if option["gap"][-1:] in ("'", '"') else before if before in "'\"" else ""
    begin = option.end()
    end = word_end(line, begin, within or (line[quoted[0]] if quoted else ""))
    if pair:
        colon = next((n for n in range(begin, end) if line[n] in ":%,"), -1)
        if colon < 0:
            return end, end
        quote = line[begin : begin + 1]
        return colon + 1, end - 1 if quote in ("'", '"') and line[colon:end].endswith(quote) else end
    return begin, end


def _within(line: str, begin: int, end: int) -> Span:
    """Without the quotes around all of it."""
    whole = end - begin > 1 and line[begin] in "'\"" and line.find(line[begin], begin + 1) == end - 1
    return (begin + 1, end - 1) if whole else (begin, end)
