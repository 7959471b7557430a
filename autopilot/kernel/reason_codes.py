"""Every reason code in one table: its standing, what it means, and what to do next.

`docs/reference/reasons.md` is generated from this table. A code is added here first; a `Reason` with a code that
is not in the table cannot be made without naming its own remedy.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Standing(IntEnum):
    """Rank of a reason, gravest first (the order of judgement), and through `exit_code` what the process answers."""

    INTEGRITY = 0
    USAGE = 1
    SEQUENCE = 2
    LEASE = 3
    MISSING = 4
    REFUSED = 5
    WAITING = 6

    @property
    def exit_code(self) -> int:
        """0 done, 1 refused, 2 usage, 3 integrity, 4 waiting for a person, 5 lease lost, 6 something missing here."""
        return _EXIT_CODES[self]


_EXIT_CODES = {
    Standing.INTEGRITY: 3,
    Standing.USAGE: 2,
    Standing.SEQUENCE: 1,
    Standing.LEASE: 5,
    Standing.MISSING: 6,
    Standing.REFUSED: 1,
    Standing.WAITING: 4,
}


@dataclass(frozen=True, slots=True)
class ReasonCode:
    """What a code means (`title`) and the default remedy."""

    standing: Standing
    title: str
    remedy: str


def _code(standing: Standing, title: str, remedy: str) -> ReasonCode:
    return ReasonCode(standing, title, remedy)


_I, _U, _S, _L, _M, _R, _W = Standing

REASON_CODES: dict[str, ReasonCode] = {
    # --- input
    "unknown_phase": _code(_U, "not a phase", "use one of the nine phase names"),
    "unknown_task": _code(_U, "no such task in this ledger", "list the tasks with `autopilot task list`"),
    "malformed_task_id": _code(_U, "not a task id", "use letters, digits, '.', '_' and '-'"),
    "malformed_artifact_name": _code(_U, "not an artifact name", "use the name in the phase's contract"),
    "malformed_caller": _code(_U, "actor or session cannot be recorded", "use 1 to 128 printable characters"),
    "reason_missing": _code(_U, "a reason is due, and none or too long a one was given", "say why: --reason TEXT"),
    "unknown_profile": _code(_U, "no such profile", "use code-change or small-change"),
    "bad_config": _code(_U, "autopilot.toml cannot be used", "correct the named field"),
    "not_a_workspace": _code(_U, "no workspace here", "run `autopilot init` in the repository"),
    "not_a_repository": _code(_U, "no git repository here", "run `git init` and commit once, then `autopilot init`"),
    "no_work_tree": _code(_U, "a bare repository has no files to judge", "work in one of its worktrees"),
    "unknown_revision": _code(_U, "no such commit", "name a branch, a tag or a commit id"),
    "unsupported_repository": _code(_U, "a repository format not read here", "use refs as files, sha1 or sha256"),
    "not_plain_data": _code(_U, "a value the ledger cannot hold", "use strings, integers, lists and objects"),
    "not_canonical": _code(_I, "bytes not in the strict form", "restore the file from a copy that verifies"),
    "bad_json": _code(_U, "not JSON", "correct the file"),
    "unknown_flag": _code(_U, "no such flag", "list the flags with `autopilot flags list`"),
    "unknown_artifact": _code(_U, "the phase's contract has no such artifact", "see `autopilot next TASK`"),
    "bad_usage": _code(_U, "the command line is not understood", "see `autopilot COMMAND --help`"),
    # --- sequence
    "out_of_sequence": _code(
        _S, "not the next phase", "take the phases in order; `autopilot next TASK` names the next"
    ),
    "already_in_phase": _code(_S, "the task is in that phase already", "see `autopilot status`"),
    "task_closed": _code(_S, "the task has ended", "open a new task"),
    "not_a_backtrack": _code(_S, "the target is not an earlier phase", "name a phase before the current one"),
    "task_exists": _code(_S, "a task of this id exists, or one that differs only in case", "choose another id"),
    # --- lease
    "lease_held": _code(_L, "another session holds the phase", "wait until it is released or expires"),
    "lease_missing": _code(_L, "the caller does not hold the phase", "run `autopilot lease acquire TASK`"),
    "lease_expired": _code(
        _L, "the caller's lease ran out", "run `autopilot lease acquire TASK` and look at the state again"
    ),
    "stale_fence": _code(_L, "a newer lease was granted since", "stop: another holder works on this task"),
    "lost_race": _code(_L, "the phase changed while this call waited", "run `autopilot status` and decide anew"),
    "lease_token_mismatch": _code(_L, "the token is not the lease's", "use the token that `lease acquire` printed"),
    "lease_max_hold": _code(
        _L, "held for the longest time allowed", "finish and release; others get their turn before it is granted again"
    ),
    "lease_changed": _code(
        _L, "the lease is not what was looked at", "look again with `autopilot lease show TASK`, then decide anew"
    ),
    "renewed_too_often": _code(_L, "renewed more often than the limit", "renew at a third of the lease time"),
    # --- missing here
    "isolation_missing": _code(
        _M,
        "the profile demands isolation that this machine does not have",
        "install bubblewrap: apt-get install bubblewrap",
    ),
    "daemon_unreachable": _code(
        _M,
        "the daemon that this repository is governed by does not answer",
        "see that it runs (`systemctl status`), or correct AUTOPILOT_SOCKET or `daemon` in autopilot.toml",
    ),
    "daemon_busy": _code(_M, "the daemon has more to do than it takes on", "try again in a moment"),
    "daemon_unsafe": _code(
        _U, "the daemon would not keep what it claims with this setting", "correct it as said; docs/how-to/daemon.md"
    ),
    "daemon_running": _code(_U, "a daemon serves this state already", "stop it first, or use it"),
    "daemon_untrusted": _code(
        _I,
        "what answers at the socket is not the engine's user",
        "find out who put it there; set AUTOPILOT_SOCKET and AUTOPILOT_ENGINE_UID to what the administrator said",
    ),
    "peer_refused": _code(
        _R, "this user may not connect to the daemon, or not for this", "the administrator adds it to daemon.toml"
    ),
    "not_served": _code(_U, "not a worktree of the repository that the daemon serves", "work in one that is"),
    "bad_frame": _code(_U, "client and daemon do not understand one another", "use the same version on both sides"),
    "unknown_operation": _code(_U, "the daemon has no such operation", "use the same version on both sides"),
    "engine_user_only": _code(
        _M,
        "this works on the engine's files, which a client of the daemon does not have",
        "the engine's user runs it, with AUTOPILOT_SOCKET=off and AUTOPILOT_STATE_DIR set to the daemon's",
    ),
    "mount_unsafe": _code(
        _M,
        "project code would be shown a folder that others than root and the engine's user can exchange",
        "use an interpreter and read-only folders that root or the engine's user owns; dependencies by commands.setup",
    ),
    "git_missing": _code(_M, "git is not on this machine", "install git 2.39 or newer"),
    "git_failed": _code(_M, "a git command failed or ran over its time", "`git fsck` names the place of damage"),
    "git_object_missing": _code(
        _M,
        "the repository lacks an object",
        "in a partial or shallow clone fetch it: `git fetch --refetch`; what another machine sealed lies in its "
        "state/git: go on there, or copy that folder",
    ),
    "tool_missing": _code(_M, "a configured command is not on this machine", "install it, or correct autopilot.toml"),
    "setup_failed": _code(_M, "the dependencies could not be provided", "run commands.setup by hand and correct it"),
    "boot_unknown": _code(
        _M, "the machine does not name its boot, so leases cannot be timed", "mount /proc, or use Linux or macOS"
    ),
    # --- evidence
    "artifact_missing": _code(
        _R, "a required artifact is not there", "write it; `autopilot next TASK --write` makes the skeleton"
    ),
    "artifact_empty": _code(_R, "an artifact is empty", "write its content"),
    "artifact_not_regular": _code(_R, "not a regular file", "replace it by a plain file"),
    "artifact_linked": _code(
        _R, "reached through a link, or has more than one name", "replace it by a plain file of its own"
    ),
    "artifact_too_large": _code(_R, "over the size limit", "shorten it"),
    "artifact_not_text": _code(_R, "not UTF-8 text", "save it as UTF-8"),
    "artifact_invalid": _code(_R, "does not fit its schema", "see docs/reference/evidence.md"),
    "skeleton_unchanged": _code(_R, "still the skeleton", "replace the hints by content"),
    "section_missing": _code(_R, "a required section is not there", "add the section"),
    "section_empty": _code(_R, "a section says nothing", "write it"),
    "placeholder_text": _code(_R, "filler text", "write about this task"),
    "repeated_text": _code(_R, "sections repeat one another", "say in each section what it is for"),
    "ungrounded": _code(
        _R,
        "the text names nothing of this task or repository",
        "name the task's subject, and files or symbols that exist, in backticks",
    ),
    "criterion_missing": _code(_R, "no acceptance criterion", "add criteria AC-1, AC-2, …"),
    "criterion_duplicate": _code(_R, "a criterion id stands twice", "number the criteria"),
    "criterion_unproved": _code(_R, "a criterion has no proof", "give it an accept block, a named test, or `human`"),
    "accept_malformed": _code(_R, "an accept block cannot be used", "one argument vector, no shell, with id=AC-n"),
    "accept_passes_on_base": _code(
        _R, "the proof passes before the work is done", "make it fail on the base, or mark it base=pass"
    ),
    "accept_fails_on_base": _code(_R, "a regression check (base=pass) fails on the base", "correct the check"),
    "accept_not_runnable": _code(_R, "the accept command does not start", "correct the command"),
    "accept_failed": _code(_R, "an acceptance criterion is not met", "make the command succeed"),
    "accept_unisolated": _code(
        _R, "accept blocks would run without isolation", "install bubblewrap, or have a person approve the set"
    ),
    "kpi_without_number": _code(_R, "a KPI has no number", "give each KPI a number"),
    "criterion_uncovered": _code(_R, "no work item covers a criterion", "name the criterion in a work item"),
    "work_item_missing": _code(_R, "no work item", "add work items W-1, W-2, …"),
    "unknown_criterion": _code(_R, "names a criterion that spec.md does not have", "correct the id"),
    "path_outside": _code(_R, "a path leaves the repository", "use a path below the repository root"),
    "case_without_mitigation": _code(_R, "an edge case has neither mitigation nor accepted risk", "add one"),
    "not_configured": _code(_R, "the command is not configured", "add it to autopilot.toml"),
    "outside_plan": _code(
        _R,
        "files outside file_map.json were touched",
        "backtrack to PLAN and amend it, or have a person approve this diff",
    ),
    "nothing_changed": _code(_R, "the task changed no file", "do the work, or abandon the task"),
    "generated_differs": _code(_R, "a generated file is not what its command writes", "run the command again"),
    "tests_failed": _code(_R, "tests failed", "correct the code; `autopilot backtrack TASK --to IMPLEMENT`"),
    "tests_none_collected": _code(_R, "no test was collected", "correct commands.test or the tests"),
    "tests_vanished": _code(_R, "tests of the base are gone", "restore them"),
    "tests_skipped": _code(_R, "tests are skipped or expected to fail that were not on the base", "make them run"),
    "tests_unreported": _code(
        _R, "added or changed test files have no test in the report", "make commands.test run them, or take them out"
    ),
    "control_tests": _code(
        _R,
        "the engine's own two tests did not end as they must",
        "take out what bends the test runner or its report",
    ),
    "tests_changed": _code(_R, "pinned files changed", "restore them, or have a person approve this diff"),
    "build_changed_pins": _code(
        _R,
        "setup or build wrote pinned files into the tree that the tests run in",
        "let it write elsewhere; tests and their configuration are those of the tree",
    ),
    "environment_changed": _code(
        _R,
        "the interpreter's installed packages or start-up files changed since the task opened",
        "restore the environment, or have a person approve it",
    ),
    "config_changed": _code(
        _R, "sealed commands changed", "restore autopilot.toml, or have a person approve this diff"
    ),
    "report_missing": _code(
        _R, "the command wrote no machine report", "make it write {report}; a runner that dies leaves none"
    ),
    "report_unreadable": _code(_R, "the machine report cannot be read", "make it write the documented format"),
    "report_contradicts_exit": _code(
        _R, "the report and the exit code disagree", "find out why; neither alone is believed"
    ),
    "command_failed": _code(_R, "a command failed", "read the output in the evidence"),
    "command_timed_out": _code(_R, "a command ran over its time", "make it faster or raise its timeout"),
    "output_truncated": _code(_R, "a command wrote more than the cap", "make it write less"),
    "coverage_below_threshold": _code(_R, "coverage under the threshold", "add tests"),
    "lint_below_threshold": _code(_R, "code quality under the threshold", "correct the findings"),
    "rubric_below_threshold": _code(_R, "the review is under its threshold", "correct what the reviewer found"),
    "reviewer_is_implementer": _code(
        _R, "the reviewer implemented the change", "review as another actor in another session"
    ),
    "tree_changed": _code(_R, "files changed since the tree was judged", "backtrack to IMPLEMENT"),
    "tree_mismatch": _code(_R, "the commit's tree is not the judged tree", "commit exactly what was judged"),
    "wrong_worktree": _code(_R, "not the worktree or branch the task was opened in", "go back to it"),
    "nested_repository": _code(
        _R,
        "a repository inside the repository",
        "a submodule: `git submodule deinit PATH`, which leaves its folder empty; any other: move it out, or ignore it",
    ),
    "path_reserved": _code(_R, "a name that git reserves", "rename it, or ignore it"),
    "path_not_utf8": _code(_R, "a file name that is not UTF-8", "rename it, or ignore it"),
    "path_unreadable": _code(_R, "a file or folder that cannot be read", "make it readable, or ignore it"),
    "path_too_deep": _code(_R, "folders nested deeper than the limit", "flatten them, or ignore them"),
    "tree_too_large": _code(_R, "more files than the limit", "ignore generated files, or split the repository"),
    "file_too_large": _code(_R, "a file over the size limit", "ignore it, or keep it outside the repository"),
    "checkout_collides": _code(_R, "two paths of the tree are one on this disk", "rename one of them"),
    "evidence_stale": _code(_R, "evidence of another epoch, tree or lease", "produce it again"),
    "evidence_rank": _code(_R, "evidence of too low a rank", "let the engine produce it: `autopilot verify TASK`"),
    "evidence_edited": _code(_I, "a sealed object does not have its digest", "restore the object from a copy"),
    "file_map_contradicts_base": _code(
        _R, "the file map and the base tree disagree", "say `added` for new files, `modified` or `deleted` for others"
    ),
    "unfinished_code": _code(_R, "production code says that it is not finished", "finish it, or say what is meant"),
    "excerpt_differs": _code(
        _R, "the evidence section is not what the engine writes", "leave the text between the markers to the engine"
    ),
    "deployment_failed": _code(
        _R, "the change did not stay deployed", "`autopilot backtrack TASK --to IMPLEMENT`, and correct it"
    ),
    "profile_too_light": _code(
        _R, "the change is too large for its profile", "abandon it and open it again as code-change"
    ),
    "evidence_forged": _code(
        _R, "a file stands in the place of engine evidence and is not what the engine sealed", "delete the file"
    ),
    "sealed_edited": _code(
        _R, "a sealed document was edited after its phase was left", "restore it with `autopilot evidence export TASK`"
    ),
    # --- prompt
    "prompt_drift": _code(
        _R, "the prompt is not the attested one", "use the attested prompt, or `autopilot attest baseline`"
    ),
    "malformed_digest": _code(_U, "not a SHA-256 in hex", "give 64 lower-case hex digits"),
    "prompt_unattested": _code(
        _R, "the profile demands an attested prompt", "run `autopilot attest check TASK --prompt FILE`"
    ),
    # --- people
    "approval_needed": _code(
        _W, "a person must approve", "`autopilot approve TASK --subject DIGEST --reason TEXT` at a terminal"
    ),
    "self_approval": _code(_R, "the approver asked for it or did the work", "ask another person"),
    "not_a_terminal": _code(_R, "a person's act, and no terminal to ask a person at", "a person runs it at a terminal"),
    "not_confirmed": _code(_R, "the person did not confirm", "run it again, and type what it asks for"),
    "unknown_subject": _code(_R, "nothing waits for this approval", "see `autopilot next TASK`"),
    "approval_mismatch": _code(
        _R, "the approval is for something else", "have a person approve this subject; see `autopilot next TASK`"
    ),
    "approval_expired": _code(_R, "the approval's time is over", "have a person approve it again"),
    "approval_used": _code(_R, "the approval was used already", "have a person approve it again"),
    "signature_needed": _code(
        _W,
        "an approval must be signed by a registered key",
        "one who may sign runs `autopilot approve TASK --subject DIGEST --reason TEXT --key FILE`, or signs a request: "
        "`autopilot approver sign FILE`",
    ),
    "signature_bad": _code(
        _R, "the approval's signature does not hold", "have it signed anew; what was changed on the way is no approval"
    ),
    "signer_unknown": _code(
        _R,
        "the approval is signed by a key that is not registered",
        "have one sign whom `autopilot approver list` names, or a person registers the key",
    ),
    "malformed_grant": _code(
        _U, "not a request for an approval, or not a signed one", "give the file as `autopilot approver sign` wrote it"
    ),
    "key_within_reach": _code(
        _U,
        "the approver's private key would lie, or lies, where the agent works",
        "keep it outside of repository and state directory, on a medium of its own if you can",
    ),
    "key_locked": _code(
        _U, "the passphrase does not open the approver's key", "type the one that was chosen when the key was made"
    ),
    "human_only": _code(_R, "only a person may do this", "ask a person to run it at a terminal"),
    "task_held": _code(
        _W, "the task is held", "a person runs `autopilot task resume TASK --reason TEXT` at a terminal"
    ),
    "not_held": _code(_R, "the task is not held", "nothing to resume"),
    # --- guard
    "tool_unknown": _code(_R, "the tool is not in the table", "use a known tool"),
    "tool_out_of_phase": _code(_R, "the phase does not allow this capability", "use a tool of the phase, or move on"),
    "tool_never_for_agents": _code(_R, "never for an agent", "ask the operator"),
    "tool_path_protected": _code(_R, "the path is the engine's", "use `autopilot evidence add`"),
    "tool_no_context": _code(_R, "without a task only reading is allowed", "open a task, or set AUTOPILOT_TASK"),
    "tool_not_understood": _code(_R, "the command line is not one plain command", "run one plain command at a time"),
    "tool_host_unlisted": _code(
        _R, "the host is not configured", "name the host in autopilot.toml; a person approves it"
    ),
    # --- ledger and store
    "ledger_missing": _code(
        _I,
        "the repository's ledger is not where its state is looked for",
        "unset AUTOPILOT_STATE_DIR, correct `state_dir` in autopilot.toml, or put the state directory back; only where "
        "it is lost for good, a person runs `autopilot init --replace-lost --reason TEXT` at a terminal",
    ),
    "ledger_unlike_settings": _code(
        _I,
        "autopilot.toml names another ledger than the one that is here",
        "put the right one back: the state directory, or `ledger_id` in autopilot.toml",
    ),
    "state_linked": _code(
        _I,
        "a link stands where the engine keeps its files",
        "remove the link; to move the whole state directory set `state_dir`",
    ),
    "ledger_elsewhere": _code(
        _U,
        "autopilot.toml names a ledger that is not here",
        "say where the shared state is (AUTOPILOT_STATE_DIR, or `state_dir`) and run `autopilot init --join`; only "
        "where it is lost for good, a person runs `autopilot init --replace-lost --reason TEXT` at a terminal",
    ),
    "torn_tail": _code(
        _I, "the last line was not written whole", "the next writer repairs it: run any command that writes"
    ),
    "bad_hash": _code(_I, "a line does not have its hash", "restore the ledger from a copy that verifies"),
    "bad_link": _code(_I, "a line does not follow the one before", "restore the ledger from a copy that verifies"),
    "bad_ledger_json": _code(_I, "a line is not a ledger entry", "restore the ledger from a copy that verifies"),
    "rewritten": _code(_I, "an acknowledged line is another now", "restore the ledger from a copy that verifies"),
    "truncated": _code(_I, "acknowledged lines are gone", "restore the ledger from a copy that verifies"),
    "rolled_back": _code(
        _I,
        "the state is an older one than was seen before",
        "restore the newer state/; a backup was put back, or somebody wants it forgotten",
    ),
    "forked": _code(
        _I,
        "two histories were signed with the ledger's key",
        "find the second copy of state/; keep the one whose checkpoints others hold",
    ),
    "unsigned": _code(
        _I,
        "a checkpoint is not signed by a known key, or not as it stands",
        "name the key you were given: `--vkey`; where it is the right one the checkpoint is forged",
    ),
    "bad_proof": _code(_I, "a Merkle proof does not hold", "ask for another proof, against the checkpoint you hold"),
    "unwitnessed": _code(
        _I,
        "a checkpoint lacks the signature of a witness that was asked for",
        "let the witness sign it: `autopilot ledger witness`; if it refuses, its reason is what to look at",
    ),
    "older_checkpoint": _code(
        _R,
        "the witness has signed for a longer ledger",
        "hand in the newest checkpoint; if this is the newest, an older state was put back",
    ),
    "proof_missing": _code(
        _U,
        "nothing shows that the checkpoint continues the one before",
        "give the ledger (`--state DIR`), or a proof: `autopilot ledger prove --from SIZE`",
    ),
    "stale_proof": _code(
        _R,
        "the proof does not begin at what the witness signed last",
        "make it from there: `autopilot ledger prove --from SIZE`",
    ),
    "malformed_proof": _code(
        _U, "not a checkpoint with its proof", "hand in what `autopilot ledger prove --from SIZE` printed"
    ),
    "unknown_origin": _code(
        _R,
        "the witness has never signed for this ledger",
        "compare the verifier key with the one you were given, then once with `--first`",
    ),
    "witness_store_damaged": _code(
        _I,
        "what the witness remembers is not what it signed",
        "restore the file from a copy; begin anew only if you know why it is gone",
    ),
    "malformed_anchor": _code(
        _I,
        "a commit's Autopilot-Checkpoint line cannot be read",
        "look at the commit; once it is explained, name the range behind it: `--anchors COMMIT..HEAD`",
    ),
    "no_anchor": _code(
        _R,
        "no commit in the range anchors this ledger",
        "install the hook: `autopilot ledger checkpoint --install-hook`; or name a range that holds an anchor",
    ),
    "head_not_covered": _code(
        _R,
        "the last commit's checkpoint does not cover what the ledger says of phases",
        "commit once more with the hook installed (`git commit --allow-empty`), and push that",
    ),
    "hook_in_the_way": _code(
        _R,
        "another hook is where this one belongs, and one is kept aside already",
        "put the two together by hand, then install again",
    ),
    "hooks_elsewhere": _code(
        _R,
        "git takes its hooks from a folder outside of this repository",
        "set core.hooksPath for this repository alone, then install again",
    ),
    "key_exposed": _code(
        _I,
        "the signing key is not the owner's alone",
        "chmod 0600 the key and 0700 its folder; if others could read it: `autopilot ledger checkpoint --new-key`",
    ),
    "key_damaged": _code(
        _I,
        "the signing key is not what its name says",
        "restore state/keys, or `autopilot ledger checkpoint --new-key --reason TEXT`",
    ),
    "key_missing": _code(
        _M,
        "the signing key is not here",
        "restore state/keys, or `autopilot ledger checkpoint --new-key --reason TEXT`",
    ),
    "no_checkpoint": _code(_U, "nothing is signed yet", "run `autopilot ledger checkpoint` first"),
    "nothing_to_state": _code(_U, "no phase of the task was left yet", "see what is missing: `autopilot next TASK`"),
    "malformed_key": _code(
        _U, "not a verifier key", "give name+id+key as `autopilot ledger checkpoint --json` shows it (`vkey`)"
    ),
    "unknown_entry": _code(_U, "no such ledger entry", "see `autopilot ledger log`"),
    "target_exists": _code(_U, "something is there already", "name a folder that is empty or not there"),
    "poisoned": _code(
        _I, "a sync failed earlier", "a person runs `autopilot ledger repair --reason TEXT` at a terminal"
    ),
    "journal_malformed": _code(
        _I, "a journal entry is not as written", "delete state/journal/<TASK>.jsonl; it is made again from the ledger"
    ),
    "lease_log_corrupt": _code(
        _I, "the lease log does not verify", "a person runs `autopilot ledger repair --reason TEXT` at a terminal"
    ),
    "git_object_corrupt": _code(
        _I, "an object of the git repository is not what its id says", "`git fsck --full` names it; restore it"
    ),
    "object_missing": _code(_I, "a sealed object is not there", "restore state/evidence/.objects"),
    "state_mismatch": _code(
        _I, "the folded state is not the ledger's", "delete state/cache; if it stays, restore the ledger"
    ),
    "lock_timeout": _code(_L, "the ledger's lock was not to be had in time", "try again"),
    "storage_failed": _code(_I, "the disk refused an operation", "check the disk and the permissions of state/"),
    "ledger_exists": _code(_U, "a ledger is here already", "open it; one repository has one ledger"),
    "unknown_kind": _code(_U, "not a kind of ledger line", "use a kind of docs/reference/ledger.md"),
    "reserved_kind": _code(_U, "a kind of line that only the store writes", "record the lease, not its line"),
    "entry_too_large": _code(_U, "over 65,535 bytes", "put the content into an object and name its digest"),
    "disk_full": _code(_M, "no space left", "free space and try again"),
    "sync_failed": _code(
        _I, "the disk refused to sync", "check the disk; then a person runs `autopilot ledger repair --reason TEXT`"
    ),
    # --- PostgreSQL
    "store_unreachable": _code(
        _M, "the database does not answer as a store", "see `autopilot doctor`; check server, address and rights"
    ),
    "store_lost": _code(
        _M, "the connection to the database was lost; nothing of this call was written", "run the command again"
    ),
    "commit_unknown": _code(
        _M,
        "the connection was lost while committing, and nobody could look whether it stands",
        "look at `autopilot ledger log --last 5` before you repeat the call",
    ),
    "store_schema": _code(
        _U,
        "the database's tables are not those of this version",
        "the owner runs `autopilot store setup URL`, or use a newer autopilot where the tables are newer",
    ),
    "store_password": _code(
        _U,
        "a password stands in clear in autopilot.toml",
        "take it out; use PGPASSWORD, ~/.pgpass, or a service file and `postgresql:///?service=NAME`",
    ),
    "store_moved": _code(
        _U, "the ledger was moved to another store", "set `store` in autopilot.toml, or AUTOPILOT_STORE, to where it is"
    ),
    "leases_standing": _code(
        _L, "leases are held, and a store is moved only when nobody works", "let them finish, or release them"
    ),
    "pg_missing": _code(_M, "the PostgreSQL driver is not installed", "pip install 'autopilot-governance[pg]'"),
    # --- flags and watchdog
    "loosening_inert": _code(
        _W, "loosening waits for a person", "a person runs `autopilot flags set NAME MODE --reason TEXT` at a terminal"
    ),
}
