"""Command lines: from the words of one plain command to what they need.

Three answers are possible beside "needs these capabilities": a line is a person's, it changes a protected place, or
it cannot be read. What cannot be read is refused in every phase, because anything may hide in it; an unknown program
with words that can be read needs `run_command`, which one phase has, and there its words are still held against the
protected places and the engine's name.

What a program does once it runs (a script written a call ago, a Makefile, a git hook) no reading of text can see; a
sandbox around the agent does (trust mode 2).

Rules kept: builtins only (see the package). Options are allowed by name, never forbidden by name.
"""

from autopilot.guard import engine_commands, git_commands
from autopilot.guard.tools import NETWORK, READ, RUN_COMMAND, RUN_TESTS, SEARCH
from autopilot.guard.verdicts import NEVER, OK, Need, Options, names, needs, never, unclear
from autopilot.guard.words import NotPlain, PlainCommand, parse

# No option of these runs a program or writes a file, and neither does an operand: any word may follow. (`printf` and
# `test` are not here: in bash `printf -v` and `test -v` run what stands in an array's index.)
_ANY_WORDS = {
    READ: names(
        "ls cat head tail wc stat pwd du df basename dirname realpath readlink nl tac cut od hexdump strings md5sum "
        "sha1sum sha256sum sha512sum cmp comm paste fold rev tr id whoami uname which true false echo printenv "
        "cd diff jq expand unexpand cksum tty arch nproc seq sleep"
    ),
    SEARCH: names("grep egrep fgrep"),
}
_GLOB_MAY_STAND = _ANY_WORDS[READ] | _ANY_WORDS[SEARCH]

# With these options only. (`-o`, `--pre`, `-exec`, `-delete`, `--compress-program` and their like are not here.)
_WITH_OPTIONS: dict[str, tuple[str, Options]] = {
    "sort": (
        READ,
        Options(
            "reverse numeric-sort unique key field-separator ignore-case human-numeric-sort version-sort",
            "rnubfhVgk:t:d",
        ),
    ),
    "file": (READ, Options("brief mime mime-type", "bi")),
    "rg": (
        SEARCH,
        Options(
            "line-number no-line-number ignore-case smart-case case-sensitive word-regexp fixed-strings files "
            "files-with-matches files-without-match count count-matches glob iglob type type-not type-list hidden "
            "no-ignore no-heading heading color max-count max-depth context after-context before-context only-matching "
            "invert-match multiline multiline-dotall pcre2 json stats sort sortr column vimgrep no-messages no-config "
            "follow replace max-columns max-filesize unrestricted null trim passthru version no-filename with-filename",
            "nNiSswFlcHhIvouULPpe:g:t:T:m:d:A:B:C:f:j:M:r:E:a0",
        ),
    ),
    "date": (READ, Options("utc iso-8601 rfc-3339", "uRI")),
}

# find's options are words of their own; an operand that begins with a dash is not one.
_FIND_TESTS = names(
    "-name -iname -path -ipath -wholename -type -maxdepth -mindepth -not -o -or -a -and -newer -mtime -mmin -ctime "
    "-cmin -size -empty -print -print0 -printf -prune -perm -user -group -regex -iregex -regextype -L -H -P -follow "
    "-xdev -mount -ls -true -false -depth -links -inum -samefile -readable -writable -executable"
)

# Write what they name. `cp` alone has operands it only reads.
_WRITING: dict[str, Options] = {
    "mkdir": Options("parents verbose", "pv"),
    "touch": Options("no-create", "camt:d:"),
    "rm": Options("recursive force verbose", "rRfvd"),
    "rmdir": Options("parents verbose", "pv"),
    "mv": Options("force no-clobber verbose", "fnv"),
    "cp": Options("recursive force no-clobber verbose archive", "rRfnvap"),
    "ln": Options("symbolic force verbose relative", "sfvr"),
    "chmod": Options("recursive verbose", "Rv"),
}

# Test runners, by the words they are called with, and the options that only choose, order or print.
_PYTEST = Options(
    "quiet verbose exitfirst maxfail tb no-header no-summary collect-only co durations durations-min last-failed lf "
    "failed-first ff new-first nf stepwise sw showlocals strict-markers strict-config color timeout numprocesses dist "
    "no-cov deselect ignore runxfail setup-show setup-plan fixtures markers version",
    "qvxslk:m:r:n:",
)
_TEST_RUNNERS: tuple[tuple[tuple[str, ...], Options], ...] = (
    (("pytest",), _PYTEST),
    (("python", "-m", "pytest"), _PYTEST),
    (("python3", "-m", "pytest"), _PYTEST),
    (("python", "-m", "unittest"), Options("verbose quiet failfast buffer", "vqfbk:")),
    (("python3", "-m", "unittest"), Options("verbose quiet failfast buffer", "vqfbk:")),
    (("cargo", "test"), Options("release quiet lib all workspace no-fail-fast nocapture", "qvp:")),
    (("go", "test"), Options("", "")),
)
_BUILT_IN_RUNNERS = frozenset(prefix for prefix, _ in _TEST_RUNNERS)
_TEST_LINES = frozenset({("npm", "test"), ("npm", "run", "test"), ("make", "test"), ("yarn", "test"), ("pnpm", "test")})

