"""Names that a source text defines, found by pattern in any common language: what a document may cite.

Coarse on purpose: a name too many lets one more citation count, a parser for each language would be a dependency
for each language.
"""

from __future__ import annotations

import re

MAX_SYMBOLS_PER_FILE = 5_000

_DEFINITION = re.compile(
    r"^[ \t]{0,40}(?:(?:export|default|public|private|protected|static|async|abstract|final|pub|unsafe)[ \t]{1,8}){0,4}"
    r"(?:def|class|function|func|fn|struct|interface|type|enum|trait|module|mod|const|let|var|val|object)[ \t]{1,8}"
    r"([^\W\d]\w{2,79})\b",
    re.MULTILINE,
)
_CONSTANT = re.compile(r"^([^\W\d]\w{2,79})[ \t]{0,8}(?::[^=\n]{1,200})?=(?!=)", re.MULTILINE)


def symbols_in(source: str) -> frozenset[str]:
    """The names of three characters and more that `source` defines; at most MAX_SYMBOLS_PER_FILE."""
    names: set[str] = set()
    for pattern in (_DEFINITION, _CONSTANT):
        for match in pattern.finditer(source):
            names.add(match.group(1))
            if len(names) >= MAX_SYMBOLS_PER_FILE:
                return frozenset(names)
    return frozenset(names)
