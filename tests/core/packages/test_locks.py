"""Lock files: what is to be there, told where it is not installed beside them."""

from __future__ import annotations

import json

import pytest

from tests.support.package_trees import compared, distribution, told

POETRY = (
    '[[package]]\nname = "foo"\nversion = "{}"\ndescription = "a = '
    '\\"b\\""\n\n[package.dependencies]\nbar = ">=1"\n\n[metadata]\n'
)
CARGO = (
    'version = 3\n\n[[package]]\nname = "foo"\nversion = "{}"\nsource = "registry+x"\ndependencies = [\n "bar",\n]\n'
)
YARN_1 = (
    '# yarn lockfile v1\n\n\n"foo@^1.0.0", foo@~1.0:\n  version "{}"\n  resolved "x"\n  dependencies:\n    bar "^1"\n'
)
YARN_2 = (
    '__metadata:\n  version: 8\n\n"foo@npm:^1.0.0":\n  version: {}\n  '
    'resolution: "foo@npm:1"\n\n"own@workspace:.":\n  version: 0.0.0-use.local\n'
)
PNPM_5 = "lockfileVersion: 5.4\n\npackages:\n\n  /foo/{}_react@18:\n    resolution: {{integrity: x}}\n"
PNPM_6 = "lockfileVersion: '6.0'\n\npackages:\n\n  /foo@{}(react@18.0.0):\n    resolution: {{integrity: x}}\n"
PNPM_9 = (
    "lockfileVersion: '9.0'\n\npackages:\n\n  foo@{0}:\n    resolution: {{integrity: "
    "x}}\n\nsnapshots:\n\n  foo@{0}(react@18.0.0):\n    dependencies:\n      a: 1\n"
)
NPM_1 = '{{"lockfileVersion": 1, "dependencies": {{"foo": {{"version": "{}"}}}}}}'
NPM_3 = (
    '{{"packages": {{"": {{"version": "9.0.0"}}, "node_modules/foo": '
    '{{"version": "{}"}}, "node_modules/l": {{"link": true}}}}}}'
)
GEMS = (
    "GEM\n  remote: https://rubygems.org/\n  specs:\n    foo "
    "({}-x86_64-linux)\n      bar (>= 1.0.0)\n\nDEPENDENCIES\n  foo\n"
)
GO = (
    "module example.org/app\n\ngo 1.22\n\nrequire (\n\texample.org/foo "
    "v{}\n)\n\nreplace example.org/foo => example.org/fork v9.0.0\n"
)
COMPOSER = '{{"packages": [{{"name": "foo/foo", "version": "v{}"}}], "packages-dev": []}}'
BUN = '{{\n  "packages": {{\n    "foo": ["foo@{}", "", {{}}, "sha512-x"],\n  }}\n}}\n'


@pytest.mark.parametrize(("name", "content", "expected"), [
    ("poetry.lock", POETRY, "python foo {} > {} up locked"),
    ("uv.lock", ('version = 1\n[[package]]\nname = "foo"\n'
        'version = "{}"\nsource = {{ registry = "x" }}\n'), "python foo {} > {} up locked"),
    ("pylock.toml", '[[packages]]\nname = "foo"\nversion = "{}"\n', "python foo {} > {} up locked"),
    ("Pipfile.lock", ('{{"default": {{"foo": {{"version": '
        '"=={}"}}}}, "develop": {{}}}}'), "python foo {} > {} up locked"),
    ("requirements-dev.txt", ("# text\nfoo[extra] == {} ; python_version "
        "> '3' --hash=sha256:x\nbar>=1\n-r x.txt\n"), "python foo {} > {} up locked"),
    ("Cargo.lock", CARGO, "cargo foo {} > {} up locked"),
    ("yarn.lock", YARN_1, "npm foo {} > {} up locked"),
    ("yarn.lock", YARN_2, "npm foo {} > {} up locked"),
    ("pnpm-lock.yaml", PNPM_5, "npm foo {} > {} up locked"),
    ("pnpm-lock.yaml", PNPM_6, "npm foo {} > {} up locked"),
    ("pnpm-lock.yaml", PNPM_9, "npm foo {} > {} up locked"),
    ("package-lock.json", NPM_1, "npm foo {} > {} up locked"),
    ("package-lock.json", NPM_3, "npm foo {} > {} up locked"),
    ("bun.lock", BUN, "npm foo {} > {} up locked"),
    ("Gemfile.lock", GEMS, "gem foo {} > {} up locked"),
    ("go.mod", GO, "go example.org/foo v{} > v{} up locked"),
    ("composer.lock", COMPOSER, "composer foo/foo v{} > v{} up locked"),
])  # fmt: skip
def test_a_lock_file_tells_versions(name: str, content: str, expected: str) -> None:
    found = compared({f"app/{name}": content.format("1.2.9")}, {f"app/{name}": content.format("1.2.10")})
    assert told(found.changes) == [expected.format("1.2.9", "1.2.10")]


