"""A task's evidence as signed statements: verify the ledger, read the moves, sign with the ledger's key.

    bundle = signed_statements(workspace, "T-1")
    bundle.lines()

The same ledger and key give the same bytes: times are those of the lines, and Ed25519 takes no chance. Nothing is
appended. What is signed was verified before: a key that signs a ledger which contradicts a checkpoint would vouch for
two histories.
"""

from __future__ import annotations

from dataclasses import dataclass

from autopilot.kernel.errors import MissingComponentError
from autopilot.process.statements import PhaseStatements, StatementDesk
from autopilot.signing.checkpoint import origin_of
from autopilot.signing.keys import KeyRing
from autopilot.signing.note import SigningKey, VerifierKey
from autopilot.storage.files.checkpoints import scan
from autopilot.supplychain.dsse import opened, sealed
from autopilot.supplychain.statement import Statement
from autopilot.wiring.checkpoints import KEYS_FOLDER, verify_state
from autopilot.wiring.full import Workspace
from autopilot.wiring.stores import home_in


@dataclass(frozen=True, slots=True)
class Signed:
    """One statement of a phase, and its envelope as bytes without a newline."""

    phase: PhaseStatements
    statement: Statement
    envelope: bytes


@dataclass(frozen=True, slots=True)
class Bundle:
    """All statements of a task, signed, and the public half of the key."""

    task: str
    key: VerifierKey
    signed: tuple[Signed, ...]

    def lines(self) -> bytes:
        """The bundle as a file holds it: an envelope in each line."""
        return b"".join(one.envelope + b"\n" for one in self.signed)


def signed_statements(workspace: Workspace, task_id: str) -> Bundle:
    """The bundle of a task.

    ContractError `unknown_task`, `nothing_to_state`; MissingComponentError `key_missing`; IntegrityError for a ledger
    that does not verify, an object that is not there or not what its line says, `key_exposed`, `key_damaged`.
    """
    with home_in(workspace, workspace.state_dir).place(workspace.ledger.ledger_id) as place:
        report = verify_state(place).report
        if not report.intact:
            raise report.error()
        named = scan(place, report.entries).keys
    origin = origin_of(workspace.ledger.ledger_id)
    desk = StatementDesk(workspace.engine)
    phases = desk.of_task(task_id, ledger_origin=origin, stop=report.entries)
    key = _key(workspace, named[-1][0] if named else "")
    signed = tuple(
        Signed(phase, statement, _sealed(statement, key)) for phase in phases for statement in phase.statements
    )
    return Bundle(task_id, key.verifier, signed)


def _key(workspace: Workspace, named: str) -> SigningKey:
    """The key that the lines, which were verified, name last."""
    folder = workspace.state_dir / KEYS_FOLDER
    if not named:
        raise MissingComponentError(
            "key_missing",
            where=str(folder),
            detail="this ledger has no signing key yet",
            remedy="run `autopilot ledger checkpoint`: it makes the key",
        )
    return KeyRing(folder).load(named)


def _sealed(statement: Statement, key: SigningKey) -> bytes:
    envelope = sealed(statement.payload(), key).encode()
    # Read back as a stranger would: what leaves here was verified with the public half alone.
    opened(envelope, [key.verifier])
    return envelope
