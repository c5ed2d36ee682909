"""The metadata: its exact text, what reading it refuses, and NetBSD's mtree as the judge."""

from __future__ import annotations

import grp
import os
import pwd
import re
import shutil
import stat
import subprocess
import time
from pathlib import Path

import pytest

from gitsnap.core.errors import IntegrityError
from gitsnap.core.model import Entry, Inventory, Problem, Type
from gitsnap.core.mtree import format_metadata, parse_metadata

needs_mtree = pytest.mark.skipif(shutil.which("mtree") is None, reason="mtree (Debian: mtree-netbsd) is not installed")

ROOT = ". type=dir mode=0755 uid=0 gid=0 time=0.000000000"


def plain(path: str, more: str = "type=file mode=0644 uid=0 gid=0 time=0.000000000 size=0") -> str:
    return f"{path} {more}"


def text(*lines: str) -> bytes:
    return "\n".join(["# gitsnap metadata 1", *lines, ""]).encode("latin-1")


def test_the_text_is_what_the_format_says() -> None:
    inventory = Inventory(
        entries=[
            Entry(b"", Type.DIR, 0o1777, 0, 0, "root", "root", 1_700_000_000_123_456_789),
            Entry(b"a b", Type.FILE, 0o4755, 1000, 50, "me", "", -1, size=7, sparse=True),
            Entry(b"a*b", Type.FILE, 0, 1000, 50, "", "users", 0),
            Entry(b"d", Type.DIR, 0o755, 7, 8, "domain user", "d\xe9", -1_500_000_000, xattrs=(("user.b=", b"\0"),)),
            Entry(b"d/[x]", Type.LINK, 0o777, target=b"a #=*\n"),
            Entry(b"d/~", Type.FILE, 0o644, size=2, xattrs=(("user.z", b""), ("user.a", b"xyz"))),
            Entry(b"dev", Type.CHAR, 0o666, device=(1, 3)),
            Entry(b"disk", Type.BLOCK, 0o660, device=(259, 70000)),
            Entry(b"pipe", Type.FIFO, 0o600),
            Entry(b"twin", Type.FILE, 0o644, size=2),
        ],
        hardlinks=[(b"twin", b"d/~")],
        partial=[Problem(b"a b", "changed while it was read"), Problem(b"Z", "gone")],
        skipped=[b"sock", b"d/s\xff"],
    )
    written = format_metadata(inventory)
    assert written.decode().split("\n") == [
        "# gitsnap metadata 1",
        ". type=dir mode=01777 uid=0 gid=0 uname=root gname=root time=1700000000.123456789",
        r"./a\040b type=file mode=04755 uid=1000 gid=50 uname=me time=-1.999999999 size=7",
        "./d type=dir mode=0755 uid=7 gid=8 time=-2.500000000",
        "./d/~ type=file mode=0644 uid=0 gid=0 time=0.000000000 size=2",
        "./dev type=char mode=0666 uid=0 gid=0 time=0.000000000 device=native,1,3",
        "./disk type=block mode=0660 uid=0 gid=0 time=0.000000000 device=native,259,70000",
        "./pipe type=fifo mode=0600 uid=0 gid=0 time=0.000000000",
        "./twin type=file mode=0644 uid=0 gid=0 time=0.000000000 size=2",
        r"./d/\133x] type=link mode=0777 uid=0 gid=0 time=0.000000000 link=a\040\043\075\052\012",
        r"./a\052b type=file mode=0000 uid=1000 gid=50 gname=users time=0.000000000 size=0",
        r"# xattr ./d user.b\075=AA==",
        "# xattr ./d/~ user.a=eHl6",
        "# xattr ./d/~ user.z=",
        r"# uname ./d domain\040user",
        r"# gname ./d d\303\251",
        "# hardlink ./d/~ ./twin",
        r"# sparse ./a\040b",
        "# partial ./Z gone",
        r"# partial ./a\040b changed\040while\040it\040was\040read",
        r"# skipped ./d/s\377",
        "# skipped ./sock",
        "",
    ]
    back = parse_metadata(written)
    assert back.entries[5].xattrs == (("user.a", b"xyz"), ("user.z", b""))
    inventory.entries[5].xattrs = back.entries[5].xattrs
    inventory.hardlinks = [(b"d/~", b"twin")]
    inventory.partial.reverse()
    inventory.skipped.reverse()
    assert back == inventory


