"""Each rule of the process, on lines made by hand: what it finds, and that no other rule finds it in its place."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest

from autopilot.approvals.grants import DEFAULT_LIFETIME, Parties, Terms, issue_grant
from autopilot.approvals.signatures import sign_grant, signer
from autopilot.approvals.subjects import Subject
from autopilot.audit import rules
from autopilot.audit.rules import LEASE_RULES, PROCESS_RULES
from autopilot.audit.trail import Rule, Trail, follow
from autopilot.kernel.callers import Caller
from autopilot.kernel.phases import PHASES, Phase, Terminal
from autopilot.ledger.chain import START, Head, compose
from autopilot.ledger.entry import ArtifactRef, Draft, LeaseRef, LedgerEntry
from autopilot.process.graph import Move, check_sequence
from autopilot.process.profiles import CODE_CHANGE
from autopilot.signing.note import SigningKey

AGENT, PERSON = Caller("agent-7", "agent", "s-1"), Caller("ada", "human", "tty-1")
LEDGER, TASK = "0" * 32, "T-1"
ALL = (*PROCESS_RULES, *LEASE_RULES)
SUBJECT = Subject(ledger=LEDGER, task=TASK, epoch=0, move="STRATEGIZE->SPEC", kind="high_impact", digest="b" * 64)
_TS = "2026-11-21T03:22:55.000001Z"
NOW = datetime.fromisoformat(_TS)
ADA, BEN = SigningKey("ada", bytes(range(32))), SigningKey("ben", bytes(range(1, 33)))


class Lines:
    """Lines of one ledger, well chained whatever they say. The fence is that of the last grant."""

    def __init__(self) -> None:
        self.entries: list[LedgerEntry] = []
        self.fence = 0
        self.records = 0
        self.ts = _TS
        self.add("task.opened", lease=None, data={"profile": "code-change"}, epoch=0)
        self.grant()

    def add(self, kind: str, **draft: Any) -> None:
        """One line of T-1, under the current fence unless told otherwise."""
        head = Head(self.entries[-1].seq, self.entries[-1].hash) if self.entries else START
        made = {"caller": AGENT, "task": TASK, "epoch": 0, "lease": self.lease(), **draft}
        entry, _ = compose(head, LEDGER, Draft(kind=kind, **made), self.ts)
        self.entries.append(entry)

    def lease(self, fence: int | None = None) -> LeaseRef:
        """The lease as lines name it."""
        return LeaseRef(f"{TASK}/PHASE", self.fence if fence is None else fence)

    def grant(self, fence: int | None = None) -> None:
        """A grant, of the next fence."""
        self.fence = self.fence + 1 if fence is None else fence
        self.records += 1
        self.add("lease.granted", data={"wal_seq": self.records})

    def move(self, origin: str, target: str, *, artifacts: tuple[ArtifactRef, ...] | None = None, **more: Any) -> None:
        """A forward move with all that the phase asks for."""
        brought = evidence(Phase(origin)) if artifacts is None else artifacts
        data = {"approvals": more.pop("approvals", []), "handover": more.pop("handover", None)}
        self.add("phase.transition", phase=(origin, target), artifacts=brought, data=data, **more)

    def back(self, origin: str, target: str, *, epoch: int) -> None:
        """A backtrack."""
        self.add("phase.backtrack", phase=(origin, target), epoch=epoch, data={"reason": "why", "handover": None})

    def ask(self, subject: Subject = SUBJECT) -> None:
        """A request for approval."""
        asked = {"subject": subject.sha256, "kind": subject.kind, "move": subject.move, "digest": subject.digest}
        self.add("approval.requested", data={"requests": [asked]})

    def approve(self, caller: Caller = PERSON, subject: Subject = SUBJECT, **changed: Any) -> None:
        """A grant of it."""
        data = {"subject": subject.as_dict(), "subject_sha256": subject.sha256, "reason": "looked", **changed}
        self.add("approval.granted", caller=caller, lease=None, data=data)

    def found(self, without: Rule | None = None) -> list[tuple[str, int | None]]:
        """Code and line of what the rules find."""
        asked: Sequence[Rule] = [rule for rule in ALL if rule is not without]
        return [(finding.code, finding.seq) for finding in self.trail(asked).findings]

    def trail(self, asked: Sequence[Rule] = ALL) -> Trail:
        """The trail."""
        return follow(self.entries, asked)


def evidence(phase: Phase) -> tuple[ArtifactRef, ...]:
    """What the phase's contract demands, of its rank."""
    demanded = CODE_CHANGE.contract(phase).artifacts
    return tuple(ArtifactRef(one.name, "c" * 64, 1, one.media_type, one.origin) for one in demanded)


