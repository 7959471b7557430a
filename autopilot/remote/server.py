"""The daemon's side of the socket: takes connections, binds each to the user the kernel names, answers one at a time.

One thread for each connection, with desks of its own over the one store: while one runs tests for minutes, the others
are answered. A connection that says nothing, half of something, too much, or nonsense is closed, and costs no other.
What a request raised goes back as an error; what was not foreseen goes back as a fault without its text, and the trace
to the daemon's own log.

On `stop` nothing new is taken in, requests that are being worked on are finished and answered, and idle connections
are closed. What could not be finished in time was not acknowledged either.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time
import traceback
from collections import Counter
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from autopilot.kernel.callers import Caller
from autopilot.kernel.errors import AutopilotError, ContractError, RefusedError, StorageError
from autopilot.kernel.reasons import Reason, Verdict
from autopilot.leases.terms import Claim
from autopilot.remote.frames import MIB, PROTOCOL, Budget, Caps, Frame, FrameRefusedError, Share, receive, send
from autopilot.remote.operations import Operation, operation
from autopilot.remote.peers import Bound, Credentials, credentials_of
from autopilot.remote.wire import error_out, incoming, outgoing

PURPOSES = ("act", "judge", "rehearse")
_HELLO_BYTES = 64 * 1024
_ACCEPT_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is taken on: connections and bytes of unanswered requests, in all and of one user; seconds of waiting."""

    connections: int = 256
    of_one_user: int = 64
    held_bytes: int = 64 * MIB
    held_of_one_user: int = 20 * MIB
    hello_seconds: float = 5.0
    idle_seconds: float = 600.0
    frame_seconds: float = 30.0
    stop_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class Welcome:
    """What a client is told when it is let in. `isolation`: what project code runs under, or `missing`."""

    ledger: str
    trust_mode: int
    version: str
    state_dir: str
    isolation: str


class Host(Protocol):
    """What is served: `wiring.daemon` has the engine behind it."""

    def bind(self, credentials: Credentials) -> Bound:
        """As whom this user acts; RefusedError `peer_refused`."""
        ...

    def welcome(self, desks: Any) -> Welcome:
        """What to tell who is let in, and works with `desks`."""
        ...

    def opened(self, directory: str, purpose: str) -> AbstractContextManager[Any]:
        """The desks for a client that works in `directory`; ContractError `not_served`."""
        ...


