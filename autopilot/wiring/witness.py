"""A witness: signs that a checkpoint continues what it signed before, and remembers it first.

    made = Witness(Path("witness.json"), key).sign(submission, trusted, ledger=pack)

It runs where the agent cannot write: in a CI job with a secret of its own. Look, decision and memory are one step
under one lock, so that of two runs at once none puts the memory back. What is refused changes nothing. The memory is
on the disk before the signature is shown: whoever holds a signature holds one that the witness knows of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autopilot.kernel.errors import IntegrityError, RefusedError
from autopilot.kernel.files import Files
from autopilot.kernel.reasons import Reason, Verdict
from autopilot.ledger.anchoring import Held
from autopilot.ledger.witnessing import Submission, check_proof, check_succession
from autopilot.signing.checkpoint import Checkpoint, checkpoint_of, open_checkpoint
from autopilot.signing.cosignature import CosignerKey, cosign, cosigner_of, verify_cosignatures
from autopilot.signing.note import Note, SigningKey, VerifierKey
from autopilot.storage.witness import WitnessStore
from autopilot.wiring.checkpoints import Given, verify_state
from autopilot.wiring.marker import claimed

LOCK_WAIT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Trusted:
    """Whom the witness believes: the ledgers' verifier keys, and its own earlier keys; `first` meets a new ledger."""

    keys: tuple[VerifierKey, ...]
    former: tuple[CosignerKey, ...] = ()
    first: bool = False


@dataclass(frozen=True, slots=True)
class Witnessed:
    """What was signed: the checkpoint, its note with the witness's line, and the size before (None: the first)."""

    checkpoint: Checkpoint
    note: Note
    witness: CosignerKey
    seconds: int
    before: int | None


class Witness:
    """One witness: its memory and its key."""

    def __init__(self, memory: Path, key: SigningKey, files: Files | None = None) -> None:
        self._store = WitnessStore(memory, files)
        self._key = key

    def sign(
        self, submission: Submission, trusted: Trusted, *, seconds: int, ledger: Path | None = None, keep: bool = True
    ) -> Witnessed:
        """Sign the checkpoint, or say why not. `ledger` is a state directory that is held against both checkpoints.

        RefusedError `unknown_origin`, `older_checkpoint`, `stale_proof`, `proof_missing`; IntegrityError `unsigned`,
        `forked`, `bad_proof`, `witness_store_damaged`, and what a ledger that disagrees is called: `rewritten`,
        `truncated`, `rolled_back`, `missing`. With `keep` false nothing is remembered, and what is signed must not be
        shown.
        """
        new = open_checkpoint(submission.note, trusted.keys)
        note = Note.parse(submission.note)
        with claimed(self._store.path.parent, LOCK_WAIT_SECONDS):
            known = self._store.read()
            last = self._last(known.get(new.origin), trusted.former)
            if last is None and not trusted.first:
                raise RefusedError(Verdict((Reason("unknown_origin", where=new.origin),)))
            _require(check_succession(last, new))
            if ledger is not None:
                _hold_ledger(ledger, submission.note, known.get(new.origin), trusted.keys)
            if ledger is None or submission.old is not None:
                _require(check_proof(last, new, submission))
            cosigned = cosign(_merged(note, known.get(new.origin)), self._key, seconds)
            if keep:
                self._store.replace({**known, new.origin: cosigned})
        return Witnessed(new, cosigned, cosigner_of(self._key), seconds, last.size if last else None)

    def _last(self, note: Note | None, former: tuple[CosignerKey, ...]) -> Checkpoint | None:
        """The checkpoint that was signed last, by this key or an earlier one of ours."""
        if note is None:
            return None
        for key in (cosigner_of(self._key), *former):
            if any((one.name, one.key_id) == (key.name, key.id) for one in note.signatures):
                try:
                    verify_cosignatures(note, (key,))
                except IntegrityError as error:
                    raise self._damaged(error.detail) from None
                return checkpoint_of(note)
        raise self._damaged(f"the checkpoint of {checkpoint_of(note).origin} does not bear this witness's signature")

    def _damaged(self, detail: str) -> IntegrityError:
        return IntegrityError("witness_store_damaged", where=str(self._store.path), detail=detail)


def _merged(note: Note, kept: Note | None) -> Note:
    """The note with the signatures that are remembered of the same text: those of other witnesses are not lost."""
    if kept is None or kept.text != note.text:
        return note
    further = tuple(one for one in kept.signatures if one not in note.signatures)
    return Note(note.text, (*note.signatures, *further))


def _hold_ledger(place: Path, note: bytes, last: Note | None, keys: Sequence[VerifierKey]) -> None:
    """The ledger must verify, and agree with the new checkpoint and the one signed last."""
    # Our own signature says what was signed last; the ledger's key of that time may be another by now.
    held = (Held(checkpoint_of(last), "the checkpoint that was witnessed last"),) if last is not None else ()
    verified = verify_state(place, 0, Given((("the new checkpoint", note),), tuple(keys), held=held))
    if not verified.report.intact:
        raise verified.report.error()


def _require(verdict: Verdict) -> None:
    if not verdict.admitted:
        raise RefusedError(verdict)
