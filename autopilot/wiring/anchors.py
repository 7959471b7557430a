"""A ledger held against the anchors that commits carry, and an anchor put into a message.

    found = verify_anchored(Commits(repository, "origin/main..HEAD"), LedgerFiles(place, floor, given))

Answers beside those of `ledger.anchoring`, none of them `intact`: `unanchored` where no commit of the range anchors
this ledger, and `uncovered` where the last commit's anchor leaves out what the ledger says of phases. Lines behind the
last anchor can be cut unseen, which is why CI asks for the latter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from autopilot.kernel.errors import IntegrityError
from autopilot.ledger.anchoring import Held
from autopilot.ledger.trailers import read_trailers
from autopilot.ledger.verify import corrupt
from autopilot.signing.checkpoint import Checkpoint
from autopilot.vcs.history import Commit, commits_in
from autopilot.vcs.repository import Repository
from autopilot.wiring.checkpoints import Verified
from autopilot.wiring.ledgers import AskedLedger

SHORT_ID = 12
# They say nothing of a phase, and the checkpoint's own line stands behind what it covers. A cut that takes these and
# nothing else takes nothing away.
BEHIND_AN_ANCHOR = frozenset(
    {"checkpoint.published", "segment.opened", "lease.granted", "lease.released", "lease.expired"}
)

Status = Literal["intact", "corrupt", "unanchored", "uncovered"]


@dataclass(frozen=True, slots=True)
class Commits:
    """A repository, and which of its commits."""

    repository: Repository
    span: str


@dataclass(frozen=True, slots=True)
class Anchor:
    """A checkpoint that a commit names."""

    commit: str
    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True)
class AnchoredReport:
    """What the anchors of a range say: `status`, `reason` where it is not intact, and what was found.

    `others` are anchors of other ledgers; they are told, and say nothing of this one.
    """

    status: Status
    reason: str | None
    detail: str
    verified: Verified
    span: str
    commits: int
    anchors: tuple[Anchor, ...]
    others: tuple[Anchor, ...]

    def as_dict(self) -> dict[str, Any]:
        """The object that `ledger verify --anchors --json` prints."""
        newest = max((one.checkpoint.size for one in self.anchors), default=None)
        shown = {
            "range": self.span,
            "commits": self.commits,
            "found": len(self.anchors),
            "newest": newest,
            "others": sorted({one.checkpoint.origin for one in self.others}),
            "detail": self.detail,
        }
        return {**self.verified.report.as_dict(), "status": self.status, "reason": self.reason, "anchors": shown}


def verify_anchored(chosen: Commits, ledger: AskedLedger, *, covers_head: bool = False) -> AnchoredReport:
    """Check the ledger, then every anchor in the chosen commits against it.

    ContractError `unknown_revision`, `git_object_missing`; IntegrityError `git_object_corrupt`.
    """
    commits, span = commits_in(chosen.repository, chosen.span), chosen.span
    try:
        anchors = tuple(_anchors(commits))
    except IntegrityError as error:
        verified = ledger.verify()
        if verified.report.intact:
            told = corrupt(error.code, verified.report.entries, detail=error.detail, where=error.where)
            verified = Verified(replace(told, entries=verified.report.entries))
        return _report(verified, span, commits)
    origin = ledger.origin()
    own = tuple(one for one in anchors if one.checkpoint.origin == origin)
    verified = ledger.verify(
        tuple(Held(one.checkpoint, f"commit {one.commit[:SHORT_ID]}", vouched="committed") for one in own)
    )
    report = replace(
        _report(verified, span, commits), anchors=own, others=tuple(one for one in anchors if one not in own)
    )
    if not verified.report.intact:
        return report
    if not own:
        return replace(report, status="unanchored", reason="no_anchor", detail=_nothing(report))
    missing = _uncovered(ledger, verified.report.entries, own, commits[0]) if covers_head and commits else ""
    return replace(report, status="uncovered", reason="head_not_covered", detail=missing) if missing else report


def anchors_of(message: bytes, where: str) -> tuple[Held, ...]:
    """The anchors that a message holds already, as checkpoints to be held against the ledger."""
    return tuple(Held(one, where, vouched="committed") for one in read_trailers(message))


def _report(verified: Verified, span: str, commits: tuple[Commit, ...]) -> AnchoredReport:
    report = verified.report
    return AnchoredReport(report.status, report.reason, report.detail, verified, span, len(commits), (), ())


def _anchors(commits: tuple[Commit, ...]) -> Iterator[Anchor]:
    for commit in commits:
        try:
            for checkpoint in read_trailers(commit.message):
                yield Anchor(commit.id, checkpoint)
        except IntegrityError as error:
            raise IntegrityError(error.code, where=f"commit {commit.id[:SHORT_ID]}", detail=error.detail) from None


def _nothing(report: AnchoredReport) -> str:
    origins = sorted({one.checkpoint.origin for one in report.others})
    others = f"; {len(report.others)} anchors are of {', '.join(origins)}" if origins else ""
    return f"{report.commits} commits in {report.span}, none with an anchor of this ledger{others}"


def _uncovered(ledger: AskedLedger, entries: int, anchors: tuple[Anchor, ...], head: Commit) -> str:
    """What the head commit's newest anchor leaves out, or nothing."""
    # A forge merges without the hook; what it merged was made with it.
    merged = head.parents if len(head.parents) > 1 else ()
    sizes = [one.checkpoint.size for one in anchors if one.commit == head.id] or [
        one.checkpoint.size for one in anchors if one.commit in merged
    ]
    if not sizes:
        return f"the last commit, {head.id[:SHORT_ID]}, has no anchor of this ledger"
    kinds = ledger.kinds(max(sizes), entries)
    left_out = [seq for seq, kind in kinds.items() if kind not in BEHIND_AN_ANCHOR]
    if not left_out:
        return ""
    told = f"{len(left_out)} more count, the first is {left_out[0]}, {kinds[left_out[0]]}"
    return f"commit {head.id[:SHORT_ID]} covers {max(sizes)} entries; {told}"