# They run another command, or change what later lines mean. Naming that command directly is always possible.
_HIDES_ANOTHER = names(
    "env sudo doas su nohup xargs eval exec command builtin time timeout nice ionice setsid stdbuf watch script strace "
    "ltrace gdb parallel busybox toybox chroot unshare nsenter flock chrt taskset runuser pkexec systemd-run at batch "
    "crontab screen tmux expect unbuffer entr alias export declare typeset local readonly set unset source . trap "
    "enable hash bind complete shopt coproc pushd popd if then else elif fi do done case esac while until for select "
    "function in [[ ! fc history jobs fg bg disown wait kill pkill killall"
)
_SHELLS = names("sh bash dash zsh ksh mksh ash fish csh tcsh pwsh powershell")
# They talk to other machines. curl and gh have a form that can be read; the others do not.
_NETWORK_CLIENTS = names(
    "wget nc ncat netcat socat telnet ssh scp sftp rsync ftp lftp http https aria2c ssh-copy-id glab hub dig "
    "nslookup openssl"
)
_CURL = Options("silent show-error fail head include compressed", "sSfIi")
_GH_READING = frozenset({("pr", "view"), ("pr", "list"), ("pr", "status"), ("pr", "checks"), ("pr", "diff")})
_GH = Options("title body base head draft body-file fill label reviewer json state limit", "t:b:B:H:dF:fl:r:")

_KNOWN_FOLDERS = ("/usr/bin/", "/bin/")


SYSTEM_SHELLS = ("bash", "sh", "zsh", "/bin/bash", "/bin/sh", "/bin/zsh", "/usr/bin/bash")


class Project:
    """What the project adds to the table: argument vectors that run its tests, and other names of the engine."""

    __slots__ = ("engine", "tests")

    def __init__(self, tests: tuple[tuple[str, ...], ...] = (), engine: tuple[str, ...] = ()) -> None:
        self.tests = tests
        self.engine = engine


_NO_PROJECT = Project()


def read_line(line: str, project: Project = _NO_PROJECT) -> Need:
    """What the command `line` needs."""
    try:
        command = parse(line)
    except NotPlain as error:
        return unclear(str(error))
    return read_command(command, project)


def read_argv(argv: tuple[str, ...], project: Project = _NO_PROJECT) -> Need:
    """What an argument vector needs that is run without a shell; `[bash, -lc, LINE]` is the line it carries."""
    if len(argv) == 3 and argv[0] in SYSTEM_SHELLS and argv[1] in ("-lc", "-c"):
        return read_line(argv[2], project)
    if not argv or not all(word.isprintable() for word in argv) or "=" in argv[0]:
        return unclear("an argument vector that is empty or holds what does not print")
    return read_command(PlainCommand((), argv, globbed=False), project)


def read_command(command: PlainCommand, project: Project) -> Need:
    """What one plain command needs."""
    refused = engine_commands.check_assignments(command.assignments)
    if refused is not None:
        return refused
    words = command.words
    program = _program(words[0])
    if command.globbed and program not in _GLOB_MAY_STAND:
        return unclear("a pattern outside quotes, which can become any word")
    if program == "autopilot" or words[0] in project.engine:
        return engine_commands.judge(words[1:])
    if program == "git":
        return git_commands.judge(words[1:])
    tests = _tests(words, program, project.tests)
    if tests is not None:
        return tests
    for capability, programs in _ANY_WORDS.items():
        if program in programs:
            return needs(capability)
    known = _BY_PROGRAM.get(program)
    need = known(words) if known is not None else None
    return need if need is not None else _unknown(words, program)


def _program(word: str) -> str:
    """The program's name if `word` certainly is it: bare, or in a folder of the system. Else the word as it stands."""
    for folder in _KNOWN_FOLDERS:
        if word.startswith(folder) and "/" not in word[len(folder) :]:
            return word[len(folder) :]
    return word


def _unknown(words: tuple[str, ...], program: str) -> Need:
    # Folded, because a file system without case finds `Git` and `SUDO` too.
    name = program.rpartition("/")[2].casefold()
    if name in _HIDES_ANOTHER:
        return unclear(f"{name}, which runs another command or changes what later ones mean")
    if name in _SHELLS and (len(words) == 1 or any(word[:1] == "-" for word in words[1:])):
        return unclear(f"{name} with options or without a script")
    if name in _NETWORK_CLIENTS or name in ("curl", "gh"):
        return unclear(f"{name}, which talks to another machine in a way the guard cannot follow")
    if name == "git":
        return unclear("a git that is not the system's")
    if name == "autopilot":
        # A script of that name in the evidence folder would otherwise run in every phase.
        need = engine_commands.judge(words[1:])
        return need if need.kind == NEVER else unclear("an autopilot in a folder that is not configured")
    if engine_commands.mentions_persons_command(words):
        return never("a line that names autopilot and a command of persons")
    need = needs(RUN_COMMAND)
    need.touches = tuple(fragment for word in words for fragment in _fragments(word))
    return need


