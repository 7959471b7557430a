"""The entry point: finds the command, runs it, and maps what it raises to an exit code.

Commands are dispatched by module path, so that `autopilot --help` and `autopilot status` import next to nothing.
Exit codes: 0 done, 1 checked and refused, 2 usage or configuration, 3 integrity failure, 4 waiting for a person,
5 lease lost or fenced, 6 something needed is missing here, 70 a bug.
"""

from __future__ import annotations

import sys

# name: (module under autopilot.cli, one line for --help). The order is the order of the help.
COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("init", "govern this repository"),
    "doctor": ("doctor", "check this machine and workspace, state the trust mode"),
    "demo": ("demo", "an honest agent and cheating ones, on a real small repository"),
    "status": ("status", "tasks and what each waits for"),
    "next": ("next_steps", "what the task's phase still misses; --write makes the skeletons"),
    "task": ("task", "open | list | show | close | resume"),
    "advance": ("advance", "move a task to its next phase"),
    "backtrack": ("backtrack", "send a task back to an earlier phase"),
    "verify": ("verify", "run and record the engine's checks of the current phase"),
    "evidence": ("evidence", "add | list | show | export"),
    "lease": ("lease", "acquire | renew | release | force | show"),
    "approve": ("approve", "approve what waits for a person (at a terminal)"),
    "reject": ("approve", "reject what waits for a person (at a terminal)"),
    "approver": ("approver", "keygen | show | sign | list: the keys that approvals are signed with"),
    "attest": ("attest", "check | baseline: hold a prompt against its baseline"),
    "guard": ("guard", "check | explain: may this tool be called now?"),
    "flags": ("flags", "list | set: modes of the enforcements"),
    "watch": ("watch", "let the watchdog look at every task"),
    "ledger": ("ledger", "log | verify | checkpoint | witness | prove | export | repair"),
    "checkpoint": ("checkpoint", "validate: is the claimed phase really complete?"),
    "audit": ("audit", "every integrity check in one run, the gravest finding first"),
    "store": ("store", "setup | migrate: the ledger in files, or in PostgreSQL for several machines"),
    "graph": ("graph", "draw the process from its running definition"),
    "daemon": ("daemon", "the engine as a user of its own, behind a Unix socket"),
    "bench": ("bench", "measure this machine against the budgets"),
    "completion": ("completion", "print the shell completion script"),
    "version": ("version", "print the version"),
}

_USAGE = (
    "usage: autopilot COMMAND [OPTIONS]\n\n"
    "Governance for AI coding agents that holds when the agent lies, forgets or races.\n\ncommands:\n"
)
_MORE = (
    "\n`autopilot COMMAND --help` says more. Start with `autopilot init`, or see it work: `autopilot demo`.\n"
    "What is promised depends on the trust mode: `autopilot doctor` states it, SECURITY.md says what it means.\n"
)
# Shared options that take a value, for finding the command behind them.
_VALUED = ("--actor", "--session", "--actor-kind", "-C", "--directory")


def main(argv: list[str] | None = None) -> int:
    """Run one command line; returns the exit code."""
    words = _command_first(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["help"] and words[1:] and words[1] in COMMANDS:
        words = [*words[1:], "--help"]
    if not words or words[0] in ("-h", "--help", "help"):
        sys.stdout.write(_help())
        return 0 if words else 2
    name = "version" if words[0] in ("-V", "--version") else words[0]
    if name not in COMMANDS:
        return _unknown(name, as_json="--json" in words)
    return _run(name, words[1:])


def _command_first(words: list[str]) -> list[str]:
    """`autopilot --json status` is `autopilot status --json`."""
    index = 0
    while (
        index < len(words) and words[index].startswith("-") and words[index] not in ("-h", "--help", "-V", "--version")
    ):
        index += 2 if words[index] in _VALUED else 1
    return [*words[index : index + 1], *words[:index], *words[index + 1 :]]


def _help() -> str:
    width = max(map(len, COMMANDS))
    return _USAGE + "".join(f"  {name:<{width}}  {line}\n" for name, (_, line) in COMMANDS.items()) + _MORE


def _unknown(name: str, *, as_json: bool) -> int:
    import difflib

    from autopilot.cli.failure import report
    from autopilot.kernel.errors import ContractError

    near = difflib.get_close_matches(name, COMMANDS, n=1)
    hint = f"did you mean `autopilot {near[0]}`?" if near else "see `autopilot --help`"
    detail = "only options, and no command" if name.startswith("-") else f"no command {name!r}"
    return report(ContractError("bad_usage", where=name, detail=detail, remedy=hint), as_json=as_json)


def _run(name: str, words: list[str]) -> int:
    try:
        # Resolved by import path so that one command never pays for another's imports.
        module = __import__(f"autopilot.cli.{COMMANDS[name][0]}", fromlist=["run"])
        code: int = module.run(name, words)
        sys.stdout.flush()
        return code  # noqa: TRY300 - the flush can break the pipe, as the run can
    except SystemExit as done:
        # argparse, after --help.
        return done.code if isinstance(done.code, int) else 0
    except BrokenPipeError:
        # The reader went away (`autopilot ledger log | head`): not our failure, and nothing is lost.
        import os

        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        sys.stderr.write("autopilot: interrupted; what is on the ledger stays, nothing else was changed\n")
        return 130
    except Exception as error:  # noqa: BLE001 - the last door: everything becomes an exit code and a message
        import os

        from autopilot.cli.failure import report
        from autopilot.cli.remedies import task_of

        return report(error, as_json="--json" in words, task=task_of(name, words, os.environ))


if __name__ == "__main__":
    sys.exit(main())
