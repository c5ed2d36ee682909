"""Installations for tests, gitsnap as a subprocess, and rsync as the judge of whether two trees are the same.

`build_odd` makes the tree that has everything, `build_app` a small ordinary one, `build_deep` one deeper than PATH_MAX,
and `upgrade` breaks any of them. What an ordinary user cannot make (owners, devices, capabilities, files that not even
their owner may read) or the file system does not take is left out.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest

from gitsnap.ops.store.locate import locate

# The audit event before gitsnap is run as a process of its own.
STARTING_GITSNAP = "tests.gitsnap"
REPOSITORY = Path(__file__).resolve().parents[2]
IS_ROOT = os.geteuid() == 0

_SECOND = 10**9
# When everything was last changed that no test gives another time: some nanoseconds are in it on purpose.
_FILE_NS = 1_700_000_000 * _SECOND + 123_456_789
_DIRECTORY_NS = 1_690_000_000 * _SECOND + 987_654_321
_NOT_SUPPORTED = (errno.ENOTSUP, errno.EPERM, errno.EINVAL)

# version 1, effective: CAP_NET_BIND_SERVICE
_CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")


def run_gitsnap(
    *args: str | bytes | Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    check: bool | int = True,
    home: Path | None = None,
    stdin: str | None = None,
    fresh: bool = False,
    limits: Mapping[int, int] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run gitsnap as if in a process of its own. Bytes that are not UTF-8 are surrogates in what it prints.

    `check`: True wants exit code 0, a number wants that exit code, False takes any.
    `home` is where its sidecars go; without it the fixture `gitsnap_home` must have set it. `env` is added.
    `limits` are what it may have of the system, by their numbers in `resource`.
    The process is a fork of one that has loaded it unless it is to be `fresh`, or `env` says how an interpreter starts;
    what only looks is called in this process.
    """
    from tests.support import calling, forking

    where = home or os.environ.get("GITSNAP_HOME")
    assert where, "the test needs the fixture gitsnap_home, or a home of its own"
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "GITSNAP_"))}
    clean["PYTHONPATH"] = os.pathsep.join(filter(None, [str(REPOSITORY), clean.get("PYTHONPATH")]))
    sys.audit(STARTING_GITSNAP)
    environment = clean | {"GITSNAP_HOME": str(where)} | dict(env or {})
    if not fresh and not limits and calling.possible(args, environment):
        done = calling.run(args, cwd=cwd, env=environment, stdin=stdin or "")
    elif not fresh and forking.possible(environment):
        done = forking.run(args, cwd=cwd, env=environment, stdin=stdin or "", limits=limits or {})
    else:
        done = subprocess.run(
            [sys.executable, "-m", "gitsnap", *map(os.fspath, args)],
            cwd=cwd,
            env=environment,
            input=stdin or "",
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            preexec_fn=partial(set_limits, limits) if limits else None,
        )
    wanted = 0 if check is True else done.returncode if check is False else check
    assert done.returncode == wanted, f"gitsnap {args}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def set_limits(limits: Mapping[int, int]) -> None:
    """Let this process have no more than that of the system."""
    for limit, most in limits.items():
        resource.setrlimit(limit, (most, most))


def take_snapshot(app: Path, *args: str, home: Path | None = None) -> str:
    """Take a snapshot that must succeed; its id."""
    return run_gitsnap("-C", app, "snapshot", *args, home=home).stdout.strip()


def sidecar_of(app: Path, home: Path | None = None) -> Path:
    """The sidecar that protects `app`."""
    return Path(locate(str(app), None, str(home or os.environ["GITSNAP_HOME"]), "/").store)


def differences(a: Path, b: Path, *more: str) -> str:
    """What rsync would change to make `b` the same as `a`, to the nanosecond; empty when they are the same."""
    if shutil.which("rsync") is None:
        pytest.skip("rsync, which tells whether two trees are the same, is not installed")
    command = ["rsync", "-aHAXn", "--modify-window=-1", "--delete", "--checksum", "--itemize-changes", *more]
    done = subprocess.run([*command, f"{a}/", f"{b}/"], capture_output=True, text=True, errors="surrogateescape")
    if "not supported on this" in done.stderr:
        pytest.skip(f"this rsync cannot compare everything: {done.stderr.strip()}")
    assert done.returncode == 0, f"rsync failed: {done.stderr}"
    return done.stdout


