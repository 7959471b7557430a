"""An exported ledger is verified by its own short file alone, and every tampering with the pack is found by it."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_repo import PERSON, Repo

from autopilot.audit import pack_verifier
from autopilot.cli.demo.project import make_repository
from autopilot.kernel.framing import BODY_START, body_hash, frame
from autopilot.ledger.proofs import root_of
from autopilot.signing.checkpoint import Checkpoint
from autopilot.signing.note import SigningKey, sign


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A governed repository with sealed evidence and two checkpoints, its pack, a proof and the key beside it."""
    root = tmp_path_factory.mktemp("packed") / "shop"
    root.mkdir()
    repo = Repo(make_repository(root))
    repo.run("init", env=PERSON, check=0)
    repo.run("task", "open", "T-1", "--title", "Take the discount off once in shop pricing", check=0)
    repo.run("ledger", "checkpoint", check=0)
    repo.write_strategy()
    repo.run("advance", "T-1", check=0)
    repo.run("ledger", "checkpoint", "--out", "../kept.note", check=0)
    repo.run("ledger", "export", "../pack", "--objects", check=0)
    (root.parent / "proof.json").write_text(repo.run("ledger", "prove", "2", check=0).out)
    (root.parent / "vkey").write_text(next((repo.state / "keys").glob("*.vkey")).read_text().strip())
    return root.parent


@pytest.fixture
def home(tmp_path: Path, made: Path) -> Path:
    shutil.copytree(made, tmp_path / "home", symlinks=True)
    return tmp_path / "home"


