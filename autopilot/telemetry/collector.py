"""The exporters of the `otlp` extra, on connections that trust a collector with nothing but its answer's status.

A redirect is a failure: the next host was not asked for, and headers may carry a password. Of an answer at most 64 KiB
are read and no longer than the request may take. A failed request is not tried again: the next call of the command line
sends its own, and the files have everything. What went wrong is told without address and headers.
"""

from __future__ import annotations

import logging
import time
from typing import Any

import requests
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import Counter
from opentelemetry.sdk.metrics.export import AggregationTemporality

from autopilot.telemetry.asked import Signal
from autopilot.telemetry.otlp import Outlet

ANSWER_BYTES_MAX = 64 * 1024
_COMPRESSION = {"none": Compression.NoCompression, "gzip": Compression.Gzip, "deflate": Compression.Deflate}
_OWN_HEADERS = frozenset({"content-type", "content-encoding", "user-agent"})


class CollectorError(Exception):
    """The collector did not take a request. No error that the exporter would try again after."""


def span_outlet(signal: Signal) -> Outlet:
    """Where spans go."""
    session = _Session(signal)
    made = OTLPSpanExporter(
        endpoint=signal.endpoint,
        timeout=signal.timeout_seconds,
        compression=_COMPRESSION[signal.compression],
        session=session,
    )
    session.settle()
    return Outlet(made.export, lambda: session.problem, session.close)


def sum_outlet(signal: Signal) -> Outlet:
    """Where delta sums go."""
    session = _Session(signal)
    made = OTLPMetricExporter(
        endpoint=signal.endpoint,
        timeout=signal.timeout_seconds,
        compression=_COMPRESSION[signal.compression],
        session=session,
        preferred_temporality={Counter: AggregationTemporality.DELTA},
    )
    session.settle()
    return Outlet(made.export, lambda: session.problem, session.close)


class _Session(requests.Session):
    """What the variables of one workspace say counts here, not what those of the process do."""

    def __init__(self, signal: Signal) -> None:
        super().__init__()
        # Neither a password from `~/.netrc` nor a proxy of the process: nobody asked for these here.
        self.trust_env = False
        self.problem = ""
        self._signal = signal
        # Failures are counted, and `doctor` tells them: the exporter's own words would stand among a command's.
        logger = logging.getLogger("opentelemetry.exporter")
        logger.propagate = False
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())

    def settle(self) -> None:
        """Take back what the exporter set from the process's environment."""
        signal = self._signal
        self.verify = signal.certificate or True
        pair = (signal.client_certificate, signal.client_key)
        self.cert = pair if all(pair) else signal.client_certificate or None

    def request(self, method: Any, url: Any, *args: Any, **options: Any) -> requests.Response:
        """As the base class, within the bounds above; CollectorError."""
        given = options.pop("headers", None) or {}
        headers = {name: value for name, value in given.items() if name.lower() in _OWN_HEADERS}
        options |= {"headers": headers | dict(self._signal.headers), "allow_redirects": False, "stream": True}
        ends = time.monotonic() + self._signal.timeout_seconds
        try:
            response = super().request(method, url, *args, **options)
            with response:
                _read_answer(response, ends)
        except (requests.RequestException, OSError, ValueError) as error:
            self.problem = type(error).__name__
            raise CollectorError(self.problem) from None
        if response.status_code // 100 != 2:
            self.problem = f"HTTP status {response.status_code}"
            raise CollectorError(self.problem)
        return response


def _read_answer(response: requests.Response, ends: float) -> None:
    size = 0
    for chunk in response.iter_content(4096):
        size += len(chunk)
        if size > ANSWER_BYTES_MAX or time.monotonic() > ends:
            raise ValueError("an answer without end")
    response._content = b""
