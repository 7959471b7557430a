"""The content rules by artifact name, and the size each artifact may have: what profiles name and wiring hands in."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from autopilot.evidence.context import Rule, RuleContext
from autopilot.evidence.file_map import MAX_BYTES as MAX_FILE_MAP_BYTES
from autopilot.evidence.markdown import MAX_BYTES as MAX_DOCUMENT_BYTES
from autopilot.evidence.pull_request import MAX_URL_BYTES
from autopilot.evidence.rules.implement import MAX_PATCH_BYTES, check_git_diff, check_modified_files
from autopilot.evidence.rules.monitor import check_deployment_status, check_smoke_results
from autopilot.evidence.rules.plan import check_accept_base, check_base_inventory, check_file_map, check_plan
from autopilot.evidence.rules.pr import check_ci_results, check_pr_template, check_pr_url
from autopilot.evidence.rules.review import check_code_quality, check_review_rubric
from autopilot.evidence.rules.spec import check_spec
from autopilot.evidence.rules.strategize import check_strategy
from autopilot.evidence.rules.think import check_edge_cases
from autopilot.evidence.rules.verify import (
    check_accept_results,
    check_build_log,
    check_coverage,
    check_test_results,
)
from autopilot.evidence.values.deployment import MAX_BYTES as MAX_DEPLOYMENT_BYTES
from autopilot.evidence.values.records import MAX_RECORD_BYTES
from autopilot.evidence.values.rubric import MAX_BYTES as MAX_RUBRIC_BYTES
from autopilot.kernel.reasons import Reason

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "strategy.md": check_strategy,
        "spec.md": check_spec,
        "plan.md": check_plan,
        "file_map.json": check_file_map,
        "base_inventory.json": check_base_inventory,
        "accept_base.json": check_accept_base,
        "edge_cases.md": check_edge_cases,
        "git_diff.patch": check_git_diff,
        "modified_files.json": check_modified_files,
        "test_results.json": check_test_results,
        "build_output.log": check_build_log,
        "coverage_report.json": check_coverage,
        "accept_results.json": check_accept_results,
        "review_rubric.json": check_review_rubric,
        "code_quality_score.json": check_code_quality,
        "pr_url.txt": check_pr_url,
        "pr_template_filled.md": check_pr_template,
        "ci_results.json": check_ci_results,
        "smoke_test_results.json": check_smoke_results,
        "deployment_status.json": check_deployment_status,
    }
)

CAPS: Mapping[str, int] = MappingProxyType(
    {
        **dict.fromkeys(RULES, MAX_RECORD_BYTES),
        **dict.fromkeys(
            ("strategy.md", "spec.md", "plan.md", "edge_cases.md", "pr_template_filled.md"), MAX_DOCUMENT_BYTES
        ),
        "file_map.json": MAX_FILE_MAP_BYTES,
        "git_diff.patch": MAX_PATCH_BYTES,
        "review_rubric.json": MAX_RUBRIC_BYTES,
        "pr_url.txt": MAX_URL_BYTES,
        "deployment_status.json": MAX_DEPLOYMENT_BYTES,
    }
)


def check_artifact(name: str, data: bytes, context: RuleContext) -> tuple[Reason, ...]:
    """The reasons why `data` is not a fit artifact `name`; `unknown_artifact` for a name without a rule."""
    rule = RULES.get(name)
    if rule is None:
        # An artifact nobody can judge is refused, not waved through.
        return (Reason("unknown_artifact", detail=f"there is no content rule for {name[:80]!r}", where=name[:80]),)
    return rule(data, context)