def _fragments(word: str) -> list[str]:
    """The parts of a word that could be paths: `--to=state/x` and `open('state/x')` both hold `state/x`."""
    text = word
    for char in set(word):
        if not (char.isalnum() or char in "/._-~@+% "):
            text = text.replace(char, "\0")
    parts = [part.strip() for part in text.split("\0")]
    pieces = [part for part in parts if part]
    pieces.extend(piece for part in parts if " " in part for piece in part.split())
    # A short option may have its path glued on: `-ostate/x`.
    pieces.extend(piece[2:] for piece in tuple(pieces) if piece[:1] == "-" and len(piece) > 2)
    return pieces


def _tests(words: tuple[str, ...], program: str, configured: tuple[tuple[str, ...], ...]) -> Need | None:
    named = (program, *words[1:])
    if named in _TEST_LINES:
        return needs(RUN_TESTS)
    runners = *_TEST_RUNNERS, *((argv, _PYTEST) for argv in configured if argv)
    for prefix, options in runners:
        if (named if prefix in _BUILT_IN_RUNNERS else words)[: len(prefix)] != prefix:
            continue
        operands = options.operands(words[len(prefix) :])
        if operands is not None:
            need = needs(RUN_TESTS)
            need.runs = tuple(operand.partition("::")[0] for operand in operands)
            return need
    return None


def _with_options(words: tuple[str, ...]) -> Need | None:
    program = _program(words[0])
    capability, options = _WITH_OPTIONS[program]
    operands = options.operands(words[1:])
    if operands is None or (program == "date" and any(operand[:1] != "+" for operand in operands)):
        return unclear(f"{program} with an option that can run a program, write a file, or is not known here")
    return needs(capability)


def _find(words: tuple[str, ...]) -> Need | None:
    for word in words[1:]:
        if word[:1] == "-" and word not in _FIND_TESTS:
            return unclear(f"find {word}, which can run, remove or write, or is not known here")
    return needs(SEARCH)


def _sed(words: tuple[str, ...]) -> Need | None:
    """`sed -n '1,20p' FILE…` prints; every other script may write or run."""
    if len(words) < 3 or words[1] != "-n" or any(word[:1] == "-" for word in words[2:]):
        return None
    first, comma, last = words[2][:-1].partition(",")
    numbers = (first, last) if comma else (first,)
    if words[2][-1:] == "p" and all(number == "$" or (number.isascii() and number.isdigit()) for number in numbers):
        return needs(READ)
    return None


def _writing(words: tuple[str, ...]) -> Need | None:
    program = _program(words[0])
    operands = _WRITING[program].operands(words[1:])
    if operands is None or not operands:
        return unclear(f"{program} with an option that is not known here")
    # The capability is decided by where the paths lie: evidence is `process`, the repository `edit`.
    if program == "chmod":
        operands = operands[1:]
    if program not in ("cp", "mv") or len(operands) < 2:
        return Need(OK, (), writes=operands) if operands else unclear(f"{program} without a path")
    # The last operand may be a folder, where each source gets its own name; a link there would be written through.
    target = operands[-1]
    copies = tuple(target + "/" + source.rstrip("/").rpartition("/")[2] for source in operands[:-1])
    need = Need(OK, (), writes=copies if program == "cp" else operands[:-1] + copies)
    need.touches = (target,)
    return need


def _curl(words: tuple[str, ...]) -> Need | None:
    operands = _CURL.operands(words[1:])
    if operands is None or len(operands) != 1:
        return None
    need = needs(NETWORK)
    need.url = operands[0]
    return need


def _gh(words: tuple[str, ...]) -> Need | None:
    if words[1:3] != ("pr", "create") and words[1:3] not in _GH_READING:
        return None
    if _GH.operands(words[3:]) is None:
        return None
    need = needs(NETWORK)
    need.url = "https://github.com/"
    return need


_BY_PROGRAM = {
    **dict.fromkeys(_WITH_OPTIONS, _with_options),
    **dict.fromkeys(_WRITING, _writing),
    "find": _find,
    "sed": _sed,
    "curl": _curl,
    "gh": _gh,
}

# For the documentation.
READING_PROGRAMS = tuple(sorted(_ANY_WORDS[READ] | _ANY_WORDS[SEARCH] | frozenset(_WITH_OPTIONS) | {"find"}))
WRITING_PROGRAMS = tuple(sorted(_WRITING))
HIDING_PROGRAMS = tuple(sorted(name for name in _HIDES_ANOTHER if name.isalpha()))
TEST_RUNNERS = tuple(" ".join(prefix) for prefix, _ in _TEST_RUNNERS) + tuple(
    " ".join(line) for line in sorted(_TEST_LINES)
)
