"""`autopilot audit`: a clean repository gives no finding, a planted fault exactly its own, with its severity and exit.

The repository is a real one that an honest agent worked in. The adversary has everything the user has: the files, the
format, and this package, so that he can append round the enforcer and recompute every hash.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from cli_repo import Repo
from governed import TASK, Governed, Prepare

from autopilot.approvals.subjects import Subject
from autopilot.audit.run import CHECKS, audit
from autopilot.cli.demo.honest import AGENT
from autopilot.kernel.callers import Caller
from autopilot.kernel.canonical import sha256_hex
from autopilot.kernel.files import DiskFiles
from autopilot.kernel.framing import BODY_START, body_hash, frame
from autopilot.kernel.phases import Phase
from autopilot.leases.records import Grant, Release
from autopilot.leases.terms import Holder, Lease, Moment
from autopilot.ledger.entry import ArtifactRef, Draft, LeaseRef
from autopilot.process.fold import ProcessFold
from autopilot.storage.files.layout import SEGMENT_ENTRIES, StorePaths
from autopilot.storage.files.leases import LeaseLog
from autopilot.storage.files.record_log import LogPlace
from autopilot.vcs.repository import Repository
from autopilot.wiring.auditing import load_facts
from autopilot.wiring.checkpoints import CheckpointDesk

SCHEMA = Path(__file__).parents[2] / "docs" / "reference" / "audit" / "schema.json"
Found = list[tuple[str, str, str]]


@dataclass
class Tampered:
    """A governed repository whose workspace is closed, for the adversary."""

    governed: Governed

    @property
    def repo(self) -> Repo:
        """The command line in it."""
        return Repo(self.governed.root)

    @property
    def state(self) -> Path:
        """The state directory."""
        return self.governed.root / "state"

    def audited(self, *words: str) -> tuple[int, Found]:
        """Exit code, and severity, code and check of each finding."""
        result = self.repo.quick("audit", "--json", *words)
        shown = result.shaped("audit")
        assert (shown["status"] == "passed") is (result.code == 0)
        assert all(finding["remedy"] for finding in shown["findings"])
        return result.code, [(f["severity"], f["code"], f["check"]) for f in shown["findings"]]

    def found_without(self, check: str) -> Found:
        """What the other checks find."""
        left = {name: made for name, made in CHECKS.items() if name != check}
        report = audit(load_facts(Repository.locate(self.governed.root), {}), left)
        return [(str(finding.severity), finding.code, name) for name, finding in report.triaged]

    def rewrite(self, change: Callable[[list[dict[str, Any]]], None], first: int = 0) -> None:
        """Change the lines of a segment and recompute all hashes of it."""
        path = StorePaths(self.state).segment(first)
        records = [json.loads(line[BODY_START:-1]) for line in path.read_bytes().splitlines()]
        change(records)
        prev, out = records[0]["prev"], b""
        for record in records:
            body = json.dumps({**record, "prev": prev}, separators=(",", ":"), ensure_ascii=False).encode()
            prev = body_hash(body)
            out += frame(body, prev)
        path.write_bytes(out)
        StorePaths(self.state).head.unlink(missing_ok=True)

    def object(self, kind: str) -> Path:
        """The object of the first artifact on the last line of a kind."""
        return self.governed.object(self.line(kind)["artifacts"][0]["sha256"])

    def line(self, kind: str) -> dict[str, Any]:
        """The last line of a kind."""
        lines = StorePaths(self.state).segment(0).read_bytes().splitlines()
        records = [json.loads(line[BODY_START:-1]) for line in lines]
        return next(record for record in reversed(records) if record["kind"] == kind)


@pytest.fixture
def thinking(at: Prepare) -> Tampered:
    """T-1 in THINK, with documents and with evidence that the engine made, and a checkpoint."""
    governed = at(Phase.THINK)
    CheckpointDesk(governed.workspace).publish(caller=AGENT)
    governed.workspace.close()
    return Tampered(governed)


# --- clean


def test_an_honest_task_gives_no_finding_from_its_first_phase_to_its_end(at: Prepare) -> None:
    governed = at(Phase.VERIFY)
    governed.verify()
    governed.workspace.enforcer.backtrack(
        TASK, Phase.IMPLEMENT, reason="the test of the limit is missing", caller=AGENT
    )
    assert Tampered(governed).audited() == (0, [])
    governed.work()
    assert governed.where == ("CLOSED", 1)
    CheckpointDesk(governed.workspace).publish(caller=AGENT)
    governed.workspace.close()
    tampered = Tampered(governed)
    assert tampered.audited() == (0, [])
    assert tampered.audited("--task", TASK) == (0, [])
    shown = tampered.repo.quick("audit", "--json").json
    counts = {check["name"]: check["counts"] for check in shown["checks"]}
    assert counts["process"] == {"tasks": 1, "moves": 11}
    assert counts["telemetry"] == {"moves": 11, "spans": 11}
    assert counts["checkpoints"] == {"notes": 1, "recorded": 1}


def test_a_guard_that_only_observes_is_no_difference(thinking: Tampered) -> None:
    thinking.repo.person("flags", "set", "tool_guard", "observe", "--reason", "an outage", check=0)
    thinking.repo.quick("guard", "check", "--task", TASK, "--tool", "Edit", "--input", '{"file_path": "README.md"}')
    assert thinking.line("tool.refused")
    assert thinking.audited() == (0, [])


def test_it_reads_and_changes_nothing(thinking: Tampered) -> None:
    before, marker = thinking.repo.files(), (thinking.governed.root / ".git" / "autopilot.id").read_bytes()
    assert thinking.audited() == (0, [])
    assert thinking.repo.files() == before
    assert (thinking.governed.root / ".git" / "autopilot.id").read_bytes() == marker


# --- planted faults


def flip_a_line(t: Tampered) -> None:
    path = StorePaths(t.state).segment(0)
    path.write_bytes(path.read_bytes().replace(b'"kind":"task.opened"', b'"kind":"task.0pened"'))


def torn_tail(t: Tampered) -> None:
    with StorePaths(t.state).segment(0).open("ab") as file:
        file.write(b'{"h":"')


def other_marker(t: Tampered) -> None:
    (t.governed.root / ".git" / "autopilot.id").write_text(f"{'0' * 32}\n1\n")


def no_marker(t: Tampered) -> None:
    (t.governed.root / ".git" / "autopilot.id").unlink()


def other_settings(t: Tampered) -> None:
    path = t.governed.root / "autopilot.toml"
    path.write_text(re.sub(r'ledger_id = "[0-9a-f]+"', f'ledger_id = "{"0" * 32}"', path.read_text()))


def a_link_in_the_state(t: Tampered) -> None:
    (t.state / "leases").rename(t.state / "elsewhere")
    (t.state / "leases").symlink_to("elsewhere")


def note(t: Tampered) -> Path:
    return next((t.state / "ledger" / "checkpoints").glob("*.note"))


def unsigned_note(t: Tampered) -> None:
    text = note(t).read_text()
    note(t).write_text(text[:-6] + ("AAAA" if text[-6:-2] != "AAAA" else "BBBB") + text[-2:])


def note_taken_away(t: Tampered) -> None:
    note(t).unlink()


def rewritten_ledger(t: Tampered) -> None:
    def change(records: list[dict[str, Any]]) -> None:
        opened = next(record for record in records if record["kind"] == "task.opened")
        opened["data"]["title"] = "Keep the discount"
        published = next(record for record in records if record["kind"] == "checkpoint.published")
        del records[records.index(published) :]

    t.rewrite(change)
    marker = t.governed.root / ".git" / "autopilot.id"
    lines = StorePaths(t.state).segment(0).read_bytes().count(b"\n")
    marker.write_text(f"{marker.read_text().split()[0]}\n{lines}\n")


def false_root(t: Tampered) -> None:
    note_taken_away(t)

    def change(records: list[dict[str, Any]]) -> None:
        published = next(record for record in records if record["kind"] == "checkpoint.published")
        published["data"]["root"] = "0" * 64

    t.rewrite(change)


def appended(t: Tampered, **draft: Any) -> None:
    """A line of the store's own making: well chained, under the current fence, and never asked of the enforcer."""
    t.governed.reopen()
    workspace = t.governed.workspace
    task = workspace.tasks.show(TASK)
    fence = workspace.ledger.view().leases.fence_high(TASK)
    empty = {"bindings": {}, "gate": {"verdict": "pass", "observed": []}, "approvals": [], "attestation": {}}
    data = {**empty, "judged_tree": "", "config": "", "interpreter": "", "journal": "", "handover": None}
    made = {
        "kind": "phase.transition",
        "caller": AGENT,
        "task": TASK,
        "phase": (task.stage, "IMPLEMENT"),
        "epoch": task.epoch,
        "lease": LeaseRef(f"{TASK}/{task.stage}", fence),
        **draft,
        "data": {**data, **draft.get("data", {})},
    }
    with workspace.ledger.transaction() as tx:
        tx.append(Draft(**made))
    workspace.close()


