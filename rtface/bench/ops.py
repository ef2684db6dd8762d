"""Speed of the array kernels against their NumPy twins.

    python -m rtface.bench.ops                      # all sizes, about a minute
    python -m rtface.bench.ops --repeats 5 --skip-twin

A sphere of 23,328 triangles (as many as a face mesh of that size) fills 90 % of the picture's shorter side. Times are
medians, after a warm-up, of whole calls from Python with their checks and allocations. The last line of the output is
one JSON document.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from rtface import ops
from rtface.machine import describe_machine
from rtface.ops import Float32, Int32, reference

SIZES = ((256, 256), (512, 512), (480, 640))  # height, width
CROP_SIZE = 224


class Case(NamedTuple):
    """One kernel on one input."""

    name: str
    work: int
    """Triangles or pixels that one call processes."""
    unit: str
    fast: Callable[[], object]
    twin: Callable[[], object]


def sphere(rings: int = 81, segments: int = 144) -> tuple[Float32, Int32]:
    """A unit sphere without its poles: (V, 3) vertices and (2 · rings · segments, 3) triangles."""
    tilt = np.linspace(0.02, np.pi - 0.02, rings + 1)[:, None]
    turn = np.linspace(0, 2 * np.pi, segments, endpoint=False)[None]
    axes = np.broadcast_arrays(np.sin(tilt) * np.cos(turn), np.cos(tilt), np.sin(tilt) * np.sin(turn))
    vertices = np.stack(axes, -1).reshape(-1, 3).astype(np.float32)
    ring, segment = np.mgrid[:rings, :segments].reshape(2, -1)
    a, b = ring * segments + segment, ring * segments + (segment + 1) % segments
    c, d = a + segments, b + segments
    return vertices, np.concatenate([np.stack([a, b, c], -1), np.stack([b, d, c], -1)]).astype(np.int32)


def build_cases(height: int, width: int, threads: int) -> list[Case]:
    """The kernels as a renderer would call them, one after the other, on a picture of this size."""
    rng = np.random.default_rng(0)
    vertices, triangles = sphere()
    radius = 0.45 * min(height, width)
    positions = (vertices * radius + np.array([width / 2, height / 2, 0])).astype(np.float32)
    raster = ops.rasterize(positions, triangles, height, width, cull="back")
    surface = (triangles, raster.triangle_id, raster.barycentrics)
    uv = ops.interpolate((vertices[:, :2] * 0.5 + 0.5).astype(np.float32), *surface)
    covered = raster.triangle_id >= 0
    texture = rng.random((512, 512, 3), np.float32)
    frame = rng.integers(0, 256, (height, width, 3), np.uint8)
    meshes, pixels, faces = vertices[None], height * width, len(triangles)

    def crop(scale: float) -> Float32:
        cos, sin = scale * np.cos(0.2), scale * np.sin(0.2)
        middle, center = CROP_SIZE / 2, (width / 2, height / 2)
        return np.array([[[cos, -sin, center[0] - (cos - sin) * middle],
                          [sin, cos, center[1] - (sin + cos) * middle]]], np.float32)

    near, far = crop(0.7), crop(1.6)
    return [
        Case("rasterize", faces, "triangle",
             lambda: ops.rasterize(positions, triangles, height, width, threads=threads),
             lambda: reference.rasterize(positions, triangles, height, width)),
        Case("rasterize cull=back", faces, "triangle",
             lambda: ops.rasterize(positions, triangles, height, width, cull="back", threads=threads),
             lambda: reference.rasterize(positions, triangles, height, width, cull="back")),
        Case("interpolate C=3", pixels, "pixel",
             lambda: ops.interpolate(vertices, *surface, threads=threads),
             lambda: reference.interpolate(vertices, *surface)),
        Case("sample_texture C=3", pixels, "pixel",
             lambda: ops.sample_texture(texture, uv, mask=covered, threads=threads),
             lambda: reference.sample_texture(texture, uv, mask=covered)),
        Case("vertex_normals", faces, "triangle",
             lambda: ops.vertex_normals(meshes, triangles, threads=threads),
             lambda: reference.vertex_normals(meshes, triangles)),
        Case(f"sample_crops {CROP_SIZE}² 1 tap", CROP_SIZE**2, "pixel",
             lambda: ops.sample_crops(frame, near, CROP_SIZE, threads=threads),
             lambda: reference.sample_crops(frame, near, CROP_SIZE)),
        Case(f"sample_crops {CROP_SIZE}² 4 taps", CROP_SIZE**2, "pixel",
             lambda: ops.sample_crops(frame, far, CROP_SIZE, threads=threads),
             lambda: reference.sample_crops(frame, far, CROP_SIZE)),
    ]


def median_ms(call: Callable[[], object], repeats: int, warm_up: int) -> float:
    for _ in range(warm_up):
        call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return float(np.median(times)) * 1e3


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=50, help="calls that are timed (twins: at most 3)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--skip-twin", action="store_true", help="do not time the NumPy twins")
    options = parser.parse_args(arguments)

    results = []
    print(f"{'kernel':<26}{'picture':>10}{'ms':>10}{'million/s':>12} {'of':<10}{'twin ms':>10}{'ratio':>8}")
    for height, width in SIZES:
        for case in build_cases(height, width, options.threads):
            fast_ms = median_ms(case.fast, options.repeats, warm_up=3)
            twin_ms = None if options.skip_twin else median_ms(case.twin, min(options.repeats, 3), warm_up=0)
            rate = case.work / fast_ms * 1e3
            ratio = None if twin_ms is None else twin_ms / fast_ms
            print(f"{case.name:<26}{f'{width}x{height}':>10}{fast_ms:>10.3f}{rate / 1e6:>12.1f} {case.unit + 's':<10}"
                  + ("" if twin_ms is None or ratio is None else f"{twin_ms:>10.1f}{ratio:>8.0f}"), flush=True)
            results.append({"kernel": case.name, "height": height, "width": width, "ms": round(fast_ms, 4),
                            f"{case.unit}s_per_s": round(rate), "twin_ms": twin_ms and round(twin_ms, 3),
                            "ratio": ratio and round(ratio, 1)})
    print(json.dumps({"benchmark": "ops", "threads": options.threads, "repeats": options.repeats,
                      "machine": describe_machine(), "results": results}, separators=(",", ":")))


if __name__ == "__main__":
    main()