def test_what_is_installed_is_not_told_by_its_lock_file_too() -> None:
    old = distribution("foo", "1.0", {"foo.py": "1"}, ".venv/lib/python3.11/site-packages/") | {
        "poetry.lock": POETRY.format("1.0")
    }
    new = distribution("foo", "1.1", {"foo.py": "2"}, ".venv/lib/python3.11/site-packages/") | {
        "poetry.lock": POETRY.format("1.1")
    }
    assert told(compared(old, new).changes) == ["python foo 1.0 > 1.1 up"]


def test_a_lock_file_of_another_application_tells_its_own() -> None:
    old = distribution("foo", "1.0", {}, "one/") | {"two/poetry.lock": POETRY.format("1.0")}
    new = distribution("foo", "1.0", {}, "one/") | {"two/poetry.lock": POETRY.format("1.1")}
    assert told(compared(old, new).changes) == ["python foo 1.0 > 1.1 up locked"]


def test_lock_files_that_packages_brought_along_tell_nothing() -> None:
    inside = {"node_modules/a/yarn.lock": YARN_1, "lib/python3.11/site-packages/a/requirements.txt": "foo=={}\n"}
    sides = [{path: text.format(v) for path, text in inside.items()} for v in ("1.0.0", "1.1.0")]
    assert not compared(*sides).changes


def test_what_two_lock_files_say_counts_once() -> None:
    sides = [{"poetry.lock": POETRY.format(v), "requirements.txt": f"Foo=={v}\n"} for v in ("1.0", "1.1")]
    assert len(compared(*sides).changes) == 1


def test_versions_beside_each_other_stay_apart() -> None:
    def lock(*versions: str) -> dict[str, str]:
        return {"Cargo.lock": "".join(CARGO.format(v) for v in versions)}

    assert told(compared(lock("1.0.0", "2.0.0"), lock("1.0.0", "2.1.0")).changes) == [
        "cargo foo 2.0.0 > 2.1.0 up locked"
    ]
    assert told(compared(lock("1.0.0", "2.0.0"), lock("2.0.0")).changes) == ["cargo foo 1.0.0 > - gone locked"]


@pytest.mark.parametrize("name", ["package-lock.json", "composer.lock", "Pipfile.lock"])
@pytest.mark.parametrize(
    "broken", ["", "[]", "{", '{"packages": 5}', '{"packages": [5]}', '{"default": [], "packages": {"a": 1}}', "\xff"]
)
def test_a_broken_one_tells_nothing(name: str, broken: str) -> None:
    assert not compared({}, {name: broken, "deep/" + name: json.dumps([[[]]])}).changes


def test_what_a_lock_file_names_for_other_systems_is_not_told_beside_what_is_installed() -> None:
    def project(version: str) -> dict[str, str]:
        names = ["foo", "foo-darwin", "foo-win32"]
        lock = {"packages": {f"node_modules/{name}": {"version": version} for name in names}}
        return {
            "package-lock.json": json.dumps(lock),
            "node_modules/foo/package.json": json.dumps({"version": version}),
        }

    assert told(compared(project("1.0.0"), project("1.1.0")).changes) == ["npm foo 1.0.0 > 1.1.0 up"]


def test_a_lock_file_that_a_package_brought_to_any_place_tells_nothing() -> None:
    sides = [distribution("lab", v, {"lab/staging/yarn.lock": YARN_1.format(v)}, "") for v in ("1.0", "1.1")]
    assert told(compared(*sides).changes) == ["python lab 1.0 > 1.1 up"]
