"""A repository without git and commands without processes: what the runners' ports are given in a simulation.

Trees are dictionaries under the digest of their content, one working tree for each task. A command is answered by what
lies in the copy that the engine's own workshop laid out for it: the defect is there or not. Now and then, as the seed
says, it fails, writes garbage for a report, writes none, or runs over its time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import unified_diff
from hashlib import sha1
from pathlib import Path

from autopilot.kernel.configuration import Command, SandboxSettings, Settings
from autopilot.kernel.ids import Draw
from autopilot.kernel.stamps import stamp
from autopilot.sandbox.interpreter import Executable, InterpreterFacts, Toolbox
from autopilot.sandbox.run import CommandResult, CommandSpec, Isolation
from autopilot.testing.simulation.clock import SimClock
from autopilot.testing.simulation.documents import BASE, FIX, NEW_TEST, SOURCE
from autopilot.vcs.diff import FileChange
from autopilot.vcs.trees import TreeSnapshot

Files = dict[str, bytes]
_TOOL = Path("/simulated/bin/tool")
_DIGEST = "5" * 64


def settings() -> Settings:
    """The configuration that is there at the start."""
    commands = {
        name: Command(argv=("tool", name, "{report}"), timeout_seconds=300, report=report)
        for name, report in (("test", "junit"), ("coverage", "coverage-json"), ("lint", "ruff-json"))
    }
    commands |= {name: Command(argv=("tool", name), timeout_seconds=300) for name in ("build", "ci", "smoke")}
    # Without isolation the acceptance commands wait for a person: an approval on the way of every task.
    return Settings(commands=commands, sandbox=SandboxSettings(isolation="none"))


class Projects:
    """All working trees, commits and trees; shared by every process."""

    def __init__(self) -> None:
        self.trees: dict[str, Files] = {}
        self.working: dict[str, Files] = {}
        self.commits: dict[str, str] = {}
        self.heads: dict[str, str] = {}
        self.begin("nowhere")

    def begin(self, task: str) -> None:
        """A working tree for the task, at the first commit."""
        self.working[task] = dict(BASE)
        self.commit(task)

    def keep(self, files: Mapping[str, bytes]) -> str:
        """The id of a tree of these files."""
        listed = b"".join(b"%b\0%b\0" % (path.encode(), _blob(data).encode()) for path, data in sorted(files.items()))
        tree = sha1(listed, usedforsecurity=False).hexdigest()
        self.trees.setdefault(tree, dict(files))
        return tree

    def commit(self, task: str) -> str:
        """Commit the task's working tree; the commit's id."""
        tree = self.keep(self.working[task])
        commit = sha1(f"commit {tree}".encode(), usedforsecurity=False).hexdigest()
        self.commits[commit], self.heads[task] = tree, commit
        return commit


@dataclass(slots=True)
class Standing:
    """Where an agent stands: in the working tree of which task. Implements the ports `Worktree` and `Trees`."""

    projects: Projects
    task: str = "nowhere"

    @property
    def worktree_id(self) -> str:
        """The worktree's name."""
        return f"worktrees/{self.task}"

    def branch(self) -> str:
        """The branch."""
        return f"work/{self.task}"

    def head_commit(self) -> str | None:
        """The last commit here."""
        return self.projects.heads[self.task]

    def commit_tree(self, rev: str) -> str:
        """The tree of a commit."""
        return self.projects.commits[rev]

    def snapshot(self, *, base_tree: str | None) -> TreeSnapshot:
        """The working tree now."""
        del base_tree
        return TreeSnapshot(self.projects.keep(self.projects.working[self.task]), (), ())

    def changes(self, old: str, new: str) -> tuple[FileChange, ...]:
        """Every path that differs."""
        before, after = self.projects.trees[old], self.projects.trees[new]
        paths = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
        return tuple(_change(path, before.get(path), after.get(path)) for path in paths)

    def patch(self, old: str, new: str) -> bytes:
        """A diff, one header for each path."""
        before, after = self.projects.trees[old], self.projects.trees[new]
        parts: list[str] = []
        for change in self.changes(old, new):
            old_lines, new_lines = (
                side.get(change.path, b"").decode().splitlines(keepends=True) for side in (before, after)
            )
            parts += [f"diff --git a/{change.path} b/{change.path}\n", *unified_diff(old_lines, new_lines)]
        return "".join(parts).encode()

    def overlaid(self, tree: str, other: str, paths: tuple[str, ...]) -> str:
        """`tree` with these paths as `other` has them."""
        files = {path: data for path, data in self.projects.trees[tree].items() if path not in paths}
        files |= {path: data for path, data in self.projects.trees[other].items() if path in paths}
        return self.projects.keep(files)

    def checkout(self, tree: str, target: Path) -> None:
        """Lay the tree out."""
        target.mkdir()
        for path, data in self.projects.trees[tree].items():
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            (target / path).write_bytes(data)

    def read(self, tree: str, path: str) -> bytes | None:
        """One file's bytes."""
        return self.projects.trees[tree].get(path)

    def paths(self, tree: str) -> tuple[str, ...]:
        """All paths."""
        return tuple(sorted(self.projects.trees[tree]))


