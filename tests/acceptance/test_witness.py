"""A witness remembers, so that nobody who owns the ledger and its key can go back on what was signed.

The adversary has the state directory and the ledger's key. What he does not have is the witness's key and, in all
tests but those that say so, the file in which it remembers.

Red without: the comparison with what is remembered, the lock around look and memory, the memory before the answer, the
check that the memory bears the witness's own signature, `--first`, and the demand of `ledger verify --witness`.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_repo import COMMAND, PERSON, Repo
from test_checkpoints import cut, drop_own_checkpoints, records, rewrite, vkey_of, write_chain

from autopilot.cli.demo.project import make_repository
from autopilot.signing.cosignature import CosignerKey, verify_cosignatures
from autopilot.signing.note import Note, SigningKey, sign
from autopilot.storage.files.lock import StoreLock

NAME = "ci.example.org/shop"


@pytest.fixture(scope="session")
def witnessed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A governed repository; beside it a witness's key and memory, in which the ledger's first checkpoint is."""
    root = tmp_path_factory.mktemp("witnessed") / "shop"
    root.mkdir()
    repo = Repo(make_repository(root))
    repo.run("init", env=PERSON, check=0)
    repo.run("task", "open", "T-1", "--title", "Take the discount off once in shop pricing", check=0)
    repo.run("ledger", "checkpoint", "--out", "../first.note", check=0)
    made = repo.run("ledger", "witness", "--new-key", "--name", NAME, "--key", "../ci.key", "--json", check=0)
    shown = made.shaped("ledger witness --new-key")
    (root.parent / "ci.vkey").write_text(shown["vkey"])
    (root.parent / "ledger.vkey").write_text(vkey_of(repo))
    call = ("ledger", "witness", "--key", "../ci.key", "--store", "../memory.json", "--vkey", vkey_of(repo))
    repo.run(*call, "--first", "../first.note", "--state", "state", "--out", "../first.cosigned", check=0)
    repo.run("task", "open", "T-2", "--title", "Show the discount on the receipt of the shop", check=0)
    repo.run("ledger", "checkpoint", "--out", "../second.note", check=0)
    return root


@pytest.fixture
def repo(tmp_path: Path, witnessed: Path) -> Repo:
    shutil.copytree(witnessed.parent, tmp_path / "work", symlinks=True)
    return Repo(tmp_path / "work" / "shop")


def beside(repo: Repo, name: str) -> Path:
    return repo.root.parent / name


def call_of(repo: Repo, *words: str) -> tuple[str, ...]:
    vkey = beside(repo, "ledger.vkey").read_text()
    return ("ledger", "witness", "--key", "../ci.key", "--store", "../memory.json", "--vkey", vkey, *words)


def asked(repo: Repo, *words: str) -> tuple[int, str]:
    """Exit code and first reason (`signed` if there is none). What is refused changes nothing of what is remembered."""
    before = beside(repo, "memory.json").read_bytes()
    result = repo.quick(*call_of(repo, *words), "--json")
    if result.code == 0:
        result.shaped("ledger witness", *(("dry_run",) if "--dry-run" in words else ()))
        return 0, "signed"
    assert beside(repo, "memory.json").read_bytes() == before
    return result.code, result.codes[0]


def remembered(repo: Repo) -> int:
    (note,) = json.loads(beside(repo, "memory.json").read_text())["checkpoints"].values()
    return int(note.split("\n")[1])


def proof(repo: Repo, size: int) -> str:
    done = repo.quick("ledger", "prove", "--from", str(size), check=0)
    beside(repo, "proof.txt").write_text(done.out)
    return "../proof.txt"


# --- what is signed


def test_the_ledger_itself_or_a_proof_shows_that_a_checkpoint_continues_the_last(repo: Repo) -> None:
    assert asked(repo, "../second.note") == (2, "proof_missing")
    assert asked(repo, "../second.note", "--state", "state", "--dry-run") == (0, "signed")
    assert remembered(repo) == int(beside(repo, "first.note").read_text().split("\n")[1])
    assert asked(repo, proof(repo, remembered(repo))) == (0, "signed")
    repo.quick("task", "open", "T-3", "--title", "Round prices in the shop to full cents", check=0)
    repo.quick("ledger", "checkpoint", "--out", "../third.note", check=0)
    assert asked(repo, "../third.note", "--state", "state") == (0, "signed")
    # Once more is no step back.
    assert asked(repo, "../third.note") == (0, "signed")
    assert remembered(repo) == int(beside(repo, "third.note").read_text().split("\n")[1])


