"""Envelopes: the published example of the format, and everything that is not what was signed."""

from __future__ import annotations

import base64
import contextlib
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from hypothesis import given
from hypothesis import strategies as st

from autopilot.kernel.errors import IntegrityError
from autopilot.signing.note import Note, SigningKey, sign, verify
from autopilot.supplychain.dsse import (
    PAYLOAD_TYPE,
    Envelope,
    EnvelopeSignature,
    key_id_of,
    opened,
    pae,
    pem_of,
    sealed,
)

KEY = SigningKey("autopilot/0123", bytes(range(32)))
OTHER = SigningKey("autopilot/0123", bytes(range(1, 33)))
PAYLOAD = b'{"_type":"https://in-toto.io/Statement/v1","subject":[]}'

# secure-systems-lab/dsse, protocol.md, "Test Vectors".
PUBLISHED = (
    '{"payload": "aGVsbG8gd29ybGQ=",\n "payloadType": "http://example.com/HelloWorld",\n'
    ' "signatures": [{"sig": "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDA'
    'ajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA=="}]}'
)
PUBLISHED_X = 46950820868899156662930047687818585632848591499744589407958293238635476079160
PUBLISHED_Y = 5640078356564379163099075877009565129882514886557779369047442380624545832820


def unsigned(data: bytes, *keys: SigningKey) -> str:
    """What is said of an envelope that is refused."""
    with pytest.raises(IntegrityError) as caught:
        opened(data, [key.verifier for key in keys])
    assert caught.value.code == "unsigned"
    return caught.value.detail


# --- the format


def test_the_published_example_is_read_and_its_signature_is_over_our_encoding() -> None:
    envelope = Envelope.parse(PUBLISHED.encode())
    encoding = pae(envelope.payload_type, envelope.payload)
    assert encoding == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    raw = envelope.signatures[0].data
    half = len(raw) // 2
    signature = encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))
    public = ec.EllipticCurvePublicNumbers(PUBLISHED_X, PUBLISHED_Y, ec.SECP256R1()).public_key()
    public.verify(signature, encoding, ec.ECDSA(SHA256()))


def test_the_published_example_is_not_ours() -> None:
    assert "type" in unsigned(PUBLISHED.encode(), KEY)


def test_lengths_are_those_of_the_bytes() -> None:
    assert pae("ä", "ö".encode()) == "DSSEv1 2 ä 2 ö".encode()
    assert pae("", b"") == b"DSSEv1 0  0 "


def test_what_was_sealed_is_opened_and_is_the_same_each_time() -> None:
    line = sealed(PAYLOAD, KEY).encode()
    assert opened(line, [OTHER.verifier, KEY.verifier]) == PAYLOAD
    assert line == sealed(PAYLOAD, KEY).encode()
    assert b"\n" not in line
    assert json.loads(line)["signatures"][0]["keyid"] == key_id_of(KEY.verifier)


def test_an_envelope_without_a_key_id_in_the_other_alphabet_is_read() -> None:
    raw = json.loads(sealed(b"\xff\xfe\xfb" * 9, KEY).encode())
    for place, name in ((raw, "payload"), (raw["signatures"][0], "sig")):
        place[name] = base64.urlsafe_b64encode(base64.b64decode(place[name])).decode()
    del raw["signatures"][0]["keyid"]
    assert "-" in raw["payload"] or "_" in raw["payload"]
    assert opened(json.dumps(raw).encode(), [KEY.verifier]) == b"\xff\xfe\xfb" * 9


def test_the_public_key_is_what_other_tools_read() -> None:
    public = load_pem_public_key(pem_of(KEY.verifier).encode())
    public.verify(sealed(PAYLOAD, KEY).signatures[0].data, pae(PAYLOAD_TYPE, PAYLOAD))


# --- what is refused