def test_what_was_not_recorded_has_no_keyword() -> None:
    nothing = frozenset({"mode", "owner", "time", "xattr"})
    inventory = Inventory(
        entries=[
            Entry(b"", Type.DIR, 0o755, unrecorded=nothing),
            Entry(b"a", Type.FILE, 0o644, mtime_ns=10**9, unrecorded=nothing - {"time"}),
            Entry(b"b", Type.FILE, 0o600, 7, 8, "me", mtime_ns=10**9, unrecorded=frozenset({"xattr"})),
        ],
        unlisted=[b""],
    )
    written = format_metadata(inventory)
    assert written.decode().split("\n") == [
        "# gitsnap metadata 1",
        ". type=dir",
        "./a type=file time=1.000000000 size=0",
        "./b type=file mode=0600 uid=7 gid=8 uname=me time=1.000000000 size=0",
        "# unlisted .",
        "# unrecorded xattr",
        "",
    ]
    assert parse_metadata(written) == inventory
    inventory.entries[0].unrecorded = frozenset()
    written = format_metadata(inventory)
    assert b"# unrecorded ./a xattr\n# unrecorded ./b xattr\n" in written
    assert parse_metadata(written) == inventory
    inventory.entries[1].unrecorded = frozenset({"time"})
    with pytest.raises(ValueError, match="no time"):
        format_metadata(inventory)


@needs_mtree
def test_mtree_leaves_alone_what_was_not_recorded(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    (tmp_path / "a").write_text("x")
    (tmp_path / "a").chmod(0o640)
    os.utime(tmp_path / "a", (1, 1))
    lacking = frozenset({"mode", "owner", "xattr"})
    inventory = Inventory(
        entries=[
            Entry(b"", Type.DIR, 0o755, unrecorded=lacking | {"time"}),
            Entry(b"a", Type.FILE, 0o644, mtime_ns=2 * 10**9, size=1, unrecorded=lacking),
        ]
    )
    spec = tmp_path.parent / "spec"
    spec.write_bytes(format_metadata(inventory))
    subprocess.run(["mtree", "-U", "-t", "-f", spec, "-p", tmp_path], capture_output=True)
    found = (tmp_path / "a").stat()
    assert (found.st_mode & 0o777, found.st_mtime) == (0o640, 2)
    assert tmp_path.stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [Entry(b"a", Type.DIR, 0o755)],
        [Entry(b"", Type.FILE, 0o755)],
        [Entry(b"", Type.DIR, 0o755), Entry(b"", Type.DIR, 0o755)],
        [Entry(b"", Type.DIR, 0o755), Entry(b"b", Type.FIFO, 0), Entry(b"a", Type.FIFO, 0)],
        [Entry(b"", Type.DIR, 0o10000)],
        [Entry(b"", Type.DIR, -1)],
        [Entry(b"", Type.DIR, 0o755, uid=-1)],
        [Entry(b"", Type.DIR, 0o755, gid=2**32)],
        [Entry(b"", Type.DIR, 0o755), Entry(b"a", Type.FILE, 0o644, size=-1)],
        [Entry(b"", Type.DIR, 0o755), Entry(b"a", Type.LINK, 0o777)],
        [Entry(b"", Type.DIR, 0o755), Entry(b"a", Type.LINK, 0o777, target=b"a\0")],
        [Entry(b"", Type.DIR, 0o755), Entry(b"a\0", Type.FIFO, 0o777)],
        [Entry(b"", Type.DIR, 0o755, xattrs=(("user.\0", b""),))],
        [Entry(b"", Type.DIR, 0o755), Entry(b"a", Type.CHAR, 0o600)],
    ],
)
def test_what_could_not_be_read_back_is_not_written(entries: list[Entry]) -> None:
    with pytest.raises(ValueError, match=r"."):
        format_metadata(Inventory(entries=entries))


FIRST = "the first entry is not the root"
ORDER = "not sorted, or one occurs twice"
WORDS = "not the keywords that the type needs"


