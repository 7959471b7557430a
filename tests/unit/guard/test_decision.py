"""The guard's decision: capability by phase, protected paths, what is never for an agent, and that it fails closed."""

import json
import random
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autopilot.guard.decision import ALLOW, DENY, PHASES, RULES, Answer, decide, paths_named
from autopilot.guard.tools import CAPABILITIES, TOOLS
from autopilot.kernel.phases import Phase
from autopilot.kernel.reason_codes import REASON_CODES

READING = ("read", "search", "vcs_read")
BY_PHASE = {
    **dict.fromkeys(("STRATEGIZE", "SPEC", "PLAN", "THINK"), READING),
    "IMPLEMENT": (*READING, "edit", "run_tests", "run_command", "vcs_commit"),
    **dict.fromkeys(("VERIFY", "REVIEW", "MONITOR"), (*READING, "run_tests")),
    "PR": (*READING, "run_tests", "vcs_commit", "vcs_push", "network"),
}


def snapshot(phase="IMPLEMENT", root="/repo", **more):
    return {
        "task": "T-1",
        "phase": phase,
        "capabilities": list(BY_PHASE.get(phase, ())),
        "root": root,
        "state_dir": f"{root}/state",
        "actor_kind": "agent",
        "network_hosts": ["github.com"],
        **more,
    }


def ask(snap, tool, tool_input=None, server=""):
    """As the router does it: paths are resolved first (here there are no links), then it decides."""
    tool_input = tool_input if tool_input is not None else {}
    base = snap.get("cwd", snap.get("root", "/repo"))
    resolved = {}
    for path in paths_named(snap, tool, server, tool_input):
        parts = []
        for part in (path if path.startswith("/") else f"{base}/{path}").split("/"):
            if part == "..":
                parts = parts[:-1]
            elif part not in ("", "."):
                parts.append(part)
        resolved[path] = "/" + "/".join(parts)
    return decide({"resolved": resolved, **snap}, tool, server, tool_input)


def bash(line, phase="IMPLEMENT", **more):
    return ask(snapshot(phase, **more), "Bash", {"command": line})


def write(path, phase="IMPLEMENT", **more):
    return ask(snapshot(phase, **more), "Write", {"file_path": path, "content": "x"})


def test_imports_builtins_only():
    root = str(Path(__file__).resolve().parents[3])
    program = (
        f"import sys; sys.path.insert(0, {root!r}); before = set(sys.modules); import autopilot.guard.decision as d; "
        "a = d.decide({}, 'Bash', '', {'command': 'git status'}); assert a.decision == 'allow', a.as_dict(); "
        "print('\\n'.join(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True, timeout=30
    )
    new = done.stdout.split()
    assert [name for name in new if not (name == "autopilot" or name.startswith("autopilot.guard"))] == []
    assert "autopilot.guard.commands" in new


def test_phases_are_the_kernels():
    assert tuple(phase.value for phase in Phase) == PHASES


def test_every_code_that_can_be_given_is_known():
    source = Path(sys.modules["autopilot.guard.decision"].__file__).read_text()
    codes = {part.split('"')[0] for part in source.split('_Refused("')[1:]}
    assert codes <= set(RULES)
    for code in ("tool_not_understood", "tool_never_for_agents", "tool_path_protected", "tool_host_unlisted"):
        assert code in source
        assert code in REASON_CODES


@pytest.mark.parametrize("phase", PHASES)
def test_named_tools_follow_the_phase(phase):
    for name, tool in TOOLS.items():
        if tool.shape not in ("plain", "path"):
            continue
        answer = ask(snapshot(phase), name, {"file_path": "src/a.py", "path": "src/a.py"})
        expected = tool.capability in ("read", "search", "host") or tool.capability in BY_PHASE[phase]
        assert (answer.decision == ALLOW) is expected, (phase, name, answer.as_dict())


@pytest.mark.parametrize("phase", ["STRATEGIZE", "VERIFY", "REVIEW", "PR", "MONITOR"])
def test_editing_out_of_phase_is_refused_with_what_is_allowed(phase):
    answer = write("src/a.py", phase)
    assert answer.decision == DENY
    assert (answer.rule, answer.capability, answer.reasons[0][0]) == ("deny.phase", "edit", "tool_out_of_phase")
    assert answer.allowed_now[:2] == ("autopilot next T-1", f"write state/evidence/T-1/{phase.lower()}/")
    assert json.loads(json.dumps(answer.as_dict()))["decision"] == "deny"


