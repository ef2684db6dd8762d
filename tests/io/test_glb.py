"""The .glb of a clip: read back by hand, by trimesh and pygltflib, and checked by Khronos' validator."""

from __future__ import annotations

import dataclasses
import json
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pygltflib
import pygltflib.validator
import pytest
import trimesh

from rtface.errors import InputError, OutputError
from rtface.exports import glb_parts
from rtface.geometry import rotation_matrices
from rtface.io import GlbSink
from rtface.io.atomic import temporaries_in
from rtface.io.glb import GlbModel, vertex_normals
from rtface.morphable import MorphableModel
from rtface.types import Coefficients, FaceStatus

FLIP = np.array([1.0, -1.0, -1.0])
CLIP = ([0], [0, 4], [4], [], [0, 4], [0])  # face ids per frame
STATUS: dict[int, list[FaceStatus]] = {4: [FaceStatus.TRACKED, FaceStatus.ABSENT]}


class Glb:
    """A minimal reader that resolves accessors, sparse ones too."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        magic, version, length = struct.unpack_from("<4sII", data)
        assert (magic, version, length) == (b"glTF", 2, len(data))
        size, kind = struct.unpack_from("<I4s", data, 12)
        assert kind == b"JSON" and size % 4 == 0
        self.json: dict[str, Any] = json.loads(data[20:20 + size])
        self.binary = b""
        if len(data) > 20 + size:
            size_bin, kind = struct.unpack_from("<I4s", data, 20 + size)
            assert kind == b"BIN\0" and size_bin % 4 == 0
            self.binary = data[28 + size:28 + size + size_bin]
            assert self.json["buffers"] == [{"byteLength": size_bin}]

    def _raw(self, view: int, offset: int, dtype: np.dtype, count: int) -> np.ndarray:
        v = self.json["bufferViews"][view]
        assert v["byteOffset"] % 4 == 0 and offset + count * dtype.itemsize <= v["byteLength"]
        return np.frombuffer(self.binary, dtype, count, v["byteOffset"] + offset)

    def array(self, index: int) -> np.ndarray:
        a = self.json["accessors"][index]
        dtype = np.dtype({5121: "u1", 5123: "<u2", 5125: "<u4", 5126: "<f4"}[a["componentType"]])
        width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}[a["type"]]
        if "bufferView" in a:
            out = self._raw(a["bufferView"], a.get("byteOffset", 0), dtype, a["count"] * width).reshape(-1, width)
        else:
            out = np.zeros((a["count"], width), dtype)
        if "sparse" in a:
            s = a["sparse"]
            index_type = np.dtype({5123: "<u2", 5125: "<u4"}[s["indices"]["componentType"]])
            rows = self._raw(s["indices"]["bufferView"], s["indices"]["byteOffset"], index_type, s["count"])
            assert (np.diff(rows.astype(int)) > 0).all() and rows.max() < a["count"]
            out = out.copy()
            out[rows] = self._raw(s["values"]["bufferView"], s["values"]["byteOffset"], dtype,
                                  s["count"] * width).reshape(-1, width)
        if "min" in a:
            np.testing.assert_array_equal(out.min(axis=0), np.asarray(a["min"], dtype))
            np.testing.assert_array_equal(out.max(axis=0), np.asarray(a["max"], dtype))
        return out

    def channels(self, node: int) -> dict[str, tuple[np.ndarray, np.ndarray, str]]:
        animation = self.json["animations"][0]
        out = {}
        for channel in animation["channels"]:
            if channel["target"]["node"] == node:
                sampler = animation["samplers"][channel["sampler"]]
                out[channel["target"]["path"]] = (self.array(sampler["input"])[:, 0], self.array(sampler["output"]),
                                                  sampler["interpolation"])
        return out


def _results(media) -> list:
    out = []
    for i, faces in enumerate(CLIP):
        pts_s = 0.5 + [0.0, 0.04, 0.09, 0.2, 0.24, 0.5][i]
        out.append(media.make_result(i, faces, pts_s=pts_s, status=STATUS.get(i)))
    return out


def _write(path: Path, media, model: GlbModel | list[GlbModel] | None = None, **options: Any) -> tuple[Glb, list]:
    sink = GlbSink(path, media.make_model() if model is None else model, **options)
    results = _results(media)
    for result in results:
        sink.write(result)
    assert not path.exists()
    assert sink.finish() == [path]
    return Glb(path), results


def _of_face(results: list, face_id: int) -> list[tuple[Any, int]]:
    """Results and rows in which a face is present."""
    return [(r, r.tracks.ids.tolist().index(face_id)) for r in results if face_id in r.tracks.ids
            and r.status[r.tracks.ids.tolist().index(face_id)] is not FaceStatus.ABSENT]


def test_nodes_meshes_and_names(tmp_path: Path, media) -> None:
    glb, _ = _write(tmp_path / "clip.glb", media, extras={"basis": "test"})
    assert glb.json["asset"] == {"version": "2.0", "generator": "rtface", "extras": {"basis": "test"}}
    assert [n["name"] for n in glb.json["nodes"]] == ["face0", "face4"] == [m["name"] for m in glb.json["meshes"]]
    assert glb.json["scenes"][0]["nodes"] == [0, 1]
    for mesh in glb.json["meshes"]:
        assert mesh["extras"]["targetNames"] == [f"action{i}" for i in range(64)]
        assert len(mesh["primitives"][0]["targets"]) == 64 == len(mesh["weights"])
    first, second = (m["primitives"][0] for m in glb.json["meshes"])
    assert first["targets"] == second["targets"] and first["indices"] == second["indices"]  # stored once
    assert first["attributes"]["POSITION"] != second["attributes"]["POSITION"]


def test_the_neutral_mesh_is_the_weighted_mean_identity_in_metres(tmp_path: Path, media) -> None:
    model = media.make_model()
    glb, results = _write(tmp_path / "clip.glb", media)
    for node, face_id in enumerate((0, 4)):
        rows = _of_face(results, face_id)
        weights = np.array([r.confidence[n] for r, n in rows], np.float64)
        identity = np.average([r.coefficients.identity[n] for r, n in rows], axis=0, weights=weights)
        albedo = np.average([r.coefficients.albedo[n] for r, n in rows], axis=0, weights=weights)
        primitive = glb.json["meshes"][node]["primitives"][0]
        vertices = model.mean + model.identity_basis @ identity
        position = glb.array(primitive["attributes"]["POSITION"])
        np.testing.assert_allclose(position, vertices * FLIP / 1000, atol=1e-7)
        colors = glb.array(primitive["attributes"]["COLOR_0"]) / 65535
        np.testing.assert_allclose(colors[:, :3], np.clip(model.albedo_mean + model.albedo_basis @ albedo, 0, 1),
                                   atol=2e-5)
        assert (colors[:, 3] == 1).all()
        normals = glb.array(primitive["attributes"]["NORMAL"])
        np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)
        triangles = glb.array(primitive["indices"]).reshape(-1, 3).astype(int)
        np.testing.assert_array_equal(triangles, model.triangles)
        corners = position[triangles]
        facing = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        assert (np.einsum("fk,fk->f", facing, normals[triangles[:, 0]]) > 0).mean() > 0.99
        assert facing[:, 2].mean() > 0  # towards the viewer, +z


def test_held_frames_hardly_count_for_the_identity(tmp_path: Path, media) -> None:
    sink = GlbSink(tmp_path / "clip.glb", media.make_model())
    first = media.make_result(0)
    sink.write(first)
    for index in range(1, 4):
        sink.write(media.make_result(index, status=[FaceStatus.HELD]))
    glb = Glb(sink.finish()[0])
    model = media.make_model()
    expected = (model.mean + model.identity_basis @ first.coefficients.identity[0]) * FLIP / 1000
    position = glb.array(glb.json["meshes"][0]["primitives"][0]["attributes"]["POSITION"])
    np.testing.assert_allclose(position, expected, atol=2e-4)


def test_morph_targets_are_the_expression_basis(tmp_path: Path, media) -> None:
    model = media.make_model()
    glb, _ = _write(tmp_path / "clip.glb", media)
    targets = glb.json["meshes"][0]["primitives"][0]["targets"]
    rest = vertex_normals(model.mean, model.triangles)
    for k, target in enumerate(targets):
        np.testing.assert_allclose(glb.array(target["POSITION"]), model.expression_basis[..., k] * FLIP / 1000,
                                   atol=2.1e-6)
        turned = vertex_normals(model.mean + model.expression_basis[..., k], model.triangles) - rest
        np.testing.assert_allclose(glb.array(target["NORMAL"]), turned * FLIP, atol=2.1e-3)
    accessors = [glb.json["accessors"][t["POSITION"]] for t in targets]
    assert "sparse" not in accessors[0] and "bufferView" in accessors[0]  # moves everything: dense
    assert "sparse" not in accessors[5] and "bufferView" not in accessors[5]  # moves nothing: zeros
    assert sum("sparse" in a for a in accessors) > 30
    without, _ = _write(tmp_path / "plain.glb", media, normals=False)
    assert without.json["meshes"][0]["primitives"][0]["targets"][3].keys() == {"POSITION"}


def test_the_animation_follows_the_sources_timeline(tmp_path: Path, media) -> None:
    glb, results = _write(tmp_path / "clip.glb", media)
    for node, face_id in enumerate((0, 4)):
        rows = _of_face(results, face_id)
        channels = glb.channels(node)
        assert channels.keys() == {"rotation", "translation", "weights", "scale"}
        for name in ("rotation", "translation", "weights"):
            times, values, interpolation = channels[name]
            np.testing.assert_allclose(times, [r.frame.pts_s for r, _ in rows], atol=1e-6)
            assert (np.diff(times) > 0).all() and interpolation == "LINEAR"
            assert len(values) == len(times) * (64 if name == "weights" else 1)
        np.testing.assert_array_equal(channels["weights"][1].reshape(-1, 64),
                                      [r.coefficients.expression[n] for r, n in rows])


def test_pose_places_the_mesh_like_the_projection(tmp_path: Path, media) -> None:
    """Node transform · vertex, seen orthographically, is the picture's projection in mm (y up, from its centre)."""
    glb, results = _write(tmp_path / "clip.glb", media)
    point = np.array([10.0, -20.0, 5.0])
    for node, face_id in enumerate((0, 4)):
        channels = glb.channels(node)
        for key, (result, n) in enumerate(_of_face(results, face_id)):
            c = result.coefficients
            pixel = (rotation_matrices(c.rotation)[n] @ point)[:2] * c.scale[n] + c.translation[n]
            expected = (pixel - (media.WIDTH / 2, media.HEIGHT / 2)) / c.scale[n] * (1, -1)
            x, y, z, w = channels["rotation"][1][key].astype(float)
            turn = trimesh.transformations.quaternion_matrix([w, x, y, z])[:3, :3]
            place = turn @ (point * FLIP / 1000) + channels["translation"][1][key]
            np.testing.assert_allclose(place[:2] * 1000, expected, atol=1e-3)
        np.testing.assert_allclose(np.linalg.norm(channels["rotation"][1], axis=1), 1, atol=1e-6)


