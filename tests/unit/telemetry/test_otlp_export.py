"""OTLP over a real connection to a real receiver, good and hostile; and what a command notices of it: nothing.

Red without: the bounded wait of `Sender.close`, the refusal of redirects, the bound of an answer and `trust_env` in
`collector`, and the own thread.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from autopilot.kernel.events import Backtracked
from autopilot.telemetry import otlp, setup
from autopilot.telemetry.asked import read_asked
from autopilot.telemetry.drops import Drops
from autopilot.telemetry.otlp import Outlet, Sender
from autopilot.telemetry.setup import Telemetry
from autopilot.telemetry.totals import totals

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")

SECRET = "s3cret-token"
PATIENCE_SECONDS = 30
COUNTED = Backtracked(task="T-1", phase="PLAN", origin="VERIFY")


class Received:
    """What a receiver has got so far."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.url = f"http://127.0.0.1:{(folder / 'port').read_text()}"

    def requests(self) -> list[dict[str, Any]]:
        return [json.loads(path.read_text()) for path in sorted(self._folder.glob("*.json"))]

    def bodies(self, path: str) -> list[dict[str, Any]]:
        return [request["body"] for request in self.requests() if request["path"] == path]


@contextlib.contextmanager
def receiver(folder: Path, mode: str) -> Iterator[Received]:
    folder.mkdir()
    process = subprocess.Popen([sys.executable, str(Path(__file__).with_name("receiver.py")), str(folder), mode])
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (folder / "port").exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield Received(folder)
    finally:
        process.kill()
        process.wait()


def record(folder: Path, environ: dict[str, str]) -> Telemetry:
    """Two counted events and a span, and the end of the process's telemetry."""
    with Telemetry(folder, version="1.2", environ=environ) as telemetry:
        for _ in range(2):
            telemetry.observe(COUNTED)
        telemetry.mark("process.violation", lambda: {"autopilot.task": "T-1"})
    return telemetry


def recorded(telemetry: Telemetry) -> None:
    """The files have everything, whatever became of the export."""
    assert totals(telemetry.metrics).counters["phase_backtracks"] == 2
    assert '"process.violation"' in telemetry.traces.read_text()


