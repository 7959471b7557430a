"""plan.md and file_map.json, and the plan lock."""

from __future__ import annotations

import json

import pytest

from autopilot.evidence.file_map import FileMap, FileMapEntry, outside_paths, outside_plan, parse_file_map
from autopilot.evidence.paths import matches, path_fault, pattern_fault
from autopilot.evidence.plan import parse_plan
from autopilot.evidence.rules.plan import check_file_map, check_plan
from autopilot.kernel.errors import ContractError

ITEM = "- W-1: stop the loop of `paginate` at the last full page (AC-1, AC-2, AC-3)\n"


def plan(*items: str) -> str:
    return "# Plan\n\n## Work items\n\n" + "".join(items)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (plan(ITEM), []),
        (plan(ITEM.replace(", AC-3", "")), [("criterion_uncovered", "plan.md AC-3")]),
        (plan(ITEM.replace("AC-3", "AC-3, AC-9")), [("unknown_criterion", "plan.md:5 W-1")]),
        (plan(ITEM.replace("(AC-1, AC-2, AC-3)", "(AC 1)")), [("unknown_criterion", "plan.md:5 W-1")]),
        (plan(), [("work_item_missing", "plan.md:3 Work items")]),
        (plan("- W1: something (AC-1)\n"), [("work_item_missing", "plan.md:5")]),
        (plan(ITEM, ITEM), [("artifact_invalid", "plan.md:6 W-1")]),
        ("# Plan\n\nno section at all\n", [("section_missing", "plan.md Work items")]),
        (
            plan("- W-1: do it well and test all of that very fully (AC-1, AC-2, AC-3)\n"),
            [("ungrounded", "plan.md title"), ("ungrounded", "plan.md citations"), ("ungrounded", "plan.md:5 W-1")],
        ),
    ],
)
def test_plan_faults(text, expected, context_for):
    assert [(r.code, r.where) for r in check_plan(text.encode(), context_for("plan.md"))] == expected


def test_a_plan_without_a_sealed_spec_is_refused(context_for):
    reasons = check_plan(plan(ITEM).encode(), context_for("plan.md", spec=None))
    assert [(r.code, r.where) for r in reasons] == [("artifact_missing", "spec.md")]


def test_ids_may_end_the_first_line_or_the_last():
    parsed = parse_plan(
        plan("- W-1: a (AC-1)\n  and more\n", "- W-2: b\n  in detail (see AC) (AC-2,AC-1)\n", "- W-3: c (d)\n")
    )
    assert [(item.id, item.criteria) for item in parsed.items] == [
        ("W-1", ("AC-1",)),
        ("W-2", ("AC-2", "AC-1")),
        ("W-3", ()),
    ]