def test_quaternions_hold_for_all_large_turns(tmp_path: Path, media) -> None:
    sink = GlbSink(tmp_path / "clip.glb", media.make_model())
    rng = np.random.default_rng(2)
    angles = rng.uniform(-np.pi, np.pi, (60, 3)).astype(np.float32)
    angles[:3] = [(np.pi, 0, 0), (0, 1.5, np.pi), (0, 0, -np.pi)]
    angles[30:, 0], angles[30:, 1], angles[30:, 2] = 0.1, 0.2, np.linspace(-3.1, 9.0, 30)  # nearly two turns
    for index, angle in enumerate(angles):
        result = media.make_result(index)
        vector = result.coefficients.to_vector()
        vector[0, -6:-3] = angle
        object.__setattr__(result, "coefficients", Coefficients.from_vector(vector, "test"))
        sink.write(result)
    quaternions = Glb(sink.finish()[0]).channels(0)["rotation"][1].astype(float)
    for q, matrix in zip(quaternions, rotation_matrices(angles.astype(np.float64)), strict=True):
        turn = trimesh.transformations.quaternion_matrix([q[3], *q[:3]])[:3, :3]
        np.testing.assert_allclose(turn, np.diag(FLIP) @ matrix @ np.diag(FLIP), atol=1e-6)
    assert (np.sum(quaternions[1:] * quaternions[:-1], axis=1) >= 0).all()  # the short way round


