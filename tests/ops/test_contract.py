"""Wrong arguments are refused alike by the kernels and their twins; nothing is written to; the build is explained."""

from __future__ import annotations

import inspect
import sys
import threading

import numpy as np
import pytest

import rtface
from rtface import ops
from rtface.errors import InputError
from rtface.ops import reference

F = np.zeros((1, 3), np.int32)
P = np.zeros((4, 3), np.float32)
IDS = np.full((2, 2), -1, np.int32)
B = np.zeros((2, 2, 3), np.float32)
UV = np.zeros((2, 2, 2), np.float32)
T = np.zeros((2, 2, 3), np.float32)
FRAME = np.zeros((4, 4, 3), np.uint8)
M = np.zeros((1, 2, 3), np.float32)

WRONG = [
    ("rasterize", (P.astype(np.float64), F, 4, 4), {}, "positions"),
    ("rasterize", (P[:, :2].copy(), F, 4, 4), {}, "positions"),
    ("rasterize", (P[0], F, 4, 4), {}, "positions"),
    ("rasterize", (P[None, None], F, 4, 4), {}, "positions"),
    ("rasterize", (np.zeros((3, 4), np.float32).T, F, 4, 4), {}, "positions"),
    ("rasterize", (P.tolist(), F, 4, 4), {}, "positions"),
    ("rasterize", (None, F, 4, 4), {}, "positions"),
    ("rasterize", (P, F.astype(np.int64), 4, 4), {}, "triangles"),
    ("rasterize", (P, F[0], 4, 4), {}, "triangles"),
    ("rasterize", (P, np.zeros((2, 6), np.int32)[:, ::2], 4, 4), {}, "triangles"),
    ("rasterize", (P, np.int32([[0, 1, 4]]), 4, 4), {}, "triangles"),
    ("rasterize", (P, np.int32([[0, -1, 2]]), 4, 4), {}, "triangles"),
    ("rasterize", (P[:0], F, 4, 4), {}, "triangles"),
    ("rasterize", (P, F, 0, 4), {}, "height, width"),
    ("rasterize", (P, F, 4, 40000), {}, "height, width"),
    ("rasterize", (P, F, 4, 4), {"cull": "both"}, "cull"),
    ("rasterize", (P, F, 4, 4), {"cull": "back", "cull_first": -1}, "cull_first"),
    ("rasterize", (P, F, 4, 4), {"inverse_w": np.ones(3, np.float32)}, "inverse_w"),
    ("rasterize", (P[None], F, 4, 4), {"inverse_w": np.ones(4, np.float32)}, "inverse_w"),
    ("interpolate", (P.astype(np.float16), F, IDS, B), {}, "attributes"),
    ("interpolate", (P[None], F, IDS, B), {}, "attributes"),
    ("interpolate", (P[[0, 0]][None].repeat(3, 0), F, IDS[None], B[None]), {}, "attributes"),
    ("interpolate", (P, F + 4, IDS, B), {}, "triangles"),
    ("interpolate", (P, F, IDS[0], B), {}, "triangle_id"),
    ("interpolate", (P, F, IDS + 2, B), {}, "triangle_id"),
    ("interpolate", (P, F, IDS, B[:1]), {}, "barycentrics"),
    ("interpolate", (P, F, IDS, B), {"background": np.zeros(2, np.float32)}, "background"),
    ("sample_texture", (T.astype(np.int32), UV), {}, "texture"),
    ("sample_texture", (T[:0], UV), {}, "texture"),
    ("sample_texture", (T[..., 0].copy(), UV), {}, "texture"),
    ("sample_texture", (T, B), {}, "uv"),
    ("sample_texture", (T, UV), {"mask": IDS}, "mask"),
    ("sample_texture", (T, UV), {"mask": np.zeros((2, 3), bool)}, "mask"),
    ("vertex_normals", (P, F), {}, "vertices"),
    ("vertex_normals", (P[None], F - 1), {}, "triangles"),
    ("sample_crops", (FRAME.astype(np.float32), M, 4), {}, "frame"),
    ("sample_crops", (FRAME[:0], M, 4), {}, "frame"),
    ("sample_crops", (FRAME[:, ::-1], M, 4), {}, "frame"),
    ("sample_crops", (FRAME, M[0], 4), {}, "frame_from_crop"),
    ("sample_crops", (FRAME, M * np.float32(np.nan), 4), {}, "frame_from_crop"),
    ("sample_crops", (FRAME, M, 0), {}, "size"),
    ("sample_crops", (FRAME, M, 4), {"scale": (1, 2)}, "scale"),
    ("sample_crops", (FRAME, M, 4), {"offset": (1, 2, 3, 4)}, "offset"),
    ("sample_crops", (FRAME, M, 4), {"border": "wrap"}, "border"),
    ("sample_crops", (FRAME, M, 4), {"border_value": 256}, "border_value"),
]


