"""The repository's git hooks: where git looks for them, and ours put in and taken out.

Git goes by `core.hooksPath`, whoever set it. A folder outside of this repository serves others too, and one that
another program writes anew would lose ours: neither is touched (`hooks_elsewhere`).
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from autopilot.kernel.errors import RefusedError
from autopilot.kernel.files import storage_error
from autopilot.kernel.reasons import Reason, Verdict
from autopilot.onboarding.git_hooks import ASIDE, HookFiles, HookPlan, plan_install, plan_removal, shown_change
from autopilot.vcs.repository import Repository
from autopilot.vcs.settings import user_setting

_RIGHTS = 0o755
_WROTE_ANEW = "husky"


@dataclass(frozen=True, slots=True)
class Hooked:
    """What was done about one hook (or would be): its path, whether anything changed, the diff, the one kept aside."""

    path: Path
    changed: bool
    diff: str
    aside: Path | None


def hooks_folder(repository: Repository, environ: Mapping[str, str]) -> Path:
    """Where git looks for this repository's hooks; RefusedError `hooks_elsewhere`."""
    setting = user_setting(repository, environ, "core.hookspath")
    if setting is None:
        return repository.common_dir / "hooks"
    value, where = setting
    # Git takes a relative path from where hooks run: the top of the working tree, or the bare repository itself.
    folder = (repository.root / Path(value).expanduser()).resolve()
    ours = (repository.root.resolve(), repository.common_dir.resolve())
    if not any(folder.is_relative_to(place) for place in ours):
        raise _elsewhere(f"core.hooksPath is {value} in {where}, which is not in this repository")
    if folder.name == "_" and folder.parent.name == f".{_WROTE_ANEW}":
        remedy = f"write the hook yourself in .{_WROTE_ANEW}; `--dry-run` in a repository without it shows its text"
        raise _elsewhere(f"{_WROTE_ANEW} writes {value} anew whenever it runs", remedy)
    return folder


def install(folder: Path, name: str, wanted: bytes, *, dry_run: bool) -> Hooked:
    """Make `wanted` the hook `name`; what was there runs before it. RefusedError `hook_in_the_way`."""
    files = _read(folder / name)
    plan = plan_install(files, wanted)
    return _carried_out(folder / name, files, plan, dry_run=dry_run)


def remove(folder: Path, name: str, *, dry_run: bool) -> Hooked:
    """Take our hook `name` out, and bring the one back that was there before. RefusedError `hook_in_the_way`."""
    files = _read(folder / name)
    plan = plan_removal(files)
    return _carried_out(folder / name, files, plan, dry_run=dry_run)


def _carried_out(path: Path, files: HookFiles, plan: HookPlan, *, dry_run: bool) -> Hooked:
    if not plan.verdict.admitted:
        raise RefusedError(plan.verdict)
    aside = _aside(path)
    if not dry_run and plan.changes:
        try:
            _carry_out(path, plan)
        except OSError as error:
            raise storage_error(error, path) from error
    kept = aside if (files.aside is not None or plan.move_aside) and not plan.bring_back else None
    return Hooked(path, plan.changes, shown_change(path.name, files, plan), kept)


def _carry_out(path: Path, plan: HookPlan) -> None:
    """In an order in which a kill leaves the old hook or the new one, and never loses the one aside."""
    if plan.text is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _RIGHTS)
        try:
            os.write(descriptor, plan.text)
        finally:
            os.close(descriptor)
        if plan.move_aside:
            with contextlib.suppress(FileExistsError):
                os.link(path, _aside(path), follow_symlinks=False)
        temporary.replace(path)
    elif plan.bring_back:
        _aside(path).replace(path)
    elif plan.remove:
        path.unlink()


def _read(path: Path) -> HookFiles:
    return HookFiles(_bytes_of(path), _bytes_of(_aside(path)))


def _bytes_of(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        # A link that leads nowhere is something all the same.
        return b"" if path.is_symlink() else None
    except OSError as error:
        raise storage_error(error, path) from error


def _aside(path: Path) -> Path:
    return path.with_name(path.name + ASIDE)


def _elsewhere(detail: str, remedy: str = "") -> RefusedError:
    return RefusedError(Verdict((Reason("hooks_elsewhere", where="core.hooksPath", detail=detail, remedy=remedy),)))
