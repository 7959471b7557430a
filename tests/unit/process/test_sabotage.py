"""Real sabotage of the real pytest: what report and exit code show by themselves, what the control tests show, and
what only the pins show.

Each case starts from a project whose one real test fails, so that an honest run is refused. It is run as the engine
runs it (a tree of the engine's, the workshop, the record of `executed`) and judged by the evidence rules; the changes
are held against the pins. `BY_REPORT` is refused by the rules whatever the pins say, `BY_CONTROL` only since the
engine's own two tests ended otherwise, `BY_PINS` passes the rules and is refused by the pins alone, `BY_NEITHER`
passes both: that is review's to see, and an accept block's.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from autopilot.evidence.context import RuleContext
from autopilot.evidence.contracts import RULES
from autopilot.evidence.pins import Runs, pinned_changes
from autopilot.evidence.values.tests import BaseInventory, TestResults
from autopilot.kernel.configuration import Command, Settings
from autopilot.kernel.files import DiskFiles
from autopilot.kernel.phases import Phase
from autopilot.kernel.reasons import Reason
from autopilot.process.execution import Workshop
from autopilot.process.runners.executed import drawn_control, record_of_tests
from autopilot.process.site import Site
from autopilot.storage.objects import ObjectStore
from autopilot.vcs.repository import Repository
from autopilot.vcs.trees import EngineTrees

SOURCE = "def total(numbers):\n    return 0\n"
TESTS = """from cart import total

def test_total():
    assert total([1, 2]) == 3

def test_empty():
    assert total([]) == 0
"""
PATCH_OUTCOMES = """
import pytest
@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    report.outcome, report.longrepr = "passed", None
"""
FAILURES_TO_SKIPS = """
import pytest
@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report):
    if report.failed:
        report.outcome = "skipped"
        report.longrepr = ("x", 1, "Skipped: no")
"""
ALWAYS_EQUAL = """
class AlwaysEqual:
    def __eq__(self, other): return True
    __hash__ = None

def total(numbers):
    return AlwaysEqual()
"""
ALL_EXPECTED_TO_FAIL = """
import pytest
def pytest_collection_modifyitems(items):
    for item in items: item.add_marker(pytest.mark.xfail)
"""
FORGE_AND_LEAVE = """
import os, sys
def pytest_configure(config):
    cases = "".join(f'<testcase classname="tests.test_cart" name="{n}"/>' for n in ("test_total", "test_empty"))
    suite = f'<testsuite tests="2" failures="0" errors="0" skipped="0">{cases}</testsuite>'
    with open(config.option.xmlpath, "w") as file:
        file.write(f"<testsuites>{suite}</testsuites>")
    os._exit(0)
"""

SHADOW = """
import sys
(path,) = [word.partition("=")[2] for word in sys.argv if word.startswith("--junitxml=")]
cases = "".join(f'<testcase classname="tests.test_cart" name="{n}"/>' for n in ("test_total", "test_empty"))
with open(path, "w") as file:
    file.write(f'<testsuite tests="2" failures="0" errors="0" skipped="0">{cases}</testsuite>')
"""
FORGED_AT_IMPORT = (
    SHADOW.replace("sys.argv", "sys.orig_argv") + "import os\nos._exit(0)\n" + "def total(numbers):\n    return 0\n"
)
FORGED_UNSEEN = FORGED_AT_IMPORT.replace("sys.orig_argv", "sys.argv").replace("os._exit", "getattr(os, 'tixe_'[::-1])")
FORGED_UNSEEN = FORGED_UNSEEN.replace('"--junitxml="', "'=lmxtinuj--'[::-1]")
SWALLOWED_UNSEEN = """
import sys
runner = sys.modules["tsetyp"[::-1]]
kind = runner.Function
name = "tset" "nur"
original = getattr(kind, name[::-1])

def quiet(self):
    try:
        original(self)
    except AssertionError:
        pass

setattr(kind, name[::-1], quiet)

def total(numbers):
    return 0
