"""The guard's decision: one tool call held against one snapshot of the task. Values in, an `Answer` out.

The snapshot is plain JSON data, so that it can be written to disk and read by a hook. Its keys:

    task, phase       the open task and its phase (upper case); both empty without a task
    capabilities      what the profile gives in this phase
    narrow            lists of capabilities; one that is missing in any of them is refused (profile, persona)
    root, state_dir   absolute, free of links
    cwd               where relative paths begin; `root` if not given
    resolved          each path that `paths_named` lists -> its absolute place, links followed
    actor_kind        `human` lifts what is only forbidden to agents; anything else is an agent
    network_hosts     host names that `network` may reach
    tools             [server, tool, capability, [path arguments]] of MCP tools the operator registered
    test_commands     argument vectors that count as running the project's tests (without `{report}` and the like)
    engine            other words by which the engine may be called, such as `/srv/venv/bin/autopilot`
    scratch           absolute folders outside the repository where files may be written
    protected         absolute paths protected in addition

Rules kept: builtins only, here and in all it imports. The strictest rule wins: every rule is asked, an allow is
given only at the end, and an entry that allows something cannot lift what another rule refuses. Anything malformed
is refused. What the caller sees of a refusal names the rule, the reason and what is allowed now.
"""

from autopilot.guard import commands
from autopilot.guard.paths import ABOVE, EVIDENCE, INSIDE, OUTSIDE, PROTECTED, Places, absolute, place
from autopilot.guard.tools import (
    ALWAYS,
    CAPABILITIES,
    EDIT,
    HOST,
    NETWORK,
    NEVER_NARROWED,
    PATCH,
    PATH,
    PLAIN,
    PROCESS,
    READ,
    SEARCH,
    SHELL,
    STDIN,
    TOOLS,
    URL,
    VCS_READ,
)
from autopilot.guard.verdicts import GUARDED, NEVER, OK, UNCLEAR, Need, needs, unclear

ALLOW, DENY = "allow", "deny"
PHASES = ("STRATEGIZE", "SPEC", "PLAN", "THINK", "IMPLEMENT", "VERIFY", "REVIEW", "PR", "MONITOR")

# Every rule that can decide, with what it says. The documentation lists them from here.
RULES = {
    "allow.always": "reading and the host's own tools pass in every phase and without a task",
    "allow.process": "the task's own evidence folder and engine commands",
    "allow.phase": "the phase gives the capability",
    "deny.input": "the call or the snapshot is not what it must be",
    "deny.server": "an MCP server whose name could be confused with another's",
    "deny.unknown": "the tool is not in the table",
    "deny.never": "never for an agent",
    "deny.unclear": "a command line that cannot be read",
    "deny.protected": "a protected path, or a folder above one",
    "deny.unresolved": "a path to be written that was not resolved before",
    "deny.outside": "a path outside the repository",
    "deny.host": "a host that is not configured",
    "deny.context": "without a task only reading is allowed",
    "deny.phase": "the phase does not give the capability",
    "deny.narrowed": "the profile or persona takes the capability away",
}


class Answer:
    """`decision` (allow or deny), the `rule` that decided, `capability`, (code, detail) `reasons`, `allowed_now`."""

    __slots__ = ("allowed_now", "capability", "decision", "reasons", "rule")

    def __init__(
        self, rule: str, capability: str, reasons: tuple[tuple[str, str], ...], allowed_now: tuple[str, ...]
    ) -> None:
        self.decision = DENY if reasons else ALLOW
        self.rule = rule
        self.capability = capability
        self.reasons = reasons
        self.allowed_now = allowed_now

    def as_dict(self) -> dict[str, object]:
        """The answer as plain data."""
        return {
            "decision": self.decision,
            "rule": self.rule,
            "capability": self.capability,
            "reasons": [list(reason) for reason in self.reasons],
            "allowed_now": list(self.allowed_now),
        }


class _Refused(Exception):  # noqa: N818 - an answer, carried out of nested checks
    def __init__(self, rule: str, code: str, detail: str, capability: str = "") -> None:
        super().__init__(rule)
        self.rule = rule
        self.code = code
        self.detail = detail
        self.capability = capability


