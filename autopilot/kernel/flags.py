"""Live modes of the enforcements: `off`, `observe`, `enforce`.

One flag per enforcement, in one table. The order of phases is not in it: it cannot be switched. Each flag has two
values at any time, the *sealed* one on the ledger and the *requested* one of file and environment; the stricter
counts. So tightening takes effect as soon as it is asked for, and loosening stays inert until a person's approval
seals it. `observe` judges and records, and lets the call pass; `off` does not judge.

`docs/reference/flags.md` shows this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from autopilot.kernel.errors import ContractError


class Mode(IntEnum):
    """How an enforcement acts, weakest first."""

    OFF = 0
    OBSERVE = 1
    ENFORCE = 2

    @property
    def word(self) -> str:
        """The name on the command line, in files and on the ledger."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Flag:
    """What the flag switches (`title`), its default, its strictest mode, and what happens in `observe`."""

    name: str
    title: str
    observed: str
    default: Mode = Mode.ENFORCE
    strictest: Mode = Mode.ENFORCE


_TABLE = (
    Flag(
        "evidence_gate",
        "a phase is left only with valid, fresh evidence of sufficient rank",
        "the gate's verdict is recorded and the move goes on",
    ),
    Flag(
        "leases",
        "only the holder of the phase acts on the task",
        "the fail-open path: that the caller does not hold the lease is recorded and the move goes on; a stale fence "
        "is refused all the same",
    ),
    Flag(
        "attestation",
        "drift of the prompt is judged by the phase's severity",
        "drift is recorded as a warning in every phase",
    ),
    Flag("tool_guard", "tool calls are held against the phase", "a refusal is recorded and the call goes on"),
    Flag("plan_lock", "changed files are held against file_map.json", "files outside the plan are recorded"),
    Flag(
        "test_pins",
        "existing tests, runner configuration and sealed commands may not change without approval",
        "changes are recorded",
    ),
    Flag(
        "watchdog",
        "repeated violations and a task without progress hold the task",
        "an escalation is recorded and the task is not held",
    ),
    # An exporter that fails changes no verdict, so that there is nothing to enforce.
    Flag("telemetry", "spans and counters are written", "they are written", Mode.OBSERVE, Mode.OBSERVE),
)

FLAGS: dict[str, Flag] = {flag.name: flag for flag in _TABLE}


def parse_mode(text: str, flag: str) -> Mode:
    """The mode named `text` for `flag`; ContractError `unknown_flag` or `bad_config`."""
    known = FLAGS.get(flag)
    if known is None:
        raise ContractError("unknown_flag", where=flag, detail=f"{flag!r} is not one of {', '.join(FLAGS)}")
    for mode in Mode:
        if mode.word == text and mode <= known.strictest:
            return mode
    allowed = ", ".join(mode.word for mode in Mode if mode <= known.strictest)
    raise ContractError("bad_config", where=f"flags.{flag}", detail=f"{text!r} is not one of {allowed}")


def effective(flag: str, sealed: Mode | None, requested: Mode | None) -> Mode:
    """The mode in force: the stricter of `sealed` (None: never set, the default) and `requested` (None: not set)."""
    base = FLAGS[flag].default if sealed is None else sealed
    return base if requested is None else max(base, requested)


@dataclass(frozen=True, slots=True)
class Loosening:
    """A request that is inert until a person approves it; recorded as `flag.loosening_requested`."""

    flag: str
    sealed: Mode
    requested: Mode

    def as_data(self) -> dict[str, str]:
        """The line's data, and what an approval of it is bound to."""
        return {"flag": self.flag, "from": self.sealed.word, "to": self.requested.word}


@dataclass(frozen=True, slots=True)
class Settled:
    """The modes in force, and the requests that are not."""

    modes: Mapping[str, Mode]
    loosenings: tuple[Loosening, ...]


def settle(sealed: Mapping[str, Mode], requested: Mapping[str, str]) -> Settled:
    """All flags at once, from the ledger's modes and the words in file and environment; ContractError as parse_mode."""
    wanted = {name: parse_mode(text, name) for name, text in requested.items()}
    modes = {name: effective(name, sealed.get(name), wanted.get(name)) for name in FLAGS}
    loosenings = tuple(
        Loosening(name, modes[name], wanted[name]) for name in FLAGS if name in wanted and wanted[name] < modes[name]
    )
    return Settled(modes, loosenings)
