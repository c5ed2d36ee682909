"""gitsnap as a library: a guarded block, and the orchestrator of the documentation as it stands there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import gitsnap
from tests.support.installation import REPOSITORY, copy_tree, run_gitsnap, same_tree
from tests.support.signing import new_key

PAGE = REPOSITORY / "docs/how-to/orchestrate-an-upgrade.md"


def opened(directory: Path) -> gitsnap.Installation:
    """As the command line finds it here."""
    return gitsnap.open(directory, create=True, environ=os.environ)


def guard(*directories: Path, **how: Any) -> gitsnap.Guard:
    return gitsnap.guard(*directories, environ=os.environ, **how)


@pytest.fixture
def before(installation: Path, tmp_path: Path) -> Path:
    return copy_tree(installation, tmp_path / "before")


@pytest.fixture
def ordinary_umask() -> Iterator[None]:
    old = os.umask(0o022)
    yield
    os.umask(old)


def test_nothing_is_protected_unless_that_is_asked_for(installation: Path, tmp_path: Path) -> None:
    store = tmp_path / "s.git"
    with pytest.raises(gitsnap.NoSidecarError) as refused:
        gitsnap.open(installation, store=store)
    assert (refused.value.exit_code, store.exists()) == (10, False)
    assert gitsnap.open(installation, store=store, create=True).path == str(installation)
    # By its path alone: what says where sidecars are was not to be read.
    assert gitsnap.open(installation, store=store).snapshots() == []
    with pytest.raises(gitsnap.NoSidecarError):
        gitsnap.open(installation, environ={"GITSNAP_HOME": str(tmp_path / "elsewhere")})
    assert not (tmp_path / "elsewhere").exists()


def test_the_environment_counts_where_it_is_given(
    installation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = gitsnap.open(installation, store=tmp_path / "s.git", create=True)
    monkeypatch.setenv("GITSNAP_LOCK_WAIT", "7")
    monkeypatch.setenv("GITSNAP_STORE", str(tmp_path / "other.git"))
    assert app.settings.lock_wait == 10
    assert gitsnap.open(installation, store=app.store).store == app.store
    assert gitsnap.open(installation, store=app.store, environ=os.environ).settings.lock_wait == 7
    with pytest.raises(gitsnap.NoSidecarError, match=r"other\.git"):
        gitsnap.open(installation, environ=os.environ)


def test_all_that_the_commands_do(installation: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (installation / "config/port").write_text("port = 1\n")
    app = opened(installation)
    one = app.snapshot("one", tags=["a"])
    assert app.describe(one.id, "first", tags=["b"], untags=["a"]).tags == ("b",)
    assert [s.message for s in app.snapshots(text="FIRST")] == ["first"]
    (installation / "config/port").write_text("port = 2\n")
    assert [c.path for c in app.diff().comparison.changes] == [b"config/port"]
    assert app.status().difference is not None
    two = app.snapshot("two")
    assert [f.change.path for f in app.changelog(one.id, two.id).files] == [b"config/port"]
    assert [x.status for x in app.log("config/port")] == ["added", "modified"]
    assert [x.path for x in app.search("port = 2", "config")] == [b"config/port"]
    assert app.read("config/port") == b"port = 2\n"
    assert b"config" in [e.path for e in app.files()]
    assert [m.path for m in app.find("port")] == [b"config/port"]
    assert app.show(one.id).snapshot.id == one.id
    app.restore(one.id, installation / "config", to=tmp_path / "out")
    assert (tmp_path / "out/config/port").exists()
    plan = app.rollback(one.id, dry_run=True).fingerprint()
    (installation / "config/port").write_text("port = 3\n")
    with pytest.raises(gitsnap.PlanChangedError):
        app.rollback(one.id, plan=plan)
    assert app.rollback(one.id).verified
    assert app.undo().verified
    assert (installation / "config/port").read_text() == "port = 3\n"
    assert app.redo().verified
    assert app.recover().direction is None
    assert [e.type for e in app.history().episodes][:2] == ["snapshot", "snapshot"]
    assert app.pin(two.id).pinned
    with pytest.raises(gitsnap.GitsnapError, match="pinned"):
        app.delete(two.id)
    assert not app.unpin(two.id).pinned
    kept = app.prune(gitsnap.Policy(keep_last=1), dry_run=True)
    assert not all(d.keep for d in kept)
    assert app.delete(two.id) == [two.id]
    assert [s.id for s in app.undelete(two.id)] == [two.id]
    assert all(v.ok for v in app.verify_all())
    log = app.audit()
    assert log.ok
    assert {"describe", "restore", "undo", "delete"} <= {line.action for line in log.lines}
    for outside in ("../x", "/etc/passwd", ""):
        with pytest.raises(gitsnap.UsageError):
            app.read(outside)
    assert capfd.readouterr() == ("", "")


def test_looked_through_tried_out_and_purged(installation: Path, tmp_path: Path) -> None:
    (installation / "config/port").write_text("port = 1\n")
    app = opened(installation)
    one = app.snapshot("one")
    (installation / "config/port").write_text("port = 1\nport = 2\n")
    two = app.snapshot("two")
    assert [line.snapshot.id for line in app.blame("config/port")] == [one.id, two.id]
    assert [c for c in app.doctor() if c.ok is False] == []
    assert not any(c.refuses for c in app.doctor(before_upgrade=True))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    done = app.drill(one.id, checks=["grep -c port config/port", "false"], to=scratch)
    assert ([c.ok for c in done.checks], done.failure[:9], list(scratch.iterdir())) == ([True, False], "the check", [])
    assert app.purge("config/port", dry_run=True).snapshots == app.purge("config/port").snapshots == [one.id, two.id]
    assert app.find("port") == []
    assert (installation / "config/port").exists()
    assert {"drill", "purge"} <= {line.action for line in app.audit().lines}


def test_at_boot_nobody_is_waited_for(installation: Path) -> None:
    app = opened(installation)
    app.snapshot("one")
    with app.sidecar() as held, held.writing(0):
        assert app.recover(at_boot=True).direction is None
        with pytest.raises(gitsnap.LockedError):
            gitsnap.open(installation, environ={**os.environ, "GITSNAP_LOCK_WAIT": "0"}).recover()


def test_snapshots_of_a_kind_or_a_tag(installation: Path) -> None:
    app = opened(installation)
    one, two = app.snapshot("one", tags=["a"]), app.snapshot("two", tags=["b", "c"])
    assert [s.id for s in app.snapshots(tags=["c", "d"])] == [two.id]
    assert [s.id for s in app.snapshots(kinds=["manual"], last=1)] == [two.id]
    assert [s.id for s in app.snapshots(since=one.created)] == [one.id, two.id]
    assert app.snapshots(kinds=["pre"]) == []
    with pytest.raises(ValueError, match="other"):
        app.snapshots(kinds=["other"])


@pytest.mark.usefixtures("ordinary_umask")
def test_single_steps(installation: Path, before: Path) -> None:
    app = opened(installation)
    first = app.snapshot("first", label="one", tags=["a"], pin=True)
    assert (first.label, first.tags, first.pinned) == ("one", ("a",), True)
    assert app.verify().ok
    (installation / "config/shop.ini").write_text("changed\n")
    (installation / "new").write_text("new\n")
    done = app.restore(first.id, "config/shop.ini")
    assert (done.verified, (installation / "new").exists()) == (True, True)
    done = app.rollback(first.id)
    assert done.safety is not None
    same_tree(before, installation)
    assert next(s.id for s in app.snapshots()) == first.id
    # Private under anybody's umask, which stays what it was.
    exposed = [p for p in Path(app.store).rglob("*") if p.lstat().st_mode & 0o077]
    assert exposed == []
    assert os.umask(0o022) == 0o022


def test_signatures(installation: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    app, key = opened(installation), new_key(tmp_path / "key")
    configuration = Path(os.environ["XDG_CONFIG_HOME"]) / "gitsnap/config.toml"
    configuration.parent.mkdir(parents=True)
    (tmp_path / "allowed").write_text(key.allowed())
    configuration.write_text(f'[signing]\nkey = "{tmp_path}/none"\nallowed-signers = "{tmp_path}/allowed"\n')
    assert app.snapshot("first").signed_by is None
    assert "is not signed" in caplog.text
    assert [p.kind for p in app.verify(signed=True).problems] == ["unsigned"]
    done = app.sign(key=key.path)
    assert (done.key, done.already) == (key.fingerprint, False)
    assert [s.principal for s in app.signatures()] == ["anna@example.org"]
    assert app.verify(signed=True).ok
    assert app.verify().signatures is None
    with pytest.raises(gitsnap.GitsnapError) as raised:
        app.sign()
    assert raised.value.kind == "not-signed"


def test_what_succeeds_is_kept(installation: Path) -> None:
    seen: list[gitsnap.Event] = []
    called: list[str] = []
    with guard(
        installation, label="2.0", checks=[lambda: called.append("x"), "test -e new"], observe=seen.append
    ) as up:
        assert up.pre is not None
        (installation / "new").write_text("new\n")
    assert up.result is not None
    assert up.result.outcome is gitsnap.Outcome.KEPT
    assert called == ["x"]
    assert [e.moment for e in seen if e.moment != "snapshot-progress"] == [
        "upgrade-started",
        "snapshot-completed",
        "verified",
        "snapshot-completed",
        "check-passed",
        "check-passed",
        "upgrade-completed",
    ]
    assert json.loads(json.dumps(seen[-1].document()))["pre"] == up.pre.id


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_an_exception_rolls_back_and_goes_on(installation: Path, before: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), guard(installation) as upgrade:
        (installation / "config/shop.ini").unlink()
        raise error
    assert upgrade.result is not None
    assert (upgrade.result.outcome, upgrade.result.verified) == (gitsnap.Outcome.ROLLED_BACK, True)
    same_tree(before, installation)


@pytest.mark.parametrize("check", ["false", lambda: False, lambda: 1 / 0])
def test_a_check_that_fails(installation: Path, before: Path, check: object) -> None:
    with pytest.raises(gitsnap.UpgradeFailedError) as failed, guard(installation, checks=[check]):  # type: ignore[list-item]
        (installation / "new").write_text("new\n")
    assert not failed.value.result.checks[0].ok
    same_tree(before, installation)


def test_keep(installation: Path) -> None:
    with pytest.raises(ZeroDivisionError), guard(installation, on_failure="keep"):
        (installation / "new").write_text("new\n")
        raise ZeroDivisionError
    assert (installation / "new").exists()


def test_both_causes_when_rolling_back_fails(installation: Path) -> None:
    upgrade = guard(installation)
    with pytest.raises(gitsnap.RollingBackFailedError, match="ZeroDivisionError") as failed, upgrade:
        for pack in Path(upgrade.installation.store).glob("objects/pack/*.pack"):
            pack.chmod(0o600)
            pack.write_bytes(pack.read_bytes()[:40] + bytes(pack.stat().st_size - 40))
        raise ZeroDivisionError
    assert isinstance(failed.value.__cause__, ZeroDivisionError)


def test_an_observer_that_fails_keeps_nothing_from_coming_back(installation: Path, before: Path) -> None:
    def observe(event: gitsnap.Event) -> None:
        if event.moment == "rollback-started":
            raise RuntimeError("no more")

    with pytest.raises(ZeroDivisionError), guard(installation, observe=observe) as upgrade:
        (installation / "config/shop.ini").unlink()
        raise ZeroDivisionError
    assert isinstance(upgrade.observe_error, RuntimeError)
    same_tree(before, installation)


def test_two_at_once_are_refused(installation: Path) -> None:
    with guard(installation), pytest.raises(gitsnap.GitsnapError, match="under way"):
        guard(installation).prepare()


def test_importing_it_costs_the_command_line_nothing() -> None:
    script = "import sys, gitsnap; print(*(m for m in sys.modules if m.startswith(('gitsnap.', 'dulwich', 'typer'))))"
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {"gitsnap._version"}


class TestTheOrchestratorOfTheDocumentation:
    @pytest.fixture
    def program(self, tmp_path: Path) -> Path:
        found = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
        path = tmp_path / "orchestrator.py"
        path.write_text(max(found, key=len))
        return path

    def run(self, program: Path, app: Path) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
        return subprocess.run([sys.executable, program, app], capture_output=True, text=True, env=environment)

    def test_migrates(self, program: Path, installation: Path, tmp_path: Path) -> None:
        (installation / "config/a.json").write_text('{"format": 1, "port": 80}')
        before = copy_tree(installation, tmp_path / "before")
        done = self.run(program, installation)
        assert done.returncode == 0, done.stderr
        assert json.loads((installation / "config/a.json").read_text()) == {"format": 2, "listen": "127.0.0.1:80"}
        assert "upgrade-completed" in done.stderr
        undo = re.search(r"to undo: gitsnap (.*)", done.stdout)
        assert undo
        run_gitsnap(*undo[1].split(), "--yes")
        same_tree(before, installation)

    def test_rolls_back(self, program: Path, installation: Path, tmp_path: Path) -> None:
        (installation / "config/a.json").write_text('{"format": 1, "port": 80}')
        (installation / "config/b.json").write_text('{"format": 1}')
        before = copy_tree(installation, tmp_path / "before")
        done = self.run(program, installation)
        assert (done.returncode, done.stdout) == (20, "rolled back: b.json has no port\n"), done.stderr
        same_tree(before, installation)


def test_a_guard_that_fails_tells_the_hooks(installation: Path, tmp_path: Path) -> None:
    protected = opened(installation)
    config = Path(protected.store) / "gitsnap.toml"
    told = tmp_path / "told"
    config.write_text(
        "".join(f"{line}\n" for line in ("[hooks]", f'after-run = "cat >>{told}"', 'on-failure = "exit 1"'))
    )
    config.chmod(0o600)
    with pytest.raises(RuntimeError), guard(installation):
        (installation / "bin/shop").write_bytes(b"broken")
        raise RuntimeError("no")
    event = json.loads(told.read_text())
    assert (event["action"], event["outcome"], event["cause"]) == ("guard", "rolled-back", "RuntimeError: no")
    assert (installation / "bin/shop").read_bytes() != b"broken"


@pytest.fixture
def three(tmp_path: Path, gitsnap_home: Path) -> list[Path]:
    found = [tmp_path / name for name in ("app", "etc", "data")]
    for root in found:
        root.mkdir()
        (root / "version").write_text("1\n")
    return found


def upgrade_all(three: list[Path]) -> None:
    for root in three:
        (root / "version").write_text("2\n")
        (root / "added").write_text("more\n")


def versions(three: list[Path]) -> list[str]:
    return [(root / "version").read_text().strip() for root in three]


def test_several_directories_are_kept_as_one(three: list[Path]) -> None:
    seen: list[gitsnap.Event] = []
    with guard(*three, label="v2", checks=["true"], observe=seen.append) as upgrade:
        assert [i.path for i in upgrade.installations] == [*map(str, three)]
        assert upgrade.pre is not None
        upgrade_all(three)
    assert isinstance(upgrade.result, gitsnap.SetUpgraded)
    assert (upgrade.result.outcome, upgrade.result.verified) == (gitsnap.Outcome.KEPT, True)
    assert list(upgrade.result.parts) == [*map(str, three)]
    assert {event.upgrade for event in seen} == {upgrade.id}
    for root in three:
        assert [s.kind for s in opened(root).snapshots()] == ["pre", "post"]


@pytest.mark.parametrize("how", ["raises", "check"])
def test_several_directories_go_back_as_one(three: list[Path], how: str) -> None:
    checks = [lambda: how != "check"]
    expected = gitsnap.UpgradeFailedError if how == "check" else ZeroDivisionError
    with pytest.raises(expected), guard(*three, checks=checks) as upgrade:
        upgrade_all(three)
        if how == "raises":
            raise ZeroDivisionError
    assert versions(three) == ["1"] * 3
    assert not any((root / "added").exists() for root in three)
    assert upgrade.result is not None
    assert (upgrade.result.outcome, upgrade.result.verified) == (gitsnap.Outcome.ROLLED_BACK, True)
    for root in three:
        lines = run_gitsnap("-C", root, "--json", "audit").stdout
        last = json.loads(lines)["audit"][-1]
        assert (last["action"], last["outcome"]) == ("guard", "rolled-back")
        assert last["details"]["installations"] == [*map(str, three)]


def test_several_directories_one_of_which_cannot_be_had(three: list[Path]) -> None:
    with guard(three[2]), pytest.raises(gitsnap.GitsnapError, match="under way"):
        guard(*three).prepare()
    for root in three[:2]:
        assert opened(root).snapshots() == []
    with pytest.raises(gitsnap.GitsnapError, match="named twice"):
        guard(three[0], three[0])
    with pytest.raises(gitsnap.GitsnapError, match="the sidecar of one directory"):
        guard(*three, store=three[0])


def test_a_program_that_is_killed_in_between(three: list[Path]) -> None:
    code = f"""