@pytest.mark.parametrize("kernels", [ops, reference], ids=["native", "twin"])
@pytest.mark.parametrize("name, args, options, blamed", WRONG, ids=lambda v: v if isinstance(v, str) else "")
def test_wrong_arguments_are_named(kernels, name, args, options, blamed):
    with pytest.raises(InputError, match=rf"(?s)^{blamed}: got .*expected "):
        getattr(kernels, name)(*args, **options)


@pytest.mark.parametrize("threads", [0, -1, 257])
def test_threads_must_be_sensible(threads):
    for name, args in [("rasterize", (P, F, 4, 4)), ("interpolate", (P, F, IDS, B)), ("sample_texture", (T, UV)),
                       ("vertex_normals", (P[None], F)), ("sample_crops", (FRAME, M, 4))]:
        with pytest.raises(InputError, match="threads: got .* expected 1 to 256"):
            getattr(ops, name)(*args, threads=threads)


@pytest.mark.parametrize("name", [n for n in ops.__all__ if n != "Raster"])
def test_the_twin_has_the_same_signature_but_for_threads(name):
    fast, twin = inspect.signature(getattr(ops, name)), inspect.signature(getattr(reference, name))
    parameters = {k: v for k, v in fast.parameters.items() if k != "threads"}
    assert parameters == dict(twin.parameters) and fast.return_annotation == twin.return_annotation


def test_read_only_inputs_are_accepted_and_left_alone():
    arrays = [P.copy(), F.copy(), IDS.copy(), B.copy(), UV.copy(), T.copy(), FRAME.copy(), M.copy()]
    for array in arrays:
        array.flags.writeable = False
    p, f, ids, b, uv, t, frame, m = arrays
    ops.rasterize(p, f, 4, 4)
    ops.interpolate(p, f, ids, b)
    ops.sample_texture(t, uv)
    ops.vertex_normals(p[None], f)
    ops.sample_crops(frame, m, 4)


def test_results_outlive_the_inputs_and_are_writable():
    depth = ops.rasterize(P.copy(), F.copy(), 64, 64).depth
    depth += 1
    assert depth.flags.owndata or depth.base is not None
    assert (depth == np.inf).all()


def test_calls_from_many_threads_do_not_disturb_each_other(sphere):
    vertices, triangles = sphere(20, 30)
    positions = (vertices * 60 + 64).astype(np.float32)
    expected = ops.rasterize(positions, triangles, 128, 128)
    results = [None] * 4

    def work(i):
        for _ in range(5):
            results[i] = ops.rasterize(positions, triangles, 128, 128, threads=1 + i % 2)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for result in results:
        for a, b in zip(result, expected, strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_missing_build_names_the_command(monkeypatch):
    monkeypatch.delattr(rtface, "_native", raising=False)
    monkeypatch.setitem(sys.modules, "rtface._native", None)
    with pytest.raises(ImportError, match=r"pip install -e \."):
        ops.vertex_normals(P[None], F)
