"""Figures as Prometheus has them: prometheus.io/docs/instrumenting/exposition_formats, the text format."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gitsnap.ops.query.metrics import Sample

_PREFIX = "gitsnap_"


def text(found: Iterable[Sample], labels: Mapping[str, str]) -> str:
    """The figures, each with these labels and its own; HELP and TYPE before the first of a name."""
    lines: list[str] = []
    seen: set[str] = set()
    for sample in found:
        name = _PREFIX + sample.name
        if name not in seen:
            seen.add(name)
            lines += [f"# HELP {name} {_escaped(sample.help)}", f"# TYPE {name} gauge"]
        shown = ",".join(f'{key}="{_quoted(value)}"' for key, value in {**labels, **sample.labels}.items())
        # Prometheus refuses all of a file in which two say the same of themselves, as names that are not UTF-8 may.
        series = f"{name}{{{shown}}}"
        if series not in seen:
            seen.add(series)
            lines.append(f"{series} {sample.value:.15g}")
    return "".join(f"{line}\n" for line in lines)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _quoted(text: str) -> str:
    """A label's value: any UTF-8. What is none in a path is as `\\xff`."""
    shown = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return _escaped(shown).replace('"', '\\"')
