"""Telemetry and journal: spans and counters of real moves, and verdicts that do not depend on either.

Red without: `TracedEnforcer` and the observers in `wiring/full.py`; `Engine.emit`'s and `Engine.project`'s catch.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from governed import HUMAN, TASK, Governed, Prepare, expect_refusal

from autopilot.cli.demo.honest import AGENT
from autopilot.journal.entry import parse_entry
from autopilot.kernel.events import Event
from autopilot.kernel.phases import Phase
from autopilot.process.router import ToolCall
from autopilot.telemetry.totals import totals
from autopilot.wiring.full import Outside, Workspace


def spans(governed: Governed) -> list[dict[str, Any]]:
    """Every span in the traces file, closed workspaces' and this one's."""
    governed.workspace.telemetry.close()
    found = []
    for line in (governed.state_dir / "telemetry" / "traces.jsonl").read_bytes().splitlines():
        for resource in json.loads(line)["resourceSpans"]:
            for scope in resource["scopeSpans"]:
                found.extend(scope["spans"])
    return found


def attribute(span: dict[str, Any], name: str) -> Any:
    return next((next(iter(a["value"].values())) for a in span["attributes"] if a["key"] == name), None)


def test_a_whole_task_leaves_spans_and_counters_that_agree_with_the_ledger(at: Prepare) -> None:
    governed = at(Phase.SPEC)
    with expect_refusal(governed, "out_of_sequence"):
        governed.advance(Phase.MONITOR)
    with expect_refusal(governed, "artifact_missing"):
        governed.advance()
    governed.agent.prepare(Phase.SPEC)
    line = governed.advance()
    governed.workspace.enforcer.backtrack(TASK, Phase.STRATEGIZE, reason="once more", caller=AGENT)
    governed.workspace.router.check(ToolCall("Edit", {"file_path": "shop/pricing.py"}, task=TASK), caller=AGENT)
    governed.agent.prepare(Phase.STRATEGIZE)
    governed.workspace.enforcer.verify(TASK, caller=AGENT)
    names = [span["name"] for span in spans(governed)]
    assert names.count("agent.state.transition") >= 4
    assert "agent.verify" in names
    assert names.count("process.violation") == 2
    moved = [s for s in spans(governed) if attribute(s, "autopilot.ledger.seq") == str(line.seq)]
    assert attribute(moved[0], "autopilot.phase.to") == "PLAN"
    counted = totals(governed.state_dir / "telemetry" / "metrics.jsonl").counters
    folded = governed.workspace.ledger.view().state.counters
    for name, value in counted.items():
        assert value == folded.get(name, 0), name
    assert counted["phase_skips_attempted"] == counted["tool_calls_out_of_phase"] == 1


def test_counters_agree_on_what_a_person_alone_may_do_and_on_a_guard_that_observes(at: Prepare) -> None:
    # Red without: the event in `Recording.usurped`; `seq` in the row of `ToolCallJudged`.
    governed = at(Phase.SPEC)
    for _ in range(2):
        with expect_refusal(governed, "human_only"):
            governed.workspace.tasks.resume(TASK, reason="I am fine", caller=AGENT)
    with expect_refusal(governed, "out_of_sequence"):
        governed.advance(Phase.MONITOR)
    call = ToolCall("Edit", {"file_path": "shop/pricing.py"}, task=TASK)
    governed.workspace.router.check(call, caller=AGENT)
    governed.workspace.flags.set("tool_guard", "observe", reason="look first", caller=HUMAN)
    assert governed.workspace.router.check(call, caller=AGENT).admitted
    governed.workspace.telemetry.close()
    counted = totals(governed.state_dir / "telemetry" / "metrics.jsonl").counters
    folded = governed.workspace.ledger.view().state.counters
    for name, least in (("process_violations", 3), ("tool_calls_out_of_phase", 2)):
        assert counted[name] == folded[name], name
        assert folded[name] >= least, name


def test_a_broken_exporter_changes_no_verdict(at: Prepare) -> None:
    governed = at(Phase.SPEC)
    telemetry = governed.state_dir / "telemetry"
    governed.workspace.close()
    for path in telemetry.iterdir():
        path.unlink()
    telemetry.rmdir()
    telemetry.write_text("no folder can be made here")
    governed.reopen(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", OTEL_BSP_SCHEDULE_DELAY="nonsense")
    with expect_refusal(governed, "out_of_sequence"):
        governed.advance(Phase.MONITOR)
    with expect_refusal(governed, "artifact_missing"):
        governed.advance()
    governed.agent.prepare(Phase.SPEC)
    governed.advance()
    assert governed.task.stage == Phase.PLAN
    assert governed.workspace.ledger.verify().status == "intact"


def test_a_failing_observer_is_counted_and_changes_nothing(at: Prepare) -> None:
    governed = at(Phase.SPEC)
    governed.workspace.close()
    seen: list[Event] = []

    def broken(event: Event) -> None:
        seen.append(event)
        raise RuntimeError("an observer with a bug")

    outside = Outside(environ=governed.environ, clock=governed.clock, observers=(broken,))
    governed.workspace = Workspace.open(governed.root, outside=outside)
    governed.agent.prepare(Phase.SPEC)
    governed.advance()
    assert governed.task.stage == Phase.PLAN
    assert seen
    assert governed.workspace.engine.failed_observers == len(seen)


@pytest.mark.parametrize("name", ["journal", f"evidence/{TASK}/plan"])
def test_a_projection_that_cannot_be_written_undoes_no_move(at: Prepare, name: str) -> None:
    governed = at(Phase.SPEC)
    governed.agent.prepare(Phase.SPEC)
    place = governed.state_dir / name
    if place.is_dir():
        place.rename(governed.root.parent / "away")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("a file where a folder should be")
    line = governed.advance()
    assert governed.task.stage == Phase.PLAN
    assert governed.lines("phase.transition")[-1].seq == line.seq
    assert governed.workspace.engine.failed_observers


def test_the_journal_links_ledger_and_span_and_can_be_made_again(at: Prepare) -> None:
    governed = at(Phase.SPEC)
    governed.agent.prepare(Phase.SPEC)
    line = governed.advance()
    entry = parse_entry(governed.workspace.ledger.objects.get(line.data["journal"]))
    assert (entry.origin, entry.target) == ("SPEC", "PLAN")
    assert {output.name for output in entry.outputs} == {"spec.md"}
    assert entry.span is not None
    assert any(span["spanId"] == entry.span.span_id for span in spans(governed))
    path = governed.state_dir / "journal" / f"{TASK}.jsonl"
    shown = path.read_bytes()
    assert [json.loads(row)["seq"] for row in shown.splitlines()][-1] == line.seq
    path.unlink()
    governed.agent.prepare(Phase.PLAN)
    governed.advance()
    assert path.read_bytes().startswith(shown), "a deleted projection is made again"