def test_an_audit_pack_is_the_ledger_too(repo: Repo) -> None:
    repo.quick("ledger", "export", "../pack", check=0)
    assert asked(repo, "../second.note", "--state", "../pack") == (0, "signed")
    words = ("ledger", "verify", "--state", "../pack", "--checkpoint", "../first.cosigned")
    assert repo.quick(*words, check=0).out.startswith("intact: ")
    for name in ("seg/0000000000004096.jsonl", "checkpoints/9.note"):
        strange = beside(repo, "pack") / name
        for make in (lambda path: path.symlink_to("/etc/passwd"), os.mkfifo):
            make(strange)
            assert repo.quick(*words, "--json").codes == ["state_linked"]
            strange.unlink()
    (beside(repo, "pack") / "pack.json").write_text("{}")
    assert repo.quick(*words, "--json").codes == ["bad_usage"]


def test_what_is_printed_bears_both_signatures_and_the_time(repo: Repo) -> None:
    shown = repo.quick(*call_of(repo, "../second.note", "--state", "state", "--json"), check=0).json
    note, key = Note.parse(shown["note"].encode()), CosignerKey.parse(beside(repo, "ci.vkey").read_text())
    (signed,) = verify_cosignatures(note, [key])
    assert (signed.seconds, shown["before"]) == (
        shown["seconds"],
        int(beside(repo, "first.note").read_text().split()[1]),
    )
    printed = repo.run(*call_of(repo, "../second.note", "--out", "../second.cosigned"), check=0)
    assert printed.out == beside(repo, "second.cosigned").read_text()
    assert f"{NAME} signed for" in printed.err
    dry = repo.quick(*call_of(repo, "../second.note", "--dry-run", "--json", "--out", "../no.note"), check=0).json
    assert (dry["note"], beside(repo, "no.note").exists()) == (None, False)


# --- verify demands it


def test_verify_demands_the_witness_that_is_named(repo: Repo) -> None:
    witness, other = beside(repo, "ci.vkey").read_text(), CosignerKey("else.example", bytes(32)).encode()
    for name, demanded, said in (
        ("first.cosigned", (witness,), (0, None)),
        ("first.note", (witness,), (3, "unwitnessed")),
        ("first.cosigned", (other,), (3, "unwitnessed")),
        ("first.cosigned", (witness, other), (3, "unwitnessed")),
        ("second.note", (), (0, None)),
    ):
        words = [word for key in demanded for word in ("--witness", key)]
        result = repo.quick("ledger", "verify", "--json", "--checkpoint", f"../{name}", *words)
        assert (result.code, result.shaped("ledger verify")["reason"]) == said, (name, demanded)
    assert repo.quick("ledger", "verify", "--witness", witness, "--json").codes == ["bad_usage"]
    assert repo.quick("ledger", "verify", "--checkpoint", "../first.note", "--witness", "x", "--json").code == 2


def test_a_cosignature_moved_to_another_checkpoint_does_not_count(repo: Repo) -> None:
    line = beside(repo, "first.cosigned").read_text().splitlines()[-1]
    forged = beside(repo, "second.note").read_text() + line + "\n"
    beside(repo, "forged.note").write_text(forged)
    words = ("--checkpoint", "../forged.note", "--witness", beside(repo, "ci.vkey").read_text(), "--json")
    result = repo.quick("ledger", "verify", *words)
    assert (result.code, result.json["reason"]) == (3, "unwitnessed")


# --- what is not signed


def test_a_smaller_ledger_is_not_signed_whether_it_is_late_or_put_back(repo: Repo) -> None:
    assert asked(repo, "../second.note", "--state", "state") == (0, "signed")
    assert asked(repo, "../first.note") == (1, "older_checkpoint")
    assert asked(repo, "../first.note", "--state", "state") == (1, "older_checkpoint")
    assert asked(repo, proof(repo, 3)) == (1, "stale_proof")


