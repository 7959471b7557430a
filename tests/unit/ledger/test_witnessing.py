"""What a witness asks, as a table; and the form in which a checkpoint and its proof are handed in.

Red without: the comparison of sizes, of roots of one size, of the proof's beginning, and of the proof itself.
"""

from __future__ import annotations

import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autopilot.kernel.errors import AutopilotError, ContractError, IntegrityError
from autopilot.ledger.merkle import EMPTY_ROOT, leaf_hash
from autopilot.ledger.proofs import consistency_path, root_of
from autopilot.ledger.witnessing import MAX_PROOF_LINES, Submission, check_proof, check_succession, parse_submission
from autopilot.signing.checkpoint import Checkpoint

LEAVES = [leaf_hash(b"%d" % number) for number in range(20)]
OTHERS = [*LEAVES[:4], *(leaf_hash(b"x%d" % number) for number in range(16))]


def at(size: int, leaves: list[bytes] = LEAVES) -> Checkpoint:
    return Checkpoint("autopilot/a", size, root_of(leaves[:size]))


def proven(old: int, new: int, leaves: list[bytes] = LEAVES) -> Submission:
    return Submission(b"note\n", old, consistency_path(leaves[:new], old) if 0 < old < new else ())


def answer(last: Checkpoint | None, new: Checkpoint, submission: Submission) -> str:
    """The code of the first refusal, `signed` where there is none."""
    try:
        verdict = check_succession(last, new)
        verdict = check_proof(last, new, submission) if verdict.admitted else verdict
    except AutopilotError as error:
        return error.code
    return verdict.codes()[0] if verdict.reasons else "signed"


BARE = Submission(b"note\n")


@pytest.mark.parametrize(
    ("last", "new", "submission", "said"),
    [
        (None, at(7), BARE, "signed"),
        (None, at(0), BARE, "signed"),
        (None, at(7), proven(0, 7), "signed"),
        (None, Checkpoint("autopilot/a", 0, LEAVES[0]), BARE, "bad_proof"),
        (None, at(7), proven(3, 7), "bad_proof"),
        (at(7), at(7), BARE, "signed"),
        (at(7), at(7), proven(7, 7), "signed"),
        (at(7), at(7), Submission(b"", 7, (LEAVES[0],)), "bad_proof"),
        (at(7), at(7, OTHERS), BARE, "forked"),
        (at(7), at(6), BARE, "older_checkpoint"),
        (at(7), at(6, OTHERS), proven(6, 6), "older_checkpoint"),
        (at(7), at(9), BARE, "proof_missing"),
        (at(7), at(9), proven(6, 9), "stale_proof"),
        (at(7), at(9), proven(8, 9), "stale_proof"),
        (at(7), at(9), Submission(b"", 0), "stale_proof"),
        (at(7), at(9), proven(7, 9), "signed"),
        (at(7), at(9), Submission(b"", 7), "bad_proof"),
        (at(7), at(9, OTHERS), proven(7, 9, OTHERS), "bad_proof"),
        (at(4), at(9, OTHERS), proven(4, 9, OTHERS), "signed"),
        (at(0), at(9), proven(0, 9), "signed"),
    ],
)
def test_what_is_signed_and_what_is_not(
    last: Checkpoint | None, new: Checkpoint, submission: Submission, said: str
) -> None:
    assert answer(last, new, submission) == said


def test_every_pair_of_sizes_is_proven_from_where_the_witness_stands_and_from_nowhere_else() -> None:
    for last in range(1, 20):
        for new in range(last + 1, 21):
            for old in range(1, new + 1):
                said = answer(at(last), at(new), proven(old, new))
                assert said == ("signed" if old == last else "stale_proof"), (last, new, old)


def test_a_submission_is_read_as_it_was_written() -> None:
    for submission in (BARE, proven(0, 7), proven(3, 7), proven(7, 7)):
        assert parse_submission(submission.encode()) == submission


# https://c2sp.org/tlog-witness, the example of a request: an old size, four lines, the checkpoint.
PUBLISHED = b"""old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=

example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
"""


def test_the_published_request_is_read() -> None:
    read = parse_submission(PUBLISHED)
    assert (read.old, len(read.path), read.note[:7]) == (20852014, 4, b"example")
    assert read.encode() == PUBLISHED


HASH = base64.b64encode(EMPTY_ROOT)


@pytest.mark.parametrize(
    "data",
    [
        b"old 7\n",
        b"old 07\n\nnote",
        b"old -7\n\nnote",
        b"old  7\n\nnote",
        b"old 7 \n\nnote",
        b"old \xb2\n\nnote",
        b"old " + b"9" * 17 + b"\n\nnote",
        b"old 7\nabc\n\nnote",
        b"old 7\n" + HASH[:-1] + b"\n\nnote",
        b"old 7\n" + HASH + b" \n\nnote",
        b"old 7\n" + (HASH + b"\n") * (MAX_PROOF_LINES + 1) + b"\nnote",
    ],
)
def test_what_is_no_submission(data: bytes) -> None:
    with pytest.raises(ContractError) as caught:
        parse_submission(data)
    assert caught.value.code == "malformed_proof"


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_be_refused(data: bytes) -> None:
    for given_ in (data, b"old " + data):
        with contextlib.suppress(ContractError):
            parse_submission(given_)


def test_a_proof_that_was_changed_in_one_byte_does_not_hold() -> None:
    honest = proven(7, 19)
    for index, item in enumerate(honest.path):
        changed = (*honest.path[:index], bytes([item[0] ^ 1]) + item[1:], *honest.path[index + 1 :])
        with pytest.raises(IntegrityError, match="bad_proof"):
            check_proof(at(7), at(19), Submission(b"", 7, changed))
