"""The pages that are written from tables say what the tables say."""

from pathlib import Path

from autopilot.guard import reference
from autopilot.guard.decision import RULES
from autopilot.guard.tools import CAPABILITIES, TOOLS
from autopilot.kernel.flags import FLAGS

DOCS = Path(__file__).resolve().parents[3] / "docs/reference"


def test_tools_page_is_the_tables():
    assert (DOCS / "tools.md").read_text() == reference.render()


def test_tools_page_names_everything():
    text = reference.render()
    for name in (*TOOLS, *CAPABILITIES, *RULES):
        assert f"`{name}`" in text, name


def test_flags_page_has_the_table():
    text = (DOCS / "flags.md").read_text()
    for flag in FLAGS.values():
        assert f"| `{flag.name}` | `{flag.default.word}` | {flag.title} | {flag.observed} |\n" in text
