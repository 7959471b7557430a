"""Spans and sums as OTLP JSON lines, in the form that the Collector's `otlpjsonfile` receiver reads.

One request object a line: `ExportTraceServiceRequest` in `traces.jsonl`, `ExportMetricsServiceRequest` in
`metrics.jsonl`. OTLP's JSON differs from protobuf's: keys in lowerCamelCase, enums as integers, 64-bit integers as
decimal strings, trace and span ids in hex. The receiver tells files apart by their first 1,000 bytes, so the
instance id, random for each process, stands first in the resource.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from opentelemetry.sdk.metrics import Counter
from opentelemetry.sdk.metrics.export import AggregationTemporality, Metric, MetricReader, MetricsData, Sum
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from autopilot.telemetry.drops import Drops
from autopilot.telemetry.lines import MAX_LINE_BYTES, LineFile

INSTANCE_ID = "service.instance.id"

_HAS_IS_REMOTE, _IS_REMOTE = 0x100, 0x200

Record = dict[str, Any]
Envelope = Callable[[list[Record]], Record]


class SpanLines(SpanExporter):
    """Appends ended spans to a file. What cannot be written is counted, never raised."""

    def __init__(self, file: LineFile, drops: Drops) -> None:
        self._file = file
        self._drops = drops
        self._envelopes = _Envelopes("resourceSpans", "scopeSpans", "spans")

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        before = self._drops.total
        with self._drops.counting("traces"):
            for scope in _by_scope(spans):
                envelope = self._envelopes.of(scope[0].resource, scope[0].instrumentation_scope)
                _append(self._file, self._drops, "traces", envelope, [_span(span) for span in scope])
        return SpanExportResult.SUCCESS if self._drops.total == before else SpanExportResult.FAILURE

    def shutdown(self) -> None:
        """Nothing is held."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - the SDK's signature
        return True


class MetricLines(MetricReader):
    """Appends what was counted since the last `collect` to a file. No thread: the pipeline says when."""

    def __init__(self, file: LineFile, drops: Drops) -> None:
        # Delta, because each command line call is a process: sums over processes are sums over lines.
        super().__init__(preferred_temporality={Counter: AggregationTemporality.DELTA})
        self._file = file
        self._drops = drops
        self._envelopes = _Envelopes("resourceMetrics", "scopeMetrics", "metrics")

    def _receive_metrics(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_: Any) -> None:  # noqa: ARG002
        with self._drops.counting("metrics"):
            for resource in metrics_data.resource_metrics:
                for scope in resource.scope_metrics:
                    envelope = self._envelopes.of(resource.resource, scope.scope)
                    _append(self._file, self._drops, "metrics", envelope, [_sum(metric) for metric in scope.metrics])

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:
        """Nothing is held: the pipeline flushes before it shuts down."""


def _append(file: LineFile, drops: Drops, signal: str, envelope: Envelope, records: list[Record]) -> None:
    """Write `records` as one line, or as several if one would be too long for the receiver."""
    line = orjson.dumps(envelope(records), option=orjson.OPT_APPEND_NEWLINE)
    if len(line) <= MAX_LINE_BYTES:
        # A failure costs this line; the caller's other lines are still tried.
        try:
            file.append(line)
        except OSError as error:
            drops.add(signal, error, len(records))
    elif len(records) > 1:
        half = len(records) // 2
        _append(file, drops, signal, envelope, records[:half])
        _append(file, drops, signal, envelope, records[half:])
    elif records[0].get("attributes"):
        bare = {**records[0], "attributes": [], "droppedAttributesCount": len(records[0]["attributes"])}
        _append(file, drops, signal, envelope, [bare])
    else:
        drops.add(signal, f"a record of {len(line)} bytes")


def _by_scope(spans: Sequence[ReadableSpan]) -> list[list[ReadableSpan]]:
    groups: dict[tuple[int, int], list[ReadableSpan]] = {}
    for span in spans:
        groups.setdefault((id(span.resource), id(span.instrumentation_scope)), []).append(span)
    return list(groups.values())


class _Envelopes:
    """What stands around the records of a line: resource and scope, encoded once.

    The last one is kept by identity: a process has one resource and one scope (another after a fork), and hashing
    a resource costs more than encoding it.
    """

    def __init__(self, outer: str, inner: str, leaf: str) -> None:
        self._keys = outer, inner, leaf
        self._last: tuple[Resource, object, Envelope] | None = None

    def of(self, resource: Resource, scope: Any) -> Envelope:
        """The request object around a list of records."""
        if self._last is None or self._last[0] is not resource or self._last[1] is not scope:
            self._last = resource, scope, self._encode(resource, scope)
        return self._last[2]

    def _encode(self, resource: Resource, scope: Any) -> Envelope:
        outer, inner, leaf = self._keys
        attributes = dict(resource.attributes)
        first = {INSTANCE_ID: attributes.pop(INSTANCE_ID, "")}
        about = {"attributes": _attributes({**first, **attributes})}
        named = {"name": scope.name, "version": scope.version or ""}
        return lambda records: {outer: [{"resource": about, inner: [{"scope": named, leaf: records}]}]}


def _span(span: ReadableSpan) -> Record:
    context = span.get_span_context()
    if context is None:
        raise ValueError("a span without context")
    flags = context.trace_flags | _HAS_IS_REMOTE
    encoded: Record = {
        "traceId": f"{context.trace_id:032x}",
        "spanId": f"{context.span_id:016x}",
        "name": span.name,
        "kind": span.kind.value + 1,  # OTLP counts from 1: 0 is "unspecified"
        "startTimeUnixNano": str(span.start_time or 0),
        "endTimeUnixNano": str(span.end_time or 0),
        "attributes": _attributes(span.attributes or {}),
        "status": {"code": span.status.status_code.value},
    }
    if span.parent is not None:
        encoded["parentSpanId"] = f"{span.parent.span_id:016x}"
        flags |= _IS_REMOTE if span.parent.is_remote else 0
    encoded["flags"] = flags
    if span.dropped_attributes:
        encoded["droppedAttributesCount"] = span.dropped_attributes
    return encoded


def _sum(metric: Metric) -> Record:
    data = metric.data
    if not isinstance(data, Sum):
        raise TypeError(f"{metric.name} is not a sum")
    points = [
        {
            "attributes": _attributes(point.attributes or {}),
            "startTimeUnixNano": str(point.start_time_unix_nano),
            "timeUnixNano": str(point.time_unix_nano),
            "asInt": str(point.value),
        }
        for point in data.data_points
    ]
    about = {"name": metric.name, "description": metric.description or "", "unit": metric.unit or ""}
    temporality = data.aggregation_temporality.value
    return {
        **about,
        "sum": {"dataPoints": points, "aggregationTemporality": temporality, "isMonotonic": data.is_monotonic},
    }


def _attributes(attributes: Mapping[str, Any]) -> list[Record]:
    return [{"key": key, "value": _value(value)} for key, value in attributes.items()]


def _value(value: object) -> Record:
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, (tuple, list)):
        return {"arrayValue": {"values": [_value(item) for item in value]}}
    return {"stringValue": str(value)}
