"""Pins: a change that could make a run lie is found, and an ordinary change is not held up."""

from __future__ import annotations

import sys

import pytest

from autopilot.evidence.pins import Runs, pinned_changes
from autopilot.evidence.plugins import MAX_BYTES
from autopilot.kernel.configuration import Command
from autopilot.kernel.test_files import TEST_FOLDERS

PYTEST = Command(argv=("python", "-m", "pytest", "--junitxml={report}"), env={"PYTHONPATH": "src:{deps}"})
RUNS = Runs.of({"test": PYTEST})
TEST = b"def test_one():\n    assert 1\n"


def pinned(path: str, kind: str = "added", *, before: bytes | None = None, after: bytes | None = TEST, **more) -> str:
    """Why the one change is pinned, or ''."""
    found = pinned_changes([(path, kind)], lambda _: (before, after), **{"runs": RUNS, **more})
    assert [change.path for change in found] in ([], [path])
    return found[0].why if found else ""


# --- files pinned by name


@pytest.mark.parametrize("kind", ["modified", "deleted", "mode"])
@pytest.mark.parametrize(
    "path",
    [
        *("tests/test_a.py", "test_a.py", "src/shop/a_test.py", "tests/data/a.json", "src/x/tests/util.py", "a.snap"),
        *("testing/helpers.py", "pkg/test/helpers.py", "tests.py", "shop/tests.py"),
    ],
)
def test_tests_of_the_base_are_pinned(path, kind):
    assert pinned(path, kind, before=TEST) == "a test of the base"


@pytest.mark.parametrize(
    "path",
    ["tests/test_new.py", "tests/unit/json/test_load.py", "test/__init__.py", "tests/data/new.json", "a_test.py"],
)
def test_new_tests_are_free(path):
    assert pinned(path) == ""


@pytest.mark.parametrize("kind", ["modified", "deleted", "mode"])
@pytest.mark.parametrize("path", ["src/shop/cart.py", "README.md", "src/json.py", "src/contest.py", "docs/tests.md"])
def test_ordinary_files_are_free(path, kind):
    assert pinned(path, kind, before=b"x", after=b"y") == ""


@pytest.mark.parametrize("kind", ["added", "modified", "deleted", "mode"])
@pytest.mark.parametrize(
    "path",
    [
        *("conftest.py", "tests/conftest.py", "src/shop/conftest.py", "pytest.ini", "a/.pytest.ini", "pytest.toml"),
        *("tox.ini", ".coveragerc", "noxfile.py", "ruff.toml", ".ruff.toml", ".flake8", ".pylintrc", "src/x.pth"),
        *("sitecustomize.py", "src/usercustomize.py", "src/__pycache__/cart.cpython-311.pyc"),
        *("shop.egg-info/entry_points.txt", ".github/workflows/ci.yml", ".gitlab-ci.yml", "Jenkinsfile"),
        *("autopilot.toml", ".pre-commit-config.yaml", ".coveragerc.toml", "coverage.toml", "pylintrc.toml"),
        *(".ignore", "src/.ignore", ".rgignore", ".ruffignore", ".pylintrc.toml", "src/ruff.toml"),
    ],
)
def test_what_steers_a_runner_is_pinned_new_or_old(path, kind):
    assert "steers a runner or CI" in pinned(path, kind, before=b"x", after=b"")


def test_further_patterns():
    assert pinned("fixtures/a.bin", "modified", extra=("fixtures/**",)) == "pinned by [pins]"
    assert pinned("fixtures/a.bin", extra=("fixtures/**",)) == "pinned by [pins]"
    assert pinned("other/a.bin", "modified", extra=("fixtures/**",)) == ""


def test_changes_are_told_in_order_and_once():
    changes = [("b/conftest.py", "added"), ("src/a.py", "modified"), ("a/conftest.py", "added")]
    found = pinned_changes(changes, lambda _: (None, b""), runs=RUNS)
    assert [change.path for change in found] == ["b/conftest.py", "a/conftest.py"]


# --- new modules that take a name


@pytest.mark.parametrize(
    ("path", "module"),
    [
        ("pytest.py", "pytest"),
        ("src/pytest.py", "pytest"),
        ("src/pytest/__init__.py", "pytest"),
        ("src/_pytest/__init__.pyd", "_pytest"),
        ("src/pytest.cpython-311-x86_64-linux-gnu.so", "pytest"),
        ("src/coverage.so", "coverage"),
        ("src/xml/__init__.py", "xml"),
        ("src/json.py", "json"),
        ("statistics.py", "statistics"),
        ("src/sitecustomize/__init__.py", "sitecustomize"),
        ("src/pluggy", "pluggy"),
        ("tests/random.py", "random"),
        ("tests/unit/json/__init__.py", "json"),
    ],
)
def test_a_new_module_with_a_taken_name_is_pinned(path, module):
    assert pinned(path) == f"takes the name of {module!r} on the import path"
    # Of what was there at the base, the change is as free as any other file's.
    if path.endswith(".py") and not path.startswith("tests/"):
        assert pinned(path, "modified", before=TEST) == ""


