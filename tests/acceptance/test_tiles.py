"""The ledger as a tiled log: whoever reads tiles finds the signed root, and an export is carried on, never rewritten.

The adversary has the ledger and the folder. What he cannot do is have the folder go on with another history.

Red without: the earlier export's checkpoint being held against the ledger, and the tiles that are there being compared.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cli_repo import PERSON, Repo
from test_checkpoints import cut, drop_own_checkpoints, records, vkey_of, write_chain
from tile_reader import entries_of, files_below, rederived

from autopilot.cli.demo.project import make_repository
from autopilot.kernel.callers import Caller
from autopilot.kernel.framing import BODY_START
from autopilot.ledger.entry import Draft
from autopilot.signing.checkpoint import open_checkpoint
from autopilot.signing.note import VerifierKey
from autopilot.wiring.full import Workspace


def grow(repo: Repo, lines: int) -> None:
    """So many more lines, and a checkpoint over them."""
    with Workspace.open(repo.root) as workspace, workspace.ledger.transaction() as tx:
        for number in range(lines):
            data = {"subject": f"price {number}", "outcome": "kept", "reason": "none"}
            tx.append(Draft(kind="decision", caller=Caller("ada", "human", "s"), data=data), sync=False)
        tx.append(Draft(kind="decision", caller=Caller("ada", "human", "s"), data=data))
    repo.quick("ledger", "checkpoint", check=0)


@pytest.fixture(scope="session")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A governed repository whose ledger was signed at some 40, 200 and 300 lines; beside it an export of each."""
    root = tmp_path_factory.mktemp("grown") / "shop"
    root.mkdir()
    repo = Repo(make_repository(root))
    repo.run("init", env=PERSON, check=0)
    for lines, name in ((40, "log-40"), (160, "log-200"), (100, "log-300")):
        grow(repo, lines)
        repo.quick("ledger", "export", "--format", "tlog-tiles", f"../{name}", check=0)
    return root


@pytest.fixture
def repo(tmp_path: Path, grown: Path) -> Repo:
    shutil.copytree(grown.parent, tmp_path / "work", symlinks=True)
    return Repo(tmp_path / "work" / "shop")


def beside(repo: Repo, name: str) -> Path:
    return repo.root.parent / name


def exported(repo: Repo, name: str, *words: str) -> dict[str, object]:
    result = repo.quick("ledger", "export", "--format", "tlog-tiles", f"../{name}", "--json", *words, check=0)
    return result.shaped("ledger export --format tlog-tiles", *(("dry_run",) if "--dry-run" in words else ()))


def refused(repo: Repo, name: str, *words: str) -> tuple[int, str]:
    before = files_below(beside(repo, name))
    result = repo.quick("ledger", "export", "--format", "tlog-tiles", f"../{name}", "--json", *words)
    assert files_below(beside(repo, name)) == before
    return result.code, result.codes[0]


def test_the_signed_root_is_in_the_tiles_and_the_lines_are_the_entries(repo: Repo) -> None:
    for name in ("log-40", "log-200", "log-300"):
        files = files_below(beside(repo, name))
        signed = open_checkpoint(files["checkpoint"], [VerifierKey.parse(vkey_of(repo))])
        assert rederived(files, signed.size) == signed.root
        lines = repo.segment.read_bytes().split(b"\n")[: signed.size]
        assert entries_of(files, signed.size) == [line[BODY_START:-1] for line in lines]


def test_an_export_that_was_carried_on_is_the_same_as_a_fresh_one(repo: Repo) -> None:
    fresh = files_below(beside(repo, "log-300"))
    for name in ("log-40", "log-200"):
        before = files_below(beside(repo, name))
        shown = exported(repo, name)
        assert files_below(beside(repo, name)) == fresh
        kept = [path for path, data in before.items() if fresh.get(path) == data]
        assert (shown["files"], shown["written"]) == (len(fresh), len(fresh) - len(kept))
    assert exported(repo, "log-300")["written"] == 1
    grow(repo, 250)
    exported(repo, "anew")
    for name in ("log-40", "log-200", "log-300"):
        exported(repo, name)
        assert files_below(beside(repo, name)) == files_below(beside(repo, "anew"))
    # Whoever holds the first checkpoint still finds what it needs.
    for name in ("log-40", "log-300"):
        size = int(beside(repo, name).joinpath("checkpoint").read_text().split("\n")[1])
        assert rederived(files_below(beside(repo, "anew")), size)


