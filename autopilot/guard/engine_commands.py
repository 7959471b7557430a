"""The engine's own command line, as an agent may use it.

Whatever this table does not name is refused to agents: a command added to the engine is closed until someone opens
it here. The words that make a command a person's (`--abandon`, another `--actor-kind`, a setting in the environment)
are found in abbreviated form too. Options of what acts on a task are allowed by name, and the folder that a line names
(`-C`, `--directory`) must lie in this repository: in another one its tasks would be acted on, and nobody asked here.

Rules kept: builtins only (see the package).
"""

from autopilot.guard.tools import PROCESS, READ
from autopilot.guard.verdicts import OK, Need, names, needs, never

# verb, sub-command -> needs a task?
_PROCESS: dict[tuple[str, str], bool] = {
    ("task", "open"): False,
    ("task", "list"): False,
    ("task", "show"): True,
    ("task", "close"): True,
    ("status", ""): False,
    ("doctor", ""): False,
    ("next", ""): True,
    ("verify", ""): True,
    ("evidence", "add"): True,
    ("evidence", "list"): True,
    ("evidence", "show"): True,
    ("evidence", "export"): True,
    ("advance", ""): True,
    ("backtrack", ""): True,
    ("attest", "check"): True,
    ("lease", "acquire"): True,
    ("lease", "renew"): True,
    ("lease", "release"): True,
}
# They print and change nothing; allowed wherever reading is.
_READING = frozenset(
    {
        ("version", ""),
        ("lease", "show"),
        ("ledger", "log"),
        ("ledger", "verify"),
        ("ledger", "prove"),
        ("guard", "check"),
        ("guard", "explain"),
        ("flags", "list"),
        ("approver", "list"),
    }
)
_GROUPS = frozenset({"task", "evidence", "attest", "lease", "ledger", "guard", "flags", "approver", "store"})
_GLOBAL_SWITCHES = frozenset({"--json", "--dry-run"})
# Exactly those that `cli.main` skips with their value when it looks for the command.
_GLOBAL_OPTIONS = frozenset({"--actor", "--session", "--actor-kind", "-C", "--directory"})
_FOLDER_OPTIONS = ("-C", "--directory")
# Options of the commands in _PROCESS. One that is added to the engine is closed until it stands here.
_PROCESS_OPTIONS = (
    _GLOBAL_SWITCHES
    | _GLOBAL_OPTIONS
    | names("--help -h --title --profile --to --reason --write --as --phase --prompt --out")
)
# Bringing in a signed approval. Neither a subject nor a key: those answer, and only a person does.
_BRINGING_OPTIONS = _GLOBAL_SWITCHES | _GLOBAL_OPTIONS | names("--help -h --grant")

# Set before a command. The rest of AUTOPILOT_* is configuration: where the state lies, thresholds, flags.
_ALLOWED_VARIABLES = frozenset(
    {"AUTOPILOT_ACTOR", "AUTOPILOT_SESSION", "AUTOPILOT_ACTOR_KIND", "AUTOPILOT_TASK", "AUTOPILOT_LEASE"}
)

# Verbs that are a person's; with the engine's name anywhere in a line of an unknown program, they refuse the line.
PERSONS_WORDS = frozenset(
    {
        "approve",
        "approver",
        "reject",
        "flags",
        "force",
        "hook",
        "init",
        "repair",
        "resume",
        "baseline",
        "--abandon",
        "migrate",
        "daemon",
        "serve",
        "worker",
    }
)


def check_assignments(assignments: tuple[tuple[str, str], ...]) -> Need | None:
    """A refusal for an assignment an agent may not make; None if all are allowed."""
    for name, value in assignments:
        if name not in _ALLOWED_VARIABLES:
            return never(f"setting {name} before a command")
        if name == "AUTOPILOT_ACTOR_KIND" and value != "agent":
            return never(f"calling itself {value!r}")
    return None


