"""The SDK's providers with our files at their end. Made at the first span or count, by `setup`, and only there.

No global provider is set and no exit handler registered: the pipeline belongs to who opened it. Sampling is always
on and limits are fixed here, so that the environment cannot thin out what is recorded.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Span, Status, StatusCode

from autopilot.telemetry import names
from autopilot.telemetry.asked import NOTHING_ASKED, Asked
from autopilot.telemetry.drops import Drops
from autopilot.telemetry.instruments import COUNTERS, Count
from autopilot.telemetry.jsonl import INSTANCE_ID, MetricLines, SpanLines
from autopilot.telemetry.lines import LineFile
from autopilot.telemetry.spans import Ending

if TYPE_CHECKING:
    from autopilot.telemetry.otlp import Sender, SumsReader


@dataclass(frozen=True, slots=True)
class Destination:
    """Where records go: the two files, and what is asked of OTLP export."""

    traces: Path
    metrics: Path
    asked: Asked = NOTHING_ASKED


class Pipeline:
    """Providers, tracer and counters of one process. Its methods may raise; `setup` counts what they raise."""

    def __init__(self, to: Destination, *, version: str, drops: Drops) -> None:
        self._drops = drops
        resource = _resource(version)
        self._sums = MetricLines(LineFile(to.metrics), drops)
        processors: tuple[SpanProcessor, ...] = ()
        readers: tuple[MetricReader, ...] = ()
        self._sender: Sender | None = None
        if to.asked.state == "on":
            with drops.counting("otlp"):
                self._sender, reader = _opened_sender(to.asked, drops)
                processors, readers = (self._sender,), (reader,)
        self._tracers = TracerProvider(
            sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False, span_limits=_limits()
        )
        for processor in (SimpleSpanProcessor(SpanLines(LineFile(to.traces), drops)), *processors):
            self._tracers.add_span_processor(processor)
        self._meters = MeterProvider(
            (self._sums, *readers), resource, AlwaysOffExemplarFilter(), shutdown_on_exit=False
        )
        for provider in (self._tracers, self._meters):
            # The SDK asked the process's environment; `setup` has asked the one that counts, and it said yes.
            provider._disabled = False
        self._tracer = self._tracers.get_tracer(names.SCOPE, version)
        meter = self._meters.get_meter(names.SCOPE, version)
        self._counters = {name: meter.create_counter(name, "1", about) for name, about in COUNTERS.items()}

    def open(self, name: str, attributes: Mapping[str, object]) -> CurrentSpan:
        """Start a span and make it current."""
        span = self._tracer.start_span(name, attributes=names.bounded(attributes), record_exception=False)
        return CurrentSpan(span, self._drops)

    def mark(self, name: str, attributes: Mapping[str, object], started_ns: int | None) -> None:
        """A span that is over at once."""
        self._tracer.start_span(
            name, attributes=names.bounded(attributes), start_time=started_ns, record_exception=False
        ).end()

    def count(self, counts: tuple[Count, ...]) -> None:
        """Add to the counters and write the line: a process that is killed next has sent what it counted."""
        for count in counts:
            self._counters[count.counter].add(1, count.attributes)
        self._sums.collect()

    def close(self) -> None:
        """Write what is left and stop the exporters; files need nothing."""
        self._meters.force_flush(timeout_millis=4_000)
        if self._sender is not None:
            self._sender.close()
        self._meters.shutdown(timeout_millis=4_000)
        self._tracers.shutdown()


def _opened_sender(asked: Asked, drops: Drops) -> tuple[Sender, SumsReader]:
    # Loaded only where it is asked for: some 100 ms.
    from autopilot.telemetry.collector import span_outlet, sum_outlet
    from autopilot.telemetry.otlp import Sender, SumsReader

    spans = None if asked.traces is None else span_outlet(asked.traces)
    sums = None if asked.metrics is None else sum_outlet(asked.metrics)
    sender = Sender(spans, sums, drops)
    reader = SumsReader(sender)
    sender.refresh = reader.collect
    return sender, reader


class CurrentSpan:
    """An open span, current in this context until it ends."""

    def __init__(self, span: Span, drops: Drops) -> None:
        self._span = span
        self._drops = drops
        self._token = contexts.attach(trace.set_span_in_context(span))

    def end(self, read: Callable[[], Ending]) -> None:
        """End with the attributes `read` gives; see `spans.OpenSpan`."""
        with self._drops.counting("traces"):
            contexts.detach(self._token)
        with self._drops.counting("traces"):
            ending = read()
            self._span.set_attributes(names.bounded(ending.attributes))
            if ending.error:
                self._span.set_status(Status(StatusCode.ERROR))
        with self._drops.counting("traces"):
            self._span.end()


def current_ids() -> tuple[str, str] | None:
    """Trace and span id of the current span in hex, as the files have them; None outside of any."""
    context = trace.get_current_span().get_span_context()
    return (f"{context.trace_id:032x}", f"{context.span_id:016x}") if context.is_valid else None


def _resource(version: str) -> Resource:
    asked = dict(OTELResourceDetector().detect().attributes)
    ours = {INSTANCE_ID: str(uuid.uuid4()), "service.name": "autopilot", "service.version": version}
    # OTEL_RESOURCE_ATTRIBUTES may add and rename the service, but not make two processes look like one.
    merged = {**ours, **asked, INSTANCE_ID: ours[INSTANCE_ID]}
    return Resource(names.bounded(merged))


def _limits() -> SpanLimits:
    return SpanLimits(
        max_attributes=names.MAX_ATTRIBUTES,
        max_events=0,
        max_links=0,
        max_span_attributes=names.MAX_ATTRIBUTES,
        max_event_attributes=0,
        max_link_attributes=0,
        max_attribute_length=names.MAX_VALUE_BYTES,
        max_span_attribute_length=names.MAX_VALUE_BYTES,
    )
