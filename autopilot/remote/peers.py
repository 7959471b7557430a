"""Who is on the other end of a connection, and as whom it acts.

The kernel says which user connected (SO_PEERCRED); nothing that the client says changes that. A table that the engine's
user or root wrote says which users may connect and what they are:

    [[peer]]
    uid = 1001
    actor = "agent-7"       # without it `uid:1001`

    [[peer]]
    uid = 1003
    actor = "carol"
    kind = "human"
    approver = true

    [[peer]]
    gid = 2000              # every member, each as `uid:<n>`, never a person

Recorded is the actor that the table binds to the user. What the client calls itself is kept as a label of its session,
within its user: `uid:1001/builder`. So no user can act in another's session, and none can be somebody else.
"""

from __future__ import annotations

import socket
import struct
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from autopilot.kernel.callers import Caller, folded_name
from autopilot.kernel.canonical import sha256_hex
from autopilot.kernel.errors import ContractError, RefusedError
from autopilot.kernel.reasons import Reason, Verdict

_CREDENTIALS = struct.Struct("iII")
# Linux: the supplementary groups that the peer had when it connected.
_SO_PEERGROUPS = 59
_GROUPS_BYTES = 65_536 * 4
_NAME_MAX = 128
_LABEL_MAX = 80
_KEYS = {"uid", "gid", "actor", "kind", "approver"}


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the kernel says of the process that connected: its user, its groups, and its number."""

    uid: int
    groups: frozenset[int]
    pid: int


@dataclass(frozen=True, slots=True)
class Peer:
    """One row of the table, for one user (`uid`) or for the members of a group (`gid`)."""

    uid: int | None = None
    gid: int | None = None
    actor: str = ""
    kind: Literal["agent", "human"] = "agent"
    approver: bool = False


@dataclass(frozen=True, slots=True)
class Bound:
    """A user that may connect: the actor it is, of which kind, and whether it may approve.

    `claims` is trust mode 0: engine and client are one user, and the client is what it says it is.
    """

    uid: int
    actor: str
    kind: Literal["agent", "human"] = "agent"
    approver: bool = False
    claims: bool = False

    def caller(self, claimed: Caller) -> Caller:
        """Who is recorded for what `claimed` asks. A person may act as an agent; an agent is never a person."""
        if self.claims:
            return claimed
        kind = "human" if self.kind == "human" and claimed.kind == "human" else "agent"
        return Caller(self.actor, kind, self._session(claimed.session))  # type: ignore[arg-type]

    def _session(self, label: str) -> str:
        # The user's number in front: a label can only ever name a session of its own user.
        if len(label) > _LABEL_MAX:
            label = f"{label[: _LABEL_MAX - 18]}~{sha256_hex(label.encode())[:16]}"
        return f"uid:{self.uid}/{label}"


def credentials_of(line: socket.socket) -> Credentials:
    """Who connected, or whom this end is connected to, as the kernel recorded it at connect or listen."""
    pid, uid, gid = _CREDENTIALS.unpack(line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    try:
        raw = line.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS_BYTES)
    except OSError:
        raw = b""
    groups = struct.unpack(f"{len(raw) // 4}I", raw)
    return Credentials(uid, frozenset((gid, *groups)), pid)


@dataclass(frozen=True, slots=True)
class PeerTable:
    """Who may connect."""

    peers: tuple[Peer, ...] = ()

    @classmethod
    def parse(cls, data: bytes, *, where: str = "daemon.toml") -> PeerTable:
        """The table in a file's bytes; ContractError `bad_config` names what cannot be used."""
        try:
            content = tomllib.loads(data.decode("utf-8"))
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise _bad(where, str(error)) from None
        rows = content.pop("peer", [])
        if content or not isinstance(rows, list):
            raise _bad(where, f"only [[peer]] tables stand here, not {', '.join(content) or 'this'}")
        peers = tuple(_peer(row, f"{where}: peer {number}") for number, row in enumerate(rows, 1))
        _refuse_doubles(peers, where)
        return cls(peers)

    def bind(self, credentials: Credentials) -> Bound:
        """As whom this user acts; RefusedError `peer_refused` for one that the table does not name."""
        for peer in self.peers:
            if peer.uid == credentials.uid:
                return Bound(credentials.uid, peer.actor or f"uid:{credentials.uid}", peer.kind, peer.approver)
        if any(peer.gid in credentials.groups for peer in self.peers if peer.gid is not None):
            return Bound(credentials.uid, f"uid:{credentials.uid}")
        detail = f"user {credentials.uid} is not one that may connect"
        raise RefusedError(Verdict((Reason("peer_refused", where=f"uid:{credentials.uid}", detail=detail),)))

    def render(self) -> str:
        """The file that `parse` reads."""
        lines = ["# Who may connect to the daemon; everybody else is refused. docs/how-to/daemon.md says more.\n"]
        for peer in self.peers:
            lines.append("\n[[peer]]\n")
            lines.append(f"uid = {peer.uid}\n" if peer.uid is not None else f"gid = {peer.gid}\n")
            lines += [f'actor = "{peer.actor}"\n'] if peer.actor else []
            lines += ['kind = "human"\n'] if peer.kind == "human" else []
            lines += ["approver = true\n"] if peer.approver else []
        return "".join(lines)


