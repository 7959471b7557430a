"""The environment of a command, made from nothing.

Nothing of the caller's environment passes: PYTEST_ADDOPTS, LD_PRELOAD, PYTHONSTARTUP, GIT_* and their like would
let whoever sets them steer a verifier. What is needed is set to fixed values, then the command's own sealed `env`
is laid over it. A few names are not the command's to set: they decide which program runs, or whose home it sees.

Setup alone is given the caller's package index and proxy settings, by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autopilot.kernel.errors import ContractError

SYSTEM_PATH = (Path("/usr/local/bin"), Path("/usr/bin"), Path("/bin"))

# The sandbox sets these itself. The loader's variables would load code into every program before it starts.
_NOT_FOR_COMMANDS = frozenset({"PATH", "HOME", "TMPDIR", "LD_PRELOAD", "LD_AUDIT", "LD_LIBRARY_PATH", "PYTHONHOME"})

_FOR_SETUP = frozenset(
    {
        *("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_TRUSTED_HOST", "PIP_CERT"),
        *("PIP_CLIENT_CERT", "PIP_PROXY", "PIP_DEFAULT_TIMEOUT", "PIP_RETRIES", "PIP_DISABLE_PIP_VERSION_CHECK"),
        *("PIP_CONFIG_FILE", "UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS"),
        *("UV_OFFLINE", "UV_NATIVE_TLS", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    }
)


@dataclass(frozen=True, slots=True)
class Places:
    """Where a command finds its programs (`path`), its throw-away `home` and its scratch folder (`tmp`)."""

    path: Sequence[Path]
    home: Path
    tmp: Path


def command_environment(own: Mapping[str, str], places: Places) -> dict[str, str]:
    """The whole environment of a command whose sealed `env` is `own`.

    PYTHONSAFEPATH keeps the working directory off `sys.path`: with it, `python -m pytest` cannot be answered by a
    `pytest.py` in the repository. A project that is imported from its root says so: `env = {PYTHONPATH = "."}`.
    Raises ContractError `bad_config` for a name the command may not set.
    """
    for name, value in own.items():
        if name in _NOT_FOR_COMMANDS or not name or "=" in name or "\0" in name + value:
            raise ContractError(
                "bad_config",
                where=f"env.{name}",
                detail="not a variable a command may set",
                remedy="remove it; programs outside the system directories are named by absolute path",
            )
    return {
        "PATH": ":".join(str(folder) for folder in places.path),
        "HOME": str(places.home),
        "TMPDIR": str(places.tmp),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONNOUSERSITE": "1",
        "PYTHONSAFEPATH": "1",
        **own,
    }


def index_environment(caller: Mapping[str, str]) -> dict[str, str]:
    """The part of the caller's environment that setup may see: package index, certificates and proxy."""
    return {name: value for name, value in caller.items() if name in _FOR_SETUP}