def document(t: Tampered) -> tuple[ArtifactRef, ...]:
    """The evidence that THINK asks for, sealed and shown."""
    t.governed.reopen()
    t.governed.agent.prepare(Phase.THINK)
    data = t.governed.evidence(Phase.THINK, "edge_cases.md").read_bytes()
    digest = t.governed.workspace.ledger.objects.put(data)
    t.governed.workspace.close()
    return (ArtifactRef("edge_cases.md", digest, len(data), "text/markdown", "asserted"),)


def skipped_phase(t: Tampered) -> None:
    appended(t, artifacts=document(t), phase=("THINK", "VERIFY"))


def move_without_evidence(t: Tampered) -> None:
    appended(t)


def evidence_of_no_rank(t: Tampered) -> None:
    def change(records: list[dict[str, Any]]) -> None:
        left = next(r for r in records if r["kind"] == "phase.transition" and r["phase"]["from"] == "PLAN")
        next(a for a in left["artifacts"] if a["name"] == "accept_base.json")["origin"] = "asserted"

    unsign(t)
    t.rewrite(change)


def unsign(t: Tampered) -> None:
    """Take the checkpoint away, with its line: what is rewritten then shows by what it says alone."""
    note_taken_away(t)

    def change(records: list[dict[str, Any]]) -> None:
        del records[next(i for i, r in enumerate(records) if r["kind"] == "checkpoint.published") :]

    t.rewrite(change)
    marker = t.governed.root / ".git" / "autopilot.id"
    marker.write_text(f"{marker.read_text().split()[0]}\n1\n")


