"""The client's side: finds out who is at the other end before it says anything, then asks one thing at a time.

A socket that an agent put where a person or CI expects the engine would answer whatever the agent likes. So the kernel
is asked who listens there (SO_PEERCRED), and that user must be the expected one: the number in `AUTOPILOT_ENGINE_UID`,
or else the user whom root let have the socket's folder, who must not be the one that owns the repository.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autopilot.kernel.callers import Caller
from autopilot.kernel.errors import ContractError, IntegrityError, StorageError
from autopilot.kernel.ownership import look_up
from autopilot.remote.frames import MIB, PROTOCOL, Caps, FrameRefusedError, receive, send
from autopilot.remote.operations import OPERATIONS
from autopilot.remote.peers import credentials_of
from autopilot.remote.safety import check_socket_folder
from autopilot.remote.wire import error_in, incoming, outgoing

CONNECT_SECONDS = 10.0
_AGAIN_SECONDS = 0.01
# An answer may take as long as the project's tests: the daemon's own limits end it, and a dead daemon closes the line.
_ANSWER = Caps(message_bytes=64 * MIB, blob_bytes=80 * MIB, idle_seconds=0, frame_seconds=120.0)
# Below these only root makes folders; a user's own runtime folder is the user's.
_ROOTS_OWN = ("/run", "/var/run")
_USERS_OWN = "/run/user"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where the daemon is, and what the client knows of it.

    `given`: by the caller's own environment, not by a file in the repository, which an agent can edit. `engine_uid`:
    None where nobody said; `owner_uid` is who owns the repository, and so is an agent.
    """

    socket: str
    given: bool
    engine_uid: int | None
    owner_uid: int


def address_of(path: str, environ: Mapping[str, str], *, owner_uid: int) -> Address:
    """The address that the environment and `autopilot.toml` give; ContractError `bad_config` for a bad number."""
    text = environ.get("AUTOPILOT_ENGINE_UID", "")
    if text and not (text.isascii() and text.isdigit()):
        raise ContractError("bad_config", where="AUTOPILOT_ENGINE_UID", detail="not a user's number")
    given = environ.get("AUTOPILOT_SOCKET") == path
    return Address(socket=path, given=given, engine_uid=int(text) if text else None, owner_uid=owner_uid)


@dataclass(frozen=True, slots=True)
class Greeting:
    """What the daemon said when it let us in, and who the kernel says it is."""

    ledger: str
    trust_mode: int
    actor: str
    engine_uid: int
    state_dir: str = ""
    isolation: str = ""


class Line:
    """One connection to a daemon. Calls of several threads wait for one another."""

    def __init__(self, address: Address, directory: Path, purpose: str = "act") -> None:
        """StorageError `daemon_unreachable`, IntegrityError `daemon_untrusted`, or why the daemon turned us away."""
        self._lock = threading.Lock()
        self._socket = _connected(address)
        try:
            uid = credentials_of(self._socket).uid
            _check_engine(address, uid)
            hello = {"autopilot": "hello", "v": PROTOCOL, "directory": str(directory.resolve()), "purpose": purpose}
            said, _ = self._exchange(hello, b"")
            self.greeting = _greeting(said, uid, address)
        except BaseException:
            self._socket.close()
            raise

    def call(self, name: str, arguments: Mapping[str, Any], *, caller: Caller | None = None, blob: bytes = b"") -> Any:
        """The answer to one operation, as the desk's method gives it; raises what the method raised."""
        row = OPERATIONS[name]
        message: dict[str, Any] = {"op": name, "arguments": row.plain(arguments)}
        if row.caller:
            message["caller"] = outgoing(caller, Caller)
        plain, data = self._exchange(message, blob)
        value = incoming(plain, row.gives, where=name)
        return (value, data) if row.answers_blob else value

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _exchange(self, message: dict[str, Any], blob: bytes) -> tuple[Any, bytes]:
        with self._lock:
            # Whoever turned us away said why before it closed, and does not read what we still send.
            with contextlib.suppress(StorageError):
                send(self._socket, message, blob)
            frame = receive(self._socket, _ANSWER)
        if frame is None:
            raise StorageError("daemon_unreachable", detail="it closed the connection", retryable=True)
        if "error" in frame.message:
            raise error_in(frame.message["error"])
        return frame.message.get("ok"), frame.blob


def _connected(address: Address) -> socket.socket:
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    give_up = time.monotonic() + CONNECT_SECONDS
    try:
        line.settimeout(CONNECT_SECONDS)
        while (found := line.connect_ex(address.socket)) == errno.EAGAIN and time.monotonic() < give_up:
            # Many connect at once: the daemon is there, and its queue is full for the moment.
            time.sleep(_AGAIN_SECONDS)
    except OSError as error:
        found = error.errno or errno.EIO
    if found:
        line.close()
        detail = f"{address.socket}: {os.strerror(found)}"
        raise StorageError("daemon_unreachable", where=address.socket, detail=detail, retryable=True)
    return line


def _check_engine(address: Address, uid: int) -> None:
    """IntegrityError `daemon_untrusted` unless the user at the other end is the engine's."""
    if address.engine_uid is not None:
        if uid != address.engine_uid:
            raise _untrusted(address, f"uid {uid} listens there, the engine is uid {address.engine_uid}")
        return
    if uid == os.geteuid() and address.given:
        return  # our own process, named by ourselves: trust mode 0
    if uid == address.owner_uid:
        raise _untrusted(address, f"uid {uid} listens there, who owns the repository")
    if not address.given and not _is_roots_to_give(address.socket):
        raise _untrusted(address, "autopilot.toml names a socket outside of /run; AUTOPILOT_SOCKET may")
    try:
        chain = look_up(Path(address.socket).parent)
    except OSError as error:
        raise _untrusted(address, str(error)) from None
    reasons = check_socket_folder(chain, uid)
    if reasons:
        raise _untrusted(address, f"{reasons[0].where}: {reasons[0].detail}")


def _is_roots_to_give(path: str) -> bool:
    plain = os.path.normpath(path)
    below = any(plain.startswith(f"{root}/") for root in _ROOTS_OWN)
    return below and not plain.startswith((f"{_USERS_OWN}/", f"/var{_USERS_OWN}/"))


def _untrusted(address: Address, detail: str) -> IntegrityError:
    return IntegrityError("daemon_untrusted", where=address.socket, detail=detail)


def _greeting(said: Any, uid: int, address: Address) -> Greeting:
    if not isinstance(said, dict) or said.get("v") != PROTOCOL:
        raise FrameRefusedError("bad_frame", where="hello", detail="another version of the protocol")
    # Its own word is not enough: where engine and agent, or engine and caller, are one user there is no split.
    split = uid not in (os.geteuid(), address.owner_uid)
    mode = said["trust_mode"] if split and said.get("trust_mode") in (1, 2) else 0
    ledger, actor, state_dir, isolation = (
        str(said.get(key, "")) for key in ("ledger", "actor", "state_dir", "isolation")
    )
    return Greeting(ledger, mode, actor, uid, state_dir, isolation)
