"""`autopilot init`: makes the ledger of a repository and writes the two files that govern it, after showing them.

The order makes a half-done run harmless, and running it again completes it:

1. the ledger, in the folder that the proposal names (`storage.files.creation` resumes its own half-done run);
2. `<git common dir>/autopilot.id`, the memory of it;
3. `.gitignore`;
4. `autopilot.toml`, which names the ledger, last;
5. its settings, sealed on the ledger: what tasks run under is what a person sealed, not what the file says later.

A second run proposes nothing, and seals the file if it was changed. Nothing else in the repository is touched.
"""

from __future__ import annotations

import dataclasses
import os
import stat
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autopilot.cli import console, opened, options
from autopilot.cli.doctor import nested
from autopilot.cli.options import Call, Parser
from autopilot.kernel.configuration import SETTINGS_FILE, read_location
from autopilot.kernel.errors import ContractError, RefusedError
from autopilot.kernel.reasons import Reason, Verdict
from autopilot.kernel.settings import load_settings
from autopilot.onboarding.detect import FileEdit, Proposal, propose
from autopilot.onboarding.doctor import LINE_END_REMEDY, NESTED_REMEDY, line_end_problem, nested_problem
from autopilot.onboarding.store_setting import with_store
from autopilot.process.profiles import profile_named
from autopilot.vcs.obstacles import line_end_conversion
from autopilot.vcs.repository import Repository
from autopilot.wiring.full import Outside, Workspace, here
from autopilot.wiring.lost import Remembered, another, missing, standing_elsewhere, still_there
from autopilot.wiring.marker import Marker, claimed, read_marker, write_marker
from autopilot.wiring.rehearsal import rehearsing
from autopilot.wiring.stores import Home, home_of

# Stands in the diff for the id that does not exist yet.
_NOT_YET = "0" * 32
_PROFILE = "code-change"


@dataclass(frozen=True, slots=True)
class _Ground:
    """What is there before anything is written: the proposal, and which ledger is where."""

    repository: Repository
    outside: Outside
    state_dir: Path
    proposal: Proposal
    known: Marker | None
    present: str
    named: str
    home: Home


def parser() -> Parser:
    """The parser of `autopilot init`."""
    begin = options.command("init", "make the ledger of this repository and write autopilot.toml", mutating=True)
    begin.add_argument("--yes", action="store_true", help="write without asking (without a terminal nothing is asked)")
    begin.add_argument(
        "--join", action="store_true", help="the ledger that autopilot.toml names is here, shared from elsewhere"
    )
    begin.add_argument("--replace-lost", action="store_true", help="the repository's ledger is lost: begin a new one")
    begin.add_argument("--reason", default="", help="how it was lost, for the new ledger; why it is sealed, for --key")
    begin.add_argument(
        "--key", default="", metavar="FILE", help="sign the changed configuration with the approver's key in this file"
    )
    return begin


def run(name: str, words: list[str]) -> int:
    """Show, ask, write."""
    del name
    args = parser().parse_args(words)
    call = options.read_call(args)
    if args.replace_lost and not args.reason.strip():
        raise ContractError("reason_missing", where="--reason", detail="how was the ledger lost?")
    if opened.is_served(call):
        from autopilot.cli.daemon import seal_remotely  # a repository with a daemon only

        return seal_remotely(call)
    ground = _survey(call)
    if args.replace_lost or _replaces(ground):
        _require_operator(call)
    lost = _check_ledger(ground, args)
    if not call.as_json:
        _show(ground)
    complete = _is_complete(ground)
    if not call.dry_run and not complete:
        _confirm(args, call, "write this?")
        ground = _begun(ground, call, args, lost)
    written = [] if complete else [edit.path for edit in ground.proposal.edits]
    # A replacement that was cut short is opened only once autopilot.toml names the new ledger.
    named = not call.dry_run or ground.named in ("", ground.present)
    if ground.present and named and _seal(ground, args, call, confirmed=not complete):
        complete = False
    _tell(ground, call, written=written, complete=complete)
    return 0