def move_in_another_epoch(t: Tampered) -> None:
    appended(t, artifacts=document(t), epoch=3)


def move_without_a_lease(t: Tampered) -> None:
    appended(t, artifacts=document(t), lease=None)


def move_while_held(t: Tampered) -> None:
    documents = document(t)
    appended(t, kind="task.held", phase=None, lease=None, data={"cause": "loop"})
    appended(t, artifacts=documents)


def move_under_a_stale_fence(t: Tampered) -> None:
    def change(records: list[dict[str, Any]]) -> None:
        left = next(r for r in records if r["kind"] == "phase.transition" and r["phase"]["from"] == "PLAN")
        left["lease"]["fence"] -= 1

    unsign(t)
    t.rewrite(change)


def unfounded_approval(t: Tampered) -> None:
    appended(t, artifacts=document(t), data={"approvals": ["a" * 64]})


def approval_by_the_worker(t: Tampered) -> None:
    ask_and_grant(t, AGENT)


def ask_and_grant(t: Tampered, approver: Caller) -> str:
    t.governed.reopen()
    ledger, epoch = t.governed.workspace.ledger.ledger_id, t.governed.task.epoch
    t.governed.workspace.close()
    subject = Subject(
        ledger=ledger, task=TASK, epoch=epoch, move="THINK->IMPLEMENT", kind="high_impact", digest="b" * 64
    )
    asked = {
        "subject": subject.sha256,
        "kind": subject.kind,
        "move": subject.move,
        "digest": subject.digest,
        "why": "?",
    }
    appended(t, kind="approval.requested", phase=None, lease=None, data={"requests": [asked]})
    grant = {
        "subject": subject.as_dict(),
        "subject_sha256": subject.sha256,
        "reason": "looked",
        "granted_at": "2026-11-21T03:22:55.000001Z",
        "expires_at": "2026-11-22T03:22:55.000001Z",
        "nonce": "0" * 32,
        "advisory": True,
    }
    appended(t, kind="approval.granted", caller=approver, phase=None, lease=None, data=grant)
    return subject.sha256


