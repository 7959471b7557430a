"""Evidence as signed statements: whoever has the key's public half can check them, and no cheat gets through.

Red without: `StatementDesk._held`, the retired phases in `StatementDesk.of_task` (process/statements.py);
`verify_state` in `signed_statements` (wiring/statements.py); `check` (scripts/check_statements.py).
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cli_repo import PERSON, Repo
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from google.protobuf.json_format import Parse
from governed import TASK, Stock
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement as InTotoStatement
from jsonschema import Draft202012Validator
from securesystemslib.dsse import Envelope as OtherEnvelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey
from sigstore.dsse import Statement as SigstoreStatement
from sigstore.hashes import Hashed
from sigstore_models.common.v1 import HashAlgorithm

from autopilot.cli.demo.honest import AGENT
from autopilot.cli.demo.project import git
from autopilot.kernel.phases import PHASES, Phase
from autopilot.signing.note import SigningKey
from autopilot.supplychain.dsse import pem_of, sealed
from autopilot.supplychain.predicates import PHASE_MOVE, TEST_RESULT, VERIFICATION

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "docs" / "reference" / "statements"
EXPORT = ("evidence", "export", TASK, "--format", "in-toto")
STRANGER = SigningKey("autopilot/stranger", bytes(32))


@pytest.fixture(scope="session")
def finished(stock: Stock, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose T-1 went through all phases, with a second task, and a checkpoint."""
    root = tmp_path_factory.mktemp("finished") / "shop"
    governed = stock.at(Phase.MONITOR, root)
    governed.work()
    governed.workspace.tasks.open("T-2", title="Show the discount on the receipt of the shop", caller=AGENT)
    governed.workspace.close()
    Repo(root).run("ledger", "checkpoint", check=0)
    return root


@dataclass
class Handed:
    """What an outsider was handed: the bundle, the key, and a copy of the state."""

    repo: Repo
    folder: Path

    @property
    def bundle(self) -> Path:
        return self.folder / f"{TASK}.intoto.jsonl"

    @property
    def key(self) -> Path:
        return self.folder / "key.pem"

    def envelopes(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.bundle.read_bytes().splitlines()]

    def change(self, change: Callable[[list[dict[str, Any]]], None]) -> None:
        """Change the bundle on its way."""
        envelopes = self.envelopes()
        change(envelopes)
        self.bundle.write_text("".join(json.dumps(envelope) + "\n" for envelope in envelopes))

    def check(self, *, task: str = TASK, state: bool = True) -> tuple[int, str]:
        """What the script that knows nothing of autopilot says."""
        words = [self.bundle, self.key, task, *([self.repo.state] if state else [])]
        script = ROOT / "scripts" / "check_statements.py"
        done = subprocess.run(
            [sys.executable, "-I", script, *words], capture_output=True, text=True, timeout=60, check=False
        )
        assert not done.stderr, done.stderr
        return done.returncode, done.stdout

    def securesystemslib(self) -> list[bool]:
        """Which envelopes securesystemslib verifies with the key."""
        key = SSlibKey.from_crypto(load_pem_public_key(self.key.read_bytes()))
        return [verifies(envelope, key) for envelope in self.envelopes()]


def verifies(envelope: dict[str, Any], key: SSlibKey) -> bool:
    try:
        OtherEnvelope.from_dict(envelope).verify([key], 1)
    except VerificationError:
        return False
    return True


def payload(envelope: dict[str, Any]) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(base64.b64decode(envelope["payload"]))
    return value


