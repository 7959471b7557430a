"""Origins as ranks, and what makes an artifact live."""

from __future__ import annotations

from dataclasses import replace

import pytest

from autopilot.evidence.artifacts import Artifact, Standpoint, check_live, check_rank
from autopilot.evidence.origins import Origin
from autopilot.kernel.phases import Phase

ARTIFACT = Artifact(
    name="test_results.json",
    phase=Phase.VERIFY,
    task="T-1",
    epoch=2,
    fence=7,
    sha256="0" * 64,
    bytes=1,
    media_type="application/json",
    origin=Origin.EXECUTED,
    tree="a" * 40,
    isolation="bwrap",
)
NOW = Standpoint(task="T-1", entered_epoch=2, tree="a" * 40, fence=7)


def test_origins_are_ordered_by_rank_not_by_letter():
    assert sorted(Origin, reverse=True) == [Origin.EXECUTED, Origin.OBSERVED, Origin.ASSERTED]
    for low, high in ((Origin.ASSERTED, Origin.OBSERVED), (Origin.OBSERVED, Origin.EXECUTED)):
        assert low < high
        assert high > low
        assert low <= high >= high >= low
        assert not high < low
        assert not low >= high
    assert Origin.EXECUTED > "observed"


@pytest.mark.parametrize(
    ("artifact", "now", "fault"),
    [
        ({}, {}, ""),
        ({"epoch": 3}, {}, ""),
        ({"fence": 6}, {}, ""),
        ({"task": "T-2"}, {}, "sealed for task T-2"),
        ({"epoch": 1}, {}, "epoch 1"),
        ({"tree": "b" * 40}, {}, "tree bbbbbbbbbbbb"),
        ({"tree": None}, {}, "tree none"),
        ({"tree": "b" * 40, "origin": Origin.OBSERVED}, {}, "tree bbbbbbbbbbbb"),
        ({"tree": None, "origin": Origin.ASSERTED}, {}, ""),
        ({"fence": 8}, {}, "above the current 7"),
        ({"origin": Origin.ASSERTED}, {"forced_fences": frozenset({7})}, "forced away"),
        ({}, {"forced_fences": frozenset({7})}, ""),
    ],
)
def test_live(artifact, now, fault):
    reasons = check_live(replace(ARTIFACT, **artifact), replace(NOW, **now))
    assert [reason.code for reason in reasons] == (["evidence_stale"] if fault else [])
    assert not fault or fault in reasons[0].detail


def test_rank():
    assert check_rank(ARTIFACT, origin=Origin.EXECUTED, isolation="bwrap") == ()
    asserted = replace(ARTIFACT, origin=Origin.ASSERTED, isolation="none")
    assert [r.code for r in check_rank(asserted, origin=Origin.OBSERVED, isolation="bwrap")] == [
        "evidence_rank",
        "isolation_missing",
    ]
    assert check_rank(asserted, origin=Origin.ASSERTED, isolation="none") == ()