def approval_used_twice(t: Tampered) -> None:
    documents, subject = document(t), ask_and_grant(t, Caller("ada", "human", "tty-1"))
    appended(t, artifacts=documents, data={"approvals": [subject, subject]})


def lease_log_edited(t: Tampered) -> None:
    path = StorePaths(t.state).leases
    path.write_bytes(path.read_bytes().replace(b'"kind":"grant"', b'"kind":"Grant"', 1))


def log_of(t: Tampered) -> LeaseLog:
    paths = StorePaths(t.state)
    ledger = json.loads(paths.identity.read_bytes())["ledger"]
    log = LeaseLog(DiskFiles(), LogPlace(paths.leases, paths.quarantine, ledger))
    log.catch_up()
    return log


def lease_log_cut(t: Tampered) -> None:
    StorePaths(t.state).leases.write_bytes(b"")


def handover_lost_in_a_crash(t: Tampered) -> None:
    path = StorePaths(t.state).leases
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-2]))


def granted(t: Tampered, how: str, *, mirrored: bool) -> None:
    """A grant that no caller asked for: in the lease log alone, or as the store writes it."""
    log = log_of(t)
    now = Moment(10**12, "boot")
    lease = Lease(
        resource=f"{TASK}/THINK",
        fence=log.book.fence_high(TASK) + 1,
        holder=Holder(AGENT),
        token_sha256="0" * 64,
        boot=now.boot_id,
        granted_ns=now.boot_ns,
        since_ns=now.boot_ns,
        deadline_ns=now.boot_ns + 10**12,
        renewed_ns=now.boot_ns,
    )
    held = log.book.held(TASK)
    if held is not None:
        log.append(Release(held.resource, held.fence, AGENT, now, "move"), sync=False)
    if not mirrored:
        log.append(Grant(lease, how), sync=True)  # type: ignore[arg-type]
        log.close()
        return
    log.close()
    t.governed.reopen()
    with t.governed.workspace.ledger.transaction() as tx:
        tx.record_lease(Grant(lease, how))  # type: ignore[arg-type]
        tx.append(Draft(kind="decision", caller=AGENT, data={"subject": "s", "outcome": "o", "reason": "r"}))
    t.governed.workspace.close()


def made_up_handover(t: Tampered) -> None:
    granted(t, "move", mirrored=False)


def grant_not_repeated_yet(t: Tampered) -> None:
    granted(t, "caller", mirrored=False)


def grant_of_an_ended_task(t: Tampered) -> None:
    t.governed.reopen()
    t.governed.workspace.tasks.abandon(TASK, reason="no longer wanted", caller=Caller("ada", "human", "tty-1"))
    t.governed.workspace.close()
    granted(t, "caller", mirrored=True)


def repeated_otherwise(t: Tampered) -> None:
    def change(records: list[dict[str, Any]]) -> None:
        line = next(record for record in records if record["kind"] == "lease.granted")
        line["actor"]["id"] = "somebody-else"

    unsign(t)
    t.rewrite(change)


def repetition_taken_out(t: Tampered) -> None:
    def change(records: list[dict[str, Any]]) -> None:
        line = next(record for record in records if record["kind"] == "lease.released")
        line["kind"], line["data"] = "decision", {"subject": "s", "outcome": "o", "reason": "r"}

    t.governed.reopen()
    t.governed.workspace.leases.acquire(TASK, caller=AGENT)
    t.governed.workspace.leases.release(TASK, caller=AGENT)
    t.governed.workspace.leases.acquire(TASK, caller=AGENT)
    t.governed.workspace.close()
    t.rewrite(change)


