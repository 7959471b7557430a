"""What a command sees of the file system, as a list of mounts in the order they must be made. Pure but for lstat.

- System directories and a handful of files from /etc, read-only. Never /home, /root, /var, /run or /etc as a whole.
- Declared paths at their own places; the deeper of two nested ones is made later, and so wins.
- A `hidden` path that some mount would show is covered, unless it is itself declared, which is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from autopilot.kernel.errors import ContractError
from autopilot.sandbox.run import CommandSpec

SYSTEM_DIRECTORIES = tuple(Path(name) for name in ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"))

# What programs need to start and to know the user's name and the time zone. No keys, no host names, no mail.
_ETC = tuple(
    Path("/etc", name)
    for name in (
        *("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "passwd", "group", "nsswitch.conf"),
        *("localtime", "timezone", "mime.types", "protocols", "services", "java-17-openjdk"),
    )
)
_ETC_FOR_NETWORK = tuple(
    Path("/etc", name)
    for name in (
        *("hosts", "resolv.conf", "host.conf", "gai.conf", "ssl/certs", "ssl/openssl.cnf", "pki/tls", "pki/ca-trust"),
        *("ca-certificates", "ca-certificates.conf", "crypto-policies", "pip.conf"),
    )
)

Kind = Literal["readonly", "writable", "link", "cover"]


@dataclass(frozen=True, slots=True)
class Mount:
    """One step of building the view: bind `source` at `target`, link `target` to `source`, or cover `target`."""

    kind: Kind
    target: Path
    source: str = ""


def system_mounts(*, network: bool) -> tuple[Mount, ...]:
    """The parts of the system every command sees, as this machine has them."""
    found: list[Mount] = []
    for path in SYSTEM_DIRECTORIES:
        if path.is_symlink():
            found.append(Mount("link", path, str(path.readlink())))
        elif path.is_dir():
            found.append(Mount("readonly", path, str(path)))
    wanted = (*_ETC, *(_ETC_FOR_NETWORK if network else ()))
    # The real file: resolv.conf is often a link into /run, which is not there inside.
    found += [Mount("readonly", path, str(path.resolve())) for path in wanted if path.exists()]
    return tuple(found)


def declared_mounts(spec: CommandSpec) -> tuple[Mount, ...]:
    """The spec's own mounts and covers, shallow ones first. ContractError `bad_config` for what must not be shown."""
    shown = [Mount("readonly", path, str(path)) for path in spec.readonly]
    shown += [Mount("writable", path, str(path)) for path in spec.writable]
    for mount in shown:
        _refuse_too_wide(mount.target)
        if not mount.target.exists():
            raise ContractError("bad_config", where=str(mount.target), detail="a path to be mounted is not there")
    covers: list[Mount] = []
    roots = [mount.target for mount in shown]
    for hidden in spec.hidden:
        if hidden in roots:
            raise ContractError("bad_config", where=str(hidden), detail="a path to be hidden is to be mounted too")
        if hidden.exists() and any(hidden.is_relative_to(root) for root in (*roots, *SYSTEM_DIRECTORIES)):
            covers.append(Mount("cover", hidden))
    return tuple(sorted((*shown, *covers), key=lambda mount: (len(mount.target.parts), str(mount.target))))


def visible(path: Path, spec: CommandSpec) -> bool:
    """Whether `path` lies in something the command sees."""
    return _inside_any(path, (*SYSTEM_DIRECTORIES, *spec.readonly, *spec.writable))


def _inside_any(path: Path, roots: Iterable[Path]) -> bool:
    return any(path.is_relative_to(root) for root in roots)


def _refuse_too_wide(path: Path) -> None:
    # /root, /home/x and everything above them hold keys and tokens; /etc, /var, /run, /proc and their like are the
    # machine's. One of them in a list of mounts is a mistake that would undo all the rest.
    machine = ("etc", "var", "run", "proc", "sys", "dev", "boot", "tmp", "home", "root", "opt", "mnt", "srv", "media")
    if len(path.parts) == 1 or (len(path.parts) == 2 and path.parts[1] in machine) or Path.home().is_relative_to(path):
        raise ContractError(
            "bad_config",
            where=str(path),
            detail="too wide to be mounted into the sandbox",
            remedy="name the folder that is needed, not one that holds a home directory or the machine's own files",
        )