def decide(snapshot: dict[str, object], tool: str, server: str, tool_input: dict[str, object]) -> Answer:
    """May `tool` of `server` (empty for the host's own) run with `tool_input`? Never raises: doubt is a refusal."""
    try:
        rule, capability = _decide(snapshot, tool, server, tool_input)
        reasons: tuple[tuple[str, str], ...] = ()
    except _Refused as refusal:
        rule, capability = refusal.rule, refusal.capability
        reasons = ((refusal.code, refusal.detail),)
    except Exception as error:  # noqa: BLE001 - a guard that fails must refuse, whatever failed
        rule, capability = "deny.input", ""
        reasons = (("tool_not_understood", "the guard failed: " + type(error).__name__),)
    return Answer(rule, capability, reasons, _allowed_now(snapshot))


def paths_named(snapshot: dict[str, object], tool: str, server: str, tool_input: dict[str, object]) -> tuple[str, ...]:
    """The paths whose place the decision will ask for: resolve each (links followed) into `snapshot["resolved"]`."""
    try:
        need = _need(snapshot, tool, server, tool_input)
    except Exception:  # noqa: BLE001 - the decision meets the same fault, and refuses
        return ()
    return (*need.writes, *need.touches, *need.runs, *need.stays)


def _decide(snapshot: dict[str, object], tool: str, server: str, tool_input: dict[str, object]) -> tuple[str, str]:
    need = _need(snapshot, tool, server, tool_input)
    if need.kind == NEVER:
        if snapshot.get("actor_kind") != "human":
            raise _Refused("deny.never", "tool_never_for_agents", need.detail)
        return "allow.process", PROCESS
    if need.kind == UNCLEAR:
        raise _Refused("deny.unclear", "tool_not_understood", need.detail)
    if need.kind == GUARDED:
        raise _Refused("deny.protected", "tool_path_protected", need.detail)
    if snapshot.get("actor_kind") != "human" and _names_keys(need, tool, tool_input, snapshot):
        raise _Refused("deny.protected", "tool_path_protected", "the folder of the signing keys")
    wanted = need.capabilities
    if need.writes or need.touches or need.runs or need.stays:
        wanted = _with_places(need, snapshot)
    if NETWORK in wanted:
        _check_host(need.url, _texts(snapshot, "network_hosts"))
    rule = "allow.always"
    for capability in wanted:
        rule = _allowed(capability, snapshot, need)
    return rule, wanted[-1]


def _names_keys(need: Need, tool: str, tool_input: dict[str, object], snapshot: dict[str, object]) -> bool:
    """Whether a call that reads or runs something names the engine's folder of keys. Texts to be written may."""
    known, state = TOOLS.get(tool), snapshot.get("state_dir")
    reads = READ in need.capabilities or SEARCH in need.capabilities or (known is not None and known.shape == SHELL)
    if type(state) is not str or not reads:
        return False
    folder = state.rpartition("/")[2].casefold() + "/keys"
    return any(_names_folder(value, folder) for value in tool_input.values())


def _names_folder(value: object, folder: str) -> bool:
    if isinstance(value, str):
        text = value.casefold()
        while "//" in text or "/./" in text:
            text = text.replace("//", "/").replace("/./", "/")
        return folder in text
    return isinstance(value, (list, tuple)) and any(_names_folder(item, folder) for item in value)


def _need(snapshot: dict[str, object], tool: str, server: str, tool_input: dict[str, object]) -> Need:
    if type(tool) is not str or type(server) is not str or type(tool_input) is not dict or type(snapshot) is not dict:
        raise _Refused("deny.input", "tool_not_understood", "not a tool call")
    if server:
        return _registered(snapshot, tool, server, tool_input)
    known = TOOLS.get(tool)
    if known is None:
        raise _Refused("deny.unknown", "tool_unknown", repr(tool)[:120])
    shape = known.shape
    if shape == PLAIN:
        return needs(known.capability)
    if shape == PATH:
        return Need(OK, (), writes=_path_arguments(tool_input, known.keys))
    return _SHAPES[shape](tool_input, known.keys, snapshot)


