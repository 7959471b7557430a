"""How a daemon's ledger begins: made by the engine's user, in a folder that nobody else can enter or rename."""

from __future__ import annotations

import os

from autopilot.kernel.callers import Caller
from autopilot.kernel.clock import SystemClock
from autopilot.kernel.configuration import NO_DAEMON
from autopilot.kernel.errors import ContractError
from autopilot.kernel.files import storage_error
from autopilot.kernel.ownership import look_up
from autopilot.kernel.placing import place_file
from autopilot.process.fold import ProcessFold
from autopilot.process.trust import Trust
from autopilot.remote.peers import PeerTable, check_persons
from autopilot.remote.safety import check_state, check_users
from autopilot.storage.files.creation import Genesis, create_store
from autopilot.storage.files.store import StoreParts
from autopilot.vcs.repository import Repository
from autopilot.version import VERSION
from autopilot.wiring.daemon import DRAFTS, Options, kept_apart, owners_of, unsafe_error
from autopilot.wiring.full import Outside, Workspace
from autopilot.wiring.stores import settings_bytes


def begin(repository: Repository, options: Options, table: PeerTable, caller: Caller) -> str:
    """Make the ledger and the table of users; the ledger's id. ContractError `daemon_unsafe`, `ledger_exists`.

    The repository's configuration, if it has one by now, is sealed as it is.
    """
    repository = kept_apart(repository)
    uid, owners, place = os.geteuid(), owners_of(repository), options.state_dir
    persons = frozenset() if options.allow_same_user else owners | {uid}
    reasons = list(check_persons(table, agent_uids=persons))
    for owner in sorted(owners):
        reasons += check_users(engine_uid=uid, owner_uid=owner, allow_same_user=options.allow_same_user)
    if not reasons:
        try:
            place.mkdir(mode=0o700, exist_ok=True)
            reasons = list(check_state(look_up(place), uid))
        except OSError as error:
            raise storage_error(error, place) from error
    if reasons:
        raise unsafe_error(reasons)
    parts = StoreParts(place, ProcessFold(), clock=SystemClock())
    store = create_store(parts, Genesis(caller, f"autopilot {VERSION}"))
    try:
        if options.config.exists():
            raise ContractError("bad_config", where=str(options.config), detail="the table of users is there already")
        place_file(options.config.parent, options.config.name, table.render().encode())
        if settings_bytes(repository) is not None:
            environ = {**options.environ, "AUTOPILOT_STATE_DIR": str(place), "AUTOPILOT_SOCKET": NO_DAEMON}
            trust = Trust(drafts=repository.main_worktree / DRAFTS)
            workspace = Workspace(repository, store, Outside(environ=environ, clock=SystemClock(), trust=trust))
            workspace.config.seal(caller)
            workspace.telemetry.close()
    finally:
        store.close()
    return store.ledger_id
