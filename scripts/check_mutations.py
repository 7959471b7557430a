#!/usr/bin/env python3
"""Take the engine's locks, fence checks and hash checks out, one at a time: the tests named for each must go red.

    python scripts/check_mutations.py              # all of them, a line for each
    python scripts/check_mutations.py "queue lock" # those whose name has these words
    python scripts/check_mutations.py --list

The source is changed as it is imported, for one run of pytest; no file is touched. Exit 1 if tests stay green under a
mutation, exit 2 if the words that a mutation replaces are not in the code any more.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType

ROOT = Path(__file__).resolve().parents[1]
CHOSEN = "AUTOPILOT_MUTATION"
RED, GREEN = 1, 0


@dataclass(frozen=True)
class Mutation:
    """What is taken out: pairs of words and what stands in their place, in one module; and the tests that notice."""

    name: str
    module: str
    swaps: tuple[tuple[str, str], ...]
    tests: tuple[str, ...]

    @property
    def path(self) -> Path:
        """The module's file."""
        return ROOT / (self.module.replace(".", "/") + ".py")

    def applied(self) -> str:
        """The module's source without what is taken out; LookupError where it does not have it."""
        source = self.path.read_text()
        for old, new in self.swaps:
            if old not in source:
                raise LookupError(f"{self.name}: {self.module} has no {old!r} any more")
            source = source.replace(old, new)
        return source


STORE = "tests/unit/storage"
GUARDS = f"{STORE}/test_guards.py"
CONTRACT = "tests/unit/contracts/test_store_contract.py"
MUTATIONS = (
    Mutation(
        "thread lock",
        "autopilot.storage.files.turn",
        (
            ("        if not self._queue and self._lock.acquire(False):\n", "        if True:\n"),
            ('back."""\n        while True:\n', 'back."""\n        return\n        while True:\n'),
        ),
        (GUARDS,),
    ),
    Mutation(
        "lock file",
        "autopilot.storage.files.lock",
        (("fcntl.flock(descriptor, mode | fcntl.LOCK_NB)", "pass"), ("fcntl.flock(descriptor, mode)\n", "pass\n")),
        (f"{STORE}/test_lock.py",),
    ),
    Mutation(
        "queue lock",
        "autopilot.storage.files.lock",
        (
            ("fcntl.flock(self._queue_descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)", "pass"),
            ("fcntl.flock(place, fcntl.LOCK_EX)", "pass"),
        ),
        (f"{STORE}/test_lock.py",),
    ),
    Mutation(
        "lock of a repair",
        "autopilot.storage.files.repair",
        (("if not try_lock(descriptor):", "if False:"),),
        (f"{STORE}/test_repair.py",),
    ),
    Mutation(
        "length of a lease log's summary",
        "autopilot.storage.files.leases",
        (("self._records, self._begun = len(parts), True", "self._records, self._begun = 0, True"),),
        (f"{STORE}/test_lease_log_followed.py",),
    ),
    Mutation(
        "lease log read anew after a fault",
        "autopilot.storage.files.leases",
        (("on: read everything anew next time.\n            self.close()", "on: read everything anew next time."),),
        (f"{STORE}/test_lease_log_followed.py",),
    ),
    Mutation("fence, stale", "autopilot.storage.rules", (("if fence < high:", "if False:"),), (CONTRACT,)),
    Mutation("fence, made up", "autopilot.storage.rules", (("if fence > high:", "if False:"),), (CONTRACT,)),
    Mutation(
        "token of a lease",
        "autopilot.leases.terms",
        (("return hmac.compare_digest(self.token_sha256, token_digest(token))", "return True"),),
        ("tests/unit/leases/test_decisions.py",),
    ),
    Mutation(
        "hash and link of a line",
        "autopilot.ledger.chain",
        (("line.startswith(known)", "True"),),
        ("tests/unit/ledger/test_chain.py",),
    ),
    Mutation(
        "hash of a frame",
        "autopilot.kernel.framing",
        (("if line[HASH_START:HASH_END] != digest.encode():", "if False:"),),
        ("tests/unit/kernel/test_framing.py",),
    ),
    Mutation(
        "hash of an object that is read",
        "autopilot.storage.objects",
        (("if sha256_hex(data) != sha256:", "if False:"),),
        (GUARDS,),
    ),
    Mutation(
        "bytes of a file that is there already",
        "autopilot.kernel.files",
        (("if found == data:", "if True:"),),
        ("tests/unit/kernel/test_files.py", f"{STORE}/test_objects.py"),
    ),
    Mutation(
        "link of a lease record",
        "autopilot.storage.files.record_log",
        (('follows = (found["seq"], found["prev"]) == (self.seq + 1, self.hash)', "follows = True"),),
        (f"{STORE}/test_record_log.py",),
    ),
    Mutation(
        "check of the head hint",
        "autopilot.storage.files.hint",
        (("sha256_hex(encode(content)) != check or ", ""),),
        (GUARDS,),
    ),
    Mutation(
        "hash that the head hint names",
        "autopilot.ledger.verify",
        (("return seq == self.hint_seq and digest != self.hint_hash", "return False"),),
        (f"{STORE}/test_tampering.py",),
    ),
    Mutation(
        "root of a checkpoint",
        "autopilot.ledger.anchoring",
        (("if roots[one.checkpoint.size] != one.checkpoint.root", "if False"),),
        ("tests/unit/ledger/test_anchoring.py", "tests/unit/wiring"),
    ),
    Mutation(
        "root of an inclusion proof",
        "autopilot.ledger.proofs",
        (("if node != root:", "if False:"),),
        ("tests/unit/ledger/test_proofs.py",),
    ),
    Mutation(
        "roots of a consistency proof",
        "autopilot.ledger.proofs",
        (("if old != root or new != later_root:", "if False:"),),
        ("tests/unit/ledger/test_proofs.py",),
    ),
    Mutation(
        "signature of a note",
        "autopilot.signing.note",
        (("Ed25519PublicKey.from_public_bytes(key.public).verify(signature.data, note.text.encode())", "pass"),),
        ("tests/unit/signing/test_note.py",),
    ),
    Mutation(
        "hash of a git object",
        "autopilot.vcs.objects",
        (("or object_id(self.object_format, found, data) != sha", ""),),
        ("tests/unit/vcs",),
    ),
    Mutation(
        "digest of an engine-made file",
        "autopilot.process.runners.bench",
        (
            (
                'if sha256_hex(found) not in self.task.shown.get(f"{self.ticket.phase}/{contract.name}", ()):',
                "if False:",
            ),
        ),
        ("tests/acceptance/test_forgery.py",),
    ),
    Mutation(
        "digest of a sealed document",
        "autopilot.process.runners.bench",
        (("if sha256_hex(found) not in (evidence.sha256, *self.task.shown.get(key, ())):", "if False:"),),
        ("tests/acceptance/test_forgery.py",),
    ),
)


