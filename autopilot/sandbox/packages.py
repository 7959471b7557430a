"""What an interpreter's environment can bring into a test run, as two digests. Nothing is imported or run.

`sources` covers every file of the installed packages that Python would run or that decides what it runs: modules,
compiled extensions, start-up files (`*.pth`, `sitecustomize`), entry points, `pyvenv.cfg`, and the programs of a
virtual environment. `compiled` covers what lies in `__pycache__`: such files come and go without anyone's doing, so a
difference there is no finding; the runs are then told to leave them all alone.

Not covered: the standard library, folders that a `*.pth` file names beyond other `site-packages` (an editable
install), and what is no Python.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from autopilot.kernel.canonical import sha256_hex
from autopilot.kernel.errors import ContractError

_PACKAGES = (
    *("lib/python3*/site-packages", "lib64/python3*/site-packages"),
    *("lib/python3/dist-packages", "lib/python3*/dist-packages", "local/lib/python3*/dist-packages"),
)
_PACKAGE_FOLDERS = frozenset({"site-packages", "dist-packages"})
# Read from the standard library's own folder before any program.
_STARTUP = ("sitecustomize.py", "usercustomize.py", "sitecustomize/*.py", "usercustomize/*.py")
_SUFFIXES = (".py", ".pyc", ".so", ".pyd", ".pth", ".zip", ".egg", ".egg-link")
_NAMES = frozenset({"entry_points.txt"})
_CACHE = "__pycache__"
_MAX_DEPTH = 64
_PIECE_BYTES = 1 << 20

# Digests by path and stat, for this process alone: times can be set by anybody, an inode's change time only by the
# clock, and no process of ours lives long enough for that to be worth it.
_seen: dict[str, tuple[tuple[int, ...], str]] = {}


@dataclass(frozen=True, slots=True)
class PackageDigests:
    """SHA-256 over `sources`, which must not change during a task, and over `compiled`, which may."""

    sources: str
    compiled: str


def package_digests(prefix: Path, base: Path) -> PackageDigests:
    """The digests of the environment with these `sys.prefix` and `sys.base_prefix`.

    Where they differ, the packages of `base` count if `pyvenv.cfg` shows them to the environment.
    ContractError `path_unreadable` for a file that cannot be read: what is not seen could be anything.
    """
    sources: set[str] = set()
    compiled: set[str] = set()
    try:
        for path in sorted(_files(prefix, base)):
            (compiled if f"/{_CACHE}/" in path else sources).add(f"{path} {_digest(path)}")
    except OSError as error:
        detail = f"in the interpreter's environment: {error.strerror}"
        raise ContractError("path_unreadable", where=str(error.filename), detail=detail) from None
    return PackageDigests(*(sha256_hex("\n".join(sorted(lines)).encode()) for lines in (sources, compiled)))


def _files(prefix: Path, base: Path) -> Iterator[str]:
    folders: dict[Path, None] = {}
    for root in dict.fromkeys((prefix, base)):
        marker = root / "pyvenv.cfg"
        if marker.is_file():
            yield str(marker)
            yield from (str(path) for path in (root / "bin").glob("*") if path.is_file())
        if root == prefix or _shows_base(prefix / "pyvenv.cfg"):
            # `lib64` is a link to `lib` in most environments: by its real name a folder is looked at once.
            folders |= dict.fromkeys(found.resolve() for pattern in _PACKAGES for found in sorted(root.glob(pattern)))
        yield from (str(path) for name in _STARTUP for path in root.glob(f"lib/python3*/{name}") if path.is_file())
    waiting = list(folders)
    while waiting:
        folder = waiting.pop()
        waiting += [named for named in _named_by_pth(folder) if named not in folders]
        folders |= dict.fromkeys(waiting)
        yield from _below(str(folder))


def _shows_base(marker: Path) -> bool:
    """Whether an environment imports the packages of the installation it was made from."""
    lines = marker.read_text("utf-8", "replace").splitlines() if marker.is_file() else []
    settings = {key.strip().lower(): value.strip().lower() for key, _, value in (line.partition("=") for line in lines)}
    # What Python takes for yes; a marker that says nothing is none of a virtual environment.
    return settings.get("include-system-site-packages", "true") != "false"


def _below(top: str) -> list[str]:
    """Every file below the folder that counts; links are followed, but not in circles.

    Some 7,000 files are looked at for each call that runs anything: hence names as text, and one pass.
    """
    files: list[str] = []
    waiting: list[tuple[str, frozenset[str]]] = [(top, frozenset())]
    while waiting:
        folder, above = waiting.pop()
        real = os.path.realpath(folder)
        if real in above or len(above) > _MAX_DEPTH or not os.path.isdir(real):  # noqa: PTH112
            continue
        inside = above | {real}
        with os.scandir(folder) as found:
            for entry in found:
                name = entry.name
                if (name.endswith(_SUFFIXES) or name in _NAMES) and entry.is_file():
                    files.append(entry.path)
                    continue
                if entry.is_dir():
                    waiting.append((entry.path, inside))
    return files


def _named_by_pth(folder: Path) -> Iterator[Path]:
    """Folders of packages that the folder's `*.pth` files put on the import path as well."""
    for file in sorted(folder.glob("*.pth")):
        for line in file.read_text("utf-8", "replace").splitlines() if file.is_file() else ():
            if "\0" not in line and not line.startswith(("#", "import ", "import\t")):
                named = folder / line.strip()
                if named.name in _PACKAGE_FOLDERS and named.is_dir():
                    yield named.resolve()


def _digest(path: str) -> str:
    found = os.stat(path)  # noqa: PTH116
    key = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    known = _seen.get(path)
    if known is None or known[0] != key:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            digest = hashlib.sha256()
            while piece := os.read(file, _PIECE_BYTES):
                digest.update(piece)
        finally:
            os.close(file)
        known = (key, digest.hexdigest())
        _seen[path] = known
    return known[1]
