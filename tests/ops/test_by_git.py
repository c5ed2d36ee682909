"""Where dulwich's clients do not get there stock git does: the same goes and comes, and the same is told."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gitsnap.core.errors import RemoteError
from gitsnap.core.events import Silent
from gitsnap.core.remote import Remote
from gitsnap.ops.remote import clone as operation
from gitsnap.ops.remote import fleet, receive
from gitsnap.ops.remote.pull import PullOptions, pull
from gitsnap.ops.remote.push import Pushed, PushOptions, push
from gitsnap.ops.remote.sources import open_source
from gitsnap.ops.store import locate
from gitsnap.sidecar import exchange, stale_files
from gitsnap.sidecar.git import pack_exchange, stock_exchange, stock_git
from gitsnap.sidecar.git.transport import Target
from tests.ops.test_push import There
from tests.support.git_http import PASSWORD, USER, proxy, served
from tests.support.inprocess import SETTINGS, Protected, bare_git, workspace
from tests.support.installation import same_tree

_ELSEWHERE = "https://git.example.org"


class Heard(Silent):
    """What was told in passing."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def noticed(self, message: str) -> None:
        self.lines.append(message)


@dataclass
class Way:
    """A server, what git's configuration has to say to get there, and the reason that is told."""

    top: Path
    server: dict[str, object] = field(default_factory=dict)
    config: str = ""
    why: str = ""
    # Where it is not at the URL that the server has.
    url: str = ""

    def configure(self, more: str = "") -> None:
        (self.top / "home/.gitconfig").write_text(self.config + more)

    def helper(self, password: str = PASSWORD) -> None:
        script = self.top / "helper"
        script.write_text(f'#!/bin/sh\n[ "$1" = get ] && printf "username={USER}\\npassword={password}\\n"\nexit 0\n')
        script.chmod(0o755)
        self.config += f"[credential]\n\thelper = {script}\n"


def cookie(top: Path) -> Way:
    way = Way(top, {"cookie": "door=open"}, f"[http]\n\tcookieFile = {top}/cookies\n", "http.cookiefile is set")
    (top / "cookies").write_text("127.0.0.1\tFALSE\t/\tFALSE\t0\tdoor\topen\n")
    way.helper()
    return way


def netrc(top: Path) -> Way:
    (top / "home/.netrc").write_text(f"machine 127.0.0.1 login {USER} password {PASSWORD}\n")
    return Way(top, why="passwords for it may be in ~/.netrc")


def odd(top: Path) -> Way:
    way = Way(top, {"odd": True}, why="dulwich does not understand it")
    way.helper()
    return way


def remote_helper(top: Path) -> Way:
    config = f'[protocol "ext"]\n\tallow = always\n[url "ext::%S {top}/"]\n\tinsteadOf = {_ELSEWHERE}/\n'
    return Way(top, config=config, why="git's configuration has ext:: for it", url=_ELSEWHERE)


