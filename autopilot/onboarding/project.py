"""A Python project as its files describe it: where the source is, where the tests are, how tools are configured."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autopilot.kernel.test_files import TEST_FOLDERS
from autopilot.onboarding.dependencies import Dependencies, read_dependencies, setup_arguments
from autopilot.onboarding.files import RepositoryFiles
from autopilot.onboarding.requirements import normalised

_NO_PACKAGES = frozenset(
    {
        "benchmark", "benchmarks", "bin", "build", "changelog.d", "ci", "dist", "doc", "docs", "env", "etc", "example",
        "examples", "htmlcov", "licenses", "node_modules", "news", "notebooks", "requirements", "scripts", "state",
        "test", "testing", "tests", "tools", "utils", "venv",
    }
)  # fmt: skip
_NO_MODULES = frozenset({"conf.py", "conftest.py", "fabfile.py", "noxfile.py", "setup.py", "tasks.py", "versioneer.py"})
_MARKERS = ("pyproject.toml", "setup.py", "setup.cfg", "requirements.txt", "Pipfile", "tox.ini")
OTHER_LANGUAGES = {
    "package.json": "JavaScript",
    "Cargo.toml": "Rust",
    "go.mod": "Go",
    "pom.xml": "Java",
    "build.gradle": "Java",
    "build.gradle.kts": "Kotlin",
    "Gemfile": "Ruby",
    "composer.json": "PHP",
    "mix.exs": "Elixir",
    "CMakeLists.txt": "C or C++",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageSetup:
    """What the project's own coverage configuration says."""

    names_source: bool = False
    parallel: bool = False
    fail_under: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonProject:
    """Facts. Paths are relative to the repository; `source_root` is empty for a flat layout."""

    name: str
    source_root: str
    packages: tuple[str, ...]
    sources: tuple[str, ...]
    tests: tuple[str, ...]
    names_tests: bool
    pytest_options: str
    keeps_cache: bool
    linter: str
    coverage: CoverageSetup
    dependencies: Dependencies
    notes: tuple[str, ...] = ()


def read_project(files: RepositoryFiles) -> PythonProject | None:
    """The Python project at the repository's root, or None where there is no sign of one."""
    if not any(files.has(marker) for marker in _MARKERS) and not files.below("", ".py"):
        return None
    pyproject, setup_cfg = files.toml("pyproject.toml"), files.ini("setup.cfg")
    name = _name(files, pyproject, setup_cfg)
    root = _source_root(files, pyproject, setup_cfg)
    packages = _packages(files, root, name, pyproject)
    sources = (
        (root,)
        if root
        else tuple(item for item in packages if files.has(item))
        + tuple(f"{item}.py" for item in packages if files.has(f"{item}.py"))
    )
    options, test_paths, keeps_cache = _pytest(files, pyproject, setup_cfg)
    tests = tuple(path for path in test_paths if files.has(path)) or _tests(files, sources)
    return PythonProject(
        name=name,
        source_root=root,
        packages=packages,
        sources=sources,
        tests=tests,
        names_tests=bool(test_paths),
        pytest_options=options,
        keeps_cache=keeps_cache,
        linter=_linter(files, pyproject, setup_cfg),
        coverage=_coverage(files, pyproject, setup_cfg),
        dependencies=read_dependencies(files, name),
        notes=_notes(files),
    )


def table(content: Mapping[str, Any], *path: str) -> dict[str, Any]:
    """The table at `path`, empty where there is none."""
    current: Any = content
    for name in path:
        current = current.get(name) if isinstance(current, Mapping) else None
    return dict(current) if isinstance(current, Mapping) else {}


def below(folder: str, path: str) -> str:
    """`path` in `folder`, which is empty for the repository itself."""
    return f"{folder}/{path}" if folder else path


def _name(files: RepositoryFiles, pyproject: Mapping[str, Any], setup_cfg: Mapping[str, Mapping[str, str]]) -> str:
    for name in (
        table(pyproject, "project").get("name"),
        table(pyproject, "tool", "poetry").get("name"),
        setup_cfg.get("metadata", {}).get("name"),
        setup_arguments(files).get("name"),
    ):
        if isinstance(name, str) and name:
            return name
    return ""


def _source_root(
    files: RepositoryFiles, pyproject: Mapping[str, Any], setup_cfg: Mapping[str, Mapping[str, str]]
) -> str:
    """The folder that must be on the import path; empty for the repository itself."""
    stated = [table(pyproject, "tool", "setuptools", "package-dir").get("")]
    where = table(pyproject, "tool", "setuptools", "packages", "find").get("where")
    stated += where if isinstance(where, list) else []
    poetry = table(pyproject, "tool", "poetry").get("packages")
    stated += [item.get("from") for item in poetry if isinstance(item, dict)] if isinstance(poetry, list) else []
    found = re.search(r"^\s*=\s*(\S+)", setup_cfg.get("options", {}).get("package_dir", ""), re.MULTILINE)
    stated.append(found[1] if found else None)
    folders = setup_arguments(files).get("package_dir")
    stated.append(folders.get("") if isinstance(folders, dict) else None)
    for folder in (*stated, "src"):
        if isinstance(folder, str):
            folder = folder.strip("/").removeprefix("./")
            # `src` that is itself a package is an ordinary flat package of that name.
            own_package = files.has(f"{folder}/__init__.py")
            if folder in files.folders() and not own_package and files.below(folder, ".py"):
                return folder
    return ""


