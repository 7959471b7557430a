"""Checkpoints put together: verify a state against them, make one, prove a line.

    verified = verify_state(place, floor)
    published = CheckpointDesk(workspace).publish(caller=caller)

Which keys count: those the caller names, and then no others; else those in `state/keys` and on the ledger itself. The
latter are this machine's own word. An outsider names the key he was given.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from autopilot.kernel.callers import Caller
from autopilot.kernel.canonical import parse
from autopilot.kernel.errors import AutopilotError, ContractError, IntegrityError, RefusedError, StorageError
from autopilot.kernel.files import DiskFiles, Files
from autopilot.kernel.reasons import Reason, Verdict
from autopilot.ledger.anchoring import Held, Present, hold_against, missing_reason, roots_at
from autopilot.ledger.entry import Draft
from autopilot.ledger.proofs import consistency_path, inclusion_path
from autopilot.ledger.verify import VerifyReport, corrupt
from autopilot.ledger.witnessing import Submission
from autopilot.signing.checkpoint import Checkpoint, open_checkpoint, origin_of
from autopilot.signing.cosignature import CosignerKey, verify_cosignatures
from autopilot.signing.keys import KeyRing
from autopilot.signing.note import Note, SigningKey, VerifierKey, sign
from autopilot.storage.files.checkpoints import CheckpointFiles, Scan, read_line, scan
from autopilot.storage.files.hint import read_hint
from autopilot.storage.files.layout import StorePaths
from autopilot.storage.files.store import FileStore, read_identity
from autopilot.storage.files.verify import verify_files
from autopilot.wiring.full import Workspace
from autopilot.wiring.stores import home_in

KEYS_FOLDER = "keys"


@dataclass(frozen=True, slots=True)
class Given:
    """What the caller brings: notes as (where, bytes), and the only keys to be believed (empty: this machine's).

    Each note must bear the signatures of all `witnesses`. `held` are checkpoints that the caller believes already, and
    `ledger` is the id that the ledger must have (empty: whichever it has).
    """

    notes: tuple[tuple[str, bytes], ...] = ()
    keys: tuple[VerifierKey, ...] = ()
    witnesses: tuple[CosignerKey, ...] = ()
    held: tuple[Held, ...] = ()
    ledger: str = ""


NOTHING_GIVEN = Given()


@dataclass(frozen=True, slots=True)
class Verified:
    """The report, and the checkpoints that were held against the lines; if it is intact, all of them agree."""

    report: VerifyReport
    held: tuple[Held, ...] = ()
    scanned: Scan | None = None


def verify_state(place: Path, floor: int = 0, given: Given = NOTHING_GIVEN) -> Verified:
    """Check the ledger in the state directory `place`: the chain, then every checkpoint, the stored ones among them.

    IntegrityError `key_damaged` where the machine's own verifier keys cannot be read.
    """
    report, files = verify_files(place, floor), CheckpointFiles(place)
    sizes = files.sizes()
    if given.ledger and report.reason != "missing" and read_identity(StorePaths(place)) != given.ledger:
        # Intact in itself, perhaps, and not the repository's: the one that was here is gone.
        return Verified(corrupt("missing", 0, detail=f"the repository's ledger is {given.ledger}", where=str(place)))
    if not report.intact:
        return Verified(_told_apart(report, place, max(sizes, default=0)))
    if not sizes and not given.notes and not given.held and not given.keys:
        return Verified(report)
    scanned, ledger = scan(place, report.entries), read_identity(StorePaths(place))
    if given.keys and all(key.name != origin_of(ledger) for key in given.keys):
        detail = f"the ledger is {origin_of(ledger)}, the key is of {given.keys[0].name}"
        return Verified(corrupt("missing", 0, detail=detail, where=str(place)))
    hint = read_hint(StorePaths(place).head, ledger)
    try:
        held = _held(files, given, given.keys or known_keys(place, ledger, scanned))
    except IntegrityError as error:
        if error.code not in ("unsigned", "unwitnessed"):
            raise
        return Verified(VerifyReport("corrupt", error.code, report.seq, report.entries, error.detail, error.where))
    present = Present(ledger, scanned.leaves, hint.seq if hint else -1)
    return Verified(hold_against(report, present, held), held, scanned)


def scan_intact(place: Path, floor: int = 0, held: tuple[Held, ...] = ()) -> tuple[Scan, tuple[Held, ...]]:
    """The scan of a ledger that verifies, and the checkpoints held against it; IntegrityError of one that does not."""
    verified = verify_state(place, floor, Given(held=held))
    if not verified.report.intact:
        raise verified.report.error()
    return verified.scanned or scan(place, verified.report.entries), verified.held


def known_keys(place: Path, ledger: str, scanned: Scan) -> tuple[VerifierKey, ...]:
    """The verifier keys of the ledger that this machine knows: in `state/keys`, and on the ledger's own lines."""
    origin = origin_of(ledger)
    found = list(KeyRing(place / KEYS_FOLDER).public(origin))
    for _, encoded in scanned.keys:
        # A line that names no usable key signs nothing; what it should have signed is then `unsigned`.
        with contextlib.suppress(ContractError):
            found.append(VerifierKey.parse(encoded))
    return tuple(dict.fromkeys(key for key in found if key.name == origin))


def _told_apart(report: VerifyReport, place: Path, stored: int) -> VerifyReport:
    """A report of missing lines, with the reason that the state's own memory gives."""
    if report.reason != "truncated":
        return report
    hint = read_hint(StorePaths(place).head, read_identity(StorePaths(place)))
    reason = missing_reason(report.entries, hint_seq=hint.seq if hint else -1, stored=stored)
    return VerifyReport("corrupt", reason, report.seq, report.entries, report.detail, report.where)


def _held(files: CheckpointFiles, given: Given, keys: tuple[VerifierKey, ...]) -> tuple[Held, ...]:
    """All checkpoints, opened; IntegrityError `unsigned` names the first that cannot be."""
    held = [*given.held, *(Held(_opened(note, keys, where, given.witnesses), where) for where, note in given.notes)]
    ids = {key.id for key in keys}
    for size in files.sizes():
        note, where = files.read(size), f"checkpoints/{size}.note"
        if given.keys and not _names_one_of(note, ids):
            continue  # the caller's keys alone count, and this one was not signed with them
        checkpoint = _opened(note, keys, where)
        if checkpoint.size != size:
            raise IntegrityError("unsigned", where=where, detail=f"it is a checkpoint over {checkpoint.size} lines")
        held.append(Held(checkpoint, where, stored=True))
    return tuple(held)


def _opened(
    note: bytes, keys: tuple[VerifierKey, ...], where: str, witnesses: tuple[CosignerKey, ...] = ()
) -> Checkpoint:
    try:
        opened = open_checkpoint(note, keys)
        verify_cosignatures(Note.parse(note), witnesses)
        return opened  # noqa: TRY300 - what raises stands together
    except IntegrityError as error:
        raise IntegrityError(error.code, where=where, detail=error.detail) from None


def _names_one_of(note: bytes, ids: set[str]) -> bool:
    return any(signature.key_id in ids for signature in Note.parse(note).signatures)


# --- making them -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Published:
    """A checkpoint that was made, or found made: the note, where it is, its key, and the line that records it."""

    checkpoint: Checkpoint
    note: Note
    path: Path
    key: VerifierKey
    seq: int
    new_key: bool = False


class CheckpointDesk:
    """Signs what stands on the ledger, and never two histories: what was signed before must still stand there.

    The line `checkpoint.published` is written and synced before the signature is made, so that no note covers a line
    that a power loss can take. If the machine stops between the two, the next call makes the note for that line, once
    it has made sure that the line is on the disk: its writer may have been killed before the sync.
    """

    def __init__(self, workspace: Workspace, files: Files | None = None) -> None:
        self._ledger = workspace.ledger
        self._place = workspace.state_dir
        # A rehearsal writes to a folder that is thrown away, and reads the real one.
        self._target = workspace.engine.state_dir
        self._origin = origin_of(workspace.ledger.ledger_id)
        self._files = files or DiskFiles()
        # What reads the lines: the state directory, or a copy of what a database holds.
        self._home = home_in(workspace, self._place)
        self._kept = KeyRing(self._place / KEYS_FOLDER, self._files)
        self._made = KeyRing(self._target / KEYS_FOLDER, self._files)

    @contextlib.contextmanager
    def _beside(self) -> Iterator[None]:
        """A file beside the logs is written. If its sync fails the disk is not to be trusted with the logs either."""
        try:
            yield
        except StorageError as error:
            if error.code == "sync_failed" and isinstance(self._ledger, FileStore):
                self._ledger.distrust(error)
            raise

    def publish(self, *, caller: Caller, new_key: str | None = None, held: tuple[Held, ...] = ()) -> Published:
        """Verify the whole ledger, then sign it. With `new_key`, the reason, a new key takes over: a person's act.

        `held` are checkpoints from elsewhere that it must agree with first.

        IntegrityError for a ledger that does not verify against what was signed before; `key_missing`, `key_exposed`,
        `key_damaged`; RefusedError `human_only`.
        """
        if new_key is not None:
            _require_person(caller, new_key)
        with self._home.place(self._ledger.ledger_id) as place:
            scanned, _ = scan_intact(place, held=held)
        current = scanned.keys[-1][0] if scanned.keys else ""
        if current and new_key is None:
            published = self._sign(scanned, (self._kept.load(current),), caller)
        else:
            signers = self._replace(current, new_key or "the first key", caller)
            # In a rehearsal the key's line is not in the files; what is there is signed then.
            with self._home.place(self._ledger.ledger_id) as place:
                scanned = scan(place, verify_files(place).entries)
            published = replace(self._sign(scanned, signers, caller), new_key=True)
        for key_id, _ in scanned.keys[:-1]:
            self._made.forget(key_id)
        return published

    def _replace(self, current: str, reason: str, caller: Caller) -> tuple[SigningKey, ...]:
        """Make a key and put it on record; the keys that sign now, the new one first.

        The old one signs once more, so that whoever knows it learns of the new one. A lost key signs no more.
        """
        with self._beside():
            key = self._made.create(self._origin)
        data = {"from": current, "to": key.id, "vkey": key.verifier.encode(), "reason": reason.strip()}
        with self._ledger.transaction() as tx:
            tx.append(Draft(kind="key.rotated", caller=caller, data=data))
        with contextlib.suppress(AutopilotError):
            return (key, self._kept.load(current))
        return (key,)

    def _sign(self, scanned: Scan, signers: tuple[SigningKey, ...], caller: Caller) -> Published:
        size = len(scanned.leaves)
        roots = roots_at(scanned.leaves, [size, size - 1])
        if _records(scanned.last, size - 1, roots[size - 1]):
            # Nothing happened since: the line is there, and its note as well unless the machine stopped before it.
            checkpoint, seq = Checkpoint(self._origin, size - 1, roots[size - 1]), size - 1
            with self._ledger.transaction():
                pass  # it ends when all that it saw is on the disk
        else:
            checkpoint = Checkpoint(self._origin, size, roots[size])
            data = {"size": size, "root": checkpoint.root.hex()}
            with self._ledger.transaction() as tx:
                seq = tx.append(Draft(kind="checkpoint.published", caller=caller, data=data)).seq
        note = self._stored(checkpoint, signers[0].verifier) or sign(checkpoint.text(), *signers)
        with self._beside():
            CheckpointFiles(self._target, self._files).keep(checkpoint.size, note.encode().encode())
        if self._target == self._place:
            self._home.keep_note(self._ledger.ledger_id, checkpoint.size, note.encode().encode())
        path = CheckpointFiles(self._place).path(checkpoint.size)
        return Published(checkpoint, note, path, signers[0].verifier, seq)

    def _stored(self, checkpoint: Checkpoint, key: VerifierKey) -> Note | None:
        """The note there is of this checkpoint, with all who signed it, if `key` is among them."""
        with self._home.place(self._ledger.ledger_id) as place:
            files = CheckpointFiles(place)
            if checkpoint.size not in files.sizes():
                return None
            note = Note.parse(files.read(checkpoint.size))
        signed = note.text == checkpoint.text() and any(one.key_id == key.id for one in note.signatures)
        return note if signed else None


def _records(body: bytes, size: int, root: bytes) -> bool:
    """Whether the line is the record of the checkpoint over all lines before it."""
    record = parse(body, where="the last line")
    return bool(record["kind"] == "checkpoint.published" and record["data"] == {"size": size, "root": root.hex()})


def _require_person(caller: Caller, reason: str) -> None:
    if caller.kind != "human":
        raise RefusedError(Verdict((Reason("human_only", where="a new signing key"),)))
    if not reason.strip():
        raise ContractError("reason_missing", where="--reason", detail="why does the key change?")


# --- proving -----------------------------------------------------------------------------------------------------


def prove(place: Path, floor: int, seq: int) -> dict[str, Any]:
    """That the line `seq` is in the ledger: the line, the path to the root, and the newest checkpoint over it.

    Where no checkpoint covers the line the proof is against the present root, and `checkpoint` is None. IntegrityError
    for a ledger that does not verify; ContractError `unknown_entry`.
    """
    scanned, held = scan_intact(place, floor)
    entries = len(scanned.leaves)
    covering = [one.checkpoint.size for one in held if one.stored and one.checkpoint.size > seq]
    size = max(covering, default=entries)
    path = inclusion_path(scanned.leaves[:size], seq)
    note = CheckpointFiles(place).read(size).decode() if covering else None
    return {
        "origin": origin_of(read_identity(StorePaths(place))),
        "seq": seq,
        "body": read_line(place, seq).decode(),
        "leaf": scanned.leaves[seq].hex(),
        "size": size,
        "root": roots_at(scanned.leaves, [size])[size].hex(),
        "path": [item.hex() for item in path],
        "checkpoint": note,
    }


def prove_continued(place: Path, floor: int, size: int) -> Submission:
    """That the newest stored checkpoint continues the ledger's first `size` lines: what a witness is handed.

    IntegrityError for a ledger that does not verify; ContractError `no_checkpoint`, and `unknown_entry` where the
    newest checkpoint covers fewer lines.
    """
    scanned, held = scan_intact(place, floor)
    stored = max((one.checkpoint.size for one in held if one.stored), default=0)
    if not stored:
        raise ContractError("no_checkpoint", where=str(CheckpointFiles(place).folder))
    if not 0 <= size <= stored:
        raise ContractError("unknown_entry", where=str(size), detail=f"{stored} entries are signed")
    # From nothing there is nothing to prove: the format has that proof empty.
    path = consistency_path(scanned.leaves[:stored], size) if size else ()
    return Submission(CheckpointFiles(place).read(stored), size, path)
