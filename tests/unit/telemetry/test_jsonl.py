"""Every line reads back through the protobuf messages with the values that went in, and is short enough."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_DELTA
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from autopilot.kernel.events import GateJudged
from autopilot.telemetry.drops import Drops
from autopilot.telemetry.jsonl import SpanLines
from autopilot.telemetry.lines import LineFile
from autopilot.telemetry.setup import Telemetry


def _finished(count: int, attributes: dict[str, Any]) -> list[ReadableSpan]:
    ended: list[ReadableSpan] = []

    class Keep(SimpleSpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            ended.append(span)

    provider = TracerProvider(
        resource=Resource({"service.instance.id": "i"}), shutdown_on_exit=False, span_limits=SpanLimits()
    )
    provider.add_span_processor(Keep(SpanLines(LineFile(Path("/nowhere")), Drops())))
    for number in range(count):
        provider.get_tracer("autopilot", "1").start_span(f"s{number}", attributes=attributes).end()
    return ended


def test_a_span_reads_back_value_for_value(tmp_path: Path, read_spans: Any, attributes_of: Any) -> None:
    lines = SpanLines(LineFile(tmp_path / "t.jsonl"), Drops())
    provider = TracerProvider(
        resource=Resource({"service.name": "s", "service.instance.id": "unique"}), shutdown_on_exit=False
    )
    provider.add_span_processor(SimpleSpanProcessor(lines))
    remote = SpanContext(0xABC << 100, 0x12 << 40, is_remote=True, trace_flags=TraceFlags(1))
    context = trace.set_span_in_context(trace.NonRecordingSpan(remote))
    values = {"text": 'ü"\n\x00 ', "big": 2**62, "negative": -1, "yes": True, "list": ("a", "b")}
    span = provider.get_tracer("autopilot", "9").start_span(
        "n", context, SpanKind.INTERNAL, values, start_time=1_795_233_170_595_234_199
    )
    span.set_status(Status(StatusCode.ERROR))
    span.end(1_795_233_170_595_234_201)
    found = read_spans(tmp_path / "t.jsonl")
    (message,) = found.all
    own = span.get_span_context()
    assert int.from_bytes(message.trace_id) == remote.trace_id == own.trace_id
    assert int.from_bytes(message.span_id) == own.span_id
    assert int.from_bytes(message.parent_span_id) == remote.span_id
    assert (message.name, message.kind, message.status.code) == ("n", message.SPAN_KIND_INTERNAL, 2)
    assert message.start_time_unix_nano == 1_795_233_170_595_234_199
    assert message.end_time_unix_nano == 1_795_233_170_595_234_201
    assert attributes_of(message.attributes) == {**values, "list": ["a", "b"]}
    assert message.flags & 0x300 == 0x300
    (resource,) = found.requests[0].resource_spans
    assert resource.resource.attributes[0].key == "service.instance.id"
    assert attributes_of(resource.resource.attributes) == {"service.name": "s", "service.instance.id": "unique"}
    assert (resource.scope_spans[0].scope.name, resource.scope_spans[0].scope.version) == ("autopilot", "9")


def test_the_json_is_otlp_json_and_not_protobufs_own(telemetry: Telemetry) -> None:
    telemetry.mark("process.violation", lambda: {"autopilot.ledger.seq": 7})
    (span,) = json.loads(telemetry.traces.read_bytes())["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert re.fullmatch("[0-9a-f]{32}", span["traceId"])
    assert re.fullmatch("[0-9a-f]{16}", span["spanId"])
    assert span["kind"] == 1
    assert span["attributes"] == [{"key": "autopilot.ledger.seq", "value": {"intValue": "7"}}]
    assert isinstance(span["startTimeUnixNano"], str)


def test_a_sum_reads_back_value_for_value(telemetry: Telemetry, read_metrics: Any, attributes_of: Any) -> None:
    telemetry.observe(GateJudged(phase="VERIFY", passed=False, reasons=("tests_failed",)))
    (request,) = read_metrics(telemetry.metrics)
    metrics = request.resource_metrics[0].scope_metrics[0].metrics
    assert {metric.name for metric in metrics} == {"phase_validations_failed", "evidence_gate_failed"}
    for metric in metrics:
        assert metric.sum.is_monotonic
        assert metric.sum.aggregation_temporality == AGGREGATION_TEMPORALITY_DELTA
        (point,) = metric.sum.data_points
        assert point.as_int == 1
        assert 0 < point.start_time_unix_nano <= point.time_unix_nano
        assert attributes_of(point.attributes) == {
            "autopilot.phase": "VERIFY",
            "autopilot.reason.code": "tests_failed",
        }


def test_two_processes_files_differ_within_their_first_1000_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "a=b,service.instance.id=same,deployment.environment.name=ci")
    heads = []
    for name in ("one", "two"):
        with Telemetry(tmp_path / name, version="0.1.0", environ={}) as telemetry:
            telemetry.mark("process.violation", dict)
            heads.append(telemetry.traces.read_bytes()[:150])
    assert heads[0] != heads[1]
    assert b"deployment.environment.name" in telemetry.traces.read_bytes()
    assert all(
        head.startswith(b'{"resourceSpans":[{"resource":{"attributes":[{"key":"service.instance.id"') for head in heads
    )


def test_a_batch_too_long_for_a_line_is_split(tmp_path: Path, read_spans: Any) -> None:
    drops = Drops()
    spans = _finished(40, {f"a{i}": "x" * 1000 for i in range(60)})
    assert SpanLines(LineFile(tmp_path / "t.jsonl"), drops).export(spans) is SpanExportResult.SUCCESS
    found = read_spans(tmp_path / "t.jsonl")
    assert len(found.requests) > 1
    assert [span.name for span in found.all] == [f"s{number}" for number in range(40)]
    assert drops.total == 0


def test_a_span_too_long_for_a_line_loses_its_attributes_and_says_so(tmp_path: Path, read_spans: Any) -> None:
    (span,) = _finished(1, {f"a{i}": "\x01" * 4096 for i in range(60)})  # six bytes a character in JSON
    drops = Drops()
    SpanLines(LineFile(tmp_path / "t.jsonl"), drops).export([span])
    (message,) = read_spans(tmp_path / "t.jsonl").all
    assert (message.name, len(message.attributes), message.dropped_attributes_count) == ("s0", 0, 60)


def test_a_failed_write_is_counted_for_each_span(tmp_path: Path) -> None:
    drops = Drops()
    (tmp_path / "t.jsonl").mkdir()
    assert SpanLines(LineFile(tmp_path / "t.jsonl"), drops).export(_finished(3, {})) is SpanExportResult.FAILURE
    assert drops.total == 3
