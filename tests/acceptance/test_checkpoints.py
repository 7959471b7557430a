"""Tampering that the chain cannot show, each found against a checkpoint with a reason of its own.

The adversary has everything the user has: the state directory, the format, this package. What he does not have is the
checkpoint that was kept elsewhere.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_repo import AGENT, COMMAND, PERSON, Repo

from autopilot.cli.demo.project import make_repository
from autopilot.kernel.files import DiskFiles
from autopilot.kernel.framing import BODY_START, body_hash, frame
from autopilot.ledger.chain import Head
from autopilot.ledger.proofs import verify_inclusion
from autopilot.signing.checkpoint import open_checkpoint
from autopilot.signing.note import SigningKey, VerifierKey, sign
from autopilot.storage.files.hint import write_hint


@pytest.fixture(scope="session")
def anchored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A governed repository with one task, a checkpoint, and a second task after it; the note beside it."""
    root = tmp_path_factory.mktemp("anchored") / "shop"
    root.mkdir()
    repo = Repo(make_repository(root))
    repo.run("init", env=PERSON, check=0)
    repo.run("task", "open", "T-1", "--title", "Take the discount off once in shop pricing", check=0)
    repo.run("ledger", "checkpoint", "--out", "../early.note", check=0)
    repo.run("task", "open", "T-2", "--title", "Show the discount on the receipt of the shop", check=0)
    repo.run("ledger", "checkpoint", "--out", "../kept.note", check=0)
    repo.run("task", "open", "T-3", "--title", "Round prices in the shop to full cents", check=0)
    return root


@pytest.fixture
def repo(tmp_path: Path, anchored: Path) -> Repo:
    shutil.copytree(anchored.parent, tmp_path / "work", symlinks=True)
    return Repo(tmp_path / "work" / "shop")


def outside(repo: Repo, name: str = "kept.note") -> Path:
    return repo.root.parent / name


def vkey_of(repo: Repo) -> str:
    return next((repo.state / "keys").glob("*.vkey")).read_text().strip()


def verified(repo: Repo, *words: str) -> tuple[int, str | None]:
    """Exit code and reason of `ledger verify`; the text for people must name the same reason and a remedy."""
    result = repo.quick("ledger", "verify", "--json", *words)
    shown = result.shaped("ledger verify")
    told = repo.quick("ledger", "verify", *words)
    assert told.code == result.code
    if shown["reason"]:
        assert told.out.startswith(f"corrupt: {shown['reason']} at line {shown['seq']}")
        assert told.err.startswith("next: "), told.err
    return result.code, shown["reason"]


def against_kept(repo: Repo, *words: str) -> tuple[int, str | None]:
    return verified(repo, "--checkpoint", str(outside(repo)), *words)


# --- the adversary


def records(repo: Repo) -> list[dict[str, Any]]:
    return [json.loads(line[BODY_START:-1]) for line in repo.segment.read_bytes().splitlines()]


def write_chain(repo: Repo, bodies: list[dict[str, Any]]) -> None:
    """Write the lines anew, all hashes and links recomputed, and make everything else that remembers agree."""
    lines, previous = [], "0" * 64
    for seq, record in enumerate(bodies):
        record["seq"], record["prev"] = seq, previous
        body = json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode()
        previous = body_hash(body)
        lines.append(frame(body))
    repo.segment.write_bytes(b"".join(lines))
    head = repo.state / "ledger" / "head"
    write_hint(DiskFiles(), head, bodies[0]["ledger"], Head(len(bodies) - 1, previous))
    (repo.root / ".git" / "autopilot.id").write_text(f"{bodies[0]['ledger']}\n{len(bodies)}\n")


def rewrite(repo: Repo) -> None:
    bodies = records(repo)
    opened = next(record for record in bodies if record["kind"] == "task.opened")
    opened["data"]["title"] = "Leave the discount as it is in shop pricing"
    write_chain(repo, bodies)


def cut(repo: Repo, keep: int) -> None:
    write_chain(repo, records(repo)[:keep])


def drop_own_checkpoints(repo: Repo) -> None:
    shutil.rmtree(repo.state / "ledger" / "checkpoints")


# --- what is found


