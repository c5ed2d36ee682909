"""What the proof consists of: kinds of trouble, each with a count of its points and of what was lost.

`make torture` runs all of every kind; the tests in tests/crash run a sample of each, and each once more with a
protection switched off, which must show. A new kind is a function decorated with `kind`, in a module that MODULES
names.
"""

from __future__ import annotations

import importlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

# Kinds of rollback, restore, recover and of a power cut go into a module of their own, named here.
MODULES = (
    "carried",
    "elsewhere",
    "exchanged",
    "private",
    "beside",
    "interrupted",
    "collected",
    "cloned",
    "binned",
    "logged",
    "damaged",
    "hostile",
    "races",
    "churn",
    "fuzzed",
    "together",
    "together_failing",
    "waiting",
    "large",
)


@dataclass(slots=True)
class Tally:
    """What a kind came to: how many points ran, and what was wrong, in words. `note` tells what was left out."""

    points: int = 0
    lost: list[str] = field(default_factory=list)
    note: str = ""

    def add(self, complaint: str | None) -> None:
        """Count one point."""
        self.points += 1
        if complaint:
            self.lost.append(complaint)

    def line(self, name: str) -> str:
        """As `make torture` prints it."""
        return f"{name:34} {self.points:6,} points   {len(self.lost)} lost" + (f"   ({self.note})" if self.note else "")


@dataclass(slots=True, frozen=True)
class Share:
    """How much of a kind to run: about `points` of them (None: all), chosen by `seed`."""

    points: int | None = None
    seed: int = 0

    def number(self, whole: int) -> int:
        """How many, where all would be `whole`."""
        return whole if self.points is None else min(self.points, whole)

    @property
    def chance(self) -> random.Random:
        """The same at every run."""
        return random.Random(self.seed)


Kind = Callable[[Share], Tally]
_KINDS: dict[str, Kind] = {}


def kind(name: str) -> Callable[[Kind], Kind]:
    """Register a kind under the name that is printed."""

    def register(run: Kind) -> Kind:
        _KINDS[name] = run
        return run

    return register


def all_kinds() -> dict[str, Kind]:
    """Every kind, in order."""
    for module in MODULES:
        importlib.import_module(f"tests.torture.{module}")
    return dict(_KINDS)


def measure(name: str) -> tuple[Tally, float]:
    """All of one kind, and how many seconds it took."""
    started = time.monotonic()
    try:
        tally = all_kinds()[name](Share())
    except Exception as error:  # noqa: BLE001 - a kind that breaks off has lost, whatever the others say
        tally = Tally(lost=[f"broke off: {type(error).__name__}: {error}"])
    return tally, time.monotonic() - started
