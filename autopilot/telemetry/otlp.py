"""Sending to a collector as well, where the standard environment variables ask for it and the exporter is installed.

The files are written either way, first, and are the record. Nothing waits for a collector while a move is under way: a
thread of its own takes spans and sums from a bounded queue. When the process closes its telemetry it waits
`CLOSE_SECONDS` at most, all signals together; what has not been taken by then is dropped and counted. What does not fit
into the queue is dropped and counted too.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.metrics import Counter
from opentelemetry.sdk.metrics.export import AggregationTemporality, MetricReader, MetricsData
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from autopilot.telemetry.drops import Drops

CLOSE_SECONDS = 2.0
QUEUE_MAX = 2048
BATCH_MAX = 256
PAUSE_SECONDS = 5.0
"""How often a process that lives on sends what it has."""


@dataclass(frozen=True, slots=True)
class Outlet:
    """An exporter's `export`, what went wrong when it last failed, and how to give its connections back."""

    export: Callable[[Any], Any]
    why: Callable[[], str]
    close: Callable[[], None]


class Sender(SpanProcessor):
    """The queue and the thread that empties it. Made for one process: a fork's child drops and counts.

    `refresh` is called by the thread now and then, to `add` the sums of a process that lives on.
    """

    def __init__(self, spans: Outlet | None, sums: Outlet | None, drops: Drops) -> None:
        self.refresh: Callable[[], object] = lambda: None
        self._spans = spans
        self._sums = sums
        self._drops = drops
        self._changed = threading.Condition()
        self._waiting: deque[ReadableSpan | MetricsData] = deque()
        self._under_way = 0
        self._closing = False
        self._thread: threading.Thread | None = None
        self._process = os.getpid()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Nothing to do."""

    def on_end(self, span: ReadableSpan) -> None:
        """Take the span; never waits."""
        if self._spans is not None:
            self._put(span)

    def add(self, data: MetricsData) -> None:
        """Take sums; never waits."""
        if self._sums is not None:
            self._put(data)

    def _put(self, item: ReadableSpan | MetricsData) -> None:
        if os.getpid() != self._process:
            self._drops.add("otlp", "recorded after a fork")
            return
        with self._changed:
            if self._closing or len(self._waiting) >= QUEUE_MAX:
                self._drops.add("otlp", "the collector is too slow" if not self._closing else "closed")
                return
            self._waiting.append(item)
            if self._thread is None:
                # A daemon: a collector that never answers must not keep a command from ending.
                self._thread = threading.Thread(target=self._run, name="autopilot-otlp", daemon=True)
                self._thread.start()
            elif len(self._waiting) >= BATCH_MAX:
                self._changed.notify_all()

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Send what is left, for so long; the rest is dropped and counted."""
        if os.getpid() != self._process:
            return
        ends = time.monotonic() + seconds
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            while (self._waiting or self._under_way) and (left := ends - time.monotonic()) > 0:
                self._changed.wait(left)
            late = len(self._waiting) + self._under_way
            self._waiting.clear()
            self._under_way = 0
        for outlet in (self._spans, self._sums):
            if outlet is not None and not late:
                outlet.close()
        if late:
            self._drops.add("otlp", f"the collector did not take them within {seconds:g} s", late)

    # --- in the thread

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._closing and len(self._waiting) < BATCH_MAX:
                    self._changed.wait(PAUSE_SECONDS)
                idle = not self._closing
            if idle:
                with self._drops.counting("otlp"):
                    self.refresh()
            with self._changed:
                if not self._waiting:
                    if self._closing:
                        return
                    continue
                batch = [self._waiting.popleft() for _ in range(min(BATCH_MAX, len(self._waiting)))]
                self._under_way = len(batch)
            self._send(batch)

    def _send(self, batch: list[ReadableSpan | MetricsData]) -> None:
        spans = [item for item in batch if isinstance(item, ReadableSpan)]
        if self._spans is not None and spans:
            self._sent(self._spans, spans, len(spans))
        for item in batch:
            if self._sums is not None and isinstance(item, MetricsData):
                self._sent(self._sums, item, 1)

    def _sent(self, outlet: Outlet, data: object, count: int) -> None:
        cause = ""
        try:
            taken = outlet.export(data).name == "SUCCESS"
        except Exception as error:  # noqa: BLE001 - whatever the exporter comes up with must not end the thread
            taken, cause = False, type(error).__name__
        with self._changed:
            # Counted already by who did not want to wait any longer?
            given_up = self._under_way == 0
            self._under_way = max(0, self._under_way - count)
            self._changed.notify_all()
        if not taken and not given_up:
            self._drops.add("otlp", f"not taken by the collector: {cause or outlet.why()}", count)

    def shutdown(self) -> None:
        """The pipeline closes the sender itself."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - the SDK's signature
        return True


class SumsReader(MetricReader):
    """Hands what was counted since the last `collect` to a sender."""

    def __init__(self, sender: Sender) -> None:
        super().__init__(preferred_temporality={Counter: AggregationTemporality.DELTA})
        self._sender = sender

    def _receive_metrics(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_: Any) -> None:  # noqa: ARG002
        if any(scope.metrics for resource in metrics_data.resource_metrics for scope in resource.scope_metrics):
            self._sender.add(metrics_data)

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:
        """Nothing is held: the pipeline collects before it closes the sender."""
