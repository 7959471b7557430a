#!/usr/bin/env python3
"""Checks a bundle of autopilot's signed statements without autopilot; needs the `cryptography` package.

Usage: check_statements.py BUNDLE.intoto.jsonl KEY.pem TASK [STATE]

KEY.pem is the key you were given by somebody you trust: the one beside the bundle proves nothing. Checked is that this
key signed every envelope, and that each speaks of TASK. With STATE, a copy of the state directory: that the ledger has
the line, that the line names the artifacts, and that the sealed bytes have the digests. Exit 0 if all holds, else 3.
"""

import base64
import hashlib
import json
import pathlib
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import load_pem_public_key

TYPE = "application/vnd.in-toto+json"


def opened(line, key):
    """The statement in an envelope that `key` signed."""
    envelope = json.loads(line)
    payload, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"]
    signed = b"DSSEv1 %d %b %d %b" % (len(kind.encode()), kind.encode(), len(payload), payload)
    for signature in envelope["signatures"]:
        try:
            key.verify(base64.b64decode(signature["sig"]), signed)
        except InvalidSignature:
            continue
        statement = json.loads(payload)
        if kind != TYPE or statement["_type"] != "https://in-toto.io/Statement/v1":
            raise ValueError("signed, but no in-toto statement")
        return statement
    raise ValueError("not signed by this key")


def ledger_of(state):
    """The bodies of the ledger's lines by their hashes, which are computed, not read."""
    lines = (line for file in sorted((state / "ledger" / "seg").glob("*.jsonl")) for line in file.open("rb"))
    bodies = (line.rstrip(b"\n")[76:-1] for line in lines)
    return {hashlib.sha256(b"\x00" + body).hexdigest(): json.loads(body) for body in bodies}


def check(statement, task, state, ledger):
    """Raise ValueError unless the statement is of `task`, and is what ledger and objects say."""
    for subject in statement["subject"]:
        name, notes, digest = subject["name"], subject["annotations"], subject["digest"]
        if notes["task"] != task or statement["predicate"].get("transition", {"task": task})["task"] != task:
            raise ValueError(f"{name} is of task {notes['task']}")
        if state is None:
            continue
        record = ledger.get(notes["leafHash"])
        if record is None or record["task"] != task or record["phase"]["from"] != notes["phase"]:
            raise ValueError(f"{name}: no such line {notes['leafHash'][:16]} of {task} in the ledger")
        if "sha256" in digest:
            if (name, digest["sha256"]) not in {(one["name"], one["sha256"]) for one in record["artifacts"]}:
                raise ValueError(f"{name}: line {record['seq']} does not name it with this digest")
            place = state / "evidence" / ".objects" / digest["sha256"][:2] / digest["sha256"]
            if not place.is_file() or hashlib.sha256(place.read_bytes()).hexdigest() != digest["sha256"]:
                raise ValueError(f"{name}: the sealed bytes are gone, or are others")


def main(bundle, key_file, task, state=None):
    """Check every line; the exit code."""
    key = load_pem_public_key(pathlib.Path(key_file).read_bytes())
    state = pathlib.Path(state) if state else None
    ledger = ledger_of(state) if state else {}
    faults, number = [], 0
    for number, line in enumerate(pathlib.Path(bundle).read_bytes().splitlines(), 1):
        try:
            check(opened(line, key), task, state, ledger)
        except (ValueError, KeyError, TypeError, AttributeError) as fault:
            faults.append(f"envelope {number}: {fault}")
    print(f"{number} envelopes, {len(faults)} faults")
    print("\n".join(faults) or "all hold" if number else "an empty bundle says nothing")
    return 3 if faults or not number else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