def test_reading_passes_without_a_task_and_nothing_else():
    bare = snapshot(task="", phase="", capabilities=[])
    for tool in ("Read", "Grep", "Glob", "read_file"):
        assert ask(bare, tool).decision == ALLOW
    for line in ("git status", "ls -la", "autopilot status", "autopilot task open T-9 --title x", "autopilot doctor"):
        assert ask(bare, "Bash", {"command": line}).decision == ALLOW, line
    for line in ("autopilot advance T-1", "make", "pytest", "git commit -m x", "autopilot evidence list T-1"):
        answer = ask(bare, "Bash", {"command": line})
        assert (answer.decision, answer.rule) == (DENY, "deny.context"), line
    assert ask(bare, "Write", {"file_path": "src/a.py"}).reasons[0][0] == "tool_no_context"
    # With capabilities but no task, a snapshot is no context either.
    assert ask({**bare, "capabilities": ["edit"]}, "Write", {"file_path": "a"}).decision == DENY
    assert ask({**bare, "task": "T-1", "phase": "CLOSED", "capabilities": ["edit"]}, "Write", {"file_path": "a"}).rule


def test_the_evidence_folder_of_the_phase_is_open_and_no_other():
    for phase in PHASES:
        folder = f"state/evidence/T-1/{phase.lower()}"
        answer = write(f"{folder}/x.md", phase)
        assert (answer.decision, answer.capability) == (ALLOW, "process"), (phase, answer.as_dict())
        assert bash(f"mkdir -p {folder}", phase).decision == ALLOW
        assert bash(f"cp docs/x.md {folder}/x.md", phase).decision == ALLOW
    for path in (
        "state/evidence/T-1/plan/x",
        "state/evidence/T-2/implement/x",
        "state/evidence/T-1/IMPLEMENT/x",
        "state/evidence/t-1/implement/x",
        "state/evidence/T-1/.superseded/0/implement/x",
        "state/evidence/.objects/aa/bb",
        "state/evidence/T-1/implement/../plan/x",
        "state/evidence/T-1/implement/.claude/settings.json",
        "state/ledger/LEDGER.json",
        "state/leases/leases.wal",
        "State/ledger/seg/1.jsonl",
        "state",
        "/repo/state/cache/x",
        "src/../state/cache/x",
    ):
        assert write(path).reasons[0][0] == "tool_path_protected", path


PROTECTED = (
    ".git/config",
    ".git/hooks/pre-commit",
    "sub/.git/config",
    ".GIT/config",
    ".git",
    "autopilot.toml",
    "AUTOPILOT.TOML",
    "./autopilot.toml",
    "x/../autopilot.toml",
    "/repo/autopilot.toml",
    ".claude/settings.json",
    ".claude/settings.local.json",
    ".claude/hooks/guard.sh",
    ".claude",
    "/home/u/.claude/settings.json",
    ".codex/hooks.json",
    ".codex/config.toml",
    "/home/u/.codex/config.toml",
    ".gemini/settings.json",
    ".cursor/hooks.json",
    "sub/.cursor/hooks.json",
    "/etc/claude-code/managed-settings.json",
    "/srv/keys/a",
)