def _registered(snapshot: dict[str, object], tool: str, server: str, tool_input: dict[str, object]) -> Need:
    # `a__b` + `c` and `a` + `b__c` read the same once joined by a host, and so do `a_` + `b` and `a` + `_b`.
    if "__" in server or server[-1] == "_":
        raise _Refused("deny.server", "tool_unknown", f"the server name {server!r}"[:120])
    capabilities: list[str] = []
    writes: list[str] = []
    for row in _rows(snapshot, "tools"):
        if row[0] != server or row[1] != tool:
            continue
        capability = row[2]
        if capability not in CAPABILITIES or capability == PROCESS:
            raise _Refused("deny.input", "tool_not_understood", f"registered as {capability!r}"[:120])
        capabilities.append(str(capability))
        if capability == EDIT:
            keys = row[3] if len(row) > 3 else ()
            writes.extend(_path_arguments(tool_input, tuple(keys) if isinstance(keys, (list, tuple)) else ()))
    if not capabilities:
        raise _Refused("deny.unknown", "tool_unknown", repr((server, tool))[:120])
    # Registered twice: all of it is needed. With paths, `edit` is decided by where they lie.
    need = Need(OK, tuple(name for name in capabilities if name != EDIT), writes=tuple(writes))
    if NETWORK in capabilities:
        need.url = _path_arguments(tool_input, ("url",))[0]
    return need


def _path_arguments(tool_input: dict[str, object], keys: tuple[str, ...]) -> tuple[str, ...]:
    found: list[str] = []
    for key in keys:
        value = tool_input.get(key)
        if value is None:
            continue
        if type(value) is not str:
            raise _Refused("deny.input", "tool_not_understood", f"{key} is not text")
        found.append(value)
    if not found:
        # Nothing to hold against the protected places is not the same as nothing protected.
        raise _Refused("deny.input", "tool_not_understood", "no path in the call")
    return tuple(found)


def _shell(tool_input: dict[str, object], keys: tuple[str, ...], snapshot: dict[str, object]) -> Need:
    lines = [tool_input[key] for key in keys if key in tool_input]
    if len(lines) != 1:
        return unclear("no command, or more than one")
    if tool_input.get("shell", "bash") not in commands.SYSTEM_SHELLS:
        return unclear("a shell that is not the system's")
    tests = tuple(tuple(str(word) for word in row) for row in _rows(snapshot, "test_commands"))
    project = commands.Project(tests, _texts(snapshot, "engine"))
    line = lines[0]
    if isinstance(line, str):
        need = commands.read_line(line, project)
    elif isinstance(line, (list, tuple)) and all(type(word) is str for word in line):
        need = commands.read_argv(tuple(line), project)
    else:
        return unclear("a command that is not text")
    folder = _folder(tool_input)
    if folder:
        need.writes = tuple(_from_folder(folder, path) for path in need.writes)
        need.touches = tuple(_from_folder(folder, path) for path in need.touches)
        need.runs = tuple(_from_folder(folder, path) for path in need.runs)
        stays = tuple(_from_folder(folder, path) for path in need.stays)
        # An engine command finds its repository from where it starts.
        need.stays = stays or ((folder,) if PROCESS in need.capabilities else ())
    return need


def _folder(tool_input: dict[str, object]) -> str:
    """The folder a host's shell tool starts the line in, where the call names one."""
    for key in ("workdir", "cwd", "dir_path", "directory", "working_directory"):
        value = tool_input.get(key)
        if isinstance(value, str) and value:
            return value
    return ""


def _from_folder(folder: str, path: str) -> str:
    return path if path[:1] == "/" else folder + "/" + path


_PATCH_HEADERS = ("*** Add File:", "*** Update File:", "*** Delete File:", "*** Move to:")


