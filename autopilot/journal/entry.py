"""A journal entry: the anchors a phase worked from, its reasoning in short, its outputs, and the span it ran in.

The entry is written before the move it belongs to, as an object; the move's ledger line names the object by its
digest. So the line proves the entry, and the entry, through its anchors and outputs, leads on to every artifact. It
cannot hold the number of a line that is not written yet: the projection adds that.

    {"v":1,"task","move":{"from","to"},"epoch","actor":{"id","kind","session"},
     "anchors":[{"kind","name","digest"}],"summary",
     "outputs":[{"name","path","sha256","origin"}],"prompt","persona","span":{"trace_id","span_id"}}

`prompt`, `persona` and `span` are null where there is none. The summary is the reasoning's result in a few sentences,
for people; it is no transcript of a model's thoughts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from autopilot.kernel.callers import Caller
from autopilot.kernel.canonical import dumps, loads, sha256_hex
from autopilot.kernel.errors import ContractError, IntegrityError
from autopilot.kernel.ids import parse_task_id
from autopilot.kernel.phases import parse_phase, parse_stage
from autopilot.kernel.shapes import INTEGER, LIST, NOTHING, OBJECT, TEXT, Shape, exact_fields

VERSION = 1
SUMMARY_CHARACTERS_MAX = 2_000

ANCHOR_KINDS = ("artifact", "tree", "ledger", "prompt", "config")
"""What a phase can rest on: a sealed artifact, a tree of the repository, a ledger line, a prompt, sealed settings."""

_TRACE_ID = re.compile(r"[0-9a-f]{32}")
_SPAN_ID = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Anchor:
    """One input: what kind of thing (`ANCHOR_KINDS`), its name, and the digest or id that fixes it."""

    kind: str
    name: str
    digest: str

    def __post_init__(self) -> None:
        if self.kind not in ANCHOR_KINDS:
            raise ContractError("journal_malformed", where="anchors", detail=f"{self.kind!r} is no kind of anchor")


@dataclass(frozen=True, slots=True)
class Output:
    """One artifact that the phase produced: name, path below the repository's root, digest, rank."""

    name: str
    path: str
    sha256: str
    origin: str


@dataclass(frozen=True, slots=True)
class SpanRef:
    """The span a move ran in, in hex as the telemetry files have it."""

    trace_id: str
    span_id: str

    def __post_init__(self) -> None:
        if not _TRACE_ID.fullmatch(self.trace_id) or not _SPAN_ID.fullmatch(self.span_id):
            raise ContractError("journal_malformed", where="span", detail="ids are 32 and 16 hex digits")


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """The journal's word on one move. `origin` is the phase left, `target` the stage entered."""

    task: str
    origin: str
    target: str
    epoch: int
    caller: Caller
    anchors: tuple[Anchor, ...] = ()
    summary: str = ""
    outputs: tuple[Output, ...] = ()
    prompt: str | None = None
    persona: str | None = None
    span: SpanRef | None = None

    def __post_init__(self) -> None:
        parse_task_id(self.task)
        if (parse_phase(self.origin), parse_stage(self.target)) != (self.origin, self.target):
            raise ContractError("unknown_phase", where="move", detail="recorded phases are in upper case")
        if len(self.summary) > SUMMARY_CHARACTERS_MAX:
            detail = f"{len(self.summary)} characters, at most {SUMMARY_CHARACTERS_MAX}"
            raise ContractError("journal_malformed", where="summary", detail=detail)

    def as_dict(self) -> dict[str, Any]:
        """The stored form, its keys in their one order."""
        span = self.span
        return {
            "v": VERSION,
            "task": self.task,
            "move": {"from": self.origin, "to": self.target},
            "epoch": self.epoch,
            "actor": self.caller.as_dict(),
            "anchors": [{"kind": one.kind, "name": one.name, "digest": one.digest} for one in self.anchors],
            "summary": self.summary,
            "outputs": [
                {"name": one.name, "path": one.path, "sha256": one.sha256, "origin": one.origin} for one in self.outputs
            ],
            "prompt": None if self.prompt is None else {"sha256": self.prompt},
            "persona": None if self.persona is None else {"sha256": self.persona},
            "span": None if span is None else {"trace_id": span.trace_id, "span_id": span.span_id},
        }