def _blob(data: bytes) -> str:
    return sha1(b"blob %d\0%b" % (len(data), data), usedforsecurity=False).hexdigest()


def _change(path: str, before: bytes | None, after: bytes | None) -> FileChange:
    kind = "added" if before is None else "deleted" if after is None else "modified"
    old, new = (before or b"").splitlines(), (after or b"").splitlines()
    return FileChange(
        path=path,
        change=kind,
        old_sha=None if before is None else _blob(before),
        new_sha=None if after is None else _blob(after),
        added_lines=sum(line not in old for line in new),
        deleted_lines=sum(line not in new for line in old),
        binary=False,
    )


class SimTools(Toolbox):
    """Programs that need not be there."""

    @property
    def path(self) -> tuple[Path, ...]:
        """Where programs are looked up."""
        return (_TOOL.parent,)

    def resolve(self, name: str, *, source: Path) -> Executable:
        """Any program is the one tool."""
        del name, source
        return Executable(_TOOL, _DIGEST, ())

    def facts(self) -> InterpreterFacts:
        """An interpreter that never changes."""
        prefix = _TOOL.parent.parent
        return InterpreterFacts(_TOOL, _DIGEST, prefix, prefix, False, _DIGEST, _DIGEST)


def tools(repository: Path, interpreter: str) -> Toolbox:
    """The tools of a repository."""
    del interpreter
    return SimTools(repository, _TOOL)


@dataclass(frozen=True, slots=True)
class SimRunner:
    """Answers commands from the files they would have run on. `passes` lets time pass; `draw` is chance."""

    clock: SimClock
    passes: Callable[[float], None]
    draw: Draw
    name: Isolation = "none"

    def run(self, spec: CommandSpec) -> CommandResult:
        """What the command would have said."""
        started = stamp(self.clock.wall())
        seconds = 1 + int(self.draw(1), 16) % 20
        self.passes(seconds)
        mishap = _MISHAPS.get(int(self.draw(1), 16), "")
        words = [word for word in spec.argv if not word.startswith("/")]
        fixed = FIX in (spec.cwd / SOURCE).read_bytes()
        code, report = _answers(words, fixed=fixed, new_test=(spec.cwd / NEW_TEST).exists())
        if mishap == "fails":
            code = 1 - code
        place = next((Path(word) for word in spec.argv[1:] if word.startswith("/")), None)
        if place is not None and mishap != "silent":
            place.write_bytes(b"<garbage" if mishap == "garbage" else report)
        late = mishap == "late"
        return CommandResult(
            argv=("tool", *words),
            exit_code=None if late else code,
            signal=None,
            timed_out=late,
            output=" ".join(words).encode() + b"\n",
            output_bytes=len(" ".join(words)) + 1,
            truncated=False,
            duration_ns=seconds * 1_000_000_000,
            isolation=self.name,
            started_at=started,
            finished_at=stamp(self.clock.wall()),
        )


# Of 256 runs so many end otherwise than they should.
_MISHAPS = dict(zip(range(12), ("fails",) * 4 + ("garbage",) * 3 + ("silent",) * 3 + ("late",) * 2, strict=True))


def _answers(words: list[str], *, fixed: bool, new_test: bool) -> tuple[int, bytes]:
    """Exit code and report of a command that has run as it should."""
    match words[:1]:
        case ["test"]:
            failed = new_test and not fixed
            return int(failed), _junit(new_test=new_test, failed=failed)
        case ["coverage"]:
            return 0, _coverage()
        case ["lint"]:
            return 0, b"[]"
        case ["-m"]:
            return int(not fixed), b""
        case _:
            return 0, b""


def _junit(*, new_test: bool, failed: bool) -> bytes:
    cases = '<testcase classname="tests.test_pricing" name="test_no_discount_changes_nothing"/>'
    if new_test:
        inner = '<failure message="800"/>' if failed else ""
        cases += f'<testcase classname="tests.test_discount" name="test_ten_percent_off">{inner}</testcase>'
    totals = f'tests="{1 + new_test}" failures="{int(failed)}" errors="0" skipped="0"'
    return f'<testsuites><testsuite name="pytest" {totals}>{cases}</testsuite></testsuites>'.encode()


def _coverage() -> bytes:
    lines = list(range(1, 10))
    summary = {"covered_lines": 9, "num_statements": 10}
    file = {"executed_lines": lines, "missing_lines": [10], "summary": summary | {"missing_lines": 1}}
    return json.dumps({"meta": {"format": 3}, "files": {SOURCE: file}, "totals": summary}).encode()
