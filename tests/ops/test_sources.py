"""A folder that holds several copies is not one copy; which ones it holds, and what is none of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitsnap.core.errors import UsageError
from gitsnap.ops.capture.import_sources import inner_root, sources


def make(top: Path, *names: str) -> Path:
    top.mkdir(exist_ok=True)
    for name in names:
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    return top


@pytest.fixture
def app(tmp_path: Path) -> str:
    return str(make(tmp_path / "app", "index.php", "wp-content/u", "readme"))


CASES = {
    "dated directories": (["2024-01-01/index.php", "2024-02-01/index.php"], ["2024-01-01", "2024-02-01"], []),
    "archives": (["a-2024.tar.gz", "b.zip", "b.zip.sha256"], ["a-2024.tar.gz", "b.zip"], ["b.zip.sha256"]),
    "mixed": (["s-2024-01-01/index.php", "b.zip", "notes.txt"], ["b.zip", "s-2024-01-01"], ["notes.txt"]),
    "only one": (["site-2024-01-01/index.php"], ["site-2024-01-01"], []),
    "nested": (["2024/s-2024-01-01/index.php", "2025/x.tgz"], ["2024/s-2024-01-01", "2025/x.tgz"], []),
    "without dates": (["old/index.php", "older/index.php", "bin/run"], ["old", "older"], ["bin"]),
    "rotated": (["daily.0/index.php", "daily.1/index.php"], ["daily.0", "daily.1"], []),
    "a directory in each": (
        ["2024-01-01/app/index.php", "2024-01-01/db.sql"],
        ["2024-01-01/app"],
        ["2024-01-01/db.sql"],
    ),
    "one copy": (["index.php", "wp-content/u", "2024-01-01/log", "old.zip"], [""], []),
    "nothing known": (["a.txt", "lib/z"], [""], []),
    "old backups": (
        ["2024-01-01-n/checksums.sha256", "2024-01-01-n/backup_manifest.json", "2024-01-01-n/commands/c"],
        ["2024-01-01-n"],
        [],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_a_folder_holds(case: str, tmp_path: Path, app: str) -> None:
    names, copies, beside = CASES[case]
    folder = make(tmp_path / "bak", *names)
    found = sources([str(folder)], app, None)
    assert [c.path for c in found.copies] == [str(folder / c) for c in copies]
    assert found.beside == [str(folder / b) for b in beside]
    assert [c.path for c in sources([str(folder)], app, "tree").copies] == [str(folder)]


def test_the_folders_between_may_tell_the_time(tmp_path: Path, app: str) -> None:
    folder = make(tmp_path / "bak", "2024-01-01/app/index.php")
    assert sources([str(folder)], app, None).copies[0].names == ["app", "2024-01-01"]
    assert sources([str(folder / "2024-01-01/app")], app, None).copies[0].names == ["app"]


def test_what_may_be_one_copy_or_several_is_asked_back(tmp_path: Path, app: str) -> None:
    folder = make(tmp_path / "bak", "lib/x", "2024-01-01/y", "2024-02-01/y")
    with pytest.raises(UsageError, match="may be one copy, or hold 2") as refused:
        sources([str(folder)], app, None)
    assert "--layout tree" in str(refused.value.hint)


def test_the_root_of_an_archive(tmp_path: Path, app: str) -> None:
    whole, part = make(tmp_path / "whole", "site/index.php"), make(tmp_path / "part", "wp-content/u")
    several = make(tmp_path / "several", "index.php", "readme")
    assert inner_root(str(whole), app) == str(whole / "site")
    assert inner_root(str(part), app) == str(part)
    assert inner_root(str(several), app) == str(several)
