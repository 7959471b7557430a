"""Commands for a Python project, from what its files say and what the interpreter at hand has installed. Pure.

Where everything the tests need is installed already there is no setup: nothing to download, nothing to cache.
Otherwise setup fills `{deps}`, and every other command has it on its import path, behind the project's own source,
so that the tests run the judged tree and not a copy of the project that a dependency brought along.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from autopilot.kernel.configuration import Command
from autopilot.onboarding.project import PythonProject
from autopilot.onboarding.requirements import Installed, Requirement, parse_requirement, unsatisfied

_PYTHON = ("python", "-m")
_PIP = (*_PYTHON, "pip", "install", "--quiet", "--disable-pip-version-check", "--target", "{deps}")
# Options in the project's pytest configuration that a plugin must be there for.
_PLUGINS = {
    "--cov": "pytest-cov",
    "-n": "pytest-xdist",
    "--numprocesses": "pytest-xdist",
    "--timeout": "pytest-timeout",
}


@dataclass(frozen=True, slots=True)
class Commands:
    """Commands by name in the order they run, with what should be said about them."""

    commands: dict[str, Command]
    notes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def propose_commands(project: PythonProject, installed: Installed) -> Commands:
    """The commands that build, test, measure, lint and try out `project`."""
    needed = _needed(project)
    absent = unsatisfied(needed, installed)
    with_setup = bool(absent or project.dependencies.files)
    env = _environment(project, with_setup=with_setup)
    linter = _linter(project, installed, with_setup=with_setup)
    commands: dict[str, Command] = {}
    if with_setup:
        commands["setup"] = _setup(project, needed, linter if installed(linter) is None else "")
    if project.sources:
        commands["build"] = Command(argv=(*_PYTHON, "compileall", "-q", "-f", *project.sources), env=env)
    tests = Command(argv=(*_pytest(project), "--junitxml={report}", *_paths(project)), env=env, report="junit")
    commands["test"] = tests
    commands["coverage"] = _coverage(project, env)
    if project.sources:
        commands["lint"] = _lint(project, linter, env)
    commands["ci"] = tests
    if project.packages:
        commands["smoke"] = _smoke(project, env)
    return Commands(commands, _notes(absent, installed, with_setup=with_setup), _missing(project))


def _needed(project: PythonProject) -> tuple[Requirement, ...]:
    declared = project.dependencies.requirements
    names = {requirement.name for requirement in declared}
    words = {word.partition("=")[0] for word in _split(project.pytest_options)}
    tools = ["pytest", "coverage", *(plugin for option, plugin in _PLUGINS.items() if option in words)]
    added = (parse_requirement(tool) for tool in dict.fromkeys(tools) if tool not in names)
    return (*declared, *(requirement for requirement in added if requirement))


def _environment(project: PythonProject, *, with_setup: bool) -> dict[str, str]:
    # The engine keeps the working directory off the import path: a project imported from its root says so.
    path = [project.source_root or ".", *(["{deps}"] if with_setup else [])]
    return {"PYTHONPATH": ":".join(path)}


def _setup(project: PythonProject, needed: tuple[Requirement, ...], linter: str) -> Command:
    files = [word for path in project.dependencies.files for word in ("-r", path)]
    names = [requirement.text for requirement in needed]
    return Command(argv=(*_PIP, *files, *names, *([linter] if linter else [])))


def _pytest(project: PythonProject) -> tuple[str, ...]:
    return (*_PYTHON, "pytest", *(() if project.keeps_cache else ("-p", "no:cacheprovider")))


def _paths(project: PythonProject) -> tuple[str, ...]:
    """Where pytest looks; nothing where the project's own configuration says so."""
    return () if project.names_tests else project.tests


def _coverage(project: PythonProject, env: dict[str, str]) -> Command:
    words = {word.partition("=")[0] for word in _split(project.pytest_options)}
    places = (project.source_root,) if project.source_root else project.packages
    source = "" if project.coverage.names_source else ",".join(places)
    # Workers and a second coverage run inside pytest would hide from this one what was executed.
    quiet = (*(["--no-cov"] if "--cov" in words else []), *(["-n0"] if words & {"-n", "--numprocesses"} else []))
    combine = ((*_PYTHON, "coverage", "combine", "--quiet"),) if project.coverage.parallel else ()
    return Command(
        argv=(
            *(*_PYTHON, "coverage", "run"),
            *([f"--source={source}"] if source else []),
            *("-m", *_pytest(project)[2:], "-q", *quiet, *_paths(project)),
        ),
        # The threshold is autopilot's: with the project's own, a low figure would look like a broken command.
        then=(*combine, (*_PYTHON, "coverage", "json", "--quiet", "--fail-under=0", "-o", "{report}")),
        env=env,
        report="coverage-json",
    )


def _linter(project: PythonProject, installed: Installed, *, with_setup: bool) -> str:
    """The configured linter where it is here or can be installed along; else one that is here; else the compiler."""
    if project.linter and (with_setup or installed(project.linter)):
        return project.linter
    return next((name for name in ("ruff", "flake8", "pyflakes") if installed(name)), "compileall")


def _lint(project: PythonProject, linter: str, env: dict[str, str]) -> Command:
    places = project.sources if linter != project.linter else (".",)
    if linter == "ruff":
        argv = ("ruff", "check", "--no-cache", "--output-format=json", "--output-file={report}", *places)
        return Command(argv=(*_PYTHON, *argv), env=env, report="ruff-json")
    if linter == "flake8":
        return Command(argv=(*_PYTHON, "flake8", "--output-file={report}", *places), env=env, report="flake8")
    if linter == "pyflakes":
        return Command(argv=(*_PYTHON, "pyflakes", *places), env=env, report="flake8")
    # Better than nothing and always there: what the compiler itself warns of.
    return Command(argv=("python", "-W", "error", "-m", "compileall", "-q", "-f", *places), env=env, report="lines")


def _smoke(project: PythonProject, env: dict[str, str]) -> Command:
    names = project.packages[:3]
    # Printing the file shows in the evidence which copy was imported.
    code = f"import {', '.join(names)}; print({', '.join(f'{name}.__file__' for name in names)})"
    return Command(argv=("python", "-c", code), env=env, timeout_seconds=60)


def _notes(absent: tuple[Requirement, ...], installed: Installed, *, with_setup: bool) -> tuple[str, ...]:
    notes = []
    if absent:
        names = ", ".join(requirement.text for requirement in absent)
        notes.append(f"commands.setup is proposed because this interpreter does not have: {names}")
    elif not with_setup:
        notes.append("no commands.setup: this interpreter has all that the project declares")
    if with_setup and installed("pip") is None:
        notes.append("this interpreter has no pip: install it, or write commands.setup with another installer")
    return tuple(notes)


def _missing(project: PythonProject) -> tuple[str, ...]:
    missing = []
    if not project.tests:
        missing.append("commands.test: no test file was found; VERIFY refuses a run that collects no test")
    if not project.packages:
        missing.append("commands.build, commands.lint, commands.smoke: no package or module was found to name in them")
    return tuple(missing)


def _split(options: str) -> list[str]:
    try:
        return shlex.split(options)
    except ValueError:
        return options.split()
