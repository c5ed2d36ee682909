"""Snapshots made by hand to break out or to break down: refused with exit 12 and nothing written, or exactly right."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import zlib
from collections.abc import Callable

from tests.support.installation import run_gitsnap
from tests.torture import forge
from tests.torture.forge import (
    DIR,
    EXECUTABLE,
    FILE,
    GITLINK,
    LINK,
    Forge,
    Forged,
    Row,
    a_dir,
    a_file,
    a_link,
    listing,
    meta,
)
from tests.torture.kinds import Share, Tally, kind
from tests.torture.scene import Scene, contents, small_scene

# What a bomb may use of memory, in bytes; and of time, in seconds.
_MEMORY, _SECONDS = 1_500_000_000, 60
_X = b"content"

Case = Callable[[Forge], Forged]


def _one(path: str, *, name: bytes | None = None, mode: bytes = FILE, kind: str | None = None) -> Case:
    """One file, where `name` is what the tree calls it."""

    def make(f: Forge) -> Forged:
        row = (mode, path.encode() if name is None else name, f.blob(_X))
        return Forged(f.tree(row), listing({path: _X}), meta(kind or a_file(path, len(_X))), 1, len(_X))

    return make


def _rows(rows: Callable[[Forge], list[Row]], *lines: str, files: dict[str, bytes] | None = None) -> Case:
    held = {"a": _X} if files is None else files

    def make(f: Forge) -> Forged:
        size = sum(map(len, held.values()))
        return Forged(f.tree(*rows(f)), listing(held), meta(*lines), len(held), size)

    return make


def _text(manifest: bytes | None = None, metadata: str | bytes | None = None, *, files: int = 1, size: int = 7) -> Case:
    """A good tree with one file `a`, and these texts."""

    def make(f: Forge) -> Forged:
        tree = f.tree((FILE, b"a", f.blob(_X)))
        return Forged(tree, manifest or listing({"a": _X}), metadata or meta(a_file("a", 7)), files, size)

    return make


def _nested(f: Forge, *names: bytes) -> Row:
    """A file `x` below directories of these names."""
    row: Row = (FILE, b"x", f.blob(_X))
    for name in reversed(names):
        row = (DIR, name, f.tree(row))
    return row


def _through_link(f: Forge) -> Forged:
    link = f.blob(b"/tmp")
    tree = f.tree((LINK, b"d", link), (DIR, b"d", f.tree((FILE, b"x", f.blob(_X)))))
    return Forged(tree, listing({"d/x": _X}), meta(a_link("d", "/tmp"), a_file("d/x", 7)), 1, 7)


def _link_below(f: Forge) -> Forged:
    """The tree has a directory, the metadata a symlink, of the same name."""
    tree = f.tree((DIR, b"d", f.tree((FILE, b"x", f.blob(_X)))))
    return Forged(tree, listing({"d/x": _X}), meta(a_link("d", "/tmp"), a_file("d/x", 7)), 1, 7)


def _git_bomb(f: Forge) -> Forged:
    row: Row = (FILE, b"x", f.blob(_X))
    for _ in range(12):
        tree = f.tree(*[(row[0], b"%02d" % n, row[2]) for n in range(20)])
        row = (DIR, b"d", tree)
    return Forged(row[2], listing({"a": _X}), meta(a_file("a", 7)), 1, 7)


def _zlib_bomb_loose(f: Forge) -> Forged:
    oid = f.object(b"blob", _X, stored=_deflated_zeros(b"blob 7\0", 2 << 30))
    return Forged(f.tree((FILE, b"a", oid)), listing({"a": _X}), meta(a_file("a", 7)), 1, 7)


def _deflated_zeros(head: bytes, size: int) -> bytes:
    """The head and `size` zeros, a multiple of a mebibyte, as zlib deflates them: all mebibytes alike."""
    deflater, mebibyte = zlib.compressobj(1), bytes(1 << 20)
    begun = deflater.compress(head) + deflater.flush(zlib.Z_FULL_FLUSH)
    piece = deflater.compress(mebibyte) + deflater.flush(zlib.Z_FULL_FLUSH)
    # Adler-32 (RFC 1950): a zero adds the low half to the high one, and nothing to the low one.
    high, low = divmod(zlib.adler32(head), 1 << 16)
    check = (high + size * low) % 65521 << 16 | low
    return begun + piece * (size >> 20) + b"\x03\0" + check.to_bytes(4)


def _zlib_bomb_tree(f: Forge) -> Forged:
    oid = f.object(b"tree", b"100644 a\0" + bytes(20), stored=_deflated_zeros(b"tree 29\0", 2 << 30))
    return Forged(oid, listing({"a": _X}), meta(a_file("a", 7)), 1, 7)


def _packed(raw: Callable[[bytes], bytes], *others: tuple[bytes, Callable[[bytes], bytes]]) -> Case:
    """The file's blob is in a pack, its entry whatever `raw` makes of the blob's id."""

    def make(f: Forge) -> Forged:
        oid = f.blob(_X)
        (f.store / "objects" / oid.hex()[:2] / oid.hex()[2:]).unlink()
        f.pack([(oid, raw(oid)), *[(o, r(oid)) for o, r in others]])
        return Forged(f.tree((FILE, b"a", oid)), listing({"a": _X}), meta(a_file("a", 7)), 1, 7)

    return make


_OTHER = bytes(range(20))
_DELTA = bytes([7, 7]) + b"\x07" + _X
_COPY_BOMB = bytes([7, 7]) + b"\x90\x07" * 200_000
_HUGE_DELTA = bytes([7]) + b"\x80\x80\x80\x80\x80\x40" + b"\x90\x07" * 10


def _bomb_with_base(delta: bytes) -> Case:
    def make(f: Forge) -> Forged:
        base = f.blob(b"another")
        return _packed(lambda _: forge.entry(7, len(delta), delta, base))(f)

    return make


def _huge(size: int) -> Case:
    """All texts agree on a gigantic file, the blob is small."""
    return _text(listing({"a": _X}, size=size), meta(a_file("a", size)), size=size)


def _message(edit: Callable[[str], str]) -> Case:
    def make(f: Forge) -> Forged:
        import hashlib

        made = _text()(f)
        texts = [hashlib.sha256(t).hexdigest() for t in (made.manifest, str(made.metadata).encode())]
        made.message = edit(
            f"manual: forged\n\nGitsnap-Id: {forge.ID}\nGitsnap-Kind: manual\nGitsnap-Label: forged\n"
            f"Gitsnap-Files: 1\nGitsnap-Bytes: 7\n"
            f"Gitsnap-Manifest-SHA256: {texts[0]}\nGitsnap-Metadata-SHA256: {texts[1]}\n"
        )
        return made

    return make


_A = a_file("a", 7)
REFUSED: dict[str, Case] = {
    "..": _one("..", name=b".."),
    ".": _one(".", name=b"."),
    "an empty name": _one("", name=b""),
    "a name with a slash": _one("d/x", name=b"d/x"),
    "an absolute name": _one("/tmp/x", name=b"/tmp/x"),
    ".. as a directory": _rows(lambda f: [_nested(f, b"..")], a_dir(".."), a_file("../x", 7), files={"../x": _X}),
    "../../x in manifest and metadata": _text(listing({"../../x": _X}), meta(a_file("../../x", 7))),
    "an absolute path in the manifest": _text(listing({"/etc/x": _X})),
    "an absolute path in the metadata": _text(None, meta(a_file("/etc/x", 7))),
    ".git unescaped": _rows(lambda f: [_nested(f, b".git")], a_dir(".git"), a_file(".git/x", 7), files={".git/x": _X}),
    ".GIT unescaped": _one(".GIT"),
    "git~1 unescaped": _one("git~1"),
    ".git with a trailing dot": _one(".git."),
    ".git as a stream": _one(".git::$INDEX_ALLOCATION"),
    ".git with an ignorable code point": _one(".g\u200cit", kind=a_file(r".g\342\200\214it", 7)),
    ".gitmodules unescaped": _one(".gitmodules"),
    "an escape to ..": _one("..", name=b"%2E."),
    "an escape to a slash": _one("/x", name=b"%2Fx"),
    "an escape to NUL": _one("x", name=b"%00x"),
    "an escape in lower case": _one(".git", name=b"%2egit"),
    "an escape that is not needed": _one("a", name=b"%61"),
    "a symlink and a directory of one name": _through_link,
    "a directory here, a symlink there": _link_below,
    "a path through a symlink": _rows(
        lambda f: [(FILE, b"a", f.blob(_X)), (LINK, b"d", f.blob(b"/tmp"))], _A, a_link("d", "/tmp"), a_file("d/x", 7)
    ),
    "a name twice": _rows(lambda f: [(FILE, b"a", f.blob(_X)), (FILE, b"a", f.blob(b"other"))], _A),
    "a name twice, once escaped": _rows(
        lambda f: [(FILE, b"%2Egit", f.blob(_X)), (FILE, b"%2Egit", f.blob(b"other"))],
        a_file(".git", 7),
        files={".git": _X},
    ),
    "a path twice in the metadata": _text(None, meta(_A, _A)),
    "a path twice in the manifest": _text(listing({"a": _X}) + listing({"a": _X}).splitlines(True)[-1]),
    "names out of order": _rows(
        lambda f: [(FILE, b"b", f.blob(_X)), (FILE, b"a", f.blob(_X))],
        _A,
        a_file("b", 7),
        files={"a": _X, "b": _X},
    ),
    "a mode that git does not know": _one("a", mode=b"107777"),
    "a mode of five octal digits in the metadata": _text(None, meta(_A.replace("0644", "017777"))),
    "a gitlink": _one("a", mode=GITLINK),
    "an executable there, a plain file here": _one("a", mode=EXECUTABLE),
    "an owner beyond 32 bits": _text(None, meta(_A.replace("uid=0", "uid=4294967296"))),
    "a file of 2^63 bytes": _huge(1 << 63),
    "a file of 2^62 bytes": _huge(1 << 62),
    "a negative size": _text(None, meta(_A.replace("size=7", "size=-7"))),
    "a count that is wrong": _text(files=2),
    "bytes that are wrong": _text(size=8),
    "a file that the manifest does not name": _text(listing({})),
    "a file that the tree does not hold": _text(
        listing({"a": _X, "b": _X}), meta(_A, a_file("b", 7)), files=2, size=14
    ),
    "a file that the metadata do not name": _rows(lambda f: [(FILE, b"a", f.blob(_X)), (FILE, b"b", f.blob(_X))], _A),
    "other content than the manifest's": _text(listing({"a": b"another"})),
    "a manifest of the future": _text(listing({"a": _X}).replace(b"manifest 1", b"manifest 2")),
    "metadata with NUL": _text(None, meta(_A).encode() + b"\0\n"),
    "a manifest without an end": _text(listing({"a": _X})[:-1]),
    "a hard link to outside": _text(None, meta(_A) + "# hardlink ./../x ./a\n"),
    "an attribute of a path outside": _text(None, meta(_A) + "# xattr ./../x user.a=YQ==\n"),
    "a small tree that is huge": _git_bomb,
    "zlib bomb in a loose blob": _zlib_bomb_loose,
    "zlib bomb in a loose tree": _zlib_bomb_tree,
    "zlib bomb in a pack": _packed(lambda _: forge.entry(3, 7, bytes(300 << 20))),
    "a pack entry that claims 2^40 bytes": _packed(lambda _: forge.entry(3, 1 << 40, _X)),
    "a pack entry that claims 2^31 bytes": _packed(lambda _: forge.entry(3, (1 << 31) - 1, _X)),
    "a delta on itself": _packed(lambda oid: forge.entry(7, len(_DELTA), _DELTA, oid)),
    "deltas in a circle": _packed(
        lambda _: forge.entry(7, len(_DELTA), _DELTA, _OTHER),
        (_OTHER, lambda oid: forge.entry(7, len(_DELTA), _DELTA, oid)),
    ),
    "a delta on a base before the pack": _packed(lambda _: forge.entry(6, len(_DELTA), _DELTA, b"\x7f")),
    "a delta on itself by offset": _packed(lambda _: forge.entry(6, len(_DELTA), _DELTA, b"\0")),
    "a delta that copies without end": _bomb_with_base(_COPY_BOMB),
    "a delta to a gigantic result": _bomb_with_base(_HUGE_DELTA),
    "an entry of an unknown type": _packed(lambda _: forge.entry(5, 7, _X)),
    "a ref with another id": _message(lambda m: m.replace(forge.ID, forge.ID[:-1] + "x")),
    "an id that leads out": _message(lambda m: m.replace(forge.ID, "../../../x")),
    "trailers twice": _message(lambda m: m + "Gitsnap-Files: 1\n"),
}

ACCEPTED: dict[str, Case] = {
    "a plain file": _text(),
    ".git, escaped": _one(".git", name=b"%2Egit"),
    ".gitmodules, escaped": _one(".gitmodules", name=b"%2Egitmodules"),
    "%2Egit, escaped": _one("%2Egit", name=b"%252Egit"),
    "git~1, escaped": _one("git~1", name=b"%67it~1"),
    "...": _one("..."),
    "..a": _one("..a"),
    "a name like an option": _one("-rf"),
    "a name of 255 bytes": _one("n" * 255),
    "a backslash": _one("b\\c", name=b"b\\c", kind=a_file(r"b\134c", 7)),
    "a device's name": _one("CON"),
    "a symlink that leads out": _rows(
        lambda f: [(FILE, b"a", f.blob(_X)), (LINK, b"l", f.blob(b"/etc/passwd"))], _A, a_link("l", "/etc/passwd")
    ),
    "a symlink up": _rows(
        lambda f: [(FILE, b"a", f.blob(_X)), (LINK, b"l", f.blob(b"../../.."))], _A, a_link("l", "../../..")
    ),
    "a setuid file": _text(None, meta(_A.replace("0644", "04644"))),
    "names that differ by case": _rows(
        lambda f: [(FILE, b"A", f.blob(_X)), (FILE, b"a", f.blob(_X))],
        a_file("A", 7),
        _A,
        files={"A": _X, "a": _X},
    ),
    "a deep path": _rows(
        lambda f: [_nested(f, *[b"d"] * 30)],
        *[a_dir("/".join("d" * n)) for n in range(1, 31)],
        a_file("/".join("d" * 30) + "/x", 7),
        files={"/".join("d" * 30) + "/x": _X},
    ),
}
# Nothing is wrong with these but that no disk could hold them.
_NO_ROOM = {"a file of 2^62 bytes"}


def attack(scene: Scene, name: str, case: Case, *, accept: bool) -> str | None:
    """Forge, restore elsewhere and roll back; what is wrong about the outcome."""
    scene.reset()
    forge.clear(scene.store)
    made = case(Forge(scene.store))
    if name == "a backslash":
        made.manifest = made.manifest.replace(b"  b\\c", b"  b\\\\c").replace(b"\n" + made.manifest[-72:-64], b"")
        digest, _, _ = made.manifest.splitlines()[-1].partition(b"  ")
        made.manifest = b"\n".join(made.manifest.splitlines()[:-1]) + b"\n\\" + digest + b"  b\\\\c\n"
    made.write(Forge(scene.store))
    out = scene.top / "cage/out"
    shutil.rmtree(out.parent, ignore_errors=True)
    out.parent.mkdir()
    outside = contents(scene.top / "outside")
    done = _bounded(scene, "restore", forge.ID, "--to", str(out))
    written = sorted(contents(out)) if out.exists() else []
    leaked = [p.name for p in out.parent.iterdir() if p != out]
    words = f"{name}: exit {done.returncode}, wrote {written} {done.stderr[-600:]}"
    if "Traceback" in done.stderr or "a bug" in done.stderr or done.returncode < 0:
        return words
    if leaked or contents(scene.top / "outside") != outside:
        return f"ESCAPED: {leaked} {words}"
    if not accept:
        code = 1 if name in _NO_ROOM else 12
        if done.returncode != code or written:
            return words
        rolled = _bounded(scene, "rollback", forge.ID, "--yes")
        if rolled.returncode != code or not scene.untouched():
            return f"rollback: {name}: exit {rolled.returncode} {rolled.stderr[-600:]}"
        return None
    return None if done.returncode in (0, 3) and written else words


def received(scene: Scene, name: str, case: Case, *, accept: bool) -> str | None:
    """Forge, and clone that; what is wrong about the outcome."""
    scene.reset()
    forge.clear(scene.store)
    made = case(Forge(scene.store))
    made.write(Forge(scene.store))
    cage, source = scene.top / "cage", scene.top / "source.git"
    for left in (cage, source):
        shutil.rmtree(left, ignore_errors=True)
    cage.mkdir()
    scene.store.rename(source)
    outside = contents(scene.top / "outside")
    limits = {resource.RLIMIT_AS: _MEMORY, resource.RLIMIT_CPU: _SECONDS}
    words = ("clone", str(source), str(cage / "out"), "--snapshot", forge.ID)
    done = run_gitsnap(*words, home=scene.home, check=False, limits=limits)
    there = sorted(p.name for p in (*cage.iterdir(), *scene.home.iterdir()))
    said = f"{name}: exit {done.returncode}, left {there} {done.stderr[-600:]}"
    if "Traceback" in done.stderr or "a bug" in done.stderr or done.returncode < 0:
        return said
    if contents(scene.top / "outside") != outside:
        return f"ESCAPED: {said}"
    if not accept:
        return said if done.returncode not in (1, 12) or (there and name not in _NO_ROOM) else None
    return None if done.returncode in (0, 3) and "out" in there else said


def _notes_bomb(scene: Scene) -> str | None:
    """A few trees that name each other 16^38 times in the place of the notes, which the next snapshot reads."""
    scene.reset()
    f = Forge(scene.store)
    child = f.tree((FILE, b"0", f.blob(_X)))
    for _ in range(38):
        child = f.tree(*[(DIR, b"%x" % n, child) for n in range(16)])
    f.note("manifest", "0" * 40, f.blob(b""), tree=child)
    done = _bounded(scene, "snapshot")
    if done.returncode != 12 or not scene.untouched():
        return f"a bomb in the notes: exit {done.returncode} {done.stderr[-600:]}"
    return None


def _bounded(scene: Scene, *args: str) -> subprocess.CompletedProcess[str]:
    limits = {resource.RLIMIT_AS: _MEMORY, resource.RLIMIT_CPU: _SECONDS}
    return run_gitsnap("-C", scene.app, *args, home=scene.home, check=False, limits=limits)


def _kind(cases: dict[str, Case], accept: bool, attack: Callable[..., str | None] = attack) -> Callable[[Share], Tally]:
    def run(share: Share) -> Tally:
        tally = Tally()
        with small_scene() as scene:
            (scene.top / "outside").mkdir()
            os.chmod(scene.top / "outside", 0o777)
            names = list(cases)
            chosen = names if share.points is None else share.chance.sample(names, share.number(len(names)))
            for name in chosen:
                tally.add(attack(scene, name, cases[name], accept=accept))
            if cases is REFUSED and attack is not received:
                tally.add(_notes_bomb(scene))
        return tally

    return run


hostile_refused = kind("hostile sidecars: refused")(_kind(REFUSED, accept=False))
hostile_accepted = kind("odd sidecars: accepted")(_kind(ACCEPTED, accept=True))
hostile_sources = kind("hostile sources: refused")(_kind(REFUSED, accept=False, attack=received))
odd_sources = kind("odd sources: accepted")(
    _kind({name: case for name, case in ACCEPTED.items() if name != "a backslash"}, accept=True, attack=received)
)
