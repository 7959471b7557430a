"""What callers do: honest work, mistakes, cheating, and every act of administration. Each is one call of the engine.

An operation is given the process it runs in and draws the rest. It raises what the engine raises; whoever runs it
holds that against the rules. Those in `WORK` bring tasks on, so that every phase is reached.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from autopilot.kernel.callers import Caller
from autopilot.kernel.configuration import Thresholds
from autopilot.kernel.errors import LeaseRefusedError
from autopilot.kernel.phases import PHASES, Phase, Terminal
from autopilot.leases.terms import Claim
from autopilot.ledger.entry import Draft, LeaseRef
from autopilot.process.router import ToolCall
from autopilot.process.state import TaskState
from autopilot.storage.files.verify import verify_files
from autopilot.testing.simulation.callers import AGENTS, PERSONS
from autopilot.testing.simulation.documents import BASE, FIXED, SOURCE, TITLE, documents
from autopilot.testing.simulation.process import SimProcess

Operation = Callable[[SimProcess], object]
OPEN_TASKS = 4
_SPOILT = (b"garbage", b"made by hand")


def worker_of(task: TaskState) -> Caller:
    """Who works on the task: an agent of its own, and in REVIEW another."""
    number = int(task.id.rpartition("-")[2])
    return AGENTS[(number + (task.stage == Phase.REVIEW)) % len(AGENTS)]


# --- work


def open_task(process: SimProcess) -> object:
    """Open one more task, now and then under a name that is taken."""
    desks, world = process.desks, process.world
    known = desks.tasks.list()
    if sum(task.phase not in tuple(Terminal) for task in known) >= OPEN_TASKS and not world.one_in(8):
        return None
    name = f"T-{len(known)}"
    if known and world.one_in(8):
        name = world.random.choice((known[-1].id, known[-1].id.lower()))
    elif name not in world.projects.working:
        world.projects.begin(name)
    if name in world.projects.working:
        desks.standing.task = name
    return desks.tasks.open(name, title=TITLE, profile="code-change", caller=process.caller)


def work(process: SimProcess) -> object:
    """What an honest agent does next for a task that is his: write, change, commit, advance."""
    task = _mine(process)
    if task is None:
        return open_task(process)
    prepare(process, task)
    if process.desks.leases.held(task.id) is None and not _rarely(process):
        # Who let a lease run out takes it anew, knowing that another may have been there.
        process.desks.leases.acquire(task.id, caller=process.caller)
    entry = process.desks.enforcer.advance_phase(task.id, caller=process.caller)
    if task.stage == Phase.REVIEW:
        process.desks.leases.release(task.id, caller=process.caller)
    return entry


def prepare(process: SimProcess, task: TaskState) -> None:
    """Do the work of the task's phase."""
    world, projects, phase = process.world, process.world.projects, Phase(task.stage)
    process.desks.standing.task = task.id
    if phase is Phase.IMPLEMENT:
        projects.working[task.id] |= FIXED
    if phase is Phase.PR:
        projects.commit(task.id)
    caller = process.caller
    written = documents(
        task.stage, actor=caller.actor, session=caller.session, commit=projects.heads.get(task.id, "0" * 40)
    )
    folder = world.state_dir / "evidence" / task.id / phase.folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in written.items():
        (folder / name).write_text(text)
    if world.one_in(2):
        _tidy(process, task)


def _tidy(process: SimProcess, task: TaskState) -> None:
    """Take away what others spoilt."""
    world = process.world
    for path in sorted((world.state_dir / "evidence" / task.id).rglob("*")):
        if path.is_file() and path.read_bytes() in _SPOILT:
            path.unlink()
    implemented = Phase(task.stage).position >= Phase.IMPLEMENT.position
    world.projects.working[task.id] = dict(BASE) | (dict(FIXED) if implemented else {})


def verify(process: SimProcess) -> object:
    """Have the phase's checks run, and move nothing."""
    task = _mine(process)
    if task is None:
        return None
    prepare(process, task)
    return process.desks.enforcer.verify(task.id, caller=process.caller)


def add_evidence(process: SimProcess) -> object:
    """Hand in a document."""
    task = _mine(process)
    if task is None:
        return None
    prepare(process, task)
    folder = process.world.state_dir / "evidence" / task.id / Phase(task.stage).folder
    contract = process.desks.engine.profile(task).contract(Phase(task.stage))
    name = process.world.random.choice(contract.artifacts).name
    if not (folder / name).exists():
        (folder / name).write_bytes(_SPOILT[1])
    return process.desks.evidence.add(task.id, folder / name, caller=process.caller)


