"""npm's packages, and pnpm's."""

from __future__ import annotations

import json

from tests.support.package_trees import compared, told


def package(at: str, version: str) -> dict[str, str]:
    return {f"{at}/package.json": json.dumps({"name": at.rpartition("node_modules/")[2], "version": version})}


def test_scopes_and_what_is_inside_another_one() -> None:
    old = (
        package("node_modules/a", "1.0.0")
        | package("node_modules/@s/b", "1.0.0")
        | package("node_modules/a/node_modules/c", "2.0.0")
    )
    new = (
        package("node_modules/a", "1.1.0")
        | package("node_modules/@s/b", "0.9.0")
        | package("node_modules/a/node_modules/c", "2.1.0")
    )
    assert told(compared(old, new).changes) == [
        "npm @s/b 1.0.0 > 0.9.0 down",
        "npm a 1.0.0 > 1.1.0 up",
        "npm c 2.0.0 > 2.1.0 up vendored in a",
    ]


def test_files_that_a_package_has_beside_its_own_are_no_packages() -> None:
    assert not compared({}, {"node_modules/a/dist/package.json": '{"version": "1.0.0"}'}).changes


def test_an_application_that_has_node_modules_in_a_directory_is_no_holder() -> None:
    found = compared(package("srv/app/node_modules/a", "1.0.0"), package("srv/app/node_modules/a", "1.0.1"))
    assert told(found.changes) == ["npm a 1.0.0 > 1.0.1 up"]


def test_pnpms_store_holds_versions_beside_each_other() -> None:
    store = "node_modules/.pnpm/{0}@{1}/node_modules/{0}"
    old = package(store.format("a", "1.0.0"), "1.0.0") | package(store.format("b", "1.0.0"), "1.0.0")
    old |= package(store.format("b", "2.0.0"), "2.0.0")
    new = package(store.format("a", "1.1.0"), "1.1.0") | package(store.format("b", "1.0.0"), "1.0.0")
    new |= package(store.format("b", "2.5.0"), "2.5.0")
    found = compared(old, new)
    assert told(found.changes) == ["npm a 1.0.0 > 1.1.0 up", "npm b 2.0.0 > 2.5.0 up"]
    assert b"node_modules/.pnpm/a@1.1.0/node_modules/a/package.json" in found.within


def test_broken_records_tell_nothing() -> None:
    broken = ["{", "[]", "null", '{"version": 5}', '{"version": "a\\u0000b"}', "[" * 100_000, "\xff"]
    assert not compared({}, {f"node_modules/p{n}/package.json": text for n, text in enumerate(broken)}).changes


def test_what_pnpm_keeps_of_before_is_not_installed() -> None:
    store = "node_modules/.pnpm/{0}@{1}{2}/node_modules/{0}"

    def project(lock: str, *there: tuple[str, str, str]) -> dict[str, str]:
        held = {"node_modules/.pnpm/lock.yaml": f"lockfileVersion: '9.0'\n\npackages:\n\n{lock}"}
        for name, version, beside in there:
            at = store.format(name, version, beside).replace("@s/b@", "@s+b@", 1)
            held |= package(at, version) | {f"{at}/index.js": version}
        return held

    before = [("a", "1.0.0", ""), ("@s/b", "2.0.0", "_react@18.0.0")]
    entry = "  {}@{}:\n    resolution: {{integrity: x}}\n\n"
    old = project(entry.format("a", "1.0.0") + entry.format("'@s/b", "2.0.0'"), *before)
    new = project(
        entry.format("a", "1.1.0") + entry.format("'@s/b", "2.1.0'"),
        *before,
        ("a", "1.1.0", ""),
        ("@s/b", "2.1.0", "_react@18.0.0"),
    )
    found = compared(old, new)
    assert told(found.changes) == ["npm @s/b 2.0.0 > 2.1.0 up", "npm a 1.0.0 > 1.1.0 up"]
    assert b"node_modules/.pnpm/@s+b@2.1.0_react@18.0.0/node_modules/@s/b/index.js" in found.within
