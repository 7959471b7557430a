"""Where a path lies, for writing: the task's evidence folder, the repository, a protected place, or outside.

Paths are compared by whole components after `.` and `..` are taken out, and names of protected places without
regard to case, because a file system may have none. Links are not followed here: the shell around the decision
resolves every path that `decision.paths_named` lists and hands the results in as `snapshot["resolved"]`; the name as
given and the place it resolves to are both judged, and the stricter answer counts.

Protected, whether existing yet or not: everything below `state/` but the current phase's folder of the task, every
`.git`, the repository's `autopilot.toml`, the hook configuration of the known hosts, and what `snapshot["protected"]`
adds.

Rules kept: builtins only (see the package).
"""

EVIDENCE, INSIDE, SCRATCH, PROTECTED, ABOVE, OUTSIDE = "evidence", "inside", "scratch", "protected", "above", "outside"

# Below any folder, at any depth: `/name/` matches a whole component, and all that lies below it.
_GUARDED_PARTS = (
    "/.git/",
    "/.codex/",
    "/.claude/hooks/",
    "/.gemini/settings.json/",
    "/.cursor/hooks.json/",
    "/.cursor/hooks/",
    "/claude-code/managed-settings.json/",
)
# Folders that hold hook configuration beside other things: as a whole they are not for an agent to move or remove.
_GUARDED_FOLDERS = ("/.claude/", "/.gemini/", "/.cursor/")


class Places:
    """The folders of one snapshot, made ready for comparison. All are absolute and free of links."""

    __slots__ = ("config", "evidence", "extra", "folded_root", "folded_state", "human", "root", "scratch")

    def __init__(self, root: str, state: str, evidence: str) -> None:
        self.root = root + "/"
        self.folded_root = root.casefold() + "/"
        self.folded_state = state.casefold() + "/"
        self.evidence = evidence + "/" if evidence else ""
        self.config = self.folded_root + "autopilot.toml/"
        self.scratch: tuple[str, ...] = ()
        self.extra: tuple[str, ...] = ()
        self.human = False


def absolute(path: str, base: str) -> str:
    """`path` from `base` without `.` and `..`; empty where it cannot be compared (blank, `~`, unprintable)."""
    if not path or path[0] == "~" or not path.isprintable():
        return ""
    if path[0] != "/":
        path = base + "/" + path
    if "/." not in path and "//" not in path:
        return path.rstrip("/") or "/"
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if parts:
                parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


def place(path: str, places: Places) -> str:
    """Where the absolute `path` lies for a writer. `ABOVE` is a folder that holds a protected place."""
    folded = path.casefold() + "/" if path != "/" else "/"
    if folded.startswith(places.folded_state):
        if places.evidence and (path + "/").startswith(places.evidence) and not _guarded(folded, places):
            return EVIDENCE
        return PROTECTED
    if _guarded(folded, places):
        return PROTECTED
    if places.folded_state.startswith(folded) or places.folded_root.startswith(folded):
        return ABOVE
    if path.startswith(places.root):
        return INSIDE
    for folder in places.scratch:
        if path.startswith(folder):
            return SCRATCH
    return OUTSIDE


def _guarded(folded: str, places: Places) -> bool:
    # The cheap question first: only names with a dot folder in them can be host configuration.
    if "/." in folded:
        for part in _GUARDED_PARTS:
            if part in folded:
                return True
        for folder in _GUARDED_FOLDERS:
            if folded.endswith(folder):
                return True
        if _claude_settings(folded):
            return True
    elif "/claude-code/managed-settings.json/" in folded:
        return True
    if folded == places.config:
        # The commands and thresholds of the gates; a person may edit them, and loosening waits for approval anyway.
        return not places.human
    return any(folded.startswith(extra) for extra in places.extra)


def _claude_settings(folded: str) -> bool:
    """`.claude/settings.json`, `settings.local.json` and any other `settings*.json` beside them."""
    _, found, rest = folded.rpartition("/.claude/")
    return bool(found) and rest.startswith("settings") and ".json/" in rest
