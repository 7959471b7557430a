"""Anchors, witness and tiles where the ledger is in PostgreSQL: the same commands, the same answers.

Red without: a copy of what the database holds being what these commands read.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from cli_repo import AGENT, PERSON, Repo
from tile_reader import files_below, rederived

from autopilot.cli.demo.project import make_repository
from autopilot.ledger.trailers import read_trailers
from autopilot.signing.checkpoint import open_checkpoint
from autopilot.signing.note import VerifierKey

WHO = {f"GIT_{role}_{key}": "ada@example.org" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}


def git(repo: Repo, *words: str) -> str:
    environ = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **WHO, **AGENT, **repo.environ}
    done = subprocess.run(["git", *words], cwd=repo.root, env=environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_commits_witness_and_tiles_of_a_ledger_in_a_database(database: Any, tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    repo = Repo(make_repository(tmp_path / "shop"), {"AUTOPILOT_STORE": database.app})
    for words in (("init", "--yes"), ("ledger", "checkpoint", "--install-hook")):
        repo.quick(*words, env=PERSON, check=0)
    start = git(repo, "rev-parse", "HEAD").strip()
    repo.quick("task", "open", "T-1", "--title", "Take the discount off once in shop pricing", check=0)
    git(repo, "commit", "-q", "--allow-empty", "-m", "With an anchor")
    (anchor,) = read_trailers(git(repo, "log", "-1", "--format=%B").encode())
    assert not (repo.state / "ledger" / "seg").exists()
    span = ("ledger", "verify", "--anchors", f"{start}..HEAD", "--covers-head", "--json")
    assert repo.quick(*span, check=0).json["anchors"]["newest"] == anchor.size
    repo.quick("task", "open", "T-2", "--title", "Show the discount on the receipt of the shop", check=0)
    assert repo.quick(*span).json["reason"] == "head_not_covered"

    made = repo.quick("ledger", "checkpoint", "--out", "../kept.note", "--json", check=0).json
    repo.quick("ledger", "witness", "--new-key", "--name", "ci.example.org/shop", "--key", "../ci.key", check=0)
    call = ("ledger", "witness", "--key", "../ci.key", "--store", "../memory.json", "--vkey", made["vkey"])
    repo.quick("ledger", "export", "../pack", check=0)
    repo.quick(*call, "--first", "../kept.note", "--state", "../pack", check=0)
    repo.quick("task", "open", "T-3", "--title", "Round prices in the shop to full cents", check=0)
    repo.quick("ledger", "checkpoint", check=0)
    request = repo.quick("ledger", "prove", "--from", str(made["size"]), check=0).out
    (tmp_path / "request").write_text(request)
    signed = json.loads(repo.quick(*call, "../request", "--json", check=0).out)
    assert signed["before"] == made["size"]

    repo.quick("ledger", "export", "--format", "tlog-tiles", "../log", check=0)
    files = files_below(tmp_path / "log")
    checkpoint = open_checkpoint(files["checkpoint"], [VerifierKey.parse(made["vkey"])])
    assert rederived(files, checkpoint.size) == checkpoint.root
    assert checkpoint.size == signed["size"]