def test_a_dry_run_and_an_interrupted_export(repo: Repo) -> None:
    before = files_below(beside(repo, "log-40"))
    shown = exported(repo, "log-40", "--dry-run")
    assert files_below(beside(repo, "log-40")) == before
    assert shown["written"]
    assert exported(repo, "none", "--dry-run")["size"]
    assert not beside(repo, "none").exists()
    fresh = beside(repo, "log-300")
    wanted = files_below(fresh)
    (fresh / "checkpoint").unlink()
    shutil.rmtree(fresh / "tile" / "entries")
    exported(repo, "log-300")
    assert files_below(fresh) == wanted


def test_a_cosigned_checkpoint_can_be_published(repo: Repo) -> None:
    repo.quick("ledger", "witness", "--new-key", "--name", "ci.example.org/shop", "--key", "../ci.key", check=0)
    repo.quick("ledger", "checkpoint", "--out", "../new.note", check=0)
    call = ("ledger", "witness", "--key", "../ci.key", "--store", "../memory.json", "--vkey", vkey_of(repo), "--first")
    repo.quick(*call, "../new.note", "--out", "../new.cosigned", check=0)
    exported(repo, "log-40", "--checkpoint", "../new.cosigned")
    published = beside(repo, "log-40") / "checkpoint"
    assert published.read_bytes() == beside(repo, "new.cosigned").read_bytes()
    assert "ci.example.org/shop" in published.read_text()
    assert refused(repo, "log-300", "--checkpoint", str(beside(repo, "log-40") / "tile/0/000"))[0] == 3
    forged = published.read_text().replace("\n3", "\n2", 1)
    beside(repo, "forged.note").write_text(forged)
    assert refused(repo, "log-300", "--checkpoint", "../forged.note") == (3, "unsigned")


# --- what is not written


def test_another_history_does_not_go_on_in_the_folder(repo: Repo) -> None:
    rewrite_first(repo)
    assert refused(repo, "log-300") == (3, "rewritten")
    drop_own_checkpoints(repo)
    assert refused(repo, "log-300") == (3, "rewritten")
    repo.quick("ledger", "checkpoint", check=0)
    assert refused(repo, "log-300") == (3, "forked")
    assert refused(repo, "log-40") == (3, "forked")


def rewrite_first(repo: Repo) -> None:
    bodies = records(repo)
    next(record for record in bodies if record["kind"] == "decision")["data"]["outcome"] = "forged"
    write_chain(repo, bodies)


def test_a_shorter_ledger_does_not_shorten_the_log(repo: Repo) -> None:
    size = int((beside(repo, "log-200") / "checkpoint").read_text().split("\n")[1])
    newest = max((repo.state / "ledger" / "checkpoints").iterdir(), key=lambda path: int(path.stem))
    newest.unlink()
    assert refused(repo, "log-300") == (1, "older_checkpoint")
    cut(repo, size)
    assert refused(repo, "log-300")[1] in ("rolled_back", "truncated")
    assert exported(repo, "log-200")["size"] == size


def test_a_tile_that_was_changed_is_found(repo: Repo) -> None:
    tile = beside(repo, "log-300") / "tile" / "0" / "000"
    tile.write_bytes(b"\0" * 32 + tile.read_bytes()[32:])
    assert refused(repo, "log-300") == (3, "evidence_edited")


def test_a_folder_with_something_else_in_it_is_left_alone(repo: Repo) -> None:
    (beside(repo, "log-300") / "index.html").write_text("mine")
    assert refused(repo, "log-300") == (2, "target_exists")
    other = beside(repo, "other")
    (other / "tile").mkdir(parents=True)
    (other / "checkpoint").write_text("nothing")
    assert refused(repo, "other") == (3, "unsigned")
    (other / "checkpoint").write_text(
        (beside(repo, "log-300") / "checkpoint").read_text().replace("autopilot/", "autopilot/0")
    )
    assert refused(repo, "other") == (3, "ledger_missing")


def test_what_does_not_go_together_is_refused(repo: Repo) -> None:
    for words in (("--format", "tlog-tiles", "--objects"), ("--checkpoint", "../x"), ("--format", "tar")):
        assert repo.quick("ledger", "export", "../x", "--json", *words).code == 2
    drop_own_checkpoints(repo)
    assert repo.quick("ledger", "export", "../x", "--format", "tlog-tiles", "--json").codes == ["no_checkpoint"]
    rewrite_first(repo)
    repo.segment.write_bytes(repo.segment.read_bytes().replace(b"forged", b"f0rged", 1))
    assert repo.quick("ledger", "export", "../x", "--format", "tlog-tiles", "--json").code == 3
