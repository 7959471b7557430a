"""What a session can find out about the server and its own rights, for `doctor`."""

from __future__ import annotations

import contextlib

from autopilot.storage.postgres.address import Address
from autopilot.storage.postgres.schema import require_schema
from autopilot.storage.postgres.session import Session

_ASK = """
SELECT current_setting('server_version'), current_setting('server_version_num')::integer / 10000, current_user,
       has_table_privilege('autopilot.entry', 'UPDATE, DELETE, TRUNCATE')
           OR has_table_privilege('autopilot.object', 'UPDATE, DELETE, TRUNCATE'),
       (SELECT pg_has_role(current_user, tableowner, 'MEMBER') FROM pg_tables
        WHERE schemaname = 'autopilot' AND tablename = 'entry'),
       current_setting('synchronous_commit'), current_setting('fsync')::boolean,
       current_setting('synchronous_standby_names')
"""


def server_facts(address: Address) -> tuple[str, int, str, bool, bool, str, bool, str]:
    """Version, its first number, role, may it change lines, owns it the tables, synchronous_commit, fsync, standbys.

    StorageError `store_unreachable`, `store_schema`.
    """
    with contextlib.closing(Session(address)) as session:
        require_schema(session)
        (row,) = session.rows(_ASK)
    version, server, role, may_change, owns, commit, fsync, standbys = row
    return str(version), int(server), str(role), bool(may_change), bool(owns), str(commit), bool(fsync), str(standbys)
