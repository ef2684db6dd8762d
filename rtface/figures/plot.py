"""Lines of a plot as plain numbers: for JSON, and for a page to draw (:mod:`rtface.figures.svg`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rtface.errors import InputError


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a plot."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    """As many as x; NaN leaves a gap."""
    low: Sequence[float] = ()
    """Lower and upper bounds of y (95 % intervals), as many as x or none."""
    high: Sequence[float] = ()

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y) or len(self.low) != len(self.high) or len(self.low) not in (0, len(self.x)):
            raise InputError(f"curve {self.name}: got {len(self.x)} x, {len(self.y)} y and {len(self.low)}, "
                             f"{len(self.high)} bounds, expected as many of each (or no bounds)")


@dataclass(frozen=True, slots=True)
class Plot:
    """Curves on common axes."""

    title: str
    x_label: str
    y_label: str
    curves: Sequence[Curve]
    x_range: tuple[float, float] | None = None
    """None: as the points ask."""
    y_range: tuple[float, float] | None = None
    percent: str = ""
    """Axes that are shares and shown as per cent: ``x``, ``y`` or ``xy``."""
    group: str = ""
    """Consecutive plots of one group are drawn small, side by side under this title."""

    def document(self) -> dict[str, Any]:
        """Plain values for JSON."""
        group = {"group": self.group} if self.group else {}
        return {"title": self.title, **group, "x": self.x_label, "y": self.y_label, "curves": [
            {"name": c.name, "x": list(c.x), "y": list(c.y), **({"low": list(c.low), "high": list(c.high)} if c.low
                                                                else {})} for c in self.curves]}
