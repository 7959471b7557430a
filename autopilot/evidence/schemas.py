"""JSON Schemas of the JSON artifacts, as `docs/reference/schemas/` holds them.

They are made from the same models that read the artifacts, so that the two cannot part. A schema says the form;
whether the content is fit is the rules' to say.
"""

from __future__ import annotations

from typing import Any

from autopilot.evidence.file_map import FILE_MAP
from autopilot.evidence.values.accept import AcceptBase, AcceptResults
from autopilot.evidence.values.build_log import BuildHeader
from autopilot.evidence.values.changes import ModifiedFiles
from autopilot.evidence.values.coverage import CoverageReport
from autopilot.evidence.values.deployment import DeploymentStatus
from autopilot.evidence.values.quality import CodeQualityScore
from autopilot.evidence.values.records import Value
from autopilot.evidence.values.rubric import ReviewRubric
from autopilot.evidence.values.runs import CiResults, SmokeTestResults
from autopilot.evidence.values.tests import BaseInventory, TestResults

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_MODELS: dict[str, type[Value]] = {
    "base_inventory.json": BaseInventory,
    "accept_base.json": AcceptBase,
    "modified_files.json": ModifiedFiles,
    "test_results.json": TestResults,
    # The log's header line only; what follows it is the build's output.
    "build_output.log": BuildHeader,
    "coverage_report.json": CoverageReport,
    "accept_results.json": AcceptResults,
    "review_rubric.json": ReviewRubric,
    "code_quality_score.json": CodeQualityScore,
    "ci_results.json": CiResults,
    "smoke_test_results.json": SmokeTestResults,
    "deployment_status.json": DeploymentStatus,
}


def schemas() -> dict[str, dict[str, Any]]:
    """The schema of each JSON artifact, and of the header of build_output.log, by artifact name."""
    made = {name: model.model_json_schema(mode="serialization") for name, model in _MODELS.items()}
    made["file_map.json"] = FILE_MAP.json_schema()
    return {name: {"$schema": DIALECT, **schema, "title": name} for name, schema in sorted(made.items())}
