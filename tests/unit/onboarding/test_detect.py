"""Proposals for real shapes of repositories, and the proposed commands really run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from autopilot.kernel.configuration import Command
from autopilot.kernel.errors import ContractError
from autopilot.kernel.settings import parse_settings
from autopilot.onboarding.detect import Proposal, detect, propose
from autopilot.onboarding.requirements import Installed

LEDGER = "0123456789abcdef" * 2
ALL = {"pytest": "9.2.0", "coverage": "7.17.3", "ruff": "0.17.5", "pytest-xdist": "3.8.0", "pip": "23.2"}

# As in the source distribution of iniconfig 2.3.1: src layout, tests in `testing`, a version file written at build
# time and ignored by git, a `.gitignore` without a final newline.
INICONFIG = {
    "pyproject.toml": """\
[build-system]
build-backend = "setuptools.build_meta"
requires = [ "setuptools>=77", "setuptools-scm>=8" ]

[project]
name = "iniconfig"
dynamic = [ "version" ]

[dependency-groups]
dev = [ "pytest>=8.4.2", "pytest-xdist>=3.8" ]

[tool.setuptools]
packages = [ "iniconfig" ]
package-dir = { "" = "src" }

[tool.setuptools_scm]
write_to = "src/iniconfig/_version.py"

[tool.ruff]
lint.extend-select = [ "B" ]

