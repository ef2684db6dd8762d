"""Coefficients → meshes of fixed topology, with normals, colours and what the camera sees of them."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from rtface import ops
from rtface.geometry import FloatArray, pose_vertices, rotation_matrices
from rtface.morphable import MorphableModel
from rtface.stages.occlude import hidden_points
from rtface.types import REGIONS, Coefficients, FaceMesh, Occlusion

_TABLE: Final = np.linspace(0, 1, 4096, dtype=np.float64)
_SRGB: Final = np.where(_TABLE <= 0.0031308, 12.92 * _TABLE,
                        1.055 * _TABLE ** (1 / 2.4) - 0.055).astype(np.float32)


class MeshBuilder:
    """Evaluates the morphable model; shares its read-only arrays."""

    def __init__(self, model: MorphableModel) -> None:
        self._model = model
        self._region_of_vertex = regions_of_vertices(model)

    def build(self, coefficients: Coefficients, regions: FloatArray, occlusion: Occlusion | None = None) -> FaceMesh:
        """One mesh per face, new arrays (triangles are the model's own).

        regions (N, 6) 0..1: a vertex is visible as far as its region is, and not at all when it faces away from the
        camera. occlusion, where it was looked for: a vertex is visible as far as nothing is before its own pixel.
        """
        model = self._model
        vertices = np.ascontiguousarray(model.vertices(coefficients.identity, coefficients.expression), np.float32)
        normals = ops.vertex_normals(vertices, model.triangles)
        toward = rotation_matrices(coefficients.rotation)[:, 2]  # (N, 3): depth row of camera_from_head
        facing = np.matmul(normals, toward[:, :, None])[..., 0] < 0  # z points away from the camera
        if occlusion is None:
            visibility = facing * np.asarray(regions, np.float32)[:, self._region_of_vertex]
        else:
            placed = pose_vertices(vertices, coefficients.rotation, coefficients.scale, coefficients.translation)
            measured = occlusion.visible_fraction[:, None] > 0
            visibility = facing * measured * (1 - hidden_points(occlusion, placed[..., :2]))
        return FaceMesh(vertices, normals, srgb(model.albedo(coefficients.albedo)), model.triangles,
                        visibility.astype(np.float32))


def srgb(linear: FloatArray) -> FloatArray:
    """Linear RGB 0..1 → sRGB-encoded 0..1 float32, by a table of 4096 steps."""
    return _SRGB[(np.asarray(linear) * 4095 + 0.5).astype(np.uint16)]


def regions_of_vertices(model: MorphableModel) -> NDArray[np.intp]:
    """(V,) index into :data:`rtface.types.REGIONS` for every vertex: the region that stands for it."""
    nearest = [REGIONS.index(_STANDS_FOR[name.removesuffix("_right").removesuffix("_left")])
               for name in model.region_names]
    return np.array(nearest, np.intp)[model.regions]


_STANDS_FOR: Final = {"forehead": "brows", "brow": "brows", "scalp": "brows", "eye": "eyes", "nose": "nose",
                      "cheek": "cheeks", "ear": "cheeks", "upper_lip": "mouth", "lower_lip": "mouth",
                      "inner_mouth": "mouth", "jaw": "jaw", "neck": "jaw"}
