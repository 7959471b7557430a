"""Trust mode 1 against whoever would break it: the agent's user, another user, and the project's own hostile tests.

Every attempt is made by real processes of real other users. What each got is printed (`-s`), and by `split_table.py`.

Red without: `Bound.caller` (an agent that says `human` is one); the `approver` mark of the table and `_no_approver` (an
agent approves); `credentials_of` and `PeerTable.bind` (a stranger is let in); `Operation.arguments` and `operation`
(names from the line reach objects); `_check_engine` (a sham daemon is believed); `Confinement.runner` in
`wiring/daemon.py` (project code reads the state); `GuardedRunner` (a link of the agent's is mounted; a third user's
group is given the key); `Share` and its user (headers that promise much lock everybody out); `turn_into` and
`as_third_user` (the third user is the engine, or leaves a process behind); `EngineHost._located`
(another repository is served, or a secret is quoted).
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hostile import harms
from split import AGENT, ENGINE, PERSON, REVIEWER, STRANGER, THIRD, Split, git_as, split_place, wait_until, write_as
from split_table import SEAL, Ground, hostile_ground, processes_of, start_with_a_third_user
from test_daemon import TASK, ok, prepare, refused, without_lint

from autopilot.cli.demo import honest
from autopilot.kernel.phases import Phase

ALLOWED_TO_THE_AGENT = ("write into the repository", "variables of the engine")


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    """A daemon that has not been attacked yet; what is tried against it leaves it serving."""
    with hostile_ground("bwrap") as found:
        ok(found.split, AGENT, "task", "open", TASK, "--title", honest.TITLE)
        yield found


def still_serving(split: Split) -> None:
    """The daemon answers, its ledger verifies, and nothing in its log is a trace."""
    assert ok(split, AGENT, "ledger", "verify")["status"] == "intact"
    assert "Traceback" not in split.log()


def talk(ground: Ground, uid: int, text: str) -> str:
    """A script of that user's that speaks to the socket itself: what it printed."""
    facts = {**ground.facts, "task": TASK}
    done = ground.split.script(uid, f"facts = {facts!r}\n{_LINE}\n{text}")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


_LINE = """
import json, socket, struct, time
def dial(hello=True):
    line = socket.socket(socket.AF_UNIX)
    line.settimeout(30)
    line.connect(facts["socket"])
    if hello:
        print(json.dumps(say(line, {"autopilot": "hello", "v": 1, "directory": facts["repository"], "purpose": "act"})))
    return line
def say(line, message, blob=b""):
    data = json.dumps(message).encode()
    try:
        line.sendall(struct.pack(">II", len(data), len(blob)) + data + blob)
    except BrokenPipeError:
        pass
    return hear(line)
def hear(line):
    head = b""
    while len(head) < 8:
        part = line.recv(8 - len(head))
        if not part:
            return {"closed": True}
        head += part
    size, more = struct.unpack(">II", head)
    data = b""
    while len(data) < size + more:
        data += line.recv(65536)
    return json.loads(data[:size])
def ask(line, op, caller=None, **arguments):
    message = {"op": op, "arguments": arguments}
    if caller:
        message["caller"] = caller
    return say(line, message)
human = {"actor": "carol", "kind": "human", "session": "tty"}
agent = {"actor": "x", "kind": "agent", "session": "s"}
def code(answer):
    return answer.get("error", {}).get("code", "ok") if "closed" not in answer else "closed"
"""


# --- the agent's user, on the machine


def test_the_agents_user_gets_nothing_of_the_engine(ground: Ground) -> None:
    """State, keys, process, descriptors: refused by the kernel. The socket is what it has."""
    answers = ground.as_agent()
    for attempt, got in answers.items():
        print(f"{attempt:<36} {got}")
    assert not harms(answers, but=ALLOWED_TO_THE_AGENT)
    assert answers["connect to the daemon's socket"] == f"LET IN as uid:{AGENT}"
    still_serving(ground.split)


def test_who_is_not_configured_is_turned_away(ground: Ground) -> None:
    """By number: a stranger, and the third user of other daemons."""
    for uid in (STRANGER, THIRD, 65534):
        assert refused(ground.split, uid, 1, "status")["code"] == "peer_refused"
        assert json.loads(talk(ground, uid, "dial()"))["error"]["code"] == "peer_refused"


