"""Can this machine govern this repository? Facts in, checks out; gathering the facts is the door's.

A check that is `required` and not ok makes the workspace unusable or its ledger unsafe. The others say what is
given up. The trust mode is always stated: nothing claims more than it gives.
"""

from __future__ import annotations

from dataclasses import dataclass

from autopilot.kernel.reason_codes import REASON_CODES
from autopilot.onboarding.store import StoreFacts, store_detail, store_remedies

PYTHON_LEAST = (3, 11)
# The first git that takes its global configuration from GIT_CONFIG_GLOBAL, and so can be kept from reading one.
GIT_LEAST = (2, 32)

# Locks and syncs on these do not mean what the ledger needs them to mean.
NETWORK_FILESYSTEMS = frozenset(
    {
        "9p", "afs", "beegfs", "ceph", "cifs", "davfs", "fuse.ceph", "fuse.davfs2", "fuse.gcsfuse", "fuse.glusterfs",
        "fuse.rclone", "fuse.s3fs", "fuse.sshfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "prl_fs",
        "smb2", "smb3", "smbfs", "vboxsf", "virtiofs",
    }
)  # fmt: skip
NESTED_REMEDY = REASON_CODES["nested_repository"].remedy
LINE_END_REMEDY = (
    "`git config core.autocrlf false`, or commit a .gitattributes with `* text=auto`, which git and engine both follow"
)
_NAMED = 5
_VOLATILE_FILESYSTEMS = frozenset({"tmpfs", "ramfs"})
_TRUST = {
    0: "mode 0, advisory: agent and engine share a user; edits are found by the chain, a ledger rewritten whole by "
    "someone who owns the disk only against a checkpoint kept elsewhere; approvals are advisory",
    1: "mode 1, split: the engine runs as another user than the agent",
    2: "mode 2, contained: split, and the agent itself is sandboxed",
}

