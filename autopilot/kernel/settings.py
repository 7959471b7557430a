"""Reading `autopilot.toml` and the `AUTOPILOT_*` variables over it into checked `Settings`.

Rules kept here:
- A key that is not known is refused, with the nearest known one: a misspelt threshold must not be a missing one.
- Types in the file are exact: `"80"` is not a number, `true` is not 1. In the environment everything is text.
- A wrong file says which key, in which line; a wrong variable says which variable.
- Commands and the ledger id come from the file only. They are pinned with it; a variable leaves no trace in git.

Variables: `AUTOPILOT_STATE_DIR`, `AUTOPILOT_STORE`, `AUTOPILOT_PYTHON`, and for the keys of a section
`AUTOPILOT_<SECTION>__<KEY>` with two underscores, lists as JSON: `AUTOPILOT_LEASE__TTL_SECONDS=60`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict, SettingsError

from autopilot.kernel.configuration import (
    COMMANDS,
    SETTINGS_FILE,
    ApprovalSettings,
    Command,
    GuardSettings,
    LeaseSettings,
    PinSettings,
    SandboxSettings,
    Settings,
    Thresholds,
    ToolRegistration,
    WatchdogSettings,
    default_attestation,
)
from autopilot.kernel.errors import ContractError
from autopilot.kernel.phases import PHASES
from autopilot.kernel.settings_schema import CommandModel, Document, GuardModel, nearest

__all__ = ["Settings", "environment_names", "load_settings", "parse_settings", "unknown_variables"]

MAX_FILE_BYTES = 256 * 1024
PREFIX = "AUTOPILOT_"
# Variables of the command line and of tests, which are no settings.
CALL_VARIABLES = (
    "AUTOPILOT_ACTOR",
    "AUTOPILOT_ACTOR_KIND",
    "AUTOPILOT_LEASE",
    "AUTOPILOT_ENGINE_UID",
    "AUTOPILOT_SESSION",
    "AUTOPILOT_SOCKET",
    "AUTOPILOT_TASK",
    "AUTOPILOT_TEST_DATA",
)
_PLACES = ("state_dir", "store", "python")
# Commands whose report is what counts: an exit code alone proves nothing.
_NEEDED_REPORTS = {"test": "junit", "coverage": "coverage-json"}


class _Environment(Document, BaseSettings):
    """Tells pydantic-settings which variables map to which key; never instantiated."""

    model_config = SettingsConfigDict(extra="forbid")


def load_settings(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """The settings of the file at `path` (None: defaults alone), with the variables of `environ` over them.

    ContractError `bad_config` names file, key and line of what is wrong.
    """
    if path is None:
        return parse_settings(b"", environ)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise _bad(str(path), f"cannot be read: {error.strerror}") from None
    if len(data) > MAX_FILE_BYTES:
        raise _bad(str(path), f"larger than {MAX_FILE_BYTES} bytes")
    return parse_settings(data, environ, name=str(path))


def parse_settings(data: bytes, environ: Mapping[str, str], *, name: str = SETTINGS_FILE) -> Settings:
    """As `load_settings`, from the file's bytes; `name` is how errors call the file."""
    try:
        text = data.decode("utf-8")
        content = tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise _bad(name, f"not UTF-8 at byte {error.start}") from None
    except tomllib.TOMLDecodeError as error:
        raise _bad(name, f"not TOML: {error}") from None
    try:
        document = Document.model_validate(content, strict=True)
    except ValidationError as error:
        raise _wrong_key(*_first_problem(error), name, text) from None
    misfit = _misfit({key: _command(key, command) for key, command in document.commands.items()})
    if misfit:
        raise _wrong_key(*misfit, name, text)
    overrides = _overrides(environ)
    if overrides:
        try:
            # The file alone is right, so that what fails now is a variable.
            document = Document.model_validate(_merged(document.model_dump(exclude_unset=True), overrides))
        except ValidationError as error:
            raise _wrong_variable(error) from None
    return _settings(document)


def environment_names() -> tuple[str, ...]:
    """Every variable that is a setting; for a table of free names its section stands with `*`."""
    names = [PREFIX + key.upper() for key in _PLACES]
    for section, field in Document.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            names += [f"{PREFIX}{section}__{key}".upper() for key in field.annotation.model_fields]
    names += [f"{PREFIX}ATTESTATION__{phase}" for phase in PHASES]
    return (*sorted(names), f"{PREFIX}FLAGS__*")


def unknown_variables(environ: Mapping[str, str]) -> tuple[str, ...]:
    """`AUTOPILOT_*` variables that neither a setting nor a call reads: probably misspelt; doctor names them."""
    known = {*environment_names(), *CALL_VARIABLES}
    return tuple(
        sorted(
            name
            for name in environ
            if name.startswith(PREFIX) and name not in known and not name.startswith(f"{PREFIX}FLAGS__")
        )
    )


def _misfit(commands: Mapping[str, Command]) -> tuple[tuple[str | int, ...], str] | None:
    """Path and wording of the first placeholder that is missing, or that nothing fills."""
    for name, command in commands.items():
        path = ("commands", name)
        if name == "setup" and not command.uses("deps"):
            return path, "does not use {deps}, the folder it must fill"
        if name == "setup" and command.then:
            return (*path, "then"), "setup is one argument vector: its digest names the dependencies"
        if command.uses("deps") and "setup" not in commands:
            return path, "uses {deps}, but there is no commands.setup to fill it"
        if command.report != _NEEDED_REPORTS.get(name, command.report):
            return (*path, "report"), f"must be {_NEEDED_REPORTS[name]!r}: an exit code alone proves nothing"
        if command.report not in ("none", "flake8", "lines") and not command.uses("report"):
            return path, f"does not use {{report}}, the file of its {command.report} report"
    return None


