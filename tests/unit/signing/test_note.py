"""Signed notes and checkpoints: the published examples, and every way in which a note is not one."""

from __future__ import annotations

import pytest

from autopilot.kernel.errors import ContractError, IntegrityError
from autopilot.signing.checkpoint import Checkpoint, checkpoint_of, open_checkpoint, origin_of
from autopilot.signing.note import Note, SigningKey, VerifierKey, sign, verify

# https://c2sp.org/signed-note, "Verifier keys", example.
SPEC_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
SPEC_NOTE = (
    "This is an example message.\n\n"
    "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
# golang.org/x/mod, sumdb/note, the package's example. Ed25519 gives the same signature every time.
GO_PUBLIC = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_PRIVATE = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
GO_NOTE = (
    f"{GO_TEXT}\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


def test_the_example_of_the_format() -> None:
    key = VerifierKey.parse(SPEC_KEY)
    assert (key.name, key.id, key.encode()) == ("example.com/foo", "530d903a", SPEC_KEY)
    note = Note.parse(SPEC_NOTE.encode())
    assert note.text == "This is an example message.\n"
    assert note.encode() == SPEC_NOTE
    assert verify(note, [key]) == (key,)


def test_the_example_of_the_go_package_is_signed_byte_for_byte() -> None:
    key = SigningKey.parse(GO_PRIVATE)
    assert key.encode() == GO_PRIVATE
    assert key.verifier.encode() == GO_PUBLIC
    assert sign(GO_TEXT, key).encode() == GO_NOTE
    assert verify(Note.parse(GO_NOTE.encode()), [VerifierKey.parse(GO_PUBLIC)])


def test_signatures_of_unknown_keys_are_ignored_and_a_bad_one_of_a_known_key_spoils_the_note() -> None:
    known, other = SigningKey.generate("a"), SigningKey.generate("b")
    both = sign("x\n", known, other)
    assert verify(both, [known.verifier]) == (known.verifier,)
    assert verify(both, [other.verifier, known.verifier]) == (known.verifier, other.verifier)
    bad = Note("y\n", (known.sign("y\n"), other.sign("x\n")))
    assert verify(bad, [known.verifier])
    with pytest.raises(IntegrityError, match="does not hold"):
        verify(bad, [known.verifier, other.verifier])


@pytest.mark.parametrize("at", range(len("x\n")))
def test_a_changed_text_is_unsigned(at: int) -> None:
    key = SigningKey.generate("a")
    note = sign("xx\n", key)
    changed = Note(note.text[:at] + "z" + note.text[at + 1 :], note.signatures)
    with pytest.raises(IntegrityError) as caught:
        verify(changed, [key.verifier])
    assert caught.value.code == "unsigned"


def test_a_key_of_the_same_name_or_the_same_id_is_another_key() -> None:
    key = SigningKey.generate("a")
    with pytest.raises(IntegrityError, match="known: no key"):
        verify(sign("x\n", key), [])
    with pytest.raises(IntegrityError, match="unsigned"):
        verify(sign("x\n", key), [SigningKey.generate("a").verifier])
    with pytest.raises(IntegrityError, match="unsigned"):
        verify(sign("x\n", key), [VerifierKey("b", key.verifier.public)])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text\n",
        b"text\n\n",
        b"text\n\n\n",
        SPEC_NOTE.encode()[:-1],
        SPEC_NOTE.encode().replace("—".encode(), b"-"),
        SPEC_NOTE.encode().replace(b"Uw2Q", b"Uw2*"),
        SPEC_NOTE.encode().replace(b"aQM=", b"aQN="),
        SPEC_NOTE.encode().replace(b"example.com/foo ", b"example.com/foo"),
        SPEC_NOTE.encode().replace(b"message", b"mess\tage"),
        SPEC_NOTE.encode() + b"more\n",
        "x\n\n— name AAAAAA==\n".encode(),
        b"\xff\n\n" + SPEC_NOTE.encode(),
        pytest.param(b"x\n\n" + SPEC_NOTE.encode().split(b"\n\n")[1] * 101, id="too-many"),
        pytest.param(b"x" * (1 << 20) + b"\n\n" + SPEC_NOTE.encode(), id="too-long"),
    ],
)
def test_what_is_no_note(data: bytes) -> None:
    with pytest.raises(IntegrityError) as caught:
        verify(Note.parse(data), [VerifierKey.parse(SPEC_KEY)])
    assert caught.value.code == "unsigned"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.com/foo",
        SPEC_KEY.replace("530d903a", "530d903b"),
        SPEC_KEY.replace("+Aek", "+Bek"),
        SPEC_KEY[:-4],
        SPEC_KEY + "AAAA",
        SPEC_KEY.replace("example.com/foo", "example.com foo"),
        SPEC_KEY.replace("example.com/foo", ""),
        GO_PRIVATE,
    ],
)
def test_what_is_no_verifier_key(text: str) -> None:
    with pytest.raises(ContractError) as caught:
        VerifierKey.parse(text)
    assert caught.value.code == "malformed_key"


@pytest.mark.parametrize("text", ["", GO_PUBLIC, GO_PRIVATE[:-4], GO_PRIVATE.replace("c74f20a3", "c74f20a4")])
def test_an_error_about_a_private_key_does_not_quote_it(text: str) -> None:
    with pytest.raises(ContractError) as caught:
        SigningKey.parse(text)
    assert "EKFALV" not in f"{caught.value} {caught.value.where} {caught.value.detail}"


def test_a_text_that_no_note_can_hold_is_not_signed() -> None:
    for text in ("x", "x\x00\n", "x\r\n"):
        with pytest.raises(ContractError):
            sign(text, SigningKey.generate("a"))


def test_a_checkpoint_is_origin_size_and_root() -> None:
    root = bytes(range(32))
    checkpoint = Checkpoint(origin_of("0" * 32), 12, root)
    assert checkpoint.text() == f"autopilot/{'0' * 32}\n12\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"
    assert checkpoint_of(Note(checkpoint.text(), ())) == checkpoint
    assert checkpoint_of(Note(checkpoint.text() + "extension\n", ())) == checkpoint


def test_a_checkpoint_is_signed_by_the_key_of_its_origin() -> None:
    log, witness = SigningKey.generate("autopilot/a"), SigningKey.generate("witness.example")
    text = Checkpoint("autopilot/a", 1, bytes(32)).text()
    keys = [log.verifier, witness.verifier]
    for signers in ((log,), (log, witness), (witness, log)):
        assert open_checkpoint(sign(text, *signers).encode().encode(), keys).size == 1
    # A witness alone, though its key is known, says nothing of whose ledger it is.
    with pytest.raises(IntegrityError, match="not the key of"):
        open_checkpoint(sign(text, witness).encode().encode(), keys)


@pytest.mark.parametrize(
    "text",
    [
        "o\n12\n",
        "o\n\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n",
        "o\n012\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n",
        "o\n-1\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n",
        "o\n\u0661\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n",
        "o\n12\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\n",
        "o\n12\nAAEC\n",
        "o\n12\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n\nx\n",
    ],
)
def test_what_is_no_checkpoint(text: str) -> None:
    with pytest.raises(IntegrityError) as caught:
        checkpoint_of(Note(text, ()))
    assert caught.value.code == "unsigned"
