"""A governed repository made once and copied for each trial, the CLI as a user calls it, and what must always hold.

The checks read the files themselves where they can: the chain is followed with `json` and `hashlib` alone, so that a
fault of the store cannot hide in its own reader.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import warm_cli

from autopilot.cli.demo.honest import HonestAgent
from autopilot.cli.demo.project import FILES, make_repository
from autopilot.kernel.callers import Caller
from autopilot.kernel.errors import RefusedError
from autopilot.kernel.phases import PHASES, Phase
from autopilot.onboarding.detect import propose
from autopilot.process.desks.journaling import JournalDesk
from autopilot.sandbox.choose import probe
from autopilot.wiring.full import Workspace

COMMAND = (sys.executable, "-P", "-m", "autopilot.cli.main")
TASK = "T-1"
AGENT = Caller("agent-1", "agent", "s-1")
HUMAN = Caller("ada", "human", "tty-1")
WAIT_SECONDS = 120
LEASE_KINDS = ("lease.granted", "lease.released", "lease.expired", "lease.forced")
_ZEROS = "0" * 64


@dataclass(frozen=True, slots=True)
class Answer:
    """What one command line said: its exit code (minus the signal's number if killed) and its two streams."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The object on stdout; empty if there is none or only a part of one."""
        try:
            found = json.loads(self.out)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def acknowledged(self) -> dict[str, Any] | None:
        """What the command says of the line it wrote (`seq`, mostly `hash`): of a success or a recorded refusal."""
        document = self.document
        places = (document, *(value for value in document.values() if isinstance(value, dict)))
        return next((place for place in places if isinstance(place.get("seq"), int)), None)

    @property
    def codes(self) -> list[str]:
        """The reason codes of a refusal."""
        return [reason["code"] for reason in self.error.get("reasons", ())]

    @property
    def error(self) -> dict[str, Any]:
        """The error object of a failure; empty for a success."""
        found = self.document.get("error")
        return found if isinstance(found, dict) else {}


def environment(caller: Caller = AGENT) -> dict[str, str]:
    """The environment of an agent's command line."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("AUTOPILOT_", "COV_", "GIT_"))}
    return {
        **kept,
        "AUTOPILOT_ACTOR": caller.actor,
        "AUTOPILOT_SESSION": caller.session,
        "AUTOPILOT_ACTOR_KIND": caller.kind,
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def autopilot(
    folder: Path,
    *words: str,
    caller: Caller = AGENT,
    prefix: Sequence[str] = (),
    further: Mapping[str, str] = MappingProxyType({}),
) -> Answer:
    """Run one command line in `folder` to its end, under `prefix` (a tracer) if there is one."""
    environ = {**environment(caller), **further}
    if not prefix:
        done = warm_cli.run(words, cwd=folder, env=environ, timeout=WAIT_SECONDS)
        return Answer(done.returncode, done.stdout, done.stderr)
    done = subprocess.run(
        [*prefix, *COMMAND, *words],
        cwd=folder,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


def start(folder: Path, *words: str, caller: Caller = AGENT, prefix: Sequence[str] = ()) -> subprocess.Popen[str]:
    """The same, only begun."""
    return subprocess.Popen(
        [*prefix, *COMMAND, *words],
        cwd=folder,
        env=environment(caller),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def prepare(
    folder: Path,
    until: Phase,
    *,
    caller: Caller = AGENT,
    settings: str = "",
    further: Mapping[str, str] = MappingProxyType({}),
) -> Path:
    """A governed repository at `folder`, its task in `until` with that phase's work done and the next move due.

    `settings` is added to autopilot.toml, `further` files to the repository.
    """
    folder.mkdir(parents=True)
    make_repository(folder, {**FILES, **further})
    Workspace.init(folder, caller=HUMAN).close()
    with Workspace.open(folder) as workspace:
        proposal = propose(folder, ledger_id=workspace.ledger.ledger_id)
    for path, text in proposal.files.items():
        (folder / path).write_text(text + (f"\n{settings}" if path == "autopilot.toml" else ""))
    with Workspace.open(folder) as workspace:
        agent = HonestAgent(workspace, TASK, folder, caller=caller)
        agent.open()
        agent.run(until, lambda task, refusal: approve(workspace, task, refusal))
        agent.prepare(until)
    return folder


def approve(workspace: Workspace, task: str, refusal: RefusedError) -> None:
    """Play the person: on a machine without isolation the accept blocks wait for one."""
    for subject in sorted({reason.subject for reason in refusal.verdict.reasons if reason.subject}):
        workspace.approvals.approve(task, subject, reason="read them", caller=HUMAN)


def settle(folder: Path) -> None:
    """Where isolation is missing: run the checks of the task's phase, and play the person who reads the accept blocks.

    The next move then waits for nobody, as it does on a machine with isolation.
    """
    if probe().bubblewrap is None:
        with Workspace.open(folder) as workspace:
            found = workspace.enforcer.verify(TASK, caller=AGENT).verdict
            approve(workspace, TASK, RefusedError(found))


def write_documents(folder: Path, task: str, phase: Phase, caller: Caller = AGENT) -> None:
    """Do the phase's work once more, as an agent that looks at `status` and goes on."""
    with Workspace.open(folder) as workspace:
        HonestAgent(workspace, task, folder, caller=caller).prepare(phase)


def copy(prepared: Path, target: Path) -> Path:
    """A copy of the repository with its ledger; the git folder, and with it the marker, goes along."""
    if target.exists():
        shutil.rmtree(target)
    return shutil.copytree(prepared, target, symlinks=True)


# --- what must always hold ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the ledger as the file has it."""

    hash: str
    body: dict[str, Any]

    @property
    def seq(self) -> int:
        return int(self.body["seq"])

    @property
    def kind(self) -> str:
        return str(self.body["kind"])


def chain(folder: Path) -> list[Line]:
    """Every line of the ledger, hash, link and number checked with the standard library; ValueError otherwise.

    A torn tail (no newline at the end) is left out: it is for the next writer to mend.
    """
    lines: list[Line] = []
    prev = _ZEROS
    for segment in sorted((folder / "state" / "ledger" / "seg").glob("*.jsonl")):
        for raw in segment.read_bytes().split(b"\n")[:-1]:
            digest, body = raw[6:70].decode(), raw[76:-1]
            if hashlib.sha256(b"\0" + body).hexdigest() != digest:
                raise ValueError(f"line {len(lines)} does not have its hash")
            record = json.loads(body)
            if (record["seq"], record["prev"]) != (len(lines), prev):
                raise ValueError(f"line {len(lines)} says seq {record['seq']}, or does not follow the one before")
            lines.append(Line(digest, record))
            prev = digest
    return lines


def digests_of(line: Line) -> Iterator[str]:
    """Every object that a line names."""
    yield from (artifact["sha256"] for artifact in line.body["artifacts"])
    data = line.body["data"]
    for name in ("journal", "config", "diary"):
        if data.get(name):
            yield data[name]
    if line.kind == "segment.opened":
        yield data["state"]["sha256"]


def lease_problems(folder: Path) -> list[str]:
    """Where lease log and ledger do not tell the same story, now that a writer has mended what a crash took."""
    problems: list[str] = []
    records: list[dict[str, Any]] = []
    lines, prev = chain(folder), _ZEROS
    for raw in (folder / "state" / "leases" / "leases.wal").read_bytes().split(b"\n")[:-1]:
        body = json.loads(raw[76:-1])
        if hashlib.sha256(b"\0" + raw[76:-1]).hexdigest() != raw[6:70].decode() or body["prev"] != prev:
            problems.append(f"record {len(records)} of the lease log does not verify")
        prev = raw[6:70].decode()
        records.append(body["record"])
    repeated = {line.body["data"]["wal_seq"] for line in lines if line.kind in LEASE_KINDS}
    for number, record in enumerate(records, 1):
        mirrored = record["kind"] in ("expire", "force") or record.get("how") in ("caller", "regrant")
        if mirrored and number not in repeated:
            problems.append(f"record {number} of the lease log ({record['kind']}) is not on the ledger")
    grants = [(record["resource"], record["fence"], record["how"]) for record in records if record["kind"] == "grant"]
    for line in lines:
        handover = line.body["data"].get("handover")
        # A grant of the same fence to whoever asked next would be a fence used twice.
        if handover and (handover["resource"], handover["fence"], "move") not in grants:
            problems.append(f"the lease that line {line.seq} hands on is not in the lease log")
    for task in {resource.partition("/")[0] for resource, _, _ in grants}:
        granted = [fence for resource, fence, _ in grants if resource.startswith(f"{task}/")]
        if granted != sorted(set(granted)):
            problems.append(f"the fences of {task} do not grow: {granted}")
    return problems


def store_problems(folder: Path) -> list[str]:
    """What of the evidence that the ledger names is not there, or not what it is called: objects, trees, journal."""
    problems: list[str] = []
    lines = chain(folder)
    objects = folder / "state" / "evidence" / ".objects"
    for line in lines:
        for digest in digests_of(line):
            path = objects / digest[:2] / digest
            if not path.is_file():
                problems.append(f"line {line.seq} names {digest[:12]}, which is not there")
            elif hashlib.sha256(path.read_bytes()).hexdigest() != digest:
                problems.append(f"line {line.seq} names {digest[:12]}, which holds other bytes")
    with Workspace.open(folder) as workspace:
        for line in lines:
            for name in ("base_tree", "judged_tree"):
                tree = line.body["data"].get(name)
                if tree and not workspace.site.trees.paths(tree):
                    problems.append(f"line {line.seq} names the tree {tree[:12]}, which cannot be read")
        for task in workspace.tasks.list():
            projected = folder / "state" / "journal" / f"{task.id}.jsonl"
            found = projected.read_bytes() if projected.exists() else b""
            if found != JournalDesk(workspace.engine).rebuild(task):
                problems.append(f"the journal of {task.id} is not what ledger and objects make of it")
    return problems


def processes_naming(text: str) -> list[int]:
    """Living processes whose command line or working directory has `text`: what a killed engine left running."""
    return [pid for pid in processes() if text.encode() in command_line(pid) and pid != os.getpid()]


def processes() -> dict[int, int]:
    """Every process that is no zombie, and its parent."""
    found: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                words = (entry / "stat").read_text().rpartition(")")[2].split()
                if words[0] != "Z":
                    found[int(entry.name)] = int(words[1])
    return found


def descendants(pid: int) -> list[int]:
    """Every living process below `pid`."""
    parents = processes()
    found, frontier = [], [pid]
    while frontier:
        frontier = [child for child, parent in parents.items() if parent in frontier]
        found += frontier
    return found


def command_line(pid: int) -> bytes:
    """Its command line and working directory; empty once it is gone."""
    try:
        place = Path(f"/proc/{pid}")
        return (place / "cmdline").read_bytes() + b"\0" + os.fsencode((place / "cwd").readlink())
    except OSError:
        return b""


def kill_pid(pid: int) -> None:
    """`kill -9`; nothing happens if it has ended already."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def kill(process: subprocess.Popen[str]) -> Answer:
    """`kill -9`, and what it had said until then."""
    kill_pid(process.pid)
    out, err = process.communicate(timeout=WAIT_SECONDS)
    return Answer(process.returncode, out, err)


def position(phase: str) -> int:
    """Where a phase stands in the order, for comparing before and after."""
    return PHASES.index(Phase(phase))
