"""What a check tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """Something to know before believing a run.

    Attributes:
        severity: "error": conclude nothing from what it is about; "warning": doubt it; "note": know it.
        message: what was seen.
        fix: what to do.
    """

    severity: Severity
    message: str
    fix: str

    def __str__(self) -> str:
        return f"{self.severity.capitalize()}: {self.message} {self.fix}"
