"""Which runner project code gets where the engine is a user of its own (trust modes 1 and 2): never a plain one.

Bubblewrap runs it as the engine's user in a view that has neither state nor keys nor socket. What is not mounted
cannot be read; so what is mounted must be nothing that somebody can exchange for the state in the moment before. A path
that an agent owns is refused (`mount_unsafe`). Where bubblewrap does not work, or the configuration does without, a
third user runs it (`third_user.py`), behind the same guard; where there is neither, nothing runs (`isolation_missing`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from autopilot.kernel.errors import MissingComponentError
from autopilot.kernel.ownership import exchangeable, look_through
from autopilot.sandbox.choose import INSTALL_LINE, probe
from autopilot.sandbox.run import CommandResult, CommandSpec, Isolation, Runner
from autopilot.sandbox.third_user import ThirdUser, ThirdUserRunner


@dataclass(frozen=True, slots=True, kw_only=True)
class Confinement:
    """What project code must not see (`forbidden`), but for `shown` below it, and the third user (uid, gid) if one.

    `cache` is the engine's dependency cache, which a third user's group is let into.
    """

    forbidden: tuple[Path, ...]
    shown: tuple[Path, ...] = ()
    run_as: tuple[int, int] | None = None
    cache: Path | None = None

    def name(self, wish: str) -> str:
        """What project code runs under here for a wish: `bwrap`, `user`, or `missing` where nothing runs."""
        try:
            return self.runner(wish).name
        except MissingComponentError:
            return "missing"

    def runner(self, wish: str) -> Runner:
        """The runner for a wish of `none`, `auto` or `bwrap`; MissingComponentError `isolation_missing`."""
        found = probe()
        third = None if self.run_as is None else ThirdUserRunner(ThirdUser(*self.run_as), self.cache)
        if wish == "none" and third is not None:
            return GuardedRunner(third, self)
        if found.bubblewrap is not None:
            from autopilot.sandbox.bwrap import BwrapRunner  # `choose` has it loaded

            return GuardedRunner(BwrapRunner(found.bubblewrap), self)
        if wish == "bwrap" or third is None:
            detail = f"{found.detail}, and no third user runs project code"
            remedy = f"{INSTALL_LINE}; or start the daemon with --run-as UID:GID"
            raise MissingComponentError("isolation_missing", where="project code", detail=detail, remedy=remedy)
        return GuardedRunner(third, self)

    def check(self, path: Path) -> str:
        """Why `path` must not be mounted; empty if it may. OSError where it cannot be looked at."""
        real = path.resolve()
        if any(real.is_relative_to(place) for place in self.shown):
            return ""
        for place in {real_or_named for named in self.forbidden for real_or_named in (named, named.resolve())}:
            if real.is_relative_to(place) or place.is_relative_to(real):
                return f"{path} would show what project code must not see"
        return exchangeable(look_through(path), os.geteuid())


class GuardedRunner:
    """A runner that shows nothing which others can exchange for what must not be seen."""

    def __init__(self, inner: Runner, confinement: Confinement) -> None:
        self._inner = inner
        self._confinement = confinement

    @property
    def name(self) -> Isolation:
        """The inner runner's."""
        return self._inner.name

    def run(self, spec: CommandSpec) -> CommandResult:
        """As the inner runner's; MissingComponentError `mount_unsafe` for a view that cannot be relied on."""
        for path in (*spec.readonly, *spec.writable):
            try:
                problem = self._confinement.check(path)
            except OSError as error:
                problem = str(error)
            if problem:
                raise MissingComponentError("mount_unsafe", where=str(path), detail=problem)
        return self._inner.run(spec)
