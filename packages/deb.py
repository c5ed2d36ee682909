"""Build the Debian packages: gitsnap with all that it needs in /opt/gitsnap, and gitsnap-apt.

    python -m packages.deb [OUT]        OUT is dist/ by default, and holds the wheel that is packaged

For the Python that builds it, of its minor version: Debian 12 has 3.11, Debian 13 has 3.13.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent, indent

from packages.source import PROJECT, ROOT, built, environment, epoch, python, scratch, version_of
from packages.vendored import install, shipped

OURS = ROOT / "packages" / "debian"
_MINOR = f"{sys.version_info[0]}.{sys.version_info[1]}"
_NEXT = f"{sys.version_info[0]}.{sys.version_info[1] + 1}"
# No module from anywhere but the package itself, whatever the caller's environment and directory hold.
_START = """\
#!/opt/gitsnap/bin/python3 -I
from gitsnap.__main__ import main

main()
"""
_VENV = f"""\
home = /usr/bin
include-system-site-packages = false
version = {_MINOR}
"""


def debian_version(version: str) -> str:
    """A version as dpkg orders it: 1.0rc1 before 1.0, 1.1.dev3 before 1.1."""
    public, plus, commit = version.partition("+")
    return re.sub(r"\.?(a|b|rc|dev)(?=\d)", r"~\1", public) + plus + commit


def build(out: Path) -> tuple[Path, Path]:
    """Build both packages of the wheel in `out`."""
    moment, wheel = epoch(), built(out, ".whl")
    os.umask(0o022)
    for old in out.glob("gitsnap*.deb"):
        old.unlink()
    with scratch() as name:
        _main_tree(Path(name) / "gitsnap", wheel, moment)
        _apt_tree(Path(name) / "gitsnap-apt")
        version = debian_version(version_of(wheel))
        ours, apts = (_pack(tree, out, version, moment) for tree in sorted(Path(name).iterdir()))
    return ours, apts


def _main_tree(tree: Path, wheel: Path, moment: int) -> None:
    venv, doc = tree / "opt/gitsnap", tree / "usr/share/doc/gitsnap"
    site = venv / f"lib/python{_MINOR}/site-packages"
    install(wheel, site, moment)
    _write(venv / "pyvenv.cfg", _VENV)
    (venv / "bin").mkdir()
    (venv / "bin/python3").symlink_to("/usr/bin/python3")
    _write(venv / "bin/gitsnap", _START, 0o755)
    (tree / "usr/bin").mkdir(parents=True)
    (tree / "usr/bin/gitsnap").symlink_to("/opt/gitsnap/bin/gitsnap")
    # Unchecked, so that Python never writes one of its own, which no purge would find.
    python("-m", "compileall", "-q", "-j1", "--invalidation-mode", "unchecked-hash", "-s", tree, "-p", "/", site,
           moment=moment)  # fmt: skip
    for script in ("postinst", "prerm", "postrm"):
        _copy(OURS / f"gitsnap.{script}", tree / "DEBIAN" / script, 0o755)
    _copy(OURS / "gitsnap-recover@.service", tree / "usr/lib/systemd/system/gitsnap-recover@.service")
    _copy(ROOT / "packages/compose/compose-upgrade", tree / "usr/share/gitsnap/compose-upgrade", 0o755)
    _manual(tree, site)
    _completions(tree, site, moment)
    _copy(ROOT / "README.md", doc / "README.md")
    shutil.copytree(ROOT / "docs", doc / "docs", ignore=shutil.ignore_patterns("__pycache__"))
    _zipped(ROOT / "CHANGELOG.md", doc / "changelog.gz")
    _write(doc / "copyright", copyright_of(site))


def _manual(tree: Path, site: Path) -> None:
    for page in sorted(site.glob("share/man/man*/*")):
        _zipped(page, tree / f"usr/share/man/{page.parent.name}/{page.name}.gz")
    shutil.rmtree(site / "share")


def _completions(tree: Path, site: Path, moment: int) -> None:
    places = {
        "bash": "usr/share/bash-completion/completions/gitsnap",
        "zsh": "usr/share/zsh/vendor-completions/_gitsnap",
        "fish": "usr/share/fish/vendor_completions.d/gitsnap.fish",
    }
    for shell, place in places.items():
        script = _shipped_python(site, moment, "from gitsnap.__main__ import main; main()", "--show-completion", shell)
        _write(tree / place, script)


def _shipped_python(site: Path, moment: int, *words: str) -> str:
    """What a line of Python prints with what is shipped. SystemExit where it fails."""
    variables = {**environment(moment), "PYTHONPATH": str(site)}
    command = [sys.executable, "-B", "-c", *words]
    done = subprocess.run(command, env=variables, cwd="/", capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"failed: {' '.join(words)}: {done.stderr}")
    return done.stdout


def _apt_tree(tree: Path) -> None:
    _copy(OURS / "gitsnap-apt.conf", tree / "etc/apt/apt.conf.d/80gitsnap")
    _copy(OURS / "gitsnap-apt.default", tree / "etc/default/gitsnap-apt")
    _copy(OURS / "gitsnap-apt.hook", tree / "usr/lib/gitsnap-apt/hook", 0o755)
    _copy(OURS / "gitsnap-apt.postrm", tree / "DEBIAN/postrm", 0o755)
    _write(tree / "usr/share/doc/gitsnap-apt/copyright", _preamble())


def _pack(tree: Path, out: Path, version: str, moment: int) -> Path:
    control = tree / "DEBIAN"
    files = sorted(p for p in tree.rglob("*") if p.is_file() and not p.is_symlink() and control not in p.parents)
    sums = [f"{hashlib.md5(p.read_bytes(), usedforsecurity=False).hexdigest()}  {p.relative_to(tree)}" for p in files]
    _write(control / "md5sums", "".join(f"{line}\n" for line in sums))
    _write(control / "control", _control(tree, version, sum(p.stat().st_size + 4095 >> 12 << 2 for p in files)))
    conffiles = [f"/{p.relative_to(tree)}\n" for p in files if p.is_relative_to(tree / "etc")]
    if conffiles:
        _write(control / "conffiles", "".join(conffiles))
    for path in tree.rglob("*"):
        if not path.is_symlink():
            # Whatever the umask was when the sources were checked out.
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        os.utime(path, (moment, moment), follow_symlinks=False)
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Zxz", "-z3", "--threads-max=1", "--build", tree, out],
        env=environment(moment), check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return built(out, f"{tree.name}_{version}_{_architecture(tree)}.deb")


def _control(tree: Path, version: str, size: int) -> str:
    name, email = os.environ.get("DEBFULLNAME"), os.environ.get("DEBEMAIL")
    maintainer = f"{name} <{email}>" if name and email else PROJECT["authors"][0]["name"]
    common = {
        "Package": tree.name,
        "Version": version,
        "Architecture": _architecture(tree),
        "Maintainer": maintainer,
        "Installed-Size": str(size),
        "Section": "admin",
        "Priority": "optional",
    }
    own = {
        "gitsnap": {
            "Depends": f"python3 (>= {_MINOR}~), python3 (<< {_NEXT}~), git (>= 1:2.30), libc6 (>= {_libc(tree)})",
            "Suggests": "gitsnap-apt, age, openssh-client",
            "Description": dedent("""\
                undo button for upgrades: verified snapshots, and an exact way back
                 gitsnap takes a snapshot of a directory before it is changed, proves that
                 the snapshot is whole, watches over the upgrade, and brings the directory
                 back, exactly, when it goes wrong. Afterwards it shows what was changed.
                 .
                 Each snapshot is a commit in a plain git repository beside the directory;
                 stock git, sh and sha256sum can list, check and recover everything."""),
        },
        "gitsnap-apt": {
            "Depends": f"gitsnap (>= {version}), apt",
            "Description": dedent("""\
                snapshots of /etc around each transaction of apt, by gitsnap
                 A snapshot before dpkg changes anything and one after it, of the directories
                 that /etc/default/gitsnap-apt names, /etc unless it says otherwise. That a
                 snapshot fails stops apt only where this is asked for."""),
        },
    }[tree.name]
    return "".join(f"{key}: {value}\n" for key, value in {**common, **own}.items())


def _architecture(tree: Path) -> str:
    if tree.name != "gitsnap":
        return "all"
    return subprocess.run(
        ["dpkg", "--print-architecture"], check=True, capture_output=True, text=True
    ).stdout.strip()  # fmt: skip


def _libc(tree: Path) -> str:
    """The oldest C library that all compiled modules run with, by the tags of their wheels."""
    found = [(2, 17)]
    for said in tree.rglob("*.dist-info/WHEEL"):
        tags = re.findall(r"manylinux_(\d+)_(\d+)", said.read_text())
        if tags:
            found.append(min((int(a), int(b)) for a, b in tags))
    return "{}.{}".format(*max(found))


def _preamble() -> str:
    return dedent("""\
        Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
        Upstream-Name: gitsnap

        Files: *
        Copyright: The gitsnap maintainers
        License: GPL-3.0-or-later
         On Debian systems the text of the GNU General Public License, version 3,
         is in /usr/share/common-licenses/GPL-3.
        """)


def copyright_of(site: Path) -> str:
    """The copyright file: each package that is shipped, with its licence and the texts that came with it."""
    parts = [_preamble()]
    where = f"opt/gitsnap/lib/python{_MINOR}/site-packages"
    for package in shipped(site):
        if package.name == "gitsnap":
            continue
        texts = "\n\n".join(text.read_text(encoding="utf-8", errors="replace").strip() for text in package.texts)
        lines = (line if line.strip() else "." for line in (texts or "No text came with the package.").splitlines())
        top = ", ".join(f"{where}/{p}" for p in _tops(site, package.name))
        parts.append(
            f"Files: {top}\nComment: {package.name} {package.version}\nCopyright: {package.authors}\n"
            f"License: {package.licence}\n{indent(chr(10).join(lines), ' ')}\n"
        )
    return "\n".join(parts)


def _tops(site: Path, package: str) -> list[str]:
    (info,) = (p for p in site.glob("*.dist-info") if _plain(p.name.split("-")[0]) == _plain(package))
    said = info / "top_level.txt"
    names = said.read_text().split() if said.exists() else [_plain(package)]
    return [f"{name}*" for name in names] + [info.name]


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "_", name).lower()


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def _copy(source: Path, path: Path, mode: int = 0o644) -> None:
    _write(path, source.read_text(), mode)


def _zipped(source: Path, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(source.read_bytes(), 9, mtime=0))
    path.chmod(0o644)


if __name__ == "__main__":
    for package in build(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "dist")):
        print(package)