def skipped(lines: Lines) -> None:
    lines.move("STRATEGIZE", "PLAN")


def from_elsewhere(lines: Lines) -> None:
    lines.move("SPEC", "PLAN")


def back_to_the_same(lines: Lines) -> None:
    lines.back("STRATEGIZE", "STRATEGIZE", epoch=1)


def closed_early(lines: Lines) -> None:
    data = {"outcome": "CLOSED", "handover": None}
    lines.add("task.closed", phase=("STRATEGIZE", "CLOSED"), artifacts=evidence(Phase.STRATEGIZE), data=data)


def of_another_epoch(lines: Lines) -> None:
    lines.move("STRATEGIZE", "SPEC", epoch=1)


def epoch_left_out(lines: Lines) -> None:
    lines.move("STRATEGIZE", "SPEC")
    lines.back("SPEC", "STRATEGIZE", epoch=2)


def never_opened(lines: Lines) -> None:
    lines.add("task.held", task="T-9", lease=None, data={"cause": "loop"})


def after_its_end(lines: Lines) -> None:
    data = {"outcome": "ABANDONED", "reason": "why"}
    lines.add("task.closed", phase=("STRATEGIZE", "ABANDONED"), lease=None, data=data)
    lines.move("STRATEGIZE", "SPEC")


def while_held(lines: Lines) -> None:
    lines.add("task.held", lease=None, data={"cause": "loop"})
    lines.move("STRATEGIZE", "SPEC")


def stale(lines: Lines) -> None:
    lines.grant()
    lines.move("STRATEGIZE", "SPEC", lease=lines.lease(1))


def made_up_fence(lines: Lines) -> None:
    lines.move("STRATEGIZE", "SPEC", lease=lines.lease(9))


def unleased(lines: Lines) -> None:
    lines.move("STRATEGIZE", "SPEC", lease=None)


def empty_handed(lines: Lines) -> None:
    lines.move("STRATEGIZE", "SPEC", artifacts=())


def retired_evidence(lines: Lines) -> None:
    lines.move("STRATEGIZE", "SPEC")
    lines.back("SPEC", "STRATEGIZE", epoch=1)
    lines.move("STRATEGIZE", "SPEC", artifacts=(), epoch=1)


def handed_in(lines: Lines) -> None:
    for phase in PHASES[:2]:
        lines.move(str(phase), str(phase.following))
    asserted = tuple(ArtifactRef(ref.name, ref.sha256, 1, ref.media_type, "asserted") for ref in evidence(Phase.PLAN))
    lines.move("PLAN", "THINK", artifacts=asserted)


def ungranted(lines: Lines) -> None:
    lines.ask()
    lines.move("STRATEGIZE", "SPEC", approvals=[SUBJECT.sha256])


def granted_by_an_agent(lines: Lines) -> None:
    lines.ask()
    lines.approve(Caller("agent-8", "agent", "s-8"))


def granted_by_who_asked(lines: Lines) -> None:
    lines.ask()
    lines.approve(Caller("agent-7", "human", "tty-9"))


def granted_unasked(lines: Lines) -> None:
    lines.approve()


def granted_for_another_thing(lines: Lines) -> None:
    asked = {"subject": "d" * 64, "kind": SUBJECT.kind, "move": SUBJECT.move, "digest": SUBJECT.digest}
    lines.add("approval.requested", data={"requests": [asked]})
    lines.approve(subject_sha256="d" * 64)


def granted_for_another_move(lines: Lines) -> None:
    other = Subject(**{**SUBJECT.as_dict(), "move": "SPEC->PLAN"})
    lines.ask(other)
    lines.approve(subject=other)
    lines.move("STRATEGIZE", "SPEC", approvals=[other.sha256])