def same_tree(a: Path, b: Path) -> None:
    """Assert that two trees are the same in all that rsync -aHAX keeps, which is all but the holes in files."""
    found = differences(a, b)
    assert found == "", f"{a} and {b} differ:\n{found}"


def copy_tree(source: Path, target: Path) -> Path:
    """An exact copy, to compare with later."""
    subprocess.run(["cp", "-a", "--sparse=always", "--", source, target], check=True)
    return target


def build_app(path: Path) -> Path:
    """A small application: modules, configuration, a private key, links, an empty directory, a repository inside."""
    return _built(_app, path)


def build_odd(path: Path) -> Path:
    """The tree that has everything that `rsync -aHAX` keeps, and every name that makes trouble."""
    return _built(_odd, path)


# Where trees are kept that were built once, to be copied from: a directory that goes with the tests, if there is one.
pristine: Path | None = None


def _built(build: Callable[[Path], None], path: Path) -> Path:
    """Build a tree, or copy the one that was built for another test: building takes ten times as long."""
    if pristine is None or path.exists() or os.geteuid() != os.stat(pristine).st_uid:
        build(path)
        return path
    kept = pristine / build.__name__
    if not kept.exists():
        # Elsewhere first: a test may end in the middle of it.
        making = Path(tempfile.mkdtemp(dir=pristine))
        build(making / "tree")
        (making / "tree").rename(kept)
    path.parent.mkdir(parents=True, exist_ok=True)
    return copy_tree(kept, path)


def _app(path: Path) -> None:
    make = _Builder(path)
    make.file("bin/shop", b'#!/bin/sh\n. "$(dirname "$0")/../modules/greet.sh"\ngreet\n', 0o755)
    make.file("modules/greet.sh", b'greet() { echo "open"; }\n')
    make.file("modules/cart.sh", b"total() { echo $(($1 + $2)); }\n" * 200)
    make.file("config/shop.ini", b"currency = EUR\nport = 8080\n")
    make.file("config/signing.key", b"<a private key>\n", 0o600)
    make.file("data/blob.bin", bytes(range(256)) * 64)
    make.file("release-1.9", b"1.9\n")
    make.symlink("current", "release-1.9")
    make.hardlink("config/shop.ini", "config/shop.default")
    make.directory("spool/incoming")
    make.file(".gitignore", b"*.key\n/spool\n")
    make.repository("plugins/theme", {"theme.css": b"colour: blue\n"})
    make.settle()


def _odd(path: Path) -> None:
    make = _Builder(path)
    _modes(make)
    _owners(make)
    _links(make)
    _attributes(make)
    _contents(make)
    _names(make)
    _times(make)
    _repositories(make)
    make.settle()


def build_deep(path: Path, levels: int = 60) -> Path:
    """A chain of directories with names of 200 bytes and a file in each: deeper than PATH_MAX (4096) at 21 levels.

    rsync cannot follow there, nor can pytest clean it up: `remove_tree` does.
    """
    path.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    for level in range(levels):
        with open(os.open("file", os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=fd), "w") as file:
            file.write(f"level {level}\n")
        name = f"{level:03}" + "d" * 197
        os.mkdir(name, 0o755, dir_fd=fd)
        below = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    return path


def remove_tree(path: Path) -> None:
    """Remove a tree of any depth, also one whose owner took the right to do so from themselves."""
    try:
        # Most are neither, and a quick run lets no test start a program, not even to clean up.
        shutil.rmtree(path)
        return
    except (OSError, RecursionError):
        pass
    if not IS_ROOT or os.geteuid() != 0:
        subprocess.run(["chmod", "-Rf", "u+rwX", "--", path])
    subprocess.run(["rm", "-rf", "--", path], check=True)


