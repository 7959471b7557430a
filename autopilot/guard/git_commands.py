"""git, by sub-command and option. What is not listed is unclear, and unclear is refused.

Left out on purpose: `-c`, `-C`, `--git-dir`, `--exec-path` and the other options before the sub-command (they can
run programs or move the call to another repository), `--ext-diff`, `--textconv`, `--output`, `grep -O`,
`rebase --exec` and `-s` of merges (they run programs or write files), `--no-verify` (it goes round the hooks),
`push --force`, `+refspec` and deletions, `add --force` (it would track `state/`), and remotes that are not names.

Rules kept: builtins only (see the package).
"""

from autopilot.guard.tools import EDIT, READ, SEARCH, VCS_COMMIT, VCS_PUSH, VCS_READ
from autopilot.guard.verdicts import OK, Need, Options, guarded, needs, never, unclear

_DIFF = (
    "stat shortstat numstat name-only name-status cached staged patch no-patch raw summary dirstat check exit-code "
    "quiet color no-color word-diff color-words ignore-all-space ignore-space-change ignore-blank-lines unified "
    "no-ext-diff no-textconv binary full-index abbrev no-abbrev no-renames find-renames find-copies diff-filter "
    "minimal patience histogram diff-algorithm function-context merge-base no-prefix relative no-index pickaxe-all"
)
_LOG = _DIFF + (
    " oneline graph all decorate no-decorate pretty format since until after before author committer grep date reverse "
    "first-parent merges no-merges follow max-count skip branches tags remotes abbrev-commit no-abbrev-commit "
    "topo-order date-order left-right cherry-pick cherry-mark boundary reflog walk-reflogs full-history "
    "simplify-merges name invert-grep all-match regexp-ignore-case no-walk ancestry-path"
)
_LOG_SHORTS = "#pPquswbWaRzcmgiEFtn:U:M:C:S:G:L:X:D"

# Print only, whatever the operands.
_READING: dict[str, tuple[str, Options]] = {
    "status": (
        VCS_READ,
        Options("short branch porcelain long verbose untracked-files ignored ahead-behind show-stash column", "sbuvz"),
    ),
    "log": (VCS_READ, Options(_LOG, _LOG_SHORTS)),
    "show": (VCS_READ, Options(_LOG, _LOG_SHORTS)),
    "diff": (VCS_READ, Options(_DIFF, _LOG_SHORTS)),
    "blame": (VCS_READ, Options("porcelain line-porcelain show-email date", "L:MCwseltfnpc")),
    "shortlog": (VCS_READ, Options("summary numbered email all since until", "snec")),
    "rev-parse": (
        VCS_READ,
        Options(
            "show-toplevel abbrev-ref short verify git-dir is-inside-work-tree show-prefix show-cdup "
            "symbolic-full-name git-common-dir absolute-git-dir is-bare-repository quiet all branches tags",
            "q",
        ),
    ),
    "rev-list": (VCS_READ, Options(_LOG + " count objects parents", _LOG_SHORTS)),
    "ls-files": (
        VCS_READ,
        Options(
            "cached deleted modified others ignored stage unmerged exclude-standard full-name error-unmatch",
            "cdmoisuzt",
        ),
    ),
    "ls-tree": (VCS_READ, Options("name-only name-status long full-name full-tree abbrev", "rdtlz")),
    "cat-file": (VCS_READ, Options("", "ptse")),
    "describe": (VCS_READ, Options("tags all always long dirty abbrev match exact-match contains")),
    "merge-base": (VCS_READ, Options("all is-ancestor fork-point", "a")),
    "name-rev": (VCS_READ, Options("name-only tags refs")),
    "for-each-ref": (VCS_READ, Options("format sort count points-at merged no-merged contains")),
    "show-ref": (VCS_READ, Options("head heads tags hash verify quiet", "sqd")),
    "check-ignore": (VCS_READ, Options("verbose non-matching no-index quiet", "vnq")),
    "check-attr": (VCS_READ, Options("all", "a")),
    "count-objects": (VCS_READ, Options("verbose human-readable", "vH")),
    "grep": (
        SEARCH,
        Options(
            "line-number ignore-case word-regexp files-with-matches files-without-match count cached untracked "
            "name-only extended-regexp fixed-strings perl-regexp all-match and or not show-function heading break "
            "max-depth context before-context after-context column only-matching invert-match no-color color",
            "niwlLcEFPGovhHqWpe:A:B:C:f:",
        ),
    ),
    "version": (READ, Options("build-options")),
}

