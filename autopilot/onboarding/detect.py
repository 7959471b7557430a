"""What `init` would write into a repository: the texts, their difference, and what is left for a person to say.

Files are read, nothing is run and nothing is written. Existing content stays; a second look at what was written
proposes nothing.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autopilot.kernel.configuration import DEFAULT_STATE_DIR, SETTINGS_FILE, Command, Thresholds
from autopilot.kernel.errors import ContractError
from autopilot.onboarding import render
from autopilot.onboarding.checkout import lacking, reads_own_version
from autopilot.onboarding.commands import propose_commands
from autopilot.onboarding.files import RepositoryFiles
from autopilot.onboarding.project import OTHER_LANGUAGES, PythonProject, read_project
from autopilot.onboarding.requirements import Installed, installed_version

_STATE_CONTENT = frozenset(
    {"cache", "evidence", "git", "journal", "keys", "leases", "ledger", "promptops.sqlite", "telemetry"}
)
_OTHER_STATE_DIR = ".autopilot-state"


@dataclass(frozen=True, slots=True)
class FileEdit:
    """One file: what it holds now (None: not there) and what it would hold."""

    path: str
    old: str | None
    new: str


@dataclass(frozen=True, slots=True)
class Detection:
    """What the repository is, and the commands for it. `language` is empty where nothing was recognised."""

    language: str
    commands: Mapping[str, Command]
    thresholds: Mapping[str, int]
    notes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Proposal:
    """The edits, and for people: `notes` on how they came about, `missing` for what they must say themselves."""

    edits: tuple[FileEdit, ...]
    notes: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def files(self) -> dict[str, str]:
        """New text by path, of the files that would change."""
        return {edit.path: edit.new for edit in self.edits}

    def diff(self) -> str:
        """The edits as one unified diff; empty where nothing would change."""
        return "".join(_diff(edit) for edit in self.edits)


def detect(root: Path, installed: Installed = installed_version) -> Detection:
    """Language and commands of the repository at `root`. `installed` gives a distribution's version, or None."""
    files = RepositoryFiles(root)
    project = read_project(files)
    others = tuple(language for marker, language in OTHER_LANGUAGES.items() if files.has(marker))
    if project is None or (others and not project.tests and not project.packages):
        return _unknown(others, tuple(files.problems))
    proposed = propose_commands(project, installed)
    least = project.coverage.fail_under
    return Detection(
        language="Python",
        commands=proposed.commands,
        thresholds={} if least in (None, Thresholds().coverage_percent) else {"coverage_percent": least or 0},
        notes=(*files.problems, *project.notes, *project.dependencies.notes, *proposed.notes),
        missing=(*proposed.missing, *lacking(files, project), *_own_version(files, project, installed)),
    )


def propose(root: Path, *, ledger_id: str = "", installed: Installed = installed_version) -> Proposal:
    """What `init` would write at `root`.

    `ledger_id` is written where the file names none; ContractError `ledger_elsewhere` where it names another one,
    `bad_config` where the file is not TOML.
    """
    files = RepositoryFiles(root)
    old = files.text(SETTINGS_FILE)
    if old is None and files.taken(SETTINGS_FILE):
        # A link would be written through, to wherever it points.
        raise ContractError("bad_config", where=SETTINGS_FILE, detail="not a regular file of at most 1 MiB")
    content = files.toml(SETTINGS_FILE)
    if files.problems:
        raise ContractError("bad_config", where=SETTINGS_FILE, detail=files.problems[0])
    if ledger_id and content.get("ledger_id", ledger_id) != ledger_id:
        raise ContractError("ledger_elsewhere", where=f"{SETTINGS_FILE}: ledger_id")
    detection = detect(root, installed)
    state_dir = _state_dir(files, content)
    notes, missing = detection.notes, detection.missing
    if old is None:
        moved = state_dir if state_dir != DEFAULT_STATE_DIR else ""
        new = render.new_file(ledger_id, moved, detection.commands, detection.thresholds)
        if moved:
            notes = (*notes, f"{DEFAULT_STATE_DIR}/ belongs to the project; autopilot keeps its state in {moved}/")
    else:
        new = old if "ledger_id" in content or not ledger_id else render.with_top_key(old, "ledger_id", ledger_id)
        if "commands" in content:
            # Chosen by someone: nothing about commands is proposed or asked for.
            notes, missing = (), ()
        elif detection.commands:
            new = render.with_appended(new, render.sections(detection.commands, _unset(detection.thresholds, content)))
    edits = [FileEdit(SETTINGS_FILE, old, new), *_gitignore(files, state_dir)]
    return Proposal(tuple(edit for edit in edits if edit.new != edit.old), notes, missing)


def _unknown(languages: tuple[str, ...], problems: tuple[str, ...]) -> Detection:
    what = f"this looks like {' and '.join(dict.fromkeys(languages))}" if languages else "no project was recognised"
    return Detection(
        language="",
        commands={},
        thresholds={},
        notes=problems,
        missing=(
            f"commands: {what}, and commands are proposed for Python projects only; write [commands.test] and the "
            f"others into {SETTINGS_FILE}, where an example stands as a comment",
        ),
    )


def _own_version(files: RepositoryFiles, project: PythonProject, installed: Installed) -> tuple[str, ...]:
    if not reads_own_version(files, project) or (project.name and installed(project.name)):
        return ()
    return (
        f"the package asks for the installed version of {project.name or 'itself'} when it is imported, and a source "
        "tree has none; let it fall back on PackageNotFoundError, or install it into the interpreter that runs "
        "autopilot",
    )


def _state_dir(files: RepositoryFiles, content: Mapping[str, Any]) -> str:
    stated = content.get("state_dir")
    if isinstance(stated, str) and stated:
        return stated
    present = {*files.folders(DEFAULT_STATE_DIR), *files.files(DEFAULT_STATE_DIR)}
    # A folder of the project's own: its files would vanish from git and from the judged trees.
    return _OTHER_STATE_DIR if present - _STATE_CONTENT and not content else DEFAULT_STATE_DIR


def _gitignore(files: RepositoryFiles, state_dir: str) -> list[FileEdit]:
    """The line that keeps the state out of git; none where the state is kept outside the repository."""
    if state_dir.startswith("/"):
        return []
    old = files.text(".gitignore")
    if old is None and files.taken(".gitignore"):
        raise ContractError("bad_config", where=".gitignore", detail="not a regular file of at most 1 MiB")
    folder = state_dir.strip("/").removeprefix("./")
    if render.ignores_folder(old or "", folder):
        return []
    return [FileEdit(".gitignore", old, render.with_ignored(old or "", folder))]


def _unset(thresholds: Mapping[str, int], content: Mapping[str, Any]) -> Mapping[str, int]:
    return {} if "thresholds" in content else thresholds


def _diff(edit: FileEdit) -> str:
    old = "/dev/null" if edit.old is None else f"a/{edit.path}"
    lines = difflib.unified_diff(
        (edit.old or "").splitlines(keepends=True), edit.new.splitlines(keepends=True), old, f"b/{edit.path}"
    )
    # The mark that diff and patch use, without which two lines would run together.
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
