"""The workspace's sealed configuration: what a person sealed counts, what the file says since is held against it.

`autopilot init` seals the file. A later tightening counts at once; a changed command or a loosening is inert until a
person seals the file again (`autopilot init`), or approves it for a task. So an agent that edits autopilot.toml
before it opens a task gains nothing.

Where the sealed configuration requires signed approvals, sealing a change of it is one: a registered key signs exactly
the change, from what is sealed to what the file says.
"""

from __future__ import annotations

from dataclasses import replace

from autopilot.approvals.grants import Grant, Parties, Register, check_grant
from autopilot.approvals.requests import Asked
from autopilot.approvals.signatures import Signers, check_signature, read_grant
from autopilot.approvals.subjects import Subject, evidence_set
from autopilot.kernel.callers import ENGINE, Caller
from autopilot.kernel.canonical import dumps, sha256_hex
from autopilot.kernel.configuration import Settings
from autopilot.kernel.errors import RefusedError
from autopilot.kernel.reasons import Reason, refused
from autopilot.kernel.settings_changes import Direction, direction, effective
from autopilot.ledger.entry import ArtifactRef, Draft, LedgerEntry
from autopilot.process.engine import Engine
from autopilot.process.recording import Recording
from autopilot.process.state import EngineState


class ConfigDesk:
    """Seals the configuration and says which one governs."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._recording = Recording(engine)

    def sealed(self, state: EngineState) -> Settings | None:
        """The configuration on the ledger, None before the first."""
        return self._engine.standing_settings(state)

    def governing(self, state: EngineState) -> Settings:
        """What a task opened now runs under: the sealed configuration with the file's tightenings."""
        sealed = self.sealed(state)
        return self._engine.settings if sealed is None else effective(sealed, self._engine.settings)

    def inert(self, state: EngineState) -> Direction | None:
        """How the file differs from what governs, where that waits for a person; None if it does not."""
        sealed = self.sealed(state)
        found = None if sealed is None else direction(sealed, self._engine.present_settings)
        return found if found is not None and found.needs_approval else None

    def asked(self) -> Asked:
        """What an approver signs so that the file may be sealed as it is."""
        state = self._engine.store.view().state
        found = self.inert(state)
        changed = () if found is None else (*found.changed, *found.loosened)
        return self._asked(state, f"seal autopilot.toml with another {', '.join(changed)}")

    def needs_signature(self, state: EngineState) -> bool:
        """Whether sealing the file waits for a registered key."""
        return self.inert(state) is not None and self._signers(state).required

    def seal(self, caller: Caller, *, signed: bytes = b"") -> LedgerEntry | None:
        """Seal the file as it is; None if it is sealed already. `signed` is an approval of it, where one is due.

        RefusedError `human_only`, on record, where an agent would seal a loosening or another command; and
        `signature_needed`, or what is wrong with the signature.
        """
        settings = self._engine.present_settings.as_dict()
        data = dumps(settings)
        sha256 = sha256_hex(data)
        ref = ArtifactRef("settings.json", sha256, len(data), "application/json", "observed")
        grant = read_grant(signed) if signed else None
        state = self._engine.store.view().state
        if state.config != sha256 and not self._unsealable(state, caller, grant):
            # Not before: what is in the store can be fetched by everybody who is served.
            self._engine.store.objects.put(data)
        with self._engine.store.transaction() as tx:
            if tx.state.config == sha256:
                return None
            # Asked under the lock: what an agent may seal is measured by what a person sealed last.
            reasons = self._unsealable(tx.state, caller, grant)
            if not reasons:
                record = {
                    "sha256": sha256,
                    "approvals": settings["approvals"],
                    "grant": None if grant is None else grant.as_data(),
                }
                return tx.append(Draft(kind="config.sealed", caller=caller, artifacts=(ref,), data=record))
        verdict = refused(reasons)
        if verdict.reasons[0].code == "signature_needed":
            raise RefusedError(verdict, seq=self._recording.turned_away("seal autopilot.toml", caller, verdict))
        raise RefusedError(verdict, seq=self._recording.usurped(None, caller, verdict))

    def _unsealable(self, state: EngineState, caller: Caller, grant: Grant | None) -> tuple[Reason, ...]:
        """Why the file may not be sealed by this caller, on this approval; empty if it may."""
        if self._engine.trust_mode and not state.config and caller.kind != "human":
            # Behind the socket nobody has to be trusted on first use: there is a person to be asked.
            return (Reason("human_only", where="autopilot.toml", detail="sealing the first configuration"),)
        if self.inert(state) is None:
            return ()
        if caller.kind != "human":
            return (Reason("human_only", where="autopilot.toml", detail="sealing a changed configuration"),)
        signers = self._signers(state)
        if not signers.required:
            return ()
        if grant is None:
            remedy = "one who may sign runs `autopilot init --key FILE --reason TEXT` at a terminal"
            detail = f"may sign: {signers.shown()}"
            return (Reason("signature_needed", where="autopilot.toml", detail=detail, remedy=remedy),)
        asked = self._asked(state, "")
        register = Register(frozenset({grant.id}))
        # Nobody asks for it but the file: who signs is whoever is registered.
        parties, now = Parties(ENGINE), self._engine.wall(state)
        faults = check_grant(grant, asked.subject, parties, register, now, asked.evidence)
        return (*faults, *check_signature(grant, signers))

    def _signers(self, state: EngineState) -> Signers:
        """Whose signature seals: whether one is due is asked of the sealed configuration alone.

        Else a file that requires signatures and names the first approver could not be sealed by anybody.
        """
        sealed = self.sealed(state)
        due = sealed is not None and sealed.approvals.signed != "optional"
        return replace(self._engine.signers(state), required=due)

    def _asked(self, state: EngineState, why: str) -> Asked:
        """Bound to the change itself: from what is sealed, by which line, to what the file says. So it serves once."""
        subject = Subject(
            ledger=self._engine.store.ledger_id,
            task="",
            epoch=0,
            move="",
            kind="config_changed",
            digest=sha256_hex(dumps(self._engine.present_settings.as_dict())),
        )
        evidence = evidence_set({"sealed": state.config, "line": str(state.config_seq)})
        return Asked(subject=subject, evidence=evidence, requester=ENGINE, why=why, title="the configuration")

    def seal_first(self, caller: Caller) -> None:
        """Seal the file if none ever was: trust on first use, on record under the caller's name."""
        if not self._engine.store.view().state.config:
            self.seal(caller)