def test_what_nobody_touched_agrees(repo: Repo) -> None:
    assert against_kept(repo) == (0, None)
    assert against_kept(repo, "--vkey", vkey_of(repo)) == (0, None)
    assert verified(repo, "--checkpoint", str(outside(repo, "early.note"))) == (0, None)
    shown = repo.run("ledger", "verify", "--checkpoint", "../kept.note", check=0).out
    entries, kept = repo.lines(), int(outside(repo).read_text().split("\n")[1])
    assert f"agrees with 3 checkpoints, 1 of them given; {kept} entries are signed, {entries - kept} are not" in shown


def test_a_rewritten_chain_verifies_without_a_checkpoint_and_is_found_with_one(repo: Repo) -> None:
    rewrite(repo)
    # The state's own notes still tell; the adversary takes them away, and the chain alone says nothing any more.
    assert verified(repo) == (3, "rewritten")
    drop_own_checkpoints(repo)
    assert verified(repo) == (0, None)
    assert "held against no checkpoint" in repo.quick("ledger", "verify").out
    assert against_kept(repo) == (3, "rewritten")
    assert against_kept(repo, "--vkey", vkey_of(repo)) == (3, "rewritten")
    assert repo.quick("doctor", "--json").code in (0, 6)


def test_where_it_was_rewritten_is_narrowed_by_every_checkpoint_that_still_agrees(repo: Repo) -> None:
    bodies = records(repo)
    early = int(outside(repo, "early.note").read_text().split("\n")[1])
    second = [record for record in bodies if record["kind"] == "task.opened"][1]
    second["data"]["title"] = "Hide the discount on the receipt of the shop"
    write_chain(repo, bodies)
    drop_own_checkpoints(repo)
    notes = ("--checkpoint", "../early.note", "--checkpoint", "../kept.note")
    shown = repo.run("ledger", "verify", *notes, "--json").json
    assert (shown["reason"], shown["seq"], shown["entries"]) == ("rewritten", early, early)


def test_a_rewritten_chain_that_was_signed_again_is_a_fork(repo: Repo) -> None:
    rewrite(repo)
    assert repo.quick("ledger", "checkpoint", "--json").codes == ["rewritten"]  # never two histories with one key
    drop_own_checkpoints(repo)
    repo.quick("ledger", "checkpoint", check=0)
    assert verified(repo) == (0, None)
    assert against_kept(repo) == (3, "forked")


def test_two_copies_of_one_state_that_both_go_on_are_a_fork(repo: Repo, tmp_path: Path) -> None:
    shutil.copytree(repo.root.parent, tmp_path / "other", symlinks=True)
    other = Repo(tmp_path / "other" / "shop")
    for one, title in ((repo, "Round prices in the shop up"), (other, "Round prices in the shop down")):
        one.quick("task", "open", "T-4", "--title", title, check=0)
        one.quick("ledger", "checkpoint", "--out", "../last.note", check=0)
        assert verified(one) == (0, None)
    assert verified(repo, "--checkpoint", str(outside(other, "last.note"))) == (3, "forked")
    assert verified(other, "--checkpoint", str(outside(repo, "last.note"))) == (3, "forked")


def test_a_cut_ledger_is_truncated_while_the_state_remembers_more(repo: Repo) -> None:
    keep = int(outside(repo).read_text().split("\n")[1]) - 1
    cut(repo, keep)
    assert verified(repo) == (3, "truncated")  # by its own note
    drop_own_checkpoints(repo)
    (repo.state / "ledger" / "head").unlink()
    assert verified(repo) == (0, None)
    assert against_kept(repo) == (3, "truncated")


def test_what_comes_after_the_checkpoint_can_be_cut_unseen(repo: Repo) -> None:
    # Said in the documents, and why checkpoints are made often.
    cut(repo, int(outside(repo).read_text().split("\n")[1]))
    assert against_kept(repo) == (0, None)


