"""gitsnap killed at every moment of an upgrade that waits: `recover` ends with what was decided, and one outcome."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.crash.faults import Mode, calls, environment, gitsnap, run_with_fault, sample, why_not
from tests.support.installation import run_gitsnap

pytestmark = [pytest.mark.faults, pytest.mark.skipif(why_not() is not None, reason=str(why_not()))]

_SCRIPT = "echo bad >f0; rm f1; echo new >f9"


def tree(app: Path) -> dict[str, str]:
    return {p.name: p.read_text() for p in app.iterdir() if p.is_file()}


class Place:
    """An installation with a snapshot, and what it was at first, to begin anew."""

    def __init__(self, where: Path) -> None:
        self._top, self._seed = where / "top", where / "seed"
        self.app, self._home, self.service = self._top / "app", self._top / "home", self._top / "service"
        self.app.mkdir(parents=True)
        for n in range(3):
            (self.app / f"f{n}").write_text(f"{n}\n")
        self.service.write_text("")
        self.said("snapshot")
        self.before, self.after = tree(self.app), {"f0": "bad\n", "f2": "2\n", "f9": "new\n"}
        self.env = environment(self._home)

    def said(self, *words: str) -> subprocess.CompletedProcess[str]:
        return run_gitsnap("-C", self.app, *words, home=self._home, check=False)

    def keep_as_seed(self) -> None:
        shutil.copytree(self._top, self._seed, symlinks=True)

    def anew(self) -> None:
        # Where the sidecar is what it was: commands that are written down count in no other one.
        for name in ("app", "home"):
            subprocess.run(
                [
                    "rsync",
                    "-aH",
                    "--checksum",
                    "--delete",
                    "--inplace",
                    f"{self._seed}/{name}/",
                    f"{self._top}/{name}/",
                ],
                check=True,
            )
        self.service.write_text("")

    def settled(self, told: str) -> str:
        """The outcome of the newest upgrade, once `recover` is done; the directory is what that says."""
        done = self.said("recover")
        assert done.returncode == 0, told + done.stderr
        looked = self.said("--json", "status")
        assert looked.stdout, told + done.stdout + done.stderr + looked.stderr
        status = json.loads(looked.stdout)
        assert (status["waiting"], status["service_stopped"], status["pending_recovery"]) == (None, False, None), told
        outcome = status["last_upgrade"]["outcome"]
        assert tree(self.app) == (self.after if outcome == "kept" else self.before), told + done.stderr
        # Nothing is left that is to be settled.
        assert self.said("run", "--", "true").returncode == 0
        # Stopped and started alike.
        words = [word for word in self.service.read_text().split() if word != "check"]
        assert not words or words[-1] == "start", words
        return str(outcome)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    if shutil.which("rsync") is None:
        pytest.skip("rsync is not installed")
    return Place(tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("fails", [False, True])
def test_killed_at_every_moment(place: Place, fails: bool) -> None:
    place.keep_as_seed()
    check = f"test $(grep -c check {place.service}) -lt 2" if fails else "true"
    argv = gitsnap("-C", place.app, "run", "--soak", "0.1s", "--every", "0.05s")
    argv += ["--check", f"echo check >>{place.service}; {check}"]
    argv += ["--stop", f"echo stop >>{place.service}", "--start", f"echo start >>{place.service}"]
    argv += ["--", "sh", "-c", _SCRIPT]
    points = calls(argv, place.env, check=False)
    begun = next(n for n, call in enumerate(points) if call.path.endswith("/app/f0"))
    for point in sample(points[begun + 1 :], 6):
        place.anew()
        outcome = run_with_fault(argv, Mode.KILL, point.number, None, place.env, must_fire=False)
        became = place.settled(f"{point}: {outcome.told}")
        if fails:
            assert became == "rolled-back"
        elif not outcome.fired:
            assert became == "kept"


@pytest.mark.long
@pytest.mark.parametrize("words", [("keep",), ("recover",)])
def test_killed_while_it_is_kept_or_brought_back(place: Place, words: tuple[str, ...]) -> None:
    """Whoever was told that it is kept finds it kept, and what was too late is brought back."""
    running = subprocess.Popen(
        [*gitsnap("-C", place.app, "run", "--confirm", "1h", "--events", "-"), "--", "sh", "-c", _SCRIPT],
        env=place.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert running.stdout is not None
    for line in running.stdout:
        if b"confirm-started" in line:
            break
    running.kill()
    running.wait()
    record = next((place.app.parent / "home").glob("app-*")) / "gitsnap/upgrade.json"
    if words == ("recover",):
        found = json.loads(record.read_text())
        found["wait"]["term"]["began"]["ticks"] = 0
        record.write_text(json.dumps(found))
    place.keep_as_seed()
    argv = gitsnap("-C", place.app, *words)
    points = calls(argv, place.env, check=False)
    for point in sample(points, 6):
        place.anew()
        outcome = run_with_fault(argv, Mode.KILL, point.number, None, place.env, must_fire=False)
        if words == ("keep",):
            # Whoever was not told says it again, or it was written down before.
            place.said("keep")
            assert place.settled(f"{point}: {outcome.told}") == "kept"
        else:
            assert place.settled(f"{point}: {outcome.told}") == "rolled-back"
