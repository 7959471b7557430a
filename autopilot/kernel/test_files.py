"""Which paths are tests: one definition for the pins, for onboarding and for the reports. Pure."""

from __future__ import annotations

# Folders of this name at the repository's root hold tests.
TEST_FOLDERS = ("tests", "test", "testing")
# Folders of this name anywhere; `testing` is left out, since packages ship a module of that name.
_INNER_FOLDERS = ("tests", "test")

TEST_PATTERNS = (
    *("**/test_*.py", "**/*_test.py", "**/tests.py"),
    *(f"{name}/**" for name in TEST_FOLDERS),
    *(f"**/{name}/**" for name in _INNER_FOLDERS),
    *("**/__snapshots__/**", "**/*.snap"),
)


def is_test_module(path: str) -> bool:
    """Whether a test runner would take the file for tests by its name."""
    name = path.rpartition("/")[2]
    return name.endswith("_test.py") or (name.startswith("test_") and name.endswith(".py"))
