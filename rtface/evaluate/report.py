"""How figures are shown: tables for people, and one JSON document as the last line for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from rtface.evaluate.dataset import SampleSet
from rtface.figures.plot import Plot
from rtface.figures.table import Cell as Cell
from rtface.figures.table import Table as Table
from rtface.figures.table import plain
from rtface.inference import EngineSpec
from rtface.machine import describe_machine

_SHOWN_PROBLEMS: Final = 10


@dataclass(frozen=True, slots=True)
class Report:
    """What a protocol found out."""

    protocol: str
    tables: Sequence[Table]
    results: Sequence[Mapping[str, Any]]
    """One flat record per line of figures; shares are 0..1, NaN and infinity become null."""
    sets: Sequence[SampleSet]
    """What was measured on, with the problems met."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Everything else that the figures depend on."""
    notes: Sequence[str] = ()
    curves: Sequence[Plot] = ()
    """For the page and the JSON document; the text has none."""

    def text(self) -> str:
        """Tables, then notes and problems."""
        parts = [str(table) for table in self.tables if table.rows]
        notes = [*self.notes, *(line for found in self.sets for line in _set_lines(found))]
        return "\n\n".join([*parts, *(["\n".join(notes)] if notes else [])])

    def document(self) -> dict[str, Any]:
        """Everything, as plain values for JSON."""
        sets = {found.name: {"pictures": len(found), "whole_set": found.whole, "without_points": found.unlabelled,
                             "problems": [str(problem) for problem in found.problems.values()]} for found in self.sets}
        return plain({"evaluation": self.protocol, "machine": describe_machine(), "settings": dict(self.settings),
                       "sets": sets, "problems": sum(len(found.problems) for found in self.sets),
                       "results": list(self.results), "curves": [plot.document() for plot in self.curves]})

    def json_line(self) -> str:
        """:meth:`document` in one line."""
        return json.dumps(self.document(), separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def count_problems(count: int) -> str:
    """1 → "1 problem"."""
    return f"{count} problem{'' if count == 1 else 's'}"


def percent(share: float, digits: int = 2) -> str:
    """0.0369 → "3.69"; "-" for NaN or infinity."""
    return f"{100 * share:.{digits}f}" if math.isfinite(share) else "-"


def percent_range(interval: tuple[float, float], digits: int = 1) -> str:
    """(0.031, 0.04) → "3.1..4.0"."""
    return f"{percent(interval[0], digits)}..{percent(interval[1], digits)}" if math.isfinite(sum(interval)) else "-"


def amount(value: float, digits: int = 2) -> str:
    """1.234 → "1.23"; "-" for NaN or infinity."""
    return f"{value:.{digits}f}" if math.isfinite(value) else "-"


def amount_range(interval: tuple[float, float]) -> str:
    """(1.2, 1.345) → "1.20..1.34"; "-" as above."""
    return "{:.2f}..{:.2f}".format(*interval) if math.isfinite(sum(interval)) else "-"


def describe_network(spec: EngineSpec, backend: str) -> dict[str, Any]:
    """Which weights a figure belongs to."""
    return {"profile": spec.profile, "sha256": spec.sha256[:16], "backend": backend}


def _set_lines(found: SampleSet) -> list[str]:
    lines = []
    whole = len(found) + found.unlabelled + len(found.problems)
    if whole < found.whole:
        lines.append(f"{found.name}: this pack has {whole} of the {found.whole} files of the whole set")
    if found.unlabelled:
        lines.append(f"{found.name}: {found.unlabelled} pictures have no points and are left out")
    if found.problems:
        lines.append(f"{found.name}: {count_problems(len(found.problems))}, left out:")
        shown = list(found.problems.values())[:_SHOWN_PROBLEMS]
        lines += [f"  {problem}" for problem in shown]
        if len(found.problems) > len(shown):
            lines.append(f"  and {len(found.problems) - len(shown)} more, all named in the JSON")
    return lines