@pytest.mark.parametrize(
    ("data", "number", "why"),
    [
        (b"", 1, "not gitsnap metadata"),
        (b"# gitsnap metadata\n", 1, "not gitsnap metadata"),
        (b"# gitsnap metadata 1", 1, "final newline"),
        (b"# gitsnap metadata 0\n", 1, "no format version 0"),
        (b"# gitsnap metadata 1\n", 2, "no entries"),
        (text("# sparse ./a"), 2, "no entries"),
        (text(ROOT)[:-1], 2, "final newline"),
        (text(ROOT, plain("./caf\xe9")), 3, "beyond ASCII"),
        (text(plain("./a")), 2, FIRST),
        (text(plain(".")), 2, FIRST),
        (text(ROOT, ROOT), 3, ORDER),
        (text(ROOT, plain("./b"), plain("./a")), 4, ORDER),
        (text(ROOT, plain("./a"), plain("./a")), 4, ORDER),
        (text(ROOT, plain(r"./a\052"), plain("./b")), 4, ORDER),
        (text(ROOT, plain(r"./a\052"), plain(r"./a\052")), 4, ORDER),
        (text(ROOT, plain(r"./a\052"), plain(r"./a\077")), 4, ORDER),
        (text(ROOT, plain("./a/b")), 3, "in no directory"),
        (text(ROOT, plain("./a"), plain("./a/b")), 4, "in no directory"),
        (text(ROOT, plain("./a//b")), 3, "in no directory"),
        (text(ROOT, plain(r"./\052/b")), 3, "in no directory"),
        (text(ROOT, plain(".//b")), 3, "unsafe path"),
        (text(ROOT, plain("./")), 3, "not an entry"),
        (text(ROOT, plain("./.")), 3, "unsafe path"),
        (text(ROOT, plain("./..")), 3, "unsafe path"),
        (text(ROOT, plain("./a/")), 3, "unsafe path"),
        (text(ROOT, plain(r"./a\000")), 3, "malformed escape"),
        (text(ROOT, plain("./a").replace("file", "link").replace("size=0", r"link=a\000")), 3, "malformed escape"),
        (text(ROOT, r"# xattr . user.x\000=eA=="), 3, "malformed escape"),
        (text(ROOT, plain("a")), 3, "not an entry"),
        (text(ROOT, plain("/a")), 3, "not an entry"),
        (text(ROOT, plain("./a*")), 3, "not an entry"),
        (text(ROOT, plain("./a\t")), 3, "not an entry"),
        (text(ROOT, plain(r"./a\141")), 3, "malformed escape"),
        (text(ROOT, plain(r"./a\40")), 3, "malformed escape"),
        (text(ROOT, plain(r"./a\400")), 3, "malformed escape"),
        (text(ROOT, plain(r"./a\s")), 3, "malformed escape"),
        (text(ROOT, ""), 3, "not an entry"),
        (text(ROOT, plain("./a").replace("type=file", "type=socket")), 3, "not an entry"),
        (text(ROOT, plain("./a").replace("type=file", "type=dir")), 3, WORDS),
        (text(ROOT, plain("./a").replace(" size=0", "")), 3, WORDS),
        (text(ROOT, plain("./a").replace("size=0", "size=0 link=a")), 3, WORDS),
        (text(ROOT, plain("./a").replace("file", "link").replace("size=0", "device=native,1,2")), 3, WORDS),
        (text(ROOT, plain("./a").replace("size=0", "size=0 flags=none")), 3, "not an entry"),
        (text(ROOT, plain("./a").replace("size=0", "size=00")), 3, "not an entry"),
        (text(ROOT, plain("./a").replace("size=0", "size=-1")), 3, "not an entry"),
        (text(ROOT, plain("./a").replace("size=0", "size=9223372036854775808")), 3, "out of range"),
        (text(ROOT, plain("./a").replace("size=0", "size=" + "9" * 5000)), 3, "not an entry"),
        (text(ROOT, plain("./a").replace("0644", "644")), 3, "not an entry"),
        (text(ROOT, plain("./a").replace("0644", "00644")), 3, "not an entry"),
        (text(ROOT, plain("./a").replace("0644", "010644")), 3, "not an entry"),
        (text(ROOT, plain("./a").replace("0644", "0648")), 3, "not an entry"),
        (text(ROOT, plain("./a").replace("uid=0", "uid=4294967296")), 3, "out of range"),
        (text(ROOT, plain("./a").replace("uid=0", "uid=-1")), 3, "not an entry"),
        (text(ROOT, plain("./a").replace("uid=0", "uid=" + "9" * 5000)), 3, "not an entry"),
        (text(ROOT, plain("./a").replace("uid=0 gid=0", "gid=0 uid=0")), 3, "not an entry"),
        (text(ROOT, plain("./a").replace("gid=0", "gid=0 gname=a uname=b")), 3, "not an entry"),
        (text(ROOT, plain("./a").replace("gid=0", "gid=0 uname=")), 3, "not an entry"),
        (text(ROOT, plain("./a").replace("gid=0", "gid=0 uname=#")), 3, "not an entry"),
        (text(ROOT, plain("./a").replace("time=0.0", "time=-0.0")), 3, "not an entry"),
        (text(ROOT, plain("./a").replace("000000 size", " size")), 3, "not an entry"),
        (text(ROOT, plain("./a").replace("time=0.", "time=9223372036854775808.")), 3, "out of range"),
        (text(ROOT, "#"), 3, "unknown comment"),
        (text(ROOT, "# xattr"), 3, "unknown comment"),
        (text(ROOT, "# acl ./a x"), 3, "unknown comment"),
        (text(ROOT, "#sparse ./a x"), 3, "unknown comment"),
        (text(ROOT, "# skipped ./a", plain("./b")), 4, "unknown comment"),
        (text(ROOT, "# sparse ./a"), 3, "no entry"),
        (text(ROOT, "# sparse ."), 3, "no entry"),
        (text(ROOT, "# sparse a"), 3, "does not start with ./"),
        (text(ROOT, plain("./a"), "# sparse ./a ./b"), 4, "too many words"),
        (text(ROOT, plain("./a"), "# sparse ./a", "# sparse ./a"), 5, ORDER),
        (text(ROOT, "# xattr ./a user.x=eA=="), 3, "no entry"),
        (text(ROOT, "# xattr ."), 3, "too few"),
        (text(ROOT, "# xattr . user.x"), 3, "base64"),
        (text(ROOT, "# xattr . =eA=="), 3, "base64"),
        (text(ROOT, "# xattr . user.x=eA"), 3, "base64"),
        (text(ROOT, "# xattr . user.x=eB=="), 3, "base64"),
        (text(ROOT, "# xattr . user.x=e!A=="), 3, "base64"),
        (text(ROOT, r"# xattr . user.\170=eA=="), 3, "malformed escape"),
        (text(ROOT, "# xattr . user.x=eA==", "# xattr . user.x=eA=="), 4, ORDER),
        (text(ROOT, "# xattr . user.y=eA==", "# xattr . user.x=eA=="), 4, ORDER),
        (text(ROOT, "# skipped ./a", "# xattr . user.x=eA=="), 4, ORDER),
        (text(ROOT, "# uname . root"), 3, "belongs into the entry"),
        (text(ROOT, "# uname . "), 3, "belongs into the entry"),
        (text(ROOT.replace("gid=0", "gid=0 gname=g"), r"# gname . a\040b"), 3, "belongs into the entry"),
        (text(ROOT, plain("./a"), "# hardlink ./a"), 4, "two or more"),
        (text(ROOT, plain("./a"), "# hardlink ./a ./a"), 4, "two or more"),
        (text(ROOT, plain("./a"), plain("./b"), "# hardlink ./b ./a"), 5, "sorted group"),
        (text(ROOT, plain("./a"), "# hardlink ./a ./b"), 4, "no entry"),
        (text(ROOT, plain("./a"), "# hardlink . ./a"), 4, "a directory"),
        (
            text(ROOT, plain("./a"), plain("./b"), plain("./c"), "# hardlink ./a ./b", "# hardlink ./b ./c"),
            7,
            "two groups",
        ),
        (text(ROOT, "# partial ./../a x"), 3, "unsafe path"),
        (text(ROOT, "# partial ./a"), 3, "too few"),
        (text(ROOT, "# partial ./a b c"), 3, "too few or too many"),
        (text(ROOT, "# skipped .//a"), 3, "unsafe path"),
        (text(ROOT, r"# skipped ./a\000"), 3, "malformed escape"),
        (text(ROOT, "# skipped ./a b"), 3, "too many"),
    ],
)
def test_malformed_text_is_refused_by_line(data: bytes, number: int, why: str) -> None:
    with pytest.raises(IntegrityError, match=rf"^metadata, line {number}: .*{re.escape(why)}"):
        parse_metadata(data)