def test_a_file_in_the_evidence_folder_is_no_evidence(ground: Ground) -> None:
    """Neither a document nor a forged engine artifact that lies there is looked at."""
    folder = ground.split.repository / "state" / "evidence" / TASK / "strategize"
    write_as(AGENT, folder / "strategy.md", honest.STRATEGY)
    error = refused(ground.split, AGENT, 1, "advance", TASK, AUTOPILOT_SESSION="forger")
    assert [reason["code"] for reason in error["reasons"]] == ["artifact_missing"]
    ok(ground.split, AGENT, "lease", "release", TASK, AUTOPILOT_SESSION="forger")


# --- the agent's user, at the socket


@pytest.mark.parametrize("way", ["option", "variable", "line"])
def test_an_agent_cannot_be_a_person(ground: Ground, way: str) -> None:
    """Whatever it says it is, on record it is an agent, and what only a person may do is refused and recorded."""
    split, before = ground.split, len(ground.split.lines("violation"))
    if way == "line":
        said = talk(
            ground, AGENT, f"line = dial()\nprint(ask(line, 'tasks.abandon', human, task_id='{TASK}', reason='x'))"
        )
        assert "human_only" in said
        assert split.lines("violation")[-1]["actor"] == {  # type: ignore[comparison-overlap]
            "id": f"uid:{AGENT}",
            "kind": "agent",
            "session": f"uid:{AGENT}/tty",
        }
    else:
        words = ["task", "close", TASK, "--abandon", "--reason", "x"]
        environ = {"AUTOPILOT_ACTOR_KIND": "human"} if way == "variable" else {}
        error = refused(split, AGENT, 1, *words, *(["--actor-kind", "human"] if way == "option" else []), **environ)
        assert error["code"] == "not_a_terminal"
    assert len(split.lines("violation")) == before + 1


def test_an_agent_cannot_be_another_user(ground: Ground) -> None:
    """The actor is the user's, whoever it names; its session cannot be another user's."""
    claim = {"actor": f"uid:{REVIEWER}", "kind": "agent", "session": f"uid:{REVIEWER}/review"}
    said = talk(ground, AGENT, f"line = dial()\nprint(ask(line, 'leases.acquire', {claim!r}, task_id='{TASK}'))")
    assert f"'session': 'uid:{AGENT}/uid:{REVIEWER}/review'" in said
    talk(ground, AGENT, f"line = dial()\nprint(ask(line, 'leases.release', {claim!r}, task_id='{TASK}'))")


def test_an_agent_cannot_act_under_another_users_lease(ground: Ground) -> None:
    """Neither with the session's name nor with the token: the session is the user's own."""
    held = ok(ground.split, REVIEWER, "lease", "acquire", TASK, AUTOPILOT_SESSION="mine")
    lease = f"{held['fence']}:{held['token']}"
    session = f"uid:{REVIEWER}/mine"
    error = refused(ground.split, AGENT, 5, "lease", "release", TASK, AUTOPILOT_SESSION=session)
    assert error["code"] == "lease_held"
    stolen = {"AUTOPILOT_SESSION": session, "AUTOPILOT_LEASE": lease}
    assert refused(ground.split, AGENT, 5, "lease", "renew", TASK, **stolen)["code"] == "lease_held"
    ok(ground.split, REVIEWER, "lease", "release", TASK, AUTOPILOT_SESSION="mine")


def test_an_agent_cannot_approve(ground: Ground) -> None:
    """On the line as well as by command; the attempt is on record under its own name."""
    for operation in ("approvals.approve", "approvals.reject"):
        text = f"print(ask(dial(), '{operation}', human, task_id='{TASK}', subject='0' * 64, reason='fine'))"
        assert "peer_refused" in talk(ground, AGENT, text)
        line = ground.split.lines("violation")[-1]
        assert line["data"]["code"] == "peer_refused"  # type: ignore[index]
        assert line["actor"]["id"] == f"uid:{AGENT}"  # type: ignore[index]
    assert not ground.split.lines("approval.granted")