def test_a_rewritten_ledger_that_was_signed_again_is_a_fork(repo: Repo) -> None:
    assert asked(repo, "../second.note", "--state", "state") == (0, "signed")
    size = remembered(repo)
    rewrite(repo)
    drop_own_checkpoints(repo)
    repo.quick("task", "open", "T-3", "--title", "Round prices in the shop to full cents", check=0)
    repo.quick("ledger", "checkpoint", "--out", "../again.note", check=0)
    assert repo.quick("ledger", "verify").code == 0
    assert asked(repo, "../again.note", "--state", "state") == (3, "forked")
    # A proof made from the rewritten lines does not lead to the root that was signed.
    assert asked(repo, proof(repo, size)) == (3, "bad_proof")
    assert asked(repo, "../again.note") == (2, "proof_missing")


def test_another_root_of_the_same_size_is_a_fork(repo: Repo) -> None:
    assert asked(repo, "../second.note", "--state", "state") == (0, "signed")
    (secret,) = (repo.state / "keys").glob("*.key")
    text = beside(repo, "second.note").read_text().split("\n\n")[0] + "\n"
    lines = text.split("\n")
    lines[2] = "A" * 43 + "="
    beside(repo, "other.note").write_text(sign("\n".join(lines), SigningKey.parse(secret.read_text())).encode())
    assert asked(repo, "../other.note") == (3, "forked")


def test_a_ledger_that_does_not_hold_the_checkpoint_is_named(repo: Repo) -> None:
    copy = beside(repo, "copy")
    shutil.copytree(repo.state, copy)
    cut(repo, int(beside(repo, "second.note").read_text().split("\n")[1]) - 1)
    drop_own_checkpoints(repo)
    assert asked(repo, "../second.note", "--state", "state")[1] in ("truncated", "rolled_back")
    rewrite(repo)
    assert asked(repo, "../second.note", "--state", "state") == (3, "rewritten")
    assert asked(repo, "../second.note", "--state", "../copy") == (0, "signed")


def _another_key(repo: Repo) -> None:
    text = beside(repo, "second.note").read_text().split("\n\n")[0] + "\n"
    beside(repo, "second.note").write_text(sign(text, SigningKey.generate(text.split("\n")[0])).encode())


def _witness_as_ledger(repo: Repo) -> None:
    text = beside(repo, "second.note").read_text().split("\n\n")[0] + "\n"
    beside(repo, "second.note").write_text(sign(text, SigningKey.parse(beside(repo, "ci.key").read_text())).encode())


@pytest.mark.parametrize("forge", [_another_key, _witness_as_ledger])
def test_what_the_ledgers_key_did_not_sign_is_not_witnessed(repo: Repo, forge: Any) -> None:
    forge(repo)
    assert asked(repo, "../second.note", "--state", "state") == (3, "unsigned")


def test_an_unknown_ledger_is_met_only_when_told_to(repo: Repo) -> None:
    beside(repo, "memory.json").unlink()
    result = repo.quick(*call_of(repo, "../second.note", "--state", "state", "--json"))
    assert (result.code, result.codes) == (1, ["unknown_origin"])
    assert not beside(repo, "memory.json").exists()
    repo.quick(*call_of(repo, "../second.note", "--state", "state", "--first"), check=0)
    # `--first` opens no way round what is remembered by now.
    assert asked(repo, "../first.note", "--first") == (1, "older_checkpoint")


# --- memory and key


def _not_ours(memory: dict[str, Any], repo: Repo) -> None:
    (origin,) = memory["checkpoints"]
    memory["checkpoints"][origin] = beside(repo, "first.note").read_text()


def _other_name(memory: dict[str, Any], repo: Repo) -> None:
    (origin,) = memory["checkpoints"]
    memory["checkpoints"]["autopilot/" + "0" * 32] = memory["checkpoints"][origin]