def entry_bytes(entry: JournalEntry) -> bytes:
    """The object that is stored: the strict form, without a newline."""
    return dumps(entry.as_dict())


def entry_digest(entry: JournalEntry) -> str:
    """The entry's hash: SHA-256 of its bytes, the name that the move's ledger line gives it."""
    return sha256_hex(entry_bytes(entry))


def parse_entry(data: bytes, *, where: str = "journal entry") -> JournalEntry:
    """The entry whose bytes `data` is; IntegrityError `journal_malformed` if no entry has these bytes."""
    try:
        entry = entry_of(loads(data))
    except (ValueError, ContractError) as error:
        raise IntegrityError("journal_malformed", where=where, detail=str(error)) from None
    if entry_bytes(entry) != data:
        # The digest names these bytes, and an entry has one form.
        raise IntegrityError("journal_malformed", where=where, detail="the keys are in another order")
    return entry


def entry_of(stored: object) -> JournalEntry:
    """The entry of a stored form; ValueError or ContractError where it does not fit."""
    fields = exact_fields(stored, _ENTRY)
    if fields["v"] != VERSION:
        raise ValueError(f"version {fields['v']}")
    move, actor, span = exact_fields(fields["move"], _MOVE), exact_fields(fields["actor"], _ACTOR), fields["span"]
    return JournalEntry(
        task=fields["task"],
        origin=move["from"],
        target=move["to"],
        epoch=fields["epoch"],
        caller=Caller(actor["id"], actor["kind"], actor["session"]),
        anchors=tuple(Anchor(**exact_fields(one, _ANCHOR)) for one in fields["anchors"]),
        summary=fields["summary"],
        outputs=tuple(Output(**exact_fields(one, _OUTPUT)) for one in fields["outputs"]),
        prompt=_digest_in(fields["prompt"]),
        persona=_digest_in(fields["persona"]),
        span=None if span is None else SpanRef(**exact_fields(span, _SPAN)),
    )


def _digest_in(stored: object) -> str | None:
    return None if stored is None else str(exact_fields(stored, {"sha256": TEXT})["sha256"])


_ENTRY: Shape = {
    "v": INTEGER,
    "task": TEXT,
    "move": OBJECT,
    "epoch": INTEGER,
    "actor": OBJECT,
    "anchors": LIST,
    "summary": TEXT,
    "outputs": LIST,
    "prompt": OBJECT + NOTHING,
    "persona": OBJECT + NOTHING,
    "span": OBJECT + NOTHING,
}
_MOVE: Shape = {"from": TEXT, "to": TEXT}
_ACTOR: Shape = {"id": TEXT, "kind": TEXT, "session": TEXT}
_ANCHOR: Shape = {"kind": TEXT, "name": TEXT, "digest": TEXT}
_OUTPUT: Shape = {"name": TEXT, "path": TEXT, "sha256": TEXT, "origin": TEXT}
_SPAN: Shape = {"trace_id": TEXT, "span_id": TEXT}


def summary_of(document: str) -> str:
    """The first paragraph of prose in a Markdown `document`, on one line and cut to the limit; empty if it has none.

    What a phase decided stands at the top of its document; headings, lists, tables, quotes, comments and code do not
    say why.
    """
    without_code = re.sub(r"^(```|~~~).*?^\1[^\n]*$", "", document, flags=re.MULTILINE | re.DOTALL)
    without_comments = re.sub(r"<!--.*?-->", "", without_code, flags=re.DOTALL)
    for paragraph in re.split(r"\n\s*\n", without_comments):
        lines = [line.strip() for line in paragraph.strip().splitlines() if not line.lstrip().startswith("#")]
        text = " ".join(lines).strip()
        if text and not re.match(r"[-*+>|]|\d+[.)]\s", text):
            return text if len(text) <= SUMMARY_CHARACTERS_MAX else text[: SUMMARY_CHARACTERS_MAX - 1] + "…"
    return ""