@pytest.fixture
def top(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with workspace() as where:
        for name in ("GIT_CONFIG_GLOBAL", "http_proxy", "https_proxy", "all_proxy", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        (where / "home").mkdir()
        monkeypatch.setenv("HOME", str(where / "home"))
        monkeypatch.setenv("XDG_CONFIG_HOME", str(where / "home"))
        yield where


@pytest.fixture
def there(top: Path) -> There:
    found = There(top / "there.git")
    found.git("config", "http.receivepack", "true")
    return found


@pytest.fixture
def place(top: Path) -> Iterator[Protected]:
    (top / "app/deep").mkdir(parents=True)
    for number in range(60):
        (top / f"app/deep/f{number}").write_text(f"content {number}\n" * 30)
    with Protected(top / "app", top / "sidecars") as found:
        found.take()
        yield found


@contextmanager
def reached(way: Way) -> Iterator[str]:
    with served(way.top, **way.server) as url:
        way.configure()
        yield f"{way.url or url}/there.git"


def send(place: Protected, url: str) -> tuple[Pushed, list[str]]:
    heard = Heard()
    wanted = PushOptions(place.now, observer=heard)
    return push(place.sidecar, Remote("there", url, installation="web/shop"), place.settings, wanted), heard.lines


@pytest.mark.parametrize("make", [cookie, netrc, odd, remote_helper])
def test_it_goes_comes_back_and_is_listed(
    top: Path, there: There, place: Protected, make: Callable[[Path], Way]
) -> None:
    way = make(top)
    with reached(way) as url:
        done, told = send(place, url)
        assert (len(done.snapshots), done.timeline, done.by_git) == (1, "pushed", way.why)
        assert told == [f"stock git goes to {url}: {way.why}"]
        before = there.objects()
        (place.root / "deep/f7").write_text("changed")
        place.take()
        assert len(send(place, url)[0].snapshots) == 1
        # The commits of snapshot, timeline, notes and machine, and one blob, with the trees above it and the texts.
        assert there.objects() - before < 20
        assert send(place, url)[0].refs == 0
        there.git("fsck", "--full", "--strict", "--no-dangling")
        heard = Heard()
        listed = fleet.survey(url, fleet.Asked(place.now, observer=heard))
        assert [(row.name, row.snapshots) for row in listed.rows] == [("web/shop", 2)]
        new = locate.place_for(str(top / "new"), None, str(top / "sidecars"), "/", "")
        with open_source(url, "/", observer=heard) as source:
            back = operation.clone(source, new, None, receive.Asked(SETTINGS, place.now))
        assert back.restored is not None
        assert back.restored.verified
        same_tree(place.root, top / "new")
        bare_git(Path(new.store), "fsck", "--full", "--strict")
        # Of the newer protocol, by which one lists, dulwich understands the odd one.
        assert len(heard.lines) == (1 if make is odd else 2)
    assert not [*place.store.rglob("gitsnap-git-*"), *Path(new.store).rglob("gitsnap-git-*")]
    assert PASSWORD not in "".join([*told, *heard.lines])


def test_through_a_proxy_that_wants_a_password(top: Path, there: There, place: Protected) -> None:
    passed: list[str] = []
    way = Way(top)
    way.helper()
    with proxy(passed) as through, reached(way) as url:
        way.configure(f"[http]\n\tproxy = http://{USER}:{PASSWORD}@{through}\n")
        done, told = send(place, url)
        assert done.by_git == "there is a proxy on the way"
        way.configure(f"[http]\n\tproxy = http://{through}\n")
        with pytest.raises(RemoteError) as error:
            send(place, url)
    assert passed
    assert "407" in str(error.value)
    assert PASSWORD not in "".join([*told, str(error.value)])


def test_what_was_changed_meanwhile_is_not_overwritten(
    top: Path, there: There, place: Protected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else pushes between our look and our push: his notes stay."""
    with reached(cookie(top)) as url:
        send(place, url)
        (place.root / "deep/f7").write_text("changed")
        newest = place.take().snapshot
        with Protected(top / "home", top / "others") as other:
            other.take()
            held = there.refs()
            name = "refs/notes/gitsnap/fleet/web/shop/manifest"
            foreign = other.git("rev-parse", "refs/notes/gitsnap/manifest").decode().strip()
            subprocess.run(["git", "-C", there.path, "fetch", "-q", other.store, foreign], check=True)
        plain = stock_exchange.push
        times: list[int] = []

        def late(*arguments: object, **more: object) -> dict[str, str]:
            if not times:
                there.git("update-ref", name, foreign, held[name])
            times.append(1)
            return plain(*arguments, **more)  # type: ignore[arg-type]

        monkeypatch.setattr(stock_exchange, "push", late)
        assert send(place, url)[0].snapshots == [newest.id]
    assert len(times) == 3
    notes = there.git("notes", "--ref=gitsnap/fleet/web/shop/manifest", "list")
    assert newest.commit in notes
    # His, and both of ours.
    assert len(notes.splitlines()) == 3


def test_what_is_refused_is_so_by_git_too(top: Path, there: There, place: Protected) -> None:
    there.hook("update", 'case $1 in *snapshots*) echo "not today" >&2; exit 1;; esac')
    with reached(cookie(top)) as url, pytest.raises(RemoteError) as error:
        send(place, url)
    assert error.value.kind == "remote-refused"
    assert "refused refs/gitsnap/fleet/web/shop/snapshots/" in str(error.value)
    assert "not today" in str(error.value)
    assert there.refs() == {}


def test_no_git_is_asked_where_a_server_refuses(top: Path, there: There, place: Protected) -> None:
    way = Way(top, {"cookie": "door=open"})
    way.helper()
    heard = Heard()
    with reached(way) as url, pytest.raises(RemoteError):
        push(place.sidecar, Remote("there", url), place.settings, PushOptions(place.now, observer=heard))
    assert heard.lines == []


def test_nothing_of_the_installation_or_the_sidecar_is_run(top: Path, there: There, place: Protected) -> None:
    """Neither hooks and helpers that the sidecar's config names, nor those of the user's that have no part in this."""
    marker = top / "ran"
    script = top / "script"
    script.write_text(f"#!/bin/sh\necho $0 >> {marker}\nexit 1\n")
    script.chmod(0o755)
    hooks = top / "hooks"
    hooks.mkdir()
    for name in ("pre-push", "reference-transaction", "post-checkout"):
        (hooks / name).symlink_to(script)
    words = f"[core]\n\thooksPath = {hooks}\n\tfsmonitor = {script}\n\talternateRefsCommand = {script}\n"
    with (place.store / "config").open("a") as file:
        file.write(f"{words}\tsshCommand = {script}\n[credential]\n\thelper = {script}\n[gpg]\n\tprogram = {script}\n")
    way = cookie(top)
    way.config += words + f"[push]\n\tgpgSign = if-asked\n\tfollowTags = true\n[gpg]\n\tprogram = {script}\n"
    with reached(way) as url:
        assert send(place, url)[0].by_git
        (top / "other").mkdir()
        with Protected(top / "other", top / "sidecars") as empty:
            pull(empty.sidecar, Remote("there", url, installation="web/shop"), SETTINGS, PullOptions(place.now))
            assert len(empty.snapshots()) == 1
    assert not marker.exists()


def test_notes_are_fetched_into_a_folder_that_the_next_writer_removes_when_its_owner_is_dead(
    place: Protected, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = []

    def notes_at(target: object, value: str, folder: str) -> tuple[dict[str, bytes], str]:
        stale_files.clear(place.sidecar.path)
        folders.append(folder)
        assert os.path.isdir(folder)
        return {}, value

    monkeypatch.setattr(pack_exchange, "notes_at", notes_at)
    exchange.fetch_notes(place.sidecar, Target("file:///nowhere", "/nowhere"), "0" * 40)
    (folder,) = folders
    assert not os.path.exists(folder)
    os.mkdir(folder)
    stale_files.clear(place.sidecar.path)
    assert not os.path.exists(folder)


def test_what_a_dead_one_fetched_goes_and_what_a_living_one_fetches_stays(place: Protected) -> None:
    with stock_git.workshop(None, b"", within=place.sidecar.scratch) as room:
        dead = shutil.copytree(room.git_dir, os.path.join(place.sidecar.scratch, f"{stock_git.ROOM}dead"))
        stale_files.clear(place.sidecar.path)
        assert os.path.exists(room.git_dir)
    assert not os.path.exists(dead)


def test_a_server_of_files_can_be_cloned(top: Path, there: There, place: Protected) -> None:
    push(place.sidecar, Remote("there", str(there.path)), place.settings, PushOptions(place.now))
    there.git("update-server-info")
    server = subprocess.Popen(
        ["python3", "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "-d", str(top)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert server.stdout is not None
        port = server.stdout.readline().split("port ")[1].split()[0]
        new = locate.place_for(str(top / "new"), None, str(top / "sidecars"), "/", "")
        heard = Heard()
        with open_source(f"http://127.0.0.1:{port}/there.git", "/", observer=heard) as source:
            operation.clone(source, new, None, receive.Asked(SETTINGS, place.now))
    finally:
        server.kill()
        server.wait()
        assert server.stdout is not None
        server.stdout.close()
    same_tree(place.root, top / "new")
    assert len(heard.lines) == 1
