"""Distributions of systems: dpkg, RPM and apk."""

from __future__ import annotations

import base64
import hashlib

from tests.support.package_trees import compared, told

STATUS = (
    "Package: {name}\nStatus: install ok installed\nArchitecture: "
    "amd64\nVersion: {version}\nDescription: text\n more\n\n"
)


def system(version: str, code: str, conf: str) -> dict[str, str]:
    digests = {n: hashlib.md5(t.encode()).hexdigest() for n, t in (("code", code), ("conf", conf))}
    status = STATUS.format(name="foo", version=version).replace(
        "Description", f"Conffiles:\n /etc/foo.conf {digests['conf']}\nDescription"
    )
    return {
        "var/lib/dpkg/status": status + "Package: bar\nStatus: deinstall ok config-files\nVersion: 9\n",
        "var/lib/dpkg/info/foo.list": "/.\n/etc\n/etc/foo.conf\n/bin\n/bin/foo\n/usr\n/usr/share\n/usr/share/foo.txt\n",
        "var/lib/dpkg/info/foo.md5sums": f"{digests['code']}  bin/foo\n",
        "usr/bin/foo": code,
        "usr/share/foo.txt": version,
        "etc/foo.conf": conf,
    }


def test_dpkg() -> None:
    old, new = system("1.0~rc1-1", "old", "a = 1"), system("1.0-1", "new", "a = 2")
    found = compared(old, new)
    assert told(found.changes) == ["debian foo 1.0~rc1-1 > 1.0-1 up"]
    assert found.within >= {b"usr/bin/foo", b"usr/share/foo.txt", b"etc/foo.conf", b"var/lib/dpkg/info/foo.md5sums"}
    assert not found.edited


def test_an_edited_file_of_a_debian_package_by_its_digest() -> None:
    old = system("1.0-1", "old", "a = 1") | {"usr/bin/foo": "edited", "etc/foo.conf": "a = 5"}
    found = compared(old, system("1.1-1", "new", "a = 2") | {"etc/foo.conf": "a = 5"})
    assert [(e.path, e.before) for e in found.edited] == [(b"usr/bin/foo", True)]
    found = compared(system("1.0-1", "old", "a = 1"), system("1.0-1", "old", "a = 1") | {"etc/foo.conf": "a = 5"})
    assert [(e.path, e.package, e.before) for e in found.edited] == [(b"etc/foo.conf", "foo", False)]


def test_architectures_beside_each_other() -> None:
    def status(version: str) -> dict[str, str]:
        both = STATUS.format(name="libc6", version=version) + STATUS.format(name="libc6", version=version).replace(
            "amd64", "i386"
        )
        return {"root/var/lib/dpkg/status": both}

    assert told(compared(status("2:2.36-9"), status("1:2.41-1")).changes) == [
        "debian libc6:amd64 2:2.36-9 > 1:2.41-1 down", "debian libc6:i386 2:2.36-9 > 1:2.41-1 down",
    ]  # fmt: skip


def test_rpm_where_it_is_text() -> None:
    listed = "bash-5.1.{}-1.el9.x86_64\nfoo-bar-1:1.0-2.noarch  Mon 1 Jan\nnoise\n"
    assert told(compared({"rpm-qa.txt": listed.format(8)}, {"rpm-qa.txt": listed.format(10)}).changes) == [
        "rpm bash 5.1.8-1.el9 > 5.1.10-1.el9 up"
    ]
    line, at = "glibc\t2.35-{}.cm2\t1\t1\tx\t(none)\t1\tx86_64\n", "var/lib/rpmmanifest/container-manifest-2"
    assert told(compared({at: line.format(3)}, {at: line.format(2)}).changes) == [
        "rpm glibc 2.35-3.cm2 > 2.35-2.cm2 down"
    ]


def test_apk() -> None:
    def system(version: str, code: str) -> dict[str, str]:
        digest = base64.b64encode(hashlib.sha1(code.encode()).digest()).decode()
        record = (
            f"C:Q1x=\nP:busybox\nV:{version}\nF:bin\nR:busybox\na:0:0:755\n"
            f"Z:Q1{digest}\nF:etc\nR:conf\n\nP:musl\nV:1.2.4-r2\n\n"
        )
        return {"lib/apk/db/installed": record, "bin/busybox": code, "etc/conf": version}

    found = compared(system("1.36.1-r9", "a"), system("1.36.1-r10", "b"))
    assert told(found.changes) == ["alpine busybox 1.36.1-r9 > 1.36.1-r10 up"]
    assert found.within == {b"bin/busybox", b"etc/conf"}
    found = compared(system("1.36.1-r9", "a") | {"bin/busybox": "edited"}, system("1.36.1-r10", "b"))
    assert [(e.path, e.before) for e in found.edited] == [(b"bin/busybox", True)]


def test_a_file_that_is_diverted_is_the_package_that_put_it_there() -> None:
    more = {"var/lib/dpkg/diversions": "/usr/bin/foo\n/usr/bin/foo.real\nother\n", "usr/bin/foo": "another one's"}
    old, new = system("1.0-1", "old", "a"), system("1.0-1", "old", "a")
    old |= {"usr/bin/foo.real": "old"} | more
    new |= {"usr/bin/foo.real": "edited"} | more | {"usr/bin/foo": "another one's, edited"}
    assert [(e.path, e.package, e.before) for e in compared(old, new).edited] == [(b"usr/bin/foo.real", "foo", False)]
