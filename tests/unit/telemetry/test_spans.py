"""The wrappers: what is recorded, and that nothing about recording changes what the call does."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from autopilot.kernel.callers import Caller
from autopilot.kernel.errors import IntegrityError, ToolCallRefusedError, TransitionRefusedError
from autopilot.kernel.events import TransitionRefused
from autopilot.kernel.reasons import ADMITTED, Reason, Verdict
from autopilot.process.router import Judgement
from autopilot.telemetry.setup import Telemetry
from autopilot.telemetry.spans import Ending, TracedEnforcer, TracedRouter

CALLER = Caller("agent-7", "agent", "s-1")
SECRET = "sk-secret-prompt-text"  # must appear nowhere


@dataclass
class Entry:
    record: dict[str, Any]


ENTRY = Entry(
    {
        "seq": 41,
        "task": "T-1",
        "phase": {"from": "PLAN", "to": "THINK"},
        "epoch": 2,
        "lease": {"resource": "T-1/PLAN", "fence": 9},
        "prompt": {"sha256": "ab" * 32},
        "persona": {"sha256": "cd" * 32},
        "data": {"groundedness": 87, "policy": "pass", "title": SECRET},
    }
)


class FakeEnforcer:
    """Answers every call with `answer`, or raises it; notes the arguments."""

    def __init__(self, answer: object, during: Callable[[], object] = lambda: None) -> None:
        self.answer = answer
        self.during = during
        self.asked: list[tuple[object, ...]] = []

    def _reply(self, *asked: object) -> Any:
        self.asked.append(asked)
        self.during()
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    def advance_phase(self, task_id: str, to: Any = None, *, caller: Caller, lease: Any = None) -> Any:
        return self._reply("advance", task_id, to, caller, lease)

    def backtrack(self, task_id: str, to: Any, *, reason: str, caller: Caller, lease: Any = None) -> Any:
        return self._reply("backtrack", task_id, to, reason, caller, lease)

    def verify(self, task_id: str, *, caller: Caller, lease: Any = None) -> Any:
        return self._reply("verify", task_id, caller, lease)

    def close_task(self) -> str:
        return "the enforcer's own"


@dataclass
class Call:
    tool: str = "Edit"
    server: str = ""
    input: dict[str, str] = field(default_factory=lambda: {"text": SECRET})


class FakeRouter:
    def __init__(self, answer: Verdict | BaseException) -> None:
        self.answer = answer

    def judge(self, call: Any, *, caller: Caller, record: bool = True) -> Judgement:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return Judgement(self.answer, "deny.phase", "edit", ())


def _refusal(code: str = "out_of_sequence") -> Verdict:
    return Verdict((Reason(code, detail=SECRET, where=SECRET),))


def test_an_admitted_move_carries_its_ledger_line(telemetry: Telemetry, read_spans: Any, attributes_of: Any) -> None:
    inner = FakeEnforcer(ENTRY)
    answer = TracedEnforcer(inner, telemetry).advance_phase("T-1", "THINK", caller=CALLER, lease="l")
    assert answer is ENTRY
    assert inner.asked == [("advance", "T-1", "THINK", CALLER, "l")]
    (span,) = read_spans(telemetry.traces).named("agent.state.transition")
    assert attributes_of(span.attributes) == {
        "autopilot.task.id": "T-1",
        "autopilot.move": "forward",
        "autopilot.actor.id": "agent-7",
        "autopilot.actor.kind": "agent",
        "autopilot.session.id": "s-1",
        "autopilot.outcome": "admitted",
        "autopilot.ledger.seq": 41,
        "autopilot.epoch": 2,
        "autopilot.phase.from": "PLAN",
        "autopilot.phase.to": "THINK",
        "autopilot.lease.fence": 9,
        "autopilot.prompt.sha256": "ab" * 32,
        "autopilot.persona.sha256": "cd" * 32,
        "autopilot.groundedness": 87,
        "autopilot.policy.verdict": "pass",
    }
    assert span.status.code == 0


def test_a_refusal_is_the_same_object_and_no_error(telemetry: Telemetry, read_spans: Any, attributes_of: Any) -> None:
    error = TransitionRefusedError(_refusal(), seq=12)
    with pytest.raises(TransitionRefusedError) as caught:
        TracedEnforcer(FakeEnforcer(error), telemetry).advance_phase("T-1", "PR", caller=CALLER)
    assert caught.value is error
    (span,) = read_spans(telemetry.traces).all
    found = attributes_of(span.attributes)
    assert (found["autopilot.outcome"], found["autopilot.reason.codes"]) == ("refused", ["out_of_sequence"])
    assert (found["autopilot.ledger.seq"], found["autopilot.phase.to"]) == (12, "PR")
    assert span.status.code == 0
    assert len(span.events) == 0


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (IntegrityError("bad_hash", detail=SECRET), "bad_hash"),
        (ValueError(SECRET), "ValueError"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
    ],
)
def test_a_failure_has_error_status_and_no_message(
    telemetry: Telemetry, read_spans: Any, attributes_of: Any, error: BaseException, kind: str
) -> None:
    with pytest.raises(type(error)) as caught:
        TracedEnforcer(FakeEnforcer(error), telemetry).verify("T-1", caller=CALLER)
    assert caught.value is error
    (span,) = read_spans(telemetry.traces).named("agent.verify")
    assert span.status.code == 2
    assert attributes_of(span.attributes)["error.type"] == kind
    assert SECRET.encode() not in telemetry.traces.read_bytes()


def test_a_backtrack_is_a_transition_without_its_reason(
    telemetry: Telemetry, read_spans: Any, attributes_of: Any
) -> None:
    TracedEnforcer(FakeEnforcer(ENTRY), telemetry).backtrack("T-1", "PLAN", reason=SECRET, caller=CALLER)
    (span,) = read_spans(telemetry.traces).named("agent.state.transition")
    assert attributes_of(span.attributes)["autopilot.move"] == "backtrack"
    assert SECRET.encode() not in telemetry.traces.read_bytes()


def test_verify_that_answers_with_a_refusing_verdict(telemetry: Telemetry, read_spans: Any, attributes_of: Any) -> None:
    verdict = _refusal("tests_failed")
    assert TracedEnforcer(FakeEnforcer(verdict), telemetry).verify("T-1", caller=CALLER) is verdict
    (span,) = read_spans(telemetry.traces).named("agent.verify")
    assert attributes_of(span.attributes)["autopilot.reason.codes"] == ["tests_failed"]


def test_a_violation_is_a_child_of_the_move_it_happened_in(
    telemetry: Telemetry, read_spans: Any, attributes_of: Any
) -> None:
    event = TransitionRefused(
        task="T-1", phase="SPEC", seq=12, actor="a", target="PR", reasons=("out_of_sequence",), violation=True
    )
    inner = FakeEnforcer(TransitionRefusedError(_refusal(), seq=12), during=lambda: telemetry.observe(event))
    with pytest.raises(TransitionRefusedError):
        TracedEnforcer(inner, telemetry).advance_phase("T-1", "PR", caller=CALLER)
    spans = read_spans(telemetry.traces)
    (violation,), (move,) = spans.named("process.violation"), spans.named("agent.state.transition")
    assert violation.parent_span_id == move.span_id
    assert violation.trace_id == move.trace_id
    found = attributes_of(violation.attributes)
    assert (found["autopilot.phase"], found["autopilot.ledger.seq"]) == ("SPEC", 12)


def test_a_refused_gate_is_no_violation(telemetry: Telemetry) -> None:
    telemetry.observe(TransitionRefused(task="T-1", reasons=("artifact_missing",)))
    assert not telemetry.traces.exists()


def test_a_journal_entry_can_name_the_span_under_way(telemetry: Telemetry, read_spans: Any) -> None:
    seen: list[Any] = []
    inner = FakeEnforcer(ENTRY, during=lambda: seen.append(telemetry.current_ids()))
    assert telemetry.current_ids() is None
    TracedEnforcer(inner, telemetry).advance_phase("T-1", caller=CALLER)
    (span,) = read_spans(telemetry.traces).all
    assert seen == [(span.trace_id.hex(), span.span_id.hex())]
    assert telemetry.current_ids() is None


def test_what_is_not_traced_is_the_enforcers_own(telemetry: Telemetry) -> None:
    assert TracedEnforcer(FakeEnforcer(None), telemetry).close_task() == "the enforcer's own"


def test_an_allowed_tool_call_leaves_no_span(telemetry: Telemetry) -> None:
    assert TracedRouter(FakeRouter(ADMITTED), telemetry).check(Call(), caller=CALLER) is ADMITTED
    assert not telemetry.traces.exists()


def test_a_refused_tool_call_names_the_tool_and_not_its_input(
    telemetry: Telemetry, read_spans: Any, attributes_of: Any
) -> None:
    verdict = _refusal("tool_out_of_phase")
    assert TracedRouter(FakeRouter(verdict), telemetry).check(Call(), caller=CALLER) is verdict
    error = ToolCallRefusedError(verdict, seq=5)
    with pytest.raises(ToolCallRefusedError) as caught:
        TracedRouter(FakeRouter(error), telemetry).check(Call("Bash", "files"), caller=CALLER)
    assert caught.value is error
    first, second = (attributes_of(span.attributes) for span in read_spans(telemetry.traces).named("process.violation"))
    assert (first["gen_ai.tool.name"], first["autopilot.reason.codes"]) == ("Edit", ["tool_out_of_phase"])
    assert (second["autopilot.tool.server"], second["autopilot.ledger.seq"]) == ("files", 5)
    assert SECRET.encode() not in telemetry.traces.read_bytes()


class Strange:
    """A result whose every attribute raises."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


