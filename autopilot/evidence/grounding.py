"""The rule that refuses lorem ipsum under the right headings, and its relatives, in any language.

A text can only be judged by a program for what it refers to, not for its sense. So the rule asks for reference:

1. **Not the skeleton.** No line may still be a hint of the skeleton, with or without its `HINT:` mark, or nearly it.
2. **Something said.** Every passage (a section, a criterion, a case) has a least number of different words, and so has
   the whole. A passage that only holds `TODO`, `TBD`, `n/a` or the like is filler, and so is one in which six or more
   different words and three in ten are those of the lorem ipsum passage.
3. **Each says its own.** No two passages are the same words in the same order; no two sections share eight tenths of
   their different words.
4. **The task's subject.** The text uses words of the task's title: so many, or all there are. Forms of a word count.
5. **The repository.** The text cites in backticks so many different paths or symbols that exist at the base or that the
   plan creates, or all there are.
6. **Throughout.** A share of the passages is *anchored*: cites something known, or uses a word of the title or of a
   name that the text cites. Grounding in one corner does not carry filler everywhere else.

What it cannot tell: true from false, good from bad. That is for the executed checks and the reviewer.
`docs/reference/evidence.md` states the figures for every artifact.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from autopilot.evidence.citations import Citations, Known, resolve_citations
from autopilot.evidence.findings import Finding
from autopilot.evidence.words import name_parts, overlap_percent, shared, words_in

MAX_TITLE_WORDS = 64
MIN_TITLE_WORD_CHARACTERS = 4
NEARLY_SAME_PERCENT = 80
MIN_WORDS_TO_COMPARE = 8
MIN_FILLER_WORDS = 6
MIN_FILLER_PERCENT = 30
MAX_PASSAGES = 200
MIN_HINT_WORDS = 5

HINT = "HINT:"
HINT_STANDS = "the skeleton's hint still stands here"

_HINT_LINE = re.compile(r"\s*(?:[-*>]\s+)?(?:[A-Z]{1,3}-\d{1,4}:\s*)?(?:[a-z]{1,20}:\s*)?HINT:")
_PLACEHOLDERS = frozenset({"todo", "tbd", "fixme", "xxx", "tba", "wip", "na", "n", "a", "none", "placeholder"})
# The words of the standard passage, as every generator repeats them; short common ones (in, ad, ut, et) left out.
_LOREM = frozenset(
    word
    for line in (
        "lorem ipsum dolor amet consectetur adipiscing elit sed eiusmod tempor incididunt labore dolore magna aliqua",
        "enim minim veniam quis nostrud exercitation ullamco laboris nisi aliquip commodo consequat duis aute irure",
        "reprehenderit voluptate velit esse cillum fugiat nulla pariatur excepteur sint occaecat cupidatat proident",
        "sunt culpa officia deserunt mollit anim laborum vestibulum curabitur pellentesque mauris vivamus praesent",
        "donec aenean phasellus tincidunt vehicula ultrices sollicitudin habitant morbi tristique senectus netus",
        "malesuada fames turpis egestas",
    )
    for word in line.split()
)


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of a text that must say something by itself: where it stands, and its visible text."""

    name: str
    line: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundingRule:
    """The figures for one artifact. `anchored` is the share of passages, as (numerator, denominator), rounded up."""

    words_each: int
    words_total: int
    citations: int
    title_words: int
    anchored: tuple[int, int]
    compare_sets: bool = False


@dataclass(frozen=True, slots=True)
class Subject:
    """What a text is held against: the task's title and what may be cited."""

    title: str
    known: Known


def check_grounding(
    passages: Sequence[Passage], rule: GroundingRule, subject: Subject, *, hints: frozenset[str] = frozenset()
) -> tuple[Finding, ...]:
    """Every way in which `passages` break rules 1 to 6; see the module. No passage at all is refused."""
    if not passages:
        return (Finding("artifact_empty", "there is nothing to judge"),)
    if len(passages) > MAX_PASSAGES:
        return (Finding("artifact_too_large", f"{len(passages)} entries, at most {MAX_PASSAGES}"),)
    words = [words_in(passage.text) for passage in passages]
    unwritten = _hints_left(passages, words, hints) or _silent(passages, words, rule)
    if unwritten:
        # A text that is not written yet is not judged for its subject: the first thing to do is to write it.
        return unwritten
    return (
        *_too_short(words, rule),
        *_repeated(passages, words, rule),
        *_unrelated(words, rule, subject),
        *_uncited(passages, words, rule, subject),
    )


def title_words(title: str) -> tuple[str, ...]:
    """The words of a title that a text must use: those of four characters or more, else all of them."""
    words = tuple(dict.fromkeys(words_in(title)))[:MAX_TITLE_WORDS]
    return tuple(word for word in words if len(word) >= MIN_TITLE_WORD_CHARACTERS) or words


def has_hint(text: str) -> bool:
    """Whether a line of `text` still carries the skeleton's hint mark, behind nothing but list marks and labels."""
    return HINT in text and any(_HINT_LINE.match(line) for line in text.split("\n"))


def _hints_left(
    passages: Sequence[Passage], words: Sequence[tuple[str, ...]], hints: frozenset[str]
) -> tuple[Finding, ...]:
    known = _words_of(hints)
    found: list[Finding] = []
    for passage, said in zip(passages, words, strict=True):
        if has_hint(passage.text):
            found.append(Finding("skeleton_unchanged", HINT_STANDS, passage.line, passage.name))
            continue
        spaced, different = _spaced(said), frozenset(said)
        if any(hint.stands_in(said, spaced, different) for hint in known):
            detail = "the words are those of the skeleton's hint"
            found.append(Finding("skeleton_unchanged", detail, passage.line, passage.name))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Hint:
    """A skeleton's hint as words."""

    words: tuple[str, ...]
    different: frozenset[str]
    spaced: str

    def stands_in(self, said: tuple[str, ...], spaced: str, different: frozenset[str]) -> bool:
        """Word for word, nearly so, or (where it is long enough to be no chance) inside other text."""
        if said == self.words or overlap_percent(self.different, different) >= NEARLY_SAME_PERCENT:
            return True
        return len(self.words) >= MIN_HINT_WORDS and self.spaced in spaced