@pytest.mark.parametrize("path", PROTECTED)
def test_protected_paths_are_refused_by_every_way_of_writing(path):
    more = {"protected": ["/srv/keys"]}
    for tool, tool_input in (
        ("Write", {"file_path": path}),
        ("Edit", {"file_path": path}),
        ("NotebookEdit", {"notebook_path": path}),
        ("write_file", {"file_path": path}),
        ("Delete", {"path": path}),
        ("apply_patch", {"command": f"*** Begin Patch\n*** Add File: {path}\n+x\n*** End Patch"}),
        ("apply_patch", {"input": f"*** Begin Patch\n*** Update File: src/a\n*** Move to: {path}\n*** End Patch"}),
        ("apply_patch", {"command": ["apply_patch", f"*** Begin Patch\n  *** Delete File: {path}\n*** End Patch"]}),
        ("Bash", {"command": f"rm {path}"}),
        ("Bash", {"command": f"mv {path} other"}),
        ("Bash", {"command": f"cp other {path}"}),
        ("Bash", {"command": f"touch '{path}'"}),
        ("Bash", {"command": f"ln -s {path} link"}),
        ("Bash", {"command": f"sometool --out={path}"}),
        ("Bash", {"command": f"sometool -o{path}"}),
        ("Bash", {"command": f"git checkout main -- {path}"}),
        ("Bash", {"command": f"python -c \"open('{path}', 'w')\""}),
        ("shell", {"command": ["bash", "-lc", f"rm {path}"]}),
        ("shell", {"command": ["rm", path]}),
    ):
        answer = ask(snapshot(**more), tool, tool_input)
        assert answer.decision == DENY, (tool, tool_input)
        assert answer.reasons[0][0] in ("tool_path_protected", "tool_not_understood"), answer.as_dict()


def test_folders_above_a_protected_place_are_refused():
    for line in (
        "rm -rf .",
        "rm -rf /",
        "rm -rf /repo",
        "mv . elsewhere",
        "git clean -fd",
        "chmod -R 777 .",
        "rm -rf ..",
    ):
        assert bash(line).decision == DENY, line
    assert bash("cp README.md .").decision == ALLOW
    assert bash("cp -r other/state .").decision == DENY
    assert bash("cp -r other/.git .").decision == DENY
    assert bash("cp -r other/. .").decision == DENY


def test_a_state_folder_further_down():
    deep = {"state_dir": "/repo/var/lib/state"}
    for line in ("rm -rf var", "mv var/lib x", "rm -r VAR", "git clean -fd var"):
        assert bash(line, **deep).rule == "deny.protected", line
    assert bash("rm -rf var/log", **deep).decision == ALLOW
    assert write("state/x", **deep).decision == ALLOW


def test_a_copy_through_a_link_is_refused():
    snap = snapshot()
    call = ("Bash", "", {"command": "cp a link"})
    for target in (None, "/repo/.git/config", "/repo/state/ledger/head"):
        resolved = {"link/a": "/repo/b/a"} if target is None else {"link/a": "/repo/b/a", "link": target}
        assert decide({**snap, "resolved": resolved}, *call).decision == DENY
    assert decide({**snap, "resolved": {"link/a": "/repo/b/a", "link": "/repo/b"}}, *call).decision == ALLOW
    # Into a folder where a link of the same name leads to a protected place.
    resolved = {"a": "/repo/a", "link/a": "/repo/.claude/settings.json", "link": "/repo/b"}
    for program in ("cp", "mv"):
        answer = decide({**snap, "resolved": resolved}, "Bash", "", {"command": f"{program} a link"})
        assert answer.rule == "deny.protected"


def test_links_are_judged_by_where_they_lead():
    snap = snapshot("PLAN")
    given = "state/evidence/T-1/plan/link.md"
    for real in ("/repo/src/a.py", "/repo/state/ledger/head", "/etc/passwd", "/repo/.git/config"):
        assert decide({**snap, "resolved": {given: real}}, "Write", "", {"file_path": given}).decision == DENY, real
    answer = decide({**snapshot(), "resolved": {"l/x": "/repo/state/ledger/x"}}, "Write", "", {"file_path": "l/x"})
    assert answer.reasons[0][0] == "tool_path_protected"
    # The shell around did not resolve it, or not to a plain place: refused.
    for resolved in ({}, {"a": "relative"}, {"a": "/repo/../repo/a"}, {"a": 1}, None, []):
        answer = decide({**snapshot(), "resolved": resolved}, "Write", "", {"file_path": "a"})
        assert (answer.decision, answer.rule) == (DENY, "deny.unresolved")
    # A root that is itself reached by a link: the given name is outside, the resolved one inside.
    answer = decide({**snapshot(), "resolved": {"/link/a": "/repo/a"}}, "Write", "", {"file_path": "/link/a"})
    assert answer.decision == ALLOW
    # A folder of tests that leads outside.
    answer = decide({**snapshot(), "resolved": {"t": "/tmp/t"}}, "Bash", "", {"command": "pytest t"})
    assert answer.decision == DENY


