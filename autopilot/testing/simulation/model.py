"""A small model of the process, made from `design.md` and the reference, and from nothing of the engine's code.

It reads ledger lines in their order and refuses the first that the rules do not allow. The tables are literal: who
changes the process has to change them too.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

from autopilot.testing.simulation.chain import Record, require

PHASES = ["STRATEGIZE", "SPEC", "PLAN", "THINK", "IMPLEMENT", "VERIFY", "REVIEW", "PR", "MONITOR", "CLOSED"]
NEXT = dict(pairwise(PHASES))
REQUIRED: Mapping[str, Mapping[str, str]] = {
    "STRATEGIZE": {"strategy.md": "asserted"},
    "SPEC": {"spec.md": "asserted"},
    "PLAN": {
        "plan.md": "asserted",
        "file_map.json": "asserted",
        "base_inventory.json": "executed",
        "accept_base.json": "executed",
    },
    "THINK": {"edge_cases.md": "asserted"},
    "IMPLEMENT": {"git_diff.patch": "observed", "modified_files.json": "observed"},
    "VERIFY": {
        "test_results.json": "executed",
        "build_output.log": "executed",
        "coverage_report.json": "executed",
        "accept_results.json": "executed",
    },
    "REVIEW": {"review_rubric.json": "asserted", "code_quality_score.json": "executed"},
    "PR": {"pr_url.txt": "asserted", "pr_template_filled.md": "asserted", "ci_results.json": "executed"},
    "MONITOR": {"smoke_test_results.json": "executed", "deployment_status.json": "asserted"},
}
RANK = {"asserted": 0, "observed": 1, "executed": 2}
DRIFT_STOPS = ("VERIFY", "REVIEW", "MONITOR")
# The simulated specs have acceptance commands, which no isolation runs here, and a criterion that a person proves.
APPROVED = {"PLAN": "accept_unisolated", "VERIFY": "criterion_human"}
PERSONS_ONLY = frozenset(
    {"approval.granted", "approval.refused", "task.resumed", "prompt.baseline_changed", "lease.forced"}
)


@dataclass(slots=True)
class Seal:
    """An artifact that a line named."""

    sha256: str
    origin: str
    epoch: int
    tree: str


@dataclass(slots=True)
class TaskModel:
    """One task."""

    base: str
    phase: str = "STRATEGIZE"
    epoch: int = 0
    high: int = 0
    held: bool = False
    judged: str = ""
    entered: dict[str, int] = field(default_factory=lambda: {"STRATEGIZE": 0})
    seals: dict[tuple[str, str], Seal] = field(default_factory=dict)
    requests: dict[str, Record] = field(default_factory=dict)
    grants: dict[str, Record] = field(default_factory=dict)
    prompts: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Baseline and last prompt, by phase."""
    makers: set[str] = field(default_factory=set)
    """The sessions that did the work of IMPLEMENT."""