def _require_operator(call: Call) -> None:
    """A lost ledger is given up by a person: an agent could lose it on purpose."""
    if call.caller.kind != "human":
        raise RefusedError(Verdict((Reason("human_only", where="init --replace-lost"),)))
    options.require_person(call, "init --replace-lost")


def _is_complete(ground: _Ground) -> bool:
    """Whether ledger, marker and files are there and name one another."""
    named = {ground.known.ledger if ground.known else "", ground.named}
    return named == {ground.present} and not ground.proposal.edits


def _survey(call: Call) -> _Ground:
    repository = Repository.locate(call.directory)
    root = repository.main_worktree
    outside = here()
    # The memory first, then what is there: otherwise a ledger that is made meanwhile would look lost.
    known = read_marker(repository.common_dir)
    settings = root / SETTINGS_FILE
    old = read_location(settings.read_bytes() if settings.is_file() else None, outside.environ)
    state = (root / old.state_dir).absolute()
    named = known.ledger if known else old.ledger_id
    home = home_of(repository, state, outside.environ)
    present = home.present(named)
    proposal = propose(root, ledger_id="" if old.ledger_id else present or _NOT_YET)
    notes = (*proposal.notes, *_obstacles(repository, state, outside))
    proposal = dataclasses.replace(proposal, notes=notes)
    if repository.bare or root == repository.common_dir:
        # No work tree at the state's place: there is nothing that git could take in.
        proposal = dataclasses.replace(proposal, edits=tuple(e for e in proposal.edits if e.path != ".gitignore"))
    if SETTINGS_FILE in proposal.files:
        # A state/ folder of the project's own moves ours; the ledger is made where the file will say.
        location = read_location(proposal.files[SETTINGS_FILE].encode(), outside.environ)
        state = (root / location.state_dir).absolute()
        home = home_of(repository, state, outside.environ)
        present = home.present(named)
        outside = dataclasses.replace(outside, environ={**outside.environ, "AUTOPILOT_STATE_DIR": str(state)})
    if home.shared:
        proposal = dataclasses.replace(proposal, edits=_naming_store(root, proposal.edits, home.shown))
    return _Ground(repository, outside, state, proposal, known, present, old.ledger_id, home)


def _naming_store(root: Path, edits: tuple[FileEdit, ...], store: str) -> tuple[FileEdit, ...]:
    """The edits, with the store in `autopilot.toml` if it is not named there: other clones have no variable of ours."""
    path = root / SETTINGS_FILE
    there = path.read_text("utf-8") if path.is_file() else ""
    mine = next((edit for edit in edits if edit.path == SETTINGS_FILE), FileEdit(SETTINGS_FILE, there, there))
    if read_location(mine.new.encode(), {}).store:
        return edits
    named = dataclasses.replace(mine, new=with_store(mine.new, store))
    return (*(edit for edit in edits if edit.path != SETTINGS_FILE), named)


def _obstacles(repository: Repository, state: Path, outside: Outside) -> tuple[str, ...]:
    """What will stand in the way of tasks here, each with what to do."""
    inside, setting = nested(repository, state), line_end_conversion(repository, outside.environ)
    found = [f"{nested_problem(inside)}; {NESTED_REMEDY}"] if inside else []
    return (*found, f"{line_end_problem(setting)}; {LINE_END_REMEDY}") if setting else tuple(found)


def _check_ledger(ground: _Ground, args: Namespace) -> str:
    """Why a new ledger takes a lost one's place, or nothing; refuses where a ledger is missed and nobody said so."""
    known = _remembered(ground)
    standing = standing_elsewhere(known if ground.known else known.unmarked(), but=ground.present)
    if ground.present:
        # A `--replace-lost` that was cut short: the new ledger is there and names the lost one.
        strangers = {known.ledger, ground.named} - {"", ground.present, _replaced_by(ground)}
        if ground.known is not None and ground.known.ledger in strangers:
            raise another(ground.present, known)
        if standing is not None:
            raise still_there(known, standing)
        if strangers:
            raise ContractError(
                "ledger_elsewhere",
                where=str(ground.state_dir),
                detail=f"the ledger here is {ground.present}, the repository's is {min(strangers)}",
            )
        return ""
    if args.join:
        detail = f"no ledger in {ground.state_dir}: share or copy it there first, or set AUTOPILOT_STATE_DIR"
        raise ContractError("ledger_elsewhere", where=SETTINGS_FILE, detail=detail)
    if known.ledger and not args.replace_lost:
        raise missing(known)
    if standing is not None:
        raise still_there(known, standing)
    return str(args.reason.strip()) if known.ledger else ""