def upgrade(path: Path) -> None:
    """Change a tree so that a rollback has to bring everything back: content, metadata, types, what is gone and new."""
    for entry in sorted(_entries(path), reverse=True):
        kind = stat.S_IFMT(os.lstat(entry).st_mode)
        if kind == stat.S_IFREG:
            os.chmod(entry, 0o640)
            with open(entry, "ab") as file:
                file.write(b"!\0")
        elif kind == stat.S_IFDIR:
            os.chmod(entry, 0o755)
        if IS_ROOT:
            os.chown(entry, 0, 0, follow_symlinks=False)
    for gone in ("empty", "names", "hard2", "spool"):
        shutil.rmtree(os.fsencode(path / gone), ignore_errors=True)
    (path / "hard2").write_bytes(b"a file where a directory was\n")
    for link in ("links/relative", "current"):
        if (path / link).is_symlink():
            (path / link).unlink()
            (path / link).mkdir()
            (path / link / "x").write_bytes(b"a file below what was a link\n")
    (path / "new/empty").mkdir(parents=True)
    (path / "new/n.log").write_bytes(b"new\n")
    with contextlib.suppress(OSError):
        os.removexattr(path / "xattr/user", "user.note")


def _entries(path: Path) -> Iterator[bytes]:
    for folder, folders, files in os.walk(os.fsencode(path)):
        for name in folders + files:
            yield os.path.join(folder, name)


def _modes(make: _Builder) -> None:
    # All of the owner's bits with all of the special ones, then each of the twelve by itself.
    wanted = {special << 9 | owner << 6 | 0o044 for special in range(8) for owner in range(8)}
    for mode in sorted(wanted | {1 << bit for bit in range(12)} | {0, 0o400, 0o600, 0o664, 0o755, 0o777}):
        if IS_ROOT or mode & 0o400:
            make.file(f"modes/m{mode:04o}", b"mode %o\n" % mode, mode)
    make.file("private/secret.key", b"k", 0o600)
    make.directory("private", 0o700)
    make.file("sticky/f")
    make.directory("sticky", 0o1777)
    make.file("setgid/f")
    make.directory("setgid", 0o2775)
    make.file("readonly/f", mode=0o444)
    make.file("readonly/deeper/f", mode=0o444)
    make.directory("readonly/deeper", 0o555)
    make.directory("readonly", 0o555)
    if IS_ROOT:
        make.file("closed/f")
        make.directory("closed", 0)


def _owners(make: _Builder) -> None:
    if not IS_ROOT:
        return
    make.file("owned/u1000", owner=(1000, 1000))
    make.file("owned/wwwdata", owner=(33, 33))
    make.file("owned/nobody-knows", owner=(3_000_000, 4_000_000))
    make.file("owned/setuid", mode=0o6755, owner=(33, 33))
    make.symlink("owned/link", "u1000", owner=(1000, 33))
    make.directory("owned/directory", 0o750, owner=(33, 1000))
    for name, kind, device in (("null", stat.S_IFCHR, (1, 3)), ("loop", stat.S_IFBLK, (7, 200))):
        make.special(f"special/{name}", kind | 0o620, os.makedev(*device))


def _links(make: _Builder) -> None:
    make.file("hard/a", b"hardlinked" * 500)
    for name in ("hard/b", "hard2/c", "hard/deeper/new\nline"):
        make.hardlink("hard/a", name)
    make.file("hard/empty", b"")
    make.hardlink("hard/empty", "hard2/empty")
    make.symlink("links/relative", "../hard/a")
    make.hardlink("links/relative", "links/relative-twin")
    make.symlink("links/absolute", "/nowhere/absolute")
    make.symlink("links/dangling", "nowhere")
    make.symlink("links/directory", "../hard")
    make.hardlink("links/directory", "links/directory-twin")
    make.symlink("links/itself", "itself")
    make.symlink("links/long", "x" * 4000)
    make.symlink("links/spaces and\nnewline", b" a #=*[\\\n\xff ")
    make.symlink("links/up", "../../..")
    make.directory("empty/a/b")
    make.directory("empty/c", 0o700)
    make.special("special/fifo", stat.S_IFIFO | 0o640)
    make.hardlink("special/fifo", "special/fifo-twin")