@pytest.mark.parametrize(
    "path",
    [
        *("src/shop/pytest.py", "src/shop/json/__init__.py", "src/pytest.txt", "docs/json.py", "lib/pytest.py"),
        *("src/pytest_extra.py", "src/json/schema.txt", "src/site/page.py", "srcs/pytest.py", "src/pytest.d/a.py"),
    ],
)
def test_names_elsewhere_are_free(path):
    assert pinned(path) == ""


@pytest.mark.parametrize(
    ("entry", "path"),
    [
        (".", "pytest.py"),
        ("{source}/lib", "lib/pytest.py"),
        ("{deps}:./lib/", "lib/coverage.py"),
        ("lib/../vendor", "vendor/json.py"),
        ("a:b/c", "b/c/pytest.py"),
    ],
)
@pytest.mark.parametrize("name", ["setup", "build", "test", "coverage", "lint", "ci", "smoke"])
def test_the_import_path_of_every_command_counts(name, entry, path):
    assert pinned(path, runs=Runs.of({name: Command(argv=("x",), env={"PYTHONPATH": entry})}))


def test_what_takes_the_place_of_an_import_root_is_pinned():
    runs = Runs.of({"test": Command(argv=("x",), env={"PYTHONPATH": "lib/python"})})
    for path in ("lib", "lib/python"):
        assert "takes the place of a folder" in pinned(path, runs=runs)
    assert pinned("li", runs=runs) == ""


@pytest.mark.parametrize("name", ["test", "coverage", "lint", "ci"])
def test_modules_and_plugins_that_a_command_names(name):
    runs = Runs.of({name: Command(argv=("python", "-m", "checks.main"), then=(("pytest", "-p", "extra.plug"),))})
    assert "'checks'" in pinned("checks/__init__.py", runs=runs)
    assert "'extra'" in pinned("extra.py", runs=runs)
    assert pinned("other.py", runs=runs) == ""


def test_the_product_may_be_new():
    runs = Runs.of({"smoke": Command(argv=("python", "-m", "shop")), "build": Command(argv=("python", "make.py"))})
    assert pinned("shop/__init__.py", runs=runs) == ""
    assert pinned("make.py", runs=runs) == ""


def test_the_whole_standard_library_counts():
    assert [name for name in sys.stdlib_module_names if not pinned(f"src/{name}.py")] == []
    # Python's own tests are no part of a run, and projects keep theirs under that name.
    assert pinned("src/test.py") == ""


# --- files that a command runs


@pytest.mark.parametrize("kind", ["added", "modified", "deleted", "mode"])
@pytest.mark.parametrize(
    ("argv", "path"),
    [
        (("./run-tests.sh", "--fast"), "run-tests.sh"),
        (("python", "scripts/check.py"), "scripts/check.py"),
        (("/usr/bin/bash", "{source}/scripts/ci.sh"), "scripts/ci.sh"),
        (("pytest", "-c", "conf/p.ini"), "conf/p.ini"),
        (("pylint", "--rcfile=conf/lint.cfg"), "conf/lint.cfg"),
        (("coverage", "run", "--rcfile", "conf/cov.cfg"), "conf/cov.cfg"),
        (("make", "test"), "Makefile"),
    ],
)
def test_a_file_that_a_command_runs_is_pinned(argv, path, kind):
    runs = Runs.of({"test": Command(argv=("true",), then=(argv,))})
    assert pinned(path, kind, before=b"x", after=b"y", runs=runs) == "a configured command runs it"


def test_what_a_command_looks_at_is_not_what_it_runs():
    runs = Runs.of({"lint": Command(argv=("python", "-m", "ruff", "check", "src/cart.py", "--out=src/x.py"))})
    assert pinned("src/cart.py", "modified", before=b"x", runs=runs) == ""
    assert pinned("src/x.py", "modified", before=b"x", runs=runs) == ""
    assert pinned("Makefile", "modified", before=b"x", runs=runs) == ""


# --- parts of pyproject.toml and setup.cfg

