"""Verifies an exported autopilot ledger with nothing but Python: hash chain, Merkle root, Ed25519 signature, proofs.

    python3 -I -S verify.py [DIR] [--vkey KEY] [--checkpoint FILE]      the pack in DIR (default: beside this file)
    python3 -I -S verify.py --proof FILE --vkey KEY                     one line's proof of inclusion, without a pack

Give the KEY that you got from the ledger's owner by another way: without it the pack's own keys are used, and a forger
brings his own. Give the newest FILE that you kept: what was signed then must still be there. Exit 0 intact, 3 not.
"""

import argparse
import json
import sys
from base64 import b64decode
from hashlib import sha256, sha512
from pathlib import Path
from typing import Any

P, Q = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
Point = tuple[int, int, int, int]  # (X, Y, Z, T) with x = X/Z, y = Y/Z, xy = T/Z: RFC 8032 section 5.1.4
Keys = dict[tuple[str, bytes], bytes]


def add(a: Point, b: Point) -> Point:
    e, f = (a[1] - a[0]) * (b[1] - b[0]), (a[1] + a[0]) * (b[1] + b[0])
    g, h = 2 * a[3] * b[3] * D, 2 * a[2] * b[2]
    x, y, z, t = f - e, h - g, h + g, f + e
    return x * y % P, z * t % P, y * z % P, x * t % P


def times(number: int, point: Point) -> Point:
    half = times(number >> 1, add(point, point)) if number else (0, 1, 1, 0)
    return add(half, point) if number & 1 else half