def put(envelope: dict[str, Any], statement: dict[str, Any]) -> None:
    envelope["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()


@pytest.fixture
def repo(tmp_path: Path, finished: Path) -> Repo:
    shutil.copytree(finished, tmp_path / "shop", symlinks=True)
    return Repo(tmp_path / "shop")


@pytest.fixture
def handed(repo: Repo, tmp_path: Path) -> Handed:
    repo.quick(*EXPORT, "--out", str(tmp_path / "out"), check=0)
    return Handed(repo, tmp_path / "out")


# --- what is said


def test_every_phase_is_told_and_others_verify_it(handed: Handed) -> None:
    told = [payload(envelope) for envelope in handed.envelopes()]
    moves = [one["predicate"]["transition"]["from"] for one in told if one["predicateType"] == PHASE_MOVE]
    assert list(dict.fromkeys(moves)) == [str(phase) for phase in PHASES]
    assert {one["predicateType"] for one in told} == {PHASE_MOVE, TEST_RESULT, VERIFICATION}
    assert all(handed.securesystemslib())
    assert handed.check() == (0, f"{len(told)} envelopes, 0 faults\nall hold\n")
    for envelope in handed.envelopes():
        text = base64.b64decode(envelope["payload"])
        InTotoStatement.copy_from_pb(Parse(text, statement_pb2.Statement())).validate()
        if "sha256" in payload(envelope)["subject"][0]["digest"]:
            SigstoreStatement(text)


def test_the_predicates_are_as_the_reference_says(handed: Handed) -> None:
    seen = set()
    for envelope in handed.envelopes():
        statement = payload(envelope)
        name = SCHEMA_OF[statement["predicateType"]]
        Draft202012Validator(json.loads((SCHEMAS / name).read_text())).validate(statement["predicate"])
        seen.add(name)
    assert seen == set(SCHEMA_OF.values())


SCHEMA_OF = {
    PHASE_MOVE: "phase-move.schema.json",
    TEST_RESULT: "test-result.schema.json",
    VERIFICATION: "verification.schema.json",
}


def test_the_judged_tree_is_the_tree_of_the_commit_that_ships(handed: Handed) -> None:
    trees = {
        subject["digest"]["gitTree"]
        for envelope in handed.envelopes()
        for subject in payload(envelope)["subject"]
        if "gitTree" in subject["digest"]
    }
    assert trees == {git(handed.repo.root, "rev-parse", "HEAD^{tree}").strip()}


def test_the_bytes_are_the_same_whenever_they_are_made(handed: Handed, tmp_path: Path) -> None:
    before = handed.bundle.read_bytes()
    piped = handed.repo.run(*EXPORT, check=0)
    assert piped.out.encode() == before
    handed.repo.run("ledger", "checkpoint", check=0)
    handed.repo.run("task", "open", "T-3", "--title", "Round prices in the shop to full cents", check=0)
    handed.repo.quick(*EXPORT, "--out", str(tmp_path / "later"), check=0)
    assert (tmp_path / "later" / handed.bundle.name).read_bytes() == before


def test_the_answer_in_json_holds_envelopes_or_files(repo: Repo, tmp_path: Path) -> None:
    whole = repo.quick(*EXPORT, "--json", check=0).shaped("evidence export --format in-toto")
    assert whole["files"] == []
    lines = repo.quick(*EXPORT, check=0).out.splitlines()
    assert [one["envelope"] for one in whole["statements"]] == [json.loads(line) for line in lines]
    filed = repo.quick(*EXPORT, "--json", "--out", str(tmp_path / "out"), check=0).shaped(
        "evidence export --format in-toto"
    )
    assert [Path(file["path"]).name for file in filed["files"]] == [f"{TASK}.intoto.jsonl", "key.pem"]
    assert "envelope" not in filed["statements"][0]
    assert filed["key"]["pem"] == (tmp_path / "out" / "key.pem").read_text()


def test_a_dry_run_and_a_pipe_change_nothing(repo: Repo, tmp_path: Path) -> None:
    before = repo.files()
    shown = repo.quick(*EXPORT, "--json", "--dry-run", "--out", str(tmp_path / "out"), check=0).json
    assert shown["dry_run"] is True
    repo.quick(*EXPORT, check=0)
    assert repo.files() == before
    assert not (tmp_path / "out").exists()


def test_a_link_in_the_place_of_a_file_is_replaced_and_not_followed(repo: Repo, tmp_path: Path) -> None:
    victim, out = tmp_path / "victim", tmp_path / "out"
    victim.write_text("mine")
    out.mkdir()
    (out / f"{TASK}.intoto.jsonl").symlink_to(victim)
    repo.quick(*EXPORT, "--out", str(out), check=0)
    assert victim.read_text() == "mine"
    assert (out / f"{TASK}.intoto.jsonl").read_bytes().startswith(b'{"payload":')


def test_a_retired_phase_is_no_longer_told(stock: Stock, tmp_path: Path) -> None:
    governed = stock.at(Phase.VERIFY, tmp_path / "shop")
    governed.workspace.enforcer.backtrack(TASK, Phase.PLAN, reason="the plan was wrong", caller=AGENT)
    governed.workspace.close()
    repo = Repo(tmp_path / "shop")
    repo.quick("ledger", "checkpoint", check=0)
    shown = repo.quick(*EXPORT, "--json", check=0).json["statements"]
    assert {one["phase"] for one in shown} == {"STRATEGIZE", "SPEC"}


# --- who cheats on the way


def first(envelopes: list[dict[str, Any]]) -> dict[str, Any]:
    """The statement of the move out of VERIFY, on its artifacts."""
    return next(
        one for one in envelopes if payload(one)["predicate"].get("transition", {}).get("from") == str(Phase.VERIFY)
    )


def changed_payload(envelopes: list[dict[str, Any]]) -> None:
    statement = payload(first(envelopes))
    statement["predicate"]["actor"]["id"] = "somebody-else"
    put(first(envelopes), statement)


def changed_signature(envelopes: list[dict[str, Any]]) -> None:
    signature = first(envelopes)["signatures"][0]
    raw = bytearray(base64.b64decode(signature["sig"]))
    raw[7] ^= 1
    signature["sig"] = base64.b64encode(raw).decode()


def signature_of_another(envelopes: list[dict[str, Any]]) -> None:
    first(envelopes)["signatures"] = envelopes[0]["signatures"]


def swapped_digest(envelopes: list[dict[str, Any]]) -> None:
    statement = payload(first(envelopes))
    one, other = statement["subject"][:2]
    one["digest"], other["digest"] = other["digest"], one["digest"]
    put(first(envelopes), statement)


def changed_type(envelopes: list[dict[str, Any]]) -> None:
    first(envelopes)["payloadType"] = "application/json"


def signed_by_a_stranger(envelopes: list[dict[str, Any]]) -> None:
    key_id = envelopes[0]["signatures"][0]["keyid"]
    forged = json.loads(sealed(base64.b64decode(first(envelopes)["payload"]), STRANGER).encode())
    forged["signatures"][0]["keyid"] = key_id
    first(envelopes).update(forged)


@pytest.mark.parametrize(
    "cheat",
    [changed_payload, changed_signature, signature_of_another, swapped_digest, changed_type, signed_by_a_stranger],
)
def test_a_cheat_on_the_way_is_refused_by_us_and_by_others(
    handed: Handed, cheat: Callable[[list[dict[str, Any]]], None]
) -> None:
    handed.change(cheat)
    code, said = handed.check(state=False)
    assert (code, said.count("not signed by this key")) == (3, 1), said
    assert handed.securesystemslib().count(False) == 1


def test_an_envelope_of_another_task_is_refused(handed: Handed) -> None:
    code, said = handed.check(task="T-2", state=False)
    assert code == 3
    assert "is of task T-1" in said
    assert f"{len(handed.envelopes())} faults" in said
    # A reader of another package holds his artifact against the subjects.
    theirs = Hashed(algorithm=HashAlgorithm.SHA2_256, digest=bytes.fromhex("ab" * 32))
    texts = [base64.b64decode(one["payload"]) for one in handed.envelopes() if b"gitTree" not in _digests(one)]
    assert texts
    assert not any(SigstoreStatement(text)._matches_digest(theirs) for text in texts)


def _digests(envelope: dict[str, Any]) -> bytes:
    return json.dumps([subject["digest"] for subject in payload(envelope)["subject"]]).encode()


def test_the_strangers_own_bundle_verifies_with_the_key_beside_it_and_not_with_yours(handed: Handed) -> None:
    yours = handed.key.read_bytes()
    lines = [sealed(base64.b64decode(one["payload"]), STRANGER).encode() for one in handed.envelopes()]
    handed.bundle.write_bytes(b"\n".join(lines) + b"\n")
    handed.key.write_text(pem_of(STRANGER.verifier))
    assert handed.check(state=False)[0] == 0
    handed.key.write_bytes(yours)
    assert handed.check(state=False)[0] == 3


def of_another_line(envelopes: list[dict[str, Any]]) -> tuple[dict[str, Any], str]:
    """The judged tree of VERIFY, said to be told by the line that left STRATEGIZE."""
    statement = next(
        payload(one)
        for one in envelopes
        if "gitTree" in payload(one)["subject"][0]["digest"]
        and payload(one)["subject"][0]["annotations"]["phase"] == str(Phase.VERIFY)
    )
    subject = statement["subject"][0]
    subject["annotations"]["leafHash"] = payload(envelopes[0])["subject"][0]["annotations"]["leafHash"]
    return statement, "judged-tree: no such line"


def of_another_artifact(envelopes: list[dict[str, Any]]) -> tuple[dict[str, Any], str]:
    """The test results, said to be the sealed strategy."""
    statement = payload(first(envelopes))
    subject = next(one for one in statement["subject"] if one["name"] == "test_results.json")
    subject["digest"] = payload(envelopes[0])["subject"][0]["digest"]
    return statement, "does not name it with this digest"


@pytest.mark.parametrize("lie", [of_another_line, of_another_artifact])
def test_the_state_shows_what_the_holder_of_the_key_made_up(
    handed: Handed, lie: Callable[[list[dict[str, Any]]], tuple[dict[str, Any], str]]
) -> None:
    statement, told = lie(handed.envelopes())
    handed.bundle.write_bytes(sealed(json.dumps(statement).encode(), STRANGER).encode() + b"\n")
    handed.key.write_text(pem_of(STRANGER.verifier))
    assert handed.check(state=False)[0] == 0
    code, said = handed.check()
    assert (code, told in said) == (3, True), said


def test_an_empty_bundle_says_nothing(handed: Handed) -> None:
    handed.bundle.write_bytes(b"")
    assert handed.check() == (3, "0 envelopes, 0 faults\nan empty bundle says nothing\n")


def test_a_line_that_is_no_envelope_is_a_fault(handed: Handed) -> None:
    with handed.bundle.open("ab") as file:
        file.write(b"[]\n{}\nnull\nx\n")
    assert handed.check()[1].splitlines()[0].endswith(" 4 faults")


# --- who cheats at the source


@pytest.fixture
def sealed_artifact(repo: Repo) -> Path:
    """The sealed test results as they lie on disk."""
    shown = repo.quick(*EXPORT, "--json", check=0).json["statements"]
    sha256 = next(
        subject["digest"]["sha256"]
        for one in shown
        for subject in one["subjects"]
        if subject["name"] == "test_results.json"
    )
    path = repo.state / "evidence" / ".objects" / sha256[:2] / sha256
    assert path.is_file()
    return path


@pytest.mark.parametrize("code", ["evidence_edited", "object_missing"])
def test_a_sealed_artifact_that_was_replaced_or_taken_away_is_not_signed(
    handed: Handed, sealed_artifact: Path, tmp_path: Path, code: str
) -> None:
    if code == "object_missing":
        sealed_artifact.unlink()
    else:
        sealed_artifact.write_bytes(sealed_artifact.read_bytes().replace(b"failed", b"passed") + b" ")
    later = tmp_path / "later"
    refused = handed.repo.quick(*EXPORT, "--json", "--out", str(later), check=3)
    assert refused.codes == [code]
    reason = refused.json["error"]["reasons"][0]
    assert reason["where"].endswith("VERIFY/test_results.json")
    assert sealed_artifact.name in reason["detail"]
    assert reason["remedy"]
    assert not later.exists()
    # Who was handed the bundle before finds it out as well, where he has the state.
    assert handed.check(state=False)[0] == 0
    exit_code, said = handed.check()
    assert exit_code == 3
    assert "test_results.json: the sealed bytes are gone, or are others" in said


def test_a_ledger_that_does_not_verify_is_not_signed(handed: Handed) -> None:
    segment = handed.repo.segment
    segment.write_bytes(segment.read_bytes().replace(b'"agent-honest"', b'"agent-famous"'))
    handed.repo.quick(*EXPORT, "--json", check=3)
    assert handed.check()[0] == 3


def test_a_ledger_that_contradicts_its_checkpoint_is_not_signed(repo: Repo) -> None:
    note = next((repo.state / "ledger" / "checkpoints").glob("*.note"))
    root = note.read_text().split("\n")[2]
    note.write_text(note.read_text().replace(root, base64.b64encode(bytes(32)).decode()))
    assert repo.quick(*EXPORT, "--json", check=3).codes == ["unsigned"]


# --- keys and usage


def test_without_a_key_it_says_what_makes_one(stock: Stock, tmp_path: Path) -> None:
    stock.at(Phase.SPEC, tmp_path / "shop").workspace.close()
    repo = Repo(tmp_path / "shop")
    refused = repo.quick(*EXPORT, "--json", check=6)
    assert refused.codes == ["key_missing"]
    assert "autopilot ledger checkpoint" in refused.json["error"]["reasons"][0]["remedy"]
    repo.quick("ledger", "checkpoint", check=0)
    assert repo.quick(*EXPORT, check=0).out.count("\n") == 2


def test_a_key_that_others_can_read_or_that_is_gone_signs_nothing(repo: Repo) -> None:
    secret = next((repo.state / "keys").glob("*.key"))
    secret.chmod(0o644)
    assert repo.quick(*EXPORT, "--json", check=3).codes == ["key_exposed"]
    secret.unlink()
    assert repo.quick(*EXPORT, "--json", check=6).codes == ["key_missing"]


def test_a_new_key_signs_from_then_on(handed: Handed, tmp_path: Path) -> None:
    handed.repo.person("ledger", "checkpoint", "--new-key", "--reason", "the old one was copied", check=0)
    handed.repo.quick(*EXPORT, "--out", str(tmp_path / "later"), check=0, env=PERSON)
    later = Handed(handed.repo, tmp_path / "later")
    assert later.check()[0] == 0
    later.key.write_bytes(handed.key.read_bytes())
    assert later.check()[0] == 3


def test_what_cannot_be_stated_is_usage(repo: Repo) -> None:
    unknown = ("evidence", "export", "T-9", "--format", "in-toto", "--json")
    assert repo.quick(*unknown, check=2).codes == ["unknown_task"]
    early = ("evidence", "export", "T-2", "--format", "in-toto", "--json")
    assert repo.quick(*early, check=2).codes == ["nothing_to_state"]
    assert repo.quick("evidence", "export", TASK, "--format", "xml", "--json", check=2).codes == ["bad_usage"]
