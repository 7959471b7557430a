"""git_diff.patch and modified_files.json: what the engine saw change, and that something did."""

from __future__ import annotations

from autopilot.evidence.context import RuleContext
from autopilot.evidence.findings import Finding, reasons_of, refusing
from autopilot.evidence.values.changes import ModifiedFile, ModifiedFiles
from autopilot.kernel.reasons import Reason

PATCH_NAME = "git_diff.patch"
MAX_PATCH_BYTES = 64 * 1024 * 1024

_HEADER = b"diff --git "
_SIDES = {"added": (False, True), "modified": (True, True), "deleted": (True, False), "mode": (True, True)}


@refusing
def check_git_diff(data: bytes, context: RuleContext) -> tuple[Reason, ...]:
    """A patch with one header for each changed file."""
    if len(data) > MAX_PATCH_BYTES:
        return (Reason("artifact_too_large", detail=f"{len(data)} bytes, at most {MAX_PATCH_BYTES}", where=PATCH_NAME),)
    if not data.strip():
        return () if context.may_be_empty else (Reason("nothing_changed", where=PATCH_NAME),)
    if not data.startswith(_HEADER):
        return (Reason("artifact_invalid", detail="it does not begin with `diff --git`", where=f"{PATCH_NAME}:1"),)
    if context.changed_paths is not None:
        # Lines of a hunk begin with a space, a sign or a backslash, so that a header cannot be faked inside one.
        headers = data.count(b"\n" + _HEADER) + 1
        if headers != len(context.changed_paths):
            detail = f"{headers} files in the patch, {len(context.changed_paths)} in modified_files.json"
            return (Reason("artifact_invalid", detail=detail, where=PATCH_NAME),)
    return ()


@refusing
def check_modified_files(data: bytes, context: RuleContext) -> tuple[Reason, ...]:
    """Bound to this task and tree, each entry in itself possible, and not empty."""
    record = ModifiedFiles.from_json(data)
    misfit = record.misbound(task=context.task_id, epoch=context.epoch, tree=context.tree)
    if misfit:
        return misfit
    if not record.files:
        return () if context.may_be_empty else (Reason("nothing_changed", where=ModifiedFiles.artifact),)
    findings = [fault for index, file in enumerate(record.files) for fault in _file_faults(file, f"files[{index}]")]
    if len({file.path for file in record.files}) != len(record.files):
        findings.append(Finding("artifact_invalid", "a path stands twice", item="files"))
    return reasons_of(ModifiedFiles.artifact, findings)


def _file_faults(file: ModifiedFile, place: str) -> list[Finding]:
    if (file.old_sha is not None, file.new_sha is not None) != _SIDES[file.change]:
        return [Finding("artifact_invalid", f"{file.change} does not fit the blob ids", item=place)]
    return []
