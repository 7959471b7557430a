"""What `doctor` says of the store: which it is, and whether a database gives what an append-only ledger needs of it."""

from __future__ import annotations

from dataclasses import dataclass

DURABLE = frozenset({"on", "remote_apply"})
SERVER_LEAST = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFacts:
    """A database as its sessions see it. `may_change` and `owns`: could the role change or remove lines and objects?

    One that cannot still writes the head row and the lease log: it can close a ledger, and stop its writers.


    `standbys` is `synchronous_standby_names`: empty where a commit waits for this server alone.
    """

    where: str
    version: str
    server: int
    role: str
    may_change: bool
    owns: bool
    synchronous_commit: str
    fsync: bool
    standbys: str


def store_detail(facts: StoreFacts) -> str:
    """The store in one line."""
    rights = (
        "owns the tables" if facts.owns else "may change lines" if facts.may_change else "cannot change or remove lines"
    )
    standby = f"synchronous standbys {facts.standbys}" if facts.standbys else "no synchronous standby"
    return (
        f"{facts.where}: PostgreSQL {facts.version}, role {facts.role} ({rights}),"
        f" synchronous_commit {facts.synchronous_commit}, fsync {'on' if facts.fsync else 'off'}, {standby}"
    )


def store_remedies(facts: StoreFacts) -> tuple[str, ...]:
    """What should be otherwise, the gravest first; empty if nothing."""
    found = []
    if not facts.fsync:
        found.append("set fsync = on: a crash of the server loses what was acknowledged")
    if facts.synchronous_commit not in DURABLE:
        found.append("set synchronous_commit = on")
    if facts.server < SERVER_LEAST:
        found.append(f"use PostgreSQL {SERVER_LEAST} or newer")
    if facts.owns or facts.may_change:
        found.append("work as a role of its own: `autopilot store setup URL --grant ROLE`")
    if not facts.standbys:
        found.append("a standby that is promoted may lack the last lines: keep checkpoints elsewhere, or name it in "
                     "synchronous_standby_names")  # fmt: skip
    return tuple(found)
