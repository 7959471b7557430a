"""text, eol and ident as git applies them; filter as committed; all as of the base."""

from __future__ import annotations

import random

import pytest
from real_repository import Repo

from autopilot.vcs.attributes import PLAIN, Conversion, looks_binary, normalise

ATTRIBUTES = [
    "text",
    "-text",
    "text=auto",
    "text=auto eol=lf",
    "text=auto eol=crlf",
    "eol=crlf",
    "eol=lf",
    "-text eol=lf",
    "text eol=crlf",
    "text=input",
    "crlf",
    "-crlf",
    "crlf=input",
    "binary",
    "ident",
    "text ident",
    "-ident",
    "text=auto ident",
    "text=odd",
]
CONTENTS = [
    b"",
    b"plain\n",
    b"dos\r\nlines\r\n",
    b"mixed\r\nlines\n",
    b"lone\rreturn\r\n",
    b"\r\r\n\n\r",
    b"nul\0\r\n",
    b"ends with eof\r\n\x1a",
    b"\x01\r\n",
    b"\x01" + b"x" * 127 + b"\r\n",
    b"\x01" + b"x" * 128 + b"\r\n",
    b"\x01\x02" + b"x" * 200 + b"\r\n",
    b"\x7f\r\n\x1a",
    b"esc \x1b \b \t \f \r\n",
    "ünïcode\r\n".encode() * 5,
    b"$Id$ $Id: old $\r\n",
    b"$Id: broken\n$ $Id:$ $Id: $Id: x$\n",
    b"$Id: a$$Id: b$ $Id $ $Idx: c$\n",
    b"$Id:",
    b"\r\n" * 40_000,
]


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_every_content_is_what_git_makes_of_it(repo: Repo, attribute: str) -> None:
    repo.write(".gitattributes", f"*.x {attribute}\n")
    repo.commit()
    for number, content in enumerate(CONTENTS):
        repo.write(f"{number}.x", content)
    snapshot = repo.trees().snapshot(base_tree=repo.tree())
    repo.commit()
    assert snapshot.tree == repo.tree()


@pytest.mark.parametrize("attribute", ["text", "text=auto", "text=auto eol=crlf"])
def test_a_blob_committed_with_crlf_is_treated_as_git_does(repo: Repo, attribute: str) -> None:
    repo.write("old.x", b"a\r\nb\r\n")
    repo.commit()
    repo.write(".gitattributes", f"*.x {attribute}\n")
    repo.git("add", ".gitattributes")
    repo.git("commit", "-qm", "attributes")
    repo.write("old.x", b"a\r\nb\r\nc\r\n")
    snapshot = repo.trees().snapshot(base_tree=repo.tree())
    repo.commit()
    assert snapshot.tree == repo.tree()


def test_random_contents_agree_with_git(repo: Repo) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    pieces = [
        b"\r",
        b"\n",
        b"\r\n",
        b"\0",
        b"\x01",
        b"x" * 100,
        b"$Id$",
        b"$Id: ",
        b"$",
        b"\x1a",
        b"\x7f",
        b"\t",
        b"\xe9",
    ]
    repo.write(".gitattributes", "*.a text=auto ident\n*.t text ident\n*.i ident\n")
    repo.commit()
    for number in range(300):
        weights = [1, 3, 6, 0.1, 1, 6, 1, 2, 2, 1, 1, 1, 1]
        repo.write(
            f"{number}.{chance.choice('ati')}", b"".join(chance.choices(pieces, weights, k=chance.randint(1, 30)))
        )
    snapshot = repo.trees().snapshot(base_tree=repo.tree())
    repo.commit()
    assert snapshot.tree == repo.tree()


def test_attributes_written_after_the_base_do_not_count(repo: Repo) -> None:
    base = repo.trees().snapshot(base_tree=None)
    repo.write(".gitattributes", "*.py text filter=hide\n")
    repo.write("a.py", "a = 'changed'\r\n")
    trees = repo.trees()
    snapshot = trees.snapshot(base_tree=base.tree)
    assert snapshot.filtered == ()
    assert trees.read(snapshot.tree, "a.py") == b"a = 'changed'\r\n"


def test_attributes_nested_and_as_macros(repo: Repo) -> None:
    repo.write(".gitattributes", "[attr]dos text\n*.x dos\n")
    repo.write("pkg/.gitattributes", "*.x -text\nsub/*.x text\n")
    repo.commit()
    for path in ("r.x", "pkg/r.x", "pkg/sub/r.x", "pkg/other/r.x"):
        repo.write(path, b"a\r\n")
    for base in (None, repo.tree()):
        trees = repo.trees()
        tree = trees.snapshot(base_tree=base).tree
        found = {path: trees.read(tree, path) for path in ("r.x", "pkg/r.x", "pkg/sub/r.x", "pkg/other/r.x")}
        assert found == {"r.x": b"a\n", "pkg/r.x": b"a\r\n", "pkg/sub/r.x": b"a\n", "pkg/other/r.x": b"a\r\n"}


def test_filtered_paths_are_taken_as_committed_and_listed(repo: Repo) -> None:
    repo.write("data.bin", "version https://git-lfs.github.com/spec/v1\n")
    repo.commit()
    repo.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
    repo.commit()
    pointer = repo.tree()
    repo.write("data.bin", b"\0 the real thing, as the smudge filter left it")
    repo.write("new.bin", b"\0 not committed")
    trees = repo.trees()
    snapshot = trees.snapshot(base_tree=pointer)
    assert snapshot.filtered == ("data.bin", "new.bin")
    assert snapshot.dirty == ("new.bin",)
    assert trees.read(snapshot.tree, "data.bin") == b"version https://git-lfs.github.com/spec/v1\n"
    assert trees.read(snapshot.tree, "new.bin") == b"\0 not committed"
    (repo.root / "data.bin").unlink()
    assert "data.bin" not in trees.paths(trees.snapshot(base_tree=pointer).tree)


def test_a_filtered_blob_is_copied_into_the_engines_store(repo: Repo) -> None:
    repo.write("data.bin", "pointer\n")
    repo.write(".gitattributes", "*.bin filter=lfs\n")
    repo.commit()
    trees = repo.trees()
    tree = trees.snapshot(base_tree=None).tree
    (repo.root / ".git/objects").rename(repo.root / ".git/objects-gone")
    (repo.root / ".git/objects").mkdir()
    assert trees.read(tree, "data.bin") == b"pointer\n"


def test_normalise_leaves_alone_what_nothing_asks_for() -> None:
    assert normalise(b"a\r\n$Id: x$", PLAIN, lambda: None) == b"a\r\n$Id: x$"
    assert normalise(b"a\r\n", Conversion("text"), lambda: b"a\r\n") == b"a\n"
    assert normalise(b"a\r\n", Conversion("auto"), lambda: b"a\r\n") == b"a\r\n"
    assert looks_binary(b"\0")
