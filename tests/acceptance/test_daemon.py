"""`autopilot daemon`: the engine as a user of its own. A task from opening to closing through the socket, as the
agent's user; starting, stopping, dying and starting again; and what it refuses to start with.

Red without: `RemoteEvidence.add` (a path of the client's would be read by the engine); `_the_only_one` (two daemons on
one state); `_hang_up_idle` and `_begin` (a stop that cuts an answer off, or never comes); `check_options` (each unsafe
setting is started with); `Workspace.open`'s asking for the daemon (a client falls back to the files).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from split import AGENT, ENGINE, PERSON, REVIEWER, STRANGER, Split, git_as, split_place, wait_until, write_as

from autopilot.cli.demo import honest
from autopilot.cli.demo.project import BUG, FIX, NEW_TEST
from autopilot.kernel.phases import PHASES, Phase

TASK = "T-1"
SEAL = "from autopilot import Caller, Workspace\nprint(Workspace.open('.').config.seal(Caller('me', 'human')).seq)"


@pytest.fixture
def split() -> Iterator[Split]:
    """A split place with a ledger and a daemon that serves it, its configuration sealed by the person."""
    with split_place() as place:
        place.begin()
        text = (place.repository / "autopilot.toml").read_text()
        # No linter lies in the interpreter that every user can run; the project's own check is a script.
        write_as(AGENT, place.repository / "autopilot.toml", without_lint(text))
        git_as(place, "commit", "-qam", "a linter of our own")
        place.start()
        sealed = place.script(PERSON, SEAL)
        assert sealed.returncode == 0, sealed.stderr
        yield place


def without_lint(text: str) -> str:
    """The settings with a linter that needs no package."""
    head, _, rest = text.partition("[commands.lint]")
    lint = '[commands.lint]\nargv = ["python", "-m", "compileall", "-q", "-f", "shop"]\nreport = "lines"\n\n'
    return head + lint + "[commands.ci]" + rest.partition("[commands.ci]")[2]


def ok(split: Split, uid: int, *words: str, **environ: str) -> dict[str, Any]:
    """One command that must succeed, as JSON."""
    done = split.autopilot(uid, *words, "--json", **environ)
    assert done.returncode == 0, f"{words}: {done.returncode} {done.stdout[-3000:]} {done.stderr[-3000:]}"
    shown: dict[str, Any] = json.loads(done.stdout)
    return shown


def refused(split: Split, uid: int, code: int, *words: str, **environ: str) -> dict[str, Any]:
    """One command that must end with this exit code; its error."""
    done = split.autopilot(uid, *words, "--json", **environ)
    assert done.returncode == code, f"{words}: {done.returncode} {done.stdout[-3000:]} {done.stderr[-3000:]}"
    error: dict[str, Any] = json.loads(done.stdout)["error"]
    return error


def documents(phase: Phase, split: Split) -> dict[str, str]:
    """What an honest agent (in REVIEW: reviewer) hands in."""
    fixed = {
        Phase.STRATEGIZE: {"strategy.md": honest.STRATEGY},
        Phase.SPEC: {"spec.md": honest.SPEC},
        Phase.PLAN: {"plan.md": honest.PLAN, "file_map.json": json.dumps([*honest.FILE_MAP])},
        Phase.THINK: {"edge_cases.md": honest.EDGE_CASES},
    }
    if phase is Phase.REVIEW:
        agent = honest.HonestAgent(None, TASK, split.repository)  # type: ignore[arg-type]
        rubric = json.loads(agent._rubric())
        rubric["reviewer"] = {"actor": f"uid:{REVIEWER}", "session": f"uid:{REVIEWER}/review"}
        return {"review_rubric.json": json.dumps(rubric)}
    if phase is Phase.PR:
        write_as(AGENT, split.repository / "tests" / "test_discount.py", NEW_TEST)
        git_as(split, "add", "-A")
        git_as(split, "commit", "-qm", honest.TITLE)
        head = git_as(split, "rev-parse", "HEAD").strip()
        return {"pr_url.txt": f"main@{head}\n", "pr_template_filled.md": honest.PR_TEXT}
    if phase is Phase.MONITOR:
        head = git_as(split, "rev-parse", "HEAD").strip()
        note = "the shop of the demo is deployed nowhere; the smoke test imports shop from the judged tree"
        deployed = {"status": "not_applicable", "environment": "none", "commit": head, "note": note}
        return {"deployment_status.json": json.dumps(deployed)}
    return fixed.get(phase, {})


def implement(split: Split) -> None:
    """The agent's change."""
    write_as(AGENT, split.repository / "tests" / "test_discount.py", NEW_TEST)
    source = split.repository / "shop" / "pricing.py"
    write_as(AGENT, source, source.read_text().replace(BUG, FIX))


