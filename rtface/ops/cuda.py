"""Array kernels on an NVIDIA GPU, by CuPy; contract and CPU twins are in :mod:`rtface.ops` and its other modules.

CuPy is imported on first use only. Kernels are compiled once per process for the GPU at hand and run on CuPy's current
stream; :func:`on_stream` makes that the stream of whoever calls.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

from rtface.errors import BackendError
from rtface.ops import Raster

SOURCE: Final = Path(__file__).with_name("kernels") / "rasterize.cu"
OPTIONS: Final = ("--fmad=false",)
"""The twin's operations, one by one: a fused multiply-add rounds once where it rounds twice."""
THREADS: Final = 256
WARP: Final = 32


def _cupy() -> Any:
    try:
        import cupy
    except ImportError as exc:
        raise BackendError(f"ops.cuda: got no CuPy ({exc}), expected it for arrays on a GPU; "
                           "pip install 'rtface[gpu]'") from exc
    return cupy


@cache
def _module() -> Any:
    return _cupy().RawModule(code=SOURCE.read_text(encoding="utf-8"), options=OPTIONS)


@contextmanager
def on_stream(handle: int) -> Iterator[None]:
    """Run kernels on the CUDA stream with this handle (for torch: ``torch.cuda.current_stream().cuda_stream``)."""
    with _cupy().cuda.ExternalStream(handle):
        yield


def from_dlpack(array: Any) -> Any:
    """The same memory on the GPU as a CuPy array."""
    return _cupy().from_dlpack(array)


def rasterize_packed(positions: Any, triangles: Any, triangle_starts: Any, culled: Any, height: int,
                     width: int) -> Raster:
    """See :func:`rtface.ops.packed.rasterize_packed`, which checks; CuPy arrays, results are new ones.

    Vertex numbers are not checked here: reading them back would make the CPU wait.
    """
    cupy = _cupy()
    pictures, faces = len(culled), len(triangles)
    keys = cupy.full((pictures, height, width), 2**64 - 1, cupy.uint64)
    out = Raster(cupy.empty((pictures, height, width), cupy.float32), cupy.empty((pictures, height, width), cupy.int32),
                 cupy.empty((pictures, height, width, 3), cupy.float32))
    common = (positions, triangles, triangle_starts)
    sides = (cupy.int32(pictures), cupy.int32(height), cupy.int32(width))
    if faces and pictures:
        _module().get_function("nearest_keys")(((faces * WARP + THREADS - 1) // THREADS,), (THREADS,),
                                               (*common, culled, *sides, keys))
    if pictures:
        _module().get_function("resolve_keys")(((keys.size + THREADS - 1) // THREADS,), (THREADS,),
                                               (*common, *sides, keys, *out))
    return out
