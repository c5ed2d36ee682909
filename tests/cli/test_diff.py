"""`diff` beyond the contract: renames with changes, what a patch cannot say, keys, words, and the pager."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.helpers import document, refused
from tests.support.installation import IS_ROOT, REPOSITORY, build_app, copy_tree, run_gitsnap, take_snapshot
from tests.support.terminal import on_terminal

SHADY = "\x1b]0;title\x07\x1b[2J\x9b31m\u202e\ttab\r"


@pytest.fixture
def app(tmp_path: Path, gitsnap_home: Path) -> Path:
    app = build_app(tmp_path / "app")
    (app / "config/main.json").write_text('{"port": 80, "list": [1, 2]}\n')
    take_snapshot(app)
    return app


def show(app: Path, command: str, **env: str) -> tuple[int, str]:
    clean = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "PAGER", "LESS", "GITSNAP_PAGER")}
    script = f'gitsnap() {{ "{sys.executable}" -m gitsnap -C "{app}" "$@"; }}; {command}'
    environment = {**clean, "PYTHONPATH": str(REPOSITORY), "TERM": "xterm", **env}
    return on_terminal(["bash", "-c", script], cwd=app.parent, env=environment, seconds=300)


def test_a_file_that_was_renamed_and_changed(app: Path, tmp_path: Path) -> None:
    before = copy_tree(app, tmp_path / "before")
    cart = (app / "modules/cart.sh").read_text()
    (app / "modules/cart.sh").unlink()
    (app / "modules/my basket.sh").write_text(cart + "# more\n")
    found = {c["path"]: c for c in document("-C", app, "diff")["changes"]}
    change = found["modules/my basket.sh"]
    assert (change["status"], change["old_path"], change["similarity"]) == ("renamed", "modules/cart.sh", 99)
    text = run_gitsnap("-C", app, "diff").stdout
    assert "similarity index 99%\nrename from modules/cart.sh\nrename to modules/my basket.sh\n" in text
    (tmp_path / "p").write_text(text)
    for command in (["git", "apply"], ["patch", "-p1", "-s", "-i"]):
        if shutil.which(command[0]) is None:
            continue
        copy = copy_tree(before, tmp_path / command[0])
        subprocess.run([*command, tmp_path / "p"], cwd=copy, check=True)
        assert (copy / "modules/my basket.sh").read_text() == cart + "# more\n"
        assert not (copy / "modules/cart.sh").exists()
    zero = run_gitsnap("-C", app, "diff", "--name-status", "-z").stdout
    assert zero == "R099\0modules/cart.sh\0modules/my basket.sh\0"
    plain = run_gitsnap("-C", app, "diff", "--no-renames", "--name-status", "-z").stdout
    assert plain == "D\0modules/cart.sh\0A\0modules/my basket.sh\0"


def test_what_a_patch_cannot_say(app: Path) -> None:
    (app / "data/blob.bin").write_bytes(b"\x89PNG\r\n\0" * 100)
    (app / "new.bin").write_bytes(b"\0" * 10)
    os.mkfifo(app / "pipe")
    (app / "nothing/below").mkdir(parents=True)
    (app / "spool/incoming").rmdir()
    (app / "release-1.9").chmod(0o600)
    os.setxattr(app / "release-1.9", "user.note", b"x")
    (app / "plugins/theme/.git/description").write_text("mine\n")
    text = run_gitsnap("-C", app, "diff").stdout
    assert "# data/blob.bin: PNG image, 700 B, was binary, 16.4 kB\n" in text
    assert "# new.bin: new, binary, 10 B\n" in text
    assert "# pipe: new, a FIFO\n" in text
    assert "# nothing/below: new, an empty directory\n# p" in text
    assert "# spool/incoming: removed, an empty directory\n" in text
    assert "# release-1.9: mode 0600, was 0644\n# release-1.9: extended attribute user.note new\n" in text
    assert "# +mine\n" in text
    assert [line for line in text.splitlines() if not line.startswith("#")] == []


@pytest.mark.skipif(not IS_ROOT, reason="only root can give files away")
def test_owners(app: Path) -> None:
    os.chown(app / "release-1.9", 33, 33)
    assert run_gitsnap("-C", app, "diff").stdout == "# release-1.9: owner www-data:www-data, was root:root\n"


def test_key_by_key(app: Path) -> None:
    (app / "config/main.json").write_text('{\n  "list": [1, 2],\n  "port": 8080\n}\n')
    (app / "config/shop.ini").write_text("port = 8080\ncurrency = EUR\n")
    (app / "release-1.9").write_text("2.0\n")
    text = run_gitsnap("-C", app, "diff", "--semantic").stdout
    assert text.startswith("config/main.json\n      port: 80 → 8080\n")
    assert "config/shop.ini: the same data, written differently\n" in text
    assert text.endswith("@@ -1 +1 @@\n-1.9\n+2.0\n")
    found = {c["path"]: c["keys"] for c in document("-C", app, "diff", "--semantic")["changes"]}
    (key,) = found["config/main.json"]
    assert (key["key"], key["old"], key["new"], key["masked"]) == ("port", 80, 8080, False)
    assert (found["config/shop.ini"], found["release-1.9"]) == ([], None)


def test_by_words_and_with_less_around(app: Path) -> None:
    (app / "config/shop.ini").write_text("currency = EUR\nport = 80\n")
    assert "port = [-8080-]{+80+}\n" in run_gitsnap("-C", app, "diff", "--word-diff").stdout
    assert "@@ -2 +2 @@ currency = EUR\n-port" in run_gitsnap("-C", app, "diff", "-U", "0").stdout
    refused("-C", app, "diff", "--stat", "--semantic", code=2, kind="usage")
    refused("-C", app, "diff", "-z", code=2, kind="usage")


def test_contents_cannot_take_over_the_terminal(app: Path) -> None:
    (app / "release-1.9").write_text(SHADY + "\n")
    for options in ("", "--word-diff"):
        for pager in ("cat", "tr x x"):
            code, shown = show(app, f"gitsnap diff {options}", GITSNAP_PAGER=pager)
            assert code == 0
            assert "\\x1b]0;title\\x07\\x1b[2J\\x9b31m\\u202e\ttab" in shown
            for forbidden in ("\x1b]", "\x1b[2J", "\x9b", "\u202e"):
                assert forbidden not in shown
    assert "+" + SHADY.rstrip() in run_gitsnap("-C", app, "diff").stdout


def test_the_pager(app: Path, tmp_path: Path) -> None:
    (app / "release-1.9").write_text("2.0\n")
    env = {"LESSOPEN": "|touch pwned", "LESSSECURE": "0", "GIT_DIR": "/x", "PAGER": "echo the wrong one"}
    code, shown = show(app, "gitsnap diff", GITSNAP_PAGER="env | sort; sed 's/^/> /'", **env)
    assert code == 0
    assert "LESSSECURE=1\n" in shown
    assert "LESS=FRX\n" in shown
    assert "LESSOPEN" not in shown
    assert "GIT_DIR" not in shown
    assert "> \x1b[32m+2.0\x1b[0m\n" in shown
    assert "the wrong one" in show(app, "gitsnap diff", **env)[1]
    for straight in ("gitsnap diff --no-pager", "gitsnap diff | cat", "PAGER= gitsnap diff", "gitsnap --json diff"):
        code, shown = show(app, straight, **env)
        assert (code, "2.0" in shown or "release-1.9" in shown, "the wrong one" in shown) == (0, True, False)
    assert not list(tmp_path.rglob("pwned"))


def test_a_pager_that_is_left_early(app: Path) -> None:
    (app / "long").write_text("line\n" * 20_000)
    for pager in ("true", "head -n 2", "exit 3"):
        code, shown = show(app, "gitsnap diff; echo code $?; gitsnap diff --exit-code; echo code $?", PAGER=pager)
        assert code == 0
        assert "code 0\n" in shown
        assert "code 1\n" in shown
        assert "roken" not in shown