def _attributes(make: _Builder) -> None:
    make.file("xattr/user", xattrs={"user.note": b"hello", "user.binary": bytes(range(256)), "user.empty": b""})
    make.file("xattr/odd name \xe9", xattrs={"user.with space=and #\u00fc": b"\0"})
    make.file("xattr/large", xattrs={"user.large": b"L" * 2000})
    make.file("xattr/closed", mode=0o400, xattrs={"user.note": b"read only"})
    make.directory("xattr/directory", xattrs={"user.note": b"on a directory"})
    if IS_ROOT:
        make.file("xattr/trusted", xattrs={"trusted.note": b"root's"})
        make.file("xattr/capability", b"#!/bin/sh\n", 0o755, xattrs={"security.capability": _CAPABILITY})
        make.symlink("xattr/link", "user", xattrs={"trusted.note": b"on a link"})
    make.acl(make.file("xattr/acl"), "u:33:r,g:33:rw")
    make.acl(make.file("xattr/acl-closed", mode=0o600), "u:33:rwx,m::r")
    make.acl(make.directory("xattr/acl-directory"), "u:33:rx,d:u:33:rwx,d:g::-")


def _contents(make: _Builder) -> None:
    make.file("eol/crlf.txt", b"a\r\nb\r\n")
    make.file("eol/mixed.bat", b"a\r\nb\n\r\r\n")
    make.file("eol/.gitattributes", b"* text=auto eol=lf\n*.c ident\n*.secret export-ignore filter=none\n")
    make.file("eol/ident.c", b"$Id$ $Format:%H$\n")
    make.file("eol/.mailmap", b"A <a@example.org> <b@example.org>\n")
    make.file("eol/hidden.secret", b"git archive must not leave this out\n")
    make.file(".gitattributes", b"utf16.txt text working-tree-encoding=UTF-16\n" + b"x" * 3000 + b" -text\n")
    make.file(".gitmodules", b'[submodule "a"]\n\tpath = -evil\n\turl = --upload-pack=evil\n')
    make.file("utf16.txt", "hé\n".encode("utf-16"))
    make.file(".gitignore", b"*.log\nnode_modules/\n/empty\n")
    make.file("ignored/.gitignore", b"*\n")
    make.file("ignored/data.bin", b"\0" * 5000)
    make.symlink("ignored/link/.gitignore", "../.gitignore")
    make.file("logs/app.log")
    make.file("node_modules/p/index.js")
    make.file("empty.txt", b"")
    make.file("no-newline", b"no newline at the end")
    make.file("large.bin", bytes(range(256)) * 4096 + b"tail")
    for name, size, parts in (
        ("sparse.img", 20_000_000, {10_000_000: b"middle"}),
        ("all-hole.img", 5_000_000, {}),
        ("hole-first.img", 1_000_003, {1_000_000: b"end"}),
    ):
        make.sparse(f"sparse/{name}", size, parts)


def _names(make: _Builder) -> None:
    plain = "with space| leading|trailing |tab\t|-dash|--|#hash|a=b|ünïcode|cafe\u0301|caf\u00e9|CON|nul.txt|case|Case"
    more = "back\\slash|back\\040slash|\"quote\"|'apostrophe'|a*b|a?b|[ab]|aXb|$HOME|`id`|%|%s|%41|~|...|a:b|&;<>"
    for name in (*plain.split("|"), *more.split("|"), "|", "new\nline", "\n", "cr\r", "bell\a\x1b[31m\x7f", "n" * 255):
        make.file(f"names/{name}", name.encode() + b"\n")
    for raw in (b"latin1-\xe9", b"\xff\xfe", b"\x80" * 255):
        make.file(b"names/" + raw, raw)
    # Names that git or its fsck refuses in trees, or acts upon, or that look like their encoded forms.
    special = "%2Egit|%252Egit|.GIT|git~1|.git |.git.|.git::$INDEX_ALLOCATION|.g\u200cit|.gitmodules|GITMOD~1|.mailmap"
    special += "|\ufeff.git|\u2063.git|gi7eba~1|MAILMA~1|~1000000|%41" + "x" * 252
    for name in (*special.split("|"), ".gitattributes", ".gitignore", "a\\.git", "%2e", "..git"):
        make.file(f"names/git/{name}/f" if name != ".gitattributes" else f"names/git/{name}", name.encode())
    make.file("names/git/file/.git", b"not a repository's\n")
    make.symlink("names/git/link/.git", "../file")
    make.symlink("names/git/link/.gitmodules", "nowhere")
    make.directory("names/git/empty/.git")
    make.file("-", b"sha256sum would take this for its standard input\n")
    make.file("-rf")
    make.file("*")
    make.file("directory*[x]?/below", b"mtree takes the name above for a pattern\n")
    make.directory("names of directories/new\nline/\xe9/ ")
    make.directory(b"names of directories/\xe9\xff")
    make.file("long/" + "/".join(letter * 200 for letter in "defghij") + "/f")


