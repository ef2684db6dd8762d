"""Tables as text, and plain values for JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

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

    def markdown(self) -> str:
        """The title in bold and a table of GitHub's Markdown."""
        words = [all(isinstance(row[k], str) and not str(row[k])[:1].isdigit() for row in self.rows)
                 for k in range(len(self.columns))]
        rows = [list(self.columns), ["---" if word else "---:" for word in words],
                *([_cell(cell).replace("|", "\\|") for cell in row] for row in self.rows)]
        return "\n".join([f"**{self.title}**", "", *("| " + " | ".join(row) + " |" for row in rows)])


def plain(value: Any) -> Any:
    """Nested values that JSON can hold: floats with 5 decimals, NaN and infinity as None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic | float):
        number = value.item() if isinstance(value, np.generic) else value
        if isinstance(number, float):
            return round(number, 5) if math.isfinite(number) else None
        return number
    return value


def _cell(cell: Cell) -> str:
    if cell is None or (isinstance(cell, float) and not math.isfinite(cell)):
        return "-"
    return f"{cell:.2f}" if isinstance(cell, float) else str(cell)