def test_writing_outside_the_repository():
    assert write("/tmp/x").reasons[0][0] == "path_outside"
    assert write("/repository/x").reasons[0][0] == "path_outside"
    assert write("/tmp/x", scratch=["/tmp"]).decision == ALLOW
    assert write("/tmpx/x", scratch=["/tmp"]).decision == DENY
    assert write("/tmp/x", "PLAN", scratch=["/tmp"]).rule == "deny.phase"
    for path in ("~/.bashrc", "", "a\nb", "a\u200bb", "a\x00b"):
        assert write(path).decision == DENY


def test_dotted_names_that_are_not_protected():
    for path in (
        ".gitignore",
        ".github/workflows/ci.yml",
        ".gitattributes",
        "docs/autopilot.toml",
        "states/x",
        "a.git/x",
    ):
        assert write(path).decision == ALLOW, path
    assert write(".claude/commands/x.md").decision == ALLOW


NEVER = (
    "autopilot approve T-1 --subject abc --reason x",
    "autopilot reject T-1 --subject abc --reason x",
    "autopilot --json approve T-1",
    "autopilot --task T-1 approve T-1",
    "autopilot flags set leases off",
    "autopilot lease force T-1",
    "autopilot hook claude PreToolUse",
    "autopilot init",
    "autopilot ledger repair",
    "autopilot store migrate --to files --reason x",
    "autopilot store setup postgresql://owner@h/d --grant app",
    "autopilot task close T-1 --abandon --reason x",
    "autopilot task close T-1 --aband --reason x",
    "autopilot task resume T-1",
    "autopilot attest baseline T-1 --prompt p --reason x",
    "autopilot store migrate",
    "autopilot daemon",
    "autopilot nosuchverb",
    "autopilot --nosuchoption advance T-1",
    "autopilot advance T-1 --actor-kind human",
    "autopilot advance T-1 --actor-kind=human",
    "autopilot advance T-1 --actor-k human",
    "autopilot --actor-kind engine advance T-1",
    "AUTOPILOT_ACTOR_KIND=human autopilot advance T-1",
    "AUTOPILOT_STATE_DIR=/tmp/x autopilot advance T-1",
    "AUTOPILOT_STORE=memory autopilot status",
    "AUTOPILOT_TASK=T-1 AUTOPILOT_FLAGS=x autopilot status",
    "'autopilot' approve T-1",
    'auto"pilot" approve T-1',
    "/usr/bin/autopilot approve T-1",
    ".venv/bin/autopilot approve T-1",
    "python -m autopilot approve T-1",
    "python -m autopilot.cli.main approve T-1",
    "uv run autopilot approve T-1",
    "npx Autopilot approve T-1",
    "git clean -fdx",
    "git clean -xn",
    "git clean -dfX src",
    "git stash --all",
    "git stash push -a",
)


@pytest.mark.parametrize("line", NEVER)
@pytest.mark.parametrize("phase", ["PLAN", "IMPLEMENT", "PR"])
def test_never_for_an_agent(line, phase):
    everything = snapshot(phase, capabilities=[*CAPABILITIES, "operator", "never"])
    answer = ask(everything, "Bash", {"command": line})
    assert (answer.decision, answer.rule) == (DENY, "deny.never"), answer.as_dict()
    assert answer.reasons[0][0] == "tool_never_for_agents"


def test_engine_commands_of_an_agent():
    for line in (
        "autopilot task open T-2 --title x",
        "autopilot task list",
        "autopilot task show T-1",
        "autopilot task close T-1",
        "autopilot status --json",
        "autopilot next T-1 --write",
        "autopilot verify T-1",
        "autopilot evidence add T-1 plan.md --as plan.md",
        "autopilot advance T-1 --to IMPLEMENT",
        "autopilot backtrack T-1 --to PLAN --reason 'the plan is wrong'",
        "autopilot attest check T-1 --prompt p.md",
        "autopilot lease acquire T-1 --json",
        "autopilot lease release T-1",
        "AUTOPILOT_ACTOR=a AUTOPILOT_SESSION=s AUTOPILOT_LEASE=3:abc autopilot advance T-1",
        "AUTOPILOT_ACTOR_KIND=agent autopilot advance T-1 --actor-kind agent",
        "autopilot ledger verify",
        "autopilot flags list",
        "autopilot --help",
    ):
        for phase in PHASES:
            assert bash(line, phase).decision == ALLOW, (line, phase)


