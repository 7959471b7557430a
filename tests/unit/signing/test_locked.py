"""An approver's key file: nothing without the passphrase, and nothing of it can be exchanged."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from autopilot.kernel.errors import AutopilotError
from autopilot.signing.locked import lock, read_locked, unlock, verifier_of, write_locked
from autopilot.signing.note import SigningKey

KEY = SigningKey("ada", bytes(range(32)))
WORDS = "correct horse battery"


@pytest.fixture(scope="module")
def locked() -> bytes:
    return lock(KEY, WORDS)


def code(call: object) -> str:
    with pytest.raises(AutopilotError) as caught:
        call()  # type: ignore[operator]
    return caught.value.code


def test_the_passphrase_opens_it(locked: bytes) -> None:
    assert unlock(locked, WORDS).encode() == KEY.encode()
    assert verifier_of(locked) == KEY.verifier


def test_without_it_there_is_nothing(locked: bytes) -> None:
    # Red without: the encryption. What an agent of the same user can read is this file.
    assert bytes(range(32)) not in locked
    assert KEY.encode().encode() not in locked
    assert code(lambda: unlock(locked, WORDS + "!")) == "key_locked"
    assert lock(KEY, WORDS) != locked, "another salt and nonce each time"


def test_a_guess_has_its_price(locked: bytes) -> None:
    cheap = locked.replace(b"scrypt 17 8 1", b"scrypt 04 8 1")
    assert code(lambda: unlock(cheap, WORDS)) == "malformed_key"


def test_the_public_half_cannot_be_exchanged(locked: bytes) -> None:
    eve = SigningKey("ada", bytes(range(1, 33)))
    swapped = locked.replace(KEY.verifier.encode().encode(), eve.verifier.encode().encode())
    assert code(lambda: unlock(swapped, WORDS)) == "key_locked"


@pytest.mark.parametrize("short", ["", "short", "elevenchars"])
def test_a_passphrase_is_due(short: str) -> None:
    assert code(lambda: lock(KEY, short)) == "bad_usage"


@pytest.mark.parametrize("data", [b"", b"\xff\n", b"a\nb\nc\nd\n", b"autopilot-approver-key/v1\n" * 4])
def test_what_is_no_key_file(data: bytes) -> None:
    assert code(lambda: verifier_of(data)) == "malformed_key"


def test_the_file_is_its_owners_alone(locked: bytes, tmp_path: Path) -> None:
    path = tmp_path / "ada.key"
    os.umask(old := os.umask(0))
    try:
        os.umask(0)
        write_locked(path, locked)
    finally:
        os.umask(old)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_locked(path) == locked
    assert code(lambda: write_locked(path, locked)) == "target_exists"
    path.chmod(0o640)
    assert code(lambda: read_locked(path)) == "key_exposed"
    path.chmod(0o600)
    (tmp_path / "twin").hardlink_to(path)
    assert code(lambda: read_locked(path)) == "key_exposed"
    (tmp_path / "link").symlink_to(path)
    assert code(lambda: read_locked(tmp_path / "link")) == "key_exposed"
    assert code(lambda: read_locked(tmp_path)) == "key_exposed"
    assert code(lambda: read_locked(tmp_path / "none")) == "key_missing"
