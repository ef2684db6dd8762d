"""The shipped basis and its evaluation."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from rtface.errors import InputError, ModelFileError
from rtface.morphable import MorphableModel
from rtface.paths import WEIGHTS
from rtface.subdivision import Topology, triangulate
from rtface.types import EXPRESSION_SIZE, IDENTITY_SIZE


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return MorphableModel.load()


@pytest.fixture(scope="module")
def coarse() -> MorphableModel:
    return MorphableModel.load(level=0)


@pytest.fixture(scope="module")
def mirror(model: MorphableModel) -> np.ndarray:
    """Index of each vertex's mirror image, found through the symmetric UV map."""
    flipped = model.uv * (-1, 1) + (1, 0)
    found = np.empty(len(flipped), int)
    order = np.lexsort((model.uv[:, 0].round(4), model.uv[:, 1].round(3)))
    grid = model.uv[order, 1]
    for i, point in enumerate(flipped):
        low, high = np.searchsorted(grid, [point[1] - 2e-3, point[1] + 2e-3])
        near = order[low:high]
        found[i] = near[np.abs(model.uv[near] - point).sum(axis=1).argmin()]
    return found


def test_shapes_and_names_are_as_announced(model: MorphableModel, coarse: MorphableModel) -> None:
    assert model.mean.shape == (11846, 3) and model.triangles.shape == (23328, 3)
    assert coarse.mean.shape == (3006, 3) and coarse.triangles.shape == (5832, 3)
    assert model.identity_basis.shape[1:] == (3, IDENTITY_SIZE) and model.expression_basis.shape[2] == EXPRESSION_SIZE
    assert model.albedo_mean.shape == model.mean.shape and model.albedo_basis.shape[2] == 80
    assert len(set(model.expression_names)) == EXPRESSION_SIZE
    assert model.expression_names[:3] == ("eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft")
    assert model.expression_names[17] == "jawOpen" and model.expression_names[51] == "tongueOut"
    assert "CC0" in model.info["notice"] and model.info["licence"] == "MIT"
    assert (model.landmarks68 == coarse.landmarks68).all(), "L0 vertices keep their numbers at L1"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_vertices_are_mean_plus_bases_times_coefficients(model: MorphableModel, dtype: type) -> None:
    rng = np.random.default_rng(0)
    alpha, beta = rng.normal(size=(3, 80)).astype(dtype), rng.random((3, 64)).astype(dtype)
    got = model.vertices(alpha, beta)
    want = (model.mean + np.einsum("vck,nk->nvc", model.identity_basis.astype(np.float64), alpha)
            + np.einsum("vck,nk->nvc", model.expression_basis.astype(np.float64), beta))
    assert got.dtype == dtype
    np.testing.assert_allclose(got, want, atol=1e-9 if dtype is np.float64 else 2e-3)


def test_no_face_gives_empty_arrays(model: MorphableModel) -> None:
    alpha, beta = np.zeros((0, 80), np.float32), np.zeros((0, 64), np.float32)
    vertices = model.vertices(alpha, beta)
    assert vertices.shape == (0, 11846, 3) and model.landmarks(vertices).shape == (0, 68, 3)
    assert model.eye_vertices(alpha, beta).shape[0] == 0 and model.albedo(alpha).shape == (0, 11846, 3)


def test_landmark_rows_agree_with_the_full_mesh(model: MorphableModel) -> None:
    rng = np.random.default_rng(1)
    alpha, beta = rng.normal(size=(2, 80)).astype(np.float32), rng.random((2, 64)).astype(np.float32)
    mean, identity, expression = model.landmark_rows()
    np.testing.assert_allclose(mean + identity @ alpha[1] + expression @ beta[1],
                               model.landmarks(model.vertices(alpha, beta))[1], atol=2e-3)


def test_mean_face_looks_at_the_camera_in_millimetres(model: MorphableModel) -> None:
    marks = model.mean[model.landmarks68]
    right, left = model.eyes.center_mean
    assert np.linalg.norm(left - right) == pytest.approx(63, abs=0.5) and right[0] < 0 < left[0]
    assert marks[8, 1] > marks[33, 1] > marks[27, 1], "y points down: chin below nose below brows"
    nose = model.region_mask("nose")
    assert nose[model.mean[:, 2].argmin()], "z points away from the camera: the nose is nearest"
    assert abs(model.mean[:, 0].mean()) < 0.01
    # brow points lie on the brows' upper edge, 3 mm above the line that the origin was measured from
    np.testing.assert_allclose((marks[17:27, 1].mean() + marks[8, 1]) / 2, 0, atol=2.5)