def test_a_result_that_cannot_be_read_is_returned_and_counted(telemetry: Telemetry) -> None:
    strange = Strange()
    assert TracedEnforcer(FakeEnforcer(strange), telemetry).verify("T-1", caller=CALLER) is strange
    assert telemetry.dropped == 1
    assert json.loads(telemetry.traces.read_bytes())  # the span itself is there, bare


def test_a_caller_of_the_wrong_type_meets_the_engine_and_not_the_telemetry(telemetry: Telemetry) -> None:
    wrong: Any = "just a name"
    inner = FakeEnforcer(ENTRY)
    assert TracedEnforcer(inner, telemetry).advance_phase("T-1", caller=wrong) is ENTRY
    assert inner.asked[0][3] == "just a name"
    assert telemetry.dropped == 1


class BrokenTelemetry:
    """Ends of spans that fail are the telemetry's to swallow; this one shows that the wrapper reads only through it."""

    def open(self, name: str, read: Callable[[], Mapping[str, object]]) -> BrokenTelemetry:
        return self

    def mark(self, name: str, read: Callable[[], Mapping[str, object]], *, started_ns: int | None = None) -> None: ...

    def end(self, read: Callable[[], Ending]) -> None: ...


def test_a_telemetry_that_records_nothing_changes_nothing() -> None:
    error = TransitionRefusedError(_refusal(), seq=1)
    with pytest.raises(TransitionRefusedError) as caught:
        TracedEnforcer(FakeEnforcer(error), BrokenTelemetry()).advance_phase("T-1", caller=CALLER)
    assert caught.value is error


