"""Clients of git over http(s): dulwich's, with all that git's configuration and environment say of certificates."""

from __future__ import annotations

import os
from collections.abc import Iterator

from dulwich.client import Urllib3HttpGitClient, _urlmatch_http_sections
from dulwich.config import Config

# As git has them: the variable, which comes first; the setting below http; and what urllib3 calls it. dulwich (1.2.21)
# knows sslCAInfo and sslVerify of the configuration alone.
_CERTIFICATES = (
    ("GIT_SSL_CAINFO", b"sslCAInfo", "ca_certs"),
    ("GIT_SSL_CAPATH", b"sslCAPath", "ca_cert_dir"),
    ("GIT_SSL_CERT", b"sslCert", "cert_file"),
    ("GIT_SSL_KEY", b"sslKey", "key_file"),
)


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