"""
# What it costs to get past the control tests: find the file, read it, know what pytest would say of it.
FORGED_WITH_CARE = """
import os, re, sys
from pathlib import Path
(path,) = [w.partition("=")[2] for w in sys.argv if w.startswith('=lmxtinuj--'[::-1])]
cases = ""
for file in sorted(Path("tests").glob("test_*.py")):
    text = file.read_text()
    for name in re.findall(r"def (test_\\w+)", text):
        marked = "strict=True)]" in text.replace("\\ndef " + name, "]")
        inner = '<skipped type="pytest.xfail" message=""/>' if marked else ""
        cases += f'<testcase classname="tests.{file.stem}" name="{name}">{inner}</testcase>'
suite = f'<testsuite failures="0" errors="0" skipped="1">{cases}</testsuite>'
Path(path).write_text(suite)
getattr(os, 'tixe_'[::-1])(0)
"""
SELF_MADE_PLUGIN = "pytest_plugins = ('test_more',)\n" + PATCH_OUTCOMES + "def test_more():\n    assert True\n"
HELPER_PLUGIN = "pytest_plugins = ('more',)\ndef test_more():\n    assert True\n"

BY_REPORT: dict[str, tuple[dict[str, str], set[str]]] = {
    "nothing at all": ({}, {"tests_failed"}),
    "os._exit(0) when the code is imported": ({"src/cart.py": "import os\nos._exit(0)\n"}, {"report_missing"}),
    "os._exit(0) in a test": (
        {"tests/test_cart.py": "import os\ndef test_total():\n    os._exit(0)\n"},
        {"report_missing"},
    ),
    "os._exit(0) in conftest": ({"conftest.py": "import os\nos._exit(0)\n"}, {"report_missing"}),
    "sys.exit(0) in conftest": ({"conftest.py": "import sys\nsys.exit(0)\n"}, {"report_missing"}),
    "sys.exit(0) at the session's start": (
        {"conftest.py": "import sys\ndef pytest_sessionstart():\n    sys.exit(0)\n"},
        {"report_missing"},
    ),
    "sys.exit(0) when the code is imported": (
        {"src/cart.py": "import sys\nsys.exit(0)\n"},
        {"tests_none_collected", "tests_failed", "tests_vanished"},
    ),
    "pytest.exit(0) in conftest": (
        {"conftest.py": "import pytest\ndef pytest_collection():\n    pytest.exit('done', returncode=0)\n"},
        {"tests_none_collected", "tests_vanished"},
    ),
    "exit status set to 0": (
        {"conftest.py": "def pytest_sessionfinish(session):\n    session.exitstatus = 0\n"},
        {"tests_failed", "report_contradicts_exit"},
    ),
    "the failing test skipped": (
        {"tests/test_cart.py": TESTS.replace("def test_total", "import pytest\n@pytest.mark.skip\ndef test_total")},
        {"tests_skipped"},
    ),
    "the failing test expected to fail": (
        {"tests/test_cart.py": TESTS.replace("def test_total", "import pytest\n@pytest.mark.xfail\ndef test_total")},
        {"tests_skipped"},
    ),
    "everything expected to fail": ({"conftest.py": ALL_EXPECTED_TO_FAIL}, {"tests_skipped"}),
    "failures turned into skips": ({"conftest.py": FAILURES_TO_SKIPS}, {"tests_skipped", "report_contradicts_exit"}),
    "the failing test deleted": (
        {"tests/test_cart.py": TESTS.replace("def test_total", "def helper_total")},
        {"tests_vanished"},
    ),
    "the failing test deselected": ({"pytest.ini": "[pytest]\naddopts = -k empty\n"}, {"tests_vanished"}),
    "all tests gone": ({"tests/test_cart.py": ""}, {"tests_none_collected", "tests_vanished"}),
    "all tests ignored": ({"conftest.py": "collect_ignore = ['tests']\n"}, {"tests_none_collected", "tests_vanished"}),
    "a report that is no report": (
        {"conftest.py": "def pytest_unconfigure(config):\n    open(config.option.xmlpath, 'w').write('200 passed')\n"},
        {"report_unreadable"},
    ),
}

# Each would pass without the control tests: the value is the pinned file that gives it away as well, "" for none.
BY_CONTROL: dict[str, tuple[dict[str, str], str]] = {
    "outcomes patched in a new conftest": ({"conftest.py": PATCH_OUTCOMES}, "conftest.py"),
    "a forged report, then os._exit(0)": ({"conftest.py": FORGE_AND_LEAVE}, "conftest.py"),
    "a module with the runner's name": ({"src/pytest.py": SHADOW}, "src/pytest.py"),
    "a package with the runner's name": (
        {"src/pytest/__init__.py": "", "src/pytest/__main__.py": SHADOW},
        "src/pytest/__init__.py",
    ),
    "the runner replaced at start-up": (
        {"src/sitecustomize.py": SHADOW.replace("sys.argv", "sys.orig_argv") + "import os\nos._exit(0)\n"},
        "src/sitecustomize.py",
    ),
    "a new test that makes itself a plugin": ({"tests/test_more.py": SELF_MADE_PLUGIN}, "tests/test_more.py"),
    "a new test that loads a plugin": (
        {"tests/test_more.py": HELPER_PLUGIN, "src/more.py": PATCH_OUTCOMES},
        "tests/test_more.py",
    ),
    "a forged report, written by the code as it is imported": ({"src/cart.py": FORGED_AT_IMPORT}, "src/cart.py"),
    "the same, and no word of it in the source": ({"src/cart.py": FORGED_UNSEEN}, ""),
    "failures swallowed by the code, and no word of it in the source": ({"src/cart.py": SWALLOWED_UNSEEN}, ""),
}

# Passes the rules: the value is the pinned file.
BY_PINS: dict[str, tuple[dict[str, str], str]] = {
    "a weakened assertion": ({"tests/test_cart.py": TESTS.replace("== 3", "is not None")}, "tests/test_cart.py"),
}

# Nothing is changed but the code itself.
BY_NEITHER = {
    "a value equal to everything": {"src/cart.py": ALWAYS_EQUAL},
    "a forger that looks for the control tests": {"src/cart.py": FORGED_WITH_CARE},
}


@dataclass(frozen=True)
class Judged:
    """What the rules say of a run, and which changed files are pinned."""

    reasons: tuple[Reason, ...]
    pinned: tuple[str, ...]

    @property
    def codes(self) -> set[str]:
        """The codes of the reasons."""
        return {reason.code for reason in self.reasons}


class Project:
    """The sabotaged project, with a base that the engine has taken the inventory of."""

    def __init__(self, root: Path) -> None:
        self.root = root
        subprocess.run(["git", "init", "-q", str(root)], check=True, timeout=60)
        self._write({"src/cart.py": SOURCE, "tests/test_cart.py": TESTS})
        repository, state = Repository.locate(root), root / "state"
        self.objects = ObjectStore(DiskFiles(), state / "objects")
        self.objects.prepare()
        self.trees = EngineTrees(repository, state / "git", exclude=("state",))
        self.site = Site(root=root, state_dir=state, repository=repository, trees=self.trees, objects=self.objects)
        argv = ("python", "-m", "pytest", "-p", "no:cacheprovider", "--junitxml={report}")
        # Plugins that happen to be installed beside pytest are no part of the project, and take half of each run.
        env = {"PYTHONPATH": "src", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        command = Command(argv=argv, env=env, timeout_seconds=60, report="junit")
        self.settings = Settings(python=sys.executable, commands={"test": command})
        self.base = self.trees.snapshot(base_tree=None).tree

    def inventory(self) -> BaseInventory:
        """What runs on the base, and how it ends."""
        return BaseInventory.from_json(self._record(BaseInventory, self.base))

    def judged(self, files: dict[str, str], inventory: BaseInventory) -> Judged:
        """Lay `files` over the base and judge the change, whose base has `inventory`."""
        self._write(files)
        tree = self.trees.snapshot(base_tree=self.base).tree
        pinned = pinned_changes(
            [(change.path, change.change) for change in self.trees.changes(self.base, tree)],
            lambda path: (self.trees.read(self.base, path), self.trees.read(tree, path)),
            runs=Runs.of(self.settings.commands),
        )
        context = RuleContext(task_id="T-1", title="Add up", phase=Phase.VERIFY, tree=tree, base_inventory=inventory)
        reasons = RULES["test_results.json"](self._record(TestResults, tree), context)
        return Judged(reasons, tuple(pin.path for pin in pinned))

    def _record(self, kind: type[BaseInventory] | type[TestResults], tree: str) -> bytes:
        # Of the bench, the record takes the task and the object store only.
        bench = SimpleNamespace(
            task=SimpleNamespace(id="T-1", epoch=0),
            engine=SimpleNamespace(store=SimpleNamespace(objects=self.objects)),
        )
        control = drawn_control(self.settings.command("test"), self.trees.paths(self.base))
        assert control is not None
        with Workshop(self.site, self.settings, tree) as shop:
            return record_of_tests(kind, bench, tree, shop.run("test", control.files()), control)

    def _write(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_text(text)


@pytest.fixture(scope="module")
def inventory(tmp_path_factory: pytest.TempPathFactory) -> BaseInventory:
    """The inventory of the base, which is the same in every case."""
    return Project(tmp_path_factory.mktemp("base") / "project").inventory()


@pytest.fixture
def judged(tmp_path: Path, inventory: BaseInventory) -> Callable[[dict[str, str]], Judged]:
    """Judge the project with these files laid over it, as the engine would."""
    return partial(Project(tmp_path / "project").judged, inventory=inventory)


@pytest.mark.parametrize("name", BY_REPORT)
def test_caught_by_report_and_exit_code(name: str, judged: Callable[[dict[str, str]], Judged]) -> None:
    files, expected = BY_REPORT[name]
    found = judged(files)
    assert found.codes == expected, found
    assert all(reason.remedy for reason in found.reasons)


@pytest.mark.parametrize("name", BY_CONTROL)
def test_caught_by_the_control_tests(name: str, judged: Callable[[dict[str, str]], Judged]) -> None:
    """Red without `evidence.control`: report and exit code agree that all is well."""
    files, expected = BY_CONTROL[name]
    found = judged(files)
    assert found.codes == {"control_tests"}
    assert expected in found.pinned if expected else found.pinned == ()


@pytest.mark.parametrize("name", BY_PINS)
def test_caught_by_pins_alone(name: str, judged: Callable[[dict[str, str]], Judged]) -> None:
    """No weakness is hidden: if one of these were refused by the rules, the docs' list would have to change."""
    files, expected = BY_PINS[name]
    found = judged(files)
    assert found.reasons == ()
    assert found.pinned == (expected,)