# Sub-commands of which some forms only print: the options with which they do, operands or not.
_BRANCH_LISTING = Options(
    "list all remotes verbose show-current contains merged no-merged sort format points-at", "larv"
)
_BRANCH_CHANGING = Options("delete track no-track set-upstream-to unset-upstream move copy quiet", "dmcu:q")
_BRANCH_FORCING = Options("delete move copy force quiet", "dDmMcCfq")
_TAG_LISTING = Options("list sort format contains merged no-merged points-at", "lni")
_TAG_CHANGING = Options("annotate message delete", "am:d")
_LISTS_ANYHOW = ("--list", "-l", "--contains", "--merged", "--no-merged", "--points-at")

# Change the index, branches or commits, and no file of the working tree.
_RECORDING: dict[str, Options] = {
    "add": Options("all update intent-to-add verbose dry-run", "AuNvn"),
    "commit": Options(
        "message all amend no-edit author date signoff allow-empty quiet verbose only include dry-run fixup", "am:qvsoi"
    ),
}

# Change files of the working tree: `edit` and `vcs_commit` together.
_REWRITING: dict[str, Options] = {
    "restore": Options("staged worktree source quiet", "SWs:q"),
    "checkout": Options("quiet track no-track detach", "qtb:B:f"),
    "switch": Options("quiet create force-create track no-track detach discard-changes", "qc:C:df"),
    "reset": Options("hard mixed keep merge quiet", "q"),
    "merge": Options("no-ff ff-only ff abort continue no-commit squash message no-edit quiet", "m:q"),
    "rebase": Options("abort continue skip onto quiet", "q"),
    "cherry-pick": Options("abort continue skip no-commit", "nx"),
    "revert": Options("abort continue skip no-commit no-edit", "n"),
    "rm": Options("cached force quiet dry-run", "frqn"),
    "mv": Options("force verbose dry-run", "fkvn"),
}
_CLEAN = Options("dry-run force quiet", "dfnq")
_STASH = Options("quiet keep-index message patch index", "qkm:")
_PUSH = Options("set-upstream tags follow-tags quiet verbose dry-run porcelain", "uqvn")
_FETCH = Options("all tags prune quiet verbose dry-run depth", "tpqv")
_CONFIG_READING = Options("get get-all get-regexp list show-origin show-scope name-only local global system null", "lz")


def judge(words: tuple[str, ...]) -> Need:
    """What `git WORDS…` needs (without the program's own name)."""
    while words and words[0] == "--no-pager":
        words = words[1:]
    if not words or words[0] == "--version":
        return needs(READ)
    verb, rest = words[0], words[1:]
    if verb.startswith("-"):
        return unclear(f"git {verb} before the sub-command")
    reading = _READING.get(verb)
    if reading is not None:
        capability, options = reading
        return unclear_option(verb) if options.operands(rest) is None else needs(capability)
    special = _SPECIAL.get(verb)
    if special is not None:
        return special(rest)
    recording = _RECORDING.get(verb)
    if recording is not None:
        operands = recording.operands(rest)
        if verb == "commit" and operands is not None:
            return needs(VCS_COMMIT)  # its operands are messages and names of what is recorded
        return _with_paths(verb, operands, VCS_COMMIT)
    rewriting = _REWRITING.get(verb)
    if rewriting is not None:
        return _rewriting(verb, rewriting, rest)
    return unclear(f"git {verb}, which the guard does not know")


def unclear_option(verb: str) -> Need:
    """A sub-command with an option that is not in its list."""
    return unclear(f"git {verb} with an option that can run a program, write a file, or is not known here")


def _with_paths(verb: str, operands: tuple[str, ...] | None, *capabilities: str) -> Need:
    if operands is None:
        return unclear_option(verb)
    if any(operand[:1] == ":" for operand in operands):
        return unclear(f"git {verb} with a pathspec that has magic")
    need = needs(*capabilities)
    need.touches = operands
    return need


def _rewriting(verb: str, options: Options, rest: tuple[str, ...]) -> Need:
    if verb in ("checkout", "switch") and len(rest) == 2 and rest[0] in ("-b", "-c") and rest[1][:1] != "-":
        return needs(VCS_COMMIT)  # a new branch where the working tree stands
    if verb == "reset" and rest and rest[0] in ("--soft", "--mixed"):
        return _with_paths(verb, options.operands(rest[1:]), VCS_COMMIT)
    return _with_paths(verb, options.operands(rest), EDIT, VCS_COMMIT)


def _branch(rest: tuple[str, ...]) -> Need:
    operands = _BRANCH_LISTING.operands(rest)
    if operands is not None and (not operands or _lists(rest)):
        return needs(VCS_READ)
    if _BRANCH_CHANGING.operands(rest) is not None:
        return needs(VCS_COMMIT)
    # Commits that are on no other branch are lost: work, as much as a file is.
    return needs(EDIT, VCS_COMMIT) if _BRANCH_FORCING.operands(rest) is not None else unclear_option("branch")


