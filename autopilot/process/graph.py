"""The process as one literal table, and the machine that runs on it.

Everything that says which move is possible lives here; the diagrams in the docs are drawn from the same table.
The graph does not know evidence, leases or people: a move that is legal here may still be refused by admission.
`transitions` is wrapped, none of its classes leaves this module.

Moves: `forward` to the next stage; `backtrack` to any earlier phase (a failing phase can always go back);
`abandon` from every phase. Nothing leaves CLOSED or ABANDONED.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, cast

from transitions import Machine, MachineError

from autopilot.kernel.phases import PHASES, Phase, Stage, Terminal
from autopilot.kernel.reasons import Reason

MoveKind = Literal["forward", "backtrack", "abandon"]

# Each row: what the move is, from where, to where. This is the whole process.
MOVES: tuple[tuple[MoveKind, Phase, Stage], ...] = (
    ("forward", Phase.STRATEGIZE, Phase.SPEC),
    ("forward", Phase.SPEC, Phase.PLAN),
    ("forward", Phase.PLAN, Phase.THINK),
    ("forward", Phase.THINK, Phase.IMPLEMENT),
    ("forward", Phase.IMPLEMENT, Phase.VERIFY),
    ("forward", Phase.VERIFY, Phase.REVIEW),
    ("forward", Phase.REVIEW, Phase.PR),
    ("forward", Phase.PR, Phase.MONITOR),
    ("forward", Phase.MONITOR, Terminal.CLOSED),
    *(("backtrack", later, earlier) for later in PHASES for earlier in PHASES[: later.position]),
    *(("abandon", phase, Terminal.ABANDONED) for phase in PHASES),
)


@dataclass(frozen=True, slots=True)
class Move:
    """A wish to go from `origin` to `target`; `kind` is what the caller asked for."""

    kind: MoveKind
    origin: Stage
    target: Stage

    @property
    def label(self) -> str:
        """`IMPLEMENT->VERIFY`: how approvals and reports name the move."""
        return f"{self.origin}->{self.target}"


class _Cursor:
    """The model `transitions` moves about: it holds a stage and nothing else."""

    state: str


@cache
def _machine() -> Machine:
    return Machine(
        model=None,
        states=[*(str(phase) for phase in PHASES), *(str(end) for end in Terminal)],
        initial=str(Phase.STRATEGIZE),
        transitions=[
            {"trigger": f"{kind}:{target}", "source": str(origin), "dest": str(target)}
            for kind, origin, target in MOVES
        ],
        auto_transitions=False,
    )


@cache
def _legal(kind: MoveKind, origin: Stage, target: Stage) -> bool:
    """Whether the machine makes this move. Asked of the running machine, not of the table beside it."""
    machine = _machine()
    cursor = _Cursor()
    machine.add_model(cursor, initial=str(origin))
    try:
        return bool(cast("Any", cursor).trigger(f"{kind}:{target}")) and cursor.state == str(target)
    except (MachineError, AttributeError):
        # MachineError: known trigger, wrong place. AttributeError: no such trigger. Both mean no.
        return False
    finally:
        machine.remove_model(cursor)


def check_sequence(move: Move) -> Reason | None:
    """Why the graph does not have this move, or None."""
    if isinstance(move.origin, Terminal):
        return Reason("task_closed", detail=f"the task is {move.origin}")
    if _legal(move.kind, move.origin, move.target):
        return None
    if move.target == move.origin:
        return Reason("already_in_phase", detail=f"the task is in {move.origin} already", where=str(move.origin))
    if move.kind == "backtrack":
        return Reason("not_a_backtrack", detail=f"{move.target} does not lie before {move.origin}", where=move.label)
    expected = move.origin.following
    return Reason(
        "out_of_sequence",
        detail=f"from {move.origin} the only way forward is {expected}, not {move.target}",
        where=move.label,
    )


def mermaid() -> str:
    """The process as a Mermaid state diagram, forward and backtrack moves from the running definition."""
    lines = ["stateDiagram-v2", f"    [*] --> {Phase.STRATEGIZE}"]
    for event in _machine().events.values():
        kind, _, _ = event.name.partition(":")
        if kind == "abandon":
            continue
        for transitions in event.transitions.values():
            for transition in transitions:
                label = "" if kind == "forward" else " : backtrack"
                lines.append(f"    {transition.source} --> {transition.dest}{label}")
    lines.append(f"    {Terminal.CLOSED} --> [*]")
    return "\n".join(lines) + "\n"


def dot() -> str:
    """The same as a Graphviz digraph."""
    lines = ["digraph process {", "  rankdir=LR;"]
    for event in _machine().events.values():
        kind, _, _ = event.name.partition(":")
        style = {"forward": "solid", "backtrack": "dashed", "abandon": "dotted"}[kind]
        for transitions in event.transitions.values():
            lines.extend(f'  "{t.source}" -> "{t.dest}" [style={style}];' for t in transitions)
    lines.append("}")
    return "\n".join(lines) + "\n"
