"""Keys are the owner's alone, from the moment they are made; what is open to others is not used."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from autopilot.kernel.errors import IntegrityError, MissingComponentError
from autopilot.signing.keys import KeyRing
from autopilot.signing.note import SigningKey, sign, verify


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing(tmp_path / "state" / "keys")


def modes(ring: KeyRing, key_id: str) -> tuple[int, int]:
    paths = (ring.folder, ring.folder / f"{key_id}.key")
    return stat.S_IMODE(paths[0].stat().st_mode), stat.S_IMODE(paths[1].stat().st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_a_key_is_made_for_its_owner_whatever_the_umask(ring: KeyRing, umask: int) -> None:
    before = os.umask(umask)
    try:
        key = ring.create("a")
    finally:
        os.umask(before)
    assert modes(ring, key.id) == (0o700, 0o600)
    assert verify(sign("x\n", ring.load(key.id)), ring.public("a")) == (key.verifier,)


def _folder_lax(ring: KeyRing, key: Path) -> None:
    ring.folder.chmod(0o750)


def _key_lax(ring: KeyRing, key: Path) -> None:
    key.chmod(0o640)


def _key_linked(ring: KeyRing, key: Path) -> None:
    key.rename(ring.folder.parent / "elsewhere")
    key.symlink_to(ring.folder.parent / "elsewhere")


def _key_named_twice(ring: KeyRing, key: Path) -> None:
    os.link(key, ring.folder.parent / "second")


def _folder_linked(ring: KeyRing, key: Path) -> None:
    ring.folder.rename(ring.folder.parent / "real")
    ring.folder.symlink_to(ring.folder.parent / "real")


def _key_a_folder(ring: KeyRing, key: Path) -> None:
    key.unlink()
    key.mkdir(mode=0o700)


def _key_a_pipe(ring: KeyRing, key: Path) -> None:
    key.unlink()
    os.mkfifo(key, 0o600)


@pytest.mark.parametrize(
    "harm", [_folder_lax, _key_lax, _key_linked, _key_named_twice, _folder_linked, _key_a_folder, _key_a_pipe]
)
def test_a_key_that_is_open_to_others_is_not_used(ring: KeyRing, harm: Callable[[KeyRing, Path], None]) -> None:
    key = ring.create("a")
    harm(ring, ring.folder / f"{key.id}.key")
    with pytest.raises(IntegrityError) as caught:
        ring.load(key.id)
    assert caught.value.code == "key_exposed"


def test_no_key_is_made_in_a_folder_that_is_open_to_others(ring: KeyRing) -> None:
    ring.folder.mkdir(parents=True)
    ring.folder.chmod(0o755)
    with pytest.raises(IntegrityError, match="key_exposed"):
        ring.create("a")
    assert list(ring.folder.iterdir()) == []


def test_a_key_of_another_user_is_not_used(ring: KeyRing, monkeypatch: pytest.MonkeyPatch) -> None:
    key = ring.create("a")
    own = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: own + 1)
    with pytest.raises(IntegrityError, match="belongs to user"):
        ring.load(key.id)


def test_a_lost_key_and_an_exchanged_one(ring: KeyRing) -> None:
    with pytest.raises(IntegrityError, match="no key id"):
        ring.load("../../etc/x")
    ring.forget("../../etc/x")
    with pytest.raises(MissingComponentError) as caught:
        ring.load("00000000")
    assert caught.value.code == "key_missing"
    key = ring.create("a")
    path = ring.folder / f"{key.id}.key"
    path.write_text(SigningKey.generate("a").encode())
    with pytest.raises(IntegrityError, match="key_damaged"):
        ring.load(key.id)
    path.write_text("nonsense")
    with pytest.raises(IntegrityError, match="key_damaged"):
        ring.load(key.id)
    ring.forget(key.id)
    with pytest.raises(MissingComponentError):
        ring.load(key.id)
    assert [known.id for known in ring.public("a")] == [key.id]


def test_public_keys_are_read_by_name_and_a_damaged_one_is_said(ring: KeyRing) -> None:
    assert ring.public("a") == ()
    first, second = ring.create("a"), ring.create("b")
    assert ring.public("a") == (first.verifier,)
    assert ring.public("b") == (second.verifier,)
    (ring.folder / f"{first.id}.vkey").write_text("nonsense\n")
    with pytest.raises(IntegrityError, match="key_damaged"):
        ring.public("b")
