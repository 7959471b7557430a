"""One runner per phase: the engine's own work in it, started by the `RunnerDesk` and by nothing else.

Each takes a bench and leaves its findings there. What a runner executes, it executes on a tree the engine built:
the base tree in PLAN, the judged tree from VERIFY on. In VERIFY and REVIEW the working tree must be the judged one; in
PR the commit, in MONITOR the commit that went out: what is looked at must be what ships.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from autopilot.evidence.file_map import outside_paths
from autopilot.evidence.pins import Runs, pinned_changes
from autopilot.evidence.pull_request import TEMPLATE_NAME, fill_evidence
from autopilot.evidence.values.changes import ModifiedFile, ModifiedFiles
from autopilot.evidence.values.deployment import NAME as DEPLOYMENT_NAME
from autopilot.evidence.values.deployment import parse_deployment
from autopilot.kernel.canonical import digest_of
from autopilot.kernel.errors import ContractError
from autopilot.kernel.phases import Phase
from autopilot.kernel.reasons import Reason
from autopilot.process.origin import origin_tree, uncommitted
from autopilot.process.runners import executed
from autopilot.process.runners.bench import Bench
from autopilot.process.runners.config import settle_config
from autopilot.process.runners.generated import generated
from autopilot.vcs.diff import FileChange

_SHOWN = 10


def strategize(bench: Bench) -> None:
    """STRATEGIZE: the strategy, as written."""
    bench.documents()


def specify(bench: Bench) -> None:
    """SPEC: the criteria and their proofs, as written; sealed with the move."""
    bench.documents()


def plan(bench: Bench) -> None:
    """PLAN: the plan as written, the test inventory of the base, and the accept blocks on the base."""
    settle_config(bench)
    bench.documents()
    executed.base_inventory(bench)
    executed.accept_base(bench)


def thinker(bench: Bench) -> None:
    """THINK: the edge cases, as written."""
    bench.documents()


def implement(bench: Bench) -> None:
    """IMPLEMENT: what changed, observed; held against the plan and the profile's size."""
    task = bench.task
    snapshot = bench.site.trees.snapshot(base_tree=task.base_tree)
    origin = origin_tree(bench.site, task)
    changes = bench.site.trees.changes(origin, snapshot.tree)
    bench.judged_tree = snapshot.tree
    if not changes or snapshot.tree == task.base_tree:
        bench.fail(Reason("nothing_changed", detail="the working tree is the base tree"))
    patch = bench.site.trees.patch(origin, snapshot.tree)
    bench.produce("git_diff.patch", patch, tree=snapshot.tree, inputs=origin)
    bench.produce("modified_files.json", _modified(bench, origin, changes), tree=snapshot.tree, inputs=origin)
    _check_plan_lock(bench, changes)
    _check_size(bench, changes)
    generated(bench, snapshot.tree, changes)


def verify(bench: Bench) -> None:
    """VERIFY: build, tests, coverage and accept blocks on the judged tree; pins; criteria that a person proves."""
    if not _judged(bench):
        return
    settled = settle_config(bench)
    pinned = _check_pins(bench)
    if (settled and pinned) or not bench.enforces("test_pins"):
        executed.verify(bench)
    else:
        executed.defer_verify(bench)
    spec = bench.spec()
    for criterion in spec.criteria if spec else ():
        if criterion.proof == "human":
            why = f"{criterion.id} is proved by a person: {criterion.text}"
            bench.need(
                Reason("approval_needed", where=criterion.id, detail=why),
                kind="criterion_human",
                digest=digest_of([criterion.id, criterion.text, bench.task.judged_tree]),
                why=why,
            )


def review(bench: Bench) -> None:
    """REVIEW: the rubric as written by somebody else, and the code quality score."""
    settle_config(bench)
    bench.documents()
    if _judged(bench):
        executed.quality(bench)


