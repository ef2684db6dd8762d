"""CPU kernels; ``rtface.ops`` documents them. Arrays: C-contiguous NumPy; errors: ``rtface.errors.InputError``."""

import numpy as np
import numpy.typing as npt

_Float32 = npt.NDArray[np.float32]
_Int32 = npt.NDArray[np.int32]

def rasterize(
    positions: _Float32,
    triangles: _Int32,
    height: int,
    width: int,
    *,
    cull: str = "none",
    cull_first: int | None = None,
    inverse_w: _Float32 | None = None,
    threads: int = 1,
) -> tuple[_Float32, _Int32, _Float32]: ...
def interpolate(
    attributes: _Float32,
    triangles: _Int32,
    triangle_id: _Int32,
    barycentrics: _Float32,
    *,
    background: _Float32 | None = None,
    threads: int = 1,
) -> _Float32: ...
def sample_texture(
    texture: npt.NDArray[np.float32 | np.uint8],
    uv: _Float32,
    *,
    mask: npt.NDArray[np.bool_ | np.uint8] | None = None,
    threads: int = 1,
) -> _Float32: ...
def vertex_normals(vertices: _Float32, triangles: _Int32, *, threads: int = 1) -> _Float32: ...
def sample_crops(
    frame: npt.NDArray[np.uint8],
    frame_from_crop: _Float32,
    size: int,
    *,
    scale: tuple[float, float, float],
    offset: tuple[float, float, float],
    border: str = "replicate",
    border_value: int = 0,
    threads: int = 1,
) -> _Float32: ...
def seen_vertices(triangles: _Int32, triangle_id: _Int32, count: int) -> npt.NDArray[np.bool_]: ...
def colorize(
    shaded: _Float32,
    triangles: _Int32,
    kinds: npt.NDArray[np.uint8],
    uv: _Float32,
    textured: npt.NDArray[np.bool_],
    texture: _Float32 | None,
    triangle_id: _Int32,
    barycentrics: _Float32,
    shine: _Float32,
    *,
    threads: int = 1,
) -> tuple[_Float32, npt.NDArray[np.uint8]]: ...
def encode_over(
    color: _Float32,
    kind: npt.NDArray[np.uint8],
    behind: _Float32,
    grain: _Float32,
    grained: npt.NDArray[np.bool_],
    curve: _Float32,
    *,
    threads: int = 1,
) -> _Float32: ...
