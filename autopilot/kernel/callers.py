"""Who is asking: an actor in a session. Every ledger line records it; in mode 0 it is a statement, not proof."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Any, Literal

from autopilot.kernel.errors import ContractError

ActorKind = Literal["agent", "human", "engine"]

_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,128}")


@dataclass(frozen=True, slots=True)
class Caller:
    """An actor (`id`, `kind`) in a `session`. The session is what holds leases; it defaults to the actor's id."""

    actor: str
    kind: ActorKind = "agent"
    session: str = ""

    def __post_init__(self) -> None:
        if not self.session:
            object.__setattr__(self, "session", self.actor)
        for name in (self.actor, self.session):
            if not _NAME.fullmatch(name):
                raise ContractError(
                    "malformed_caller", where=name, remedy="1 to 128 printable characters for actor and session"
                )
        if self.kind not in ("agent", "human", "engine"):
            raise ContractError("malformed_caller", where=str(self.kind), remedy="kind is agent, human or engine")

    def as_dict(self) -> dict[str, Any]:
        """The ledger's `actor` object."""
        return {"id": self.actor, "kind": self.kind, "session": self.session}


def folded_name(name: str) -> str:
    """A name as a reader would compare it: full-width letters, case and spaces around do not make another person."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).strip()


ENGINE = Caller("autopilot", "engine", "engine")
