"""The workspace a command works on: opened for reading, for writing, or for a rehearsal, and always closed.

Where a daemon has the engine, the same is asked of it: it rehearses on its side, on a line of its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from autopilot.cli.options import Call
from autopilot.cli.snapshot import keep
from autopilot.kernel.errors import MissingComponentError
from autopilot.vcs.repository import Repository
from autopilot.wiring import rehearsal
from autopilot.wiring.full import Workspace, here
from autopilot.wiring.stores import location_of


def is_served(call: Call) -> bool:
    """Whether a daemon has the engine of the call's directory."""
    repository = Repository.locate(call.directory)
    return bool(location_of(repository, call.environ).daemon)


def require_files(call: Call, what: str) -> None:
    """MissingComponentError `engine_user_only` where the engine's files are a daemon's, and `what` works on them."""
    if is_served(call):
        raise MissingComponentError("engine_user_only", where=what, detail=f"{what} works on the engine's files")


@contextlib.contextmanager
def reading(call: Call) -> Iterator[Workspace]:
    """The workspace of the call's directory, for a command that appends nothing."""
    with Workspace.open(call.directory) as workspace:
        yield workspace


@contextlib.contextmanager
def judging(call: Call) -> Iterator[Workspace]:
    """The workspace for a command that only asks what would be: what is put into it is forgotten."""
    outside = here()
    with Workspace.open(call.directory, outside=outside) as workspace:
        far = workspace.with_purpose("judge") if workspace.is_remote else rehearsal.judging(workspace, outside)
        with far as copied:
            yield copied


@contextlib.contextmanager
def writing(call: Call) -> Iterator[Workspace]:
    """The workspace for a command that may append; under `--dry-run` one that forgets what is appended.

    What `status` shows is renewed on the way out, after a refusal too: that is a line on the ledger as well.
    """
    outside = here()
    with Workspace.open(call.directory, outside=outside) as workspace:
        if call.dry_run:
            far = workspace.with_purpose("rehearse") if workspace.is_remote else None
            with far or rehearsal.rehearsing(workspace, outside) as copied:
                yield copied
            return
        workspace.flags.note_requests(call.caller)
        try:
            yield workspace
        finally:
            if not workspace.is_remote:
                keep(workspace)
