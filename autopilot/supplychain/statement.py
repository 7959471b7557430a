"""in-toto Statements, version 1: https://github.com/in-toto/attestation/tree/main/spec/v1.

A statement says something (its predicate, of a type) of things that are known by digest (its subjects). Two rules
beyond the format, so that every known reader takes what is made here:

- Every subject has a name, and no two of one statement have the same.
- Digests of git objects stand in statements of their own: sigstore's parser refuses a statement that holds one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from autopilot.kernel.canonical import dumps
from autopilot.kernel.errors import ContractError

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"

_DIGESTS = {"sha256": re.compile(r"[0-9a-f]{64}"), "gitTree": re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")}


@dataclass(frozen=True, slots=True)
class Resource:
    """Something known by its digest (`ResourceDescriptor`). `algorithm` is `sha256` or `gitTree`.

    ContractError `malformed_digest` for a digest that is none of its algorithm, or a resource without a name.
    """

    name: str
    digest: str
    algorithm: str = "sha256"
    media_type: str = ""
    annotations: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.name or not _DIGESTS[self.algorithm].fullmatch(self.digest):
            detail = f"{self.digest[:80]!r} is not a {self.algorithm}" if self.name else "a resource without a name"
            raise ContractError("malformed_digest", where=self.name, detail=detail)

    def as_dict(self) -> dict[str, Any]:
        """The JSON form; what is empty is left out."""
        shown: dict[str, Any] = {"name": self.name, "digest": {self.algorithm: self.digest}}
        if self.media_type:
            shown["mediaType"] = self.media_type
        if self.annotations:
            shown["annotations"] = dict(self.annotations)
        return shown


@dataclass(frozen=True, slots=True)
class Statement:
    """`predicate`, of `predicate_type`, is said of the subjects. ContractError `not_plain_data` where one is empty."""

    subjects: tuple[Resource, ...]
    predicate_type: str
    predicate: Mapping[str, Any]

    def __post_init__(self) -> None:
        names = [subject.name for subject in self.subjects]
        if not names or not self.predicate or len(set(names)) != len(names):
            detail = "a statement needs a predicate, and subjects of different names"
            raise ContractError("not_plain_data", where=self.predicate_type, detail=detail)

    def payload(self) -> bytes:
        """The bytes that are signed. They are kept as they are: no reader has to make them again."""
        return dumps(
            {
                "_type": STATEMENT_TYPE,
                "subject": [subject.as_dict() for subject in self.subjects],
                "predicateType": self.predicate_type,
                "predicate": dict(self.predicate),
            }
        )
