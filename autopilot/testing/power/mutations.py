"""Recordings in which a sync is left out or comes too late: the trials must find every one that matters.

A recording is changed, not the code: what the disk would have held is what counts, and the caller was told the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from autopilot.testing.power.disk import Mark, Op, Synced
from autopilot.testing.power.trials import Recording

_OBJECTS = " state/evidence/.objects/"


def sync_sites(recording: Recording) -> Iterator[str]:
    """Every place of the code that syncs something in the run, each once: what it syncs and where it is asked for."""
    yield from dict.fromkeys(op.site for op in recording.ops if isinstance(op, Synced))


def without(recording: Recording, site: str) -> Recording:
    """The run as if the syncs of `site` had never reached the disk."""
    ops = tuple(op for op in recording.ops if not (isinstance(op, Synced) and op.site == site))
    return replace(recording, ops=ops)


def objects_after_lines(recording: Recording) -> Recording:
    """The run as if objects were synced only after the line that names them was, and acknowledged."""
    ops: list[Op] = []
    late: list[Op] = []
    for op in recording.ops:
        if isinstance(op, Synced) and _OBJECTS in op.site:
            late.append(op)
            continue
        ops.append(op)
        if isinstance(op, Mark) and late:
            ops += late
            late = []
    return replace(recording, ops=(*ops, *late))
