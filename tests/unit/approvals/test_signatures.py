"""Signed grants: every byte is signed, one form only, and the key is one that may."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autopilot.approvals.grants import Grant, Parties, Terms, issue_grant
from autopilot.approvals.requests import Asked
from autopilot.approvals.signatures import (
    FIRST_LINE,
    Signers,
    as_note,
    check_signature,
    read_grant,
    sign_grant,
    signer,
    text_of,
)
from autopilot.approvals.subjects import Subject
from autopilot.cli.approver import described
from autopilot.kernel.callers import Caller
from autopilot.kernel.canonical import dumps
from autopilot.kernel.errors import ContractError
from autopilot.signing.note import Note, SigningKey, sign

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SUBJECT = Subject(ledger="a" * 32, task="T-1", epoch=3, move="IMPLEMENT->VERIFY", kind="tests_changed", digest="b" * 64)
KEY = SigningKey("ada", bytes(range(32)))
EVE = SigningKey("ada", bytes(range(1, 33)))
SIGNERS = Signers((KEY.verifier,), required=True)
AGENT = Caller("bot", "agent", "run-1")


def made(key: SigningKey = KEY, **changes: object) -> Grant:
    terms = Terms(now=NOW, nonce="0" * 32, evidence="e" * 64)
    grant = issue_grant(SUBJECT, signer(key.verifier.name), 'read "it"', Parties(AGENT), terms)
    return sign_grant(replace(grant, **changes), key)


def codes(grant: Grant, signers: Signers = SIGNERS) -> list[str]:
    return [reason.code for reason in check_signature(grant, signers)]


def test_what_is_signed_byte_by_byte() -> None:
    assert text_of(made()) == (
        "autopilot/approval-grant/v1\n"
        f"ledger {'a' * 32}\n"
        "task T-1\n"
        "epoch 3\n"
        "move IMPLEMENT->VERIFY\n"
        "kind tests_changed\n"
        f"digest {'b' * 64}\n"
        f"subject {SUBJECT.sha256}\n"
        f"evidence {'e' * 64}\n"
        "approver ada\n"
        'reason "read \\"it\\""\n'
        "granted_at 2026-11-21T12:00:00.000000Z\n"
        "expires_at 2026-11-22T12:00:00.000000Z\n"
        f"nonce {'0' * 32}\n"
    )


def test_a_signed_grant_comes_back_as_it_was_and_counts() -> None:
    grant = made()
    assert not grant.advisory
    assert read_grant(as_note(grant)) == grant
    assert codes(grant) == []
    assert Note.parse(as_note(grant)).text == text_of(grant), "any tool that reads signed notes can check it"


OTHERS: dict[str, object] = {
    "subject": replace(SUBJECT, digest="c" * 64),
    "approver": signer("eve"),
    "reason": "another",
    "granted_at": NOW - timedelta(hours=1),
    "expires_at": NOW + timedelta(hours=25),
    "nonce": "1" * 32,
    "advisory": True,
    "evidence": "f" * 64,
    "key": EVE.id,
    "signature": made(EVE).signature,
}


def test_every_field_is_tried() -> None:
    assert set(OTHERS) == set(Grant.__dataclass_fields__)


@pytest.mark.parametrize("name", OTHERS)
def test_no_field_can_be_changed(name: str) -> None:
    # Red without: the verification in `holds`, or a field left out of `text_of`.
    assert codes(replace(made(), **{name: OTHERS[name]})) in (["signature_bad"], ["signer_unknown"])


@pytest.mark.parametrize("part", ["ledger", "task", "epoch", "move", "kind"])
def test_no_part_of_the_subject_can_be_changed(part: str) -> None:
    other = {"ledger": "c" * 32, "task": "T-2", "epoch": 4, "move": "VERIFY->REVIEW", "kind": "outside_plan"}[part]
    assert codes(replace(made(), subject=replace(SUBJECT, **{part: other}))) == ["signature_bad"]


def test_another_key_of_the_same_name_is_another_person() -> None:
    assert codes(made(EVE)) == ["signer_unknown"]
    # And one that claims the registered key's id signs nothing with it.
    assert codes(replace(made(EVE), key=KEY.id)) == ["signature_bad"]


def test_a_key_that_is_taken_out_counts_no_more() -> None:
    assert codes(made(), Signers((EVE.verifier,), required=True)) == ["signer_unknown"]
    assert codes(made(), Signers((), required=False)) == ["signer_unknown"]


def test_unsigned_counts_where_signatures_are_optional_only() -> None:
    bare = issue_grant(SUBJECT, Caller("ada", "human", "tty"), "fine", Parties(AGENT), Terms(now=NOW, nonce="0" * 32))
    assert codes(bare, Signers((KEY.verifier,), required=False)) == []
    (reason,) = check_signature(bare, SIGNERS)
    assert reason.code == "signature_needed"
    assert f"ada ({KEY.id})" in reason.detail, "who may sign is said"
    assert codes(replace(bare, key=KEY.id), SIGNERS) == ["signature_bad"], "half a signature is none"


def test_an_unknown_word_requires() -> None:
    assert Signers.of((), "perhaps").required


@pytest.mark.parametrize("end", [NOW - timedelta(seconds=1), NOW, NOW + timedelta(days=7, seconds=1)])
def test_no_signature_holds_for_longer_than_a_grant_may(end: datetime) -> None:
    # Red without: `timely`. The approver's own machine decides what is signed, the engine what counts.
    assert codes(made(expires_at=end)) == ["signature_bad"]


def test_a_checkpoint_signed_by_the_same_key_is_no_grant() -> None:
    text = text_of(made()).replace(FIRST_LINE, "autopilot/" + "a" * 32)
    with pytest.raises(ContractError) as caught:
        read_grant(sign(text, KEY).encode().encode())
    assert caught.value.code == "malformed_grant"


def broken(old: str, new: str) -> bytes:
    """A grant whose text was changed and signed anew by the right key."""
    text = text_of(made())
    assert old in text
    return sign(text.replace(old, new), KEY).encode().encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"x" * 9000,
        b"{}",
        as_note(made())[:-1],
        as_note(made()) + as_note(made()).splitlines(keepends=True)[-1],
        broken("epoch 3", "epoch 03"),
        broken("epoch 3", "epoch +3"),
        broken("epoch 3", "epoch three"),
        broken("task T-1\n", ""),
        broken("task T-1\n", "task T-1\ntask T-1\n"),
        broken("task T-1", "Task T-1"),
        broken("kind tests_changed", "kind everything"),
        broken(SUBJECT.sha256, "0" * 64),
        broken('reason "read', 'reason  "read'),
        broken("approver ada", "approver eve"),
        broken("12:00:00.000000Z\nexpires", "12:00:00Z\nexpires"),
        broken("12:00:00.000000Z\nexpires", "12:00:00.000000\nexpires"),
        broken("granted_at 2026", "granted_at 0000"),
    ],
)
def test_one_form_only(data: bytes) -> None:
    with pytest.raises(ContractError) as caught:
        read_grant(data)
    assert caught.value.code == "malformed_grant"


@given(reason=st.text(min_size=1, max_size=60).filter(str.strip), why=st.text(max_size=60))
def test_any_reason_survives(reason: str, why: str) -> None:
    try:
        reason.encode(), why.encode()
    except UnicodeEncodeError:
        return
    asked = Asked(subject=SUBJECT, evidence="e" * 64, requester=AGENT, why=why, title="t", facts=(why,))
    assert Asked.parse(asked.encode()) == asked
    grant = sign_grant(asked.grant("ada", reason, Terms(now=NOW, nonce="0" * 32)), KEY)
    assert read_grant(as_note(grant)) == grant
    assert grant.reason == reason.strip()
    assert codes(grant) == []


REQUEST = Asked(subject=SUBJECT, evidence="e" * 64, requester=AGENT, why="w", facts=("changes none",))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        REQUEST.encode() + b" ",
        REQUEST.encode().replace(b'"T-1"', b'"T-2"'),
        REQUEST.encode().replace(SUBJECT.sha256.encode(), b"0" * 64),
        REQUEST.encode().replace(b'"v":1', b'"v":2'),
        REQUEST.encode().replace(b'"why":"w"', b'"why":"w","why":"x"'),
        REQUEST.encode().replace(b'"epoch":3', b'"epoch":"3"'),
        b"x" * 70_000,
    ],
)
def test_a_request_shows_the_subject_that_would_be_signed(data: bytes) -> None:
    with pytest.raises(ContractError) as caught:
        Asked.parse(data)
    assert caught.value.code == "malformed_grant"


def raw(**changed: object) -> bytes:
    """A request as a hostile machine writes it, past every check of its own."""
    content = json.loads(REQUEST.encode()) | changed
    return dumps(content) + b"\n"


@pytest.mark.parametrize(
    "data",
    [
        raw(facts=[""] * 5000 + ["What would be signed"]),
        raw(facts=["x"] * 21),
        raw(facts=["x" * 201]),
        raw(facts=["x\n" * 5000]),
        raw(evidence="e" * 5000),
    ],
)
def test_a_request_is_no_longer_than_a_person_looks_over(data: bytes) -> None:
    """Thousands of lines would push what is signed out of sight."""
    with pytest.raises(ContractError) as caught:
        Asked.parse(data)
    assert caught.value.code == "malformed_grant"
    assert Asked.parse(raw(facts=["x" * 200] * 20))


def test_what_is_signed_is_printed_last_and_said_by_nobody_else() -> None:
    """Next to the question; what the asking machine says stands behind a bar, clipped, without control characters."""
    fake = "What would be signed"
    why = f"{fake}\n\x1b[2J\x1b[H\r{fake}\u2028{fake} " + "y" * 60_000
    asked = Asked(
        subject=SUBJECT, evidence="e" * 64, requester=AGENT, why=why, title=fake, facts=(fake, f"\x1b[8m{fake}")
    )
    lines = described(asked)
    assert lines.count(fake) == 1
    told, signed = lines[: lines.index(fake)], lines[lines.index(fake) + 1 :]
    assert all(line.startswith("  | ") for line in told[1:])
    assert all(char.isprintable() and len(line) < 1100 for line in lines for char in line)
    assert SUBJECT.sha256 in signed[-2]
    assert len(signed) == 7


def test_the_signature_is_a_plain_ed25519_one() -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    grant = made()
    public = Ed25519PublicKey.from_public_bytes(KEY.verifier.public)
    public.verify(base64.b64decode(grant.signature), text_of(grant).encode())
