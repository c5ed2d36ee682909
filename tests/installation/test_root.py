"""The installation's own directory, taken away or locked."""

from __future__ import annotations

from pathlib import Path

from gitsnap.installation import root


def test_missing_and_made_anew(tmp_path: Path) -> None:
    app = tmp_path / "above/app"
    assert root.missing(str(app))
    assert root.recreate(str(app)) is None
    assert not root.missing(str(app))
    app.rmdir()
    app.symlink_to(tmp_path)
    assert root.missing(str(app))
    assert root.recreate(str(app)) == f"{app}.gitsnap-aside-1"
    assert Path(f"{app}.gitsnap-aside-1").is_symlink()
    assert (app.is_symlink(), app.is_dir(), app.stat().st_mode & 0o777) == (False, True, 0o700)
