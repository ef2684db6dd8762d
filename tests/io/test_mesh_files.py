"""OBJ and PLY sequences, read back by hand and by trimesh."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh

from rtface.errors import InputError, OutputError
from rtface.geometry import rotation_matrices
from rtface.io import MeshSequenceSink
from rtface.io.mesh_files import ObjWriter, PlyWriter
from rtface.types import Coefficients, FaceStatus


def _columns(path: Path, key: str) -> np.ndarray:
    return np.array([line.split()[1:] for line in path.read_text().splitlines() if line.split()[0] == key], float)


def _loaded(path: Path) -> trimesh.Trimesh:
    mesh = trimesh.load(path, process=False, maintain_order=True)
    assert isinstance(mesh, trimesh.Trimesh)
    return mesh


@pytest.mark.parametrize("kind", ["obj", "ply"])
def test_one_file_per_frame_and_face(tmp_path: Path, media, kind: str) -> None:
    sink = MeshSequenceSink(tmp_path / "meshes", kind)
    sink.write(media.make_result(3, [0, 7], mesh=media.make_mesh(2)))
    sink.write(media.make_result(4, []))
    sink.write(media.make_result(12, [7, 8], mesh=media.make_mesh(2), status=[FaceStatus.HELD, FaceStatus.ABSENT]))
    expected = [tmp_path / "meshes" / f"face{f}" / f"frame_{i:06d}.{kind}" for i, f in ((3, 0), (3, 7), (12, 7))]
    assert sink.finish() == expected
    assert sorted(p for p in (tmp_path / "meshes").rglob("*") if p.is_file()) == sorted(expected)


@pytest.mark.parametrize("kind", ["obj", "ply"])
def test_trimesh_reads_what_was_written(tmp_path: Path, media, kind: str) -> None:
    mesh = media.make_mesh(1, side=12)
    sink = MeshSequenceSink(tmp_path, kind)
    sink.write(media.make_result(0, mesh=mesh))
    read = _loaded(sink.finish()[0])
    flip = np.array([1, -1, -1])
    np.testing.assert_allclose(read.vertices, mesh.vertices[0] * flip, atol=6e-5)
    np.testing.assert_array_equal(read.faces, mesh.triangles)
    np.testing.assert_allclose(read.vertex_normals, mesh.normals[0] * flip, atol=2e-4)
    np.testing.assert_allclose(read.visual.vertex_colors[:, :3] / 255, mesh.colors[0], atol=3e-3)
    outwards = np.einsum("fk,fk->f", read.face_normals, read.vertex_normals[read.faces[:, 0]])
    assert (outwards > 0).all()  # still counter-clockwise after the change of axes
    assert read.face_normals[:, 2].mean() > 0.5  # the face looks towards the viewer, +z


def test_obj_text_is_exact_to_four_decimals_for_every_sign_and_size(media) -> None:
    rng = np.random.default_rng(0)
    vertices = np.concatenate([[[-0.00004, 0.00005, -0.5], [9998.99, -9998.99, -1], [0, -0.0, 1234.5678]],
                               rng.normal(0, 100, (2000, 3))]).astype(np.float32)
    count = len(vertices)
    normals = rng.normal(0, 1, (count, 3)).astype(np.float32)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    colors = rng.uniform(-0.2, 1.2, (count, 3)).astype(np.float32)
    triangles = rng.integers(0, count, (50, 3)).astype(np.int32)
    lines = b"".join(ObjWriter(triangles).format(vertices, normals, colors, "a\nb")).decode().splitlines()
    assert lines[:2] == ["# a", "# b"]
    numbers = np.array([line.split()[1:] for line in lines if line.startswith("v ")], float)
    assert [len(line) for line in lines if line.startswith("v ")] == [61] * count
    np.testing.assert_allclose(numbers[:, :3], vertices, atol=5.1e-5, rtol=1.2e-7)
    np.testing.assert_allclose(numbers[:, 3:], np.clip(colors, 0, 1), atol=5.1e-5)
    np.testing.assert_allclose([[float(n) for n in line.split()[1:]] for line in lines if line.startswith("vn ")],
                               normals, atol=5.1e-5)
    faces = [[corner.split("//") for corner in line.split()[1:]] for line in lines if line.startswith("f ")]
    np.testing.assert_array_equal(np.array(faces, int), np.stack([triangles + 1, triangles + 1], -1))


def test_far_away_vertices_take_the_slow_path(media) -> None:
    vertices = np.array([[12345.25, 0, -99999.5], [1, 2, 3]], np.float32)
    normals = np.array([[0, 0, 1], [0, 0, 1]], np.float32)
    text = b"".join(ObjWriter(np.zeros((0, 3), np.int32)).format(vertices, normals, normals)).decode()
    assert "v 12345.2500 0.0000 -99999.5000 0.0000 0.0000 1.0000\n" in text


@pytest.mark.parametrize("kind", ["obj", "ply"])
def test_texture_coordinates_point_up(tmp_path: Path, media, kind: str) -> None:
    mesh = media.make_mesh(1)
    uv = np.random.default_rng(0).uniform(0, 1, (mesh.vertices.shape[1], 2)).astype(np.float32)
    sink = MeshSequenceSink(tmp_path, kind, uv=uv)
    sink.write(media.make_result(0, mesh=mesh))
    path = sink.finish()[0]
    if kind == "obj":
        np.testing.assert_allclose(_columns(path, "vt"), np.stack([uv[:, 0], 1 - uv[:, 1]], 1), atol=1e-6)
        assert path.read_text().splitlines()[-1] == "f " + " ".join(f"{c}/{c}/{c}" for c in mesh.triangles[-1] + 1)
    else:
        data = _loaded(path).metadata["_ply_raw"]["vertex"]["data"]
        np.testing.assert_allclose(np.stack([data["s"], data["t"]], -1), np.stack([uv[:, 0], 1 - uv[:, 1]], 1),
                                   atol=1e-6)
    with pytest.raises(InputError, match="uv: got 5 rows, expected"):
        MeshSequenceSink(tmp_path, kind, uv=uv[:5]).write(media.make_result(1, mesh=mesh))


def test_ply_carries_visibility(tmp_path: Path, media) -> None:
    mesh = media.make_mesh(1)
    sink = MeshSequenceSink(tmp_path, "ply")
    sink.write(media.make_result(0, mesh=mesh))
    data = _loaded(sink.finish()[0]).metadata["_ply_raw"]["vertex"]["data"]
    np.testing.assert_array_equal(data["visibility"], mesh.visibility[0])


def test_camera_space_turns_and_moves_the_head(tmp_path: Path, media) -> None:
    """The corner of the picture is at (−W/2, −H/2) px / scale in camera axes, y down."""
    mesh = media.make_mesh(1)
    result = media.make_result(0, mesh=mesh)
    vector = result.coefficients.to_vector()
    vector[0, -6:] = (0.2, -0.4, 0.3, 2.0, 0.0, 0.0)
    result = replace(result, coefficients=Coefficients.from_vector(vector, "test"))
    sink = MeshSequenceSink(tmp_path, "ply", space="camera")
    sink.write(result)
    turned = mesh.vertices[0] @ rotation_matrices(vector[:, -6:-3])[0].T
    camera = turned + (-media.WIDTH / 2 / 2.0, -media.HEIGHT / 2 / 2.0, 0)
    read = _loaded(sink.finish()[0])
    np.testing.assert_allclose(read.vertices, camera * (1, -1, -1), atol=1e-4)
    normals = mesh.normals[0] @ rotation_matrices(vector[:, -6:-3])[0].T
    np.testing.assert_allclose(read.vertex_normals, normals * (1, -1, -1), atol=1e-4)


def test_results_that_cannot_be_written_are_errors(tmp_path: Path, media) -> None:
    with pytest.raises(InputError, match="got kind 'stl', expected 'obj' or 'ply'"):
        MeshSequenceSink(tmp_path, "stl")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="got space 'world'"):
        MeshSequenceSink(tmp_path, "obj", space="world")  # type: ignore[arg-type]
    sink = MeshSequenceSink(tmp_path, "obj")
    with pytest.raises(InputError, match="got a result without a mesh"):
        sink.write(media.make_result(0))
    sink.write(media.make_result(0, mesh=media.make_mesh(1)))
    with pytest.raises(InputError, match="expected the same topology"):
        sink.write(media.make_result(1, mesh=media.make_mesh(1, side=9)))
    mesh = media.make_mesh(1)
    mesh.vertices[0, 3, 1] = np.nan
    with pytest.raises(InputError, match=r"frame 2, face 0: got mesh values that are not finite"):
        sink.write(media.make_result(2, mesh=mesh))
    assert sorted(os.listdir(tmp_path / "face0")) == ["frame_000000.obj"]


def test_a_full_disk_leaves_whole_files_only(full_disk, media) -> None:
    folder = full_disk.folder / "meshes"
    sink = MeshSequenceSink(folder, "ply")
    sink.write(media.make_result(0, mesh=media.make_mesh(1)))
    full_disk()
    with pytest.raises(OutputError, match=full_disk.message):
        for index in range(1, 100):
            sink.write(media.make_result(index, mesh=media.make_mesh(1, side=8)))
    sink.abort()
    sizes = {p.stat().st_size for p in (folder / "face0").iterdir() if p.name != "frame_000000.ply"}
    assert all(p.suffix == ".ply" for p in (folder / "face0").iterdir())
    assert not sizes or len(sizes) <= 3 and min(sizes) > 4000


def test_claims_come_before_the_files(tmp_path: Path, media) -> None:
    claimed: list[Path] = []

    def claim(path: Path) -> None:
        assert not path.exists()
        claimed.append(path)
    sink = MeshSequenceSink(tmp_path, "obj", claim=claim)
    sink.write(media.make_result(0, [1, 2], mesh=media.make_mesh(2)))
    assert claimed == sink.finish()


def test_formatting_the_default_mesh_is_fast(media) -> None:
    """11,881 vertices; goals 15 ms for OBJ and 1 ms for PLY with the disk, the bounds leave room for busy machines."""
    mesh = media.make_mesh(1, side=109)
    arguments = (mesh.vertices[0], mesh.normals[0], mesh.colors[0])
    for writer, extra, bound_s in ((ObjWriter(mesh.triangles), (), 0.015),
                                   (PlyWriter(mesh.triangles), (mesh.visibility[0],), 0.004)):
        times = []
        for _ in range(7):
            start = time.perf_counter()
            writer.format(*arguments, *extra)
            times.append(time.perf_counter() - start)
        assert min(times) < bound_s