def _packages(files: RepositoryFiles, root: str, name: str, pyproject: Mapping[str, Any]) -> tuple[str, ...]:
    """Names to import, the one that the project is called after alone where there is one."""
    stated = table(pyproject, "tool", "setuptools").get("packages")
    explicit = (
        {item.partition(".")[0] for item in stated if isinstance(item, str)} if isinstance(stated, list) else set()
    )
    candidates = [
        folder
        for folder in files.folders(root)
        if folder.isidentifier()
        and (files.has(below(root, f"{folder}/__init__.py")) or (root and files.below(below(root, folder), ".py")))
        and (root or folder in explicit or folder not in _NO_PACKAGES)
    ]
    candidates += [
        file[:-3]
        for file in files.files(root)
        if file.endswith(".py")
        and file[:-3].isidentifier()
        and file not in _NO_MODULES
        and not file.startswith(("test_", "__"))
        and not file.endswith("_test.py")
    ]
    wanted = normalised(name)
    same = [item for item in candidates if normalised(item) == wanted]
    return tuple(same or [item for item in candidates if item in explicit] or candidates)


def _tests(files: RepositoryFiles, sources: tuple[str, ...]) -> tuple[str, ...]:
    """Folders that hold tests, else test files at the top, else packages with tests inside."""
    folders = tuple(folder for folder in TEST_FOLDERS if any(map(_is_test, files.below(folder, ".py"))))
    if folders:
        return folders
    loose = tuple(file for file in files.files() if _is_test(file))
    return loose or tuple(path for path in sources if any(map(_is_test, files.below(path, ".py"))))


def _is_test(path: str) -> bool:
    name = path.rpartition("/")[2]
    return name.endswith("_test.py") or (name.startswith("test") and name.endswith(".py"))


def _pytest(
    files: RepositoryFiles, pyproject: Mapping[str, Any], setup_cfg: Mapping[str, Mapping[str, str]]
) -> tuple[str, tuple[str, ...], bool]:
    """(addopts, testpaths, whether the configuration needs pytest's cache), from the file that pytest would read."""
    tables: list[Mapping[str, Any]] = [
        *(files.ini(name).get("pytest", {}) for name in ("pytest.ini", ".pytest.ini")),
        table(pyproject, "tool", "pytest", "ini_options"),
        {key: value for key, value in table(pyproject, "tool", "pytest").items() if key != "ini_options"},
        files.ini("tox.ini").get("pytest", {}),
        setup_cfg.get("tool:pytest", {}),
    ]
    chosen = next((content for content in tables if content), {})
    options, paths = chosen.get("addopts", ""), chosen.get("testpaths", "")
    words = " ".join(options) if isinstance(options, list) else str(options)
    cached = "cache_dir" in chosen or bool(
        re.search(r"(^|\s)(--(lf|ff|nf|last-failed|failed-first|new-first))\b", words)
    )
    return words, tuple(paths if isinstance(paths, list) else str(paths).split()), cached


def _linter(files: RepositoryFiles, pyproject: Mapping[str, Any], setup_cfg: Mapping[str, Mapping[str, str]]) -> str:
    if table(pyproject, "tool", "ruff") or files.has("ruff.toml") or files.has(".ruff.toml"):
        return "ruff"
    configured = "flake8" in setup_cfg or files.has(".flake8") or "flake8" in files.ini("tox.ini")
    return "flake8" if configured else ""


def _coverage(
    files: RepositoryFiles, pyproject: Mapping[str, Any], setup_cfg: Mapping[str, Mapping[str, str]]
) -> CoverageSetup:
    rc, tox = files.ini(".coveragerc"), files.ini("tox.ini")
    run: Mapping[str, Any] = rc.get("run") or setup_cfg.get("coverage:run") or tox.get("coverage:run") or {}
    run = run or table(pyproject, "tool", "coverage", "run")
    report: Mapping[str, Any] = rc.get("report") or setup_cfg.get("coverage:report") or tox.get("coverage:report") or {}
    report = report or table(pyproject, "tool", "coverage", "report")
    least = re.fullmatch(r"([0-9]{1,3})(?:\.[0-9]+)?", str(report.get("fail_under", "")))
    return CoverageSetup(
        names_source=bool(run.get("source") or run.get("source_pkgs") or run.get("source_dirs") or run.get("include")),
        parallel=str(run.get("parallel", "")).lower() in ("true", "yes", "on", "1"),
        fail_under=min(100, int(least[1])) if least else None,
    )


def _notes(files: RepositoryFiles) -> tuple[str, ...]:
    return tuple(
        f"{name} is there: the commands run pytest directly; what it sets in the environment belongs in "
        "commands.test.env"
        for name in ("tox.ini", "noxfile.py")
        if files.has(name) and (name != "tox.ini" or any(key.startswith(("tox", "testenv")) for key in files.ini(name)))
    )
