"""Passwords in command lines whose options do not say so: `mysql -pX`, `curl -u user:X`, and what is like them."""

from __future__ import annotations

import re

from gitsnap.core.quoted_strings import Span, around, spans, word_end

# By the option that the password follows: at once, or as a word of its own, too.
_CLIENT = re.compile(
    r"""(?<![\w.-])(?:(?P<glued>mysql\w*|mariadb[\w-]*|mycli|7z[ar]?|rar|unrar)
    |(?P<p>sshpass|mongo\w*|(?:docker|podman|nerdctl|helm)\s+(?:registry\s+)?login)
    |(?P<w>ldap(?:add|compare|delete|modify|modrdn|passwd|search|whoami))
    |(?P<a>redis-cli)|(?P<P>zip|unzip)|(?P<pair>curl))(?=["']?,?\s)""",
    re.VERBOSE,
)
_OPTIONS = {
    "glued": re.compile(r"""(?<=[\s"'])-p(?=[^\s,])(?P<gap>)"""),
    **{o: re.compile(rf"""(?<=[\s"'])-{o}(?P<gap>["'],\s*["']|\s+|)""") for o in "pwaP"},
    "pair": re.compile(r"""(?<=[\s"'])(?:-[uU]|--(?:proxy-)?user(?=[\s=]))(?P<gap>["'],\s*["']|=|\s+|)"""),
}
_STOP = re.compile(r"[;|]|&&")
# A variable, or a port of a container: `docker run --name mysql -p3306:3306`.
_HARMLESS = re.compile(r""""?\$(?:\{\w+\}|[A-Z_][A-Z_0-9]*)"?|\d+:\d+|""")


def mask_options(line: str, mask: str) -> str:
    """The line with `mask` for the passwords in it."""
    client = _CLIENT.search(line)
    if client is None:
        return line
    pairs = spans(line)
    out, done = "", 0
    while client:
        kind = client.lastgroup or ""
        stop = _STOP.search(line, client.end())
        end = stop.start() if stop else len(line)
        at = client.end()
        while option := _OPTIONS[kind].search(line, at, end):
            begin, at = _value(line, option, pairs, pair=kind == "pair")
            if not _HARMLESS.fullmatch(line, begin, at):
                begin, close = _within(line, begin, at)
                out, done = out + line[done:begin] + mask, close
            at = max(at, option.end())
        client = _CLIENT.search(line, max(end, at))
    return out + line[done:]


def _value(line: str, option: re.Match[str], pairs: list[Span], *, pair: bool) -> tuple[int, int]:
    """Where the option's value begins and ends; of `user:password`, the password."""
    before = line[option.start() - 1]
    quoted = around(pairs, option.start())
    within = option["gap"][-1:] if option["gap"][-1:] in ("'", '"') else before if before in "'\"" else ""
    begin = option.end()
    end = word_end(line, begin, within or (line[quoted[0]] if quoted else ""))
    if pair:
        colon = line.find(":", begin, end)
        if colon < 0:
            return end, end
        quote = line[begin : begin + 1]
        return colon + 1, end - 1 if quote in ("'", '"') and line[colon:end].endswith(quote) else end
    return begin, end


def _within(line: str, begin: int, end: int) -> Span:
    """Without the quotes around all of it."""
    whole = end - begin > 1 and line[begin] in "'\"" and line.find(line[begin], begin + 1) == end - 1
    return (begin + 1, end - 1) if whole else (begin, end)
