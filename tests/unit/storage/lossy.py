"""A door to the database that slams: what it was told to break is broken once, at that very moment."""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Literal
from urllib.parse import parse_qs, urlsplit

Break = Literal["", "before", "after"]
_SOCKET = ".s.PGSQL.5432"
_CHUNK = 1 << 16


class LossyDoor:
    """A Unix socket in front of the server's. `slam` says what becomes of the next COMMIT.

    `before`: it never reaches the server. `after`: the server does it, and its answer never comes back.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._behind = str(Path(parse_qs(parts.query)["host"][0]) / _SOCKET)
        self._folder = tempfile.TemporaryDirectory(prefix="autopilot-door-")
        self.url = url.replace(str(Path(self._behind).parent), self._folder.name)
        self.slam: Break = ""
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(Path(self._folder.name) / _SOCKET))
        self._listening.listen()
        self._sockets, self._threads = [self._listening], list[threading.Thread]()
        self._start(self._serve)

    def _start(self, work: Callable[..., None], *ends: socket.socket) -> None:
        self._sockets.extend(ends)
        self._threads.append(threading.Thread(target=work, args=ends))
        self._threads[-1].start()

    def close(self) -> None:
        """Break every connection and take no further ones."""
        for end in self._sockets:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for end in self._sockets:
            end.close()
        self._folder.cleanup()

    def __enter__(self) -> LossyDoor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                inner, _ = self._listening.accept()
                outer = socket.socket(socket.AF_UNIX)
                outer.connect(self._behind)
                self._start(self._forward, inner, outer)
                self._start(self._back, outer, inner)

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(_CHUNK):
                slam = self.slam if b"COMMIT" in data else ""
                if slam:
                    self.slam = ""
                    # No answer goes back from here on.
                    client.shutdown(socket.SHUT_RDWR)
                    if slam == "after":
                        server.sendall(data)
                    server.shutdown(socket.SHUT_WR)
                    return
                server.sendall(data)
        for end in (client, server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def _back(server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(_CHUNK):
                with contextlib.suppress(OSError):
                    client.sendall(data)
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
