"""`autopilot daemon`: the engine as a user of its own, behind a Unix socket (trust mode 1).

`--init` makes the ledger and says who may connect; without it the daemon serves until it is told to stop. It refuses to
start where what it would claim is not so: each `daemon_unsafe` names the folder or the user.
"""

from __future__ import annotations

import os
import signal
import sys
from argparse import ArgumentTypeError, Namespace
from pathlib import Path

from autopilot.cli import console, options
from autopilot.cli.options import Call, Parser
from autopilot.kernel.configuration import SETTINGS_FILE
from autopilot.onboarding.detect import propose
from autopilot.remote.peers import Peer, PeerTable
from autopilot.sandbox.choose import probe
from autopilot.vcs.repository import Repository
from autopilot.wiring.daemon import PEERS_FILE, Options, kept_apart, mode_of, notify, open_daemon
from autopilot.wiring.daemon_begun import begin
from autopilot.wiring.full import Workspace
from autopilot.wiring.stores import location_of

STATE_HOME = "/var/lib/autopilot"
SOCKET_HOME = "/run/autopilot"

UNIT = """\
[Unit]
Description=autopilot, the engine of {repository}
After=local-fs.target

[Service]
Type=notify
ExecStart={program} daemon -C {repository} --state-dir {state_dir} --socket {socket}
User=autopilot
Group=autopilot
Restart=on-failure
TimeoutStopSec=60
KillMode=mixed
UMask=0077
StateDirectory=autopilot
StateDirectoryMode=0711
RuntimeDirectory=autopilot
RuntimeDirectoryMode=0755
# bubblewrap makes user namespaces and mounts of its own, so neither may be taken away here.
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=true
CapabilityBoundingSet=
AmbientCapabilities=
LockPersonality=true
# With --run-as UID:GID instead of bubblewrap:
#   CapabilityBoundingSet=CAP_SETUID CAP_SETGID
#   AmbientCapabilities=CAP_SETUID CAP_SETGID
#   SupplementaryGroups=<GID>
#   CacheDirectory=autopilot

[Install]
WantedBy=multi-user.target
"""


def parser() -> Parser:
    """The parser of `autopilot daemon`."""
    daemon = options.command("daemon", "run the engine as a user of its own, behind a Unix socket (trust mode 1)")
    daemon.add_argument(
        "--state-dir", metavar="DIR", default="", help=f"where the state is (default: {STATE_HOME}/<ledger id>)"
    )
    daemon.add_argument(
        "--socket", metavar="PATH", default="", help=f"where to listen (default: {SOCKET_HOME}/<ledger id>.sock)"
    )
    daemon.add_argument("--config", metavar="FILE", default="", help=f"who may connect (default: {PEERS_FILE} there)")
    daemon.add_argument("--init", action="store_true", help="make the ledger and the table of users, and end")
    daemon.add_argument("--print-unit", action="store_true", help="print a systemd unit, and end")
    daemon.add_argument(
        "--allow-same-user", action="store_true", help="serve as the repository's owner: trust mode 0, and said so"
    )
    daemon.add_argument("--run-as", metavar="UID:GID", type=_pair, default=None, help="the third user for project code")
    daemon.add_argument("--cache-dir", metavar="DIR", default="", help="where the third user's dependencies are kept")
    for flag, text in (
        ("--agent", "with --init: a user that agents run as"),
        ("--agent-group", "with --init: a group whose members are agents"),
    ):
        daemon.add_argument(flag, metavar="ID", type=_number, action="append", default=[], help=text)
    for flag, text in (
        ("--human", "with --init: a person's user, and the person's name"),
        ("--approver", "with --init: a person who may approve as well"),
    ):
        daemon.add_argument(flag, metavar="UID=NAME", type=_named, action="append", default=[], help=text)
    return daemon


def run(name: str, words: list[str]) -> int:
    """Serve; 0 after a clean stop."""
    del name
    args = parser().parse_args(words)
    call = options.read_call(args)
    repository = kept_apart(Repository.locate(call.directory))
    if args.print_unit:
        console.show(_unit(args, repository).rstrip("\n"))
        return 0
    if args.init:
        return _init(args, call, repository)
    chosen = _options(args, call, _ledger_of(repository))
    # Nothing that is written here is anybody else's to read; and a user that is only a number has a home as well.
    os.umask(0o077)
    os.environ.setdefault("HOME", "/nonexistent")
    with open_daemon(repository, chosen) as (server, _, ledger):
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: server.stop())
        notify(call.environ, "READY=1\n")
        _announce(call, repository, chosen, ledger)
        server.run()
        notify(call.environ, "STOPPING=1\n")
    console.say("stopped; everything that was acknowledged is on the ledger")
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads that did not finish in time were not answered: they are not waited for, as after a kill.
    os._exit(0)


