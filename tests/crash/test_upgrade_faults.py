"""Faults in `run` after its command was started: whatever fails, the way back is there, and nobody says otherwise."""

from __future__ import annotations

import errno
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.crash.faults import Mode, calls, environment, gitsnap, run_with_fault, sample, why_not
from tests.support.installation import run_gitsnap

pytestmark = [pytest.mark.faults, pytest.mark.skipif(why_not() is not None, reason=str(why_not()))]

_SCRIPT = "echo bad >f0; rm f1; echo new >f9"
_KINDS = {"kill": (Mode.KILL, None), "read-only": (Mode.ERROR_FROM, errno.EROFS), "error": (Mode.ERROR, errno.EIO)}


def tree(app: Path) -> dict[str, str]:
    return {p.name: p.read_text() for p in app.iterdir() if p.is_file()}


@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize("check", ["true", "false"])
def test_every_moment_after_the_start(tmp_path: Path, kind: str, check: str) -> None:
    mode, error = _KINDS[kind]
    top = tmp_path / "top"
    (top / "app").mkdir(parents=True)
    for n in range(3):
        (top / f"app/f{n}").write_text(f"{n}\n")
    env, app = environment(top / "home"), top / "app"

    def said(*words: str) -> subprocess.CompletedProcess[str]:
        return run_gitsnap("-C", app, *words, home=top / "home", check=False)

    assert said("snapshot").returncode == 0
    seed, before = shutil.copytree(top, tmp_path / "seed", symlinks=True), tree(app)
    argv = gitsnap("-C", app, "run", "--check", check, "--", "sh", "-c", _SCRIPT)
    points = calls(argv, env, check=False)
    begun = next(n for n, call in enumerate(points) if call.path.endswith("/app/f0"))
    for point in sample(points[begun + 1 :], 4):
        shutil.rmtree(top)
        shutil.copytree(seed, top, symlinks=True)
        outcome = run_with_fault(argv, mode, point.number, error, env, must_fire=False)
        changed, told = tree(app) != before, outcome.told
        if "nothing was started" in told:
            # Not every run has as many calls before the start as the first had.
            assert (outcome.returncode, changed) == (1, False), told
            continue
        assert outcome.returncode in ((-9, 137) if mode.kills else (0, 20, 21)) or not outcome.fired, told
        assert outcome.returncode != 20 or not changed, told
        status = said("status")
        assert status.returncode in (0, 14), told + status.stderr
        both = told + status.stdout + status.stderr
        assert not changed or ("changed nothing" not in both and "nothing was changed" not in both), both
        if changed and outcome.returncode != 0:
            back = said("rollback", "-y")
            if back.returncode == 14:
                back = said("recover", "--finish")
            assert tree(app) == before, told + back.stderr
            last = said("history").stdout
            assert "reverted" in last or "rolled-back" in last, told + last