def test_a_newer_format_says_so() -> None:
    with pytest.raises(IntegrityError, match="format version 12, this gitsnap reads 1") as caught:
        parse_metadata(b"# gitsnap metadata 12\n/set type=file\n")
    assert caught.value.hint == "upgrade gitsnap"


NASTY = [
    b"plain", b" ", b" lead", b"trail ", b"tab\t", b"new\nline", b"\r", b"back\\slash", b"\\", b"\\\\", b"\\n",
    b"\\040", b"\\052", b"#", b"#x", b"a#", b"=", b"a=b", b"'", b'"q"', b"`", b"$(x)", b"&amp;", b"%20", b"~", b"^",
    b"\\^A", b"\\M-a", b"-", b"--", b"...", b"..x", b"/set"[1:], b"\x01", b"\x7f", b"\x1b[1m", b"caf\xc3\xa9", b"\xff",
    b"\xff\xfe\x80", b"\xa0", b"*", b"[slug]", b"s", b"x]", b"a" * 255, b"\xff" * 255, b"@", b":", b"{", b"|", b";",
    b"<>", b"type=dir",
]  # fmt: skip


def build(root: bytes) -> None:
    """A tree with every nasty name as a file, and some of them as directories, links and FIFOs."""
    for name in NASTY:
        with open(os.path.join(root, name), "wb") as handle:
            handle.write(name)
    for where in (b"dirs", b"links", b"pipes"):
        os.mkdir(os.path.join(root, where))
    for name in NASTY:
        os.mkdir(os.path.join(root, b"dirs", name))
        with open(os.path.join(root, b"dirs", name, name), "wb"):
            pass
        os.symlink(name, os.path.join(root, b"links", name))
        os.mkfifo(os.path.join(root, b"pipes", name))
    if os.geteuid() == 0:
        os.mknod(os.path.join(root, b"null"), stat.S_IFCHR | 0o666, os.makedev(1, 3))
        os.mknod(os.path.join(root, b"big"), stat.S_IFBLK | 0o600, os.makedev(259, 70000))
        os.chown(os.path.join(root, b"dirs"), 4294, 70000)
    for name, mode in ((b"plain", 0o6711), (b" ", 0), (b"dirs/s", 0o1777), (b"dirs/[slug]", 0o2750), (b"tab\t", 0o400)):
        os.chmod(os.path.join(root, name), mode)
    for name, ns in ((b"plain", -1), (b"#", -(2**31) * 10**9 - 5), (b"dirs/*", 10**9 + 1), (b"links/s", 999_999_999)):
        os.utime(os.path.join(root, name), ns=(ns, ns), follow_symlinks=False)