def _times(make: _Builder) -> None:
    for name, ns in (
        ("ancient", 499_162_500 * _SECOND),
        ("before-1970", -1_500_000_001),
        ("1970", 0),
        ("last-nanosecond", _SECOND - 1),
        ("just-before-1970", -1),
        ("1901", -(2**31) * _SECOND),
        ("whole-second", 1_700_000_001 * _SECOND),
        ("one-nanosecond", 1_700_000_001 * _SECOND + 1),
        ("future", 4_102_444_800 * _SECOND + 999_999_999),
        ("2300", 10_413_792_000 * _SECOND),
    ):
        make.file(f"times/{name}", ns=ns)
    make.symlink("times/link", "ancient", ns=-2_000_000_001)
    make.directory("times/directory", ns=-3_000_000_001)


def _repositories(make: _Builder) -> None:
    make.repository("repositories/commits", {"a.txt": b"a\n", "sub/b.txt": b"b\n"})
    make.file("repositories/commits/untracked.txt")
    make.file("repositories/commits/a.txt", b"changed, not committed\n")
    make.git("repositories/commits", "worktree", "add", "-q", "-b", "side", "../worktree")
    make.git("repositories", "init", "-q", "unborn")
    make.file("repositories/unborn/staged.txt")
    make.git("repositories/unborn", "add", "staged.txt")
    make.repository("repositories/super", {"top.txt": b"top\n"})
    make.git("repositories/super", "-c", "protocol.file.allow=always", "submodule", "-q", "add", "../commits", "module")
    make.git("repositories/super", "commit", "-q", "-m", "with a submodule")
    make.git("repositories", "init", "-q", "--bare", "bare.git")
    make.file("repositories/commits/.git/hooks/pre-commit", b"#!/bin/sh\nexit 1\n", 0o755)