def _patch(tool_input: dict[str, object], keys: tuple[str, ...], snapshot: dict[str, object]) -> Need:
    del snapshot
    found: list[str] = []
    for key in keys:
        value = tool_input.get(key)
        texts = value if isinstance(value, (list, tuple)) else (value,)
        for text in texts:
            if not isinstance(text, str):
                continue
            # `splitlines` breaks at more places than the patch tool does: it can only find more headers.
            for line in text.splitlines():
                stripped = line.strip()
                found.extend(stripped[len(head) :].strip() for head in _PATCH_HEADERS if stripped.startswith(head))
    if not found:
        return unclear("a patch that names no file")
    folder = _folder(tool_input)
    return Need(OK, (), writes=tuple(_from_folder(folder, path) if folder else path for path in found))


def _url(tool_input: dict[str, object], keys: tuple[str, ...], snapshot: dict[str, object]) -> Need:
    del snapshot
    need = needs(NETWORK)
    for key in keys:
        value = tool_input.get(key)
        if isinstance(value, str):
            need.url = value
    return need


def _stdin(tool_input: dict[str, object], keys: tuple[str, ...], snapshot: dict[str, object]) -> Need:
    del snapshot
    for key in keys:
        if tool_input.get(key, "") != "":
            return unclear("text typed into a running program")
    return needs(HOST)  # nothing is typed: it only looks at the output


_SHAPES = {SHELL: _shell, PATCH: _patch, URL: _url, STDIN: _stdin}


def _places(snapshot: dict[str, object]) -> Places:
    root, state = snapshot.get("root"), snapshot.get("state_dir")
    if type(root) is not str or type(state) is not str or root[:1] != "/" or state[:1] != "/":
        raise _Refused("deny.input", "tool_no_context", "the snapshot names no repository")
    task, phase = _context(snapshot)
    evidence = f"{state}/evidence/{task}/{phase.lower()}" if task else ""
    places = Places(root, state, evidence)
    places.human = snapshot.get("actor_kind") == "human"
    if "scratch" in snapshot:
        places.scratch = tuple(folder.rstrip("/") + "/" for folder in _texts(snapshot, "scratch"))
    if "protected" in snapshot:
        places.extra = tuple(path.rstrip("/").casefold() + "/" for path in _texts(snapshot, "protected"))
    return places


def _with_places(need: Need, snapshot: dict[str, object]) -> tuple[str, ...]:
    """The capabilities of `need`, with those its paths ask for; refuses a path no one may write."""
    places = _places(snapshot)
    resolved = snapshot.get("resolved")
    known = resolved if type(resolved) is dict else {}
    base = snapshot.get("cwd", places.root)
    if type(base) is not str or base[:1] != "/":
        raise _Refused("deny.input", "tool_not_understood", "the snapshot's cwd")
    wanted = list(need.capabilities)
    for path in need.touches:
        real = known.get(path)
        if need.writes and type(real) is not str:
            raise _Refused("deny.unresolved", "tool_not_understood", "not resolved: " + path[:200], EDIT)
        for where in (absolute(path, base), real):
            if type(where) is str and where and place(where, places) == PROTECTED:
                raise _Refused("deny.protected", "tool_path_protected", path[:200])
    for path in need.runs:
        for where in (absolute(path, base), known.get(path, places.root)):
            if type(where) is not str or place(where.rstrip("/") or "/", places) not in (INSIDE, ABOVE):
                # What lies in the evidence folder or outside is nobody's test, and would run in every test phase.
                raise _Refused("deny.unclear", "tool_not_understood", "tests outside the repository: " + path[:200])
    _check_folders(need.stays, base, known, places)
    for path in need.writes:
        capability = _written(path, base, known.get(path), places)
        if capability not in wanted:
            wanted.append(capability)
    return tuple(wanted)


def _check_folders(folders: tuple[str, ...], base: str, known: dict[object, object], places: Places) -> None:
    """Refuses a folder to act in that is not in the repository, as given and with its links followed."""
    for path in folders:
        for where in (absolute(path, base), known.get(path)):
            if type(where) is not str or not (where + "/").startswith(places.root):
                raise _Refused("deny.outside", "path_outside", "autopilot in another folder: " + path[:200])