class ProcessModel:
    """What the ledger says, and whether it may. `session_of` tells whose a fence of a task is, "" if unknown."""

    def __init__(self, objects: Path, session_of: Callable[[str, int], str | None]) -> None:
        self.tasks: dict[str, TaskModel] = {}
        self.moves = 0
        self.left: Counter[str] = Counter()
        self.flags: dict[str, str] = {}
        self._consumed: set[int] = set()
        self._latest = ""
        self._objects = objects
        self._session_of = session_of

    def take(self, record: Record, *, calm: bool) -> None:
        """One line; `calm` says that nobody set the wall clock while it may have been decided."""
        kind, actor = record["kind"], record["actor"]
        require(kind not in PERSONS_ONLY or actor["kind"] == "human", f"{_at(record)} by {actor['id']}")
        for artifact in record["artifacts"]:
            self.require_object(artifact["sha256"], artifact["bytes"], _at(record))
        rule = getattr(self, "_" + kind.replace(".", "_"), None)
        if rule is not None:
            rule(record) if kind not in ("phase.transition", "task.closed") else rule(record, calm)
        self._latest = max(self._latest, record["ts"])

    def require_object(self, digest: str, length: int, where: str) -> None:
        """The sealed bytes are there and are the ones."""
        path = self._objects / digest[:2] / digest
        require(path.is_file(), f"{where}: the object {digest[:12]} is not there")
        data = path.read_bytes()
        require(
            sha256(data).hexdigest() == digest and len(data) == length, f"{where}: the object {digest[:12]} differs"
        )

    # --- tasks

    def _task_opened(self, record: Record) -> None:
        name = record["task"]
        require(name.casefold() not in {known.casefold() for known in self.tasks}, f"{_at(record)}: opened twice")
        self.tasks[name] = TaskModel(base=record["data"]["base_tree"])

    def _phase_transition(self, record: Record, calm: bool) -> None:
        task, phase = self.tasks[record["task"]], record["phase"]
        require(phase["from"] == task.phase, f"{_at(record)}: from {phase['from']}, the task is in {task.phase}")
        require(phase["to"] == NEXT[task.phase], f"{_at(record)}: from {task.phase} to {phase['to']}")
        require(record["epoch"] == task.epoch and not task.held, f"{_at(record)}: another epoch, or the task is held")
        require(record["data"]["gate"]["verdict"] == "pass", f"{_at(record)}: its gate did not pass")
        self._require_lease(record, task)
        self._seal(record, task, task.phase)
        task.judged = record["data"]["judged_tree"] or task.judged
        self._require_evidence(record, task)
        self._consume(record, task, calm)
        self._require_prompt(record, task)
        session = record["actor"]["session"]
        if task.phase == "IMPLEMENT":
            task.makers.add(session)
        require(task.phase != "REVIEW" or session not in task.makers, f"{_at(record)}: reviewed by who made it")
        self.left[task.phase] += 1
        task.phase = phase["to"]
        task.entered[task.phase] = task.epoch
        self._hand_over(record, task)
        self.moves += 1

    def _task_closed(self, record: Record, calm: bool) -> None:
        if record["data"]["outcome"] == "CLOSED":
            self._phase_transition(record, calm)
            return
        task = self.tasks[record["task"]]
        require(record["actor"]["kind"] == "human" and task.phase in REQUIRED, f"{_at(record)}: abandoned")
        task.phase = "ABANDONED"

    def _phase_backtrack(self, record: Record) -> None:
        task, phase = self.tasks[record["task"]], record["phase"]
        require(phase["from"] == task.phase and task.phase in REQUIRED, f"{_at(record)}: from {phase['from']}")
        back = PHASES.index(phase["to"])
        require(back < PHASES.index(task.phase), f"{_at(record)}: {phase['to']} does not lie before {task.phase}")
        require(record["epoch"] == task.epoch + 1 and not task.held, f"{_at(record)}: epoch {record['epoch']}")
        self._require_lease(record, task)
        again = set(PHASES[back:])
        task.seals = {key: seal for key, seal in task.seals.items() if key[0] not in again}
        task.entered = {key: epoch for key, epoch in task.entered.items() if key not in again}
        task.requests, task.grants = {}, {}
        task.phase, task.epoch = phase["to"], task.epoch + 1
        task.entered[task.phase] = task.epoch
        self._hand_over(record, task)

    def _evidence_added(self, record: Record) -> None:
        task = self.tasks[record["task"]]
        same = (record["data"]["phase"], record["epoch"]) == (task.phase, task.epoch)
        require(same, f"{_at(record)}: for {record['data']['phase']}, the task is in {task.phase}")
        self._require_lease(record, task)
        self._seal(record, task, task.phase)
        if task.phase == "IMPLEMENT":
            task.makers.add(record["actor"]["session"])

    def _task_held(self, record: Record) -> None:
        self.tasks[record["task"]].held = True

    def _task_resumed(self, record: Record) -> None:
        self.tasks[record["task"]].held = False

    # --- leases

    def _lease_granted(self, record: Record) -> None:
        self._raise(record, above=1)

    def _lease_forced(self, record: Record) -> None:
        self._raise(record, above=1)

    def _lease_released(self, record: Record) -> None:
        self._raise(record, above=0)

    def _lease_expired(self, record: Record) -> None:
        # It may tell of a lease that a move handed on, and that a crash took from the lease log in between.
        fence, task = record["lease"]["fence"], self.tasks[record["task"]]
        require(fence <= task.high, f"{_at(record)}: fence {fence} was never granted")

    def _raise(self, record: Record, *, above: int) -> None:
        fence, task = record["lease"]["fence"], self.tasks[record["task"]]
        require(fence >= task.high + above, f"{_at(record)}: fence {fence}, the highest is {task.high}")
        task.high = fence

    def _hand_over(self, record: Record, task: TaskModel) -> None:
        handed = record["data"]["handover"]
        if handed is None:
            return
        require(handed["fence"] == task.high + 1, f"{_at(record)}: handed on under fence {handed['fence']}")
        require(handed["resource"] == f"{record['task']}/{task.phase}", f"{_at(record)}: hands on {handed['resource']}")
        same = handed["holder"]["session"] == record["actor"]["session"]
        require(same, f"{_at(record)}: handed on to another session")
        task.high = handed["fence"]

    def _require_lease(self, record: Record, task: TaskModel) -> None:
        lease, session = record["lease"], record["actor"]["session"]
        require(lease is not None, f"{_at(record)}: without a lease")
        require(lease["resource"] == f"{record['task']}/{task.phase}", f"{_at(record)}: under {lease['resource']}")
        require(lease["fence"] == task.high, f"{_at(record)}: under fence {lease['fence']}, the highest is {task.high}")
        holder = self._session_of(record["task"], task.high)
        require(holder in (session, ""), f"{_at(record)}: fence {task.high} is {holder}'s, the line is {session}'s")

    # --- evidence

    def _seal(self, record: Record, task: TaskModel, phase: str) -> None:
        bound = record["data"].get("bindings", {})
        for one in record["artifacts"]:
            tree = bound.get(one["name"], {}).get("tree", "")
            task.seals[phase, one["name"]] = Seal(one["sha256"], one["origin"], record["epoch"], tree)

    def _require_evidence(self, record: Record, task: TaskModel) -> None:
        """Everything that the phases so far must leave, sealed since each was entered, of the tree that was judged."""
        for phase in PHASES[: PHASES.index(task.phase) + 1]:
            for name, origin in REQUIRED[phase].items():
                seal = task.seals.get((phase, name))
                require(seal is not None, f"{_at(record)}: without {name} of {phase}")
                assert seal is not None  # noqa: S101 - the line above has asked
                require(seal.epoch >= task.entered[phase], f"{_at(record)}: {name} is of epoch {seal.epoch}")
                require(RANK[seal.origin] >= RANK[origin], f"{_at(record)}: {name} is {seal.origin}")
                wanted = task.base if phase == "PLAN" else task.judged
                require(origin == "asserted" or seal.tree == wanted, f"{_at(record)}: {name} is of another tree")
                if phase == task.phase:
                    self._require_passed(record, name, seal)

    def _require_passed(self, record: Record, name: str, seal: Seal) -> None:
        """What the engine ran has gone well, by its own record."""
        if name not in ("test_results.json", "ci_results.json", "smoke_test_results.json", "accept_results.json"):
            return
        found = json.loads((self._objects / seal.sha256[:2] / seal.sha256).read_bytes())
        runs = [block["run"] for block in found["blocks"]] if "blocks" in found else [found["run"]]
        require(all(run["exit_code"] == 0 for run in runs), f"{_at(record)}: admitted with a failed run in {name}")
        bad = [case for case in found.get("cases", ()) if case["outcome"] in ("failed", "error")]
        require(not bad and found.get("report", "read") == "read", f"{_at(record)}: admitted with failed tests")

    # --- approvals

    def _approval_requested(self, record: Record) -> None:
        task = self.tasks[record["task"]]
        task.requests |= {one["subject"]: one for one in record["data"]["requests"]}

    def _approval_granted(self, record: Record) -> None:
        task, data = self.tasks[record["task"]], record["data"]
        require(data["subject_sha256"] in task.requests, f"{_at(record)}: nobody asked for it")
        subject = data["subject"]
        bound = (subject["ledger"], subject["task"], subject["epoch"])
        require(bound == (record["ledger"], record["task"], task.epoch), f"{_at(record)}: of another task or epoch")
        task.grants[data["subject_sha256"]] = record

    def _approval_refused(self, record: Record) -> None:
        task, subject = self.tasks[record["task"]], record["data"]["subject_sha256"]
        task.requests.pop(subject, None)
        task.grants.pop(subject, None)

    def _consume(self, record: Record, task: TaskModel, calm: bool) -> None:
        """Each approval that the line names was granted, for this move, and is used up by it."""
        kinds = set()
        for subject in record["data"]["approvals"]:
            grant = task.grants.pop(subject, None)
            require(grant is not None, f"{_at(record)}: consumes an approval that nobody gave, or that was used")
            assert grant is not None  # noqa: S101 - the line above has asked
            move = f"{record['phase']['from']}->{record['phase']['to']}"
            require(grant["data"]["subject"]["move"] == move, f"{_at(record)}: approved for another move")
            require(grant["seq"] not in self._consumed, f"{_at(record)}: grant {grant['seq']} used twice")
            near = grant["actor"]["session"] in (record["actor"]["session"], *task.makers)
            require(not near, f"{_at(record)}: approved by who worked on it")
            given, until = (datetime.fromisoformat(grant["data"][key]) for key in ("granted_at", "expires_at"))
            # Time that the ledger has seen does not go back, whatever the wall clock says.
            now = datetime.fromisoformat(max(self._latest, record["ts"]))
            holds = given - timedelta(seconds=61) <= now <= until + timedelta(seconds=60)
            require(holds or not calm, f"{_at(record)}: approved from {given} to {until}, used at {now}")
            self._consumed.add(grant["seq"])
            task.requests.pop(subject, None)
            kinds.add(grant["data"]["subject"]["kind"])
        wanted = APPROVED.get(task.phase)
        require(wanted is None or wanted in kinds, f"{_at(record)}: without the approval of a person ({wanted})")

    # --- prompts, flags, checkpoints, segments

    def _prompt_attested(self, record: Record) -> None:
        self._prompt(record)

    def _prompt_drift(self, record: Record) -> None:
        self._prompt(record)

    def _prompt_baseline_changed(self, record: Record) -> None:
        digest = record["prompt"]["sha256"]
        self.tasks[record["task"]].prompts[record["data"]["phase"]] = (digest, digest)

    def _prompt(self, record: Record) -> None:
        prompts, phase, digest = self.tasks[record["task"]].prompts, record["data"]["phase"], record["prompt"]["sha256"]
        prompts[phase] = (prompts.get(phase, (digest, ""))[0], digest)

    def _require_prompt(self, record: Record, task: TaskModel) -> None:
        baseline, last = task.prompts.get(task.phase, ("", ""))
        stops = task.phase in DRIFT_STOPS and self.flags.get("attestation", "enforce") == "enforce"
        require(not stops or baseline == last, f"{_at(record)}: left {task.phase} with a drifted prompt")

    def _key_rotated(self, record: Record) -> None:
        first = record["data"]["from"] == ""
        require(first or record["actor"]["kind"] == "human", f"{_at(record)} by {record['actor']['id']}")

    def _flag_changed(self, record: Record) -> None:
        order, data = ("off", "observe", "enforce"), record["data"]
        loosens = order.index(data["to"]) < order.index(self.flags.get(data["flag"], "enforce"))
        human = record["actor"]["kind"] == "human"
        require(human or not loosens, f"{_at(record)}: {record['actor']['id']} loosened {data['flag']}")
        self.flags[data["flag"]] = data["to"]


def _at(record: Record) -> str:
    return f"line {record['seq']} ({record['kind']} of {record['task'] or 'no task'})"
