"""Checks of the record itself: the ledger, who remembers it, and what was signed of it.

`Refold` folds the lines as the engine does, beside the audit's own trail, so that the state object of each segment can
be held against what precedes it: a move is admitted from that object, and the chain alone says nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from autopilot.audit.facts import Facts
from autopilot.audit.findings import Finding, Result
from autopilot.audit.trail import Trail
from autopilot.kernel.canonical import sha256_hex
from autopilot.kernel.errors import AutopilotError, IntegrityError
from autopilot.ledger.anchoring import Held, Present, hold_against, roots_at
from autopilot.ledger.entry import LedgerEntry
from autopilot.ledger.store import Fold
from autopilot.ledger.verify import CODE_OF_REASON, VerifyReport
from autopilot.signing.checkpoint import Checkpoint, open_checkpoint

LEASE_LOG = "leases.wal"
_HARMLESS = frozenset({"torn_tail", "poisoned"})


class Refold:
    """Passes entries on, and folds them meanwhile. `findings` is whole once the entries are used up."""

    def __init__(self, fold: Fold, read: Callable[[str], bytes]) -> None:
        self.findings: list[Finding] = []
        self.segments = 0
        self.state: Any = fold.initial()
        self._fold = fold
        self._read = read
        self._failed = False

    def over(self, entries: Iterable[LedgerEntry]) -> Iterator[LedgerEntry]:
        """The same entries."""
        for entry in entries:
            if not self._failed:
                self._take(entry)
            yield entry

    def _take(self, entry: LedgerEntry) -> None:
        if entry.kind == "segment.opened":
            self.segments += 1
            self._compare(entry)
        try:
            self.state = self._fold.apply(self.state, entry)
        except Exception as error:  # noqa: BLE001 - a line made up by hand can fail a fold in any way
            self._failed = True
            self.findings.append(_of_line(entry, "fold_failed", f"{entry.kind}: {type(error).__name__}: {error}"))

    def _compare(self, entry: LedgerEntry) -> None:
        named = str(entry.data["state"]["sha256"])
        ours = self._fold.dump(self.state)
        if sha256_hex(ours) == named:
            return
        try:
            # An older version may have written the same state with fewer fields.
            if self._fold.dump(self._fold.load(self._read(named))) == ours:
                return
        except AutopilotError:
            return  # that the object is gone or edited is the verification's finding
        except Exception:  # noqa: BLE001, S110 - no state that loads is no state that is equal
            pass
        self.findings.append(_of_line(entry, "state_unlike_fold", f"object {named}", where="segment"))


def can_be_followed(report: VerifyReport) -> bool:
    """Whether the lines that verify stand for themselves: the fault is a tail, a poisoning, or in the lease log."""
    return report.intact or report.reason in _HARMLESS or report.where.endswith(LEASE_LOG)


def check_ledger(facts: Facts) -> Result:
    """Chain, segments, head hint, floor; each segment's first line against the lines before it."""
    report, found = facts.report, list(facts.refolded)
    if not report.intact and not report.where.endswith(LEASE_LOG):
        code = CODE_OF_REASON.get(report.reason or "", report.reason or "bad_link")
        found.insert(0, Finding(code=code, where=report.where, seq=report.seq, detail=report.detail))
    told = {finding.seq for finding in found}
    odd = facts.trail.findings if facts.trail is not None else []
    found += [finding for finding in odd if finding.code == "fold_failed" and finding.seq not in told]
    counts = {"entries": report.entries, "segments": facts.segments + 1}
    return Result(name="ledger", counts=counts, findings=tuple(found))


def check_identity(facts: Facts) -> Result:
    """The marker in the git directory and `autopilot.toml` name the ledger that is there."""
    known, found = facts.identity, list[Finding]()
    if known.linked:
        found.append(Finding(code="state_linked", where=known.linked, detail="nothing below it was read"))
    if known.marker_fault or (known.marker and known.ledger and known.marker != known.ledger):
        detail = known.marker_fault or f"it names {known.marker}, the ledger is {known.ledger}"
        found.append(Finding(code="marker_unlike_ledger", where="autopilot.id", detail=detail))
    elif not known.marker:
        found.append(Finding(code="marker_missing", where="autopilot.id"))
    if known.named and known.ledger and known.named != known.ledger:
        detail = f"it names {known.named}, the ledger is {known.ledger}"
        found.append(Finding(code="ledger_unlike_settings", where="autopilot.toml", detail=detail))
    elif not known.named:
        found.append(Finding(code="settings_unnamed", where="autopilot.toml"))
    named = sum(bool(name) for name in (known.ledger, known.marker, known.named))
    return Result(name="identity", counts={"names": named}, findings=tuple(found))


def check_checkpoints(facts: Facts, trail: Trail) -> Result:
    """Each stored note verifies, the lines are those it signed, and the lines that record checkpoints are right."""
    known, found, held = facts.checkpoints, list[Finding](), list[Held]()
    if known.keys_fault:
        found.append(Finding(code="key_damaged", where="state/keys", detail=known.keys_fault))
    for size, note in known.notes.items() if not known.keys_fault else ():
        where = f"checkpoints/{size}.note"
        try:
            checkpoint = _opened(note, facts)
        except AutopilotError as error:
            found.append(Finding(code="unsigned", where=where, detail=error.detail))
            continue
        if checkpoint.size != size:
            detail = f"it is a checkpoint over {checkpoint.size} lines"
            found.append(Finding(code="unsigned", where=where, detail=detail))
        else:
            held.append(Held(checkpoint, where, stored=True))
    report = hold_against(facts.report, Present(trail.ledger, trail.leaves, known.hint_seq), held)
    if report is not facts.report:
        code = CODE_OF_REASON.get(report.reason or "", report.reason or "")
        found.append(Finding(code=code, where=report.where, seq=report.seq, detail=report.detail))
    found += _published(facts, trail)
    counts = {"notes": len(known.notes), "recorded": len(trail.published)}
    return Result(name="checkpoints", counts=counts, findings=tuple(found))


def _opened(note: bytes | str, facts: Facts) -> Checkpoint:
    """The checkpoint in a stored note; IntegrityError `unsigned`, also for one that could not be read."""
    if isinstance(note, str):
        raise IntegrityError("unsigned", detail=note)
    return open_checkpoint(note, facts.checkpoints.keys)


def _published(facts: Facts, trail: Trail) -> Iterator[Finding]:
    sizes = [size for size in trail.published if size <= len(trail.leaves)]
    roots = roots_at(trail.leaves, sizes)
    for size, (seq, line, root) in trail.published.items():
        if size != seq or roots[size].hex() != root:
            detail = f"{root[:16]}… over {size} lines"
            yield Finding(code="checkpoint_unlike_line", seq=seq, detail=detail, evidence=line)
        elif size not in facts.checkpoints.notes:
            where = f"checkpoints/{size}.note"
            yield Finding(code="checkpoint_missing", where=where, seq=seq, evidence=line)


def _of_line(entry: LedgerEntry, code: str, detail: str, where: str = "") -> Finding:
    return Finding(code=code, where=where, seq=entry.seq, task=entry.task or "", detail=detail, evidence=entry.hash)
