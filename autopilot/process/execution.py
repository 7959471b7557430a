"""Runs a task's configured commands on one tree, and nothing else.

    with Workshop(site, settings, tree, floor="none") as shop:
        test = shop.run("test")

The tree is checked out into a throw-away folder by the engine (no filters, no hooks). `setup` provides dependencies
first, with network; `build` runs next; every other command gets its own copy of the built tree, so that none can
prepare the ground for another. The repository itself is never mounted.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Literal

from autopilot.kernel.canonical import digest_of
from autopilot.kernel.configuration import Command, Settings
from autopilot.kernel.errors import ContractError, IntegrityError, StorageError
from autopilot.kernel.files import read_regular
from autopilot.kernel.placing import place_file
from autopilot.kernel.throwaway import sweep, throwaway
from autopilot.process.site import Site
from autopilot.sandbox.placeholders import expand
from autopilot.sandbox.run import MIB, CommandResult, CommandSpec, Limits
from autopilot.sandbox.setup import Dependencies, SetupRequest, provide
from autopilot.sandbox.third_user_files import plain_copy

# Files that decide what `commands.setup` installs: part of the cache's key where the tree has them.
_DEPENDENCY_FILES = (
    "pyproject.toml",
    "setup.cfg",
    "setup.py",
    "poetry.lock",
    "uv.lock",
    "pdm.lock",
    "Pipfile.lock",
    "package-lock.json",
)
_CACHE = "__pycache__"
_REPORT_CAP_BYTES = 64 * MIB


@dataclass(frozen=True, slots=True)
class Ran:
    """One command's run: every vector that ran, the last one's exit, and the machine report if it wrote one."""

    name: str
    results: tuple[CommandResult, ...]
    report: bytes | None
    environment: Mapping[str, Any]

    @property
    def last(self) -> CommandResult:
        """The vector that ended the run."""
        return self.results[-1]

    @property
    def succeeded(self) -> bool:
        """True only if every vector ended by itself with exit code 0."""
        return all(result.succeeded for result in self.results)

    @property
    def exit_code(self) -> int | None:
        """The exit code of the vector that ended the run; None if it was killed."""
        return self.last.exit_code

    @property
    def output(self) -> bytes:
        """Everything the vectors wrote, in order."""
        return b"".join(result.output for result in self.results)

    def as_dict(self) -> dict[str, Any]:
        """The record for evidence."""
        return {"runs": [result.as_dict() for result in self.results], "environment": dict(self.environment)}


class Workshop:
    """A throw-away place with one tree in it. A context manager: leaving it removes everything."""

    def __init__(
        self,
        site: Site,
        settings: Settings,
        tree: str,
        *,
        floor: Literal["none", "bwrap"] = "none",
        compiled: str | None = None,
    ) -> None:
        """`compiled`: the digest the compiled files of the interpreter's packages must have to be used; None: any."""
        self._site = site
        self._settings = settings
        self._tree = tree
        # The profile's floor and the configuration's wish, the stricter of the two.
        self._runner = site.runner(floor if floor == "bwrap" else settings.sandbox.isolation)
        self._toolbox = site.toolbox(settings.python)
        self._interpreter = self._toolbox.facts()
        # A compiled file goes before its source, and its digest is not what a task is held to.
        self._uncompiled = compiled is not None and compiled != self._interpreter.compiled_sha256
        self._folder = ExitStack()
        self._deps: Dependencies | None = None
        self._built: Path | None = None
        self._build: Ran | None = None
        self._laid: Mapping[str, tuple[int, ...]] = {}

    @property
    def isolation(self) -> str:
        """`bwrap` or `none`: what every run here has."""
        return self._runner.name

    def __enter__(self) -> Workshop:
        # What killed calls left behind is swept here: whoever makes such folders also takes them away.
        sweep()
        with ExitStack() as opening:
            self._built = opening.enter_context(throwaway("autopilot-")) / "tree"
            self._site.trees.checkout(self._tree, self._built)
            self._laid = _stats(self._built)
            setup = self._settings.command("setup")
            if setup is not None:
                self._deps = self._provide(setup, self._built)
            # Kept from here on; a checkout or setup that fails leaves nothing behind.
            self._folder = opening.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._folder.close()

    def build(self) -> Ran | None:
        """Run `commands.build` in the tree the other commands copy, once; None if it is not configured."""
        command = self._settings.command("build")
        if command is not None and self._build is None:
            self._build = self._execute("build", command, self._inside())
        for cache in [path for path in self._inside().rglob(_CACHE) if path.is_dir() and not path.is_symlink()]:
            # A compiled file goes before its source: the commands that are to come compile for themselves.
            shutil.rmtree(cache)
        return self._build

    def touched(self) -> Mapping[str, bytes | None]:
        """What setup and build made of files of the tree: bytes by path, None for one that is gone or no plain file."""
        source = self._inside()
        now = _stats(source)
        return {
            path: _plain_bytes(source, path)
            for path in sorted(self._laid.keys() | now.keys())
            if self._laid.get(path) != now.get(path)
        }

    def run(self, name: str, laid: Mapping[str, bytes] = MappingProxyType({})) -> Ran | None:
        """Run one configured command in a fresh copy of the built tree; None if it is not configured.

        `laid`: files of the engine's own that are put into the copy; one whose place is reached through a link is not.
        """
        command = self._settings.command(name)
        if command is None:
            return None
        source = self._copy()
        for path, data in laid.items():
            with suppress(IntegrityError, StorageError):
                place_file(source, path, data)
        return self._execute(name, command, source)

    def run_argv(self, name: str, argv: tuple[str, ...], timeout_seconds: int) -> Ran:
        """Run one argument vector in a fresh copy, in the environment of the test command."""
        test = self._settings.command("test")
        command = Command(argv=argv, env=dict(test.env) if test else {}, timeout_seconds=timeout_seconds)
        return self._execute(name, command, self._copy())

    def regenerate(self, argv: tuple[str, ...], paths: tuple[str, ...]) -> tuple[Ran, Mapping[str, bytes | None]]:
        """Run a generator in a copy that lacks `paths`, and read what it wrote there (None: no plain file)."""
        source = self._copy()
        for path in paths:
            (source / path).unlink(missing_ok=True)
        test = self._settings.command("test")
        ran = self._execute("generate", Command(argv=argv, env=dict(test.env) if test else {}), source)
        written = {path: _plain_bytes(source, path) for path in paths}
        return ran, written

    # --- inside

    def _inside(self) -> Path:
        if self._built is None:
            raise RuntimeError("the workshop is not open")
        return self._built

    def _copy(self) -> Path:
        built = self._inside()
        # Named by chance: a command must not know from its folder which run of it this is.
        target = Path(tempfile.mkdtemp(prefix="tree-", dir=built.parent)) / "tree"
        shutil.copytree(built, target, symlinks=True, copy_function=plain_copy)
        return target

    def _execute(self, name: str, command: Command, source: Path) -> Ran:
        reports = Path(tempfile.mkdtemp(prefix="report-", dir=self._inside().parent))
        report = reports / "report"
        places = {"report": str(report), "source": str(source)}
        if self._deps is not None:
            places["deps"] = str(self._deps.path)
        results: list[CommandResult] = []
        environment: dict[str, Any] = {}
        for vector in command.vectors:
            argv, env = expand(vector, command.env, places)
            program = self._toolbox.resolve(argv[0], source=source)
            environment = self._environment(program.path, program.sha256)
            results.append(
                self._runner.run(
                    CommandSpec(
                        argv=(str(program.path), *argv[1:]),
                        cwd=source,
                        env=env | ({"PYTHONPYCACHEPREFIX": str(reports / "none")} if self._uncompiled else {}),
                        path=self._toolbox.path,
                        timeout_seconds=command.timeout_seconds,
                        writable=(source, reports),
                        readonly=self._readonly(program.mounts),
                        hidden=(self._site.state_dir,),
                        output_cap_bytes=self._settings.sandbox.output_cap_kb * 1024,
                        limits=self._limits(),
                    )
                )
            )
            if not results[-1].succeeded:
                break
        return Ran(name, tuple(results), _read_report(report), environment)

    def _environment(self, program: Path, sha256: str) -> dict[str, Any]:
        return {
            "isolation": self._runner.name,
            "tree": self._tree,
            "program": str(program),
            "program_sha256": sha256,
            "interpreter": self._interpreter.as_dict(),
            "dependencies": None if self._deps is None else self._deps.as_dict(),
        }

    def _readonly(self, mounts: tuple[Path, ...]) -> tuple[Path, ...]:
        # Commands start one another by name: what the interpreter needs is mounted for every program.
        python = self._toolbox.resolve("python", source=self._inside()).mounts
        deps = (self._deps.path,) if self._deps is not None else ()
        configured = tuple(Path(path) for path in self._settings.sandbox.readonly)
        return tuple(dict.fromkeys((*mounts, *python, *deps, *configured)))

    def _limits(self) -> Limits:
        return Limits(memory_bytes=self._settings.sandbox.memory_mb * MIB)

    def _provide(self, setup: Command, source: Path) -> Dependencies:
        inputs = {
            name: data
            for name in self._dependency_files()
            if (data := self._site.trees.read(self._tree, name)) is not None
        }
        request = SetupRequest(
            argv=setup.argv,
            env=setup.env,
            source=source,
            cache=self._site.deps_cache,
            inputs=inputs,
            timeout_seconds=setup.timeout_seconds,
            caller_env=self._site.environ,
            hidden=(self._site.state_dir,),
            limits=self._limits(),
        )
        return provide(request, self._runner, self._toolbox)

    def _dependency_files(self) -> tuple[str, ...]:
        requirements = [p for p in self._site.trees.paths(self._tree) if p.endswith(".txt") and "requirements" in p]
        return (*_DEPENDENCY_FILES, *requirements)


