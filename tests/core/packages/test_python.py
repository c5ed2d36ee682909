"""Python's distributions, by what their metadata says."""

from __future__ import annotations

from dataclasses import replace

from gitsnap.core.model import Entry
from gitsnap.ops.compare import packages
from tests.support.package_trees import compared, distribution, entries, told

SITE = "lib/python3.11/site-packages/"


def test_names_are_compared_as_pep_503_has_them() -> None:
    old = {"p/Foo_Bar-1.0.dist-info/METADATA": "Name: Foo-Bar\nVersion: 1.0\n"}
    new = {"p/foo_bar-0.9.dist-info/METADATA": "Name: foo.bar\nVersion: 0.9\n"}
    assert told(compared(old, new).changes) == ["python foo.bar 1.0 > 0.9 down"]


def test_vendored_copies_are_told_apart() -> None:
    vendored = {"setuptools/_vendor/six-1.1.dist-info/METADATA": "Name: six\nVersion: 1.1\n"}
    old = distribution("six", "1.0", {"six.py": ""}) | distribution("setuptools", "70", {"setuptools/a.py": ""})
    new = distribution("six", "1.0", {"six.py": ""}) | distribution("setuptools", "71", vendored)
    assert told(compared(old, new).changes) == [
        "python setuptools 70 > 71 up",
        "python six - > 1.1 new vendored in setuptools",
    ]


def test_what_another_ones_record_lists_is_vendored_wherever_it_is() -> None:
    inner = {"big/thirdparty/six-1.1.dist-info/METADATA": "Name: six\nVersion: 1.1\n"}
    new = distribution("big", "1.0", {"big/a.py": ""} | inner)
    assert "python six - > 1.1 new vendored in big" in told(compared({}, new).changes)


def test_old_metadata_that_was_left_behind_is_no_second_package() -> None:
    old = distribution("foo", "1.0", {"foo/a.py": "1"}, "")
    new = old | distribution("foo", "1.1", {"foo/a.py": "2"}, "")
    assert told(compared(old, new).changes) == ["python foo 1.0 > 1.1 up"]
    assert told(compared(new, old | {"foo/a.py": "1"}).changes) == ["python foo 1.1 > 1.0 down"]
    # The older one is what is there, when the files are its own.
    down = distribution("foo", "1.1", {"foo/a.py": "2"}, "")
    assert told(compared(down, down | distribution("foo", "1.0", {"foo/a.py": "1"}, "")).changes) == [
        "python foo 1.1 > 1.0 down"
    ]


def test_eggs_tell_the_same() -> None:
    said = "Metadata-Version: 1.1\nName: foo\nVersion: {}\n"
    old = {
        SITE + "foo.egg-info/PKG-INFO": said.format(1),
        SITE + "bar-1-py3.11.egg-info": said.format(1).replace("foo", "bar"),
    }
    old |= {
        SITE + "foo.egg-info/top_level.txt": "foo\n",
        SITE + "foo/a.py": "1",
        SITE + "baz-1.egg/EGG-INFO/PKG-INFO": said.format(1).replace("foo", "baz"),
    }
    new = {
        SITE + "foo.egg-info/PKG-INFO": said.format(2),
        SITE + "bar-2-py3.11.egg-info": said.format(2).replace("foo", "bar"),
    }
    new |= {
        SITE + "foo.egg-info/top_level.txt": "foo\n",
        SITE + "foo/a.py": "2",
        SITE + "baz-2.egg/EGG-INFO/PKG-INFO": said.format(2).replace("foo", "baz"),
    }
    found = compared(old, new)
    assert told(found.changes) == ["python bar 1 > 2 up", "python baz 1 > 2 up", "python foo 1 > 2 up"]
    assert (SITE + "foo/a.py").encode() in found.within


