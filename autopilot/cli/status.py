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
_MODES = (
    "trust mode 0, advisory: edits are found by the chain, a ledger rewritten whole only against a checkpoint kept "
    "elsewhere",
    "trust mode 1, split: the engine is another user, whose ledger no agent can write",
    "trust mode 2, contained: split, and the agent itself is sandboxed",
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
    root, settings = _plain_root()
    if not root:
        return None
    import json

    state = f"{root}/state"
    try:
        shown = json.loads(_read(f"{state}/{PLACE}"))
        seg = f"{state}/ledger/seg"
        current = (
            shown["format"] == FORMAT
            and os.stat(f"{seg}/{shown['segment']}").st_size == shown["segment_bytes"]  # noqa: PTH116
            and os.stat(f"{state}/leases/leases.wal").st_size == shown["leases_bytes"]  # noqa: PTH116
            and max(os.listdir(seg)) == shown["segment"]  # noqa: PTH208
            and not os.access(f"{state}/ledger/POISONED", os.F_OK)
            and shown["ledger"].encode() in _read(f"{state}/ledger/LEDGER.json")
            and _is_the_remembered(shown, settings, _read(f"{root}/.git/autopilot.id"))
        )
        return with_times(shown, *_now()) if current else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _is_the_remembered(shown: dict[str, Any], settings: bytes, marker: bytes) -> bool:
    """Whether marker and `autopilot.toml` name this ledger, and no more lines than it has.

    Where they do not, the long way says what is wrong. No marker, too, is left to it: it writes a new one.
    """
    ledger, size = marker.decode().split()
    # Not parsed: one line in the form that `init` writes, or none, is plain enough to be read as it stands.
    named = settings.count(b"ledger_id")
    return (
        ledger == shown["ledger"]
        and int(size) <= shown["seq"] + 1
        and (not named or (named == 1 and b'ledger_id = "%b"' % ledger.encode() in settings))
    )


def _read(path: str) -> bytes:
    # Never waiting: a pipe in the file's place reads as empty, and the long way says what it is.
    with open(path, "rb", opener=_opened) as file:
        return file.read()


def _opened(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _plain_root() -> tuple[str, bytes]:
    """The repository we are in and its `autopilot.toml`; empty where finding the state takes more than a look."""
    if any(f"AUTOPILOT_{name}" in os.environ for name in ("STATE_DIR", "STORE", "SOCKET")):
        return "", b""
    root = os.getcwd()  # noqa: PTH109
    while not os.path.lexists(f"{root}/.git"):
        if root == "/":
            return "", b""
        root = os.path.dirname(root)  # noqa: PTH120
    if not os.path.isdir(f"{root}/.git"):  # noqa: PTH112
        return "", b""
    try:
        settings = _read(f"{root}/autopilot.toml")
    except OSError:
        return "", b""
    # Not parsed here: whatever may be one of these keys, or an escaped one, is left to the full reading.
    if any(key in settings for key in (b"state_dir", b"store", b"daemon", b"\\")):
        return "", b""
    return root, settings


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

        public = {"ledger": shown["ledger"], "seq": shown["seq"], "trust_mode": _mode(shown), "tasks": shown["tasks"]}
        sys.stdout.write(json.dumps({"schema_version": 1, **public}) + "\n")
        return
    lines = [_line(task) for task in shown["tasks"]]
    lines.append(f"ledger {shown['ledger']}, last line {shown['seq']}; {_MODES[_mode(shown)]}")
    encoding = sys.stdout.encoding or "ascii"
    sys.stdout.write(("\n".join(lines) + "\n").encode(encoding, "backslashreplace").decode(encoding))
    sys.stdout.flush()
    sys.stderr.write(f"next: {_next(shown['tasks'])}\n")


def _mode(shown: dict[str, Any]) -> int:
    """The trust mode; a snapshot on disk is always one of mode 0, because in others there is none."""
    mode: int = shown.get("trust_mode", 0)
    return mode


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
