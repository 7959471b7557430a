"""Cosignatures: real witnesses' lines on a real log's checkpoint, and every line that is none.

Red without: the check of the Ed25519 signature, of the time's place in the message, of a line being there for each key
that is demanded, of every line of a known key, and of the witness being somebody else than the ledger.
"""

from __future__ import annotations

import base64

import pytest

from autopilot.kernel.errors import ContractError, IntegrityError
from autopilot.signing.checkpoint import open_checkpoint
from autopilot.signing.cosignature import CosignerKey, cosign, cosigner_of, verify_cosignatures
from autopilot.signing.note import Note, Signature, SigningKey, VerifierKey, sign, verify

# A checkpoint of a public certificate transparency log with the lines of four witnesses of the public network.
PUBLISHED = """\
arche2025h1.staging.ct.transparency.dev
1432088532
U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=

— arche2025h1.staging.ct.transparency.dev ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3NygNI75MdhL1bfTW9g8Ei59RA23oHP7Ry1k3ZFWwQ=
— transparency.dev/DEV:witness-little-garden 2AQqhwAAAABqEiEgzgFIqqhbUoDwjMWE6UP8nd8/KYTzwZ2rhIgcqoXHAwVkjZr4AscylP3v7sEodkRAErumC2q44vdgJY096st5BQ==
— witness1.smartit.nu/witness1 pIyCDwAAAABqEiEghIp82KWebrw7/oHQwlTAm3g2RKS4+eebl8eO0WH+/iEcxZ75W3u5hNI7TOQtmJbqmNWVuE0tgh0XwzdZsDsUAQ==
— remora.n621.de 2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVCIobWX9sXTynk5XeU/zZ0WBxtqB0DrAWfBw==
— witness.stagemole.eu Z/euoAAAAABqEiEgw0i+7g2ENfDAWHmtRzCfKTHSDwYDJA2NmKeGi9Y8FtEyOUvVr+AJmIY/2TUFucgKi7lI7cUiOvKFYe/TmN9DAg==
"""  # noqa: E501 - as published
LOG = "arche2025h1.staging.ct.transparency.dev+ba2f06c0+AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f"
WITNESSES = (
    "transparency.dev/DEV:witness-little-garden+d8042a87+BCtusOxINQNUTN5Oj8HObRkh2yHf/MwYaGX4CPdiVEPM",
    "witness1.smartit.nu/witness1+a48c820f+BPSFWg9G6KPiO7QPryYO5Xq4oYJJ+kAvLKLSimDhoxMO",
    "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
    "witness.stagemole.eu+67f7aea0+BEqSG3yu9YrmcM3BHvQYTxwFj3uSWakQepafafpUqklv",
)
TEXT = "autopilot/a\n123\nf+7CoKgXKE/tNys9TTXcr/ad6U/K3xvznmzew9y6SP0=\n"
LEDGER = SigningKey("autopilot/a", bytes(range(32)))
WITNESS = SigningKey("ci.example.org/shop", bytes(range(1, 33)))
NOTE = sign(TEXT, LEDGER)


def refused(note: Note, *keys: CosignerKey) -> str:
    with pytest.raises(IntegrityError) as caught:
        verify_cosignatures(note, keys)
    assert caught.value.code == "unwitnessed"
    return caught.value.detail


@pytest.mark.parametrize("text", WITNESSES)
def test_the_lines_of_the_public_network_hold(text: str) -> None:
    key = CosignerKey.parse(text)
    assert key.encode() == text
    (found,) = verify_cosignatures(Note.parse(PUBLISHED.encode()), [key])
    assert (found.key, found.seconds) == (key, 1779573024)
    for changed in (PUBLISHED.replace("1432088532", "1432088533"), PUBLISHED.replace("AAAABqEiEg", "AAAABqEiEh")):
        assert "does not hold" in refused(Note.parse(changed.encode()), key)


def test_the_logs_own_signature_on_the_published_checkpoint_holds_and_is_another_thing() -> None:
    log = VerifierKey.parse(LOG)
    assert open_checkpoint(PUBLISHED.encode(), [log]).size == 1432088532
    assert verify(Note.parse(PUBLISHED.encode()), [log]) == (log,)
    with pytest.raises(ContractError, match="type 0x04"):
        CosignerKey.parse(LOG)
    for text in WITNESSES:
        with pytest.raises(ContractError, match="type 0x01"):
            VerifierKey.parse(text)


