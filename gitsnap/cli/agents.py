"""An MCP server over stdio: what an agent may do with one directory, by the official SDK (`gitsnap[mcp]`).

Each tool is one gitsnap of its own, with `--json`: what it holds, forks or locks ends with it. Nothing here removes a
snapshot; nothing brings the directory back but a plan that was shown.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from typing import Any

import anyio
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

from gitsnap import __version__

Document = dict[str, Any]

_ABOUT = """\
Snapshots of the directory {root}, and the way back. Before you change anything there, call `snapshot`. To see what has
changed since, call `diff`. To go back, call `plan`, look at what it would do, show it to the person you work for, and
call `rollback` with the plan's token: only that very plan is carried out, and what is there now is kept in a snapshot
first.
"""
# More paths than this fill an agent's context and are read by nobody.
_MOST = 200
# Exit codes of a result that came: done; differences, or paths that could not be captured, which it names.
_ANSWERED = (0, 3)


class Directory:
    """What the tools do, with one directory and its sidecar."""

    def __init__(self, root: str, command: list[str], environ: Mapping[str, str]) -> None:
        self._root, self._command, self._environ = root, command, dict(environ)
        # Of the plans that were shown, their targets.
        self._shown: dict[str, str] = {}

    async def status(self) -> Document:
        """How things stand: the newest snapshot, what changed since, what waits to be settled."""
        return await self._ask("status")

    async def snapshot(self, message: str) -> Document:
        """Take a snapshot of the directory, with a message that says what comes next. None is taken where nothing has
        changed since the newest one, which is told instead."""
        return await self._ask("snapshot", "--skip-unchanged", "--label=agent", f"--message={message}")

    async def list_(self, last: int = 20) -> Document:
        """The last snapshots, oldest first."""
        return await self._ask("list", f"--last={last}")

    async def diff(self, old: str = "latest", new: str = "now", limit: int = _MOST) -> Document:
        """What differs between two snapshots, or between one and the directory as it is (`now`), path by path. At most
        `limit` paths are listed; the summary counts all."""
        return _shortened(await self._ask("diff", _selector(old), _selector(new)), "changes", limit)

    async def plan(self, snapshot: str, limit: int = _MOST) -> Document:
        """What a rollback to a snapshot (an id, `latest`, `@7d` for a week ago) would do, without doing it, and the
        `token` by which `rollback` carries out this plan and no other. At most `limit` steps are listed; `plan` counts
        all."""
        found = await self._ask("rollback", "--dry-run", _selector(snapshot))
        token = found.pop("plan_digest")
        self._shown[token] = found["target"]
        return {"token": token} | _shortened(found, "steps", limit)

    async def rollback(self, token: str) -> Document:
        """Bring the directory back by a plan that `plan` has shown, exactly. Refused where anything that it would
        replace or remove has changed since: then make a new plan. What is there now is kept in a snapshot first."""
        target = self._shown.pop(token, None)
        if target is None:
            raise ToolError("no plan with this token was shown here, or it was carried out: call `plan` first")
        # Whoever hangs up in the middle must not leave the directory between two states.
        with anyio.CancelScope(shield=True):
            return await self._ask("rollback", target, f"--plan={token}")

    async def _ask(self, *words: str) -> Document:
        done = await anyio.run_process(
            [*self._command, "--json", *words], stdin=subprocess.DEVNULL, check=False, env=self._environ
        )
        if done.returncode not in _ANSWERED:
            raise ToolError(_problem(done.stderr.decode("utf-8", "replace"), done.returncode))
        found: Document = json.loads(done.stdout)
        return {"exit_code": done.returncode} | found


def _selector(word: str) -> str:
    """A word that names a snapshot, and is no option."""
    if not word or word.startswith("-"):
        raise ToolError(f"'{word}' names no snapshot: `list` shows their ids; latest, latest~1 and @7d are names, too")
    return word


def _shortened(found: Document, key: str, limit: int) -> Document:
    """Only so many of a list, and how many were left out."""
    listed = found[key]
    return found | {key: listed[: max(limit, 0)], "not_listed": max(len(listed) - max(limit, 0), 0)}


def _problem(said: str, code: int) -> str:
    """The error's document as a sentence, with the exit code and what to type."""
    try:
        error = json.loads(said.splitlines()[-1])["error"]
        parts = [f"{error['message']} (exit code {code}, {error['kind']})", error.get("hint")]
    except (ValueError, KeyError, IndexError, TypeError):
        parts = [f"exit code {code}", said.strip()]
    return "\n".join(filter(None, parts))


def server(directory: Directory, root: str) -> Any:
    """The server with its tools."""
    made = MCPServer("gitsnap", instructions=_ABOUT.format(root=root), version=__version__, log_level="WARNING")
    looks = ToolAnnotations(read_only_hint=True, open_world_hint=False)
    for tool in (directory.status, directory.list_, directory.diff, directory.plan):
        _add(made, tool, looks)
    kept = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=False)
    _add(made, directory.snapshot, kept)
    changes = ToolAnnotations(read_only_hint=False, destructive_hint=True, open_world_hint=False)
    _add(made, directory.rollback, changes)
    return made


def _add(made: Any, tool: Any, annotations: Any) -> None:
    described = " ".join((tool.__doc__ or "").split())
    made.add_tool(tool, name=tool.__name__.rstrip("_"), description=described, annotations=annotations)