def _written(path: str, base: str, real: object, places: Places) -> str:
    given = absolute(path, base)
    if not given:
        raise _Refused("deny.input", "tool_not_understood", "a path that cannot be compared")
    where = place(given, places)
    if where in (PROTECTED, ABOVE):
        raise _Refused("deny.protected", "tool_path_protected", path[:200], EDIT)
    if type(real) is not str or (real != given and absolute(real, "/") != real):
        # A link anywhere in the path could lead into a protected place, and only the shell around can see links.
        raise _Refused("deny.unresolved", "tool_not_understood", "not resolved: " + path[:200], EDIT)
    if real != given:
        where = place(real, places)
    if where in (PROTECTED, ABOVE):
        raise _Refused("deny.protected", "tool_path_protected", path[:200], EDIT)
    if where == OUTSIDE:
        raise _Refused("deny.outside", "path_outside", path[:200], EDIT)
    return PROCESS if where == EVIDENCE else EDIT


def _check_host(url: str, hosts: tuple[str, ...]) -> None:
    """Refuses a `url` that is not https to exactly one of `hosts`, or that a client could read otherwise."""
    rest = url[8:] if url.startswith("https://") and url.isascii() and url.isprintable() else ""
    host = rest
    for stop in "/?#":
        host = host.partition(stop)[0]
    # A user part, a port or a backslash stays in `host`, and then it is none of the configured ones.
    if not host or host.lower() not in hosts:
        raise _Refused("deny.host", "tool_host_unlisted", url[:200] or "the call names no host", NETWORK)


def _allowed(capability: str, snapshot: dict[str, object], need: Need) -> str:
    """The rule that allows `capability`; refuses it otherwise."""
    if "narrow" in snapshot and capability not in NEVER_NARROWED:
        for row in _rows(snapshot, "narrow"):
            if capability not in row:
                raise _Refused("deny.narrowed", "tool_out_of_phase", capability, capability)
    if capability in ALWAYS:
        return "allow.always"
    task, phase = _context(snapshot)
    if capability == PROCESS and (need.free or task):
        return "allow.process"
    if not task:
        raise _Refused("deny.context", "tool_no_context", capability, capability)
    if capability not in _texts(snapshot, "capabilities"):
        raise _Refused("deny.phase", "tool_out_of_phase", f"{capability} in {phase}", capability)
    return "allow.phase"


def _context(snapshot: dict[str, object]) -> tuple[str, str]:
    """The task and its phase, or two empty texts if either is missing, malformed or over."""
    task, phase = snapshot.get("task"), snapshot.get("phase")
    if type(task) is str and type(phase) is str and task and phase in PHASES and "/" not in task and ".." not in task:
        return task, phase
    return "", ""


def _texts(snapshot: dict[str, object], key: str) -> tuple[str, ...]:
    value = snapshot.get(key, ())
    if not isinstance(value, (list, tuple)) or not all(type(item) is str for item in value):
        raise _Refused("deny.input", "tool_not_understood", f"the snapshot's {key}")
    return tuple(value)


def _rows(snapshot: dict[str, object], key: str) -> tuple[tuple[object, ...], ...]:
    value = snapshot.get(key, ())
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, (list, tuple)) for item in value):
        raise _Refused("deny.input", "tool_not_understood", f"the snapshot's {key}")
    return tuple(tuple(item) for item in value)


def _allowed_now(snapshot: dict[str, object]) -> tuple[str, ...]:
    """What the caller can do next, most useful first; for people and agents to read."""
    if type(snapshot) is not dict:
        return ()
    task, phase = _context(snapshot)
    if not task:
        return (READ, SEARCH, VCS_READ, "autopilot task open", "autopilot task list", "autopilot status")
    given = snapshot.get("capabilities")
    names = given if isinstance(given, (list, tuple)) else ()
    return (
        f"autopilot next {task}",
        f"write state/evidence/{task}/{phase.lower()}/",
        *(str(name) for name in names),
    )


__all__ = ["ALLOW", "DENY", "PHASES", "RULES", "Answer", "decide", "paths_named"]
