"""The demo's repository: a small shop with a real bug and a real pytest suite, in a real git repository."""

from __future__ import annotations

from pathlib import Path

from autopilot.sandbox.plain import PlainRunner
from autopilot.sandbox.run import CommandSpec

FILES = {
    # The shop's tests need no plugin; where many are installed, each start would import them all.
    "pyproject.toml": '[project]\nname = "shop"\nversion = "0.1.0"\nrequires-python = ">=3.11"\n\n'
    '[tool.pytest.ini_options]\naddopts = "--disable-plugin-autoload"\n',
    ".gitignore": "__pycache__/\n",
    "README.md": "# shop\n\nPrices in cents. `discounted` takes a percentage off a total.\n",
    "shop/__init__.py": '"""A small shop."""\n',
    "shop/pricing.py": '''"""Prices in cents."""


def basket(prices: list[int]) -> int:
    """The sum of the prices."""
    return sum(prices)


def discounted(total: int, percent: int) -> int:
    """The total less `percent` per cent, rounded down to the cent in the buyer's favour."""
    return total - 2 * (total * percent // 100)
''',
    "tests/test_pricing.py": """from shop.pricing import basket, discounted


def test_basket_adds_up():
    assert basket([100, 250]) == 350


def test_no_discount_changes_nothing():
    assert discounted(1000, 0) == 1000
""",
}

BUG = "    return total - 2 * (total * percent // 100)\n"
FIX = "    return total - total * percent // 100\n"

NEW_TEST = """from shop.pricing import discounted


def test_ten_percent_off():
    assert discounted(1000, 10) == 900


def test_everything_off():
    assert discounted(1000, 100) == 0
"""


def make_repository(folder: Path, files: dict[str, str] | None = None) -> Path:
    """Write the files and commit them once; the folder."""
    for name, text in (FILES if files is None else files).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git(folder, "init", "-q", "-b", "main")
    commit(folder, "The shop as it is")
    return folder


def commit(folder: Path, message: str) -> str:
    """Commit everything that is not ignored; the commit's id."""
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", message)
    return git(folder, "rev-parse", "HEAD").strip()


def git(folder: Path, *words: str) -> str:
    """One git command, as the demo's agent would type it; RuntimeError with its output if it fails."""
    who = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in _PERSON.items()}
    spec = CommandSpec(
        argv=("/usr/bin/env", "git", *words), cwd=folder, env=who, timeout_seconds=60, writable=(folder,)
    )
    result = PlainRunner().run(spec)
    output = result.output.decode("utf-8", "replace")
    if not result.succeeded:
        raise RuntimeError(f"git {' '.join(words)}: {output.strip()}")
    return output


_PERSON = {"NAME": "Demo Agent", "EMAIL": "agent@demo.invalid"}
