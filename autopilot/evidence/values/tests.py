"""test_results.json and base_inventory.json: which tests ran and how each ended, never a number alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field

from autopilot.evidence.values.records import Value
from autopilot.evidence.values.runs import CommandEvidence

MAX_CASES = 200_000

Outcome = Literal["passed", "failed", "error", "skipped", "xfailed"]

# The worst first: of a test that is reported twice (a rerun, a teardown), the worse outcome counts.
_WORST: tuple[Outcome, ...] = ("error", "failed", "xfailed", "skipped", "passed")
_INERT = frozenset({"skipped", "xfailed"})
_BAD = frozenset({"error", "failed"})


class TestCase(Value):
    """One test: its id as the runner reports it, and how it ended.

    `collection` marks an entry that is no test: a module that could not be collected, or was skipped as a whole.
    """

    __test__ = False

    id: Annotated[str, Field(min_length=1, max_length=4_096)]
    outcome: Outcome
    collection: bool = False


class TestEvidence(CommandEvidence):
    """A run of the test command. `report` says whether a machine report could be read.

    `control` says what became of the engine's own two tests (`evidence.control`): `kept` as they must end, `bent` to
    another outcome, `absent` from the report, or `none` laid into the copy. They are not among `cases`.
    """

    __test__ = False

    report: Literal["read", "missing", "unreadable"]
    control: Literal["none", "absent", "bent", "kept"] = "none"
    cases: Annotated[tuple[TestCase, ...], Field(max_length=MAX_CASES)] = ()

    def outcomes(self) -> dict[str, Outcome]:
        """The outcome of each test id; the worst, where an id is reported more than once."""
        worst: dict[str, Outcome] = {}
        for case in self.cases:
            known = worst.get(case.id)
            if known is None or _WORST.index(case.outcome) < _WORST.index(known):
                worst[case.id] = case.outcome
        return worst

    @property
    def lists_tests(self) -> bool:
        """Whether the report lists a test at all, beside modules that were not collected."""
        return any(not case.collection for case in self.cases)

    @property
    def any_ran(self) -> bool:
        """Whether anything in the report was neither skipped nor expected to fail."""
        return any(case.outcome not in _INERT for case in self.cases)

    def failing(self) -> tuple[str, ...]:
        """The ids that failed or died."""
        return tuple(sorted(name for name, outcome in self.outcomes().items() if outcome in _BAD))


class TestResults(TestEvidence):
    """test_results.json: the judged tree."""

    artifact = "test_results.json"


class BaseInventory(TestEvidence):
    """base_inventory.json: the same command on the base tree, before any work. Tests may fail there."""

    artifact = "base_inventory.json"


def vanished(base: TestEvidence, now: TestEvidence) -> tuple[str, ...]:
    """Test ids of the base that are not reported now, or not as often.

    A module that was not collected on the base held no known test: that it is collected now is not a test gone.
    """
    before = Counter(case.id for case in base.cases if not case.collection)
    there = Counter(case.id for case in now.cases if not case.collection)
    return tuple(sorted(before - there))


def newly_inert(base: TestEvidence, now: TestEvidence) -> tuple[str, ...]:
    """Ids skipped or expected to fail more often now than on the base; new tests and whole modules among them.

    A new test that is skipped proves nothing either, and would be a way to list a file without running it.
    """
    before = Counter(case.id for case in base.cases if case.outcome in _INERT)
    there = Counter(case.id for case in now.cases if case.outcome in _INERT)
    return tuple(sorted(there - before))


def named_outcomes(name: str, outcomes: Iterable[tuple[str, Outcome]]) -> dict[str, Outcome]:
    """The outcomes of the tests that `name` (`tests/test_x.py::TestA::test_y`) means, all its parameters included.

    Runners write one test in several ways (`tests/test_x.py::test_y`, `tests.test_x.test_y`): both are brought to the
    dotted form. A name without `[…]` means every parameter set of the test.
    """
    wanted = _dotted(name)
    found = {}
    for identifier, outcome in outcomes:
        dotted = _dotted(identifier)
        if dotted == wanted or dotted.startswith(wanted + "["):
            found[identifier] = outcome
    return found


def _dotted(name: str) -> str:
    head, bracket, parameters = name.partition("[")
    head = head.replace(".py::", ".").replace("::", ".").replace("/", ".")
    return head + bracket + parameters
