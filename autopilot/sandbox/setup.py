"""Provides a project's dependencies once, for all the commands that run without network.

`commands.setup` runs with the network and the package index configuration, and fills `{deps}`:

    [commands.setup]
    argv = ["python", "-m", "pip", "install", "--no-compile", "--target", "{deps}", "-r", "requirements.txt"]

The tree is kept under `<cache>/<key>/deps`, where the key is a digest of the command, its environment, the
interpreter and the bytes of the lockfile or project metadata. It is built under a lock (the paths in it are final
ones, so it cannot be built elsewhere and renamed), and its marker is written last: a tree without a marker, or one
that no longer has the digest in its marker, is removed and built again. The digest belongs into the evidence; the
cache itself proves nothing.
"""

from __future__ import annotations

import configparser
import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autopilot.kernel import canonical
from autopilot.kernel.errors import ContractError, MissingComponentError, StorageError
from autopilot.sandbox.environment import index_environment
from autopilot.sandbox.interpreter import Toolbox
from autopilot.sandbox.placeholders import expand
from autopilot.sandbox.run import CommandResult, CommandSpec, Limits, Runner
from autopilot.sandbox.third_user_files import own_copy

_FORMAT = 2
_LOCK_POLL_SECONDS = 0.05
_DETAIL_BYTES = 2000
_PIP_FILES = (".config/pip/pip.conf", ".pip/pip.conf")


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupRequest:
    """What to provide: the configured command, the checked-out `source`, the files that decide what is installed.

    `inputs` maps names of lockfiles or metadata to their bytes; `caller_env` is where the index settings are taken
    from (by name), `hidden` what the command must not see.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    source: Path
    cache: Path
    inputs: Mapping[str, bytes]
    timeout_seconds: int
    caller_env: Mapping[str, str] = field(default_factory=dict)
    hidden: tuple[Path, ...] = ()
    readonly: tuple[Path, ...] = ()
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies:
    """A finished tree: where it is, under which key, its digest, and the run that made it (None if it was there)."""

    path: Path
    key: str
    tree_sha256: str
    result: CommandResult | None

    def as_dict(self) -> dict[str, Any]:
        """Plain data for evidence."""
        return {
            "key": self.key,
            "tree_sha256": self.tree_sha256,
            "cached": self.result is None,
            "run": None if self.result is None else self.result.as_dict(),
        }


def provide(request: SetupRequest, runner: Runner, toolbox: Toolbox) -> Dependencies:
    """The dependencies for `request`, from the cache or by running its command.

    Raises MissingComponentError `setup_failed` with the end of the output if the command fails, StorageError
    `lock_timeout` if another process builds the same tree for longer than the time limit.
    """
    program = toolbox.resolve(request.argv[0], source=request.source)
    key = cache_key(request, program.sha256, runner.name)
    home = request.cache / key
    home.mkdir(parents=True, exist_ok=True)
    deps, marker = home / "deps", home / "done.json"
    with _locked(home / "lock", request.timeout_seconds):
        digest = _finished(deps, marker)
        if digest is not None:
            return Dependencies(path=deps, key=key, tree_sha256=digest, result=None)
        marker.unlink(missing_ok=True)
        shutil.rmtree(deps, ignore_errors=True)
        deps.mkdir()
        result = _run(request, runner, toolbox, deps)
        if not result.succeeded:
            shutil.rmtree(deps, ignore_errors=True)
            tail = result.output[-_DETAIL_BYTES:].decode("utf-8", "replace").strip()
            cause = result.failure or f"exit {result.exit_code}"
            raise MissingComponentError("setup_failed", where="commands.setup", detail=f"{cause}: {tail}")
        if result.isolation == "user":
            _take_over(deps)
        digest = tree_digest(deps)
        _write_last(marker, {"format": _FORMAT, "key": key, "tree_sha256": digest})
    return Dependencies(path=deps, key=key, tree_sha256=digest, result=result)


def _take_over(deps: Path) -> None:
    """What a third user made becomes the engine's, before anything is said of its digest."""
    try:
        own_copy(deps)
    except (OSError, shutil.Error) as error:
        detail = f"what it made cannot be taken over: {error}"[:_DETAIL_BYTES]
        raise MissingComponentError("setup_failed", where="commands.setup", detail=detail) from None


def cache_key(request: SetupRequest, program_sha256: str, isolation: str) -> str:
    """The name of the tree: equal for equal commands, interpreters, isolation and input bytes."""
    return canonical.digest_of(
        {
            "format": _FORMAT,
            "argv": list(request.argv),
            "env": dict(request.env),
            "program": program_sha256,
            # A tree that an unisolated run could have written anything into is not one for isolated runs.
            "isolation": isolation,
            "inputs": {name: canonical.sha256_hex(data) for name, data in request.inputs.items()},
        }
    )