def test_landmarks_lie_on_their_features(model: MorphableModel) -> None:
    names = np.array(model.region_names)[model.regions[model.landmarks68]]
    assert {str(n) for n in names[17:22]} <= {"brow_right", "forehead", "cheek_right"}  # the brow's tail at the temple
    assert {str(n) for n in names[22:27]} <= {"brow_left", "forehead", "cheek_left"}
    assert {str(n) for n in names[36:42]} == {"eye_right"} and {str(n) for n in names[42:48]} == {"eye_left"}
    assert set(names[28:31]) == {"nose"}
    assert {str(n) for n in names[48:68]} <= {"upper_lip", "lower_lip", "inner_mouth", "jaw"}
    marks = model.mean[model.landmarks68]
    swapped = [16 - k for k in range(17)] + [26 - k for k in range(10)]
    np.testing.assert_allclose(marks[:27] * (-1, 1, 1), marks[swapped], atol=0.6)
    assert (np.diff(marks[:17, 0]) > -3).all(), "the jaw runs from the picture's left to its right"


def test_normals_point_outwards(model: MorphableModel) -> None:
    everything = [(model.mean, model.triangles)]
    both = model.eye_vertices(np.zeros((1, 80)), np.zeros((1, 64)))[0]
    half = len(both) // 2
    everything.append((both[:half], model.eyes.triangles[:len(model.eyes.triangles) // 2]))
    for vertices, triangles in everything:
        a, b, c = (vertices[triangles[:, k]].astype(np.float64) for k in range(3))
        normal, center = np.cross(b - a, c - a), (a + b + c) / 3
        inside = np.median(vertices, axis=0) + (0, 0, 30 if vertices is model.mean else 0)
        outward = ((center - inside) * normal).sum(axis=1)
        area = np.linalg.norm(normal, axis=1)
        assert area[outward > 0].sum() > 0.9 * area.sum()
    front = model.triangles[model.region_mask("nose", "forehead")[model.triangles].all(axis=1)]
    a, b, c = (model.mean[front[:, k]] for k in range(3))
    assert np.cross(b - a, c - a)[:, 2].mean() < 0


def test_identity_modes_are_ordered_and_explain_nearly_everything(model: MorphableModel) -> None:
    share = np.array(model.info["identity_cumulative_variance"])
    assert (np.diff(share) > 0).all() and np.all(np.diff(np.diff(share)) < 1e-4)
    assert share[9] > 0.75 and share[39] > 0.94 and share[79] > 0.98
    spread = model.identity_samples.std(axis=0)
    np.testing.assert_allclose(spread, 1, atol=0.08)
    size = np.linalg.norm(model.identity_basis, axis=(0, 1))
    assert size[:10].mean() > 5 * size[40:].mean()


def test_mean_and_bases_are_symmetric(model: MorphableModel, mirror: np.ndarray) -> None:
    flip = np.array([-1, 1, 1])
    assert (mirror[mirror] == np.arange(len(mirror))).all()
    np.testing.assert_allclose(model.mean[mirror] * flip, model.mean, atol=1e-3)
    odd = set(model.info["identity_antisymmetric"])
    assert 5 < len(odd) < 40
    for k in range(80):
        mode = model.identity_basis[:, :, k]
        np.testing.assert_allclose(mode[mirror] * flip, -mode if k in odd else mode, atol=0.02)
    index = model.expression_names.index
    for name in model.expression_names:
        partner = name.replace("Left", "Right") if name.endswith("Left") else name
        if not name.endswith("Right"):
            np.testing.assert_allclose(model.expression_basis[mirror, :, index(partner)] * flip,
                                       model.expression_basis[:, :, index(name)], atol=0.03, err_msg=name)


HOME = {"eyeBlink": "eye", "eyeSquint": "eye", "eyeWide": "eye", "jaw": "jaw", "brow": "brow", "noseS": "sneer",
        "noseD": "nose", "cheekP": "cheek", "cheekS": "cheek", "neck": "neck"}


def test_every_action_moves_its_own_region_and_side_most(model: MorphableModel) -> None:
    # the source's sneer pulls the inner brow down by 5.2 mm and lifts the wing of the nose by 4.2 mm
    groups = {"eye": ("eye",), "brow": ("brow", "forehead"), "sneer": ("nose", "brow", "forehead"), "nose": ("nose",),
              "cheek": ("cheek", "jaw", "eye"), "jaw": ("jaw", "lower_lip", "inner_mouth", "neck"),
              "neck": ("neck", "jaw", "lower_lip"), "mouth": ("upper_lip", "lower_lip", "inner_mouth", "jaw")}
    for k, name in enumerate(model.expression_names):
        length = np.linalg.norm(model.expression_basis[:, :, k], axis=1)
        if name == "tongueOut":
            assert length.max() < 0.05
            tongue = np.array(model.interior.label_names)[model.interior.labels] == "tongue"
            assert np.linalg.norm(model.interior.expression_basis[tongue, :, k], axis=1).max() > 15
            continue
        if name.startswith("eyeLook"):
            continue
        home = next((h for prefix, h in HOME.items() if name.startswith(prefix)), "mouth")
        place = model.mean[length.argmax()]
        mask = model.region_mask(*groups[home])
        assert length[mask].max() > 0.85 * length.max() and length.max() > 2.5, name
        if name.startswith(("brow", "eye", "cheek")) and name.endswith(("Left", "Right")):
            assert (place[0] > 0) == name.endswith("Left"), f"{name}: the subject's left is +x"


def test_gaze_turns_the_iris_the_way_the_action_says(model: MorphableModel) -> None:
    iris = np.array(model.eyes.label_names)[model.eyes.labels] == "pupil"
    half = len(iris) // 2
    zero = np.zeros((1, 80))
    at_rest = model.eye_vertices(zero, np.zeros((1, 64)))[0]
    moves = {"eyeLookInLeft": (half, 0, -1), "eyeLookOutLeft": (half, 0, 1), "eyeLookInRight": (0, 0, 1),
             "eyeLookOutRight": (0, 0, -1), "eyeLookUpLeft": (half, 1, -1), "eyeLookDownRight": (0, 1, 1)}
    for name, (start, axis, sign) in moves.items():
        beta = np.zeros((1, 64))
        beta[0, model.expression_names.index(name)] = 1
        moved = (model.eye_vertices(zero, beta)[0] - at_rest)[start:start + half][iris[start:start + half]].mean(axis=0)
        assert sign * moved[axis] > 4, name
        np.testing.assert_allclose(np.linalg.norm(model.eye_vertices(zero, beta)[0, start:start + half]
                                                  - model.eyes.center_mean[start // half], axis=1),
                                   model.eyes.radius_mm, atol=0.01)


@pytest.mark.parametrize("actions", [{}, {"eyeBlink": 0.5}, {"eyeBlink": 0.8}, {"eyeBlink": 1.0}, {"eyeSquint": 1.0},
                                     {"eyeWide": 1.0}, {"eyeLookDown": 1.0}, {"eyeLookUp": 1.0}])
def test_eyeballs_stay_behind_the_lids(model: MorphableModel, actions: dict[str, float]) -> None:
    people = np.concatenate([np.zeros((1, 80), np.float32), model.identity_samples[:150]])
    limits = model.expression_limits(people)
    beta = np.zeros((len(people), 64), np.float32)
    for name, amount in actions.items():
        for side in ("Left", "Right"):
            k = model.expression_names.index(name + side)
            beta[:, k] = amount * limits[:, k]
    vertices, centers = model.vertices(people, beta), model.eye_centers(people)
    for e, side in enumerate(("right", "left")):
        margin = model.contours[f"eyelid_{side}"]
        gap = np.linalg.norm(vertices[:, margin] - centers[:, e, None], axis=2) - model.eyes.radius_mm
        assert gap.min() > -0.5 and np.median(gap.min(axis=1)) > -0.05
        assert np.median(gap) < 4


def test_blink_limit_closes_everybodys_lids(model: MorphableModel) -> None:
    people = model.identity_samples[:200]
    limits = model.expression_limits(people)
    beta = np.zeros((len(people), 64), np.float32)
    for side in ("Left", "Right"):
        k = model.expression_names.index(f"eyeBlink{side}")
        beta[:, k] = limits[:, k]
        assert 0.6 < limits[:, k].min() and limits[:, k].max() < 1.5
    marks = model.landmarks(model.vertices(people, beta))
    for upper, lower in (((37, 38), (41, 40)), ((43, 44), (47, 46))):
        gap = marks[:, lower, 1].mean(axis=1) - marks[:, upper, 1].mean(axis=1)
        assert np.abs(gap).max() < 0.3


def test_parts_meet_the_face_without_cracks(model: MorphableModel, coarse: MorphableModel) -> None:
    rng = np.random.default_rng(3)
    alpha, beta = rng.normal(size=(1, 80)).astype(np.float32), rng.random((1, 64)).astype(np.float32)
    for some in (model, coarse):
        face = some.vertices(alpha, beta)[0]
        for part, vertices in ((some.context, some.context_vertices(alpha, beta)[0]),
                               (some.interior, some.interior_vertices(alpha, beta)[0])):
            shared = part.face_vertices >= 0
            assert 80 < shared.sum() < 300
            np.testing.assert_allclose(vertices[shared], face[part.face_vertices[shared]], atol=1e-3)
            assert part.triangles.max() == len(part.mean) - 1 and np.isfinite(part.colors).all()
            np.testing.assert_allclose(part.weights.sum(axis=1), 1, atol=1e-5)


def test_border_edges_of_the_face_are_edges_of_its_neighbours(model: MorphableModel) -> None:
    def border(triangles: np.ndarray) -> set[tuple[int, int]]:
        sides = np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), axis=1)
        found, count = np.unique(sides, axis=0, return_counts=True)
        return {(int(a), int(b)) for a, b in found[count == 1]}

    around: set[tuple[int, int]] = set()
    for part in (model.context, model.interior):
        for a, b in border(part.triangles):
            pair = sorted((int(part.face_vertices[a]), int(part.face_vertices[b])))
            if pair[0] >= 0:
                around.add((pair[0], pair[1]))
    assert border(model.triangles) == around


def test_jaw_opens_with_lower_teeth_and_tongue(model: MorphableModel) -> None:
    inside, k = model.interior, model.expression_names.index("jawOpen")
    names = np.array(inside.label_names)[inside.labels]
    down = inside.expression_basis[:, 1, k]
    assert down[names == "teeth_lower"].mean() > 10 and down[names == "tongue"].max() > 10
    assert np.abs(down[names == "teeth_upper"]).max() < 1


def test_contours_follow_edges_of_the_mesh(model: MorphableModel) -> None:
    t = model.triangles
    sides = {(int(a), int(b)) for a, b in np.concatenate([t[:, [0, 1]], t[:, [1, 2]], t[:, [2, 0]]])}
    assert set(model.contours) == {"face_outline", "brow_right", "brow_left", "eyelid_right", "eyelid_left",
                                   "nose_bridge", "nose_wings", "lip_outer", "lip_inner"}
    for name, line in model.contours.items():
        for a, b in zip(line[:-1].tolist(), line[1:].tolist(), strict=True):
            assert (a, b) in sides or (b, a) in sides, name
        assert (line[0] == line[-1]) == name.startswith(("eyelid", "lip"))


def test_uv_map_fills_the_square_without_folds(model: MorphableModel) -> None:
    assert model.uv.min() > 0 and model.uv.max() < 1
    a, b, c = (model.uv[model.triangles[:, k]].astype(np.float64) for k in range(3))
    area = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    assert (area < 0).all(), "same turn as in the picture"
    assert -area.sum() / 2 > 0.7


def test_albedo_is_linear_and_clipped(model: MorphableModel) -> None:
    assert 0.02 < model.albedo_mean.min() and model.albedo_mean.max() < 0.95
    tau = np.zeros((2, 80))
    tau[1, 3] = 0.5
    colors = model.albedo(tau)
    np.testing.assert_allclose(colors[0], model.albedo_mean, atol=1e-7)
    np.testing.assert_allclose(colors[1], np.clip(model.albedo_mean + 0.5 * model.albedo_basis[:, :, 3], 0, 1),
                               atol=1e-7)
    assert model.albedo(tau + 9).max() <= 1 and model.albedo(tau - 9).min() >= 0
    assert model.info["albedo_cumulative_variance"][-1] > 0.97


def test_wrong_shapes_say_what_was_got_and_expected(model: MorphableModel) -> None:
    good, bad = np.zeros((2, 80), np.float32), np.zeros((2, 63), np.float32)
    with pytest.raises(InputError, match=r"expression: got shape \(2, 63\), expected \(N, 64\)"):
        model.vertices(good, bad)
    with pytest.raises(InputError, match="got 1 rows, expected 2"):
        model.vertices(good, np.zeros((1, 64), np.float32))
    with pytest.raises(InputError, match=r"got shape \(80,\), expected \(N, 80\)"):
        model.vertices(good[0], np.zeros((2, 64), np.float32))
    with pytest.raises(InputError, match="got shape .* expected"):
        model.landmarks(np.zeros((1, 5, 3), np.float32))
    with pytest.raises(InputError, match="got .* expected some of forehead"):
        model.region_mask("knee")
    with pytest.raises(InputError, match="got 2, expected 0 or 1"):
        MorphableModel.load(level=2)  # type: ignore[arg-type]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in ("basis.npz", "basis.json"):
        shutil.copy(WEIGHTS / name, tmp_path / name)
    return tmp_path / "basis.npz"


def test_missing_files_name_the_rebuild_command(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="No such file.*python -m rtface.synth.basis"):
        MorphableModel.load(tmp_path / "basis.npz")


def test_truncated_arrays_are_refused(copy: Path) -> None:
    copy.write_bytes(copy.read_bytes()[:100_000])
    with pytest.raises(ModelFileError, match="sha256"):
        MorphableModel.load(copy)


def test_foreign_basis_is_refused(copy: Path) -> None:
    info = json.loads(copy.with_suffix(".json").read_text())
    copy.with_suffix(".json").write_text(json.dumps({**info, "id": "bfm-2009"}))
    with pytest.raises(ModelFileError, match="got basis .*bfm-2009.* expected .*rtface-1"):
        MorphableModel.load(copy)


def test_damaged_description_is_refused(copy: Path) -> None:
    copy.with_suffix(".json").write_text("{")
    with pytest.raises(ModelFileError, match="no JSON"):
        MorphableModel.load(copy)


def test_archive_without_the_arrays_is_refused(copy: Path) -> None:
    import hashlib

    np.savez(copy, mean=np.zeros((4, 3), np.float32))
    info = json.loads(copy.with_suffix(".json").read_text())
    info["sha256"] = hashlib.sha256(copy.read_bytes()).hexdigest()
    copy.with_suffix(".json").write_text(json.dumps(info))
    with pytest.raises(ModelFileError, match="got no array identity"):
        MorphableModel.load(copy)


def _cube() -> tuple[np.ndarray, np.ndarray]:
    points = np.array([[x, y, z] for z in (0, 1) for y in (0, 1) for x in (0, 1)], float)
    quads = np.array([[0, 2, 3, 1], [4, 5, 7, 6], [0, 1, 5, 4], [2, 6, 7, 3], [0, 4, 6, 2], [1, 3, 7, 5]])
    return points, quads


def test_catmull_clark_of_a_cube_is_the_known_one() -> None:
    points, quads = _cube()
    topology = Topology.from_quads(quads, 8)
    fine = topology.refine(points)
    assert fine.shape == (8 + 12 + 6, 3) and len(topology.edges) == 12
    np.testing.assert_allclose(fine[0], np.full(3, 2 / 9), atol=1e-12)  # (F + 2R) / 3 with F = 1/3, R = 1/6 per axis
    np.testing.assert_allclose(np.sort(fine[8:20].round(6), axis=1)[:, 1:].max(), 0.875)
    quads1 = topology.refined_quads()
    assert quads1.shape == (24, 4) and np.unique(quads1).tolist() == list(range(26))
    t = triangulate(quads1)
    volume = np.einsum("ij,ij->", fine[t[:, 0]], np.cross(fine[t[:, 1]], fine[t[:, 2]])) / 6
    assert 0.3 < volume < 1, "the winding is kept"


def test_stencils_are_a_partition_of_unity_and_linear() -> None:
    _, quads = _cube()
    for subset in (quads, quads[:5], quads[:1]):  # closed, open, single quad
        topology = Topology.from_quads(subset, 8)
        stencil = topology.refine(np.eye(8))
        np.testing.assert_allclose(stencil.sum(axis=1), 1, atol=1e-12)
        assert stencil.min() >= 0
        values = np.random.default_rng(0).normal(size=(8, 2, 3))
        np.testing.assert_allclose(topology.refine(values), np.einsum("ij,jkl->ikl", stencil, values), atol=1e-12)
        rows = np.array([1, 9, 3])
        np.testing.assert_allclose(topology.refine(values, rows), topology.refine(values)[rows])


def test_edges_with_three_quads_are_refused() -> None:
    with pytest.raises(ValueError, match="got an edge with 3 quads, expected at most 2"):
        Topology.from_quads(np.array([[0, 1, 2, 3], [0, 1, 4, 5], [0, 1, 6, 7]]), 8)


def test_model_survives_being_copied(model: MorphableModel) -> None:
    import dataclasses

    alone = dataclasses.replace(model, identity_basis=model.identity_basis.copy(),
                                expression_basis=model.expression_basis.copy())
    alpha, beta = np.ones((1, 80), np.float32), np.ones((1, 64), np.float32)
    np.testing.assert_allclose(alone.vertices(alpha, beta), model.vertices(alpha, beta), atol=2e-3)
