"""How a command that ran for gitsnap ended: a check, a hook, what stops or starts a service."""

from __future__ import annotations

from typing import Any


class CommandEnd:
    """What such records share. `problem` is empty where it succeeded, `exit_code` None where there was no process and
    negative for a signal, `output` the end of what it printed, `duration` in seconds."""

    __slots__ = ()
    problem: str
    exit_code: int | None
    duration: float
    output: str

    @property
    def ok(self) -> bool:
        """Whether it succeeded."""
        return not self.problem

    def facts(self) -> dict[str, Any]:
        """What is told of each as JSON."""
        return {
            "ok": self.ok,
            "exit_code": self.exit_code,
            "problem": self.problem or None,
            "output": self.output,
            "duration": round(self.duration, 3),
        }