def _remembered(ground: _Ground) -> Remembered:
    store = ground.home.shown if ground.home.shared else ""
    return Remembered(ground.repository, ground.state_dir, ground.known, ground.named, store)


def _replaces(ground: _Ground) -> bool:
    """Whether the ledger that is here took the place of one that is still named: finishing that is a person's too."""
    expected = {ground.known.ledger if ground.known else "", ground.named} - {"", ground.present}
    return bool(ground.present and expected) and _replaced_by(ground) in expected


def _replaced_by(ground: _Ground) -> str:
    """The lost ledger whose place the one that is here took; empty if it took none."""
    genesis = ground.home.genesis(ground.present)
    return str((genesis.data.get("replaced") or {}).get("ledger", ""))


def _show(ground: _Ground) -> None:
    for note in ground.proposal.notes:
        console.say(f"note: {console.clean(note)}")
    diff = ground.proposal.diff()
    if diff:
        console.show(console.clean_lines(diff.replace(_NOT_YET, "<made by init>")).rstrip("\n"))
    if not ground.present:
        console.show(f"a new ledger in {ground.home.shown}")


def _confirm(args: Namespace, call: Call, question: str) -> None:
    if args.yes or call.as_json or not console.at_terminal():
        return
    if console.ask(f"{question} [y/N] ").lower() not in ("y", "yes"):
        raise RefusedError(Verdict((Reason("not_confirmed", detail="nothing was changed"),)))


def _begun(ground: _Ground, call: Call, args: Namespace, lost: str) -> _Ground:
    """Write; where another process made the ledger since we looked, look again and go on with that one."""
    try:
        return _write(ground, call, lost)
    except ContractError as error:
        if error.code != "ledger_exists" or ground.present or lost:
            raise
    ground = _survey(call)
    _check_ledger(ground, args)
    return _write(ground, call, "")


def _write(ground: _Ground, call: Call, lost: str) -> _Ground:
    repository, root = ground.repository, ground.repository.main_worktree
    ledger = ground.present
    if not ledger:
        with Workspace.init(repository.root, caller=call.caller, lost=lost, outside=ground.outside) as workspace:
            ledger = workspace.ledger.ledger_id
    elif ground.known is None or ground.known.ledger != ledger:
        _mark(ground)
    edits = tuple(_named(edit, ledger) for edit in ground.proposal.edits)
    if ground.named and ground.named != ledger:
        edits = _renamed(root, edits, ground.named, ledger)
    for edit in sorted(edits, key=lambda edit: edit.path == SETTINGS_FILE):
        _replace(root / edit.path, edit.new)
    proposal = dataclasses.replace(ground.proposal, edits=edits)
    return dataclasses.replace(ground, present=ledger, proposal=proposal)


def _mark(ground: _Ground) -> None:
    """Remember the ledger that is here, once all of it verifies."""
    with claimed(ground.repository.common_dir):
        known = read_marker(ground.repository.common_dir)
        if known is not None and known.ledger == ground.present:
            return
        report = ground.home.verify(ground.present)
        if not report.intact:
            raise report.error()
        write_marker(ground.repository.common_dir, Marker(ground.present, report.entries))


