"""Errors as colours on the face: what the papers show for MICC Florence, with a bar that says how many millimetres."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from rtface import ops
from rtface.evaluate import sheets
from rtface.evaluate.metrics import Floats
from rtface.evaluate.portraits import look
from rtface.evaluate.scans import Scan, frontal
from rtface.evaluate.shape import SHOWN_PX, SYSTEMS, Scored
from rtface.evaluate.sheets import Pixels
from rtface.morphable import MorphableModel

WORST: Final = 12
CELL: Final = SHOWN_PX
LIMIT_MM: Final = 5.0
"""Errors from here on have the last colour."""
FACE_MM: Final = 230.0
"""Height that a heat map shows."""
TURN: Final = np.array([0.0, 0.45, 0.0])
"""Scans are shown half turned: from the front a nose that is too short looks right."""
PLAIN: Final = np.array([150, 150, 150], np.uint8)
TABLE: Final = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_TURBO)[:, 0, ::-1]


def colors_of(errors_mm: Floats) -> Pixels:
    """(P,) mm → (P, 3) uint8 RGB from blue (0) to red (:data:`LIMIT_MM` and more)."""
    return np.asarray(TABLE[(np.clip(errors_mm / LIMIT_MM, 0, 1) * 255).astype(np.uint8)])


def heat_map(scan: Scan, errors_mm: Floats, model: MorphableModel, side: int = CELL) -> Pixels:
    """(side, side, 3) RGB: the scan with the errors (P,) of its measured points; gray where it was not measured."""
    head = frontal(scan.landmarks, model).apply(scan.vertices)
    placed, _ = look(head, TURN, np.inf, side=side, px_per_mm=side / FACE_MM)
    shades = np.tile(PLAIN, (len(head), 1))
    shades[scan.measured] = colors_of(errors_mm)
    triangles = np.ascontiguousarray(scan.triangles, np.int32)
    normals = ops.vertex_normals(np.ascontiguousarray(head[None], np.float32), triangles)[0]
    light = 0.35 + 0.65 * np.clip(normals @ np.array([0.35, -0.4, -0.85], np.float32), 0, 1)
    raster = ops.rasterize(placed, triangles, side, side)
    lit = np.ascontiguousarray(shades * light[:, None], np.float32)
    picture = ops.interpolate(lit, triangles, raster.triangle_id, raster.barycentrics,
                              background=np.full(3, sheets.GROUND, np.float32))
    return np.asarray(np.clip(picture, 0, 255) + 0.5, np.uint8)


def color_bar(width: int) -> Pixels:
    """(sheets.LINE, width, 3) RGB: the colours with their millimetres below."""
    bar = np.broadcast_to(colors_of(np.linspace(0, LIMIT_MM, width))[None], (sheets.LINE, width, 3))
    ticks = np.full((sheets.LINE, width, 3), sheets.GROUND, np.uint8)
    for value in range(int(LIMIT_MM) + 1):
        text = f"{value} mm" + ("+" if value >= LIMIT_MM else "")
        left = min(int(value / LIMIT_MM * width), width - 8 * len(text))
        cv2.putText(ticks, text, (left, sheets.LINE - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.4, sheets.INK, 1, cv2.LINE_AA)
    return np.concatenate([bar, ticks])


def worst_shapes(scored: Sequence[Scored], model: MorphableModel, folder: Path) -> None:
    """The pictures with the largest 90 % errors: picture, errors of rtface, of the mean face, and of other systems.

    For a private folder. Nothing is written where no face was found.
    """
    systems = list(dict.fromkeys([*SYSTEMS, *(system for row in scored for system in row.errors)]))
    found = sorted((row for row in scored if SYSTEMS[0] in row.errors),
                   key=lambda row: -row.errors[SYSTEMS[0]].values["p90"])
    cells = [_cell(row, systems, model) for row in found[:WORST]]
    if cells:
        sheet = sheets.grid(cells, 2)
        sheets.write_picture(folder / "worst_shape.jpg", np.concatenate([sheet, color_bar(sheet.shape[1])]))


def _cell(row: Scored, systems: Sequence[str], model: MorphableModel) -> Pixels:
    parts = [sheets.labelled(sheets.fit(row.case.pixels, CELL, CELL), row.case.name)]
    for system in systems:
        errors = row.errors.get(system)
        if errors is None:
            parts.append(sheets.labelled(np.full((CELL, CELL, 3), sheets.GROUND, np.uint8), f"{system} not found"))
            continue
        text = f"{system} {errors.values['median']:.2f}  90 % {errors.values['p90']:.2f} mm"
        parts.append(sheets.labelled(heat_map(row.case.scan, errors.points, model), text))
    return np.concatenate(parts, axis=1)
