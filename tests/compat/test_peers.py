"""What docs/beside-other-tools.md says of other tools, tried with the tools themselves where they are installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.installation import REPOSITORY, git

_PAGE = REPOSITORY / "docs/beside-other-tools.md"
_IDENTITY = {f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def _committed(app: Path) -> None:
    git(app, "init", "-q", **_IDENTITY)
    git(app, "add", "-A", **_IDENTITY)
    git(app, "commit", "-qm", "before", **_IDENTITY)


def _checked_out(app: Path, to: Path) -> Path:
    git(app, "worktree", "add", "-q", str(to), **_IDENTITY)
    return to


def test_git_keeps_content_and_one_bit(tmp_path: Path) -> None:
    app = tmp_path / "app"
    (app / "spool").mkdir(parents=True)
    for name, mode in (("start", 0o755), ("key", 0o600), ("shared", 0o664)):
        (app / name).write_text(name)
        (app / name).chmod(mode)
        os.utime(app / name, (1_600_000_000, 1_600_000_000))
    _committed(app)
    back = _checked_out(app, tmp_path / "back")
    assert {n: (back / n).read_text() for n in ("start", "key", "shared")} == {n: n for n in ("start", "key", "shared")}
    assert (back / "start").stat().st_mode & 0o111
    # Two modes became one, whatever the umask makes of it.
    assert (back / "key").stat().st_mode == (back / "shared").stat().st_mode
    assert (back / "key").stat().st_mtime != 1_600_000_000
    assert not (back / "spool").exists()


def test_git_leaves_a_nested_repository_out(tmp_path: Path) -> None:
    app = tmp_path / "app"
    (app / "plugin").mkdir(parents=True)
    (app / "plugin/code").write_text("1")
    _committed(app / "plugin")
    _committed(app)
    assert list((_checked_out(app, tmp_path / "back") / "plugin").iterdir()) == []


def test_git_obeys_what_lies_in_the_directory(tmp_path: Path) -> None:
    app = tmp_path / "app"
    app.mkdir()
    (app / ".gitignore").write_text("*.log\n")
    (app / "shop.log").write_text("1")
    _committed(app)
    assert not (_checked_out(app, tmp_path / "back") / "shop.log").exists()


@pytest.mark.parametrize("tool", ["restic", "borg"])
def test_a_restored_backup_leaves_what_was_added(tool: str, tmp_path: Path) -> None:
    if not shutil.which(tool):
        pytest.skip(f"no {tool}")
    app, repository = tmp_path / "app", str(tmp_path / "repository")
    app.mkdir()
    (app / "config").write_text("old")
    env = {**os.environ, "HOME": str(tmp_path), "RESTIC_PASSWORD": "x", "BORG_BASE_DIR": str(tmp_path)}
    to_and_back = {
        "restic": (["init"], ["backup", str(app)], ["restore", "latest", "--target", "/"]),
        "borg": (
            ["init", "-e", "none", repository],
            ["create", f"{repository}::1", "."],
            ["extract", f"{repository}::1"],
        ),
    }
    start, keep, back = to_and_back[tool]
    first = [tool, "-q", "-r", repository] if tool == "restic" else [tool]
    for words in (start, keep):
        subprocess.run([*first, *words], cwd=app, env=env, check=True, capture_output=True)
    (app / "config").write_text("new, and longer")
    (app / "added").touch()
    subprocess.run([*first, *back], cwd=app, env=env, check=True, capture_output=True)
    assert (app / "config").read_text() == "old"
    assert (app / "added").exists()


def test_each_claim_has_a_test_or_a_source() -> None:
    rows = re.findall(r"^\| (.+?) \| (.+) \|$", _PAGE.read_text(), re.MULTILINE)
    claims = [(claim, shown) for claim, shown in rows if claim not in ("To", "Claim") and "Shown by" not in shown]
    claims = [
        (claim, shown) for claim, shown in claims[claims.index(next(c for c in claims if "comes back" in c[0])) :]
    ]
    assert len(claims) > 20
    for claim, shown in claims:
        tests = re.findall(r"`(tests/[\w/.]+)(?:::(\w+))?`", shown)
        assert tests or "](https://" in shown or "`make bench`" in shown, claim
        for file, name in tests:
            assert (REPOSITORY / file).exists(), file
            assert not name or f"def {name}(" in (REPOSITORY / file).read_text(), name