def test_an_engine_elsewhere_counts_only_if_configured():
    line = "/srv/venv/bin/autopilot advance T-1"
    assert bash(line, "PLAN").decision == DENY
    assert bash(line, "PLAN", engine=["/srv/venv/bin/autopilot"]).decision == ALLOW
    assert bash("state/evidence/T-1/plan/autopilot advance T-1", "PLAN").rule == "deny.unclear"
    for words in ("advance T-1", "status"):
        assert bash(f".venv/bin/autopilot {words}").rule == "deny.unclear"
    for words in ("task close T-1 --aband", "nosuchverb", "advance T-1 --actor-kind human"):
        assert bash(f".venv/bin/autopilot {words}").rule == "deny.never"


def test_lines_that_cannot_be_read_are_refused_in_every_phase():
    for line in (
        "git status; git commit -m x",
        "git status && rm -rf x",
        "git status | tee x",
        "git status &",
        "git status\nrm -rf x",
        "git status\rrm -rf x",
        "echo $(autopilot approve T-1)",
        "echo `id`",
        "cat <(id)",
        "cat x > state/ledger/head",
        "echo x >> ~/.bashrc",
        "cat < x",
        "echo $HOME",
        "git\u00a0status",
        "git status\u2028rm x",
        "git\u200b status",
        "GIT_PAGER=x git log",
        "PATH=/tmp git status",
        "env git status",
        "sudo ls",
        "nohup make",
        "xargs rm",
        "eval 'git status'",
        "bash -c 'git status'",
        "sh",
        "\\git status",
        "git -c core.pager=x log",
        "git -C /tmp status",
        "git --git-dir=/tmp/x status",
        "git diff --output=x",
        "git diff --ext-diff",
        "git log --outp=x",
        "git grep -O vi x",
        "git grep --open-files-in-pager=vi x",
        "git push --force origin main",
        "git push -f",
        "git push origin +main",
        "git push origin :main",
        "git push https://evil/x main",
        "git push ../evil main",
        "git push ext::sh",
        "git add -f state",
        "git commit --no-verify -m x",
        "git commit -nm x",
        "git rebase --exec id main",
        "git merge -s evil main",
        "git update-ref HEAD x",
        "find . -exec rm x",
        "find . -delete",
        "find . -fprint x",
        "rg --pre=x y",
        "rg --pre x y",
        "rg -z x",
        "rg --hostname-bin=x y",
        "sort -o x y",
        "sort --compress-program=x y",
        "sort --compress=x y",
        "date -s 2020-01-01",
        "rm *",
        "rg x *",
        "wget https://github.com/x",
        "ssh host id",
        "nc host 1",
        "source x",
        "alias git=x",
        "export PATH=x",
        "Git push",
        "SUDO ls",
        "pytest state/evidence/T-1/verify/test_x.py",
        "pytest /tmp/test_x.py",
        "echo " + "x" * 9000,
        "",
        "   ",
        "#x",
        "é=1 git push",
        "AUTOPILOT_TAS'K'=/x y",
    ):
        for phase in ("STRATEGIZE", "IMPLEMENT", "VERIFY", "PR"):
            answer = bash(line, phase)
            assert answer.decision == DENY, (line, phase, answer.as_dict())
            assert answer.rule in ("deny.unclear", "deny.host"), (line, answer.as_dict())


def test_unknown_plain_programs_need_run_command():
    for line in (
        "make all",
        "npm install",
        "python script.py",
        "python -c 'print(1)'",
        "ruff check autopilot",
        "./x.sh",
    ):
        assert bash(line).capability == "run_command", line
        assert bash(line).decision == ALLOW, line
        for phase in ("PLAN", "VERIFY", "PR"):
            assert bash(line, phase).rule == "deny.phase", (line, phase)


def test_tests_run_in_the_phases_that_have_them():
    configured = {"test_commands": [["python3.12", "-m", "pytest"], ["./run-tests"]]}
    for line in ("pytest -q", "python -m pytest tests/test_a.py::test_b -k 'x and y'", "make test", "./run-tests -x"):
        assert bash(line, "VERIFY", **configured).decision == ALLOW, line
        assert bash(line, "PLAN", **configured).decision == DENY, line
    for line in ("pytest --junitxml=x", "pytest -p evil", "pytest -c x.ini", "pytest --basetemp=src", "make test X=1"):
        assert bash(line, "VERIFY", **configured).decision == DENY, line


