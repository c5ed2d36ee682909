"""What gitsnap runs on, and a sentence where that is something else: this is read by any Python 3 on any system."""

from __future__ import annotations

import json
import sys

OLDEST = (3, 11)
_CALLED = {"win32": "Windows", "cygwin": "Windows", "darwin": "macOS", "android": "Android", "ios": "iOS"}
_WSL = "in WSL 2 it runs, on what lies in the file system of Linux there"
_ELSEWHERE = "run it on the Linux machine, or in the virtual machine or container, that has the directory"


class Refusal:
    """Why nothing can be done here: a sentence, its stable `kind`, and what to do about it."""

    def __init__(self, kind: str, message: str, hint: str) -> None:
        self.kind, self.message, self.hint = kind, message, hint

    def tell(self, arguments: list[str]) -> int:
        """Say so on stderr, with --json as JSON; the exit code. Uses nothing but the standard library."""
        options = arguments[: arguments.index("--")] if "--" in arguments else arguments
        if "--json" in options:
            error = {"code": 1, "kind": self.kind, "message": self.message, "path": None, "hint": self.hint}
            text = json.dumps({"schema": 1, "error": error}, indent=2)
        else:
            text = f"gitsnap: {self.message}\n  {self.hint}"
        sys.stderr.write(text + "\n")
        return 1


def refusal() -> Refusal | None:
    """Why gitsnap cannot run on this system or this Python, if so."""
    if sys.platform != "linux":
        system = _CALLED.get(sys.platform, sys.platform)
        hint = _WSL if system == "Windows" else _ELSEWHERE
        return Refusal("unsupported-system", f"gitsnap runs on Linux alone, and this is {system}", hint)
    if sys.version_info < OLDEST:
        wanted, found = (".".join(map(str, version[:2])) for version in (OLDEST, sys.version_info))
        message = f"gitsnap needs Python {wanted} or newer, and {sys.executable} is {found}"
        return Refusal(
            "unsupported-python",
            message,
            "install it with a newer one, or the Debian package, which needs none of yours",
        )
    return None


def lacking(error: ImportError) -> Refusal | None:
    """What this Python lacks, where a module from elsewhere could not be loaded; None if it is one of our own."""
    if not error.name or error.name.partition(".")[0] == "gitsnap":
        return None
    inner = "" if isinstance(error, ModuleNotFoundError) else f" ({error})"
    standard = error.name.partition(".")[0].removeprefix("_") in sys.stdlib_module_names
    hint = (
        "it belongs to Python itself: a distribution may have it in a package of its own"
        if standard
        else "what is installed there is not whole: install gitsnap again with this Python"
    )
    return Refusal("no-module", f"{sys.executable} cannot load {error.name}, which gitsnap needs{inner}", hint)
