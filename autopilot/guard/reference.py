"""`docs/reference/tools.md`, written from the guard's tables. Not on the decision's path.

Write it anew after a change of the tables: `python -m autopilot.guard.reference > docs/reference/tools.md`.
"""

from __future__ import annotations

import sys

from autopilot.guard import decision, tools
from autopilot.guard.commands import HIDING_PROGRAMS, READING_PROGRAMS, TEST_RUNNERS, WRITING_PROGRAMS

_INTRO = """\
# Tools and the guard

The guard answers one question: may this tool call run, here and now? It knows the tools of the common hosts by exact
name, maps each to a capability, and holds the capability against what the task's phase gives. This page is written
from its tables by `python -m autopilot.guard.reference`; a test compares the two.

Ask it: `autopilot guard check --tool Bash --input '{"command": "git status"}' --task T-1`.

## Capabilities

"""

_PHASES = """
`read`, `search`, `vcs_read` and `host` pass in every phase and without a task. `process` needs a task, except for
`autopilot task open`, `task list`, `status` and `doctor`. The rest is given by phase; profiles and personas may narrow
it (but never `read`, `host` and `process`):

| phase | gives |
|---|---|
| STRATEGIZE, SPEC, PLAN, THINK | nothing more |
| IMPLEMENT | `edit`, `run_tests`, `run_command`, `vcs_commit` |
| VERIFY, REVIEW, MONITOR | `run_tests` |
| PR | `run_tests`, `vcs_commit`, `vcs_push`, and `network` for the configured hosts |

## Tools of hosts

A name that is not here is unknown, and unknown is refused: other case, a trailing space, a look-alike letter. The names
are those of the hosts' documentation and sources in 2026; those of Cursor's `preToolUse` are as third-party
configurations use them. A tool that a host adds is refused until it stands here.

"""

_AFTER_TOOLS = """
`shell` reads the command line as described below. `path` holds every path in the named arguments against the protected
places; `patch` does so for each file of a Codex patch. `url` must be `https://` to exactly one configured host, without
user, port or backslash; a web search names no host and is refused. `stdin` (text typed into a running program) passes
only when nothing is typed.

Tools of MCP servers are known by the pair (server, tool) that the operator registered with a capability; `edit` needs
the names of the arguments that hold paths, `network` an argument `url`. A server name with `__` in it, or with `_` at
its end, is refused: hosts join server and tool with `__`, and two pairs could read the same. Registered twice, a tool
needs both capabilities.

## Command lines

One plain command is read: words of printable characters, single quotes, double quotes without expansions, and before
it assignments of `AUTOPILOT_ACTOR`, `AUTOPILOT_SESSION`, `AUTOPILOT_TASK`, `AUTOPILOT_LEASE` and
`AUTOPILOT_ACTOR_KIND=agent`. Everything else cannot be read and is refused in every phase, because anything may hide in
it: operators and pipes, line breaks, carriage returns, redirections, substitutions, variables, backslashes, braces,
comments, `~` and `=` where a shell expands them, Unicode spaces, invisible characters, and lines over 8,192
characters. Unquoted patterns (`*`, `?`, `[`) may stand only after programs none of whose options matter. A path before
the program's name counts as the system's in `/usr/bin` and `/bin` only.

Options are allowed by name, so that an abbreviation or a new option is not let through.

| what | needs |
|---|---|
"""

