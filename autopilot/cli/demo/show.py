"""What the demo prints: one line per act, a table at the end, and what to type next."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Show:
    """Collects the acts and prints them as they happen, unless quiet."""

    quiet: bool = False
    rows: list[tuple[str, str, str]] = field(default_factory=list)

    def say(self, text: str) -> None:
        """A line of the story."""
        if not self.quiet:
            sys.stdout.write(f"  {text}\n")
            sys.stdout.flush()

    def scene(self, text: str) -> None:
        """A heading."""
        if not self.quiet:
            sys.stdout.write(f"\n{text}\n")
            sys.stdout.flush()

    def act(self, who: str, what: str, answer: str) -> None:
        """One act and the engine's answer."""
        self.rows.append((who, what, answer))
        self.say(f"{who:<7} {what:<55} {answer}")

    def end(self, result: dict[str, Any]) -> None:
        """The table, the ledger's state, and the next command."""
        width = max((len(what) for _, what, _ in self.rows), default=0)
        sys.stdout.write("\n" + "agent".ljust(8) + "what it did".ljust(width + 2) + "the engine's answer\n")
        sys.stdout.write("-" * (width + 40) + "\n")
        for who, what, answer in self.rows:
            sys.stdout.write(f"{who:<8}{what:<{width + 2}}{answer}\n")
        sys.stdout.write(
            f"\n{result['cheats_refused']} of {result['cheats']} cheats refused; honest task: {result['honest']};"
            f" isolation: {result['isolation']}\n"
            f"ledger: {result['ledger']}, {result['entries']} entries, verified in full\n"
            f"trust mode 0 (advisory): agent and engine share a user; see SECURITY.md\n"
            f"{'The demo passed' if result['passed'] else 'THE DEMO FAILED'} in {result['seconds']} s.\n\n"
            "next: cd YOUR-REPOSITORY && autopilot init && autopilot task open T-1 --title 'What it is for'\n"
        )
