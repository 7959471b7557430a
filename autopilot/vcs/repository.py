"""Where the repository is, which worktree this is, and what its HEAD says: found without running its configuration.

Rules kept here:

- The working tree is the folder that holds `.git`, whatever `core.worktree` says: a setting must not be able to point
  the engine at a clean copy.
- A `.git` file must name a git directory that names the folder back, so that a folder cannot pass for a worktree it
  is not.
- Commits and trees are read through `vcs.objects`, which hashes what it reads.
"""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from autopilot.kernel.errors import ContractError, IntegrityError
from autopilot.vcs import refs
from autopilot.vcs.git import run_git, scratch
from autopilot.vcs.objects import ObjectSession, ObjectStore

DETACHED = "HEAD"
MAIN = "main"

_ID = re.compile(r"[0-9a-f]{4,64}")
_MAX_TAG_STEPS = 10


@dataclass(frozen=True, slots=True)
class Repository:
    """One working tree of one git repository (for a bare one: its git directory).

    `worktree_id` is `main`, or `worktrees/<name>` for a linked worktree. `main_worktree` is the common directory where
    there is no main worktree. `linkless`: its owner is not who reads it, and could have that reader fetch what is
    closed to the owner. So no link is followed in the git directory, and no object is borrowed from elsewhere.
    """

    root: Path
    git_dir: Path
    common_dir: Path
    main_worktree: Path
    worktree_id: str
    bare: bool
    object_format: str
    linkless: bool = False

    @classmethod
    def locate(cls, path: Path, *, linkless: bool = False) -> Repository:
        """The repository `path` lies in. ContractError `not_a_repository` or `unsupported_repository`."""
        try:
            return cls._locate(path, linkless)
        except (OSError, ValueError, RuntimeError) as error:
            # The files that say where a repository is hold any bytes: NULs, names too long, links in a circle.
            raise ContractError("not_a_repository", where=str(path), detail=f"git's own files: {error}") from None

    @classmethod
    def _locate(cls, path: Path, linkless: bool) -> Repository:
        start = path.resolve()
        for folder in (start, *start.parents):
            if (folder / ".git").is_dir() or (folder / ".git").is_file():
                return _worktree(folder, linkless)
            if folder.name != ".git" and _is_git_dir(folder):
                return _bare(folder, linkless)
        raise ContractError("not_a_repository", where=str(path), detail=f"{path} is in no git repository")

    def branch(self) -> str:
        """Short name of the checked-out branch; `HEAD` when it is detached."""
        target = refs.head_target(self.git_dir, linkless=self.linkless)
        return target.removeprefix("refs/heads/") if target.startswith("refs/") else DETACHED

    def head_commit(self) -> str | None:
        """Id of the commit HEAD stands at, None before the first one."""
        # Asked for its own refusal: a HEAD that names no ref is not a branch before its first commit.
        refs.head_target(self.git_dir, linkless=self.linkless)
        return refs.resolve(self.git_dir, self.common_dir, "HEAD", linkless=self.linkless)

    def head_tree(self) -> str | None:
        """Id of HEAD's tree, None before the first commit."""
        return self.commit_tree("HEAD") if self.head_commit() else None

    def commit_tree(self, rev: str) -> str:
        """Id of the tree of a commit named by branch, tag, `HEAD`, full or unambiguous shortened id.

        Raises ContractError `unknown_revision`; IntegrityError where the objects are not what their ids say.
        """
        with self.objects() as objects:
            _, data = self.commit_named(objects, rev)
        return _fields(data)["tree"]

    def objects(self) -> AbstractContextManager[ObjectSession]:
        """The repository's objects, for reading."""
        return self.store(None).session()

    def store(self, engine_dir: Path | None) -> ObjectStore:
        """The repository's objects, below those of the engine in `engine_dir` (None: none of its own)."""
        return ObjectStore(engine_dir, self.common_dir / "objects", self.object_format, linkless=self.linkless)

    def commit_named(self, objects: ObjectSession, rev: str) -> tuple[str, bytes]:
        """Id and content of the commit that `rev` names, in the forms and with the errors of `commit_tree`."""
        named = refs.resolve(self.git_dir, self.common_dir, rev, linkless=self.linkless)
        sha, kind = objects.kind(named or rev) if named or _ID.fullmatch(rev) else ("", "")
        for _ in range(_MAX_TAG_STEPS):
            if kind not in ("tag", "commit"):
                break
            data = objects.read(sha, kind)
            fields = _fields(data)
            wanted = ("tree",) if kind == "commit" else ("object", "type")
            if not set(wanted) <= set(fields):
                raise IntegrityError("git_object_corrupt", where=sha, detail=f"a {kind} that names no {wanted[0]}")
            if kind == "commit":
                return sha, data
            sha, kind = fields["object"], fields["type"]
        raise ContractError(
            "unknown_revision",
            where=rev,
            detail=f"{rev!r} names no commit here",
            remedy="name a branch, tag or commit id",
        )


