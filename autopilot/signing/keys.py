"""The owner's keys in a folder: `<id>.key` is secret, `<id>.vkey` is for everybody. A witness's lies in a file alone.

Rules kept here:

- A secret file is made with 0600 in a folder with 0700, and never with wider rights and narrowed afterwards.
- Before a secret is read, the file, and the folder if it is ours, must be the caller's own, plain, not links, and
  closed to everybody else; anything else is `key_exposed`. Rights are not mended silently: others may have read it.
- A secret is durable before it is used: a signature by a key that a power loss took cannot be continued.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

from autopilot.kernel.errors import ContractError, IntegrityError, MissingComponentError
from autopilot.kernel.files import DiskFiles, Files, create_durably, make_dir_durably, storage_error, sync_dir_or_fail
from autopilot.signing.note import SigningKey, VerifierKey

SECRET_MODE = 0o600
FOLDER_MODE = 0o700
_OTHERS = 0o077
_MAX_BYTES = 4096
_ID = re.compile(r"[0-9a-f]{8}")
_PUBLIC_FILE = re.compile(r"[0-9a-f]{8}\.vkey")


class KeyRing:
    """The keys in one folder. The folder is made with the first key."""

    def __init__(self, folder: Path, files: Files | None = None) -> None:
        self.folder = folder
        self._files = files or DiskFiles()

    def create(self, name: str) -> SigningKey:
        """A new key, durable; IntegrityError `key_exposed` if the folder is open to others."""
        self._make_folder()
        key = SigningKey.generate(name)
        write_secret(self._secret(key.id), key, self._files, named=False)
        create_durably(self._files, self._public(key.id), f"{key.verifier.encode()}\n".encode())
        return key

    def load(self, key_id: str) -> SigningKey:
        """The secret key with this id.

        MissingComponentError `key_missing`; IntegrityError `key_exposed`, or `key_damaged` if it is another key.
        """
        path = self._secret(key_id)
        if not self.folder.exists():
            raise MissingComponentError("key_missing", where=str(path))
        _require_closed(self.folder.lstat(), self.folder, stat.S_ISDIR)
        key = read_secret(path)
        if key.id != key_id:
            raise IntegrityError("key_damaged", where=str(path), detail=f"it is the key {key.id}")
        return key

    def public(self, name: str) -> tuple[VerifierKey, ...]:
        """The verifier keys of `name`, those of replaced keys among them; IntegrityError `key_damaged`."""
        try:
            paths = sorted(path for path in self.folder.iterdir() if _PUBLIC_FILE.fullmatch(path.name))
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise storage_error(error, self.folder) from error
        keys: list[VerifierKey] = []
        for path in paths:
            try:
                key = VerifierKey.parse(path.read_text("ascii"))
            except (OSError, UnicodeDecodeError, ContractError) as error:
                raise IntegrityError("key_damaged", where=str(path), detail=str(error)) from None
            if key.name == name:
                keys.append(key)
        return tuple(keys)

    def forget(self, key_id: str) -> None:
        """Remove a secret that was replaced. Its public half stays: what it signed must still verify."""
        try:
            self._files.remove(self._secret(key_id))
        except (FileNotFoundError, IntegrityError):
            return  # an id that is none cannot have a file here
        except OSError as error:
            raise storage_error(error, self.folder) from error

    def _make_folder(self) -> None:
        make_dir_durably(self._files, self.folder.parent)
        try:
            self._files.make_dir(self.folder, FOLDER_MODE)
        except FileExistsError:
            pass
        except OSError as error:
            raise storage_error(error, self.folder) from error
        sync_dir_or_fail(self._files, self.folder.parent)
        _require_closed(self.folder.lstat(), self.folder, stat.S_ISDIR)

    def _secret(self, key_id: str) -> Path:
        # Ids come from ledger lines: one that is not hex must not become a path.
        if not _ID.fullmatch(key_id):
            raise IntegrityError("key_damaged", where=str(self.folder), detail=f"{key_id[:40]!r} is no key id")
        return self.folder / f"{key_id}.key"

    def _public(self, key_id: str) -> Path:
        return self.folder / f"{key_id}.vkey"


def write_secret(path: Path, key: SigningKey, files: Files | None = None, *, named: bool = True) -> None:
    """Make the file `path` with the secret, durable, for its owner alone; ContractError `target_exists`."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    files = files or DiskFiles()
    try:
        descriptor = files.open(path, flags, SECRET_MODE)
        try:
            files.write(descriptor, f"{key.encode()}\n".encode())
            files.sync(descriptor)
        finally:
            os.close(descriptor)
        if named:  # else who calls brings the name to the disk
            files.sync_dir(path.parent)
    except FileExistsError:
        raise ContractError("target_exists", where=str(path)) from None
    except OSError as error:
        raise storage_error(error, path) from error


def read_secret(path: Path) -> SigningKey:
    """The secret key in the file `path`, which is its owner's alone.

    MissingComponentError `key_missing`; IntegrityError `key_exposed`, `key_damaged`.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise MissingComponentError("key_missing", where=str(path)) from None
    except OSError as error:
        raise IntegrityError("key_exposed", where=str(path), detail=str(error)) from None
    try:
        found = os.fstat(descriptor)
        _require_closed(found, path, stat.S_ISREG)
        if found.st_nlink != 1:
            raise IntegrityError("key_exposed", where=str(path), detail=f"the file has {found.st_nlink} names")
        return SigningKey.parse(os.read(descriptor, _MAX_BYTES).decode("ascii", "replace"))
    except ContractError as error:
        raise IntegrityError("key_damaged", where=str(path), detail=error.detail) from None
    finally:
        os.close(descriptor)


def _require_closed(found: os.stat_result, path: Path, is_kind: Callable[[int], bool]) -> None:
    """`path` is of its kind, the caller's own, and nobody else may do anything with it."""
    if not is_kind(found.st_mode):
        raise IntegrityError("key_exposed", where=str(path), detail="a link, or not what it should be")
    if found.st_uid != os.geteuid():
        raise IntegrityError("key_exposed", where=str(path), detail=f"it belongs to user {found.st_uid}")
    if found.st_mode & _OTHERS:
        detail = f"its rights are {stat.S_IMODE(found.st_mode):04o}"
        raise IntegrityError("key_exposed", where=str(path), detail=detail)
