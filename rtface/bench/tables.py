"""The benchmark's document as tables, for the terminal, for Markdown and for the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rtface.figures.table import Cell, Table

_NUMBERS: Final = ("min", "p50", "p90", "p95", "p99", "max", "jitter")
FEW: Final = 100
"""With fewer frames a p99 is hardly more than the longest time."""


def all_tables(document: Mapping[str, Any]) -> list[Table]:
    """The overview, then each case's latency, then ratios; empty ones are left out."""
    cases = document["cases"]
    tables = [overview(document), split(document), *(latency(case, document["settings"]["fps"]) for case in cases),
              *(free_stages(case) for case in cases if case["free"]), ratios(document), served(document)]
    return [table for table in tables if table.rows]


def overview(document: Mapping[str, Any]) -> Table:
    """One row per case."""
    rows: list[list[Cell]] = []
    for case in document["cases"]:
        paced, free, gpu = case["paced"], case["free"] or {}, case["gpu"] or {}
        whole = paced["end_to_end_ms"] or {}
        rows.append([_variant(case), case["faces"], case["streams"], paced["faces_seen"], whole.get("p50"),
                     whole.get("p95"), whole.get("p99"), whole.get("jitter"), paced["fps"],
                     _share(paced["dropped_share"]), free.get("fps"), paced["usage"]["cores"],
                     paced["usage"]["memory_mb"], paced["usage"]["package_watts"],
                     gpu.get("utilisation_percent"), gpu.get("watts")])
    columns = ("case", "faces", "streams", "seen", "p50 ms", "p95", "p99", "jitter", "fps", "dropped %", "most fps",
               "cores", "process MB", "CPU W", "GPU %", "GPU W")
    fps = document["settings"]["fps"]
    return _without_empty(Table(f"From capture to result at {fps:g} fps, and without waiting", columns, rows),
                          keep=13)


def split(document: Mapping[str, Any]) -> Table:
    """Mean ms per frame: waiting, networks, everything else that the CPU does, and what devices tell."""
    rows: list[list[Cell]] = []
    device = list(dict.fromkeys(name for case in document["cases"] for name in case["paced"]["device_ms"]))
    for case in document["cases"]:
        paced = case["paced"]
        if paced["end_to_end_ms"] is None:
            continue
        whole = paced["end_to_end_ms"]["mean"]
        parts = {name: times["share"] * whole for name, times in paced["parts_ms"].items()}
        networks = sum(times["share"] for times in paced["networks_ms"].values()) * whole
        outside = {name: parts.pop(name, None) for name in ("source", "queue", "handover", "render")}
        rows.append([case["label"], outside["source"], outside["queue"], networks, sum(parts.values()) - networks,
                     outside["handover"], outside["render"], whole,
                     *(paced["device_ms"].get(name) for name in device)])
    columns = ("case", "source", "queue", "networks", "host", "handover", "render", "all",
               *(f"of networks: {name}" for name in device))
    return _without_empty(Table("Where a frame's time goes, mean ms", columns, rows), keep=5)


def latency(case: Mapping[str, Any], fps: float) -> Table:
    """What the time from capture to result of one case goes to, ms."""
    paced = case["paced"]
    rows: list[list[Cell]] = []
    if paced["end_to_end_ms"]:
        networks = [(f"(network {name})", times) for name, times in paced["networks_ms"].items()]
        whole = ("end to end", {**paced["end_to_end_ms"], "share": 1.0})
        for name, times in [*paced["parts_ms"].items(), *networks, whole]:
            rows.append([name, times["count"], *(times[q] for q in _NUMBERS), _share(times["share"], 1)])
    return Table(f"Latency at {fps:g} fps, ms: {case['label']}", ("part", "frames", *_NUMBERS, "share %"), rows)


def free_stages(case: Mapping[str, Any]) -> Table:
    """Work per frame without waiting, ms."""
    free = case["free"]
    rows: list[list[Cell]] = []
    if free["work_ms"]:
        for name, times in [*free["stages_ms"].items(), ("all stages", free["work_ms"])]:
            rows.append([name, times["count"], *(times[q] for q in _NUMBERS)])
    rate = f"{free['fps']:.1f} fps" if free["fps"] else "no frames"
    return Table(f"Without waiting, ms: {case['label']}, {rate}", ("stage", "frames", *_NUMBERS), rows)


