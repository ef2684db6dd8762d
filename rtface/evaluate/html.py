"""One page with the tables, curves, pictures and problems of several protocols; a single file beside its pictures."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rtface.evaluate.report import Report, count_problems
from rtface.figures import svg
from rtface.figures.page import table_html, write_page
from rtface.machine import describe_machine


@dataclass(frozen=True, slots=True)
class Section:
    """What one protocol gave."""

    protocol: str
    report: Report | None
    """None where it failed."""
    error: str = ""
    pictures: tuple[str, ...] = ()
    """Relative to the page."""


def page(sections: Sequence[Section], title: str = "rtface, evaluated") -> str:
    """The whole page; no scripts, nothing loaded from elsewhere."""
    links = " ".join(f'<a href="#{html.escape(s.protocol)}">{html.escape(s.protocol)}</a>' for s in sections)
    body = "\n".join(_section(s) for s in sections)
    return write_page(title, f"<nav>{links}</nav>\n{body}", describe_machine())


def _section(section: Section) -> str:
    name = html.escape(section.protocol)
    parts = [f'<h2 id="{name}">{name}</h2>']
    if section.report is None:
        return "\n".join([*parts, f'<p class="failed">Not measured: {html.escape(section.error)}</p>'])
    report = section.report
    for name in (html.escape(picture) for picture in section.pictures):
        parts.append(f'<figure><img loading="lazy" src="{name}" alt="{name}">'
                     f'<figcaption class="note">{name}</figcaption></figure>')
    parts += svg.draw_all(report.curves)
    parts += [table_html(table) for table in report.tables if table.rows]
    parts += [f'<p class="note">{html.escape(note)}</p>' for note in report.notes]
    for found in report.sets:
        if found.problems:
            items = "".join(f"<li>{html.escape(str(problem))}</li>" for problem in found.problems.values())
            parts.append(f"<details><summary>{html.escape(found.name)}: {count_problems(len(found.problems))}, left out"
                         f"</summary><ul>{items}</ul></details>")
    return "\n".join(parts)


def document(sections: Sequence[Section]) -> dict[str, Any]:
    """Everything as plain values, by protocol."""
    return {"evaluation": "all", "protocols": {s.protocol: {"error": s.error} if s.report is None
                                               else s.report.document() for s in sections}}
