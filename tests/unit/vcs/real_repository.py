"""A real git repository, driven by the git on PATH as its user would."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from autopilot.vcs import EngineTrees, Repository

ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.org",
    "LC_ALL": "C.UTF-8",
}


class Repo:
    """What a user (or a cheating agent) does in a repository, with the git on PATH."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def git(self, *arguments: str, **environment: str) -> str:
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.root,
            env=ENVIRONMENT | environment,
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode("utf-8", "replace")

    def write(self, path: str, data: str | bytes) -> Path:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data.encode() if isinstance(data, str) else data)
        return target

    def commit(self, message: str = "change") -> str:
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD").strip()

    def tree(self) -> str:
        return self.git("rev-parse", "HEAD^{tree}").strip()

    def located(self) -> Repository:
        return Repository.locate(self.root)

    def trees(self, folder: str = "state/git") -> EngineTrees:
        return EngineTrees(self.located(), self.root / folder, exclude=("state",))
