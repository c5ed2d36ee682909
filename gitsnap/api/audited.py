"""What a program does is written down as what is typed is: in the audit log, and told to the hooks."""

from __future__ import annotations

import logging
import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from gitsnap import __version__
from gitsnap.core.settings import Settings
from gitsnap.ops.audit.act import Act

Path = str | os.PathLike[str]
Environment = Mapping[str, str]


def act(action: str, settings: Settings, environ: Environment) -> Act:
    """One invocation, to be written down."""
    made = Act(action, shlex.join(sys.argv or ["python"]), environ, __version__, recorded=True)
    made.where, made.hooks = settings.audit, settings.hooks
    return made


@contextmanager
def writing_down(of: Act) -> Iterator[None]:
    """Around what is done: how it ended is written down."""
    try:
        yield
    except BaseException as error:
        ended(of, getattr(error, "exit_code", 1), error)
        raise
    ended(of, 3 if of.noted.counts.get("paths") else 0)


def ended(of: Act, exit_code: int, error: BaseException | None = None) -> None:
    """It ended so. What went wrong with log, signature or hooks is logged: it changes nothing of what was done."""
    of.ended(exit_code, error)
    why = of.noted.details.get("unsigned")
    unsigned = [f"{s.id} is not signed: {why}" for s in of.noted.taken if why and not s.signed_by]
    for warning in [*of.warnings, *unsigned, *of.tell()]:
        logging.getLogger("gitsnap").warning(warning)