def fence_that_falls(t: Tampered) -> None:
    def change(records: list[dict[str, Any]]) -> None:
        left = next(r for r in records if r["kind"] == "phase.transition" and r["phase"]["from"] == "PLAN")
        left["data"]["handover"]["fence"] -= 1

    unsign(t)
    t.rewrite(change)


def object_gone(t: Tampered) -> None:
    t.object("phase.transition").unlink()


def object_edited(t: Tampered) -> None:
    path = t.object("phase.transition")
    path.chmod(0o644)
    path.write_bytes(b"edited")


def sealed_file_edited(t: Tampered) -> None:
    t.governed.evidence(Phase.SPEC, "spec.md").write_text("# Spec\n")


def engine_file_edited(t: Tampered) -> None:
    t.governed.evidence(Phase.PLAN, "accept_base.json").write_text("{}")


def engine_file_made_up(t: Tampered) -> None:
    path = t.governed.evidence(Phase.VERIFY, "test_results.json")
    path.parent.mkdir(parents=True)
    path.write_text("{}")


def retired_file_made_up(t: Tampered) -> None:
    path = t.state / "evidence" / TASK / ".superseded" / "0" / "verify" / "test_results.json"
    path.parent.mkdir(parents=True)
    path.write_text("{}")


def file_gone(t: Tampered) -> None:
    t.governed.evidence(Phase.SPEC, "spec.md").unlink()


def file_a_link(t: Tampered) -> None:
    path = t.governed.evidence(Phase.SPEC, "spec.md")
    path.rename(path.with_name("other.md"))
    path.symlink_to("other.md")


def draft_edited(t: Tampered) -> None:
    t.governed.reopen()
    t.governed.agent.prepare(Phase.THINK)
    path = t.governed.evidence(Phase.THINK, "edge_cases.md")
    t.governed.workspace.evidence.add(TASK, path, caller=AGENT)
    t.governed.workspace.close()
    path.write_text(path.read_text() + "\nOne more thought.\n")


def journal(t: Tampered) -> Path:
    return t.state / "journal" / f"{TASK}.jsonl"


def journal_edited(t: Tampered) -> None:
    journal(t).write_bytes(journal(t).read_bytes().replace(b'"summary":"', b'"summary":"All is well. ', 1))


def journal_cut(t: Tampered) -> None:
    journal(t).write_bytes(b"".join(journal(t).read_bytes().splitlines(keepends=True)[:-1]))


def journal_of_another_move(t: Tampered) -> None:
    def change(records: list[dict[str, Any]]) -> None:
        moves = [record for record in records if record["kind"] == "phase.transition"]
        moves[1]["data"]["journal"] = moves[0]["data"]["journal"]

    unsign(t)
    t.rewrite(change)


def telemetry_garbled(t: Tampered) -> None:
    with (t.state / "telemetry" / "metrics.jsonl").open("ab") as file:
        file.write(b"not a line of ours\n")


def telemetry_gone(t: Tampered) -> None:
    (t.state / "telemetry" / "traces.jsonl").write_bytes(b"")


def telemetry_made_up(t: Tampered) -> None:
    path = t.state / "telemetry" / "traces.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    moved = next(line for line in reversed(lines) if b"agent.state.transition" in line and b"admitted" in line)
    with path.open("ab") as file:
        file.write(re.sub(rb'("autopilot.ledger.seq","value":\{"intValue":)"\d+"', rb'\1"99999"', moved))


UNTRACED = ("minor", "telemetry_behind", "telemetry")
"""A move that the enforcer did not make has no span either."""
UNRECORDED = ("critical", "handover_unrecorded", "leases")
"""The lease log still says what was handed on, under both fences."""


@dataclass(frozen=True)
class Fault:
    """What is planted, and what must be found: all of it."""

    plant: Callable[[Tampered], None]
    finding: tuple[str, str, str]
    also: tuple[tuple[str, str, str], ...] = ()