def tree_digest(root: Path) -> str:
    """A digest of all files below `root`: relative path, kind, executable bit, and content or link target.

    Compiled `__pycache__` files count too: Python prefers them to their sources.
    """
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        name = os.fsencode(path.relative_to(root))
        if path.is_symlink():
            kind, content = b"l", hashlib.sha256(os.fsencode(path.readlink())).digest()
        elif path.is_dir():
            continue
        elif path.is_file():
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").digest()
            kind = b"x" if path.stat().st_mode & 0o100 else b"f"
        else:
            raise ContractError("artifact_not_regular", where=str(path), detail="in the dependencies")
        digest.update(kind + len(name).to_bytes(4, "big") + name + content)
    return digest.hexdigest()


def index_files(caller_env: Mapping[str, str], user_home: Path) -> tuple[dict[str, str], tuple[Path, ...]]:
    """The index settings setup may see, and the paths they name: a user's pip.conf, local indexes and wheel folders.

    The user's home is not shown to setup, so its pip.conf is named by PIP_CONFIG_FILE and mounted by itself.
    """
    env = index_environment(caller_env)
    if "PIP_CONFIG_FILE" not in env:
        found = [user_home / name for name in _PIP_FILES if (user_home / name).is_file()]
        if found:
            env["PIP_CONFIG_FILE"] = str(found[0])
    values = list(env.values())
    for config in (env.get("PIP_CONFIG_FILE", ""), "/etc/pip.conf"):
        values += _values_of(Path(config)) if config else []
    words = {word.removeprefix("file://") for value in values for word in value.split()}
    # What is named but not there is the index client's to report.
    named = {_whole_index(Path(os.path.normpath(word))) for word in words if word.startswith("/")}
    return env, tuple(sorted(path for path in named if path.exists() and not _is_there_already(path)))


def _is_there_already(path: Path) -> bool:
    """Whether every command sees it anyway: /etc's certificates and the devices, but no folder that lies in memory."""
    top, *below = path.parts[1:] or ("",)
    return top == "etc" or (top == "dev" and not (below[:1] == ["shm"] and len(below) > 1))


def _whole_index(path: Path) -> Path:
    """A local index named by its `simple` folder (PEP 503) links to files that lie beside that folder."""
    return path.parent if path.name == "simple" and len(path.parts) > 2 else path


def _values_of(config: Path) -> list[str]:
    parser = configparser.RawConfigParser()
    try:
        parser.read(config, encoding="utf-8")
    except (configparser.Error, OSError, UnicodeDecodeError):
        return []
    return [value for section in parser.sections() for _, value in parser.items(section)]


def _run(request: SetupRequest, runner: Runner, toolbox: Toolbox, deps: Path) -> CommandResult:
    program = toolbox.resolve(request.argv[0], source=request.source)
    places = {"deps": str(deps), "source": str(request.source)}
    argv, env = expand(request.argv, request.env, places)
    index, index_paths = index_files(request.caller_env, Path.home())
    return runner.run(
        CommandSpec(
            argv=(str(program.path), *argv[1:]),
            cwd=request.source,
            env={**index, **env},
            path=toolbox.path,
            timeout_seconds=request.timeout_seconds,
            network=True,
            writable=(deps,),
            readonly=tuple(dict.fromkeys((request.source, *program.mounts, *index_paths, *request.readonly))),
            hidden=request.hidden,
            limits=request.limits,
        )
    )


def _finished(deps: Path, marker: Path) -> str | None:
    """The digest of a whole and unchanged tree, or None."""
    try:
        record = canonical.parse(marker.read_bytes(), where=str(marker))
        digest = tree_digest(deps)
    except (OSError, ContractError):
        return None
    return digest if isinstance(record, dict) and record.get("tree_sha256") == digest else None


def _write_last(marker: Path, record: dict[str, Any]) -> None:
    temporary = marker.with_suffix(".tmp")
    temporary.write_bytes(canonical.dumps(record))
    temporary.replace(marker)


@contextmanager
def _locked(path: Path, timeout_seconds: int) -> Iterator[None]:
    """Hold the build lock of one key; the kernel lets go of it when its holder dies."""
    deadline = time.monotonic() + timeout_seconds
    with path.open("ab") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise StorageError(
                        "lock_timeout", where=str(path), detail="another process provides the same", retryable=True
                    ) from None
                time.sleep(_LOCK_POLL_SECONDS)
        yield
