"""The shape of `autopilot.toml`: pydantic models that know types, ranges and wording, and refuse what they do not know.

Defaults are those of the values in `configuration`. What concerns several keys at once, and how errors are worded
for a person, is in `settings`.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import hashlib
import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from autopilot.kernel.configuration import (
    DEFAULT_STATE_DIR,
    PLACEHOLDERS,
    LeaseSettings,
    SandboxSettings,
    Thresholds,
    WatchdogSettings,
)
from autopilot.kernel.flags import FLAGS
from autopilot.kernel.flags import Mode as FlagMode
from autopilot.kernel.phases import PHASES

# As the sandbox fills them: a pair of braces is a placeholder, a doubled brace is a brace.
_BRACES = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_HOST = re.compile(r"(?:[A-Za-z0-9-]+\.)*[A-Za-z0-9-]+")
_LEDGER_ID = re.compile(r"[0-9a-f]{32}")
_KEY_NAME = re.compile(r"[^\s+\x00-\x1f\x7f]{1,128}")


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or the list of what is known, or nothing where nothing is."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; known are {', '.join(names)}" if names else ""


def _plain_text(text: str) -> str:
    if "\0" in text:
        raise ValueError("holds a NUL character")
    return text


def _host(text: str) -> str:
    if not _HOST.fullmatch(text):
        raise ValueError("a host name without scheme, port and path: github.com")
    return text.lower()


def _folder(text: str) -> str:
    if not text.startswith("/") or ".." in text.split("/") or not text.strip("/"):
        raise ValueError("an absolute path below /, without '..'")
    return text


def _ledger_id(text: str) -> str:
    if text and not _LEDGER_ID.fullmatch(text):
        raise ValueError("the 32 hexadecimal digits that init wrote")
    return text


def _verifier_key(text: str) -> str:
    """The C2SP form of an Ed25519 key. `signing.note` reads it; here it is only held against its own id."""
    name, _, rest = text.partition("+")
    key_id, _, encoded = rest.partition("+")
    try:
        data = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    own = hashlib.sha256(name.encode() + b"\n" + data).hexdigest()[:8]
    if not _KEY_NAME.fullmatch(name) or data[:1] != b"\x01" or len(data) != 33 or key_id != own:
        raise ValueError("a verifier key, name+id+key, as `autopilot approver keygen` shows it")
    return text


Text = Annotated[str, BeforeValidator(lambda value: _plain_text(value) if isinstance(value, str) else value)]
Name = Annotated[Text, Field(min_length=1)]
Host = Annotated[Text, AfterValidator(_host)]
Folder = Annotated[Text, AfterValidator(_folder)]
LedgerId = Annotated[Text, AfterValidator(_ledger_id)]
VerifierKeyText = Annotated[Text, AfterValidator(_verifier_key)]
Percent = Annotated[int, Field(ge=0, le=100)]
DeniableCapability = Literal[
    "search", "vcs_read", "edit", "run_tests", "run_command", "vcs_commit", "vcs_push", "network"
]
Capability = Literal[
    "read", "host", "search", "vcs_read", "edit", "run_tests", "run_command", "vcs_commit", "vcs_push", "network"
]
Vector = Annotated[list[Text], Field(min_length=1, max_length=256)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=False)


class CommandModel(_Section):
    """`[commands.NAME]`: words to run, without a shell."""

    argv: Vector
    then: list[Vector] = []
    env: dict[Name, Text] = {}
    timeout_seconds: Annotated[int, Field(ge=1, le=86_400)] = 600
    report: Literal["none", "junit", "coverage-json", "ruff-json", "flake8", "lines"] | None = None

    @field_validator("argv", "then", mode="before")
    @classmethod
    def _refuse_shell_line(cls, value: Any) -> Any:
        if isinstance(value, str):
            raise ValueError('an argument vector, not a shell line: ["python", "-m", "pytest"]')  # noqa: TRY004
        return value

    @model_validator(mode="after")
    def _check_words(self) -> CommandModel:
        for vector in (self.argv, *self.then):
            if not vector[0]:
                raise ValueError("the first word, the program, is empty")
        for word in (*self.argv, *(word for vector in self.then for word in vector), *self.env.values()):
            for token in _BRACES.finditer(word):
                if token[0] not in ("{{", "}}") and token[1] not in PLACEHOLDERS:
                    raise ValueError(
                        f"{token[0]!r} is not a placeholder{nearest(token[1] or '', PLACEHOLDERS)}; "
                        "a literal brace is written twice"
                    )
        return self


class ThresholdsModel(_Section):
    """`[thresholds]`: the least percentages and scores that pass."""

    coverage_percent: Percent = Thresholds().coverage_percent
    lint_score: Percent = Thresholds().lint_score
    rubric_score: Percent = Thresholds().rubric_score


class SandboxModel(_Section):
    """`[sandbox]`: how commands are isolated, and what they may use."""

    isolation: Literal["none", "auto", "bwrap"] = "auto"
    readonly: list[Folder] = []
    memory_mb: Annotated[int, Field(ge=64, le=1_048_576)] = SandboxSettings().memory_mb
    output_cap_kb: Annotated[int, Field(ge=16, le=65_536)] = SandboxSettings().output_cap_kb


class LeaseModel(_Section):
    """`[lease]`: how long a phase is held, in seconds."""

    ttl_seconds: Annotated[int, Field(ge=5, le=86_400)] = LeaseSettings().ttl_seconds
    renew_min_interval_seconds: Annotated[int, Field(ge=0, le=3_600)] = LeaseSettings().renew_min_interval_seconds
    max_hold_seconds: Annotated[int, Field(ge=0, le=31_536_000)] = LeaseSettings().max_hold_seconds

    @model_validator(mode="after")
    def _renewable(self) -> LeaseModel:
        if self.renew_min_interval_seconds * 2 > self.ttl_seconds:
            raise ValueError("renew_min_interval_seconds is more than half of ttl_seconds: no holder could keep up")
        return self


class ToolModel(_Section):
    """`[[guard.tools]]`: what a tool of an MCP server can do."""

    server: Name
    tool: Name
    capability: Capability
    paths: list[Name] = []


class GuardModel(_Section):
    """`[guard]`: what the guard allows and denies beyond its tables."""

    network_hosts: list[Host] = []
    deny: list[DeniableCapability] = []
    scratch: list[Folder] = []
    tools: list[ToolModel] = []

    @model_validator(mode="after")
    def _edits_name_paths(self) -> GuardModel:
        for tool in self.tools:
            if tool.capability == "edit" and not tool.paths:
                # Without them the guard could not tell where it writes.
                raise ValueError(f"the tool {tool.tool!r} edits: name its arguments that hold paths in `paths`")
        return self


class WatchdogModel(_Section):
    """`[watchdog]`: after how many violations, or minutes without progress, a task is held."""

    violations: Annotated[int, Field(ge=1, le=1_000)] = WatchdogSettings().violations
    minutes: Annotated[int, Field(ge=1, le=10_080)] = WatchdogSettings().minutes


class PinsModel(_Section):
    """`[pins]`: further files that count as tests or runner configuration."""

    extra: list[Name] = []


class ApprovalsModel(_Section):
    """`[approvals]`: whose signed approvals count, and whether unsigned ones do."""

    signed: Literal["optional", "required"] = "optional"
    approvers: list[VerifierKeyText] = []

    @model_validator(mode="after")
    def _somebody_can_sign(self) -> ApprovalsModel:
        if self.signed == "required" and not self.approvers:
            raise ValueError("signed approvals are required, and no approver is named who could sign one")
        return self


CommandName = Literal["setup", "build", "test", "coverage", "lint", "ci", "smoke"]
Severity = Literal["warn", "error"]
Mode = Literal["off", "observe", "enforce"]


class Document(BaseModel):
    """The file's shape."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ledger_id: LedgerId = ""
    state_dir: Name = DEFAULT_STATE_DIR
    store: Text = ""
    daemon: Text = ""
    python: Text = ""
    commands: dict[CommandName, CommandModel] = {}
    thresholds: ThresholdsModel = ThresholdsModel()
    sandbox: SandboxModel = SandboxModel()
    lease: LeaseModel = LeaseModel()
    attestation: dict[str, Severity] = {}
    guard: GuardModel = GuardModel()
    flags: dict[Name, Mode] = {}
    watchdog: WatchdogModel = WatchdogModel()
    pins: PinsModel = PinsModel()
    approvals: ApprovalsModel = ApprovalsModel()

    @field_validator("state_dir")
    @classmethod
    def _folder_of_its_own(cls, value: str) -> str:
        parts = [part for part in value.split("/") if part not in ("", ".")]
        if not parts or ".." in parts or parts[0] == "~" or ".git" in parts:
            raise ValueError("a folder of its own: absolute or below the repository, without '..', '~' and '.git'")
        return value

    @field_validator("python")
    @classmethod
    def _absolute_program(cls, value: str) -> str:
        if value and not value.startswith("/"):
            raise ValueError("the absolute path of an interpreter, or empty for the one that runs autopilot")
        return value

    @field_validator("flags")
    @classmethod
    def _known_flags(cls, value: dict[str, str]) -> dict[str, str]:
        for name, mode in value.items():
            if name not in FLAGS:
                raise ValueError(f"{name!r} is not a flag{nearest(name, FLAGS)}")
            strictest = FLAGS[name].strictest
            if FlagMode[mode.upper()] > strictest:
                raise ValueError(f"{name!r} goes up to {strictest.word!r}, not {mode!r}")
        return value

    @field_validator("attestation", mode="before")
    @classmethod
    def _phases(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        phases: dict[str, Any] = {}
        for name, severity in value.items():
            phase = name.upper()
            if phase not in PHASES:
                raise ValueError(f"{name!r} is not a phase{nearest(phase, [str(known) for known in PHASES])}")
            if phase in phases:
                raise ValueError(f"{phase} is there twice, in different case")
            phases[phase] = severity.lower() if isinstance(severity, str) else severity
        return phases
