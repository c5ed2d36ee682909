"""`compose-upgrade`, with a program that stands for docker: tags, images, containers, one that is not healthy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.installation import REPOSITORY, run_gitsnap

pytestmark = pytest.mark.long

HELPER = REPOSITORY / "packages/compose/compose-upgrade"
# As docker: an image is an id, a tag means one; what a registry has comes by `pull`. A container that starts changes
# its data. Whatever is asked that is not known here is an error.
_DOCKER = r"""
import json, os, re, sys
path, words = os.environ["DOCKER_STATE"], sys.argv[1:]
state = json.load(open(path))
state["said"].append(words)
code = 0
if words[:2] == ["compose", "--project-directory"]:
    root, what, rest = words[2], words[3], words[4:]
    name = re.search("image: (.*)", open(root + "/compose.yaml").read())[1]
    if (what, rest) == ("config", ["--format", "json"]):
        print(json.dumps({"services": {"web": {"image": name}}}))
    elif (what, rest) == ("ps", ["--all", "--quiet", "web"]):
        print(*(["c1"] if state["container"] else []))
    elif (what, rest) == ("stop", ["web"]):
        state["runs"] = False
    elif (what, rest) == ("pull", ["web"]):
        code = name not in state["registry"]
        state["tags"][name] = state["registry"].get(name, state["tags"].get(name))
    elif what == "up" and {"--wait", "--detach", "--no-deps", "--pull", "never", "web"} <= set(rest):
        state["container"], state["runs"] = state["tags"][name], True
        with open(root + "/data/db", "a") as db:
            db.write(f"opened by {state['container']}\n")
        code = state["container"] in state["broken"]
    else:
        sys.exit(f"docker does not know {words}")
elif words[:2] == ["inspect", "--format"] and words[3] == "c1":
    print(state["container"] if words[2] == "{{.Image}}" else "unhealthy" if state["sick"] else "healthy")
elif words[:3] == ["image", "inspect", "--format"]:
    print(state["tags"][words[4]])
elif words[0] == "tag":
    state["tags"][words[2]] = words[1]
else:
    sys.exit(f"docker does not know {words}")
json.dump(state, open(path, "w"))
sys.exit(code)
"""
OLD, NEW = "sha256:" + "1" * 64, "sha256:" + "2" * 64


class Compose:
    def __init__(self, where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self._state = where / "it's my app", where / "docker.json"
        (self.root / "data").mkdir(parents=True)
        (self.root / "compose.yaml").write_text("services:\n  web:\n    image: shop:1\n")
        (self.root / "data/db").write_text("mine\n")
        programs = where / "programs"
        programs.mkdir()
        # Without site: it is started sixty times.
        (programs / "docker").write_text(f"#!{sys.executable} -ES\n{_DOCKER}")
        (programs / "gitsnap").write_text(f"#!{sys.executable}\nfrom gitsnap.__main__ import main; main()\n")
        for name in ("docker", "gitsnap"):
            (programs / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
        monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
        monkeypatch.setenv("DOCKER_STATE", str(self._state))
        self.set(tags={"shop:1": OLD}, registry={"shop:1": NEW, "shop:2": NEW}, container=OLD, runs=True, broken=[])
        self.set(sick=False, said=[])

    def set(self, **facts: object) -> None:
        before = json.loads(self._state.read_text()) if self._state.exists() else {}
        self._state.write_text(json.dumps(before | facts))

    def __getattr__(self, name: str) -> Any:
        return json.loads(self._state.read_text())[name]

    def upgrade(self, *command: str, code: int = 0) -> str:
        done = subprocess.run([HELPER, self.root, "web", *command], capture_output=True, text=True, cwd="/")
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    @property
    def db(self) -> str:
        return (self.root / "data/db").read_text()


@pytest.fixture
def compose(tmp_path: Path, gitsnap_home: Path, monkeypatch: pytest.MonkeyPatch) -> Compose:
    return Compose(tmp_path, monkeypatch)


def test_a_healthy_one_is_kept_and_goes_back_by_hand_with_its_image(compose: Compose) -> None:
    compose.upgrade()
    assert (compose.container, compose.runs, compose.db) == (NEW, True, f"mine\nopened by {NEW}\n")
    said = [words[3] for words in compose.said if words[0] == "compose" and words[3] in ("stop", "pull", "up")]
    assert said == ["stop", "pull", "up"]
    # No prune takes what may be gone back to.
    assert {f"gitsnap-kept:{'1' * 64}", f"gitsnap-kept:{'2' * 64}"} <= compose.tags.keys()
    (store,) = Path(os.environ["GITSNAP_HOME"]).glob("*.git")
    helper, root = f"'{HELPER}'", str(compose.root).replace("'", "'\\''")
    (store / "gitsnap.toml").write_text(
        f"[service]\nstop = {json.dumps(f'{helper} --stop {chr(39)}{root}{chr(39)} web')}\n"
        f"start = {json.dumps(f'{helper} --start {chr(39)}{root}{chr(39)} web')}\n"
    )
    (store / "gitsnap.toml").chmod(0o600)
    run_gitsnap("rollback", "--yes", cwd=compose.root, env={"PATH": os.environ["PATH"]})
    assert (compose.container, compose.tags["shop:1"], compose.runs) == (OLD, OLD, True)
    assert compose.db == f"mine\nopened by {OLD}\n"


def test_what_does_not_come_up_goes_back_data_and_image(compose: Compose) -> None:
    compose.set(broken=[NEW])
    compose.upgrade(code=20)
    assert (compose.container, compose.tags["shop:1"], compose.runs) == (OLD, OLD, True)
    assert compose.db == f"mine\nopened by {OLD}\n"


def test_a_tag_that_is_changed_is_changed_back(compose: Compose) -> None:
    compose.set(sick=True)
    compose.upgrade("sed", "-i", "s/shop:1/shop:2/", "compose.yaml", code=20)
    assert (compose.container, "shop:1" in (compose.root / "compose.yaml").read_text()) == (OLD, True)
    assert NEW in [words[1] for words in compose.said if words[0] == "tag" and words[2] == "shop:2"]