def test_an_old_state_directory_put_back_is_rolled_back(repo: Repo) -> None:
    shutil.copytree(repo.state, repo.root.parent / "backup")
    repo.quick("task", "open", "T-4", "--title", "Round prices in the shop up", check=0)
    repo.quick("ledger", "checkpoint", "--out", "../later.note", check=0)
    shutil.rmtree(repo.state)
    shutil.copytree(repo.root.parent / "backup", repo.state)
    # The git directory remembers the length; whoever can write state/ can write that as well.
    assert verified(repo) == (3, "rolled_back")
    (repo.root / ".git" / "autopilot.id").write_text(f"{records(repo)[0]['ledger']}\n{repo.lines()}\n")
    assert verified(repo) == (0, None)
    assert verified(repo, "--checkpoint", str(outside(repo, "later.note"))) == (3, "rolled_back")


def _another_key(note: str, repo: Repo) -> str:
    text = note.split("\n\n")[0] + "\n"
    return sign(text, SigningKey.generate(text.split("\n")[0])).encode()


def _another_root(note: str, repo: Repo) -> str:
    lines = note.split("\n")
    lines[2] = "A" * 43 + "="
    return "\n".join(lines)


def _no_signature(note: str, repo: Repo) -> str:
    return note.split("\n\n")[0] + "\n"


def _witness_only(note: str, repo: Repo) -> str:
    return sign(note.split("\n\n")[0] + "\n", SigningKey.generate("witness.example")).encode()


def _smaller_size(note: str, repo: Repo) -> str:
    lines = note.split("\n")
    lines[1] = str(int(lines[1]) - 1)
    return "\n".join(lines)


def _empty(note: str, repo: Repo) -> str:
    return ""


@pytest.mark.parametrize("forge", [_another_key, _another_root, _no_signature, _witness_only, _smaller_size, _empty])
def test_a_forged_checkpoint_is_unsigned(repo: Repo, forge: Callable[[str, Repo], str]) -> None:
    honest = outside(repo).read_text()
    outside(repo).write_text(forge(honest, repo))
    assert against_kept(repo) == (3, "unsigned")
    assert against_kept(repo, "--vkey", vkey_of(repo)) == (3, "unsigned")
    newest = max((repo.state / "ledger" / "checkpoints").iterdir(), key=lambda path: int(path.stem))
    newest.write_text(forge(honest, repo))
    assert verified(repo) == (3, "unsigned")


def test_a_stored_note_under_the_size_of_another_is_unsigned(repo: Repo) -> None:
    folder = repo.state / "ledger" / "checkpoints"
    early, late = sorted(folder.iterdir(), key=lambda path: int(path.stem))
    late.write_text(early.read_text())
    assert verified(repo) == (3, "unsigned")


def test_a_chain_with_a_key_of_the_adversary_is_found_by_whoever_knows_the_key(repo: Repo) -> None:
    honest = vkey_of(repo)
    forger = SigningKey.generate(honest.partition("+")[0])
    bodies = records(repo)
    for record in bodies:
        if record["kind"] == "key.rotated":
            record["data"].update(to=forger.id, vkey=forger.verifier.encode())
    write_chain(repo, bodies)
    drop_own_checkpoints(repo)
    shutil.rmtree(repo.state / "keys")
    (repo.state / "keys").mkdir(mode=0o700)
    secret = repo.state / "keys" / f"{forger.id}.key"
    secret.touch(mode=0o600)
    secret.write_text(forger.encode())
    repo.quick("ledger", "checkpoint", "--out", "../forged.note", check=0)
    assert verified(repo, "--checkpoint", str(outside(repo, "forged.note"))) == (0, None)
    assert against_kept(repo) == (3, "unsigned")
    assert against_kept(repo, "--vkey", honest) == (3, "rewritten")
    assert verified(repo, "--checkpoint", str(outside(repo, "forged.note")), "--vkey", honest) == (3, "unsigned")


def test_a_checkpoint_of_another_ledger_says_nothing_of_this_one(repo: Repo) -> None:
    other = SigningKey.generate("autopilot/" + "0" * 32)
    outside(repo).write_text(sign(f"autopilot/{'0' * 32}\n1\n{'A' * 43}=\n", other).encode())
    assert against_kept(repo) == (3, "unsigned")
    assert against_kept(repo, "--vkey", other.verifier.encode()) == (3, "missing")


# --- making them


