"""The tool router: the guard's shell. Gathers the snapshot, resolves the paths, asks, records a refusal, answers.

Every call is held against the ledger's state at that moment: the task's phase, the profile's capabilities, what the
configuration takes away. A refusal is on the ledger before the caller sees it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from autopilot.guard import decision
from autopilot.guard.tools import CAPABILITIES
from autopilot.kernel import events
from autopilot.kernel.callers import Caller
from autopilot.kernel.configuration import Settings
from autopilot.kernel.phases import Phase
from autopilot.kernel.reasons import Reason, Verdict
from autopilot.ledger.entry import Draft
from autopilot.process.engine import Engine
from autopilot.process.state import TaskState

_DETAIL_MAX = 400
_PROGRAM = os.path.abspath(sys.argv[0]) if sys.argv and sys.argv[0] not in ("", "-c", "-m") else ""  # noqa: PTH100


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call about to run. `server` is the MCP server's name, empty for the host's own tools."""

    tool: str
    input: Mapping[str, Any] = field(default_factory=dict)
    server: str = ""
    task: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The router's answer: the verdict, the rule that decided, the capability, and what is allowed now."""

    verdict: Verdict
    rule: str
    capability: str
    allowed_now: tuple[str, ...]
    seq: int | None = None


class ToolRouter:
    """Judges tool calls against the phase of their task."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def check(self, call: ToolCall, *, caller: Caller) -> Verdict:
        """May the call run? A refusal is recorded (`tool.refused`) unless the guard is set to `off`."""
        return self.judge(call, caller=caller).verdict

    def judge(self, call: ToolCall, *, caller: Caller, record: bool = True) -> Judgement:
        """`check` with the rule, the capability and what is allowed now; `record=False` only explains."""
        state = self._engine.store.view().state
        mode = self._engine.modes(state)["tool_guard"]
        task = state.tasks.get(call.task)
        if call.task and task is None:
            # A task that is not on the ledger gives no context: judged as without one, which allows reading only.
            task = None
        snapshot = self.snapshot(task, caller)
        tool_input = dict(call.input)
        names = decision.paths_named(snapshot, call.tool, call.server, tool_input)
        snapshot["resolved"] = {name: _resolved(name, str(self._engine.root)) for name in names}
        answer = decision.decide(snapshot, call.tool, call.server, tool_input)
        reasons = tuple(Reason(code, detail=detail, where=call.tool[:120]) for code, detail in answer.reasons)
        seq = None
        if reasons and record and mode != "off":
            seq = self._record(call, caller, task, answer, reasons)
        refusing = reasons if mode == "enforce" else ()
        observed = reasons if mode == "observe" else ()
        verdict = Verdict(refusing, observed=observed)
        if record:
            self._tell(call, caller, task, answer, verdict, seq)
        return Judgement(verdict, answer.rule, answer.capability, answer.allowed_now, seq)

    def snapshot(self, task: TaskState | None, caller: Caller) -> dict[str, Any]:
        """What the decision needs, as plain data."""
        engine = self._engine
        # For a task what is sealed holds, tightened by the file: an agent that edits the file gains nothing by it.
        open_task = task is not None and task.stage in Phase.__members__
        settings = (
            engine.holding_settings(task) if task is not None and open_task else _without_permits(engine.settings)
        )
        phase = task.stage if task is not None and open_task else ""
        capabilities: list[str] = []
        if task is not None and phase:
            capabilities = list(engine.profile(task).contract(Phase(phase)).capabilities)
        return {
            "task": task.id if task is not None and phase else "",
            "phase": phase,
            "capabilities": capabilities,
            "narrow": _narrow(settings),
            "root": str(engine.root),
            # Behind the socket the agent's own files lie in its drafts; the state itself is out of its reach.
            "state_dir": str(engine.drafts or engine.state_dir),
            "cwd": str(engine.root),
            "actor_kind": caller.kind,
            "network_hosts": list(settings.guard.network_hosts),
            "tools": [[t.server, t.tool, t.capability, list(t.paths)] for t in settings.guard.tools],
            "test_commands": _test_commands(settings),
            "engine": [_PROGRAM] if _PROGRAM.endswith("/autopilot") else [],
            "scratch": list(settings.guard.scratch),
            # The engine's own program may lie in the repository (.venv/bin/autopilot): who edits it edits the guard.
            "protected": [_PROGRAM] if _PROGRAM.startswith("/") else [],
        }

    def _record(
        self,
        call: ToolCall,
        caller: Caller,
        task: TaskState | None,
        answer: decision.Answer,
        reasons: tuple[Reason, ...],
    ) -> int:
        data = {
            "tool": call.tool[:120],
            "server": call.server[:120],
            "capability": answer.capability,
            "rule": answer.rule,
            # The input stays out: it may hold anything, secrets among it. The detail names what refused.
            "reasons": [{"code": r.code, "where": r.where, "detail": r.detail[:_DETAIL_MAX]} for r in reasons],
        }
        draft = Draft(
            kind="tool.refused",
            caller=caller,
            task=task.id if task else None,
            epoch=task.epoch if task else None,
            data=data,
        )
        with self._engine.store.transaction() as tx:
            return tx.append(draft).seq

    def _tell(
        self,
        call: ToolCall,
        caller: Caller,
        task: TaskState | None,
        answer: decision.Answer,
        verdict: Verdict,
        seq: int | None,
    ) -> None:
        self._engine.emit(
            [
                events.ToolCallJudged(
                    task=task.id if task else "",
                    phase=task.stage if task else "",
                    seq=seq,
                    actor=caller.actor,
                    session=caller.session,
                    tool=call.tool[:120],
                    capability=answer.capability,
                    decision="allow" if verdict.admitted else "deny",
                    rule=answer.rule,
                    reasons=verdict.codes(),
                )
            ]
        )


def _without_permits(settings: Settings) -> Settings:
    """The settings without what they permit: without a task there is no sealed copy that would vouch for it."""
    return replace(settings, guard=replace(settings.guard, network_hosts=(), scratch=(), tools=()))


def _narrow(settings: Settings) -> list[list[str]]:
    denied = set(settings.guard.deny)
    return [[name for name in CAPABILITIES if name not in denied]] if denied else []


def _test_commands(settings: Settings) -> list[list[str]]:
    """The configured test command without the words that only the engine fills in."""
    test = settings.command("test")
    return [] if test is None else [[word for word in test.argv if "{" not in word]]


def _resolved(path: str, root: str) -> str:
    """The absolute place of a path, links followed; what cannot be resolved stands as written and is judged so."""
    try:
        return str(Path(os.path.join(root, path)).resolve(strict=False))  # noqa: PTH118 - absolute paths replace root
    except (OSError, RuntimeError, ValueError):
        return path
