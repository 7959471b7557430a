"""Generated files, held against what their commands write."""

from __future__ import annotations

from collections.abc import Mapping

from autopilot.evidence.values.runs import tail_of
from autopilot.kernel.reasons import Reason
from autopilot.process.runners.bench import Bench
from autopilot.process.runners.building import workshop_of
from autopilot.vcs.diff import FileChange


def generated(bench: Bench, tree: str, changes: tuple[FileChange, ...]) -> None:
    """Hold each generated file against what its command writes, byte for byte."""
    file_map = bench.file_map()
    if file_map is None:
        return
    by_command: dict[tuple[str, ...], list[str]] = {}
    for change in changes:
        argv = file_map.generated_by(change.path) if change.change != "deleted" else ()
        if argv and not any(e.path == change.path and e.change != "generated" for e in file_map.entries):
            by_command.setdefault(argv, []).append(change.path)
    if not by_command or not bench.execute:
        return
    _regenerated(bench, tree, by_command, "")
    # A file that was there before is generated only if its command made it then as well.
    base = bench.task.base_tree
    there = {
        argv: [path for path in paths if bench.site.trees.read(base, path) is not None]
        for argv, paths in by_command.items()
    }
    _regenerated(bench, base, {argv: paths for argv, paths in there.items() if paths}, "on the base, ")


def _regenerated(bench: Bench, tree: str, by_command: Mapping[tuple[str, ...], list[str]], where: str) -> None:
    """Run each command on the tree without its files, and refuse what it does not write as the tree has it."""
    if not by_command:
        return
    with workshop_of(bench, tree) as shop:
        shop.build()
        for argv, paths in by_command.items():
            ran, written = shop.regenerate(argv, tuple(paths))
            if not ran.succeeded:
                bench.fail(
                    Reason(
                        "command_failed",
                        where=paths[0],
                        detail=f"{where}{' '.join(argv)}: exit {ran.exit_code}: {tail_of(ran.output)}",
                    )
                )
                continue
            for path in paths:
                if written[path] != bench.site.trees.read(tree, path):
                    detail = f"{where}{path} is not what `{' '.join(argv)}` writes"
                    bench.fail(Reason("generated_differs", where=path, detail=detail))
