"""What frames a face without hiding it: hair tied to buns, collars and hoods."""

from __future__ import annotations

from typing import Final

import numpy as np

from rtface.synth.hair import HairStyle
from rtface.synth.shapes import FloatArray, Shape, ellipsoid, join, sheet, tube

COLLARS: Final = ("none", "crew", "shirt", "roll", "hood")
COLLAR_ODDS: Final = (0.3, 0.25, 0.2, 0.1, 0.15)


def buns(rng: np.random.Generator, style: HairStyle, center: FloatArray,
         axes: FloatArray) -> tuple[Shape, FloatArray] | None:
    """Tied-up hair on the ellipsoid of the scalp (centre and half axes (3,) mm): mesh and (V, 3) linear RGB.

    None where the style has none. One bun sits between crown and nape, two sit on the sides.
    """
    if not style.buns:
        return None
    radius = float(rng.uniform(22, 46)) * (0.75 if style.buns == 2 else 1.0)
    back = float(rng.uniform(-0.1, 1.35))  # angle from straight up towards the nape
    aside = float(rng.uniform(0.5, 0.9)) if style.buns == 2 else 0.0
    shapes, colors = [], []
    for side in (-1.0, 1.0)[:style.buns]:
        outward = np.array([side * np.sin(aside), -np.cos(back) * np.cos(aside), np.sin(back) * np.cos(aside)])
        middle = center + outward * (axes + 0.55 * radius)
        ball = ellipsoid(middle.astype(np.float32), np.diag(radius * np.array([1.0, rng.uniform(0.75, 1.1), 1.0])),
                         rows=16, columns=24)
        local = (ball.vertices - middle) / radius
        turn = np.arctan2(local[:, 1], local[:, 0]) * float(rng.integers(3, 7)) + 5 * local[:, 2] + rng.uniform(0, 6)
        swell = 1 + 0.05 * np.sin(turn) + 0.04 * rng.normal(size=len(turn)).clip(-1, 1)
        shapes.append(Shape((middle + local * radius * swell[:, None]).astype(np.float32), ball.triangles))
        tone = (0.85 + 0.35 * np.sin(turn)) * np.exp(rng.normal(0, 0.12, len(turn)))
        colors.append(np.clip(tone[:, None] * style.color, 0, 1).astype(np.float32))
    return join(shapes), np.concatenate(colors)


def collar(rng: np.random.Generator, ring: FloatArray) -> Shape | None:
    """Cloth around the neck; ring (P, 3) mm: where the neck leaves the clothes, in any order. None: no collar.

    ``crew`` is a hem, ``shirt`` stands up, falls over and is open in front, ``roll`` is a closed turtleneck, ``hood`` a
    thick roll behind the neck with two ends in front.
    """
    kind = str(rng.choice(COLLARS, p=COLLAR_ODDS))
    if kind == "none":
        return None
    middle = ring.mean(axis=0)
    angle = np.arctan2(ring[:, 0] - middle[0], -(ring[:, 2] - middle[2]))  # 0 in front (−z)
    order = np.argsort(angle)
    at = np.linspace(-np.pi, np.pi, 49)
    loop = np.stack([np.interp(at, angle[order], ring[order, k], period=2 * np.pi) for k in range(3)], axis=1)
    if kind == "crew":
        return tube(loop.astype(np.float32), float(rng.uniform(3, 6)), sides=6)
    outward = (loop - middle) * np.array([1, 0, 1])
    if kind == "hood":
        reach = float(rng.uniform(1.7, 2.6))  # how far round the sides it comes, from behind
        t = np.linspace(-reach, reach, 33)
        path = np.stack([np.interp(np.pi - np.abs(t), at, loop[:, k]) if k != 0 else
                         np.sign(t) * np.abs(np.interp(np.pi - np.abs(t), at, loop[:, 0])) for k in range(3)], axis=1)
        path[:, 1] -= float(rng.uniform(0, 14))
        thick = float(rng.uniform(12, 22)) * (0.55 + 0.45 * np.cos(t / reach * np.pi / 2))
        return tube(path.astype(np.float32), thick.astype(np.float32), sides=9)
    inward = -outward * (np.array([0.32, 0, 0.16]) if kind == "roll" else 1 - float(rng.uniform(0.70, 0.80)))
    height = float(rng.uniform(34, 52) if kind == "roll" else rng.uniform(18, 34))
    up = np.array([0, -height, 0])
    rows = [loop, loop + 0.6 * inward + 0.6 * up, loop + inward + up]
    if kind == "roll":
        rows.append(rows[-1] + outward * 0.06 + [0, 0.45 * height, 0])  # folded over once
        return sheet(np.stack(rows).astype(np.float32))
    opening = float(rng.uniform(0.12, 0.45))
    kept = np.abs(at) > opening
    rows.append(rows[-1] + outward * float(rng.uniform(0.18, 0.34)) + [0, 0.8 * height, 0])  # falls over
    front, back = at < 0, at > 0
    return join([sheet(np.stack([row[kept & half] for row in rows]).astype(np.float32)) for half in (front, back)])