def entry(**fields: object) -> dict[str, object]:
    return {"path": "src/pager.py", "change": "modified", "why": "the loop runs too far", **fields}


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([entry()], []),
        ([entry(path="src/new.py", change="added")], []),
        ([entry(path="docs/api/**", change="generated", by=["make", "api"])], []),
        ([entry(path="src/pages/[id].tsx", change="added")], []),
        ([entry(path="src/new.py")], ["file_map_contradicts_base"]),
        ([entry(change="added")], ["file_map_contradicts_base"]),
        ([entry(path="src/none.py", change="deleted")], ["file_map_contradicts_base"]),
        ([entry(path=p) for p in ("**", "*", "src/*.py", "src/?.py")], ["path_outside"] * 4 + ["repeated_text"]),
        ([entry(path="/etc/passwd")], ["path_outside"]),
        ([entry(path="../x")], ["path_outside"]),
        ([entry(path="a/./b")], ["path_outside"]),
        ([entry(path=".git/hooks/pre-commit")], ["path_outside"]),
        ([entry(path="sub/.GIT/config")], ["path_outside"]),
        ([entry(path="state/evidence/x")], ["path_outside"]),
        ([entry(path="State/evidence/x")], ["path_outside"]),
        ([entry(path="a\\b")], ["path_outside"]),
        ([entry(path="a\u202eb", change="added")], ["path_outside"]),
        ([entry(path="**", change="generated", by=["make"])], ["path_outside"]),
        ([entry(path="*", change="generated", by=["make"])], ["path_outside"]),
        ([entry(path="**/*.py", change="generated", by=["make"])], ["path_outside"]),
        ([entry(path="*/**", change="generated", by=["make"])], ["path_outside"]),
        ([entry(path="src/a**", change="generated", by=["make"])], ["path_outside"]),
        ([entry(path="src/**", change="generated", by=["make"])], ["path_outside"]),
        ([entry(path="src/**/*", change="generated", by=["make"])], ["path_outside"]),
        ([entry(path="src/*", change="generated", by=["make"])], ["path_outside"]),
        ([entry(path="new/**", change="generated", by=["make"])], []),
        ([entry(path="docs/*.md", change="generated", by=["make"])], []),
        ([entry(path="tests/**", change="generated", by=["make"])], ["path_outside"]),
        ([entry(path="tests/snapshots/*.json", change="generated", by=["make"])], ["path_outside"]),
        ([entry(path="*.toml", change="generated", by=["make"])], ["path_outside"]),
        ([entry(path="autopilot.toml", change="generated", by=["make"])], ["path_outside"]),
        ([entry(path="src/**/conftest.py", change="generated", by=["make"])], ["path_outside"]),
        ([entry(path=".github/workflows/*.yml", change="generated", by=["make"])], ["path_outside"]),
        ([entry(path="docs/api/**", change="generated")], ["artifact_invalid"]),
        ([entry(path="docs/api/**", change="generated", by=["true"])], ["artifact_invalid"]),
        ([entry(by=["make"])], ["artifact_invalid"]),
        ([entry(), entry(why="another reason for it")], ["artifact_invalid"]),
        ([entry(why="needed")], ["section_empty"]),
        ([entry(why="x x x x x")], ["section_empty"]),
        ([entry(path=f"src/n{n}.py", change="added") for n in range(4)], ["repeated_text"]),
        ([entry(path=f"src/n{n}.py", change="added") for n in range(3)], []),
        ([entry(change="renamed")], ["artifact_invalid"]),
        ([entry(extra=1)], ["artifact_invalid"]),
        ([], ["artifact_invalid"]),
        ({"path": "x"}, ["artifact_invalid"]),
    ],
)
def test_file_map_faults(entries, expected, make_context):
    reasons = check_file_map(json.dumps(entries).encode(), make_context())
    assert [reason.code for reason in reasons] == expected
    assert all(reason.where.startswith("file_map.json") and reason.detail for reason in reasons)


def test_a_moved_state_folder_is_still_the_engines(make_context):
    data = json.dumps([entry(path="var/ap/x", change="added")]).encode()
    assert [r.code for r in check_file_map(data, make_context(state_dir="var/ap"))] == ["path_outside"]
    assert check_file_map(data, make_context()) == ()


@pytest.mark.parametrize("change", ["added", "modified", "deleted"])
def test_an_uncommitted_file_may_be_planned_either_way(change, make_context):
    """Counted from the commit it is new, in the working tree it was there."""
    for path in ("src/pager.py", "src/other.py"):
        data = json.dumps([entry(path=path, change=change)]).encode()
        assert check_file_map(data, make_context(uncommitted=frozenset({path}))) == ()


def test_a_key_that_stands_twice_is_refused(make_context):
    data = b'[{"path": "src/pager.py", "change": "modified", "why": "the loop is wrong", "path": "src/other.py"}]'
    reasons = check_file_map(data, make_context())
    assert [reason.code for reason in reasons] == ["artifact_invalid"]
    assert "stands twice" in reasons[0].detail


FILE_MAP = FileMap(
    (
        FileMapEntry("src/pager.py", "modified", "why"),
        FileMapEntry("src/new.py", "added", "why"),
        FileMapEntry("src/old.py", "deleted", "why"),
        FileMapEntry("docs/api/**", "generated", "why", ("make", "api")),
        FileMapEntry("*.lock", "generated", "why", ("make", "lock")),
    )
)


