"""The upgrade recipes, executed as they stand on the page, with other paths."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.helpers import document
from tests.support.installation import REPOSITORY, build_app, copy_tree, git, same_tree

PAGE = (REPOSITORY / "docs/how-to/upgrade-recipes.md").read_text()


def block(section: str, language: str, number: int = 0) -> str:
    """A code block of a section."""
    text = PAGE.partition(f"## {section}\n")[2].partition("\n## ")[0]
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[number]


@pytest.fixture
def shell(tmp_path: Path, gitsnap_home: Path) -> dict[str, str]:
    """An environment in which `gitsnap` is this gitsnap."""
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "gitsnap").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gitsnap "$@"\n')
    (commands / "gitsnap").chmod(0o755)
    quiet = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    return {**os.environ, **quiet, "PATH": f"{commands}:{os.environ['PATH']}", "PYTHONPATH": str(REPOSITORY)}


def run(script: str, env: dict[str, str], cwd: Path, code: int = 0) -> str:
    done = subprocess.run(["sh", "-ec", script], cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def executable(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_makefile(tmp_path: Path, shell: dict[str, str]) -> None:
    app = build_app(tmp_path / "app")
    executable(app / "bin/app", 'cat "$(dirname "$0")/version"')
    executable(
        tmp_path / "install.sh",
        'rm -rf app/modules; echo "$1" >app/bin/version; test "$1" != 3.0 || rm app/bin/version',
    )
    (tmp_path / "Makefile").write_text(block("A Makefile target", "make"))
    told = run("make upgrade VERSION=2.0", shell, tmp_path)
    assert "kept" in told
    before = copy_tree(app, tmp_path / "before")
    told = run("make upgrade VERSION=3.0", shell, tmp_path, code=2)
    assert "rolled back" in told
    same_tree(before, app)
    assert [e["status"] for e in document("-C", app, "history")["history"]] == ["kept", "rolled-back"]


@pytest.mark.skipif(not shutil.which("apt-get") or not shutil.which("dpkg-deb"), reason="needs apt and dpkg")
@pytest.mark.skipif(os.geteuid() != 0, reason="dpkg wants root")
class TestApt:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        """A system of its own, in a directory."""
        root = tmp_path / "root"
        dpkg = [f"var/lib/dpkg/{d}" for d in ("info", "updates", "triggers", "parts")]
        apt = ["var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "etc/apt/apt.conf.d", "var/log/apt"]
        for folder in (*dpkg, *apt, "etc/apt/preferences.d", "etc/apt/sources.list.d"):
            (root / folder).mkdir(parents=True)
        for name in ("var/lib/dpkg/status", "var/lib/dpkg/available", "etc/apt/sources.list"):
            (root / name).touch()
        return root

    def package(self, where: Path, version: str) -> Path:
        tree = where / f"demo-{version}"
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "etc/demo").mkdir(parents=True)
        (tree / "etc/demo/demo.json").write_text(f'{{"version": "{version}"}}\n')
        control = (
            f"Package: demo\nVersion: {version}\nArchitecture: all\nMaintainer: T <t@example.org>\nDescription: x\n"
        )
        (tree / "DEBIAN/control").write_text(control)
        subprocess.run(
            ["dpkg-deb", "-Zgzip", "-b", tree, where / f"demo-{version}.deb"], check=True, capture_output=True
        )
        return where / f"demo-{version}.deb"

    def configure(self, root: Path, shell: dict[str, str]) -> dict[str, str]:
        settings = (
            f'Dir "{root}"; Dir::Etc::parts "{root}/etc/apt/apt.conf.d"; Dir::Bin::dpkg "{shutil.which("dpkg")}";\n'
            f'Dir::State::status "{root}/var/lib/dpkg/status"; DPkg::Options {{ "--root={root}"; }};\n'
            'APT::Sandbox::User "root"; Debug::NoLocking "1"; APT::Get::Assume-Yes "1";\n'
        )
        hooks = block("apt", "text").replace("-C /etc", f"-C {root}/etc")
        (root / "etc/apt/apt.conf").write_text(settings)
        (root / "etc/apt/apt.conf.d/05gitsnap").write_text(hooks)
        return shell | {"APT_CONFIG": str(root / "etc/apt/apt.conf"), "DEBIAN_FRONTEND": "noninteractive"}

    def test_hooks(self, root: Path, tmp_path: Path, shell: dict[str, str]) -> None:
        env, etc = self.configure(root, shell), root / "etc"
        for version in ("1.0", "2.0"):
            run(f"apt-get install {self.package(tmp_path, version)}", env, tmp_path)
        listed = [s["label"] for s in document("-C", etc, "list")["snapshots"]]
        assert listed == ["before-apt", "after-apt", "after-apt"]
        found = document("-C", etc, "changelog", "latest~1", "latest")["components"]["demo"]
        assert [(k["key"], k["old"], k["new"]) for k in found[0]["keys"]] == [("version", "1.0", "2.0")]
        run(f"gitsnap -C {etc} restore latest~1 demo/demo.json", env, tmp_path)
        assert "1.0" in (etc / "demo/demo.json").read_text()

    def test_no_snapshot_no_upgrade(self, root: Path, tmp_path: Path, shell: dict[str, str]) -> None:
        env = self.configure(root, shell)
        package = self.package(tmp_path, "1.0")
        executable(tmp_path / "bin/gitsnap", "exit 1")
        told = run(f"apt-get install {package}", env, tmp_path, code=100)
        assert "gitsnap" in told
        assert not (root / "etc/demo").exists()

    def test_wrapped(self, root: Path, tmp_path: Path, shell: dict[str, str]) -> None:
        env = self.configure(root, shell)
        (root / "etc/apt/apt.conf.d/05gitsnap").unlink()
        line = (
            block("apt", "sh")
            .replace("-C /etc", f"-C {root}/etc")
            .replace("upgrade\n", f"install {self.package(tmp_path, '1.0')}\n")
        )
        assert "kept" in run(line, env, tmp_path)
        assert document("-C", root / "etc", "history")["history"][0]["components_updated"] == ["demo"]


def test_git_pull(tmp_path: Path, shell: dict[str, str]) -> None:
    upstream, web = tmp_path / "upstream", tmp_path / "web"
    upstream.mkdir()
    git(upstream, "init", "-q")
    executable(upstream / "build.sh", "mkdir -p vendor; echo built >vendor/lib")
    executable(upstream / "healthcheck.sh", "test -e vendor/lib -a ! -e broken")
    (upstream / ".gitignore").write_text("vendor\n.env\n")
    git(upstream, "add", ".")
    git(upstream, "commit", "-q", "-m", "one")
    subprocess.run(["git", "clone", "-q", upstream, web], check=True, env=shell)
    (web / ".env").write_text("SECRET=1\n")
    script = block("A web application that is pulled with git", "sh").replace("/srv/web", str(web))
    run(script, shell, web)
    assert (web / "vendor/lib").exists()
    (upstream / "broken").write_text("x")
    git(upstream, "add", ".")
    git(upstream, "commit", "-q", "-m", "two")
    before = copy_tree(web, tmp_path / "before")
    told = run(script, shell, tmp_path, code=20)
    assert "healthcheck" in told
    same_tree(before, web)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_systemd_units_are_units(tmp_path: Path, shell: dict[str, str]) -> None:
    drop_in, unit = (block("systemd", "ini", n) for n in (0, 1))
    executable(tmp_path / "upgrade-app", "exit 0")
    both = {
        "app.service": "[Service]\nExecStart=/bin/true\n" + drop_in.replace("[Service]\n", ""),
        "upgrade.service": unit,
    }
    for name, text in both.items():
        text = text.replace("/usr/bin/gitsnap", str(tmp_path / "bin/gitsnap"))
        (tmp_path / name).write_text(text.replace("/usr/local/sbin/upgrade-app", str(tmp_path / "upgrade-app")))
    done = subprocess.run(
        ["systemd-analyze", "verify", *(tmp_path / n for n in both)], capture_output=True, text=True, env=shell
    )
    assert not [line for line in done.stderr.splitlines() if str(tmp_path) in line], done.stderr


def test_an_agents_directory(tmp_path: Path, shell: dict[str, str]) -> None:
    app = tmp_path / ".claudio"
    for name in ("commands/a.md", "agents/b.md", "settings.local.json", "notes.md"):
        (app / name).parent.mkdir(parents=True, exist_ok=True)
        (app / name).write_text("1\n")
    backup = app / ".upgrades/backups/2025-08-10T03-40-11-full"
    (backup / "commands").mkdir(parents=True)
    (backup / "commands/a.md").write_text("0\n")
    (backup / "backup_manifest.json").write_text("{}")
    run("sha256sum ./commands/a.md >checksums.sha256", shell, backup)
    executable(tmp_path / "install-agents.sh", 'for f in commands/a.md agents/b.md; do echo "$1" >.claudio/$f; done')
    script = block("The directory of an AI agent", "sh")
    run(f"gitsnap -C .claudio init\nVERSION=2\n{script}", shell, tmp_path)
    assert ((app / "commands/a.md").read_text(), (app / "agents/b.md").read_text()) == ("1\n", "2\n")
    kinds = [s["kind"] for s in document("-C", app, "list")["snapshots"]]
    assert kinds == ["imported", "pre", "post", "safety"]


def test_docker_compose_line_is_a_line(shell: dict[str, str], tmp_path: Path) -> None:
    run(f"sh -n <<'EOF'\n{block('docker compose with a bind mount', 'sh')}\nEOF", shell, tmp_path)


def test_an_agents_hook_keeps_what_was_there_or_stops_the_request(shell: dict[str, str], tmp_path: Path) -> None:
    page = (REPOSITORY / "docs/how-to/agents.md").read_text()
    said = json.loads(re.findall(r"^```json\n(.*?)^```", page, re.MULTILINE | re.DOTALL)[0])
    command = said["hooks"]["UserPromptSubmit"][0]["hooks"][0]["command"]
    project = tmp_path / "my project"
    project.mkdir()
    (project / "main.py").write_text("1\n")
    shell["CLAUDE_PROJECT_DIR"] = str(project)
    done = subprocess.run(["sh", "-c", command], cwd="/", env=shell, capture_output=True, text=True)
    # What goes to stdout would become part of the request.
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert document("list", cwd=project)["snapshots"][0]["message"] == "before a request"
    shell["CLAUDE_PROJECT_DIR"] = str(tmp_path / "nowhere")
    assert subprocess.run(["sh", "-c", command], cwd="/", env=shell, capture_output=True).returncode == 2
