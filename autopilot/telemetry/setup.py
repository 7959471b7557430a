"""One `Telemetry` for one process: what `wiring` makes, hands to the engine as observer, and closes.

Opening it costs nothing: the SDK (some 60 ms) is loaded at the first span or counted event. That import is guarded,
because the SDK reads the environment while it loads and a malformed OTEL_* variable makes it raise: telemetry that
cannot start is telemetry that was dropped, not a move refused.

Whether anything is recorded (`OTEL_SDK_DISABLED`) is the given environment's to say, not the process's: who opens a
workspace with an environment of its own is asked, not who started the process.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from autopilot.kernel.events import Event, TransitionRefused
from autopilot.telemetry import names
from autopilot.telemetry.asked import NOTHING_ASKED, read_asked
from autopilot.telemetry.drops import Drops
from autopilot.telemetry.instruments import counts_of
from autopilot.telemetry.lines import LineFile
from autopilot.telemetry.spans import Ending, OpenSpan

if TYPE_CHECKING:
    from autopilot.telemetry.pipeline import Pipeline

OTLP_PACKAGE = "opentelemetry.exporter.otlp.proto.http"

INSTALL = "pip install 'autopilot-governance[otlp]'"


@dataclass(frozen=True, slots=True)
class Report:
    """What `doctor` shows. `problems` are sentences; `otlp` is `off`, `on`, `missing` or `refused`."""

    traces: Path
    metrics: Path
    otlp: str
    dropped: int
    problems: tuple[str, ...]
    recording: bool = True
    """Whether the files are written, whatever becomes of the export."""


class Telemetry:
    """Records spans and counters below `folder` (`state/telemetry`). No method raises, whatever the files do."""

    def __init__(self, folder: Path, *, version: str, environ: Mapping[str, str]) -> None:
        self.traces = folder / "traces.jsonl"
        self.metrics = folder / "metrics.jsonl"
        self._version = version
        self._drops = Drops()
        self._lock = threading.Lock()
        self._pipeline: Pipeline | None = None
        self._failed = False
        self._asked = read_asked(environ)
        self._disabled = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"

    def observe(self, event: Event) -> None:
        """The engine's observer: count what `instruments` says, mark a violation with a span."""
        with self._drops.counting("metrics"):
            if (counts := counts_of(event)) and (pipeline := self._started("metrics")):
                pipeline.count(counts)
        if isinstance(event, TransitionRefused) and event.violation:
            self.mark(names.VIOLATION, lambda: _violation(event))

    def open(self, name: str, read: Callable[[], Mapping[str, object]]) -> OpenSpan:
        """See `spans.Tracing`."""
        with self._drops.counting("traces"):
            if pipeline := self._started("traces"):
                attributes: Mapping[str, object] = {}
                with self._drops.counting("traces"):
                    attributes = read()
                return pipeline.open(name, attributes)
        return _NO_SPAN

    def mark(self, name: str, read: Callable[[], Mapping[str, object]], *, started_ns: int | None = None) -> None:
        """See `spans.Tracing`."""
        with self._drops.counting("traces"):
            if pipeline := self._started("traces"):
                pipeline.mark(name, read(), started_ns)

    def current_ids(self) -> tuple[str, str] | None:
        """Trace and span id of the call under way, in hex, for a journal entry to name; None outside of a span."""
        with self._drops.counting("traces"):
            if self._pipeline is not None:
                from autopilot.telemetry.pipeline import current_ids  # loaded already

                return current_ids()
        return None

    @property
    def dropped(self) -> int:
        """Records lost so far in this process."""
        return self._drops.total

    def report(self) -> Report:
        """The state of the files and of the OTLP export; writes nothing and loads no SDK."""
        problems = [problem for path in (self.traces, self.metrics) if (problem := LineFile(path).problem())]
        problems += [f"{count} {signal} dropped: {cause}" for signal, (count, cause) in self._drops.report().items()]
        if self._disabled:
            problems.append("OTEL_SDK_DISABLED is set: no span and no counter is recorded")
        recording = not problems
        otlp = self._otlp()
        if otlp == "missing":
            problems.append(f"OTLP export is asked for but not installed: {INSTALL}")
        problems += self._asked.problems
        return Report(self.traces, self.metrics, otlp, self.dropped, tuple(problems), recording)

    def close(self) -> None:
        """Write what is left. Takes no time for the files; a collector that does not answer costs two seconds."""
        with self._lock:
            pipeline, self._pipeline, self._failed = self._pipeline, None, True
        if pipeline is not None:
            with self._drops.counting("setup"):
                pipeline.close()

    def __enter__(self) -> Telemetry:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def _started(self, signal: str) -> Pipeline | None:
        if self._disabled:
            # Not dropped: it was asked not to be recorded, and the SDK need not even be loaded.
            return None
        if self._pipeline is not None:
            return self._pipeline
        with self._lock:
            if self._pipeline is None and not self._failed:
                try:
                    self._pipeline = self._start()
                except BaseException:
                    # Not tried again: it costs tens of milliseconds and would fail the same way.
                    self._failed = True
                    raise
                return self._pipeline
        if self._pipeline is None:
            self._drops.add(signal, "telemetry is closed or could not start")
        return self._pipeline

    def _start(self) -> Pipeline:
        from autopilot.telemetry.pipeline import Destination, Pipeline  # guarded and late: see the module docstring

        asked = self._asked if self._otlp() == "on" else NOTHING_ASKED
        to = Destination(self.traces, self.metrics, asked)
        return Pipeline(to, version=self._version, drops=self._drops)

    def _otlp(self) -> str:
        if self._asked.state != "on":
            return self._asked.state
        try:
            return "on" if importlib.util.find_spec(OTLP_PACKAGE) else "missing"
        except ImportError:  # a parent package is not there
            return "missing"


class _NoSpan:
    def end(self, read: Callable[[], Ending]) -> None:
        """There is nothing to end."""


_NO_SPAN = _NoSpan()


def _violation(event: TransitionRefused) -> dict[str, Any]:
    return {
        names.TASK: event.task,
        names.PHASE: event.phase,
        names.TO: event.target,
        names.OUTCOME: "refused",
        names.REASONS: event.reasons,
        names.SEQ: event.seq,
        names.ACTOR: event.actor,
        names.SESSION: event.session,
    }
