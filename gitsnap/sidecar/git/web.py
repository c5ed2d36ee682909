"""Clients of git over http(s): dulwich's, with all that git's configuration and environment say of certificates; and
how far they reach. Beyond that stock git goes (docs/adr/0150)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping

from dulwich.client import Urllib3HttpGitClient, _urlmatch_http_sections
from dulwich.config import Config, ConfigFile, StackedConfig
from dulwich.errors import GitProtocolError

# As git has them: the variable, which comes first; the setting below http; and what urllib3 calls it. dulwich (1.2.21)
# knows sslCAInfo and sslVerify of the configuration alone.
_CERTIFICATES = (
    ("GIT_SSL_CAINFO", b"sslCAInfo", "ca_certs"),
    ("GIT_SSL_CAPATH", b"sslCAPath", "ca_cert_dir"),
    ("GIT_SSL_CERT", b"sslCert", "cert_file"),
    ("GIT_SSL_KEY", b"sslKey", "key_file"),
)

# Settings below http (git-config(1)) that dulwich follows, or that change nothing about whether one gets there.
_FOLLOWED = {"proxy", "useragent", "sslverify", "extraheader", *(n.decode().lower() for _, n, _ in _CERTIFICATES)}
_HARMLESS = {"postbuffer", "maxrequests", "minsessions", "version", "lowspeedlimit", "lowspeedtime", "noepsv", "ssltry"}
_HARMLESS |= {"savecookies", "proactiveauth", "keepaliveidle", "keepaliveinterval", "keepalivecount"}
# Of servers.
_HARMLESS |= {"receivepack", "uploadpack", "getanyfile"}
_BEYOND = re.compile(r"GIT_(?:PROXY_SSL_\w+|HTTP_PROXY_AUTHMETHOD|SSL_(?:CIPHER_LIST|VERSION|CERT_PASSWORD_PROTECTED))")
_PROXIES = ("https_proxy", "http_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY")
_PLAIN_PROXY = re.compile(r"https?://[^@/]+/?")
# Words of dulwich (1.2.21) where an answer is not what it expects. What a server says for itself is not among them,
# and neither is a status by which it refuses; it asks for a request in another form by these.
_STUMBLED = re.compile(
    r"unexpected (?:number of packets|first line)|unknown (?:Git protocol|command)|bad Git protocol|[Ii]nvalid "
    r"|Redirected |received more data|Expected command|unexpected http resp (?:400|411|415|501) "
)
_SCHEMES = re.compile(r"(?:^|,\s*)([A-Za-z][A-Za-z0-9-]*)(?=\s|,|$)")


def beyond(base: str, config: StackedConfig, environment: Mapping[str, str]) -> str:
    """What of the user's settings for a URL dulwich's client does not follow; empty for nothing."""
    for variable in sorted(environment):
        if _BEYOND.fullmatch(variable):
            return f"{variable} is set"
    proxies = {environment[name] for name in _PROXIES if environment.get(name)}
    for name, value in _settings(base, config):
        if name not in _FOLLOWED and name not in _HARMLESS:
            return f"http.{name} is set"
        if name == "extraheader" and ": " not in value:
            return "http.extraHeader is taken back"
        if name == "proxy":
            proxies.add(value)
    # Which of several counts, and for whom none does, libraries see in their own ways.
    excepted = environment.get("no_proxy") or environment.get("NO_PROXY")
    if len(proxies) > 1 or (proxies and excepted) or not all(map(_PLAIN_PROXY.fullmatch, proxies)):
        return "there is a proxy on the way"
    return ""


def _settings(base: str, config: StackedConfig) -> Iterator[tuple[str, str]]:
    for each in config.backends:
        assert isinstance(each, ConfigFile)
        for section in _urlmatch_http_sections(each, base):
            for name, value in each.items(section):
                yield name.decode("ascii", "replace").lower(), os.fsdecode(value)


def other_ways(asked: str | None) -> str:
    """Why git may know the word that a server asks for (`WWW-Authenticate`) and dulwich not; empty where that is a
    password."""
    schemes = {found.lower() for found in _SCHEMES.findall(asked or "")}
    return f"it asks for {asked.split()[0]}" if asked and schemes and "basic" not in schemes else ""


def stumbled(error: BaseException) -> bool:
    """Whether dulwich has not understood the other side, which has refused nothing, and was there."""
    from urllib3.exceptions import HTTPError

    if any(isinstance(cause, (OSError, HTTPError)) for cause in _causes(error)):
        return False
    if isinstance(error, GitProtocolError):
        return type(error) is GitProtocolError and bool(_STUMBLED.match(str(error)))
    return isinstance(error, (AssertionError, ValueError))


def client(
    base: str, config: Config, patience: float, username: str | None = None, password: str | None = None
) -> Urllib3HttpGitClient:
    """A client for the repository at `base`, which waits `patience` seconds for the other side at most."""
    made = Urllib3HttpGitClient(base, config=config, timeout=patience, username=username, password=password)
    made.pool_manager.connection_pool_kw.update(_certificates(base, config))
    return made


def _certificates(base: str, config: Config) -> dict[str, str]:
    found = {}
    for variable, setting, name in _CERTIFICATES:
        value = os.environ.get(variable)
        for section in _urlmatch_http_sections(config, base) if value is None else ():
            try:
                value = os.path.expanduser(os.fsdecode(config.get(section, setting)))
            except KeyError:
                continue
        if value:
            found[name] = value
    if "GIT_SSL_NO_VERIFY" in os.environ:
        found["cert_reqs"] = "CERT_NONE"
    return found


def why(error: BaseException) -> str:
    """What has gone wrong at the bottom of it, without the words of libraries on the way; empty where none tells."""
    for cause in _causes(error):
        words = getattr(cause, "verify_message", None)
        if words:
            return f"its certificate is not trusted: {words}"
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
    return ""


def ran_out_of_time(error: BaseException) -> bool:
    """Whether the other side has not answered in time."""
    from urllib3.exceptions import NewConnectionError
    from urllib3.exceptions import TimeoutError as NoAnswer

    causes = [cause for cause in _causes(error) if not isinstance(cause, NewConnectionError)]
    return any(isinstance(cause, (NoAnswer, TimeoutError)) for cause in causes)


def _causes(error: BaseException) -> Iterator[BaseException]:
    at: object = error
    for _ in range(10):
        if not isinstance(at, BaseException):
            return
        yield at
        within = (getattr(at, "reason", None), *at.args[:1])
        at = next((each for each in within if isinstance(each, BaseException)), at.__cause__)