def ratios(document: Mapping[str, Any]) -> Table:
    """Against the first variant."""
    labels = {case["key"]: case["label"] for case in document["cases"]}
    names = {"end_to_end_ms": "latency", "work_ms": "work"}
    rows = [[labels[r["case"]], labels[r["against"]], names[r["figure"]], f"{r['ratio']:.3f}",
             f"{r['low']:.3f}..{r['high']:.3f}"] for r in document["ratios"]]
    return Table("Time of a case divided by that of another (95 % interval, rounds in turns)",
                 ("case", "against", "of", "ratio", "95 %"), rows)


def served(document: Mapping[str, Any]) -> Table:
    """Cameras at a time."""
    rows = [[one["variant"], one["served"], ", ".join(str(n) for n in one["tried"])]
            for one in document["streams_served"] if len(one["tried"]) > 1]
    return Table(f"Cameras of {document['settings']['fps']:g} fps served without drops",
                 ("variant", "most", "tried"), rows)


def notes(document: Mapping[str, Any]) -> list[str]:
    """What a reader should know before believing the figures."""
    lines = [f"warning: {line}" for line in document["warnings"]]
    cases = [case for case in document["cases"] if case["paced"]["end_to_end_ms"]]
    lines += [f"{case['label']}: no result within a round" for case in document["cases"] if case not in cases]
    drawn = document["settings"]["video"] is None
    lines += [f"{case['label']}: on average only {case['paced']['faces_seen']:.1f} faces were followed"
              for case in cases if drawn and case["paced"]["faces_seen"] < case["faces"] - 0.5]
    if few := [case["label"] for case in cases if case["paced"]["end_to_end_ms"]["count"] < FEW]:
        lines.append(f"fewer than {FEW} frames, few for a p99; measure longer: {'; '.join(few)}")
    return lines


def text(document: Mapping[str, Any]) -> str:
    """Everything for the terminal."""
    parts = [str(table) for table in all_tables(document)]
    return "\n\n".join([*parts, *(["\n".join(lines)] if (lines := notes(document)) else []), conditions(document)])


def markdown(document: Mapping[str, Any]) -> str:
    """For a page of the docs: all cases in short, the first one in full."""
    first, fps = document["cases"][0], document["settings"]["fps"]
    shown = [overview(document), split(document), latency(first, fps), *([free_stages(first)] * bool(first["free"])),
             ratios(document), served(document)]
    lines = [f"- {line}" for line in notes(document)]
    parts = ["# rtface bench, measured", conditions(document), *(table.markdown() for table in shown if table.rows)]
    return "\n\n".join([*parts, *(["\n".join(lines)] if lines else [])])


def conditions(document: Mapping[str, Any]) -> str:
    """Machine, commit and load in a sentence."""
    machine, state = document["machine"], document["conditions"]
    usage = [case["paced"]["usage"]["other_cores"] for case in document["cases"]]
    known = [value for value in usage if value is not None]
    others = f"; other programs used {sum(known) / len(known):.2f} cores meanwhile" if known else ""
    engines = "; ".join(dict.fromkeys(case["engine"] for case in document["cases"]))
    return (f"{machine['processor']}, {machine['cores']} cores, commit {machine['commit'] or 'unknown'}, "
            f"{machine['date']}, load average before the run {state['load_average_1min']}, niceness "
            f"{state['niceness']}{others}. {engines}. {document['settings']['width']}×"
            f"{document['settings']['height']} px, {document['settings']['rounds']} rounds, "
            f"{document['settings']['duration_s']:g} s per case.")


def _variant(case: Mapping[str, Any]) -> str:
    return " ".join(case[name] for name in ("backend", "precision", "profile", "recipe"))


def _share(value: float | None, digits: int = 2) -> Cell:
    return None if value is None else f"{100 * value:.{digits}f}"


def _without_empty(table: Table, keep: int) -> Table:
    """Without the columns from ``keep`` on in which every cell is empty."""
    kept = [k for k in range(len(table.columns)) if k < keep or any(row[k] is not None for row in table.rows)]
    return Table(table.title, tuple(table.columns[k] for k in kept), [[row[k] for k in kept] for row in table.rows])
