"""A ledger held against checkpoints: is what was signed, or committed, still what stands here?

The chain shows that lines follow one another; who rewrites all of it, or cuts it, leaves a chain that verifies. A
checkpoint fixes the first `size` lines by their Merkle root. It is believed for its signature, or for the commit that
names it (`ledger.trailers`). What can be wrong, in the order in which it is asked:

- `rewritten`: the first `size` lines are others than those that were fixed, and nothing fixes what stands here.
- `forked`: the same, but what stands here was signed or committed as well: two histories exist, both vouched for.
- `truncated`: fewer lines than were fixed, and the state's own memory (head hint, stored checkpoints) knows of more,
  or is gone.
- `rolled_back`: fewer lines than were fixed, and the state's own memory ends with them: the whole state is an
  earlier one.

All of them are integrity failures; which it is tells a person where to look. Pure: values in, a report out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autopilot.ledger.merkle import CompactRange
from autopilot.ledger.verify import VerifyReport, corrupt
from autopilot.signing.checkpoint import Checkpoint, origin_of

# How far a head hint may lie behind the last line of a store that nothing happened to: it is written that seldom.
HINT_LAG_ENTRIES = 64


@dataclass(frozen=True, slots=True)
class Held:
    """A checkpoint that is believed, where it was found, and why it is believed: it was `signed`, or `committed`."""

    checkpoint: Checkpoint
    where: str
    stored: bool = False
    vouched: str = "signed"


@dataclass(frozen=True, slots=True)
class Present:
    """The ledger as it stands: its id, the leaf hashes of its lines, and the line the head hint names (-1: none)."""

    ledger: str
    leaves: Sequence[bytes]
    hint_seq: int = -1

    @property
    def size(self) -> int:
        """How many lines there are."""
        return len(self.leaves)


def hold_against(report: VerifyReport, present: Present, held: Sequence[Held]) -> VerifyReport:
    """The report of an intact chain, or what the checkpoints say against it."""
    origin = origin_of(present.ledger)
    for one in held:
        if one.checkpoint.origin != origin:
            return corrupt("missing", 0, detail=f"the checkpoint is of {one.checkpoint.origin}", where=one.where)
    reached = [one for one in held if one.checkpoint.size <= present.size]
    roots = roots_at(present.leaves, [one.checkpoint.size for one in reached])
    broken = [one for one in reached if roots[one.checkpoint.size] != one.checkpoint.root]
    if broken:
        return _contradicted(broken, [one for one in reached if one not in broken])
    beyond = [one for one in held if one.checkpoint.size > present.size]
    if beyond:
        most = max(beyond, key=lambda one: one.checkpoint.size)
        stored = max((one.checkpoint.size for one in held if one.stored), default=0)
        reason = missing_reason(present.size, hint_seq=present.hint_seq, stored=stored)
        detail = f"{present.size} entries, but {most.checkpoint.size} were {most.vouched}"
        return corrupt(reason, present.size, detail=detail, where=most.where)
    return report


def missing_reason(size: int, *, hint_seq: int, stored: int) -> str:
    """Why `size` lines are too few: `rolled_back` where the state's own memory ends with them, else `truncated`.

    That memory is the line the head hint names (-1: there is no hint) and the longest checkpoint `stored` in the state.
    """
    own = hint_seq >= 0 and size - HINT_LAG_ENTRIES <= hint_seq + 1 <= size
    return "rolled_back" if own and stored <= size else "truncated"


def roots_at(leaves: Sequence[bytes], sizes: Sequence[int]) -> dict[int, bytes]:
    """The Merkle roots over the first lines, for each of `sizes`; none may be more than there are."""
    roots: dict[int, bytes] = {}
    range_ = CompactRange()
    for size in sorted(set(sizes)):
        while range_.size < size:
            # The largest perfect subtree that begins here: such a one is added whole, which is several times faster.
            step = 1 << (size - range_.size).bit_length() - 1
            step = min(step, range_.size & -range_.size or step)
            range_ = range_.extended(leaves[range_.size : range_.size + step])
        roots[size] = range_.root()
    return roots


def _contradicted(broken: Sequence[Held], agreeing: Sequence[Held]) -> VerifyReport:
    """The report on roots that differ. The first bad line lies behind the longest checkpoint that still agrees."""
    first = min(broken, key=lambda one: one.checkpoint.size)
    size = first.checkpoint.size
    good = max((one.checkpoint.size for one in agreeing if one.checkpoint.size < size), default=0)
    # Who signed a longer piece of this history signed its first lines too, and those are not the ones signed before.
    both = next((one for one in agreeing if one.checkpoint.size >= size), None)
    span = f"lines {good} to {size - 1} are not those that were {first.vouched}"
    if both is not None:
        detail = f"{span}, and these are {both.vouched} too: {both.where}"
        return corrupt("forked", good, detail=detail, where=first.where)
    return corrupt("rewritten", good, detail=span, where=first.where)
