"""A fork of the server is what a fresh process of ours would be."""

from __future__ import annotations

import json
import os
import resource
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support import forking
from tests.support.processes import in_child

_TELL = """
import json, os, resource, signal, sys
umask = os.umask(0)
os.umask(umask)
print(json.dumps({
    "parent": os.getppid(), "umask": umask, "here": os.getcwd(), "word": os.environ.get("WORD"),
    "words": sys.argv[1:], "files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    "core": resource.getrlimit(resource.RLIMIT_CORE)[0], "open": sorted(map(int, os.listdir("/proc/self/fd")))[:-1],
    "hangup": str(signal.getsignal(signal.SIGHUP)), "interrupt": str(signal.getsignal(signal.SIGINT)),
    "tests": "tests.test_forking" in sys.modules, "blocked": len(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
}), flush=True)
os._exit(7)
"""


def _told(**more: Any) -> dict[str, Any]:
    begun = forking.Start(("--json", "list"), None, {**os.environ, "WORD": "word"}, patch=_TELL, **more)
    code, out, err = forking.raw(begun, 300)
    assert code == 7, err
    found = json.loads(out)
    assert isinstance(found, dict)
    return found


@pytest.fixture(autouse=True)
def _served() -> None:
    if not forking.serving():
        pytest.skip("there is no fork server")


def test_it_is_ours_and_has_what_we_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    umask, hangup = os.umask(0o027), signal.signal(signal.SIGHUP, signal.SIG_IGN)
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files[0] - 1, files[1]))
    try:
        found = _told(limits={resource.RLIMIT_CORE: 0})
    finally:
        os.umask(umask)
        signal.signal(signal.SIGHUP, hangup)
        resource.setrlimit(resource.RLIMIT_NOFILE, files)
    assert (found["parent"], found["umask"], found["here"]) == (os.getpid(), 0o027, str(tmp_path))
    assert (found["word"], found["words"]) == ("word", ["--json", "list"])
    assert (found["files"], found["core"], found["open"]) == (files[0] - 1, 0, [0, 1, 2])
    assert (found["hangup"], found["blocked"]) == (str(signal.SIG_IGN), 0)
    assert found["interrupt"] == str(signal.default_int_handler)
    assert _told()["hangup"] == str(signal.SIG_DFL)


def test_it_has_nothing_of_the_tests() -> None:
    assert not _told()["tests"]


def test_a_fork_of_ours_forks_for_itself() -> None:
    def work() -> tuple[bool, int, int]:
        return forking.serving(), _told()["parent"], os.getpid()

    serving, parent, child = in_child(work)
    assert not serving
    assert parent == child


def test_what_takes_too_long_is_ended() -> None:
    begun = forking.Start((), None, dict(os.environ), patch="import signal; print(1, flush=True); signal.pause()")
    with pytest.raises(TimeoutError):
        forking.raw(begun, 0.1)
