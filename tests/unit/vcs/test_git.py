"""Running git: which git, in which environment, and for how long."""

from __future__ import annotations

from pathlib import Path

import pytest

from autopilot.kernel.errors import MissingComponentError, StorageError
from autopilot.vcs import git


@pytest.fixture
def fake_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shell script in git's place, to be written by the test."""
    program = tmp_path / "fake-git"
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o755)
    monkeypatch.setattr(git, "git_program", lambda: str(program))
    return program


def test_a_git_on_path_does_not_shadow_the_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "git").write_text("#!/bin/sh\nexit 0\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    git.git_program.cache_clear()
    assert git.git_program() != str(tmp_path / "git")


def test_no_relative_path_entry_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "git").write_text("#!/bin/sh\nexit 0\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(git, "_SYSTEM_PATH", ())
    monkeypatch.setenv("PATH", ".:")
    git.git_program.cache_clear()
    with pytest.raises(MissingComponentError) as missing:
        git.git_program()
    git.git_program.cache_clear()
    assert missing.value.code == "git_missing"
    assert "install git" in missing.value.remedy()


def test_a_git_that_hangs_is_ended(fake_git: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_git.write_text("#!/bin/sh\nexec sleep 60\n")
    monkeypatch.setattr(git, "TIMEOUT_SECONDS", 0.2)
    with git.scratch(None, "sha1") as place:
        with pytest.raises(StorageError, match="ran over"):
            git.run_git(place, "anything")
        with git.Conversation(place, "anything") as talk, pytest.raises(StorageError, match="silent"):
            talk.until(b"\n")


def test_a_git_that_dies_is_reported(fake_git: Path) -> None:
    fake_git.write_text("#!/bin/sh\necho why >&2\nexit 3\n")
    with git.scratch(None, "sha1") as place:
        with pytest.raises(StorageError, match="why") as failure:
            git.run_git(place, "anything")
        assert failure.value.code == "git_failed"
        with git.Conversation(place, "anything") as talk, pytest.raises(git.ConversationEndedError):
            talk.exactly(1)


def test_output_has_a_cap(fake_git: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_git.write_text("#!/bin/sh\necho 0123456789\n")
    monkeypatch.setattr(git, "OUTPUT_CAP_BYTES", 5)
    with git.scratch(None, "sha1") as place, pytest.raises(StorageError, match="more than 5"):
        git.run_git(place, "anything")


def test_the_environment_is_made_of_nothing(fake_git: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_git.write_text("#!/bin/sh\nenv | sort -r\n")
    for name in ("GIT_SSH_COMMAND", "GIT_EXTERNAL_DIFF", "GIT_TRACE", "LD_PRELOAD_TEST", "GIT_INDEX_FILE"):
        monkeypatch.setenv(name, "evil")
    with git.scratch(None, "sha1") as place:
        printed = git.run_git(place, "anything").decode()
        with git.Conversation(place, "anything") as talk:
            printed += talk.until(b"GIT_ALLOW_PROTOCOL=none").decode()
    assert "evil" not in printed
    assert "GIT_CONFIG_NOSYSTEM=1" in printed