def check(home: Path, *words: str, script: str = "pack/verify.py") -> tuple[int, str]:
    """What the pack's own file says, run as an outsider would: no site packages, no environment."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(home / script), *words],
        cwd=home,
        env={},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == "", done.stderr
    return done.returncode, done.stdout


def vkey(home: Path) -> str:
    return (home / "vkey").read_text()


def test_the_verifier_is_short_and_needs_nothing_but_python() -> None:
    text = Path(pack_verifier.__file__).read_text()
    assert len(text.splitlines()) <= 150
    imports = {line.split()[1].split(".")[0] for line in text.splitlines() if line.startswith(("import ", "from "))}
    assert imports <= set(sys.stdlib_module_names)


def test_an_honest_pack_is_intact(home: Path) -> None:
    code, said = check(home, "--vkey", vkey(home), "--checkpoint", "kept.note")
    assert (code, said.split(":")[0]) == (0, "intact"), said
    about = json.loads((home / "pack" / "pack.json").read_text())
    assert f"{about['entries']} lines of autopilot/{about['ledger']}" in said
    sealed = list((home / "pack" / "objects").rglob("*/*"))
    assert sealed
    assert said.endswith(f"{len(sealed)} sealed objects\n")
    assert "by keys of the pack itself" in check(home)[1]


def test_the_pack_holds_no_secret(home: Path) -> None:
    held = b"".join(path.read_bytes() for path in (home / "pack").rglob("*") if path.is_file())
    assert b"PRIVATE+KEY+" not in held.replace(Path(pack_verifier.__file__).read_bytes(), b"")


def _segment(home: Path) -> Path:
    return home / "pack" / "seg" / f"{0:016d}.jsonl"


def _recomputed(home: Path) -> None:
    previous, lines = "0" * 64, []
    for line in _segment(home).read_bytes().splitlines():
        record = json.loads(line[BODY_START:-1].replace(b"discount", b"surcharge"))
        record["prev"] = previous
        body = json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode()
        previous = body_hash(body)
        lines.append(frame(body))
    _segment(home).write_bytes(b"".join(lines))


def _cut(home: Path) -> None:
    _segment(home).write_bytes(b"".join(_segment(home).read_bytes().splitlines(keepends=True)[:-2]))


def _changed(home: Path) -> None:
    _segment(home).write_bytes(_segment(home).read_bytes().replace(b"discount", b"surcount", 1))


def _swapped(home: Path) -> None:
    lines = _segment(home).read_bytes().splitlines(keepends=True)
    lines[1], lines[2] = lines[2], lines[1]
    _segment(home).write_bytes(b"".join(lines))


def _torn(home: Path) -> None:
    _segment(home).write_bytes(_segment(home).read_bytes()[:-5])


def _removed(home: Path) -> None:
    _segment(home).unlink()


def _object_changed(home: Path) -> None:
    path = max((home / "pack" / "objects").rglob("*/*"), key=lambda path: path.stat().st_size)
    path.write_bytes(path.read_bytes() + b" ")


def _object_removed(home: Path) -> None:
    next((home / "pack" / "objects").rglob("*/*")).unlink()


def _notes_removed(home: Path) -> None:
    shutil.rmtree(home / "pack" / "checkpoints")


def _note_resigned(home: Path) -> None:
    path = next((home / "pack" / "checkpoints").glob("*.note"))
    text = path.read_text().split("\n\n")[0] + "\n"
    path.write_text(sign(text, SigningKey.generate(text.split("\n")[0])).encode())


def _note_changed(home: Path) -> None:
    path = next((home / "pack" / "checkpoints").glob("*.note"))
    lines = path.read_text().split("\n")
    path.write_text("\n".join([lines[0], str(int(lines[1]) - 1), *lines[2:]]))


def _note_emptied(home: Path) -> None:
    next((home / "pack" / "checkpoints").glob("*.note")).write_text("")


TAMPERINGS: dict[Callable[[Path], None], str] = {
    _recomputed: "rewritten",
    _cut: "truncated",
    _changed: "bad_hash",
    _swapped: "bad_link",
    _torn: "missing",
    _removed: "truncated",
    _object_changed: "evidence_edited",
    _object_removed: "FileNotFoundError",
    _notes_removed: "unsigned",
    _note_resigned: "unsigned",
    _note_changed: "unsigned",
    _note_emptied: "unsigned",
}


@pytest.mark.parametrize("tamper", TAMPERINGS, ids=lambda tamper: tamper.__name__)
def test_a_tampered_pack_is_not_intact(home: Path, tamper: Callable[[Path], None]) -> None:
    tamper(home)
    for words in ((), ("--vkey", vkey(home))):
        code, said = check(home, *words)
        assert (code, said.startswith(f"not intact: {TAMPERINGS[tamper]}")) == (3, True), said


def test_a_pack_made_up_with_a_key_of_its_own_shows_against_the_owners_key(home: Path) -> None:
    _recomputed(home)
    _notes_removed(home)
    leaves = [bytes.fromhex(line[6:70].decode()) for line in _segment(home).read_bytes().splitlines()]
    origin = json.loads((home / "pack" / "pack.json").read_text())["ledger"]
    forger = SigningKey.generate(f"autopilot/{origin}")
    note = sign(Checkpoint(f"autopilot/{origin}", len(leaves), root_of(leaves)).text(), forger).encode()
    shutil.rmtree(home / "pack" / "keys")
    for name, text in ((f"checkpoints/{len(leaves)}.note", note), (f"keys/{forger.id}.vkey", forger.verifier.encode())):
        (home / "pack" / name).parent.mkdir(exist_ok=True)
        (home / "pack" / name).write_text(text)
    assert check(home)[0] == 0  # the pack's own key: that is why its answer says whose key it was
    assert check(home, "--vkey", vkey(home))[0] == 3
    assert check(home, "--checkpoint", "kept.note")[0] == 3


def test_a_proof_is_verified_without_the_pack(home: Path) -> None:
    (home / "verify.py").write_bytes((home / "pack" / "verify.py").read_bytes())
    shutil.rmtree(home / "pack")
    words = ("--proof", "proof.json", "--vkey", vkey(home))
    assert check(home, *words, script="verify.py")[0] == 0
    proof = json.loads((home / "proof.json").read_text())
    changes = {
        "body": proof["body"].replace("discount", "surcharge"),
        "seq": proof["seq"] + 1,
        "path": proof["path"][:-1],
        "checkpoint": proof["checkpoint"].replace("\n", "0\n", 2),
    }
    for key, value in changes.items():
        assert value != proof[key]
        (home / "proof.json").write_text(json.dumps({**proof, key: value}))
        assert check(home, *words, script="verify.py")[0] == 3, key
    (home / "proof.json").write_text(json.dumps({**proof, "checkpoint": None}))
    assert check(home, *words, script="verify.py")[1].startswith("not intact: unsigned")
    (home / "proof.json").write_text(json.dumps(proof))
    other = SigningKey.generate(vkey(home).partition("+")[0]).verifier.encode()
    assert check(home, "--proof", "proof.json", "--vkey", other, script="verify.py")[0] == 3


def test_signatures_are_judged_as_the_library_judges_them() -> None:
    text = b"a text of some length\n"
    for number in range(3):
        key = SigningKey("a", bytes([number]) * 32)
        public, signature = key.verifier.public, key.sign(text.decode()).data
        assert pack_verifier.is_signed(public, text, signature)
        for at in (0, 31, 32, 62):
            changed = signature[:at] + bytes([signature[at] ^ 1]) + signature[at + 1 :]
            signed = False
            with contextlib.suppress(ValueError):  # not a point of the curve
                signed = pack_verifier.is_signed(public, text, changed)
            assert not signed, at
        assert not pack_verifier.is_signed(public, text + b" ", signature)
        # The same signature with s + q is another encoding of it, which RFC 8032 refuses.
        s = int.from_bytes(signature[32:], "little") + pack_verifier.Q
        assert not pack_verifier.is_signed(public, text, signature[:32] + s.to_bytes(32, "little"))


def test_what_cannot_be_exported(home: Path) -> None:
    repo = Repo(home / "shop")
    shown = repo.quick("ledger", "export", "../other", "--json", check=0).shaped("ledger export")
    assert (shown["objects"], (home / "other" / "objects").exists()) == (False, False)
    assert check(home, script="other/verify.py")[1].count("no sealed objects") == 1
    dry = repo.quick("ledger", "export", "../dry", "--dry-run", "--json", check=0).shaped("ledger export", "dry_run")
    assert (dry["files"], (home / "dry").exists()) == (0, False)
    assert repo.quick("ledger", "export", "../other", "--json").codes == ["target_exists"]
    shutil.rmtree(repo.state / "ledger" / "checkpoints")
    assert repo.quick("ledger", "export", "../unsigned", "--json").codes == ["no_checkpoint"]
    repo.segment.write_bytes(repo.segment.read_bytes().replace(b"discount", b"surcount", 1))
    assert repo.quick("ledger", "export", "../bad", "--json").code == 3
    assert sorted(path.name for path in home.iterdir() if path.name in ("unsigned", "bad", "dry")) == []
