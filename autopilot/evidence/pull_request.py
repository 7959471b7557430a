"""pr_url.txt and the part of pr_template_filled.md that the engine writes.

The engine's evidence stands between two markers, each alone on its line, in the section `## Evidence`:

    <!-- autopilot:evidence -->
    (ledger excerpt and metrics snapshot)
    <!-- /autopilot:evidence -->

`fill_evidence` writes it; what is judged must be exactly what `fill_evidence` would write.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from autopilot.evidence.markdown import decode, parse_document
from autopilot.kernel.errors import ContractError

URL_NAME = "pr_url.txt"
TEMPLATE_NAME = "pr_template_filled.md"
EVIDENCE = "Evidence"
OPEN = "<!-- autopilot:evidence -->"
CLOSE = "<!-- /autopilot:evidence -->"
MAX_URL_BYTES = 4_096

_BRANCH_AT_COMMIT = re.compile(r"([^\s@~^:?*\[\\\x00-\x1f\x7f]{1,200})@([0-9a-f]{40})")
_EVIDENCE_HEADING = re.compile(r"(?im)^## +evidence[ \t]*$")


@dataclass(frozen=True, slots=True)
class PullRequest:
    """Where the change can be seen: a URL, or a branch with the commit it points to."""

    url: str = ""
    branch: str = ""
    commit: str = ""


def parse_pr_url(data: bytes) -> PullRequest:
    """The reference in `data`, one line; ContractError `artifact_invalid` says what does not fit."""
    lines = [line.strip() for line in decode(data, name=URL_NAME, cap=MAX_URL_BYTES).split("\n") if line.strip()]
    if len(lines) != 1:
        raise _invalid(f"{len(lines)} lines where one URL or branch@commit is due")
    line = lines[0]
    match = _BRANCH_AT_COMMIT.fullmatch(line)
    if match:
        branch = match.group(1)
        if (
            branch.startswith(("-", "/", "."))
            or branch.endswith(("/", ".", ".lock"))
            or ".." in branch
            or "//" in branch
        ):
            raise _invalid(f"{branch[:80]!r} is not the name of a branch")
        return PullRequest(branch=branch, commit=match.group(2))
    return PullRequest(url=_checked_url(line))


def _checked_url(line: str) -> str:
    if not line.isascii() or not line.isprintable() or " " in line:
        raise _invalid("a URL has visible ASCII characters only")
    try:
        parts = urlsplit(line)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise _invalid(f"{line[:80]!r} is not a URL") from None
    if parts.scheme != "https" or not host:
        raise _invalid(f"{line[:80]!r} is neither an https URL nor branch@commit with the full 40 digits")
    if parts.username is not None or parts.password is not None:
        raise _invalid("the URL carries a user name or password; leave them out")
    if not parts.path.strip("/"):
        raise _invalid("the URL names a host and no pull request")
    return line


def fill_evidence(text: str, excerpt: str) -> str:
    """`text` with `excerpt` between the markers, the section added at the end if it has none.

    Filling twice gives the same as filling once. ContractError `artifact_invalid` if `text` has the markers more than
    once or in the wrong order, or `excerpt` holds a comment or a heading: then no place is the one place.
    """
    if "<!--" in excerpt or len(parse_document(f"## {EVIDENCE}\n{excerpt}", name=TEMPLATE_NAME).sections) != 1:
        raise _invalid("the excerpt holds a comment or a section heading of its own", TEMPLATE_NAME)
    block = f"{OPEN}\n{excerpt.strip(chr(10))}\n{CLOSE}"
    counts = text.count(OPEN), text.count(CLOSE)
    if counts == (1, 1):
        before, _, rest = text.partition(OPEN)
        _, closed, after = rest.partition(CLOSE)
        if not closed:
            raise _invalid("the closing marker stands before the opening one", TEMPLATE_NAME)
        return before + block + after
    if counts != (0, 0):
        raise _invalid(f"the markers stand {counts[0]} and {counts[1]} times, once each is due", TEMPLATE_NAME)
    heading = _EVIDENCE_HEADING.search(text)
    if heading:
        return f"{text[: heading.end()]}\n\n{block}\n{text[heading.end() :]}"
    return f"{text.rstrip(chr(10))}\n\n## {EVIDENCE}\n\n{block}\n"


def _invalid(detail: str, name: str = URL_NAME) -> ContractError:
    return ContractError("artifact_invalid", where=name, detail=detail)
