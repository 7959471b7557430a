"""What hostile code tries where it runs, and what it got: one program for the agent's user and for a project's tests.

It prints one line, `PROBE:` and a JSON object of answers; each is what the attempt came to. It knows everything that an
attacker could know: where the state is, the daemon's number, its socket.
"""

from __future__ import annotations

PROBE = r"""
import ctypes, errno, json, os, socket, struct, subprocess, sys

def attempt(what):
    try:
        return what()
    except OSError as error:
        return f"refused: {errno.errorcode.get(error.errno, error.errno)}"
    except Exception as error:
        return f"refused: {type(error).__name__}"

def reads(path):
    with open(path, "rb") as file:
        return f"READ {len(file.read(100))} bytes"

def writes(path):
    with open(path, "ab") as file:
        file.write(b"hostile")
    os.unlink(path)
    return "WROTE"

def overwrites(path):
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    os.close(descriptor)
    return "OPENED for writing"

def lists(path):
    return f"LISTED {len(os.listdir(path))} names"

def connects(path):
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(5)
        line.connect(path)
        hello = json.dumps({"autopilot": "hello", "v": 1, "directory": facts["repository"], "purpose": "act"}).encode()
        try:
            line.sendall(struct.pack(">II", len(hello), 0) + hello)
        except BrokenPipeError:
            pass
        size, _ = struct.unpack(">II", line.recv(8))
        answer = json.loads(line.recv(size))
        return f"LET IN as {answer['ok']['actor']}" if "ok" in answer else f"turned away: {answer['error']['code']}"

def dials(port):
    with socket.create_connection(("127.0.0.1", port), 5):
        return "CONNECTED"

def seizes(pid):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(0x4206, pid, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")
    return "ATTACHED"

def signals(pid):
    os.kill(pid, 0)
    return "SIGNALLED"

def others():
    seen = {int(name) for name in os.listdir("/proc") if name.isdigit()}
    return f"SAW the engine, {len(seen)} processes" if facts["pid"] in seen and told(facts["pid"]) else "not seen"

def told(pid):
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return b"autopilot" in file.read()

def engines(part):
    if not told(facts["pid"]):
        return "not there"
    return lists(f"/proc/{facts['pid']}/{part}") if part in ("fd", "root") else reads(f"/proc/{facts['pid']}/{part}")

def strangers():
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
        if facts["state"] in target or facts["socket"] in target or target.startswith("socket:"):
            found.append(target)
    return f"HELD {found}" if found else "none"

def environment():
    found = [name for name in os.environ if name.startswith(("AUTOPILOT", "NOTIFY", "LISTEN", "SSH", "AWS"))]
    return f"HAD {found}" if found else "none"

def privileges():
    with open("/proc/self/status") as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    kept = status["CapEff"].strip("0") or status["CapPrm"].strip("0") or status["CapAmb"].strip("0")
    return f"HAD {kept}" if kept else "none"

def groups():
    if os.getuid() == facts["engine_uid"]:
        return "the engine's, in a namespace"
    return f"HAD {os.getgroups()}" if facts["engine_gid"] in (*os.getgroups(), os.getgid()) else "none of the engine's"

def turns_into(uid):
    if uid == os.getuid():
        return "is it, in a namespace"
    os.setresuid(uid, uid, uid)
    return "BECAME"

def all_signals():
    os.kill(-1, 0)
    return "reaches its own user's"

facts = json.loads(FACTS)
state = facts["state"]
answers = {
    "list the state directory": attempt(lambda: lists(state)),
    "read a ledger segment": attempt(lambda: reads(f"{state}/ledger/seg/{0:016d}.jsonl")),
    "append to a ledger segment": attempt(lambda: overwrites(f"{state}/ledger/seg/{0:016d}.jsonl")),
    "read the signing key": attempt(lambda: reads(facts["key"])),
    "read who may connect": attempt(lambda: reads(f"{state}/daemon.toml")),
    "write into the state directory": attempt(lambda: writes(f"{state}/planted")),
    "write beside the state directory": attempt(lambda: writes(f"{os.path.dirname(state)}/planted")),
    "move the state directory away": attempt(lambda: os.rename(state, state + ".gone") or "MOVED"),
    "connect to the daemon's socket": attempt(lambda: connects(facts["socket"])),
    "put a socket in its place": attempt(lambda: os.unlink(facts["socket"]) or "REMOVED"),
    "see the engine's process": attempt(others),
    "read the engine's environment": attempt(lambda: engines("environ")),
    "read the engine's memory map": attempt(lambda: engines("maps")),
    "list the engine's descriptors": attempt(lambda: engines("fd")),
    "enter the engine's root": attempt(lambda: engines("root")),
    "attach to the engine (ptrace)": attempt(lambda: seizes(facts["pid"]) if told(facts["pid"]) else "not there"),
    "signal the engine": attempt(lambda: signals(facts["pid"]) if told(facts["pid"]) else "not there"),
    "become the engine's user": attempt(lambda: turns_into(facts["engine_uid"])),
    "descriptors of the engine": attempt(strangers),
    "variables of the engine": attempt(environment),
    "capabilities": attempt(privileges),
    "groups": attempt(groups),
    "write into the repository": attempt(lambda: writes(f"{facts['repository']}/planted")),
    "write to /usr": attempt(lambda: writes("/usr/planted")),
    "reach a local network port": attempt(lambda: dials(facts["port"])),
}
# Something that outlives the test and would be there for the next one.
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for descriptor in range(3):
            os.close(descriptor)
        os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(600) # left behind"])
    os._exit(0)
print("PROBE:" + json.dumps(answers), flush=True)
"""

HARM = ("READ", "LISTED", "WROTE", "OPENED", "MOVED", "REMOVED", "ATTACHED", "SIGNALLED", "BECAME", "HELD", "HAD")
"""How an answer begins that is a harm. What is told of separately: a connection, and that processes are seen."""


def program(facts: str) -> str:
    """The probe as a program, with what it knows."""
    return PROBE.replace("FACTS", repr(facts), 1)


def harms(answers: dict[str, str], *, but: tuple[str, ...] = ()) -> dict[str, str]:
    """What it got that it must not get."""
    return {what: got for what, got in answers.items() if got.startswith(HARM) and what not in but}