NONSENSE: dict[str, tuple[str, str]] = {
    "an operation that is not there": ("print(code(ask(dial(), 'engine.store', agent)))", "unknown_operation"),
    "a name of Python's": ("print(code(ask(dial(), 'tasks.__class__', agent)))", "unknown_operation"),
    "a method that is not offered": ("print(code(ask(dial(), 'recording.usurped', agent)))", "unknown_operation"),
    "an operation that is a list": ("print(code(say(dial(), {'op': ['tasks.show']})))", "unknown_operation"),
    "another argument": ("print(code(ask(dial(), 'tasks.show', None, task_id='T-1', self=1)))", "bad_frame"),
    "caller as an argument": (
        "arguments = {'task_id': 'T-1', 'reason': 'x', 'caller': human}\n"
        "print(code(say(dial(), {'op': 'tasks.abandon', 'caller': agent, 'arguments': arguments})))",
        "bad_frame",
    ),
    "the engine as caller": (
        "print(code(ask(dial(), 'leases.acquire', {**agent, 'kind': 'root'}, task_id='T-1')))",
        "bad_frame",
    ),
    "no caller": ("print(code(ask(dial(), 'leases.acquire', task_id='T-1')))", "bad_frame"),
    "a further part": ("print(code(say(dial(), {'op': 'tasks.list', 'arguments': {}, 'trust': 1})))", "bad_frame"),
    "bytes where none go": ("print(code(say(dial(), {'op': 'tasks.list', 'arguments': {}}, b'x')))", "bad_frame"),
    "garbage": (
        "line = dial(False); line.sendall(b'GET / HTTP/1.1\\r\\n\\r\\n'); print(code(hear(line)))",
        "bad_frame",
    ),
    "a length of 4 GiB": ("line = dial(); line.sendall(b'\\xff' * 8); print(code(hear(line)))", "bad_frame"),
    "deep JSON": (
        "line = dial(); data = b'[' * 100000\n"
        "line.sendall(struct.pack('>II', len(data), 0) + data); print(code(hear(line)))",
        "bad_frame",
    ),
    "no hello": ("line = dial(False); print(code(say(line, {'op': 'tasks.list'})))", "bad_frame"),
    "another version": ("print(code(say(dial(False), {'autopilot': 'hello', 'v': 2})))", "bad_frame"),
    "half a hello": ("line = dial(False); line.sendall(b'\\0\\0'); print(code(hear(line)))", "daemon_unreachable"),
    "silence": ("line = dial(False); print(code(hear(line)))", "daemon_unreachable"),
}


@pytest.mark.parametrize("what", NONSENSE)
def test_nonsense_is_refused_and_costs_nobody_else(ground: Ground, what: str) -> None:
    """One code for each, and the daemon goes on."""
    text, wanted = NONSENSE[what]
    assert talk(ground, AGENT, text).splitlines()[-1] == wanted
    still_serving(ground.split)


def test_one_user_cannot_take_all_connections(ground: Ground) -> None:
    """Half-open ones included: beyond its share it is told that the daemon is busy, and others are served."""
    text = (
        "lines = [dial(False) for _ in range(80)]\n"
        "import subprocess, sys\n"
        "late = [line for line in lines[64:]]\n"
        "print(sum(code(hear(line)) == 'daemon_busy' for line in late), flush=True)\n"
        "time.sleep(2)\n"
    )
    assert int(talk(ground, AGENT, text)) >= 10
    assert ok(ground.split, REVIEWER, "status")["trust_mode"] == 1
    wait_until(lambda: ground.split.autopilot(AGENT, "status").returncode == 0)


