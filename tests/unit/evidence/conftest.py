"""The repository that the documents of these tests are about, and the worked examples of docs/reference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autopilot.evidence.context import RuleContext
from autopilot.evidence.spec import parse_spec
from autopilot.kernel.phases import Phase

EXAMPLES = Path(__file__).resolve().parents[3] / "docs" / "reference" / "examples"
BASE_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
JUDGED_TREE = "8f94139338f9404f26296befa88755fc2598c289"
AT_THE_BASE = ("base_inventory.json", "accept_base.json")

ContextMaker = Callable[..., RuleContext]


@pytest.fixture
def make_context() -> ContextMaker:
    """A context of the shop repository; any field may be given."""

    def make(**fields: Any) -> RuleContext:
        known: dict[str, Any] = {
            "task_id": "T-1",
            "title": "Stop paginate from returning an empty last page",
            "phase": Phase.SPEC,
            "paths": frozenset(
                {
                    "README.md",
                    "pyproject.toml",
                    "docs/listing.md",
                    "src/pager.py",
                    "tests/test_pager.py",
                    "docs/build_api.py",
                }
            ),
            "symbols": frozenset({"paginate", "page_count", "test_short_list"}),
            "actor": "reviewer-2",
            "session": "review-session",
            "implementers": frozenset({("coder-1", "coding-session")}),
        }
        return RuleContext(**{**known, **fields})

    return make


@pytest.fixture
def example() -> Callable[[str], bytes]:
    """The bytes of an example of docs/reference/examples."""
    return lambda name: (EXAMPLES / name).read_bytes()


@pytest.fixture
def context_for(make_context: ContextMaker) -> ContextMaker:
    """The context in which the example of an artifact is judged."""

    def make(name: str, **fields: Any) -> RuleContext:
        known = {
            "spec": parse_spec((EXAMPLES / "spec.md").read_text()),
            "tree": BASE_TREE if name in AT_THE_BASE else JUDGED_TREE,
            "planned": frozenset({"tests/test_pager_full.py"}),
            "evidence_excerpt": (EXAMPLES / "pr_template_filled.md")
            .read_text()
            .partition("<!-- autopilot:evidence -->\n")[2]
            .partition("\n<!-- /autopilot")[0],
            "commit": "9f2c4e6a8b0d1f3e5a7c9b1d3f5e7a9c0b2d4f60",
        }
        return make_context(**{**known, **fields})

    return make
