"""The parser of one plain command: what it accepts, every shell reads the same way."""

import random
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autopilot.guard.words import MAX_LINE, NotPlain, parse

SHELLS = [path for path in map(shutil.which, ("bash", "dash", "zsh")) if path]


def shell_words(shell, lines, folder):
    """The words `shell` itself sees: each line's program is replaced by one that prints its arguments."""
    script = "".join(f"show {line}\nprintf '\\001'\n" for line in lines)
    prelude = "show() { printf '%s\\000' \"$@\"; }\n"
    done = subprocess.run(
        [shell], input=(prelude + script).encode(), capture_output=True, check=True, cwd=folder, timeout=60
    )
    return [tuple(part.decode().split("\0")[:-1]) for part in done.stdout.split(b"\x01")[:-1]]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("git status", ("git", "status")),
        ("  git\t status  ", ("git", "status")),
        ("git commit -m 'a  b; c'", ("git", "commit", "-m", "a  b; c")),
        ('grep "a b" c', ("grep", "a b", "c")),
        ("a'b'\"c\"d ''", ("abcd", "")),
        ("git show HEAD~1 HEAD^ a=b --c=d", ("git", "show", "HEAD~1", "HEAD^", "a=b", "--c=d")),
        ("cat 你好.txt", ("cat", "你好.txt")),
    ],
)
def test_words(line, words):
    assert parse(line).words == words


def test_assignments():
    command = parse("AUTOPILOT_TASK=T-1 AUTOPILOT_LEASE='3:x y' autopilot status A=b")
    assert command.assignments == (("AUTOPILOT_TASK", "T-1"), ("AUTOPILOT_LEASE", "3:x y"))
    assert command.words == ("autopilot", "status", "A=b")
    for line in (
        "A=b ls",
        "PATH=x ls",
        "AUTOPILOT_TASK=x",
        "AUTOPILOT_TASK+=x ls",
        "AUTOPILOT_TAS'K'=/x ls",
        "'A'=b ls",
    ):
        with pytest.raises(NotPlain):
            parse(line)


def test_patterns_are_marked():
    assert parse("ls *.py").globbed
    assert parse("ls a[1] b?").globbed
    assert not parse("ls '*.py' \"a?\"").globbed


@pytest.mark.parametrize("char", ";&|<>(){}$`\\!#\n\r\x00\x0b\x0c\x1b\x85\xa0\u2003\u2028\u200b\u202e\ufeff\ud800")
def test_refused_characters(char):
    for line in (f"a {char} b", f"a{char}b", f"{char}a b", f"a b{char}"):
        with pytest.raises(NotPlain):
            parse(line)


def test_refused_forms():
    quotes = ("ls 'a", 'ls "a', 'ls "$a"', 'ls "`a`"', 'ls "a\\"', 'ls "!a"', "$'a'")
    expanding = ("ls ~", "ls ~root/x", "ls a=~/x", "ls a:~", "=ls", "ls =x", "^a^b")
    for line in ("", " ", *quotes, *expanding, "x" * (MAX_LINE + 1)):
        with pytest.raises(NotPlain):
            parse(line)
    assert parse("x" * MAX_LINE).words == ("x" * MAX_LINE,)


@pytest.mark.parametrize("shell", SHELLS)
def test_real_shells_read_accepted_lines_the_same(shell, tmp_path):
    seed = random.randrange(2**32)
    print("seed", seed)
    source = random.Random(seed)
    atoms = [
        *"abcAZ019-_./,:@%+=^~ \t'\"$`\\;&|<>(){}!#\u00a0\u200b\u00e9\r",
        "git",
        "HEAD",
        "--x=",
        "AUTOPILOT_A=",
        "''",
        '""',
    ]
    accepted = []
    for _ in range(40_000):
        line = "".join(source.choice(atoms) for _ in range(source.randint(1, 14)))
        try:
            command = parse(line)
        except NotPlain:
            continue
        if not command.assignments and not command.globbed:
            accepted.append((line, command.words))
    assert len(accepted) > 1_000
    seen = shell_words(shell, [line for line, _ in accepted], tmp_path)
    assert len(seen) == len(accepted)
    for (line, words), theirs in zip(accepted, seen, strict=True):
        assert words == theirs, (line, words, theirs)


@given(st.text(alphabet=st.characters(exclude_categories=()), max_size=60))
def test_it_ends_in_words_or_not_plain(line):
    try:
        command = parse(line)
    except NotPlain:
        return
    assert command.words
    assert all(word.isprintable() for word in command.words)


@given(
    st.lists(
        st.text(alphabet=st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=12), min_size=1, max_size=6
    )
)
def test_single_quotes_keep_every_word(words):
    words = [word.replace("'", "").replace("=", "") or "x" for word in words]
    assert parse(" ".join(f"'{word}'" for word in words)).words == tuple(words)
