"""What a command line needs, before anyone asks whether the phase gives it.

Rules kept: builtins only (see the package).
"""

OK, NEVER, UNCLEAR, GUARDED = "ok", "never", "unclear", "guarded"


class Need:
    """The reading of one command line.

    `kind` is OK (all of `capabilities` are needed), NEVER (not for an agent), UNCLEAR (cannot be read: the strictest
    class, refused in every phase) or GUARDED (changes a protected place). `writes` are paths it may create, change or
    remove; `touches` are words that may name such a path, where a folder above a protected place is no offence;
    `runs` are places it takes code from; `stays` are folders it acts in, which must lie in the repository; `url` is the
    address it talks to; `free` marks engine commands that need no task.
    """

    __slots__ = ("capabilities", "detail", "free", "kind", "runs", "stays", "touches", "url", "writes")

    def __init__(
        self, kind: str, capabilities: tuple[str, ...] = (), detail: str = "", writes: tuple[str, ...] = ()
    ) -> None:
        self.kind = kind
        self.capabilities = capabilities
        self.detail = detail
        self.writes = writes
        self.touches: tuple[str, ...] = ()
        self.runs: tuple[str, ...] = ()
        self.stays: tuple[str, ...] = ()
        self.url = ""
        self.free = False


def needs(*capabilities: str) -> Need:
    """A line that needs all of `capabilities` and names no path that matters."""
    return Need(OK, capabilities)


def unclear(detail: str) -> Need:
    """A line that cannot be read; `detail` says what stopped the reading."""
    return Need(UNCLEAR, (), detail)


def never(detail: str) -> Need:
    """A line that is not for an agent, in any phase."""
    return Need(NEVER, (), detail)


def guarded(detail: str) -> Need:
    """A line that changes a protected place by its nature, whatever paths it names."""
    return Need(GUARDED, (), detail)


def names(text: str) -> frozenset[str]:
    """The words of `text`, as a table of names."""
    return frozenset(text.split())


class Options:
    """The options one command may have: exact long names, and short ones as getopt writes them (`m:` takes text).

    An option that is not listed makes a line unclear or moves it to a stricter class; abbreviations of long options
    are not listed, so they never pass. Text that follows an option as a word of its own is read as an operand: that
    errs on the strict side, and cannot hide an option.
    """

    __slots__ = ("longs", "plain", "taking")

    def __init__(self, longs: str = "", shorts: str = "") -> None:
        self.longs = names(longs)
        plain, taking = set[str](), set[str]()
        for index, char in enumerate(shorts):
            if char != ":":
                (taking if shorts[index + 1 : index + 2] == ":" else plain).add(char)
        self.plain = frozenset(plain)
        self.taking = frozenset(taking)

    def operands(self, words: tuple[str, ...]) -> tuple[str, ...] | None:
        """The words that are not options; None if some option is not one of these."""
        found: list[str] = []
        for index, word in enumerate(words):
            if word == "--":
                found.extend(words[index + 1 :])
                break
            if word[:1] != "-" or word == "-":
                found.append(word)
            elif not (word[2:].partition("=")[0] in self.longs if word[:2] == "--" else self._cluster(word[1:])):
                return None
        return tuple(found)

    def _cluster(self, chars: str) -> bool:
        if chars.isdigit():
            return "#" in self.plain  # `-20`, where a command takes a number so
        for char in chars:
            if char in self.taking:
                return True
            if char not in self.plain:
                return False
        return True