def approve(process: SimProcess) -> object:
    """A person looks at what waits, and approves; somebody else than whoever it is may try."""
    task = _any(process)
    waiting = process.desks.approvals.waiting(task.id) if task else ()
    if task is None or not waiting:
        return None
    subject = process.world.random.choice(waiting).subject
    who = process.caller if process.world.one_in(10) else _person(process)
    return process.desks.approvals.approve(task.id, subject, reason="looked at it", caller=who)


# --- mistakes and cheating


def damage(process: SimProcess) -> object:
    """Spoil files that others read: documents, engine-made evidence, the working tree."""
    world, task = process.world, _any(process)
    if task is None:
        return None
    folder = world.state_dir / "evidence" / task.id
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    kind = world.random.randrange(4)
    if kind == 0 and found:
        world.random.choice(found).unlink()
    elif kind == 1 and found:
        world.random.choice(found).write_bytes(_SPOILT[0])
    elif kind == 2:
        world.projects.working[task.id] = dict(BASE) | {SOURCE: BASE[SOURCE] + b"# more\n"}
    else:
        world.projects.working[task.id] |= {"tests/conftest.py": b"import pytest\n"}
    return None


def skip(process: SimProcess) -> object:
    """Try to go somewhere else than to the next phase."""
    task = _any(process)
    if task is None:
        return None
    prepare(process, task)
    target = process.world.random.choice([*PHASES, Terminal.CLOSED])
    return process.desks.enforcer.advance_phase(task.id, target, caller=process.caller)


def hurry(process: SimProcess) -> object:
    """Advance whatever is there, with nothing written; anybody's task, now and then from the wrong worktree."""
    task = _any(process)
    if task is None:
        return None
    process.desks.standing.task = "nowhere" if process.world.one_in(3) else task.id
    return process.desks.enforcer.advance_phase(task.id, caller=process.caller)


def wrong_claim(process: SimProcess) -> object:
    """Act under a fence that is stale or made up, or with another's token."""
    task = _any(process)
    if task is None:
        return None
    prepare(process, task)
    fence = max(1, task.fence + process.world.random.choice((-2, -1, 0, 1, 7)))
    claim = Claim(process.caller.session, fence, process.world.random.choice((None, "f" * 32)))
    return process.desks.enforcer.advance_phase(task.id, caller=process.caller, lease=claim)


def stale_append(process: SimProcess) -> object:
    """Write past the desks, as a holder does that was stopped before its line and woke up long after."""
    task = _any(process)
    if task is None or task.fence < 2:
        return None
    lease = LeaseRef(f"{task.id}/{task.stage}", process.world.random.randrange(1, task.fence))
    draft = Draft(
        kind="evidence.added",
        caller=process.caller,
        task=task.id,
        epoch=task.epoch,
        lease=lease,
        data={"phase": task.stage, "bindings": {}, "observed": []},
    )
    # The store itself refuses it; what a desk would put on record is not its matter.
    with suppress(LeaseRefusedError), process.desks.store.transaction() as tx:
        return tx.append(draft)
    return None


def replay_approval(process: SimProcess) -> object:
    """Approve again what was approved once and used."""
    task = _any(process)
    if task is None:
        return None
    granted = [e for e in process.desks.store.entries(task.opened_seq) if e.kind == "approval.granted"]
    if not granted:
        return None
    old = process.world.random.choice(granted)
    return process.desks.approvals.approve(
        str(old.task), old.data["subject_sha256"], reason="again", caller=_person(process)
    )


def guarded_tool(process: SimProcess) -> object:
    """Ask whether a tool may be used."""
    task = _any(process)
    name = process.world.random.choice(("Read", "Edit", "Bash", "Unheard"))
    call = ToolCall(name, {"file_path": "shop/pricing.py", "command": "git status"}, task=task.id if task else "")
    return process.desks.router.check(call, caller=process.caller)


# --- administration


def backtrack(process: SimProcess) -> object:
    """Send a task back; or not back, by mistake."""
    task = _mine(process)
    if task is None:
        return None
    target = process.world.random.choice(
        PHASES[: max(1, Phase(task.stage).position)] if not _rarely(process) else PHASES
    )
    process.world.projects.working[task.id] = dict(BASE) | (dict(FIXED) if process.world.one_in(2) else {})
    return process.desks.enforcer.backtrack(task.id, target, reason="the plan was wrong", caller=process.caller)


def acquire(process: SimProcess) -> object:
    """Take a lease."""
    task = _any(process)
    return task and process.desks.leases.acquire(task.id, caller=process.caller)


def renew(process: SimProcess) -> object:
    """Ask for more time."""
    task = _any(process)
    return task and process.desks.leases.renew(task.id, caller=process.caller)


def release(process: SimProcess) -> object:
    """Give a lease back."""
    task = _any(process)
    if task is not None:
        process.desks.leases.release(task.id, caller=process.caller)
    return None


