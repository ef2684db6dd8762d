"""What a live run says at its end: the summary of any run, and how late and how complete it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rtface.io import SourceInfo
from rtface.report import Summary


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSummary:
    """A finished live run in numbers."""

    run: Summary
    """Its stage ``wait`` is the time until the next frame came, which is no work."""
    source: SourceInfo
    latency_ms: Mapping[str, Mapping[str, float]]
    """From capture to ``result`` and ``drawn``: count, p50_ms, p90_ms, p99_ms, max_ms."""
    drops: Mapping[str, int]
    """Frames that were lost, by reason."""
    takes: Sequence[str]
    """Folders of recordings."""

    def lines(self) -> list[str]:
        """As text for people."""
        out = self.run.lines()
        at = next(k for k, line in enumerate(out) if line.startswith("speed")) + 1
        more = [f"latency  capture to {name:<7} p50 {t['p50_ms']:.1f}  p90 {t['p90_ms']:.1f}  p99 {t['p99_ms']:.1f}  "
                f"max {t['max_ms']:.1f} ms" for name, t in self.latency_ms.items()]
        lost = ", ".join(f"{count} {reason}" for reason, count in self.drops.items())
        return [*out[:at], *more, f"dropped  {lost}", *out[at:], *(f"recorded {take}" for take in self.takes)]

    def document(self) -> dict[str, Any]:
        """As JSON: the entries of a converted run's summary.json, and latency_ms, drops, takes, source."""
        return {**asdict(self.run), "latency_ms": {k: dict(v) for k, v in self.latency_ms.items()},
                "drops": dict(self.drops), "takes": list(self.takes), "source": asdict(self.source)}
