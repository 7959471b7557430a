"""`checkpoint validate`: each check finds what it is there for, on a real repository."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cli_repo import PERSON, Repo

from autopilot.audit.checkpoint import is_production, marked_lines
from autopilot.cli.demo.project import make_repository

MARK = "TO" + "DO"
FAILING = "def test_no():\n    assert False\n"


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A governed repository with a task whose strategy is sealed."""
    root = tmp_path_factory.mktemp("checkpoint") / "shop"
    root.mkdir()
    make_repository(root)
    repo = Repo(root)
    repo.quick("init", env=PERSON, check=0)
    repo.quick("task", "open", "T-1", "--title", "Take the discount off once in shop pricing", check=0)
    repo.write_strategy()
    repo.quick("advance", "T-1", check=0)
    return root


@pytest.fixture
def repo(tmp_path: Path, stock: Path) -> Repo:
    shutil.copytree(stock, tmp_path / "shop", symlinks=True)
    return Repo(tmp_path / "shop")


def _found(repo: Repo, *words: str) -> tuple[int, dict[str, list[str]]]:
    """The exit code, and the reason codes of each check that failed."""
    result = repo.quick("checkpoint", "validate", "--json", *words)
    shown = result.shaped("checkpoint validate")
    assert (shown["status"] == "passed") is (result.code == 0)
    return result.code, {c["name"]: [r["code"] for r in c["reasons"]] for c in shown["checks"] if not c["ok"]}


def test_what_is_complete_passes_and_says_what_was_looked_at(repo: Repo) -> None:
    result = repo.run("checkpoint", "validate", check=0)
    assert "5 of 5 checks passed" in result.out
    assert "1 sealed artifacts of 1 open tasks" in result.out


def test_a_failing_test(repo: Repo) -> None:
    (repo.root / "tests" / "test_no.py").write_text(FAILING)
    assert _found(repo) == (1, {"tests": ["tests_failed"]})


def test_a_runner_that_hides_its_failure(repo: Repo) -> None:
    (repo.root / "tests" / "test_no.py").write_text("import os\nos._exit(0)\n")
    assert _found(repo) == (1, {"tests": ["report_missing"]})


def test_no_test_at_all(repo: Repo) -> None:
    (repo.root / "tests" / "test_pricing.py").write_text("")
    assert _found(repo) == (1, {"tests": ["tests_none_collected"]})


def test_a_build_that_fails(repo: Repo) -> None:
    (repo.root / "shop" / "broken.py").write_text("def (:\n")
    code, found = _found(repo)
    assert (code, found["build"]) == (1, ["command_failed"])


def test_unfinished_code(repo: Repo) -> None:
    for name in ("shop/pricing.py", "tests/test_pricing.py", "README.md"):
        path = repo.root / name
        path.write_text(path.read_text() + f"# {MARK}: round\n")
    code, found = _found(repo)
    assert (code, found) == (1, {"unfinished": ["unfinished_code"]})


def test_sealed_evidence_that_was_edited_or_is_gone(repo: Repo) -> None:
    exported = repo.write_strategy()
    exported.write_text("edited")
    assert _found(repo) == (1, {"evidence": ["sealed_edited"]})
    exported.unlink()
    assert _found(repo) == (1, {"evidence": ["artifact_missing"]})
    sha256 = repo.quick("evidence", "list", "T-1", "--json").json["evidence"][0]["sha256"]
    sealed = repo.state / "evidence" / ".objects" / sha256[:2] / sha256
    sealed.chmod(0o644)
    sealed.write_bytes(b"edited")
    assert _found(repo) == (3, {"evidence": ["evidence_edited"]})
    sealed.unlink()
    assert _found(repo) == (3, {"evidence": ["object_missing"]})


def test_a_ledger_that_does_not_verify(repo: Repo) -> None:
    data = bytearray(repo.segment.read_bytes())
    data[100] ^= 1
    repo.segment.write_bytes(data)
    code, found = _found(repo)
    assert code == 3
    assert set(found) == {"evidence", "ledger"}


def test_without_a_ledger_only_where_it_is_said(repo: Repo, tmp_path: Path) -> None:
    bare = Repo(tmp_path / "bare")
    bare.root.mkdir()
    make_repository(bare.root)
    assert bare.quick("checkpoint", "validate", "--json").codes == ["not_a_workspace"]
    assert _found(bare, "--no-state") == (1, {"tests": ["not_configured"], "build": ["not_configured"]})
    (bare.root / "Makefile").write_text("test:\n\t@echo tested\nbuild:\n\t@echo built\n")
    assert _found(bare, "--no-state") == (0, {})
    (bare.root / "Makefile").write_text("test:\n\t@echo no such luck; exit 3\nbuild:\n\t@true\n")
    result = bare.quick("checkpoint", "validate", "--no-state")
    assert result.code == 1
    assert "no such luck" in result.err
    assert not (bare.root / "state").exists()


@pytest.mark.parametrize(
    ("path", "text", "lines"),
    [
        ("a.py", f"x = 1  # {MARK} later\n", (1,)),
        ("a.py", f'x = "# {MARK}"\n', ()),
        ("a.py", f'"""{MARK} in a docstring"""\n', ()),
        ("a.py", f"x = (\n# {MARK}\n", (2,)),
        ("a.js", f"let x;\n// {MARK}: y\n", (2,)),
        ("a.c", f"/* {MARK} */\n * {MARK}\n", (1, 2)),
        ("a.sh", f"echo {MARK}\n", ()),
        ("a.py", "# a methodology, and HACKATHON\n", ()),
    ],
)
def test_only_comments_are_read(path: str, text: str, lines: tuple[int, ...]) -> None:
    assert marked_lines(path, text) == lines


@pytest.mark.parametrize(
    ("path", "production"),
    [
        ("shop/pricing.py", True), ("setup.cfg", True), ("Makefile", True), ("scripts/a.sh", True),
        ("tests/test_a.py", False), ("shop/tests/a.py", False), ("docs/conf.py", False), ("test_a.py", False),
        ("README.md", False), ("conftest.py", False), ("data/a.csv", False),
    ],
)  # fmt: skip
def test_what_is_production_code(path: str, production: bool) -> None:
    assert is_production(path) is production


def test_the_script_calls_the_command() -> None:
    script = Path(__file__).parents[3] / "scripts" / "validate_checkpoint.sh"
    assert len(script.read_text().splitlines()) < 30
    environment = {**os.environ, "PYTHON": sys.executable}
    command = ["sh", str(script), "--json", "--nonsense"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, json.loads(done.stdout)["error"]["code"]) == (2, "bad_usage")