[tool.pytest]
ini_options.testpaths = "testing"
""",
    ".gitignore": "*.egg-info\ndist/\nsrc/iniconfig/_version.py",
    "src/iniconfig/__init__.py": "def lines(text):\n    return text.splitlines()\n",
    "src/iniconfig/_version.py": "version = '2.3.1'\n",
    "src/iniconfig.egg-info/PKG-INFO": "Name: iniconfig\n",
    "testing/conftest.py": "",
    "testing/test_iniconfig.py": "import iniconfig\n\n\ndef test_lines():\n    assert iniconfig.lines('a') == ['a']\n",
}


def have(versions: dict[str, str]) -> Installed:
    return versions.get


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    return root


def apply(root: Path, proposal: Proposal) -> None:
    write(root, proposal.files)


def test_iniconfig_is_understood(tmp_path: Path) -> None:
    proposal = propose(write(tmp_path, INICONFIG), ledger_id=LEDGER, installed=have(ALL))
    settings = parse_settings(proposal.files["autopilot.toml"].encode(), {})
    assert settings.ledger_id == LEDGER
    assert list(settings.commands) == ["build", "test", "coverage", "lint", "ci", "smoke"]
    assert all(command.env == {"PYTHONPATH": "src"} for command in settings.commands.values())
    assert settings.commands["build"].argv[-1] == "src"
    assert "testing" not in settings.commands["test"].argv, "its own testpaths name the folder"
    assert settings.commands["lint"].report == "ruff-json"
    assert settings.commands["smoke"].argv[2] == "import iniconfig; print(iniconfig.__file__)"
    assert proposal.files[".gitignore"] == INICONFIG[".gitignore"] + "\n/state/\n"
    assert proposal.missing == ()
    assert proposal.notes == ("no commands.setup: this interpreter has all that the project declares",)


def test_setup_is_proposed_where_something_is_not_installed(tmp_path: Path) -> None:
    without = {name: version for name, version in ALL.items() if name not in ("pytest-xdist", "ruff")}
    proposal = propose(write(tmp_path, INICONFIG), ledger_id=LEDGER, installed=have(without))
    commands = parse_settings(proposal.files["autopilot.toml"].encode(), {}).commands
    assert commands["setup"].argv[-4:] == ("pytest>=8.4.2", "pytest-xdist>=3.8", "coverage", "ruff")
    # The project's own source first: a dependency may have brought a copy of the project along.
    assert commands["test"].env == {"PYTHONPATH": "src:{deps}"}
    assert "pytest-xdist>=3.8" in proposal.notes[0]


def test_second_look_proposes_nothing_and_a_person_is_never_overruled(tmp_path: Path) -> None:
    write(tmp_path, INICONFIG)
    first = propose(tmp_path, ledger_id=LEDGER, installed=have(ALL))
    apply(tmp_path, first)
    again = propose(tmp_path, ledger_id=LEDGER, installed=have({}))
    assert (again.edits, again.diff(), again.missing) == ((), "", ())


def test_existing_file_keeps_every_byte(tmp_path: Path) -> None:
    own = "# ours\r\n\r\n[thresholds]\r\nlint_score = 95 # strict\r\n"
    write(tmp_path, {**INICONFIG, "autopilot.toml": own, ".gitignore": "build/\r\n"})
    proposal = propose(tmp_path, ledger_id=LEDGER, installed=have(ALL))
    new = proposal.files["autopilot.toml"]
    assert new.startswith(
        f'# ours\r\n\r\nledger_id = "{LEDGER}"\r\n\r\n[thresholds]\r\nlint_score = 95 # strict\r\n\r\n[commands'
    )
    assert "\n" not in new.replace("\r\n", "")
    assert proposal.files[".gitignore"] == "build/\r\n/state/\r\n"
    settings = parse_settings(new.encode(), {})
    assert (settings.ledger_id, settings.thresholds.lint_score, len(settings.commands)) == (LEDGER, 95, 6)
    apply(tmp_path, proposal)
    assert propose(tmp_path, ledger_id=LEDGER, installed=have(ALL)).edits == ()


def test_chosen_commands_stay_alone(tmp_path: Path) -> None:
    own = '[commands.test]\nargv = ["make", "test", "REPORT={report}"]'
    write(tmp_path, {**INICONFIG, "autopilot.toml": own, ".gitignore": "state/\n"})
    proposal = propose(tmp_path, ledger_id=LEDGER, installed=have(ALL))
    assert proposal.files == {"autopilot.toml": f'ledger_id = "{LEDGER}"\n\n{own}'}


def test_diff_is_what_git_would_apply(tmp_path: Path) -> None:
    write(tmp_path, INICONFIG)
    proposal = propose(tmp_path, ledger_id=LEDGER, installed=have(ALL))
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run(["git", "apply"], input=proposal.diff().encode(), cwd=tmp_path, check=True)
    for name, text in proposal.files.items():
        assert (tmp_path / name).read_bytes() == text.encode()


def test_another_ledger_is_not_overwritten(tmp_path: Path) -> None:
    write(tmp_path, {"autopilot.toml": f'ledger_id = "{"f" * 32}"\n'})
    with pytest.raises(ContractError, match="ledger_elsewhere"):
        propose(tmp_path, ledger_id=LEDGER)


@pytest.mark.parametrize("text", ["x = [", "ledger_id ="])
def test_a_broken_file_is_refused_not_replaced(tmp_path: Path, text: str) -> None:
    write(tmp_path, {"autopilot.toml": text})
    with pytest.raises(ContractError, match="bad_config"):
        propose(tmp_path, ledger_id=LEDGER)


@pytest.mark.parametrize("name", ["autopilot.toml", ".gitignore"])
@pytest.mark.parametrize("target", ["/etc/hostname", "nowhere"])
def test_a_link_is_refused_not_written_through(tmp_path: Path, name: str, target: str) -> None:
    (tmp_path / name).symlink_to(target)
    with pytest.raises(ContractError, match="bad_config") as caught:
        propose(tmp_path, ledger_id=LEDGER)
    assert caught.value.where == name


@pytest.mark.parametrize(
    "ignore", ["state/", "/state/", "state", "/state", "state/*", "# x\n/state/**\n", "!state/\nstate/\n"]
)
def test_state_that_is_ignored_already_needs_no_line(tmp_path: Path, ignore: str) -> None:
    assert ".gitignore" not in propose(write(tmp_path, {".gitignore": ignore})).files


@pytest.mark.parametrize("ignore", ["", "states/", "state/\n!state/\n", "#state/"])
def test_state_that_is_not_ignored_gets_an_anchored_line(tmp_path: Path, ignore: str) -> None:
    assert propose(write(tmp_path, {".gitignore": ignore})).files[".gitignore"].endswith("/state/\n")


def test_a_project_folder_called_state_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path, {**INICONFIG, "state/machine.py": "x = 1\n"})
    proposal = propose(tmp_path, ledger_id=LEDGER, installed=have(ALL))
    assert parse_settings(proposal.files["autopilot.toml"].encode(), {}).state_dir == ".autopilot-state"
    assert proposal.files[".gitignore"].endswith("/.autopilot-state/\n")
    apply(tmp_path, proposal)
    assert propose(tmp_path, ledger_id=LEDGER, installed=have(ALL)).edits == ()


@pytest.mark.parametrize(
    ("marker", "language"), [("package.json", "JavaScript"), ("go.mod", "Go"), ("README", "no project")]
)
def test_other_languages_get_an_example_and_a_sentence(tmp_path: Path, marker: str, language: str) -> None:
    proposal = propose(write(tmp_path, {marker: "{}"}), ledger_id=LEDGER)
    text = proposal.files["autopilot.toml"]
    assert language in proposal.missing[0]
    assert parse_settings(text.encode(), {}).commands == {}
    # The example is right once its comment signs are gone.
    lines = [
        line.removeprefix("# ") for line in text.splitlines() if line.startswith(("# [", "# argv", "# then", "# env"))
    ]
    assert set(parse_settings("\n".join(lines).encode(), {}).commands) == {"test", "build", "coverage"}


def test_flat_layout_with_everything_declared_elsewhere(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "setup.py": "import setuptools as s\ns.setup(name='Fast-Thing', install_requires=['six>=1'], version=V)\n",
            "fast_thing/__init__.py": "",
            "docs/conf.py": "",
            "examples/__init__.py": "",
            "test/test_all.py": "import unittest\n\n\nclass T(unittest.TestCase):\n    def test_x(self): pass\n",
            "requirements-test.txt": "pytest  # runner\n",
            "tox.ini": "[tox]\nenvlist = py\n[coverage:run]\nparallel = True\n[coverage:report]\nfail_under = 91.5\n",
            ".flake8": "[flake8]\n",
        },
    )
    found = detect(tmp_path, have({**ALL, "six": "1.17.0"}))
    assert "setup" not in found.commands
    assert found.commands["build"].argv[-1] == "fast_thing"
    assert found.commands["test"].argv[-1] == "test"
    assert found.commands["test"].env == {"PYTHONPATH": "."}
    assert "--source=fast_thing" in found.commands["coverage"].argv
    assert found.commands["coverage"].then[0][3] == "combine"
    assert found.commands["lint"].argv[2] == "ruff"
    assert found.thresholds == {"coverage_percent": 91}
    assert any("tox.ini" in note for note in found.notes)
    older = detect(tmp_path, have({**ALL, "six": "0.9"}))
    assert older.commands["setup"].argv[-4:] == ("six>=1", "pytest", "coverage", "flake8")
    assert older.commands["lint"].argv[2] == "flake8"


def test_pytest_options_of_the_project_are_heeded(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "pyproject.toml": '[project]\nname = "a"\ndependencies = []\n[tool.pytest.ini_options]\n'
            'addopts = "--cov=a -n auto"\ncache_dir = "x"\n[tool.coverage.run]\nsource_pkgs = ["a"]\n',
            "a.py": "",
            "test_a.py": "",
        },
    )
    found = detect(tmp_path, have(ALL))
    assert found.commands["setup"].argv[-4:] == ("pytest", "coverage", "pytest-cov", "pytest-xdist")
    coverage = found.commands["coverage"].argv
    assert "--no-cov" in coverage
    assert "-n0" in coverage
    assert not any(word.startswith("--source") for word in coverage)
    assert "no:cacheprovider" not in found.commands["test"].argv
    assert found.commands["test"].argv[-1] == "test_a.py"


def test_what_a_checkout_lacks_is_said(tmp_path: Path) -> None:
    root = write(tmp_path, {**INICONFIG, "src/iniconfig/__init__.py": "from ._version import version\n"})
    assert "src/iniconfig/_version.py" in detect(root, have(ALL)).missing[0]
    guarded = "try:\n    from ._version import version\nexcept ImportError:\n    version = '0'\n"
    assert detect(write(root, {"src/iniconfig/__init__.py": guarded}), have(ALL)).missing == ()
    own = "from importlib.metadata import version\n__version__ = version(__name__)\n"
    write(root, {"src/iniconfig/__init__.py": own})
    assert "installed version of iniconfig" in detect(root, have(ALL)).missing[0]
    assert detect(root, have({**ALL, "iniconfig": "2.3.1"})).missing == ()


def test_compiled_parts_and_missing_tests_are_said(tmp_path: Path) -> None:
    write(tmp_path, {"pyproject.toml": '[build-system]\nbuild-backend = "maturin"\n', "a/__init__.py": ""})
    missing = detect(tmp_path, have(ALL)).missing
    assert any("commands.build" in sentence for sentence in missing)
    assert any("commands.test" in sentence for sentence in missing)


def test_unreadable_metadata_is_named_and_nothing_is_run(tmp_path: Path) -> None:
    bomb = "open('run', 'w')\nraise SystemExit(3)\n"
    write(
        tmp_path,
        {"pyproject.toml": "[project\n", "setup.py": bomb, "conftest.py": bomb, "a.py": bomb, "test_a.py": bomb},
    )
    (tmp_path / "requirements").symlink_to("/etc")
    (tmp_path / "setup.cfg").symlink_to("/etc/hostname")
    os.mkfifo(tmp_path / "tox.ini")
    found = detect(tmp_path, have(ALL))
    assert any("pyproject.toml is not TOML" in note for note in found.notes)
    assert found.commands["smoke"].argv[2] == "import a; print(a.__file__)"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("layout", ["src", "flat"])
def test_the_proposed_commands_run_on_a_checkout(tmp_path: Path, layout: str) -> None:
    """Each command, on a copy without ignored files; then the tests again with the source broken."""
    # Not under iniconfig's own name: pytest itself imports that, and would die of these few lines.
    files = {
        name.replace("iniconfig", "counted"): text.replace("iniconfig", "counted") for name, text in INICONFIG.items()
    }
    if layout == "flat":
        files = {name.removeprefix("src/"): text.replace("src/", "") for name, text in files.items()}
        files["pyproject.toml"] = files["pyproject.toml"].replace('"" = "src"', "")
    checkout = write(tmp_path / "checkout", files)
    commands = detect(checkout).commands
    assert "setup" not in commands
    for generated in checkout.rglob("_version.py"):
        generated.unlink()
    for name, command in commands.items():
        assert run(checkout, command, tmp_path / name) == 0, name
    assert b'tests="1"' in (tmp_path / "test").read_bytes()
    assert json.loads((tmp_path / "coverage").read_bytes())["totals"]["percent_covered"] == 100
    assert json.loads((tmp_path / "lint").read_bytes()) == []
    next(checkout.rglob("counted/__init__.py")).write_text("def lines(text):\n    return []\n")
    assert run(checkout, commands["test"], tmp_path / "broken") != 0


def run(checkout: Path, command: Command, report: Path) -> int:
    for vector in command.vectors:
        words = [sys.executable if word == "python" else word.replace("{report}", str(report)) for word in vector]
        environ = {"PATH": os.defpath, "HOME": str(checkout), **command.env}
        done = subprocess.run(words, cwd=checkout, env=environ, capture_output=True, check=False)
        if done.returncode:
            return done.returncode
    return 0


def test_compiler_as_linter_finds_what_it_warns_of(tmp_path: Path) -> None:
    files = {"a.py": "x = '\\d'\n", "test_a.py": ""}
    lint = detect(write(tmp_path, files), have({"pytest": "9", "coverage": "7"})).commands["lint"]
    assert (lint.argv[4], lint.report) == ("compileall", "lines")
    assert run(tmp_path, lint, tmp_path / "unused") != 0
    write(tmp_path, {"a.py": "x = 1\n"})
    shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
    assert run(tmp_path, lint, tmp_path / "unused") == 0
