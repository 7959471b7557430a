"""A move to say something of."""

from __future__ import annotations

from autopilot.signing.note import SigningKey
from autopilot.supplychain.predicates import LineRef, PhaseMove, SealedArtifact, TestRun

KEY = SigningKey("autopilot/0123", bytes(range(32)))
SHA, LEAF, TREE = "a1" * 32, "b2" * 32, "c3" * 20


def move() -> PhaseMove:
    """A move out of VERIFY with an executed and an asserted artifact."""
    return PhaseMove(
        line=LineRef("autopilot/0123", 9, LEAF),
        task="T-1",
        profile="code-change",
        origin="VERIFY",
        target="REVIEW",
        epoch=0,
        actor={"id": "agent-7", "kind": "agent", "session": "s-19"},
        lease=("T-1/VERIFY", 6),
        prompt=SHA,
        prompt_status="attested",
        observed=(),
        approvals=("d4" * 32,),
        artifacts=(
            SealedArtifact(
                name="test_results.json",
                sha256=SHA,
                bytes=1261,
                media_type="application/json",
                origin="executed",
                isolation="bwrap",
                tree=TREE,
            ),
            SealedArtifact(name="notes.md", sha256="e5" * 32, bytes=12, media_type="text/markdown", origin="asserted"),
        ),
        base_tree="f6" * 20,
        judged_tree=TREE,
        config="07" * 32,
        journal="18" * 32,
        trust_mode=0,
        started="2026-11-20T20:34:56.000000Z",
        finished="2026-11-20T20:41:02.000000Z",
    )


def run() -> TestRun:
    """A clean run of two tests."""
    return TestRun("test_results.json", ("tests.test_a", "tests.test_b"), (), (), (("executable", "29" * 32),))
