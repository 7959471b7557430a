"""What `autopilot.toml` can say, as frozen values with their defaults and units.

    Settings
      commands     what the engine runs: setup, build, test, coverage, lint, ci, smoke
      thresholds   least coverage, lint score and review score
      sandbox      isolation, mounts, limits
      lease        times of a phase lease
      attestation  what a drifted prompt means, by phase
      guard        hosts a network tool may reach, capabilities taken away
      flags        modes of the enforcements
      watchdog     when a task is held for a person
      pins         further files that may not change without approval
      approvals    whose signed approvals count, and whether others do

Light on purpose: no pydantic here, so that commands which only need a value or the place of the state start
quickly. Reading and checking a file is `autopilot.kernel.settings`. What is sealed on the ledger is
`Settings.as_dict()`; `restore_settings` is its inverse.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from autopilot.kernel.errors import ContractError
from autopilot.kernel.phases import PHASES, Phase

SETTINGS_FILE = "autopilot.toml"
DEFAULT_STATE_DIR = "state"
# What AUTOPILOT_SOCKET says to whoever works on the files themselves: the engine's own user.
NO_DAEMON = "off"
COMMANDS = ("setup", "build", "test", "coverage", "lint", "ci", "smoke")
PLACEHOLDERS = ("report", "deps", "source")
ISOLATIONS = ("none", "auto", "bwrap")
SEVERITIES = ("warn", "error")
SIGNED = ("optional", "required")

# A drifted prompt is most harmful where work is judged: there it is an error unless the file says otherwise.
_DRIFT_IS_ERROR_IN = (Phase.VERIFY, Phase.REVIEW, Phase.MONITOR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One thing the engine runs: `argv`, and then each vector of `then`, in one working copy and one environment.

    The first vector that does not exit 0 ends it. `timeout_seconds` is the limit of each vector. `report` names
    the format of what the command writes to `{report}`; `flake8` and `lines` without `{report}` are read from the
    output. Braces stand for placeholders, doubled braces for themselves.
    """

    argv: tuple[str, ...]
    then: tuple[tuple[str, ...], ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    timeout_seconds: int = 600
    report: str = "none"

    @property
    def vectors(self) -> tuple[tuple[str, ...], ...]:
        """`argv` and the vectors that follow it, in the order they run."""
        return (self.argv, *self.then)

    def uses(self, placeholder: str) -> bool:
        """Whether a word or an environment value holds `{placeholder}`."""
        texts = (*(word for vector in self.vectors for word in vector), *self.env.values())
        mark = "{" + placeholder + "}"
        return any(mark in text.replace("{{", "").replace("}}", "") for text in texts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Least values, whole numbers from 0 to 100."""

    coverage_percent: int = 70
    lint_score: int = 80
    rubric_score: int = 70


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSettings:
    """How commands are contained.

    `isolation`: `auto` takes bubblewrap where it works, `bwrap` demands it, `none` never uses it; the profile's
    floor holds in any case. `readonly`: further absolute paths that commands may read.
    """

    isolation: str = "auto"
    readonly: tuple[str, ...] = ()
    memory_mb: int = 4096
    output_cap_kb: int = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseSettings:
    """Times of a phase lease in seconds; `max_hold_seconds` 0 sets no limit on holding by renewal."""

    ttl_seconds: int = 120
    renew_min_interval_seconds: int = 1
    max_hold_seconds: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRegistration:
    """A tool of an MCP server that the operator vouches for; `paths` name its arguments that hold paths it writes."""

    server: str
    tool: str
    capability: str
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardSettings:
    """What agents' tools may reach.

    `network_hosts`: where a phase allows `network`. `deny`: capabilities taken from every phase. `scratch`:
    absolute folders outside the repository that may be written. `tools`: registered tools of MCP servers.
    """

    network_hosts: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    scratch: tuple[str, ...] = ()
    tools: tuple[ToolRegistration, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchdogSettings:
    """A task is held after this many violations of one kind, or this many minutes under lease without progress."""

    violations: int = 3
    minutes: int = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class PinSettings:
    """`extra`: path patterns pinned at task open beside tests, conftest and CI files."""

    extra: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalSettings:
    """Who may sign approvals: verifier keys, `name+id+key` each. `signed`: whether an approval without one counts."""

    signed: str = "optional"
    approvers: tuple[str, ...] = ()


def default_attestation() -> dict[str, str]:
    """Severity of drift for each phase: `error` in VERIFY, REVIEW and MONITOR, `warn` elsewhere."""
    return {phase.value: "error" if phase in _DRIFT_IS_ERROR_IN else "warn" for phase in PHASES}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything `autopilot.toml` and the environment say, checked and complete.

    `store`, `state_dir` and `daemon` say where the ledger is and are never sealed on it: `store` may hold a password.
    `flags` holds only what was set; `kernel.flags` knows the defaults.
    """

    ledger_id: str = ""
    state_dir: str = DEFAULT_STATE_DIR
    store: str = ""
    daemon: str = ""
    python: str = ""
    commands: Mapping[str, Command] = field(default_factory=dict)
    thresholds: Thresholds = field(default_factory=Thresholds)
    sandbox: SandboxSettings = field(default_factory=SandboxSettings)
    lease: LeaseSettings = field(default_factory=LeaseSettings)
    attestation: Mapping[str, str] = field(default_factory=default_attestation)
    guard: GuardSettings = field(default_factory=GuardSettings)
    flags: Mapping[str, str] = field(default_factory=dict)
    watchdog: WatchdogSettings = field(default_factory=WatchdogSettings)
    pins: PinSettings = field(default_factory=PinSettings)
    approvals: ApprovalSettings = field(default_factory=ApprovalSettings)

    def command(self, name: str) -> Command | None:
        """The configured command, or None."""
        return self.commands.get(name)

    def severity(self, phase: Phase) -> str:
        """What drift means in `phase`: `warn` or `error`."""
        return self.attestation[phase.value]

    def as_dict(self) -> dict[str, Any]:
        """The sealed form: plain data of all that governs, without the places of ledger and state."""
        shown = {name: _plain(getattr(self, name)) for name in _SEALED}
        return {name: shown[name] for name in sorted(shown)}


_SEALED = (
    "python",
    "commands",
    "thresholds",
    "sandbox",
    "lease",
    "attestation",
    "guard",
    "flags",
    "watchdog",
    "pins",
    "approvals",
)
_SECTIONS: dict[str, type[Any]] = {
    "thresholds": Thresholds,
    "sandbox": SandboxSettings,
    "lease": LeaseSettings,
    "guard": GuardSettings,
    "watchdog": WatchdogSettings,
    "pins": PinSettings,
    "approvals": ApprovalSettings,
}


def restore_settings(sealed: Mapping[str, Any], *, ledger_id: str = "") -> Settings:
    """The settings whose `as_dict()` is `sealed`; ContractError `bad_config` if it is not such a form."""
    unknown = sorted(set(sealed) - set(_SEALED))
    if unknown:
        raise _unreadable(f"unknown: {', '.join(unknown)}")
    try:
        sections: dict[str, Any] = {
            name: kind(**_frozen(sealed[name])) for name, kind in _SECTIONS.items() if name in sealed
        }
        if "guard" in sections:
            tools = tuple(ToolRegistration(**_frozen(tool)) for tool in sections["guard"].tools)
            sections["guard"] = dataclasses.replace(sections["guard"], tools=tools)
        return Settings(
            ledger_id=ledger_id,
            python=sealed.get("python", ""),
            commands={name: Command(**_frozen(command)) for name, command in sealed.get("commands", {}).items()},
            attestation={**default_attestation(), **sealed.get("attestation", {})},
            flags=dict(sealed.get("flags", {})),
            **sections,
        )
    except (TypeError, AttributeError) as error:
        raise _unreadable(str(error)) from None


@dataclass(frozen=True, slots=True)
class Location:
    """Where the workspace keeps its state, which ledger it names (empty if none), and the daemon's socket, if one."""

    state_dir: str
    store: str
    ledger_id: str
    daemon: str = ""


def read_location(data: bytes | None, environ: Mapping[str, str]) -> Location:
    """State folder, store and ledger id from the file's bytes and the environment, without the full check.

    For commands that only show state. ContractError `bad_config` where the file is not TOML or one of the three
    is not a string: a wrong guess would show another ledger.
    """
    try:
        content = tomllib.loads((data or b"").decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ContractError("bad_config", where=SETTINGS_FILE, detail=str(error)) from None
    values = {
        "state_dir": environ.get("AUTOPILOT_STATE_DIR") or content.get("state_dir", DEFAULT_STATE_DIR),
        "store": environ.get("AUTOPILOT_STORE") or content.get("store", ""),
        "ledger_id": content.get("ledger_id", ""),
        "daemon": environ.get("AUTOPILOT_SOCKET") or content.get("daemon", ""),
    }
    for name, value in values.items():
        if not isinstance(value, str):
            raise ContractError("bad_config", where=f"{SETTINGS_FILE}: {name}", detail="not a string")
    if values["daemon"] == NO_DAEMON:
        values["daemon"] = ""
    if values["daemon"] and not values["daemon"].startswith("/"):
        raise ContractError("bad_config", where="AUTOPILOT_SOCKET, daemon", detail="not an absolute path")
    return Location(**values)


def _unreadable(detail: str) -> ContractError:
    return ContractError(
        "bad_config",
        where="config.sealed",
        detail=f"the sealed settings cannot be read: {detail}",
        remedy="use the version of autopilot that sealed them, or a newer one",
    )


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: _plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(value[key]) for key in sorted(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _frozen(record: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments from plain data: lists become tuples, at any depth."""

    def freeze(value: Any) -> Any:
        return tuple(freeze(item) for item in value) if isinstance(value, list) else value

    return {key: freeze(value) for key, value in record.items()}
