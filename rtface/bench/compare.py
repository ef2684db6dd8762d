"""What got slower from one benchmark to another, beyond noise.

A figure of B counts as slower when, with 95 % confidence over all figures together, it is more than the tolerance
above A's: the lower bound of Welch's one-sided interval for the difference of the rounds' mean logarithms, at the
confidence 1 - 0.05 / number of figures (Bonferroni), lies above log(1 + tolerance), and the difference of the means is
at least 0.1 ms. Faster is the same the other way round. Shares of dropped frames are compared as they are, with a
tolerance of one per cent of the frames. Noise between rounds is seen; what differs between two whole runs (another
clock, another load) is not: this is what the tolerance is for, and conditions that differ are named.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np

from rtface.bench.statistics import unpaired_difference
from rtface.errors import InputError
from rtface.figures.table import Cell, Table

CONFIDENCE: Final = 0.95
TOLERANCE: Final = 0.05
"""Share by which a time may grow; what two runs of the same program on a quiet machine differ by anyway."""
LEAST_MS: Final = 0.1
DROPS_TOLERANCE: Final = 0.01
MIN_ROUNDS: Final = 3
Verdict = Literal["slower", "faster", "same"]


@dataclass(frozen=True, slots=True)
class Change:
    """One figure in both runs."""

    case: str
    figure: str
    before: float
    """Geometric mean over the rounds, ms; of drops the mean share."""
    after: float
    low: float
    """Bounds of the ratio after / before; of drops of the difference. Each holds with the confidence of the rule."""
    high: float
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Comparison:
    """Of two benchmarks."""

    changes: Sequence[Change]
    tolerance: float
    notes: Sequence[str]

    @property
    def slower(self) -> list[Change]:
        """Figures that got worse beyond noise and tolerance."""
        return [change for change in self.changes if change.verdict == "slower"]

    def text(self) -> str:
        """Tables of what changed, and a line that says the result."""
        changed = [change for change in self.changes if change.verdict != "same"]
        rows: list[list[Cell]] = [[c.case, c.figure, c.verdict, c.before, c.after, f"{c.low:.3f}..{c.high:.3f}"]
                                  for c in changed]
        table = Table("Changed beyond noise", ("case", "figure", "verdict", "before", "after", "ratio (drops: "
                                               "difference)"), rows)
        lines = [*([str(table), ""] if rows else []), *(f"note: {note}" for note in self.notes)]
        return "\n".join([*lines, f"{len(self.changes)} figures compared, {len(self.slower)} slower by more than "
                                  f"{100 * self.tolerance:g} %, {len(changed) - len(self.slower)} faster"])

    def document(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"schema": "rtface-bench-comparison-1", "tolerance": self.tolerance, "confidence": CONFIDENCE,
                "slower": len(self.slower), "notes": list(self.notes), "changes": [asdict(c) for c in self.changes]}


def compare(before: Mapping[str, Any], after: Mapping[str, Any], tolerance: float = TOLERANCE) -> Comparison:
    """Documents of two benchmarks; InputError when they have no case in common or too few rounds."""
    if not 0 <= tolerance < 10:
        raise InputError(f"compare: got tolerance {tolerance}, expected a share such as 0.05")
    first, second = ({case["key"]: case for case in d["cases"]} for d in (before, after))
    common = [key for key in first if key in second]
    if not common:
        raise InputError(f"compare: got no case in common, expected at least one; before: {', '.join(first)}; after: "
                         f"{', '.join(second)}")
    times = [(key, name, a, b) for key in common for name, a, b in _times(first[key], second[key])]
    drops = [(key, *(case[key]["paced"]["rounds_dropped_share"] for case in (first, second))) for key in common]
    drops = [entry for entry in drops if min(len(entry[1]), len(entry[2])) >= MIN_ROUNDS]
    if not times:
        raise InputError(f"compare: got fewer than {MIN_ROUNDS} rounds of everything, expected more; measure longer")
    confidence = 1 - (1 - CONFIDENCE) / (len(times) + len(drops))
    changes = [_time_change(first[key]["label"], name, a, b, confidence, tolerance) for key, name, a, b in times]
    changes += [_drop_change(first[key]["label"], a, b, confidence) for key, a, b in drops]
    return Comparison(changes, tolerance, list(_notes(before, after, first, second)))


def _times(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[tuple[str, list[float], list[float]]]:
    """Names and rounds of the times that both have."""
    pairs = [("latency", a["paced"]["end_to_end_ms"], b["paced"]["end_to_end_ms"])]
    for name, times in a["paced"]["parts_ms"].items():
        pairs.append((f"latency, {name}", times, b["paced"]["parts_ms"].get(name)))
    if a["free"] and b["free"]:
        pairs.append(("work", a["free"]["work_ms"], b["free"]["work_ms"]))
        for name, times in a["free"]["stages_ms"].items():
            pairs.append((f"work, {name}", times, b["free"]["stages_ms"].get(name)))
    for name, one, other in pairs:
        for quantile in ("p50", "p95") if name in ("latency", "work") else ("p50",):
            rounds = [[v for v in (t or {}).get(f"rounds_{quantile}", []) if v > 0] for t in (one, other)]
            if min(len(r) for r in rounds) >= MIN_ROUNDS:
                yield f"{name} {quantile}", rounds[0], rounds[1]


def _time_change(case: str, figure: str, before: list[float], after: list[float], confidence: float,
                 tolerance: float) -> Change:
    d = unpaired_difference(np.log(before).tolist(), np.log(after).tolist(), confidence)
    first, second = (float(np.exp(np.mean(np.log(values)))) for values in (before, after))
    verdict: Verdict = "same"
    if abs(second - first) >= LEAST_MS:
        if d.low > math.log1p(tolerance):
            verdict = "slower"
        elif d.high < -math.log1p(tolerance):
            verdict = "faster"
    return Change(case, figure, first, second, math.exp(d.low), math.exp(d.high), verdict)


def _drop_change(case: str, before: Sequence[float], after: Sequence[float], confidence: float) -> Change:
    d = unpaired_difference(before, after, confidence)
    verdict: Verdict = "slower" if d.low > DROPS_TOLERANCE else "faster" if d.high < -DROPS_TOLERANCE else "same"
    return Change(case, "dropped share", float(np.mean(before)), float(np.mean(after)), d.low, d.high, verdict)


def _notes(before: Mapping[str, Any], after: Mapping[str, Any], first: Mapping[str, Any],
           second: Mapping[str, Any]) -> Iterator[str]:
    for key in sorted(first.keys() ^ second.keys()):
        yield f"{key} is only in {'A' if key in first else 'B'}"
    for part, names in (("machine", ("processor", "cores", "system", "python")),
                        ("settings", ("video", "fps", "threads", "stage_threads", "render", "height", "width",
                                      "seed"))):
        for name in names:
            a, b = before[part].get(name), after[part].get(name)
            if a != b:
                yield f"{part} differs in {name}: {a} and {b}"
    for key in first.keys() & second.keys():
        if first[key]["engine"] != second[key]["engine"]:
            yield f"{first[key]['label']}: engines differ: {first[key]['engine']} and {second[key]['engine']}"
    for name, document in (("A", before), ("B", after)):
        for line in document["warnings"]:
            yield f"{name}: {line}"
