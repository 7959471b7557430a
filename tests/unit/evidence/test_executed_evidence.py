"""Engine-made evidence read back: what a result may not hide, and what a forged record gives away."""

from __future__ import annotations

import hashlib
import random

import pytest

from autopilot.evidence.context import Thresholds
from autopilot.evidence.contracts import RULES
from autopilot.evidence.rules.plan import BASE_REMEDY
from autopilot.evidence.values.accept import AcceptBase, AcceptResults
from autopilot.evidence.values.build_log import BuildLog, parse_build_log
from autopilot.evidence.values.changes import ModifiedFiles
from autopilot.evidence.values.coverage import CoverageReport
from autopilot.evidence.values.quality import CodeQualityScore, quality_hundredths
from autopilot.evidence.values.runs import MAX_QUOTED, TAIL_CHARACTERS, CiResults, CommandRun, SmokeTestResults, tail_of
from autopilot.evidence.values.tests import BaseInventory, TestCase, TestResults, named_outcomes
from autopilot.kernel.errors import ContractError

BLOCKS = (AcceptBase, AcceptResults)
COMMANDS = (BaseInventory, CiResults, CodeQualityScore, CoverageReport, SmokeTestResults, TestResults)
MODELS = {model.artifact: model for model in (*BLOCKS, *COMMANDS, ModifiedFiles)}


def codes(reasons) -> list[str]:
    return [reason.code for reason in reasons]


@pytest.fixture
def judge(example, context_for):
    """Judge the example of `model` with fields replaced; `run` fields through `run={…}`; `context` for the context."""

    def judged(model, *, run: dict | None = None, context: dict | None = None, **fields):
        record = model.from_json(example(model.artifact))
        if run is not None:
            fields["run"] = record.run.model_copy(update=run)
        data = record.model_copy(update=fields).to_json()
        return RULES[model.artifact](data, context_for(model.artifact, **(context or {})))

    return judged


@pytest.mark.parametrize("name", sorted(MODELS))
def test_round_trip(name, example):
    record = MODELS[name].from_json(example(name))
    assert record.to_json() == example(name)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_another_task_epoch_or_tree_is_stale(name, judge):
    model = MODELS[name]
    assert codes(judge(model, task="T-2"))[:1] == ["evidence_stale"]
    assert codes(judge(model, epoch=1))[:1] == ["evidence_stale"]
    assert codes(judge(model, tree="0" * 40))[:1] == ["evidence_stale"]


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_record_spelled_otherwise_is_not_the_engines(name, example, context_for):
    data = example(name)
    assert codes(RULES[name](data + b"\n", context_for(name))) == ["artifact_invalid"]
    assert codes(RULES[name](data.replace(b'"task":"T-1"', b'"task": "T-1"'), context_for(name))) == [
        "artifact_invalid"
    ]
    assert codes(RULES[name](data[:-1] + b',"passed":true}', context_for(name))) == ["artifact_invalid"]
    assert RULES[name](b'{"passed": true}', context_for(name))
    assert RULES[name](b"[]", context_for(name))


@pytest.mark.parametrize("model", COMMANDS)
def test_not_configured_is_refused_unless_the_profile_allows_it(model, example, context_for):
    record = model.from_json(example(model.artifact))
    update = {"configured": False, "run": None, **({"cases": ()} if "cases" in model.model_fields else {})}
    data = record.model_copy(update=update).to_json()
    rule = RULES[model.artifact]
    assert codes(rule(data, context_for(model.artifact))) == ["not_configured"]
    assert codes(rule(data, context_for(model.artifact, may_be_empty=True))) == []
    for contradiction in ({"configured": False}, {"run": None}):
        data = record.model_copy(update=contradiction).to_json()
        assert codes(rule(data, context_for(model.artifact, may_be_empty=True))) == ["artifact_invalid"]


# --- test results


def cases(*pairs):
    return tuple(TestCase(id=name, outcome=outcome) for name, outcome in pairs)


def module(outcome: str) -> TestCase:
    """A module that was not collected, as the report lists it."""
    return TestCase(id="tests.test_new", outcome=outcome, collection=True)


