"""What a change of settings means: which keys got stricter, which got looser, which are simply others.

The copy sealed on the ledger counts. Against it a changed file is read key by key:

    tightened   takes effect at once
    loosened    is inert until a person approves it
    changed     neither: commands, the interpreter, registered tools; waits for a person like a loosening

`effective` is the settings that hold meanwhile. All pure; keys are dotted, as in `thresholds.coverage_percent`.
A key that no rule below names counts as changed: what cannot be ranked is not taken for harmless.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from autopilot.kernel.canonical import digest_of
from autopilot.kernel.configuration import ISOLATIONS, SEVERITIES, SIGNED, Settings, restore_settings
from autopilot.kernel.flags import FLAGS, Mode


@dataclass(frozen=True, slots=True)
class Direction:
    """Dotted keys that differ, by what the difference does."""

    tightened: tuple[str, ...] = ()
    loosened: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    @property
    def needs_approval(self) -> bool:
        """Whether anything waits for a person."""
        return bool(self.loosened or self.changed)


def _higher(value: Any) -> int:
    return int(value)


def _lower(value: Any) -> int:
    return -int(value)


def _lower_but_zero_is_none(value: Any) -> int:
    # 0 means "no limit": looser than every limit.
    return -int(value) if value else -(2**53)


# How strict a value is, greater being stricter, for keys that have an order.
_STRICTNESS: dict[str, Callable[[Any], int]] = {
    "thresholds.coverage_percent": _higher,
    "thresholds.lint_score": _higher,
    "thresholds.rubric_score": _higher,
    "sandbox.isolation": ISOLATIONS.index,
    "sandbox.memory_mb": _lower,
    "sandbox.output_cap_kb": _lower,
    "lease.ttl_seconds": _lower,
    "lease.renew_min_interval_seconds": _higher,
    "lease.max_hold_seconds": _lower_but_zero_is_none,
    "watchdog.violations": _lower,
    "watchdog.minutes": _lower,
    "approvals.signed": SIGNED.index,
}
# Lists that permit: every member more is looser. Lists that forbid: every member less is.
_PERMITTING = frozenset({"sandbox.readonly", "guard.network_hosts", "guard.scratch", "approvals.approvers"})
_FORBIDDING = frozenset({"guard.deny", "pins.extra"})


def semantic_digest(settings: Settings) -> str:
    """SHA-256 of all that governs: comments, order and the place of the state do not change it."""
    return digest_of(settings.as_dict())


def commands_diff(sealed: Settings, current: Settings) -> dict[str, dict[str, Any]]:
    """The commands that differ, by name: `{"was": command or None, "now": command or None}`, as plain data."""
    was, now = sealed.as_dict()["commands"], current.as_dict()["commands"]
    return {
        name: {"was": was.get(name), "now": now.get(name)}
        for name in sorted({*was, *now})
        if was.get(name) != now.get(name)
    }


def direction(sealed: Settings, current: Settings) -> Direction:
    """Every key in which `current` differs from `sealed`. A list that gained and lost members is in two groups."""
    groups: dict[str, list[str]] = {"tightened": [], "loosened": [], "changed": []}
    for key, was, now in _differences(sealed, current):
        for group in _judge(key, was, now):
            groups[group].append(key)
    return Direction(*(tuple(groups[name]) for name in ("tightened", "loosened", "changed")))


def effective(sealed: Settings, current: Settings) -> Settings:
    """The settings that hold while nobody has approved the difference: `sealed`, with what `current` tightens.

    Ledger id, store and state folder are not sealed and are those of `current`.
    """
    holding = sealed.as_dict()
    for key, was, now in _differences(sealed, current):
        section, _, name = key.partition(".")
        if key in _PERMITTING:
            holding[section][name] = [item for item in was if item in now]
        elif key in _FORBIDDING:
            holding[section][name] = [*was, *(item for item in now if item not in was)]
        elif _judge(key, was, now) == ("tightened",):
            if now is None:
                holding[section].pop(name, None)
            else:
                holding[section][name] = now
    held = restore_settings(holding, ledger_id=current.ledger_id)
    return replace(held, state_dir=current.state_dir, store=current.store)


def _judge(key: str, was: Any, now: Any) -> tuple[str, ...]:
    section, _, name = key.partition(".")
    if key in _PERMITTING or key in _FORBIDDING:
        gained, lost = set(now) - set(was), set(was) - set(now)
        looser, stricter = (gained, lost) if key in _PERMITTING else (lost, gained)
        return (*(("tightened",) if stricter else ()), *(("loosened",) if looser else ()))
    if section == "attestation":
        return _ordered(SEVERITIES.index(was), SEVERITIES.index(now))
    if section == "flags":
        # A flag that is not set has its default. One that the table no longer knows is taken to be enforced.
        default = FLAGS[name].default if name in FLAGS else Mode.ENFORCE
        return _ordered(*(default if word is None else Mode[word.upper()] for word in (was, now)))
    strictness = _STRICTNESS.get(key)
    return _ordered(strictness(was), strictness(now)) if strictness else ("changed",)


def _ordered(was: int, now: int) -> tuple[str, ...]:
    if was == now:
        return ()
    return ("tightened",) if now > was else ("loosened",)


def _differences(sealed: Settings, current: Settings) -> list[tuple[str, Any, Any]]:
    """(dotted key, sealed value or None, current value or None) wherever the two differ, sorted by key."""
    was, now = _flat(sealed), _flat(current)
    return [(key, was.get(key), now.get(key)) for key in sorted({*was, *now}) if was.get(key) != now.get(key)]


def _flat(settings: Settings) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for section, content in settings.as_dict().items():
        if isinstance(content, dict):
            flat.update({f"{section}.{name}": value for name, value in content.items()})
        else:
            flat[section] = content
    return flat