def judge(words: tuple[str, ...]) -> Need:
    """What `autopilot WORDS…` needs (without the program's own name)."""
    if _claims_another_kind(words):
        return never("calling itself something else than an agent")
    folders = _values(words, _FOLDER_OPTIONS)
    if folders is None:
        return never("a folder that cannot be read; write `--directory DIR`")
    need = _judge_command(_after_global_options(words), words)
    need.stays = folders if need.kind == OK else ()
    return need


def _judge_command(rest: tuple[str, ...], words: tuple[str, ...]) -> Need:
    """What the command needs that begins `rest`, wherever it runs."""
    if not rest or rest[0] in ("--help", "-h", "--version"):
        return needs(READ)
    verb = rest[0]
    sub = rest[1] if verb in _GROUPS and len(rest) > 1 else ""
    if (verb, sub) in _READING or sub in ("--help", "-h"):
        return needs(READ)
    with_task = _PROCESS.get((verb, sub))
    brings = verb == "approve" and any(word.partition("=")[0] == "--grant" for word in rest)
    if brings:
        # What it brings in is signed by a person or worth nothing; without the option the command is a person's.
        with_task = True
    if with_task is None:
        return never("autopilot " + (f"{verb} {sub}" if sub else verb))
    if (verb, sub) == ("task", "close") and any(_abbreviates(word, "--abandon", 3) for word in rest):
        return never("autopilot task close --abandon")
    unknown = _unknown_option(words, _BRINGING_OPTIONS if brings else _PROCESS_OPTIONS)
    targets = _values(words, ("--out",))
    if unknown or targets is None:
        return never(f"autopilot {verb} with {unknown or '--out without a folder'}, which is not opened to agents")
    need = Need(OK, (PROCESS,), writes=targets)
    need.free = not with_task
    return need


def _values(words: tuple[str, ...], options: tuple[str, ...]) -> tuple[str, ...] | None:
    """The values given to `options`, all of them; None where one stands in a form that is not read here (`-CDIR`)."""
    found: list[str] = []
    for index, word in enumerate(words):
        name, equals, value = word.partition("=")
        if word in options and index + 1 < len(words):
            found.append(words[index + 1])
        elif name in options and equals and name[:2] == "--":
            found.append(value)
        elif any(word.startswith(option) for option in options):
            return None
    return tuple(found)


def _unknown_option(words: tuple[str, ...], known: frozenset[str]) -> str:
    """The first option that is not `known`; empty if there is none. Text with blanks is no option."""
    for word in words:
        if word[:1] == "-" and word != "-" and " " not in word and word.partition("=")[0] not in known:
            return word[:60]
    return ""


def _after_global_options(words: tuple[str, ...]) -> tuple[str, ...]:
    index = 0
    while index < len(words):
        word = words[index]
        if word in _GLOBAL_SWITCHES:
            index += 1
        elif word in _GLOBAL_OPTIONS:
            index += 2
        elif word.partition("=")[0] in _GLOBAL_OPTIONS:
            index += 1
        else:
            break
    return words[index:]


def _claims_another_kind(words: tuple[str, ...]) -> bool:
    for index, word in enumerate(words):
        if _abbreviates(word, "--actor-kind", len("--actor-")):
            _, equals, value = word.partition("=")
            following = words[index + 1] if index + 1 < len(words) else ""
            if (value if equals else following) != "agent":
                return True
    return False


def _abbreviates(word: str, option: str, least: int) -> bool:
    name = word.partition("=")[0]
    return len(name) >= least and option.startswith(name)


def mentions_persons_command(words: tuple[str, ...]) -> bool:
    """True if the words of some other program name the engine and a verb that is a person's."""
    named = set[str]()
    for word in words:
        text = word.casefold()
        for char in text:
            if not (char.isalnum() or char in "_-"):
                text = text.replace(char, " ")
        named.update(text.split())
    return "autopilot" in named and not PERSONS_WORDS.isdisjoint(named)
