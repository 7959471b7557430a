"""What the user's git would go by: a setting read from the files git reads, as plain data.

None of these settings is in force for the engine. Included files are not followed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from autopilot.kernel.errors import AutopilotError
from autopilot.vcs.repository import Repository, plain_settings


def user_setting(repository: Repository, environ: Mapping[str, str], name: str) -> tuple[str, str] | None:
    """The value of the setting `name` (lower case) and the file it stands in; None where no file has it.

    A file that cannot be read is passed over.
    """
    found: tuple[str, str] | None = None
    for path in _settings_files(repository, environ):
        try:
            value = plain_settings(path).get(name)
        except (AutopilotError, OSError):
            continue
        if value is not None:
            found = value, str(path)
    return found


def _settings_files(repository: Repository, environ: Mapping[str, str]) -> list[Path]:
    """Where git reads its settings from; what comes later wins."""
    home = environ.get("HOME", "")
    personal = environ.get("XDG_CONFIG_HOME") or (f"{home}/.config" if home else "")
    files = [environ.get("GIT_CONFIG_SYSTEM") or "/etc/gitconfig"] if not environ.get("GIT_CONFIG_NOSYSTEM") else []
    if "GIT_CONFIG_GLOBAL" in environ:
        files.append(environ["GIT_CONFIG_GLOBAL"])
    else:
        files += [f"{personal}/git/config"] if personal else []
        files += [f"{home}/.gitconfig"] if home else []
    found = [Path(path) for path in files if path]
    return [*found, repository.common_dir / "config", repository.git_dir / "config.worktree"]
