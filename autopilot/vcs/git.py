"""Running git so that nothing but the arguments decides what it does.

Rules kept here:

- The git directory is a throw-away one with a configuration written by this module (`scratch`). The repository's own
  git directory is never handed to git, so its configuration, hooks, `info/`, replace refs and grafts do not exist
  for it. Only object folders are shared, through GIT_OBJECT_DIRECTORY.
- The environment is built from nothing: no variable of the caller reaches git.
- git is looked for in system folders before PATH, and never in a relative PATH entry.
- Every call has a time limit and an output cap.
"""

from __future__ import annotations

import os
import select
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

from autopilot.kernel.errors import MissingComponentError, StorageError
from autopilot.kernel.throwaway import throwaway

TIMEOUT_SECONDS = 300
OUTPUT_CAP_BYTES = 256 * 1024 * 1024
# No object over this is read. git streams what is larger, so that a header that lies costs neither side memory.
MAX_OBJECT_BYTES = 256 * 1024 * 1024
# What may be written to a child that waits for input without ever blocking: no pipe holds less.
PIPE_SAFE_BYTES = 8 * 1024

_SYSTEM_PATH = ("/usr/bin", "/bin", "/usr/local/bin", "/opt/homebrew/bin", "/run/current-system/sw/bin")

_CONFIG = """\
[core]
\trepositoryformatversion = {version}
\tbare = true
\tfsmonitor = false
\thooksPath = /dev/null
\texcludesFile = /dev/null
\tattributesFile = /dev/null
\tignoreCase = false
\tprecomposeUnicode = false
\tprotectHFS = true
\tprotectNTFS = false
\tquotePath = false
\tcommitGraph = false
\tmultiPackIndex = false
\tfsync = committed,loose-object
\tbigFileThreshold = {big}
[gc]
\tauto = 0
[diff]
\talgorithm = myers
\tindentHeuristic = true
"""
_SHA256_EXTENSION = "[extensions]\n\tobjectFormat = sha256\n"


@dataclass(frozen=True, slots=True)
class Place:
    """Where one git call works: a throw-away git directory, an object folder, an otherwise empty work tree.

    `handles` are descriptors that git gets as well, for an object folder that consists of them.
    """

    git_dir: Path
    work_tree: Path
    objects: Path
    handles: tuple[int, ...] = ()

    def with_objects(self, objects: Path) -> Place:
        """The same place over another object folder."""
        return Place(self.git_dir, self.work_tree, objects)


@cache
def git_program() -> str:
    """Absolute path of git. MissingComponentError `git_missing` where there is none."""
    # System folders first: a `git` that an agent put on PATH must not be the one that reports what it did.
    on_path = [entry for entry in os.environ.get("PATH", "").split(os.pathsep) if Path(entry).is_absolute()]
    found = shutil.which("git", path=os.pathsep.join((*_SYSTEM_PATH, *on_path)))
    if found is None:
        raise MissingComponentError(
            "git_missing", detail="git is not on this machine", remedy="install git 2.39 or newer"
        )
    return found


def configuration(object_format: str) -> str:
    """The configuration of every git directory the engine makes."""
    if object_format == "sha256":
        return _CONFIG.format(version=1, big=MAX_OBJECT_BYTES + 1) + _SHA256_EXTENSION
    return _CONFIG.format(version=0, big=MAX_OBJECT_BYTES + 1)


def write_git_dir(git_dir: Path, object_format: str) -> None:
    """An empty bare git directory, written by hand: `git init` would copy templates and probe the file system."""
    (git_dir / "objects").mkdir(parents=True, exist_ok=True)
    (git_dir / "refs").mkdir(exist_ok=True)
    (git_dir / "config").write_text(configuration(object_format))
    (git_dir / "HEAD").write_text("ref: refs/heads/none\n")


@contextmanager
def scratch(parent: Path | None, object_format: str, objects: Path | None = None) -> Iterator[Place]:
    """A place of one's own below `parent` (the system's temporary folder if None), removed on leaving."""
    with throwaway("autopilot-git-", parent) as folder:
        git_dir, work_tree = folder / "git", folder / "tree"
        work_tree.mkdir()
        write_git_dir(git_dir, object_format)
        yield Place(git_dir, work_tree, objects or git_dir / "objects")