def decode_point(data: bytes) -> Point:
    y, sign = int.from_bytes(data, "little") & ((1 << 255) - 1), data[-1] >> 7
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    x = x if (x * x - square) % P == 0 else x * pow(2, (P - 1) // 4, P) % P
    if len(data) != 32 or y >= P or (x * x - square) % P or (x == 0 and sign):
        raise ValueError("unsigned: not a point of the curve")
    return (x := P - x if x & 1 != sign else x), y, 1, x * y % P


def is_signed(public: bytes, text: bytes, signature: bytes) -> bool:  # RFC 8032 section 5.1.7
    s = int.from_bytes(signature[32:], "little")
    h = int.from_bytes(sha512(signature[:32] + public + text).digest(), "little")
    base = decode_point((4 * pow(5, -1, P) % P).to_bytes(32, "little"))
    a, b = times(s, base), add(decode_point(signature[:32]), times(h % Q, decode_point(public)))
    same = (a[0] * b[2] - b[0] * a[2]) % P == (a[1] * b[2] - b[1] * a[2]) % P == 0
    return same and s < Q and len(signature) == 64


def open_note(note: str, keys: Keys) -> tuple[str, int, bytes]:  # origin, size, root of a C2SP checkpoint
    text, _, lines = note.rpartition("\n\n")
    origin, size, root = text.split("\n")[:3] if text.count("\n") >= 2 else ("", "", "")
    signers = set[str]()
    for dash, name, encoded in (line.split(" ") for line in lines.split("\n")[:-1]):
        public = keys.get((name, (data := b64decode(encoded, validate=True))[:4]))
        if dash == "\u2014" and public is not None:
            if not is_signed(public, f"{text}\n".encode(), data[4:]):
                raise ValueError("unsigned: a known key's signature does not hold for the checkpoint's text")
            signers.add(name)
    if origin not in signers:
        raise ValueError("unsigned: the checkpoint is not signed by a known key of the ledger")
    return origin, int(size), b64decode(root, validate=True)


def read_lines(pack: Path) -> tuple[str, list[bytes], dict[str, str]]:  # origin, leaf hashes, sealed artifacts
    ledger, leaves, sealed = "", list[bytes](), dict[str, str]()
    for segment in sorted((pack / "seg").glob("*.jsonl")):
        lines = segment.read_bytes().split(b"\n")
        if lines.pop() != b"" or int(segment.stem) != len(leaves):
            raise ValueError(f"missing: {segment.name} is not whole, or one before it is not there")
        for line in lines:
            seq, body, previous = len(leaves), line[76:-1], leaves[-1].hex() if leaves else "0" * 64
            leaves.append(sha256(b"\x00" + body).digest())
            if line != b'{"h":"%b","r":%b}' % (leaves[-1].hex().encode(), body):
                raise ValueError(f"bad_hash: line {seq} does not have its hash")
            record = json.loads(body)
            ledger = ledger or record["ledger"]
            if (seq, previous, ledger) != (record["seq"], record["prev"], record["ledger"]):
                raise ValueError(f"bad_link: line {seq} does not follow the one before")
            sealed.update((artifact["sha256"], artifact["name"]) for artifact in record["artifacts"])
    return f"autopilot/{ledger}", leaves, sealed


def node_of(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def root_of(level: list[bytes]) -> bytes:  # RFC 6962 section 2.1; a node without a sibling moves up as it is
    while len(level) > 1:
        level = list(map(node_of, level[::2], level[1::2])) + level[len(level) & ~1 :]
    return level[0] if level else sha256().digest()


def check_pack(pack: Path, keys: Keys, kept: list[str]) -> str:
    origin, leaves, sealed = read_lines(pack)
    sizes: list[int] = []
    for path in [*(pack / "checkpoints").glob("*.note"), *map(Path, kept)]:
        name, size, root = open_note(path.read_text("utf-8"), keys)
        if name != origin or size > len(leaves) or root_of(leaves[:size]) != root:
            reason = "truncated" if size > len(leaves) else "rewritten"
            raise ValueError(f"{reason}: {path} signed other {size} lines of {name} than these {len(leaves)}, {origin}")
        sizes.append(size)
    if not sizes:
        raise ValueError("unsigned: there is no checkpoint")
    with_objects = json.loads((pack / "pack.json").read_text())["objects"]
    for digest, name in sealed.items() if with_objects else ():
        if sha256((pack / "objects" / digest[:2] / digest).read_bytes()).hexdigest() != digest:
            raise ValueError(f"evidence_edited: {name}, {digest}")
    objects = len(sealed) if with_objects else "no"
    return f"{len(leaves)} lines of {origin}, the first {max(sizes)} of them signed; {objects} sealed objects"


def check_proof(proof: dict[str, Any], keys: Keys) -> str:  # RFC 9162 section 2.1.3.2
    origin, size, root = open_note(proof["checkpoint"] or "", keys)
    node, seq, last = sha256(b"\x00" + proof["body"].encode()).digest(), proof["seq"], size - 1
    for sibling in map(bytes.fromhex, proof["path"]):
        on_right = bool(seq & 1) or seq == last
        node = node_of(sibling, node) if on_right else node_of(node, sibling)
        while on_right and not seq & 1 and seq:
            seq, last = seq >> 1, last >> 1
        seq, last = seq >> 1, last >> 1
    if node != root or last or not 0 <= proof["seq"] < size or json.loads(proof["body"])["seq"] != proof["seq"]:
        raise ValueError("bad_proof: the line does not lead to the signed root")
    return f"line {proof['seq']} is among the first {size} lines of {origin}, which are signed"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pack", nargs="?", type=Path, default=Path(__file__).parent)
    parser.add_argument("--vkey", action="append", default=[])
    parser.add_argument("--checkpoint", action="append", default=[])
    parser.add_argument("--proof", type=Path)
    args, known = parser.parse_args(), Keys()
    try:
        for text in args.vkey or [path.read_text() for path in (args.pack / "keys").glob("*.vkey")]:
            name, key_id, public = text.strip().split("+", 2)
            known[name, bytes.fromhex(key_id)] = b64decode(public, validate=True)[1:]
        proof = json.loads(args.proof.read_bytes()) if args.proof else None
        found = check_proof(proof, known) if proof else check_pack(args.pack, known, args.checkpoint)
        code, answer = 0, f"intact: {found}{'' if args.vkey else '; by keys of the pack itself, see --vkey'}\n"
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        code, answer = 3, f"not intact: {error if type(error) is ValueError else repr(error)}\n"
    sys.stdout.write(answer)
    sys.exit(code)
