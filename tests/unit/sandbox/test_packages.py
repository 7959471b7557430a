"""The digests of an environment: no file that a test run could import changes unseen."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from autopilot.kernel.errors import ContractError
from autopilot.sandbox.packages import PackageDigests, package_digests


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A virtual environment as it lies on disk."""
    packages = tmp_path / "env/lib/python3.11/site-packages"
    for name in ("pytest_timeout.py", "_pytest/python.py", "_pytest/__pycache__/python.cpython-311.pyc", "x/y/z.so"):
        (packages / name).parent.mkdir(parents=True, exist_ok=True)
        (packages / name).write_text("as it was")
    (tmp_path / "env/bin").mkdir()
    (tmp_path / "env/bin/pytest").write_text("#!python")
    (tmp_path / "env/lib64").symlink_to("lib")
    (tmp_path / "env/pyvenv.cfg").write_text("home = /usr/bin\n")
    return tmp_path / "env"


def digests(root: Path) -> PackageDigests:
    return package_digests(root, root)


def packages(root: Path) -> Path:
    return root / "lib/python3.11/site-packages"


def put(path: Path, text: str = "other") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def same_size_and_time(path: Path) -> None:
    before = path.stat()
    path.write_text("AS IT WAS")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize(
    "change",
    [
        lambda root: put(packages(root) / "pytest_timeout.py"),
        lambda root: same_size_and_time(packages(root) / "pytest_timeout.py"),
        lambda root: put(packages(root) / "_pytest/python.py"),
        lambda root: put(packages(root) / "x/y/z.so"),
        lambda root: put(packages(root) / "new.py"),
        lambda root: put(packages(root) / "deep/er/still/new.py"),
        lambda root: put(packages(root) / "unmarked.pyc"),
        lambda root: put(packages(root) / "x.dist-info/entry_points.txt"),
        lambda root: put(packages(root) / "x.pth"),
        lambda root: put(packages(root) / "sitecustomize.py"),
        lambda root: put(root / "lib/python3.11/sitecustomize.py"),
        lambda root: put(root / "bin/pytest"),
        lambda root: put(root / "pyvenv.cfg"),
        lambda root: (packages(root) / "pytest_timeout.py").unlink(),
        lambda root: (packages(root) / "pytest_timeout.py").rename(packages(root) / "other.py"),
    ],
)
def test_whatever_could_be_imported_counts(root: Path, change: Callable[[Path], object]) -> None:
    before = digests(root)
    assert digests(root) == before
    change(root)
    after = digests(root)
    assert after.sources != before.sources
    assert after.compiled == before.compiled


def test_compiled_files_have_a_digest_of_their_own(root: Path) -> None:
    before = digests(root)
    for name in ("_pytest/__pycache__/python.cpython-311.pyc", "x/__pycache__/new.cpython-311.pyc"):
        put(packages(root) / name, name)
        after = digests(root)
        assert after.sources == before.sources
        assert after.compiled != before.compiled
        before = after


def test_what_is_no_python_is_free(root: Path) -> None:
    before = digests(root)
    put(packages(root) / "x/data.json")
    put(packages(root) / "x.dist-info/RECORD")
    assert digests(root) == before


def test_links_and_other_environments_are_followed(root: Path, tmp_path: Path) -> None:
    put(tmp_path / "elsewhere/linked/module.py")
    put(tmp_path / "other/site-packages/module.py")
    (packages(root) / "linked").symlink_to(tmp_path / "elsewhere/linked")
    (packages(root) / "circle").symlink_to(packages(root))
    put(packages(root) / "other.pth", f"import os\n{tmp_path}/other/site-packages\n{tmp_path}/nowhere\n")
    before = digests(root)
    put(tmp_path / "elsewhere/linked/module.py", "x")
    between = digests(root)
    put(tmp_path / "other/site-packages/module.py", "x")
    assert len({before.sources, between.sources, digests(root).sources}) == 3


def test_what_cannot_be_read_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def refusing(path: str, *args: int) -> int:
        if path.endswith("unreadable.py"):
            raise PermissionError(13, "Permission denied", path)
        return real(path, *args)

    put(packages(root) / "unreadable.py")
    monkeypatch.setattr(os, "open", refusing)
    with pytest.raises(ContractError) as caught:
        digests(root)
    assert caught.value.code == "path_unreadable"
    assert caught.value.where.endswith("unreadable.py")


def test_of_nothing_there_is_a_digest_too(tmp_path: Path) -> None:
    assert digests(tmp_path).sources == digests(tmp_path / "nowhere").sources


@pytest.mark.parametrize(("shown", "counts"), [("false", False), ("true", True), ("False", False), ("yes", True)])
def test_the_installations_own_packages_count_where_they_are_shown(
    root: Path, tmp_path: Path, shown: str, *, counts: bool
) -> None:
    put(root / "pyvenv.cfg", f"home = /usr/bin\ninclude-system-site-packages = {shown}\n")
    before = package_digests(root, tmp_path / "base")
    put(tmp_path / "base/lib/python3.11/site-packages/module.py")
    between = package_digests(root, tmp_path / "base")
    put(tmp_path / "base/lib/python3.11/sitecustomize.py")
    assert (between != before) is counts
    assert package_digests(root, tmp_path / "base") != between