@pytest.mark.parametrize("compression", ["none", "gzip", "deflate"])
def test_a_receiver_gets_what_the_files_get(tmp_path: Path, compression: str) -> None:
    with receiver(tmp_path / "receiver", "ok") as got:
        environ = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": got.url + "/",
            "OTEL_EXPORTER_OTLP_HEADERS": f"x-key={SECRET},x-two=a%20b",
            "OTEL_EXPORTER_OTLP_COMPRESSION": compression,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        }
        telemetry = record(tmp_path / "telemetry", environ)
        (traces,), (metrics,) = got.bodies("/v1/traces"), got.bodies("/v1/metrics")
        headers = got.requests()[0]["headers"]
    span = traces["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    assert (span["name"], span["attributes"][0]["value"]["stringValue"]) == ("process.violation", "T-1")
    metric = metrics["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]
    assert (metric["name"], metric["sum"]["dataPoints"][0]["asInt"]) == ("phase_backtracks", "2")
    assert metric["sum"]["aggregationTemporality"] == "AGGREGATION_TEMPORALITY_DELTA"
    assert (headers["x-key"], headers["x-two"]) == (SECRET, "a b")
    assert telemetry.dropped == 0
    recorded(telemetry)


def test_only_the_signal_that_is_asked_for_is_sent(tmp_path: Path) -> None:
    with receiver(tmp_path / "receiver", "ok") as got:
        own = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{got.url}/elsewhere"}
        record(tmp_path / "a", own)
        record(tmp_path / "b", {"OTEL_EXPORTER_OTLP_ENDPOINT": got.url, "OTEL_TRACES_EXPORTER": "none"})
        record(tmp_path / "c", {"OTEL_EXPORTER_OTLP_ENDPOINT": got.url, "OTEL_SDK_DISABLED": "true"})
        assert [request["path"] for request in got.requests()] == ["/elsewhere", "/v1/metrics"]


def test_the_environment_of_the_workspace_counts_and_not_the_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-stray=1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere.pem")
    with receiver(tmp_path / "receiver", "ok") as got:
        record(tmp_path / "telemetry", {"OTEL_EXPORTER_OTLP_ENDPOINT": got.url})
        assert "x-stray" not in got.requests()[0]["headers"]
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    assert Telemetry(tmp_path, version="0", environ={}).report().otlp == "off"


def test_neither_the_users_passwords_nor_the_processes_proxy_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text(f"default login me password {SECRET}\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with receiver(tmp_path / "receiver", "ok") as got, receiver(tmp_path / "proxy", "ok") as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        telemetry = record(tmp_path / "telemetry", {"OTEL_EXPORTER_OTLP_ENDPOINT": got.url})
        assert proxy.requests() == []
        assert "authorization" not in {name.lower() for name in got.requests()[0]["headers"]}
    assert telemetry.dropped == 0


@pytest.mark.parametrize("mode", ["error", "reset", "endless", "redirect=file:///etc/passwd", "hang"])
def test_a_hostile_receiver_costs_its_records_and_nothing_else(
    tmp_path: Path, mode: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with receiver(tmp_path / "receiver", mode) as got:
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": got.url, "OTEL_EXPORTER_OTLP_HEADERS": f"x-key={SECRET}"}
        telemetry = record(tmp_path / "telemetry", environ | {"OTEL_EXPORTER_OTLP_TIMEOUT": "0.4"})
        recorded(telemetry)
        assert telemetry.dropped == 2, "one span and one set of sums, each once"
        assert len([request for request in got.requests() if request["path"] == "/v1/traces"]) == 1, "not tried again"
    shown = " ".join(telemetry.report().problems)
    assert SECRET not in shown
    assert "127.0.0.1" not in shown
    assert capfd.readouterr() == ("", "")


def test_a_redirect_is_not_followed_with_the_headers(tmp_path: Path) -> None:
    with (
        receiver(tmp_path / "other", "ok") as other,
        receiver(tmp_path / "one", f"redirect={other.url}/v1/traces") as one,
    ):
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": one.url, "OTEL_EXPORTER_OTLP_HEADERS": f"x-key={SECRET}"}
        telemetry = record(tmp_path / "telemetry", environ)
        assert other.requests() == []
    assert telemetry.dropped == 2


def test_nobody_listens(tmp_path: Path) -> None:
    telemetry = record(tmp_path, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"})
    recorded(telemetry)
    assert telemetry.dropped == 2


HANGING = """
import sys
from pathlib import Path
from autopilot.kernel.events import Backtracked
from autopilot.telemetry.setup import Telemetry
with Telemetry(Path(sys.argv[1]), version="0", environ={"OTEL_EXPORTER_OTLP_ENDPOINT": sys.argv[2]}) as telemetry:
    telemetry.mark("process.violation", dict)
print("over")
"""


@pytest.mark.parametrize("mode", ["hang", "drip"])
def test_a_process_ends_though_the_receiver_never_answers(tmp_path: Path, mode: str) -> None:
    with receiver(tmp_path / "receiver", mode) as got:
        command = [sys.executable, "-c", HANGING, str(tmp_path / "telemetry"), got.url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "over\n", "")


def test_a_full_queue_drops_and_counts() -> None:
    stuck, drops = threading.Event(), Drops()

    class Taken:
        name = "SUCCESS"

    def export(_: object) -> Taken:
        stuck.wait(PATIENCE_SECONDS)
        return Taken()

    sender = Sender(Outlet(export, str, lambda: None), None, drops)
    for _ in range(otlp.QUEUE_MAX + otlp.BATCH_MAX + 10):
        sender.on_end(ReadableSpan(name="x"))
    sender.close(0.05)
    stuck.set()
    assert drops.total >= otlp.QUEUE_MAX + 10


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL asks for grpc"),
        (
            {"OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "http/json"},
            "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL asks for http/json",
        ),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "file:///etc/passwd"}, "OTEL_EXPORTER_OTLP_ENDPOINT is not an http"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "unix:/run/x"}, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is not an http"),
        ({"OTEL_EXPORTER_OTLP_HEADERS": SECRET}, "OTEL_EXPORTER_OTLP_HEADERS has an entry"),
        ({"OTEL_EXPORTER_OTLP_HEADERS": f"a={SECRET}%0d%0aHost: x"}, "OTEL_EXPORTER_OTLP_HEADERS has an entry"),
        ({"OTEL_EXPORTER_OTLP_TIMEOUT": "soon"}, "OTEL_EXPORTER_OTLP_TIMEOUT is not a number"),
        ({"OTEL_EXPORTER_OTLP_COMPRESSION": "brotli"}, "OTEL_EXPORTER_OTLP_COMPRESSION is none of"),
    ],
)
def test_what_cannot_be_followed_is_refused_by_name(tmp_path: Path, environ: dict[str, str], named: str) -> None:
    asked = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://user:" + SECRET + "@127.0.0.1:9"} | environ
    telemetry = record(tmp_path, asked)
    recorded(telemetry)
    report = telemetry.report()
    assert (report.otlp, telemetry.dropped) == ("refused", 0)
    assert named in report.problems[-1]
    assert SECRET not in repr(read_asked(asked)) + " ".join(report.problems)


def test_no_secret_is_in_what_can_be_printed() -> None:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://u:{SECRET}@h", "OTEL_EXPORTER_OTLP_HEADERS": f"k={SECRET}"}
    asked = read_asked(environ)
    assert asked.state == "on"
    assert SECRET not in repr(asked)


def test_a_time_in_milliseconds_does_no_harm() -> None:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h", "OTEL_EXPORTER_OTLP_TIMEOUT": "10000"}
    traces = read_asked(environ).traces
    assert traces is not None
    assert traces.timeout_seconds == 10.0


def test_the_extra_is_named_where_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "OTLP_PACKAGE", "opentelemetry.exporter.not_there.http")
    telemetry = record(tmp_path, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"})
    recorded(telemetry)
    report = telemetry.report()
    assert (report.otlp, telemetry.dropped) == ("missing", 0)
    assert "pip install 'autopilot-governance[otlp]'" in report.problems[0]