def test_a_checkpoint_covers_all_before_its_line_and_is_made_once(repo: Repo) -> None:
    lines = repo.lines()
    made = repo.run("ledger", "checkpoint", "--json", check=0).shaped("ledger checkpoint")
    assert (made["size"], made["seq"], repo.lines(), made["new_key"]) == (lines, lines, lines + 1, False)
    assert records(repo)[-1]["data"] == {"size": lines, "root": made["root"]}
    assert open_checkpoint(made["note"].encode(), [VerifierKey.parse(made["vkey"])]).root.hex() == made["root"]
    assert Path(made["path"]).read_text() == made["note"]
    again = repo.run("ledger", "checkpoint", "--json", check=0).json
    assert again == made
    # The machine stopped between the line and the note.
    Path(made["path"]).unlink()
    assert repo.run("ledger", "checkpoint", "--json", check=0).json == made
    assert Path(made["path"]).read_text() == made["note"]
    printed = repo.run("ledger", "checkpoint", check=0)
    assert printed.out == made["note"]


def test_a_dry_run_appends_and_keeps_nothing(repo: Repo) -> None:
    before = repo.files()
    shown = repo.run("ledger", "checkpoint", "--dry-run", "--json", "--out", "../x.note", check=0)
    assert shown.shaped("ledger checkpoint", "dry_run")["size"] == repo.lines()
    assert repo.files() == before
    assert not outside(repo, "x.note").exists()


def test_the_first_checkpoint_makes_a_key_for_its_owner_alone(repo: Repo) -> None:
    keys = repo.state / "keys"
    (secret,) = keys.glob("*.key")
    assert (keys.stat().st_mode & 0o777, secret.stat().st_mode & 0o777) == (0o700, 0o600)
    (line,) = (record for record in records(repo) if record["kind"] == "key.rotated")
    assert (line["data"]["from"], line["data"]["to"], line["data"]["vkey"]) == ("", secret.stem, vkey_of(repo))
    secret.chmod(0o644)
    result = repo.run("ledger", "checkpoint", "--json")
    assert (result.code, result.codes) == (3, ["key_exposed"])
    secret.unlink()
    result = repo.run("ledger", "checkpoint", "--json")
    assert (result.code, result.codes) == (6, ["key_missing"])


def test_a_new_key_is_a_persons_and_is_vouched_for_by_the_old_one(repo: Repo) -> None:
    old = vkey_of(repo)
    words = ("ledger", "checkpoint", "--new-key", "--reason", "the laptop was stolen")
    assert repo.run(*words, "--json").codes == ["human_only"]
    assert repo.run(*words, "--json", env=PERSON).codes == ["not_a_terminal"]
    code, shown = repo.at_terminal("", *words, "--out", "../new.note")
    assert code == 0, shown
    (line,) = (record for record in records(repo) if record["data"].get("reason") == "the laptop was stolen")
    assert (line["kind"], line["data"]["from"]) == ("key.rotated", VerifierKey.parse(old).id)
    new = line["data"]["vkey"]
    # The old secret is gone; what it signed still verifies, and the hand-over by either key.
    assert [path.stem for path in (repo.state / "keys").glob("*.key")] == [VerifierKey.parse(new).id]
    for key in (old, new):
        assert verified(repo, "--checkpoint", "../new.note", "--vkey", key) == (0, None)
    assert against_kept(repo) == (0, None)
    made = repo.run("ledger", "checkpoint", "--json", check=0).json
    assert made["vkey"] == new
    repo.run("task", "open", "T-5", "--title", "Round prices in the shop up", check=0)
    repo.run("ledger", "checkpoint", "--out", "../newer.note", check=0)
    assert verified(repo, "--checkpoint", "../newer.note", "--vkey", old) == (3, "unsigned")
    assert verified(repo, "--checkpoint", "../newer.note", "--vkey", new) == (0, None)