def entry(root: bytes, path: bytes) -> Entry:
    where = os.path.join(root, path) if path else root
    facts = os.lstat(where)
    kinds = {
        stat.S_IFREG: Type.FILE,
        stat.S_IFDIR: Type.DIR,
        stat.S_IFLNK: Type.LINK,
        stat.S_IFIFO: Type.FIFO,
        stat.S_IFCHR: Type.CHAR,
        stat.S_IFBLK: Type.BLOCK,
    }
    kind = kinds[stat.S_IFMT(facts.st_mode)]
    node = Entry(path, kind, stat.S_IMODE(facts.st_mode), facts.st_uid, facts.st_gid, mtime_ns=facts.st_mtime_ns)
    node.uname = next((u.pw_name for u in pwd.getpwall() if u.pw_uid == facts.st_uid), "")
    node.gname = next((g.gr_name for g in grp.getgrall() if g.gr_gid == facts.st_gid), "")
    node.size = facts.st_size if kind is Type.FILE else 0
    node.target = os.readlink(where) if kind is Type.LINK else b""
    if kind in (Type.CHAR, Type.BLOCK):
        node.device = (os.major(facts.st_rdev), os.minor(facts.st_rdev))
    return node


def observe(root: bytes) -> Inventory:
    """The inventory of a live tree, by other means than gitsnap's own."""
    paths = [b""]
    for top, directories, files in os.walk(root):
        paths += [os.path.relpath(os.path.join(top, name), root) for name in directories + files]
    return Inventory(
        entries=[entry(root, path) for path in sorted(paths)],
        partial=[Problem(b"nasty\\ \n#", "reason \\\n#")],
        skipped=[b"sock#et\\"],
    )


def mtree(spec: Path, root: bytes, *options: str) -> tuple[int, str]:
    done = subprocess.run(
        ["mtree", *options, "-f", str(spec), "-p", root],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        env={"PATH": os.environ["PATH"], "TZ": "UTC"},
    )
    return done.returncode, done.stdout.decode("latin-1")


@needs_mtree
def test_mtree_has_nothing_to_say_about_the_tree_itself(tmp_path: Path) -> None:
    root = os.fsencode(tmp_path / "tree")
    os.mkdir(root)
    build(root)
    inventory = observe(root)
    spec = tmp_path / "spec"
    spec.write_bytes(format_metadata(inventory))
    assert mtree(spec, root) == (0, "")
    assert parse_metadata(spec.read_bytes()) == inventory