FAULTS = (
    Fault(flip_a_line, ("critical", "bad_hash", "ledger")),
    Fault(torn_tail, ("critical", "torn_tail", "ledger")),
    Fault(other_marker, ("critical", "marker_unlike_ledger", "identity")),
    Fault(no_marker, ("minor", "marker_missing", "identity")),
    Fault(other_settings, ("critical", "ledger_unlike_settings", "identity")),
    Fault(a_link_in_the_state, ("critical", "state_linked", "identity")),
    Fault(unsigned_note, ("critical", "unsigned", "checkpoints")),
    Fault(note_taken_away, ("minor", "checkpoint_missing", "checkpoints")),
    Fault(rewritten_ledger, ("critical", "rewritten", "checkpoints")),
    Fault(false_root, ("critical", "checkpoint_unlike_line", "checkpoints")),
    Fault(skipped_phase, ("critical", "out_of_sequence", "process"), (UNTRACED,)),
    Fault(move_without_evidence, ("critical", "evidence_missing", "process"), (UNTRACED,)),
    Fault(evidence_of_no_rank, ("critical", "evidence_rank", "process")),
    Fault(move_in_another_epoch, ("critical", "epoch_unlike_moves", "process"), (UNTRACED,)),
    Fault(move_without_a_lease, ("critical", "move_without_lease", "process"), (UNTRACED,)),
    Fault(move_while_held, ("critical", "moved_while_held", "process"), (UNTRACED,)),
    Fault(move_under_a_stale_fence, ("critical", "stale_fence", "process")),
    Fault(unfounded_approval, ("critical", "approval_unfounded", "process"), (UNTRACED,)),
    Fault(approval_by_the_worker, ("critical", "approval_unfounded", "process")),
    Fault(approval_used_twice, ("critical", "approval_used", "process"), (UNTRACED,)),
    Fault(lease_log_edited, ("critical", "lease_log_corrupt", "leases")),
    Fault(lease_log_cut, ("critical", "lease_log_behind", "leases")),
    Fault(handover_lost_in_a_crash, ("minor", "handover_pending", "leases")),
    Fault(made_up_handover, ("critical", "handover_unrecorded", "leases")),
    Fault(grant_not_repeated_yet, ("minor", "mirror_pending", "leases")),
    Fault(grant_of_an_ended_task, ("major", "lease_of_ended_task", "leases")),
    Fault(repeated_otherwise, ("critical", "mirror_unlike_record", "leases")),
    Fault(repetition_taken_out, ("critical", "mirror_missing", "leases")),
    Fault(fence_that_falls, ("critical", "fence_not_rising", "leases"), 2 * (UNRECORDED,)),
    Fault(object_gone, ("critical", "object_missing", "evidence")),
    Fault(object_edited, ("critical", "evidence_edited", "evidence")),
    Fault(sealed_file_edited, ("major", "sealed_edited", "evidence")),
    Fault(engine_file_edited, ("major", "sealed_edited", "evidence")),
    Fault(engine_file_made_up, ("major", "evidence_forged", "evidence")),
    Fault(retired_file_made_up, ("minor", "superseded_edited", "evidence")),
    Fault(file_gone, ("minor", "file_missing", "evidence")),
    Fault(file_a_link, ("major", "file_unreadable", "evidence")),
    Fault(draft_edited, ("info", "draft_edited", "evidence")),
    Fault(journal_edited, ("major", "journal_edited", "journal")),
    Fault(journal_cut, ("minor", "journal_behind", "journal")),
    Fault(journal_of_another_move, ("critical", "journal_unlike_move", "journal")),
    Fault(telemetry_garbled, ("minor", "telemetry_unreadable", "telemetry")),
    Fault(telemetry_gone, ("minor", "telemetry_behind", "telemetry")),
    Fault(telemetry_made_up, ("minor", "telemetry_ahead", "telemetry")),
)
EXITS = {"critical": 3, "major": 1, "minor": 0, "info": 0}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.plant.__name__)
def test_a_planted_fault_is_found_and_nothing_else(thinking: Tampered, fault: Fault) -> None:
    fault.plant(thinking)
    code, found = thinking.audited()
    assert (code, sorted(found)) == (EXITS[fault.finding[0]], sorted([fault.finding, *fault.also]))
    # With its check taken out nobody else finds it.
    assert fault.finding not in thinking.found_without(fault.finding[2])


