"""One upgrade over three directories on two file systems: errors at each mutating call, and the power of one of the
file systems gone. What a command that came to its end said is so of all of them, and what is left waits for a recovery.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.crash import faults
from tests.crash.faults import Mode, Outcome
from tests.support.inprocess import workspace
from tests.torture import power, together
from tests.torture.carried import errors, hit, spread
from tests.torture.kinds import Kind, Share, Tally, kind
from tests.torture.together import Together, settled

# As in together; an error is followed by as many commands as a kill.
_MOST = 80
_CUTS = 40

Prepare = Callable[[Together], Sequence[str]]


def _truthful(made: Together, outcome: Outcome) -> None:
    """What a command that came to its end said is so."""
    said, command = outcome.stdout + outcome.stderr, made.arguments[0]
    assert "bug in gitsnap" not in said and "Traceback" not in said, "a traceback"
    assert outcome.returncode in (0, 1, 3, 11, 12, 14, 20, 21), f"exit {outcome.returncode}"
    state = made.state()
    done = "new" if command == "run" else "old"
    assert outcome.returncode != 0 or state == done, f"exit 0, and {state}"
    assert outcome.returncode != 20 or state == "old", f"exit 20, and {state}"
    assert "nothing was started" not in said or state == "old", f"nothing was started, and {state}"
    assert not ("nothing was changed" in said and outcome.returncode == 1 and command == "rollback") or state == "new"


def _errors(prepare: Prepare, *, change: bool) -> Kind:
    def run(share: Share) -> Tally:
        if reason := faults.why_not():
            return Tally(note=f"skipped: {reason}")
        tally = Tally()
        with together.scene(change) as made:
            allowed = prepare(made)
            plans = errors(made.calls())

            def judge(made: Together, outcome: Outcome, number: int) -> None:
                _truthful(made, outcome)
                settled(made, number, allowed)

            hit(made, spread(plans, Share(min(share.points or _MOST, _MOST))), judge, tally)
            tally.note = f"of {len(plans):,}"
        return tally

    return run


def _cut(prepare: Prepare, *, change: bool) -> Kind:
    def run(share: Share) -> Tally:
        if reason := faults.why_not():
            return Tally(note=f"skipped: {reason}")
        tally = Tally()
        try:
            with workspace() as top, power.disk("ext4", top) as disk, together.scene(change, disk) as made:
                allowed = prepare(made)
                plans = [(c, Mode.KILL_AFTER, None) for c in made.calls()]

                def judge(made: Together, outcome: Outcome, number: int) -> None:
                    settled(made, number, allowed)

                hit(made, spread(plans, Share(min(share.points or _CUTS, _CUTS))), judge, tally)
                tally.note = f"of {len(plans):,}"
        except OSError as error:
            return Tally(note=f"skipped: {error}")
        return tally

    return run


failing_run_failing = kind("set: failing run, errors")(_errors(together.failing, change=False))
run_failing = kind("set: run, errors")(_errors(together.succeeding, change=False))
rollback_failing = kind("set: rollback, errors")(_errors(together.back, change=True))
recover_failing = kind("set: recover, errors")(_errors(together.recovering, change=True))
failing_run_cut = kind("set: failing run, power cut")(_cut(together.failing, change=False))
rollback_cut = kind("set: rollback, power cut")(_cut(together.back, change=True))
recover_cut = kind("set: recover, power cut")(_cut(together.recovering, change=True))