PYPROJECT = b'[project]\nname = "shop"\nversion = "1"\n\n[tool.pytest.ini_options]\naddopts = "-ra"\n'


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b"-ra", b"-k nothing"),
        lambda data: data.partition(b"[tool")[0],
        lambda data: None,
        lambda data: data + b"[tool.coverage.run]\nomit = ['src/*']\n",
        lambda data: data + b"[tool.ruff]\nexclude = ['src']\n",
        lambda data: data + b"[tool.tox]\nx = 1\n",
        lambda data: data + b"[build-system]\nbackend-path = ['.']\n",
        lambda data: data + b"[project.entry-points.pytest11]\nx = 'shop.x'\n",
        lambda data: data + b"[project.scripts]\npytest = 'shop:main'\n",
        lambda data: data + b"[tool.poetry.plugins.pytest11]\nx = 'shop.x'\n",
        lambda data: data + b"[tool.poetry.scripts]\npytest = 'shop:main'\n",
        lambda data: data + b"[tool.flit.entrypoints.pytest11]\nx = 'shop.x'\n",
        lambda data: data.replace(b"[tool.pytest.ini_options]", b"[tool.pytest]"),
        lambda data: data + b"x = 1\nx = 1\n",
        lambda data: data + b"\xff",
    ],
)
def test_the_steering_parts_of_pyproject(change):
    assert pinned("pyproject.toml", "modified", before=PYPROJECT, after=change(PYPROJECT))
    assert pinned("pyproject.toml", "modified", before=change(PYPROJECT), after=PYPROJECT)
    assert pinned("sub/pyproject.toml", "modified", before=PYPROJECT, after=change(PYPROJECT))


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data,
        lambda data: data.replace(b'"1"', b'"2"'),
        lambda data: b"# a comment\n" + data,
        lambda data: data + b"[tool.mypy]\nstrict = true\n",
        lambda data: data + b"[project.scripts]\nshop = 'shop:main'\n",
        lambda data: data + b"[build-system]\nrequires = ['hatchling']\n",
    ],
)
def test_the_rest_of_pyproject_is_free(change):
    assert pinned("pyproject.toml", "modified", before=PYPROJECT, after=change(PYPROJECT)) == ""


def test_a_new_file_is_held_against_an_empty_one():
    assert pinned("pyproject.toml", before=None, after=b'[project]\nname = "x"\n') == ""
    assert pinned("pyproject.toml", before=None, after=PYPROJECT)
    assert pinned("setup.cfg", before=None, after=b"[metadata]\nname = x\n") == ""
    assert pinned("setup.cfg", before=None, after=b"[tool:pytest]\naddopts = -x\n")
    assert pinned("tests/pyproject.toml", "modified", before=b"", after=b"[x]\n") == "a test of the base"


@pytest.mark.parametrize("data", [b"tool = 3\n", b"tool = 'pytest'\n", b"project = []\n", b"[tool]\npoetry = 1\n"])
def test_tables_that_are_none_do_not_crash(data):
    assert pinned("pyproject.toml", "modified", before=data, after=PYPROJECT)
    assert pinned("pyproject.toml", "modified", before=data, after=data) == ""


def test_kinds_of_value_are_kept_apart():
    one, true = (b"[tool.pytest]\nstrict = " + value + b"\n" for value in (b"1", b"true"))
    assert pinned("pyproject.toml", "modified", before=one, after=true)


SETUP = b"[metadata]\nname = shop\nversion = 1\n\n[tool:pytest]\naddopts = -ra\n"


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b"-ra", b"-k nothing"),
        lambda data: data.partition(b"[tool")[0],
        lambda data: data + b"[coverage:run]\nomit = src/*\n",
        lambda data: data + b"[flake8]\nexclude = src\n",
        lambda data: data + b"[options.entry_points]\npytest11 =\n  x = shop.x\n",
        lambda data: b"[DEFAULT]\naddopts2 = x\n" + data,
        # Not to be read whole, so it counts whole.
        lambda data: data + b"[tool:pytest]\naddopts = -x\n",
        lambda data: b"x = 1\n" + data,
        lambda data: data + b"\xff",
    ],
)
def test_the_steering_parts_of_setup_cfg(change):
    assert pinned("setup.cfg", "modified", before=SETUP, after=change(SETUP))
    assert pinned("setup.cfg", "modified", before=change(SETUP), after=SETUP)


@pytest.mark.parametrize(
    "hidden", [b"description = x\x0c[tool:pytest]\x0caddopts = -k x\n", b"[tool:pytest] # ]\na = b\n"]
)
def test_a_section_that_only_pytest_would_see_is_seen(hidden):
    before = b"[metadata]\nname = shop\n"
    assert pinned("setup.cfg", "modified", before=before, after=before + hidden)


