#!/usr/bin/env python3
"""Checks an autopilot ledger without autopilot: hashes, chain, numbering, sealed objects. Usage: check_ledger.py DIR"""

import hashlib
import json
import pathlib
import sys

state = pathlib.Path(sys.argv[1])
previous, number, ledger, faults, objects = "0" * 64, 0, None, [], 0
for segment in sorted((state / "ledger" / "seg").glob("*.jsonl")):
    lines = segment.read_bytes().split(b"\n")
    if lines.pop() != b"":
        faults.append(f"{segment.name}: the last line is not whole")
    if int(segment.stem) != number:
        faults.append(f"{segment.name}: begins at {number}")
    for line in lines:
        stored, body = line[6:70].decode("ascii", "replace"), line[76:-1]
        whole = line[:6] == b'{"h":"' and line[70:76] == b'","r":' and line[-1:] == b"}"
        if not whole or hashlib.sha256(b"\x00" + body).hexdigest() != stored:
            faults.append(f"line {number}: does not have its hash")
            break
        record = json.loads(body)
        ledger = ledger or record["ledger"]
        if (record["seq"], record["prev"], record["ledger"]) != (number, previous, ledger):
            faults.append(f"line {number}: does not follow the line before")
            break
        for artifact in record["artifacts"]:
            place = state / "evidence" / ".objects" / artifact["sha256"][:2] / artifact["sha256"]
            found = hashlib.sha256(place.read_bytes()).hexdigest() if place.is_file() else "missing"
            objects += 1
            if found != artifact["sha256"]:
                faults.append(f"line {number}: {artifact['name']} is {found}")
        previous, number = stored, number + 1
print(f"ledger {ledger}: {number} lines, head {previous[:16]}, {objects} sealed artifacts")
print("\n".join(faults) or "intact")
sys.exit(3 if faults or not number else 0)
