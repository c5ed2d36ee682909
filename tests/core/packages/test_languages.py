"""Composer, gems, Go's vendored modules and Java archives, as they are installed."""

from __future__ import annotations

import io
import json
import zipfile

from tests.support.package_trees import compared, told


def test_composer_both_forms_and_a_branch() -> None:
    def project(version: str, code: str, *, listed: bool) -> dict[str, str]:
        packages = [
            {"name": "symfony/console", "version": version, "install-path": "../symfony/console"},
            {"name": "a/branch", "version": "dev-main", "source": {"reference": code * 9}},
            {"name": "a/plugin", "version": version, "install-path": "../../web/plugins/a"},
        ]
        lock = {"packages": [{"name": "symfony/console", "version": version}]}
        return {
            "vendor/composer/installed.json": json.dumps(packages if listed else {"packages": packages}),
            "vendor/symfony/console/A.php": code,
            "web/plugins/a/a.php": code,
            "composer.lock": json.dumps(lock),
        }

    found = compared(project("v5.4.9", "1", listed=True), project("v5.4.10", "2", listed=False))
    assert told(found.changes) == [
        "composer a/branch dev-main#1111111 > dev-main#2222222 changed",
        "composer a/plugin v5.4.9 > v5.4.10 up",
        "composer symfony/console v5.4.9 > v5.4.10 up",
    ]
    assert found.within >= {b"vendor/symfony/console/A.php", b"web/plugins/a/a.php"}


def test_gems() -> None:
    def home(version: str) -> dict[str, str]:
        at = "vendor/bundle/ruby/3.1.0/"
        spec = f'Gem::Specification.new do |s|\n  s.name = "rack".freeze\n  s.version = "{version}"\nend\n'
        return {
            f"{at}specifications/rack-{version}.gemspec": spec,
            f"{at}gems/rack-{version}/lib/rack.rb": version,
            "Gemfile.lock": f"GEM\n  specs:\n    rack ({version})\n",
        }

    found = compared(home("2.2.9"), home("2.2.10"))
    assert told(found.changes) == ["gem rack 2.2.9 > 2.2.10 up"]
    assert b"vendor/bundle/ruby/3.1.0/gems/rack-2.2.10/lib/rack.rb" in found.within


def test_modules_that_go_vendors() -> None:
    def project(version: str) -> dict[str, str]:
        return {
            "go.mod": f"module a.org/app\n\nrequire b.org/x v{version}\n",
            "vendor/modules.txt": f"# b.org/x v{version}\n## explicit\nb.org/x/y\n",
            "vendor/b.org/x/y/y.go": version,
        }

    found = compared(project("1.0.0"), project("1.1.0"))
    assert told(found.changes) == ["go b.org/x v1.0.0 > v1.1.0 up"]
    assert b"vendor/b.org/x/y/y.go" in found.within


def jar(**headers: str) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        lines = ["Manifest-Version: 1.0", *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items()), "", ""]
        archive.writestr("META-INF/MANIFEST.MF", "\r\n".join(lines))
    return held.getvalue()


def test_archives_by_name_and_by_manifest() -> None:
    old = {
        "lib/commons-io-2.9.0.jar": b"",
        "paper.jar": jar(Implementation_Version="1.20.1"),
        "lib/broken.jar": b"PK\x03\x04",
    }
    new = {
        "lib/commons-io-2.11.0.jar": b"x",
        "paper.jar": jar(Implementation_Version="1.20.4"),
        "lib/broken.jar": b"no",
    }
    old["plugins/git.jpi"] = jar(Short_Name="git", Plugin_Version="5.2.1")
    new["plugins/git.jpi"] = jar(Short_Name="git", Plugin_Version="5.0.0 (private)")
    assert told(compared(old, new).changes) == [
        "java commons-io 2.9.0 > 2.11.0 up",
        "jenkins-plugin git 5.2.1 > 5.0.0 down",
        "java paper 1.20.1 > 1.20.4 up",
    ]