def test_git_by_phase():
    for phase in PHASES:
        for line in (
            "git status --short",
            "git log --oneline -10",
            "git diff HEAD~1",
            "git show HEAD^",
            "git branch -a",
        ):
            assert bash(line, phase).capability == "vcs_read", (line, bash(line, phase).as_dict())
    table = {
        "git add .": {"IMPLEMENT", "PR"},
        "git commit -m 'Fix rm -rf'": {"IMPLEMENT", "PR"},
        "git switch -c fix": {"IMPLEMENT", "PR"},
        "git branch new": {"IMPLEMENT", "PR"},
        "git checkout main": {"IMPLEMENT"},
        "git reset --hard": {"IMPLEMENT"},
        "git stash": {"IMPLEMENT"},
        "git push origin main": {"PR"},
        "git push -u origin HEAD": {"PR"},
        "git fetch origin": {"PR"},
        "git config core.hooksPath x": set(),
        "git remote add x y": set(),
    }
    for line, phases in table.items():
        assert {phase for phase in PHASES if bash(line, phase).decision == ALLOW} == phases, line
    assert bash("git config core.hooksPath x").rule == "deny.protected"
    assert bash("git remote set-url origin x").rule == "deny.protected"


def test_network_reaches_the_configured_host_only():
    fetch = lambda url, phase="PR": ask(snapshot(phase), "WebFetch", {"url": url})  # noqa: E731
    assert fetch("https://github.com/a/b").decision == ALLOW
    assert fetch("https://github.com/a/b", "PLAN").rule == "deny.phase"
    for url in (
        "http://github.com/",
        "https://github.com.evil.org/",
        "https://github.com@evil.org/",
        "https://evil.org/github.com",
        "https://evil.org\\@github.com/",
        "https://github.com:8443/",
        "https://github.com\\evil.org/",
        "https:///github.com",
        "https://",
        "ftp://github.com/",
        "https://ｇithub.com/",
        "https://github.com\t/",
        "",
    ):
        assert fetch(url).rule == "deny.host", url
    # The Kelvin sign in lower case is a plain k; and no host is no configured host.
    odd = snapshot("PR", network_hosts=["k.example", ""])
    assert ask(odd, "WebFetch", {"url": "https://k.example/"}).decision == ALLOW
    assert ask(odd, "WebFetch", {"url": "https://\u212a.example/"}).rule == "deny.host"
    assert ask(odd, "WebFetch", {"url": "https:///x"}).rule == "deny.host"
    assert ask(snapshot("PR"), "WebFetch", {}).decision == DENY
    assert ask(snapshot("PR"), "WebSearch", {"query": "x"}).decision == DENY
    assert bash("curl -s https://github.com/x", "PR").decision == ALLOW
    assert bash("curl -o x https://github.com/x", "PR").decision == DENY
    assert bash("curl -s https://evil.org/x", "PR").decision == DENY
    assert bash("gh pr create --title x --body y", "PR").decision == ALLOW


LOOK_ALIKES = [
    form
    for name in ("Bash", "Write", "Read", "apply_patch")
    for form in (
        name.lower() if name != name.lower() else name.upper(),
        name.upper() if name != name.upper() else name.title(),
        name + " ",
        " " + name,
        name + "\n",
        name + "\u200b",
        name.replace("a", "\u0430"),  # Cyrillic
        "".join(chr(ord(char) + 0xFEE0) if char.isalpha() else char for char in name),  # full width
        unicodedata.normalize("NFD", name + "\u0301"),
        "mcp__x__" + name,
    )
    if form != name
]


@pytest.mark.parametrize("name", LOOK_ALIKES)
def test_look_alike_names_are_unknown(name):
    answer = ask(snapshot(), name, {"command": "ls", "file_path": "a"})
    assert (answer.decision, answer.rule, answer.reasons[0][0]) == (DENY, "deny.unknown", "tool_unknown")


