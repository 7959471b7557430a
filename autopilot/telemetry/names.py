"""Every public name of the telemetry: spans and attributes, with their meaning. `docs/reference/events.md` prints them.

Attributes hold ids, digests, codes and counts. Tool arguments, prompt text, titles and file contents have no name
here, and so cannot be recorded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Attribute = str | int | bool | tuple[str, ...]
Attributes = Mapping[str, Attribute]

SCOPE = "autopilot"

TRANSITION = "agent.state.transition"
VERIFY = "agent.verify"
VIOLATION = "process.violation"

SPANS: Mapping[str, str] = {
    TRANSITION: "One call of `advance_phase` or `backtrack`, admitted or refused.",
    VERIFY: "One call of `verify`: the engine ran the current phase's checks.",
    VIOLATION: "A move that broke the process, or a tool call that the guard refused. A child of the call it "
    "happened in, if there is one.",
}

TASK = "autopilot.task.id"
SEQ = "autopilot.ledger.seq"
EPOCH = "autopilot.epoch"
FROM = "autopilot.phase.from"
TO = "autopilot.phase.to"
PHASE = "autopilot.phase"
MOVE = "autopilot.move"
OUTCOME = "autopilot.outcome"
REASONS = "autopilot.reason.codes"
ERROR = "error.type"
ACTOR = "autopilot.actor.id"
ACTOR_KIND = "autopilot.actor.kind"
SESSION = "autopilot.session.id"
FENCE = "autopilot.lease.fence"
PROMPT = "autopilot.prompt.sha256"
PERSONA = "autopilot.persona.sha256"
GROUNDEDNESS = "autopilot.groundedness"
POLICY = "autopilot.policy.verdict"
TOOL = "gen_ai.tool.name"
SERVER = "autopilot.tool.server"
CAPABILITY = "autopilot.tool.capability"
RULE = "autopilot.rule.id"
REASON = "autopilot.reason.code"
SEVERITY = "autopilot.severity"

ATTRIBUTES: Mapping[str, str] = {
    TASK: "The task's id.",
    SEQ: "Sequence number of the ledger line that records it; absent if no line was written.",
    EPOCH: "How often the task has been sent back, from 0.",
    FROM: "The phase that was left.",
    TO: "The phase or end that was reached or wanted.",
    PHASE: "The phase it happened in.",
    MOVE: "`forward` or `backtrack`.",
    OUTCOME: "`admitted`, `refused` (the engine's answer, not an error) or `failed` (an error, span status ERROR).",
    REASONS: "Reason codes of a refusal, the gravest first; see `reasons.md`.",
    ERROR: "Error code or exception class of a failure; never its message.",
    ACTOR: "Who asked.",
    ACTOR_KIND: "`agent`, `human` or `engine`.",
    SESSION: "The session that asked.",
    FENCE: "Fence of the lease the line was written under.",
    PROMPT: "SHA-256 of the attested prompt, where one was submitted.",
    PERSONA: "SHA-256 of the persona, where one is bound.",
    GROUNDEDNESS: "Groundedness score from the ledger line's `data.groundedness`, where known.",
    POLICY: "Policy verdict from the ledger line's `data.policy`, where known.",
    TOOL: "Name of the refused tool; its arguments are never recorded.",
    SERVER: "The tool's MCP server, if it has one.",
    CAPABILITY: "The capability the tool needs.",
    RULE: "The guard's rule that answered.",
    REASON: "The gravest reason code.",
    SEVERITY: "Severity of a prompt drift in its phase.",
}

MAX_ATTRIBUTES = 128
MAX_VALUE_BYTES = 4096


def bounded(attributes: Mapping[str, object]) -> dict[str, Attribute]:
    """`attributes` within the caps: 128 of them, 4 KiB of UTF-8 each; empty and None values are left out."""
    kept: dict[str, Attribute] = {}
    for name, value in attributes.items():
        if len(kept) == MAX_ATTRIBUTES:
            break
        if isinstance(value, int):  # bool is one
            kept[name] = value
        elif type(value) is str and value.isascii():  # nearly all of them
            if value:
                kept[name] = value[:MAX_VALUE_BYTES]
        elif isinstance(value, (tuple, list)):
            if items := _bounded_items(value):
                kept[name] = items
        elif value is not None and (text := bounded_text(str(value))):
            kept[name] = text
    return kept


def bounded_text(text: str, limit: int = MAX_VALUE_BYTES) -> str:
    """`text` cut to `limit` bytes of UTF-8 at a character; what UTF-8 cannot hold becomes `?`."""
    if text.isascii():
        return text[:limit]
    return text.encode("utf-8", "replace")[:limit].decode("utf-8", "ignore")


def _bounded_items(values: Iterable[object]) -> tuple[str, ...]:
    items: list[str] = []
    room = MAX_VALUE_BYTES
    for value in values:
        text = bounded_text(str(value), room)
        room -= len(text.encode())
        if not text:
            break
        items.append(text)
    return tuple(items)
