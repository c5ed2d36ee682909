"""The installations of a server, as they are asked for."""

from __future__ import annotations

import json
import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gitsnap import api
from tests.support.installation import run_gitsnap, take_snapshot

_NAMES = ["web-1/app", "web-2/<b>app"]


@pytest.fixture
def there(tmp_path: Path, gitsnap_home: Path) -> Path:
    """A repository that two installations have pushed to, one of them since 2020."""
    found = tmp_path / "there.git"
    subprocess.run(["git", "init", "-q", "--bare", str(found)], check=True)
    for number, name in enumerate(_NAMES):
        app = tmp_path / f"app{number}"
        app.mkdir()
        (app / "f").write_text(name)
        take_snapshot(app)
        run_gitsnap("-C", str(app), "remote", "add", "srv", str(found), "--installation", name)
        run_gitsnap("-C", str(app), "push", "srv")
    return found


def answer(*words: str, code: int = 0, cwd: Path | None = None) -> str:
    done = run_gitsnap("fleet", *words, check=False, cwd=cwd)
    assert done.returncode == code, done.stderr
    return done.stdout


def test_a_line_for_each(there: Path, tmp_path: Path) -> None:
    lines = answer(str(there)).splitlines()
    assert lines[0].split()[:2] == ["INSTALLATION", "NEWEST"]
    assert [line.split()[0] for line in lines[1:]] == _NAMES
    assert answer("srv", cwd=tmp_path / "app0").splitlines()[1].split()[:2] == lines[1].split()[:2]
    assert answer("there.git", cwd=tmp_path).splitlines()[2].split()[:2] == lines[2].split()[:2]


def test_document(there: Path) -> None:
    found = json.loads(answer(str(there), "--json"))
    assert [each["installation"] for each in found["installations"]] == _NAMES
    first: dict[str, Any] = found["installations"][0]
    assert (first["snapshots"], first["files"], first["signed"], first["stale"]) == (1, 1, None, None)
    assert first["bytes"] == len(_NAMES[0])
    assert re.fullmatch(r"[0-9a-f]{40}", first["commit"])
    assert [row.name for row in api.fleet(str(there)).rows] == _NAMES


def test_behind_ends_with_1_where_that_is_asked_for(there: Path) -> None:
    assert answer(str(there), "--older-than", "2d", "--exit-code")
    answer(str(there), "--older-than", "0.001", "--exit-code", code=1)
    answer(str(there), "--older-than", "0.001")
    found = json.loads(answer(str(there), "--json", "--older-than", "0.001", "--exit-code", code=1))
    assert [each["stale"] for each in found["installations"]] == [True, True]
    answer(str(there), "--exit-code", code=2)
    answer(str(there), "--older-than", "soon", code=2)


def test_what_cannot_be_told_ends_with_3(there: Path) -> None:
    commit = json.loads(answer(str(there), "--json"))["installations"][0]["commit"]
    ref = "refs/gitsnap/fleet/evil/app/snapshots/2025-01-01T00-00-00Z-manual"
    subprocess.run(["git", "--git-dir", there, "update-ref", ref, commit], check=True)
    done = run_gitsnap("fleet", str(there), "--older-than", "1d", "--exit-code", check=False)
    assert done.returncode == 3
    assert "evil/app: its newest snapshot cannot be read" in done.stderr
    assert len(done.stdout.splitlines()) == 4


def test_a_page_that_loads_and_runs_nothing(there: Path, tmp_path: Path) -> None:
    page = tmp_path / "fleet.html"
    assert answer(str(there), "-o", str(page), "--older-than", "0.001").startswith("wrote ")
    text = page.read_text()
    assert "web-2/&lt;b&gt;app" in text
    assert "<b>app" not in text
    assert "<script" not in text
    assert "2 behind" in text
    assert not re.search(r"(?:src|href)=\"(?!#)", text)
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    answer(str(there), "-o", str(page))
    assert "behind" not in page.read_text()
    (tmp_path / "own").write_text("mine")
    answer(str(there), "-o", str(tmp_path / "own"), code=1)
    assert (tmp_path / "own").read_text() == "mine"


def test_figures(there: Path, tmp_path: Path) -> None:
    file = tmp_path / "fleet.prom"
    assert answer(str(there), "--prometheus", str(file)) == ""
    text = file.read_text()
    assert f'gitsnap_fleet_snapshots{{url="{there}",installation="web-1/app"}} 1\n' in text
    assert text.count("# TYPE gitsnap_fleet_snapshots gauge") == 1
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert answer(str(there), "--prometheus", "-") != ""
    answer(str(there), "--prometheus", "-", "--json", code=2)


def test_hostile_names_spoil_neither_the_table_nor_the_figures(there: Path) -> None:
    refs = subprocess.run(["git", "-C", there, "for-each-ref", "--format=%(refname)"], capture_output=True, text=True)
    [one] = [ref for ref in refs.stdout.split() if "/web-1/" in ref and "/snapshots/" in ref]
    for name in ("%FF/x", "%5Cxff/x", "L" * 200 + "/" + "M" * 200, "q%22%7D%20evil%0Agitsnap_fake/x"):
        ref = f"refs/gitsnap/fleet/{name}/snapshots/{one.rpartition('/')[2]}"
        subprocess.run(["git", "-C", there, "update-ref", ref, one], check=True)
    table = answer(str(there)).splitlines()
    assert len(table) == 1 + len(_NAMES) + 4
    assert sorted(map(len, table))[-2] < 200 < len(max(table, key=len))
    series = [
        line.rpartition(" ")[0] for line in answer(str(there), "--prometheus", "-").splitlines() if line[0] != "#"
    ]
    assert len(series) == len({*series})
    assert not [line for line in series if not re.fullmatch(r'gitsnap_fleet_\w+\{(\w+="([^"\\\n]|\\.)*",?)*\}', line)]


def test_what_cannot_be_asked(tmp_path: Path, gitsnap_home: Path) -> None:
    for words, code in (
        (["https://user:secret@host/x"], 2),
        (["ext::sh -c true"], 2),
        ([""], 2),
        ([str(tmp_path / "none.git")], 15),
    ):
        done = run_gitsnap("fleet", *words, check=False)
        assert done.returncode == code, done.stderr
        assert "secret" not in done.stderr
        assert "Traceback" not in done.stderr