def hand_in(split: Split, phase: Phase, uid: int, label: str) -> None:
    """The documents of a phase, as that user."""
    for name, text in documents(phase, split).items():
        draft = split.base / "tmp" / f"{uid}-{name}"
        write_as(uid, draft, text)
        ok(split, uid, "evidence", "add", TASK, str(draft), "--as", name, AUTOPILOT_SESSION=label)


def work(split: Split, *, until: Phase | None = None) -> None:
    """Take T-1 through its phases by commands, each as the user whose work it is."""
    for phase in PHASES:
        if phase is until:
            return
        if phase is Phase.IMPLEMENT:
            implement(split)
        uid, label = (REVIEWER, "review") if phase is Phase.REVIEW else (AGENT, "build")
        hand_in(split, phase, uid, label)
        ok(split, uid, "advance", TASK, AUTOPILOT_SESSION=label)
        if phase is Phase.REVIEW:
            ok(split, uid, "lease", "release", TASK, AUTOPILOT_SESSION=label)


def prepare(split: Split, *, until: Phase, hand_in_too: bool = False) -> None:
    """Open T-1 and take it into `until` by the Python API; on request with that phase's documents."""
    steps = [(str(phase), documents(phase, split)) for phase in PHASES if phase.position <= until.position]
    if not hand_in_too:
        steps[-1] = (steps[-1][0], {})
    done = split.script(AGENT, _PREPARE, json.dumps(steps), honest.TITLE, str(split.base / "tmp"))
    assert done.returncode == 0, done.stderr


_PREPARE = """
import json, sys
from pathlib import Path
from autopilot import Caller, Workspace
caller, steps = Caller("x", "agent", "build"), json.loads(sys.argv[1])
with Workspace.open(".") as workspace:
    workspace.tasks.open("T-1", title=sys.argv[2], caller=caller)
    for phase, documents in steps:
        for name, text in documents.items():
            path = Path(sys.argv[3], "prepared-" + name)
            path.write_text(text)
            workspace.evidence.add("T-1", path, name=name, caller=caller)
        if phase != steps[-1][0]:
            workspace.enforcer.advance_phase("T-1", caller=caller)
"""


def test_a_task_from_opening_to_closing_through_the_socket(split: Split) -> None:
    """Every phase, by commands, as users who cannot read the state; the ledger then verifies, and names mode 1."""
    task = ok(split, AGENT, "task", "open", TASK, "--title", honest.TITLE)["task"]
    assert task["phase"] == "STRATEGIZE"
    assert ok(split, AGENT, "next", TASK, "--write")["written"] == [f"{TASK}/strategize/strategy.md"]
    draft = split.repository / "state" / "evidence" / TASK / "strategize" / "strategy.md"
    assert draft.stat().st_uid == AGENT
    # A file in the folder is no evidence here, whatever it holds.
    write_as(AGENT, draft, honest.STRATEGY)
    missing = refused(split, AGENT, 1, "advance", TASK, AUTOPILOT_SESSION="build")
    assert [reason["code"] for reason in missing["reasons"]] == ["artifact_missing"]
    work(split)
    shown = ok(split, AGENT, "task", "show", TASK)["task"]
    assert shown["phase"] == "CLOSED"
    moves = [line for line in split.lines() if line["kind"] in ("phase.transition", "task.closed")]
    assert len(moves) == 9
    assert {line["data"]["trust_mode"] for line in moves} == {1}  # type: ignore[index]
    actors = {line["phase"]["from"]: line["actor"] for line in moves}  # type: ignore[index]
    assert actors["REVIEW"]["id"] == f"uid:{REVIEWER}"
    assert actors["PLAN"] == {"id": f"uid:{AGENT}", "kind": "agent", "session": f"uid:{AGENT}/build"}
    isolation = {item["isolation"] for item in ok(split, AGENT, "evidence", "list", TASK)["evidence"]}
    assert "none" not in isolation
    assert ok(split, AGENT, "ledger", "verify")["status"] == "intact"
    exported = ok(split, AGENT, "evidence", "export", TASK)["files"]
    assert all(Path(file["path"]).stat().st_mode & 0o222 == 0 for file in exported)
    assert ok(split, AGENT, "status")["trust_mode"] == 1


