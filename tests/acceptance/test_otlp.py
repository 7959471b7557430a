"""Moves while a collector takes what is sent, and while one does its worst: the ledger is the same.

Red without: the bounded wait in `telemetry/otlp.py`, and the environment made from nothing in `sandbox/environment.py`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from governed import Prepare, expect_refusal

from autopilot.kernel.phases import Phase
from autopilot.sandbox.environment import Places, command_environment, index_environment

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")

RECEIVER = Path(__file__).parents[1] / "unit" / "telemetry" / "receiver.py"
SECRET = "s3cret-token"
PATIENCE_SECONDS = 60


@contextmanager
def receiver(folder: Path, mode: str) -> Iterator[str]:
    """A receiver's address."""
    folder.mkdir()
    process = subprocess.Popen([sys.executable, str(RECEIVER), str(folder), mode])
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (folder / "port").exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield f"http://127.0.0.1:{(folder / 'port').read_text()}"
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("mode", ["ok", "hang"])
def test_a_collector_changes_no_move(at: Prepare, tmp_path: Path, mode: str) -> None:
    governed = at(Phase.SPEC)
    governed.workspace.close()
    with receiver(tmp_path / "receiver", mode) as url:
        governed.reopen(OTEL_EXPORTER_OTLP_ENDPOINT=url, OTEL_EXPORTER_OTLP_HEADERS=f"authorization=Bearer%20{SECRET}")
        with expect_refusal(governed, "artifact_missing"):
            governed.advance()
        governed.agent.prepare(Phase.SPEC)
        governed.advance()
        assert governed.task.stage == Phase.PLAN
        assert governed.workspace.ledger.verify().status == "intact"
        governed.workspace.close()
        sent = [json.loads(path.read_text()) for path in (tmp_path / "receiver").glob("*.json")]
    names = [
        span["name"]
        for request in sent
        if request["path"] == "/v1/traces"
        for resource in request["body"]["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]
    assert "agent.state.transition" in names
    kept = b"".join(path.read_bytes() for path in governed.state_dir.rglob("*") if path.is_file())
    assert SECRET.encode() not in kept
    assert b"agent.state.transition" in (governed.state_dir / "telemetry" / "traces.jsonl").read_bytes()


def test_commands_of_the_project_inherit_none_of_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    caller = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://h",
        "OTEL_EXPORTER_OTLP_HEADERS": f"k={SECRET}",
        "PIP_INDEX_URL": "u",
    }
    for name, value in caller.items():
        monkeypatch.setenv(name, value)
    made = command_environment({}, Places([tmp_path], tmp_path, tmp_path)) | index_environment(caller)
    assert "PIP_INDEX_URL" in made
    assert not [name for name in made if name.startswith("OTEL")]