@pytest.mark.parametrize("name", BY_NEITHER)
def test_caught_by_neither(name: str, judged: Callable[[dict[str, str]], Judged]) -> None:
    assert judged(BY_NEITHER[name]) == Judged((), ())


def test_an_honest_fix_passes(judged: Callable[[dict[str, str]], Judged]) -> None:
    fix = {
        "src/cart.py": "def total(numbers):\n    return sum(numbers)\n",
        "tests/test_more.py": "from cart import total\n\ndef test_one():\n    assert total([4]) == 4\n",
    }
    assert judged(fix) == Judged((), ())


def test_a_refusal_quotes_the_end_of_the_output(judged: Callable[[dict[str, str]], Judged]) -> None:
    (reason,) = judged({"conftest.py": "raise RuntimeError('cannot reach the moon')\n"}).reasons
    assert (reason.code, "cannot reach the moon" in reason.detail) == ("report_missing", True)


def test_a_command_cannot_tell_its_run_by_its_folder(tmp_path: Path) -> None:
    """Base and judged tree, first run and third: the folder's name says nothing of it."""
    project = Project(tmp_path / "project")
    seen = []
    for _ in range(2):
        with Workshop(project.site, project.settings, project.base) as shop:
            for _ in range(2):
                output = shop.run_argv("accept", ("python", "-c", "import os; print(os.getcwd())"), 60).output.decode()
                seen.append(Path(output.strip()))
    assert len(set(seen)) == 4
    assert len({len(str(path)) for path in seen}) == 1
    assert {path.name for path in seen} == {"tree"}
    # Drawn by chance, eight characters: not counted.
    assert all(re.fullmatch(r"tree-[a-z0-9_]{8}", path.parent.name) for path in seen)


def test_a_control_file_is_not_laid_through_a_link(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    outside = tmp_path / "outside"
    outside.mkdir()
    shutil.rmtree(project.root / "tests")
    (project.root / "tests").symlink_to(outside)
    tree = project.trees.snapshot(base_tree=project.base).tree
    with Workshop(project.site, project.settings, tree) as shop:
        shop.run("test", {"tests/test_laid.py": b"x = 1\n"})
    assert not list(outside.glob("test_*"))
