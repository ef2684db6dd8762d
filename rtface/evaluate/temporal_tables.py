"""Sums and tables of the protocol ``temporal``: means over clips, by group and over all, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from rtface.evaluate.metrics import mean_interval
from rtface.evaluate.report import Cell, Table

SHARES: Final = ("error", "still_share", "moving_share", "lost", "absent", "flicker")
"""Shown in per cent."""
MEANS: Final = ("error", "shape_mm", "turn_deg", "still_px", "still_mm", "still_share", "moving_px", "moving_mm",
                "moving_share", "lag_mouth_ms", "lag_eyes_ms", "lag_turn_ms", "lag_place_ms",
                "added_mouth_ms", "added_eyes_ms", "added_turn_ms", "added_place_ms", "drift_mm", "lost", "absent",
                "flicker")
"""Figures of a clip of which a group has the mean over its clips."""
SUMS: Final = ("frames", "ids", "switches", "ends")
TITLES: Final = {"error": "error %", "shape_mm": "shape mm", "turn_deg": "turn deg", "still_px": "still px",
                 "still_mm": "still mm", "still_share": "still %", "moving_px": "moving px", "moving_mm": "moving mm",
                 "moving_share": "moving %", "lag_mouth_ms": "mouth ms", "lag_eyes_ms": "eyes ms",
                 "lag_turn_ms": "turn ms", "lag_place_ms": "place ms", "added_mouth_ms": "added mouth ms",
                 "added_eyes_ms": "added eyes ms", "added_turn_ms": "added turn ms",
                 "added_place_ms": "added place ms", "drift_mm": "drift mm", "lost": "lost %",
                 "absent": "absent %", "switches": "switches", "ends": "ends", "flicker": "flicker %"}
WITH_TRUTH: Final = ("error", "shape_mm", "turn_deg", "still_px", "still_mm", "moving_px", "moving_mm", "lag_mouth_ms",
                     "lag_eyes_ms", "lag_turn_ms", "lag_place_ms", "drift_mm", "lost", "absent", "switches", "flicker")
WITHOUT: Final = ("still_px", "still_share", "still_mm", "moving_px", "moving_share", "moving_mm", "added_mouth_ms",
                  "added_eyes_ms", "added_turn_ms", "added_place_ms", "drift_mm", "lost", "switches", "ends",
                  "flicker")


def summaries(lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One record per group and system, then one per kind of clips; every mean with its 95 % interval over clips."""
    groups: dict[tuple[str, bool, str], list[Mapping[str, Any]]] = {}
    for line in lines:
        groups.setdefault((line["group"], line["truth"], line["system"]), []).append(line)
    for line in lines:
        groups.setdefault((_all(line["origin"]), line["truth"], line["system"]), []).append(line)
    return [_summary(name, truth, system, rows) for (name, truth, system), rows in groups.items()]


def _summary(name: str, truth: bool, system: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    out: dict[str, Any] = {"kind": "group", "group": name, "origin": rows[0]["origin"], "truth": truth,
                           "system": system, "clips": len(rows)}
    for key in MEANS:
        values = np.array([row[key] for row in rows if row.get(key) is not None], np.float64)
        out[key] = float(values.mean()) if len(values) else None
        out[f"{key}_95"] = mean_interval(values) if len(values) > 1 else None
        out[f"{key}_clips"] = len(values)
    for key in SUMS:
        known = [row[key] for row in rows if row.get(key) is not None]
        out[key] = sum(known) if known else None
    return out


def tables(groups: Sequence[Mapping[str, Any]]) -> list[Table]:
    """By scene or folder, and all clips with intervals."""
    out = []
    for truth, keys, title in ((True, WITH_TRUTH, "Clips with a truth"), (False, WITHOUT, "Clips without a truth")):
        rows: list[list[Cell]] = [[group["group"], group["system"], group["clips"], *(_cell(group, k) for k in keys)]
                                  for group in groups if group["truth"] == truth]
        out.append(Table(f"{title} (jitter on still and moving frames; per cent of the eye corners' distance, of "
                         f"frames, of pixels)", ("clips", "system", "n", *(TITLES[k] for k in keys)), rows))
    whole = [group for group in groups if group["group"] == _all(group["origin"])]
    rows = [[group["group"], TITLES[key], group["system"], group[f"{key}_clips"], _cell(group, key),
             _range(group, key)]
            for key in MEANS for group in whole if group[key] is not None]
    out.append(Table("All clips with 95 % intervals (bootstrap over clips)",
                     ("clips", "figure", "system", "n", "mean", "95 %"), rows))
    return out


def _all(origin: str) -> str:
    return f"all {origin} clips"


def _digits(key: str) -> int:
    return 3 if key.endswith("_mm") and key != "shape_mm" else 0 if key.endswith("_ms") else 2


def _cell(group: Mapping[str, Any], key: str) -> Cell:
    value = group[key]
    if value is None or key in SUMS:
        return None if value is None else int(value)
    return f"{value * (100 if key in SHARES else 1):.{_digits(key)}f}"


def _range(group: Mapping[str, Any], key: str) -> Cell:
    if group[f"{key}_95"] is None:
        return None
    low, high = (bound * (100 if key in SHARES else 1) for bound in group[f"{key}_95"])
    return f"{low:.{_digits(key)}f}..{high:.{_digits(key)}f}"
