"""The workshop that a phase's commands run in, and whether what was built there left the pinned files alone."""

from __future__ import annotations

from typing import Literal

from autopilot.evidence.pins import Runs, pinned_changes
from autopilot.kernel.reasons import Reason
from autopilot.process.execution import Workshop
from autopilot.process.runners.bench import Bench

_SHOWN = 5


def workshop_of(bench: Bench, tree: str) -> Workshop:
    """A workshop on the tree, as isolated as the phase's contract asks for."""
    contract = bench.ticket.profile.contract(bench.ticket.phase)
    floor: Literal["none", "bwrap"] = "bwrap" if any(a.isolation == "bwrap" for a in contract.artifacts) else "none"
    return Workshop(bench.site, bench.ticket.settings, tree, floor=floor, compiled=bench.task.compiled)


def built(bench: Bench, shop: Workshop) -> bool:
    """Build the judged tree. False if that wrote pinned files which the build of the base does not write alike."""
    shop.build()
    found = _pins_touched(bench, bench.task.judged_tree, shop)
    if not found:
        return True
    with workshop_of(bench, bench.task.base_tree) as base:
        base.build()
        known = _pins_touched(bench, bench.task.base_tree, base)
    bad = [path for path, (data, _) in found.items() if path not in known or known[path][0] != data]
    if not bad:
        return True
    shown = "; ".join(f"{path} ({found[path][1]})" for path in bad[:_SHOWN])
    bench.fail(Reason("build_changed_pins", where=bad[0], detail=shown))
    return not bench.enforces("test_pins")


def _pins_touched(bench: Bench, tree: str, shop: Workshop) -> dict[str, tuple[bytes | None, str]]:
    """The pinned files that setup and build wrote or took away: what is there now, and why they are pinned."""
    touched = shop.touched()
    before = {path: bench.site.trees.read(tree, path) for path in touched}
    there = frozenset(bench.site.trees.paths(tree)) if touched else frozenset()
    kinds = [
        (path, "modified" if path in there and data is not None else "deleted" if path in there else "added")
        for path, data in touched.items()
        if data is None or data != before[path]
    ]
    pinned = pinned_changes(
        kinds,
        lambda path: (before[path], touched[path]),
        runs=Runs.of(bench.ticket.settings.commands),
        extra=bench.ticket.settings.pins.extra,
        product=False,
    )
    return {pin.path: (touched[pin.path], pin.why) for pin in pinned}
