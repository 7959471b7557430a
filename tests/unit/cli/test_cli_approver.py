"""`autopilot approver`, and `approve` with a key: where the key may lie, who opens it, what goes out and comes in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_repo import AGENT, PERSON, Repo

from autopilot.approvals.subjects import Subject
from autopilot.kernel.callers import Caller
from autopilot.ledger.entry import Draft
from autopilot.signing.note import SigningKey, VerifierKey
from autopilot.wiring.full import Workspace

WORDS = "correct horse battery staple"


@pytest.fixture
def subject(repo: Repo) -> str:
    """A request that waits for a person; its subject digest."""
    with Workspace.open(repo.root) as workspace:
        parts = {"ledger": workspace.ledger.ledger_id, "task": "T-1", "epoch": 0, "move": "STRATEGIZE->SPEC"}
        subject = Subject(**parts, kind="tests_changed", digest="ab" * 32).sha256
        request = {"subject": subject, "kind": "tests_changed", "move": parts["move"], "digest": "ab" * 32, "why": "w"}
        with workspace.ledger.transaction() as tx:
            data = {"requests": [request]}
            caller = Caller("agent-7", "agent", "s-1")
            tx.append(Draft(kind="approval.requested", caller=caller, task="T-1", epoch=0, data=data))
    return subject


@pytest.fixture
def key(repo: Repo, tmp_path: Path) -> Path:
    """A key file outside of the repository, made at a terminal."""
    folder = tmp_path / "stick"
    folder.mkdir()
    made = repo.person(
        *("approver", "keygen", "--name", "ada", "--out", str(folder / "ada.key"), "--json"),
        check=0,
        typed=f"{WORDS}\n{WORDS}",
    )
    shown = made.shaped("approver keygen")
    assert WORDS not in made.out + made.err
    assert VerifierKey.parse(shown["vkey"]).name == "ada"
    return folder / "ada.key"


def registered(repo: Repo, key: Path) -> str:
    """The key is registered by a person; its verifier key."""
    vkey = str(repo.quick("approver", "show", str(key), "--json", check=0).shaped("approver show")["vkey"])
    settings = repo.root / "autopilot.toml"
    settings.write_text(settings.read_text() + f'\n[approvals]\nsigned = "required"\napprovers = ["{vkey}"]\n')
    repo.person("init", check=0)
    return vkey


def test_the_key_is_made_at_a_terminal_and_out_of_reach(repo: Repo, key: Path, tmp_path: Path) -> None:
    assert key.stat().st_mode & 0o777 == 0o600
    assert b"PRIVATE" not in key.read_bytes()
    again = ("approver", "keygen", "--name", "ada", "--out")
    assert repo.quick(*again, str(tmp_path / "b.key"), "--json", env=PERSON).codes == ["not_a_terminal"]
    for place in (repo.root / "ada.key", repo.root / ".git" / "ada.key", repo.state / "ada.key"):
        refused = repo.person(*again, str(place), "--json", typed=f"{WORDS}\n{WORDS}")
        assert (refused.code, refused.codes) == (2, ["key_within_reach"]), place
        assert not place.exists()
    (tmp_path / "link").symlink_to(repo.root)
    assert repo.person(*again, str(tmp_path / "link" / "k"), "--json", typed=f"{WORDS}\n{WORDS}").code == 2
    assert repo.person(*again, str(key), "--json", typed=f"{WORDS}\n{WORDS}").codes == ["target_exists"]
    for typed in ("short\nshort", f"{WORDS}\n{WORDS}!"):
        assert repo.person(*again, str(tmp_path / "c.key"), "--json", typed=typed).codes == ["bad_usage"]
        assert not (tmp_path / "c.key").exists()
    for name in ("", "a b", "a+b"):
        refused = repo.person("approver", "keygen", "--name", name, "--out", str(tmp_path / "d"), "--json")
        assert refused.codes == ["bad_usage"], name


def test_a_moved_state_directory_is_within_reach_too(repo: Repo, tmp_path: Path) -> None:
    # Red without: the look at the state directory in `refuse_within_reach`.
    (tmp_path / "elsewhere").mkdir()
    refused = repo.quick(
        *("approver", "keygen", "--name", "ada", "--out", str(tmp_path / "elsewhere" / "ada.key"), "--json"),
        env={**PERSON, "AUTOPILOT_STATE_DIR": str(tmp_path / "elsewhere")},
        typed=f"{WORDS}\n{WORDS}",
    )
    assert refused.codes == ["key_within_reach"]


def test_signed_at_the_terminal(repo: Repo, subject: str, key: Path) -> None:
    vkey = registered(repo, key)
    answer = ("approve", "T-1", "--subject", subject, "--reason", "read the diff", "--json")
    refused = repo.person(*answer, typed=subject[:8])
    assert (refused.code, refused.codes) == (4, ["signature_needed"])
    assert VerifierKey.parse(vkey).id in refused.json["error"]["reasons"][0]["detail"]
    wrong = repo.person(*answer, "--key", str(key), typed=f"{subject[:8]}\n{WORDS}!")
    assert (wrong.code, wrong.codes) == (2, ["key_locked"])
    done = repo.person(*answer, "--key", str(key), typed=f"{subject[:8]}\n{WORDS}")
    assert done.code == 0, done
    shown = done.shaped("approve")
    assert (shown["answer"], shown["advisory"], shown["key"]) == ("granted", False, VerifierKey.parse(vkey).id)
    assert WORDS not in done.out + done.err


def test_signed_on_another_machine(repo: Repo, subject: str, key: Path, tmp_path: Path) -> None:
    registered(repo, key)
    asked, granted = tmp_path / "request.json", tmp_path / "grant.note"
    # The agent asks, and the agent brings the answer: neither is an answer.
    out = repo.quick("approve", "T-1", "--subject", subject[:12], "--request", str(asked), "--json", check=0)
    assert out.shaped("approve --request")["answer"] == "asked"
    assert repo.quick("approve", "T-1", "--grant", str(asked), "--json").codes == ["malformed_grant"]
    away = Repo(tmp_path / "stick")
    sign = ("approver", "sign", str(asked), "--key", str(key), "--reason", "read it", "--out", str(granted), "--json")
    assert away.quick(*sign).codes == ["not_a_terminal"]
    assert away.person(*sign, typed="00000000").codes == ["not_confirmed"]
    signed = away.person(*sign, typed=f"{subject[:8]}\n{WORDS}")
    assert signed.code == 0, signed
    assert signed.shaped("approver sign")["approver"] == "ada"
    assert subject in signed.err
    bring = ("approve", "T-1", "--grant", str(granted), "--json")
    rehearsed = repo.quick(*bring, "--dry-run", check=0)
    assert rehearsed.json["dry_run"] is True
    repo.quick(*bring, check=0).shaped("approve")
    again = repo.quick(*bring)
    assert (again.code, again.codes) == (1, ["approval_used"])
    assert away.person(*sign, typed=f"{subject[:8]}\n{WORDS}").codes == ["target_exists"]


def test_a_request_that_was_changed_is_not_signed(repo: Repo, subject: str, key: Path, tmp_path: Path) -> None:
    asked = tmp_path / "request.json"
    repo.quick("approve", "T-1", "--subject", subject, "--request", str(asked), check=0)
    content = json.loads(asked.read_text())
    asked.write_text(asked.read_text().replace(content["digest"], "cd" * 32))
    sign = ("approver", "sign", str(asked), "--key", str(key), "--reason", "r", "--out", str(tmp_path / "g"), "--json")
    assert repo.person(*sign, typed=f"{subject[:8]}\n{WORDS}").codes == ["malformed_grant"]


@pytest.mark.parametrize("hours", ["0", "169", "x"])
def test_no_signature_for_longer_than_a_week(repo: Repo, key: Path, hours: str) -> None:
    words = ("approver", "sign", "r", "--key", str(key), "--reason", "r", "--out", "g", "--hours", hours, "--json")
    assert repo.person(*words).codes == ["bad_usage"]


def test_a_key_that_others_can_read_signs_nothing(repo: Repo, subject: str, key: Path) -> None:
    registered(repo, key)
    key.chmod(0o644)
    answer = ("approve", "T-1", "--subject", subject, "--reason", "r", "--key", str(key), "--json")
    exposed = repo.person(*answer, typed=f"{subject[:8]}\n{WORDS}")
    assert (exposed.code, exposed.codes) == (3, ["key_exposed"])


def test_who_may_sign_is_listed_and_a_key_in_the_file_is_not_yet_registered(repo: Repo, key: Path) -> None:
    assert repo.quick("approver", "list", "--json", check=0).json["approvers"] == []
    vkey = registered(repo, key)
    settings = repo.root / "autopilot.toml"
    eve = SigningKey("eve", bytes(32)).verifier.encode()
    settings.write_text(settings.read_text().replace(f'["{vkey}"]', f'["{vkey}", "{eve}"]'))
    shown = repo.quick("approver", "list", "--json", check=0).shaped("approver list")
    assert shown["signed"] == "required"
    assert [(one["name"], one["standing"].split()[0]) for one in shown["approvers"]] == [
        ("ada", "registered"),
        ("eve", "inert"),
    ]


def test_sealing_another_approver_is_signed(repo: Repo, key: Path) -> None:
    vkey = registered(repo, key)
    ben = SigningKey("ben", bytes(32)).verifier.encode()
    settings = repo.root / "autopilot.toml"
    settings.write_text(settings.read_text().replace(f'["{vkey}"]', f'["{vkey}", "{ben}"]'))
    refused = repo.person("init", "--json")
    assert (refused.code, refused.codes) == (4, ["signature_needed"])
    lied = repo.quick(
        "init", "--key", str(key), "--reason", "r", "--json", env={**AGENT, "AUTOPILOT_ACTOR_KIND": "human"}
    )
    assert lied.codes == ["not_a_terminal"]
    with Workspace.open(repo.root) as workspace:
        digits = workspace.config.asked().subject.sha256[:8]
    signing = ("init", "--key", str(key), "--reason", "a second one")
    lines = repo.lines()
    assert repo.person(*signing, "--dry-run", typed=f"{digits}\n{WORDS}").code == 0, "as the real call would"
    assert repo.lines() == lines
    done = repo.person(*signing, typed=f"y\n{digits}\n{WORDS}")
    assert done.code == 0, done
    assert len(repo.quick("approver", "list", "--json", check=0).json["approvers"]) == 2
    line = repo.quick("ledger", "log", "--kind", "config.sealed", "--last", "1", "--json", check=0).json["records"][0]
    assert line["data"]["grant"]["approver"]["id"] == "ada"
    assert line["data"]["approvals"]["approvers"] == [vkey, ben]