class _Builder:
    """Makes entries below a root. Modes, times, owners and attributes of directories are set by `settle`, last."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._root = os.fsencode(root)
        self._modes: dict[bytes, int] = {}
        self._times: dict[bytes, int] = {}
        # Changing content or owner drops capabilities and special bits, and an ACL changes the mode's meaning.
        self._xattrs: dict[bytes, dict[str, bytes]] = {}
        self._acls: dict[bytes, str] = {}
        self._owners: dict[bytes, tuple[int, int]] = {}

    def file(
        self,
        name: str | bytes,
        data: bytes = b"x\n",
        mode: int = 0o644,
        *,
        ns: int = _FILE_NS,
        owner: tuple[int, int] | None = None,
        xattrs: Mapping[str, bytes] | None = None,
    ) -> bytes:
        path = self._parents(name)
        with open(path, "wb") as file:
            file.write(data)
        return self._note(path, mode, ns, owner, xattrs)

    def sparse(self, name: str, size: int, parts: Mapping[int, bytes]) -> None:
        with open(self.file(name, b""), "r+b") as file:
            file.truncate(size)
            for offset, data in parts.items():
                file.seek(offset)
                file.write(data)

    def directory(
        self,
        name: str | bytes,
        mode: int = 0o755,
        *,
        ns: int = _DIRECTORY_NS,
        owner: tuple[int, int] | None = None,
        xattrs: Mapping[str, bytes] | None = None,
    ) -> bytes:
        path = self._parents(name)
        os.makedirs(path, exist_ok=True)
        return self._note(path, mode, ns, owner, xattrs)

    def symlink(
        self,
        name: str,
        target: str | bytes,
        *,
        ns: int = _FILE_NS,
        owner: tuple[int, int] | None = None,
        xattrs: Mapping[str, bytes] | None = None,
    ) -> None:
        path = self._parents(name)
        os.symlink(os.fsencode(target), path)
        self._note(path, None, ns, owner, xattrs)

    def hardlink(self, name: str, other: str) -> None:
        os.link(self._path(name), self._parents(other), follow_symlinks=False)

    def special(self, name: str, mode: int, device: int = 0) -> None:
        path = self._parents(name)
        try:
            os.mknod(path, mode, device)
        except PermissionError:
            # Containers deny devices even to root.
            return
        self._note(path, stat.S_IMODE(mode), _FILE_NS, None, None)

    def acl(self, path: bytes, text: str) -> None:
        self._acls[path] = text

    def repository(self, name: str, files: Mapping[str, bytes]) -> None:
        self.directory(name)
        self.git(name, "init", "-q")
        for file, data in files.items():
            self.file(f"{name}/{file}", data)
        self.git(name, "add", ".")
        self.git(name, "commit", "-q", "-m", "first")

    def git(self, name: str, *args: str) -> None:
        git(Path(os.fsdecode(self._path(name))), *args)

    def settle(self) -> None:
        """Set what was put off, from the bottom up, so that nothing set is changed again."""
        for path in [*sorted(_entries(Path(os.fsdecode(self._root))), reverse=True), self._root]:
            is_dir = stat.S_ISDIR(os.lstat(path).st_mode)
            if path in self._owners:
                os.chown(path, *self._owners[path], follow_symlinks=False)
            self._set_attributes(path)
            if path in self._modes:
                os.chmod(path, self._modes[path])
            if path in self._acls and shutil.which("setfacl"):
                subprocess.run(["setfacl", "-m", self._acls[path], "--", path], stderr=subprocess.DEVNULL)
            ns = self._times.get(path, _DIRECTORY_NS if is_dir else _FILE_NS)
            os.utime(path, ns=(ns, ns), follow_symlinks=False)

    def _set_attributes(self, path: bytes) -> None:
        for name, value in self._xattrs.get(path, {}).items():
            try:
                os.setxattr(path, name, value, follow_symlinks=False)
            except OSError as error:
                if error.errno not in _NOT_SUPPORTED:
                    raise

    def _path(self, name: str | bytes) -> bytes:
        return os.path.join(self._root, os.fsencode(name))

    def _parents(self, name: str | bytes) -> bytes:
        path = self._path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def _note(
        self,
        path: bytes,
        mode: int | None,
        ns: int,
        owner: tuple[int, int] | None,
        xattrs: Mapping[str, bytes] | None,
    ) -> bytes:
        self._times[path] = ns
        if mode is not None:
            self._modes[path] = mode
        if owner is not None:
            self._owners[path] = owner
        if xattrs:
            self._xattrs[path] = dict(xattrs)
        return path


def git(where: Path, *args: str | bytes, check: bool = True, **more: str) -> subprocess.CompletedProcess[bytes]:
    """Stock git in the directory `where`, with nobody's configuration; `more` are environment variables."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    who = {"NAME": "Tester", "EMAIL": "tester@example.org", "DATE": "1700000000 +0000"}
    identity = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in who.items()}
    quiet = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C"}
    # Maintenance that a newer git starts goes on behind our back.
    calm = ("-c", "init.templateDir=", "-c", "init.defaultBranch=main", "-c", "maintenance.auto=false")
    done = subprocess.run(
        ["git", *calm, *args],
        cwd=where,
        env=clean | identity | quiet | more,
        capture_output=True,
    )
    assert done.returncode == 0 or not check, f"git {args}: exit {done.returncode}\n{done.stderr.decode()}"
    return done