def test_absent_faces_are_hidden_by_scale(tmp_path: Path, media) -> None:
    glb, results = _write(tmp_path / "clip.glb", media)
    times_s = [r.frame.pts_s for r in results]
    for node, face_id in enumerate((0, 4)):
        times, scale, interpolation = glb.channels(node)["scale"]
        assert interpolation == "STEP" and times[0] == np.float32(times_s[0])
        shown = [bool(scale[np.searchsorted(times, np.float32(t), side="right") - 1][0]) for t in times_s]
        present = [any(r is result for r, _ in _of_face(results, face_id)) for result in results]
        assert shown == present
        assert (scale == scale[:, :1]).all()


def test_step_interpolation_and_parts(tmp_path: Path, media) -> None:
    face, eyes = media.make_model(), media.make_model(5, albedo=False)
    glb, _ = _write(tmp_path / "clip.glb", media, [face, eyes], interpolation="STEP")
    assert {s["interpolation"] for s in glb.json["animations"][0]["samplers"]} == {"STEP"}
    assert [len(m["primitives"]) for m in glb.json["meshes"]] == [2, 2]
    colors = glb.array(glb.json["meshes"][0]["primitives"][1]["attributes"]["COLOR_0"])[:, :3] / 65535
    np.testing.assert_allclose(colors, eyes.albedo_mean, atol=1e-5)