def test_the_rest_of_setup_cfg_is_free():
    assert pinned("setup.cfg", "modified", before=SETUP, after=SETUP.replace(b"version = 1", b"version = 2")) == ""
    assert pinned("setup.cfg", "modified", before=SETUP, after=b"# note\n" + SETUP + b"[mypy]\nstrict = 1\n") == ""


# --- new test files that are plugins


@pytest.mark.parametrize(
    "code",
    [
        "pytest_plugins = ['helper']",
        "pytest_plugins: list[str] = ['helper']",
        "if True:\n    pytest_plugins = 'helper'",
        "a, (pytest_plugins, b) = x",
        "(pytest_plugins := 'helper')",
        "for pytest_plugins in ['helper']: pass",
        "def f():\n    global pytest_plugins\n    pytest_plugins = 'helper'\nf()",
        "globals()['pytest_plugins'] = 'helper'",
        "setattr(m, 'pytest_plugins', 'helper')",
        "globals().update(pytest_plugins='helper')",
        "m.pytest_plugins = 'helper'",
        "from helper import pytest_plugins",
        "from helper import names as pytest_plugins",
        "from helper import *",
        "match 1:\n    case pytest_plugins: pass",
        "collect_ignore = ['test_a.py']",
        "collect_ignore_glob = ['*']",
        "def pytest_runtest_makereport(item, call): ...",
        "async def pytest_collection_modifyitems(items): ...",
        "try:\n    def pytest_configure(config): ...\nexcept E: pass",
        "pytest_configure = lambda config: None",
        "class pytest_configure: ...",
        "from helper import pytest_configure",
        "def __getattr__(name): return ['helper']",
        "def test_a(request): request.config.pluginmanager.register(P())",
        "import _pytest.runner",
        "import _pytest.runner as r",
        "from _pytest import runner",
        "from pluggy import HookimplMarker",
    ],
)
def test_a_new_test_file_that_is_a_plugin_is_pinned(code):
    assert pinned("tests/test_new.py", after=TEST) == ""
    assert "a test file that" in pinned("tests/test_new.py", after=TEST + code.encode())
    assert "a test file that" in pinned("tests/helper.py", after=code.encode())


@pytest.mark.parametrize(
    "code",
    [
        "import pytest\npytestmark = pytest.mark.slow",
        "import pytest_asyncio",
        "from pytest_mock import MockerFixture",
        "class TestX:\n    def __getattr__(self, name): ...",
        "def test_a():\n    pytest_arguments = 1",
        '"""About pytest_plugins and pluggy."""',
        "x = '\\d'",
    ],
)
def test_ordinary_tests_are_free(code):
    assert pinned("tests/test_new.py", after=code.encode()) == ""


@pytest.mark.parametrize(
    "data",
    [
        b"def test_(:\n",
        b"\x00",
        b"# coding: nonesuch\n",
        b"\xff",
        b"(" * 100_000,
        b"-" * 100_000 + b"1",
        b"#" * (MAX_BYTES + 1),
        None,
    ],
    ids=["syntax", "nul", "coding", "bytes", "brackets", "depth", "size", "none"],
)
def test_a_new_test_file_that_cannot_be_parsed_is_pinned(data):
    assert "cannot be" in pinned("tests/test_new.py", after=data)


def test_only_python_is_parsed():
    assert pinned("tests/data/broken.json", after=b"{") == ""
    assert pinned("src/shop/template.txt", after=b"def (") == ""
    assert pinned("src/shop/broken.py", after=b"def (") == "Python that cannot be parsed"
    # What nobody could read at the base is not made worse.
    assert pinned("src/shop/broken.py", "modified", before=b"def [", after=b"def (") == ""


# --- product code that reaches for the runner

REACHING = [
    "import os\nos._exit(0)",
    "from os import _exit",
    "import os\ngetattr(os, '_ex' + 'it')(0)",
    "import os\nos.execv('/bin/true', ['true'])",
    "import sys\nsys.orig_argv",
    "x = '--junitxml='",
    "open('/proc/self/cmdline')",
    "import os\nos.environ.get('PYTEST_CURRENT_TEST')",
    "x.runtest = None",
    "x.pluginmanager",
]
TEST_SIDE = [
    "import pytest",
    "from _pytest import runner",
    "import coverage.control",
    "import sys\nsys.modules['pytest']",
    "def pytest_configure(config): ...",
    "pytest_plugins = ['x']",
]