OLD = (("tests.test_pager.test_short_list", "passed"), ("tests.test_pager.test_zero_size", "passed"))
NEW = ("tests.test_pager.test_page_count_agrees", "passed")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"run": {"exit_code": 1}}, ["report_contradicts_exit"]),
        ({"run": {"exit_code": 137}}, ["report_contradicts_exit"]),
        ({"run": {"exit_code": None, "signal": 9}}, ["report_contradicts_exit"]),
        ({"run": {"timed_out": True, "exit_code": None}}, ["command_timed_out"]),
        ({"run": {"truncated": True}}, ["output_truncated"]),
        ({"cases": cases(*OLD, NEW, ("x.t", "failed"))}, ["tests_failed", "report_contradicts_exit"]),
        ({"cases": cases(*OLD, NEW, ("x.t", "failed")), "run": {"exit_code": 1}}, ["tests_failed"]),
        ({"cases": cases(*OLD, NEW, ("x.t", "error")), "run": {"exit_code": 1}}, ["tests_failed"]),
        ({"cases": cases(*OLD, NEW, ("x.t", "failed"), ("x.t", "passed")), "run": {"exit_code": 1}}, ["tests_failed"]),
        ({"cases": (), "run": {"exit_code": 5}}, ["tests_none_collected", "tests_vanished", "accept_failed"]),
        ({"cases": ()}, ["tests_none_collected", "tests_vanished", "accept_failed"]),
        (
            {"cases": (module("error"),), "run": {"exit_code": 2}},
            ["tests_none_collected", "tests_failed", "tests_vanished", "accept_failed"],
        ),
        (
            {"cases": (module("error"),)},
            ["tests_none_collected", "tests_failed", "report_contradicts_exit", "tests_vanished", "accept_failed"],
        ),
        (
            {"cases": (module("skipped"),), "run": {"exit_code": 5}},
            ["tests_none_collected", "tests_vanished", "tests_skipped", "accept_failed"],
        ),
        ({"cases": (*cases(*OLD, NEW), module("skipped"))}, ["tests_skipped"]),
        ({"cases": (*cases(*OLD, NEW), module("error")), "run": {"exit_code": 2}}, ["tests_failed"]),
        ({"run": {"exit_code": None}}, ["report_contradicts_exit"]),
        ({"cases": cases(*OLD, NEW, ("x.t", "failed")), "run": {"exit_code": None, "signal": 9}}, ["tests_failed"]),
        ({"cases": cases(OLD[0], NEW)}, ["tests_vanished"]),
        ({"cases": cases(OLD[0], (OLD[1][0], "skipped"), NEW)}, ["tests_skipped"]),
        ({"cases": cases(OLD[0], (OLD[1][0], "xfailed"), NEW)}, ["tests_skipped"]),
        ({"cases": cases(*OLD, NEW, ("x.new", "skipped"))}, ["tests_skipped"]),
        ({"cases": cases(*OLD)}, ["accept_failed"]),
        ({"cases": cases(*OLD, (NEW[0], "skipped"))}, ["tests_skipped", "accept_failed"]),
        ({"report": "missing", "cases": (), "run": {"exit_code": 1}}, ["report_missing", "accept_failed"]),
        ({"report": "missing", "cases": ()}, ["report_missing", "accept_failed"]),
        ({"report": "unreadable", "cases": ()}, ["report_unreadable", "accept_failed"]),
    ],
)
def test_test_results(fields, expected, judge, example):
    base = BaseInventory.from_json(example("base_inventory.json"))
    assert codes(judge(TestResults, context={"base_inventory": base}, **fields)) == expected