def granted_before_a_backtrack(lines: Lines) -> None:
    lines.move("STRATEGIZE", "SPEC")
    lines.ask()
    lines.approve()
    lines.back("SPEC", "STRATEGIZE", epoch=1)
    lines.move("STRATEGIZE", "SPEC", epoch=1, approvals=[SUBJECT.sha256])


def used_twice(lines: Lines) -> None:
    lines.ask()
    lines.approve()
    lines.move("STRATEGIZE", "SPEC", approvals=[SUBJECT.sha256])
    lines.move("SPEC", "PLAN", approvals=[SUBJECT.sha256])


def fence_given_twice(lines: Lines) -> None:
    lines.grant(1)


def handed_on_under_the_same_fence(lines: Lines) -> None:
    lines.move("STRATEGIZE", "SPEC", handover={"resource": f"{TASK}/SPEC", "fence": 1})


def granted_after_the_end(lines: Lines) -> None:
    data = {"outcome": "ABANDONED", "reason": "why"}
    lines.add("task.closed", phase=("STRATEGIZE", "ABANDONED"), lease=None, data=data)
    lines.grant()


def signed(lines: Lines, by: SigningKey = ADA, subject: Subject = SUBJECT, **changed: Any) -> None:
    """A grant that `by` signed, as an agent brings it in; `changed` afterwards."""
    terms = Terms(now=NOW, nonce="a" * 32, evidence="e" * 64, lifetime=changed.pop("lifetime", DEFAULT_LIFETIME))
    grant = sign_grant(issue_grant(subject, signer(by.verifier.name), "looked", Parties(AGENT), terms), by)
    lines.add("approval.granted", caller=Caller("agent-8", "agent", "s-8"), lease=None, data=grant.as_data() | changed)


def sealed(lines: Lines, *keys: SigningKey, word: str = "required", grant: Any = None) -> None:
    """Who may sign from here on."""
    approvals = {"signed": word, "approvers": [key.verifier.encode() for key in keys]}
    data = {"sha256": "5" * 64, "approvals": approvals, "grant": grant}
    lines.add("config.sealed", caller=PERSON, task=None, lease=None, epoch=None, data=data)


def unsigned_where_it_must_be(lines: Lines) -> None:
    sealed(lines, ADA)
    lines.ask()
    lines.approve()


def unsigned_from_before(lines: Lines) -> None:
    lines.ask()
    lines.approve()
    sealed(lines, ADA)
    lines.move("STRATEGIZE", "SPEC", approvals=[SUBJECT.sha256])


def signed_by_a_stranger(lines: Lines) -> None:
    sealed(lines, ADA)
    lines.ask()
    signed(lines, BEN)


def signed_under_a_registered_name(lines: Lines) -> None:
    sealed(lines, ADA)
    lines.ask()
    signed(lines, SigningKey("ada", bytes(32)), key=ADA.id)


def changed_after_it_was_signed(lines: Lines) -> None:
    sealed(lines, ADA)
    lines.ask()
    signed(lines, reason="looked twice")


def taken_out_before_its_use(lines: Lines) -> None:
    sealed(lines, ADA, BEN)
    lines.ask()
    signed(lines)
    sealed(lines, BEN)
    lines.move("STRATEGIZE", "SPEC", approvals=[SUBJECT.sha256])


def used_after_its_end(lines: Lines) -> None:
    sealed(lines, ADA)
    lines.ask()
    signed(lines)
    lines.ts = "2026-11-22T03:25:00.000000Z"
    lines.move("STRATEGIZE", "SPEC", approvals=[SUBJECT.sha256])


def brought_after_its_end(lines: Lines) -> None:
    sealed(lines, ADA)
    lines.ask()
    lines.ts = "2026-11-22T03:25:00.000000Z"
    signed(lines)


def brought_twice(lines: Lines) -> None:
    sealed(lines, ADA)
    lines.ask()
    signed(lines)
    lines.add("approval.refused", caller=PERSON, lease=None, data={"subject_sha256": SUBJECT.sha256, "reason": "no"})
    lines.ask()
    signed(lines)


def an_approver_added_by_nobody(lines: Lines) -> None:
    sealed(lines, ADA)
    sealed(lines, ADA, BEN)


def lowered_by_nobody(lines: Lines) -> None:
    sealed(lines, ADA)
    sealed(lines, ADA, word="optional")