import os, gitsnap
with gitsnap.guard(*{[*map(str, three)]!r}, environ=os.environ):
    for root in {[*map(str, three)]!r}:
        open(root + "/version", "w").write("2")
    os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY)
    assert versions(three) == ["2"] * 3
    run_gitsnap("-C", three[1], "recover")
    assert versions(three) == ["1"] * 3


def test_a_copy_elsewhere_comes_back(installation: Path, tmp_path: Path) -> None:
    app = opened(installation)
    first = app.snapshot("one")
    done = gitsnap.clone(app.store, tmp_path / "new", environ=os.environ)
    assert done.restored is not None
    assert done.restored.verified
    assert [s.id for s in done.received.whole] == [first.id]
    same_tree(installation, tmp_path / "new")
    (tmp_path / "other").mkdir()
    adopted = gitsnap.adopt(app.store, tmp_path / "other", environ=os.environ)
    assert [s.id for s in opened(tmp_path / "other").snapshots()] == [first.id]
    assert adopted.restored is None
    second = app.snapshot("two")
    new = opened(tmp_path / "new")
    new.add_remote("there", app.store)
    new.add_remote("elsewhere", app.store)
    assert (new.remove_remote("elsewhere").name, [r.name for r in new.remotes]) == ("elsewhere", ["there"])
    assert [s.id for s in new.pull().snapshots] == [second.id]
    assert [s.id for s in new.snapshots()] == [first.id, second.id]
    with pytest.raises(gitsnap.GitsnapError, match="sidecar already"):
        gitsnap.clone(app.store, tmp_path / "other", environ=os.environ)
    actions = [entry["action"] for entry in json.loads(run_gitsnap("-C", new.path, "--json", "audit").stdout)["audit"]]
    assert actions[-2:] == ["remote", "pull"]
    assert "clone" in actions
