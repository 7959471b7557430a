"""The error tree, split by who is at fault.

    AutopilotError
      RefusedError            you may not: carries the verdict and, where one was written, the ledger sequence
        TransitionRefusedError
        ToolCallRefusedError
        LeaseRefusedError
        ApprovalRefusedError
      IntegrityError          stored data does not verify: carries where
      ContractError           the input does not fit its schema: carries the place
      StorageError            the backend failed: `retryable` says whether trying again can help
      MissingComponentError   something needed is not on this machine: carries the install line

The doors (command line, hooks, MCP) map these families, and nothing else, to exit codes and replies.
"""

from __future__ import annotations

from autopilot.kernel.reasons import Reason, Verdict


class AutopilotError(Exception):
    """Root of every error this package raises on purpose."""

    family = "error"

    def __init__(self, code: str, *, detail: str = "", where: str = "", remedy: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code
        self.detail = detail
        self.where = where
        self._remedy = remedy

    def remedy(self) -> str:
        """What the reader can do next, in one sentence."""
        return self._remedy

    def reasons(self) -> tuple[Reason, ...]:
        """The error as reasons, so that every door renders refusals and failures alike."""
        return (Reason(self.code, detail=self.detail, where=self.where, remedy=self._remedy),)


class RefusedError(AutopilotError):
    """The caller may not do this. `verdict` says why; `seq` names the ledger line that records it."""

    family = "refused"

    def __init__(self, verdict: Verdict, *, seq: int | None = None) -> None:
        first = verdict.reasons[0]
        super().__init__(first.code, detail=first.detail, where=first.where, remedy=first.remedy)
        self.verdict = verdict
        self.seq = seq

    def reasons(self) -> tuple[Reason, ...]:
        return self.verdict.reasons


class TransitionRefusedError(RefusedError):
    """A move, backtrack, opening or closing was refused."""


class ToolCallRefusedError(RefusedError):
    """The guard refused a tool call."""


class LeaseRefusedError(RefusedError):
    """A lease was not granted, not renewed or not released."""


class ApprovalRefusedError(RefusedError):
    """An approval may not be given by this caller, or not here."""


class IntegrityError(AutopilotError):
    """Stored data does not verify. `where` names the place: a file, a sequence number, an object."""

    family = "integrity"


class ContractError(AutopilotError):
    """The input does not fit its schema. `where` names the field or place."""

    family = "contract"


class StorageError(AutopilotError):
    """The backend failed: disk full, lock not to be had, a failed sync."""

    family = "storage"

    def __init__(
        self, code: str, *, detail: str = "", where: str = "", remedy: str = "", retryable: bool = False
    ) -> None:
        super().__init__(code, detail=detail, where=where, remedy=remedy)
        self.retryable = retryable


class MissingComponentError(StorageError):
    """Something this machine needs is not installed. `remedy()` is the install line."""

    family = "missing"