def check_persons(table: PeerTable, *, agent_uids: frozenset[int]) -> tuple[Reason, ...]:
    """Why the table cannot be used: the users that are agents by their nature (who owns the repository, the engine's
    own) stand in it as persons."""
    return tuple(
        Reason(
            "daemon_unsafe", where=f"uid {peer.uid}", detail="the user that agents or the engine run as is no person"
        )
        for peer in table.peers
        if peer.kind == "human" and peer.uid in agent_uids
    )


def _peer(row: Any, where: str) -> Peer:
    if not isinstance(row, Mapping):
        raise _bad(where, "not a table")
    if unknown := sorted(set(row) - _KEYS):
        raise _bad(where, f"unknown: {', '.join(unknown)}")
    uid, gid, actor = row.get("uid"), row.get("gid"), row.get("actor", "")
    kind, approver = row.get("kind", "agent"), row.get("approver", False)
    if (uid is None) == (gid is None) or any(type(n) is not int or n < 0 for n in (uid, gid) if n is not None):
        raise _bad(where, "names one `uid` or one `gid`, a number")
    if kind not in ("agent", "human") or type(approver) is not bool or type(actor) is not str:
        raise _bad(where, 'kind is "agent" or "human", approver is true or false, actor a string')
    if gid is not None and (actor or kind != "agent" or approver):
        raise _bad(where, "the members of a group are agents, each under its own number")
    if approver and kind != "human":
        raise _bad(where, 'an approver is a person: kind = "human"')
    if actor:
        if '"' in actor or "\\" in actor or len(actor) > _NAME_MAX:
            raise _bad(where, "an actor is a name without quotes")
        if folded_name(actor).startswith("uid:"):
            raise _bad(where, "`uid:` names users that have no name of their own")
        Caller(actor)
    return Peer(uid, gid, actor, kind, approver)


def _refuse_doubles(peers: tuple[Peer, ...], where: str) -> None:
    uids = [peer.uid for peer in peers if peer.uid is not None]
    names = [folded_name(peer.actor or f"uid:{peer.uid}") for peer in peers if peer.uid is not None]
    # One name for two users would let one be taken for the other: reviewer for implementer, for example.
    if len(set(uids)) < len(uids) or len(set(names)) < len(names):
        raise _bad(where, "a user or an actor stands twice")


def _bad(where: str, detail: str) -> ContractError:
    return ContractError("bad_config", where=where, detail=detail, remedy="correct the file; docs/how-to/daemon.md")