def _fields(data: bytes) -> dict[str, str]:
    """The header of a commit or tag. The first "tree" line counts; reversed, so that it is the last to be put in."""
    lines = data.split(b"\n\n", 1)[0].decode("utf-8", "replace").split("\n")[::-1]
    return dict(line.split(" ", 1) for line in lines if " " in line)


def _worktree(root: Path, linkless: bool) -> Repository:
    marker = root / ".git"
    git_dir = marker.resolve() if marker.is_dir() else _named_by(marker, root, linkless)
    if not _is_git_dir(git_dir) and not (git_dir / "commondir").is_file():
        raise ContractError("not_a_repository", where=str(git_dir), detail="no git directory there")
    pointer = refs.read_small(git_dir / "commondir", linkless=linkless)
    common_dir = (git_dir / pointer.decode().strip()).resolve() if pointer is not None else git_dir
    settings = _settings(common_dir, linkless)
    if git_dir != common_dir:
        _check_named_back(git_dir, common_dir, marker, linkless)
        main, worktree_id = _main_worktree(common_dir, settings, linkless) or common_dir, f"worktrees/{git_dir.name}"
    elif common_dir.name != ".git" and settings.get("core.bare") == "true":
        return _bare(common_dir, linkless)
    else:
        main, worktree_id = _main_worktree(common_dir, settings, linkless) or root, MAIN
        if main != root:
            raise ContractError(
                "not_a_repository",
                where=str(marker),
                detail=f"it names the git directory of {main}, which does not name it back",
                remedy=f"work in {main}, or add a worktree with `git worktree add`",
            )
    named = _object_format(settings)
    return Repository(root, git_dir, common_dir, main, worktree_id, bare=False, object_format=named, linkless=linkless)


def _bare(folder: Path, linkless: bool) -> Repository:
    named = _object_format(_settings(folder, linkless))
    return Repository(folder, folder, folder, folder, MAIN, bare=True, object_format=named, linkless=linkless)


def _is_git_dir(folder: Path) -> bool:
    return (folder / "HEAD").is_file() and (folder / "objects").is_dir() and (folder / "refs").is_dir()


def _named_by(marker: Path, root: Path, linkless: bool) -> Path:
    text = (refs.read_small(marker, linkless=linkless) or b"").decode("utf-8", "surrogateescape").rstrip("\n")
    if not text.startswith("gitdir: "):
        raise ContractError("not_a_repository", where=str(marker), detail="the .git file names no git directory")
    return (root / text.removeprefix("gitdir: ")).resolve()


def _check_named_back(git_dir: Path, common_dir: Path, marker: Path, linkless: bool) -> None:
    """Refuse a folder that the repository itself does not count among its worktrees.

    A git directory elsewhere is somebody's own, whatever it names; and a `.git` that is a link to a worktree's would be
    named back in its place.
    """
    data = refs.read_small(git_dir / "gitdir", linkless=linkless) or b""
    back = Path(data.decode("utf-8", "surrogateescape").strip())
    ours = git_dir.parent == common_dir / "worktrees"
    if not ours or not data or (git_dir / back).resolve() != marker:
        raise ContractError(
            "not_a_repository",
            where=str(marker),
            detail=f"the worktree {git_dir.name} is at {back}, not here",
            remedy="run `git worktree repair`",
        )


def _main_worktree(common_dir: Path, settings: dict[str, str], linkless: bool) -> Path | None:
    """The folder the main worktree is in; the git directory itself where there is none; None if nothing says."""
    if common_dir.name == ".git":
        return common_dir.parent
    if settings.get("core.bare") == "true":
        return common_dir
    if "core.worktree" in settings:
        # A submodule: its git directory lies in its parent's. Believed only if the folder names it back.
        claimed = (common_dir / settings["core.worktree"]).resolve()
        if (claimed / ".git").is_file() and _named_by(claimed / ".git", claimed, linkless) == common_dir:
            return claimed
    return None


def _settings(common_dir: Path, linkless: bool) -> dict[str, str]:
    """The repository's own settings."""
    return plain_settings(common_dir / "config", linkless=linkless)


def plain_settings(path: Path, *, linkless: bool = False) -> dict[str, str]:
    """A file of git's settings as plain data: no includes, and none of them in force. Empty where there is none."""
    data = refs.read_small(path, linkless=linkless)
    if data is None:
        return {}
    with scratch(None, "sha1") as place:
        copy = place.git_dir / "config-to-read"
        copy.write_bytes(data)
        printed = run_git(place, "config", "--file", str(copy), "--no-includes", "-z", "--list")
    pairs = (item.decode("utf-8", "replace").partition("\n") for item in printed.split(b"\0") if item)
    return {name: value for name, _, value in pairs}


def _object_format(settings: dict[str, str]) -> str:
    storage = settings.get("extensions.refstorage", "files")
    name = settings.get("extensions.objectformat", "sha1")
    if storage != "files" or name not in ("sha1", "sha256"):
        raise ContractError(
            "unsupported_repository",
            detail=f"refs as {storage}, objects as {name}",
            remedy="use a repository with refs as files and sha1 or sha256 objects",
        )
    return name
