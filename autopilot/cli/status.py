"""`autopilot status`: every open task, the ones that ended last, and what each waits for.

Light: with a current snapshot (`snapshot`) this module reads one JSON file and a few sizes, and imports nothing of
the engine. Anything out of the ordinary takes the long way: no snapshot, other sizes, a linked worktree, a moved
state directory, a poisoned store, options it does not know.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # as type checkers read it; typing itself would cost every start 4 ms
if TYPE_CHECKING:
    from typing import Any

FORMAT = 1
PLACE = "cache/status.json"
ENDED_SHOWN = 10
_MODE = (
    "trust mode 0, advisory: edits are found by the chain, a ledger rewritten whole only against a checkpoint kept "
    "elsewhere"
)


def run(name: str, words: list[str]) -> int:
    """Show the status; exit 0."""
    shown = _kept(words)
    if shown is None:
        from autopilot.cli.status_full import read_status

        as_json, shown = read_status(name, words)
    else:
        as_json = "--json" in words
    _render(shown, as_json=as_json)
    return 0


def _kept(words: list[str]) -> dict[str, Any] | None:
    """The snapshot if it is current and nothing else is asked for, else None."""
    if any(word != "--json" for word in words):
        return None
    state = _plain_state_dir()
    if state is None:
        return None
    import json

    try:
        with open(f"{state}/{PLACE}", encoding="utf-8") as file:  # noqa: PTH123 - pathlib costs 4 ms
            shown = json.load(file)
        seg = f"{state}/ledger/seg"
        current = (
            shown["format"] == FORMAT
            and os.stat(f"{seg}/{shown['segment']}").st_size == shown["segment_bytes"]  # noqa: PTH116
            and os.stat(f"{state}/leases/leases.wal").st_size == shown["leases_bytes"]  # noqa: PTH116
            and max(os.listdir(seg)) == shown["segment"]  # noqa: PTH208
            and not os.access(f"{state}/ledger/POISONED", os.F_OK)
        )
        with open(f"{state}/ledger/LEDGER.json", encoding="utf-8") as file:  # noqa: PTH123
            current = current and shown["ledger"] in file.read(4096)
        return with_times(shown, *_now()) if current else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _plain_state_dir() -> str | None:
    """`state/` of the repository we are in, or None where finding it takes more than a look."""
    if "AUTOPILOT_STATE_DIR" in os.environ or "AUTOPILOT_STORE" in os.environ:
        return None
    root = os.getcwd()  # noqa: PTH109
    while not os.path.lexists(f"{root}/.git"):
        if root == "/":
            return None
        root = os.path.dirname(root)  # noqa: PTH120
    if not os.path.isdir(f"{root}/.git"):  # noqa: PTH112
        return None
    try:
        with open(f"{root}/autopilot.toml", "rb") as file:  # noqa: PTH123
            settings = file.read(262_144)
    except OSError:
        return None
    # Not parsed here: whatever may be one of these keys, or an escaped one, is left to the full reading.
    if b"state_dir" in settings or b"store" in settings or b"\\" in settings:
        return None
    return f"{root}/state"


def _now() -> tuple[str, int]:
    """This boot's id and the nanoseconds since it, as `kernel.clock` has them."""
    import time

    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:  # noqa: PTH123
        boot = file.read().strip()
    return boot, time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def with_times(shown: dict[str, Any], boot: str, now_ns: int) -> dict[str, Any]:
    """The snapshot with its leases as they are now: seconds left, or none."""
    for task in shown["tasks"]:
        lease = task["lease"]
        if lease is None:
            continue
        left = lease.pop("deadline_ns") - now_ns
        running = lease.pop("boot") == boot and left > 0
        task["lease"] = {**lease, "expires_in_seconds": left // 1_000_000_000} if running else None
    return shown


def _render(shown: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        import json

        public = {"ledger": shown["ledger"], "seq": shown["seq"], "trust_mode": 0, "tasks": shown["tasks"]}
        sys.stdout.write(json.dumps({"schema_version": 1, **public}) + "\n")
        return
    lines = [_line(task) for task in shown["tasks"]]
    lines.append(f"ledger {shown['ledger']}, last line {shown['seq']}; {_MODE}")
    encoding = sys.stdout.encoding or "ascii"
    sys.stdout.write(("\n".join(lines) + "\n").encode(encoding, "backslashreplace").decode(encoding))
    sys.stdout.flush()
    sys.stderr.write(f"next: {_next(shown['tasks'])}\n")


def _line(task: dict[str, Any]) -> str:
    lease = task["lease"]
    holder = f"held by {_plain(lease['actor'])}, {lease['expires_in_seconds']} s left" if lease else "free"
    if task["phase"] in ("CLOSED", "ABANDONED"):
        holder = ""
    waits = "".join(f"\n    waits: {_plain(r['detail'] or r['code'])} ({r['remedy']})" for r in task["waiting_on"])
    epoch = f" epoch {task['epoch']}" if task["epoch"] else ""
    return f"{task['id']}  {task['phase']}{epoch}  {holder}  {_plain(task['title'])}{waits}".replace("    ", "  ")


def _plain(text: str) -> str:
    # As console.clean, which costs an import of unicodedata: isprintable is false for control and format characters.
    return "".join(char if char.isprintable() else " " if char in "\n\t" else "" for char in text)


def _next(tasks: list[dict[str, Any]]) -> str:
    ongoing = [task for task in tasks if task["phase"] not in ("CLOSED", "ABANDONED")]
    if not ongoing:
        return 'autopilot task open ID --title "what it is for"'
    waiting = [task for task in ongoing if task["waiting_on"]]
    return f"autopilot next {(waiting or ongoing)[0]['id']}"