def pr(bench: Bench) -> None:
    """PR: the request as written, CI as run here, and a commit with exactly the judged tree."""
    settle_config(bench)
    _fill_pr_template(bench)
    bench.documents()
    if not _judged(bench, working_tree=False):
        return
    _check_commit(bench)
    executed.ci(bench)


def monitor(bench: Bench) -> None:
    """MONITOR: the smoke test as run here, the deployment's state as written, of a commit with the judged tree."""
    settle_config(bench)
    bench.documents()
    if not _judged(bench, working_tree=False):
        return
    _check_deployed(bench)
    executed.smoke(bench)


PHASE_RUNNERS: Mapping[Phase, Callable[[Bench], None]] = MappingProxyType(
    {
        Phase.STRATEGIZE: strategize,
        Phase.SPEC: specify,
        Phase.PLAN: plan,
        Phase.THINK: thinker,
        Phase.IMPLEMENT: implement,
        Phase.VERIFY: verify,
        Phase.REVIEW: review,
        Phase.PR: pr,
        Phase.MONITOR: monitor,
    }
)


def _judged(bench: Bench, *, working_tree: bool = True) -> bool:
    """Whether there is a judged tree, and (where asked) whether the working tree still is that tree."""
    judged = bench.task.judged_tree
    if not judged:
        # Cannot happen through the graph; a state without it must not be verified as if it were the base.
        bench.fail(Reason("evidence_stale", detail="no tree was sealed when IMPLEMENT was left"))
        return False
    if working_tree:
        now = bench.site.trees.snapshot(base_tree=bench.task.base_tree).tree
        if now != judged:
            paths = ", ".join(change.path for change in bench.site.trees.changes(judged, now)[:_SHOWN])
            bench.fail(Reason("tree_changed", detail=f"changed since IMPLEMENT was left: {paths}"))
    return True


def _modified(bench: Bench, origin: str, changes: tuple[FileChange, ...]) -> bytes:
    return ModifiedFiles(
        task=bench.task.id,
        epoch=bench.task.epoch,
        tree=bench.judged_tree,
        base_tree=origin,
        files=tuple(
            ModifiedFile(
                path=change.path,
                change=change.change,  # type: ignore[arg-type]
                old_sha=change.old_sha,
                new_sha=change.new_sha,
                added_lines=change.added_lines,
                deleted_lines=change.deleted_lines,
                binary=change.binary,
            )
            for change in changes
        ),
    ).to_json()


def _check_plan_lock(bench: Bench, changes: tuple[FileChange, ...]) -> None:
    file_map = bench.file_map()
    pairs = [(change.path, change.change) for change in changes]
    outside = [path for path, _ in (outside_paths(file_map, pairs) if file_map else pairs)]
    if outside and file_map:
        # Counted from the commit, a file that lay there uncommitted is added; the plan may well call it modified.
        loose = uncommitted(bench.site, bench.task)
        there = {path for path, change in pairs if path in loose and change != "deleted"}
        planned = {path for path in there if file_map.allows(path, "added") or file_map.allows(path, "modified")}
        outside = [path for path in outside if path not in planned]
    if outside:
        shown = ", ".join(outside[:_SHOWN]) + (f" and {len(outside) - _SHOWN} more" if len(outside) > _SHOWN else "")
        bench.need(
            Reason("outside_plan", where=outside[0], detail=shown),
            kind="outside_plan",
            digest=_diff_digest(changes, frozenset(outside)),
            why=f"change files outside the plan: {shown}",
        )


def _check_size(bench: Bench, changes: tuple[FileChange, ...]) -> None:
    profile = bench.ticket.profile
    lines = sum(change.added_lines + change.deleted_lines for change in changes)
    if profile.max_changed_files and len(changes) > profile.max_changed_files:
        detail = f"{len(changes)} files; {profile.name} carries {profile.max_changed_files}"
        bench.fail(Reason("profile_too_light", detail=detail))
    elif profile.max_changed_lines and lines > profile.max_changed_lines:
        detail = f"{lines} lines; {profile.name} carries {profile.max_changed_lines}"
        bench.fail(Reason("profile_too_light", detail=detail))


