"""Several directories whose upgrade takes its time: decided once, for all of them, whoever is killed meanwhile.

With a web application in three directories on two file systems.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_soak import LONG, killed, restarted, soaking
from tests.support.installation import run_gitsnap
from tests.support.webapp import PATIENCE, Shop, edit, until

_MEMORY = Path("/dev/shm")


class ShopOfThree(Shop):
    """The application in `app`, its settings in `etc` and its data in `data`, each with the version in it."""

    def __init__(self, where: Path, other: Path) -> None:
        super().__init__(where)
        self.roots = [self.app, where / "etc", other / "data"]
        for root in self.roots[1:]:
            root.mkdir()
            (root / "version").write_text("1\n")

    @property
    def where(self) -> list[str]:
        return [word for root in self.roots for word in ("-C", str(root))]

    @property
    def versions(self) -> list[str]:
        return [(root / "version").read_text().strip() for root in self.roots]

    def upgrade(self, version: str) -> list[str]:
        where = " ".join(shlex.quote(str(root)) for root in self.roots)
        script = f'for d in {where}; do echo {version} >"$d/version" && echo more >"$d/added" || exit 1; done'
        return ["sh", "-c", f"{script}; {self.control} start"]

    def at(self, which: int, *words: str, check: bool | int = True) -> subprocess.CompletedProcess[str]:
        return run_gitsnap("-C", self.roots[which], *words, home=self.home, check=check)

    def record_of(self, root: Path) -> Path:
        return next(self.home.glob(f"{root.name}-*")) / "gitsnap/upgrade.json"

    def became(self) -> list[str]:
        """What became of the newest upgrade in each."""
        found = json.loads(self.gitsnap("--json", "history").stdout)["installations"]
        return [[e for e in one["history"] if e["type"] == "upgrade"][-1]["status"] for one in found]

    def assert_all(self, version: str, outcome: str) -> None:
        """All directories at it, all records of it, and nothing that waits."""
        assert self.versions == [version] * 3
        assert self.became() == [outcome] * 3
        for root in self.roots:
            assert (root / "added").exists() is (outcome == "kept")
            assert not self.record_of(root).exists()
            assert not self.record_of(root).with_name("return.json").exists()


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ShopOfThree]:
    # Sets with a name are in the user's configuration.
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "configuration"))
    elsewhere = "/tmp" if tmp_path.is_relative_to(_MEMORY) else str(_MEMORY)
    with tempfile.TemporaryDirectory(prefix="gitsnap-data-", dir=elsewhere) as other:
        made = ShopOfThree(tmp_path, Path(other))
        yield made
        made.close()


def test_a_version_that_breaks_later_goes_back_in_all(shop: ShopOfThree) -> None:
    with shop.running(*soaking(shop), *shop.upgrade("2-broken")) as run:
        run.wait_for("soak-started")
        assert shop.versions == ["2-broken"] * 3
        shop.fail()
        output = run.ends(20)
    assert "HTTP Error 500" in output
    shop.assert_all("1", "rolled-back")
    events = run.events()
    # The checks are of all; what goes back is each, in reverse.
    assert sum(e["event"] == "soak-started" for e in events) == 1
    assert [e["installation"] for e in events if e["event"] == "rollback-started"] == [*map(str, shop.roots[::-1])]
    assert events[-1]["failure"] == f"the check '{shop.control} check' exited with 1"
    assert "installation" not in next(e for e in events if e["event"] == "check-failed")


def test_a_good_version_is_kept_when_its_time_is_over(shop: ShopOfThree) -> None:
    shop.gitsnap(*soaking(shop, soak="0.6s"), *shop.upgrade("2"))
    shop.assert_all("2", "kept")
    assert shop.rounds() >= 2


def test_each_counts_down_and_any_can_say_keep(shop: ShopOfThree) -> None:
    with shop.running(*soaking(shop, "--confirm", LONG), *shop.upgrade("2")) as run:
        upgrade = run.wait_for("soak-started")["upgrade"]
        for at in range(3):
            waits = json.loads(shop.at(at, "--json", "status").stdout)["waiting"]
            assert (waits["phase"], waits["process"], waits["upgrade"]) == ("soak", run.process.pid, upgrade)
            assert 3000 < waits["confirm_left"] <= 3600
            # Nobody takes it away meanwhile.
            assert "watches over the upgrade" in shop.at(at, "rollback", "--yes", check=11).stderr
        assert shop.at(2, "keep").stdout == f"kept: {upgrade}\n"
        run.ends(0)
    shop.assert_all("2", "kept")
    assert run.events()[-1]["confirmed"] is True


def test_nobody_says_keep(shop: ShopOfThree) -> None:
    done = shop.gitsnap("run", "--confirm", "1s", "--", *shop.upgrade("2"), check=20)
    assert "nobody said keep within 1 s" in done.stderr
    shop.assert_all("1", "rolled-back")
    assert "no upgrade waits" in shop.at(1, "keep", check=1).stderr


def test_the_set_by_its_name(shop: ShopOfThree) -> None:
    shop.at(0, "set", "create", "shop", *map(str, shop.roots))
    with shop.running("run", "--confirm", LONG, "--", *shop.upgrade("2")) as run:
        run.wait_for("confirm-started")
        run_gitsnap("keep", "--set", "shop", home=shop.home)
        run.ends(0)
    shop.assert_all("2", "kept")


@pytest.mark.parametrize("way", ["kept", "late", "breaks"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_while_it_waits(shop: ShopOfThree, way: str, number: int) -> None:
    """From any of them, by its own records and by those of the first."""
    if way == "breaks":
        upgrade = killed(shop, *soaking(shop), *shop.upgrade("2-broken"), at="soak-started", number=number)
        shop.fail()
        shop.at(1, "recover")
        shop.assert_all("1", "rolled-back")
        return
    upgrade = killed(shop, "run", "--confirm", LONG, "--", *shop.upgrade("2"), at="confirm-started", number=number)
    if way == "kept":
        assert shop.at(1, "keep").stdout == f"kept: {upgrade}\n"
        shop.assert_all("2", "kept")
        shop.at(2, "recover")
        shop.assert_all("2", "kept")
        return
    edit(shop.record, lambda r: r["wait"]["term"]["began"].update(ticks=r["wait"]["term"]["began"]["ticks"] - 3601))
    assert "too late" in shop.at(2, "keep", check=1).stderr
    shop.at(2, "recover")
    shop.assert_all("1", "rolled-back")


def test_recover_waits_for_the_rest_and_only_one_does(shop: ShopOfThree) -> None:
    killed(shop, "run", "--confirm", LONG, "--", *shop.upgrade("2"), at="confirm-started")
    with shop.running("recover", events=False) as recover:
        until(lambda: json.loads(shop.at(2, "--json", "status").stdout)["waiting"]["process"] == recover.process.pid)
        again = shop.at(1, "recover")
        assert f"process {recover.process.pid} sees to the upgrade" in again.stderr
        shop.at(1, "keep")
        recover.ends(0)
    shop.assert_all("2", "kept")


def test_somebody_said_keep_and_then_it_was_killed(shop: ShopOfThree) -> None:
    """The record of the first decides, whatever those of the others say."""
    killed(shop, "run", "--confirm", LONG, "--", *shop.upgrade("2"), at="confirm-started")
    edit(shop.record, lambda r: r["wait"].update(kept=True))
    shop.at(2, "recover")
    shop.assert_all("2", "kept")


def test_what_another_than_the_first_says_decides_nothing(shop: ShopOfThree) -> None:
    killed(shop, "run", "--confirm", "1s", "--", *shop.upgrade("2"), at="confirm-started")
    edit(shop.record_of(shop.roots[1]), lambda r: r["wait"].update(kept=True))
    shop.at(1, "recover")
    shop.assert_all("1", "rolled-back")


def test_the_machine_is_started_again(shop: ShopOfThree) -> None:
    killed(shop, *soaking(shop), *shop.upgrade("2-broken"), at="soak-started")
    for root in shop.roots:
        edit(shop.record_of(root), restarted)
    shop.fail()
    shop.at(2, "recover")
    shop.assert_all("1", "rolled-back")


def test_a_directory_that_is_away_is_named_and_nothing_is_decided(shop: ShopOfThree) -> None:
    killed(shop, "run", "--confirm", LONG, "--", *shop.upgrade("2"), at="confirm-started")
    store = shop.record_of(shop.roots[2]).parent.parent
    store.rename(store.with_suffix(".away"))
    assert str(shop.roots[2]) in shop.at(0, "recover", check=10).stderr
    assert shop.versions == ["2"] * 3
    store.with_suffix(".away").rename(store)
    shop.at(0, "keep")
    shop.assert_all("2", "kept")


def test_killed_at_other_moments(shop: ShopOfThree) -> None:
    ways = {
        "command-exited": ("2", "rolled-back"),
        "check-passed": ("2", "kept"),
        "soak-completed": ("2", "kept"),
        "rollback-started": ("2-broken", "rolled-back"),
    }
    for at, (version, outcome) in ways.items():
        (shop.state / "fail").unlink(missing_ok=True)
        if at == "rollback-started":
            shop.fail()
        killed(shop, *soaking(shop, soak="0.3s"), *shop.upgrade(version), at=at)
        if at == "command-exited":
            # What the command has started is ended before anything of it goes.
            shop.ctl("quit")
        shop.at(1, "recover")
        shop.assert_all("1" if outcome == "rolled-back" else version, outcome)
        if outcome == "kept":
            shop.gitsnap("rollback", "-y")
        shop.ctl("start")


def test_a_hang_up_is_not_heard(shop: ShopOfThree) -> None:
    with shop.running("run", "--confirm", LONG, "--", *shop.upgrade("2")) as run:
        run.wait_for("confirm-started")
        run.kill(signal.SIGHUP)
        shop.at(1, "keep")
        run.ends(0)
    shop.assert_all("2", "kept")


def test_ctrl_c_brings_all_back(shop: ShopOfThree) -> None:
    with shop.running("run", "--confirm", LONG, "--", *shop.upgrade("2")) as run:
        run.wait_for("confirm-started")
        run.kill(signal.SIGINT)
        run.ends(20)
    shop.assert_all("1", "rolled-back")


@pytest.mark.parametrize("by", ["run", "recover"])
def test_what_was_changed_since_stays_in_each(shop: ShopOfThree, by: str) -> None:
    words = soaking(shop, "--keep-edits")
    with shop.running(*words, *shop.upgrade("2-broken")) as run:
        run.wait_for("soak-started")
        (shop.roots[1] / "mine").write_text("kept\n")
        (shop.roots[2] / "added").write_text("more\nand mine\n")
        if by == "recover":
            run.kill()
        shop.fail()
        if by == "run":
            run.ends(20)
        else:
            shop.at(2, "recover")
    assert shop.versions == ["1"] * 3
    assert shop.became() == ["rolled-back"] * 3
    assert (shop.roots[1] / "mine").read_text() == "kept\n"
    assert not (shop.roots[0] / "added").exists()
    # Changed on both sides: what is here stays.
    assert (shop.roots[2] / "added").read_text() == "more\nand mine\n"


@pytest.mark.parametrize("fails", [False, True])
def test_the_service_stops_before_the_first_snapshot_of_any(shop: ShopOfThree, fails: bool) -> None:
    service = ("--stop", f"{shop.control} stop", "--start", f"{shop.control} start")
    where = " ".join(shlex.quote(str(root)) for root in shop.roots)
    check = "false" if fails else f"{shop.control} check"
    with shop.running(
        "run", *service, "--check", check, "--", "sh", "-c", f'for d in {where}; do echo 2 >"$d/version"; done'
    ) as run:
        run.ends(20 if fails else 0)
    names = [(e["event"], e.get("role")) for e in run.events()]
    stopped = names.index(("service-stopped", None))
    assert stopped < names.index(("snapshot-completed", "pre"))
    started = names.index(("service-started", None))
    assert max(at for at, name in enumerate(names) if name == ("snapshot-completed", "post")) < started
    assert shop.versions == (["1"] if fails else ["2"]) * 3
    assert shop.serves == ("1" if fails else "2")
    # Around the rollbacks of all, once.
    assert shop.said()[1:] == ["stop", "start", *(["stop", "start"] if fails else [])]


def test_a_service_that_was_stopped_is_started_by_whoever_settles_it(shop: ShopOfThree) -> None:
    service = ("--stop", f"{shop.control} stop", "--start", f"{shop.control} start")
    with shop.running("run", *service, "--", "sh", "-c", "kill -9 $PPID") as run:
        run.process.wait(PATIENCE)
    assert shop.serves == ""
    shop.at(2, "recover")
    assert shop.serves == "1"


def test_each_first_snapshot_is_watched(shop: ShopOfThree) -> None:
    with shop.running("run", "--watch", "--", "sh", "-c", "read line || sleep 60", stdin=subprocess.PIPE) as run:

        def seen() -> set[str]:
            return {e["installation"] for e in run.events() if e["event"] == "verified" and e.get("during")}

        until(lambda: seen() == set(map(str, shop.roots)))
        assert run.process.stdin is not None
        run.process.stdin.write(b"\n")
        run.process.stdin.close()
        run.process.stdin = None
        run.ends(0)


def test_a_first_snapshot_that_rots_meanwhile_is_told(shop: ShopOfThree) -> None:
    shop.gitsnap("run", "--", "true")
    store = shop.record_of(shop.roots[1]).parent.parent
    packs = f"{shlex.quote(str(store))}/objects/pack/*.pack"
    rot = f"for p in {packs}; do chmod u+w $p; printf x | dd of=$p bs=1 seek=40 conv=notrunc; done"
    script = f"{rot}; read line || sleep 60"
    with shop.running("run", "--watch", "--", "sh", "-c", script, stdin=subprocess.PIPE) as run:
        found = run.wait_for("verify-failed")
        assert found["installation"] == str(shop.roots[1])
        assert run.process.stdin is not None
        run.process.stdin.write(b"\n")
        run.process.stdin.close()
        run.process.stdin = None
        run.process.wait(PATIENCE)


def test_commands_that_came_from_elsewhere_are_not_run(shop: ShopOfThree, tmp_path: Path) -> None:
    killed(shop, *soaking(shop), *shop.upgrade("2"), at="soak-started")
    ran = tmp_path / "ran"

    def foreign(record: dict[str, Any]) -> None:
        record["wait"].update(checks=[f"touch {ran}"], where="another machine")

    edit(shop.record, foreign)
    shop.at(1, "recover")
    assert not ran.exists()
    shop.assert_all("1", "rolled-back")


def test_json_of_a_recovery_that_went_on(shop: ShopOfThree) -> None:
    upgrade = killed(shop, *soaking(shop), *shop.upgrade("2-broken"), at="soak-started")
    shop.fail()
    told = json.loads(shop.at(1, "--json", "recover").stdout)
    assert (told["upgrade"], told["outcome"], told["verified"]) == (upgrade, "rolled-back", True)
    assert [i["installation"] for i in told["installations"]] == [*map(str, shop.roots)]


def test_the_log_of_each_tells_it(shop: ShopOfThree) -> None:
    with shop.running("run", "--confirm", LONG, "--", *shop.upgrade("2")) as run:
        upgrade = run.wait_for("confirm-started")["upgrade"]
        shop.at(1, "keep")
        run.ends(0)
    for at in range(3):
        lines = json.loads(shop.at(at, "--json", "audit", "--upgrade", upgrade).stdout)["audit"]
        ended = [line for line in lines if (line["action"], line["phase"]) == ("run", "ended")]
        assert [(line["outcome"], line["details"]["confirmed"]) for line in ended] == [("kept", True)]
    # Where it is decided, who has decided.
    lines = json.loads(shop.at(0, "--json", "audit").stdout)["audit"]
    assert [line["outcome"] for line in lines if line["action"] == "keep"] == ["done"]
    assert os.environ.get("GITSNAP_HOME") != str(shop.home)


def test_hooks_of_each_are_told_of_all(shop: ShopOfThree, tmp_path: Path) -> None:
    for root in shop.roots:
        shop.at(shop.roots.index(root), "init")
        config = shop.record_of(root).parent.parent / "gitsnap.toml"
        config.write_text(f"[hooks]\nafter-run = \"cat >>'{tmp_path}/{root.name}.told'\"\n")
        config.chmod(0o600)

    def told() -> list[dict[str, Any]]:
        found = []
        for root in shop.roots:
            (line,) = (tmp_path / f"{root.name}.told").read_text().splitlines()
            (tmp_path / f"{root.name}.told").unlink()
            found.append(json.loads(line))
        return found

    everywhere = [*map(str, shop.roots)]
    shop.gitsnap("run", "--", *shop.upgrade("2"))
    events = told()
    assert [e["installation"] for e in events] == everywhere
    assert [e["installations"] for e in events] == [everywhere] * 3
    # By whoever settles it, too.
    killed(shop, "run", "--confirm", LONG, "--", *shop.upgrade("3"), at="confirm-started")
    shop.at(1, "keep")
    events = told()
    assert [(e["installations"], e["upgrade_outcome"]) for e in events] == [(everywhere, "kept")] * 3
    # One alone is about itself.
    shop.at(0, "run", "--", "true")
    (line,) = (tmp_path / "app.told").read_text().splitlines()
    assert json.loads(line)["installations"] == []


def test_the_trail_says_what_came_of_it_in_each(shop: ShopOfThree) -> None:
    """Who was not there reads that edits stayed, where they did, and which directories it was."""
    with shop.running(*soaking(shop, "--keep-edits"), *shop.upgrade("2-broken")) as run:
        run.wait_for("soak-started")
        (shop.roots[1] / "mine").write_text("kept\n")
        shop.fail()
        run.ends(20)
    plain, edited = (shop.at(at, "audit").stdout for at in (0, 1))
    for told in (plain, edited):
        assert f"together  {', '.join(map(str, shop.roots))}" in told
        assert "HTTP Error 500" in told or "exited with 1" in told
    assert "the directory is as it was before, to the byte" in plain
    assert "the upgrade is undone, and what was changed since is kept" in edited
    assert "to the byte" not in edited
    # What the command has started and what was kept of that.
    shop.ctl("start")
    shop.gitsnap("run", "--", *shop.upgrade("3"))
    kept = shop.at(0, "audit").stdout
    assert re.search(r"it left +the process \d+, .*server\.py.*, which ran on", kept)


def test_what_is_about_one_alone_is_kept_alone(shop: ShopOfThree) -> None:
    """What another one still says of an upgrade of all that has come to its end here is not what is meant."""
    killed(shop, "run", "--confirm", LONG, "--", *shop.upgrade("2"), at="confirm-started")
    left = shop.record_of(shop.roots[1]).read_bytes()
    shop.at(0, "keep")
    # As if a kill had come between the two.
    shop.record_of(shop.roots[1]).write_bytes(left)
    killed(
        _Alone(shop), "run", "--confirm", LONG, "--", "sh", "-c", f"echo 3 >{shop.app}/version", at="confirm-started"
    )
    shop.at(0, "keep")
    assert shop.versions == ["3", "2", "2"]
    assert json.loads(shop.at(0, "--json", "status").stdout)["waiting"] is None


class _Alone:
    """The first directory of several."""

    def __init__(self, shop: ShopOfThree) -> None:
        self._shop = shop

    where = property(lambda self: ["-C", str(self._shop.app)])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._shop, name)

    def running(self, *words: str, **more: Any) -> Any:
        return Shop.running(self, *words, **more)  # type: ignore[arg-type]


def test_undo_after_edits_were_kept(shop: ShopOfThree) -> None:
    with shop.running(*soaking(shop, "--keep-edits"), *shop.upgrade("2-broken")) as run:
        run.wait_for("soak-started")
        (shop.roots[1] / "mine").write_text("kept\n")
        shop.fail()
        run.ends(20)
    shop.gitsnap("undo")
    assert shop.versions == ["2-broken"] * 3
    assert (shop.roots[1] / "mine").read_text() == "kept\n"
    shop.gitsnap("redo")
    assert shop.versions == ["1"] * 3
    assert (shop.roots[1] / "mine").read_text() == "kept\n"