def test_a_suite_that_only_skips_collected_nothing(judge):
    skipped = cases(*((name, "skipped") for name, _ in (*OLD, NEW)))
    assert codes(judge(TestResults, cases=skipped, context={"spec": None})) == ["tests_none_collected"]
    expected = cases(*((name, "xfailed") for name, _ in OLD))
    assert codes(judge(TestResults, cases=expected, context={"spec": None})) == ["tests_none_collected"]
    contradicted = judge(TestResults, cases=skipped, run={"exit_code": 1}, context={"spec": None})
    assert codes(contradicted) == ["tests_none_collected", "report_contradicts_exit"]


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ([("a", "passed"), ("a", "passed")], [("a", "passed")], ["tests_vanished"]),
        ([("a", "failed"), ("b", "passed")], [("b", "passed")], ["tests_vanished"]),
        ([("a", "skipped"), ("b", "passed")], [("b", "passed")], ["tests_vanished"]),
        ([("a", "failed"), ("b", "passed")], [("a", "skipped"), ("b", "passed")], ["tests_skipped"]),
        (
            [("a", "passed"), ("a", "skipped"), ("b", "passed")],
            [("a", "skipped"), ("a", "skipped"), ("b", "passed")],
            ["tests_skipped"],
        ),
        ([("a", "skipped"), ("b", "passed")], [("a", "xfailed"), ("b", "passed")], []),
        ([("a", "skipped"), ("b", "passed")], [("a", "passed"), ("b", "passed")], []),
        ([("a", "passed")], [("a", "passed"), ("a", "passed")], []),
    ],
)
def test_against_the_base(before, now, expected, judge, example):
    base = BaseInventory.from_json(example("base_inventory.json")).model_copy(update={"cases": cases(*before)})
    context = {"base_inventory": base, "spec": None}
    assert codes(judge(TestResults, cases=cases(*now), context=context)) == expected


@pytest.mark.parametrize("outcome", ["error", "skipped"])
def test_a_module_that_is_collected_now_is_not_a_test_gone(outcome, judge, example):
    base = BaseInventory.from_json(example("base_inventory.json")).model_copy(update={"cases": (module(outcome),)})
    context = {"base_inventory": base, "spec": None}
    assert judge(TestResults, cases=cases(("tests.test_new::test", "passed")), context=context) == ()


def test_a_module_is_not_a_test_of_its_name(judge, example):
    before = cases(("tests.test_new", "passed"), ("b", "passed"))
    base = BaseInventory.from_json(example("base_inventory.json")).model_copy(update={"cases": before})
    now = (module("skipped"), *cases(("b", "passed")))
    assert codes(judge(TestResults, cases=now, context={"base_inventory": base, "spec": None})) == [
        "tests_vanished",
        "tests_skipped",
    ]


