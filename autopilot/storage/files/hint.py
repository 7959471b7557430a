"""The head hint: a line that was acknowledged, kept beside the ledger.

It is a cache and a floor, never an authority. It names synced lines only, so a ledger that is shorter, or has
another line there, has lost what was acknowledged. It is one block of fixed length with its own check, overwritten
in place without a sync (a rename over it would cost as much as three appends); one that cannot be read, or is of
another ledger, counts as absent. It is written and read under the store's lock.
"""

from __future__ import annotations

import os
from pathlib import Path

import orjson

from autopilot.kernel.canonical import encode, sha256_hex
from autopilot.kernel.files import Files, storage_error
from autopilot.ledger.chain import Head

BLOCK_BYTES = 512


def write_hint(files: Files, path: Path, ledger: str, head: Head) -> None:
    """Put the hint for `head` in place, without a sync."""
    content = encode({"ledger": ledger, "seq": head.seq, "hash": head.hash})
    block = b'{"check":"%b","hint":%b}' % (sha256_hex(content).encode(), content)
    try:
        descriptor = files.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC)
        try:
            files.write(descriptor, block.ljust(BLOCK_BYTES - 1) + b"\n")
        finally:
            os.close(descriptor)
    except OSError as error:
        raise storage_error(error, path) from error


def read_hint(path: Path, ledger: str) -> Head | None:
    """The acknowledged line, or None where no hint can be read."""
    try:
        raw = orjson.loads(path.read_bytes())
        content, check = raw["hint"], raw["check"]
        if sha256_hex(encode(content)) != check or content["ledger"] != ledger:
            return None
        return Head(int(content["seq"]), str(content["hash"]))
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return None