def an_approver_added_by_himself(lines: Lines) -> None:
    sealed(lines, ADA)
    sealed(lines, ADA, BEN, grant=seal_grant(BEN))


def an_approver_added_for_another_file(lines: Lines) -> None:
    sealed(lines, ADA)
    sealed(lines, ADA, BEN, grant=seal_grant(ADA, "6" * 64))


def seal_grant(key: SigningKey, digest: str = "5" * 64) -> dict[str, Any]:
    """A signed approval of a configuration."""
    subject = Subject(ledger=LEDGER, task="", epoch=0, move="", kind="config_changed", digest=digest)
    terms = Terms(now=NOW, nonce="b" * 32, evidence="e" * 64)
    return sign_grant(issue_grant(subject, signer(key.verifier.name), "seal", Parties(AGENT), terms), key).as_data()


CASES = (
    (skipped, "out_of_sequence", rules.check_order),
    (from_elsewhere, "out_of_sequence", rules.check_order),
    (back_to_the_same, "out_of_sequence", rules.check_order),
    (closed_early, "out_of_sequence", rules.check_order),
    (of_another_epoch, "epoch_unlike_moves", rules.check_epoch),
    (epoch_left_out, "epoch_unlike_moves", rules.check_epoch),
    (never_opened, "unknown_task", rules.check_life),
    (after_its_end, "moved_after_end", rules.check_life),
    (while_held, "moved_while_held", rules.check_life),
    (stale, "stale_fence", rules.check_fence),
    (made_up_fence, "stale_fence", rules.check_fence),
    (unleased, "move_without_lease", rules.check_fence),
    (empty_handed, "evidence_missing", rules.check_evidence),
    (retired_evidence, "evidence_missing", rules.check_evidence),
    (ungranted, "approval_unfounded", rules.check_approvals),
    (granted_by_an_agent, "approval_unfounded", rules.check_approvals),
    (granted_by_who_asked, "approval_unfounded", rules.check_approvals),
    (granted_unasked, "approval_unfounded", rules.check_approvals),
    (granted_for_another_thing, "approval_unfounded", rules.check_approvals),
    (granted_for_another_move, "approval_unfounded", rules.check_approvals),
    (granted_before_a_backtrack, "approval_unfounded", rules.check_approvals),
    (used_twice, "approval_used", rules.check_approvals),
    (unsigned_where_it_must_be, "approval_unsigned", rules.check_signatures),
    (unsigned_from_before, "approval_unsigned", rules.check_signatures),
    (signed_by_a_stranger, "approval_forged", rules.check_signatures),
    (signed_under_a_registered_name, "approval_forged", rules.check_signatures),
    (changed_after_it_was_signed, "approval_forged", rules.check_signatures),
    (taken_out_before_its_use, "approval_forged", rules.check_signatures),
    (used_after_its_end, "approval_late", rules.check_signatures),
    (brought_after_its_end, "approval_late", rules.check_signatures),
    (brought_twice, "approval_used", rules.check_signatures),
    (an_approver_added_by_nobody, "approval_unsigned", rules.check_signatures),
    (lowered_by_nobody, "approval_unsigned", rules.check_signatures),
    (an_approver_added_by_himself, "approval_forged", rules.check_signatures),
    (an_approver_added_for_another_file, "approval_forged", rules.check_signatures),
    (fence_given_twice, "fence_not_rising", rules.check_grants),
    (handed_on_under_the_same_fence, "fence_not_rising", rules.check_grants),
    (granted_after_the_end, "lease_of_ended_task", rules.check_grants),
)


@pytest.mark.parametrize(("plant", "code", "rule"), CASES, ids=[case[0].__name__ for case in CASES])
def test_a_rule_finds_its_fault_at_its_line_and_no_other_does(plant: Any, code: str, rule: Rule) -> None:
    lines = Lines()
    plant(lines)
    assert lines.found() == [(code, lines.entries[-1].seq)]
    assert lines.found(without=rule) == []


def test_every_rule_has_a_case() -> None:
    assert {case[2] for case in CASES} == set(ALL)


def test_a_signed_approval_holds_offline() -> None:
    lines = Lines()
    sealed(lines, ADA)
    lines.ask()
    signed(lines)
    lines.move("STRATEGIZE", "SPEC", approvals=[SUBJECT.sha256])
    sealed(lines, ADA, BEN, grant=seal_grant(ADA))
    sealed(lines, BEN)
    assert lines.found() == []


