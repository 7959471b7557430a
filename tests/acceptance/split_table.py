"""What hostile code got, in each place it can run where the engine is a user of its own: as a table to be pasted.

    python tests/acceptance/split_table.py        # as root

The same program is run as the agent's user, and as the tests of the agent's project: under bubblewrap, and under a
third user. Project tests are run by the daemon, out of PLAN; what they print is in the engine's sealed objects.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hostile import program
from split import AGENT, ENGINE, PERSON, THIRD, Split, git_as, split_place, write_as

from autopilot.kernel.phases import Phase

TASK = "T-1"
SEAL = "from autopilot import Caller, Workspace\nprint(Workspace.open('.').config.seal(Caller('me', 'human')).seq)"
HOSTILE_TEST = "tests/test_hostile.py"


@dataclass
class Ground:
    """A split place with a daemon in which hostile code is about to run, and what that code knows."""

    split: Split
    facts: dict[str, object]

    def as_agent(self) -> dict[str, str]:
        """What it got as the agent's own user."""
        done = self.split.script(AGENT, program(json.dumps({**self.facts, "port": 9})))
        return _answers(done.stdout, done.stderr)

    def as_project(self) -> dict[str, str]:
        """What it got as the project's tests, which the engine runs when PLAN is left."""
        split = self.split
        with socket.create_server(("127.0.0.1", 0)) as server:
            text = program(json.dumps({**self.facts, "port": server.getsockname()[1]}))
            body = "".join(f"    {line}\n" if line else "\n" for line in text.splitlines())
            write_as(AGENT, split.repository / HOSTILE_TEST, f"def test_of_the_project():\n{body}")
            git_as(split, "add", "-A")
            git_as(split, "commit", "-qm", "tests")
            from test_daemon import prepare

            prepare(split, until=Phase.PLAN, hand_in_too=True)
            done = split.autopilot(AGENT, "verify", TASK, AUTOPILOT_SESSION="build")
            # 4: under a third user the accept blocks wait for a person, the tests have run.
            assert done.returncode in (0, 4), done.stderr
        found = [
            data
            for path in (split.state / "evidence" / ".objects").rglob("*")
            if path.is_file() and b"PROBE:{" in (data := path.read_bytes()) and b"def test_of_the_project" not in data
        ]
        return _answers(found[0].decode("utf-8", "replace") if found else "", "no output of the tests is sealed")


@contextlib.contextmanager
def hostile_ground(kind: str) -> Iterator[Ground]:
    """A daemon whose project code runs under `bwrap`, or under a third `user`."""
    with split_place() as split:
        split.begin()
        _settings(split, kind)
        if kind == "user":
            start_with_a_third_user(split)
        else:
            _make_a_key(split)
            split.start()
        sealed = split.script(PERSON, SEAL)
        assert sealed.returncode == 0, sealed.stderr
        assert split.daemon is not None
        facts: dict[str, object] = {
            "state": str(split.state),
            "key": str(next((split.state / "keys").glob("*.key"))),
            "socket": str(split.socket),
            "repository": str(split.repository),
            "pid": split.daemon.pid,
            "engine_uid": ENGINE,
            "engine_gid": ENGINE,
        }
        yield Ground(split, facts)


def start_with_a_third_user(split: Split) -> None:
    """Make the engine's key, and start a daemon that runs project code as a third user."""
    _make_a_key(split)
    split.prefix = _with_the_right_to_change_users()
    cache = split.base / "cache"
    cache.mkdir()
    os.chown(cache, ENGINE, ENGINE)
    split.start("--run-as", f"{THIRD}:{THIRD}", "--cache-dir", str(cache))


def _make_a_key(split: Split) -> None:
    made = split.autopilot(
        ENGINE, "ledger", "checkpoint", "--json", AUTOPILOT_SOCKET="off", AUTOPILOT_STATE_DIR=str(split.state)
    )
    assert made.returncode == 0, made.stderr


def _settings(split: Split, kind: str) -> None:
    from test_daemon import without_lint

    path = split.repository / "autopilot.toml"
    text = without_lint(path.read_text()).replace(
        '"no:cacheprovider", "--junitxml', '"no:cacheprovider", "-s", "--junitxml'
    )
    text += '\n[sandbox]\nisolation = "none"\n' if kind == "user" else ""
    write_as(AGENT, path, text)
    git_as(split, "commit", "-qam", "settings")


def _with_the_right_to_change_users() -> tuple[str, ...]:
    """The engine's user as its service manager would start it: two capabilities, and the third user's group."""
    return (
        *("setpriv", "--reuid", str(ENGINE), "--regid", str(ENGINE), "--groups", str(THIRD)),
        *("--inh-caps", "+setuid,+setgid", "--ambient-caps", "+setuid,+setgid"),
    )


def processes_of(uid: int) -> list[str]:
    """The command lines of what that user runs now."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if folder.stat().st_uid == uid:
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
    return found


def _answers(output: str, otherwise: str) -> dict[str, str]:
    for line in output.splitlines():
        if "PROBE:{" in line:
            answers: dict[str, str] = json.loads(line[line.index("PROBE:{") + len("PROBE:") :])
            return answers
    raise AssertionError(f"the probe did not answer: {otherwise[-2000:]} {output[-2000:]}")


def main() -> int:
    """Run all three and print the table."""
    columns: dict[str, dict[str, str]] = {}
    with hostile_ground("bwrap") as ground:
        columns["as the agent's user"] = ground.as_agent()
        columns["as project code, bubblewrap"] = ground.as_project()
    with hostile_ground("user") as ground:
        columns["as project code, third user"] = ground.as_project()
    print(f"| attempt | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for attempt in next(iter(columns.values())):
        print(f"| {attempt} | {' | '.join(answers[attempt] for answers in columns.values())} |")
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    sys.exit(main())
