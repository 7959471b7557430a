"""The documents are true: what they show is run, what they name exists. `documents.py` says how a page is read."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest
from documents import ROOT, Fence, Shell, fences, steps, unshown

from autopilot.cli.demo.cheats import CHEATS
from autopilot.cli.main import COMMANDS, main
from autopilot.kernel.errors import ContractError
from autopilot.kernel.reason_codes import REASON_CODES
from autopilot.kernel.settings import parse_settings
from autopilot.process.graph import mermaid
from autopilot.process.profiles import CODE_CHANGE, SMALL_CHANGE
from autopilot.testing.postgres import OWNER, PostgresServer, find_binaries

RUN = [ROOT / "README.md", *sorted((ROOT / "docs" / "how-to").glob("*.md"))]
PAGES = sorted(p for p in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")) if "examples" not in p.parts)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def name_of(page: Path) -> str:
    """How a page is called in the test's id."""
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_what_the_page_shows_runs_and_answers_as_shown(
    page: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    shell = Shell(tmp_path)
    if page.name == "postgresql.md":
        give_server(shell, request.getfixturevalue("postgres"))
    for fence in fences(page.read_text()):
        where = f"{name_of(page)}:{fence.line}"
        if fence.kind == "file":
            target = shell.folder / fence.value
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(fence.text)
        elif fence.kind != "not run" and fence.language in _RUNNERS:
            _RUNNERS[fence.language](fence, shell, where)


def give_server(shell: Shell, server: PostgresServer) -> None:
    """The reader of the page is his server's administrator, at its machine."""
    for environ in shell.environs.values():
        environ |= {"PGHOST": str(server.folder), "PGUSER": OWNER, "PATH": f"{environ['PATH']}:{find_binaries()}"}


def run_console(fence: Fence, shell: Shell, where: str) -> None:
    for step in steps(fence):
        first = shlex.split(step.command)[0]
        if first in ("make", "pip"):
            check_installer(step.command)
            continue
        code, output = shell.run(step.command, terminal=fence.kind == "at a terminal")
        said = f"{where}: $ {step.command}\n{output}"
        assert code == step.code, f"exit {code}, the page says {step.code}\n{said}"
        assert not unshown(step.shown, output), f"not in the output: {unshown(step.shown, output)!r}\n{said}"


def check_installer(command: str) -> None:
    """`make TARGET` and `pip install NAME` name what there is; they are not run here, each has a test of its own."""
    words = shlex.split(command)
    if words[0] == "make":
        assert re.search(rf"(?m)^{re.escape(words[1])}:", (ROOT / "Makefile").read_text()), command
        return
    name, _, extra = words[-1].rstrip("]").partition("[")
    assert words[1] == "install", command
    assert name == PROJECT["name"], command
    assert not extra or extra in PROJECT["optional-dependencies"], command


def run_python(fence: Fence, shell: Shell, where: str) -> None:
    words = [sys.executable, "-c", fence.text]
    done = subprocess.run(
        words, cwd=shell.folder, env=shell.environs[False], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, f"{where}\n{done.stdout}{done.stderr}"


def read_toml(fence: Fence, shell: Shell, where: str) -> None:
    del shell
    parse_settings(fence.text.encode(), {}, name=where)


def read_json(fence: Fence, shell: Shell, where: str) -> None:
    del shell, where
    json.loads(fence.text)


_RUNNERS = {"console": run_console, "python": run_python, "toml": read_toml, "json": read_json}


def test_commands_are_shown_only_in_fences_that_are_run() -> None:
    # A `bash` fence would be read by people and checked by nobody.
    for page in RUN:
        for fence in fences(page.read_text()):
            known = fence.kind or fence.language in (*_RUNNERS, "text", "markdown", "mermaid")
            assert known, f"{name_of(page)}:{fence.line}: a {fence.language!r} fence"


# --- names


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", without_fences(page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{name_of(page)}: {target}"
        assert file.is_relative_to(ROOT), f"{name_of(page)}: {target}"
        assert not anchor or anchor in anchors(file), f"{name_of(page)}: no heading for {target}"


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as code forges make them."""
    headings = re.findall(r"(?m)^#+ +(.+)$", without_fences(page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def without_fences(text: str) -> str:
    """The text with its fences taken out."""
    for fence in fences(text):
        text = text.replace(fence.text, "", 1)
    return text


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_and_options_named_in_the_text_exist(page: Path) -> None:
    for span in re.findall(r"`(autopilot [^`]+)`", without_fences(page.read_text())):
        assert not (problem := unknown_in(span)), f"{name_of(page)}: `{span}`: {problem}"


def test_commands_named_in_remedies_exist() -> None:
    for code, known in REASON_CODES.items():
        for span in re.findall(r"`(autopilot [^`]+)`", known.remedy):
            assert not (problem := unknown_in(span)), f"{code}: `{span}`: {problem}"


def unknown_in(span: str) -> str:
    """The word of a shown command line that does not exist; empty if all do."""
    words = span.split()[1:]
    if words[0] in ("--help", "--version", "COMMAND"):
        return ""
    if words[0] not in COMMANDS:
        return words[0]
    command, text = (words[0],), help_of(words[0])
    verbs = set(re.findall(r"(?m)^    ([a-z]+)  ", text)) if "VERB" in text else set()
    for word in words[1:]:
        if verbs and len(command) == 1 and not word.startswith("-"):
            # `task open|list` names two verbs at once.
            if not set(word.split("|")) <= verbs:
                return word
            command = (words[0], word.split("|")[0])
            text = help_of(*command)
        elif word.startswith("--") and not re.search(rf"{re.escape(word.split('=')[0])}(?![\w-])", text):
            return word
    return ""


@cache
def help_of(*words: str) -> str:
    """What `autopilot WORDS --help` prints."""
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        assert main([*words, "--help"]) == 0, words
    return shown.getvalue()


def test_the_search_for_unknown_words_finds_them() -> None:
    assert unknown_in("autopilot advance T-1 --dry-run") == ""
    assert unknown_in("autopilot task open|list") == ""
    assert unknown_in("autopilot fly") == "fly"
    assert unknown_in("autopilot task fly") == "fly"
    assert unknown_in("autopilot advance T-1 --dry") == "--dry"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_of_the_project_named_in_the_text_exist(page: Path) -> None:
    for span in re.findall(r"`((?:autopilot|docs|tests|scripts)/[\w./*-]+)`", without_fences(page.read_text())):
        # `**` is a pattern that a file map may hold, no file of ours.
        assert "**" in span or list(ROOT.glob(span.rstrip("/"))), f"{name_of(page)}: {span}"


def test_the_search_for_lines_that_are_not_shown_finds_them() -> None:
    assert unshown(("a…c", "e"), "abc\nd\ne\n") == ""
    assert unshown(("e", "a…c"), "abc\nd\ne\n") == "a…c"
    with pytest.raises(ContractError):
        read_toml(Fence("toml", "[commands.tset]\n", 1), Shell.__new__(Shell), "here")


# --- what the pages say of the code


def test_the_drawn_graph_is_the_one_that_runs() -> None:
    drawn = [f.text for f in fences((ROOT / "docs" / "architecture.md").read_text()) if f.language == "mermaid"]
    assert mermaid() in drawn


def test_the_map_has_every_package_in_its_layer() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    shown = next(f.text for f in fences(text) if f.text.lstrip().startswith("cli"))
    rows = [re.split(r"\s{2,}", row.strip())[0].split(" | ") for row in shown.rstrip("\n").split("\n")]
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    assert rows == [row.split(" | ") for row in layers]
    packages = {p.name for p in (ROOT / "autopilot").iterdir() if (p / "__init__.py").exists()}
    assert {name for row in rows for name in row} >= packages
    for package in packages:
        assert f"| `{package}` |" in text, f"docs/architecture.md has no row for {package}"


def test_decisions_are_numbered_without_a_gap_and_listed() -> None:
    folder = ROOT / "docs" / "adr"
    records = sorted(p.name for p in folder.glob("*.md") if p.name != "README.md")
    assert [name[:4] for name in records] == [f"{number:04d}" for number in range(1, len(records) + 1)]
    index = (folder / "README.md").read_text()
    assert [name for name in records if f"({name})" not in index] == []
    for name in records:
        assert (folder / name).read_text().startswith(f"# {int(name[:4])}. "), name


def test_every_page_of_the_reference_is_in_its_index() -> None:
    folder = ROOT / "docs" / "reference"
    index = (folder / "README.md").read_text()
    assert [p.name for p in folder.glob("*.md") if p.name != "README.md" and f"({p.name})" not in index] == []


def test_the_help_and_a_current_status_import_nothing_of_the_engine(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.run("autopilot init")
    code = (
        "import sys; from autopilot.cli.main import main; main(sys.argv[1:]);"
        "heavy = ('autopilot.process', 'autopilot.wiring', 'pydantic', 'argparse');"
        "print([name for name in sys.modules if name.startswith(heavy)])"
    )
    for words in ("--help", "status"):
        exit_code, output = shell.run(f"python -c {shlex.quote(code)} {words}")
        assert (exit_code, output.splitlines()[-1]) == (0, "[]"), output


def test_the_readme_counts_the_cheats_of_the_demo() -> None:
    assert f"tries {len(CHEATS)} things" in (ROOT / "README.md").read_text()


def test_the_figures_of_the_light_profile_are_those_of_the_profile() -> None:
    figures = f"{SMALL_CHANGE.max_changed_files} files and {SMALL_CHANGE.max_changed_lines} lines"
    optional = sum(missing for _, missing in SMALL_CHANGE.commands()) - sum(
        missing for _, missing in CODE_CHANGE.commands()
    )
    assert optional == 5
    for page in (ROOT / "docs" / "architecture.md", ROOT / "docs" / "how-to" / "govern-your-repository.md"):
        assert figures in page.read_text().replace("\n", " "), name_of(page)