def test_the_plan_lock():
    inside = [
        ("src/pager.py", "modified"),
        ("src/pager.py", "mode"),
        ("src/new.py", "added"),
        ("src/old.py", "deleted"),
        ("docs/api/a/b.md", "added"),
        ("uv.lock", "modified"),
    ]
    assert outside_plan(FILE_MAP, inside) == ()
    # A command that is said to write a file did not take it away.
    assert outside_plan(FILE_MAP, [("docs/api/x.md", "deleted")])
    outside = [
        ("src/pager.py", "deleted"),
        ("src/new.py", "modified"),
        ("src/old.py", "modified"),
        ("src/other.py", "added"),
        ("docs/apix/a.md", "added"),
        ("sub/uv.lock", "modified"),
        ("SRC/pager.py", "modified"),
    ]
    assert outside_paths(FILE_MAP, [*inside, *outside]) == tuple(sorted(outside))
    assert all(FILE_MAP.allows(*change) for change in inside)
    assert not any(FILE_MAP.allows(*change) for change in outside)
    (reason,) = outside_plan(FILE_MAP, outside)
    assert (reason.code, reason.where, reason.subject) == ("outside_plan", "file_map.json", "")
    assert all(path in reason.detail for path, _ in outside)
    assert outside_plan(FILE_MAP, outside, subject="ab" * 32)[0].standing.name == "WAITING"


def test_what_the_plan_adds_and_generates():
    assert FILE_MAP.added == {"src/new.py"}
    assert FILE_MAP.generated_by("docs/api/x.md") == ("make", "api")
    assert FILE_MAP.generated_by("src/pager.py") == ()


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("docs/**", "docs/a/b", True),
        ("docs/**", "docs", True),
        ("docs/**/b.md", "docs/b.md", True),
        ("docs/**/b.md", "docs/x/y/b.md", True),
        ("docs/*.md", "docs/a/b.md", False),
        ("docs/?.md", "docs/a.md", True),
        ("docs/?.md", "docs/ab.md", False),
        ("docs/*a*b*", "docs/xxaxxbxx", True),
        ("docs/*a*b*", "docs/xxbxxaxx", False),
        ("a[b]c", "a[b]c", True),
        ("docs/**/**/x", "docs/x", True),
    ],
)
def test_patterns(pattern, path, expected):
    assert matches(pattern, path) is expected


def test_a_pattern_bomb_is_matched_in_no_time():
    assert not matches("docs/" + "*a" * 400, "docs/" + "a" * 255 + "b" * 100)
    assert not matches("d/" + "/".join(["**", "x"] * 30), "d/" + "/".join(["x"] * 60) + "/y")


def test_path_faults():
    assert path_fault("src/a b.py") == "" == pattern_fault("docs/api/**")
    for path in ("", "a//b", "C:/x", "/x", "x/", "a" * 1025, "/".join("a" * 70), ".git", "git~1/x"):
        assert path_fault(path), path


def test_parse_file_map_raises_with_the_place():
    with pytest.raises(ContractError) as caught:
        parse_file_map(b'[{"path": "a", "change": "added", "why": 1}]')
    assert caught.value.where == "file_map.json [0].why"


@pytest.mark.parametrize("blank", "\u115f\u1160\u2800\u3164\uffa0\u200b")
def test_a_path_holds_nothing_that_is_blank_on_every_screen(blank):
    assert "cannot be seen" in path_fault(f"src/pager{blank}.py")


def test_a_bomb_of_patterns_is_refused():
    entries = [entry(path=f"d/{n}/**", change="generated", by=["make", "api"]) for n in range(65)]
    with pytest.raises(ContractError, match="at most 64"):
        parse_file_map(json.dumps(entries).encode())
    assert len(parse_file_map(json.dumps(entries[:64]).encode()).entries) == 64