def test_what_a_line_says_of_signers_and_is_not_understood_closes() -> None:
    lines = Lines()
    for broken in ({"signed": "optional"}, {"signed": "optional", "approvers": ["ada"]}, "all"):
        data = {"sha256": "5" * 64, "approvals": broken, "grant": None}
        lines.add("config.sealed", caller=PERSON, task=None, lease=None, epoch=None, data=data)
        assert lines.trail().signers.required, broken


def test_evidence_of_too_low_a_rank() -> None:
    lines = Lines()
    handed_in(lines)
    # Two of PLAN's artifacts are the engine's.
    assert lines.found() == 2 * [("evidence_rank", lines.entries[-1].seq)]
    assert lines.found(without=rules.check_evidence) == []


def test_an_honest_task_from_its_opening_to_its_end() -> None:
    lines = Lines()
    for phase in PHASES[:4]:
        lines.move(str(phase), str(phase.following), handover={"resource": f"{TASK}/X", "fence": lines.fence + 1})
        lines.fence += 1
    lines.back("IMPLEMENT", "PLAN", epoch=1)
    for phase in PHASES[2:8]:
        lines.move(str(phase), str(phase.following), epoch=1)
    data = {"outcome": "CLOSED", "handover": None}
    ending = {"phase": ("MONITOR", "CLOSED"), "artifacts": evidence(Phase.MONITOR), "epoch": 1, "data": data}
    lines.add("task.closed", **ending)
    assert lines.found() == []
    task = lines.trail().tasks[TASK]
    assert (task.stage, task.epoch, task.ended) == ("CLOSED", 1, True)


def test_the_moves_it_allows_are_those_of_the_graph() -> None:
    # Not taken from the graph, and yet the same: a change of either shows here.
    for origin in PHASES:
        for target in (*PHASES, *Terminal):
            for kind, line in _LINES_OF[type(target)] if target is not Terminal.ABANDONED else _ABANDONING:
                lines = Lines()
                data = {"outcome": str(target), "handover": None, "reason": ""}
                lines.add(line, phase=(str(origin), str(target)), data=data)
                legal = check_sequence(Move(kind, origin, target)) is None  # type: ignore[arg-type]
                assert rules._is_a_move(lines.entries[-1]) is legal, (kind, origin, target)


_LINES_OF: dict[type, tuple[tuple[str, str], ...]] = {
    Phase: (("forward", "phase.transition"), ("backtrack", "phase.backtrack")),
    Terminal: (("forward", "task.closed"),),
}
_ABANDONING = (("abandon", "task.closed"), ("forward", "phase.transition"))


def test_what_a_person_switched_off_is_no_fault() -> None:
    lines = Lines()
    for flag in ("evidence_gate", "leases"):
        data = {"flag": flag, "from": "enforce", "to": "observe", "reason": "an outage"}
        lines.add("flag.changed", caller=PERSON, task=None, lease=None, data=data)
    lines.move("STRATEGIZE", "SPEC", artifacts=(), lease=None)
    assert lines.found() == []


def test_fences_that_a_repair_took_away_are_not_held_against_the_lines_after_it() -> None:
    lines = Lines()
    data = {"log": "ledger", "cause": "repair", "reason": "disk", "dropped": [], "dropped_entries": 2}
    lines.add("ledger.recovered", task=None, lease=None, data=data)
    lines.move("STRATEGIZE", "SPEC", lease=lines.lease(3))
    assert lines.found() == []


def test_a_profile_of_another_version_is_told() -> None:
    lines = Lines()
    lines.entries.clear()
    lines.fence = 0
    lines.add("task.opened", lease=None, data={"profile": "of-tomorrow"})
    lines.grant()
    lines.move("STRATEGIZE", "SPEC", artifacts=())
    assert lines.found() == [("profile_unknown", 2)]


def test_a_line_that_lacks_what_its_kind_has_is_told_and_the_rest_is_read() -> None:
    lines = Lines()
    lines.add("approval.granted", caller=PERSON, lease=None, data={})
    lines.move("STRATEGIZE", "PLAN")
    assert [code for code, _ in lines.found()] == ["approval_unfounded", "fold_failed", "out_of_sequence"]