@dataclass(slots=True)
class Server:
    """Serves `host` on a listening socket until it is stopped."""

    listening: socket.socket
    host: Host
    limits: Limits = field(default_factory=Limits)
    _lines: dict[socket.socket, bool] = field(default_factory=dict)
    _users: Counter[int] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _budget: Budget = field(default_factory=lambda: Budget(0, 0))

    def run(self) -> None:
        """Take connections until `stop`; returns when all are closed, or `stop_seconds` are over."""
        self._budget = Budget(self.limits.held_bytes, self.limits.held_of_one_user)
        self.listening.settimeout(_ACCEPT_SECONDS)
        while not self._stopping.is_set():
            try:
                line, _ = self.listening.accept()
            except TimeoutError:
                continue
            except OSError as error:
                # Out of descriptors, for example: those that are open go on, and the next try may do.
                print(f"autopilot daemon: {error}", file=sys.stderr, flush=True)  # noqa: T201 - the daemon's log
                self._stopping.wait(_ACCEPT_SECONDS)
                continue
            self._take_on(line)
        self._wind_up()

    def stop(self) -> None:
        """Stop as soon as what is being worked on is answered. Safe from a signal handler."""
        self._stopping.set()

    # --- connections

    def _take_on(self, line: socket.socket) -> None:
        try:
            credentials = credentials_of(line)
            bound = self.host.bind(credentials)
            self._count_in(line, credentials.uid)
        except (AutopilotError, OSError) as error:
            _turn_away(line, error)
            return
        thread = threading.Thread(target=self._serve, args=(line, bound), name=f"uid-{bound.uid}", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            self._count_out(line, bound.uid)
            _turn_away(line, _busy("no more threads"))

    def _count_in(self, line: socket.socket, uid: int) -> None:
        with self._lock:
            if len(self._lines) >= self.limits.connections or self._users[uid] >= self.limits.of_one_user:
                raise _busy("too many connections")
            self._lines[line] = False
            self._users[uid] += 1

    def _count_out(self, line: socket.socket, uid: int) -> None:
        with self._lock:
            self._lines.pop(line, None)
            self._users[uid] -= 1

    def _serve(self, line: socket.socket, bound: Bound) -> None:
        try:
            with line:
                self._converse(line, bound)
        except (StorageError, OSError):
            pass  # the client went away, or is too slow: nobody is left to tell
        except Exception:  # noqa: BLE001 - one connection's fault must not end the others
            traceback.print_exc(file=sys.stderr)
        finally:
            self._count_out(line, bound.uid)

    def _converse(self, line: socket.socket, bound: Bound) -> None:
        share = Share(self._budget, bound.uid)
        try:
            hello = self._heard(line, self._caps(share, hello=True))
        finally:
            share.release()
        if hello is None:
            return
        try:
            directory, purpose = _read_hello(hello)
            desks = self.host.opened(directory, purpose)
            opened = desks.__enter__()
        except Exception as error:  # noqa: BLE001 - an error of any kind is told, and ends the connection
            _log_fault(error)
            send(line, {"error": error_out(error)})
            return
        try:
            send(line, {"ok": {"v": PROTOCOL, **outgoing(self.host.welcome(opened), Welcome), "actor": bound.actor}})
            self._answer_all(line, bound, opened, share)
        finally:
            desks.__exit__(None, None, None)

    def _answer_all(self, line: socket.socket, bound: Bound, desks: Any, share: Share) -> None:
        caps = self._caps(share)
        while not self._stopping.is_set():
            try:
                if not self._answer_next(line, bound, desks, caps):
                    return
            finally:
                share.release()

    def _answer_next(self, line: socket.socket, bound: Bound, desks: Any, caps: Caps) -> bool:
        """Hear and answer one request; False where there is none, or it must not be begun."""
        frame = self._heard(line, caps)
        if frame is None or not self._begin(line):
            return False
        try:
            answer, blob = _answered(frame, bound, desks)
            send(line, answer, blob, within_seconds=self.limits.frame_seconds)
        finally:
            self._ended(line)
        return True

    def _heard(self, line: socket.socket, caps: Caps) -> Frame | None:
        try:
            return receive(line, caps)
        except (FrameRefusedError, StorageError) as error:
            # After what is no frame nothing that follows can be told apart.
            with contextlib.suppress(StorageError):
                send(line, {"error": error_out(error)}, within_seconds=1.0)
            return None

    def _caps(self, share: Share, *, hello: bool = False) -> Caps:
        limits = self.limits
        if hello:
            seconds = limits.hello_seconds
            return Caps(
                message_bytes=_HELLO_BYTES, blob_bytes=0, idle_seconds=seconds, frame_seconds=seconds, share=share
            )
        return Caps(idle_seconds=limits.idle_seconds, frame_seconds=limits.frame_seconds, share=share)

    # --- stopping

    def _begin(self, line: socket.socket) -> bool:
        """Mark the connection as busy; False once the daemon is stopping: what was not begun is not begun."""
        with self._lock:
            if self._stopping.is_set() or line not in self._lines:
                return False
            self._lines[line] = True
            return True

    def _ended(self, line: socket.socket) -> None:
        with self._lock:
            if line in self._lines:
                self._lines[line] = False

    def _wind_up(self) -> None:
        self.listening.close()
        deadline = time.monotonic() + self.limits.stop_seconds
        while self._hang_up_idle() and time.monotonic() < deadline:
            time.sleep(0.02)

    def _hang_up_idle(self) -> bool:
        """Close what waits for its client; whether any connection is left."""
        with self._lock:
            for line, busy in self._lines.items():
                if not busy:
                    with contextlib.suppress(OSError):
                        line.shutdown(socket.SHUT_RDWR)
            return bool(self._lines)


def _answered(frame: Frame, bound: Bound, desks: Any) -> tuple[dict[str, Any], bytes]:
    try:
        asked = operation(frame.message.get("op"))
        plain, blob = _perform(asked, frame, bound, desks)
    except Exception as error:  # noqa: BLE001 - every error is an answer; which kind, `error_out` decides
        _log_fault(error)
        return {"error": error_out(error)}, b""
    return {"ok": plain}, blob


def _perform(asked: Operation, frame: Frame, bound: Bound, desks: Any) -> tuple[Any, bytes]:
    if unknown := sorted(set(frame.message) - {"op", "arguments", "caller"}):
        raise ContractError("bad_frame", where=unknown[0][:80], detail="no such part of a request")
    plain = frame.message.get("arguments", {})
    if not isinstance(plain, dict) or (frame.blob and not asked.blob):
        raise ContractError("bad_frame", where="arguments", detail="not what this operation takes")
    arguments = asked.arguments(plain, frame.blob)
    if asked.caller:
        claimed: Caller = incoming(frame.message.get("caller"), Caller, where="caller")
        arguments["caller"] = caller = bound.caller(claimed)
        if isinstance(lease := arguments.get("lease"), Claim) and not bound.claims:
            # A lease is claimed by the caller's own session: a name in the claim opens no other's, whatever its token.
            arguments["lease"] = replace(lease, session=caller.session)
    if asked.approver and not (bound.approver or bound.claims):
        raise _no_approver(bound, arguments, desks)
    answer = asked.of(desks)(**arguments)
    if asked.answers_blob:
        value, blob = answer
        return outgoing(value, asked.gives), blob
    return outgoing(answer, asked.gives), b""


def _no_approver(bound: Bound, arguments: dict[str, Any], desks: Any) -> RefusedError:
    """The refusal of an approval by a user that is none's to give; it is on the ledger by then."""
    detail = f"user {bound.uid} is not configured as an approver"
    verdict = Verdict((Reason("peer_refused", where=f"uid:{bound.uid}", detail=detail),))
    task = desks.tasks.show(arguments["task_id"])
    return RefusedError(verdict, seq=desks.recording.usurped(task, arguments["caller"], verdict))


def _read_hello(frame: Frame) -> tuple[str, str]:
    """Folder and purpose of a first frame; ContractError `bad_frame` for another protocol."""
    message = frame.message
    if message.get("autopilot") != "hello" or message.get("v") != PROTOCOL:
        raise ContractError("bad_frame", where="hello", detail=f"this daemon speaks version {PROTOCOL}")
    directory, purpose = message.get("directory"), message.get("purpose")
    if not isinstance(directory, str) or not directory.startswith("/") or "\0" in directory:
        raise ContractError("bad_frame", where="directory", detail="not an absolute path")
    if purpose not in PURPOSES:
        raise ContractError("bad_frame", where="purpose", detail="neither act, judge nor rehearse")
    return directory, purpose


def _turn_away(line: socket.socket, error: BaseException) -> None:
    with line, contextlib.suppress(StorageError, OSError):
        send(line, {"error": error_out(error)}, within_seconds=1.0)


def _busy(detail: str) -> StorageError:
    return StorageError("daemon_busy", detail=detail, retryable=True)


def _log_fault(error: BaseException) -> None:
    if not isinstance(error, AutopilotError):
        traceback.print_exception(error, file=sys.stderr)