def inputs_of(settings: Settings, names: tuple[str, ...], further: Mapping[str, Any]) -> str:
    """The digest of what a run depends on beside its tree: the commands, the interpreter's name, and `further`."""
    sealed = settings.as_dict()
    commands = {name: sealed["commands"].get(name) for name in (*names, "setup", "build")}
    return digest_of({"commands": commands, "python": settings.python, "further": dict(further)})


def _stats(root: Path) -> dict[str, tuple[int, ...]]:
    """What tells that a file was written or replaced, by path; links and special files count too."""
    found: dict[str, tuple[int, ...]] = {}
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name != _CACHE]
        for name in (*files, *(name for name in folders if (Path(folder) / name).is_symlink())):
            path = Path(folder) / name
            stat = path.lstat()
            key = (stat.st_ino, stat.st_size, stat.st_mode, stat.st_mtime_ns, stat.st_ctime_ns)
            found[path.relative_to(root).as_posix()] = key
    return found


def _plain_bytes(root: Path, path: str) -> bytes | None:
    try:
        return read_regular(root, path, cap=_REPORT_CAP_BYTES)
    except ContractError:
        return None


def _read_report(path: Path) -> bytes | None:
    """The machine report, or None. A link or a special file in its place counts as none: the run wrote no report."""
    if path.is_symlink() or not path.is_file():
        return None
    if path.stat().st_size > _REPORT_CAP_BYTES:
        raise ContractError("report_unreadable", where=path.name, detail=f"larger than {_REPORT_CAP_BYTES} bytes")
    return path.read_bytes()
