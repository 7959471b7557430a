"""Forgery: everything that is handed in, hidden, edited or bent is refused, with its reason, on the ledger.

Red without: `Bench.check_forgery`, `Bench.check_sealed` (process/runners/bench.py); the rank check of
`EvidenceDesk.add`; `_judged`, `_check_pins`, `_check_plan_lock`, `_check_commit` (process/runners/phases.py);
`settle_config` (process/runners/config.py); `_SEALED_FAULTS` (process/enforcer.py).
"""

from __future__ import annotations

import pytest
from forgeries import FORGERIES, Forgery
from governed import Prepare, expect_refusal

from autopilot.kernel.phases import Phase


@pytest.mark.parametrize("forgery", FORGERIES, ids=lambda forgery: forgery.name.replace(" ", "-"))
def test_it_is_refused(at: Prepare, forgery: Forgery) -> None:
    governed = at(forgery.phase, plan=forgery.plan)
    forgery.prepare(governed)
    with expect_refusal(governed, forgery.code):
        forgery.attempt(governed)
    forgery.after(governed)
    report = governed.workspace.ledger.verify()
    assert report.status == "intact", report


def test_the_table_has_no_name_twice() -> None:
    names = [forgery.name for forgery in FORGERIES]
    assert len(set(names)) == len(names)


def test_the_honest_agent_passes_all_that_the_forgeries_fail(at: Prepare) -> None:
    # A table of refusals proves nothing if the honest way is refused as well.
    governed = at(Phase.STRATEGIZE)
    governed.work()
    assert governed.task.stage == "CLOSED"
    assert not governed.lines("violation")


def test_who_takes_a_forgery_away_can_go_on(at: Prepare) -> None:
    """The refusal of a forgery leaves no file of the engine's behind that the next call would take for another one."""
    governed = at(Phase.VERIFY)
    forged = governed.evidence(Phase.VERIFY, "test_results.json")
    forged.parent.mkdir(parents=True, exist_ok=True)
    forged.write_text('{"passed": 200}')
    with expect_refusal(governed, "evidence_forged"):
        governed.advance()
    forged.unlink()
    governed.advance()
    assert governed.task.stage == Phase.REVIEW