def test_times_stay_increasing_in_float32(tmp_path: Path, media) -> None:
    sink = GlbSink(tmp_path / "clip.glb", media.make_model())
    for index in range(5):
        sink.write(media.make_result(index, pts_s=50_000.0 + 0.001 * index))  # steps of 3.9 ms in float32
    times = Glb(sink.finish()[0]).channels(0)["rotation"][0]
    assert (np.diff(times) > 0).all() and abs(times[-1] - 50_000) < 0.05


def test_other_programs_load_it(tmp_path: Path, media) -> None:
    path = tmp_path / "clip.glb"
    _write(path, media)
    scene = trimesh.load(path)
    assert len(scene.geometry) == 2
    geometry = scene.geometry["face0"]
    assert len(geometry.vertices) == 81 and len(geometry.faces) == 128
    gltf = pygltflib.GLTF2().load(str(path))
    assert gltf is not None and len(gltf.animations[0].channels) == 8
    with pytest.warns(UserWarning, match="provisional function"):
        pygltflib.validator.validate(gltf)  # raises for what it does not accept


def test_a_clip_without_faces_is_a_valid_empty_scene(tmp_path: Path, media) -> None:
    sink = GlbSink(tmp_path / "none.glb", media.make_model())
    sink.write(media.make_result(0, []))
    glb = Glb(sink.finish()[0])
    assert glb.json["scenes"] == [{"name": "clip"}] and "nodes" not in glb.json and glb.binary == b""


