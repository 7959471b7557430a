"""What a witness asks before it signs: does this checkpoint continue the one it signed last?

Rules kept here, those of https://c2sp.org/tlog-witness:

- The same size takes the same root. Another root is `forked`: the ledger's key signed two histories.
- A smaller size is `older_checkpoint`, whatever its root. It may be a late call, or an older state put back; signing it
  would say that it is the newest.
- A larger size takes a proof that begins at exactly the size that was signed last (`stale_proof` otherwise), or the
  ledger itself.

A submission is the body of that protocol's add-checkpoint request: `old <size>`, the consistency proof in base64 line
by line, an empty line, the checkpoint. A checkpoint alone is one, too. Pure: values in, a verdict or an error out.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from autopilot.kernel.errors import ContractError, IntegrityError
from autopilot.kernel.reasons import Reason, Verdict
from autopilot.ledger.merkle import EMPTY_ROOT, HASH_BYTES
from autopilot.ledger.proofs import verify_consistency
from autopilot.signing.checkpoint import Checkpoint

MAX_PROOF_LINES = 63
_OLD = b"old "
_MAX_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Submission:
    """A checkpoint's note, and the proof that it continues the one over `old` lines (None: there is no proof)."""

    note: bytes
    old: int | None = None
    path: tuple[bytes, ...] = ()

    def encode(self) -> bytes:
        """The request's body; the note alone where there is no proof."""
        if self.old is None:
            return self.note
        lines = (f"old {self.old}", *(base64.b64encode(item).decode() for item in self.path))
        return "".join(f"{line}\n" for line in lines).encode() + b"\n" + self.note


def parse_submission(data: bytes) -> Submission:
    """What `encode` gave; ContractError `malformed_proof`. The note is not looked into."""
    if not data.startswith(_OLD):
        return Submission(data)
    head, parted, note = data.partition(b"\n\n")
    first, *lines = head.split(b"\n")
    digits = first.removeprefix(_OLD)
    # `int` takes more than the format does: signs, blanks, leading zeroes.
    if not parted or not digits.isdigit() or len(digits) > _MAX_DIGITS or str(int(digits)).encode() != digits:
        raise _malformed("the first line is not `old` and a size")
    if len(lines) > MAX_PROOF_LINES:
        raise _malformed(f"{len(lines)} lines of proof, at most {MAX_PROOF_LINES}")
    return Submission(note, int(digits), tuple(_hash_of(line) for line in lines))


def check_succession(last: Checkpoint | None, new: Checkpoint) -> Verdict:
    """Whether `new` may follow `last` by its size; IntegrityError `forked` for two roots of one size."""
    if last is None or new.size > last.size:
        return Verdict(())
    if new.size < last.size:
        detail = f"{new.size} lines; the witness has signed for {last.size} of {last.origin}"
        return Verdict((Reason("older_checkpoint", where="checkpoint", detail=detail),))
    if new.root != last.root:
        detail = f"{new.size} lines were signed before with another root"
        raise IntegrityError("forked", where="checkpoint", detail=detail)
    return Verdict(())


def check_proof(last: Checkpoint | None, new: Checkpoint, submission: Submission) -> Verdict:
    """Whether the submission proves that `new` continues `last`, whose sizes were found in order.

    The verdict refuses with `proof_missing` and `stale_proof`; IntegrityError `bad_proof`.
    """
    if last is None:
        # Nothing was signed yet, so there is nothing to continue; an empty ledger still has one root only.
        if submission.path or (new.size == 0 and new.root != EMPTY_ROOT):
            raise IntegrityError("bad_proof", where="proof", detail="a proof from the empty ledger")
        return Verdict(())
    if submission.old is None:
        if new.size == last.size:
            return Verdict(())
        detail = f"the witness has signed for {last.size} lines, and nothing shows that these continue them"
        return Verdict((Reason("proof_missing", where="checkpoint", detail=detail),))
    if submission.old != last.size:
        detail = f"it begins at {submission.old}; the witness has signed for {last.size} lines"
        return Verdict((Reason("stale_proof", where="proof", detail=detail),))
    if last.size == 0:
        return check_proof(None, new, submission)
    verify_consistency(size=last.size, root=last.root, later_size=new.size, later_root=new.root, path=submission.path)
    return Verdict(())


def _hash_of(line: bytes) -> bytes:
    try:
        data = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if len(data) != HASH_BYTES or base64.b64encode(data) != line:
        raise _malformed("a line of the proof is not a SHA-256 in base64")
    return data


def _malformed(detail: str) -> ContractError:
    return ContractError("malformed_proof", where="proof", detail=detail)