_NEXT = {
    0: "to reach mode 1, run the engine as a user of its own: `autopilot daemon`, docs/how-to/daemon.md",
    1: "to reach mode 2, run the agent in a container without state and keys: SECURITY.md",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineFacts:
    """What the door found out. Empty strings and None mean: not there, or not to be found out."""

    python_version: tuple[int, int, int]
    git_version: str = ""
    isolation_works: bool = False
    isolation_error: str = ""
    isolation_by: str = ""
    isolation_wanted: str = "auto"
    state_dir: str = ""
    state_filesystem: str = ""
    state_writable: bool = True
    trust_mode: int = 0
    trust_problem: str = ""
    daemon: str = ""
    otel_exporter: str = ""
    store: StoreFacts | None = None
    store_problem: str = ""
    ledger_status: str = ""
    ledger_reason: str = ""
    ledger_entries: int = 0
    config_error: str = ""
    commands_configured: tuple[str, ...] = ()
    programs_missing: tuple[str, ...] = ()
    unknown_variables: tuple[str, ...] = ()
    nested_repositories: tuple[str, ...] = ()
    line_end_conversion: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of doctor. `remedy` is empty where the check is ok."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""
    required: bool = True

    def as_dict(self) -> dict[str, str | bool]:
        """The JSON form."""
        return {
            "name": self.name,
            "ok": self.ok,
            "required": self.required,
            "detail": self.detail,
            "remedy": self.remedy,
        }


def diagnose(facts: MachineFacts) -> tuple[Check, ...]:
    """All checks, always the same ones in the same order."""
    return (
        _python(facts),
        _git(facts),
        _isolation(facts),
        _filesystem(facts),
        _configuration(facts),
        _commands(facts),
        _variables(facts),
        _nested(facts),
        _line_ends(facts),
        _store(facts),
        _ledger(facts),
        _telemetry(facts),
        _trust(facts),
    )


def _store(facts: MachineFacts) -> Check:
    """Where the ledger is; a database that does not answer, or not with our tables, is no store."""
    if facts.store_problem:
        return Check("store", False, facts.store_problem, REASON_CODES["store_unreachable"].remedy)
    if facts.store is None:
        return Check("store", True, f"files in {facts.state_dir}" if facts.state_dir else "files")
    remedies = store_remedies(facts.store)
    detail = store_detail(facts.store)
    return Check("store", not remedies, detail, "; ".join(remedies), required=False)


def _trust(facts: MachineFacts) -> Check:
    """The mode that was found to hold, why not a higher one, and how to reach the next."""
    told = [_TRUST.get(facts.trust_mode, f"unknown mode {facts.trust_mode}"), facts.trust_problem]
    told.append(_NEXT.get(facts.trust_mode, ""))
    return Check("trust", facts.trust_mode in _TRUST, "; ".join(part for part in told if part))


def nested_problem(paths: tuple[str, ...]) -> str:
    """What is wrong with repositories inside the repository, in one sentence."""
    more = f" and {len(paths) - _NAMED}" if len(paths) > _NAMED else ""
    return f"{', '.join(paths[:_NAMED])}{more}: a repository of its own; no task can be opened while it is there"


def line_end_problem(setting: str) -> str:
    """What a setting that converts line ends leads to, in one sentence."""
    return (
        f"{setting}: git commits other line ends than those on disk, which the engine judges; "
        "a task that changes such a file cannot leave PR (tree_mismatch)"
    )


def healthy(checks: tuple[Check, ...]) -> bool:
    """Whether everything required is ok."""
    return all(check.ok for check in checks if check.required)


def filesystem_type(mountinfo: str, path: str) -> str:
    """Type of the filesystem that holds the absolute, resolved `path`, by `/proc/self/mountinfo`; empty if unknown."""
    best, kind = "", ""
    for line in mountinfo.splitlines():
        fields, _, rest = line.partition(" - ")
        words = fields.split(" ")
        if len(words) < 5 or not rest:
            continue
        # The kernel writes blanks in paths as octal escapes.
        point = words[4].replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        # A later mount on the same point hides the earlier one, hence >=.
        if inside and len(point) >= len(best):
            best, kind = point, rest.split(" ", 1)[0]
    return kind


def parse_git_version(text: str) -> tuple[int, int] | None:
    """(major, minor) from `git --version`'s answer or a bare version; None where there is none."""
    for word in text.split():
        parts = word.split(".")
        if len(parts) >= 2 and parts[0].isdigit() and parts[1].isdigit():
            return int(parts[0]), int(parts[1])
    return None


def _python(facts: MachineFacts) -> Check:
    version = ".".join(map(str, facts.python_version))
    if facts.python_version[:2] >= PYTHON_LEAST:
        return Check("python", True, version)
    return Check("python", False, version, f"use Python {'.'.join(map(str, PYTHON_LEAST))} or newer")


def _git(facts: MachineFacts) -> Check:
    version = parse_git_version(facts.git_version)
    least = ".".join(map(str, GIT_LEAST))
    if version is None:
        return Check("git", False, "git was not found", "install git: apt-get install git")
    if version < GIT_LEAST:
        # An older git reads the user's configuration whatever it is told: a configured program could run.
        return Check("git", False, facts.git_version, f"install git {least} or newer")
    return Check("git", True, facts.git_version)


def _isolation(facts: MachineFacts) -> Check:
    required = facts.isolation_wanted == "bwrap"
    if facts.isolation_works:
        return Check("isolation", True, facts.isolation_by or "bubblewrap works", required=required)
    detail = f"bubblewrap does not work: {facts.isolation_error or 'not installed'}"
    remedy = "install bubblewrap: apt-get install bubblewrap; without it, profiles that demand isolation exit with 6"
    return Check("isolation", False, detail, remedy, required=required)


def _filesystem(facts: MachineFacts) -> Check:
    where = f"{facts.state_dir or 'state'} on {facts.state_filesystem or 'a filesystem of unknown type'}"
    move = "set state_dir in autopilot.toml or AUTOPILOT_STATE_DIR to a folder on a local disk"
    if facts.state_filesystem in NETWORK_FILESYSTEMS:
        return Check("filesystem", False, f"{where}: a network filesystem keeps neither locks nor syncs", move)
    if not facts.state_writable:
        return Check("filesystem", False, f"{where}: not writable", f"make it writable, or {move}")
    if facts.state_filesystem in _VOLATILE_FILESYSTEMS:
        return Check("filesystem", False, f"{where}: gone after a restart of the machine", move, required=False)
    return Check("filesystem", True, where)


def _configuration(facts: MachineFacts) -> Check:
    if facts.config_error:
        return Check("configuration", False, facts.config_error, "correct the named key of autopilot.toml")
    return Check("configuration", True, "autopilot.toml can be used")


def _commands(facts: MachineFacts) -> Check:
    if facts.programs_missing:
        missing = ", ".join(facts.programs_missing)
        return Check("commands", False, f"not on this machine: {missing}", "install them, or correct autopilot.toml")
    absent = [
        name for name in ("build", "test", "coverage", "lint", "ci", "smoke") if name not in facts.commands_configured
    ]
    if absent:
        remedy = "write them into autopilot.toml; a phase that needs one is refused with not_configured"
        return Check("commands", False, f"not configured: {', '.join(absent)}", remedy, required=False)
    return Check("commands", True, ", ".join(facts.commands_configured))


def _variables(facts: MachineFacts) -> Check:
    if facts.unknown_variables:
        names = ", ".join(facts.unknown_variables)
        remedy = "correct or unset them; docs/reference/configuration.md lists all"
        return Check("variables", False, f"read by nothing: {names}", remedy, required=False)
    return Check("variables", True, "every AUTOPILOT_ variable is known", required=False)


def _nested(facts: MachineFacts) -> Check:
    if not facts.nested_repositories:
        return Check("nested", True, "no repository inside the repository")
    return Check("nested", False, nested_problem(facts.nested_repositories), NESTED_REMEDY)


def _line_ends(facts: MachineFacts) -> Check:
    if not facts.line_end_conversion:
        return Check(
            "line ends", True, "git commits the bytes that are on disk, or what .gitattributes says", "", False
        )
    return Check("line ends", False, line_end_problem(facts.line_end_conversion), LINE_END_REMEDY, required=False)


def _ledger(facts: MachineFacts) -> Check:
    if not facts.ledger_status:
        return Check("ledger", False, "no ledger here yet", "run `autopilot init`", required=False)
    if facts.ledger_status == "intact":
        return Check("ledger", True, f"intact, {facts.ledger_entries} entries")
    detail = f"{facts.ledger_status}: {facts.ledger_reason or 'no reason given'}, {facts.ledger_entries} entries"
    return Check("ledger", False, detail, "run `autopilot ledger verify` and follow its remedy")


def _telemetry(facts: MachineFacts) -> Check:
    if facts.otel_exporter:
        return Check("telemetry", True, facts.otel_exporter, required=False)
    remedy = "see that state/telemetry can be written; verdicts do not depend on it"
    return Check("telemetry", False, "nothing exports spans and counters", remedy, required=False)
