"""Meshes from coefficients, on the shipped basis at its coarse level."""

from __future__ import annotations

import numpy as np
import pytest

from rtface.morphable import MorphableModel
from rtface.stages.mesh import MeshBuilder, regions_of_vertices, srgb
from rtface.types import REGIONS, VECTOR_SIZE, Coefficients


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return MorphableModel.load(level=0)


def coefficients(*yaws: float) -> Coefficients:
    vector = np.zeros((len(yaws), VECTOR_SIZE), np.float32)
    vector[:, -5], vector[:, -3] = yaws, 1.0
    vector.flags.writeable = False
    return Coefficients.from_vector(vector, "rtface-1")


def test_a_mesh_is_the_model_with_outward_normals(model: MorphableModel) -> None:
    mesh = MeshBuilder(model).build(coefficients(0.0), np.ones((1, 6), np.float32))
    np.testing.assert_allclose(mesh.vertices[0], model.mean, atol=1e-4)
    assert mesh.triangles is model.triangles
    np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=-1), 1, atol=1e-4)
    tip = model.landmarks68[30]
    assert mesh.normals[0, tip, 2] < -0.5  # the nose points at the camera
    assert mesh.colors.dtype == np.float32 and 0 <= mesh.colors.min() and mesh.colors.max() <= 1


def test_visibility_joins_region_and_direction(model: MorphableModel) -> None:
    regions = np.ones((2, 6), np.float32)
    regions[0, REGIONS.index("mouth")] = 0.25
    mesh = MeshBuilder(model).build(coefficients(0.0, 1.2), regions)
    lip, brow = model.landmarks68[62], model.landmarks68[19]
    assert mesh.visibility[0, lip] == 0.25 and mesh.visibility[0, brow] == 1
    right_jaw, left_jaw = model.landmarks68[2], model.landmarks68[14]
    assert (mesh.visibility[1, right_jaw], mesh.visibility[1, left_jaw]) == (0, 1)  # nose to the picture's left


def test_no_face_is_an_empty_mesh(model: MorphableModel) -> None:
    mesh = MeshBuilder(model).build(coefficients(), np.zeros((0, 6), np.float32))
    assert mesh.vertices.shape == (0, len(model.mean), 3) and len(mesh) == 0


def test_every_region_has_vertices_in_the_right_place(model: MorphableModel) -> None:
    region = regions_of_vertices(model)
    for name, landmark in (("brows", 19), ("eyes", 37), ("nose", 30), ("mouth", 62), ("jaw", 8)):
        assert REGIONS[region[model.landmarks68[landmark]]] == name
    assert set(region.tolist()) == set(range(6))


def test_srgb_encoding_matches_the_standard() -> None:
    linear = np.linspace(0, 1, 1001, dtype=np.float32)
    exact = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(srgb(linear), exact, atol=2e-3)
    assert srgb(np.array([0, 1], np.float32)).tolist() == [0, 1]
