"""A person's signing key in a file that is worth nothing without the passphrase.

    data = lock(SigningKey.generate("ada"), passphrase)
    verifier = verifier_of(data)       # the public half stands in it, in the clear
    key = unlock(data, passphrase)

The file is four lines of ASCII:

    autopilot-approver-key/v1
    <the verifier key: name+id+key>
    scrypt 17 8 1 <salt, base64>
    <base64 of a nonce, 12 bytes, and the private key's text under ChaCha20-Poly1305>

The text is that of `SigningKey.encode`. The first three lines, newlines included, are authenticated with it. The cost
is fixed: a file cannot ask for a cheaper one. scrypt of 128 MiB makes one guess of the passphrase cost about half a
second of a core; whoever runs as the same user can read the file and is meant to gain nothing by it.

The file is opened as `signing.keys` opens one: the caller's own, closed to others, plain, one name.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import stat
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from autopilot.kernel.errors import ContractError, IntegrityError, MissingComponentError
from autopilot.kernel.files import storage_error
from autopilot.signing.note import SigningKey, VerifierKey

PASSPHRASE_MIN = 12
_FIRST_LINE = "autopilot-approver-key/v1"
_LOG_N, _R, _P = 17, 8, 1
_MEMORY_BYTES = 256 << 20
_SALT_BYTES, _NONCE_BYTES, _KEY_BYTES = 16, 12, 32
_MAX_BYTES = 4096
_REMEDY = "chmod 0600 the file; if others could read it and its passphrase is weak: make another key and register that"


def lock(key: SigningKey, passphrase: str) -> bytes:
    """The file's bytes. ContractError `bad_usage` for a passphrase under 12 characters."""
    if len(passphrase) < PASSPHRASE_MIN:
        raise ContractError(
            "bad_usage",
            where="passphrase",
            detail=f"shorter than {PASSPHRASE_MIN} characters",
            remedy="take several words: who runs as the same user can guess at it for as long as they like",
        )
    salt, nonce = os.urandom(_SALT_BYTES), os.urandom(_NONCE_BYTES)
    clear = f"{_FIRST_LINE}\n{key.verifier.encode()}\nscrypt {_LOG_N} {_R} {_P} {base64.b64encode(salt).decode()}\n"
    sealed = _cipher(passphrase, salt).encrypt(nonce, key.encode().encode(), clear.encode())
    return f"{clear}{base64.b64encode(nonce + sealed).decode()}\n".encode()


def verifier_of(data: bytes) -> VerifierKey:
    """The public half; ContractError `malformed_key` where the file is no locked key."""
    return _parts(data)[0]


def unlock(data: bytes, passphrase: str) -> SigningKey:
    """The key; ContractError `malformed_key`, or `key_locked` for another passphrase or a changed file."""
    verifier, salt, nonce, sealed, clear = _parts(data)
    try:
        text = _cipher(passphrase, salt).decrypt(nonce, sealed, clear)
    except InvalidTag:
        raise ContractError("key_locked", where=verifier.name) from None
    key = SigningKey.parse(text.decode("ascii", "replace"))
    if key.verifier != verifier:
        raise ContractError("malformed_key", where=verifier.name, detail="the private key is not that of its name")
    return key


def write_locked(path: Path, data: bytes) -> None:
    """Write a new file with 0600, durable; ContractError `target_exists` where something is."""
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o600)
        try:
            os.write(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except FileExistsError:
        raise ContractError("target_exists", where=str(path)) from None
    except OSError as error:
        raise storage_error(error, path) from error


def read_locked(path: Path) -> bytes:
    """The file's bytes; MissingComponentError `key_missing`, IntegrityError `key_exposed` where others can have it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise MissingComponentError(
            "key_missing", where=str(path), remedy="name the file that `autopilot approver keygen` wrote: --key FILE"
        ) from None
    except OSError as error:
        raise IntegrityError("key_exposed", where=str(path), detail=str(error), remedy=_REMEDY) from None
    try:
        problem = _exposure(os.fstat(descriptor))
        if problem:
            raise IntegrityError("key_exposed", where=str(path), detail=problem, remedy=_REMEDY)
        return os.read(descriptor, _MAX_BYTES)
    finally:
        os.close(descriptor)


def _exposure(found: os.stat_result) -> str:
    """Why others can have the file, or it is none of the caller's; empty if it is closed."""
    if not stat.S_ISREG(found.st_mode):
        return "not a plain file"
    if found.st_uid != os.geteuid():
        return f"it belongs to user {found.st_uid}"
    if found.st_mode & 0o077:
        return f"its rights are {stat.S_IMODE(found.st_mode):04o}"
    return f"the file has {found.st_nlink} names" if found.st_nlink != 1 else ""


def _parts(data: bytes) -> tuple[VerifierKey, bytes, bytes, bytes, bytes]:
    """Verifier key, salt, nonce, sealed text, and the bytes that are authenticated with it."""
    try:
        first, vkey, scrypt, sealed, rest = data.decode("ascii").split("\n")
        cost, _, salt_text = scrypt.rpartition(" ")
        salt, box = base64.b64decode(salt_text, validate=True), base64.b64decode(sealed, validate=True)
    except (UnicodeDecodeError, ValueError, binascii.Error):
        raise ContractError("malformed_key", detail="not an approver's key file") from None
    sound = (
        (first, cost, rest) == (_FIRST_LINE, f"scrypt {_LOG_N} {_R} {_P}", "")
        and len(salt) == _SALT_BYTES
        and len(box) > _NONCE_BYTES
    )
    if not sound:
        raise ContractError("malformed_key", detail="not an approver's key file of a version known here")
    clear = f"{first}\n{vkey}\n{scrypt}\n".encode()
    return VerifierKey.parse(vkey), salt, box[:_NONCE_BYTES], box[_NONCE_BYTES:], clear


def _cipher(passphrase: str, salt: bytes) -> ChaCha20Poly1305:
    key = hashlib.scrypt(
        passphrase.encode(), salt=salt, n=1 << _LOG_N, r=_R, p=_P, maxmem=_MEMORY_BYTES, dklen=_KEY_BYTES
    )
    return ChaCha20Poly1305(key)