def _tag(rest: tuple[str, ...]) -> Need:
    operands = _TAG_LISTING.operands(rest)
    if operands is not None and (not operands or _lists(rest)):
        return needs(VCS_READ)
    return needs(VCS_COMMIT) if _TAG_CHANGING.operands(rest) is not None else unclear_option("tag")


def _lists(rest: tuple[str, ...]) -> bool:
    return any(word.partition("=")[0] in _LISTS_ANYHOW for word in rest)


def _remote(rest: tuple[str, ...]) -> Need:
    if rest in ((), ("-v",), ("--verbose",)) or (len(rest) == 2 and rest[0] == "get-url" and rest[1][:1] != "-"):
        return needs(VCS_READ)
    return guarded("git remote, which writes .git/config or asks the remote")


def _config(rest: tuple[str, ...]) -> Need:
    if rest and rest[0] in ("--get", "--get-all", "--get-regexp", "--list", "-l", "get", "list"):
        return unclear_option("config") if _CONFIG_READING.operands(rest) is None else needs(VCS_READ)
    return guarded("git config, which writes .git/config")


def _stash(rest: tuple[str, ...]) -> Need:
    verb = rest[0] if rest and rest[0][:1] != "-" else "push"
    options = rest[1:] if verb == (rest[0] if rest else "") else rest
    if verb == "list" or verb == "show":
        return unclear_option("stash") if Options(_LOG, _LOG_SHORTS).operands(options) is None else needs(VCS_READ)
    if any(word == "--all" or (word[:1] == "-" and word[:2] != "--" and "a" in word) for word in options):
        return never("git stash --all, which takes state/ away")
    if verb not in ("push", "pop", "apply", "drop", "clear", "save"):
        return unclear(f"git stash {verb}, which the guard does not know")
    return _with_paths("stash", _STASH.operands(options), EDIT, VCS_COMMIT)


def _clean(rest: tuple[str, ...]) -> Need:
    if any(word[:1] == "-" and word[:2] != "--" and ("x" in word or "X" in word) for word in rest):
        return never("git clean -x, which removes state/")
    operands = _CLEAN.operands(rest)
    if operands is None:
        return unclear_option("clean")
    if "--dry-run" in rest or any(word[:1] == "-" and word[:2] != "--" and "n" in word for word in rest):
        return needs(VCS_READ)
    if any(operand[:1] == ":" or not {"*", "?", "["}.isdisjoint(operand) for operand in operands):
        return unclear("git clean with a pattern")
    # An ignore rule is one edit away from not ignoring state/, so that a whole clean is above a protected place.
    return Need(OK, (EDIT, VCS_COMMIT), writes=operands or (".",))


def _push(rest: tuple[str, ...]) -> Need:
    operands = _PUSH.operands(rest)
    if operands is None:
        return unclear_option("push")
    # A URL, `ext::sh -c …` or a folder (whose hooks would run) can stand for the remote; these two names cannot.
    if operands and operands[0] not in _REMOTES:
        return unclear("git push to something else than origin or upstream")
    if any(operand[:1] in "+:" or "*" in operand for operand in operands[1:]):
        return unclear("git push that forces, deletes or matches many")
    return needs(VCS_PUSH)


def _fetch(rest: tuple[str, ...]) -> Need:
    operands = _FETCH.operands(rest)
    if operands is None:
        return unclear_option("fetch")
    if (operands and operands[0] not in _REMOTES) or not all(_is_ref(operand) for operand in operands):
        return unclear("git fetch from something else than origin or upstream")
    return needs(VCS_PUSH)  # it talks to the same remote, named the same way


_REMOTES = frozenset({"origin", "upstream"})


def _is_ref(text: str) -> bool:
    return text[:1].isalnum() and all(char.isalnum() or char in "._/-" for char in text)


def _reflog(rest: tuple[str, ...]) -> Need:
    if not rest or rest[0] == "show" or rest[0] == "HEAD":
        return unclear_option("reflog") if Options(_LOG, _LOG_SHORTS).operands(rest) is None else needs(VCS_READ)
    return unclear("git reflog, other than to show it")


def _worktree(rest: tuple[str, ...]) -> Need:
    return needs(VCS_READ) if rest in (("list",), ("list", "--porcelain")) else unclear("git worktree, other than list")


_SPECIAL = {
    "branch": _branch,
    "tag": _tag,
    "remote": _remote,
    "config": _config,
    "stash": _stash,
    "clean": _clean,
    "push": _push,
    "fetch": _fetch,
    "reflog": _reflog,
    "worktree": _worktree,
}