def test_no_change_for_the_worse_passes(judge, example):
    """From a passing run, every single deletion, skip, failure or flipped exit is refused."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    inventory = BaseInventory.from_json(example("base_inventory.json"))
    for _ in range(60):
        before = [(f"t{draw.randrange(6)}", "passed") for _ in range(draw.randrange(2, 10))]
        context = {"base_inventory": inventory.model_copy(update={"cases": cases(*before)}), "spec": None}

        def found(now, exit_code, context=context):
            return codes(judge(TestResults, cases=cases(*now), run={"exit_code": exit_code}, context=context))

        assert found(before, 0) == []
        place = draw.randrange(len(before))
        assert found([*before[:place], *before[place + 1 :]], 0)
        for worse in ("failed", "error", "skipped", "xfailed"):
            changed = [*before[:place], (before[place][0], worse), *before[place + 1 :]]
            assert found(changed, 0)
            assert found(changed, 1)
        assert found(before, draw.choice([1, 2, 5, 127, None]))


@pytest.mark.parametrize(
    ("base", "now", "run", "expected"),
    [
        ("kept", "kept", {}, []),
        ("kept", "absent", {}, ["control_tests"]),
        ("kept", "bent", {}, ["control_tests"]),
        ("kept", "none", {}, ["control_tests"]),
        ("kept", "bent", {"exit_code": 1}, ["control_tests"]),
        # Where they did not work on the base, they prove nothing now.
        ("absent", "absent", {}, []),
        ("none", "none", {}, []),
        ("none", "none", {"exit_code": 1}, ["report_contradicts_exit"]),
    ],
)
def test_the_control_tests(base, now, run, expected, judge, example):
    inventory = BaseInventory.from_json(example("base_inventory.json")).model_copy(update={"control": base})
    assert codes(judge(TestResults, control=now, run=run, context={"base_inventory": inventory})) == expected


def test_a_run_that_failed_is_told_by_its_failures(judge, example):
    inventory = BaseInventory.from_json(example("base_inventory.json"))
    failed = cases(*OLD, NEW, ("x.t", "failed"))
    found = judge(
        TestResults, control="absent", cases=failed, run={"exit_code": 1}, context={"base_inventory": inventory}
    )
    assert codes(found) == ["tests_failed"]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ((), []),
        (("tests/test_pager.py",), []),
        (("tests/test_pager.py", "tests/test_new.py"), ["tests_unreported"]),
        # Of another folder, though of the same name.
        (("other/test_pager.py",), ["tests_unreported"]),
        # The runner may be rooted above or below.
        (("sub/tests/test_pager.py",), []),
        (("test_pager.py",), []),
    ],
)
def test_a_changed_test_file_is_in_the_report(changed, expected, judge, example):
    inventory = BaseInventory.from_json(example("base_inventory.json"))
    found = judge(TestResults, context={"base_inventory": inventory, "changed_tests": changed})
    assert codes(found) == expected
    assert not found or found[0].detail == changed[-1]


def test_a_file_that_the_base_did_not_run_either_may_stay_out(judge, example):
    inventory = BaseInventory.from_json(example("base_inventory.json"))
    context = {"base_inventory": inventory, "changed_tests": ("tests/test_slow.py",)}
    assert codes(judge(TestResults, context=context)) == ["tests_unreported"]
    assert codes(judge(TestResults, context={**context, "paths": frozenset({"tests/test_slow.py"})})) == []


def test_what_was_skipped_on_the_base_may_stay_skipped(judge, example):
    base = BaseInventory.from_json(example("base_inventory.json"))
    base = base.model_copy(update={"cases": cases(OLD[0], (OLD[1][0], "skipped"))})
    fields = {"cases": cases(OLD[0], (OLD[1][0], "skipped"), NEW)}
    assert judge(TestResults, context={"base_inventory": base}, **fields) == ()


def test_a_test_is_found_under_either_spelling():
    names = ("tests.test_x.TestA.test_y[1-a]", "tests/test_x.py::TestA::test_y[2]", "tests.test_x.TestA.test_yes")
    outcomes = [(name, "passed") for name in names]
    assert set(named_outcomes("tests/test_x.py::TestA::test_y", outcomes)) == {name for name, _ in outcomes[:2]}
    assert set(named_outcomes("tests/test_x.py::TestA::test_y[2]", outcomes)) == {outcomes[1][0]}


# --- the base


def test_a_named_test_that_passes_on_the_base_proves_nothing(judge):
    reasons = judge(BaseInventory, cases=cases(*OLD, NEW))
    assert [(r.code, r.where) for r in reasons] == [("accept_passes_on_base", "spec.md:7 AC-2")]


def test_the_base_may_fail_or_have_no_tests(judge):
    assert judge(BaseInventory, cases=cases((OLD[0][0], "failed")), run={"exit_code": 1}) == ()
    assert judge(BaseInventory, cases=(), run={"exit_code": 5}) == ()
    assert judge(BaseInventory, cases=(module("error"),), run={"exit_code": 2}) == ()


@pytest.mark.parametrize("exit_code", [0, 1, 5])
def test_a_base_without_a_report_is_refused(exit_code, judge):
    (reason,) = judge(BaseInventory, cases=(), report="missing", run={"exit_code": exit_code, "tail": "no such option"})
    assert (reason.code, reason.remedy) == ("report_missing", BASE_REMEDY)
    assert reason.detail.endswith(f"exited {exit_code}; its output ends: no such option")
    assert codes(judge(BaseInventory, cases=(), report="unreadable", run={"exit_code": exit_code})) == [
        "report_unreadable"
    ]


@pytest.mark.parametrize("report", ["read", "missing"])
def test_a_base_whose_run_was_killed_is_refused(report, judge):
    """What it lists may be a part only, and the rest could vanish unseen."""
    assert codes(judge(BaseInventory, report=report, run={"exit_code": None, "signal": 9})) == ["command_failed"]
    assert codes(judge(BaseInventory, report=report, run={"exit_code": None})) == ["command_failed"]
    assert codes(judge(BaseInventory, report=report, run={"timed_out": True, "exit_code": None})) == [
        "command_timed_out"
    ]


def with_run(block, **update):
    return block.model_copy(update={"run": block.run.model_copy(update=update)})


@pytest.mark.parametrize(
    ("index", "update", "expected"),
    [
        (0, {"exit_code": 0}, ["accept_passes_on_base"]),
        (0, {"exit_code": 127}, ["accept_not_runnable"]),
        (0, {"exit_code": None}, ["accept_not_runnable"]),
        (0, {"exit_code": None, "timed_out": True}, []),
        (0, {"exit_code": 3}, []),
        (1, {"exit_code": 1}, ["accept_fails_on_base"]),
        (1, {"exit_code": None, "timed_out": True}, ["accept_fails_on_base"]),
    ],
)
def test_accept_blocks_on_the_base(index, update, expected, judge, example):
    blocks = list(AcceptBase.from_json(example("accept_base.json")).blocks)
    blocks[index] = with_run(blocks[index], **update)
    assert codes(judge(AcceptBase, blocks=tuple(blocks))) == expected


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize(
    ("update", "expected"),
    [
        ({"exit_code": 1}, ["accept_failed"]),
        ({"exit_code": 127}, ["accept_failed"]),
        ({"exit_code": None, "signal": 11}, ["accept_failed"]),
        ({"exit_code": None, "timed_out": True}, ["command_timed_out"]),
        ({"exit_code": 0, "truncated": True}, ["output_truncated"]),
    ],
)
def test_accept_blocks_on_the_judged_tree(index, update, expected, judge, example):
    blocks = list(AcceptResults.from_json(example("accept_results.json")).blocks)
    blocks[index] = with_run(blocks[index], **update)
    assert codes(judge(AcceptResults, blocks=tuple(blocks))) == expected


@pytest.mark.parametrize("model", BLOCKS)
def test_blocks_that_are_not_the_specs_are_stale(model, judge, example):
    blocks = model.from_json(example(model.artifact)).blocks
    swapped = blocks[0].model_copy(update={"argv": ("python", "-c", "raise SystemExit(1)")})
    for other in (
        blocks[:1],
        blocks[::-1],
        (),
        (swapped, blocks[1]),
        (blocks[0].model_copy(update={"timeout_seconds": 9}), blocks[1]),
    ):
        assert codes(judge(model, blocks=other)) == ["evidence_stale"]
    assert codes(judge(model, context={"spec": None})) == ["artifact_missing"]


# --- coverage, quality, build, ci, smoke, changes


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"percent_hundredths": 7_999}, ["coverage_below_threshold"]),
        ({"percent_hundredths": 8_000}, []),
        ({"percent_hundredths": 10_000, "files": ()}, ["coverage_below_threshold"]),
        ({"report": "missing"}, ["report_missing"]),
        ({"report": "unreadable"}, ["report_unreadable"]),
        ({"run": {"exit_code": 2}}, ["command_failed"]),
        ({"run": {"exit_code": None, "signal": 9}}, ["command_failed"]),
        ({"run": {"exit_code": None, "timed_out": True}}, ["command_timed_out"]),
        ({"run": {"truncated": True}}, ["output_truncated"]),
    ],
)
def test_coverage(fields, expected, judge):
    assert codes(judge(CoverageReport, **fields)) == expected
    assert (
        judge(CoverageReport, context={"thresholds": Thresholds(coverage_hundredths=9_376)})[0].code
        == "coverage_below_threshold"
    )


def test_coverage_of_nothing_reaches_no_threshold(judge):
    context = {"thresholds": Thresholds(coverage_hundredths=0)}
    assert codes(judge(CoverageReport, files=(), context=context)) == ["coverage_below_threshold"]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"score_hundredths": 10_000}, ["artifact_invalid"]),
        ({"findings": 0, "score_hundredths": 10_000, "run": {"exit_code": 0}}, ["artifact_invalid"]),
        ({"findings": 0, "by_rule": (), "score_hundredths": 10_000}, ["report_contradicts_exit"]),
        ({"findings": 0, "by_rule": (), "score_hundredths": 10_000, "run": {"exit_code": 0}}, []),
        ({"run": {"exit_code": 2}}, ["command_failed"]),
        ({"run": {"exit_code": None, "signal": 9}}, ["command_failed"]),
        ({"run": {"exit_code": None}}, ["command_failed"]),
        ({"run": {"exit_code": None, "timed_out": True}}, ["command_timed_out"]),
        ({"run": {"truncated": True}}, ["output_truncated"]),
        # `--exit-zero`
        ({"run": {"exit_code": 0}}, ["report_contradicts_exit"]),
        ({"report": "missing"}, ["report_missing"]),
        ({"report": "unreadable"}, ["report_unreadable"]),
        ({"lines": 20, "score_hundredths": 5_000}, ["lint_below_threshold"]),
        ({"lines": 0, "score_hundredths": 0}, ["lint_below_threshold"]),
    ],
)
def test_quality(fields, expected, judge):
    assert codes(judge(CodeQualityScore, **fields)) == expected


def test_the_quality_formula():
    pairs = ((0, 1), (1, 100), (10, 1000), (1, 120), (3, 200), (1, 70_000), (1, 3), (100, 100), (0, 0), (1, 0))
    scores = [10_000, 9_000, 9_000, 9_166, 8_500, 9_998, 0, 0, 0, 0]
    assert [quality_hundredths(*pair) for pair in pairs] == scores


@pytest.mark.parametrize("model", [CiResults, SmokeTestResults])
def test_ci_and_smoke_must_exit_0(model, judge):
    assert codes(judge(model, run={"exit_code": 1})) == ["command_failed"]
    assert codes(judge(model, run={"exit_code": None})) == ["command_failed"]
    assert codes(judge(model, run={"timed_out": True})) == ["command_timed_out"]
    assert codes(judge(model, run={"truncated": True})) == ["output_truncated"]


def test_the_build_log_is_tied_to_its_header(example, context_for):
    rule, context = RULES["build_output.log"], context_for("build_output.log")
    log = parse_build_log(example("build_output.log"))
    assert codes(rule(example("build_output.log") + b"x", context)) == ["artifact_invalid"]
    edited = example("build_output.log").replace(b"Successfully built", b"Wrongfully! built")
    assert codes(rule(edited, context)) == ["artifact_invalid"]
    same_length = example("build_output.log").replace(b"1.4.1", b"6.6.6")
    assert codes(rule(same_length, context)) == ["artifact_invalid"]
    assert codes(rule(b"Successfully built\n", context)) == ["bad_json"]
    assert codes(rule(b"no newline", context)) == ["artifact_invalid"]
    for update, expected in (
        ({"exit_code": 1}, "command_failed"),
        ({"exit_code": None, "timed_out": True}, "command_timed_out"),
        ({"truncated": True}, "output_truncated"),
    ):
        bad = log.header.model_copy(update={"run": log.header.run.model_copy(update=update)})
        assert codes(rule(BuildLog(bad, log.output).to_bytes(), context)) == [expected]
    other = log.header.model_copy(update={"task": "T-9"})
    assert codes(rule(BuildLog(other, log.output).to_bytes(), context)) == ["evidence_stale"]


def test_output_that_is_not_utf8_is_kept(example):
    header = parse_build_log(example("build_output.log")).header
    output = b"\xff\n\x00"
    run = header.run.model_copy(update={"output_sha256": hashlib.sha256(output).hexdigest(), "output_bytes": 3})
    log = BuildLog(header.model_copy(update={"run": run}), output)
    assert parse_build_log(log.to_bytes()) == log


def test_modified_files(judge, example):
    (file,) = ModifiedFiles.from_json(example("modified_files.json")).files
    assert codes(judge(ModifiedFiles, files=())) == ["nothing_changed"]
    assert judge(ModifiedFiles, files=(), context={"may_be_empty": True}) == ()
    assert codes(judge(ModifiedFiles, files=(file, file))) == ["artifact_invalid"]
    assert codes(judge(ModifiedFiles, files=(file.model_copy(update={"change": "added"}),))) == ["artifact_invalid"]


def test_the_patch(example, context_for):
    rule, context = RULES["git_diff.patch"], context_for("git_diff.patch")
    assert codes(rule(b" \n", context)) == ["nothing_changed"]
    assert codes(rule(b"trust me\n", context)) == ["artifact_invalid"]
    data = example("git_diff.patch")
    assert rule(data, context_for("git_diff.patch", changed_paths=frozenset({"src/pager.py"}))) == ()
    assert codes(rule(data, context_for("git_diff.patch", changed_paths=frozenset({"a", "b"})))) == ["artifact_invalid"]


def test_reasons_quote_the_end_of_the_output(judge, example):
    """The rule sees digests of output only; the record carries the end of it."""
    tail = "x" * 100 + "y" * MAX_QUOTED
    for model, fields, run in (
        (TestResults, {"report": "missing", "cases": ()}, {}),
        (TestResults, {"cases": ()}, {"exit_code": 5}),
        (TestResults, {}, {"exit_code": 1}),
        (CoverageReport, {"report": "missing"}, {}),
        (CoverageReport, {}, {"exit_code": 1}),
        (CodeQualityScore, {"report": "missing"}, {}),
        (CodeQualityScore, {}, {"exit_code": 2}),
        (CiResults, {}, {"exit_code": 1}),
    ):
        detail = judge(model, run={**run, "tail": tail}, **fields)[0].detail
        assert detail.endswith("its output ends: " + "y" * MAX_QUOTED), model
        assert "its output ends" not in judge(model, run={**run, "tail": ""}, **fields)[0].detail
    blocks = list(AcceptResults.from_json(example("accept_results.json")).blocks)
    blocks[0] = with_run(blocks[0], exit_code=1, tail="AssertionError: 3 == 2")
    (reason,) = judge(AcceptResults, blocks=tuple(blocks))
    assert (reason.code, reason.detail.endswith("AssertionError: 3 == 2")) == ("accept_failed", True)


def test_failing_tests_are_named(judge):
    failing = cases(*OLD, NEW, *((f"x.t{number:02}", "failed") for number in range(12)))
    reason = judge(TestResults, cases=failing, run={"exit_code": 1})[0]
    assert reason.detail == "12 failed: " + ", ".join(f"x.t{n:02}" for n in range(10)) + " and 2 more"


@pytest.mark.parametrize(
    ("output", "tail"),
    [
        (b"", ""),
        (b" \n\t\n", ""),
        (b"one\r\ntwo\n", "one two"),
        (b"\x1b[31;1mred\x1b[0m \x1b]0;title\x07done\x00", "red done"),
        ("a\u202eb\u2028c\u200bd".encode(), "a b c d"),
        (b"\xff!", "\ufffd!"),
        ("é".encode() * 400, "é" * TAIL_CHARACTERS),
        (b"a " + b"b" * (TAIL_CHARACTERS - 1), "b" * (TAIL_CHARACTERS - 1)),
        (b"a" * 5_000 + b"end", "a" * (TAIL_CHARACTERS - 3) + "end"),
        (b"first " + b"\n" * 100_000 + b"last", "last"),
    ],
)
def test_the_tail(output, tail):
    assert tail_of(output) == tail
    assert tail_of(tail.encode()) == tail
    assert CommandRun(
        argv=("x",), exit_code=0, duration_ms=1, isolation="none", output_sha256="0" * 64, output_bytes=0, tail=tail
    )


def test_a_run_keeps_its_types():
    fields = {
        "argv": ("x",),
        "exit_code": 0,
        "duration_ms": 1,
        "isolation": "none",
        "output_sha256": "0" * 64,
        "output_bytes": 0,
    }
    assert CommandRun(**fields).succeeded
    for name, value in (
        ("exit_code", True),
        ("exit_code", "0"),
        ("isolation", "docker"),
        ("output_sha256", "0" * 63),
        ("argv", ()),
    ):
        with pytest.raises(ValueError, match=name):
            CommandRun(**{**fields, name: value})


def test_a_record_of_another_kind_is_not_read(example):
    with pytest.raises(ContractError):
        SmokeTestResults.from_json(example("test_results.json"))
