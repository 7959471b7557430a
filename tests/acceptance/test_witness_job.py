"""The witness's job, as the how-to page has it: no signature is seen that is not remembered, nobody else has the key.

Red without: the push before the `cat`, stdout of `ledger witness` thrown away (the script); the environment, and the
events that no pushed branch sets off (the workflow).
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from documents import ROOT, fences

PAGE = ROOT / "docs" / "how-to" / "check-the-ledger-in-ci.md"
FILES = {Path(one.value).name: one.text for one in fences(PAGE.read_text()) if one.kind == "file"}
SIGNED = "— ci.example.org/shop SIGNED"
# Stands in for autopilot: it signs, remembers, and shows the signature, as the command does.
STUB = f"""#!/bin/sh
while [ $# -gt 0 ]; do
    case $1 in --store) store=$2;; --out) out=$2;; esac
    shift
done
[ -z "$out" ] || {{ echo 2 > "$store"; echo "{SIGNED}" | tee "$out"; }}
"""


def run_job(folder: Path) -> subprocess.CompletedProcess[str]:
    environ = os.environ | {
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        **{name: str(folder / name.lower()) for name in ("PACK", "KEPT", "KEY")},
        "RANGE": "HEAD",
    }
    script = folder / "check-ledger.sh"
    return subprocess.run(["sh", str(script)], env=environ, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """The script, a pack, and a clone of the witness's repository with a first memory."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "autopilot").write_text(STUB)
    (tmp_path / "bin" / "autopilot").chmod(0o755)
    (tmp_path / "check-ledger.sh").write_text(FILES["check-ledger.sh"])
    (tmp_path / "pack" / "checkpoints").mkdir(parents=True)
    (tmp_path / "pack" / "checkpoints" / "7.note").touch()
    kept = tmp_path / "kept"
    git(tmp_path, "init", "-q", "--bare", "witness.git")
    git(tmp_path, "clone", "-q", "witness.git", "kept")
    git(kept, "config", "user.name", "ci")
    git(kept, "config", "user.email", "ci@example.org")
    for name in ("ledger.vkey", "memory.json", "newest.note"):
        (kept / name).write_text("1\n")
    git(kept, "add", "-A")
    git(kept, "commit", "-q", "-m", "The first signature")
    git(kept, "push", "-q", "origin", "HEAD")
    return tmp_path


def git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=True).stdout


def test_a_signature_is_shown_once_it_is_remembered(job: Path) -> None:
    done = run_job(job)
    assert (done.returncode, done.stdout) == (0, SIGNED + "\n")
    assert git(job / "witness.git", "show", "HEAD:memory.json") == "2\n"


def test_a_signature_that_cannot_be_remembered_is_not_shown(job: Path) -> None:
    refusing = job / "witness.git" / "hooks" / "pre-receive"
    refusing.write_text("#!/bin/sh\nexit 1\n")
    refusing.chmod(0o755)
    done = run_job(job)
    assert done.returncode != 0
    assert "SIGNED" not in done.stdout + done.stderr
    assert git(job / "witness.git", "show", "HEAD:memory.json") == "1\n"


def test_no_pushed_branch_runs_the_job_or_has_its_key() -> None:
    workflow = FILES["witness.yml"]
    events = workflow[workflow.index("on:\n") : workflow.index("concurrency:")]
    assert set(re.findall(r"(?m)^  (\w+):", events)) == {"schedule", "workflow_dispatch"}
    assert "\n    environment: witness" in workflow
    assert "if: github.ref == 'refs/heads/main'" in workflow
    assert "cancel-in-progress: false" in workflow
    others = re.findall(r"repository: example/shop.*", workflow)
    assert len(others) == 2
    assert all("persist-credentials: false" in one for one in others)
    # Neither script nor code comes from what is judged.
    assert re.findall(r"(?m)^ +sh (.*)$", workflow) == ['"$KEPT/check-ledger.sh"']
