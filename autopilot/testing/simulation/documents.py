"""What the simulated agents write: a small shop with a defect, and for each phase documents that pass its rules."""

from __future__ import annotations

import json
from collections.abc import Mapping

TITLE = "Take the discount off once in shop pricing"
BUG = b"    return total - 2 * (total * percent // 100)\n"
FIX = b"    return total - total * percent // 100\n"
SOURCE = "shop/pricing.py"
NEW_TEST = "tests/test_discount.py"

BASE: Mapping[str, bytes] = {
    "README.md": b"# shop\n\nPrices in cents. `discounted` takes a percentage off a total.\n",
    SOURCE: b'"""Prices in cents."""\n\n\ndef discounted(total: int, percent: int) -> int:\n'
    b'    """The total less `percent` per cent."""\n' + BUG,
    "tests/test_pricing.py": b"from shop.pricing import discounted\n\n\ndef test_no_discount_changes_nothing():\n"
    b"    assert discounted(1000, 0) == 1000\n",
}

FIXED: Mapping[str, bytes] = {
    SOURCE: BASE[SOURCE].replace(BUG, FIX),
    NEW_TEST: b"from shop.pricing import discounted\n\n\ndef test_ten_percent_off():\n"
    b"    assert discounted(1000, 10) == 900\n",
}

_STRATEGY = """# Strategy: take the discount off once

## Problem

`discounted` in `shop/pricing.py` subtracts the discount twice, so that ten percent off 1000 cents gives 800.

## Objectives

- A discount is taken off exactly once, for every percentage from 0 to 100.

## Scope

The one expression in `discounted`, and a new test file beside `tests/test_pricing.py`.

## Non-goals

- No rounding rules beyond those the docstring of `discounted` promises.

## Risks

- A caller may have learnt to halve its percentage; nothing in this repository does.
"""

_SPEC = """# Spec: take the discount off once

## Acceptance criteria

- AC-1: a discount of ten percent makes `discounted` return 900 cents for 1000
  proof: accept
- AC-2: a discount of ten percent is also seen by the test of `discounted`
  proof: test tests/test_discount.py::test_ten_percent_off
- AC-3: the price list that shoppers of the `shop/pricing.py` discount see was read by a person
  proof: human

```accept id=AC-1 base=fail timeout=60
python -m shop.check ten
```

## KPIs

- 0 totals below zero for percentages from 0 to 100
"""

_PLAN = """# Plan: take the discount off once

## Work items

- W-1: a failing test of ten percent in `tests/test_discount.py` (AC-1, AC-2)
- W-2: `discounted` subtracts the discount a single time in `shop/pricing.py` (AC-1, AC-3)
"""

_FILE_MAP = [
    {"path": SOURCE, "change": "modified", "why": "the discount is subtracted two times there"},
    {"path": NEW_TEST, "change": "added", "why": "shows the defect and guards against its return"},
]

_EDGE_CASES = """# Edge cases: take the discount off once

## Cases

- EC-1: a discount of zero percent must leave the total as it is
  mitigation: `tests/test_pricing.py` has that test already
- EC-2: ten percent must give exactly nine tenths of the total
  mitigation: `test_ten_percent_off` in `tests/test_discount.py`
- EC-3: percentages over one hundred
  accepted: `discounted` never promised anything for them, and no caller passes one
"""

_NOTES = {
    "readability": "the expression in `shop/pricing.py` now says what its docstring says",
    "maintainability": "the factor is gone and nothing new has to be kept in step in `discounted`",
    "performance": "one multiplication less for each call of `discounted`",
    "security": "no new input reaches the function and nothing is parsed or stored",
    "governance": "both changed files stand in the plan, and `tests/test_pricing.py` is untouched",
}

_PR = """# Take the discount off once

## Summary

`discounted` in `shop/pricing.py` took a discount off twice. It takes it off once now, and
`tests/test_discount.py` holds it.

## Risks

A caller that halved its percentage to make up for the defect would now give too little off. There is none here.

## Rollback

Revert the commit. No stored data depends on the result.
"""


def documents(phase: str, *, actor: str, session: str, commit: str) -> dict[str, str]:
    """What is written by hand in `phase`, by file name; a reviewer signs the rubric, PR and MONITOR name `commit`."""
    rubric = {
        "dimensions": {name: {"verdict": "pass", "score": 90, "note": note} for name, note in _NOTES.items()},
        "docs_checked": ["README.md"],
        "false_positive_risks": ["`test_ten_percent_off` could pass by a constant; AC-1 rules that out"],
        "reviewer": {"actor": actor, "session": session},
    }
    deployed = {
        "status": "not_applicable",
        "environment": "none",
        "commit": commit,
        "note": "the shop is deployed nowhere; the smoke test imports shop from the judged tree",
    }
    return {
        "STRATEGIZE": {"strategy.md": _STRATEGY},
        "SPEC": {"spec.md": _SPEC},
        "PLAN": {"plan.md": _PLAN, "file_map.json": json.dumps(_FILE_MAP)},
        "THINK": {"edge_cases.md": _EDGE_CASES},
        "REVIEW": {"review_rubric.json": json.dumps(rubric)},
        "PR": {"pr_url.txt": f"main@{commit}\n", "pr_template_filled.md": _PR},
        "MONITOR": {"deployment_status.json": json.dumps(deployed)},
    }.get(phase, {})
