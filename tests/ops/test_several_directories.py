"""One upgrade over several directories: all stand before it starts, all go back, and one recovery settles all."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gitsnap.core.errors import UsageError
from gitsnap.ops.live.feasible import short_together
from gitsnap.ops.sets.members import require_apart
from gitsnap.sidecar import catalog, locks
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import set_rollback
from gitsnap.sidecar.state.set_rollback import SetRollback
from tests.crash import faults
from tests.support import forking
from tests.support.damage import flip_object
from tests.support.installation import copy_tree, git, run_gitsnap, same_tree, sidecar_of

_MEMORY = Path("/dev/shm")
_CHANGE = 'for d in {}; do echo new >"$d/f"; rm "$d/gone"; mkdir "$d/made"; done'


class Three:
    """Three directories, the last on another file system, and copies of them."""

    def __init__(self, top: Path, other: Path) -> None:
        self.top, self.home = top, Path(os.environ["GITSNAP_HOME"])
        self.roots = [top / "app", top / "etc", other / "data"]
        for root in self.roots:
            root.mkdir()
            (root / "f").write_text(f"old {root.name}\n")
            (root / "gone").write_text("here\n")
            copy_tree(root, top / f"copy-of-{root.name}")

    @property
    def all(self) -> list[str]:
        return [word for root in self.roots for word in ("-C", str(root))]

    @property
    def change(self) -> str:
        return _CHANGE.format(" ".join(map(shlex.quote, map(str, self.roots))))

    def say(self, *words: str, check: bool | int = True, at: int | None = None) -> subprocess.CompletedProcess[str]:
        where = self.all if at is None else ["-C", str(self.roots[at])]
        return run_gitsnap(*where, *words, check=check, cwd=self.top)

    def upgrade(self, *words: str, then: str = "", check: bool | int = True) -> subprocess.CompletedProcess[str]:
        return self.say("run", "--label", "v2", *words, "--", "sh", "-c", f"{self.change}{then}", check=check)

    def as_before(self) -> None:
        for root in self.roots:
            same_tree(self.top / f"copy-of-{root.name}", root)

    def upgraded(self) -> list[bool]:
        return [(root / "f").read_text() == "new\n" for root in self.roots]

    def history(self) -> list[list[tuple[str, str]]]:
        """The upgrades that each knows, with what became of them."""
        told = json.loads(self.say("history", "--json").stdout)["installations"]
        return [[(e["id"], e["status"]) for e in one["history"] if e["type"] == "upgrade"] for one in told]

    def killed(self, then: str) -> None:
        """Kill a gitsnap while its command is at work; the command writes a line first."""
        script = f"{self.change}; echo begun; {then}"
        words = (*self.all, "run", "--label", "v2", "--", "sh", "-c", script)
        said, says = os.pipe()
        with open(os.devnull, "rb") as nothing, open(said, "rb", 0) as told:
            pid = forking.start(forking.Start(words, None, faults.environment(self.home)), (nothing.fileno(), says, 2))
            os.close(says)
            assert told.read(6) == b"begun\n"
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


@pytest.fixture
def three(tmp_path: Path, gitsnap_home: Path) -> Iterator[Three]:
    elsewhere = "/tmp" if tmp_path.is_relative_to(_MEMORY) else str(_MEMORY)
    with tempfile.TemporaryDirectory(prefix="gitsnap-data-", dir=elsewhere) as other:
        yield Three(tmp_path, Path(other))


def test_all_go_back_in_reverse_when_a_check_fails(three: Three) -> None:
    done = three.upgrade("--json", "--check", "false", check=20)
    three.as_before()
    events = [json.loads(line) for line in done.stdout.splitlines()]
    last, roots = events[-1], list(map(str, three.roots))
    assert len({e["upgrade"] for e in events}) == 1
    assert events[0]["installations"] == roots
    assert [e["installation"] for e in events if e["event"] == "rollback-started"] == roots[::-1]
    assert [(i["installation"], i["outcome"], i["verified"]) for i in last["installations"]] == [
        (root, "rolled-back", True) for root in roots
    ]
    # The first snapshots of all are there and proved before the command starts.
    names = [e["event"] for e in events]
    assert names[: names.index("command-started")].count("verified") == 3
    assert three.history() == [[(last["upgrade"], "rolled-back")]] * 3
    assert sum(e["event"].startswith("check-") for e in events) == 1


def test_each_snapshot_names_all_directories(three: Three) -> None:
    three.upgrade()
    for root in three.roots:
        store = sidecar_of(root, three.home)
        for word in ("pre", "post"):
            ref = f"refs/gitsnap/snapshots/*v2-{word}*"
            told = git(store, "for-each-ref", "--format=%(contents:trailers:key=Gitsnap-Directory,valueonly)", ref)
            assert told.stdout.decode().split() == list(map(str, three.roots))
        assert three.say("verify", "--all", at=three.roots.index(root)).returncode == 0


def test_the_command_and_the_checks_run_once_where_one_stands(three: Three) -> None:
    three.say("run", "--check", "pwd >>checked", "--", "sh", "-c", "pwd >ran; echo $GITSNAP_DIRS >dirs")
    assert (three.top / "ran").read_text().split() == [str(three.top)]
    assert (three.top / "checked").read_text().split() == [str(three.top)]
    assert (three.top / "dirs").read_text().strip().split(":") == list(map(str, three.roots))


def test_a_directory_that_is_removed_comes_back_with_the_others(three: Three) -> None:
    done = three.upgrade(then=f"; rm -rf {shlex.quote(str(three.roots[1]))}", check=20)
    three.as_before()
    assert "the directory itself is gone" in done.stderr


def test_nothing_stays_where_one_cannot_be_captured(three: Three) -> None:
    three.say("snapshot", at=0)
    three.say("snapshot", at=2)
    with locks.hold(str(sidecar_of(three.roots[2], three.home) / "gitsnap/writer.lock"), exclusive=True, wait=1):
        done = three.upgrade("--lock-wait", "0", check=11)
    assert three.upgraded() == [False] * 3
    assert "is working on this sidecar" in done.stderr
    assert three.history() == [[]] * 3
    assert not list(three.home.glob("*/gitsnap/upgrade.json"))
    three.upgrade()
    assert three.upgraded() == [True] * 3


def test_what_another_upgrade_has_claimed_is_claimed_by_none_else(three: Three) -> None:
    inner = shlex.join(faults.gitsnap("-C", str(three.roots[2]), "-C", str(three.roots[0]), "run", "--", "true"))
    three.say("run", "--", "sh", "-c", f"{inner}; test $? = 11")
    assert [len(one) for one in three.history()] == [1, 1, 1]


def test_two_sets_in_opposite_order_wait_for_no_end(three: Three) -> None:
    """Whoever comes first does it; the other is refused, or comes after."""
    codes: list[int] = []

    def go(order: int) -> None:
        named = [word for root in three.roots[::order] for word in ("-C", str(root))]
        code, _, _ = forking.raw(
            forking.Start((*named, "run", "--", "true"), None, faults.environment(three.home)), 120
        )
        codes.append(code)

    three.say("run", "--", "true")
    both = [threading.Thread(target=go, args=(order,)) for order in (1, -1)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert set(codes) <= {0, 11}
    assert 0 in codes


def test_one_that_cannot_be_brought_back_keeps_no_other_from_it(three: Three) -> None:
    three.say("snapshot", at=1)
    store = sidecar_of(three.roots[1], three.home)
    harm = f"; find {store}/objects -type f -name '*.pack' -exec chmod u+w {{}} + -exec truncate -s 40 {{}} +; exit 3"
    done = three.upgrade(then=harm, check=21)
    assert three.upgraded() == [False, True, False]
    assert f"{three.roots[1]}: " in done.stderr
    assert f"{three.roots[0]}, {three.roots[2]} came back" in done.stderr
    # All of them wait for what becomes of the one.
    assert three.say("snapshot", at=0, check=14).returncode == 14
    assert "recover" in three.say("recover", at=2, check=False).stderr
    three.say("recover", "--give-up", at=0)
    three.say("snapshot", at=0)


def test_a_kill_during_the_command_is_settled_from_any_of_them(three: Three) -> None:
    three.killed("sleep 0")
    told = three.say("status", at=1).stderr
    assert "was cut short while its command ran" in told
    assert f"gitsnap -C {three.roots[1]} recover" in told
    pending = json.loads(three.say("status", "--json", at=1).stdout)["pending_upgrade"]
    assert pending["installations"] == list(map(str, three.roots))
    refused = three.say("run", "--", "true", at=0, check=14)
    assert "has to be settled first" in refused.stderr
    three.say("recover", at=2)
    three.as_before()
    assert [[outcome for _, outcome in one] for one in three.history()] == [["rolled-back"]] * 3
    assert "nothing to recover" in three.say("recover", at=0).stdout
    three.upgrade()


def test_a_command_that_still_runs_is_waited_for(three: Three) -> None:
    three.killed("exec sleep 600")
    done = three.say("recover", at=0, check=11)
    (pid,) = map(int, re.findall(r"(\d+) \(sleep", done.stderr))
    assert "still runs" in done.stderr
    assert three.upgraded() == [True] * 3
    os.kill(pid, signal.SIGKILL)
    while three.say("recover", at=1, check=False).returncode == 11:
        os.sched_yield()
    three.as_before()


def test_a_member_that_is_away_is_named_before_anything_moves(three: Three) -> None:
    three.killed("true")
    store = sidecar_of(three.roots[1], three.home)
    store.rename(three.top / "away")
    done = three.say("recover", at=0, check=10)
    assert f"{three.roots[1]}: " in done.stderr
    assert three.upgraded() == [True] * 3
    (three.top / "away").rename(store)
    three.say("recover", at=0)
    three.as_before()


def test_back_undo_and_redo_of_all(three: Three) -> None:
    three.upgrade()
    after = {root: copy_tree(root, three.top / f"after-{root.name}") for root in three.roots}
    three.say("rollback", "--yes")
    three.as_before()
    three.say("undo")
    for root, copy in after.items():
        same_tree(copy, root)
    three.say("redo")
    three.as_before()
    three.say("undo")
    assert three.upgraded() == [True] * 3
    assert [[outcome for _, outcome in one] for one in three.history()] == [["kept"]] * 3


def test_what_was_changed_since_is_named_before_anything_moves(three: Three) -> None:
    three.upgrade()
    (three.roots[1] / "mine").write_text("edit\n")
    shutil.rmtree(three.roots[2])
    done = three.say("rollback", "--dry-run")
    assert f"{three.roots[1]} was changed since the upgrade: 1 path" in done.stderr
    assert f"{three.roots[2]} is gone" in done.stderr
    assert (three.roots[1] / "mine").exists()
    told = json.loads(three.say("rollback", "--yes", "--json").stdout)
    assert [(c["installation"], c["gone"]) for c in told["changed"]] == [
        (str(three.roots[1]), False),
        (str(three.roots[2]), True),
    ]
    three.as_before()


def test_damage_in_one_is_found_before_any_moves(three: Three) -> None:
    three.upgrade()
    flip_object(sidecar_of(three.roots[0], three.home), b"old app\n")
    three.say("rollback", "--yes", check=12)
    assert three.upgraded() == [True] * 3
    three.say("snapshot", at=1)


def test_undo_is_refused_where_one_has_gone_its_own_way(three: Three) -> None:
    three.upgrade()
    three.say("rollback", "--yes")
    three.say("undo", at=1)
    three.say("restore", "latest", "f", at=1)
    done = three.say("undo", check=1)
    assert str(three.roots[1]) in done.stderr
    assert three.upgraded() == [False, True, False]


def test_one_alone_tells_of_the_others(three: Three) -> None:
    three.upgrade()
    done = three.say("rollback", "v2@pre", "--yes", at=0)
    assert three.upgraded() == [False, True, True]
    assert "was over 3 directories" in done.stderr
    (typed,) = [line.partition("gitsnap ")[2] for line in done.stderr.splitlines() if " -C " in line]
    run_gitsnap(*shlex.split(typed), "--yes")
    three.as_before()


def test_every_directory_is_shown(three: Three) -> None:
    three.upgrade()
    roots = list(map(str, three.roots))
    for words in (["status"], ["history"], ["changelog"], ["report", "-o", "page.html"]):
        told: dict[str, Any] = json.loads(three.say(*words, "--json").stdout)
        assert [one["installation"] for one in told["installations"]] == roots, words
        assert [line for line in three.say(*words).stdout.splitlines() if line.rstrip(":") in roots] != []
    assert sorted(p.name for p in three.top.glob("page*")) == ["page-app.html", "page-data.html", "page-etc.html"]


def test_each_audit_log_tells_of_it(three: Three) -> None:
    three.upgrade("--check", "false", check=20)
    for at in range(3):
        told = three.say("audit", "--json", at=at).stdout
        assert '"rolled-back"' in told
        assert "v2" in told


def test_directories_have_to_be_apart(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "ab").mkdir()
    require_apart([str(tmp_path / "a"), str(tmp_path / "ab")])
    for wrong in (["a", "a"], ["a", "ab", "a/b"], ["a/b", "a"]):
        with pytest.raises(UsageError):
            require_apart([str(tmp_path / name) for name in wrong])


def test_space_is_needed_by_all_together(tmp_path: Path) -> None:
    roots = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        roots.append(str(tmp_path / name))
    found = os.statvfs(tmp_path)
    free = found.f_frsize * found.f_bavail
    assert short_together(dict.fromkeys(roots, free // 10)) == []
    (problem,) = short_together(dict.fromkeys(roots, free * 3 // 4))
    assert all(root in problem.reason for root in roots)


def test_whoever_was_told_first_that_it_is_over_still_finds_the_others(three: Three) -> None:
    """Killed while the files that say so are removed: nothing has to move, from wherever it is settled."""
    three.upgrade()
    three.say("rollback", "--yes")
    members = tuple((str(root), str(sidecar_of(root, three.home))) for root in three.roots)
    with Sidecar(members[2][1]) as sidecar:
        pre = next(s for s in catalog.snapshots(sidecar) if s.directories)
        assert pre.upgrade is not None
        told = SetRollback("0123", pre.upgrade, members, (pre.id,) * 3, pre.id)
        set_rollback.begin(sidecar, told)
    three.say("snapshot", at=2, check=14)
    told = three.say("status", at=2)
    assert "PENDING: a rollback of several directories" in told.stdout
    assert json.loads(three.say("status", "--json", at=2).stdout)["pending_recovery"]["phase"] == "together"
    assert "a rollback was interrupted" in three.say("doctor", at=2, check=False).stdout
    three.say("recover", at=0)
    three.as_before()
    three.say("snapshot", at=2)


def test_a_foreign_record_moves_nothing_elsewhere(three: Three) -> None:
    """A sidecar that came from elsewhere may name any directory: that one's own sidecar says nothing of it."""
    three.upgrade()
    members = tuple((str(root), str(sidecar_of(root, three.home))) for root in three.roots)
    for _, store in members[:2]:
        with Sidecar(store) as sidecar:
            ids = [s.id for s in catalog.snapshots(sidecar)]
            set_rollback.begin(sidecar, SetRollback("0123", "none", members, (ids[0],) * 3, ids[-1]))
    three.say("recover", at=0)
    assert three.upgraded() == [True] * 3