def _check_pins(bench: Bench) -> bool:
    """Ask for approval of changed pins; True if none is waited for.

    Held against the base and against the commit it was opened on: a test weakened in the working tree just before
    `task open` would otherwise be the base.
    """
    trees, task = bench.site.trees, bench.task
    origins = [task.base_tree]
    if task.base_commit:
        origins.append(bench.site.repository.commit_tree(task.base_commit))
    found: dict[str, tuple[str, FileChange]] = {}
    for origin in dict.fromkeys(origins):
        changes = {change.path: change for change in trees.changes(origin, task.judged_tree)}
        pinned = pinned_changes(
            [(change.path, change.change) for change in changes.values()],
            partial(_before_and_after, bench, origin),
            runs=Runs.of(bench.ticket.settings.commands),
            extra=bench.ticket.settings.pins.extra,
        )
        # autopilot.toml is settled with the configuration, by what it means.
        found.update({pin.path: (pin.why, changes[pin.path]) for pin in pinned if pin.path != "autopilot.toml"})
    if not found:
        return True
    shown = "; ".join(f"{path} ({why})" for path, (why, _) in list(found.items())[:_SHOWN])
    return bench.need(
        Reason("tests_changed", where=next(iter(found)), detail=shown),
        kind="tests_changed",
        digest=_diff_digest(tuple(change for _, change in found.values()), frozenset(found)),
        why=f"change pinned files: {shown}",
    )


def _before_and_after(bench: Bench, origin: str, path: str) -> tuple[bytes | None, bytes | None]:
    return bench.site.trees.read(origin, path), bench.site.trees.read(bench.task.judged_tree, path)


def _fill_pr_template(bench: Bench) -> None:
    """Write the engine's section into pr_template_filled.md in the phase's folder, if the file is there."""
    data = bench.asserted_bytes(TEMPLATE_NAME)
    if data is None:
        return
    try:
        filled = fill_evidence(data.decode(), bench.excerpt()).encode()
    except UnicodeDecodeError:
        return  # judged as it stands: the content rule refuses what is not text
    except ContractError as error:
        for reason in error.reasons():
            bench.fail(reason)
        return
    if filled != data:
        bench.write_back(TEMPLATE_NAME, filled)


def _check_commit(bench: Bench) -> None:
    commit = bench.site.repository.head_commit()
    if commit is None:
        bench.fail(Reason("tree_mismatch", detail="there is no commit yet"))
        return
    _check_tree_of(bench, commit, where=commit[:12])


def _check_deployed(bench: Bench) -> None:
    """What went out is what was judged. HEAD may have moved on: the commit that the document names is looked at."""
    try:
        data = bench.asserted_bytes(DEPLOYMENT_NAME)
        commit = "" if data is None else parse_deployment(data).commit
    except ContractError:
        return  # The document's own check has refused it.
    if not commit:
        return
    try:
        _check_tree_of(bench, commit, where=f"{DEPLOYMENT_NAME} commit")
    except ContractError as error:
        bench.fail(Reason("tree_mismatch", where=f"{DEPLOYMENT_NAME} commit", detail=str(error)))


def _check_tree_of(bench: Bench, commit: str, *, where: str) -> None:
    judged, tree = bench.task.judged_tree, bench.site.repository.commit_tree(commit)
    if tree != judged:
        paths = ", ".join(change.path for change in bench.site.trees.changes(judged, tree)[:_SHOWN])
        detail = f"commit {commit[:12]} differs from what was verified and reviewed in: {paths}"
        bench.fail(Reason("tree_mismatch", where=where, detail=detail))


def _diff_digest(changes: tuple[FileChange, ...], paths: frozenset[str]) -> str:
    """Names one diff of these paths: an approval of it does not cover any other bytes."""
    return digest_of([[c.path, c.change, c.old_sha or "", c.new_sha or ""] for c in changes if c.path in paths])
