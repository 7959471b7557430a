"""Calls that overtake one another: what took long counts only for the phase, epoch and lease it began under.

Red without: `_bound` and the lease check under the lock in `verify` and `_settle` (process/enforcer.py).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from governed import HUMAN, TASK, Governed, Prepare

from autopilot.cli.demo.honest import AGENT
from autopilot.kernel.configuration import Command
from autopilot.kernel.errors import RefusedError
from autopilot.kernel.phases import Phase
from autopilot.process.execution import Ran, Workshop
from autopilot.process.runners import RunnerDesk
from autopilot.process.runners.values import Collected, Ticket
from autopilot.wiring.full import Outside, Workspace

PATIENCE_SECONDS = 60.0


def send_back(workspace: Workspace) -> None:
    workspace.enforcer.backtrack(TASK, Phase.IMPLEMENT, reason="not what was meant", caller=AGENT)


def take_away(workspace: Workspace) -> None:
    workspace.leases.force(TASK, caller=HUMAN, reason="the agent hangs")


def overtaken(governed: Governed, slow: Callable[[], object], meanwhile: Callable[[Workspace], None]) -> RefusedError:
    """What `slow` was refused with when `meanwhile` came from another workspace while its first command was to run."""
    caught: list[RefusedError] = []
    begun, over, execute = threading.Event(), threading.Event(), Workshop._execute

    def waiting(workshop: Workshop, name: str, command: Command, source: Path) -> Ran:
        begun.set()
        assert over.wait(PATIENCE_SECONDS)
        return execute(workshop, name, command, source)

    def run() -> None:
        try:
            slow()
        except RefusedError as error:
            caught.append(error)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Workshop, "_execute", waiting)
        thread = threading.Thread(target=run)
        thread.start()
        try:
            assert begun.wait(PATIENCE_SECONDS)
            with Workspace.open(
                governed.root, outside=Outside(environ=governed.environ, clock=governed.clock)
            ) as other:
                meanwhile(other)
        finally:
            over.set()
            thread.join()
    assert caught, "what was overtaken counted all the same"
    return caught[0]


@pytest.mark.parametrize("call", ["advance", "verify"])
@pytest.mark.parametrize(("meanwhile", "code"), [(send_back, "lost_race"), (take_away, "lease_missing")])
def test_results_of_an_overtaken_run_count_for_nothing(
    at: Prepare, call: str, meanwhile: Callable[[Workspace], None], code: str
) -> None:
    governed = at(Phase.VERIFY)
    enforcer = governed.workspace.enforcer
    slow = enforcer.advance_phase if call == "advance" else enforcer.verify
    error = overtaken(governed, lambda: slow(TASK, caller=AGENT), meanwhile)
    assert error.code == code
    assert error.verdict.exit_code == 5
    assert error.seq is not None
    assert not [item for item in governed.task.evidence.values() if item.phase == Phase.VERIFY]
    assert governed.task.stage == (Phase.IMPLEMENT if meanwhile is send_back else Phase.VERIFY)
    assert not governed.lines("violation"), "who is overtaken breaks nothing"


def test_who_is_overtaken_before_the_runner_begins_is_on_record(at: Prepare, monkeypatch: pytest.MonkeyPatch) -> None:
    governed, start = at(Phase.VERIFY), RunnerDesk.start

    def late(desk: RunnerDesk, ticket: Ticket, *, execute: bool = True) -> Collected:
        with Workspace.open(governed.root, outside=Outside(environ=governed.environ, clock=governed.clock)) as other:
            send_back(other)
        return start(desk, ticket, execute=execute)

    monkeypatch.setattr(RunnerDesk, "start", late)
    with pytest.raises(RefusedError) as caught:
        governed.workspace.enforcer.advance_phase(TASK, caller=AGENT)
    assert caught.value.code == "lost_race"
    assert caught.value.seq is not None
