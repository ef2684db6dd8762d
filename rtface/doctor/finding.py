"""What one look at the machine found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

State = Literal["good", "missing", "broken"]
"""``missing``: it is not there; ``broken``: it is there and does not work, or the look itself failed."""
_SIGNS = {"good": "ok", "missing": "-", "broken": "BROKEN"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One part of the machine."""

    name: str
    state: State
    detail: str
    """One line."""
    fix: str = ""
    """What to do when it is not good; empty where there is nothing to do."""
    needed: bool = False
    """Converting a video to meshes fails without it."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """The same for programs."""

    @property
    def stops(self) -> bool:
        """Nothing can be converted."""
        return self.needed and self.state != "good"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All findings, in the order of the report."""

    findings: tuple[Finding, ...]

    @property
    def able(self) -> bool:
        """Videos can be converted."""
        return not any(finding.stops for finding in self.findings)

    def lines(self) -> list[str]:
        """The report as text for people."""
        out = []
        for finding in self.findings:
            out.append(f"{finding.name:<15}{_SIGNS[finding.state]:<8}{finding.detail}")
            if finding.state != "good" and finding.fix:
                out.append(f"{'':<23}→ {finding.fix}")
        stopped = [finding.name for finding in self.findings if finding.stops]
        return [*out, "", f"videos cannot be converted here, mend first: {', '.join(stopped)}" if stopped else
                "videos can be converted here"]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"able": self.able, "findings": [asdict(finding) for finding in self.findings]}