def test_scripts_that_pip_moves_below_its_target_are_found() -> None:
    old = distribution("foo", "1.0", {"../../bin/foo": "1"}, "")
    new = distribution("foo", "1.1", {"../../bin/foo": "2"}, "")
    sides = [{k.replace("../../", ""): v for k, v in side.items()} for side in (old, new)]
    assert b"bin/foo" in compared(*sides).within


def test_what_pip_moved_out_of_the_way_is_no_package() -> None:
    assert not compared({}, {SITE + "~oo-1.0.dist-info/METADATA": "Name: foo\nVersion: 1.0\n"}).changes


def test_a_record_without_a_name_tells_nothing() -> None:
    assert not compared({}, {SITE + "foo-1.0.dist-info/METADATA": b"\xff\x00\n\n"}).changes


def test_of_two_records_without_digests_the_one_written_last_counts() -> None:
    def info(version: str) -> dict[str, str]:
        return {f"foo-{version}.dist-info/METADATA": f"Name: foo\nVersion: {version}\n"}

    def at(time: int, files: dict[str, str]) -> list[Entry]:
        return [replace(e, mtime_ns=time) for e in entries(files)]

    old, new = info("1.1"), info("1.1") | info("1.0")
    sides = at(1, old), [e for e in at(1, old) + at(2, info("1.0")) if e.path]
    found = packages.compare(sides, [], lambda side, entry: iter([new[entry.path.decode()].encode()]))
    assert told(found.changes) == ["python foo 1.1 > 1.0 down"]


def test_copies_inside_of_packages_by_other_names_than_vendor() -> None:
    said = "Name: six\nVersion: 1.1\n"
    for place, holder in ((SITE + "foo/extern", "foo"), ("app/foo/deps", "foo"), (SITE + "foo/vendor/a/b", "foo")):
        files = {f"{place}/six-1.1.dist-info/METADATA": said, f"{place}/__init__.py": "", "app/foo/__init__.py": ""}
        assert told(compared({}, files).changes) == [f"python six - > 1.1 new vendored in {holder}"]


def test_an_environment_beside_modules_is_where_packages_are_installed() -> None:
    files = {f"app/venv/{SITE}six-1.1.dist-info/METADATA": "Name: six\nVersion: 1.1\n", "app/__init__.py": ""}
    files |= {"vendor/seven-1.1.dist-info/METADATA": "Name: seven\nVersion: 1.1\n"}
    assert told(compared({}, files).changes) == ["python seven - > 1.1 new", "python six - > 1.1 new"]


def test_modules_of_node_inside_of_a_package_are_vendored() -> None:
    new = distribution("foo", "1.0", {"foo/static/node_modules/x/package.json": '{"version": "1.0.0"}'})
    assert told(compared({}, new).changes) == ["python foo - > 1.0 new", "npm x - > 1.0.0 new vendored in foo"]


def test_names_that_have_commas_and_quotes_are_owned() -> None:
    odd = 'foo/a, "b".py'
    old, new = distribution("foo", "1.0", {"foo/a.py": "1"}), distribution("foo", "1.1", {"foo/a.py": "2"})
    for side, text in ((old, "1"), (new, "2")):
        record = next(p for p in side if p.endswith("RECORD"))
        side[record] = str(side[record]) + '"foo/a, ""b"".py",,\n'
        side[SITE + odd] = text
    assert (SITE + odd).encode() in compared(old, new).within


def test_a_copy_in_the_directory_of_a_package_is_vendored_whatever_its_record_lists() -> None:
    site = distribution("Foo-Tools", "1.0", {"foo_tools/a.py": ""}, "")
    new = site | {"foo_tools/externals/six-1.1.dist-info/METADATA": "Name: six\nVersion: 1.1\n"}
    assert told(compared(site, new).changes) == ["python six - > 1.1 new vendored in Foo-Tools"]
    new = site | {f"lib/{SITE}six-1.1.dist-info/METADATA": "Name: six\nVersion: 1.1\n"}
    assert told(compared(site, new).changes) == ["python six - > 1.1 new"]
