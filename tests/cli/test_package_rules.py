"""`[packages]` in a sidecar's configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.helpers import document, refused
from tests.support.installation import sidecar_of, take_snapshot

RULE = """[packages.firmware]
glob = "fw/*"
expression = '^v(?P<version>[0-9.]+)'
"""


def test_a_rule_of_ones_own_finds_a_package(installation: Path, gitsnap_home: Path) -> None:
    app = installation
    (app / "fw").mkdir()
    (app / "fw/board").write_text("v1.10\n")
    take_snapshot(app)
    (sidecar_of(app) / "gitsnap.toml").write_text(RULE)
    (app / "fw/board").write_text("v1.9\n")
    (package,) = document("-C", app, "changelog", "latest", "now")["packages"]
    assert {k: package[k] for k in ("ecosystem", "name", "old", "new", "direction")} == {
        "ecosystem": "own", "name": "firmware", "old": "1.10", "new": "1.9", "direction": "down",
    }  # fmt: skip


@pytest.mark.parametrize(("text", "said"), [
    ("[packages]\nfirmware = 5\n", "must have `glob` and `expression`"),
    ('[packages.a]\nglob = "*"\n', "must have `glob` and `expression`"),
    ('[packages.a]\nglob = 5\nexpression = "x"\n', "must be texts"),
    ('[packages.a]\nglob = "*"\nexpression = "("\n', "is no regular expression"),
    ('[packages.a]\nglob = "*"\nexpression = "x"\n', "has no group `version`"),
])  # fmt: skip
def test_a_rule_that_cannot_work_is_refused(installation: Path, gitsnap_home: Path, text: str, said: str) -> None:
    app = installation
    take_snapshot(app)
    (sidecar_of(app) / "gitsnap.toml").write_text(text)
    assert said in refused("-C", app, "changelog", "latest", "now", code=2)
