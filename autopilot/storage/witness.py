"""What a witness remembers: for each ledger the checkpoint that it signed last, in one file.

    {"format":1,"checkpoints":{"autopilot/<ledger id>":"<the cosigned note>"}}

The file appears whole or not at all (written aside, synced, moved, the folder synced): a witness that forgot would sign
an older history. Each note must still bear the witness's own signature, so that who can write the file, and has the
ledger's key as well, can put an older state back but cannot make one up. The lock is the caller's to hold.
"""

from __future__ import annotations

from pathlib import Path

from autopilot.kernel.canonical import dumps, parse
from autopilot.kernel.errors import AutopilotError, ContractError, IntegrityError
from autopilot.kernel.files import DiskFiles, Files, read_regular, replace_durably
from autopilot.signing.checkpoint import checkpoint_of
from autopilot.signing.note import Note

FORMAT = 1
MAX_BYTES = 64 << 20


class WitnessStore:
    """The file at `path`. One that is not there holds nothing."""

    def __init__(self, path: Path, files: Files | None = None) -> None:
        self.path = path
        self._files = files or DiskFiles()

    def read(self) -> dict[str, Note]:
        """The last note of each origin; IntegrityError `witness_store_damaged` for anything else than what is kept."""
        try:
            stored = parse(read_regular(self.path.parent, self.path.name, cap=MAX_BYTES))
        except ContractError as error:
            if error.code == "artifact_missing":
                return {}
            raise self._damaged(f"{error.code} {error.detail}") from None
        if not isinstance(stored, dict) or stored.get("format") != FORMAT or set(stored) != {"format", "checkpoints"}:
            raise self._damaged("another format")
        try:
            return {str(origin): self._note(origin, text) for origin, text in stored["checkpoints"].items()}
        except AttributeError:
            raise self._damaged("no list of checkpoints") from None

    def replace(self, notes: dict[str, Note]) -> None:
        """Remember these, durably; StorageError where the disk does not."""
        texts = {origin: notes[origin].encode() for origin in sorted(notes)}
        replace_durably(self._files, self.path, dumps({"format": FORMAT, "checkpoints": texts}) + b"\n")

    def _note(self, origin: object, text: object) -> Note:
        if not isinstance(text, str):
            raise self._damaged("a checkpoint that is no text")
        try:
            note = Note.parse(text.encode())
            named = checkpoint_of(note).origin
        except (AutopilotError, UnicodeError) as error:
            raise self._damaged(f"{origin}: {error}") from None
        if named != origin:
            raise self._damaged(f"the checkpoint of {origin} is of {named}")
        return note

    def _damaged(self, detail: str) -> IntegrityError:
        return IntegrityError("witness_store_damaged", where=str(self.path), detail=detail)
