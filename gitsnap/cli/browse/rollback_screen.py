"""A rollback or a restore: the command's plan, the command's question, the command's words for the result."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.message import Message

from gitsnap.cli.browse.base_screen import RowsScreen
from gitsnap.cli.browse.rows import ListRow
from gitsnap.cli.browse.widgets import Sheet, measured, sentences, wrapped
from gitsnap.cli.browse.worker import Stopping
from gitsnap.cli.render import formatting, restore
from gitsnap.core.errors import GitsnapError
from gitsnap.core.model import Snapshot
from gitsnap.core.plan import RestorePlan
from gitsnap.core.settings import Settings
from gitsnap.ops.live import in_progress
from gitsnap.ops.restore.result import Restored
from gitsnap.ops.restore.rollback import RollbackOptions, rollback
from gitsnap.sidecar.repository import Sidecar

_MOST = 10_000


class RollbackScreen(RowsScreen):
    """Plan, question, progress, result: one screen, which nobody leaves in the middle."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes, go ahead"),
        Binding("n", "answer(False)", "No"),
        Binding("escape", "back", "Back", key_display="Esc"),
        Binding("q", "app.leave", "Quit"),
    ]
    text = True

    class Asked(Message):
        """The plan is there: shall it be?"""

        def __init__(self, target: Snapshot, plan: RestorePlan) -> None:
            super().__init__()
            self.target, self.plan = target, plan

    def __init__(self, side: str, paths: Sequence[bytes]) -> None:
        super().__init__()
        self._side, self._paths = side, tuple(paths)
        self._stopping = Stopping()
        self._answered = threading.Event()
        self._agreed = False
        self._steps: list[str] = []
        self.state = "planning"

    def on_mount(self) -> None:
        """Plan."""
        super().on_mount()
        what = ", ".join(formatting.name(p) or "." for p in self._paths)
        self.title_is(f"Restore {what} from {self._side}" if what else f"Roll back to {self._side}")
        self.notice("Planning: nothing is touched yet")
        self.worker.stop = self.stop
        self.run_worker(self._carry_out(), exclusive=True)

    async def _carry_out(self) -> None:
        timer = self.set_interval(0.1, self._tell_progress)
        sheet = Sheet(self.worker.session.out)
        try:
            result = await self.worker.ask(self._bring_back, changes=True)
        except (GitsnapError, OSError) as error:
            self._end("It did not work", sentences(error, self.worker.session.options))
        else:
            if not result.applied:
                self._end("Nothing was touched", ["Nothing was touched."])
            else:
                restore.restored(sheet, result, [os.fsdecode(p) for p in self._paths], None)
                good = result.verified and not result.incomplete
                self._end("Done" if good else "Done, but not all of it: read on", sheet.said)
        finally:
            timer.stop()
            self.state = "over"
            self.refresh_bindings()

    def _bring_back(self, sidecar: Sidecar, settings: Settings) -> Restored:
        """In the worker's thread: what the commands do."""
        result = rollback(
            sidecar,
            self._side,
            settings,
            RollbackOptions(
                self.worker.session.now, confirm=self._confirm, observer=self.worker.progress, interrupts=self._stopping
            ),
            paths=self._paths,
        )
        if result.verified and not self._paths:
            in_progress.settle(sidecar)
        return result

    def _confirm(self, target: Snapshot, plan: RestorePlan) -> bool:
        """In the worker's thread: show the plan, and wait for the answer."""
        if not plan.steps:
            # There is nothing to agree to, but somebody may have left meanwhile.
            return not self._stopping.asked
        self.post_message(self.Asked(target, plan))
        self._answered.wait()
        return self._agreed

    @on(Asked)
    def show_plan(self, event: Asked) -> None:
        """Show the plan."""
        if self._answered.is_set():
            return
        self.state = "asking"
        # The sum first, as the paths may be many; here all of them can be seen.
        head = [*restore.plan_head(event.target), *restore.plan_sum(event.plan), ""]
        self._show("Go ahead? y or n", [*head, *restore.plan_paths(event.plan, _MOST)])
        self.about("y goes ahead, n leaves all as it is")
        self.refresh_bindings()

    def _show(self, notice: str, lines: Sequence[str]) -> None:
        self.notice(notice)
        self.rows.fill([ListRow(line) for line in wrapped(lines, max(self.size.width - 2, 20))])

    def _end(self, notice: str, lines: Sequence[str]) -> None:
        self._show(notice, lines)
        self.about("Esc goes back")

    def _tell_progress(self) -> None:
        """What is done at this moment, and (while the change is at work) what was done before."""
        if self.state == "asking":
            return
        now = measured(self.worker.progress)
        if self.state != "doing":
            self.about(now or "waiting for another gitsnap, or getting ready …")
        elif now:
            if self._steps and self._steps[-1].partition(":")[0] == now.partition(":")[0]:
                self._steps.pop()
            self._steps.append(now)
            self.rows.fill([ListRow(line) for line in self._steps])

    def action_answer(self, yes: bool) -> None:
        """The answer, once."""
        if self.state != "asking":
            return
        self._agreed, self.state = yes, "doing" if yes else "declined"
        self._answered.set()
        if yes:
            self._show("At work. Ctrl-C stops it between two steps, as it does in the command", ["…"])
            self.about("nobody leaves before it is over")
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """The keys for an answer are there while there is a question."""
        return self.state == "asking" if action == "answer" else True

    def action_back(self) -> None:
        """No, or away when it is over; never in the middle."""
        if self.state == "over":
            self.app.pop_screen()
        elif self.state == "asking":
            self.action_answer(False)
        elif self.may_leave:
            self.stop()
            self.notice("Not going on: nothing will be touched")
        else:
            self.app.bell()

    @property
    def may_leave(self) -> bool:
        """Whether nothing is changed now, nor will be once it has been told to stop."""
        return self.state != "doing"

    def stop(self) -> None:
        """Ask it to stop: an open question is a no, and work ends between two steps."""
        self._stopping.asked = True
        if not self._answered.is_set():
            self._agreed = False
            self._answered.set()
