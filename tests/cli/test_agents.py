"""`mcp`: the SDK's own client over stdio, as an agent has it. Without the extra gitsnap[mcp], that this is said."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.installation import REPOSITORY, run_gitsnap

needs_sdk = pytest.mark.skipif(importlib.util.find_spec("mcp") is None, reason="gitsnap[mcp] is not installed")
Talk = Callable[[Any], Awaitable[None]]


@pytest.fixture
def app(tmp_path: Path, gitsnap_home: Path) -> Path:
    root = tmp_path / "my app"
    root.mkdir()
    (root / "settings.ini").write_text("port = 1\n")
    run_gitsnap("snapshot", "-m", "mine", "--label", "mine", cwd=root)
    return root


def talk(app: Path, what: Talk) -> None:
    """Start the server as an agent does, and talk to it."""
    import anyio
    from mcp import Client, StdioServerParameters

    environ = {"PYTHONPATH": str(REPOSITORY), "GITSNAP_HOME": os.environ["GITSNAP_HOME"]}
    started = StdioServerParameters(command=sys.executable, args=["-m", "gitsnap", "mcp", str(app)], env=environ)

    async def both() -> None:
        async with Client(started) as client:
            await what(client)

    anyio.run(both)


async def ask(client: Any, tool: str, **given: Any) -> Any:
    """What a tool answers; what it refused, as text."""
    result = await client.call_tool(tool, given)
    return result.content[0].text if result.is_error else result.structured_content


@needs_sdk
def test_what_an_agent_does(app: Path) -> None:
    async def work(client: Any) -> None:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert sorted(tools) == ["diff", "list", "plan", "rollback", "snapshot", "status"]
        assert [n for n, t in tools.items() if t.annotations.destructive_hint] == ["rollback"]
        assert (await ask(client, "snapshot", message="--before"))["snapshot"]["message"] == "mine"
        (app / "settings.ini").write_text("port = 2\n")
        (app / "more.txt").write_text("x")
        taken = (await ask(client, "snapshot", message="--json"))["snapshot"]
        assert (taken["message"], taken["id"].endswith("-agent")) == ("--json", True)
        assert [s["message"] for s in (await ask(client, "list", last=1))["snapshots"]] == ["--json"]
        told = await ask(client, "diff", old="latest~1", limit=1)
        assert ([c["path"] for c in told["changes"]], told["not_listed"]) == (["more.txt"], 1)
        assert (await ask(client, "status"))["installation"] == str(app)

    talk(app, work)


@needs_sdk
def test_nothing_but_the_plan_that_was_shown_is_carried_out(app: Path) -> None:
    async def work(client: Any) -> None:
        (app / "settings.ini").write_text("port = 2\n")
        first = await ask(client, "plan", snapshot="latest")
        assert [s["path"] for s in first["steps"] if s["action"] == "write"] == ["settings.ini"]
        # Not the file's size, not its time: its content alone.
        before = (app / "settings.ini").stat()
        (app / "settings.ini").write_text("port = 3\n")
        os.utime(app / "settings.ini", ns=(before.st_atime_ns, before.st_mtime_ns))
        assert "plan-changed" in await ask(client, "rollback", token=first["token"])
        assert (app / "settings.ini").read_text() == "port = 3\n"
        assert len((await ask(client, "list"))["snapshots"]) == 1
        assert "no plan with this token" in await ask(client, "rollback", token=first["token"])
        assert "no plan with this token" in await ask(client, "rollback", token="0" * 64)
        # What it does not touch may change; what comes to what it touches may not.
        second = await ask(client, "plan", snapshot="latest")
        assert second["token"] != first["token"]
        done = await ask(client, "rollback", token=second["token"])
        assert (done["verified"], done["target"].endswith("-mine")) == (True, True)
        assert (app / "settings.ini").read_text() == "port = 1\n"
        # Kept first, and not lost.
        run_gitsnap("undo", cwd=app)
        assert (app / "settings.ini").read_text() == "port = 3\n"

    talk(app, work)


@needs_sdk
def test_what_is_refused_is_said(app: Path) -> None:
    async def work(client: Any) -> None:
        for word in ("--yes", "-n", ""):
            assert "names no snapshot" in await ask(client, "plan", snapshot=word)
            assert "names no snapshot" in await ask(client, "diff", old=word)
        assert "no-such-snapshot" in await ask(client, "plan", snapshot="nowhere")
        for tool in ("delete", "gc", "prune", "purge", "run"):
            with pytest.raises(Exception, match=f"(?i)unknown tool.*{tool}"):
                raise AssertionError(await ask(client, tool))

    talk(app, work)


def test_without_the_extra(app: Path, tmp_path: Path) -> None:
    broken = tmp_path / "none"
    (broken / "mcp").mkdir(parents=True)
    (broken / "mcp/__init__.py").write_text("raise ModuleNotFoundError('none', name='mcp')\n")
    done = run_gitsnap("mcp", cwd=app, env={"PYTHONPATH": f"{broken}:{REPOSITORY}"}, check=1, fresh=True)
    assert "pip install 'gitsnap[mcp]'" in done.stderr
