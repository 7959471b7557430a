"""The configuration a task runs under: the copy sealed when it opened, tightened by the present file.

What was changed or loosened since is inert: the sealed commands run, and `config_changed` waits for an approval bound
to the difference. Once it is given, the present configuration is what runs, and the move seals it.
"""

from __future__ import annotations

from dataclasses import replace

from autopilot.kernel.canonical import digest_of, dumps
from autopilot.kernel.reasons import Reason
from autopilot.kernel.settings_changes import direction, effective
from autopilot.process.runners.bench import Bench


def settle_config(bench: Bench) -> bool:
    """Put the settings that count onto the bench's ticket; ask for approval where the file says otherwise.

    True if no approval is waited for.
    """
    granted = True
    sealed, present = bench.ticket.settings, bench.engine.present_settings
    settings = effective(sealed, present)
    found = direction(sealed, present)
    # Who may approve is the workspace's question: a task that was opened before must not carry an older answer over it.
    standing = bench.engine.standing_settings(bench.engine.store.view().state) or sealed
    approvals = tuple(key for key in direction(standing, present).loosened if key.startswith("approvals."))
    if found.needs_approval or approvals:
        shown = ", ".join(dict.fromkeys((*found.changed, *found.loosened, *approvals)))
        granted = bench.need(
            Reason("config_changed", where="autopilot.toml", detail=f"{shown} changed since the task opened"),
            kind="config_changed",
            digest=digest_of([sealed.as_dict(), standing.as_dict()["approvals"], present.as_dict()]),
            why=f"run with a changed configuration: {shown}",
        )
        if granted:
            settings = present
            bench.config = bench.engine.store.objects.put(dumps(present.as_dict()))
    bench.ticket = replace(bench.ticket, settings=settings)
    startup = bench.site.toolbox(settings.python).facts().startup_sha256
    if startup != bench.task.interpreter:
        # Packages and start-up files of the interpreter lie outside the tree: no diff shows that a runner was patched.
        same = bench.need(
            Reason("environment_changed", where="python", detail="its installed packages or start-up files"),
            kind="environment_changed",
            digest=startup,
            why="run with an interpreter whose installed packages or start-up files changed since the task opened",
        )
        granted = granted and same
        if same:
            bench.interpreter = startup
    return granted