def test_mcp_tools_are_known_by_the_pair():
    tools = {"tools": [["files", "read", "read"], ["files", "put", "edit", ["where"]], ["a", "b__c", "read"]]}
    snap = snapshot("IMPLEMENT", **tools)
    assert ask(snap, "read", {}, "files").decision == ALLOW
    assert ask(snap, "put", {"where": "src/a"}, "files").decision == ALLOW
    assert ask(snap, "put", {"where": "state/ledger/x"}, "files").rule == "deny.protected"
    assert ask(snap, "put", {"path": "src/a"}, "files").rule == "deny.input"
    assert ask(snapshot("PLAN", **tools), "put", {"where": "src/a"}, "files").rule == "deny.phase"
    for server, tool in (("Files", "read"), ("files", "Read"), ("files ", "read"), ("", "read"), ("other", "read")):
        assert ask(snap, tool, {}, server).rule == "deny.unknown", (server, tool)
    assert ask(snap, "b__c", {}, "a").decision == ALLOW
    for server in ("a__b", "a_", "__", "a__"):
        registered = snapshot(tools=[[server, "c", "read"]])
        assert ask(registered, "c", {}, server).rule == "deny.server", server
    # Nobody registers a tool into the engine's own capability, or one that does not exist.
    for capability in ("process", "everything", "", None, 1):
        assert ask(snapshot(tools=[["s", "t", capability]]), "t", {}, "s").decision == DENY


def test_joined_names_of_servers_and_tools_never_collide():
    seed = random.randrange(2**32)
    print("seed", seed)
    source = random.Random(seed)
    joined = {}
    for _ in range(20_000):
        server = "".join(source.choice("ab_") for _ in range(source.randint(1, 4)))
        tool = "".join(source.choice("ab_") for _ in range(source.randint(1, 4)))
        answer = decide({"tools": [[server, tool, "read"]]}, tool, server, {})
        if answer.decision == ALLOW:
            name = f"mcp__{server}__{tool}"
            assert joined.setdefault(name, (server, tool)) == (server, tool)


def test_text_typed_into_a_program():
    assert ask(snapshot(), "write_stdin", {"chars": "autopilot approve T-1\n"}).decision == DENY
    assert ask(snapshot(), "write_stdin", {"chars": ""}).decision == ALLOW
    assert ask(snapshot(), "exec_command", {"cmd": "ls", "shell": "/repo/evil"}).decision == DENY
    assert ask(snapshot(), "exec_command", {"cmd": "ls", "shell": "bash"}).decision == ALLOW
    assert ask(snapshot(), "shell", {"command": ["git", "status; rm x"]}).decision == DENY
    assert ask(snapshot(), "exec_command", {"cmd": "rm head", "workdir": "state/ledger"}).rule == "deny.protected"
    assert (
        ask(snapshot("PLAN"), "exec_command", {"cmd": "rm x.md", "workdir": "state/evidence/T-1/plan"}).decision
        == ALLOW
    )


def test_persons():
    human = {"actor_kind": "human"}
    assert bash("autopilot approve T-1 --subject a --reason b", **human).decision == ALLOW
    assert write("autopilot.toml", **human).decision == ALLOW
    assert write("state/ledger/head", **human).decision == DENY
    for kind in ("Human", "human ", "", None, True, ["human"], "engine"):
        assert bash("autopilot approve T-1", actor_kind=kind).decision == DENY
        assert write("autopilot.toml", actor_kind=kind).decision == DENY


def test_profiles_and_personas_narrow():
    narrowed = snapshot(narrow=[["read", "edit"], ["read", "search"]])
    assert ask(narrowed, "Write", {"file_path": "a"}).rule == "deny.narrowed"
    assert ask(narrowed, "Grep").rule == "deny.narrowed"
    assert ask(narrowed, "Read").decision == ALLOW
    assert ask(narrowed, "Write", {"file_path": "state/evidence/T-1/implement/x"}).decision == ALLOW
    assert ask(snapshot(narrow="edit"), "Write", {"file_path": "a"}).decision == DENY