def test_another_payload_signature_type_or_key_is_refused() -> None:
    envelope = sealed(PAYLOAD, KEY)
    good = envelope.signatures
    flipped = bytes([good[0].data[0] ^ 1]) + good[0].data[1:]
    cheats = {
        "payload": Envelope(PAYLOAD + b" ", PAYLOAD_TYPE, good),
        "signature": Envelope(PAYLOAD, PAYLOAD_TYPE, (EnvelopeSignature(good[0].key_id, flipped),)),
        "empty signature": Envelope(PAYLOAD, PAYLOAD_TYPE, (EnvelopeSignature(good[0].key_id, b""),)),
        "no signature": Envelope(PAYLOAD, PAYLOAD_TYPE, ()),
        "type": Envelope(PAYLOAD, "application/json", good),
        "key that claims the other's id": Envelope(
            PAYLOAD, PAYLOAD_TYPE, (EnvelopeSignature(good[0].key_id, sealed(PAYLOAD, OTHER).signatures[0].data),)
        ),
    }
    for what, cheat in cheats.items():
        assert unsigned(cheat.encode(), KEY), what
    assert unsigned(envelope.encode(), OTHER)
    assert unsigned(envelope.encode())


def test_a_signature_of_a_stranger_beside_ours_does_no_harm() -> None:
    both = (*sealed(PAYLOAD, OTHER).signatures, *sealed(PAYLOAD, KEY).signatures)
    assert opened(Envelope(PAYLOAD, PAYLOAD_TYPE, both).encode(), [KEY.verifier]) == PAYLOAD


def test_a_payload_of_another_type_signed_by_our_key_is_refused() -> None:
    data = EnvelopeSignature("", KEY.sign_bytes(pae("application/json", PAYLOAD)))
    assert "type" in unsigned(Envelope(PAYLOAD, "application/json", (data,)).encode(), KEY)
    assert unsigned(Envelope(PAYLOAD, PAYLOAD_TYPE, (data,)).encode(), KEY)


def test_a_notes_signature_is_none_of_an_envelope_and_the_reverse() -> None:
    note = sign("autopilot/0123\n1\n", KEY)
    moved = EnvelopeSignature(key_id_of(KEY.verifier), note.signatures[0].data)
    assert unsigned(Envelope(note.text.encode(), PAYLOAD_TYPE, (moved,)).encode(), KEY)
    # The encoding ends as the JSON does, a note's text with a newline: no text is both.
    assert not pae(PAYLOAD_TYPE, PAYLOAD).endswith(b"\n")
    text = pae(PAYLOAD_TYPE, PAYLOAD).decode() + "\n"
    forged = sign(text, OTHER).signatures[0]
    stolen = type(forged)(KEY.verifier.name, KEY.id, sealed(PAYLOAD, KEY).signatures[0].data)
    with pytest.raises(IntegrityError, match="does not hold"):
        verify(Note(text, (stolen,)), [KEY.verifier])


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"null",
        b'"x"',
        b"{}",
        b'{"payload":"","payloadType":"x"}',
        b'{"payload":"a","payloadType":"x","signatures":[]}',
        b'{"payload":"YQ==","payloadType":"x","signatures":{"a":1}}',
        b'{"payload":"YQ==","payloadType":"x","signatures":[null]}',
        b'{"payload":"YQ==","payloadType":7,"signatures":[]}',
        b'{"payload":"YQ==","payloadType":"x","signatures":[{"sig":"YQ==","keyid":7}]}',
        b'{"payload":"YQ==","payloadType":"x","signatures":[{"keyid":""}]}',
        '{"payload":"äöü=","payloadType":"x","signatures":[]}'.encode(),
    ],
)
def test_what_is_no_envelope_is_refused(text: bytes) -> None:
    assert "not a DSSE envelope" in unsigned(text, KEY)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_do_more_than_be_refused(data: bytes) -> None:
    assert unsigned(data, KEY)


@given(st.integers(0), st.integers(1, 255))
def test_a_changed_byte_is_refused_or_changes_nothing(place: int, mask: int) -> None:
    line = bytearray(sealed(PAYLOAD, KEY).encode())
    line[place % len(line)] ^= mask
    with contextlib.suppress(IntegrityError):
        assert opened(bytes(line), [KEY.verifier]) == PAYLOAD
