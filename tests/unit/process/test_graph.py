"""The graph: 9 phases, 54 moves, and nothing else."""

from __future__ import annotations

import pytest

from autopilot.kernel.phases import PHASES, Phase, Stage, Terminal
from autopilot.process.graph import MOVES, Move, check_sequence, dot, mermaid

STAGES: tuple[Stage, ...] = (*PHASES, *Terminal)


def test_the_table_is_nine_ways_on_thirty_six_back_and_nine_out() -> None:
    kinds = [kind for kind, _, _ in MOVES]
    assert (kinds.count("forward"), kinds.count("backtrack"), kinds.count("abandon")) == (9, 36, 9)
    assert len(set(MOVES)) == len(MOVES)


@pytest.mark.parametrize("kind", ["forward", "backtrack", "abandon"])
@pytest.mark.parametrize("origin", STAGES)
def test_the_machine_makes_the_moves_of_the_table_and_no_other(kind: str, origin: Stage) -> None:
    for target in STAGES:
        reason = check_sequence(Move(kind, origin, target))
        assert (reason is None) == ((kind, origin, target) in MOVES), (kind, origin, target)


@pytest.mark.parametrize(
    ("move", "code"),
    [
        (Move("forward", Terminal.CLOSED, Phase.SPEC), "task_closed"),
        (Move("backtrack", Terminal.ABANDONED, Phase.SPEC), "task_closed"),
        (Move("forward", Phase.SPEC, Phase.SPEC), "already_in_phase"),
        (Move("forward", Phase.SPEC, Phase.IMPLEMENT), "out_of_sequence"),
        (Move("forward", Phase.SPEC, Phase.STRATEGIZE), "out_of_sequence"),
        (Move("forward", Phase.SPEC, Terminal.ABANDONED), "out_of_sequence"),
        (Move("backtrack", Phase.SPEC, Phase.PLAN), "not_a_backtrack"),
        (Move("backtrack", Phase.SPEC, Phase.SPEC), "already_in_phase"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value.kind} {value.label}",
)
def test_each_wrong_move_has_its_reason(move: Move, code: str) -> None:
    reason = check_sequence(move)
    assert reason is not None
    assert reason.code == code


def test_the_diagrams_show_the_running_definition() -> None:
    drawn = mermaid()
    for kind, origin, target in MOVES:
        if kind != "abandon":
            assert f"{origin} --> {target}" in drawn
        assert f'"{origin}" -> "{target}"' in dot()
