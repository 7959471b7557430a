"""Who may connect and as whom: by the user that the kernel names, and by nothing that the client says.

Red without: `Bound.caller` taking the kind from the table (an agent that says `human` is one); the user's number in the
session (a session of another user's can be named); `check_persons` (the repository's owner is configured as a person).
"""

from __future__ import annotations

import pytest

from autopilot.kernel.callers import Caller
from autopilot.kernel.errors import ContractError, RefusedError
from autopilot.remote.peers import Bound, Credentials, Peer, PeerTable, check_persons

TABLE = PeerTable(
    (
        Peer(uid=1001, actor="agent-7"),
        Peer(uid=1002),
        Peer(uid=1003, actor="carol", kind="human", approver=True),
        Peer(gid=2000),
    )
)


def who(uid: int, *groups: int) -> Credentials:
    """A process of that user."""
    return Credentials(uid, frozenset({uid, *groups}), 1)


def test_the_table_says_who_somebody_is() -> None:
    """By user first, then by group; everybody else is turned away."""
    assert TABLE.bind(who(1001, 2000)) == Bound(1001, "agent-7")
    assert TABLE.bind(who(1002)) == Bound(1002, "uid:1002")
    assert TABLE.bind(who(1003)) == Bound(1003, "carol", "human", approver=True)
    assert TABLE.bind(who(1009, 2000)) == Bound(1009, "uid:1009")
    for uid in (0, 1000, 65534):
        with pytest.raises(RefusedError) as caught:
            TABLE.bind(who(uid))
        assert caught.value.code == "peer_refused"


@pytest.mark.parametrize("kind", ["human", "engine", "agent"])
def test_an_agent_is_an_agent_whatever_it_says(kind: str) -> None:
    """The name it gives is a label of its session, within its own user."""
    bound = TABLE.bind(who(1001))
    caller = bound.caller(Caller("carol", kind, "uid:1003/tty"))  # type: ignore[arg-type]
    assert caller == Caller("agent-7", "agent", "uid:1001/uid:1003/tty")


def test_a_person_may_act_as_an_agent() -> None:
    """What her own tools run is not her doing."""
    bound = TABLE.bind(who(1003))
    assert bound.caller(Caller("x", "human", "tty")).kind == "human"
    assert bound.caller(Caller("x", "agent", "tty")).kind == "agent"
    assert bound.caller(Caller("x", "engine", "tty")).kind == "agent"


def test_long_labels_stay_apart_and_fit() -> None:
    """Two labels that are cut do not become one session."""
    bound = Bound(4_000_000_000, "a")
    one, other = (bound.caller(Caller("x", "agent", "s" * 127 + last)).session for last in "ab")
    assert one != other
    assert len(one) <= 128


def test_what_is_rendered_is_read_back() -> None:
    """`--init` writes what the daemon reads."""
    assert PeerTable.parse(TABLE.render().encode()) == TABLE


@pytest.mark.parametrize(
    "text",
    [
        "[[peer]]\n",
        "[[peer]]\nuid = 1\ngid = 1\n",
        "[[peer]]\nuid = -1\n",
        '[[peer]]\nuid = "1"\n',
        "[[peer]]\nuid = true\n",
        '[[peer]]\nuid = 1\nkind = "engine"\n',
        "[[peer]]\nuid = 1\napprover = true\n",
        '[[peer]]\ngid = 1\nkind = "human"\n',
        "[[peer]]\nuid = 1\n[[peer]]\nuid = 1\n",
        '[[peer]]\nuid = 1\nactor = "a"\n[[peer]]\nuid = 2\nactor = "Ａ"\n',
        '[[peer]]\nuid = 1\nactor = "uid:2"\n',
        "[[peer]]\nuid = 1\nrights = 7\n",
        "[peer]\nuid = 1\n",
        "users = [1]\n",
        "not toml",
    ],
)
def test_a_table_that_could_be_misread_is_refused(text: str) -> None:
    """Nothing is guessed of who may connect."""
    with pytest.raises(ContractError) as caught:
        PeerTable.parse(text.encode())
    assert caught.value.code == "bad_config"


def test_the_users_that_are_agents_by_nature_are_no_persons() -> None:
    """Who owns the repository runs the agent, and can never approve it."""
    assert not check_persons(TABLE, agent_uids=frozenset({1001, 1002}))
    (reason,) = check_persons(TABLE, agent_uids=frozenset({1003}))
    assert reason.code == "daemon_unsafe"
