"""The kinds of line, in one table, and what `data` holds for each.

A kind that is not here is refused when a line is made, and tolerated when one is read: an older engine must be able
to check the chain of a newer one. `docs/reference/ledger.md` shows this table; `undocumented` names what a line
holds beyond it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True)
class Kind:
    """What a line of this kind records. `data` maps each key it may hold to what it means.

    `by_store` marks kinds that only the store writes: no draft of an engine may claim them.
    """

    meaning: str
    data: Mapping[str, str]
    by_store: bool = False


_MONO = {"mono": 'boot clock: {"boot","us"}'}
_MIRROR = {"wal_seq": "number of the lease-log record this repeats", **_MONO}
_HANDOVER = {"handover": "the lease that the move hands on, as a grant in the lease log holds it; null if left free"}
_REASONS = {"reasons": 'what was unmet: [{"code","where","detail","remedy"}]'}
_OBSERVED = {"observed": "reasons that would have refused but for an `observe` flag"}
_BINDINGS = {"bindings": 'per artifact what it depends on: {"tree","inputs","isolation","carried_from"}, where known'}
_ATTESTED = {"phase": "the phase", "baseline": "SHA-256 of the baseline", "severity": "off, warn or error", **_MONO}
_REFUSED_CALL = {
    "tool": "the tool's name",
    "server": "its server, or empty",
    "capability": "what it would have needed",
    "rule": "the rule that refused",
    **_REASONS,
}

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "genesis": Kind(
            "The ledger begins.",
            {
                "ledger": "the ledger's id again",
                "format": "1",
                "created_by": "name and version of the program",
                "replaced": 'null, or {"ledger","entries","reason"} of a lost ledger that this one replaces',
            },
            by_store=True,
        ),
        "config.sealed": Kind(
            "A copy of autopilot.toml was sealed.",
            {
                "sha256": "the copy's object",
                "approvals": 'who may sign approvals from here on: {"signed","approvers"} as in the copy',
                "grant": "null, or the signed approval of the change, as in `approval.granted`",
                **_MONO,
            },
        ),
        "task.opened": Kind(
            "A task entered STRATEGIZE.",
            {
                "title": "its title",
                "profile": "its profile",
                "base_tree": "git tree of the working tree at opening",
                "base_commit": "HEAD, or null before the first commit",
                "branch": "the branch",
                "worktree": "id of the git worktree",
                "dirty": "paths that differed from HEAD",
                "config": "the sealed configuration's object",
                "pinned": "object that lists the pinned files and their digests",
                **_MONO,
            },
        ),
        "task.held": Kind("The task waits for a person.", {"cause": "why", **_MONO}),
        "task.resumed": Kind("A person let the task go on.", {"reason": "why", **_MONO}),
        "task.closed": Kind(
            "The task ended: closed by its last move, or abandoned.",
            {"outcome": "CLOSED or ABANDONED", "reason": "why it was abandoned"},
        ),
        "phase.transition": Kind(
            "A forward move: the commit of the phase it leaves.",
            {
                **_BINDINGS,
                "gate": 'the verdict: {"verdict":"pass","observed":[reason…]}',
                "approvals": "subjects of the approvals it consumes",
                "attestation": 'how the prompt stood: {"status", …}',
                "judged_tree": "git tree sealed when IMPLEMENT is left, else empty",
                "config": "object of a newly approved configuration, else empty",
                "signing": 'with it, who may sign approvals from here on: {"signed","approvers"}; else null',
                "journal": "object of the journal entry",
                **_HANDOVER,
                **_MONO,
            },
        ),
        "phase.backtrack": Kind(
            "A move back: `epoch` is the new one.",
            {"reason": "why", "retired": "phases whose evidence is retired", **_OBSERVED, **_HANDOVER, **_MONO},
        ),
        "violation": Kind(
            "The process was broken: an out-of-sequence move, a stale fence, a forgery, an edited guard.",
            {"code": "the reason code", "where": "the place", "detail": "this case", **_REASONS},
        ),
        "evidence.added": Kind(
            "Artifacts were sealed.",
            {"phase": "the phase", "verdict": "pass, where checks ran", **_REASONS, **_OBSERVED, **_BINDINGS, **_MONO},
        ),
        "gate.verdict": Kind(
            "An evidence gate was judged; without a task, a task was not opened.",
            {
                "phase": "the phase",
                "verdict": "pass or fail",
                "asked": "without a task: the call that was refused",
                **_REASONS,
                **_OBSERVED,
                **_BINDINGS,
                **_MONO,
            },
        ),
        "plan.amended": Kind("file_map.json changed by approval.", {"added": "paths", "removed": "paths"}),
        "prompt.attested": Kind("A prompt was held against its baseline and is the same, or is the first.", _ATTESTED),
        "prompt.drift": Kind("A prompt differs from its baseline.", _ATTESTED),
        "prompt.baseline_changed": Kind("A baseline was changed on purpose.", {"reason": "why", **_ATTESTED}),
        "lease.granted": Kind("A lease was granted.", {**_MIRROR, "holder": "session or process"}, by_store=True),
        "lease.released": Kind(
            "A lease was given back.",
            {**_MIRROR, "how": "caller, or regrant when the holder asked anew"},
            by_store=True,
        ),
        "lease.expired": Kind(
            "A lease was found to be over.", {**_MIRROR, "proof": "deadline, reboot or dead"}, by_store=True
        ),
        "lease.forced": Kind(
            "A person took a lease away.",
            {
                **_MIRROR,
                "ended": "the fence taken away, or null",
                "reason": "why",
                "observed": "digest of the state the person looked at",
            },
            by_store=True,
        ),
        "lease.contended": Kind(
            "A lease was wanted while another held it, or a race was lost.",
            {"resource": "the resource", "code": "the reason code", "detail": "this case"},
        ),
        "approval.requested": Kind(
            "Something waits for a person.",
            {"requests": '[{"subject","kind","move","digest","why"}]'},
        ),
        "approval.granted": Kind(
            "A person approved.",
            {
                "subject": 'what was approved: {"ledger","task","epoch","move","kind","digest"}',
                "subject_sha256": "its digest",
                "approver": 'who approved: {"id","kind","session"}; of a signed one the key\'s name',
                "reason": "why",
                "granted_at": "RFC 3339 UTC",
                "expires_at": "RFC 3339 UTC",
                "nonce": "32 hex digits of chance",
                "advisory": "true where nobody signed: actor and engine share a user",
                "evidence": "digest of the evidence it was given on",
                "key": "id of the key that signed, or empty",
                "signature": "base64, or empty",
            },
        ),
        "approval.refused": Kind("A person refused.", {"subject": "what was refused", "reason": "why"}),
        "tool.refused": Kind("The guard stopped a call.", _REFUSED_CALL),
        "session.bound": Kind("A session was bound to a task.", {"host": "the agent's host"}),
        "probe.result": Kind("A probe of the guard.", {"host": "the agent's host", "blocked": "true or false"}),
        "flag.changed": Kind(
            "A flag's effective mode changed.",
            {"flag": "its name", "from": "before", "to": "after", "reason": "why"},
        ),
        "flag.loosening_requested": Kind(
            "A loosening was found and is inert.",
            {
                "flag": "its name",
                "from": "the mode in force",
                "to": "the mode asked for",
                "source": "file or environment",
            },
        ),
        "escalation": Kind(
            "The watchdog called for a person.",
            {"cause": "what it saw", "detail": "this case", "diary": "object of the loop diary", **_MONO},
        ),
        "outbox.queued": Kind("A message was queued.", {"key": "idempotency key", "target": "where to"}),
        "outbox.delivered": Kind("A message was delivered.", {"key": "idempotency key"}),
        "outbox.failed": Kind("A message was given up.", {"key": "idempotency key", "detail": "why"}),
        "prompt.pointer_moved": Kind(
            "A prompt's channel points elsewhere.", {"channel": "which", "from": "", "to": ""}
        ),
        "decision": Kind("A decision of an application.", {"subject": "on what", "outcome": "which", "reason": "why"}),
        "checkpoint.published": Kind(
            "A checkpoint was signed right after this line: `state/ledger/checkpoints/<size>.note`.",
            {"size": "how many lines it covers, from the first", "root": "their Merkle root, hex"},
        ),
        "segment.opened": Kind(
            "A segment begins: the lines before it in short.",
            {
                "range": 'compact range of all lines before this one: {"size","hashes"}',
                "state": 'object of the folded state before this line: {"sha256","bytes"}',
                "wal_seq": "the last lease-log record that is repeated before this line",
            },
            by_store=True,
        ),
        "ledger.recovered": Kind(
            "Bytes were taken out of a log and kept in quarantine.",
            {
                "log": "ledger or leases",
                "cause": "torn_tail (by the engine), repair or poisoned (by a person)",
                "reason": "a person's reason, else empty",
                "dropped": '[{"name","bytes","sha256"}] below quarantine/',
                "dropped_entries": "acknowledged lines among them, as far as is known",
            },
            by_store=True,
        ),
        "key.rotated": Kind(
            "A signing key was made, the first one or in the place of another.",
            {
                "from": "id of the key that signed before, empty for the first one",
                "to": "id of the key that signs from now on",
                "vkey": "its public half, as C2SP signed notes write it",
                "reason": "why",
            },
        ),
    }
)

MIRRORED = frozenset({"lease.granted", "lease.released", "lease.expired", "lease.forced"})
"""Kinds that repeat a record of the lease log and name its number as `wal_seq`."""

MOVES = frozenset({"phase.transition", "phase.backtrack", "task.closed"})
"""Kinds whose line carries the lease on (`handover`)."""


def undocumented(kind: str, data: Mapping[str, Any]) -> tuple[str, ...]:
    """The keys of `data` that the table does not know for `kind`; the kind itself if the table does not have it."""
    known = KINDS.get(kind)
    if known is None:
        return (kind,)
    return tuple(f"{kind}.{key}" for key in data if key not in known.data)


def kinds_page() -> str:
    """The table as `docs/reference/ledger.md` shows it."""
    parts: list[str] = []
    for name, kind in KINDS.items():
        parts.append(f"\n### `{name}`{' (*store*)' if kind.by_store else ''}\n\n{kind.meaning}\n")
        if kind.data:
            rows = "".join(f"| `{key}` | {meaning} |\n" for key, meaning in kind.data.items())
            parts.append(f"\n| `data` | meaning |\n|---|---|\n{rows}")
    return "".join(parts) + "\n"
