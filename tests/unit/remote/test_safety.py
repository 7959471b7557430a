"""What must be so before a daemon starts, as pure decisions over facts of folders."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from autopilot.kernel.ownership import Folder, exchangeable
from autopilot.remote.safety import check_file, check_socket_folder, check_state, check_users

ENGINE, AGENT = 1002, 1001
FOLDER, FILE, LINK = stat.S_IFDIR, stat.S_IFREG, stat.S_IFLNK


def chain(*facts: tuple[int, int]) -> tuple[Folder, ...]:
    """Folders from the innermost on: (owner, mode)."""
    return tuple(Folder(Path(f"/f{index}"), uid, mode) for index, (uid, mode) in enumerate(facts))


ROOTS = ((0, FOLDER | 0o755), (0, FOLDER | 0o755))


@pytest.mark.parametrize(
    ("state", "above", "good"),
    [
        ((ENGINE, FOLDER | 0o700), (0, FOLDER | 0o755), True),
        ((ENGINE, FOLDER | 0o700), (ENGINE, FOLDER | 0o711), True),
        ((ENGINE, FOLDER | 0o700), (0, FOLDER | 0o1777), True),
        ((ENGINE, FOLDER | 0o750), (0, FOLDER | 0o755), False),
        ((ENGINE, FOLDER | 0o701), (0, FOLDER | 0o755), False),
        ((AGENT, FOLDER | 0o700), (0, FOLDER | 0o755), False),
        ((0, FOLDER | 0o700), (0, FOLDER | 0o755), False),
        ((ENGINE, LINK | 0o777), (0, FOLDER | 0o755), False),
        ((ENGINE, FILE | 0o600), (0, FOLDER | 0o755), False),
        ((ENGINE, FOLDER | 0o700), (0, FOLDER | 0o777), False),
        ((ENGINE, FOLDER | 0o700), (0, FOLDER | 0o775), False),
        ((ENGINE, FOLDER | 0o700), (AGENT, FOLDER | 0o755), False),
        ((ENGINE, FOLDER | 0o700), (0, LINK | 0o777), False),
    ],
)
def test_the_state_is_out_of_everybodys_reach(state: tuple[int, int], above: tuple[int, int], good: bool) -> None:
    """The folder itself is closed, and nobody else can exchange one above it."""
    assert (not check_state(chain(state, above, *ROOTS), ENGINE)) is good


@pytest.mark.parametrize(
    ("folder", "above", "good"),
    [
        ((ENGINE, FOLDER | 0o755), (0, FOLDER | 0o755), True),
        ((0, FOLDER | 0o755), (0, FOLDER | 0o755), True),
        ((0, FOLDER | 0o755), (0, FOLDER | 0o1777), True),
        # Sticky is not enough for the folder itself: who is first has the name.
        ((0, FOLDER | 0o1777), (0, FOLDER | 0o755), False),
        ((ENGINE, FOLDER | 0o775), (0, FOLDER | 0o755), False),
        ((AGENT, FOLDER | 0o755), (0, FOLDER | 0o755), False),
        ((ENGINE, FOLDER | 0o755), (AGENT, FOLDER | 0o755), False),
        ((ENGINE, LINK | 0o777), (0, FOLDER | 0o755), False),
    ],
)
def test_nobody_can_put_a_socket_in_the_place(folder: tuple[int, int], above: tuple[int, int], good: bool) -> None:
    """Both sides ask this: the daemon before it listens, the client before it says anything."""
    assert (not check_socket_folder(chain(folder, above, *ROOTS), ENGINE)) is good


def test_users_that_are_no_split() -> None:
    """The engine as the owner, or as root; the first can be said on purpose."""
    assert not check_users(engine_uid=ENGINE, owner_uid=AGENT, allow_same_user=False)
    assert check_users(engine_uid=AGENT, owner_uid=AGENT, allow_same_user=False)
    assert not check_users(engine_uid=AGENT, owner_uid=AGENT, allow_same_user=True)
    assert check_users(engine_uid=0, owner_uid=AGENT, allow_same_user=True)


def test_who_may_connect_is_said_by_root_or_the_engine_alone() -> None:
    """A table that others can write is no table."""
    assert not check_file(chain((ENGINE, FILE | 0o644))[0], ENGINE)
    assert not check_file(chain((0, FILE | 0o600))[0], ENGINE)
    assert check_file(chain((AGENT, FILE | 0o600))[0], ENGINE)
    assert check_file(chain((ENGINE, FILE | 0o664))[0], ENGINE)
    assert check_file(chain((ENGINE, LINK | 0o777))[0], ENGINE)


def test_a_way_that_somebody_can_exchange() -> None:
    """Links are as good as their owner; a folder of anybody else's is not."""
    assert not exchangeable(chain((0, LINK | 0o777), *ROOTS), ENGINE)
    assert not exchangeable(chain((ENGINE, FOLDER | 0o700), (0, FOLDER | 0o1777)), ENGINE)
    assert exchangeable(chain((AGENT, LINK | 0o777), *ROOTS), ENGINE)
    assert exchangeable(chain((0, FOLDER | 0o755), (AGENT, FOLDER | 0o700)), ENGINE)