def _made_up(memory: dict[str, Any], repo: Repo) -> None:
    """A history of the adversary's, signed with the ledger's key, and the witness's line of another checkpoint."""
    (origin,) = memory["checkpoints"]
    (secret,) = (repo.state / "keys").glob("*.key")
    lines = memory["checkpoints"][origin].split("\n")
    lines[2] = "A" * 43 + "="
    forged = sign("\n".join(lines[:3]) + "\n", SigningKey.parse(secret.read_text())).encode()
    memory["checkpoints"][origin] = forged + lines[-2] + "\n"


def _another_format(memory: dict[str, Any], repo: Repo) -> None:
    memory["format"] = 2


def _no_note(memory: dict[str, Any], repo: Repo) -> None:
    (origin,) = memory["checkpoints"]
    memory["checkpoints"][origin] = "nothing"


def _no_text(memory: dict[str, Any], repo: Repo) -> None:
    (origin,) = memory["checkpoints"]
    memory["checkpoints"][origin] = 7


@pytest.mark.parametrize("harm", [_not_ours, _other_name, _made_up, _another_format, _no_note, _no_text])
def test_a_memory_that_is_not_what_was_signed_is_not_used(repo: Repo, harm: Any) -> None:
    memory = json.loads(beside(repo, "memory.json").read_text())
    harm(memory, repo)
    beside(repo, "memory.json").write_text(json.dumps(memory))
    assert asked(repo, "../second.note", "--state", "state") == (3, "witness_store_damaged")


@pytest.mark.parametrize("content", ["", "nonsense", "[]", '{"format":1,"checkpoints":[]}'])
def test_a_damaged_memory_is_no_empty_one(repo: Repo, content: str) -> None:
    beside(repo, "memory.json").write_text(content)
    assert asked(repo, "../second.note", "--state", "state", "--first") == (3, "witness_store_damaged")


def test_a_memory_behind_a_link_is_not_used(repo: Repo) -> None:
    beside(repo, "memory.json").rename(beside(repo, "real.json"))
    beside(repo, "memory.json").symlink_to("real.json")
    assert asked(repo, "../second.note", "--state", "state", "--first") == (3, "witness_store_damaged")
    beside(repo, "real.json").rename(beside(repo, "gone.json"))
    assert repo.quick(*call_of(repo, "../second.note", "--first", "--json")).codes == ["witness_store_damaged"]


def test_the_key_is_its_owners_alone_and_is_never_replaced(repo: Repo) -> None:
    key = beside(repo, "ci.key")
    assert key.stat().st_mode & 0o777 == 0o600
    again = repo.quick("ledger", "witness", "--new-key", "--name", NAME, "--key", "../ci.key", "--json")
    assert (again.code, again.codes) == (2, ["target_exists"])
    assert repo.quick("ledger", "witness", "--new-key", "--key", "../x.key", "--json").codes == ["bad_usage"]
    dry = repo.quick("ledger", "witness", "--new-key", "--name", NAME, "--key", "../x.key", "--dry-run", check=0)
    assert dry.out
    assert not beside(repo, "x.key").exists()
    key.chmod(0o640)
    assert asked(repo, "../second.note", "--state", "state") == (3, "key_exposed")
    key.unlink()
    assert asked(repo, "../second.note", "--state", "state") == (6, "key_missing")


def test_a_new_key_of_the_witness_goes_on_from_what_the_old_one_signed(repo: Repo) -> None:
    former = beside(repo, "ci.vkey").read_text()
    beside(repo, "ci.key").rename(beside(repo, "old.key"))
    repo.quick("ledger", "witness", "--new-key", "--name", NAME, "--key", "../ci.key", check=0)
    assert asked(repo, "../second.note", "--state", "state") == (3, "witness_store_damaged")
    assert asked(repo, "../second.note", "--state", "state", "--former", former) == (0, "signed")
    assert asked(repo, "../first.note", "--former", former) == (1, "older_checkpoint")


# --- at the same time