_AFTER_COMMANDS = """
git before its sub-command takes `--no-pager` and `--version` only; `-c`, `-C`, `--git-dir` and the like are refused, as
are `--ext-diff`, `--textconv`, `--output`, `grep -O`, `rebase --exec`, `--no-verify`, `add --force`, forced or deleting
pushes, and remotes other than `origin` and `upstream`. `git config` and `git remote` that write are refused as changes
of `.git/config`.

A program that is not in the table needs `run_command`. Its words are still held against the protected places, also
inside words (`--out=state/x`, `open('state/x')`), and a line that names both autopilot and a command of persons is
refused.

## Never for an agent

`approve`, `reject`, `flags set`, `lease force`, `hook`, `init`, `ledger repair`, `task close --abandon`, `task resume`,
`attest baseline`, and every engine command that the guard's table does not open to agents; calling itself anything else
than an agent (`--actor-kind`, `AUTOPILOT_ACTOR_KIND`); engine settings before a command (`AUTOPILOT_STATE_DIR=…`);
`git clean -x`, `git clean -X` and `git stash --all`, which take `state/` away. `approve TASK --grant FILE` is
open to agents: it brings in what a person signed, and answers nothing itself.

An engine command acts where it starts, and `-C DIR` or `--directory DIR` moves it: for an agent the folder must lie in
this repository, links followed, and so must the folder that the host's shell tool starts in. Options of the commands
that act are allowed by name; one that is not known, or `-C` in another form (`-CDIR`), is refused. `evidence export
--out DIR` writes below `DIR` and needs what writing there needs.

An agent may use `autopilot task open|list|show|close`, `status`, `next`, `verify`, `evidence`, `advance`, `backtrack`,
`attest check`, `lease acquire|renew|release|show`, `doctor`, `version`, `ledger log|verify|prove`,
`guard check|explain` and `flags list`.

## Protected places

Not to be written by any tool, whether they exist yet or not, in any letter case:

- `state/` and all below it, but `state/evidence/<TASK>/<current phase>/`, which is open in every phase;
- every folder or file named `.git`, and all below it;
- `autopilot.toml` of the repository (a person may);
- hook configuration at any depth: `.claude/settings*.json`, `.claude/hooks/`, `.codex/`, `.gemini/settings.json`,
  `.cursor/hooks.json`, `.cursor/hooks/`, `claude-code/managed-settings.json`, and the folders `.claude`, `.gemini` and
  `.cursor` as a whole;
- what the snapshot lists as `protected`;
- a folder that holds one of these, for what removes or moves (`rm -r .`, `git clean -fd`).

Not to be read either: `state/keys/`, where the signing keys are. A reading tool or a command line that names it is
refused; what reads the whole of `state/` without naming it is not seen.

Paths outside the repository are refused but in folders the snapshot lists as `scratch`. A path is judged twice, as
given and as resolved, and the stricter answer counts. The decision touches no file: the caller resolves each path that
`paths_named` lists (links followed) and hands the results in as `resolved`; a path to be written that is not among them
is refused.

## The answer

`decision` (`allow` or `deny`), `rule`, `capability`, `reasons` (code and detail; see `reasons.md`) and `allowed_now`.
The strictest rule wins: all are asked, and no entry that allows something lifts what another rule refuses.

| rule | says |
|---|---|
"""

_LIMITS = """
## What no reading of a call can see

What a program does once it runs: a script written one call ago, a Makefile, a git hook, a test. Commands built from
parts at run time. A branch whose files replace protected ones at a checkout; the engine finds such a change by its
seals. Shells a host opens without asking the guard. Against these stands a sandbox around the agent (trust mode 2); in
modes 0 and 1 the guard stops mistakes and open attempts, and evidence that the engine makes itself stops the rest.
"""


def _named(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def render() -> str:
    """The page."""
    parts = [_INTRO, "| capability | what it is |\n|---|---|\n"]
    parts += [f"| `{name}` | {text} |\n" for name, text in tools.CAPABILITIES.items()]
    parts += [_PHASES, "| tool | hosts | capability | judged by | arguments |\n|---|---|---|---|---|\n"]
    for name in sorted(tools.TOOLS, key=lambda name: (name.casefold(), name)):
        tool = tools.TOOLS[name]
        shown = {"path": "`edit` or `process`", "shell": "by the line", "patch": "`edit` or `process`"}
        needs = shown.get(tool.shape, f"`{tool.capability}`" if tool.shape != "stdin" else "`host`")
        parts.append(f"| `{name}` | {tool.hosts} | {needs} | {tool.shape} | {_named(tool.keys) or '–'} |\n")
    parts += [
        _AFTER_TOOLS,
        f"| {_named(READING_PROGRAMS)}, `sed -n` with line numbers | `read` or `search` |\n",
        "| `git` that only prints: `status`, `log`, `diff`, `show`, `blame`, `branch`, `tag`, `ls-files`, … "
        "| `vcs_read` (`grep`: `search`) |\n",
        "| `git add`, `commit`, a new branch or tag, `reset --soft` | `vcs_commit` |\n",
        "| `git checkout`, `restore`, `switch`, `reset`, `stash`, `merge`, `rebase`, `cherry-pick`, `revert`, `rm`, "
        "`mv`, `clean PATH`, `branch -D` | `edit` and `vcs_commit` |\n",
        "| `git push`, `git fetch` | `vcs_push` |\n",
        f"| {_named(TEST_RUNNERS)}, and the configured test commands, of tests inside the repository | `run_tests` |\n",
        f"| {_named(WRITING_PROGRAMS)} | `process` for the evidence folder, else `edit` |\n",
        "| `curl` of one address, `gh pr create`, `view`, `list`, `status`, `checks`, `diff` | `network` |\n",
        f"| {_named(HIDING_PROGRAMS)}: they run another command or change what later ones mean | refused |\n",
        "| shells with options or without a script, other network clients | refused |\n",
        "| any other program | `run_command` |\n",
        _AFTER_COMMANDS,
    ]
    parts += [f"| `{rule}` | {text} |\n" for rule, text in decision.RULES.items()]
    parts.append(_LIMITS)
    return "".join(parts)


if __name__ == "__main__":
    sys.stdout.write(render())
