"""Checks of what lies beside the ledger: sealed objects and the files people read, the journal, telemetry.

The objects are evidence, and a line that names one which is not there is corrupt. The files are copies: one that
differs is told, one that is behind is made again. The ledger is the authority for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator

from autopilot.audit.facts import EvidenceFile, Facts, Objects
from autopilot.audit.findings import Finding, Result
from autopilot.audit.trail import Moved, Sealed, TaskTrail, Trail
from autopilot.journal.entry import JournalEntry, parse_entry
from autopilot.journal.projection import line_of
from autopilot.kernel.errors import AutopilotError
from autopilot.kernel.phases import PHASES, Phase
from autopilot.process.profiles import PROFILES

# --- evidence


def check_evidence(facts: Facts, trail: Trail, objects: Objects) -> Result:
    """Every object that a line names is there with its digest; the files beside them are what was sealed."""
    named = {digest: at for digest, at in trail.named.items() if {"", facts.task} & at.tasks or not facts.task}
    found: list[Finding] = []
    for digest, at in named.items():
        fault = objects.fault(digest)
        if fault:
            where = f"evidence/.objects/{digest[:2]}/{digest}"
            detail = f"{at.what}; line {at.line}"
            # What several tasks rest on, the configuration for one, is about none of them alone.
            task = next(iter(at.tasks)) if len(at.tasks) == 1 else facts.task
            found.append(Finding(code=fault, where=where, seq=at.seq, task=task, detail=detail, evidence=digest))
    looked_at = [file for file in facts.files if file.task in trail.tasks and facts.concerns(file.task)]
    drafts = 0
    for file in looked_at:
        of = trail.tasks[file.task]
        finding = _file(of, file)
        found += [finding] if finding else []
        drafts += not file.shelf and f"{file.phase}/{file.name}" not in of.evidence
    found += _missing_files(facts, trail)
    orphans = len(objects.stored - trail.named.keys())
    counts = {"objects": len(named), "orphans": orphans, "files": len(looked_at), "drafts": drafts}
    return Result(name="evidence", counts=counts, findings=tuple(found))


def _file(task: TaskTrail, file: EvidenceFile) -> Finding | None:
    key, where = f"{file.phase}/{file.name}", f"evidence/{file.path}"
    live = task.evidence.get(key)
    engines = _is_engine_made(task, file, live)
    if file.fault:
        contracted = live is not None or engines
        return Finding(code="file_unreadable", where=where, task=task.id, detail=file.fault) if contracted else None
    if engines:
        known = task.ever.get(key, set()) if file.shelf else task.shown.get(key, set())
        if file.sha256 in known:
            return None
        # A backtrack that was killed half way leaves files of the epoch before; the next call takes them away.
        if not file.shelf and file.sha256 in task.ever.get(key, set()):
            return None
        code = "sealed_edited" if live is not None and file.phase != task.stage else "evidence_forged"
        code = "superseded_edited" if file.shelf else code
        detail = f"sha256 {file.sha256}"
        return Finding(code=code, where=where, task=task.id, detail=detail, evidence=_digest(live))
    if live is None or file.shelf or file.sha256 == live.ref.sha256:
        return None
    code = "draft_edited" if file.phase == task.stage else "sealed_edited"
    detail = f"sha256 {file.sha256}; line {live.seq} sealed {live.ref.sha256}"
    return Finding(code=code, where=where, seq=live.seq, task=task.id, detail=detail, evidence=live.ref.sha256)


def _is_engine_made(task: TaskTrail, file: EvidenceFile, live: Sealed | None) -> bool:
    if live is not None:
        return live.ref.origin != "asserted"
    profile = PROFILES.get(task.profile)
    if profile is None or file.phase not in Phase.__members__:
        return False
    artifacts = profile.contract(Phase(file.phase)).artifacts
    return any(artifact.name == file.name and artifact.origin != "asserted" for artifact in artifacts)


def _digest(live: Sealed | None) -> str:
    return live.ref.sha256 if live is not None else ""


def _missing_files(facts: Facts, trail: Trail) -> Iterator[Finding]:
    """Of open tasks only: the folder of a finished one may be tidied away, its objects stay."""
    there = {(file.task, file.phase, file.name) for file in facts.files if not file.shelf}
    for task in trail.tasks.values():
        for key, item in task.evidence.items() if facts.concerns(task.id) and not task.ended else ():
            phase, _, name = key.partition("/")
            if (task.id, phase, name) not in there:
                where = f"evidence/{task.id}/{phase.lower()}/{name}"
                digest = item.ref.sha256
                yield Finding(code="file_missing", where=where, seq=item.seq, task=task.id, evidence=digest)


PHASE_FOLDERS = {phase.folder: str(phase) for phase in PHASES}
"""Folders below `state/evidence/<TASK>` and the phases whose files lie there."""


# --- journal


def check_journal(facts: Facts, trail: Trail, objects: Objects) -> Result:
    """Each entry tells of the move that names it; the file of a task is its entries, one after the other."""
    found, entries = list[Finding](), 0
    for task in trail.tasks.values():
        if not facts.concerns(task.id):
            continue
        entries += len(task.moves)
        if any(objects.fault(move.journal) for move in task.moves):
            continue  # an entry that is gone is a finding of the objects, and what the file should be is not known
        wrong = [finding for move in task.moves for finding in _entry(objects, move)]
        found += wrong or _journal_file(task, facts.journals.get(task.id, b""), objects)
    counts = {"entries": entries, "files": sum(facts.concerns(name) for name in facts.journals)}
    return Result(name="journal", counts=counts, findings=tuple(found))


def _entry(objects: Objects, move: Moved) -> Iterator[Finding]:
    line = move.entry
    try:
        told = parse_entry(objects.read(move.journal))
        told_of = f"it tells of {told.task} {told.origin}->{told.target}, epoch {told.epoch}"
        fault = "" if _is_of(told, move) else told_of
    except AutopilotError as error:
        fault = f"{error.code}: {error.detail}"
    if fault:
        where = f"journal entry {move.journal}"
        task = line.task or ""
        yield Finding(
            code="journal_unlike_move", where=where, seq=line.seq, task=task, detail=fault, evidence=line.hash
        )


def _is_of(told: JournalEntry, move: Moved) -> bool:
    line = move.entry
    sealed = {(ref.name, ref.sha256) for ref in line.artifacts}
    same_move = (told.task, told.origin, told.target, told.epoch) == (line.task, move.origin, move.target, line.epoch)
    return same_move and told.caller == line.caller and {(one.name, one.sha256) for one in told.outputs} == sealed


def _journal_file(task: TaskTrail, data: bytes, objects: Objects) -> list[Finding]:
    lines = [line_of(m.entry.seq, m.entry.ts, m.journal, objects.read(m.journal)) for m in task.moves]
    whole = b"".join(lines)
    if data == whole:
        return []
    where = f"journal/{task.id}.jsonl"
    if whole.startswith(data):
        have = data.count(b"\n")
        first = task.moves[have].entry
        detail = f"{have} of {len(lines)} entries"
        return [
            Finding(code="journal_behind", where=where, seq=first.seq, task=task.id, detail=detail, evidence=first.hash)
        ]
    stored = data.splitlines(keepends=True)
    at = next((n for n, line in enumerate(lines) if n >= len(stored) or stored[n] != line), len(lines))
    seq = task.moves[at].entry.seq if at < len(lines) else None
    evidence = task.moves[at].journal if at < len(lines) else ""
    detail = f"line {at + 1} is not the entry of its move" if at < len(lines) else f"line {at + 1} is of no move"
    return [Finding(code="journal_edited", where=where, seq=seq, task=task.id, detail=detail, evidence=evidence)]


# --- telemetry


def check_telemetry(facts: Facts, trail: Trail) -> Result:
    """The files read, and tell of as many moves and counts as the ledger. A difference is told, never a failure."""
    told, found = facts.telemetry, list[Finding]()
    for name, lines in told.unreadable.items():
        if lines:
            found.append(Finding(code="telemetry_unreadable", where=f"telemetry/{name}", detail=f"{lines} lines"))
    counts = {"moves": len(trail.moves), "spans": len(told.moves)}
    if not told.present:
        # Nothing was ever written: whoever switches telemetry off has said so.
        return Result(name="telemetry", counts=counts, findings=tuple(found))
    behind = sorted(trail.moves.keys() - told.moves.keys())
    ahead = sorted(seq for seq, task in told.moves.items() if trail.moves.get(seq) != task)
    # A fold that failed half way has counted half of it.
    known = {} if facts.refolded else told.counters
    ours = {name: facts.counters.get(name, 0) for name in known}
    less = sorted(name for name, value in ours.items() if told.counters[name] < value)
    more = sorted(name for name, value in ours.items() if told.counters[name] > value)
    for code, moves, names in (("telemetry_behind", behind, less), ("telemetry_ahead", ahead, more)):
        if moves or names:
            counted = "; ".join(f"{n}: {told.counters[n]}, ledger {ours[n]}" for n in names)
            detail = f"{len(moves)} of {len(trail.moves)} moves differ" + (f"; {counted}" if counted else "")
            found.append(Finding(code=code, where="telemetry", seq=moves[0] if moves else None, detail=detail))
    return Result(name="telemetry", counts=counts, findings=tuple(found))
