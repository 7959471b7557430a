"""Checkpoints and anchors where the engine is a daemon's: the agent's commits name them; the key is not the agent's.

Red without: the client's anchors being held against the ledger by the daemon, before it signs and when it verifies.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from split import AGENT, PERSON, Split, git_as, split_place

from autopilot.ledger.trailers import read_trailers, trailer_of
from autopilot.signing.checkpoint import Checkpoint, open_checkpoint
from autopilot.signing.note import VerifierKey

SEAL = "from autopilot import Caller, Workspace\nprint(Workspace.open('.').config.seal(Caller('me', 'human')).seq)"


@pytest.fixture
def split() -> Iterator[Split]:
    """A split place with a ledger and a daemon that serves it."""
    with split_place() as place:
        place.begin()
        place.start()
        sealed = place.script(PERSON, SEAL)
        assert sealed.returncode == 0, sealed.stderr
        yield place


def asked(split: Split, code: int, *words: str) -> dict[str, Any]:
    done = split.autopilot(AGENT, *words, "--json")
    assert done.returncode == code, f"{words}: {done.returncode} {done.stdout[-2000:]} {done.stderr[-2000:]}"
    shown: dict[str, Any] = json.loads(done.stdout)
    return shown


def test_commits_are_anchored_by_the_daemon_and_held_against_its_ledger(split: Split) -> None:
    made = asked(split, 0, "ledger", "checkpoint")
    key = VerifierKey.parse(made["vkey"])
    assert open_checkpoint(made["note"].encode(), [key]).size == made["size"]
    start = git_as(split, "rev-parse", "HEAD").strip()
    hook = Path(asked(split, 0, "ledger", "checkpoint", "--install-hook")["hook"])
    # Here autopilot is not installed but found by a variable, which the hook does not go by.
    found = " ".join(f"{name}={split.env()[name]}" for name in ("PYTHONPATH", "AUTOPILOT_SOCKET", "TMPDIR"))
    call = f"{split.python} -I -m"
    assert call in hook.read_text()
    hook.write_text(hook.read_text().replace(call, f"env {found} {split.python} -m"))
    asked(split, 0, "task", "open", "T-1", "--title", "Take the discount off once in shop pricing")
    git_as(split, "commit", "-q", "--allow-empty", "-m", "With an anchor")
    (anchor,) = read_trailers(git_as(split, "log", "-1", "--format=%B").encode())
    assert anchor.origin == key.name
    span = ("ledger", "verify", "--anchors", f"{start}..HEAD")
    shown = asked(split, 0, *span, "--covers-head", "--vkey", made["vkey"])
    assert (shown["status"], shown["anchors"]["found"]) == ("intact", 1)
    asked(split, 0, "task", "open", "T-2", "--title", "Show the discount on the receipt of the shop")
    assert asked(split, 1, *span, "--covers-head")["reason"] == "head_not_covered"
    assert asked(split, 1, "ledger", "verify", "--anchors", start)["reason"] == "no_anchor"
    # A made-up anchor is held against the ledger, when it is verified and before it is signed.
    forged = trailer_of(Checkpoint(anchor.origin, 2, bytes(32)))
    git_as(split, "-c", "core.hooksPath=/dev/null", "commit", "-q", "--allow-empty", "-m", f"Forged\n\n{forged}")
    assert asked(split, 3, *span)["status"] == "corrupt"
    message = split.base / "tmp" / "message"
    message.write_text(f"Forged\n\n{forged}\n")
    message.chmod(0o666)
    error = asked(split, 3, "ledger", "checkpoint", "--commit-msg", str(message))["error"]
    assert error["code"] in ("rewritten", "forked")
    # The key is the engine's; a new one is not for a client to ask for.
    error = asked(split, 6, "ledger", "checkpoint", "--new-key", "--reason", "mine")["error"]
    assert error["code"] == "engine_user_only"
