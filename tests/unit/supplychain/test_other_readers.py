"""What leaves here, read by the packages that others verify with: securesystemslib, in-toto-attestation, sigstore."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from google.protobuf.json_format import Parse
from in_toto_attestation.predicates.test_result.v0 import test_result_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement as InTotoStatement
from moves import KEY, SHA, move, run
from securesystemslib.dsse import Envelope as OtherEnvelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey
from sigstore.dsse import Envelope as SigstoreEnvelope
from sigstore.dsse import Statement as SigstoreStatement
from sigstore.errors import Error as SigstoreError
from sigstore.hashes import Hashed
from sigstore_models.common.v1 import HashAlgorithm

from autopilot.signing.note import SigningKey
from autopilot.supplychain.dsse import key_id_of, pem_of, sealed
from autopilot.supplychain.predicates import JUDGED_TREE, TEST_RESULT, statements_of
from autopilot.supplychain.statement import Statement

PUBLIC = load_pem_public_key(pem_of(KEY.verifier).encode())
STATEMENTS = statements_of(move(), run())
OF_ARTIFACTS = tuple(statement for statement in STATEMENTS if statement.subjects[0].name != JUDGED_TREE)
OF_TREE = tuple(statement for statement in STATEMENTS if statement not in OF_ARTIFACTS)


def envelope(statement: Statement) -> dict[str, Any]:
    """The envelope as JSON."""
    value: dict[str, Any] = json.loads(sealed(statement.payload(), KEY).encode())
    return value


def in_toto(payload: bytes) -> InTotoStatement:
    """The payload as in-toto-attestation has it."""
    return InTotoStatement.copy_from_pb(Parse(payload, statement_pb2.Statement()))


def digest(sha256: str) -> Hashed:
    """A digest as sigstore has it."""
    return Hashed(algorithm=HashAlgorithm.SHA2_256, digest=bytes.fromhex(sha256))


@pytest.mark.parametrize("statement", STATEMENTS, ids=range(len(STATEMENTS)))
def test_securesystemslib_verifies_with_the_key_id_that_it_computes_itself(statement: Statement) -> None:
    other = SSlibKey.from_crypto(PUBLIC)
    assert other.keyid == key_id_of(KEY.verifier)
    read = OtherEnvelope.from_dict(envelope(statement))
    assert read.verify([other], 1) == {other.keyid: other}
    assert read.payload == statement.payload()


def test_securesystemslib_refuses_another_payload_signature_and_key() -> None:
    other = SSlibKey.from_crypto(PUBLIC)
    stranger = SigningKey("autopilot/0123", bytes(32))
    first, second = (envelope(statement) for statement in STATEMENTS[:2])
    swapped = {**first, "payload": second["payload"]}
    forged = {**first, "signatures": [{**first["signatures"][0], "sig": second["signatures"][0]["sig"]}]}
    signed = json.loads(sealed(STATEMENTS[0].payload(), stranger).encode())
    # Signed by a stranger who writes our key's id over his.
    claimed = {**signed, "signatures": [{**signed["signatures"][0], "keyid": other.keyid}]}
    for cheat in (swapped, forged, claimed, signed):
        with pytest.raises(VerificationError):
            OtherEnvelope.from_dict(cheat).verify([other], 1)


@pytest.mark.parametrize("statement", STATEMENTS, ids=range(len(STATEMENTS)))
def test_in_toto_takes_every_statement(statement: Statement) -> None:
    read = in_toto(statement.payload())
    read.validate()
    assert read.pb.predicate_type == statement.predicate_type
    assert [subject.name for subject in read.pb.subject] == [subject.name for subject in statement.subjects]


def test_in_toto_takes_the_test_result_predicate() -> None:
    predicate = next(s.predicate for s in STATEMENTS if s.predicate_type == TEST_RESULT)
    read = Parse(json.dumps(predicate), test_result_pb2.TestResult())
    assert (read.result, list(read.passed_tests)) == ("PASSED", ["tests.test_a", "tests.test_b"])
    assert read.configuration[0].name == "autopilot.toml"


def test_in_toto_refuses_a_statement_with_its_subjects_taken_out() -> None:
    cut = {**json.loads(STATEMENTS[0].payload()), "subject": []}
    with pytest.raises(ValueError, match="subject"):
        in_toto(json.dumps(cut).encode()).validate()


@pytest.mark.parametrize("statement", OF_ARTIFACTS, ids=range(len(OF_ARTIFACTS)))
def test_sigstore_reads_envelope_and_statement_and_finds_the_artifact(statement: Statement) -> None:
    read = SigstoreEnvelope._from_json(json.dumps(envelope(statement)))
    PUBLIC.verify(read.signature, read.pae())
    parsed = SigstoreStatement(statement.payload())
    assert parsed._matches_digest(digest(SHA))
    assert not parsed._matches_digest(digest("00" * 32))


def test_sigstore_shows_a_changed_payload_and_a_swapped_digest() -> None:
    first = envelope(STATEMENTS[0])
    payload = STATEMENTS[0].payload().replace(SHA.encode(), b"00" * 32)
    changed = {**first, "payload": base64.b64encode(payload).decode()}
    read = SigstoreEnvelope._from_json(json.dumps(changed))
    with pytest.raises(InvalidSignature):
        PUBLIC.verify(read.signature, read.pae())
    assert not SigstoreStatement(payload)._matches_digest(digest(SHA))


@pytest.mark.parametrize("statement", OF_TREE, ids=range(len(OF_TREE)))
def test_sigstore_refuses_git_digests_which_is_why_they_stand_alone(statement: Statement) -> None:
    # Its envelope is read all the same. When the parser takes them, the two statements can become one.
    SigstoreEnvelope._from_json(json.dumps(envelope(statement)))
    with pytest.raises(SigstoreError, match="malformed in-toto statement"):
        SigstoreStatement(statement.payload())
