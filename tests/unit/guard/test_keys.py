"""The folder of the signing keys is neither written nor read by an agent's tools, in any phase."""

import pytest

from autopilot.guard.decision import PHASES

from .test_decision import ask, bash, snapshot, write

KEY = "state/keys/0123abcd.key"


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("path", [KEY, "/repo/" + KEY, "./state//keys/0123abcd.key", "State/./Keys/x", "state/keys"])
def test_no_tool_of_a_host_reads_or_writes_a_key(phase, path):
    assert write(path, phase).rule in ("deny.protected", "deny.input")
    for tool, argument in (("Read", "file_path"), ("Grep", "path"), ("Glob", "pattern"), ("read_file", "path")):
        answer = ask(snapshot(phase), tool, {argument: path})
        assert (answer.decision, answer.rule) == ("deny", "deny.protected"), (tool, path)
    assert ask(snapshot(phase), "read_many_files", {"paths": ["README.md", path]}).decision == "deny"


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize(
    "line",
    [
        f"cat {KEY}",
        "cat state/keys/*",
        "cat /repo/state//keys/0123abcd.key",
        "ls state/keys",
        "cd state/keys",
        "grep -r PRIVATE state/keys",
        f"cp {KEY} state/evidence/T-1/implement/x.txt",
        f"python3 tools/show.py {KEY}",
        f"sed -n 1,3p {KEY}",
    ],
)
def test_no_line_that_names_a_key_passes(phase, line):
    assert bash(line, phase).decision == "deny"


def test_a_moved_state_directory_keeps_its_keys():
    moved = {"state_dir": "/srv/autopilot"}
    assert ask(snapshot(**moved), "Read", {"file_path": "/srv/autopilot/keys/x.key"}).decision == "deny"
    assert bash("cat /srv/autopilot/keys/x.key", **moved).decision == "deny"


def test_text_about_keys_may_be_written_and_other_files_read():
    text = {"file_path": "docs/keys.md", "content": "The key is in state/keys."}
    assert ask(snapshot("IMPLEMENT"), "Write", text).decision == "allow"
    assert ask(snapshot("SPEC"), "Read", {"file_path": "state/ledger/seg/0000000000000000.jsonl"}).decision == "allow"
    assert bash("cat src/state.py keys.txt", "SPEC").decision == "allow"
    assert ask(snapshot("SPEC"), "Task", {"prompt": "Say in the docs where state/keys is."}).decision == "allow"


def test_making_a_checkpoint_is_not_for_an_agent_and_proving_a_line_is_reading():
    for verb in ("checkpoint", "checkpoint --new-key --reason x", "export ../pack", "repair --reason x"):
        assert bash(f"autopilot ledger {verb}", "IMPLEMENT").rule == "deny.never"
    assert bash("autopilot ledger prove 3", "SPEC").decision == "allow"