def force(process: SimProcess) -> object:
    """A person takes a lease away, having looked; now and then an agent tries."""
    task = _any(process)
    if task is None:
        return None
    seen = process.desks.leases.observed(task.id)
    who = process.caller if _rarely(process) else _person(process)
    return process.desks.leases.force(task.id, caller=who, reason="it hangs", observed=seen)


def resume(process: SimProcess) -> object:
    """A person lets a held task go on; now and then one that is not held, or an agent tries."""
    held = [task for task in _open(process) if task.held]
    task = process.world.random.choice(held) if held else None if not _rarely(process) else _any(process)
    who = process.caller if _rarely(process) else _person(process)
    return task and process.desks.tasks.resume(task.id, reason="looked at the diary", caller=who)


def abandon(process: SimProcess) -> object:
    """A person ends a task; mostly an agent tries."""
    task = _any(process)
    who = _person(process) if process.world.one_in(3) else process.caller
    return task and process.desks.tasks.abandon(task.id, reason="not wanted", caller=who)


def reject(process: SimProcess) -> object:
    """A person refuses what waits, or takes a grant back."""
    task = _any(process)
    if task is None or not task.requests:
        return None
    subject = process.world.random.choice(sorted(task.requests))
    return process.desks.approvals.reject(task.id, subject, reason="not like this", caller=_person(process))


def attest(process: SimProcess) -> object:
    """Submit the prompt of the phase; now and then another one."""
    task = _mine(process)
    prompt = b"another prompt" if process.world.one_in(5) else b"the prompt"
    return task and process.desks.attestation.check(task.id, prompt, caller=process.caller)


def baseline(process: SimProcess) -> object:
    """A person makes the last prompt the baseline; now and then an agent tries."""
    task = _any(process)
    who = process.caller if _rarely(process) else _person(process)
    prompt = process.world.random.choice((b"the prompt", b"another prompt"))
    return task and process.desks.attestation.change_baseline(task.id, prompt, reason="reworded", caller=who)


def flag(process: SimProcess) -> object:
    """Set a flag: persons loosen what costs no safety and tighten it again, agents try to loosen the gate."""
    if process.world.one_in(3):
        mode = process.world.random.choice(("off", "observe", "enforce"))
        return process.desks.flags.set("evidence_gate", mode, reason="in the way", caller=process.caller)
    name = process.world.random.choice(("watchdog", "attestation", "plan_lock", "tool_guard"))
    mode = process.world.random.choice(("observe", "enforce", "enforce"))
    return process.desks.flags.set(name, mode, reason="for a while", caller=_person(process))


def configure(process: SimProcess) -> object:
    """Edit autopilot.toml, and have it sealed or not."""
    world = process.world
    percent = world.random.choice((60, 70, 70, 80))
    world.settings = replace(world.settings, thresholds=Thresholds(coverage_percent=percent))
    if world.one_in(2):
        return None
    who = process.caller if world.one_in(3) else _person(process)
    return process.desks.config.seal(who)


def pass_time(process: SimProcess) -> object:
    """Time passes, the machine sleeps, or somebody sets its clock."""
    world = process.world
    match world.random.randrange(6):
        case 0:
            world.clock.set_wall(world.random.choice((-86_400 * 365, -3600, -1, 1, 3600, 86_400 * 365)))
        case 1:
            world.clock.tick(world.random.choice((600, 3600 * 8)))
        case _:
            world.clock.tick(world.random.randrange(1, 150))
    return None


def watch(process: SimProcess) -> object:
    """Let the watchdog look at everything."""
    return process.desks.watchdog.look_at_all(process.caller)


def reopen(process: SimProcess) -> object:
    """The process ends properly; another takes its place."""
    process.close()
    return None


def verify_ledger(process: SimProcess) -> object:
    """The shipped verification finds nothing."""
    report = verify_files(process.world.state_dir, process.world.marker)
    if not report.intact:
        raise report.error()
    # It counts lines that ride unsynced as well: nobody is told that they stand.
    return None


# --- choosing


def _open(process: SimProcess) -> list[TaskState]:
    return [task for task in process.desks.tasks.list() if isinstance(task.phase, Phase)]


def _any(process: SimProcess) -> TaskState | None:
    known = _open(process)
    return process.world.random.choice(known) if known else None


def _mine(process: SimProcess) -> TaskState | None:
    mine = [task for task in _open(process) if worker_of(task) == process.caller and not task.held]
    return process.world.random.choice(mine) if mine else None


def _person(process: SimProcess) -> Caller:
    return process.world.random.choice(PERSONS)


def _rarely(process: SimProcess) -> bool:
    return process.world.one_in(5)
