"""A telemetry over real files, and readers that go through the protobuf messages a Collector would use."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from autopilot.telemetry.setup import Telemetry


@pytest.fixture
def telemetry(tmp_path: Path) -> Iterator[Telemetry]:
    with Telemetry(tmp_path / "telemetry", version="0.1.0", environ={}) as opened:
        yield opened


def _ids_to_base64(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: base64.b64encode(bytes.fromhex(item)).decode()
            if key in ("traceId", "spanId", "parentSpanId")
            else _ids_to_base64(item)
            for key, item in value.items()
        }
    return [_ids_to_base64(item) for item in value] if isinstance(value, list) else value


def parse_traces(path: Path) -> list[ExportTraceServiceRequest]:
    """Each line as the protobuf message; an unknown field or a wrong type raises."""
    return [_parse(line, ExportTraceServiceRequest()) for line in _lines(path)]


def parse_metrics(path: Path) -> list[ExportMetricsServiceRequest]:
    """Each line as the protobuf message."""
    return [_parse(line, ExportMetricsServiceRequest()) for line in _lines(path)]


def _lines(path: Path) -> list[bytes]:
    data = path.read_bytes()
    assert data.endswith(b"\n")
    lines = data.split(b"\n")[:-1]
    assert all(0 < len(line) < 2**20 for line in lines)
    return lines


def _parse(line: bytes, message: Any) -> Any:
    return json_format.ParseDict(_ids_to_base64(json.loads(line)), message)


class Spans:
    """The spans of a traces file, flattened: name, attributes as plain values, and the message itself."""

    def __init__(self, path: Path) -> None:
        self.requests = parse_traces(path)
        self.all = [s for r in self.requests for rs in r.resource_spans for ss in rs.scope_spans for s in ss.spans]

    def named(self, name: str) -> list[Any]:
        return [span for span in self.all if span.name == name]


def plain(attributes: Any) -> dict[str, Any]:
    """OTLP attributes as a dict of plain values."""
    found = {}
    for pair in attributes:
        kind = pair.value.WhichOneof("value")
        value = getattr(pair.value, kind)
        found[pair.key] = [v.string_value for v in value.values] if kind == "array_value" else value
    return found


@pytest.fixture
def read_spans() -> type[Spans]:
    return Spans


@pytest.fixture
def attributes_of() -> Any:
    return plain


@pytest.fixture
def read_metrics() -> Any:
    return parse_metrics