def test_doctor_tells_the_mode_that_holds_by_trying(split: Split) -> None:
    """Mode 1 with its reason and the way to the next; mode 0 once this user can read the state, whatever is claimed."""
    shown = ok(split, AGENT, "doctor")
    assert shown["trust_mode"] == 1
    trust = next(check["detail"] for check in shown["checks"] if check["name"] == "trust")
    assert f"served by uid {ENGINE}, you are uid:{AGENT}" in trust
    assert "mode 2" in trust
    split.state.chmod(0o755)
    spoilt = ok(split, AGENT, "doctor")
    assert spoilt["trust_mode"] == 0
    assert "no split" in next(check["detail"] for check in spoilt["checks"] if check["name"] == "trust")


def test_what_is_rehearsed_is_not_recorded(split: Split) -> None:
    """`--dry-run` is answered by the daemon as the real call would be, and leaves no line."""
    before = len(split.lines())
    dry = ok(split, AGENT, "task", "open", TASK, "--title", "rehearsed", "--dry-run")
    assert dry["dry_run"] is True
    assert len(split.lines("task.opened")) == 0
    error = refused(split, AGENT, 4, "flags", "set", "evidence_gate", "off", "--reason", "why not", "--dry-run")
    assert error["seq"] is None
    assert len(split.lines()) == before


def test_many_clients_at_once_and_a_long_check_blocks_nobody(split: Split) -> None:
    """While the engine runs a slow command of the project, another client opens tasks and is answered."""
    prepare(split, until=Phase.PLAN, hand_in_too=True)
    answers: list[int] = []
    long = threading.Thread(
        target=lambda: answers.append(split.autopilot(AGENT, "advance", TASK, AUTOPILOT_SESSION="build").returncode)
    )
    long.start()
    try:
        opened = [split.autopilot(AGENT, "task", "open", f"T-{n}", "--title", f"task {n}") for n in range(2, 6)]
    finally:
        long.join()
    assert [done.returncode for done in opened] == [0] * 4
    assert answers == [0]


def test_sixteen_clients_append_at_once(split: Split) -> None:
    """Sixteen connections open tasks at the same time: each is answered, and the chain is one."""
    done = split.script(AGENT, _SIXTEEN)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["48"]
    assert ok(split, AGENT, "ledger", "verify")["status"] == "intact"
    assert len(split.lines("task.opened")) == 48


_SIXTEEN = """
import threading
from autopilot import Caller, Workspace
opened = []
def work(number):
    with Workspace.open(".") as workspace:
        for count in range(3):
            opened.append(workspace.tasks.open(f"T-{number}-{count}", title="one of many", caller=Caller(f"a{number}")))
threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(len(opened))
"""


def test_a_daemon_that_does_not_answer_is_never_replaced_by_files(split: Split) -> None:
    """Exit 6 with a remedy for every command, and no ledger appears in the repository."""
    assert split.stop() == 0
    for words in (("status",), ("task", "list"), ("advance", TASK), ("doctor",), ("init",)):
        error = split.autopilot(AGENT, *words, "--json")
        assert error.returncode == 6, f"{words}: {error.returncode} {error.stderr}"
    assert refused(split, AGENT, 6, "status")["code"] == "daemon_unreachable"
    assert not (split.repository / "state" / "ledger").exists()


def test_it_stops_clean_and_a_killed_one_starts_again(split: Split) -> None:
    """SIGTERM: exit 0 and no socket left. SIGKILL: the socket it leaves is taken over, and nothing is lost."""
    ok(split, AGENT, "task", "open", TASK, "--title", honest.TITLE)
    assert split.stop(signal.SIGKILL) != 0
    assert split.socket.exists()
    split.start()
    assert ok(split, AGENT, "task", "show", TASK)["task"]["phase"] == "STRATEGIZE"
    assert split.stop() == 0
    assert not split.socket.exists()
    split.start()
    assert ok(split, AGENT, "ledger", "verify")["status"] == "intact"


def test_a_stop_answers_what_is_being_worked_on(split: Split) -> None:
    """A request that has begun when SIGTERM comes is answered, and on the ledger."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(split.script(AGENT, _UNTIL_STOPPED)))
    thread.start()
    wait_until(lambda: len(split.lines("task.opened")) > 5)
    assert split.stop() == 0
    thread.join()
    told = {name for name in results[0].stdout.split() if name.startswith("S-")}
    assert told
    assert told <= {str(line["task"]) for line in split.lines("task.opened")}


_UNTIL_STOPPED = """
from autopilot import Caller, Workspace
with Workspace.open(".") as workspace:
    try:
        for count in range(100000):
            print(workspace.tasks.open(f"S-{count}", title="until it stops", caller=Caller("a")).id, flush=True)
    except Exception as error:
        print(getattr(error, "code", error), flush=True)
