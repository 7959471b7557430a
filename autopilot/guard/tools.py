"""The tools that agents' hosts have, by exact name, and the capability each one needs.

A name that is not in this table (other case, a look-alike letter, a trailing space) is unknown, and unknown is
refused. Tools of MCP servers are known by the pair (server, tool), and only where the operator has registered them.
The table is the source of `docs/reference/tools.md`.

Rules kept: builtins only (see the package).
"""

READ, SEARCH, VCS_READ, HOST = "read", "search", "vcs_read", "host"
PROCESS, EDIT, RUN_TESTS, RUN_COMMAND = "process", "edit", "run_tests", "run_command"
VCS_COMMIT, VCS_PUSH, NETWORK = "vcs_commit", "vcs_push", "network"

# What each capability stands for, in the order the documentation lists them.
CAPABILITIES = {
    READ: "reads files and prints what is known",
    SEARCH: "looks for names and text",
    VCS_READ: "looks at the repository's history and state",
    HOST: "acts inside the agent's host only: to-do lists, questions, sub-agents (whose own calls are judged too)",
    PROCESS: "the task's own work: its current evidence folder and the engine commands of an agent",
    EDIT: "changes files of the repository",
    RUN_TESTS: "runs the project's tests",
    RUN_COMMAND: "runs any one plain command",
    VCS_COMMIT: "changes branches, index or commits",
    VCS_PUSH: "publishes commits",
    NETWORK: "talks to a configured host",
}

# Pass in every phase and without a task. `read` and `host` cannot be narrowed away either.
ALWAYS = frozenset((READ, SEARCH, VCS_READ, HOST))
NEVER_NARROWED = frozenset((READ, HOST, PROCESS))

# How a tool's input is judged.
PLAIN, PATH, SHELL, PATCH, URL, STDIN = "plain", "path", "shell", "patch", "url", "stdin"


class Tool:
    """A capability, how the input is judged (`shape`), the argument names that matter, and the hosts that have it."""

    __slots__ = ("capability", "hosts", "keys", "shape")

    def __init__(self, capability: str, shape: str, keys: tuple[str, ...], hosts: str) -> None:
        self.capability = capability
        self.shape = shape
        self.keys = keys
        self.hosts = hosts


_CLAUDE, _CODEX, _GEMINI, _CURSOR = "Claude Code", "Codex", "Gemini CLI", "Cursor"
_FILE = ("file_path", "path", "notebook_path", "target_file", "target_notebook")
_COMMAND = ("command", "cmd")

# One row: capability, shape, argument names, and per host the tools that are so.
_ROWS: tuple[tuple[str, str, tuple[str, ...], dict[str, tuple[str, ...]]], ...] = (
    (
        READ,
        PLAIN,
        (),
        {
            _CLAUDE: ("Read", "NotebookRead"),
            _CODEX: ("read_file", "view_image"),
            _GEMINI: ("read_file", "read_many_files", "get_internal_docs"),
            _CURSOR: ("Read", "TabRead", "ReadLints"),
        },
    ),
    (
        SEARCH,
        PLAIN,
        (),
        {
            _CLAUDE: ("Glob", "Grep", "LS", "LSP"),
            _CODEX: ("list_dir", "grep_files"),
            _GEMINI: ("list_directory", "glob", "grep_search", "search_file_content"),
            _CURSOR: ("Glob", "Grep", "LS", "SemanticSearch"),
        },
    ),
    (
        EDIT,
        PATH,
        _FILE,
        {
            _CLAUDE: ("Write", "Edit", "MultiEdit", "NotebookEdit"),
            _GEMINI: ("write_file", "replace"),
            _CURSOR: ("Write", "Edit", "StrReplace", "Delete", "EditNotebook", "TabWrite"),
        },
    ),
    (EDIT, PATCH, ("command", "input", "patch"), {_CODEX: ("apply_patch",)}),
    (
        RUN_COMMAND,
        SHELL,
        _COMMAND,
        {
            _CLAUDE: ("Bash", "Monitor"),
            _CODEX: ("Bash", "shell", "shell_command", "local_shell", "container.exec", "exec_command"),
            _GEMINI: ("run_shell_command",),
            _CURSOR: ("Shell",),
        },
    ),
    (RUN_COMMAND, STDIN, ("chars",), {_CODEX: ("write_stdin",)}),
    (NETWORK, URL, ("url",), {_CLAUDE: ("WebFetch",), _GEMINI: ("web_fetch",), _CURSOR: ("WebFetch",)}),
    # A search goes to a host that the call does not name, so that no configured host can match it.
    (
        NETWORK,
        URL,
        (),
        {
            _CLAUDE: ("WebSearch",),
            _CODEX: ("web_search",),
            _GEMINI: ("google_web_search",),
            _CURSOR: ("WebSearch",),
        },
    ),
    (
        HOST,
        PLAIN,
        (),
        {
            _CLAUDE: (
                "Agent",
                "AskUserQuestion",
                "BashOutput",
                "EnterPlanMode",
                "ExitPlanMode",
                "KillShell",
                "ListMcpResourcesTool",
                "SendMessage",
                "Skill",
                "SlashCommand",
                "StructuredOutput",
                "Task",
                "TaskCreate",
                "TaskGet",
                "TaskList",
                "TaskOutput",
                "TaskStop",
                "TaskUpdate",
                "TodoWrite",
                "ToolSearch",
            ),
            _CODEX: ("update_plan", "request_user_input", "list_mcp_resources", "list_mcp_resource_templates"),
            _GEMINI: ("write_todos", "ask_user", "activate_skill", "enter_plan_mode", "exit_plan_mode"),
            _CURSOR: ("Task", "TodoWrite"),
        },
    ),
)


def _table() -> dict[str, Tool]:
    tools: dict[str, Tool] = {}
    for capability, shape, keys, by_host in _ROWS:
        for host, names in by_host.items():
            for name in names:
                known = tools.get(name)
                if known is None:
                    tools[name] = Tool(capability, shape, keys, host)
                elif (known.capability, known.shape) == (capability, shape):
                    known.hosts += ", " + host
                else:
                    raise ValueError("two rows disagree about " + name)
    return tools


TOOLS: dict[str, Tool] = _table()
