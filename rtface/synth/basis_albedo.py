"""Albedo basis: principal components of painted skins at the face's L1 vertices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from rtface.basis_file import BasisFile
from rtface.morphable import MorphableModel
from rtface.synth.basis_identity import principal_components
from rtface.synth.skin import paint_texture, sample_skin, vertex_albedo
from rtface.synth.skin_maps import make_maps

Array = NDArray[Any]
TEXTURE: int = 256


def albedo_arrays(arrays: Mapping[str, Array], info: Mapping[str, Any], count: int, samples: int,
                  seed: int) -> tuple[dict[str, Array], list[float]]:
    """Mean (V, 3) and basis (V, 3, count) of linear RGB albedo, and the cumulative variance.

    Random skins and their mirror images; every mode is symmetric or antisymmetric.
    """
    vertices = len(arrays["uv"])
    plain: dict[str, Array] = {"albedo_mean": np.zeros((vertices, 3), np.float32),
                               "albedo": np.zeros((vertices, 3, count), np.float16)}
    model = MorphableModel.from_file(BasisFile({**arrays, **plain}, info))
    maps = make_maps(model, TEXTURE)
    rng = np.random.default_rng(seed + 2)
    skins = np.empty((samples, vertices, 3), np.float32)
    for k in range(samples):
        skins[k] = vertex_albedo(paint_texture(sample_skin(rng), TEXTURE, maps=maps), model.uv)
    distance, mirror = cKDTree(model.uv).query(model.uv * (-1, 1) + (1, 0))
    assert distance.max() < 1e-4 and (mirror[mirror] == np.arange(vertices)).all()
    everywhere = np.arange(vertices)
    found = principal_components(skins, everywhere, np.ones(vertices), mirror, count, flip=(1, 1, 1))
    return ({"albedo_mean": found.mean.astype(np.float32), "albedo": found.basis.astype(np.float16)},
            [round(float(c), 5) for c in found.cumulative])
