"""The store's line in autopilot.toml, and what doctor says of a database."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from typing import Any

import pytest

from autopilot.onboarding.doctor import MachineFacts, diagnose
from autopilot.onboarding.store import StoreFacts, store_detail, store_remedies
from autopilot.onboarding.store_setting import with_store

URL = "postgresql://ledger_app@db.example.org/ledgers"
FILE = '# ours\nledger_id = "ab"\nstate_dir = "state"\n\n[commands.test]\nargv = ["store = 1"]\n'
GOOD = StoreFacts(
    where=URL,
    version="15.18",
    server=15,
    role="ledger_app",
    may_change=False,
    owns=False,
    synchronous_commit="on",
    fsync=True,
    standbys="standby_1",
)


@pytest.mark.parametrize("text", [FILE, "", "[lease]\nttl_seconds = 60\n", FILE.replace("ledger_id", "#")])
def test_the_store_is_set_changed_and_taken_out_and_nothing_else_is(text: str) -> None:
    before = tomllib.loads(text)
    once = with_store(text, "postgresql://other@/d")
    twice = with_store(once, URL)
    assert tomllib.loads(twice) == {**before, "store": URL}
    assert twice.count("store =") == text.count("store =") + 1
    assert with_store(twice, "") == text


def test_a_database_that_gives_all_is_ok() -> None:
    assert store_remedies(GOOD) == ()
    assert "(cannot change or remove lines)" in store_detail(GOOD)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"fsync": False}, "fsync = on"),
        ({"synchronous_commit": "off"}, "synchronous_commit = on"),
        ({"server": 13}, "PostgreSQL 14"),
        ({"owns": True}, "--grant"),
        ({"may_change": True}, "--grant"),
        ({"standbys": ""}, "synchronous_standby_names"),
    ],
)
def test_what_it_does_not_give_is_named_with_what_to_do(changed: dict[str, Any], told: str) -> None:
    facts = replace(GOOD, **changed)
    (remedy,) = store_remedies(facts)
    assert told in remedy
    check = next(c for c in diagnose(MachineFacts(python_version=(3, 12, 0), store=facts)) if c.name == "store")
    assert (check.ok, check.required) == (False, False)


def test_a_database_that_does_not_answer_is_no_store() -> None:
    facts = MachineFacts(python_version=(3, 12, 0), store_problem="store_unreachable: refused")
    check = next(check for check in diagnose(facts) if check.name == "store")
    assert (check.ok, check.required, bool(check.remedy)) == (False, True, True)
