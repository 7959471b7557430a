"""docs/reference/ledger.md and wal.md say what is so: the table of kinds, the examples, the auditor's commands."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from autopilot.kernel.callers import Caller
from autopilot.kernel.canonical import loads
from autopilot.kernel.framing import frame
from autopilot.leases.stored import parse_record
from autopilot.ledger.chain import Head, walk
from autopilot.ledger.entry import KEYS
from autopilot.ledger.kinds import kinds_page, undocumented
from autopilot.storage.files.creation import Genesis, create_store
from autopilot.storage.files.store import StoreParts
from autopilot.storage.files.verify import verify_files
from autopilot.testing.contracts.ledger import a_draft
from autopilot.testing.folds import TallyFold

DOCS = Path(__file__).parents[3] / "docs" / "reference"
LEDGER = (DOCS / "ledger.md").read_text()
WAL = (DOCS / "wal.md").read_text()


def block(text: str, language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_table_of_kinds_is_the_code() -> None:
    found = re.search(r"(<!-- kinds: .*?-->\n)(.*)(<!-- end of kinds -->)", LEDGER, re.DOTALL)
    assert found is not None
    assert found[2] == kinds_page(), "put what `kinds_page()` gives between the two marks"


def test_the_example_body_is_a_body() -> None:
    body = block(LEDGER, "json").strip().encode()
    record = loads(body)
    assert tuple(record) == KEYS
    assert undocumented(record["kind"], record["data"]) == ()
    found = walk(frame(body), Head(record["seq"] - 1, record["prev"]), record["ledger"])
    assert found.fault is None


def test_the_keys_in_the_page_are_the_bodys() -> None:
    table = LEDGER.split("## The body")[1].split("The form is strict")[0]
    assert tuple(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == KEYS


def test_the_example_record_is_a_record() -> None:
    record = loads(block(WAL, "json").strip().encode())
    assert tuple(record) == ("v", "ledger", "seq", "prev", "record")
    assert parse_record(record["record"]).as_dict() == record["record"]


@pytest.mark.skipif(not shutil.which("sha256sum"), reason="the auditor's commands need sha256sum")
def test_an_auditor_checks_a_line_with_cut_and_sha256sum(tmp_path: Path) -> None:
    store = create_store(StoreParts(tmp_path / "state", TallyFold()), Genesis(Caller("ops", "human"), "test"))
    with store.transaction() as tx:
        tx.append(a_draft(data={"text": "}} é \\ }"}))
    store.close()
    for number, entry in enumerate(store.entries(), 1):
        commands = block(LEDGER, "sh").replace("sed -n 1p", f"sed -n {number}p")
        done = subprocess.run(["sh", "-c", commands], cwd=tmp_path, capture_output=True, text=True, check=True)
        assert done.stdout.split() == [entry.hash, entry.hash]


def test_the_page_names_every_reason_of_verify() -> None:
    table = LEDGER.split("## `ledger verify`")[1].split("## Kinds")[0]
    named = set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))
    source = (Path(verify_files.__code__.co_filename)).read_text()
    assert set(re.findall(r'corrupt\(\s*"(\w+)"', source)) | {"torn_tail"} == named
