"""Words of any language: what the rules count and compare.

A word is a run of letters and digits after NFKC and case folding, format characters (zero-width and the like) taken
out. Scripts written without spaces (Han, kana, Thai, Lao, Khmer, Burmese) have no such runs: there a word is a pair
of neighbouring characters. No list of stop words, no stemmer: both would tie the rules to one language.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

MIN_COMMON_PREFIX = 4
MAX_ENDING = 3

_RUN = re.compile(r"[^\W_]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x3040, 0x30FF),  # kana
    (0x3400, 0x9FFF),  # Han
    (0xF900, 0xFAFF),  # Han, compatibility
    (0x20000, 0x3FFFF),  # Han, extensions
)


def words_in(text: str) -> tuple[str, ...]:
    """The words of `text` in order, folded."""
    if text.isascii():
        return tuple(_RUN.findall(text.lower()))
    plain = _folded(text)
    words: list[str] = []
    for run in _RUN.findall(plain.casefold()):
        if run.isascii() or not any(_is_unspaced(character) for character in run) or len(run) == 1:
            words.append(run)
        else:
            words.extend(run[index : index + 2] for index in range(len(run) - 1))
    return tuple(words)


def name_parts(name: str) -> frozenset[str]:
    """The words inside a path or symbol, `PageSlicer` giving two; those under four characters say too little."""
    return frozenset(word for word in words_in(_CAMEL.sub(" ", name)) if len(word) >= MIN_COMMON_PREFIX)


def same_word(left: str, right: str) -> bool:
    """Equal, or forms of one word: four characters or more in common, and no ending longer than three."""
    if left == right:
        return True
    common = 0
    for a, b in zip(left, right, strict=False):
        if a != b:
            break
        common += 1
    return common >= MIN_COMMON_PREFIX and max(len(left), len(right)) - common <= MAX_ENDING


def shared(words: Iterable[str], wanted: Iterable[str]) -> frozenset[str]:
    """Those of `wanted` that `words` hold in some form."""
    held = frozenset(words)
    by_prefix: dict[str, list[str]] = {}
    for word in held:
        by_prefix.setdefault(word[:MIN_COMMON_PREFIX], []).append(word)
    return frozenset(
        word
        for word in wanted
        if word in held or any(same_word(word, other) for other in by_prefix.get(word[:MIN_COMMON_PREFIX], ()))
    )


def overlap_percent(left: frozenset[str], right: frozenset[str]) -> int:
    """How much two sets of words share of their union, in percent; two empty sets share nothing."""
    common = len(left & right)
    union = len(left) + len(right) - common
    return common * 100 // union if union else 0


def _folded(text: str) -> str:
    normal = unicodedata.normalize("NFKC", text)
    return "".join(character for character in normal if unicodedata.category(character) != "Cf")


def _is_unspaced(character: str) -> bool:
    point = ord(character)
    return any(first <= point <= last for first, last in _UNSPACED)
