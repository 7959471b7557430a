"""What `autopilot next TASK --write` writes: the form of an artifact, with a hint at each place to fill.

A hint carries the mark `HINT:`; its words are known, so that taking the mark off does not make it content. Every
skeleton is refused by its rule as it stands.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from autopilot.evidence.grounding import HINT
from autopilot.evidence.pull_request import CLOSE, OPEN

_HINTS: dict[str, tuple[str, ...]] = {
    "strategy.md": (
        "what is wrong or missing today, for whom, and where it shows; cite files or symbols in backticks",
        "what will be true afterwards that is not true now",
        "which files, functions or behaviours this task touches",
        "what a reader might expect of this task that it leaves alone",
        "what could go wrong with this change, and how it would be noticed",
    ),
    "spec.md": (
        "one thing that must be true afterwards, with the symbol or file it is about in backticks",
        "a figure that tells whether this was worth doing, with its number and unit",
    ),
    "plan.md": ("one piece of work, with the file it changes in backticks",),
    "file_map.json": ("path/to/file", "why this file has to change for this task"),
    "edge_cases.md": (
        "an input, state or timing in which the change could go wrong",
        "what the code or a test does about it; or write `accepted:` and why nothing is done",
    ),
    "review_rubric.json": (
        "what you saw in the code about readability, with files or symbols in backticks",
        "what you saw about maintainability",
        "what you saw about performance",
        "what you saw about security",
        "what you saw about governance: plan, evidence, approvals",
        "path/of/a/document/you/read",
        "a check that might have passed for the wrong reason, and how you ruled it out",
    ),
    "pr_url.txt": ("the https URL of the pull request, or branch@commit with the full commit id",),
    "pr_template_filled.md": (
        "what changes and why, for someone who has not followed the task; cite files in backticks",
        "what could break for users of this change, and who would notice first",
        "the steps that undo this change once it is released",
    ),
    "deployment_status.json": (
        "deployed, released, merged or not_applicable",
        "where it runs now: production, PyPI, none",
        "the commit that PR named, 40 hex digits",
        "how you know; for not_applicable, why there is nothing to deploy",
    ),
}


@dataclass(frozen=True, slots=True)
class SkeletonFacts:
    """What a skeleton is filled with: the task, the criteria of its spec, and who asks."""

    task_id: str
    title: str
    criteria: tuple[str, ...] = ()
    actor: str = ""
    session: str = ""


def hints_of(name: str) -> frozenset[str]:
    """The hint texts of an artifact's skeleton, without their mark."""
    return frozenset(_HINTS.get(name, ()))


def skeleton_names() -> tuple[str, ...]:
    """The artifacts that have a skeleton: those that people and agents write."""
    return tuple(_HINTS)


def skeleton(name: str, facts: SkeletonFacts) -> str:
    """The skeleton of artifact `name`. KeyError for an artifact that only the engine writes: it has none."""
    hints = tuple(f"{HINT} {hint}" for hint in _HINTS[name])
    title = " ".join(facts.title.split())
    head = f"{facts.task_id}: {title}"
    match name:
        case "strategy.md":
            return _sections(f"Strategy for {head}", ("Problem", "Objectives", "Scope", "Non-goals", "Risks"), hints)
        case "spec.md":
            return _spec(head, hints)
        case "plan.md":
            names = ", ".join(facts.criteria) or "AC-1"
            return f"# Plan for {head}\n\n## Work items\n\n- W-1: {hints[0]} ({names})\n"
        case "file_map.json":
            return _json([{"path": hints[0], "change": "modified", "why": hints[1]}])
        case "edge_cases.md":
            return f"# Edge cases of {head}\n\n## Cases\n\n- EC-1: {hints[0]}\n  mitigation: {hints[1]}\n"
        case "review_rubric.json":
            return _json(_rubric(hints, facts))
        case "pr_template_filled.md":
            text = _sections(head, ("Summary", "Risks", "Rollback"), hints)
            return f"{text}\n## Evidence\n\n{OPEN}\n{CLOSE}\n"
        case "deployment_status.json":
            return _json(dict(zip(("status", "environment", "commit", "note"), hints, strict=True)))
        case _:
            return f"{hints[0]}\n"


def _sections(head: str, titles: tuple[str, ...], hints: tuple[str, ...]) -> str:
    body = "\n".join(f"## {title}\n\n{hint}\n" for title, hint in zip(titles, hints, strict=True))
    return f"# {head}\n\n{body}"


def _spec(head: str, hints: tuple[str, ...]) -> str:
    return (
        f"# Spec of {head}\n\n## Acceptance criteria\n\n- AC-1: {hints[0]}\n  proof: accept\n\n"
        "```accept id=AC-1 base=fail timeout=60\n"
        "HINT: one command, no shell, that fails today and exits 0 once AC-1 is met\n"
        f"```\n\n## KPIs\n\n- {hints[1]}\n"
    )


def _rubric(hints: tuple[str, ...], facts: SkeletonFacts) -> dict[str, object]:
    names = ("readability", "maintainability", "performance", "security", "governance")
    return {
        # The verdict starts as fail with score 0: a rubric that is not filled in does not pass by its form.
        "dimensions": {
            name: {"verdict": "fail", "score": 0, "note": hint} for name, hint in zip(names, hints, strict=False)
        },
        "docs_checked": [hints[5]],
        "false_positive_risks": [hints[6]],
        "reviewer": {"actor": facts.actor or f"{HINT} actor", "session": facts.session or f"{HINT} session"},
    }


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
