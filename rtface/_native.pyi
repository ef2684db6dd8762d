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