@pytest.mark.parametrize("code", TEST_SIDE)
def test_a_module_on_the_runners_side_waits_whatever_changes_in_it(code):
    for kind, before, after in (("added", "", code), ("modified", "x = 1", code), ("modified", code, code + "\nx = 1")):
        found = pinned("src/shop/plug.py", kind, before=before.encode(), after=after.encode())
        assert found == "code of the test runner's side: it is a plugin, or imports the runner"


@pytest.mark.parametrize("code", REACHING)
def test_product_code_that_reaches_for_the_runner_waits(code):
    assert "reaches for the test runner" in pinned("src/shop/cart.py", after=code.encode())
    assert "reaches for the test runner" in pinned(
        "src/shop/cart.py", "modified", before=b"x = 1\n", after=code.encode()
    )
    # It was there before: the change is of something else.
    assert pinned("src/shop/cart.py", "modified", before=code.encode(), after=b"y = 2\n" + code.encode()) == ""
    assert pinned("src/shop/cart.py", "deleted", before=code.encode(), after=None) == ""


@pytest.mark.parametrize("code", [*REACHING[:8], "x.runtest = None"])
def test_so_does_a_new_test_file(code):
    assert "a test file that" in pinned("tests/test_new.py", after=code.encode())


@pytest.mark.parametrize(
    "code",
    [
        "import sys\nsys.exit(main(sys.argv))",
        "coverage = report['coverage']",
        "from shop.pytest_tools import x",
        "import subprocess\nsubprocess.run(['pytest-like'])",
        "def __getattr__(name): ...",
        "from x import *",
        "class A:\n    def pytest_like(self): ...",
    ],
)
def test_ordinary_product_code_is_free(code):
    assert pinned("src/shop/cart.py", after=code.encode()) == ""


@pytest.mark.parametrize("kind", ["added", "modified"])
def test_a_compiled_module_waits(kind):
    assert "compiled" in pinned("src/shop/fast.cpython-311-x86_64-linux-gnu.so", kind, before=b"x", after=b"y")


@pytest.mark.parametrize(
    "code",
    [
        "globals()['pytest' + '_plugins'] = ['shop.evil']",
        "globals()[name] = ['shop.evil']",
        "vars()[name] = 1",
        "import sys\nsetattr(sys.modules[__name__], name, 1)",
        "exec(text)",
    ],
)
def test_a_new_test_file_that_writes_its_own_names_is_pinned(code):
    assert "a test file that" in pinned("tests/test_new.py", after=code.encode())


# --- what is installed for the tests

INSTALLED = ["requirements.txt", "requirements/dev.txt", "dev-requirements.txt", "uv.lock", "setup.py", "tools/x.whl"]


@pytest.mark.parametrize("path", INSTALLED)
@pytest.mark.parametrize("kind", ["added", "modified", "deleted"])
def test_what_setup_installs_is_pinned_where_there_is_a_setup(path, kind):
    runs = Runs.of(
        {"test": PYTEST, "setup": Command(argv=("python", "-m", "pip", "install", "-r", "requirements.txt"))}
    )
    assert pinned(path, kind, before=TEST, after=TEST, runs=runs) == "decides what is installed for the tests"
    assert pinned(path, kind, before=TEST, after=TEST) == ""
    building = Runs.of({"test": PYTEST, "build": Command(argv=("python", "-m", "pip", "install", "."))})
    assert pinned(path, kind, before=TEST, after=TEST, runs=building)


def test_dependencies_in_metadata_are_pinned_where_there_is_a_setup():
    runs = Runs.of({"setup": Command(argv=("pip", "install", "."))})
    before, after = b'[project]\nname = "x"\n', b'[project]\nname = "x"\ndependencies = ["evil"]\n'
    assert "installed" in pinned("pyproject.toml", "modified", before=before, after=after, runs=runs)
    assert pinned("pyproject.toml", "modified", before=before, after=after) == ""
    assert pinned("pyproject.toml", "modified", before=before, after=before + b"version = '2'\n", runs=runs) == ""
    old, new = b"[metadata]\nname = x\n", b"[metadata]\nname = x\n[options]\ninstall_requires = evil\n"
    assert "installed" in pinned("setup.cfg", "modified", before=old, after=new, runs=runs)


@pytest.mark.parametrize("env", [{"PYTEST_ADDOPTS": "-q -p extra.plug"}, {"PYTEST_PLUGINS": "a,extra.plug"}])
def test_a_plugin_that_the_environment_names(env):
    runs = Runs.of({"test": Command(argv=("pytest",), env=env)})
    assert "'extra'" in pinned("extra.py", runs=runs)


def test_onboarding_and_pins_mean_the_same_folders():
    for folder in TEST_FOLDERS:
        assert pinned(f"{folder}/data.txt", "modified", before=b"x") == "a test of the base"
