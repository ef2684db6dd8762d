"""How figures are shown: tables for people, and one JSON document as the last line for programs."""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import numpy as np

from rtface.evaluate.curves import Plot
from rtface.evaluate.dataset import SampleSet
from rtface.inference import EngineSpec

_PACKAGES: Final = ("rtface", "numpy", "onnxruntime", "openvino", "opencv-python-headless", "av")
_SHOWN_PROBLEMS: Final = 10
Cell = str | int | float | None


@dataclass(frozen=True, slots=True)
class Table:
    """Columns of text and numbers with a title; cells are shown as they are, None as a dash."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[Cell]]

    def __str__(self) -> str:
        text = [list(self.columns)] + [[_cell(cell) for cell in row] for row in self.rows]
        widths = [max(len(row[k]) for row in text) for k in range(len(self.columns))]
        words = [all(isinstance(row[k], str) or row[k] is None for row in self.rows) for k in range(len(self.columns))]
        lines = ["  ".join(cell.ljust(w) if left else cell.rjust(w)
                           for cell, w, left in zip(row, widths, words, strict=True)).rstrip() for row in text]
        return "\n".join([self.title, lines[0], "-" * len(lines[0]), *lines[1:]])


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
        return _plain({"evaluation": self.protocol, "machine": describe_machine(), "settings": dict(self.settings),
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


def describe_network(spec: EngineSpec, backend: str) -> dict[str, Any]:
    """Which weights a figure belongs to."""
    return {"profile": spec.profile, "sha256": spec.sha256[:16], "backend": backend}


def describe_machine() -> dict[str, Any]:
    """Where, when and with which versions and commit a figure was measured."""
    processor = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        processor = names[0] if names else processor
    return {"processor": processor, "cores": os.cpu_count(), "system": platform.platform(),
            "python": platform.python_version(), "versions": dict(_versions()), "commit": _commit(),
            "date": time.strftime("%Y-%m-%d")}


def _versions() -> Iterable[tuple[str, str]]:
    for name in _PACKAGES:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue


def _commit() -> str | None:
    """The repository's commit, with ``+`` where files differ from it; None outside of a repository."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        commit = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
        changes = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.stdout.strip() + ("+" if changes.stdout.strip() else "")


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


def _cell(cell: Cell) -> str:
    if cell is None or (isinstance(cell, float) and not math.isfinite(cell)):
        return "-"
    return f"{cell:.2f}" if isinstance(cell, float) else str(cell)


def _plain(value: Any) -> Any:
    """Nested values that JSON can hold: floats with 5 decimals, NaN and infinity as None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic | float):
        number = value.item() if isinstance(value, np.generic) else value
        if isinstance(number, float):
            return round(number, 5) if math.isfinite(number) else None
        return number
    return value