def seal_remotely(call: Call) -> int:
    """What is left of `init` where a daemon has the ledger: a person seals `autopilot.toml` as it is now."""
    options.require_person(call, "init")
    with Workspace.open(call.directory) as workspace:
        entry = workspace.config.seal(caller=call.caller)
        ledger = workspace.ledger.ledger_id
    seq = entry.seq if entry is not None else None
    done = f"sealed {SETTINGS_FILE}, ledger line {seq}" if entry is not None else f"{SETTINGS_FILE} is sealed already"
    call.answer({"ledger": ledger, "seq": seq}, done)
    console.next_step('autopilot task open T-1 --title "what it is for"')
    return 0


def _init(args: Namespace, call: Call, repository: Repository) -> int:
    if not args.state_dir:
        raise options.usage_error("--init needs --state-dir: where the state is to be", "autopilot daemon")
    peers = [Peer(uid=uid) for uid in args.agent] + [Peer(gid=gid) for gid in args.agent_group]
    peers += [Peer(uid=uid, actor=name, kind="human") for uid, name in args.human]
    peers += [Peer(uid=uid, actor=name, kind="human", approver=True) for uid, name in args.approver]
    table = PeerTable.parse(PeerTable(tuple(peers)).render().encode(), where="the users named here")
    os.umask(0o077)
    # The socket's folder may be made only when the service starts.
    chosen = _options(args, call, "")
    ledger = begin(repository, chosen, table, call.caller)
    socket = args.socket or f"{SOCKET_HOME}/{ledger}.sock"
    proposal = propose(repository.main_worktree, ledger_id=ledger)
    text = proposal.files.get(SETTINGS_FILE, f'ledger_id = "{ledger}"\n')
    settings = _with_daemon(text, ledger, socket)
    shown = {
        "ledger": ledger,
        "state_dir": str(chosen.state_dir),
        "socket": socket,
        "config": str(chosen.config),
        "settings": settings,
    }
    console.say(f"made ledger {ledger} in {chosen.state_dir}; who may connect stands in {chosen.config}")
    console.say(f"the owner of the repository saves this as {SETTINGS_FILE}, and puts `state/` into .gitignore:")
    call.answer(shown, settings.rstrip("\n"))
    console.next_step(f"autopilot daemon --state-dir {chosen.state_dir} --socket {socket}")
    return 0


def _with_daemon(text: str, ledger: str, socket: str) -> str:
    """The settings with the ledger's id and the socket at the top."""
    rest = [line for line in text.splitlines() if not line.startswith(("ledger_id", "daemon", "state_dir"))]
    return "\n".join([f'ledger_id = "{ledger}"', f'daemon = "{socket}"', *rest]) + "\n"


def _announce(call: Call, repository: Repository, chosen: Options, ledger: str) -> None:
    mode = mode_of(repository)
    console.say(f"serving ledger {ledger} for {repository.main_worktree} at {chosen.socket}, trust mode {mode}")
    if mode == 0:
        console.say("warning: engine and agent are one user; nothing here keeps the agent from the state")
    elif probe().bubblewrap is None and chosen.run_as is None:
        console.say("warning: neither bubblewrap nor a third user: project code will not run (isolation_missing)")
    if call.as_json:
        console.emit({"ledger": ledger, "socket": str(chosen.socket), "trust_mode": mode, "pid": os.getpid()})
    sys.stdout.flush()


def _options(args: Namespace, call: Call, ledger: str) -> Options:
    if not ledger and not (args.state_dir and args.socket) and not args.init:
        detail = "autopilot.toml names no ledger: give --state-dir and --socket"
        raise options.usage_error(detail, "autopilot daemon")
    state_dir = Path(args.state_dir or f"{STATE_HOME}/{ledger}").absolute()
    return Options(
        state_dir=state_dir,
        socket=Path(args.socket or f"{SOCKET_HOME}/{ledger}.sock").absolute(),
        config=Path(args.config).absolute() if args.config else state_dir / PEERS_FILE,
        allow_same_user=args.allow_same_user,
        run_as=args.run_as,
        cache=Path(args.cache_dir).absolute() if args.cache_dir else None,
        environ=call.environ,
    )


def _ledger_of(repository: Repository) -> str:
    return location_of(repository, {}).ledger_id


def _unit(args: Namespace, repository: Repository) -> str:
    ledger = _ledger_of(repository) or "main"
    return UNIT.format(
        program=Path(sys.argv[0]).absolute() if sys.argv[0].endswith("autopilot") else "/usr/local/bin/autopilot",
        repository=repository.main_worktree,
        state_dir=args.state_dir or f"{STATE_HOME}/{ledger}",
        socket=args.socket or f"{SOCKET_HOME}/{ledger}.sock",
    )


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ArgumentTypeError(f"{text!r} is not a number; `id -u NAME` gives it")
    return int(text)


def _pair(text: str) -> tuple[int, int]:
    uid, _, gid = text.partition(":")
    return _number(uid), _number(gid)


def _named(text: str) -> tuple[int, str]:
    uid, _, name = text.partition("=")
    if not name.strip():
        raise ArgumentTypeError(f"{text!r} is not UID=NAME")
    return _number(uid), name.strip()