"""


def test_a_second_daemon_on_the_same_state_is_refused(split: Split) -> None:
    """Two would hold two pictures of one ledger."""
    other = split.base / "run" / "other.sock"
    words = ("daemon", "--state-dir", str(split.state), "--socket", str(other), "--json")
    second = split.autopilot(ENGINE, *words, AUTOPILOT_SOCKET="")
    assert second.returncode == 2
    assert json.loads(second.stdout)["error"]["code"] == "daemon_running"


def test_the_service_manager_is_told(tmp_path: Path) -> None:
    """READY=1 once it serves, STOPPING=1 when it ends (sd_notify)."""
    with split_place() as place, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(place.base / "tmp" / "notify"))
        (place.base / "tmp" / "notify").chmod(0o666)
        manager.settimeout(60)
        place.begin()
        place.environ["NOTIFY_SOCKET"] = str(place.base / "tmp" / "notify")
        place.start()
        assert manager.recv(100) == b"READY=1\n"
        assert place.stop() == 0
        assert manager.recv(100) == b"STOPPING=1\n"


UNSAFE: dict[str, tuple[str, Any]] = {
    "the state can be entered by others": ("", lambda place: place.state.chmod(0o750)),
    "the state belongs to somebody else": ("", lambda place: os.chown(place.state, STRANGER, STRANGER)),
    "the folder above can be written by others": ("", lambda place: (place.base / "var").chmod(0o777)),
    "the folder above belongs to the agent": ("", lambda place: os.chown(place.base / "var", AGENT, AGENT)),
    "others can put a socket in the place": ("", lambda place: (place.base / "run").chmod(0o1777)),
    "the socket's folder is the agent's": ("", lambda place: os.chown(place.base / "run", AGENT, AGENT)),
    "others can write who may connect": ("", lambda place: (place.state / "daemon.toml").chmod(0o666)),
    "the third user is the agent": (f"--run-as={AGENT}:{AGENT}", lambda place: None),
}


@pytest.fixture(scope="module")
def begun() -> Iterator[Split]:
    """A place with a ledger and no daemon."""
    with split_place() as place:
        place.begin()
        yield place


@pytest.mark.parametrize("what", UNSAFE)
def test_it_does_not_start_with_what_is_unsafe(begun: Split, what: str) -> None:
    """Each of these would make mode 1 a claim and not a fact."""
    option, spoil = UNSAFE[what]
    paths = (begun.state, begun.base / "var", begun.base / "run", begun.state / "daemon.toml")
    before = [(path, path.stat()) for path in paths]
    words = ["daemon", "--state-dir", str(begun.state), "--socket", str(begun.socket), "--json"]
    try:
        spoil(begun)
        done = begun.autopilot(ENGINE, *words, *([option] if option else []), AUTOPILOT_SOCKET="")
    finally:
        for path, found in before:
            os.chown(path, found.st_uid, found.st_gid)
            path.chmod(found.st_mode & 0o7777)
    assert done.returncode == 2, f"{done.returncode} {done.stdout} {done.stderr}"
    assert json.loads(done.stdout)["error"]["code"] in ("daemon_unsafe", "bad_config")


def test_the_repositorys_owner_is_no_engine_unless_it_is_said() -> None:
    """As the agent's own user: refused, or with --allow-same-user trust mode 0, stated by both sides."""
    with split_place() as place:
        shutil.rmtree(place.state)
        own = place.base / "work" / "own"
        own.mkdir(mode=0o700)
        os.chown(own, AGENT, AGENT)
        state, line = own / "state", own / "engine.sock"
        words = ("daemon", "--state-dir", str(state), "--socket", str(line), "--json")
        refusal = place.autopilot(AGENT, *words, "--init", AUTOPILOT_SOCKET="")
        assert refusal.returncode == 2
        assert json.loads(refusal.stdout)["error"]["code"] == "daemon_unsafe"
        made = place.autopilot(AGENT, *words, "--init", "--allow-same-user", AUTOPILOT_SOCKET="")
        assert made.returncode == 0, made.stderr
        place.start("--state-dir", str(state), "--socket", str(line), "--allow-same-user", uid=AGENT)
        shown = ok(place, AGENT, "status", AUTOPILOT_SOCKET=str(line))
        assert shown["trust_mode"] == 0
        assert "trust mode 0" in place.log()
