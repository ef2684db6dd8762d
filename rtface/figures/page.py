"""A page that stands alone: tables and plots, no scripts, nothing loaded from elsewhere; light and dark."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from typing import Any, Final

from rtface.figures import svg
from rtface.figures.table import Cell, Table

STYLE: Final = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 1200px; padding: 0 1rem; color: #1c2430; }
nav a { margin-right: 1rem; } h2 { border-top: 2px solid #d5dbe3; padding-top: 1.2rem; }
table { border-collapse: collapse; margin: .6rem 0 1.4rem; font-size: 13px; font-variant-numeric: tabular-nums }
caption { text-align: left; font-weight: 600; padding: .3rem 0; }
th, td { padding: .18rem .6rem; border-bottom: 1px solid #e4e8ee; text-align: right; white-space: nowrap; }
th:first-child, td:first-child, td.word, th.word { text-align: left; } tbody tr:hover { background: #f3f6fa; }
.failed { color: #a02020; } figure { margin: .5rem 0; } img { max-width: 100%; }
pre { overflow-x: auto; font-size: 12px; }
.note { color: #56606e; max-width: 80ch; }
@media (prefers-color-scheme: dark) {
  body { background: #14181e; color: #dfe5ec; } th, td { border-color: #2a313b; }
  tbody tr:hover { background: #1d232b; } h2 { border-color: #2a313b; } .note { color: #9aa5b3; }
  a { color: #8ab8ff; } }
""" + svg.STYLE


def write_page(title: str, body: str, machine: Mapping[str, Any]) -> str:
    """The whole page around a body in HTML; machine: of :func:`rtface.machine.describe_machine`, shown in full."""
    where = (f"{machine['date']}, commit {machine['commit'] or 'unknown'}, {machine['processor']}, "
             f"{machine['cores']} cores")
    return (f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
            f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>\n<body><h1>'
            f"{html.escape(title)}</h1><p class=\"note\">{html.escape(where)}</p>{body}\n"
            f"<h2>Machine</h2><pre>{html.escape(json.dumps(machine, indent=1))}</pre></body></html>\n")


def table_html(table: Table) -> str:
    """One ``<table>`` element."""
    kinds = [' class="word"' if _is_text(table, k) else "" for k in range(len(table.columns))]
    head = "".join(f"<th{kind}>{html.escape(column)}</th>" for column, kind in zip(table.columns, kinds, strict=True))
    rows = "\n".join("<tr>" + "".join(_cell(cell, kind) for cell, kind in zip(row, kinds, strict=True)) + "</tr>"
                     for row in table.rows)
    return (f"<table><caption>{html.escape(table.title)}</caption><thead><tr>{head}</tr></thead>\n<tbody>{rows}"
            f"</tbody></table>")


def _is_text(table: Table, column: int) -> bool:
    """Whether a column holds words, not numbers that are written as text."""
    cells = [row[column] for row in table.rows if row[column] is not None]
    return all(isinstance(cell, str) and not cell[:1].isdigit() for cell in cells)


def _cell(cell: Cell, kind: str) -> str:
    if cell is None or (isinstance(cell, float) and cell != cell):
        return f"<td{kind}>–</td>"
    if isinstance(cell, float):
        return f"<td{kind}>{cell:.2f}</td>"
    return f"<td{kind}>{html.escape(str(cell))}</td>"