@needs_mtree
def test_mtree_sees_every_change(tmp_path: Path) -> None:
    root = os.fsencode(tmp_path / "tree")
    os.mkdir(root)
    build(root)
    spec = tmp_path / "spec"
    spec.write_bytes(format_metadata(observe(root)))
    os.chmod(os.path.join(root, b"plain"), 0o644)
    os.utime(os.path.join(root, b"#"), ns=(0, 1000))
    os.remove(os.path.join(root, b"links", b"a=b"))
    os.symlink(b"elsewhere", os.path.join(root, b"links", b"a=b"))
    with open(os.path.join(root, b"caf\xc3\xa9"), "ab") as handle:
        handle.write(b"more")
    os.remove(os.path.join(root, b"pipes", b"~"))
    status, said = mtree(spec, root)
    assert status == 2
    for change in (
        r"plain:.*\n?.*permissions \(06711, 0644\)",
        r"(?m)^#:.*modification time",
        r"links/a=b:.*(\n\t.*)*link ref \(elsewhere, a=b\)",
        r"caf\xc3\xa9:.*size \(5, 9\)",
        r"missing: \./pipes/~",
    ):
        assert re.search(change, said), (change, said)


@needs_mtree
def test_mtree_mends_a_damaged_copy(tmp_path: Path) -> None:
    """`-t` mends times: without it NetBSD's `mtree -U` only names them, whatever its manual leaves out."""
    root = os.fsencode(tmp_path / "tree")
    os.mkdir(root)
    build(root)
    before = observe(root)
    spec = tmp_path / "spec"
    spec.write_bytes(format_metadata(before))
    links = {each.path for each in before.entries if each.type is Type.LINK}
    for each in before.entries:
        where = os.path.join(root, each.path) if each.path else root
        if each.path not in links:
            os.chmod(where, 0o700)
            os.utime(where)
        elif os.geteuid() == 0:
            os.chown(where, 1, 1, follow_symlinks=False)
    status, _ = mtree(spec, root, "-U", "-t")
    assert status == 0
    mtree(spec, root, "-U", "-t")
    after = observe(root)
    for was, now in zip(before.entries, after.entries, strict=True):
        if was.path not in links:
            assert now.mtime_ns // 1000 == was.mtime_ns // 1000, was.path
        now.mtime_ns = was.mtime_ns
    assert after == before


@needs_mtree
def test_mtree_makes_missing_directories_and_links_by_their_right_names(tmp_path: Path) -> None:
    root = os.fsencode(tmp_path / "tree")
    os.mkdir(root)
    build(root)
    before = observe(root)
    spec = tmp_path / "spec"
    spec.write_bytes(format_metadata(before))
    shutil.rmtree(os.path.join(root, b"dirs"))
    shutil.rmtree(os.path.join(root, b"links"))
    mtree(spec, root, "-U")
    wanted = {e.path for e in before.entries if e.path.startswith((b"dirs", b"links")) and e.type is not Type.FILE}
    assert {e.path for e in observe(root).entries if e.path.startswith((b"dirs", b"links"))} == wanted


@pytest.mark.long
def test_eighty_five_thousand_entries_are_quick() -> None:
    names = {b"directory-%02d" % (n // 2000) for n in range(80_000)}
    names |= {b"directory-%02d/module-%04d" % (n // 2000, n // 16) for n in range(80_000)}
    entries = [Entry(name, Type.DIR, 0o755, 1000, 1000, "user", "group", 1_700_000_000_123_456_789) for name in names]
    for n in range(80_000):
        name = b"directory-%02d/module-%04d/file-%02d.py" % (n // 2000, n // 16, n % 16)
        entries.append(Entry(name, Type.FILE, 0o644, 1000, 1000, "user", "group", 1_700_000_000_000_000_000 + n, n))
    entries.append(Entry(b"", Type.DIR, 0o755))
    inventory = Inventory(entries=sorted(entries, key=lambda each: each.path))
    start = time.process_time()
    data = format_metadata(inventory)
    written = time.process_time()
    assert len(parse_metadata(data).entries) == len(entries)
    read = time.process_time()
    # Ten times what it takes: this fails for an accident of complexity, not for a busy machine.
    assert written - start < 3
    assert read - written < 5