def test_what_does_not_verify_is_not_signed(repo: Repo) -> None:
    data = bytearray(repo.segment.read_bytes())
    data[len(data) // 2] ^= 1
    repo.segment.write_bytes(data)
    assert repo.run("ledger", "checkpoint", "--json").code == 3


# --- proving, and looking at a part


def test_a_proof_leads_from_the_line_to_the_signed_root(repo: Repo) -> None:
    for seq in (0, 3, repo.lines() - 1):
        shown = repo.quick("ledger", "prove", str(seq), check=0).shaped("ledger prove")
        assert body_hash(shown["body"].encode()) == shown["leaf"]
        assert json.loads(shown["body"])["seq"] == seq
        path = [bytes.fromhex(item) for item in shown["path"]]
        root, leaf = bytes.fromhex(shown["root"]), bytes.fromhex(shown["leaf"])
        verify_inclusion(leaf, index=seq, size=shown["size"], path=path, root=root)
        if seq == repo.lines() - 1:
            assert shown["checkpoint"] is None
        else:
            signed = open_checkpoint(shown["checkpoint"].encode(), [VerifierKey.parse(vkey_of(repo))])
            assert (signed.size, signed.root) == (shown["size"], root)
    assert repo.quick("ledger", "prove", "999", "--json").codes == ["unknown_entry"]
    rewrite(repo)
    assert repo.quick("ledger", "prove", "0", "--json").codes == ["rewritten"]


def test_a_part_is_checked_and_said_to_be_one(repo: Repo) -> None:
    for words in (("--quick",), ("--since", "4"), ("--full",)):
        assert verified(repo, *words) == (0, None)
    assert "what comes before was not looked at" in repo.quick("ledger", "verify", "--quick").out
    result = repo.quick("ledger", "verify", "--quick", "--checkpoint", "../kept.note", "--json")
    assert (result.code, result.codes) == (2, ["bad_usage"])
    repo.segment.write_bytes(repo.segment.read_bytes().replace(b"discount", b"disc0unt", 1))
    assert verified(repo, "--quick") == (3, "bad_hash")


@pytest.mark.parametrize("words", [("--vkey", "nonsense"), ("--checkpoint", "../nowhere.note")])
def test_what_cannot_be_used_is_refused(repo: Repo, words: tuple[str, ...]) -> None:
    assert repo.quick("ledger", "verify", "--json", *words).code == 2


def test_after_a_persons_repair_the_state_does_not_hold_its_own_notes_against_itself(repo: Repo) -> None:
    size = int(outside(repo).read_text().split("\n")[1])
    lines = repo.segment.read_bytes().splitlines(keepends=True)
    repo.segment.write_bytes(b"".join(lines[: size - 2]) + b"damage\n" + b"".join(lines[size - 1 :]))
    code, shown = repo.at_terminal("", "ledger", "repair", "--reason", "bit rot")
    assert code == 0, shown
    assert verified(repo) == (0, None)
    assert (repo.state / "ledger" / "quarantine" / f"{size}.note").exists()
    # To whoever keeps the checkpoint elsewhere the loss shows all the same.
    assert against_kept(repo)[0] == 3


def test_a_secret_that_a_crash_left_behind_is_removed_by_the_next_checkpoint(repo: Repo) -> None:
    (old,) = (repo.state / "keys").glob("*.key")
    kept = old.read_text()
    code, shown = repo.at_terminal("", "ledger", "checkpoint", "--new-key", "--reason", "it was copied")
    assert code == 0, shown
    old.touch(mode=0o600)
    old.write_text(kept)
    repo.quick("ledger", "checkpoint", check=0)
    assert not old.exists()
    assert len(list((repo.state / "keys").glob("*.key"))) == 1
    assert verified(repo) == (0, None)


def test_checkpoints_made_at_the_same_time_as_work_goes_on_all_hold(repo: Repo) -> None:
    calls = [("ledger", "checkpoint"), ("lease", "acquire", "T-1"), ("ledger", "checkpoint"), ("ledger", "checkpoint")]
    environ = {**os.environ, **AGENT}
    started = [
        subprocess.Popen(
            [*COMMAND, *words],
            cwd=repo.root,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for words in calls
    ]
    for number, process in enumerate(started):
        said, failed = process.communicate(timeout=120)
        assert process.returncode == 0, failed
        outside(repo, f"{number}.note").write_bytes(said)
    assert verified(repo) == (0, None)
    assert against_kept(repo) == (0, None)
    for number, words in enumerate(calls):
        if words[0] == "ledger":
            assert verified(repo, "--checkpoint", f"../{number}.note") == (0, None)
