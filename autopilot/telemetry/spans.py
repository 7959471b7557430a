"""Wrappers that trace the enforcer and the router; `wiring` puts them on, outermost, and what they wrap is unaware.

A wrapper returns what the call returned and raises the very object it raised. Reading facts off a result for the
span happens where a failure is counted, so that neither a strange result nor a broken exporter changes an outcome.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeVar

from autopilot.kernel.callers import Caller
from autopilot.kernel.errors import AutopilotError, RefusedError
from autopilot.kernel.reasons import Verdict
from autopilot.telemetry import names

Result = TypeVar("Result")


class Enforcer(Protocol):
    """The calls that are traced; the process package's enforcer has them."""

    def advance_phase(self, task_id: str, to: Any = None, *, caller: Caller, lease: Any = None) -> Any: ...

    def backtrack(self, task_id: str, to: Any, *, reason: str, caller: Caller, lease: Any = None) -> Any: ...

    def verify(self, task_id: str, *, caller: Caller, lease: Any = None) -> Any: ...


class Router(Protocol):
    """The guard's shell."""

    def judge(self, call: Any, *, caller: Caller, record: bool = True) -> Any: ...


@dataclass(frozen=True, slots=True)
class Ending:
    """What is known when a span ends. `error` is a code or class name; a refusal is an answer and has none."""

    attributes: Mapping[str, object] = field(default_factory=dict)
    error: str = ""


class OpenSpan(Protocol):
    """A span under way, current until it ends."""

    def end(self, read: Callable[[], Ending]) -> None:
        """End it with what `read` says. Never raises; a failing `read` is counted and the span ends bare."""
        ...


class Tracing(Protocol):
    """Where spans go. Neither method raises."""

    def open(self, name: str, read: Callable[[], Mapping[str, object]]) -> OpenSpan:
        """Start a span with the attributes that `read` gives and make it current."""
        ...

    def mark(self, name: str, read: Callable[[], Mapping[str, object]], *, started_ns: int | None = None) -> None:
        """Record a span that is over, a child of the current one. `started_ns` is a `time.time_ns()`."""
        ...


class TracedEnforcer:
    """The enforcer with a span around each move and each verification."""

    def __init__(self, enforcer: Enforcer, tracing: Tracing) -> None:
        self._enforcer = enforcer
        self._tracing = tracing

    def advance_phase(self, task_id: str, to: Any = None, *, caller: Caller, lease: Any = None) -> Any:
        """As the enforcer's, in a span `agent.state.transition`."""
        return _traced(
            self._tracing.open(names.TRANSITION, lambda: _move("forward", task_id, to, caller)),
            lambda: self._enforcer.advance_phase(task_id, to, caller=caller, lease=lease),
        )

    def backtrack(self, task_id: str, to: Any, *, reason: str, caller: Caller, lease: Any = None) -> Any:
        """As the enforcer's, in a span `agent.state.transition`; the reason's text is not recorded."""
        return _traced(
            self._tracing.open(names.TRANSITION, lambda: _move("backtrack", task_id, to, caller)),
            lambda: self._enforcer.backtrack(task_id, to, reason=reason, caller=caller, lease=lease),
        )

    def verify(self, task_id: str, *, caller: Caller, lease: Any = None) -> Any:
        """As the enforcer's, in a span `agent.verify`."""
        return _traced(
            self._tracing.open(names.VERIFY, lambda: {names.TASK: task_id, **_who(caller)}),
            lambda: self._enforcer.verify(task_id, caller=caller, lease=lease),
        )

    def __getattr__(self, name: str) -> Any:
        # What is not traced is the enforcer's own: a wrapper that hid it would be a different enforcer.
        return getattr(self._enforcer, name)


class TracedRouter:
    """The router with a span `process.violation` for each refused call; an allowed one costs nothing."""

    def __init__(self, router: Router, tracing: Tracing) -> None:
        self._router = router
        self._tracing = tracing

    def check(self, call: Any, *, caller: Caller) -> Verdict:
        """The verdict of `judge`."""
        verdict: Verdict = self.judge(call, caller=caller).verdict
        return verdict

    def judge(self, call: Any, *, caller: Caller, record: bool = True) -> Any:
        """As the router's."""
        started_ns = time.time_ns()
        try:
            answer = self._router.judge(call, caller=caller, record=record)
        except RefusedError as error:
            self._mark(call, caller, error.verdict, error.seq, started_ns)
            raise
        if record and not answer.verdict.admitted:
            self._mark(call, caller, answer.verdict, answer.seq, started_ns)
        return answer

    def _mark(self, call: Any, caller: Caller, verdict: Verdict, seq: int | None, started_ns: int) -> None:
        def read() -> dict[str, object]:
            # Only what names the tool: its input may hold prompts, paths and secrets.
            named = {names.TASK: "task", names.PHASE: "phase", names.TOOL: "tool", names.SERVER: "server"}
            told = {key: getattr(call, attribute, None) for key, attribute in named.items()}
            return {**told, **_who(caller), **_refusal(verdict, seq)}

        self._tracing.mark(names.VIOLATION, read, started_ns=started_ns)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._router, name)


def _traced(span: OpenSpan, call: Callable[[], Result]) -> Result:
    try:
        result = call()
    except BaseException as error:
        span.end(partial(_ending_of_error, error))
        raise
    span.end(lambda: Ending(_facts_of_result(result)))
    return result


def _move(move: str, task_id: str, to: Any, caller: Caller) -> dict[str, object]:
    return {names.TASK: task_id, names.MOVE: move, names.TO: to, **_who(caller)}


def _who(caller: Caller) -> dict[str, object]:
    return {names.ACTOR: caller.actor, names.ACTOR_KIND: caller.kind, names.SESSION: caller.session}


def _refusal(verdict: Verdict, seq: int | None) -> dict[str, object]:
    return {names.OUTCOME: "refused", names.REASONS: verdict.codes(), names.SEQ: seq}


def _ending_of_error(error: BaseException) -> Ending:
    if isinstance(error, RefusedError):
        return Ending(_refusal(error.verdict, error.seq))
    # The message may quote file contents or a prompt; the code and the class cannot.
    kind = error.code if isinstance(error, AutopilotError) else type(error).__name__
    return Ending({names.OUTCOME: "failed", names.ERROR: kind}, error=kind)


def _facts_of_result(result: object) -> dict[str, object]:
    verdict = result if isinstance(result, Verdict) else getattr(result, "verdict", None)
    if isinstance(verdict, Verdict) and not verdict.admitted:
        return _refusal(verdict, getattr(result, "seq", None))
    entry = getattr(result, "entry", result)
    record = getattr(entry, "record", None)
    facts = _facts_of_record(record) if isinstance(record, dict) else {}
    return {names.OUTCOME: "admitted", **facts}


def _facts_of_record(record: Mapping[str, Any]) -> dict[str, object]:
    """The attributes of a ledger line's body (`docs/reference/ledger.md`)."""
    phase, lease, data = record["phase"] or {}, record["lease"] or {}, record["data"] or {}
    return {
        names.SEQ: record["seq"],
        names.TASK: record["task"],
        names.EPOCH: record["epoch"],
        names.FROM: phase.get("from"),
        names.TO: phase.get("to"),
        names.FENCE: lease.get("fence"),
        names.PROMPT: (record["prompt"] or {}).get("sha256"),
        names.PERSONA: (record["persona"] or {}).get("sha256"),
        names.GROUNDEDNESS: data.get("groundedness"),
        names.POLICY: data.get("policy"),
    }