def _break_folder(telemetry: Telemetry) -> None:
    telemetry.traces.parent.rmdir()
    telemetry.traces.parent.write_text("in the way")


def _break_files(telemetry: Telemetry) -> None:
    telemetry.traces.mkdir()
    telemetry.metrics.symlink_to(telemetry.traces)


@pytest.mark.parametrize("break_it", [_break_folder, _break_files])
def test_files_that_cannot_be_written_change_no_outcome_and_are_counted(
    tmp_path: Path, break_it: Callable[[Telemetry], None]
) -> None:
    telemetry = Telemetry(tmp_path / "telemetry", version="0", environ={})
    telemetry.traces.parent.mkdir()
    break_it(telemetry)
    event = TransitionRefused(task="T-1", reasons=("out_of_sequence",), violation=True)
    error = TransitionRefusedError(_refusal(), seq=3)
    with pytest.raises(TransitionRefusedError) as caught:
        TracedEnforcer(FakeEnforcer(error, during=lambda: telemetry.observe(event)), telemetry).advance_phase(
            "T-1", caller=CALLER
        )
    assert caught.value is error
    assert TracedEnforcer(FakeEnforcer(ENTRY), telemetry).verify("T-1", caller=CALLER) is ENTRY
    telemetry.close()
    assert telemetry.dropped == 4  # two moves, a violation, a count
    assert len(telemetry.report().problems) >= 2