def test_a_head_has_skin_eyes_and_mouth(tmp_path: Path, media) -> None:
    model = MorphableModel.load(level=0)
    sink = GlbSink(tmp_path / "head.glb", glb_parts(model))
    sink.write(media.make_result(0))
    glb = Glb(sink.finish()[0])
    primitives = glb.json["meshes"][0]["primitives"]
    materials = [glb.json["materials"][p["material"]] for p in primitives]
    assert [m["name"] for m in materials] == ["skin", "eyes", "mouth"]
    assert materials[1]["pbrMetallicRoughness"]["roughnessFactor"] < 0.3
    counts = [glb.json["accessors"][p["attributes"]["POSITION"]]["count"] for p in primitives]
    assert counts == [len(model.mean), len(model.eyes.labels), len(model.interior.mean)]
    assert all(len(p["targets"]) == 64 for p in primitives)


@pytest.mark.needs_node
def test_khronos_validator_finds_nothing(tmp_path: Path, media, gltf_validator: str) -> None:
    _write(tmp_path / "a.glb", media)
    _write(tmp_path / "b.glb", media, [media.make_model(), media.make_model(5, albedo=False)], interpolation="STEP",
           normals=False)
    single = GlbSink(tmp_path / "c.glb", media.make_model(109))
    single.write(media.make_result(0))
    single.finish()
    GlbSink(tmp_path / "d.glb", media.make_model()).finish()
    head = GlbSink(tmp_path / "e.glb", glb_parts(MorphableModel.load(level=0)))
    head.write(media.make_result(0))
    head.finish()
    program = ("const v = require(process.argv[1]), fs = require('fs');"
               "Promise.all(process.argv.slice(2).map(f => v.validateBytes(new Uint8Array(fs.readFileSync(f)))))"
               ".then(r => console.log(JSON.stringify(r.map(x => x.issues))))")
    files = [str(tmp_path / f"{name}.glb") for name in "abcde"]
    run = subprocess.run(["node", "-e", program, gltf_validator, *files], capture_output=True, text=True, check=True)
    for issues in json.loads(run.stdout):
        assert issues["messages"] == [] and issues["numErrors"] == issues["numWarnings"] == 0


def test_wrong_values_are_errors(tmp_path: Path, media) -> None:
    model = media.make_model()
    with pytest.raises(InputError, match="GlbModel.roughness: got 2"):
        dataclasses.replace(model, roughness=2)
    with pytest.raises(InputError, match="got interpolation 'CUBIC'"):
        GlbSink(tmp_path / "a.glb", model, interpolation="CUBIC")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="got no model parts"):
        GlbSink(tmp_path / "a.glb", [])
    with pytest.raises(InputError, match=r"GlbModel.albedo_mean: got shape \(5, 3\), expected \(81, 3\)"):
        GlbModel(model.mean, model.identity_basis, model.expression_basis, model.albedo_mean[:5], None,
                 model.triangles, model.expression_names)
    with pytest.raises(InputError, match="expression_names: got 3, expected 64"):
        GlbModel(model.mean, model.identity_basis, model.expression_basis, model.albedo_mean, None, model.triangles,
                 ("a", "b", "c"))
    result = media.make_result(0)
    result.coefficients.scale[0] = 0
    with pytest.raises(InputError, match=r"frame 0, face 0: got .* scale 0\.0 px/mm"):
        GlbSink(tmp_path / "a.glb", model).write(result)
    result = media.make_result(0)
    result.coefficients.expression[0, 3] = np.nan
    with pytest.raises(InputError, match="not finite"):
        GlbSink(tmp_path / "a.glb", model).write(result)


def test_a_full_disk_leaves_nothing(full_disk, media) -> None:
    path = full_disk.folder / "clip.glb"
    sink = GlbSink(path, media.make_model(30))
    sink.write(media.make_result(0))
    full_disk()
    with pytest.raises(OutputError, match=rf"cannot write .*clip\.glb: {full_disk.message}"):
        sink.finish()
    sink.abort()
    assert not path.exists() and temporaries_in(path.parent) == []