def test_what_is_promised_or_half_sent_locks_nobody_out(ground: Ground) -> None:
    """Four headers for all that may be held at once, and as many bytes as one user can bring: others are served."""
    text = (
        "import sys\nMIB = 1 << 20\nlines = [dial() for _ in range(9)]\n"
        "for line, (message, blob) in zip(lines, [(2, 16)] * 3 + [(2, 8)]):\n"
        "    line.sendall(struct.pack('>II', message * MIB, blob * MIB))\n"
        "time.sleep(1)\n"
        "print(code(ask(dial(), 'tasks.list')), flush=True)\n"
        "for line in lines:\n"
        "    try:\n"
        "        if line in lines[4:]:\n"
        "            line.sendall(struct.pack('>II', MIB, 16 * MIB))\n"
        "        line.sendall(b'x' * (9 * MIB))\n"
        "    except OSError:\n"
        "        pass\n"
        "print('full', flush=True)\n"
        "sys.stdin.read()\n"
    )
    facts = {**ground.facts, "task": TASK}
    with subprocess.Popen(
        [str(ground.split.python), "-c", f"facts = {facts!r}\n{_LINE}\n{text}"],
        user=AGENT,
        group=AGENT,
        extra_groups=[],
        env=ground.split.env(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as hostile:
        assert hostile.stdout is not None
        said = iter(hostile.stdout)
        before = [line.strip() for line in iter(lambda: next(said), "full\n")]
        assert before[-1] == "ok"
        large = (
            f"line = dial()\nprint(code(say(line, {{'op': 'evidence.add_bytes', 'caller': agent,"
            f" 'arguments': {{'task_id': '{TASK}', 'name': '..'}}}}, b'x' * (15 << 20))))"
        )
        assert talk(ground, REVIEWER, large).splitlines()[-1] == "malformed_artifact_name"
        assert ok(ground.split, REVIEWER, "status")["trust_mode"] == 1
    assert ok(ground.split, AGENT, "status")["trust_mode"] == 1


@pytest.mark.parametrize(
    "name",
    ["../../../daemon.toml", "/etc/passwd", "..", "strategy.md/../../x", "strategy.md\0", "a/b", "", "Ｓtrategy.md"],
)
def test_names_of_evidence_are_names_and_no_paths(ground: Ground, name: str) -> None:
    """Nothing is written or read by a name that a client gives."""
    text = (
        f"line = dial()\nprint(code(say(line, {{'op': 'evidence.add_bytes', 'caller': agent,"
        f" 'arguments': {{'task_id': '{TASK}', 'name': {name!r}}}}}, b'hostile')))"
    )
    assert talk(ground, AGENT, text).splitlines()[-1] in ("malformed_artifact_name", "unknown_artifact")
    text = f"print(code(ask(dial(), 'evidence.show', None, task_id={name!r}, name={name!r}, phase={name!r})))"
    assert talk(ground, AGENT, text).splitlines()[-1] in ("unknown_task", "artifact_missing")
    text = f"print(code(ask(dial(), 'ledger.object', None, sha256={name!r})))"
    assert talk(ground, AGENT, text).splitlines()[-1] == "object_missing"


def test_a_folder_of_the_engines_is_not_served_and_not_quoted(ground: Ground) -> None:
    """The client names its worktree: what is no worktree of the repository is refused in words that tell nothing.

    Git's own files can be links: a `.git` that names a key as its folder would have the key's text in the error.
    """
    split = ground.split
    trap = split.base / "work" / "trap"
    (trap / ".git").parent.mkdir(exist_ok=True)
    os.chown(trap, AGENT, AGENT)
    for target in (str(split.state), "/", str(Path.home()), str(trap), str(split.state / "daemon.toml")):
        if target == str(trap):
            admin = split.repository / ".git" / "worktrees" / "trap"
            admin.mkdir(parents=True, exist_ok=True)
            (admin / "commondir").write_text("../..\n")
            (admin / "HEAD").write_text("ref: refs/heads/main\n")
            (admin / "gitdir").unlink(missing_ok=True)
            (admin / "gitdir").symlink_to(str(ground.facts["key"]))
            (trap / ".git").write_text(f"gitdir: {admin}\n")
        text = f"print(say(dial(False), {{'autopilot': 'hello', 'v': 1, 'directory': {target!r}, 'purpose': 'act'}}))"
        said = talk(ground, AGENT, text)
        assert "not_served" in said
        assert "PRIVATE" not in said


def test_a_sham_daemon_is_not_believed(ground: Ground) -> None:
    """A person's client is sent to the agent's socket: by the settings, by the environment, or by a number."""
    split = ground.split
    sham = split.base / "work" / "sham.sock"
    server = split.base / "tmp" / "sham.py"
    write_as(AGENT, server, _SHAM)
    with subprocess.Popen(
        [str(split.python), str(server), str(sham)], user=AGENT, group=AGENT, extra_groups=[], stdout=subprocess.PIPE
    ) as running:
        try:
            assert running.stdout is not None
            running.stdout.readline()
            error = refused(split, PERSON, 3, "status", AUTOPILOT_SOCKET=str(sham))
            assert error["code"] == "daemon_untrusted"
            assert refused(split, PERSON, 3, "status", AUTOPILOT_ENGINE_UID=str(STRANGER))["code"] == "daemon_untrusted"
            assert ok(split, PERSON, "status", AUTOPILOT_ENGINE_UID=str(ENGINE))["trust_mode"] == 1
        finally:
            running.kill()
    settings = split.repository / "autopilot.toml"
    before = settings.read_text()
    try:
        write_as(AGENT, settings, f'daemon = "{split.repository.parent}/other.sock"\n{before}')
        assert refused(split, PERSON, 6, "status", AUTOPILOT_SOCKET="")["code"] == "daemon_unreachable"
    finally:
        write_as(AGENT, settings, before)


_SHAM = """
import os, socket, sys
line = socket.socket(socket.AF_UNIX)
line.bind(sys.argv[1])
os.chmod(sys.argv[1], 0o666)
line.listen()
print("ready", flush=True)
while True:
    line.accept()
"""


def a_person_approves(split: Split) -> None:
    """The accept blocks that a third user would run wait for a person. Her grant is no mere advice."""
    error = refused(split, AGENT, 4, "verify", TASK, AUTOPILOT_SESSION="build")
    subject = next(reason["subject"] for reason in error["reasons"])
    claimed = split.script(AGENT, _APPROVE, TASK, subject)
    assert "peer_refused" in claimed.stderr
    done = split.script(PERSON, _APPROVE, TASK, subject)
    assert done.returncode == 0, done.stderr
    (granted,) = split.lines("approval.granted")
    assert granted["actor"]["id"] == "carol"  # type: ignore[index]
    assert granted["data"]["advisory"] is False  # type: ignore[index]
    ok(split, AGENT, "advance", TASK, AUTOPILOT_SESSION="build")
    isolation = {item["isolation"] for item in ok(split, AGENT, "evidence", "list", TASK)["evidence"]}
    assert isolation == {"", "user"}


_APPROVE = """
import sys
from autopilot import Caller, Workspace
with Workspace.open(".") as workspace:
    workspace.approvals.approve(sys.argv[1], sys.argv[2], reason="looked at it", caller=Caller("me", "human"))
"""


# --- the project's own tests


@pytest.mark.parametrize("kind", ["bwrap", "user"])
def test_hostile_tests_of_the_project_get_nothing(kind: str) -> None:
    """What runs under the engine can do least of all: no state, key, socket, process, variable or descriptor."""
    with hostile_ground(kind) as found:
        answers = found.as_project()
        for attempt, got in answers.items():
            print(f"{attempt:<36} {got}")
        assert not harms(answers)
        assert not answers["connect to the daemon's socket"].startswith("LET IN")
        if kind == "bwrap":
            assert answers["see the engine's process"] == "not seen"
            assert answers["reach a local network port"].startswith("refused")
        # Whom it left behind is gone: the next run does not meet it.
        assert not [line for line in processes_of(THIRD) if "left behind" in line]
        assert not [line for line in processes_of(ENGINE) if "left behind" in line]
        if kind == "user":
            a_person_approves(found.split)
        still_serving(found.split)


def test_without_isolation_nothing_of_the_project_runs(tmp_path: Path) -> None:
    """Exit 6, whatever the configuration says: mode 1 never runs project code as the engine's plain user."""
    with hostile_ground("bwrap") as found:
        split = found.split
        split.stop()
        # A machine on which bubblewrap is installed and does not work.
        split.prefix = (
            *("unshare", "--mount", "sh", "-c", 'mount --bind /bin/false "$(command -v bwrap)" && exec "$@"', "sh"),
            *("setpriv", "--reuid", str(ENGINE), "--regid", str(ENGINE), "--clear-groups"),
        )
        split.start()
        prepare(split, until=Phase.PLAN, hand_in_too=True)
        error = refused(split, AGENT, 6, "verify", TASK, AUTOPILOT_SESSION="build")
        assert error["code"] == "isolation_missing"


def test_a_folder_that_the_agent_can_exchange_is_not_mounted() -> None:
    """An interpreter in the agent's repository could be a link to the state by the time that it is mounted."""
    with split_place() as split:
        split.begin()
        path = split.repository / "autopilot.toml"
        venv = split.repository / ".venv"
        done = split.run_as(AGENT, [str(split.python), "-m", "venv", "--without-pip", str(venv)])
        assert done.returncode == 0, done.stderr
        with (split.repository / ".gitignore").open("a") as ignored:
            ignored.write(".venv/\n")
        text = without_lint(path.read_text())
        write_as(
            AGENT, path, f'{text.splitlines()[0]}\npython = "{venv}/bin/python"\n' + "\n".join(text.splitlines()[1:])
        )
        git_as(split, "commit", "-qam", "an interpreter of our own")
        split.start()
        assert split.script(PERSON, SEAL).returncode == 0
        prepare(split, until=Phase.PLAN, hand_in_too=True)
        error = refused(split, AGENT, 6, "verify", TASK, AUTOPILOT_SESSION="build")
        assert error["code"] == "mount_unsafe"


def test_a_third_users_group_is_given_nothing_of_the_engines() -> None:
    """An environment of the agent's names the state as its home, and its interpreter copies the key where it can.

    The configuration is sealed by a person while all is in order; what changes is a file that no tree holds.
    """
    with split_place() as split:
        split.begin()
        settings, venv = split.repository / "autopilot.toml", split.repository / ".venv"
        done = split.run_as(AGENT, [str(split.python), "-m", "venv", "--without-pip", str(venv)])
        assert done.returncode == 0, done.stderr
        with (split.repository / ".gitignore").open("a") as ignored:
            ignored.write(".venv/\n")
        first, *rest = without_lint(settings.read_text()).splitlines()
        lines = (first, f'python = "{venv}/bin/python"', *rest, "[sandbox]", 'isolation = "none"', "")
        write_as(AGENT, settings, "\n".join(lines))
        git_as(split, "commit", "-qam", "an interpreter of our own")
        start_with_a_third_user(split)
        assert split.script(PERSON, SEAL).returncode == 0
        before = rights_of(split.state)
        write_as(AGENT, venv / "pyvenv.cfg", f"home = {split.state}/x\n")
        python, loot = venv / "bin" / "python", split.base / "tmp" / "loot"
        python.unlink()
        write_as(AGENT, python, f"#!/bin/sh\ncat {split.state}/keys/* {split.state}/daemon.toml > {loot}\n")
        python.chmod(0o755)
        prepare(split, until=Phase.PLAN, hand_in_too=True)
        error = refused(split, AGENT, 6, "verify", TASK, AUTOPILOT_SESSION="build")
        assert error["code"] == "mount_unsafe"
        assert not loot.exists()
        after = rights_of(split.state)
        assert {path: after[path] for path in before if path in after} == before
        assert {group for _, group, _ in after.values()} == {ENGINE}
        # What the daemon says it isolates with is what it isolates with, bubblewrap here or not.
        facts = {"socket": str(split.socket), "repository": str(split.repository)}
        hello = json.loads(split.script(AGENT, f"facts = {facts!r}\n{_LINE}\ndial()").stdout)
        assert hello["ok"]["isolation"] == "user"


def test_a_cache_that_holds_the_state_is_not_opened_to_a_third_user() -> None:
    """Nor one in the state: the daemon does not start."""
    with split_place() as split:
        split.begin()
        for cache in (split.base / "var", split.state / "cache"):
            options = ("--run-as", f"{THIRD}:{THIRD}", "--cache-dir", str(cache))
            words = ("daemon", "--state-dir", str(split.state), "--socket", str(split.socket), *options, "--json")
            done = split.autopilot(ENGINE, *words, AUTOPILOT_SOCKET="")
            assert "daemon_unsafe" in done.stdout + done.stderr
            assert "the third user is let into the cache" in done.stdout + done.stderr


def rights_of(root: Path) -> dict[Path, tuple[int, int, int]]:
    """Owner, group and mode of all below a folder."""
    found = {path: path.lstat() for path in (root, root / "keys", *(root / "keys").iterdir(), root / "ledger")}
    return {path: (facts.st_uid, facts.st_gid, facts.st_mode) for path, facts in found.items()}


def test_the_frame_is_what_the_documents_say() -> None:
    """Two lengths, big-endian, then the object: what the raw clients of this file speak."""
    assert struct.calcsize(">II") == 8
