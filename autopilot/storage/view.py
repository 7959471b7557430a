"""What a reader gets: state, head and leases of one moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from autopilot.leases.book import LeaseBook
from autopilot.ledger.chain import Head


@dataclass(frozen=True, slots=True)
class View:
    """A picture at one head. `state` is the fold's own object: it may move on with the store's next call."""

    state: Any
    head: Head
    leases: LeaseBook
