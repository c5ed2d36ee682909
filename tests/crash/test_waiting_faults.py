"""gitsnap killed at every moment of an upgrade that waits: `recover` ends with what was decided, and one outcome."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
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
    for point in sample(points[begun + 1 :], 3):
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
    for point in sample(points, 3):
        place.anew()
        outcome = run_with_fault(argv, Mode.KILL, point.number, None, place.env, must_fire=False)
        if words == ("keep",):
            # Whoever was not told says it again, or it was written down before.
            place.said("keep")
            assert place.settled(f"{point}: {outcome.told}") == "kept"
        else:
            assert place.settled(f"{point}: {outcome.told}") == "rolled-back"


class PlaceOfThree:
    """Three directories on two file systems, as the one above."""

    def __init__(self, where: Path, other: Path) -> None:
        self.tops = [where / "top", other / "top"]
        self._seeds = [where / "seed", other / "seed"]
        self.roots = [self.tops[0] / "app", self.tops[0] / "etc", self.tops[1] / "data"]
        self._home, self.seen, self.edited = self.tops[0] / "home", where / "seen", where / "edited"
        for number, root in enumerate(self.roots):
            root.mkdir(parents=True)
            (root / "version").write_text("1\n")
            (root / "mine").write_text("of old\n")
            (root / f"only{number}").write_text("here\n")
        self.env = environment(self._home)
        self.said("snapshot")
        self.before = [tree(root) for root in self.roots]

    @property
    def where(self) -> list[str]:
        return [word for root in self.roots for word in ("-C", str(root))]

    def said(self, *words: str, at: int | None = None) -> subprocess.CompletedProcess[str]:
        if words == ("snapshot",):
            for root in self.roots:
                run_gitsnap("-C", root, "snapshot", home=self._home)
        where = self.where if at is None else ["-C", str(self.roots[at])]
        return run_gitsnap(*where, *words, home=self._home, check=False)

    @property
    def upgrade(self) -> list[str]:
        roots = " ".join(f"'{root}'" for root in self.roots)
        return ["sh", "-c", f"for d in {roots}; do echo 2 >$d/version; rm $d/only?; echo new >$d/new; done"]

    def keep_as_seed(self) -> None:
        for top, seed in zip(self.tops, self._seeds, strict=True):
            shutil.copytree(top, seed, symlinks=True)

    def anew(self) -> None:
        for top, seed in zip(self.tops, self._seeds, strict=True):
            command = ["rsync", "-aH", "--checksum", "--delete", "--inplace", f"{seed}/", f"{top}/"]
            subprocess.run(command, check=True)
        for mark in (self.seen, self.edited):
            mark.unlink(missing_ok=True)

    def settled(self, told: str, at: int) -> str:
        """What became of it, the same in all, once `recover` is done in one of them; the directories are what that
        says."""
        done = self.said("recover", at=at)
        assert done.returncode == 0, told + done.stderr
        found = json.loads(self.said("--json", "status").stdout)["installations"]
        assert [(s["waiting"], s["service_stopped"], s["pending_recovery"]) for s in found] == [(None, False, None)] * 3
        (outcome,) = {s["last_upgrade"]["outcome"] for s in found}
        edited = self.edited.exists()
        for before, root in zip(self.before, self.roots, strict=True):
            only = {k: v for k, v in before.items() if not k.startswith("only")}
            wanted = only | {"version": "2\n", "new": "new\n"} if outcome == "kept" else dict(before)
            wanted["mine"] = "edited\n" if edited and root == self.roots[1] else "of old\n"
            assert tree(root) == wanted, f"{told}{outcome} {root}\n{done.stderr}"
        assert self.said("run", "--", "true").returncode == 0
        return str(outcome)


@pytest.fixture
def three(tmp_path: Path) -> Iterator[PlaceOfThree]:
    if shutil.which("rsync") is None:
        pytest.skip("rsync is not installed")
    elsewhere = "/tmp" if tmp_path.is_relative_to("/dev/shm") else "/dev/shm"
    with tempfile.TemporaryDirectory(prefix="gitsnap-data-", dir=elsewhere) as other:
        yield PlaceOfThree(tmp_path, Path(other))


@pytest.mark.long
@pytest.mark.parametrize("fails", [False, True])
def test_several_killed_at_every_moment(three: PlaceOfThree, fails: bool) -> None:
    """What breaks while the checks go on goes back in all, with what somebody has edited in one meanwhile."""
    three.keep_as_seed()
    edit = f"echo edited >{three.roots[1]}/mine; touch {three.edited}"
    check = f"test ! -e {three.roots[1]}/new || {{ {edit}; false; }}" if fails else "true"
    # The first time they pass.
    check = f"if test -e {three.seen}; then {check}; else touch {three.seen}; fi"
    argv = gitsnap(*three.where, "run", "--soak", "0.1s", "--every", "0.05s", "--keep-edits", "--check", check, "--")
    argv += three.upgrade
    # What was put back is not what the stat cache knew: the calls are those of such a one, as in all that follow.
    calls(argv, three.env, check=False)
    three.anew()
    points = calls(argv, three.env, check=False)
    begun = next(n for n, call in enumerate(points) if call.path.endswith("/app/version"))
    for number, point in enumerate(sample(points[begun + 1 :], 3)):
        three.anew()
        outcome = run_with_fault(argv, Mode.KILL, point.number, None, three.env, must_fire=False)
        became = three.settled(f"{point}: {outcome.told}", number % 3)
        if fails:
            assert became == "rolled-back"
        elif not outcome.fired:
            assert became == "kept"


@pytest.mark.long
@pytest.mark.parametrize("words", [("keep",), ("recover",)])
def test_several_killed_while_kept_or_brought_back(three: PlaceOfThree, words: tuple[str, ...]) -> None:
    running = subprocess.Popen(
        [*gitsnap(*three.where, "run", "--confirm", "1h", "--events", "-"), "--", *three.upgrade],
        env=three.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert running.stdout is not None
    for line in running.stdout:
        if b"confirm-started" in line:
            break
    running.kill()
    running.wait()
    record = next((three.tops[0] / "home").glob("app-*")) / "gitsnap/upgrade.json"
    if words == ("recover",):
        found = json.loads(record.read_text())
        found["wait"]["term"]["began"]["ticks"] = 0
        record.write_text(json.dumps(found))
    three.keep_as_seed()
    argv = gitsnap("-C", three.roots[2], *words)
    points = calls(argv, three.env, check=False)
    for number, point in enumerate(sample(points, 3)):
        three.anew()
        outcome = run_with_fault(argv, Mode.KILL, point.number, None, three.env, must_fire=False)
        if words == ("keep",):
            three.said("keep", at=number % 3)
            assert three.settled(f"{point}: {outcome.told}", (number + 1) % 3) == "kept"
        else:
            assert three.settled(f"{point}: {outcome.told}", number % 3) == "rolled-back"
