"""The source distribution and the wheel: complete, the same bytes wherever they are built, one version."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from packaging.metadata import Metadata

from packages import dist
from packages.source import ROOT, epoch, unpacked, version_of

pytestmark = pytest.mark.long


def one(folder: Path, ending: str) -> Path:
    (found,) = folder.glob(f"*{ending}")
    return found


def tracked(root: Path) -> set[str]:
    told = subprocess.run(["git", "-C", root, "ls-files", "-z"], check=True, capture_output=True, text=True)
    return set(told.stdout.split("\0")) - {""}


def copied(into: Path) -> Path:
    """The checkout as it lies here, committed, below another directory and with another umask."""
    into.mkdir()
    for name in tracked(ROOT):
        if not (ROOT / name).exists():
            continue
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_symlink():
            (into / name).symlink_to((ROOT / name).readlink())
            continue
        (into / name).write_bytes((ROOT / name).read_bytes())
        (into / name).chmod((ROOT / name).stat().st_mode & 0o700 | 0o066)
    return into


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    if not (ROOT / ".git").exists():
        pytest.skip("no checkout")
    made = copied(tmp_path / "one")
    as_somebody = ("-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "core.fileMode=false")
    when = {**os.environ, "GIT_COMMITTER_DATE": "1700000000 +0000", "GIT_AUTHOR_DATE": "1700000000 +0000"}
    for words in (["init", "-q"], ["add", "-A"], [*as_somebody, "commit", "-qm", "x"], [*as_somebody, "tag", "v7.8.9"]):
        subprocess.run(["git", *words], cwd=made, check=True, env=when)
    return made


def test_the_same_bytes_at_another_place_and_time(checkout: Path, tmp_path: Path) -> None:
    subprocess.run(["git", "clone", "-q", checkout, tmp_path / "elsewhere" / "two"], check=True)
    built = [dist.build(tmp_path / "out" / root.name, root) for root in (checkout, tmp_path / "elsewhere" / "two")]
    first, second = ([hashlib.sha256(f.read_bytes()).hexdigest() for f in files] for files in built)
    assert first == second
    # From the source distribution, too, far from any git.
    tree = unpacked(built[0][0], tmp_path / "unpacked")
    assert epoch(tree) == 1700000000
    again = dist.build(tmp_path / "out" / "third", tree)
    assert hashlib.sha256(again[1].read_bytes()).hexdigest() == first[1]
    # The tag is the version, in the names, in the metadata, and in the program.
    assert {version_of(file) for files in (*built, again) for file in files} == {"7.8.9"}
    with zipfile.ZipFile(built[0][1]) as wheel:
        assert b'__version__ = "7.8.9"' in wheel.read("gitsnap/_version.py")


def test_the_source_distribution_has_all_that_is_tracked(distributions: Path) -> None:
    with tarfile.open(one(distributions, ".tar.gz")) as archive:
        members = archive.getmembers()
    names = {m.name.partition("/")[2] for m in members}
    assert tracked(ROOT) - names == set()
    assert not [n for n in names if n.startswith(("build/", "dist/", ".venv/"))]
    assert {m.uid for m in members} == {0}
    assert {m.mtime for m in members} == {epoch()}
    assert {m.mode for m in members} == {0o755, 0o644}


def test_the_wheel_has_the_whole_package_and_nothing_else(distributions: Path) -> None:
    wanted = {"gitsnap/_version.py"}
    for name in tracked(ROOT):
        if name.startswith("gitsnap/"):
            # The reference of commands, which the help reads: a link in the checkout, files in the wheel.
            linked = (ROOT / name).is_dir()
            wanted |= {f"{name}/{page.name}" for page in (ROOT / name).glob("*.md")} if linked else {name}
    with zipfile.ZipFile(one(distributions, ".whl")) as wheel:
        names = {n for n in wheel.namelist() if ".dist-info/" not in n and ".data/" not in n}
    assert names == wanted


def test_the_metadata_is_valid_and_its_text_leads_nowhere_wrong(distributions: Path) -> None:
    with zipfile.ZipFile(one(distributions, ".whl")) as wheel:
        (place,) = (n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
        # Raises where an index would refuse it.
        said = Metadata.from_email(wheel.read(place), validate=True)
        assert any(n.endswith("/licenses/LICENSE") for n in wheel.namelist())
    assert said.license_expression == "GPL-3.0-or-later"
    assert said.author or said.author_email
    assert "Operating System :: POSIX :: Linux" in (said.classifiers or [])
    assert said.description_content_type == "text/markdown"
    assert said.description and "The undo button for upgrades" in said.description
    targets = re.findall(r"\]\(([^)]+)\)", said.description)
    assert [t for t in targets if not t.startswith("https://")] == []
    assert not re.search(r"(?:href|src)=", said.description)


def test_the_program_tells_the_version_without_asking_git(tmp_path: Path) -> None:
    code = "import gitsnap, sys; print(gitsnap.__version__[:1].isdigit(), gitsnap.__version__ == '0+unknown', "
    code += "'subprocess' in sys.modules)"
    environment = {**os.environ, "PATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    assert done.stdout == "True False False\n"


def test_a_source_distribution_can_be_worked_with(distributions: Path, tmp_path: Path) -> None:
    tree = unpacked(one(distributions, ".tar.gz"), tmp_path)
    demo = subprocess.run(
        ["sh", "docs/demo.sh"], cwd=tree, capture_output=True, text=True, check=False,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
    )  # fmt: skip
    assert demo.returncode == 0, demo.stdout + demo.stderr
    inside = {**os.environ, "PYTHONPATH": str(tree)}
    inside.pop("PYTEST_ADDOPTS", None)
    some = ("tests/core/test_retention.py", "tests/docs/test_links.py", "tests/docs/test_licences.py")
    for words in (("--collect-only", "tests"), some):
        tests = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words],
            cwd=tree, env=inside, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert tests.returncode == 0, tests.stdout[-5000:]