@pytest.mark.parametrize(
    "change",
    [
        {"root": None},
        {"root": "relative"},
        {"state_dir": ""},
        {"capabilities": "edit"},
        {"capabilities": None},
        {"capabilities": [["edit"]]},
        {"phase": "implement"},
        {"phase": "CLOSED"},
        {"task": None},
        {"task": "../x"},
        {"task": ["T-1"]},
        {"narrow": [["read"], "x"]},
        {"scratch": "/tmp"},
        {"protected": [1]},
        {"cwd": ["x"]},
    ],
)
def test_malformed_snapshots_refuse(change):
    answer = decide({**snapshot(), "resolved": {"a": "/repo/a"}, **change}, "Write", "", {"file_path": "a"})
    assert answer.decision == DENY
    assert answer.reasons


def test_malformed_calls_refuse():
    for call in (
        (snapshot(), None, "", {}),
        (snapshot(), "Write", None, {"file_path": "a"}),
        (snapshot(), "Write", "", None),
        (snapshot(), "Write", "", {}),
        (snapshot(), "Write", "", {"file_path": 1}),
        (snapshot(), "Write", "", {"file_path": "a", "path": ["state"]}),
        (snapshot(), "Bash", "", {}),
        (snapshot(), "Bash", "", {"command": None}),
        (snapshot(), "Bash", "", {"command": ["ls", 1]}),
        (snapshot(), "Bash", "", {"command": "ls", "cmd": "rm x"}),
        (snapshot(), "apply_patch", "", {"command": "no patch"}),
        (None, "Read", "", {}),
        ("x", "Read", "", {}),
    ):
        answer = decide(*call)
        assert isinstance(answer, Answer)
        assert answer.decision == DENY, call


CALLS = (
    st.tuples(st.just("Write"), st.fixed_dictionaries({"file_path": st.sampled_from([*PROTECTED, "src/a", "state/x"])}))
    | st.tuples(st.just("Bash"), st.fixed_dictionaries({"command": st.sampled_from([*NEVER, "ls; id", "git push -f"])}))
    | st.tuples(st.just("WebFetch"), st.fixed_dictionaries({"url": st.just("https://evil.org/")}))
)
HARD = {"deny.never", "deny.unclear", "deny.protected", "deny.narrowed", "deny.server", "deny.input"}


@given(
    call=CALLS,
    phase=st.sampled_from(PHASES),
    extra=st.lists(st.sampled_from([*CAPABILITIES, "*", "all"]), max_size=12),
    hosts=st.lists(st.sampled_from(["github.com", "*", "example.org"])),
    tools=st.lists(st.sampled_from([["", "Write", "read"], ["", "Bash", "read"], ["s", "t", "edit"]])),
    engine=st.lists(st.sampled_from(["/srv/autopilot", "/usr/local/bin/autopilot"])),
    narrow=st.lists(st.lists(st.sampled_from(sorted(CAPABILITIES)))),
)
def test_adding_an_allow_never_lifts_a_refusal(call, phase, extra, hosts, tools, engine, narrow):
    tool, tool_input = call
    before = ask(snapshot(phase), tool, tool_input)
    allowed = {
        "capabilities": [*BY_PHASE[phase], *extra],
        "network_hosts": ["github.com", *hosts],
        "tools": tools,
        "engine": engine,
        "test_commands": [["pytest"]],
        "scratch": ["/"],
    }
    after = ask(snapshot(phase, **allowed), tool, tool_input)
    if before.rule in HARD:
        assert after.decision == DENY, (before.as_dict(), after.as_dict())
    # And a further narrowing never lifts anything.
    if after.decision == DENY:
        assert ask(snapshot(phase, **allowed, narrow=narrow), tool, tool_input).decision == DENY


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    tool=st.sampled_from(sorted(TOOLS)) | st.text(max_size=10),
    server=st.sampled_from(["", "s"]),
    tool_input=st.dictionaries(st.sampled_from(["command", "file_path", "url", "chars", "input", "x"]), JUNK),
    change=st.dictionaries(
        st.sampled_from([*sorted(snapshot()), "narrow", "tools", "resolved", "scratch", "cwd"]), JUNK
    ),
)
def test_it_always_answers(tool, server, tool_input, change):
    answer = decide({**snapshot(), **change}, tool, server, tool_input)
    assert answer.decision in (ALLOW, DENY)
    assert answer.rule in RULES
    assert (answer.decision == ALLOW) is (not answer.reasons)
    assert all(code in REASON_CODES for code, _ in answer.reasons)
    json.dumps(answer.as_dict())