def test_the_line_of_the_formats_own_tests_has_the_time_it_says() -> None:
    data = base64.b64decode(
        "ZGhGuQAAAABm/qTPeyKXD+R2rzyQsxPiP8mXum7qq/iF0u4vanlqJyocWODBt97w9uL+8qT7S5gxEHWWOworDcFiEBYJXORmnFBOBA=="
    )
    assert int.from_bytes(data[4:12], "big") == 1727964367
    assert len(data) == 4 + 8 + 64


def test_what_is_signed_is_header_time_and_the_whole_text() -> None:
    note = cosign(NOTE, WITNESS, 1679315147)
    line = note.signatures[-1]
    assert line.data[:8] == (1679315147).to_bytes(8, "big")
    assert line.data[8:] == WITNESS.sign_bytes(f"cosignature/v1\ntime 1679315147\n{TEXT}".encode())
    (found,) = verify_cosignatures(Note.parse(note.encode().encode()), [cosigner_of(WITNESS)])
    assert found.seconds == 1679315147
    # The ledger's own signature is still there and still counts.
    assert verify(note, [LEDGER.verifier]) == (LEDGER.verifier,)


def test_further_lines_of_the_text_are_signed_too() -> None:
    note = cosign(sign(f"{TEXT}more\n", LEDGER), WITNESS, 5)
    assert refused(Note(note.text.replace("more", "less"), note.signatures), cosigner_of(WITNESS))


def test_neither_signature_passes_for_the_other() -> None:
    plain = Note(TEXT, (WITNESS.sign(TEXT),))
    assert "no signature" in refused(plain, cosigner_of(WITNESS))
    disguised = Note(
        TEXT, (Signature(WITNESS.verifier.name, cosigner_of(WITNESS).id, WITNESS.sign_bytes(TEXT.encode())),)
    )
    assert "no time and signature" in refused(disguised, cosigner_of(WITNESS))
    line = cosign(NOTE, WITNESS, 7).signatures[-1]
    with pytest.raises(IntegrityError, match="unsigned"):
        verify(Note(TEXT, (Signature(line.name, WITNESS.id, line.data[8:]),)), [WITNESS.verifier])


def test_the_time_cannot_be_changed() -> None:
    line = cosign(NOTE, WITNESS, 7).signatures[-1]
    later = Signature(line.name, line.key_id, (8).to_bytes(8, "big") + line.data[8:])
    assert "does not hold" in refused(Note(TEXT, (later,)), cosigner_of(WITNESS))
    beyond = Signature(line.name, line.key_id, b"\xff" * 8 + line.data[8:])
    assert "no time" in refused(Note(TEXT, (beyond,)), cosigner_of(WITNESS))
    for seconds in (-1, 2**63):
        with pytest.raises(ContractError):
            cosign(NOTE, WITNESS, seconds)


def test_every_witness_that_is_demanded_must_have_signed() -> None:
    other = SigningKey.generate("elsewhere.example/w")
    one = cosign(NOTE, WITNESS, 7)
    both = cosign(one, other, 9)
    keys = [cosigner_of(WITNESS), cosigner_of(other)]
    assert [found.seconds for found in verify_cosignatures(both, keys)] == [7, 9]
    assert "no signature of elsewhere" in refused(one, *keys)
    assert verify_cosignatures(one, []) == ()
    namesake = CosignerKey(WITNESS.verifier.name, other.verifier.public)
    assert "no signature" in refused(one, namesake)


def test_signing_again_takes_the_place_of_the_line_before_and_one_bad_line_spoils_the_good_one() -> None:
    again = cosign(cosign(NOTE, WITNESS, 7), WITNESS, 8)
    assert len(again.signatures) == 2
    old, new = cosign(NOTE, WITNESS, 7).signatures[-1], again.signatures[-1]
    (found,) = verify_cosignatures(Note(TEXT, (old, new)), [cosigner_of(WITNESS)])
    assert found.seconds == 8
    bad = Signature(new.name, new.key_id, new.data[:-1] + bytes([new.data[-1] ^ 1]))
    assert "does not hold" in refused(Note(TEXT, (old, bad)), cosigner_of(WITNESS))


def test_a_ledger_is_not_its_own_witness_and_only_checkpoints_are_witnessed() -> None:
    with pytest.raises(ContractError, match="own witness"):
        cosign(NOTE, SigningKey.generate("autopilot/a"), 7)
    with pytest.raises(IntegrityError, match="unsigned"):
        cosign(sign("no checkpoint\n", LEDGER), WITNESS, 7)