def _seal(ground: _Ground, args: Namespace, call: Call, *, confirmed: bool) -> bool:
    """Put the settings of autopilot.toml on the ledger, if they are not; whether a line was written.

    RefusedError `human_only` where an agent would seal a loosening or another command, `not_a_terminal` where somebody
    would who claims to be a person and is at none.
    """
    with Workspace.open(ground.repository.root, outside=ground.outside) as workspace:
        found = workspace.config.inert(workspace.ledger.view().state)
        if found is not None:
            console.say(f"{SETTINGS_FILE} is not what was sealed: {', '.join((*found.changed, *found.loosened))}")
            options.require_person(call, "init")
            if call.caller.kind == "human" and not confirmed and not call.dry_run:
                _confirm(args, call, "seal it?")
        signed = b""
        if args.key and workspace.config.needs_signature(workspace.ledger.view().state):
            signed = _signed(workspace, args, call)
        if call.dry_run:
            with rehearsing(workspace, ground.outside) as rehearsed:
                return rehearsed.config.seal(call.caller, signed=signed) is not None
        entry = workspace.config.seal(call.caller, signed=signed)
    if entry is not None:
        console.say(f"sealed {SETTINGS_FILE}, ledger line {entry.seq}")
    return entry is not None


def _signed(workspace: Workspace, args: Namespace, call: Call) -> bytes:
    """The approver's signature under the change that is sealed."""
    from autopilot.approvals.signatures import as_note
    from autopilot.cli import approver, approver_key

    options.require_terminal(call, "init --key")
    asked = workspace.config.asked()
    for line in approver.described(asked):
        console.say(line)
    approver.confirm(asked)
    return as_note(approver.signed(asked, approver_key.opened_key(call, Path(args.key)), args.reason))


def _named(edit: FileEdit, ledger: str) -> FileEdit:
    return dataclasses.replace(edit, new=edit.new.replace(_NOT_YET, ledger))


def _renamed(root: Path, edits: tuple[FileEdit, ...], old: str, new: str) -> tuple[FileEdit, ...]:
    """The edits with the lost ledger's id in `autopilot.toml` replaced."""
    others = tuple(edit for edit in edits if edit.path != SETTINGS_FILE)
    mine = next((edit for edit in edits if edit.path == SETTINGS_FILE), None)
    text = mine.new if mine else (root / SETTINGS_FILE).read_text("utf-8")
    return (*others, FileEdit(SETTINGS_FILE, mine.old if mine else text, text.replace(old, new)))


def _replace(path: Path, text: str) -> None:
    """The file whole or not at all, with the rights it had."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with fresh.open("w", encoding="utf-8", newline="") as file:
        if path.exists():
            os.fchmod(file.fileno(), stat.S_IMODE(path.stat().st_mode))
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _tell(ground: _Ground, call: Call, *, written: list[str], complete: bool) -> None:
    missing = [*ground.proposal.missing, *_unconfigured(ground, call)]
    if call.as_json:
        shown: dict[str, Any] = {
            "ledger": ground.present or None,
            "state_dir": str(ground.state_dir),
            "files": written,
            "notes": list(ground.proposal.notes),
            "missing": missing,
        }
        if ground.home.shared:
            shown["store"] = ground.home.shown
        if call.dry_run:
            shown |= {"dry_run": True, "diff": ground.proposal.diff().replace(_NOT_YET, "<made by init>")}
        console.emit(shown)
    elif complete:
        console.show(f"nothing to do: this repository is governed by ledger {ground.present}")
    elif not call.dry_run:
        console.show(
            f"governed by ledger {ground.present} in {ground.home.shown}; wrote {', '.join(written) or 'no file'}"
        )
    for item in missing if not call.as_json else ():
        console.say(f"missing for {_PROFILE}: {console.clean(item)}")
    console.next_step(
        "autopilot init" if call.dry_run and not complete else 'autopilot task open T-1 --title "what it is for"'
    )
    if not call.dry_run:
        _keep_status(call)


def _unconfigured(ground: _Ground, call: Call) -> list[str]:
    """The commands that the full profile needs and the file lacks."""
    if call.dry_run:
        return []
    settings = load_settings(ground.repository.main_worktree / SETTINGS_FILE, ground.outside.environ)
    return [
        f"commands.{name} is not in {SETTINGS_FILE}"
        for name, may_be_missing in profile_named(_PROFILE).commands()
        if not may_be_missing and settings.command(name) is None
    ]


def _keep_status(call: Call) -> None:
    from autopilot.cli.snapshot import keep

    with opened.reading(call) as workspace:
        keep(workspace)
