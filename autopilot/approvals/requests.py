"""A request for a signed approval, as a file: what a person is asked to sign, on whatever machine the key is.

    data = asked.encode()              # where the ledger is
    asked = Asked.parse(data)          # where the key is
    grant = asked.grant(key.verifier.name, reason, terms)

The file binds nobody: subject, evidence and parties are asked again when the signed grant comes back. `facts` are lines
for the reader, made by the machine that asks; a person who does not trust that machine looks at the digest instead.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from autopilot.approvals.grants import Grant, Parties, Terms, issue_grant
from autopilot.approvals.signatures import signer
from autopilot.approvals.subjects import Subject
from autopilot.kernel.callers import Caller
from autopilot.kernel.canonical import dumps, loads
from autopilot.kernel.errors import ContractError

FORMAT = "approval-request"
MAX_REQUEST_BYTES = 65_536
# What a person can look over: more could push what is signed out of sight.
MAX_FACTS = 20
MAX_FACT_CHARS = 200
MAX_SIGNED_CHARS = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked: the subject, the evidence it would be approved on, by whom and why, and facts to read.

    ContractError `malformed_grant` for more facts, or longer ones, than a person looks over; and for parts of what
    would be signed that are too long to be shown whole.
    """

    subject: Subject
    evidence: str
    requester: Caller
    why: str
    title: str = ""
    facts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.facts) > MAX_FACTS or any(len(line) > MAX_FACT_CHARS for line in self.facts):
            detail = f"more than {MAX_FACTS} facts, or one of more than {MAX_FACT_CHARS} characters"
            raise ContractError("malformed_grant", where="facts", detail=detail)
        subject = self.subject
        signed = (subject.ledger, subject.task, subject.move, subject.kind, subject.digest, self.evidence)
        if any(len(text) > MAX_SIGNED_CHARS for text in signed):
            raise ContractError("malformed_grant", where="subject", detail=f"a part of more than {MAX_SIGNED_CHARS}")

    def encode(self) -> bytes:
        """The file: one line of JSON in the strict form."""
        shown = {
            "autopilot": FORMAT,
            "v": 1,
            **self.subject.as_dict(),
            "subject": self.subject.sha256,
            "evidence": self.evidence,
            "requester": self.requester.as_dict(),
            "why": self.why,
            "title": self.title,
            "facts": list(self.facts),
        }
        return dumps(shown) + b"\n"

    @classmethod
    def parse(cls, data: bytes) -> Asked:
        """What `encode` wrote; ContractError `malformed_grant` for anything else."""
        if len(data) > MAX_REQUEST_BYTES:
            raise ContractError("malformed_grant", detail=f"more than {MAX_REQUEST_BYTES} bytes")
        try:
            asked = cls._read(loads(data.removesuffix(b"\n"), where="request"))
        except (ContractError, KeyError, TypeError, ValueError) as error:
            raise ContractError("malformed_grant", detail=f"not a request for an approval: {error}"[:200]) from None
        if asked.encode() != data:
            # The subject it shows is then not the digest of its parts, or it holds what nobody would see.
            raise ContractError("malformed_grant", detail="the request is not in the form that it was written in")
        return asked

    @classmethod
    def _read(cls, raw: dict[str, Any]) -> Asked:
        text = {name: str(raw[name]) for name in ("ledger", "task", "move", "kind", "digest")}
        return cls(
            subject=Subject(**text, epoch=int(raw["epoch"])),
            evidence=str(raw["evidence"]),
            requester=Caller(raw["requester"]["id"], raw["requester"]["kind"], raw["requester"]["session"]),
            why=str(raw["why"]),
            title=str(raw["title"]),
            facts=tuple(str(line) for line in raw["facts"]),
        )

    def grant(self, name: str, reason: str, terms: Terms) -> Grant:
        """The grant that the key called `name` would sign, not signed yet. Refused as `issue_grant` refuses.

        The engine knows more parties than the request names, and asks about all of them when the grant comes back.
        """
        bound = replace(terms, evidence=self.evidence, advisory=False)
        return issue_grant(self.subject, signer(name), reason, Parties(self.requester), bound)
