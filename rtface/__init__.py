"""rtface: face video to 3D face meshes in real time, also where something hides the face."""

from rtface.errors import (
    BackendError,
    InputError,
    MediaError,
    ModelFileError,
    OutputError,
    RenderError,
    RtfaceError,
)
from rtface.types import (
    Coefficients,
    FaceCrops,
    FaceMesh,
    FaceStatus,
    FaceTracks,
    Frame,
    FrameResult,
    Occlusion,
    Structure,
)

__version__ = "0.1.0"

__all__ = [
    "BackendError",
    "Coefficients",
    "FaceCrops",
    "FaceMesh",
    "FaceStatus",
    "FaceTracks",
    "Frame",
    "FrameResult",
    "InputError",
    "MediaError",
    "ModelFileError",
    "Occlusion",
    "OutputError",
    "RenderError",
    "RtfaceError",
    "Structure",
]