def _settings(document: Document) -> Settings:
    return Settings(
        ledger_id=document.ledger_id,
        state_dir=document.state_dir,
        store=document.store,
        daemon=document.daemon,
        python=document.python,
        commands={name: _command(name, document.commands[name]) for name in COMMANDS if name in document.commands},
        thresholds=Thresholds(**document.thresholds.model_dump()),
        sandbox=SandboxSettings(**_tuples(document.sandbox)),
        lease=LeaseSettings(**document.lease.model_dump()),
        attestation={**default_attestation(), **document.attestation},
        guard=_guard(document.guard),
        flags=dict(document.flags),
        watchdog=WatchdogSettings(**document.watchdog.model_dump()),
        pins=PinSettings(**_tuples(document.pins)),
        approvals=ApprovalSettings(**_tuples(document.approvals)),
    )


def _command(name: str, command: CommandModel) -> Command:
    return Command(
        argv=tuple(command.argv),
        then=tuple(tuple(vector) for vector in command.then),
        env=dict(command.env),
        timeout_seconds=command.timeout_seconds,
        report=command.report or _NEEDED_REPORTS.get(name, "none"),
    )


def _guard(guard: GuardModel) -> GuardSettings:
    return GuardSettings(
        network_hosts=tuple(guard.network_hosts),
        deny=tuple(guard.deny),
        scratch=tuple(guard.scratch),
        tools=tuple(ToolRegistration(**_tuples(tool)) for tool in guard.tools),
    )


def _tuples(section: BaseModel) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in section.model_dump().items()}


def _overrides(environ: Mapping[str, str]) -> dict[str, Any]:
    """The settings among the variables, nested as in the file. An empty variable is as good as none."""
    chosen = {
        name.lower(): value
        for name, value in environ.items()
        if value and name.startswith(PREFIX) and ("__" in name or name[len(PREFIX) :].lower() in _PLACES)
    }
    for name in chosen:
        section = name[len(PREFIX) :].partition("__")[0]
        if section in ("commands", "ledger_id"):
            raise _bad(name.upper(), "commands and the ledger id are read from the file only")
        if section not in Document.model_fields:
            raise _bad(name.upper(), f"no section {section!r}{nearest(section, Document.model_fields)}")
    source = EnvSettingsSource(_Environment, case_sensitive=False, env_prefix=PREFIX.lower(), env_nested_delimiter="__")
    source.env_vars = chosen
    try:
        overrides = source()
    except SettingsError as error:
        raise _bad("environment", f"{error}: lists are written as JSON") from None
    if "attestation" in overrides:
        overrides["attestation"] = {phase.upper(): severity for phase, severity in overrides["attestation"].items()}
    return overrides


def _merged(content: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(content)
    for key, value in overrides.items():
        below = merged.get(key)
        merged[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _bad(where: str, detail: str) -> ContractError:
    return ContractError("bad_config", where=where, detail=detail, remedy="see docs/reference/configuration.md")


def _wrong_key(path: tuple[str | int, ...], detail: str, name: str, text: str) -> ContractError:
    line = _line_of(text, path)
    key = _dotted(path)
    where = f"{name}:{line}: {key}" if line else f"{name}: {key}" if key else name
    return _bad(where, detail)


def _wrong_variable(error: ValidationError) -> ContractError:
    path, detail = _first_problem(error)
    return _bad(PREFIX + "__".join(str(part) for part in path if isinstance(part, str)).upper(), detail)


def _first_problem(error: ValidationError) -> tuple[tuple[str | int, ...], str]:
    """Path and wording of the first problem; an unknown key says which known one is near."""
    problem = error.errors(include_url=False)[0]
    path = tuple(part for part in problem["loc"] if part != "[key]")
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        return path, f"no such key{nearest(str(path[-1]), _known_below(path[:-1]))}"
    if "[key]" in problem["loc"]:
        return path, f"no such name{nearest(str(path[-1]), _known_below(path[:-1]))}"
    if problem["type"] == "missing":
        return path, "is not there, and must be"
    given = problem["input"]
    shown = "" if isinstance(given, (dict, list, BaseModel)) else f", not {given!r}"
    return path, message + shown


def _known_below(path: tuple[str | int, ...]) -> tuple[str, ...]:
    """The keys allowed at `path`."""
    if not path:
        return tuple(Document.model_fields)
    if path[0] == "commands":
        return COMMANDS if len(path) == 1 else tuple(CommandModel.model_fields)
    annotation = Document.model_fields[str(path[0])].annotation
    return tuple(annotation.model_fields) if isinstance(annotation, type) and issubclass(annotation, BaseModel) else ()


def _dotted(path: tuple[str | int, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def _line_of(text: str, path: tuple[str | int, ...]) -> int | None:
    """The line that sets `path`, or the nearest thing above it; None where a search cannot tell.

    tomllib keeps no positions. The search ignores case and knows table headers and keys at the start of a line, which
    is how the file is written; a key inside an inline table or a long array is found as that table's or array's line.
    """
    names = [part.lower() for part in path if isinstance(part, str)]
    for length in range(len(names), 0, -1):
        for number, found in _keys_by_line(text):
            if [part.lower() for part in found] == names[:length]:
                return number
    return None


def _keys_by_line(text: str) -> Iterator[tuple[int, list[str]]]:
    table: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"\s*\[\[?([^\[\]]+)\]\]?\s*(?:#.*)?$", line)
        if header:
            table = _split_key(header[1])
            yield number, table
            continue
        assignment = re.match(r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*[A-Za-z0-9_"'-]+)*)\s*=""", line)
        if assignment:
            yield number, [*table, *_split_key(assignment[1])]


def _split_key(text: str) -> list[str]:
    return [part.strip().strip("\"'") for part in text.split(".")]
