"""Whether a declared dependency is there already. Doubt counts as no: then pip is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from autopilot.onboarding.dependencies import read_dependencies
from autopilot.onboarding.files import RepositoryFiles
from autopilot.onboarding.requirements import installed_version, parse_requirement, satisfied

VERSIONS = {"pytest": "9.2.0", "six": "1.17", "odd": "2.0rc1", "zope-interface": "5.0"}


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("pytest", True),
        ("PyTest>=8.4.2", True),
        ("pytest >=8, <10", True),
        ("pytest>=9.2", True),
        ("pytest==9.2", True),
        ("pytest==9.*", True),
        ("pytest!=9.*", False),
        ("pytest~=9.1", True),
        ("pytest~=9.1.0", False),
        ("pytest>=10", False),
        ("pytest<9.2", False),
        ("pytest (>=8)", True),
        ("zope.interface", True),
        ("six>=1.9", True),
        ("absent", False),
        ("absent; python_version < '3.0'", True),
        ("absent; python_version >= '3.0'", False),
        ("absent; sys_platform == 'win32'", True),
        ("absent; python_version < '3.0' and os_name == 'nt'", False),
        ("pytest[extra]", False),
        ("pytest @ https://example.org/x.whl", False),
        ("pytest===9.2.0", False),
        ("pytest>=9.0rc1", False),
        ("odd>=1", False),
        ("odd", True),
    ],
)
def test_satisfied(text: str, answer: bool) -> None:
    requirement = parse_requirement(text)
    assert requirement is not None
    assert satisfied(requirement, VERSIONS.get) is answer


@pytest.mark.parametrize("text", ["-r other.txt", "-e .", ".", "./x", "https://example.org/x.whl", "", "--hash=x"])
def test_what_is_no_requirement(text: str) -> None:
    assert parse_requirement(text) is None


def test_installed_version_asks_this_interpreter() -> None:
    assert installed_version("pytest")
    assert installed_version("surely-not-there-0") is None


def gathered(root: Path, files: dict[str, str], name: str = "own") -> tuple[list[str], tuple[str, ...]]:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    found = read_dependencies(RepositoryFiles(root), name)
    return [requirement.text for requirement in found.requirements], found.files


def test_extras_follow_each_other_and_groups_include(tmp_path: Path) -> None:
    text = (
        '[project]\nname = "own"\ndependencies = ["six"]\n[project.optional-dependencies]\n'
        'fast = ["orjson"]\ntests = ["own[fast]", "pytest"]\n[dependency-groups]\n'
        'test = [{include-group = "loop"}, "hypothesis"]\nloop = [{include-group = "test"}, "attrs"]\ndev = ["mypy"]\n'
    )
    names, _ = gathered(tmp_path, {"pyproject.toml": text})
    assert names == ["six", "attrs", "hypothesis", "orjson", "pytest"]


def test_dev_group_without_the_tools_that_no_test_needs(tmp_path: Path) -> None:
    text = '[project]\nname = "own"\n[dependency-groups]\ndev = ["pytest", "mypy", "Sphinx>=7", "tox"]\n'
    assert gathered(tmp_path, {"pyproject.toml": text})[0] == ["pytest"]


def test_poetry_ranges(tmp_path: Path) -> None:
    text = (
        '[tool.poetry]\nname = "own"\n[tool.poetry.dependencies]\npython = "^3.11"\na = "^1.2.3"\n'
        'b = "^0.4"\nc = "~2.1.5"\n'
        'd = "*"\ne = {version = ">=3", optional = false}\nf = "1.0"\n'
        '[tool.poetry.group.test.dependencies]\npytest = "^8"\n'
    )
    names, _ = gathered(tmp_path, {"pyproject.toml": text})
    assert names == ["a>=1.2.3,<2", "b>=0.4,<0.5", "c>=2.1.5,<2.2", "d", "e>=3", "f==1.0", "pytest>=8,<9"]


def test_setup_cfg(tmp_path: Path) -> None:
    text = "[options]\ninstall_requires =\n  six>=1\n  # why\n  attrs\n[options.extras_require]\ntesting = pytest\n"
    assert gathered(tmp_path, {"setup.cfg": text})[0] == ["six>=1", "attrs", "pytest"]


def test_requirement_files(tmp_path: Path) -> None:
    plain = {"requirements.txt": "six # why\n\n", "requirements/dev.txt": "-r ../requirements.txt\npytest\n"}
    assert gathered(tmp_path, plain) == (["six"], ("requirements/dev.txt",))
    names, files = gathered(tmp_path, {"requirements/dev.txt": "-e .\npytest\n"})
    assert (names, files) == (["six", "pytest"], ())
