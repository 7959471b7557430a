"""What the standard variables ask of OTLP export, read once, without loading an exporter.

    asked = read_asked(os.environ)
    asked.traces  # where spans go, or None

Rules: nothing is sent unless an endpoint is named; a value that cannot be followed is refused by its name, never
guessed; what may be a secret (headers, an endpoint with a password) is in no text that is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from urllib.parse import unquote, urlsplit

TIMEOUT_SECONDS = 2.0
"""How long a request may take unless OTEL_EXPORTER_OTLP_TIMEOUT says otherwise."""
TIMEOUT_SECONDS_MAX = 10.0
PROTOCOL = "http/protobuf"
_PREFIX = "OTEL_EXPORTER_OTLP_"
_COMPRESSIONS = ("none", "gzip", "deflate")


@dataclass(frozen=True, slots=True)
class Signal:
    """Where one kind of record goes, and how. `certificate` and the client's two are file names, "" for none."""

    endpoint: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    timeout_seconds: float
    compression: str
    certificate: str
    client_key: str
    client_certificate: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be sent where; `problems` are sentences saying what is asked for and cannot be done."""

    traces: Signal | None = None
    metrics: Signal | None = None
    problems: tuple[str, ...] = ()

    @property
    def state(self) -> str:
        """`on`, `off`, or `refused`: asked for in a way that cannot be followed, so that nothing is sent."""
        if self.problems:
            return "refused"
        return "on" if self.traces or self.metrics else "off"


NOTHING_ASKED = Asked()


class _RefusedError(Exception):
    """A value that cannot be followed; the message names the variable and not the value."""


def read_asked(environ: Mapping[str, str]) -> Asked:
    """What `environ` asks for. One bad value refuses all of it: half an export would be taken for a whole one."""
    try:
        return Asked(_signal(environ, "TRACES", "v1/traces"), _signal(environ, "METRICS", "v1/metrics"))
    except _RefusedError as error:
        return Asked(problems=(str(error),))


def _signal(environ: Mapping[str, str], signal: str, path: str) -> Signal | None:
    own, common = _get(environ, f"{_PREFIX}{signal}_ENDPOINT"), _get(environ, f"{_PREFIX}ENDPOINT")
    if not own and not common:
        return None
    if _get(environ, f"OTEL_{signal}_EXPORTER").lower() == "none":
        return None
    name = f"{_PREFIX}{signal}_ENDPOINT" if own else f"{_PREFIX}ENDPOINT"
    _require_protocol(*_named(environ, signal, "PROTOCOL"))
    return Signal(
        endpoint=_endpoint(name, own or f"{common.rstrip('/')}/{path}"),
        headers=_headers(*_named(environ, signal, "HEADERS")),
        timeout_seconds=_timeout(*_named(environ, signal, "TIMEOUT")),
        compression=_compression(*_named(environ, signal, "COMPRESSION")),
        certificate=_named(environ, signal, "CERTIFICATE")[1],
        client_key=_named(environ, signal, "CLIENT_KEY")[1],
        client_certificate=_named(environ, signal, "CLIENT_CERTIFICATE")[1],
    )


def _get(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name, "").strip()


def _named(environ: Mapping[str, str], signal: str, what: str) -> tuple[str, str]:
    """The variable that counts for the signal, and its value: the signal's own before the common one."""
    own = f"{_PREFIX}{signal}_{what}"
    return (own, _get(environ, own)) if _get(environ, own) else (f"{_PREFIX}{what}", _get(environ, f"{_PREFIX}{what}"))


def _require_protocol(name: str, value: str) -> None:
    if value and value.lower() != PROTOCOL:
        known = value.lower() if value.lower() in ("grpc", "http/json") else "its value"
        raise _RefusedError(
            f"OTLP export is off: {name} asks for {known}, and only {PROTOCOL} is spoken; "
            f"set it to {PROTOCOL} (a collector listens for it on port 4318)"
        )


def _endpoint(name: str, value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        raise _RefusedError(f"OTLP export is off: {name} is not an http:// or https:// address")
    return value


def _headers(name: str, value: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in filter(None, (piece.strip() for piece in value.split(","))):
        key, equals, text = entry.partition("=")
        key, text = unquote(key.strip()).lower(), unquote(text.strip())
        if not equals or not key or not (key + text).isprintable() or ":" in key or " " in key:
            raise _RefusedError(f"OTLP export is off: {name} has an entry that is not name=value")
        found[key] = text
    return found


def _timeout(name: str, value: str) -> float:
    """Seconds, as the exporter package reads it; at most ten, so that a number of milliseconds does no harm."""
    try:
        seconds = float(value or TIMEOUT_SECONDS)
    except ValueError:
        seconds = 0.0
    if not isfinite(seconds) or seconds <= 0:
        raise _RefusedError(f"OTLP export is off: {name} is not a number of seconds")
    return min(seconds, TIMEOUT_SECONDS_MAX)


def _compression(name: str, value: str) -> str:
    if (value or "none").lower() not in _COMPRESSIONS:
        raise _RefusedError(f"OTLP export is off: {name} is none of {', '.join(_COMPRESSIONS)}")
    return (value or "none").lower()
