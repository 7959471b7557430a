"""The `store` line of `autopilot.toml`: set, changed or taken out, with the rest of the file left as it is."""

from __future__ import annotations

import json
import re

_TABLE = re.compile(r"(?m)^\s*\[")
_STORE = re.compile(r"(?m)^store\s*=.*\n?")
_LEDGER = re.compile(r"(?m)^ledger_id\s*=.*\n")


def with_store(text: str, store: str) -> str:
    """`text` with `store` as its store; an empty one takes the line out. Keys of the file come before its tables."""
    table = _TABLE.search(text)
    end = table.start() if table else len(text)
    top, rest = _STORE.sub("", text[:end]), text[end:]
    if not store:
        return top + rest
    # A URL in JSON's quotes is one in TOML's.
    line = f"store = {json.dumps(store)}\n"
    ledger = _LEDGER.search(top)
    at = ledger.end() if ledger else 0
    return top[:at] + line + top[at:] + rest
