"""Nothing secret leaves unless somebody has said so; what is over there is judged by stock git."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gitsnap.core.errors import SecretsError, UsageError
from gitsnap.core.remote import Remote, from_table
from gitsnap.core.secrets.rules import Rules
from gitsnap.ops.capture.request import Request
from gitsnap.ops.remote import bundle, secret_guard
from gitsnap.ops.remote.bundle import Wanted
from gitsnap.ops.remote.push import Pushed, PushOptions, push
from gitsnap.ops.remote.remotes import survey
from gitsnap.ops.remote.secret_guard import Permits
from gitsnap.sidecar import catalog
from tests.support.inprocess import Protected, bare_git, workspace

SECRET = "hunter2-and-more"


@pytest.fixture
def top() -> Iterator[Path]:
    with workspace() as where:
        subprocess.run(["git", "init", "-q", "--bare", where / "there.git"], check=True)
        yield where


@pytest.fixture
def place(top: Path) -> Iterator[Protected]:
    (top / "app/config").mkdir(parents=True)
    (top / "app/config/db.env").write_text(f"HOST=db\nDB_PASSWORD={SECRET}\n")
    (top / "app/plain").write_text("nothing\n")
    with Protected(top / "app", top / "home") as found:
        found.take()
        yield found


def send(place: Protected, *allow: str, dry_run: bool = False, **more: str) -> Pushed:
    remote = Remote("there", str(place.root.parent / "there.git"), **more)  # type: ignore[arg-type]
    options = PushOptions(place.now, dry_run=dry_run, allow=tuple(each.encode() for each in allow))
    return push(place.sidecar, remote, place.settings, options)


def stopped(place: Protected, *allow: str, **more: object) -> list[tuple[bytes, str]]:
    with pytest.raises(SecretsError) as error:
        send(place, *allow, **more)  # type: ignore[arg-type]
    assert error.value.exit_code == 15
    assert SECRET not in str(error.value)
    return [*map(tuple, error.value.found)]


def there(place: Protected) -> bytes:
    return bare_git(place.root.parent / "there.git", "count-objects", "-v") + bare_git(
        place.root.parent / "there.git", "for-each-ref"
    )


def test_a_secret_stops_all_of_it(place: Protected) -> None:
    before = there(place)
    assert stopped(place) == [(b"config/db.env", "DB_PASSWORD")]
    assert stopped(place, dry_run=True) == [(b"config/db.env", "DB_PASSWORD")]
    assert there(place) == before
    assert place.sidecar.noted.details["secrets"]["stopped"] == ["config/db.env: DB_PASSWORD"]


def test_nothing_of_it_goes_to_a_side_that_takes_one_ref_at_a_time(place: Protected) -> None:
    bare_git(place.root.parent / "there.git", "config", "receive.advertiseAtomic", "false")
    before = there(place)
    stopped(place)
    assert there(place) == before
    assert send(place, "config").there == 1


def test_what_was_allowed_is_remembered_until_the_value_is_another(place: Protected) -> None:
    done = send(place, "config/db.env:DB_PASSWORD")
    assert [(one.path, one.key) for one in done.allowed] == [("config/db.env", "DB_PASSWORD")]
    (place.root / "config/db.env").write_text(f"HOST=db2\nDB_PASSWORD={SECRET}\n")
    (place.root / "config/db.env").rename(place.root / "db.env")
    place.take()
    assert send(place).allowed == []
    (place.root / "db.env").write_text("HOST=db2\nDB_PASSWORD=hunter3-and-more\n")
    place.take()
    assert stopped(place) == [(b"db.env", "DB_PASSWORD")]
    kept = b"".join(p.read_bytes() for p in Path(place.sidecar.own("allowed")).iterdir())
    assert SECRET.encode() not in kept
    assert b"db.env" in kept


def test_to_try_remembers_nothing(place: Protected) -> None:
    assert send(place, "config", dry_run=True).allowed
    stopped(place)


def test_what_was_allowed_counts_for_one_remote_at_one_place(place: Protected, top: Path) -> None:
    send(place, ".")
    remotes = {"there": Remote("there", str(top / "there.git")), "other": Remote("other", str(top / "there.git"))}
    found = survey(place.sidecar, replace(place.settings, remotes=remotes), catalog.snapshots(place.sidecar))
    assert [(each.remote.name, len(each.allowed)) for each in found] == [("other", 0), ("there", 1)]
    subprocess.run(["git", "init", "-q", "--bare", top / "second.git"], check=True)
    with pytest.raises(SecretsError):
        push(place.sidecar, Remote("there", str(top / "second.git")), place.settings, PushOptions(place.now))


def test_a_remote_may_get_all_of_them(place: Protected) -> None:
    assert send(place, secrets="allow").there == 1


def test_only_what_is_new_is_looked_at(place: Protected) -> None:
    assert send(place, ".").inspected.files == 2
    (place.root / "new").write_text("new\n")
    place.take()
    assert send(place).inspected.files == 1


def test_what_is_not_looked_at_is_counted(place: Protected, monkeypatch: pytest.MonkeyPatch) -> None:
    (place.root / "node_modules/x").mkdir(parents=True)
    (place.root / "node_modules/x/a.json").write_text(f'{{"password": "{SECRET}"}}')
    (place.root / "binary").write_bytes(b"password=\0" + SECRET.encode())
    (place.root / "large").write_text(f"password = {SECRET}\n" * 100)
    (place.root / "config/db.env").unlink()
    place.delete("latest")
    place.take()
    monkeypatch.setattr(secret_guard, "LARGEST", 1000)
    found = send(place).inspected
    assert (found.files, found.binary, found.large, found.brought) == (1, 1, 1, 1)


def test_a_nested_repository_is_looked_at_by_its_real_path(place: Protected) -> None:
    (place.root / "x/.git").mkdir(parents=True)
    (place.root / "x/.git/config").write_text('[remote "o"]\n\turl = https://joe:geheim99x@host/x\n')
    place.take()
    assert (b"x/.git/config", "line 2") in stopped(place)


def test_a_command_that_was_recorded_is_looked_at(place: Protected) -> None:
    (place.root / "config/db.env").unlink()
    place.delete("latest")
    taken = place.take(Request(message="PGPASSWORD=geheim99x was set")).snapshot.id
    assert stopped(place) == [(f"message of {taken}".encode(), "PGPASSWORD")]


def test_names_of_ones_own_count(place: Protected) -> None:
    (place.root / "config/db.env").write_text("losung = geheim99x\n")
    place.delete("latest")
    place.take()
    place.settings = replace(place.settings, secrets=Rules(names=("losung",)))
    assert stopped(place) == [(b"config/db.env", "losung")]


def test_a_bundle_that_is_not_encrypted_is_not_written(place: Protected, top: Path) -> None:
    (top / "out").mkdir()
    with pytest.raises(SecretsError) as error:
        bundle.create(place.sidecar, str(top / "out/a"), Wanted(), place.settings, now=place.now)
    assert "--to" in str(error.value.hint)
    assert [*(top / "out").iterdir()] == []
    permits = Permits(named=(b"config",))
    made = bundle.create(place.sidecar, str(top / "out/a"), Wanted(permits=permits), place.settings, now=place.now)
    assert [one.key for one in made.permitted] == ["DB_PASSWORD"]


def test_a_folder_of_bundles_is_a_remote_like_others(place: Protected, top: Path) -> None:
    (top / "out").mkdir()
    remote = Remote("usb", f"bundles:{top}/out")
    with pytest.raises(SecretsError):
        push(place.sidecar, remote, place.settings, PushOptions(place.now))
    assert [*(top / "out").iterdir()] == []
    push(place.sidecar, remote, place.settings, PushOptions(place.now, allow=(b".",)))
    (place.root / "config/db.env").write_text(f"DB_PASSWORD={SECRET}\nX=1\n")
    place.take()
    assert push(place.sidecar, remote, place.settings, PushOptions(place.now)).allowed == []
    push(place.sidecar, replace(remote, name="all", secrets="allow"), place.settings, PushOptions(place.now))


def test_a_git_repository_is_not_encrypted() -> None:
    with pytest.raises(UsageError):
        from_table("there", {"url": "/srv/x.git", "secrets": "encrypt"})