def test_services_start_when_all_are_back(three: Three) -> None:
    """Each is stopped before the first directory goes back, and finds all of them as they were when it starts."""
    three.say("run", "--", "true")
    log = three.top / "log"
    look = f"cat {' '.join(f'{root}/f' for root in three.roots)} | tr '\\\\n' ' ' >>{log}; echo >>{log}"
    for at in (0, 2):
        own = sidecar_of(three.roots[at], three.home) / "gitsnap.toml"
        own.write_text(f'[service]\nstop = "echo stop >>{log}"\nstart = "{look}"\n')
        own.chmod(0o600)
    three.upgrade("--check", "false", check=20)
    old = "old app old etc old data "
    assert log.read_text().splitlines() == ["stop", "stop", old, old]
    three.upgrade()
    log.unlink()
    three.say("rollback", "--yes")
    assert log.read_text().splitlines() == ["stop", "stop", old, old]
    three.say("undo")
    log.unlink()
    three.killed("true")
    three.say("recover", at=1)
    assert log.read_text().splitlines()[:3] == ["stop", "stop", "new new new "]


def test_a_service_that_does_not_stop_keeps_all_where_they_are(three: Three) -> None:
    three.upgrade()
    own = sidecar_of(three.roots[1], three.home) / "gitsnap.toml"
    own.write_text('[service]\nstop = "false"\nstart = "true"\n')
    own.chmod(0o600)
    three.say("rollback", "--yes", check=1)
    assert three.upgraded() == [True] * 3
    three.say("snapshot", at=0)


def test_what_all_go_back_to_outlives_retention(three: Three) -> None:
    """Snapshots of one of them settle nothing, and take the way back from none."""
    three.killed("true")
    own = sidecar_of(three.roots[0], three.home) / "gitsnap.toml"
    own.write_text("[retention]\nkeep-last = 1\n")
    for number in range(3):
        (three.roots[0] / "f").write_text(f"{number}\n")
        three.say("snapshot", at=0)
        three.say("verify", at=0)
        three.say("prune", "--keep-last", "1", "--yes", at=0)
    three.say("recover", at=1)
    three.as_before()