@cache
def _words_of(hints: frozenset[str]) -> tuple[_Hint, ...]:
    """The hints of one artifact, which never change, taken apart once."""
    return tuple(_Hint(words, frozenset(words), _spaced(words)) for words in map(words_in, hints))


def _spaced(words: tuple[str, ...]) -> str:
    """The words as text in which each stands between spaces."""
    return f" {' '.join(words)} "


def _silent(passages: Sequence[Passage], words: Sequence[tuple[str, ...]], rule: GroundingRule) -> tuple[Finding, ...]:
    found: list[Finding] = []
    for passage, said in zip(passages, words, strict=True):
        different = frozenset(said)
        filler = different & _LOREM
        if not different:
            found.append(Finding("section_empty", "it says nothing", passage.line, passage.name))
        elif different <= _PLACEHOLDERS:
            found.append(Finding("placeholder_text", f"it only says {passage.text.strip()[:40]!r}", *_place(passage)))
        elif len(filler) >= MIN_FILLER_WORDS and len(filler) * 100 >= MIN_FILLER_PERCENT * len(different):
            detail = f"{len(filler)} of {len(different)} different words are lorem ipsum"
            found.append(Finding("placeholder_text", detail, *_place(passage)))
        elif len(different) < rule.words_each:
            detail = f"{len(different)} different words, at least {rule.words_each}"
            found.append(Finding("section_empty", detail, *_place(passage), "say more: what, where, why"))
    return tuple(found)


def _too_short(words: Sequence[tuple[str, ...]], rule: GroundingRule) -> tuple[Finding, ...]:
    total = len(frozenset(word for said in words for word in said))
    if total >= rule.words_total:
        return ()
    detail = f"{total} different words in all, at least {rule.words_total}"
    return (Finding("section_empty", detail, remedy="say more: what, where, why"),)


def _repeated(
    passages: Sequence[Passage], words: Sequence[tuple[str, ...]], rule: GroundingRule
) -> tuple[Finding, ...]:
    found: list[Finding] = []
    first_with: dict[tuple[str, ...], Passage] = {}
    sets = [frozenset(said) for said in words]
    for index, (passage, said) in enumerate(zip(passages, words, strict=True)):
        other = first_with.setdefault(said, passage)
        if other is not passage:
            found.append(Finding("repeated_text", f"the same words as {other.name}", *_place(passage)))
            continue
        if not rule.compare_sets or len(sets[index]) < MIN_WORDS_TO_COMPARE:
            continue
        for earlier in range(index):
            percent = overlap_percent(sets[index], sets[earlier])
            if percent >= NEARLY_SAME_PERCENT and len(sets[earlier]) >= MIN_WORDS_TO_COMPARE:
                detail = f"{percent} % of its words are those of {passages[earlier].name}"
                found.append(Finding("repeated_text", detail, *_place(passage)))
                break
    return tuple(found)


def _unrelated(words: Sequence[tuple[str, ...]], rule: GroundingRule, subject: Subject) -> tuple[Finding, ...]:
    wanted = title_words(subject.title)
    needed = min(rule.title_words, len(wanted))
    used = shared((word for said in words for word in said), wanted)
    if len(used) >= needed:
        # A title without any word (it is all signs) asks for none: rule 5 still holds the text.
        return ()
    detail = f"it uses {len(used)} words of the task's title, at least {needed}"
    remedy = f"say what it has to do with the task; the title's words are: {', '.join(wanted[:12])}"
    return (Finding("ungrounded", detail, item="title", remedy=remedy),)


def _uncited(
    passages: Sequence[Passage], words: Sequence[tuple[str, ...]], rule: GroundingRule, subject: Subject
) -> tuple[Finding, ...]:
    cited = resolve_citations((passage.text for passage in passages), subject.known)
    names = frozenset(name for each in cited for name in each.resolved)
    # A repository with nothing in it has nothing to cite; the plan's new files count once there is a plan.
    needed = min(rule.citations, subject.known.size)
    found: list[Finding] = []
    if len(names) < needed:
        found.append(_too_few_citations(names, needed, cited))
    anchors = frozenset(title_words(subject.title)).union(*(name_parts(name) for name in names))
    loose = [
        passage
        for passage, said, each in zip(passages, words, cited, strict=True)
        if not each.resolved and not shared(said, anchors)
    ]
    numerator, denominator = rule.anchored
    least = -(-len(passages) * numerator // denominator)
    if anchors and len(passages) - len(loose) < least:
        places = ", ".join(passage.name for passage in loose[:6])
        detail = f"{len(loose)} of {len(passages)} parts name nothing of this task or repository: {places}"
        found.append(Finding("ungrounded", detail, loose[0].line, loose[0].name))
    return tuple(found)


def _too_few_citations(names: frozenset[str], needed: int, cited: Sequence[Citations]) -> Finding:
    unknown = tuple(dict.fromkeys(span for each in cited for span in each.unresolved))[:3]
    detail = f"it cites {len(names)} paths or symbols that exist, at least {needed}"
    if unknown:
        detail += "; not found at the base: " + ", ".join(f"`{span[:60]}`" for span in unknown)
    return Finding("ungrounded", detail, item="citations")


def _place(passage: Passage) -> tuple[int, str]:
    return passage.line, passage.name
