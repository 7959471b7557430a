"""The bench a runner works at: it reads and seals artifacts, runs their rules, and keeps what was found.

Asserted artifacts are read from the phase's folder through its directory, without following links, and copied once
into the object store; the *copy* is judged. Engine-made artifacts are never read from the folder: a file that stands
there under such a name and is not what the engine sealed is a forgery.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from autopilot.approvals.subjects import Subject
from autopilot.evidence.context import Rule, RuleContext, Thresholds
from autopilot.evidence.file_map import FileMap, parse_file_map
from autopilot.evidence.reported import holds_tests
from autopilot.evidence.spec import Spec, parse_spec
from autopilot.evidence.values.tests import BaseInventory
from autopilot.kernel.canonical import sha256_hex
from autopilot.kernel.errors import ContractError
from autopilot.kernel.phases import PHASES, Phase
from autopilot.kernel.reasons import Reason
from autopilot.kernel.test_files import is_test_module
from autopilot.ledger.entry import ArtifactRef
from autopilot.process.admission import Finding
from autopilot.process.engine import Engine
from autopilot.process.origin import origin_tree, uncommitted
from autopilot.process.profiles import ArtifactContract
from autopilot.process.runners.excerpt import evidence_excerpt
from autopilot.process.runners.values import ApprovalNeed, Collected, Ticket, evidence_of
from autopilot.process.site import Site
from autopilot.process.state import Evidence

ASSERTED_CAP_BYTES = 1024 * 1024
EXPORT_CAP_BYTES = 64 * 1024 * 1024


class Bench:
    """One runner's work on one ticket; `collected()` is what it comes to."""

    def __init__(self, engine: Engine, site: Site, rules: Mapping[str, Rule], ticket: Ticket, *, execute: bool) -> None:
        self.engine = engine
        self.site = site
        self.ticket = ticket
        self.execute = execute
        self.task = ticket.task
        self._rules = rules
        self._findings: list[Finding] = []
        self._checks: list[Reason] = []
        self._needs: list[ApprovalNeed] = []
        self._sealed: dict[str, ArtifactRef] = {}
        self._bindings: dict[str, dict[str, str]] = {}
        self._excerpt: str | None = None
        self._completed: dict[str, bytes] = {}
        self.judged_tree = ""
        self.config = ""
        self.interpreter = ""
        self.context = self._context()

    # --- documents

    def documents(self) -> None:
        """Read, seal and judge every asserted artifact of the phase."""
        for contract in self._contracts("asserted"):
            self._document(contract)

    def _document(self, contract: ArtifactContract) -> None:
        try:
            data = self.asserted_bytes(contract.name)
        except ContractError as error:
            self._findings.append(Finding(contract.name, None, error.reasons()))
            return
        if data is None:
            self._findings.append(Finding(contract.name, None))
            return
        reasons = self.judge(contract, data)
        binding: dict[str, str] = {}
        if self.task.retired.get(f"{self.ticket.phase}/{contract.name}") == sha256_hex(data):
            # A document may be carried over a backtrack unchanged; the line says that it was.
            binding["carried_from"] = "superseded"
        self._keep(contract, data, binding, reasons)

    def asserted_bytes(self, name: str) -> bytes | None:
        """The file in the phase's folder, else what `evidence add` sealed, else None; as the engine completed it."""
        if name in self._completed:
            return self._completed[name]
        try:
            path = f"{self.task.id}/{self.ticket.phase.folder}/{name}"
            return self.engine.read_evidence(path, cap=ASSERTED_CAP_BYTES)
        except ContractError as error:
            if error.code != "artifact_missing":
                raise
        known = self.task.live(self.ticket.phase, name)
        if known is not None and known.fence in self.task.forced_fences:
            raise ContractError("evidence_stale", where=name, detail="its lease was forced away; add it again")
        return None if known is None else self.engine.store.objects.get(known.sha256)

    def excerpt(self) -> str:
        """What the engine writes into the pull request; made once."""
        if self._excerpt is None:
            self._excerpt = evidence_excerpt(self.engine, self.task)
        return self._excerpt

    def write_back(self, name: str, data: bytes) -> None:
        """Replace an asserted document in the phase's folder by the engine's completion of it."""
        self._completed[name] = data
        self.engine.place_evidence(f"{self.task.id}/{self.ticket.phase.folder}/{name}", data)

    # --- engine-made artifacts

    def reuse(self, name: str, *, tree: str, inputs: str) -> bool:
        """Take live evidence of an earlier `verify`, if it is of this tree and these inputs."""
        known = self.task.live(self.ticket.phase, name)
        if known is None or known.tree != tree or known.inputs != inputs:
            return False
        contract = self.ticket.profile.contract(self.ticket.phase).artifact(name)
        data = self.engine.store.objects.get(known.sha256)
        self._keep(
            contract,
            data,
            {"tree": known.tree, "inputs": known.inputs, "isolation": known.isolation},
            self.judge(contract, data),
            expected_tree=tree,
        )
        return True

    def wants(self, name: str, *, tree: str, inputs: str) -> bool:
        """Whether the artifact is to be produced now: there is none to reuse, and commands may run."""
        if self.reuse(name, tree=tree, inputs=inputs):
            return False
        if not self.execute:
            self.absent(name)
        return self.execute

    def produce(self, name: str, data: bytes, *, tree: str, inputs: str, isolation: str = "") -> None:
        """Seal what the engine made, and judge it by its content rule."""
        contract = self.ticket.profile.contract(self.ticket.phase).artifact(name)
        binding = {"tree": tree, "inputs": inputs, "isolation": isolation}
        self._keep(contract, data, binding, self.judge(contract, data), expected_tree=tree)

    def absent(self, name: str) -> None:
        """Say that an engine-made artifact was not produced, because nothing was to be run."""
        detail = "the engine has not produced it yet"
        remedy = f"run `autopilot verify {self.task.id}`, or advance: it is produced then"
        self._findings.append(
            Finding(name, None, (Reason("artifact_missing", detail=detail, where=name, remedy=remedy),))
        )

    def defer(self, name: str) -> None:
        """Say that the artifact is not produced before a person has lifted the check that concerns it."""
        self._findings.append(Finding(name, None, deferred=True))

    def enforces(self, flag: str) -> bool:
        """Whether the enforcement really refuses now; nothing is deferred behind one that only observes."""
        return self.engine.modes(self.engine.store.view().state)[flag] == "enforce"

    def judge(self, contract: ArtifactContract, data: bytes) -> tuple[Reason, ...]:
        """The content rule's reasons. A rule that fails is a bug, and no rule is none: KeyErrors, not passes."""
        return self._rules[contract.rule](data, self.context(contract))

    def check_forgery(self) -> None:
        """Refuse files that stand in the folder under an engine-made artifact's name with other bytes."""
        for contract in self._contracts("observed", "executed"):
            path = f"{self.task.id}/{self.ticket.phase.folder}/{contract.name}"
            try:
                found = self.engine.read_evidence(path, cap=EXPORT_CAP_BYTES)
            except ContractError as error:
                if error.code != "artifact_missing":
                    self._checks.extend(error.reasons())
                continue
            if sha256_hex(found) not in self.task.shown.get(f"{self.ticket.phase}/{contract.name}", ()):
                detail = f"{contract.origin} evidence is made by the engine alone; this file was not"
                self._checks.append(Reason("evidence_forged", detail=detail, where=contract.name))

    def check_sealed(self) -> None:
        """Refuse when a file of an earlier phase no longer is what was sealed: people read these files."""
        for key, evidence in self.task.evidence.items():
            if evidence.phase == self.ticket.phase:
                continue
            path = f"{self.task.id}/{evidence.phase.lower()}/{evidence.name}"
            try:
                found = self.engine.read_evidence(path, cap=EXPORT_CAP_BYTES)
            except ContractError as error:
                if error.code == "artifact_missing":
                    continue  # the sealed copy is in the object store; a deleted file claims nothing
                found = b""
            # An older file that the engine made may be left from a call that was killed before it wrote the newer one.
            if sha256_hex(found) not in (evidence.sha256, *self.task.shown.get(key, ())):
                detail = f"{path} is not what was sealed when {evidence.phase} was left"
                self._checks.append(Reason("sealed_edited", detail=detail, where=path))

    # --- checks that a person can lift

    def fail(self, reason: Reason) -> None:
        """A check that nobody can lift."""
        self._checks.append(reason)

    def need(self, reason: Reason, *, kind: str, digest: str, why: str) -> bool:
        """A check that an approval bound to `digest` would lift. True if one is there that holds."""
        move = self.ticket.move.label
        subject = Subject(
            ledger=self.engine.store.ledger_id,
            task=self.task.id,
            epoch=self.task.epoch,
            move=move,
            kind=kind,
            digest=digest,
        ).sha256
        self._checks.append(
            Reason(reason.code, detail=reason.detail, where=reason.where, remedy=reason.remedy, subject=subject)
        )
        self._needs.append(ApprovalNeed(subject, kind, move, digest, why))
        return subject in self.ticket.granted

    # --- what earlier phases sealed

    def sealed_bytes(self, phase: Phase, name: str) -> bytes | None:
        """The sealed artifact of an earlier phase in this epoch, or None."""
        known = self.task.live(phase, name)
        return None if known is None else self.engine.store.objects.get(known.sha256)

    def spec(self) -> Spec | None:
        """The sealed spec.md, parsed."""
        data = self.sealed_bytes(Phase.SPEC, "spec.md")
        return None if data is None else parse_spec(data.decode())

    def file_map(self) -> FileMap | None:
        """The sealed file_map.json, parsed."""
        data = self.sealed_bytes(Phase.PLAN, "file_map.json")
        return None if data is None else parse_file_map(data)

    def known_paths(self) -> frozenset[str]:
        """Every path of the base."""
        return self.site.known(self.task.base_tree).paths

    def base_inventory(self) -> BaseInventory | None:
        """The tests of the base as sealed when PLAN was left."""
        data = self.sealed_bytes(Phase.PLAN, "base_inventory.json")
        return None if data is None else BaseInventory.from_json(data)

    def collected(self) -> Collected:
        """Everything found."""
        return Collected(
            findings=tuple(self._findings),
            checks=tuple(self._checks),
            needs=tuple(self._needs),
            sealed=tuple(self._sealed.values()),
            bindings=self._bindings,
            judged_tree=self.judged_tree,
            config=self.config,
            interpreter=self.interpreter,
        )

    # --- inside

    def _contracts(self, *origins: str) -> tuple[ArtifactContract, ...]:
        contract = self.ticket.profile.contract(self.ticket.phase)
        return tuple(artifact for artifact in contract.artifacts if artifact.origin in origins)

    def _keep(
        self,
        contract: ArtifactContract,
        data: bytes,
        binding: dict[str, str],
        reasons: tuple[Reason, ...],
        *,
        expected_tree: str = "",
    ) -> None:
        sha256 = self.engine.store.objects.stage(data)
        ref = ArtifactRef(contract.name, sha256, len(data), contract.media_type, contract.origin)
        self._sealed[contract.name] = ref
        self._bindings[contract.name] = binding
        evidence: Evidence = evidence_of(self.ticket, ref, binding)
        self._findings.append(Finding(contract.name, evidence, reasons, expected_tree=expected_tree))

    def _context(self) -> Callable[[ArtifactContract], RuleContext]:
        base: dict[str, Any] = {}

        def context(contract: ArtifactContract) -> RuleContext:
            if not base:
                base.update(self._facts())
            return RuleContext(**base, may_be_empty=contract.may_be_empty)

        return context

    def _facts(self) -> dict[str, Any]:
        known = self.site.known(self.task.base_tree)
        file_map = self.file_map()
        settings = self.ticket.settings
        return {
            "task_id": self.task.id,
            "title": self.task.title,
            "phase": self.ticket.phase,
            "epoch": self.task.epoch,
            "paths": known.paths,
            "symbols": known.symbols,
            "planned": self._planned(file_map),
            "spec": self.spec(),
            "thresholds": Thresholds(
                coverage_hundredths=settings.thresholds.coverage_percent * 100,
                quality_hundredths=settings.thresholds.lint_score * 100,
                rubric_points=settings.thresholds.rubric_score,
            ),
            "actor": self.ticket.caller.actor,
            "session": self.ticket.caller.session,
            "implementers": frozenset(self.task.implementers),
            "separate_reviewer": self.ticket.profile.separate_reviewer,
            "base_inventory": self.base_inventory() if self.ticket.phase is Phase.VERIFY else None,
            "uncommitted": uncommitted(self.site, self.task) if self.ticket.phase is Phase.PLAN else frozenset(),
            **self._later_facts(),
        }

    def _planned(self, file_map: FileMap | None) -> frozenset[str]:
        if file_map is not None:
            return file_map.added
        if self.ticket.phase is not Phase.PLAN:
            return frozenset()
        # plan.md may cite what the file_map.json beside it creates, before either is sealed.
        try:
            data = self.asserted_bytes("file_map.json")
            return frozenset() if data is None else parse_file_map(data).added
        except ContractError:
            return frozenset()

    def _later_facts(self) -> dict[str, Any]:
        """Facts that exist only once IMPLEMENT was left."""
        if PHASES.index(self.ticket.phase) <= PHASES.index(Phase.IMPLEMENT) or not self.task.judged_tree:
            return {}
        changes = self.site.trees.changes(origin_tree(self.site, self.task), self.task.judged_tree)
        facts: dict[str, Any] = {"changed_paths": frozenset(change.path for change in changes)}
        if self.ticket.phase is Phase.VERIFY:
            facts["changed_tests"] = tuple(
                change.path
                for change in changes
                if is_test_module(change.path)
                and holds_tests(change.path, self.site.trees.read(self.task.judged_tree, change.path))
            )
        if self.ticket.phase is Phase.PR:
            facts["commit"] = self.site.repository.head_commit()
            facts["evidence_excerpt"] = self.excerpt()
        return facts
