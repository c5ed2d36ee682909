"""Applications with plugins, by the headers and manifests that they themselves go by."""

from __future__ import annotations

import hashlib
import json

from tests.support.package_trees import compared, told


def test_wordpress_its_plugins_and_themes() -> None:
    def site(core: str, plugin: str, theme: str) -> dict[str, str]:
        return {
            "wp-includes/version.php": f"<?php\n/** text */\n$wp_version = '{core}';\n",
            "wp-admin/about.php": core,
            "wp-login.php": core,
            "wp-config.php": core,
            "index.php": core,
            "wp-content/plugins/akismet/akismet.php": (
                f"<?php\n/*\n * Plugin Name: Akismet: Spam\n * Version: {plugin}\n */\n"
            ),
            "wp-content/plugins/akismet/class.php": "<?php\n// Version: 9\n",
            "wp-content/plugins/hello.php": f"<?php\n/*\nPlugin Name: Hello Dolly\r\nVersion: {plugin}\r\n*/\n",
            "wp-content/themes/twenty/style.css": f"/*\nTheme Name: Twenty\nVersion: {theme}\n*/\n",
        }

    found = compared(site("6.1", "5.0", "1.3"), site("6.8.1", "5.10", "1.2"))
    assert told(found.changes) == [
        "wordpress-plugin akismet 5.0 > 5.10 up",
        "wordpress-plugin hello 5.0 > 5.10 up",
        "wordpress-theme twenty 1.3 > 1.2 down",
        "wordpress wordpress 6.1 > 6.8.1 up",
    ]
    assert b"wp-config.php" not in found.within
    assert found.within >= {b"wp-admin/about.php", b"wp-login.php", b"index.php"}


def test_nextcloud_and_an_edit_by_its_signatures() -> None:
    def app(version: str, code: str) -> dict[str, str]:
        hashes = {"lib/a.php": hashlib.sha512(code.encode()).hexdigest()}
        return {
            "version.php": f"<?php\n$OC_Version = array(1);\n$OC_VersionString = '{version}';\n",
            "apps/mail/appinfo/info.xml": (
                f"<?xml version='1.0'?>\n<info>\n<id>mail</id><version>{version}</version></info>"
            ),
            "apps/mail/appinfo/signature.json": json.dumps({"hashes": hashes}),
            "apps/mail/lib/a.php": code,
        }

    edited = app("27.1.2", "old") | {"apps/mail/lib/a.php": "edited"}
    found = compared(edited, app("28.0.0", "new"))
    assert told(found.changes) == ["nextcloud-app mail 27.1.2 > 28.0.0 up", "nextcloud server 27.1.2 > 28.0.0 up"]
    assert [(e.path, e.package, e.before) for e in found.edited] == [(b"apps/mail/lib/a.php", "mail", True)]


def test_home_assistant_and_custom_components() -> None:
    def config(core: str, hacs: str) -> dict[str, str]:
        return {
            ".HA_VERSION": core + "\n",
            "custom_components/hacs/manifest.json": json.dumps({"domain": "hacs", "version": hacs}),
            "custom_components/hacs/base.py": hacs,
        }

    found = compared(config("2024.2.5", "1.34.0"), config("2024.10.0b1", "1.33.0"))
    assert told(found.changes) == [
        "home-assistant hacs 1.34.0 > 1.33.0 down", "home-assistant home-assistant 2024.2.5 > 2024.10.0b1 up",
    ]  # fmt: skip
    assert b"custom_components/hacs/base.py" in found.within


def test_obsidian_leaves_a_plugins_data_to_the_user() -> None:
    def vault(version: str) -> dict[str, str]:
        at = "notes/.obsidian/plugins/dataview/"
        return {
            at + "manifest.json": json.dumps({"id": "dataview", "version": version}),
            at + "main.js": version,
            at + "data.json": version,
        }

    found = compared(vault("0.5.9"), vault("0.5.10"))
    assert told(found.changes) == ["obsidian dataview 0.5.9 > 0.5.10 up"]
    assert b"notes/.obsidian/plugins/dataview/main.js" in found.within
    assert b"notes/.obsidian/plugins/dataview/data.json" not in found.within


def test_extensions_of_an_editor() -> None:
    def extension(version: str) -> dict[str, str]:
        said = {"publisher": "ms-python", "name": "python", "version": version, "engines": {"vscode": "^1"}}
        return {f"extensions/ms-python.python-{version}/package.json": json.dumps(said)}

    assert told(compared(extension("2024.1.0"), extension("2024.2.0")).changes) == [
        "vscode ms-python.python 2024.1.0 > 2024.2.0 up"
    ]


def test_images_of_a_compose_file() -> None:
    def compose(tag: str, immich: str) -> dict[str, str]:
        return {
            "docker-compose.yml": (
                f"services:\n  a:\n    image: registry.local:5000/app/web:{tag} "
                f" # text\n  db:\n    image: 'postgres:16'\n"
                "  i:\n    image: ghcr.io/immich-app/server:${IMMICH_VERSION:-release}\n  n:\n    image: nginx\n"
            ),
            ".env": f"IMMICH_VERSION={immich}\n",
        }

    found = compared(
        compose("1.9", "v1.90.0"),
        compose("1.10", "v1.91.2") | {"docker-compose.override.yml": "services:\n  - image: redis:7\n"},
    )
    assert told(found.changes) == [
        "container ghcr.io/immich-app/server v1.90.0 > v1.91.2 up locked",
        "container redis - > 7 new locked",
        "container registry.local:5000/app/web 1.9 > 1.10 up locked",
    ]
    # The compose file stays; the variable alone is another one.
    found = compared(compose("1.9", "v1.90.0"), compose("1.9", "v1.91.2"))
    assert told(found.changes) == ["container ghcr.io/immich-app/server v1.90.0 > v1.91.2 up locked"]