def main(words: Sequence[str]) -> int:
    """Run the mutations whose names have the words; see the module's text for the answer."""
    if "--list" in words:
        return say(*(mutation.name for mutation in MUTATIONS))
    wanted = [one for one in MUTATIONS if not words or any(word in one.name for word in words)]
    survived = 0
    for mutation in wanted:
        try:
            mutation.applied()
        except LookupError as error:
            say(str(error))
            return 2
        red = first_red(mutation)
        survived += not red
        say(f"{mutation.name:40} {red or 'SURVIVED: no test of ' + ' '.join(mutation.tests) + ' went red'}")
    return int(bool(survived))


def first_red(mutation: Mutation) -> str:
    """The first test that fails under the mutation, empty if none does."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--no-header", "-p", Path(__file__).stem, *mutation.tests]
    place = os.pathsep.join(filter(None, (str(Path(__file__).parent), os.environ.get("PYTHONPATH", ""))))
    environ = {**os.environ, CHOSEN: mutation.name, "PYTHONPATH": place}
    ran = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=900, check=False)
    if ran.returncode not in (RED, GREEN):
        raise RuntimeError(f"{mutation.name}: pytest ended with {ran.returncode}\n{ran.stdout}{ran.stderr}")
    found = [line.split()[1] for line in ran.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    return found[0] if found else ""


def say(*lines: str) -> int:
    """Lines on standard output; 0."""
    for line in lines:
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
    return 0


# --- inside the run of pytest, which loads this file as a plugin -----------------------------------------------------


class _Mutated(importlib.machinery.SourceFileLoader):
    """Loads the changed source, and no bytecode of the unchanged."""

    def get_code(self, fullname: str) -> CodeType:
        del fullname
        return compile(_chosen().applied(), self.path, "exec", dont_inherit=True)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the one module that is changed."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        del path, target
        if fullname != _chosen().module:
            return None
        return importlib.machinery.ModuleSpec(
            fullname, _Mutated(fullname, str(_chosen().path)), origin=str(_chosen().path)
        )


def _chosen() -> Mutation:
    return next(mutation for mutation in MUTATIONS if mutation.name == os.environ[CHOSEN])


if CHOSEN in os.environ:
    if _chosen().module in sys.modules:
        raise RuntimeError(f"{_chosen().module} was imported before it could be changed")
    sys.meta_path.insert(0, _Finder())

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
