"""An OTLP receiver in a process of its own: parses the protobuf, writes down what came; or misbehaves as it is told.

    python receiver.py FOLDER MODE

MODE: ok, hang, drip, error, reset, redirect=URL, endless. FOLDER/port has the port, FOLDER/<n>.json each request.
"""

from __future__ import annotations

import gzip
import json
import socket
import struct
import sys
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

FOLDER, MODE = Path(sys.argv[1]), sys.argv[2]
REQUESTS = {"/v1/traces": ExportTraceServiceRequest, "/v1/metrics": ExportMetricsServiceRequest}
UNPACK = {"gzip": gzip.decompress, "deflate": zlib.decompress, None: bytes}


class Receiver(BaseHTTPRequestHandler):
    """One request."""

    def do_GET(self) -> None:
        (FOLDER / f"{time.monotonic_ns()}.json").write_text(json.dumps({"path": self.path, "method": "GET"}))
        self.send_response(200)
        self.end_headers()

    def do_POST(self) -> None:
        body = UNPACK[self.headers["Content-Encoding"]](self.rfile.read(int(self.headers["Content-Length"])))
        request = REQUESTS[self.path]() if self.path in REQUESTS else ExportTraceServiceRequest()
        request.ParseFromString(body)
        told = {"path": self.path, "method": "POST", "headers": dict(self.headers), "body": MessageToDict(request)}
        (FOLDER / f"{time.monotonic_ns()}.part").write_text(json.dumps(told))
        for part in FOLDER.glob("*.part"):
            part.rename(part.with_suffix(".json"))
        getattr(self, "_" + MODE.partition("=")[0])()

    def _ok(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _hang(self) -> None:
        time.sleep(600)

    def _error(self) -> None:
        self.send_response(500)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def _redirect(self) -> None:
        self.send_response(307)
        self.send_header("Location", MODE.partition("=")[2])
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _drip(self) -> None:
        """An answer's head that never ends: each byte comes before the time for the next is over."""
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while True:
            self.wfile.write(b"a")
            time.sleep(0.2)

    def _endless(self) -> None:
        self.send_response(200)
        self.end_headers()
        try:
            while True:
                self.wfile.write(b"x" * 4096)
        except OSError:
            return

    def log_message(self, *_: object) -> None:
        """Not to the test's output."""

    def handle_one_request(self) -> None:
        """As the base class; who has gone away is no matter."""
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True


server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
server.daemon_threads = True
(FOLDER / "port.part").write_text(str(server.server_port))
(FOLDER / "port.part").rename(FOLDER / "port")
server.serve_forever()