def test_every_check_has_a_planted_fault() -> None:
    assert {fault.finding[2] for fault in FAULTS} == set(CHECKS)


def test_a_state_that_the_lines_do_not_add_up_to(thinking: Tampered) -> None:
    thinking.governed.reopen()
    store = thinking.governed.workspace.ledger
    lines = SEGMENT_ENTRIES - store.view().head.seq
    with store.transaction() as tx:
        for _ in range(lines):
            tx.append(Draft(kind="decision", caller=AGENT, data={"subject": "s", "outcome": "o"}), sync=False)
        tx.append(Draft(kind="decision", caller=AGENT, data={"subject": "s", "outcome": "o"}))
    thinking.governed.workspace.close()
    assert thinking.audited() == (0, [])
    fold = ProcessFold()

    def change(records: list[dict[str, Any]]) -> None:
        data = records[0]["data"]
        state = fold.load(thinking.governed.object(data["state"]["sha256"]).read_bytes())
        state.tasks[TASK] = replace(state.tasks[TASK], stage="PR")
        dump = fold.dump(state)
        path = thinking.governed.object(sha256_hex(dump))
        path.write_bytes(dump)
        data["state"] = {"sha256": sha256_hex(dump), "bytes": len(dump)}

    thinking.rewrite(change, first=SEGMENT_ENTRIES)
    assert thinking.repo.quick("ledger", "verify").code == 0
    assert thinking.audited() == (3, [("critical", "state_unlike_fold", "ledger")])


# --- how it answers


def test_the_object_is_the_one_that_the_reference_describes(thinking: Tampered) -> None:
    sealed_file_edited(thinking)
    shown = thinking.repo.quick("audit", "--json").json
    jsonschema.validate(shown, json.loads(SCHEMA.read_text()))
    assert [finding["where"] for finding in shown["findings"]] == ["evidence/T-1/spec/spec.md"]


def test_findings_about_other_tasks_are_left_out_where_one_is_named(thinking: Tampered) -> None:
    thinking.repo.quick("task", "open", "T-2", "--title", "Round prices in the shop to full cents", check=0)
    sealed_file_edited(thinking)
    assert thinking.audited("--task", "T-2") == (0, [])
    assert thinking.audited("--task", TASK)[0] == 1
    assert thinking.repo.quick("audit", "--json", "--task", "T-9").codes == ["unknown_task"]


def test_what_rests_on_a_broken_ledger_is_not_judged(thinking: Tampered) -> None:
    flip_a_line(thinking)
    shown = thinking.repo.quick("audit", "--json").json
    status = {check["name"]: check["status"] for check in shown["checks"]}
    assert status["ledger"] == "findings"
    assert status["identity"] == "passed"
    assert {status[name] for name in CHECKS if name not in ("ledger", "identity")} == {"skipped"}


def test_for_people_and_as_a_page(thinking: Tampered, tmp_path: Path) -> None:
    sealed_file_edited(thinking)
    page = tmp_path / "audit.md"
    result = thinking.repo.quick("audit", "--markdown", str(page))
    assert result.code == 1
    assert "failed: 0 critical, 1 major, 0 minor, 0 info" in result.out
    assert result.err.endswith("next: autopilot status\n")
    text = page.read_text()
    assert text.startswith("# Integrity audit: failed\n")
    assert "### major: sealed_edited" in text
    # A report is evidence: it is not written over.
    assert thinking.repo.quick("audit", "--json", "--markdown", str(page)).codes == ["target_exists"]


def test_an_agent_may_not_run_it(thinking: Tampered) -> None:
    result = thinking.repo.quick("guard", "check", "--tool", "Bash", "--input", '{"command": "autopilot audit"}')
    assert result.code == 1
