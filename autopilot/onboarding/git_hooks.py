"""A git hook of ours beside whatever hook is there already: its text, and what to do to put it in or take it out.

The hook that was there is not changed: it is moved aside under `<name>.before-autopilot`, ours runs it first with the
same arguments and stops where it stops, and it comes back when ours is taken out. What both would write under one name
is never thrown away: two hooks and one kept aside is `hook_in_the_way`. Pure: texts in, a plan out.
"""

from __future__ import annotations

import difflib
import shlex
from dataclasses import dataclass

from autopilot.kernel.reasons import ADMITTED, Reason, Verdict

ASIDE = ".before-autopilot"
_MARK = "# autopilot hook 1: "


@dataclass(frozen=True, slots=True)
class HookFiles:
    """The hook's file and the one kept aside, None where there is none."""

    present: bytes | None
    aside: bytes | None


@dataclass(frozen=True, slots=True)
class HookPlan:
    """What is to be done, in this order: move the present hook aside, write `text`, or remove ours, bring one back."""

    verdict: Verdict = ADMITTED
    move_aside: bool = False
    text: bytes | None = None
    remove: bool = False
    bring_back: bool = False

    @property
    def changes(self) -> bool:
        """Whether anything is to be done at all."""
        return self.move_aside or self.text is not None or self.remove or self.bring_back


def commit_msg_hook(interpreter: str, *, lenient: bool) -> bytes:
    """The `commit-msg` hook that puts an anchor into each message.

    The interpreter is named by its path: PATH and its shims are not asked. It runs isolated, so that no folder of the
    repository and no variable can put other code in the place of ours. Where no anchor can be made the commit is
    refused unless `lenient`.
    """
    call = f"{shlex.quote(interpreter)} -I -m autopilot.cli.main ledger checkpoint --commit-msg"
    ending = (
        'echo "autopilot: this commit has no anchor; CI will ask for it" >&2\nexit 0\n'
        if lenient
        else 'echo "autopilot: the commit is refused, because no anchor could be made for it" >&2\n'
        'echo "next: mend what is said above; git commit --no-verify leaves it out, and CI will ask for it" >&2\n'
        "exit 1\n"
    )
    return (
        f"#!/bin/sh\n{_MARK}commit-msg\n"
        "# Written by `autopilot ledger checkpoint --install-hook`, taken out by `--remove-hook`; not to be edited.\n"
        f'before="$0{ASIDE}"\n'
        'if [ -x "$before" ]; then "$before" "$@" || exit $?; fi\n'
        # Asked of the git that runs: which settings there are, and which one counts, depends on its version.
        "comment=$(echo | git stripspace --comment-lines)\n"
        f'{call} "$1" --comment-char "$comment" >/dev/null && exit 0\n'
        f"{ending}"
    ).encode()


def is_ours(text: bytes | None) -> bool:
    """Whether this is a hook that we wrote, of whatever version."""
    return text is not None and text.split(b"\n", 2)[1:2] != [] and text.split(b"\n", 2)[1].startswith(_MARK.encode())


def plan_install(files: HookFiles, wanted: bytes) -> HookPlan:
    """How `wanted` comes to be the hook."""
    if files.present == wanted:
        return HookPlan()
    if files.present is None or is_ours(files.present):
        return HookPlan(text=wanted)
    if files.aside is not None and files.aside != files.present:
        return HookPlan(_in_the_way())
    return HookPlan(move_aside=True, text=wanted)


def plan_removal(files: HookFiles) -> HookPlan:
    """How our hook goes, and the one before it comes back."""
    if is_ours(files.present):
        return HookPlan(remove=True, bring_back=files.aside is not None)
    if files.aside is not None:
        # Somebody took ours away, or wrote over it, and left the one that was there first without a caller.
        return HookPlan(_in_the_way()) if files.present is not None else HookPlan(bring_back=True)
    return HookPlan()


def shown_change(name: str, files: HookFiles, plan: HookPlan) -> str:
    """The change of the hook's file as a unified diff; empty where its text stays."""
    after = plan.text
    if plan.remove or plan.bring_back:
        after = files.aside
    elif after is None:
        after = files.present
    old, new = ((text or b"").decode("utf-8", "replace").splitlines(keepends=True) for text in (files.present, after))
    return "".join(difflib.unified_diff(old, new, f"a/{name}", f"b/{name}"))


def _in_the_way() -> Verdict:
    return Verdict((Reason("hook_in_the_way", where=ASIDE.lstrip(".")),))