def test_of_two_runs_at_once_none_puts_the_memory_back(repo: Repo) -> None:
    """Real processes, in both orders and at once, over and over: what is remembered only grows, and never to a fork."""
    notes = ["first.note", "second.note"]
    for number in range(3, 8):
        repo.quick("task", "open", f"T-{number}", "--title", f"Round prices in the shop {number} times", check=0)
        repo.quick("ledger", "checkpoint", "--out", f"../{number}.note", check=0)
        notes.append(f"{number}.note")
    sizes = [int(beside(repo, name).read_text().split("\n")[1]) for name in notes]
    calls = [[*COMMAND, *call_of(repo, f"../{name}", "--state", "state", "--json")] for name in reversed(notes)]
    started = [
        subprocess.Popen(call, cwd=repo.root, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) for call in calls
    ]
    answers = [(process.communicate(timeout=120)[0], process.returncode) for process in started]
    signed = [json.loads(out) for out, code in answers if code == 0]
    refused = [json.loads(out)["error"]["code"] for out, code in answers if code]
    assert len(signed) + len(refused) == len(notes)
    assert set(refused) <= {"older_checkpoint"}
    # Each that signed went on from a smaller size that another had signed, in one line without branches.
    steps = sorted((one["before"], one["size"]) for one in signed)
    assert [before for before, _ in steps] == [sizes[0], *(size for _, size in steps[:-1])]
    assert remembered(repo) == max(sizes) == steps[-1][1]


def has_open(process: subprocess.Popen[bytes], path: Path) -> bool:
    """Whether the process holds `path` open, or has ended."""
    try:
        names = [link.readlink() for link in Path(f"/proc/{process.pid}/fd").iterdir()]
    except OSError:
        names = []
    return path in names or process.poll() is not None


def wait_for(there: Callable[[], bool]) -> None:
    for _ in range(6000):
        if there():
            return
        time.sleep(0.01)
    pytest.fail("it did not come to that")


def test_who_looked_first_and_is_slow_does_not_put_the_memory_back(repo: Repo) -> None:
    """An older checkpoint is looked at and stalls; a newer one comes meanwhile. The newer one has to wait its turn."""
    slow = beside(repo, "slow")
    shutil.copytree(repo.state, slow)
    repo.quick("task", "open", "T-3", "--title", "Round prices in the shop to full cents", check=0)
    repo.quick("ledger", "checkpoint", "--out", "../third.note", check=0)

    def started(name: str, state: str) -> subprocess.Popen[bytes]:
        call = [*COMMAND, *call_of(repo, f"../{name}", "--state", state, "--json")]
        return subprocess.Popen(call, cwd=repo.root, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)

    lock = StoreLock(slow / "ledger" / "lock", 5.0)
    with contextlib.closing(lock):
        with lock.held():
            older = started("second.note", "../slow")
            wait_for(lambda: has_open(older, slow / "ledger" / "lock"))
            newer = started("third.note", "state")
            wait_for(lambda: has_open(newer, repo.root.parent))
        assert [older.wait(120), newer.wait(120)] == [0, 0]
    assert remembered(repo) == int(beside(repo, "third.note").read_text().split("\n")[1])


def test_of_two_histories_at_once_one_is_signed_and_the_other_refused(repo: Repo, tmp_path: Path) -> None:
    shutil.copytree(repo.root.parent, tmp_path / "other", symlinks=True)
    other = Repo(tmp_path / "other" / "shop")
    for one, title in ((repo, "Round prices in the shop up"), (other, "Round prices in the shop down")):
        one.quick("task", "open", "T-4", "--title", title, check=0)
        one.quick("ledger", "checkpoint", "--out", "../last.note", check=0)
    started = []
    for one in (repo, other):
        files = (str(beside(one, "last.note")), "--state", str(one.state), "--json")
        call = [*COMMAND, *call_of(repo, *files)]
        started.append(subprocess.Popen(call, cwd=repo.root, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL))
    answers = [(process.communicate(timeout=120)[0], process.returncode) for process in started]
    assert sorted(code for _, code in answers) == [0, 3]
    assert [json.loads(out)["error"]["code"] for out, code in answers if code] == ["forked"]


def test_the_ledger_without_its_lines_is_no_ledger(repo: Repo) -> None:
    bodies = records(repo)
    bodies[1]["data"]["made"] = "up"
    write_chain(repo, bodies)
    assert asked(repo, "../second.note", "--state", "state")[0] == 3
    shutil.rmtree(repo.state)
    assert asked(repo, "../second.note", "--state", "state") == (3, "ledger_missing")
