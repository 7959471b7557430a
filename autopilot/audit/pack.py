"""The audit pack: a folder that an outsider can verify without autopilot, by reading and running one short file.

    pack.json                which ledger, how many lines, whether the sealed objects are here
    seg/<first>.jsonl        the lines, byte for byte
    checkpoints/<size>.note  the signed checkpoints
    keys/<id>.vkey           the verifier keys this machine knows; the outsider compares them with the one he was given
    objects/<aa>/<sha256>    the sealed objects that lines name as artifacts, if asked for
    verify.py                checks all of it; the text of `audit.pack_verifier`, standard library only

The folder appears whole or not at all.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import orjson

from autopilot.audit import pack_verifier
from autopilot.kernel.errors import ContractError
from autopilot.kernel.files import storage_error
from autopilot.signing.note import VerifierKey

FORMAT = 1
ABOUT = "pack.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class PackContent:
    """What goes into a pack. `objects` is None where the sealed objects are left out; segments and objects stream."""

    ledger: str
    entries: int
    segments: Iterable[tuple[str, bytes]]
    notes: Iterable[tuple[str, bytes]]
    keys: Iterable[VerifierKey]
    objects: Iterable[tuple[str, bytes]] | None = None


def write_pack(content: PackContent, target: Path) -> int:
    """Make the folder `target` and return its number of files; ContractError `target_exists` if it holds anything."""
    require_free(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
            made = Path(folder) / "pack"
            count = _fill(content, made)
            if target.exists():
                target.rmdir()
            made.rename(target)
    except OSError as error:
        raise storage_error(error, target) from error
    return count


def require_free(target: Path) -> None:
    """Return if nothing is at `target`, or an empty folder."""
    if target.is_symlink() or target.is_file() or (target.is_dir() and any(target.iterdir())):
        raise ContractError("target_exists", where=str(target))


def _fill(content: PackContent, folder: Path) -> int:
    about = {"format": FORMAT, "ledger": content.ledger, "entries": content.entries}
    files: list[tuple[str, Iterable[tuple[str, bytes]]]] = [
        ("seg", content.segments),
        ("checkpoints", content.notes),
        ("keys", ((f"{key.id}.vkey", f"{key.encode()}\n".encode()) for key in content.keys)),
        ("objects", ((f"{digest[:2]}/{digest}", data) for digest, data in content.objects or ())),
    ]
    count = 0
    for name, parts in files:
        for path, data in parts:
            place = folder / name / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
            count += 1
    (folder / ABOUT).write_bytes(orjson.dumps({**about, "objects": content.objects is not None}) + b"\n")
    shutil.copyfile(pack_verifier.__file__, folder / "verify.py")
    return count + 2