def run_git(place: Place, *arguments: str, feed_from: Path | None = None) -> bytes:
    """What `git *arguments` prints, its input the file `feed_from`.

    StorageError `git_failed` if it fails, runs over its time or prints too much.
    """
    with Path(feed_from or os.devnull).open("rb") as source:
        try:
            done = subprocess.run(
                [git_program(), *arguments],
                cwd=place.work_tree,
                env=_environment(place),
                stdin=source,
                capture_output=True,
                timeout=TIMEOUT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise _failed(arguments, f"ran over {TIMEOUT_SECONDS} seconds") from None
    if done.returncode != 0:
        raise _failed(arguments, done.stderr.decode("utf-8", "replace")[:2000].strip())
    if len(done.stdout) > OUTPUT_CAP_BYTES:
        raise _failed(arguments, f"printed more than {OUTPUT_CAP_BYTES} bytes")
    return done.stdout


def _environment(place: Place) -> dict[str, str]:
    return {
        "PATH": os.pathsep.join(_SYSTEM_PATH),
        "LC_ALL": "C",
        "HOME": "/nonexistent",
        "XDG_CONFIG_HOME": "/nonexistent",
        "GIT_DIR": str(place.git_dir),
        "GIT_WORK_TREE": str(place.work_tree),
        "GIT_OBJECT_DIRECTORY": str(place.objects),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_ALLOW_PROTOCOL": "none",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_PAGER": "cat",
    }


def _failed(arguments: tuple[str, ...], detail: str, family: type[StorageError] = StorageError) -> StorageError:
    return family(
        "git_failed",
        where=f"git {' '.join(arguments)}",
        detail=detail or "git failed without a word",
        remedy="run `autopilot doctor`; if the repository is damaged, `git fsck` names the place",
    )


class ConversationEndedError(StorageError):
    """git ended where an answer was due: what it was asked about made it die."""


class Conversation:
    """A git process asked many things, one short question at a time.

    A question is at most PIPE_SAFE_BYTES and is sent only when all earlier answers were read, so that neither side
    can block the other. A silence of TIMEOUT_SECONDS ends it.
    """

    def __init__(self, place: Place, *arguments: str) -> None:
        self._arguments = arguments
        self._process = subprocess.Popen(
            [git_program(), *arguments],
            cwd=place.work_tree,
            env=_environment(place),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            pass_fds=place.handles,
        )
        assert self._process.stdin is not None  # noqa: S101 - a pipe was asked for two lines above
        assert self._process.stdout is not None  # noqa: S101
        self._to, self._from = self._process.stdin.fileno(), self._process.stdout.fileno()
        self._poll = select.poll()
        self._poll.register(self._from, select.POLLIN)
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def send(self, question: bytes) -> None:
        """Write one question of at most PIPE_SAFE_BYTES."""
        if len(question) > PIPE_SAFE_BYTES:
            raise _failed(self._arguments, "a name too long to ask git about")
        try:
            os.write(self._to, question)
        except OSError:
            raise _failed(self._arguments, "git ended early", ConversationEndedError) from None

    def until(self, mark: bytes) -> bytes:
        """The answer up to `mark`, which is dropped."""
        while mark not in self._rest:
            self._rest += self._more()
        answer, self._rest = self._rest.split(mark, 1)
        return answer

    def exactly(self, size: int) -> bytes:
        """The next `size` bytes of the answer."""
        parts, held = [self._rest], len(self._rest)
        while held < size:
            parts.append(self._more())
            held += len(parts[-1])
        whole = b"".join(parts)
        self._rest = whole[size:]
        return whole[:size]

    def close(self) -> None:
        """End the process: it holds nothing worth a clean farewell."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _more(self) -> bytes:
        if not self._poll.poll(TIMEOUT_SECONDS * 1000):
            raise _failed(self._arguments, f"silent for {TIMEOUT_SECONDS} seconds")
        data = os.read(self._from, 1 << 20)
        if not data:
            raise _failed(self._arguments, "git ended early", ConversationEndedError)
        return data
