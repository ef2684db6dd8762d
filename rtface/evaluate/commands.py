"""Behind ``rtface evaluate``: options in, one protocol run or all of them, reports out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from rtface.errors import InputError, RtfaceError
from rtface.evaluate import html, sheets
from rtface.evaluate.dataset import Pack
from rtface.evaluate.layouts import PACK, open_layout
from rtface.evaluate.options import EvaluateOptions
from rtface.evaluate.protocols import PEERED, PROTOCOLS, Progress
from rtface.evaluate.report import Report, count_problems
from rtface.inference import Engine
from rtface.io import write_atomic


def evaluate(protocol: str, options: EvaluateOptions, *, engines: Mapping[str, Engine] | None = None,
             progress: Progress = lambda line: None) -> Report:
    """Run one protocol; engines: to use instead of weights, by network name.

    InputError on a wrong option or pack, ModelFileError when weights or peers are missing.
    """
    if protocol not in PROTOCOLS:
        raise InputError(f"protocol: got {protocol!r}, expected one of {', '.join(PROTOCOLS)}")
    if options.peers_only and options.peers is None and not options.peer:
        raise InputError("got --peers-only without --peers and --peer, expected the folder of the peers' files, or "
                         "files of predictions")
    if options.sheet_all is not None:
        sheets.private_folder(options.sheet_all)
    if options.export_inputs is not None:
        sheets.private_folder(options.export_inputs)
    if options.sheet is not None:
        sheets.sheet_path(options.sheet)
    data = Pack(options.data) if options.layout == PACK else open_layout(options.layout, protocol, options.data)
    report = PROTOCOLS[protocol](data, options, engines or {}, progress)
    if not report.results:
        names = ", ".join(found.name for found in report.sets)
        problems = [str(problem) for found in report.sets for problem in found.problems.values()]
        first = f", first: {problems[0]}" if problems else ""
        raise InputError(f"{options.data}: got nothing to score in {names} ({count_problems(len(problems))}{first}), "
                         f"expected pictures or clips, and labels or a peer to compare with; check the pack")
    if options.json is not None:
        write_atomic(options.json, (report.json_line() + "\n").encode())
    return report


def evaluate_page(protocol: str, options: EvaluateOptions, out: Path, *, engines: Mapping[str, Engine] | None = None,
                  progress: Progress = lambda line: None) -> Report:
    """Run one protocol as :func:`evaluate` does; write OUT/index.html and the pictures beside it. OUT is private."""
    options.refuse(f"{protocol} with --out", "sheet_all")
    folder = sheets.private_folder(out)
    pictures = sheets.private_folder(folder / protocol)
    report = evaluate(protocol, replace(options, sheet_all=pictures), engines=engines, progress=progress)
    write_atomic(folder / "index.html", html.page([_section(protocol, report, folder)]).encode())
    return report


def _section(protocol: str, report: Report, folder: Path) -> html.Section:
    drawn = sorted(path for path in (folder / protocol).iterdir() if path.suffix in sheets.SUFFIXES)
    return html.Section(protocol, report, pictures=tuple(p.relative_to(folder).as_posix() for p in drawn))


def evaluate_all(options: EvaluateOptions, out: Path, *, engines: Mapping[str, Engine] | None = None,
                 progress: Progress = lambda line: None) -> list[html.Section]:
    """Run every protocol; write OUT/index.html, OUT/results.json and the pictures beside them.

    OUT is private (outside of git): it shows pictures that may not be passed on. A protocol that fails, for want of its
    set for instance, is told on the page and does not stop the others.
    """
    options.refuse("all", "sets", "faces", "sheet", "sheet_all", "peer", "peers_only", "export_inputs", "json")
    if options.layout != PACK:
        raise InputError(f"--layout: got {options.layout} with all, expected {PACK}; run its protocols one by one")
    folder = sheets.private_folder(out)
    sections = []
    for name in PROTOCOLS:
        progress(f"{name} ...")
        pictures = sheets.private_folder(folder / name)
        chosen = replace(options, sheet_all=pictures, peers=options.peers if name in PEERED else None)
        try:
            report = evaluate(name, chosen, engines=engines, progress=progress)
        except RtfaceError as exc:
            sections.append(html.Section(name, None, str(exc)))
            continue
        sections.append(_section(name, report, folder))
        write_atomic(folder / "index.html", html.page(sections).encode())
    write_atomic(folder / "index.html", html.page(sections).encode())
    write_atomic(folder / "results.json", json.dumps(html.document(sections), indent=1).encode())
    return sections


__all__ = ["PROTOCOLS", "EvaluateOptions", "evaluate", "evaluate_all", "evaluate_page"]
