"""Sending to a collector as well, where the standard environment variables ask for it and the exporter is installed.

The files are written either way. Nothing waits for a collector while a move is under way: spans go through a
background thread, sums are sent when the process closes its telemetry, and both give up after two seconds.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from opentelemetry.sdk.metrics import Counter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    MetricExporter,
    MetricExportResult,
    MetricReader,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from autopilot.telemetry.drops import Drops

TIMEOUT_SECONDS = 2


@dataclass(frozen=True, slots=True)
class Outlets:
    """What is hung on the providers beside the files."""

    processors: tuple[SpanProcessor, ...] = ()
    readers: tuple[MetricReader, ...] = ()


def open_outlets(package: str, environ: Mapping[str, str], drops: Drops) -> Outlets:
    """Exporters of the HTTP package `package`. They read the endpoint and headers from the environment themselves."""
    options: dict[str, Any] = {} if environ.get("OTEL_EXPORTER_OTLP_TIMEOUT") else {"timeout": TIMEOUT_SECONDS}
    spans = importlib.import_module(f"{package}.trace_exporter").OTLPSpanExporter(**options)
    sums = importlib.import_module(f"{package}.metric_exporter").OTLPMetricExporter(**options)
    return Outlets(
        (BatchSpanProcessor(CountedSpans(spans, drops)),),
        (PeriodicExportingMetricReader(CountedSums(sums, drops), export_interval_millis=math.inf),),
    )


class CountedSpans(SpanExporter):
    """An exporter whose failures are counted."""

    def __init__(self, exporter: SpanExporter, drops: Drops) -> None:
        self._exporter = exporter
        self._drops = drops

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = SpanExportResult.FAILURE
        with self._drops.counting("otlp"):
            result = self._exporter.export(spans)
            if result is not SpanExportResult.SUCCESS:
                self._drops.add("otlp", "the collector did not take the spans", len(spans))
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


class CountedSums(MetricExporter):
    """An exporter of delta sums whose failures are counted."""

    def __init__(self, exporter: MetricExporter, drops: Drops) -> None:
        super().__init__(preferred_temporality={Counter: AggregationTemporality.DELTA})
        self._exporter = exporter
        self._drops = drops

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_: Any) -> MetricExportResult:
        result = MetricExportResult.FAILURE
        with self._drops.counting("otlp"):
            result = self._exporter.export(metrics_data, timeout_millis=timeout_millis)
            if result is not MetricExportResult.SUCCESS:
                self._drops.add("otlp", "the collector did not take the sums")
        return result

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return self._exporter.force_flush(timeout_millis)

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:
        self._exporter.shutdown(timeout_millis=timeout_millis)
